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
    /// How many votes a majority is; only a mutant asks for fewer.
    pub(super) majority: usize,
    pub(super) regions: usize,
    /// What a decision in progress knew of its standbys, for when no witness has seen their primary since.
    pub(super) recalled: &'a [Candidate],
}

impl<'a> Panel<'a> {
    /// The panel of these witnesses. Whoever is no voter is left out: its word can only veto, elsewhere.
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
        Self { definition, voters, witnesses, majority: voters.majority(), regions, recalled: &[] }
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
        self.majority = self.healthy().count() / 2 + 1;
    }

    /// Breaks the rule of regions: one is enough.
    #[cfg(feature = "mutants")]
    pub fn forget_regions(&mut self) {
        self.regions = 1;
    }

    /// Witnesses whose word counts.
    pub(super) fn healthy(&self) -> impl Iterator<Item = &Witness<'a>> {
        self.witnesses.values().filter(|witness| witness.abstention.is_none())
    }

    /// How many voters are needed.
    pub fn majority(&self) -> usize {
        self.majority
    }

    /// In how many regions a stack must be seen down.
    pub fn regions(&self) -> usize {
        self.regions
    }

    /// How the voters stand on one aspect of one stack; `None` where the stack has no such targets.
    pub fn count(&self, stack: &StackId, aspect: Aspect) -> Option<Count> {
        let stack = self.definition.stack(stack)?;
        names(stack, aspect).next()?;
        let mut count = Count {
            down: BTreeSet::new(),
            up: BTreeSet::new(),
            regions: 0,
            verdict: Verdict::Standing,
        };
        let mut regions = BTreeSet::new();
        for witness in self.healthy() {
            match self.word(witness, stack, aspect) {
                Health::Down => {
                    count.down.insert(witness.agent.clone());
                    regions.insert(witness.region);
                }
                Health::Up => {
                    count.up.insert(witness.agent.clone());
                }
                Health::Degraded | Health::Unknown => {}
            }
        }
        count.regions = regions.len();
        count.verdict = self.verdict(&count);
        Some(count)
    }

    /// Asymmetric on purpose: up by a few blocks, down by a minority does nothing (PROTOCOL.md B.5, after Route 53).
    fn verdict(&self, count: &Count) -> Verdict {
        let few = self.voters.members.len().saturating_sub(self.majority) / 2;
        match (
            count.down.len() >= self.majority,
            count.regions >= self.regions,
            count.up.len() <= few,
        ) {
            (true, true, true) => Verdict::Down,
            (true, _, _) => Verdict::Contested,
            (false, _, _) => Verdict::Standing,
        }
    }

    /// What one witness says of one aspect of a stack.
    pub(super) fn word(&self, witness: &Witness<'a>, stack: &Stack, aspect: Aspect) -> Health {
        let mut healths = names(stack, aspect).map(|name| {
            belief(witness, self.definition, &stack.name, name)
                .map_or(Health::Unknown, |belief| belief.health)
        });
        let (decisive, all) = match aspect {
            Aspect::Web => (Health::Up, Health::Down),
            Aspect::Data => (Health::Down, Health::Up),
        };
        let healths: Vec<_> = healths.by_ref().collect();
        match (healths.contains(&decisive), healths.iter().all(|&health| health == all)) {
            (true, _) => decisive,
            (false, true) => all,
            (false, false) => Health::Degraded,
        }
    }

    /// The region-weighted share of witnesses, of those whose word counts, that see all of a stack up.
    pub fn reach(&self, stack: &StackId) -> f64 {
        let Some(stack) = self.definition.stack(stack) else { return 0.0 };
        let mut regions: BTreeMap<&Region, (usize, usize)> = BTreeMap::new();
        for witness in self.healthy() {
            let up = self
                .aspects()
                .filter(|&aspect| names(stack, aspect).next().is_some())
                .all(|aspect| self.word(witness, stack, aspect) == Health::Up);
            let (seen, of) = regions.entry(witness.region).or_default();
            *seen += usize::from(up);
            *of += 1;
        }
        let shares = regions.values().map(|&(seen, of)| seen as f64 / of as f64);
        shares.sum::<f64>() / regions.len().max(1) as f64
    }

    /// Does a majority see all of a stack up, with its databases taking writes?
    pub fn serves(&self, stack: &StackId) -> bool {
        let up = |aspect| self.count(stack, aspect).is_none_or(|it| it.up.len() >= self.majority);
        let databases = self.definition.stack(stack).map(|stack| &stack.databases[..]);
        let primary = |name| self.latest(stack, name).is_some_and(|(sight, _)| !sight.replica);
        self.aspects().all(up)
            && (!self.definition.has_databases()
                || databases.unwrap_or_default().iter().all(|it| primary(&it.name)))
    }

    /// The furthest position that any witness saw a database of this stack at.
    pub fn received(&self, stack: &StackId, name: &TargetName) -> Option<u64> {
        let target = TargetId {
            app: self.definition.name.clone(),
            stack: stack.clone(),
            name: name.clone(),
        };
        self.beliefs(&target).filter_map(|belief| Some(belief.database.as_ref()?.0.position)).max()
    }

    /// Which halves of its stacks matter to this app.
    pub(super) fn aspects(&self) -> impl Iterator<Item = Aspect> + use<> {
        let data = self.definition.has_databases().then_some(Aspect::Data);
        [Aspect::Web].into_iter().chain(data)
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
        let target = TargetId {
            app: self.definition.name.clone(),
            stack: stack.clone(),
            name: name.clone(),
        };
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
