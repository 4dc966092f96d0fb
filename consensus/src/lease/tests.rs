use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{AcceptorId, AgentId, AppId, MeshId, StackId, Voter, Voters};
use crate::moment::Moment;
use crate::saved::{Entry, LastHolder, Saved};

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().unwrap()
}

fn at(millis: u64) -> Moment {
    Moment::from_micros(3_600_000_000 + millis * 1_000)
}

fn renewal(stack: &str, guard: &str, revision: u64) -> Renewal {
    Renewal {
        app: name("shop"),
        stack: name(stack),
        guard: name(guard),
        revision,
        count: (1, 1),
        lease: Terms::DEFAULT.lease,
    }
}

/// A door that is shut, told of by a guard that knew the first revision.
fn released(stack: &str, guard: &str, count: Count) -> Renewal {
    Renewal { count, ..renewal(stack, guard, 1) }
}

fn voters(n: u128) -> Voters {
    let member = |id| Voter {
        acceptor: AcceptorId(id),
        agent: name(&format!("a{id}")),
        region: name("r"),
        key: [0; 32],
    };
    Voters::stable(MeshId(1), 1, (0..n).map(member).collect())
}

/// `at guard stack writer → granted?` one line each, on one voter.
#[test]
fn one_voter_grants_to_one_stack_at_a_time() {
    let mut grants = Grants::new(Terms::DEFAULT, &BTreeMap::new(), &BTreeMap::new(), at(0));
    let table = [
        (0, "g1", "east", Some("west"), Err(0), "west may write"),
        (0, "g1", "east", None, Err(0), "nobody may write"),
        (0, "g1", "east", Some("east"), Ok(true), "the first one is durable"),
        (2_500, "g1", "east", Some("east"), Ok(false), "a renewal is not"),
        (2_600, "g3", "east", Some("east"), Ok(true), "a second guard of the same stack"),
        (3_000, "g2", "west", Some("west"), Err(9_803), "east's may run"),
        (12_803, "g2", "west", Some("west"), Ok(true), "east's cannot run any more"),
        (12_900, "g1", "east", Some("east"), Err(10_106), "and now west's may"),
    ];
    for (millis, guard, stack, writer, expected, why) in table {
        let writer = writer.map(name::<StackId>);
        let got = grants.on_renew(renewal(stack, guard, 1), writer.as_ref(), at(millis));
        let expected = expected.map_err(Duration::from_millis);
        assert_eq!(got.map(|entry| entry.is_some()), expected, "{why}");
    }
}

#[test]
fn a_release_ends_one_guards_grant_at_once() {
    let mut grants = Grants::new(Terms::DEFAULT, &BTreeMap::new(), &BTreeMap::new(), at(0));
    let (app, east, west): (AppId, StackId, StackId) = (name("shop"), name("east"), name("west"));
    grants.on_renew(renewal("east", "g1", 1), Some(&east), at(0)).unwrap();
    grants.on_renew(renewal("east", "g3", 1), Some(&east), at(0)).unwrap();
    grants.on_release(released("east", "g1", (1, 1)));
    assert!(!grants.left(&app, &west, at(1)).is_zero(), "g3's may still run");
    grants.on_release(released("west", "g3", (1, 1)));
    assert!(!grants.left(&app, &west, at(1)).is_zero(), "it holds nothing of west");
    grants.on_release(released("east", "g3", (1, 1)));
    assert!(grants.left(&app, &west, at(1)).is_zero());
    assert!(grants.left(&app, &east, at(1)).is_zero());
}

#[test]
fn a_release_that_comes_late_ends_nothing_that_was_granted_since() {
    let mut grants = Grants::new(Terms::DEFAULT, &BTreeMap::new(), &BTreeMap::new(), at(0));
    let (app, east, west): (AppId, StackId, StackId) = (name("shop"), name("east"), name("west"));
    let again = Renewal { count: (1, 2), ..renewal("east", "g1", 1) };
    grants.on_renew(again, Some(&east), at(0)).unwrap();
    for late in [(1, 1), (7, 9)] {
        grants.on_release(released("east", "g1", late));
        assert!(!grants.left(&app, &west, at(1)).is_zero(), "{late:?}");
    }
    grants.on_release(released("east", "g1", (1, 2)));
    assert!(grants.left(&app, &west, at(1)).is_zero());
}

