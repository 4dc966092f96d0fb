//! Is every register one register? (PROTOCOL.md S1, S2, S4; C1)
//!
//! Learns from disks alone what is truly chosen: a value that a quorum of the voters in force has made durable at one ballot.
//! What agents believe to be chosen is held against that.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use consensus::failover::chain;
use consensus::message::Value;
use consensus::model::{
    AcceptorId, AppId, AppState, Ballot, DecisionKind, Phase, Token, Voter, Voters,
};
use consensus::moment::Moment;
use consensus::value;

use super::Found;
use super::electorate::Electorate;

type Hash = [u8; 32];

/// A value that was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// At which ballot.
    pub ballot: Ballot,
    /// When, in true time.
    pub at: Moment,
    /// What.
    pub state: Arc<AppState>,
    hash: Hash,
}

/// One value that follows from another, both part of the agreed history.
#[derive(Clone, Debug)]
pub struct Link {
    /// The value before; `None` before the first.
    pub before: Option<Arc<AppState>>,
    /// The value after.
    pub after: Arc<AppState>,
    /// The ballot at which the value after was first proposed.
    pub ballot: Ballot,
    /// When that was.
    pub proposed: Moment,
    /// Was it taken back by the very next value, before any majority had held it? Then it never took effect.
    pub taken_back: bool,
    /// Did a majority hold the value before? If not, it was found on the way and proven never to have been chosen.
    pub held_before: bool,
    /// Does a majority hold this very value?
    pub held: bool,
    /// When the last of that majority made it durable: what was true then is what it is judged by. New voters may come into
    /// force long after (seed 7191).
    pub accepted: Moment,
    hash: Hash,
}

/// A value as it was first proposed.
#[derive(Clone, Debug)]
struct Proposal {
    ballot: Ballot,
    at: Moment,
    state: Arc<AppState>,
}

/// The stores that hold a value.
#[derive(Clone, Debug, Default)]
struct Holders {
    stores: BTreeSet<AcceptorId>,
    /// When the last of them made it durable.
    last: Moment,
}

/// Every register, as it truly is.
#[derive(Debug, Default)]
pub struct Registers {
    values: BTreeMap<Hash, Proposal>,
    ballots: BTreeMap<(AppId, Ballot), Hash>,
    /// Who holds what, by the version of the voters it went by when it accepted.
    holders: BTreeMap<(AppId, Ballot, u64), Holders>,
    chosen: BTreeMap<AppId, BTreeMap<Ballot, Chosen>>,
    /// The newest ballot that a store ever accepted at.
    newest: BTreeMap<(AppId, AcceptorId), Ballot>,
    linked: BTreeSet<Hash>,
}

impl Registers {
    /// Empty registers.
    pub fn new() -> Self {
        Self {
            values: BTreeMap::new(),
            ballots: BTreeMap::new(),
            holders: BTreeMap::new(),
            chosen: BTreeMap::new(),
            newest: BTreeMap::new(),
            linked: BTreeSet::new(),
        }
    }

    /// The chosen value of the highest ballot.
    pub fn latest(&self, app: &AppId) -> Option<&Chosen> {
        self.chosen.get(app)?.values().next_back()
    }

    /// Every chosen value, in the order of ballots.
    pub fn history(&self, app: &AppId) -> impl Iterator<Item = &Chosen> {
        self.chosen.get(app).into_iter().flat_map(BTreeMap::values)
    }

    /// How many voters hold what was proposed at a ballot.
    pub fn held_by(&self, app: &AppId, ballot: Ballot) -> usize {
        let versions = (app.clone(), ballot, 0)..=(app.clone(), ballot, u64::MAX);
        self.holders.range(versions).map(|(_, holders)| holders.stores.len()).max().unwrap_or(0)
    }

    /// Does a majority?
    pub fn is_chosen(&self, app: &AppId, ballot: Ballot) -> bool {
        self.chosen.get(app).is_some_and(|chosen| chosen.contains_key(&ballot))
    }

    /// What was proposed at a ballot.
    pub fn proposed(&self, app: &AppId, ballot: Ballot) -> Option<Arc<AppState>> {
        let hash = self.ballots.get(&(app.clone(), ballot))?;
        Some(self.values.get(hash)?.state.clone())
    }

    /// S2: one ballot carries at most one value, ever. Called for every proposal that leaves and every record of one.
    pub fn on_value(
        &mut self,
        at: Moment,
        (app, ballot, value): (&AppId, Ballot, &Value),
        found: &mut Found,
    ) -> Hash {
        let hash = value.hash();
        let known = *self.ballots.entry((app.clone(), ballot)).or_insert(hash);
        if known != hash {
            found.push(("one value a ballot", format!("{app}: two values at {ballot}")));
        }
        if let Entry::Vacant(entry) = self.values.entry(hash) {
            match value::decode(value) {
                Ok(state) => {
                    entry.insert(Proposal { ballot, at, state: Arc::new(state) });
                }
                Err(error) => {
                    found.push(("one value a ballot", format!("{app} at {ballot}: {error}")));
                }
            }
        }
        hash
    }

