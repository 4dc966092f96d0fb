//! The commands of stories.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use consensus::model::{
    AppId, Definition, Phase, RecordData, RecordKind, StackId, TargetId, VotersChange,
};
use consensus::outbox::Command;

use super::words::{
    app, guard_by, host, in_words, mesh, parse, parse_phase, seconds, told_by, web,
};
use super::{fold, truth};
use crate::check::outcome;
use crate::network::Place;
use crate::scene::{AppShape, DNS_SERVER, MeshShape, agent_name};
use crate::simulation::Simulation;
use crate::weather::Moments;
use crate::world::{Path, Trouble};

/// Where a story is played.
#[derive(Default)]
pub struct Stage {
    mesh: Option<MeshShape>,
    apps: Vec<AppShape>,
    simulation: Option<Simulation>,
    heard: usize,
    extra: String,
    verbose: bool,
}

/// What is said too often to be read with pleasure, and follows from the rest.
const BORING: [&str; 12] = [
    "hears ",
    "misses ",
    "starts, run",
    "may vote",
    "abstains: started too recently",
    "proposes ",
    "gives up ",
    "judges ",
    "agreed for ",
    "answers: Agreed",
    "acts for",
    "is done for",
];

impl Stage {
    /// What was said since this was last asked.
    pub fn said(&mut self) -> String {
        let Some(simulation) = &self.simulation else { return String::new() };
        let lines = &simulation.transcript.lines()[self.heard..];
        let verbose = self.verbose;
        let mut told =
            fold(lines, |text| verbose || !BORING.iter().any(|boring| text.starts_with(boring)));
        told.push_str(&std::mem::take(&mut self.extra));
        self.heard = simulation.transcript.lines().len();
        told
    }

    /// Does what one line says.
    ///
    /// # Errors
    /// If it is no command, or something in it is not what it should be.
    pub fn perform(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (verb, words) = words.split_first().ok_or("nothing to do")?;
        match *verb {
            "mesh" => {
                self.mesh = Some(mesh(words)?);
                Ok(())
            }
            "app" => {
                self.apps.push(app(words)?);
                Ok(())
            }
            "start" => self.start(words),
            "verbose" => {
                self.verbose = true;
                Ok(())
            }
            "state" => {
                let told = truth(self.simulation()?);
                self.extra.push_str(&told);
                Ok(())
            }
            "why" => self.why(words),
            _ => perform(self.simulation()?, verb, words),
        }
    }

    fn simulation(&mut self) -> Result<&mut Simulation, String> {
        self.simulation.as_mut().ok_or_else(|| "nothing has been started".to_owned())
    }

    /// `start [seed]`: everybody starts, and every app is applied and qualifies.
    fn start(&mut self, words: &[&str]) -> Result<(), String> {
        let seed = words.first().map_or(Ok(1), |word| parse(word))?;
        let mesh = self.mesh.clone().unwrap_or_else(|| MeshShape::spread(5, 3));
        let mut simulation = Simulation::new(&mesh, &self.apps, seed, true);
        for place in 0..simulation.agents.len() {
            simulation.start(place);
        }
        simulation.run_for(Duration::from_secs(10));
        for app in &self.apps {
            simulation.apply(0, app.definition());
            simulation.run_for(Duration::from_secs(2));
        }
        simulation.run_until(consensus::moment::Moment::from_micros(100_000_000));
        simulation.outside_changed();
        self.heard = simulation.transcript.lines().len();
        let told = truth(&simulation);
        self.extra.push_str(&told);
        self.simulation = Some(simulation);
        Ok(())
    }

    /// `why AGENT APP`: what this agent says will happen, and what stands against it.
    fn why(&mut self, words: &[&str]) -> Result<(), String> {
        let [agent, app] = words else { return Err("expected an agent and an app".into()) };
        let simulation = self.simulation()?;
        let place = place(simulation, agent)?;
        let now = simulation.agents[place].clock.boot(simulation.now);
        let node = simulation.agents[place].node.as_ref().ok_or("it does not run")?;
        let view = node.view(now);
        let quorum = view.quorum.why.map_or(String::new(), |why| format!("; {why}"));
        let wanted = |view: &&consensus::view::AppView| view.app.as_str() == *app;
        let view = view.apps.iter().find(wanted).ok_or("it knows no such app")?;
        let mut told = format!("{agent} on {app}: {}{quorum}\n", view.next);
        for why in &view.unready {
            told.push_str(&format!("  not ready: {why}\n"));
        }
        self.extra.push_str(&told);
        Ok(())
    }
}

