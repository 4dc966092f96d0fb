//! Endpoints that are followed: every agent asks the sources, looks at what they name, and votes by what it found itself.
//!
//! A place that a source names is looked at for a while before anything is agreed. Once it answers, whoever finds so proposes
//! the definition anew with that place in it, in an epoch of its own; a voter accepts only what its own source tells and
//! its own looks find well, so that an agent with a poisoned cache moves nothing. A source that fails, or tells of nothing, leaves
//! the last agreed places standing; one whose answers come and go is followed in steps, seconds apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::intent::Intent;
use super::stir::Stir;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::chain::{self, at_rest};
use crate::message::{Beliefs, Refusal};
use crate::model::{
    AppId, AppState, Certainty, DecisionKind, Definition, Endpoint, FOLLOWED_LIMIT, Following,
    Found, Health, Mode, Phase, Place, Sought, StackId, TARGET_LIMIT, TargetId, TargetName,
};
use crate::moment::Moment;
use crate::outbox::{Note, Output};
use crate::view::FollowingView;

/// A source is asked no more often than this, however short its answers may be believed.
const LEAST: Duration = Duration::from_secs(5);
/// And no less often than this, however long: so late is a new server noticed at most.
const MOST: Duration = Duration::from_secs(60);
/// Where the source does not say, and after it has failed.
const USUAL: Duration = Duration::from_secs(10);
/// How long asking may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Whoever was asked and never answered is asked again.
const UNANSWERED: Duration = Duration::from_secs(15);
/// An answer older than this says nothing: the source has failed twice since.
const FRESH: Duration = Duration::from_secs(150);
/// A place that is named no more and answers still is kept for so long: sources that name some of many would have us come
/// and go with every answer.
const GONE: Duration = Duration::from_secs(30);
/// Between two steps, so that a source that never rests does not fill the register with epochs.
const REST: Duration = Duration::from_secs(5);
/// The next in rank waits so much longer.
const RANK_STEP: Duration = Duration::from_secs(2);
/// What is refused is proposed again after this, and then after twice as long, up to four hours: whoever comes to find the same
/// proposes it without waiting, and each try that fails takes an epoch to take back.
const AGAIN: Duration = Duration::from_secs(60);
const DOUBLINGS: u32 = 8;

/// What one source last told this agent.
#[derive(Debug)]
struct Lookout {
    of: Following,
    /// When to ask.
    due: Moment,
    asked: Option<Moment>,
    /// What the last good answer named, and when that was.
    named: BTreeSet<Place>,
    answered: Option<Moment>,
    /// Agreed places that it does not name, and since when.
    missing: BTreeMap<Place, Moment>,
    /// Why it tells nothing, while it does not.
    why: Option<String>,
    failures: u64,
}

impl Lookout {
    fn new(of: &Following, now: Moment) -> Self {
        Self {
            of: of.clone(),
            due: now,
            asked: None,
            named: BTreeSet::new(),
            answered: None,
            missing: BTreeMap::new(),
            why: None,
            failures: 0,
        }
    }

    fn fresh(&self, now: Moment) -> bool {
        self.answered.is_some_and(|at| now.since(at) <= FRESH)
    }
}

/// Other places than the agreed ones, which this agent would have agreed.
#[derive(Debug)]
struct Wanted {
    what: String,
    since: Moment,
    tries: u32,
}

/// What this agent finds of an app's followed endpoints.
#[derive(Debug, Default)]
pub struct Lookouts {
    of: BTreeMap<(StackId, TargetName), Lookout>,
    wanted: Option<Wanted>,
}

impl Node {
    /// An app's definition is this from now on: its sources are asked at once where they are new.
    pub(super) fn follow_sources(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(known) = &it.chosen else { return };
        let (state, lookouts) = (known.state.clone(), &mut it.lookouts.of);
        let following = &state.definition.following;
        lookouts.retain(|_, lookout| following.iter().any(|of| of.goes_on_in(&lookout.of)));
        for of in following {
            let key = (of.stack.clone(), of.endpoint.name.clone());
            let lookout = lookouts.entry(key).or_insert_with(|| Lookout::new(of, now));
            let agreed = state.definition.places(of);
            lookout.missing.retain(|place, _| agreed.contains(place));
        }
        self.look_at_named(app, now);
    }