    /// A voter has made a value durable. Returns what that adds to the agreed history, oldest first.
    pub fn on_accepted(
        &mut self,
        now: Moment,
        (voter, version): (AcceptorId, u64),
        electorate: &Electorate,
        (app, ballot, value): (&AppId, Ballot, &Value),
        found: &mut Found,
    ) -> Vec<Link> {
        let hash = self.on_value(now, (app, ballot, value), found);
        let holders = self.holders.entry((app.clone(), ballot, version)).or_default();
        if holders.stores.insert(voter) {
            holders.last = now;
        }
        let last = holders.last;
        let newest = self.newest.entry((app.clone(), voter)).or_insert(ballot);
        *newest = ballot.max(*newest);
        // Once the new set is alone in force, its word suffices for what was accepted while both were asked.
        let alone = electorate.at(version + 1).filter(|voters| !voters.joint());
        let mut sets = electorate.at(version).into_iter().chain(alone);
        match sets.any(|voters| voters.quorum(&holders.stores)) {
            true => self.choose(now, (app, ballot, last), hash, found),
            false => vec![],
        }
    }

    /// A quorum holds this.
    fn choose(
        &mut self,
        now: Moment,
        (app, ballot, accepted): (&AppId, Ballot, Moment),
        hash: Hash,
        found: &mut Found,
    ) -> Vec<Link> {
        let chosen = self.chosen.entry(app.clone()).or_default();
        let Some(Proposal { state, .. }) = self.values.get(&hash) else { return vec![] };
        if chosen.contains_key(&ballot) {
            return vec![];
        }
        let fresh = Chosen { ballot, at: now, state: state.clone(), hash };
        chosen.insert(ballot, fresh);
        self.link(app, (ballot, accepted), found)
    }

    /// A set of voters is alone in force now: whatever was chosen before, a quorum of it must have accepted since. What a quorum
    /// of it accepted while the old set was still asked, too, is chosen by that: whoever proposes from now on asks
    /// one that has it. Returns what that adds to the agreed history.
    pub fn on_elected(&mut self, now: Moment, voters: &Voters, found: &mut Found) -> Vec<Link> {
        let accepted = self.holders.iter().filter(|((_, _, version), holders)| {
            version + 1 == voters.version && voters.quorum(&holders.stores)
        });
        let held = accepted.map(|((app, ballot, _), it)| (app.clone(), *ballot, it.last));
        let held: Vec<_> = held.collect();
        let mut links = Vec::new();
        for (app, ballot, last) in held {
            let hash = self.ballots[&(app.clone(), ballot)];
            links.extend(self.choose(now, (&app, ballot, last), hash, found));
        }
        for (app, chosen) in &self.chosen {
            let Some(latest) = chosen.keys().next_back() else { continue };
            let has = |voter: &&Voter| {
                self.newest.get(&(app.clone(), voter.acceptor)).is_some_and(|it| it >= latest)
            };
            let holders = voters.all().filter(has).map(|voter| voter.acceptor).collect();
            if !voters.quorum(&holders) {
                let text = format!("{app}: version {} has no quorum at {latest}", voters.version);
                found.push(("nothing is left behind", text));
            }
        }
        links
    }

    /// No agent holds for chosen what a majority does not hold.
    pub fn on_learned(&self, app: &AppId, ballot: Ballot, value: &Value, found: &mut Found) {
        let truly = self.chosen.get(app).and_then(|chosen| chosen.get(&ballot));
        if truly.is_none_or(|truly| truly.hash != value.hash()) {
            found.push(("chosen by a majority", format!("{app}: {ballot} is taken for chosen")));
        }
    }

    /// S1: chosen values form a chain in the order of their ballots. Looks at the neighbours on both sides.
    fn link(
        &mut self,
        app: &AppId,
        (ballot, accepted): (Ballot, Moment),
        found: &mut Found,
    ) -> Vec<Link> {
        let chosen = &self.chosen[app];
        let this = &chosen[&ballot];
        let below = chosen.range(..ballot).next_back().map(|(_, chosen)| chosen);
        let above = chosen.range(ballot..).nth(1).map(|(_, chosen)| chosen);
        let mut links = self.walk(app, below, this, accepted, found);
        if let Some(above) = above {
            links.extend(self.walk(app, Some(this), above, accepted, found));
        }
        links.retain(|link| self.linked.insert(link.hash));
        links
    }

