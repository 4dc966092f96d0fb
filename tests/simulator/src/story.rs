//! Stories: a run as a text that people read and a test compares, word for word.
//!
//! A story is blocks of commands, each followed by dashes and by what was said until the commands were done:
//!
//! ```text
//! stack shop east dark
//! run 30s
//! ----
//!    42.310 a2    holds shop/east for down: 3 of 5 voters see it down
//! ```
//!
//! What several agents say alike within a block stands once, with their names. Lines that start with `#` are for people.
//! `UPDATE=1` writes what is said now in place of what was said then.

mod command;
mod words;

use std::fmt::Write as _;

use super::simulation::Simulation;
use super::transcript::Line;

pub use command::Stage;

/// Plays a story and gives it back with what is said now.
///
/// # Errors
/// If a command is not one.
pub fn play(text: &str) -> Result<String, String> {
    let mut stage = Stage::default();
    let mut told = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == DASHES {
            // What was said then; what is said now takes its place.
            for (_, old) in lines.by_ref() {
                if old.is_empty() {
                    break;
                }
            }
            let _ = write!(told, "{DASHES}\n{}\n", stage.said());
            continue;
        }
        told.push_str(line);
        told.push('\n');
        let command = line.split('#').next().unwrap_or("").trim();
        if !command.is_empty() {
            stage
                .perform(command)
                .map_err(|why| format!("line {}: `{command}`: {why}", number + 1))?;
        }
    }
    while told.ends_with("\n\n") {
        told.pop();
    }
    Ok(told)
}

const DASHES: &str = "----";

/// What was said, folded: one line for what several said alike, at the time and place of the first.
pub(super) fn fold(lines: &[Line], wanted: impl Fn(&str) -> bool) -> String {
    let mut folded: Vec<(Line, Vec<String>)> = Vec::new();
    for line in lines.iter().filter(|line| wanted(&line.text)) {
        let alike = |(first, _): &&mut (Line, Vec<String>)| {
            line.who.is_some() && first.who.is_some() && first.text == line.text
        };
        let who = line.who.as_ref().map_or(String::new(), ToString::to_string);
        match folded.iter_mut().find(alike) {
            Some((_, others)) => {
                if !others.contains(&who) {
                    others.push(who);
                }
            }
            None => folded.push((line.clone(), vec![who])),
        }
    }
    let mut told = String::new();
    for (line, who) in folded {
        let others = match who.len() {
            0 | 1 => String::new(),
            _ => format!(" (and {})", who[1..].join(" ")),
        };
        let _ = writeln!(told, "{line}{others}");
    }
    told
}

/// The state of everything as it truly is, for the end of a story.
pub(super) fn truth(simulation: &Simulation) -> String {
    let mut told = String::new();
    for app in simulation.apps.keys() {
        let Some(state) = simulation.agreed(app) else {
            let _ = writeln!(told, "{app}: never agreed");
            continue;
        };
        let _ = writeln!(
            told,
            "{app}: epoch {} {} {}, active {}",
            state.epoch, state.decision.kind, state.phase, state.active
        );
        for (address, server) in &simulation.world.servers {
            for (name, held) in server.names.iter().filter(|(n, _)| n.starts_with(app.as_str())) {
                let data: Vec<String> =
                    held.sets.values().flatten().map(|d| d.to_string()).collect();
                let (data, times) = (data.join(" "), held.changes);
                // Everything here is kept for half a minute, unless it was shortened.
                let kept = match held.ttl {
                    30 => String::new(),
                    ttl => format!(", kept {ttl} s"),
                };
                let _ = writeln!(told, "  {address}: {name} is {data}, change {times}{kept}");
            }
        }
        for (id, database) in simulation.world.databases.iter().filter(|(id, _)| id.app == *app) {
            let closed = if database.read_only { ", closed" } else { "" };
            let guarded = simulation.world.doors.of.contains(id);
            let open = match (guarded, simulation.world.open(simulation.now, id)) {
                (false, _) => "",
                (true, true) => ", its door is open",
                (true, false) => ", its door is shut",
            };
            let streams = if simulation.world.streams(id) { ", streams" } else { "" };
            let waits: Vec<_> = database.synchronous.iter().map(ToString::to_string).collect();
            let waits = match database.mark {
                0 => String::new(),
                _ => format!(", waits for {}", waits.join(", ")),
            };
            let _ = writeln!(
                told,
                "  {id}: {:?}, {}, timeline {}{closed}{streams}{waits}{open}",
                database.host,
                match database.role {
                    super::world::Role::Primary => "primary",
                    super::world::Role::Replica { .. } => "replica",
                },
                database.timeline
            );
        }
        if let Some(lost) = super::check::outcome::lost(simulation, app) {
            let _ = writeln!(told, "  LOST: {lost}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::moment::Moment;

    #[test]
    fn what_is_said_alike_stands_once() {
        let line = |who: &str, text: &str| Line {
            at: Moment::from_micros(1_500_000),
            who: Some(who.parse().expect("a name")),
            text: text.into(),
        };
        let lines = [line("a1", "misses a3"), line("a2", "misses a3"), line("a1", "may vote")];
        assert_eq!(
            fold(&lines, |text| !text.starts_with("may")),
            "    1.500 a1    misses a3 (and a2)\n"
        );
    }

    #[test]
    fn a_command_that_is_none_is_said_with_its_line() {
        let error = play("# a story\n\nfly west\n").expect_err("nobody flies");
        assert!(error.starts_with("line 3: `fly west`"), "{error}");
    }
}