#[test]
fn a_voter_that_starts_anew_keeps_others_out_until_what_it_granted_has_ended() {
    let (app, east, west): (AppId, StackId, StackId) = (name("shop"), name("east"), name("west"));
    let mut saved = Saved::default();
    let mut grants = Grants::new(Terms::DEFAULT, &saved.holders, &BTreeMap::new(), at(0));
    let entry = grants.on_renew(renewal("east", "g1", 1), Some(&east), at(0)).unwrap();
    saved.apply(entry.expect("a new holder is durable first"));

    let mut again = Grants::new(Terms::DEFAULT, &saved.holders, &BTreeMap::new(), at(5_000));
    assert_eq!(again.left(&app, &west, at(5_000)), Terms::DEFAULT.kept);
    assert_eq!(
        again.on_renew(renewal("east", "g1", 1), Some(&east), at(5_001)),
        Ok(None),
        "the same holder goes on at once"
    );
    assert!(again.on_renew(renewal("west", "g2", 1), Some(&west), at(5_002)).is_err());
    again.on_release(released("east", "g1", (1, 1)));
    assert!(again.left(&app, &west, at(5_003)).is_zero(), "unless it says that it is shut");
}

#[test]
fn every_guard_that_held_a_lease_must_know_the_candidates_or_be_dismissed() {
    let (app, east, west): (AppId, StackId, StackId) = (name("shop"), name("east"), name("west"));
    let mut grants = Grants::new(Terms::DEFAULT, &BTreeMap::new(), &BTreeMap::new(), at(0));
    assert_eq!(grants.acknowledged(&app, &west, 7), Ok(()), "nobody held one");
    for (guard, revision) in [("g1", 3), ("g2", 5), ("g1", 4), ("g1", 2)] {
        grants.on_renew(renewal("east", guard, revision), Some(&east), at(0)).unwrap();
    }
    assert_eq!(grants.acknowledged(&app, &west, 4), Ok(()));
    assert_eq!(grants.acknowledged(&app, &west, 5), Err(name("g1")));
    assert_eq!(grants.acknowledged(&app, &east, 5), Ok(()), "its own guards may be behind");
    let says =
        |stack: &str, guard: &str, revision| Renewal { revision, ..released(stack, guard, (1, 1)) };
    assert_eq!(grants.on_release(says("west", "g1", 9)), None, "it guards nothing there");
    assert_eq!(grants.on_release(says("east", "g9", 9)), None, "it never held a lease");
    assert_eq!(grants.on_release(says("east", "g2", 4)), None, "it knew more before");
    assert!(grants.on_release(says("east", "g2", 6)).is_some(), "what it knows is durable");
    assert_eq!(grants.dismiss(&app, &name("g1"), at(10_202)), None, "its lease may still run");
    let entry = grants.dismiss(&app, &name("g1"), at(10_203));
    let last = LastHolder { stack: east.clone(), acknowledged: BTreeMap::from([(name("g2"), 6)]) };
    assert_eq!(entry, Some(Entry::Holder { app: app.clone(), last }));
    assert_eq!(grants.acknowledged(&app, &west, 5), Ok(()));
}

#[test]
fn a_lease_counts_from_when_it_was_asked_for_by_a_majority_of_one_set_of_voters() {
    let three = voters(3);
    let mut holder = Holder::new(Terms::DEFAULT, Duration::ZERO, false, at(0));
    assert_eq!(holder.acknowledges(5, at(0)), 0, "what it held before its start may still run");
    let first = holder.renew(at(0));
    assert_eq!(holder.on_granted(first, AcceptorId(0), &three, at(900)), None);
    assert_eq!(holder.on_granted(first, AcceptorId(0), &three, at(901)), None, "the same voter");
    assert_eq!(holder.on_granted(first, AcceptorId(9), &three, at(902)), None, "a stranger");
    let open = holder.on_granted(first, AcceptorId(1), &three, at(1_000));
    assert_eq!(open, Some(at(9_750)), "ten seconds from the question, and the margin");
    let second = holder.renew(at(2_500));
    assert_eq!(holder.on_granted(second, AcceptorId(2), &three, at(2_600)), None);
    assert_eq!(holder.on_granted(second, AcceptorId(1), &three, at(2_600)), Some(at(12_250)));
    assert_eq!(holder.on_granted(77, AcceptorId(0), &three, at(2_600)), None, "never asked");

    let third = holder.renew(at(5_000));
    holder.on_granted(third, AcceptorId(0), &three, at(5_100));
    let other = Voters { version: 2, ..three };
    assert_eq!(holder.on_granted(third, AcceptorId(1), &other, at(5_100)), None, "of two sets");
    assert_eq!(holder.on_granted(third, AcceptorId(0), &other, at(5_100)), Some(at(14_750)));
}

