//! What is believed of one target, look by look.

use super::*;
use crate::model::{Endpoint, Engine, Expect, Phases, Scheme, SeenBy};
use std::collections::BTreeSet;
use std::sync::Arc;

fn policy() -> ProbePolicy {
    let secs = Duration::from_secs;
    ProbePolicy { interval: secs(5), timeout: secs(4), window: secs(8) }
}

fn target() -> TargetId {
    TargetId {
        app: "shop".parse().unwrap(),
        stack: "a".parse().unwrap(),
        name: "web-1".parse().unwrap(),
    }
}

fn watch() -> Watch {
    let endpoint = Endpoint {
        name: "web-1".parse().unwrap(),
        scheme: Scheme::Http,
        address: "192.0.2.1".into(),
        port: 80,
        path: "/".into(),
        host: None,
        expect: Expect::default(),
        authority: None,
    };
    Watch::new(Subject::Endpoint(Arc::new(endpoint)), Scale::of(policy()), at(0), at(0))
}

fn at(ms: u64) -> Moment {
    Moment::from_micros(1_000_000_000 + ms * 1000)
}

fn look(watch: &mut Watch, ms: u64, up: bool) {
    look_alone(watch, ms, up);
    watch.on_canaries(Moment::NEVER);
}

/// The same, and no canary says anything.
fn look_alone(watch: &mut Watch, ms: u64, up: bool) {
    let outcome = match up {
        true => Outcome::Up(None),
        false => Outcome::Failed(Fault::new(FaultKind::Refused, "refused")),
    };
    let took = Duration::from_millis(1);
    let observation = Observation {
        watched: Watched::Target(target()),
        began: at(ms),
        took,
        phases: Phases::default(),
        outcome,
    };
    watch.on_observation(observation, at(ms));
}

#[test]
fn the_scale_follows_the_window() {
    let scale = Scale::of(policy());
    assert_eq!((scale.failures, scale.fast.as_millis()), (8, 500));
    let quick = ProbePolicy {
        interval: Duration::from_millis(500),
        window: Duration::from_secs(2),
        ..policy()
    };
    let scale = Scale::of(quick);
    assert_eq!((scale.failures, scale.fast.as_millis(), scale.limit.as_millis()), (2, 500, 1000));
    assert_eq!(scale.qualify.as_secs(), 15);
}

#[test]
fn nothing_is_down_before_canaries_answered_since_it_failed() {
    let mut watch = watch();
    look(&mut watch, 0, true);
    for at in 1..=20 {
        look_alone(&mut watch, at * 500, false);
    }
    watch.on_canaries(at(499));
    assert_eq!(watch.health(at(10_000)), Health::Degraded, "they answered before it failed");
    watch.on_canaries(at(500));
    assert_eq!(watch.health(at(10_000)), Health::Down);
    look_alone(&mut watch, 10_500, true);
    for at in 22..=42 {
        look_alone(&mut watch, at * 500, false);
    }
    assert_eq!(watch.health(at(21_000)), Health::Degraded, "that was another failure");
}

#[test]
fn down_needs_a_whole_window_of_failures_and_one_success_clears_it() {
    let mut watch = watch();
    look(&mut watch, 0, true);
    for ms in (500..8000).step_by(500) {
        look(&mut watch, ms, false);
        assert_eq!(watch.health(at(ms)), Health::Degraded, "after {ms} ms");
    }
    assert_eq!(watch.health(at(8000)), Health::Down);
    look(&mut watch, 8100, true);
    assert_eq!(watch.health(at(8100)), Health::Up);
}

#[test]
fn few_failures_are_no_vote_however_long_the_silence() {
    let mut watch = watch();
    look(&mut watch, 0, true);
    for ms in [2000, 4000, 6000, 8000] {
        look(&mut watch, ms, false);
    }
    assert_eq!(watch.health(at(9000)), Health::Degraded);
}

#[test]
fn our_own_trouble_counts_neither_way() {
    let mut watch = watch();
    look(&mut watch, 0, true);
    for ms in (500..9000).step_by(500) {
        let outcome = Outcome::Invalid(Fault::new(FaultKind::Local, "out of sockets"));
        let (took, phases) = (Duration::ZERO, Phases::default());
        watch.on_observation(
            Observation {
                watched: Watched::Target(target()),
                began: at(ms),
                took,
                phases,
                outcome,
            },
            at(ms),
        );
    }
    assert_ne!(watch.health(at(9000)), Health::Down);
}

#[test]
fn whoever_answers_is_not_dead() {
    let mut watch = watch();
    look(&mut watch, 0, true);
    for ms in (500..20_000).step_by(500) {
        let fault = Fault::new(FaultKind::Credential, "password refused");
        let (took, phases, outcome) = (Duration::ZERO, Phases::default(), Outcome::Failed(fault));
        let seen = Observation {
            watched: Watched::Target(target()),
            began: at(ms),
            took,
            phases,
            outcome,
        };
        watch.on_observation(seen, at(ms));
        assert_eq!(watch.health(at(ms)), Health::Degraded);
    }
}

#[test]
fn failures_from_before_a_pause_are_no_evidence() {
    let mut watch = watch();
    for ms in (0..9000).step_by(500) {
        look(&mut watch, ms, false);
    }
    assert_eq!(watch.health(at(9000)), Health::Down);
    watch.on_pause(at(60_000));
    assert_ne!(watch.health(at(60_000)), Health::Down);
    // Nor is one that the pause cut short.
    look(&mut watch, 59_000, false);
    assert!(!watch.in_doubt());
    look(&mut watch, 60_500, false);
    assert_ne!(watch.health(at(60_500)), Health::Down);
}

