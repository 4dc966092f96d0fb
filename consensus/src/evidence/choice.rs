//! Whether to move, and where to: the last line of PROTOCOL.md B.5, evaluated alike by proposer and acceptors.

use std::collections::BTreeSet;
use std::time::Duration;

use super::loss::most_received;
use super::panel::{Aspect, Count, Panel, Witness};
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::model::{
    AgentId, Belief, Candidate, Database, DatabaseSight, Fencing, GuardSight, Health, Stack,
    StackId, TargetId, TargetName, Verdict,
};

/// A standby is better only if nearly everybody reaches it, and far more than reach the active stack.
const REACH: f64 = 0.9;
const REACH_AHEAD: f64 = 0.4;
/// A guard that was last heard longer ago than this may be gone.
const GUARD_HEARD_WITHIN: Duration = Duration::from_secs(5);

/// Why a stack is left alone most of the time, in words.
pub fn nobody_sees_down(stack: &StackId) -> String {
    format!("{stack} stands: nobody whose word counts sees it down")
}

/// A move that the rule allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The stack to move to.
    pub to: StackId,
    /// What has to be done.
    pub path: Path,
    /// The databases to promote.
    pub candidates: Vec<Candidate>,
    /// The bytes of log known to be left behind.
    pub loss_bytes: Option<u64>,
    /// For how long those had been written, where that is known.
    pub loss_time: Option<Duration>,
    /// One line for people.
    pub reason: String,
}

/// What has to be done for a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// DNS alone moves.
    Web,
    /// Databases are fenced and promoted first.
    Data,
}