#[test]
fn what_was_shut_is_not_opened_by_a_late_answer() {
    let three = voters(3);
    let mut holder = Holder::new(Terms::DEFAULT, Duration::ZERO, false, at(0));
    let number = holder.renew(at(0));
    holder.on_granted(number, AcceptorId(0), &three, at(10));
    assert!(!holder.shut(at(20)));
    assert_eq!(holder.on_granted(number, AcceptorId(1), &three, at(30)), None);
    assert_eq!(holder.left(at(30)), Duration::ZERO);
}

#[test]
fn the_failsafe_takes_every_candidate_and_continues_what_runs() {
    let three = voters(3);
    let candidates: BTreeSet<AgentId> = [name("g2"), name("g3")].into();
    let list = (&candidates, 1);
    let mut holder = Holder::new(Terms::DEFAULT, Duration::ZERO, false, Moment::ZERO);
    let cold = holder.renew(at(0));
    for guard in &candidates {
        assert_eq!(holder.on_vouched(cold, guard, list, 2, at(1)), None, "nothing runs yet");
    }
    holder.on_granted(cold, AcceptorId(0), &three, at(10));
    holder.on_granted(cold, AcceptorId(1), &three, at(10));
    assert!(!holder.wants_vouchers(at(4_000)));
    assert!(holder.wants_vouchers(at(6_000)));
    let number = holder.renew(at(7_000));
    assert!(!holder.failsafe(at(7_000)));
    assert_eq!(holder.on_vouched(number, &name("g2"), list, 2, at(7_010)), None);
    assert_eq!(holder.on_vouched(number, &name("g9"), list, 2, at(7_010)), None, "no candidate");
    assert_eq!(holder.on_vouched(number, &name("g3"), list, 2, at(7_020)), Some(at(16_750)));
    assert!(holder.failsafe(at(9_000)) && !holder.failsafe(at(16_750)));
    assert_eq!(holder.acknowledges(5, at(9_900)), 1, "it lives on the word of the old list");

    let longer: BTreeSet<AgentId> = [name("g2"), name("g3"), name("g4")].into();
    let number = holder.renew(at(12_000));
    for guard in ["g2", "g3"] {
        assert_eq!(holder.on_vouched(number, &name(guard), (&longer, 5), 3, at(12_010)), None);
    }
    assert_eq!(
        holder.on_vouched(number, &name("g4"), (&longer, 5), 3, at(12_010)),
        Some(at(21_750))
    );
    assert_eq!(holder.acknowledges(5, at(12_020)), 5);
    assert_eq!(holder.left(at(21_750)), Duration::ZERO);
}

#[test]
fn whoever_gave_its_word_is_barred_for_as_long_even_if_it_starts_anew() {
    let mut holder = Holder::new(Terms::DEFAULT, Duration::ZERO, false, at(0));
    assert_eq!(holder.due(), Moment::ZERO);
    assert_eq!(holder.vouch(Terms::DEFAULT.lease, at(1_000)), Some(true), "to be made durable");
    assert_eq!(holder.vouch(Terms::DEFAULT.lease, at(2_000)), Some(false));
    assert_eq!(holder.due(), at(2_000) + Terms::DEFAULT.kept);
    let again = Holder::new(Terms::DEFAULT, Duration::ZERO, true, at(3_000));
    assert_eq!(again.due(), at(3_000) + Terms::DEFAULT.kept);

    let three = voters(3);
    let mut open = Holder::new(Terms::DEFAULT, Duration::ZERO, false, at(0));
    let number = open.renew(at(0));
    open.on_granted(number, AcceptorId(0), &three, at(1));
    open.on_granted(number, AcceptorId(1), &three, at(1));
    assert_eq!(open.vouch(Terms::DEFAULT.lease, at(2)), None, "it is open itself");
}