fn perform(simulation: &mut Simulation, verb: &str, words: &[&str]) -> Result<(), String> {
    match (verb, words) {
        ("run", [span]) => simulation.run_for(seconds(span)?),
        ("voters", [agent, change @ ..]) => {
            let agent_of = |word: &&str| parse(word);
            let change = match change {
                ["add", agent] => VotersChange::Add { agent: agent_of(agent)? },
                ["remove", agent] => VotersChange::Remove { agent: agent_of(agent)? },
                ["replace", old, new] => {
                    VotersChange::Replace { old: agent_of(old)?, new: agent_of(new)? }
                }
                _ => return Err("expected add, remove or replace".into()),
            };
            let place = place(simulation, agent)?;
            simulation.command(place, Command::Voters { change, by: "operator".into() });
        }
        ("wipe", agents) => each(simulation, agents, Simulation::wipe)?,
        ("copy", agents) => each(simulation, agents, Simulation::copy_disk)?,
        ("restore", agents) => each(simulation, agents, Simulation::restore_disk)?,
        ("until", ["voters", version, "within", span]) => {
            let (version, end) = (parse(version)?, simulation.now + seconds(span)?);
            while simulation.electorate.latest().version < version {
                if end <= simulation.now || !simulation.step() {
                    simulation.say(|| format!("the voters did not get to {version} in time"));
                    break;
                }
            }
        }
        ("until", [app, "settled", "within", span]) => {
            until(simulation, &parse(app)?, seconds(span)?, None)?;
        }
        ("until", [app, phase, "within", span]) => {
            until(simulation, &parse(app)?, seconds(span)?, Some(parse_phase(phase)?))?;
        }
        ("stack", [app, stack, how]) => {
            let (app, stack) = (parse(app)?, parse(stack)?);
            match *how {
                "up" => simulation.mend_stack(&app, &stack),
                _ => {
                    simulation.break_web(&app, &stack, web(how)?);
                    simulation.break_database(&app, &stack, host(how)?);
                }
            }
        }
        ("web", [app, stack, how]) => simulation.break_web(&parse(app)?, &parse(stack)?, web(how)?),
        ("endpoint", [app, stack, name, how]) => {
            let id = TargetId { app: parse(app)?, stack: parse(stack)?, name: parse(name)? };
            simulation.break_endpoint(&id, web(how)?);
        }
        ("source", [app, stack, told @ ..]) => {
            let (app, stack, told) = (parse(app)?, parse(stack)?, told_by(told)?);
            simulation.say(|| format!("the source of {app}/{stack} tells {}", in_words(&told)));
            simulation.world.tell(None, &app, &stack, told);
        }
        ("lie", [agent, app, stack, told @ ..]) => {
            let (app, stack, told) = (parse(app)?, parse(stack)?, told_by(told)?);
            let agent = simulation.agents[place(simulation, agent)?].id.clone();
            simulation
                .say(|| format!("{agent} alone is told {} of {app}/{stack}", in_words(&told)));
            simulation.world.tell(Some(&agent), &app, &stack, told);
        }
        ("tell-all-alike", []) => simulation.world.tell_all_alike(),
        ("database", [app, stack, how]) => {
            simulation.break_database(&parse(app)?, &parse(stack)?, host(how)?);
        }
        ("blind", [agents @ .., app, stack]) => {
            for agent in agents {
                let agent = simulation.agents[place(simulation, agent)?].id.clone();
                let path = Path { cut: true, loss: 0.0 };
                simulation.world.paths.insert((agent, parse(app)?, parse(stack)?), path);
            }
            simulation.outside_changed();
        }
        ("lossy", [share, app, stack]) => {
            let path = Path { cut: false, loss: parse(share)? };
            for agent in simulation.agents.iter().map(|agent| agent.id.clone()) {
                simulation.world.paths.insert((agent, parse(app)?, parse(stack)?), path);
            }
            simulation.outside_changed();
        }
        ("host", [app, stack, "dies"]) => simulation.host_dies(&parse(app)?, &parse(stack)?),
        ("site", [app, stack, "cut"]) => {
            simulation.cut_off_site(&parse(app)?, &parse(stack)?, true);
        }
        ("site", [app, stack, "reached"]) => simulation.reach_site(&parse(app)?, &parse(stack)?),
        ("sever", [app, stack]) => {
            let id =
                simulation.database(&parse(app)?, &parse(stack)?).ok_or("it has no database")?;
            simulation.world.hear(simulation.now);
            simulation.world.severed.insert(id);
        }
        ("elect", [app, stack]) => simulation.elect(&parse(app)?, &parse(stack)?),
        ("claim", [app, stack]) => simulation.claim(&parse(app)?, &parse(stack)?),
        ("another-set", [app, stack]) => simulation.set_apart(&parse(app)?, &parse(stack)?),
        ("hide", [agents @ .., app, stack]) => {
            let (app, stack) = (parse(app)?, parse(stack)?);
            each(simulation, agents, |simulation, place| {
                simulation.hide_database(place, &app, &stack);
            })?;
        }
        ("see", []) => {
            simulation.world.paths.clear();
            simulation.world.hidden.clear();
            simulation.outside_changed();
        }
        ("bar", agents) => each(simulation, agents, |simulation, place| {
            let agent = simulation.agents[place].id.clone();
            simulation.world.barred.insert(agent);
        })?,
        ("admit", []) => simulation.world.barred.clear(),
        ("records-server", [how]) => {
            let trouble = match *how {
                "up" => Trouble::None,
                "dark" => Trouble::Dark,
                "refusing" => Trouble::Refusing,
                "failing" => Trouble::Failing { done: false },
                other => {
                    return Err(format!("expected up, dark, refusing or failing, found `{other}`"));
                }
            };
            simulation.say(|| format!("{DNS_SERVER} is {how}"));
            simulation.world.servers.entry(DNS_SERVER.into()).or_default().trouble = trouble;
        }
        ("edit", [name, address]) => {
            let data = RecordData::Address(parse(address)?);
            simulation.say(|| format!("somebody has {name} hold {address}"));
            simulation.world.edit(name, RecordKind::A, &data);
        }
        ("rebuild", []) => simulation.rebuild_replicas(),
        ("kill", agents) => each(simulation, agents, Simulation::crash)?,
        ("restart", agents) => each(simulation, agents, Simulation::start)?,
        ("stop", agents) => each(simulation, agents, Simulation::stop)?,
        ("continue", agents) => each(simulation, agents, Simulation::resume)?,
        ("cut", agents) => cut(simulation, agents)?,
        ("part", [one, other]) => {
            let (one, other) = (place(simulation, one)?, place(simulation, other)?);
            simulation.cut(one, other, true);
            simulation.cut(other, one, true);
        }
        ("lose-the-world", agents) => each(simulation, agents, |simulation, place| {
            let agent = simulation.agents[place].id.clone();
            simulation.world.outward.insert(agent, Path { cut: true, loss: 0.0 });
            simulation.outside_changed();
        })?,
        ("silence-canaries", agents) => each(simulation, agents, |simulation, place| {
            simulation.world.silent.insert(simulation.agents[place].id.clone());
        })?,
        ("heal", []) => simulation.heal(&BTreeSet::new()),
        ("trap", [phase, when]) => {
            let when = match *when {
                "before" => Moments::Before,
                "after" => Moments::After,
                other => return Err(format!("expected before or after, found `{other}`")),
            };
            simulation.rates.traps.insert((u64::from(parse_phase(phase)?.step()), when));
        }
        ("apply", [agent, app, options @ ..]) => {
            let app: AppId = parse(app)?;
            let trade = simulation.apps.get(&app).ok_or("no such app")?;
            let mut definition = trade.definition.as_ref().clone();
            for option in options {
                match option.split_once('=') {
                    Some(("ttl", ttl)) => definition.records[0].ttl = parse(ttl)?,
                    Some(("drain", drained)) => drain(&mut definition, drained),
                    Some(("cooldown", span)) => definition.cooldown = seconds(span)?,
                    Some(("guards", names)) => guard_by(&mut definition, names)?,
                    Some(("sync", number)) => definition.data.sync = parse(number)?,
                    Some(("databases", "none")) => {
                        definition.stacks.iter_mut().for_each(|it| it.databases.clear());
                    }
                    _ => {
                        return Err(format!(
                            "expected ttl=, drain=, cooldown=, guards=, sync= or databases=none, found `{option}`"
                        ));
                    }
                }
            }
            let definition = Arc::new(definition);
            let place = place(simulation, agent)?;
            simulation.command(place, Command::Apply { definition, replaces: None, active: None });
        }
        ("switchover", [agent, app, stack, option @ ..]) => {
            let (app, to) = (parse(app)?, Some(parse::<StackId>(stack)?));
            let place = place(simulation, agent)?;
            let (well_for, by) = (None, "operator".into());
            let at_once = match option {
                [] => true,
                ["planned"] => false,
                _ => return Err("expected planned or nothing".into()),
            };
            simulation.command(place, Command::Switchover { app, to, well_for, at_once, by });
        }
        ("failback", [agent, app, stack, span]) => {
            let (app, to) = (parse(app)?, Some(parse::<StackId>(stack)?));
            let (place, by) = (place(simulation, agent)?, "operator".into());
            let well_for = Some(seconds(span)?);
            let at_once = true;
            simulation.command(place, Command::Switchover { app, to, well_for, at_once, by });
        }
        ("failover", [agent, app, stack, option @ ..]) => {
            let (app, to) = (parse(app)?, Some(parse::<StackId>(stack)?));
            let accept_loss = accepts_loss(option)?;
            let (place, by) = (place(simulation, agent)?, "operator".into());
            simulation.command(place, Command::Failover { app, to, accept_loss, by });
        }
        ("approve", [agent, app]) => {
            let (app, place) = (parse(app)?, place(simulation, agent)?);
            simulation.command(place, Command::Approve { app, by: "operator".into() });
        }
        ("abort", [agent, app, option @ ..]) => {
            let (app, place) = (parse::<AppId>(app)?, place(simulation, agent)?);
            let (accept_loss, by) = (accepts_loss(option)?, "operator".into());
            if accept_loss {
                simulation.forgiven.insert(app.clone());
            }
            simulation.command(place, Command::Abort { app, accept_loss, by });
        }
        ("freeze", [agent, app, span, reason @ ..]) => {
            let (app, place, lasts) = (parse(app)?, place(simulation, agent)?, seconds(span)?);
            let (reason, by) = (reason.join(" "), "operator".into());
            simulation.command(place, Command::Freeze { app, lasts, reason, by });
        }
        ("unfreeze", [agent, app]) => {
            let (app, place) = (parse(app)?, place(simulation, agent)?);
            simulation.command(place, Command::Unfreeze { app, by: "operator".into() });
        }
        ("ack", [agent, app]) => {
            let (app, place) = (parse(app)?, place(simulation, agent)?);
            simulation.command(place, Command::Ack { app, by: "operator".into() });
        }
        _ => return Err("no such command".into()),
    }
    Ok(())
}

