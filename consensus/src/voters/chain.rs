//! Which set of voters may follow which: from one set to both, from both to the other, and no other way.
//!
//! Derived from predecessor and value alone, as for apps; an acceptor that finds nothing wrong here has checked everything
//! but its own clocks.

use std::collections::BTreeSet;

use crate::model::{
    AcceptorId, Certainty, OPERATION_MEMORY, RETIRED_LIMIT, VOTER_LIMIT, Voter, Voters, VotersState,
};

/// The longest reason: a line for people.
pub const REASON_LIMIT: usize = 300;

/// What must be so besides the value's form, by an acceptor's own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The mesh replaces this store by itself: it must have been silent for long.
    pub replaces: Option<AcceptorId>,
    /// Both sets must have been in force for as long as a lease may run (PROTOCOL.md 0.1 a).
    pub leaves: bool,
}

/// May `next` follow `before` (with the hash of its bytes)? `current` is the set that the acceptor goes by: a value derived
/// from another was not derived from what is in force.
///
/// # Errors
/// Why not, in words.
pub fn follows(
    before: Option<(&VotersState, [u8; 32])>,
    certainty: Certainty,
    current: &Voters,
    next: &VotersState,
) -> Result<Demand, String> {
    well_formed(next)?;
    if before.is_some_and(|(before, _)| before == next) {
        // Somebody's write is being completed: whoever began it had swept before it proposed to leave. That its own leases
        // have ended every acceptor finds out by itself: one that granted none need not have waited.
        let leaves = current.joint() && !next.voters.joint();
        return Ok(Demand { replaces: None, leaves });
    }
    let (base, hash, retired, automatic) = match before {
        Some((before, hash)) => (&before.voters, hash, &before.retired[..], before.automatic),
        None => (current, [0; 32], &[][..], 0),
    };
    if certainty != Certainty::Chosen {
        return Err("it follows what may not have been chosen".into());
    }
    if base != current {
        return Err(format!("it follows version {}, not {}", base.version, current.version));
    }
    if next.previous != hash {
        return Err("it was derived from another value".into());
    }
    if (next.voters.mesh, next.voters.version) != (base.mesh, base.version.saturating_add(1)) {
        return Err("it is of another mesh, or skips a version".into());
    }
    match (base.joint(), next.voters.joint()) {
        (false, true) => begins(base, (retired, automatic), next),
        (true, false) => ends(base, (retired, automatic), next),
        (false, false) => Err("one set of voters cannot follow another at once".into()),
        (true, true) => Err("another change is in progress".into()),
    }
}

fn well_formed(state: &VotersState) -> Result<(), String> {
    let sets = [&state.voters.members, &state.voters.joining];
    let distinct = sets.iter().all(|set| {
        let stores: BTreeSet<_> = set.iter().map(|voter| voter.acceptor).collect();
        let agents: BTreeSet<_> = set.iter().map(|voter| &voter.agent).collect();
        let keys: BTreeSet<_> = set.iter().map(|voter| voter.key).collect();
        [stores.len(), agents.len(), keys.len()].iter().all(|count| *count == set.len())
    });
    let fits = distinct
        && (1..=VOTER_LIMIT).contains(&state.voters.members.len())
        && state.voters.joining.len() <= VOTER_LIMIT
        && state.retired.len() <= RETIRED_LIMIT
        && state.reason.chars().count() <= REASON_LIMIT
        && state.operations.len() <= OPERATION_MEMORY;
    fits.then_some(()).ok_or("its voters are not distinct, or beyond their limits".into())
}

/// Both sets, the second made of what stays and of stores that never voted.
fn begins(
    base: &Voters,
    (retired, automatic): (&[AcceptorId], u64),
    next: &VotersState,
) -> Result<Demand, String> {
    let voters = &next.voters;
    if voters.members != base.members || next.retired != retired {
        return Err("it forgets who votes, or who voted".into());
    }
    let arriving: Vec<&Voter> = voters.arriving().collect();
    let leaving: Vec<&Voter> = voters.leaving().collect();
    if let Some(voter) = arriving.iter().find(|voter| retired.contains(&voter.acceptor)) {
        return Err(format!("the store {} of {} voted before", voter.acceptor, voter.agent));
    }
    let kept = voters
        .joining
        .iter()
        .all(|voter| base.by_acceptor(voter.acceptor).is_none_or(|known| known == voter));
    if !kept || (arriving.is_empty() && leaving.is_empty()) {
        return Err("it changes nothing, or a voter that stays".into());
    }
    if retired.len() + leaving.len() > RETIRED_LIMIT {
        return Err(format!(
            "{RETIRED_LIMIT} stores were retired: this mesh takes no more changes"
        ));
    }
    if next.automatic == automatic {
        return Ok(Demand::default());
    }
    match (&arriving[..], &leaving[..]) {
        ([new], [old])
            if next.automatic == voters.version
                && (&new.agent, &new.region) == (&old.agent, &old.region) =>
        {
            Ok(Demand { replaces: Some(old.acceptor), leaves: false })
        }
        _ => Err("by itself the mesh replaces one store of one agent, and nothing else".into()),
    }
}

