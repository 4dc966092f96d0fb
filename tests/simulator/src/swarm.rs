//! Turns one seed into a verdict: chaos, then a healed core that must come to rest, then one clean failover.
//!
//! A seed gives the same run whatever thread runs it. What a run found is told as counts, violations and, if asked for,
//! its transcript.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus::config::Mutant;
use consensus::model::{AppId, AppState, Engine, Mode, ProbePolicy, Voter};
use consensus::moment::Moment;
use consensus::outbox::{Answer, Command};

use super::cells::Cell;
use super::chance::Chance;
use super::check::Violation;
use super::check::outcome;
use super::network::Place;
use super::scene::{AppShape, MeshShape, agent_name, name};
use super::simulation::Simulation;
use super::transcript::Line;
use super::weather::people;
use super::world::{Host, Web};

/// What became of a seed.
#[derive(Debug)]
pub struct Verdict {
    /// Of which ordeal, in words, if it is no run of the swarm.
    pub of: String,
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// What happened how often.
    pub tally: BTreeMap<&'static str, u64>,
    /// Which crash cells it went through.
    pub cells: BTreeSet<Cell>,
    /// How much time passed in the run.
    pub simulated: Duration,
    /// What was said, if it was kept.
    pub lines: Vec<Line>,
}

/// A mesh of five comes to rest within this: three takeovers, an abort of thirty seconds, and backoff.
const REST: Duration = Duration::from_secs(240);
/// A failover of healthy agents is over within this, after window and cooldown.
const MOVE: Duration = Duration::from_secs(60);
/// In how many regions every app of a swarm wants its stack to be seen down.
const REGIONS: usize = 2;
/// In seconds; shorter ones would be lost to messages that travel for a second.
pub const LEASES: [u64; 5] = [3, 4, 5, 8, 15];
/// So many of all seeds have ten apps instead of two.
const FLEETS: f64 = 0.02;
/// And so many an app that follows a replica set.
const SETS: f64 = 0.1;
/// And in so many, databases that have guards are reached by those alone.
const HIDDEN: f64 = 0.25;
/// And so many an app whose endpoints are found at sources.
const SOURCES: f64 = 0.1;
/// And so many have people who say for each app that it moves, or it does not.
const WATCHED: f64 = 0.1;
/// And in so many, people give promotions up.
const GIVEN_UP: f64 = 0.1;
/// And so many go on for days.
const DAYS: f64 = 0.02;
/// For how long everything strikes, at least and at most: 5,000 seeds are to leave the models and the mutants their part of ten
/// minutes.
const CHAOS: (Duration, Duration) = (Duration::from_secs(45), Duration::from_secs(170));
/// More apps than this are a fleet, and more agents a crowd: the tenth of all seeds that took two fifths of the time.
const FEW: usize = 3;
const CROWD: usize = 12;
/// How often people and checkers look in while waiting.
const GLANCE: Duration = Duration::from_secs(5);

/// Runs one seed.
pub fn run(seed: u64, mutant: Option<Mutant>, kept: bool) -> Verdict {
    // The shape is drawn apart from the run, so that a mutant meets the very run of its seed.
    let mut chance = Chance::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
    let mut mesh = draw_mesh(&mut chance, mutant);
    let mut apps = draw_apps(&mut chance);
    draw_guards(&mut mesh, &mut apps, &mut chance);
    draw_late(&mut apps, seed);
    draw_followed(&mut apps, seed);
    draw_kept(&mut apps, seed);
    draw_hidden(&mut apps, seed);
    draw_watched(&mut apps, seed);
    let mut simulation = Simulation::new(&mesh, &apps, chance.bits(), kept);
    simulation.elections = true;
    simulation.begin_sources();
    if mesh.voters.len() >= 5 && chance.happens(0.1) {
        simulation.lose_key(chance.below(mesh.voters.len() as u64) as Place);
    }
    let given_up =
        Chance::new(seed.wrapping_mul(0x6c62_272e_07bb_0142).wrapping_add(13)).happens(GIVEN_UP);
    live(&mut simulation, &apps, &mut chance, given_up);
    verdict(simulation, seed)
}

/// What became of a run.
pub(super) fn verdict(simulation: Simulation, seed: u64) -> Verdict {
    let cells = simulation.chronicle.cells(&simulation.registers);
    let Simulation { violations, tally, now, transcript, .. } = simulation;
    Verdict {
        of: String::new(),
        seed,
        violations,
        tally,
        cells,
        simulated: now.since(Moment::ZERO),
        lines: transcript.lines().to_vec(),
    }
}