/// An endpoint is reached elsewhere than its record leads to, in every stack.
fn drain(definition: &mut Definition, name: &str) {
    let endpoints = definition.stacks.iter_mut().flat_map(|stack| &mut stack.endpoints);
    for endpoint in endpoints.filter(|it| it.name.as_str() == name) {
        endpoint.address = format!("{}9", endpoint.address);
    }
}

fn until(
    simulation: &mut Simulation,
    app: &AppId,
    span: Duration,
    phase: Option<Phase>,
) -> Result<(), String> {
    let end = simulation.now + span;
    while simulation.now < end {
        let there = match phase {
            Some(phase) => simulation.agreed(app).is_some_and(|state| state.phase == phase),
            None => outcome::unsettled(simulation, app).is_none(),
        };
        if there {
            return Ok(());
        }
        if !simulation.step() {
            break;
        }
    }
    simulation.say(|| format!("{app} did not get there within {} s", span.as_secs()));
    Ok(())
}

/// Everybody named is cut off from everybody else.
fn cut(simulation: &mut Simulation, agents: &[&str]) -> Result<(), String> {
    let side: BTreeSet<Place> =
        agents.iter().map(|agent| place(simulation, agent)).collect::<Result<_, _>>()?;
    for from in 0..simulation.agents.len() {
        for to in 0..simulation.agents.len() {
            if side.contains(&from) != side.contains(&to) {
                simulation.network.edge_mut(from, to).cut = true;
            }
        }
    }
    simulation.look_at_links();
    Ok(())
}

fn each(
    simulation: &mut Simulation,
    agents: &[&str],
    mut what: impl FnMut(&mut Simulation, Place),
) -> Result<(), String> {
    let everybody: Vec<String> =
        (0..simulation.agents.len()).map(|place| agent_name(place).to_string()).collect();
    let named: Vec<&str> = match agents {
        ["all"] => everybody.iter().map(String::as_str).collect(),
        _ => agents.to_vec(),
    };
    for agent in named {
        let place = place(simulation, agent)?;
        what(simulation, place);
    }
    Ok(())
}

fn place(simulation: &Simulation, agent: &str) -> Result<Place, String> {
    simulation.place(&parse(agent)?).ok_or_else(|| format!("no agent `{agent}`"))
}

fn accepts_loss(option: &[&str]) -> Result<bool, String> {
    match option {
        [] => Ok(false),
        ["accept-loss"] => Ok(true),
        _ => Err("expected accept-loss or nothing".into()),
    }
}
