//! Many apps at one site: moved as one when all of it is gone, held back when only part of it looks gone.

use std::time::Duration;

use consensus::model::{AppId, Epoch, Mode, Phase};
use consensus::moment::Moment;
use consensus::outbox::Command;
use simulator::scene::{AppShape, MeshShape, name};
use simulator::simulation::Simulation;
use simulator::world::Web;

const STACK: &str = "east";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn shapes(count: usize) -> Vec<AppShape> {
    (1..=count)
        .map(|number| AppShape {
            cooldown: seconds(900),
            ..AppShape::web(&format!("app-{number:03}"))
        })
        .collect()
}

/// A mesh of five that knows these apps, all of them long enough up.
fn ready(apps: &[AppShape]) -> Simulation {
    let mut simulation = Simulation::new(&MeshShape::spread(5, 3), apps, 7, false);
    for place in 0..simulation.agents.len() {
        simulation.start(place);
    }
    simulation.run_for(seconds(5));
    for (number, app) in apps.iter().enumerate() {
        simulation.apply(number % 5, app.definition());
        simulation.run_for(Duration::from_millis(100));
    }
    simulation.run_for(seconds(90));
    simulation.outside_changed();
    for app in apps {
        assert!(simulation.agreed(&app.name).is_some(), "{} is agreed", app.name);
    }
    simulation
}

fn dark(simulation: &mut Simulation, apps: &[AppShape], how: Web) {
    for app in apps {
        simulation.break_web(&app.name, &name(STACK), how);
    }
}

fn broke_nothing(simulation: &Simulation) {
    assert!(simulation.violations.is_empty(), "{:?}", simulation.violations);
}

/// When the first decision of an app after its definition was agreed.
fn decided(simulation: &Simulation, app: &AppId) -> Option<Moment> {
    simulation.registers.history(app).find(|it| it.state.epoch > Epoch(1)).map(|it| it.at)
}

/// How long after the site went dark the first and the last app were decided.
fn move_all(count: usize) -> (Duration, Duration, Duration) {
    let apps = shapes(count);
    let mut simulation = ready(&apps);
    let began = simulation.now;
    dark(&mut simulation, &apps, Web::Dark);
    let end = simulation.now + seconds(90);
    let all = |simulation: &Simulation| {
        apps.iter().all(|app| {
            simulation
                .agreed(&app.name)
                .is_some_and(|state| state.active.as_str() != STACK && state.phase == Phase::Idle)
        })
    };
    while simulation.now < end && !all(&simulation) {
        simulation.run_for(Duration::from_millis(100));
    }
    broke_nothing(&simulation);
    let settled = simulation.now.since(began);
    let times: Vec<Moment> =
        apps.iter().filter_map(|app| decided(&simulation, &app.name)).collect();
    assert_eq!(times.len(), count, "every app was decided");
    let (first, last) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
    (first.since(began), last.since(began), settled)
}

#[test]
fn a_site_that_dies_is_moved_as_one() {
    let (first, last, settled) = move_all(10);
    println!("10 apps: first decided after {first:?}, last after {last:?}, settled {settled:?}");
    // The window, the wait for a stable cut, and then no pace that a single app would have to keep.
    assert!(last <= seconds(20), "{last:?}");
}

/// SCENARIOS 18: six of ten look down for ninety seconds. One of them is frozen, one only a shadow.
#[test]
fn a_site_that_is_partly_down_is_held_back() {
    let mut apps = shapes(10);
    apps[1].mode = Mode::Shadow;
    let mut simulation = ready(&apps);
    let freeze = Command::Freeze {
        app: apps[0].name.clone(),
        lasts: seconds(3600),
        reason: "maintenance".into(),
        by: "operator".into(),
    };
    simulation.command(2, freeze);
    simulation.run_for(seconds(1));
    dark(&mut simulation, &apps[..6], Web::Dark);
    simulation.run_for(seconds(90));
    dark(&mut simulation, &apps[..6], Web::Up);
    simulation.run_for(seconds(600));
    broke_nothing(&simulation);
    let moved: Vec<&str> = apps
        .iter()
        .filter(|app| decided(&simulation, &app.name).is_some())
        .map(|app| app.name.as_str())
        .collect();
    println!("moved: {moved:?}");
    // Two at each acceptor, of whom three make a majority: at most three in all.
    assert!((1..=3).contains(&moved.len()), "{moved:?}");
    assert!(!moved.contains(&"app-001") && !moved.contains(&"app-002"), "{moved:?}");
}

/// Two apps that fail apart from each other are not made to wait for long.
#[test]
fn two_that_fail_at_once_move_one_after_the_other() {
    let apps = shapes(10);
    let mut simulation = ready(&apps);
    let began = simulation.now;
    dark(&mut simulation, &apps[3..5], Web::Dark);
    simulation.run_for(seconds(30));
    broke_nothing(&simulation);
    let times: Vec<Moment> =
        apps.iter().filter_map(|app| decided(&simulation, &app.name)).collect();
    assert_eq!(times.len(), 2);
    let apart = times[0].max(times[1]).since(times[0].min(times[1]));
    println!("after {:?}, {apart:?} apart", times[0].min(times[1]).since(began));
    assert!((Duration::from_millis(1_900)..seconds(6)).contains(&apart), "{apart:?}");
}

/// The figure of PROTOCOL.md F.5, at a size that a test can bear.
#[test]
fn fifty_apps_of_a_site_are_decided_within_seconds() {
    let (first, last, settled) = move_all(50);
    let spread = last.saturating_sub(first);
    println!("50 apps: first {first:?}, last {last:?} ({spread:?} apart), settled {settled:?}");
    assert!(spread <= seconds(10), "{spread:?}");
}