fn draw_mesh(chance: &mut Chance, mutant: Option<Mutant>) -> MeshShape {
    let (voters, regions) = *chance.pick(&[(5, 3), (5, 3), (5, 5), (3, 3), (5, 2), (7, 3)]);
    let mut mesh = MeshShape::spread(voters, regions);
    if chance.happens(0.6) {
        mesh.standbys = (0..1 + chance.below(2)).map(|_| chance.below(regions) + 1).collect();
    }
    if chance.happens(0.2) {
        mesh.observers = vec![chance.below(regions) + 1];
    }
    if chance.happens(0.03) {
        mesh.observers = (0..10 + chance.below(3)).map(|at| at % regions + 1).collect();
    }
    mesh.canaries = if chance.happens(0.5) { 3 } else { 0 };
    mesh.mutant = mutant;
    mesh
}

fn draw_apps(chance: &mut Chance) -> Vec<AppShape> {
    let seconds = Duration::from_secs;
    let (interval, timeout, window) = *chance.pick(&[
        (seconds(5), seconds(4), seconds(8)),
        (seconds(1), seconds(1), seconds(4)),
        (Duration::from_millis(500), seconds(1), seconds(2)),
    ]);
    let mut shapes =
        vec![AppShape::with_database("shop", chance.happens(0.6)), AppShape::web("blog")];
    if chance.happens(FLEETS) {
        shapes.extend((1..=8).map(|number| AppShape::web(&format!("app-{number}"))));
    }
    for shape in &mut shapes {
        shape.outside = chance.happens(0.5);
        shape.cooldown = *chance.pick(&[Duration::ZERO, Duration::ZERO, seconds(30), seconds(900)]);
        shape.regions = REGIONS;
        shape.probe = ProbePolicy { interval, timeout, window };
        if chance.happens(0.2) {
            shape.stacks.push(name("north"));
        }
        if chance.happens(0.2) {
            shape.endpoints = 2;
        }
    }
    shapes
}

/// Half of all databases have guards, and then nothing is promoted without proof. Guards are observers here: what a voter's
/// own host looks at is another matter. One more may be named later. Clocks are as wrong as leases allow for.
fn draw_guards(mesh: &mut MeshShape, apps: &mut [AppShape], chance: &mut Chance) {
    if !chance.happens(0.5) {
        return;
    }
    let regions = mesh.voters.iter().max().copied().unwrap_or(1);
    let first = mesh.voters.len() + mesh.standbys.len() + mesh.observers.len();
    let (mut count, north) = (0, chance.happens(0.4));
    for shape in apps.iter_mut().filter(|shape| shape.database) {
        if north && shape.stacks.len() == 2 {
            shape.stacks.push(name("north"));
        }
        shape.guards = (0..shape.stacks.len()).map(|at| agent_name(first + count + at)).collect();
        count += shape.guards.len();
    }
    mesh.observers.extend((0..=count as u64).map(|at| at % regions + 1));
    mesh.rate_error = *chance.pick(&[200, 10_000, 10_000]);
    mesh.rejoins = chance.happens(0.5);
}

/// Everybody starts, and every app is defined.
pub(super) fn begin(simulation: &mut Simulation, apps: &[AppShape]) {
    for place in 0..simulation.agents.len() {
        simulation.start(place);
    }
    simulation.run_for(Duration::from_secs(5));
    for app in apps {
        define(simulation, app);
    }
}

/// What came into the swarm late is drawn apart from all else, so that it moves nothing else: half of all have leases as
/// they usually are not, and of a quarter whoever serves the records compares nothing. Some seeds have an app whose data is
/// a replica set that elects its own primary.
fn draw_late(apps: &mut Vec<AppShape>, seed: u64) {
    let mut chance = Chance::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(7));
    if chance.happens(SETS) {
        let engine = Engine::Mongodb;
        apps.push(AppShape { name: name("feed"), database: true, engine, ..apps[1].clone() });
    }
    for shape in apps {
        if let Some(lease) = chance.happens(0.5).then(|| *chance.pick(&LEASES)) {
            shape.lease = Duration::from_secs(lease);
        }
        shape.blind = chance.happens(0.25);
    }
}

