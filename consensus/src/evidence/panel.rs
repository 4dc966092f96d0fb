//! Counting witnesses: the rule of PROTOCOL.md B.5, as pure functions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{
    Abstention, AgentId, Belief, Candidate, Certificate, DatabaseSight, Definition, Health, Region,
    Stack, StackId, TargetId, TargetName, Verdict, Voters,
};

/// One agent's word on an app's targets.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    /// Who speaks.
    pub agent: &'a AgentId,
    /// From where.
    pub region: &'a Region,
    /// Why its word does not count, if it does not.
    pub abstention: Option<Abstention>,
    /// What it believes; of other apps' targets, too, perhaps.
    pub beliefs: &'a [Belief],
}

/// The two halves of a stack that are judged apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Its endpoints: up while any is, down when all are.
    Web,
    /// Its databases: up while all are, down when any is.
    Data,
}

/// How the voters stand on one aspect of one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Who sees it down.
    pub down: BTreeSet<AgentId>,
    /// Who sees it up.
    pub up: BTreeSet<AgentId>,
    /// In how many regions it is seen down.
    pub regions: usize,
    /// What follows.
    pub verdict: Verdict,
}

/// Voters' words on one app, gossiped or signed, and everything the rule makes of them.
#[derive(Clone, Debug)]
pub struct Panel<'a> {
    pub(super) definition: &'a Definition,
    pub(super) voters: &'a Voters,
    pub(super) witnesses: BTreeMap<&'a AgentId, Witness<'a>>,
    /// How many votes are a majority, in a mutant that counts them itself; otherwise that is for the voters to say.
    enough: Option<usize>,
    pub(super) regions: usize,
    /// What a decision in progress knew of its standbys, for when no witness has seen their primary since.
    pub(super) recalled: &'a [Candidate],
}

impl<'a> Panel<'a> {
    /// The panel of these witnesses. Whoever is no voter is left out.
    pub fn new(
        definition: &'a Definition,
        voters: &'a Voters,
        witnesses: impl IntoIterator<Item = Witness<'a>>,
    ) -> Self {
        let witnesses: BTreeMap<_, _> = witnesses
            .into_iter()
            .filter(|witness| voters.by_agent(witness.agent).is_some())
            .map(|witness| (witness.agent, witness))
            .collect();
        let regions = definition.regions.min(voters.regions().len());
        Self { definition, voters, witnesses, enough: None, regions, recalled: &[] }
    }

    /// Goes by what a decision in progress knew, where no witness has seen a primary: all agents may have been restarted
    /// since it died.
    pub fn recalling(self, candidates: &'a [Candidate]) -> Self {
        Self { recalled: candidates, ..self }
    }

    /// The panel of a certificate.
    pub fn of(
        certificate: &'a Certificate,
        definition: &'a Definition,
        voters: &'a Voters,
    ) -> Self {
        let witnesses = certificate.evidence.iter().map(|evidence| Witness {
            agent: &evidence.statement.agent,
            region: &evidence.statement.region,
            abstention: evidence.statement.abstention,
            beliefs: &evidence.statement.beliefs,
        });
        Self::new(definition, voters, witnesses)
    }

    /// Breaks rule 9: a majority of those who answered is enough.
    #[cfg(feature = "mutants")]
    pub fn count_only_reporting(&mut self) {
        self.enough = Some(self.healthy().count() / 2 + 1);
    }

    /// Breaks the rule of regions: one is enough.
    #[cfg(feature = "mutants")]
    pub fn forget_regions(&mut self) {
        self.regions = 1;
    }

    /// Are these more than half of all voters?
    pub(super) fn majority(&self, agents: &BTreeSet<AgentId>) -> bool {
        self.enough.map_or_else(|| self.voters.majority_of(agents), |enough| agents.len() >= enough)
    }

    /// How many voters there are, and how many of them are needed: for words.
    pub(super) fn numbers(&self) -> (usize, usize) {
        (self.voters.agents().len(), self.enough.unwrap_or_else(|| self.voters.needed()))
    }