    /// Asks the sources that are due.
    pub(super) fn seek(&mut self, now: Moment) {
        for (app, it) in &mut self.apps {
            for ((stack, name), lookout) in &mut it.lookouts.of {
                if now < lookout.due {
                    continue;
                }
                (lookout.due, lookout.asked) = (now + UNANSWERED, Some(now));
                self.out.push(Output::Seek(Sought {
                    app: app.clone(),
                    stack: stack.clone(),
                    name: name.clone(),
                    sources: lookout.of.sources.clone(),
                    limit: LIMIT,
                }));
            }
        }
    }

    /// Somebody finds otherwise: ask again soon.
    pub(super) fn seek_again(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        for lookout in it.lookouts.of.values_mut() {
            let soonest = lookout.asked.map_or(now, |at| at + LEAST);
            lookout.due = lookout.due.min(soonest.max(now));
        }
    }

    /// A source was asked.
    pub(super) fn on_found(&mut self, found: Found, now: Moment) -> Stir {
        let Found { app, stack, name, what } = found;
        let Some(it) = self.apps.get_mut(&app) else { return Stir::Nothing };
        let Some(state) = it.chosen.as_ref().map(|known| known.state.clone()) else {
            return Stir::Nothing;
        };
        let key = (stack.clone(), name.clone());
        let Some(lookout) = it.lookouts.of.get_mut(&key) else { return Stir::Nothing };
        let what = what.and_then(|(places, keep)| match places.is_empty() {
            true => Err("it tells of nothing".to_owned()),
            false => Ok((places, keep)),
        });
        let told = match what {
            Ok((places, keep)) => {
                let usual = |place: &Place| lookout.of.usual(*place);
                let named: BTreeSet<Place> = places.iter().map(usual).collect();
                for place in state.definition.places(&lookout.of) {
                    match named.contains(&place) {
                        true => lookout.missing.remove(&place),
                        false => Some(*lookout.missing.entry(place).or_insert(now)),
                    };
                }
                let news = lookout.why.take().is_some() || named != lookout.named;
                lookout.due = now + keep.unwrap_or(USUAL).clamp(LEAST, MOST);
                (lookout.named, lookout.answered) = (named, Some(now));
                news.then(|| Ok(in_words(&lookout.named)))
            }
            Err(why) => {
                lookout.due = now + USUAL;
                lookout.failures += 1;
                let news = lookout.why.as_ref() != Some(&why);
                lookout.why = Some(why.clone());
                news.then_some(Err(why))
            }
        };
        if let Some(what) = told {
            self.out.note(Note::Finds { app: app.clone(), stack, name, what });
        }
        self.look_at_named(&app, now);
        Stir::One(app)
    }

    /// What is named and not agreed is looked at, as much of it as could be.
    fn look_at_named(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get(app) else { return };
        let Some(known) = &it.chosen else { return };
        let definition = &known.state.definition;
        let mut candidates = BTreeMap::new();
        for lookout in it.lookouts.of.values() {
            let agreed = definition.places(&lookout.of);
            for place in lookout.named.difference(&agreed).take(FOLLOWED_LIMIT) {
                let (id, endpoint) = at(definition, &lookout.of, *place);
                candidates.insert(id, Arc::new(endpoint));
            }
        }
        self.judge.on_candidates(definition, candidates, now);
    }

    /// Follows an app's endpoints, if they are elsewhere; else puts its replicas right.
    pub(super) fn consider_repairs(&mut self, app: &AppId, now: Moment) {
        if !self.consider_places(app, now) {
            self.consider_replicas(app, now);
        }
    }

    /// Follows an app's endpoints, if they are elsewhere and nothing else is going on. Are they?
    pub(super) fn consider_places(&mut self, app: &AppId, now: Moment) -> bool {
        let Some((known, state)) = self.apps.get(app).and_then(|it| it.known()) else {
            return false;
        };
        if state.definition.following.is_empty() {
            return false;
        }
        let learned = known.learned;
        let found = self.found(state, now).map(|(_, what)| what);
        let may = state.definition.mode != Mode::Shadow
            && self.apps[app].ages.frozen_for(state, now).is_none()
            && self.hears_majority(now);
        let rank = self.rank(app, state, now);
        let gone = self.next_gone(app, now);
        let it = self.apps.get_mut(app).expect("it is known");
        if let Some(at) = gone {
            it.again = Some((at, "an endpoint may be gone"));
        }
        let Some(what) = found else {
            it.lookouts.wanted = None;
            return false;
        };
        let wanted = &mut it.lookouts.wanted;
        if wanted.as_ref().is_none_or(|before| before.what != what) {
            *wanted = Some(Wanted { what: what.clone(), since: now, tries: 0 });
        }
        let Some(wanted) = wanted else { return false };
        it.next = what;
        let pause = match wanted.tries {
            0 => Duration::ZERO,
            tries => AGAIN * (1 << (tries - 1).min(DOUBLINGS)),
        };
        let due = (wanted.since + pause + RANK_STEP * rank).max(learned + REST).max(it.not_before);
        if !may {
            return true;
        }
        if now < due {
            if it.again.is_none_or(|(at, _)| due < at) {
                it.again = Some((due, "endpoints are to be followed"));
            }
            return true;
        }
        (wanted.since, wanted.tries) = (now, wanted.tries.saturating_add(1));
        let operation = self.operation();
        self.start(app, Intent::Follow, operation, now);
        true
    }