/// Some seeds have an app whose endpoints are followed; no other seed's run is another for it.
fn draw_followed(apps: &mut Vec<AppShape>, seed: u64) {
    let mut chance = Chance::new(seed.wrapping_mul(0x9e6c_63d0_876a_68ad).wrapping_add(3));
    if chance.happens(SOURCES) {
        let outside = chance.happens(0.5);
        apps.push(AppShape { name: name("mall"), follows: true, outside, ..apps[1].clone() });
    }
}

/// Of half of all that wait for a replica, the mesh keeps for which: drawn apart, too.
fn draw_kept(apps: &mut [AppShape], seed: u64) {
    let mut chance = Chance::new(seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(5));
    for shape in apps.iter_mut().filter(|shape| shape.synchronous) {
        if chance.happens(0.5) {
            shape.kept = 1 + chance.below(2) as u8;
        }
    }
}

/// Databases that nobody but their guards reaches: drawn apart, too.
fn draw_hidden(apps: &mut [AppShape], seed: u64) {
    let mut chance = Chance::new(seed.wrapping_mul(0x9fb2_1c65_1e98_df25).wrapping_add(17));
    let hidden = chance.happens(HIDDEN);
    for shape in apps.iter_mut().filter(|shape| hidden && !shape.guards.is_empty()) {
        shape.hidden = chance.happens(0.8);
    }
}

/// Some seeds' apps move by themselves no more: people are asked.
fn draw_watched(apps: &mut [AppShape], seed: u64) {
    let mut chance = Chance::new(seed.wrapping_mul(0xbea2_25f9_eb34_556d).wrapping_add(9));
    if chance.happens(WATCHED) {
        for shape in apps.iter_mut().filter(|_| chance.happens(0.7)) {
            shape.mode = Mode::Approve;
        }
    }
}

fn live(simulation: &mut Simulation, apps: &[AppShape], chance: &mut Chance, gives_up: bool) {
    begin(simulation, apps);
    let warm_up = chance.between(Duration::from_secs(5), Duration::from_secs(50));
    simulation.run_for(warm_up);
    if !simulation.violations.is_empty() {
        return;
    }
    simulation.unleash();
    let span = chance.between(CHAOS.0, CHAOS.1);
    // A fleet, or a crowd that watches, costs several times as much a second.
    let crowded = apps.len() > FEW || simulation.agents.len() > CROWD;
    let span = if crowded { span / 2 } else { span };
    match gives_up {
        true => people::give_promotions_up(simulation, span),
        false => simulation.run_for(span),
    }
    let core = draw_core(simulation, chance);
    simulation.heal(&core);
    finish(simulation, apps, chance);
}

/// What was healed comes to rest, and leaves a stack that then dies.
pub(super) fn finish(simulation: &mut Simulation, apps: &[AppShape], chance: &mut Chance) {
    settle(simulation, apps, REST, "a healed core settles");
    if simulation.violations.is_empty() {
        if chance.happens(DAYS) {
            spend_days(simulation, apps, chance);
        }
        fail_over_cleanly(simulation, apps, chance);
    }
    for app in apps {
        for _ in outcome::given_up(simulation, &app.name) {
            simulation.count("promotions given up");
        }
        if let Some(lost) = outcome::lost(simulation, &app.name) {
            simulation.report(vec![("no acknowledged write is lost", lost)]);
        }
    }
}

/// Puts an app before the mesh, as a person would: again until it is agreed.
fn define(simulation: &mut Simulation, app: &AppShape) {
    for attempt in 0..10 {
        let place = attempt % simulation.agents.len();
        let number = simulation.apply(place, app.definition());
        simulation.run_for(Duration::from_secs(3));
        match simulation.answers.get(&number) {
            Some(Answer::Agreed { .. } | Answer::Planned { .. } | Answer::Unchanged) => return,
            Some(Answer::Refused(_) | Answer::Unknown(_)) | None => {}
        }
    }
    let text = format!("{} cannot be applied", app.name);
    simulation.report(vec![("a healed core settles", text)]);
}