    /// Witnesses whose word counts.
    pub(super) fn healthy(&self) -> impl Iterator<Item = &Witness<'a>> {
        self.witnesses.values().filter(|witness| witness.abstention.is_none())
    }

    /// How the voters stand on one aspect of one stack; `None` where the stack has no such targets. Of several databases
    /// the worst counts: voters that each see another one down agree on nothing.
    pub fn count(&self, stack: &StackId, aspect: Aspect) -> Option<Count> {
        let stack = self.definition.stack(stack)?;
        let all: Vec<_> = names(stack, aspect).collect();
        if all.is_empty() {
            return None;
        }
        let up: BTreeSet<_> =
            self.saying(stack, &all, aspect, Health::Up).map(|(agent, _)| agent).collect();
        let groups: Vec<&[&TargetName]> = match aspect {
            Aspect::Web => vec![&all],
            Aspect::Data => all.chunks(1).collect(),
        };
        let counts = groups.into_iter().map(|targets| {
            let down: Vec<_> = self.saying(stack, targets, aspect, Health::Down).collect();
            let regions = down.iter().map(|(_, region)| region).collect::<BTreeSet<_>>().len();
            let down: BTreeSet<_> = down.into_iter().map(|(agent, _)| agent).collect();
            let verdict = self.verdict(&down, regions, &up);
            Count { down, up: up.clone(), regions, verdict }
        });
        counts.max_by_key(|count| (count.verdict == Verdict::Down, count.down.len()))
    }

    /// The witnesses whose word counts that say this of some targets of a stack.
    fn saying(
        &self,
        stack: &Stack,
        targets: &[&TargetName],
        aspect: Aspect,
        health: Health,
    ) -> impl Iterator<Item = (AgentId, &'a Region)> {
        self.healthy()
            .filter(move |witness| self.word(witness, stack, targets, aspect) == health)
            .map(|witness| (witness.agent.clone(), witness.region))
    }

    /// The counts that decide about a stack: of what its app goes by.
    pub fn deciding(&self, stack: &StackId) -> [Option<Count>; 2] {
        match (self.count(stack, Aspect::Web), self.count(stack, Aspect::Data)) {
            (web, data) if self.definition.has_databases() => [web, data],
            (Some(web), _) => [Some(web), None],
            (None, data) => [None, data],
        }
    }

    /// Asymmetric on purpose: up by a few blocks, down by a minority does nothing (PROTOCOL.md B.5, after Route 53).
    fn verdict(&self, down: &BTreeSet<AgentId>, regions: usize, up: &BTreeSet<AgentId>) -> Verdict {
        match (self.majority(down), regions >= self.regions, self.voters.blocked_by(up)) {
            (true, true, false) => Verdict::Down,
            (true, _, _) => Verdict::Contested,
            (false, _, _) => Verdict::Standing,
        }
    }

    /// What one witness says of some targets of a stack, taken together.
    fn word(
        &self,
        witness: &Witness<'a>,
        stack: &Stack,
        targets: &[&TargetName],
        aspect: Aspect,
    ) -> Health {
        let health = |name: &&TargetName| {
            belief(witness, self.definition, &stack.name, name)
                .map_or(Health::Unknown, |belief| belief.health)
        };
        let healths: Vec<_> = targets.iter().map(health).collect();
        let (decisive, all) = match aspect {
            Aspect::Web => (Health::Up, Health::Down),
            Aspect::Data => (Health::Down, Health::Up),
        };
        match (healths.contains(&decisive), healths.iter().all(|&health| health == all)) {
            (true, _) => decisive,
            (false, true) => all,
            (false, false) => Health::Degraded,
        }
    }

    /// The region-weighted share of witnesses, of those whose word counts, that see all of a stack up.
    pub fn reach(&self, stack: &StackId) -> f64 {
        let Some(stack) = self.definition.stack(stack) else { return 0.0 };
        let aspects: Vec<(Aspect, Vec<&TargetName>)> = self
            .aspects(stack)
            .map(|aspect| (aspect, names(stack, aspect).collect::<Vec<_>>()))
            .filter(|(_, targets)| !targets.is_empty())
            .collect();
        let mut regions: BTreeMap<&Region, (usize, usize)> = BTreeMap::new();
        for witness in self.healthy() {
            let mut words =
                aspects.iter().map(|(it, targets)| self.word(witness, stack, targets, *it));
            let up = words.all(|word| word == Health::Up);
            let (seen, of) = regions.entry(witness.region).or_default();
            *seen += usize::from(up);
            *of += 1;
        }
        let shares = regions.values().map(|&(seen, of)| seen as f64 / of as f64);
        shares.sum::<f64>() / regions.len().max(1) as f64
    }

    /// Does a majority see all of a stack up?
    pub fn stands(&self, stack: &StackId) -> bool {
        self.deciding(stack).into_iter().flatten().all(|count| self.majority(&count.up))
    }

    /// And do its databases take writes?
    pub fn serves(&self, stack: &StackId) -> bool {
        let databases = self.definition.stack(stack).map(|stack| &stack.databases[..]);
        let primary = |name| self.latest(stack, name).is_some_and(|(sight, _)| !sight.replica);
        self.stands(stack)
            && (!self.definition.has_databases()
                || databases.unwrap_or_default().iter().all(|it| primary(&it.name)))
    }

    /// The furthest position that any witness saw a database of this stack at.
    pub fn received(&self, stack: &StackId, name: &TargetName) -> Option<u64> {
        let target = self.target(stack, name);
        self.beliefs(&target).filter_map(|belief| Some(belief.database.as_ref()?.0.position)).max()
    }

    /// Which halves of a stack its app goes by.
    fn aspects(&self, stack: &Stack) -> impl Iterator<Item = Aspect> + use<> {
        let data = self.definition.has_databases() || stack.endpoints.is_empty();
        [Aspect::Web].into_iter().chain(data.then_some(Aspect::Data))
    }

    /// Every healthy witness's belief of one target.
    pub(super) fn beliefs(&self, target: &TargetId) -> impl Iterator<Item = &'a Belief> {
        let target = target.clone();
        self.healthy().filter_map(move |witness| {
            witness.beliefs.iter().find(|belief| belief.target == target)
        })
    }

    /// What a database last said of itself, to whoever of the witnesses asked last, and how long ago.
    pub(super) fn latest(
        &self,
        stack: &StackId,
        name: &TargetName,
    ) -> Option<(&'a DatabaseSight, Duration)> {
        let target = self.target(stack, name);
        self.beliefs(&target)
            .filter_map(|belief| belief.database.as_ref())
            .min_by_key(|(sight, age)| (*age, u64::MAX - sight.position))
            .map(|(sight, age)| (sight, *age))
    }
}

fn names(stack: &Stack, aspect: Aspect) -> Box<dyn Iterator<Item = &TargetName> + '_> {
    match aspect {
        Aspect::Web => Box::new(stack.endpoints.iter().map(|endpoint| &endpoint.name)),
        Aspect::Data => Box::new(stack.databases.iter().map(|database| &database.name)),
    }
}

fn belief<'a>(
    witness: &Witness<'a>,
    definition: &Definition,
    stack: &StackId,
    name: &TargetName,
) -> Option<&'a Belief> {
    witness.beliefs.iter().find(|belief| {
        belief.target.name == *name
            && belief.target.stack == *stack
            && belief.target.app == definition.name
    })
}