    /// When the next place that is missing will have been so for long enough.
    fn next_gone(&self, app: &AppId, now: Moment) -> Option<Moment> {
        let lookouts = self.apps.get(app)?.lookouts.of.values();
        let ends = lookouts.flat_map(|it| it.missing.values()).map(|since| *since + GONE);
        ends.filter(|end| now < *end).min()
    }

    /// The definition with the places that this agent finds, where they are others than those agreed, and what that changes.
    fn found(&self, state: &AppState, now: Moment) -> Option<(Definition, String)> {
        let agreed = &state.definition;
        let lookouts = &self.apps.get(&agreed.name)?.lookouts.of;
        let mut next = (**agreed).clone();
        let mut told = Vec::new();
        for lookout in lookouts.values().filter(|it| it.fresh(now)) {
            let (of, old) = (&lookout.of, agreed.places(&lookout.of));
            let gone = |place: &&Place| {
                lookout.missing.get(place).is_some_and(|since| {
                    GONE <= now.since(*since) || !self.finds_up(agreed, of, **place, now)
                })
            };
            let went: BTreeSet<Place> = old.iter().filter(gone).copied().collect();
            let mut places = &old - &went;
            let room = TARGET_LIMIT.saturating_sub(next.targets().count() - went.len());
            let room = room.min(FOLLOWED_LIMIT.saturating_sub(places.len()));
            let up = |place: &&Place| self.finds_up(agreed, of, **place, now);
            let came = lookout.named.difference(&old).filter(up);
            let came = came.filter(|it| self.many_find(agreed, of, **it, now)).take(room);
            let came: BTreeSet<Place> = came.copied().collect();
            places.extend(&came);
            // What is left must be worth more than what goes.
            if places == old || !places.iter().any(|place| up(&place)) {
                continue;
            }
            let Some(placed) = next.placed(of, &places) else { continue };
            next = placed;
            let signed = came.iter().map(|it| format!("+{it}"));
            let signed: Vec<_> = signed.chain(went.iter().map(|it| format!("-{it}"))).collect();
            told.push(format!("{}/{} {}", of.stack, of.endpoint.name, signed.join(" ")));
        }
        (!told.is_empty()).then(|| (next, format!("follows {}", told.join(", "))))
    }