/// Who stays away for good: never so many that what is left has no majority, or lives in too few regions to decide. Nobody
/// while somebody may begin a change of voters: who leaves then is one less than is counted here.
fn draw_core(simulation: &Simulation, chance: &mut Chance) -> BTreeSet<Place> {
    let count = simulation.agents.len() as u64;
    let voters = simulation.electorate.latest();
    let away =
        if chance.happens(0.4) { chance.below(1 + voters.members.len() as u64 / 2) } else { 0 };
    let away: BTreeSet<Place> = (0..away).map(|_| chance.below(count) as Place).collect();
    // Without its guard a database takes no writes, and one that is named no more must say that it knows: with either that is
    // gone, somebody has to deal.
    let guards = simulation.ever_guards();
    let away: BTreeSet<Place> = away.difference(&guards).copied().collect();
    let steady = !simulation.history.changes_voters();
    if steady && decides_without(simulation, &away) { away } else { BTreeSet::new() }
}

/// Have the voters a majority without these agents, in regions enough to decide?
fn decides_without(simulation: &Simulation, away: &BTreeSet<Place>) -> bool {
    let voters = simulation.electorate.latest();
    let stays =
        |voter: &&Voter| simulation.place(&voter.agent).is_some_and(|it| !away.contains(&it));
    let left = voters.all().filter(stays).filter(|voter| simulation.holds(voter));
    let regions: BTreeSet<_> = left.map(|voter| &voter.region).collect();
    simulation.goes_on_without(away) && REGIONS <= regions.len()
}

/// Waits until every app has come to rest, with people looking after replicas.
pub(super) fn settle(
    simulation: &mut Simulation,
    apps: &[AppShape],
    span: Duration,
    checker: &'static str,
) {
    let end = simulation.now + span;
    let mut calm = 0;
    while simulation.now < end && simulation.violations.is_empty() {
        simulation.run_for(GLANCE);
        simulation.rebuild_replicas();
        simulation.replace_lost_stores();
        let rests = outcome::voters_unsettled(simulation).is_none()
            && apps.iter().all(|app| outcome::unsettled(simulation, &app.name).is_none());
        calm = if rests { calm + 1 } else { 0 };
        if calm == 3 {
            return;
        }
    }
    if !simulation.violations.is_empty() {
        return;
    }
    if let Some(why) = outcome::voters_unsettled(simulation) {
        simulation.report(vec![(checker, why)]);
    }
    for app in apps {
        if let Some(why) = outcome::unsettled(simulation, &app.name) {
            let words = outcome::words(simulation, &app.name);
            simulation.report(vec![(checker, format!("{}: {why}{words}", app.name))]);
        }
    }
}

/// Active stacks die now and then over days: cooldowns double, decay, and hold for good after three within one.
fn spend_days(simulation: &mut Simulation, apps: &[AppShape], chance: &mut Chance) {
    let hours = |count: u64| Duration::from_secs(count * 3_600);
    for _ in 0..3 + chance.below(4) {
        let app = chance.pick(apps);
        let_go_of_freezes(simulation, &app.name);
        let Some(state) = simulation.agreed(&app.name) else { return };
        let sleeper = chance.happens(0.06).then(|| fall_asleep(simulation, chance)).flatten();
        simulation.break_web(&app.name, &state.active, Web::Refusing);
        simulation.run_for(app.probe.window * 2 + Duration::from_secs(20));
        simulation.mend_stack(&app.name, &state.active);
        simulation.run_for(app.probe.window * 10);
        simulation.rebuild_replicas();
        if let Some(sleeper) = sleeper {
            simulation.run_for(chance.between(Duration::from_secs(60), hours(1)));
            simulation.resume(sleeper);
        }
        // Nothing happens for hours: the whole mesh may as well stand still, for its clocks do not.
        let quiet = *chance.pick(&[hours(0), hours(1), hours(3), hours(13), hours(26), hours(60)]);
        let awake: Vec<Place> = (0..simulation.agents.len())
            .filter(|place| simulation.agents[*place].answers())
            .collect();
        for place in &awake {
            simulation.stop(*place);
        }
        simulation.run_for(quiet);
        for place in &awake {
            simulation.resume(*place);
        }
        simulation.run_for(app.probe.window * 10 + Duration::from_secs(60));
        if !simulation.violations.is_empty() {
            return;
        }
    }
    simulation.count("days spent");
    settle(simulation, apps, REST, "a healed core settles");
}

/// One agent, which guards nothing, stands still while the others go on.
fn fall_asleep(simulation: &mut Simulation, chance: &mut Chance) -> Option<Place> {
    let guards = simulation.guards();
    let awake = (0..simulation.agents.len()).filter(|place| simulation.agents[*place].answers());
    let awake: Vec<Place> = awake.filter(|place| !guards.contains(place)).collect();
    let sleeper = (!awake.is_empty()).then(|| *chance.pick(&awake))?;
    simulation.stop(sleeper);
    Some(sleeper)
}

