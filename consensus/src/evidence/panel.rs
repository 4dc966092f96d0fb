//! Counting witnesses: the rule of PROTOCOL.md B.5, as pure functions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::word::belief;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::model::{
    Abstention, AgentId, Belief, Candidate, Certificate, DatabaseSight, Definition, GuardSight,
    Health, Region, Stack, StackId, SyncSet, TargetId, TargetName, Verdict, Voters,
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
    /// How long ago it said so.
    pub said: Duration,
}

/// Witnesses in the order of their agents, each once: the last word of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Bench<'a>(Vec<Witness<'a>>);

impl<'a> Bench<'a> {
    fn seat(&mut self, witness: Witness<'a>) {
        match self.0.binary_search_by(|it| it.agent.cmp(witness.agent)) {
            Ok(at) => self.0[at] = witness,
            Err(at) => self.0.insert(at, witness),
        }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Witness<'a>> {
        self.0.iter()
    }
}

/// The two halves of a stack that are judged apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Its endpoints that answers lead to: up while any is, down when all are.
    Web,
    /// Its databases: up while all are, down when any is.
    Data,
}

/// Fewer observers than this are no crowd: theirs may be the part of the world that sees it wrong (PROTOCOL.md B.5).
const OBSERVERS: usize = 10;
/// One in so many of them that reaches a stack speaks against its being down.
const REACHING: usize = 5;
/// And in so many regions.
const REACHING_REGIONS: usize = 2;

/// How the voters stand on one aspect of one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Who sees it down, each once.
    pub down: Vec<AgentId>,
    /// Who sees it up, each once.
    pub up: Vec<AgentId>,
    /// In how many regions it is seen down.
    pub regions: usize,
    /// Why observers speak against its being down, if they do.
    pub contested: Option<String>,
    /// What follows.
    pub verdict: Verdict,
}

