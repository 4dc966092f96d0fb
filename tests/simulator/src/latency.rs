//! How many round trips a decision takes, and the point of no return after it.
//!
//! Five voters, every link 50 ms each way, nothing else wrong. *Alone*: an app's active stack dies, and what counts is the
//! time from the first proposal until its proposer knows that it is decided. *Five at once*: five people tell five agents
//! at the same instant to move the same app, so that five ballots collide; what counts is the time from their word.

use std::time::Duration;

use consensus::model::{AppId, Epoch, Phase};
use consensus::moment::Moment;
use consensus::outbox::Command;

use super::scene::{AppShape, MeshShape};
use super::simulation::Simulation;
use super::world::{Host, Web};

const ONE_WAY: Duration = Duration::from_millis(50);
const VOTERS: u64 = 5;
/// Whoever looks in so often sees when something became known.
const GLANCE: Duration = Duration::from_millis(1);
/// A standby qualifies after seven and a half windows of eight seconds.
const WARM_UP: Duration = Duration::from_secs(75);
const LONGEST: Duration = Duration::from_secs(60);

/// Round trips until something was known to somebody.
#[derive(Clone, Copy, Debug)]
pub struct Trips {
    /// Until the failover was decided.
    pub decided: f64,
    /// Until its promotion was agreed, after which nobody turns back.
    pub no_return: f64,
}

/// What makes the decision due.
#[derive(Clone, Copy, Debug)]
pub enum Case {
    /// The active stack's processes die.
    Alone,
    /// Five people tell five agents at once.
    FiveAtOnce,
}

/// One failover; none if it was not decided and carried past its point of no return within a minute.
#[must_use]
pub fn run(case: Case, seed: u64) -> Option<Trips> {
    let shape = AppShape::with_database("shop", true);
    let mesh = MeshShape::spread(VOTERS, 3);
    let mut simulation = Simulation::new(&mesh, std::slice::from_ref(&shape), seed, true);
    for edge in simulation.network.edges_mut() {
        edge.latency = ONE_WAY;
    }
    for place in 0..simulation.agents.len() {
        simulation.start(place);
    }
    simulation.run_for(Duration::from_secs(5));
    simulation.apply(0, shape.definition());
    simulation.run_for(WARM_UP);
    let epoch = simulation.agreed(&shape.name)?.epoch;
    let began = match case {
        Case::Alone => die(&mut simulation, &shape.name),
        Case::FiveAtOnce => order(&mut simulation, &shape.name),
    };
    let decided = known(&mut simulation, &shape.name, epoch, &|phase| phase != Phase::Idle)?;
    let no_return = known(&mut simulation, &shape.name, epoch, &|phase| {
        matches!(phase, Phase::Promoting | Phase::Publishing | Phase::Verifying | Phase::Idle)
    })?;
    let trips = |at: Moment| at.since(began).as_secs_f64() / (ONE_WAY * 2).as_secs_f64();
    Some(Trips { decided: trips(decided), no_return: trips(no_return) })
}

/// The active stack's processes die. Began with the first proposal.
fn die(simulation: &mut Simulation, app: &AppId) -> Moment {
    let active = simulation.agreed(app).map(|state| state.active.clone());
    let active = active.expect("the app is defined");
    simulation.break_web(app, &active, Web::Refusing);
    simulation.break_database(app, &active, Host::Refusing);
    let since = simulation.now;
    let proposed = |simulation: &Simulation| {
        let lines = simulation.transcript.lines().iter().rev();
        let mut lines = lines.take_while(|line| line.at >= since);
        lines.find(|line| line.text.starts_with("proposes")).map(|line| line.at)
    };
    loop {
        simulation.run_for(GLANCE);
        match proposed(simulation) {
            Some(at) => return at,
            None if simulation.now > since + LONGEST => return since,
            None => {}
        }
    }
}

/// Five people tell five agents to move it, at once.
fn order(simulation: &mut Simulation, app: &AppId) -> Moment {
    for place in 0..VOTERS as usize {
        let command = Command::Failover {
            app: app.clone(),
            to: None,
            accept_loss: false,
            by: "somebody".into(),
        };
        simulation.command(place, command);
    }
    simulation.now
}

/// When any agent first knows of a later epoch than this in such a phase.
fn known(
    simulation: &mut Simulation,
    app: &AppId,
    epoch: Epoch,
    wanted: &dyn Fn(Phase) -> bool,
) -> Option<Moment> {
    let end = simulation.now + LONGEST;
    while simulation.now < end {
        let held = (0..simulation.agents.len()).filter_map(|place| simulation.held(place, app));
        if held.into_iter().any(|state| epoch < state.epoch && wanted(state.phase)) {
            return Some(simulation.now);
        }
        simulation.run_for(GLANCE);
    }
    None
}
