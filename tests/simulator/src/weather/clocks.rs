//! What befalls machines and their clocks.

use std::time::Duration;

use consensus::moment::Moment;

use super::{Place, Simulation};

/// A machine sleeps: its boot-time clock counts it, its monotonic clock does not.
pub(super) fn suspend(simulation: &mut Simulation) {
    let place = simulation.some_place();
    let span = simulation.some_span(&[5, 60, 3600]);
    stands_still(simulation, place, span, |simulation, place, began| {
        let now = simulation.now;
        let clock = &mut simulation.agents[place].clock;
        clock.slept += clock.boot(now).since(clock.boot(began));
    });
}

/// A virtual machine is paused and none of its clocks counts it. Whatever rests on time is off by that much afterwards.
pub(super) fn freeze(simulation: &mut Simulation) {
    let place = simulation.some_place();
    // Not of a guard: that its machine counts time is all that a door rests on, and claimed by nobody (PROTOCOL.md 1).
    if simulation.may_guard(place) {
        return;
    }
    let span = simulation.some_span(&[1, 10, 60]);
    stands_still(simulation, place, span, |simulation, place, began| {
        simulation.agents[place].clock.stood_still(simulation.now.since(began));
        simulation.clock_stood_still(place);
    });
}

/// A machine stands still, and goes on with clocks that missed what they miss.
fn stands_still(
    simulation: &mut Simulation,
    place: Place,
    span: Duration,
    misses: fn(&mut Simulation, Place, Moment),
) {
    let (began, run) = (simulation.now, simulation.agents[place].run);
    let before = simulation.agents[place].stops;
    simulation.stop(place);
    let stops = simulation.agents[place].stops;
    simulation.later(span, move |simulation| {
        // Unless it went on meanwhile, or stood still for another reason: no clock takes back what it has counted.
        let agent = &simulation.agents[place];
        if agent.run == run && agent.stopped && before < stops && agent.stops == stops {
            misses(simulation, place, began);
        }
        simulation.resume(place);
    });
}

/// Somebody, or NTP, sets a wall clock: by seconds, hours, or ten years.
pub(super) fn jump(simulation: &mut Simulation) {
    let place = simulation.some_place();
    let most = *simulation.chance.pick(&[2_000, 3_600_000, TEN_YEARS.as_millis() as u64]);
    let jump = simulation.chance.below(2 * most) as i64 - most as i64;
    let agent = &mut simulation.agents[place];
    agent.clock.wall_off_ms += jump;
    let id = agent.id.clone();
    simulation
        .transcript
        .say(simulation.now, Some(&id), || format!("has its clock set by {jump} ms"));
}

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