/// Voters' words on one app, gossiped or signed, and everything the rule makes of them.
#[derive(Clone, Debug)]
pub struct Panel<'a> {
    pub(super) definition: &'a Definition,
    pub(super) voters: &'a Voters,
    pub(super) witnesses: Bench<'a>,
    /// Who watches and has no vote: their words can only stand in the way.
    pub(super) observers: Bench<'a>,
    /// What everybody said last, with a vote or without, where that is listened to: it can only stand in the way, too.
    pub(super) heard: Option<Bench<'a>>,
    /// The agent that this panel is for, and what it believes, which it need not have said.
    pub(super) own: Option<(&'a AgentId, Vec<Belief>)>,
    /// The stack whose databases the mesh itself has closed, or may have: their guards alone say how they are.
    pub(super) fenced: Option<&'a StackId>,
    /// How many votes are a majority, in a mutant that counts them itself; otherwise that is for the voters to say.
    enough: Option<usize>,
    pub(super) regions: usize,
    /// What a decision in progress knew of its standbys, for when no witness has seen their primary since.
    pub(super) recalled: &'a [Candidate],
    /// The replicas that are agreed to hold whatever their primaries acknowledged.
    pub(super) relied: Option<&'a SyncSet>,
    /// One rule to break, in test builds.
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl<'a> Panel<'a> {
    /// The panel of these witnesses: whoever is no voter only watches.
    pub fn new(
        definition: &'a Definition,
        voters: &'a Voters,
        witnesses: impl IntoIterator<Item = Witness<'a>>,
    ) -> Self {
        let (mut voting, mut watching) =
            (Bench(Vec::with_capacity(voters.members.len())), Bench::default());
        let mut heard = Bench::default();
        for witness in witnesses {
            heard.seat(witness);
            match voters.by_agent(witness.agent) {
                Some(_) => voting.seat(witness),
                None => watching.seat(witness),
            }
        }
        Self {
            definition,
            voters,
            witnesses: voting,
            observers: watching,
            heard: Some(heard),
            own: None,
            fenced: None,
            enough: None,
            regions: definition.regions.min(voters.regions().len()),
            recalled: &[],
            relied: None,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Hears these as well, of whom only those without a vote count: what voters say must be signed.
    pub fn watched_by(mut self, others: impl IntoIterator<Item = Witness<'a>>) -> Self {
        let mut heard = self.heard.take().unwrap_or_default();
        for witness in others {
            heard.seat(witness);
            if self.voters.by_agent(witness.agent).is_none() {
                self.observers.seat(witness);
            }
        }
        Self { heard: Some(heard), ..self }
    }

    /// Is for this agent, which believes that.
    pub fn owned_by(self, agent: &'a AgentId, beliefs: Vec<Belief>) -> Self {
        Self { own: Some((agent, beliefs)), ..self }
    }

    /// The mesh has closed the databases of this stack, or may have: that nobody reaches them is its own doing, and no
    /// evidence (PROTOCOL.md 0.1 c).
    pub fn behind_fence(self, stack: &'a StackId) -> Self {
        Self { fenced: Some(stack), ..self }
    }

    /// Goes by what a decision in progress knew, where no witness has seen a primary: all agents may have been restarted
    /// since it died.
    pub fn recalling(self, candidates: &'a [Candidate]) -> Self {
        Self { recalled: candidates, ..self }
    }

    /// Goes by what is agreed of whom primaries wait for.
    pub fn relying(self, sync: &'a SyncSet) -> Self {
        Self { relied: Some(sync), ..self }
    }

    /// The panel of a certificate: who has no vote is not in it, and is not needed for it.
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
            said: Duration::ZERO,
        });
        Self { heard: None, ..Self::new(definition, voters, witnesses) }
    }

    /// Breaks this rule.
    #[cfg(feature = "mutants")]
    pub fn bend(&mut self, mutant: Option<Mutant>) {
        self.mutant = mutant;
        match mutant {
            Some(Mutant::MajorityOfReporting) => self.count_only_reporting(),
            Some(Mutant::OneRegion) => self.regions = 1,
            Some(Mutant::ContestIgnored) => self.observers = Bench::default(),
            _ => {}
        }
    }

    /// Breaks rule 1: voters' words count without having been asked for and signed.
    #[cfg(feature = "mutants")]
    pub fn taking_for_evidence(mut self, others: impl IntoIterator<Item = Witness<'a>>) -> Self {
        let before: BTreeSet<&AgentId> = self.witnesses.iter().map(|it| it.agent).collect();
        let voting = others.into_iter().filter(|it| self.voters.by_agent(it.agent).is_some());
        for witness in voting.filter(|it| !before.contains(it.agent)) {
            self.witnesses.seat(witness);
        }
        self
    }

    #[cfg(feature = "mutants")]
    pub(super) fn broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Breaks rule 9: a majority of those who answered is enough.
    #[cfg(feature = "mutants")]
    fn count_only_reporting(&mut self) {
        self.enough = Some(self.healthy().count() / 2 + 1);
    }

    /// Voters whose word counts.
    pub(super) fn healthy(&self) -> impl Iterator<Item = &Witness<'a>> {
        #[cfg(feature = "mutants")]
        let all = self.broken(Mutant::AbstainersCount);
        #[cfg(not(feature = "mutants"))]
        let all = false;
        self.witnesses.iter().filter(move |witness| all || witness.abstention.is_none())
    }

    /// Observers that are sound, though they have no vote.
    pub(super) fn sound_observers(&self) -> impl Iterator<Item = &Witness<'a>> {
        self.observers.iter().filter(|it| {
            matches!(it.abstention, None | Some(Abstention::Observer | Abstention::StandingBy))
        })
    }

    /// Are these more than half of all voters?
    pub(super) fn majority(&self, agents: &[AgentId]) -> bool {
        match self.enough {
            Some(enough) => agents.len() >= enough,
            None => self.voters.majority_where(|voter| agents.contains(&voter.agent)),
        }
    }

    /// The same of those of sound mind that this says yes to, for what is asked all the time.
    pub(super) fn most(&self, yes: impl Fn(&Witness<'a>) -> bool) -> bool {
        match self.enough {
            Some(enough) => self.healthy().filter(|it| yes(it)).count() >= enough,
            None => self.voters.majority_where(|voter| {
                self.healthy().find(|it| *it.agent == voter.agent).is_some_and(&yes)
            }),
        }
    }

    /// How many voters there are, and how many of them are needed: for words.
    pub(super) fn numbers(&self) -> (usize, usize) {
        (self.voters.agents().len(), self.enough.unwrap_or_else(|| self.voters.needed()))
    }

    /// How the voters stand on one aspect of one stack; `None` where the stack has no such targets. Of several databases
    /// the worst counts: voters that each see another one down agree on nothing.
    pub fn count(&self, stack: &StackId, aspect: Aspect) -> Option<Count> {
        let stack = self.definition.stack(stack)?;
        let all: Vec<_> = names(self.definition, stack, aspect).collect();
        if all.is_empty() {
            return None;
        }
        let up = self.saying(stack, &all, aspect, Health::Up);
        let up: Vec<_> = up.map(|it| it.agent.clone()).collect();
        let groups: Vec<&[&TargetName]> = match aspect {
            Aspect::Web => vec![&all],
            Aspect::Data => all.chunks(1).collect(),
        };
        let contested = self.contested(stack, &all, aspect);
        let counts = groups.into_iter().map(|targets| {
            let down: Vec<_> = self.saying(stack, targets, aspect, Health::Down).collect();
            let regions = down.iter().map(|it| it.region).collect::<BTreeSet<_>>().len();
            let down: Vec<_> = down.into_iter().map(|it| it.agent.clone()).collect();
            let verdict = match self.verdict(&down, regions, &up) {
                Verdict::Down if contested.is_some() => Verdict::Contested,
                verdict => verdict,
            };
            Count { down, up: up.clone(), regions, contested: contested.clone(), verdict }
        });
        counts.max_by_key(|count| (count.verdict == Verdict::Down, count.down.len()))
    }

    /// The witnesses whose word counts that say this of some targets of a stack.
    pub(super) fn saying(
        &self,
        stack: &Stack,
        targets: &[&TargetName],
        aspect: Aspect,
        health: Health,
    ) -> impl Iterator<Item = &Witness<'a>> {
        self.healthy().filter(move |witness| self.word(witness, stack, targets, aspect) == health)
    }

    /// Do so many observers reach this that voters who do not are rather in the wrong place? Blocks, and nothing else.
    fn contested(&self, stack: &Stack, all: &[&TargetName], aspect: Aspect) -> Option<String> {
        let of = self.sound_observers().count();
        let reaching = |it: &&Witness<'a>| self.word(it, stack, all, aspect) == Health::Up;
        let reaching: Vec<_> = self.sound_observers().filter(reaching).collect();
        let regions = reaching.iter().map(|it| it.region).collect::<BTreeSet<_>>().len();
        let crowd = of >= OBSERVERS && reaching.len() * REACHING > of;
        (crowd && regions >= REACHING_REGIONS).then(|| {
            format!("{} of {of} observers, in {regions} regions, reach it", reaching.len())
        })
    }

    /// The counts of both halves of a stack: of its web and of its data.
    pub fn halves(&self, stack: &StackId) -> [Option<Count>; 2] {
        [self.count(stack, Aspect::Web), self.count(stack, Aspect::Data)]
    }

    /// The counts that decide about a stack: of what its app goes by.
    pub fn deciding(&self, stack: &StackId) -> [Option<Count>; 2] {
        let [web, data] = self.halves(stack);
        match (web, data) {
            (web, data) if self.definition.has_databases() => [web, data],
            (Some(web), _) => [Some(web), None],
            (None, data) => [None, data],
        }
    }

    /// What the rule makes of some targets of a stack, taken together.
    pub(super) fn verdict_on(
        &self,
        stack: &Stack,
        targets: &[&TargetName],
        aspect: Aspect,
    ) -> Verdict {
        let up = self.saying(stack, targets, aspect, Health::Up);
        let up: Vec<_> = up.map(|it| it.agent.clone()).collect();
        let down: Vec<_> = self.saying(stack, targets, aspect, Health::Down).collect();
        let regions = down.iter().map(|it| it.region).collect::<BTreeSet<_>>().len();
        let down: Vec<_> = down.into_iter().map(|it| it.agent.clone()).collect();
        self.verdict(&down, regions, &up)
    }

    /// Asymmetric on purpose: up by a few blocks, down by a minority does nothing (PROTOCOL.md B.5, after Route 53).
    fn verdict(&self, down: &[AgentId], regions: usize, up: &[AgentId]) -> Verdict {
        let blocked = self.voters.blocked_where(|voter| up.contains(&voter.agent));
        match (self.majority(down), regions >= self.regions, blocked) {
            (true, true, false) => Verdict::Down,
            (true, _, _) => Verdict::Contested,
            (false, _, _) => Verdict::Standing,
        }
    }

    /// The region-weighted share of voters, of those whose word counts, that see all of a stack up. A stack's own guards
    /// look at it from its own hosts, and do not tell whether others reach it.
    pub fn reach(&self, stack: &StackId) -> f64 {
        self.share(stack, self.healthy())
    }

    /// The same of everybody who votes or watches. Who never reached anything of a stack has no way to it, and does not
    /// tell whether others have.
    pub fn reach_of_all(&self, stack: &StackId) -> f64 {
        let knows = |it: &&Witness<'a>| {
            let of_stack = |belief: &&Belief| {
                belief.target.stack == *stack && belief.target.app == self.definition.name
            };
            it.beliefs.iter().filter(of_stack).any(|belief| belief.reached)
        };
        self.share(stack, self.healthy().chain(self.sound_observers().filter(knows)))
    }

    fn share<'b>(&self, stack: &StackId, witnesses: impl Iterator<Item = &'b Witness<'a>>) -> f64
    where
        'a: 'b,
    {
        let Some(stack) = self.definition.stack(stack) else { return 0.0 };
        let aspects: Vec<(Aspect, Vec<&TargetName>)> = self
            .aspects(stack)
            .map(|aspect| (aspect, names(self.definition, stack, aspect).collect::<Vec<_>>()))
            .filter(|(_, targets)| !targets.is_empty())
            .collect();
        let mut regions: BTreeMap<&Region, (usize, usize)> = BTreeMap::new();
        // Whoever sits on its host has no way to it that says anything of others'.
        let guards = self.definition.guards(&stack.name);
        for witness in witnesses.filter(|witness| !guards.contains(witness.agent)) {
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

    /// The targets of a stack that fewer than a majority have a way to, in words: nobody can judge those down (0.1 l). Who
    /// was not heard is taken to have one.
    pub fn out_of_sight(&self, stack: &StackId) -> Vec<String> {
        let Some(stack) = self.definition.stack(stack) else { return Vec::new() };
        let (n, needed) = self.numbers();
        let names = self.aspects(stack).flat_map(|aspect| names(self.definition, stack, aspect));
        let judged = names.filter_map(|name| {
            let blind = |witness: &&Witness<'a>| {
                belief(witness, self.definition, &stack.name, name).is_some_and(|it| !it.reached)
            };
            let blind: Vec<&AgentId> =
                self.witnesses.iter().filter(blind).map(|witness| witness.agent).collect();
            if self.voters.majority_where(|voter| !blind.contains(&&voter.agent)) {
                return None;
            }
            let others = n.saturating_sub(blind.len());
            Some(format!("only {others} of {n} voters ever reached {name}, {needed} are needed"))
        });
        judged.collect()
    }

    /// What is not well about a stack that stands, in words: some see it neither up nor down, or not all reach it.
    pub fn condition(&self, stack: &StackId) -> Option<String> {
        let (n, _) = self.numbers();
        let counts = self.deciding(stack).into_iter().flatten();
        let halves = [Aspect::Web, Aspect::Data];
        let words = counts.zip(halves).filter_map(|(count, aspect)| {
            let what = if aspect == Aspect::Web { "web" } else { "data" };
            let (up, down) = (count.up.len(), count.down.len());
            let doubtful = self.healthy().count().saturating_sub(up + down);
            match (count.verdict, down, doubtful) {
                (Verdict::Down, ..) | (_, 0, 0) => None,
                (_, 0, _) => Some(format!("{what} is degraded for {doubtful} of {n} voters")),
                _ => Some(format!(
                    "{what} is reached in part: {up} of {n} voters see it up, {down} down"
                )),
            }
        });
        let words: Vec<_> = words.collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Which halves of a stack its app goes by.
    fn aspects(&self, stack: &Stack) -> impl Iterator<Item = Aspect> + use<> {
        let data = self.definition.has_databases() || stack.endpoints.is_empty();
        [Aspect::Web].into_iter().chain(data.then_some(Aspect::Data))
    }

    /// Every healthy witness's belief of one target.
    pub(super) fn beliefs<'s>(
        &'s self,
        target: &TargetId,
    ) -> impl Iterator<Item = &'a Belief> + use<'s, 'a> {
        self.told(target).map(|(belief, _)| belief)
    }

    /// The same, and how long ago each was said.
    fn told<'s>(
        &'s self,
        target: &TargetId,
    ) -> impl Iterator<Item = (&'a Belief, Duration)> + use<'s, 'a> {
        let target = target.clone();
        self.healthy().filter_map(move |witness| {
            let belief = witness.beliefs.iter().find(|belief| belief.target == target)?;
            Some((belief, witness.said))
        })
    }

    /// What the voters whose word counts hear of a database's guard.
    pub(super) fn guards<'s>(
        &'s self,
        stack: &StackId,
        name: &TargetName,
    ) -> impl Iterator<Item = (&'a AgentId, &'a GuardSight)> + use<'s, 'a> {
        let target = self.target(stack, name);
        self.healthy().filter_map(move |witness| {
            let belief = witness.beliefs.iter().find(|belief| belief.target == target)?;
            Some((witness.agent, belief.guard.as_ref()?))
        })
    }

    /// What a database last said of itself, to whoever of the witnesses asked last, and how long ago.
    pub(super) fn latest(
        &self,
        stack: &StackId,
        name: &TargetName,
    ) -> Option<(&'a DatabaseSight, Duration)> {
        let target = self.target(stack, name);
        let sight = |(belief, said): (&'a Belief, Duration)| {
            let (sight, age) = belief.database.as_ref()?;
            Some((sight, age.saturating_add(said)))
        };
        self.told(&target)
            .filter_map(sight)
            .min_by_key(|(sight, age)| (*age, u64::MAX - sight.position))
    }
}

fn names<'s>(
    definition: &'s Definition,
    stack: &'s Stack,
    aspect: Aspect,
) -> Box<dyn Iterator<Item = &'s TargetName> + 's> {
    match aspect {
        Aspect::Web => Box::new(definition.led_to(stack).map(|endpoint| &endpoint.name)),
        Aspect::Data => Box::new(stack.databases.iter().map(|database| &database.name)),
    }
}
