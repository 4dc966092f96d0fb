//! What people ask for while it burns.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::model::{AppId, DataPolicy, Mode, Phase, StackId};
use consensus::outbox::Command;

use super::Simulation;
use crate::swarm::LEASES;

/// For how long whoever asks for a failback wants the old stack to have been well.
const WELL_FOR: Duration = Duration::from_secs(20);

/// How often people look.
const SEES: Duration = Duration::from_millis(300);
/// How long a host may be away that died while it was promoted.
const AWAY: Duration = Duration::from_secs(60);

/// Somebody wants an app elsewhere.
pub(super) fn ask_for_a_move(simulation: &mut Simulation) {
    let (place, app) = (simulation.some_place(), simulation.some_app());
    let Some(state) = simulation.agreed(&app) else { return };
    let stacks: Vec<StackId> = state.definition.stacks.iter().map(|s| s.name.clone()).collect();
    let to = simulation.chance.happens(0.7).then(|| simulation.chance.pick(&stacks).clone());
    let by = "operator".to_owned();
    match simulation.chance.happens(0.5) {
        true => {
            let well_for = simulation.chance.happens(0.3).then_some(WELL_FOR);
            let verb = if well_for.is_some() { "failback" } else { "switchover" };
            // Whoever waits for something has time.
            let at_once = well_for.is_none();
            simulation.say(|| format!("asks for a {verb} of {app}"));
            simulation.command(place, Command::Switchover { app, to, well_for, at_once, by });
        }
        false => {
            let accept_loss = simulation.chance.happens(0.3);
            let however = if accept_loss { ", whatever is lost" } else { "" };
            simulation.say(|| format!("asks for a failover of {app}{however}"));
            if accept_loss {
                simulation.forgiven.insert(app.clone());
            }
            simulation.command(place, Command::Failover { app, to, accept_loss, by });
        }
    }
}

/// Somebody applies a definition that differs in one number.
pub(super) fn apply(simulation: &mut Simulation) {
    let (place, app) = (simulation.some_place(), simulation.some_app());
    let Some(state) = simulation.agreed(&app) else { return };
    let mut definition = state.definition.as_ref().clone();
    let number = simulation.chance.below(50);
    definition.records[0].ttl = 10 + number as u32;
    // While leases of another length run, in a mesh that has such.
    let lease = Duration::from_secs(LEASES[number as usize % LEASES.len()]);
    if definition.data.lease != DataPolicy::LEASE
        && lease != definition.data.lease
        && definition.guarded().any(|(_, it)| it.guard.is_some())
    {
        definition.data.lease = lease;
        simulation.count("leases of another length");
    }
    simulation.say(|| format!("applies {app}"));
    simulation.apply(place, definition);
}

/// Somebody freezes an app, for seconds or for hours.
pub(super) fn freeze(simulation: &mut Simulation) {
    let (place, app) = (simulation.some_place(), simulation.some_app());
    let most = *simulation.chance.pick(&[20, 120, 7_200]);
    let lasts = Duration::from_secs(1 + simulation.chance.below(most));
    let (reason, by) = ("maintenance".to_owned(), "operator".to_owned());
    simulation.say(|| format!("freezes {app} for {lasts:?}"));
    simulation.command(place, Command::Freeze { app, lasts, reason, by });
}

/// Somebody takes a freeze off, or acknowledges what happened.
pub(super) fn let_go(simulation: &mut Simulation) {
    let (place, app) = (simulation.some_place(), simulation.some_app());
    let by = "operator".to_owned();
    match simulation.chance.happens(0.6) {
        true => {
            simulation.say(|| format!("unfreezes {app}"));
            simulation.command(place, Command::Unfreeze { app, by });
        }
        false => {
            simulation.say(|| format!("acknowledges {app}"));
            simulation.command(place, Command::Ack { app, by });
        }
    }
}

/// Whoever watches an app that moves only if people say so looks at an agent now and then, and says so; sometimes too late,
/// or for no reason.
pub fn attend(simulation: &mut Simulation, app: &AppId) {
    if simulation.apps[app].definition.mode != Mode::Approve || !simulation.chance.happens(0.3) {
        return;
    }
    let place = simulation.some_place();
    let agent = &simulation.agents[place];
    let at = agent.clock.boot(simulation.now);
    let view = agent.node.as_ref().filter(|_| agent.answers()).map(|node| node.view(at));
    let waits = view.is_some_and(|view| {
        let mut apps = view.apps.iter().filter(|it| it.app == *app);
        apps.any(|it| it.next.contains("waits for `quorate approve`"))
    });
    if waits || simulation.chance.happens(0.005) {
        let (app, by) = (app.clone(), "operator".to_owned());
        simulation.say(|| format!("approves what {app} waits for"));
        simulation.command(place, Command::Approve { app, by });
    }
}

/// Somebody calls off what is in progress, as soon as it is seen, or a moment too late.
pub(super) fn call_off(simulation: &mut Simulation) {
    let apps: Vec<AppId> = simulation.apps.keys().cloned().collect();
    let busy = apps
        .into_iter()
        .find(|app| simulation.agreed(app).is_some_and(|state| state.phase != Phase::Idle));
    let app = busy.unwrap_or_else(|| simulation.some_app());
    let (place, by) = (simulation.some_place(), "operator".to_owned());
    // Who sees that databases are being promoted knows what it takes.
    let promoting = simulation.agreed(&app).is_some_and(|state| state.phase == Phase::Promoting);
    let accept_loss = promoting && simulation.chance.happens(0.5);
    let however = if accept_loss { ", whatever is lost" } else { "" };
    simulation.say(|| format!("calls off {app}{however}"));
    if accept_loss {
        simulation.forgiven.insert(app.clone());
    }
    simulation.command(place, Command::Abort { app, accept_loss, by });
}

/// Chaos in which promotions are given up: most hosts that are being promoted die there and then, for longer or shorter than a
/// lease, and people take it back as soon as they may.
pub fn give_promotions_up(simulation: &mut Simulation, span: Duration) {
    let end = simulation.now + span;
    let (mut struck, mut moves) = (BTreeSet::new(), false);
    while simulation.now < end && simulation.violations.is_empty() {
        // A promotion takes a fifth of a second.
        let most = if moves { Duration::from_millis(40) } else { SEES };
        let glance = simulation.chance.between(Duration::from_millis(20), most);
        simulation.run_for(glance);
        let apps: Vec<AppId> = simulation.apps.keys().cloned().collect();
        let states: Vec<_> = apps.iter().filter_map(|app| simulation.agreed(app)).collect();
        moves = states.iter().any(|it| it.phase == Phase::Fencing);
        for state in states.iter().filter(|it| it.phase == Phase::Promoting) {
            let app = state.definition.name.clone();
            let Some(guard) = simulation.guard_of(&app, &state.decision.to) else { continue };
            if struck.insert((app.clone(), state.epoch)) && simulation.chance.happens(0.7) {
                let stack = state.decision.to.clone();
                let span = simulation.chance.between(Duration::from_secs(2), AWAY);
                simulation.host_dies(&app, &stack);
                simulation.count("hosts that die while they are promoted");
                simulation.later(span, move |simulation| {
                    simulation.mend_stack(&app, &stack);
                    simulation.start(guard);
                });
            }
            call_off(simulation);
        }
    }
}