#[test]
fn a_standby_qualifies_slowly_and_a_streak_of_failures_spoils_it() {
    let mut watch = watch();
    for ms in (0..59_000).step_by(5000) {
        look(&mut watch, ms, true);
    }
    assert!(!watch.qualified(at(59_000)));
    look(&mut watch, 60_000, true);
    assert!(watch.qualified(at(60_000)));
    for ms in [61_000, 61_500, 62_000] {
        look(&mut watch, ms, false);
    }
    look(&mut watch, 62_500, true);
    assert!(!watch.qualified(at(80_000)));
}

#[test]
fn an_older_look_that_ends_late_says_nothing_new() {
    let mut watch = watch();
    look(&mut watch, 5000, true);
    look(&mut watch, 4000, false);
    assert_eq!(watch.health(at(5001)), Health::Up);
}

#[test]
fn an_agent_that_is_unwell_gives_everything_longer() {
    let mut watch = watch();
    watch.on_stretch(3);
    look(&mut watch, 0, true);
    for ms in (500..24_000).step_by(500) {
        look(&mut watch, ms, false);
        assert_eq!(watch.health(at(ms)), Health::Degraded, "after {ms} ms");
    }
    look(&mut watch, 24_000, false);
    assert_eq!(watch.health(at(24_000)), Health::Down);
    assert_eq!(watch.look(&target(), at(24_000)).unwrap().limit.as_secs(), 12);
}

/// Up for five seconds, down for eleven, three times; then well for long.
#[test]
fn a_standby_that_comes_and_goes_is_none() {
    let mut watch = watch();
    let turn = |watch: &mut Watch, ms: u64, up: bool| {
        look(watch, ms, up);
        watch.turned(at(ms));
    };
    for start in (0..48_000).step_by(16_000) {
        for ms in (0..16_000).step_by(500) {
            turn(&mut watch, start + ms, ms < 5_000);
        }
    }
    for ms in (48_000..500_000).step_by(5_000) {
        turn(&mut watch, ms, true);
    }
    let before = watch.belief(&target(), at(495_000));
    assert!(before.flapping && !before.qualified, "it turned six times within ten minutes");
    for ms in (500_000..700_000).step_by(5_000) {
        turn(&mut watch, ms, true);
    }
    let after = watch.belief(&target(), at(695_000));
    assert!(!after.flapping && after.qualified);
}

/// Loss on the way must not make every standby unfit.
#[test]
fn a_look_that_is_lost_now_and_then_turns_nothing() {
    let mut watch = watch();
    for ms in (0..600_000).step_by(5_000) {
        look(&mut watch, ms, ms % 50_000 != 45_000);
        watch.turned(at(ms));
        watch.turned(at(ms + 1));
    }
    assert!(!watch.belief(&target(), at(596_000)).flapping);
}

#[test]
fn looks_do_not_pile_up() {
    let mut watch = watch();
    let asked = (0..100).filter(|_| watch.look(&target(), at(0)).is_some()).count();
    assert_eq!(asked, IN_FLIGHT);
}

#[test]
fn a_guard_that_is_named_makes_no_other_target_of_a_database_and_another_port_does() {
    let database = Database {
        name: "orders".parse().unwrap(),
        engine: Engine::Postgres,
        address: "192.0.2.1".into(),
        port: 5432,
        credential: "db".parse().unwrap(),
        guard: None,
        view: Default::default(),
    };
    let subject = |database: Database| Subject::Database(Arc::new(database));
    let scale = Scale::of(policy());
    let watch = Watch::new(subject(database.clone()), scale, at(0), at(0));
    let guarded = Database { guard: Some("g1".parse().unwrap()), ..database.clone() };
    assert!(watch.looks_at(&subject(guarded.clone()), scale));
    assert!(!watch.looks_at(&subject(Database { port: 5433, ..database }), scale));

    // Through its guard it is another way, and there is one for each address and each guard.
    let seen = |address: &str, guard: &str| {
        let guard = Some(guard.parse().unwrap());
        let address = address.to_owned();
        let through = Database { address, guard, view: SeenBy::Guard, ..guarded.clone() };
        Watch::new(subject(through), scale, at(0), at(0))
    };
    let ways = [seen("192.0.2.1", "g1"), seen("192.0.2.1", "g2"), seen("192.0.2.2", "g1"), watch];
    let ways: BTreeSet<_> = ways.iter().map(Watch::address).collect();
    assert_eq!(ways.len(), 4);
}

#[test]
fn when_a_replica_last_heard_its_primary_is_believed_of_the_replica_too() {
    let mut watch = watch();
    let secs = Duration::from_secs;
    let sight = DatabaseSight {
        replica: true,
        read_only: true,
        system: 7,
        timeline: 1,
        position: 5000,
        replayed: 5000,
        streaming: false,
        heard: Some(secs(4)),
        lag: None,
        upstream_name: None,
        synchronous: Vec::new(),
        receivers: Vec::new(),
        slots_at_risk: Vec::new(),
    };
    // This agent never saw it stream: it started when the primary was dead.
    let observation = Observation {
        watched: Watched::Target(target()),
        began: at(0),
        took: Duration::ZERO,
        phases: Phases::default(),
        outcome: Outcome::Up(Some(sight)),
    };
    watch.on_observation(observation, at(0));
    let (sight, age) = watch.belief(&target(), at(2000)).database.expect("it was seen");
    assert_eq!((sight.heard, age), (Some(secs(6)), secs(2)));
}
