//! Where a store that elects its own primary has it, as far as the voters see: what DNS moves with (PROTOCOL.md rule 12).
//!
//! Whoever logs in to a member and hears it say that it is the primary, and of which election, has seen a *claim*. A primary
//! that was cut off from its set may claim for a while what it no longer is; so the highest election wins, and two claims
//! that no election tells apart, or of two sets, move nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::choice::{Choice, Path, nobody_sees_down};
use super::loss::in_seconds;
use super::panel::{Count, Panel, Witness};
use super::word::belief;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::model::{
    DatabaseSight, Health, Stack, StackId, TargetId, TargetName, Verdict, Warning, WarningKind,
};

/// A secondary that is further behind is warned of, where the app sets no bound in time.
const BEHIND: Duration = Duration::from_secs(30);

/// A secondary that is further behind than this is no heir, in seconds: whether one that is nearer catches up in time is for the
/// primary to say, which waits for it while it steps down, and not for long. A set that nobody writes to writes by itself every
/// ten seconds (`periodicNoopIntervalSecs`), and two looks at it are seconds apart: a member that lacks nothing seems up to two
/// such writes behind.
const CATCHES_UP: u64 = 30;

/// A database that says that it is the primary.
#[derive(Clone, Copy, Debug)]
struct Claim<'a> {
    stack: &'a StackId,
    sight: &'a DatabaseSight,
}

/// Where the primaries of an app are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The stack that holds all of them.
    pub stack: StackId,
    /// One line for people.
    pub reason: String,
    /// The elections they were made by, in the order of the databases' names.
    pub terms: Vec<u32>,
}

impl<'a> Panel<'a> {
    /// Where DNS is to move because the primary has. How the active stack's web is does not matter: clients of another find
    /// the primary where it is, and those of the active one have nothing to write to.
    pub(super) fn follow(
        &self,
        [web, _]: &[Option<Count>; 2],
        active: &StackId,
    ) -> Result<Choice, String> {
        let down = web.as_ref().filter(|web| web.verdict == Verdict::Down);
        match (self.leader(), down) {
            (Ok(leader), _) if leader.stack != *active => self.moved(leader, active),
            (Ok(_), Some(_)) => Err(format!(
                "the web of {active} is down, and the primary is there still: let it step down, and DNS follows"
            )),
            (Err(why), Some(_)) => Err(format!("the web of {active} is down, and {why}")),
            (Ok(_), None) => Err(match web.as_ref().filter(|web| !web.down.is_empty()) {
                Some(web) => self.standing(active, web),
                None => nobody_sees_down(active),
            }),
            (Err(why), None) => Err(why),
        }
    }

    /// The same because a person asks for it: not before the primary is there.
    pub(super) fn follow_to(&self, active: &StackId, to: &StackId) -> Result<Choice, String> {
        let leader = self.leader()?;
        match leader.stack == *to {
            true => self.moved(leader, active),
            false => Err(format!("{}: let it step down, and DNS follows", leader.reason)),
        }
    }

    fn moved(&self, leader: Leader, active: &StackId) -> Result<Choice, String> {
        let unfit = self.unfit(&leader.stack, active, Path::Web, true);
        if !unfit.is_empty() {
            let (to, why, unfit) = (&leader.stack, &leader.reason, unfit.join(", "));
            return Err(format!("{why}, and {to} is not fit: {unfit}"));
        }
        Ok(Choice {
            to: leader.stack,
            path: Path::Web,
            candidates: Vec::new(),
            loss_bytes: None,
            loss_time: None,
            reason: leader.reason,
        })
    }