    /// The way from one chosen value to another: directly, or over values that were completed on the way.
    fn walk(
        &self,
        app: &AppId,
        from: Option<&Chosen>,
        to: &Chosen,
        accepted: Moment,
        found: &mut Found,
    ) -> Vec<Link> {
        /// Values completed for others between two that a majority holds: more than this is a broken chain. Seven voters that
        /// wait for a lease, most of them refusing, claimed one promotion a hundred times in two minutes (seed 2267).
        const STEPS: usize = 512;
        let mut links = Vec::new();
        let mut at = to.hash;
        for _ in 0..STEPS {
            if from.is_some_and(|from| from.hash == at) {
                links.reverse();
                return links;
            }
            let Some(Proposal { ballot, at: proposed, state: after }) = self.values.get(&at) else {
                break;
            };
            let before = self.values.get(&after.previous).map(|it| it.state.clone());
            let (first, previous) = (after.previous == [0; 32], after.previous);
            let held = |hash| self.chosen[app].values().any(|chosen| chosen.hash == hash);
            // Directly, or after claims that no majority held either (seed 19).
            let aborted = links.last().is_some_and(|next: &Link| {
                let by_abort = next.after.decision.kind == DecisionKind::Abort;
                (by_abort && next.after.epoch > after.epoch)
                    || (next.taken_back && next.after.epoch == after.epoch)
            });
            let (taken_back, held_before) = (!held(at) && aborted, held(previous));
            let held = held(at);
            links.push(Link {
                before,
                after: after.clone(),
                ballot: *ballot,
                proposed: *proposed,
                taken_back,
                held_before,
                held,
                accepted,
                hash: at,
            });
            if first && from.is_none() {
                links.reverse();
                return links;
            }
            at = previous;
        }
        let from = from.map_or_else(|| "nothing".into(), |from| from.ballot.to_string());
        found.push(("one chain", format!("{app}: {} does not follow from {from}", to.ballot)));
        vec![]
    }
}

/// S4: one decision an epoch, epochs grow by one, tokens grow within an epoch, and there is no way back from a promotion.
pub fn follows(link: &Link, found: &mut Found) {
    let after = &link.after;
    let app = &after.definition.name;
    let mut broken = |what: String| {
        let epoch = after.epoch;
        found.push(("one decision an epoch", format!("{app} epoch {epoch}: {what}")));
    };
    if after.decision.epoch != after.epoch {
        broken(format!("its decision is of epoch {}", after.decision.epoch));
    }
    if after.definition.stack(&after.active).is_none() {
        broken(format!("{} is no stack of it", after.active));
    }
    let Some(before) = &link.before else { return };
    let token =
        |state: &AppState| Token::new(state.epoch, state.decision.attempt, state.phase.step());
    if after.active != before.active && after.active != after.decision.to {
        broken(format!("active {}, decided for {}", after.active, after.decision.to));
    }
    if after.epoch == before.epoch {
        let subject = |state: &AppState| {
            let decision = &state.decision;
            (decision.kind, decision.from.clone(), decision.to.clone(), decision.by.clone())
        };
        if subject(after) != subject(before) || after.revision != before.revision {
            broken(format!("{:?} became {:?}", subject(before), subject(after)));
        }
        if after.phase != Phase::Idle && token(after) < token(before) {
            broken(format!("token {} after {}", token(after), token(before)));
        }
        let terms = (before.claim.as_ref(), after.claim.as_ref());
        if let (Some(old), Some(new)) = terms {
            let same = (&old.agent, old.instance) == (&new.agent, new.instance);
            if new.term < old.term || (!same && new.term == old.term) {
                broken(format!("claim {new:?} after {old:?}"));
            }
        }
        return;
    }
    // An operation that was tried again is one operation.
    let known = |id| before.operations.iter().any(|operation| operation.id == id);
    let fresh = after.operations.iter().any(|operation| !known(operation.id));
    if after.decision.kind != DecisionKind::Abort && !fresh {
        broken("an operation took effect twice".into());
    }
    if after.epoch != before.epoch.next() {
        broken(format!("follows epoch {}", before.epoch));
    }
    // People give up what wrote, and nothing else does; whether it may still write is for the doors to tell.
    let given_up = after.phase == Phase::Aborting
        && after.decision.candidates == before.decision.candidates
        && chain::given_up(before).is_ok();
    if before.phase == Phase::Promoting && link.held_before && !given_up {
        broken("left a promotion behind".into());
    }
    // While something is asked of the outside, only the taking back of it begins anew; and people go on once it is through.
    let begins = match (after.decision.kind, before.phase) {
        (DecisionKind::Abort, _) | (_, Phase::Idle) => true,
        (kind, Phase::Verifying) => {
            matches!(kind, DecisionKind::Apply | DecisionKind::Switchover | DecisionKind::Forced)
        }
        _ => false,
    };
    if !begins {
        broken(format!("{} began in {}", after.decision.kind, before.phase));
    }
    let redefined = after.revision != before.revision || after.definition != before.definition;
    let kinds = (before.decision.kind, after.decision.kind);
    let lawful = match (kinds, before.phase) {
        ((_, DecisionKind::Apply | DecisionKind::Follow), Phase::Idle)
        | ((_, DecisionKind::Apply), Phase::Verifying) => true,
        // What only a minority followed is led back, or what nobody has begun to carry out: it may look the same.
        ((DecisionKind::Follow, DecisionKind::Abort), Phase::Publishing) => {
            !link.held_before || before.claim.is_none()
        }
        _ => false,
    };
    if redefined && !lawful {
        broken(format!("redefined by {} in {}", after.decision.kind, before.phase));
    }
}