/// The second set alone; whoever leaves never comes back.
fn ends(
    base: &Voters,
    (retired, automatic): (&[AcceptorId], u64),
    next: &VotersState,
) -> Result<Demand, String> {
    let leaving = base.leaving().map(|voter| voter.acceptor);
    let gone: Vec<AcceptorId> = retired.iter().copied().chain(leaving).collect();
    let fits =
        next.voters.members == base.joining && next.retired == gone && next.automatic == automatic;
    fits.then_some(Demand { replaces: None, leaves: true })
        .ok_or("it does not end the change that is in progress".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MeshId;

    fn voter(id: u8) -> Voter {
        Voter {
            acceptor: AcceptorId(id.into()),
            // The store 11 is the second of agent a1.
            agent: format!("a{}", id % 10).parse().expect("a name"),
            region: "r1".parse().expect("a name"),
            key: [id; 32],
        }
    }

    fn state(version: u64, members: &[u8], joining: &[u8], retired: &[u8]) -> VotersState {
        let set = |ids: &[u8]| ids.iter().map(|id| voter(*id)).collect();
        VotersState {
            voters: Voters {
                mesh: MeshId(1),
                version,
                members: set(members),
                joining: set(joining),
            },
            reason: String::new(),
            automatic: 0,
            retired: retired.iter().map(|id| AcceptorId((*id).into())).collect(),
            operations: Vec::new(),
            previous: if version == 2 { [0; 32] } else { [7; 32] },
        }
    }

    fn after(before: &VotersState, next: &VotersState) -> Result<Demand, String> {
        follows(Some((before, [7; 32])), Certainty::Chosen, &before.voters, next)
    }

    #[test]
    fn a_change_goes_over_both_sets_and_no_other_way() {
        let first = state(1, &[1, 2, 3], &[], &[]);
        let begun = state(2, &[1, 2, 3], &[2, 3, 4], &[]);
        let ended = state(3, &[2, 3, 4], &[], &[1]);
        let none = follows(None, Certainty::Chosen, &first.voters, &begun);
        assert_eq!(none, Ok(Demand::default()));
        assert_eq!(after(&begun, &ended), Ok(Demand { replaces: None, leaves: true }));
        assert_eq!(after(&ended, &ended), Ok(Demand::default()));
        // What another accepted is completed by whoever goes by both sets yet: its own leases must have ended.
        let completed =
            follows(Some((&ended, [7; 32])), Certainty::Possible, &begun.voters, &ended);
        assert_eq!(completed, Ok(Demand { replaces: None, leaves: true }));

        for (what, before, next) in [
            ("at once", &first, state(2, &[2, 3, 4], &[], &[1])),
            ("a version skipped", &begun, state(4, &[2, 3, 4], &[], &[1])),
            ("two at once", &begun, state(3, &[1, 2, 3], &[3, 4, 5], &[])),
            ("another end", &begun, state(3, &[2, 3, 5], &[], &[1])),
            ("nobody retired", &begun, state(3, &[2, 3, 4], &[], &[])),
            ("a retired store", &ended, state(4, &[2, 3, 4], &[1, 3, 4], &[1])),
            ("the retired forgotten", &ended, state(4, &[2, 3, 4], &[3, 4, 5], &[])),
            ("one agent twice", &first, state(2, &[1, 2, 3], &[1, 2, 3, 11], &[])),
            ("nothing", &ended, state(4, &[2, 3, 4], &[2, 3, 4], &[1])),
        ] {
            let mut next = next;
            next.previous = [7; 32];
            assert!(after(before, &next).is_err(), "{what}");
        }
    }

    #[test]
    fn what_may_not_be_chosen_and_what_is_not_in_force_are_no_ground() {
        let begun = state(2, &[1, 2, 3], &[2, 3, 4], &[]);
        let ended = state(3, &[2, 3, 4], &[], &[1]);
        let before = Some((&begun, [7; 32]));
        assert!(follows(before, Certainty::Possible, &begun.voters, &ended).is_err());
        let elsewhere = state(1, &[1, 2, 3], &[], &[]);
        assert!(follows(before, Certainty::Chosen, &elsewhere.voters, &ended).is_err());
    }

    #[test]
    fn by_itself_the_mesh_only_replaces_a_store_by_the_same_agents_next() {
        let first = state(3, &[1, 2, 3], &[], &[]);
        let itself =
            |joining: &[u8]| VotersState { automatic: 4, ..state(4, &[1, 2, 3], joining, &[]) };
        let demand = Demand { replaces: Some(AcceptorId(1)), leaves: false };
        assert_eq!(after(&first, &itself(&[11, 2, 3])), Ok(demand));
        assert!(after(&first, &itself(&[4, 2, 3])).is_err());
        assert!(after(&first, &itself(&[2, 3])).is_err());
    }
}