impl Panel<'_> {
    /// What the mesh may do by itself about its active stack.
    ///
    /// # Errors
    /// Why nothing may be done, in words.
    pub fn failover(&self, active: &StackId) -> Result<Choice, String> {
        self.failover_by(&self.halves(active), active)
    }

    /// The same, by counts of the active stack that were made already.
    ///
    /// # Errors
    /// Why nothing may be done, in words.
    pub fn failover_by(
        &self,
        halves: &[Option<Count>; 2],
        active: &StackId,
    ) -> Result<Choice, String> {
        let others = || self.definition.stacks.iter().filter(|stack| stack.name != *active);
        if others().next().is_none() {
            return Err("there is no other stack".to_owned());
        }
        if self.definition.follows() {
            return self.follow(halves, active);
        }
        let cause = self.cause(halves, active)?;
        let judged = others().map(|stack| self.move_for(cause.clone(), active, &stack.name));
        most_received(judged).map_err(|mut reasons| {
            reasons.dedup();
            reasons.join("; ")
        })
    }

    /// May the mesh by itself move from `active` to `to`?
    ///
    /// # Errors
    /// Why not, in words.
    pub fn failover_to(&self, active: &StackId, to: &StackId) -> Result<Choice, String> {
        if self.definition.follows() {
            let choice = self.follow(&self.halves(active), active)?;
            let there = choice.to == *to;
            return there.then_some(choice).ok_or_else(|| format!("nothing is led from {to}"));
        }
        self.move_for(self.cause(&self.halves(active), active)?, active, to)
    }

    fn move_for(
        &self,
        (path, reason): (Path, String),
        active: &StackId,
        to: &StackId,
    ) -> Result<Choice, String> {
        let unfit = self.unfit(to, active, path, true);
        if !unfit.is_empty() {
            return Err(format!("{to} is not fit: {}", unfit.join(", ")));
        }
        self.better(to, active)?;
        let (candidates, loss_bytes, loss_time) = self.promotion(active, to, path);
        Ok(Choice { to: to.clone(), path, candidates, loss_bytes, loss_time, reason })
    }

    /// May an operator move there, and what has to be done? Health of the active stack is not asked; fitness is, and
    /// the loss budget unless `accept_loss`.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn operator(
        &self,
        active: &StackId,
        to: &StackId,
        accept_loss: bool,
    ) -> Result<Choice, String> {
        if self.definition.follows() {
            return self.follow_to(active, to);
        }
        let path = if self.definition.has_databases() { Path::Data } else { Path::Web };
        let unfit = self.unfit(to, active, path, !accept_loss);
        if !unfit.is_empty() {
            return Err(format!("{to} is not fit: {}", unfit.join(", ")));
        }
        let (candidates, loss_bytes, loss_time) = self.promotion(active, to, path);
        let reason = String::new();
        Ok(Choice { to: to.clone(), path, candidates, loss_bytes, loss_time, reason })
    }

    /// Does far more of the world reach this stack than the active one, for the voters alone and for all who watch?
    fn better(&self, to: &StackId, active: &StackId) -> Result<(), String> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::WorseStandby) {
            return Ok(());
        }
        let voters = (self.reach(to), self.reach(active));
        let all = (self.reach_of_all(to), self.reach_of_all(active));
        for ((there, here), who) in [(voters, ""), (all, " of all who watch")] {
            if there < REACH || there - here < REACH_AHEAD {
                let percent = |share: f64| (share * 100.0).round();
                return Err(format!(
                    "{to} is not better: {} %{who} reach it, {} % reach {active}",
                    percent(there),
                    percent(here)
                ));
            }
        }
        Ok(())
    }

    /// Is the active stack down, and what must move because of it?
    fn cause(
        &self,
        [web, data]: &[Option<Count>; 2],
        active: &StackId,
    ) -> Result<(Path, String), String> {
        let (n, _) = self.numbers();
        let verdict = |count: &Option<Count>| count.as_ref().map(|count| count.verdict);
        let words = |what: &str, count: &Count| {
            format!(
                "{what} of {active} down for {} of {n} voters in {} regions",
                count.down.len(),
                count.regions
            )
        };
        if !self.definition.has_databases() {
            let count = web.as_ref().or(data.as_ref()).ok_or("nothing of it is watched")?;
            return match count.verdict {
                Verdict::Down => Ok((Path::Web, words("web", count))),
                _ => Err(self.standing(active, count)),
            };
        }
        let data = data.as_ref().ok_or("nothing of its data is watched")?;
        match (verdict(web), data.verdict) {
            (_, Verdict::Down) => match (self.streaming(active), self.vouched(active)) {
                (Some(replica), _) => Err(format!(
                    "{replica} still streams from {active}: the mesh is blind, not the stack dead"
                )),
                (None, Some(why)) => Err(why),
                (None, None) => Ok((
                    Path::Data,
                    match self.left_by_its_guard(active) {
                        Some(name) => format!(
                            "{}: it is up, but the guard of {name} is silent, and so its door is shut",
                            words("database", data)
                        ),
                        None => words("database", data),
                    },
                )),
            },
            (Some(Verdict::Down), _) if self.majority(&data.up) => {
                Ok((Path::Data, words("web", web.as_ref().expect("it has a verdict"))))
            }
            (Some(Verdict::Down), _) => Err(format!(
                "the web of {active} is down, and its database is neither down nor up for a majority: {} down, {} up of {n}",
                data.down.len(),
                data.up.len()
            )),
            _ => Err(self
                .standing(active, web.as_ref().filter(|web| !web.down.is_empty()).unwrap_or(data))),
        }
    }

    /// Why a count does not suffice, in words.
    pub(super) fn standing(&self, stack: &StackId, count: &Count) -> String {
        let ((n, needed), down, up) = (self.numbers(), count.down.len(), count.up.len());
        if let (false, Some(why)) = (self.majority(&count.down), self.out_of_sight(stack).first()) {
            return format!("{stack} is never judged down: {why}");
        }
        if down == 0 {
            return nobody_sees_down(stack);
        }
        if !self.majority(&count.down) {
            return format!(
                "{stack} stands: {down} of {n} voters see it down, {needed} are needed"
            );
        }
        if count.regions < self.regions {
            return format!(
                "{stack} is contested: seen down in {} of {} regions needed",
                count.regions, self.regions
            );
        }
        match &count.contested {
            Some(why) => {
                format!("{stack} is contested: {down} of {n} voters see it down, and {why}")
            }
            None => {
                format!("{stack} is contested: {down} of {n} voters see it down, {up} see it up")
            }
        }
    }

    /// The databases of a stack that a majority sees down: the replicas and the guard of each are heard against that, and
    /// nobody else's (PROTOCOL.md B.5). One at least, where its data are judged down.
    fn fallen(&self, active: &StackId) -> Vec<&TargetName> {
        let Some(stack) = self.definition.stack(active) else { return Vec::new() };
        let down = |name: &&TargetName| {
            let of_it = [*name];
            let saying = self.saying(stack, &of_it, Aspect::Data, Health::Down);
            self.majority(&saying.map(|it| it.agent.clone()).collect::<Vec<_>>())
        };
        stack.databases.iter().map(|database| &database.name).filter(down).collect()
    }

    /// A replica, elsewhere, that still receives from a database of this stack that is seen down: the veto (Orchestrator's
    /// "UnreachableMaster").
    fn streaming(&self, active: &StackId) -> Option<TargetId> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::VetoIgnored) {
            return None;
        }
        let fallen = self.fallen(active);
        let elsewhere = self
            .definition
            .targets()
            .filter(|(target, _)| target.stack != *active && fallen.contains(&&target.name));
        elsewhere.map(|(target, _)| target).find(|target| {
            self.beliefs(target).any(|belief| belief.advancing && belief.health == Health::Up)
                && !self.closed(active, &target.name)
        })
    }

    /// Has the guard of a primary fallen silent, and has every lease of it run out, also one by the candidates' word? Then it
    /// takes no writes, whoever it may still feed: a closed primary must not veto its own replacement (PROTOCOL.md 0.1 b).
    fn closed(&self, active: &StackId, name: &TargetName) -> bool {
        let window = self.definition.probe.window;
        let mut guards = self.guards(active, name).peekable();
        guards.peek().is_some()
            && guards.all(|(_, guard)| guard.heard > window && !guard.open)
            && !self.held_open(&self.target(active, name))
    }

    /// Does a majority hear, on links of its own, a guard that says its database is well? Then the way to it is broken, and
    /// not the database (pg_auto_failover's keeper).
    fn vouched(&self, active: &StackId) -> Option<String> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::GuardVetoIgnored) {
            return None;
        }
        let window = self.definition.probe.window;
        self.fallen(active).into_iter().find_map(|name| {
            let well = |guard: &GuardSight| guard.heard <= window && guard.health == Health::Up;
            let guards = self.guards(active, name);
            let hearing: Vec<_> =
                guards.filter(|(_, it)| well(it)).map(|(agent, _)| agent.clone()).collect();
            self.majority(&hearing).then(|| {
                format!(
                    "the guard of {} says that it is well, to {} of {} voters: the way there is broken, not the database",
                    name,
                    hearing.len(),
                    self.numbers().0
                )
            })
        })
    }

    /// Why this stack could not be moved to; empty if it could.
    pub fn unfit(
        &self,
        to: &StackId,
        active: &StackId,
        path: Path,
        within_budget: bool,
    ) -> Vec<String> {
        let Some(stack) = self.definition.stack(to) else {
            return vec!["it is not defined".into()];
        };
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::UnfitStandby) {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        let believed = |targets: &[TargetId], what: &dyn Fn(&Belief) -> bool| {
            let does = |witness: &&Witness<'_>| {
                let mut beliefs = witness.beliefs.iter();
                beliefs.any(|belief| targets.contains(&belief.target) && what(belief))
            };
            self.healthy().filter(does).map(|it| it.agent.clone()).collect::<Vec<_>>()
        };
        let (n, needed) = self.numbers();
        let mut require = |what: String, targets: Vec<TargetId>| {
            let qualified = |it: &Belief| it.qualified && it.health == Health::Up;
            let seen = believed(&targets, &qualified);
            if self.majority(&seen) {
                return;
            }
            let flaps = match believed(&targets, &|it| it.flapping).len() {
                0 => String::new(),
                flapping => format!(", it comes and goes for {flapping}"),
            };
            reasons.push(format!(
                "{what} long enough up for {} of {n} voters, {needed} are needed{flaps}",
                seen.len()
            ));
        };
        if !stack.endpoints.is_empty() {
            let endpoints = self.definition.led_to(stack);
            require("web".into(), endpoints.map(|it| self.target(to, &it.name)).collect());
        }
        if path == Path::Data {
            for database in &stack.databases {
                require(database.name.to_string(), vec![self.target(to, &database.name)]);
            }
            reasons.extend(self.unfit_data(stack, active, within_budget));
        }
        reasons
    }

    fn unfit_data(&self, stack: &Stack, active: &StackId, within_budget: bool) -> Vec<String> {
        if self.definition.data.fencing == Fencing::Required && !self.definition.is_guarded(active)
        {
            return vec![
                "no guard proves that the old primary is fenced, and `fencing` is `required`"
                    .into(),
            ];
        }
        let judge = |name: &TargetName| -> Result<(), String> {
            let (standby, standby_age) =
                self.latest(&stack.name, name).ok_or(format!("{name} was never seen"))?;
            let (primary, age) = match (self.latest(active, name), self.recalled(name)) {
                (Some(primary), _) => primary,
                (None, Some(candidate)) => return self.is_still(standby, candidate),
                (None, None) => return Err(format!("the primary of {name} was never seen")),
            };
            self.follows(name, standby, primary)?;
            if within_budget {
                self.within_budget(&stack.name, name, (standby, standby_age), (primary, age))
            } else {
                Ok(())
            }
        };
        let databases = stack.databases.iter();
        databases
            .flat_map(|database| [judge(&database.name), self.guard_heard(stack, active, database)])
            .filter_map(Result::err)
            .collect()
    }

    /// A database whose guard is silent would take no writes. Whoever misses the old guard must have heard this one well after
    /// it: behind one cut with it, it is silent as long, and may be what holds the old door open (PROTOCOL.md C.3).
    fn guard_heard(
        &self,
        stack: &Stack,
        active: &StackId,
        database: &Database,
    ) -> Result<(), String> {
        let Some(guard) = &database.guard else { return Ok(()) };
        let window = self.definition.probe.window;
        let heard = |witness: &Witness<'_>, stack: &StackId| {
            let target = self.target(stack, &database.name);
            let belief = witness.beliefs.iter().find(|belief| belief.target == target)?;
            belief.guard.as_ref().map(|guard| guard.heard)
        };
        let hears = |witness: &&Witness<'_>| {
            let missed = heard(witness, active).filter(|it| *it > window);
            let within = missed.map_or(GUARD_HEARD_WITHIN, |it| GUARD_HEARD_WITHIN.min(it / 2));
            heard(witness, &stack.name).is_some_and(|it| it <= within)
        };
        let hearing: BTreeSet<AgentId> =
            self.healthy().filter(hears).map(|witness| witness.agent.clone()).collect();
        let name = &database.name;
        if !self.voters.majority_of(&hearing) {
            let (hearing, all) = (hearing.len(), self.voters.agents().len());
            return Err(format!(
                "the guard of {name}, {guard}, is heard by {hearing} of {all} voters"
            ));
        }
        let silent = self.healthy().filter_map(|witness| heard(witness, active));
        let silent = silent.filter(|it| *it > window).min();
        match silent.is_some_and(|silent| self.may_live_by(guard, (active, name), silent)) {
            true => Err(format!(
                "the guard of {name}, {guard}, has not said that {active} does not live by its word"
            )),
            false => Ok(()),
        }
    }

    /// A database that is left for nothing but the silence of its guard may have the word of this one, who is heard again, maybe,
    /// after the same cut: to be heard is not to have said. A certificate alone cannot tell, for this one may have no vote.
    fn may_live_by(
        &self,
        guard: &AgentId,
        (active, name): (&StackId, &TargetName),
        silent: Duration,
    ) -> bool {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::WordNotAwaited) || self.broken(Mutant::FailsafeOverlooked) {
            return false;
        }
        let Some(heard) = &self.heard else { return false };
        if self.fenced == Some(active) || !self.fallen(active).contains(&name) {
            return false;
        }
        let target = self.target(active, name);
        let is_down = |belief: &Belief| {
            belief.target == target && belief.reached && belief.health == Health::Down
        };
        let down = self.healthy().filter(|it| it.beliefs.iter().any(is_down));
        if self.majority(&down.map(|it| it.agent.clone()).collect::<Vec<_>>()) {
            return false;
        }
        let denies = |belief: &Belief| {
            belief.target == target && belief.guard.as_ref().is_some_and(|it| !it.open)
        };
        let all = heard.iter().chain(self.witnesses.iter());
        let mut said = all.filter(|it| it.agent == guard && it.said < silent);
        let mut known = self.own.iter().filter(|(agent, _)| *agent == guard);
        !said.any(|it| it.beliefs.iter().any(denies))
            && !known.any(|(_, beliefs)| beliefs.iter().any(denies))
    }

    fn recalled(&self, name: &TargetName) -> Option<&Candidate> {
        self.recalled.iter().find(|candidate| candidate.name == *name)
    }

    /// Is a standby at least what it was when it was chosen? Its loss was judged then.
    fn is_still(&self, standby: &DatabaseSight, candidate: &Candidate) -> Result<(), String> {
        let same = (standby.system, standby.timeline) == (candidate.system, candidate.timeline);
        match standby.replica && same && standby.position >= candidate.position {
            true => Ok(()),
            false => Err(format!("{} is no longer what it was when it was chosen", candidate.name)),
        }
    }

    fn follows(
        &self,
        name: &TargetName,
        standby: &DatabaseSight,
        primary: &DatabaseSight,
    ) -> Result<(), String> {
        if primary.replica {
            return Err(format!("{name} of the active stack is no primary"));
        }
        if !standby.replica {
            return Err(format!("{name} is no replica"));
        }
        if standby.system != primary.system {
            return Err(format!("{name} belongs to another history than its primary"));
        }
        if standby.timeline != primary.timeline {
            return Err(format!(
                "{name} is on timeline {}, its primary on {}",
                standby.timeline, primary.timeline
            ));
        }
        Ok(())
    }

    pub(super) fn target(&self, stack: &StackId, name: &TargetName) -> TargetId {
        TargetId { app: self.definition.name.clone(), stack: stack.clone(), name: name.clone() }
    }
}