    /// Do a majority of voters say that they see it up there? Only what a source names is looked at, so they found it, too. It is
    /// hearsay, and keeps an agent that alone finds something from proposing it; what counts is what each says as a voter.
    fn many_find(
        &self,
        definition: &Definition,
        of: &Following,
        place: Place,
        now: Moment,
    ) -> bool {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::UnfoundAccepted) {
            return true;
        }
        let (id, _) = at(definition, of, place);
        let voters = self.config.voters.agents();
        let says = |words: &Beliefs| {
            words.beliefs.iter().any(|it| it.target == id && it.health == Health::Up)
        };
        let others = self.hearsay.words(now).filter(|(agent, words)| {
            voters.contains(*agent) && **agent != self.config.agent && says(words)
        });
        let own = usize::from(voters.contains(&self.config.agent));
        voters.len() < (others.count() + own) * 2
    }

    fn finds_up(&self, definition: &Definition, of: &Following, place: Place, now: Moment) -> bool {
        self.judge.sees_up(&at(definition, of, place).0, now)
    }

    /// The definition anew, with the places that this agent finds.
    pub(super) fn followed(&self, current: &AppState, now: Moment) -> Result<AppState, String> {
        at_rest(current)?;
        let (definition, reason) = self.found(current, now).ok_or(Intent::UNCHANGED)?;
        let epoch = current.epoch.next();
        let stacks = (&current.active, &current.active);
        Ok(AppState {
            left: current.definition.left_by(&definition),
            definition: Arc::new(definition),
            revision: current.revision.saturating_add(1),
            epoch,
            phase: Phase::Publishing,
            decision: self.decision(DecisionKind::Follow, epoch, stacks, &reason, now),
            claim: None,
            ..current.clone()
        })
    }

    /// Does this very agent find followed endpoints where a value has followed them to?
    pub(super) fn finds(&self, state: &AppState, now: Moment) -> Result<(), Refusal> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::UnfoundAccepted) {
            return Ok(());
        }
        let definition = &state.definition;
        let unfound = |what: String| Err(Refusal::Unfound(what));
        let Some(it) = self.apps.get(&definition.name) else {
            return unfound("nothing is followed here".into());
        };
        if let (Some(freeze), Some(left)) = (&state.freeze, it.ages.frozen_for(state, now)) {
            return Err(Refusal::Frozen { by: freeze.by.clone(), left });
        }
        for left in &state.left {
            let name = format!("{}/{}", left.stack, left.name);
            let key = (left.stack.clone(), left.name.clone());
            let lookout = it.lookouts.of.get(&key).filter(|lookout| lookout.fresh(now));
            let (Some(of), Some(lookout)) = (definition.left(left), lookout) else {
                return unfound(format!("no source tells me of {name}"));
            };
            let places = definition.places(of);
            let up = |place: &&Place| self.finds_up(definition, of, **place, now);
            let mut came = places.difference(&left.places);
            if let Some(place) = came.clone().find(|place| !lookout.named.contains(place)) {
                return unfound(format!("my source of {name} does not name {place}"));
            }
            if let Some(place) = came.find(|place| !up(place)) {
                return unfound(format!("I do not see {name} up at {place}"));
            }
            let mut went = left.places.difference(&places);
            if let Some(place) = went.find(|place| lookout.named.contains(place)) {
                return unfound(format!("my source of {name} names {place}"));
            }
            if !places.iter().any(|place| up(&place)) {
                return unfound(format!("I see {name} up nowhere that would be left"));
            }
        }
        Ok(())
    }

    /// What may have been followed and is not known to be agreed: as it is where this agent finds so, too, and else taken back.
    pub(super) fn found_or_back(
        &self,
        current: &AppState,
        certainty: Certainty,
        now: Moment,
    ) -> AppState {
        // What was surely never agreed is not worth another look: whoever finds it so proposes it anew.
        let found = match certainty {
            Certainty::Unchosen => Err("too few accepted it".to_owned()),
            _ => self.finds(current, now).map_err(|why| why.to_string()),
        };
        match found {
            Ok(()) => current.clone(),
            Err(why) => self.taken_back(current, &why, now),
        }
    }

    /// What an app follows, for people.
    pub(super) fn following_view(&self, state: &AppState, now: Moment) -> Vec<FollowingView> {
        let Some(it) = self.apps.get(&state.definition.name) else { return Vec::new() };
        let shown = |lookout: &Lookout| FollowingView {
            stack: lookout.of.stack.clone(),
            name: lookout.of.endpoint.name.clone(),
            sources: lookout.of.sources.iter().map(ToString::to_string).collect(),
            agreed: state.definition.places(&lookout.of).iter().map(ToString::to_string).collect(),
            found: lookout.named.iter().map(ToString::to_string).collect(),
            answered_ms: lookout
                .answered
                .map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
            why: lookout.why.clone(),
            failures: lookout.failures,
        };
        it.lookouts.of.values().map(shown).collect()
    }
}

/// The definition as it was before endpoints were followed, if that is what is in progress, and its revision then.
pub fn before(current: &AppState) -> (Arc<Definition>, u64) {
    let back = || current.definition.led_back(&current.left);
    match chain::needs_finding(current).then(back).flatten() {
        Some(before) => (Arc::new(before), current.revision.saturating_add(1)),
        None => (current.definition.clone(), current.revision),
    }
}

/// The target at a place, and how to look at it.
fn at(definition: &Definition, of: &Following, place: Place) -> (TargetId, Endpoint) {
    let endpoint = of.at(place);
    let (app, stack, name) = (definition.name.clone(), of.stack.clone(), endpoint.name.clone());
    (TargetId { app, stack, name }, endpoint)
}

fn in_words(places: &BTreeSet<Place>) -> String {
    let some: Vec<_> = places.iter().take(FOLLOWED_LIMIT).map(ToString::to_string).collect();
    match places.len() - some.len() {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}