    /// The stack where a majority of all voters sees the primary of every database of the app, by the last election.
    ///
    /// # Errors
    /// Why that is not known, in words.
    pub fn leader(&self) -> Result<Leader, String> {
        let mut found: Option<Leader> = None;
        for name in self.followed() {
            let (stack, term, reason) = self.leader_of(name)?;
            match &mut found {
                None => found = Some(Leader { stack: stack.clone(), reason, terms: vec![term] }),
                Some(leader) if leader.stack == *stack => leader.terms.push(term),
                Some(leader) => {
                    return Err(format!(
                        "{}, and {reason}: they move together or not at all",
                        leader.reason
                    ));
                }
            }
        }
        found.ok_or_else(|| "it has no database that chooses its own place".to_owned())
    }

    fn leader_of(&self, name: &TargetName) -> Result<(&'a StackId, u32, String), String> {
        let claims = self.all_claims(name);
        let last = claims.iter().max_by_key(|claim| claim.sight.timeline);
        let last = last.ok_or_else(|| format!("nobody sees a primary of {name}"))?;
        let (term, system) = (last.sight.timeline, last.sight.system);
        if let Some(other) = claims.iter().find(|claim| claim.sight.system != system) {
            let (one, other) = (last.stack, other.stack);
            return Err(format!("{name} has a primary at {one} and one of another set at {other}"));
        }
        let rivals = claims.iter().filter(|claim| claim.sight.timeline == term);
        let rivals: BTreeSet<&StackId> = rivals.map(|claim| claim.stack).collect();
        if rivals.len() > 1 && !self.heeds_rivals() {
            let rivals: Vec<_> = rivals.into_iter().map(ToString::to_string).collect();
            return Err(format!(
                "{} both claim to be the primary of {name} by election {term}",
                rivals.join(" and ")
            ));
        }
        let sees = |it: &&Witness<'a>| {
            let own = self.claims(it, name).max_by_key(|claim| claim.sight.timeline);
            own.is_some_and(|own| (own.stack, own.sight.timeline) == (last.stack, term))
        };
        let seeing: Vec<_> = self.healthy().filter(sees).map(|it| it.agent.clone()).collect();
        let (n, needed) = self.numbers();
        let words = format!(
            "the primary of {name} is at {} by election {term} for {} of {n} voters",
            last.stack,
            seeing.len()
        );
        match self.majority(&seeing) || self.heeds_one() {
            true => Ok((last.stack, term, words)),
            false => Err(format!("{words}, {needed} are needed")),
        }
    }

    fn all_claims(&self, name: &TargetName) -> Vec<Claim<'a>> {
        let of_voters = self.healthy().flat_map(|it| self.claims(it, name));
        let of_observers = self.sound_observers().flat_map(|it| self.claims(it, name));
        of_voters.chain(of_observers).collect()
    }

    /// Could every set elect its primary at that stack, and could DNS follow it there? A majority of all voters must see a
    /// member that is well, electable, and hardly behind.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn heir(&self, active: &StackId, to: &StackId) -> Result<(), String> {
        let unfit = self.unfit(to, active, Path::Web, true);
        if !unfit.is_empty() {
            return Err(format!("{to} is not fit: {}", unfit.join(", ")));
        }
        let window = self.definition.probe.window;
        for name in self.followed() {
            let claims = self.all_claims(name);
            let last = claims.iter().max_by_key(|claim| claim.sight.timeline);
            let primary = last.ok_or_else(|| format!("nobody sees a primary of {name}"))?.sight;
            let able = |it: &&Witness<'a>| {
                let belief = belief(it, self.definition, to, name);
                let well = belief.filter(|belief| belief.health == Health::Up);
                let sight = well.and_then(|belief| belief.database.as_ref());
                sight.is_some_and(|(sight, age)| {
                    let behind = (primary.position >> 32).saturating_sub(sight.position >> 32);
                    let electable = sight.replica && sight.upstream_name.is_some();
                    let follows = sight.streaming && sight.system == primary.system;
                    *age <= window && electable && follows && behind <= CATCHES_UP
                })
            };
            let seeing: Vec<_> = self.healthy().filter(able).map(|it| it.agent.clone()).collect();
            if !self.majority(&seeing) && !self.heeds_no_heir() {
                let (seeing, (n, needed)) = (seeing.len(), self.numbers());
                return Err(format!(
                    "{to} has a member of {name} that could be elected now for {seeing} of {n} voters, {needed} are needed"
                ));
            }
        }
        Ok(())
    }

    /// What one witness saw just now.
    fn claims<'s>(
        &'s self,
        witness: &'s Witness<'a>,
        name: &'s TargetName,
    ) -> impl Iterator<Item = Claim<'a>> + use<'s, 'a> {
        let window = self.definition.probe.window;
        self.definition.stacks.iter().filter_map(move |stack: &'a Stack| {
            let belief = belief(witness, self.definition, &stack.name, name)?;
            let (sight, age) = belief.database.as_ref()?;
            let claims = belief.health == Health::Up && *age <= window && !sight.replica;
            claims.then_some(Claim { stack: &stack.name, sight })
        })
    }

    /// Does anybody whose word counts see a primary elsewhere than there, by an election that is not older than these?
    pub fn led_elsewhere(&self, leader: &Leader) -> bool {
        let mut pairs = self.followed().zip(&leader.terms);
        pairs.any(|(name, term)| {
            let mut claims = self.healthy().flat_map(|it| self.claims(it, name));
            let rival = |it: u32| *term < it || (*term == it && !self.heeds_rivals());
            claims.any(|it| *it.stack != leader.stack && rival(it.sight.timeline))
        })
    }

    /// The names of the databases that choose their own place, each once.
    fn followed(&self) -> impl Iterator<Item = &'a TargetName> + use<'a> {
        let databases = self.definition.stacks.iter().flat_map(|stack| &stack.databases);
        let followed = databases.filter(|it| it.engine.is_followed()).map(|it| &it.name);
        followed.collect::<BTreeSet<_>>().into_iter()
    }

    fn heeds_one(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::FollowsOneSight);
        #[cfg(not(feature = "mutants"))]
        false
    }

    fn heeds_no_heir(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::HeirUnseen);
        #[cfg(not(feature = "mutants"))]
        false
    }

    fn heeds_rivals(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::RivalFollowed);
        #[cfg(not(feature = "mutants"))]
        false
    }

    /// What is not as it should be with one database of a set.
    pub(super) fn warnings_of_follower(
        &self,
        id: &TargetId,
        sight: &DatabaseSight,
    ) -> Vec<Warning> {
        let warning = |kind, text| vec![Warning { target: id.clone(), kind, text }];
        let claims: Vec<_> = self.healthy().flat_map(|it| self.claims(it, &id.name)).collect();
        let Some(primary) = claims.iter().max_by_key(|claim| claim.sight.timeline) else {
            let text = "has no primary in its set that anybody sees: nothing takes writes";
            return warning(WarningKind::OutOfSync, text.to_owned());
        };
        let at = primary.stack;
        if *at == id.stack {
            return Vec::new();
        }
        let primary = primary.sight;
        // Positions hold seconds of the set's clock in their upper half.
        let behind = (primary.position >> 32).saturating_sub(sight.position >> 32);
        let behind = Duration::from_secs(behind);
        let most = self.definition.data.max_loss_time.unwrap_or(BEHIND);
        if sight.system != primary.system {
            let text = format!("is a member of another set than the primary at {at}");
            warning(WarningKind::WrongUpstream, text)
        } else if !sight.replica {
            let (own, last) = (sight.timeline, primary.timeline);
            let text = format!("claims to be the primary by election {own}, beside {at} by {last}");
            warning(WarningKind::WrongUpstream, text)
        } else if most < behind {
            let (behind, most) = (in_seconds(behind), in_seconds(most));
            let text = format!("is {behind} s behind the primary at {at}, {most} s may be lost");
            warning(WarningKind::Lag, text)
        } else if !sight.streaming {
            let text = format!("receives nothing of what the primary at {at} writes");
            warning(WarningKind::OutOfSync, text)
        } else {
            Vec::new()
        }
    }
}