/// People take off a freeze, and acknowledge nothing.
fn let_go_of_freezes(simulation: &mut Simulation, app: &AppId) {
    let by = "operator".to_owned();
    simulation.command(0, Command::Unfreeze { app: app.clone(), by });
    simulation.run_for(Duration::from_secs(2));
}

/// The active stack of an app dies for good while all else is well: another serves, in time.
fn fail_over_cleanly(simulation: &mut Simulation, apps: &[AppShape], chance: &mut Chance) {
    let app = chance.pick(apps);
    let window = app.probe.window;
    let cooldown = app.cooldown.max(Duration::from_secs(120));
    // A set that elects its own primary is not made to.
    if app.cooldown > Duration::from_secs(60) || app.engine.is_followed() {
        return;
    }
    let_go(simulation, &app.name);
    // The standby qualifies, whatever cools down after an abort has done so, and what came and went is trusted again; with
    // many apps, the budget they share is free again, of which nobody says anything.
    if apps.len() > 2 {
        simulation.run_for(cooldown);
    }
    let patience = simulation.now + window * 96 + cooldown;
    let mut ready = 0;
    while simulation.now < patience && ready < 2 {
        simulation.run_for(GLANCE);
        simulation.rebuild_replicas();
        ready = if says_ready(simulation, &app.name) { ready + 1 } else { 0 };
    }
    let Some(before) = simulation.agreed(&app.name) else { return };
    let stack = before.active.clone();
    // What guards it may have become a voter meanwhile: it dies with its host, and has no vote on its own database (seed 90743).
    let gone = |place: &Place| !simulation.agents[*place].answers();
    let mut gone: BTreeSet<Place> = (0..simulation.agents.len()).filter(gone).collect();
    gone.extend(simulation.guard_of(&app.name, &stack));
    if !decides_without(simulation, &gone) {
        return;
    }
    simulation.count("clean failovers asked for");
    let web = *chance.pick(&[Web::Refusing, Web::Dark]);
    simulation.break_web(&app.name, &stack, web);
    simulation.break_database(&app.name, &stack, Host::Dark);
    if chance.happens(0.5) {
        simulation.host_dies(&app.name, &stack);
    }
    settle_elsewhere(simulation, window + MOVE, &before);
}

/// Does everybody show that a failover would go through?
fn says_ready(simulation: &Simulation, app: &AppId) -> bool {
    let agents = simulation.agents.iter().filter(|agent| agent.answers());
    let mut views = agents
        .filter_map(|agent| Some(agent.node.as_ref()?.view(agent.clock.boot(simulation.now))));
    views.all(|view| view.apps.iter().any(|it| it.app == *app && it.unready.is_empty()))
}

/// People take off whatever holds the mesh back: again until it is agreed.
fn let_go(simulation: &mut Simulation, app: &AppId) {
    for attempt in 0..20 {
        let place = attempt % simulation.agents.len();
        let by = "operator".to_owned();
        let command = match attempt % 2 {
            0 => Command::Unfreeze { app: app.clone(), by },
            _ => Command::Ack { app: app.clone(), by },
        };
        simulation.command(place, command);
        simulation.run_for(Duration::from_secs(3));
        let held = simulation
            .agreed(app)
            .is_some_and(|state| state.freeze.is_some() || !state.damping.history.is_empty());
        if !held {
            return;
        }
    }
}

/// Waits until an app has left the stack that it was on, which is dead: by a new decision, or by one that was on its way.
fn settle_elsewhere(simulation: &mut Simulation, span: Duration, before: &AppState) {
    let (app, epoch) = (&before.definition.name, before.epoch);
    let end = simulation.now + span;
    let mut why = String::new();
    while simulation.now < end && simulation.violations.is_empty() {
        simulation.run_for(Duration::from_secs(1));
        let moved = simulation
            .agreed(app)
            .is_some_and(|state| epoch < state.epoch || state.active != before.active);
        match outcome::unsettled(simulation, app) {
            None if moved => return,
            None => why = format!("epoch {epoch} has not ended"),
            Some(text) => why = text,
        }
    }
    if simulation.violations.is_empty() {
        let words = outcome::words(simulation, app);
        simulation.report(vec![("a dead stack is left", format!("{app}: {why}{words}"))]);
    }
}