/// A shorter lease takes nothing off a longer one that may still run: not at the voter, not at the guard, not at a candidate.
#[test]
fn a_lease_that_was_longer_is_kept_as_long() {
    let (app, east, west): (AppId, StackId, StackId) = (name("shop"), name("east"), name("west"));
    let long = Duration::from_secs(30);
    let kept = Terms::DEFAULT.lasting(long).kept;
    let mut grants = Grants::new(Terms::DEFAULT, &BTreeMap::new(), &BTreeMap::new(), at(0));
    let longer = Renewal { lease: long, ..renewal("east", "g1", 1) };
    let entry = grants.on_renew(longer, Some(&east), at(0)).unwrap();
    grants.on_renew(renewal("east", "g1", 1), Some(&east), at(1_000)).unwrap();
    assert_eq!(grants.left(&app, &west, at(1_000)), kept - Duration::from_secs(1));

    let mut saved = Saved::default();
    saved.apply(entry.expect("a new holder is durable first"));
    saved.apply(Entry::Longest { app: app.clone(), lease: long });
    saved.apply(Entry::Longest { app: app.clone(), lease: Duration::from_secs(12) });
    let again = Grants::new(Terms::DEFAULT, &saved.holders, &saved.longest, at(5_000));
    assert_eq!(again.left(&app, &west, at(5_000)), kept, "and by a voter that starts anew");

    let three = voters(3);
    let mut holder = Holder::new(Terms::DEFAULT.lasting(long), Duration::ZERO, false, at(0));
    let number = holder.renew(at(0));
    holder.set_terms(Terms::DEFAULT.lasting(Duration::from_secs(3)));
    holder.on_granted(number, AcceptorId(0), &three, at(10));
    let open = holder.on_granted(number, AcceptorId(1), &three, at(10));
    assert_eq!(open, Some(at(29_750)), "as it was asked for");
    let number = holder.renew(at(1_000));
    holder.on_granted(number, AcceptorId(0), &three, at(1_010));
    assert_eq!(holder.on_granted(number, AcceptorId(1), &three, at(1_010)), None);
    let number = holder.renew(at(28_000));
    holder.on_granted(number, AcceptorId(0), &three, at(28_010));
    let open = holder.on_granted(number, AcceptorId(2), &three, at(28_010));
    assert_eq!(open, Some(at(30_750)), "three seconds, once they are longer");

    let mut candidate = Holder::new(Terms::DEFAULT, Duration::ZERO, false, at(0));
    candidate.vouch(long, at(1_000));
    candidate.vouch(Duration::from_secs(3), at(2_000));
    assert_eq!(candidate.due(), at(1_000) + kept);
    let again = Holder::new(Terms::DEFAULT, long, true, at(3_000));
    assert_eq!(again.due(), at(3_000) + kept);
}

/// The claim behind it all: a door that voters' grants hold open is shut, in true time, before any of them grants to
/// another, with every clock a hundredth off the worst way, however long leases are.
#[test]
fn clocks_may_be_a_hundredth_off() {
    assert_eq!(Terms::DEFAULT.lasting(Terms::DEFAULT.lease), Terms::DEFAULT);
    for millis in [2_000, 2_001, 3_000, 9_999, 10_000, 33_333, 60_000] {
        let terms = Terms::DEFAULT.lasting(Duration::from_millis(millis));
        let Terms { lease, kept, margin, renew, .. } = terms;
        let shut_at_the_latest = (lease - margin).as_secs_f64() / 0.99;
        let ended_at_the_latest = lease.as_secs_f64() / 0.99;
        let granted_at_the_earliest = kept.as_secs_f64() / 1.01;
        assert!(ended_at_the_latest <= granted_at_the_earliest, "{lease:?}");
        assert!(shut_at_the_latest < granted_at_the_earliest, "{lease:?}");
        assert!(renew * 3 < lease - margin, "two renewals may be lost: {lease:?}");
    }
}
