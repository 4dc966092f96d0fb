//! The loop: take one input, perform all outputs in order, wait.
//!
//! What is saved is durable before the next output is looked at; that is the loop's only rule, and all that stands
//! between the core's promises and the network. If the store fails the process ends there and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use consensus::judge::HEARD_WITHIN;
use consensus::model::{AgentId, Quarantined, TargetId};
use consensus::moment::Moment;
use consensus::node::Node;
use consensus::outbox::{Answer, CommandId, Input, Note, Output};
use consensus::saved::Entry;
use sd_notify::NotifyState;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::warnings::Warnings;
use super::{Agreed, Ask, Event, Seen, sight};
use crate::actors::Actors;
use crate::clock;
use crate::guard::{DoorFault, Guard, Rejoins};
use crate::mesh::Mesh;
use crate::probes::Probes;
use crate::sources::Sources;
use crate::standing;
use crate::store::{Store, StoreError};

/// How often the core is told what the other clocks say.
const CLOCKS: Duration = Duration::from_secs(1);
/// After so long without a majority it is looked which stacks are seen up: two of the pulses that are missed.
const SILENCE: Duration = Duration::from_secs(2);
/// Commands whose asker may have gone away.
const COMMANDS_LIMIT: usize = 256;
/// The exit status when a door cannot be shut: `EX_OSERR`.
const DOOR_FAILED: i32 = 71;
/// The exit status when what must survive cannot be written: `EX_IOERR`.
const STORE_FAILED: i32 = 74;

/// Everything the loop owns.
pub(super) struct Turn {
    pub agent: AgentId,
    pub node: Node,
    /// Absent only while a save is under way.
    pub store: Option<Store>,
    pub mesh: Mesh,
    pub probes: Probes,
    pub sources: Sources,
    pub actors: Actors,
    pub guard: Guard,
    pub rejoins: Rejoins,
    pub inputs: mpsc::Receiver<Input>,
    pub asks: mpsc::Receiver<Ask>,
    pub agreed: watch::Sender<Arc<Agreed>>,
    pub events: broadcast::Sender<Arc<Event>>,
    pub number: u64,
    pub heard: bool,
    pub seen: Arc<Seen>,
    pub commands: HashMap<CommandId, oneshot::Sender<Answer>>,
    pub command: u64,
    pub watchdog: bool,
    pub warnings: Warnings,
    /// Why the store must not vote again: its log says so by now, and the next start begins a fresh one.
    pub quarantined: Option<Quarantined>,
}

impl Turn {
    /// Runs until it is told to stop, or the mesh finds that its store must not vote again: then says why.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Option<Quarantined> {
        self.perform_all().await;
        let mut clocks = interval(CLOCKS);
        clocks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut woken = false;
        while self.quarantined.is_none() {
            let (at, _) = self.node.wake();
            let now = clock::now();
            // At once, but never twice running while anything else may be waiting.
            if at <= now && !woken {
                woken = true;
                self.take(Input::Wake).await;
                continue;
            }
            woken = false;
            tokio::select! {
                () = sleep(at.since(now)) => self.take(Input::Wake).await,
                _ = clocks.tick() => self.tick().await,
                Some(input) = self.inputs.recv() => self.take(input).await,
                Some(ask) = self.asks.recv() => self.answer(ask).await,
                _ = &mut stop => break,
            }
        }
        self.guard.stop().await;
        self.mesh.close().await;
        self.quarantined
    }

    async fn take(&mut self, input: Input) {
        self.node.handle(clock::now(), input);
        self.perform_all().await;
    }

    async fn tick(&mut self) {
        let (wall_ms, monotonic) = (clock::wall_ms(), clock::monotonic());
        self.take(Input::Clocks { wall_ms, monotonic }).await;
        let (now, heard) = (clock::now(), self.node.quorum_heard());
        self.seen = match now.since(heard) < SILENCE {
            true => Arc::default(),
            false => Arc::new(sight::seen(&self.node.view(now), &self.agent)),
        };
        self.heard = now.since(heard) < HEARD_WITHIN;
        self.publish(Some(heard));
        let told = self.warnings.on_tick(self.node.warnings(clock::now()), clock::now());
        for note in told {
            self.tell(note);
        }
        if self.watchdog {
            // From the loop itself, so that a loop that hangs is restarted. Without systemd nobody listens.
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            // Whoever asked may have gone away.
            Ask::View(asker) => drop(asker.send(self.node.view(clock::now()))),
            Ask::Command(command, asker) => {
                if COMMANDS_LIMIT <= self.commands.len() {
                    self.commands.retain(|_, asker| !asker.is_closed());
                }
                self.command += 1;
                let id = CommandId(self.command);
                self.commands.insert(id, asker);
                self.take(Input::Command(id, command)).await;
            }
        }
    }

    async fn perform_all(&mut self) {
        // Saves in a row share one sync: none of them is followed by anything before it.
        let mut saves = Vec::new();
        while let Some(output) = self.node.poll() {
            match output {
                Output::Save(entry) => saves.push(entry),
                Output::Lease(target, until) => {
                    self.save(&mut saves).await;
                    // What is told behind it may be that the door is shut.
                    if let Err(why) = self.guard.hold(&target, until).await {
                        end_unshut(&self.agent, &target, &why);
                    }
                    self.probes.hold(target, until);
                }
                other => {
                    self.save(&mut saves).await;
                    self.perform(other);
                }
            }
        }
        self.save(&mut saves).await;
        self.publish(None);
    }

    async fn save(&mut self, saves: &mut Vec<Entry>) {
        if saves.is_empty() {
            return;
        }
        let store = self.store.take().expect("saves come one after another");
        self.store = Some(save_or_end(&self.agent, store, std::mem::take(saves)).await);
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Save(_) | Output::Lease(..) => {
                unreachable!("performed by themselves, because they are waited for")
            }
            Output::Send(to, message) => self.mesh.send(&to, &message),
            Output::Address(agent, address) => self.mesh.learn(agent, address),
            Output::Probe(look) => self.probes.perform(look),
            Output::Act(action) => self.actors.start(action),
            Output::Inspect(inspection) => self.actors.inspect(inspection),
            Output::Seek(sought) => self.sources.seek(sought),
            Output::Rejoin(rejoin) => self.rejoins.start(*rejoin),
            Output::Note(note) => self.tell(note),
            Output::Quarantine(why) => self.quarantined = Some(why),
            Output::Answer(id, answer) => {
                if let Some(asker) = self.commands.remove(&id) {
                    // Whoever asked may have gone away.
                    let _ = asker.send(answer);
                }
            }
        }
    }

    fn tell(&mut self, note: Note) {
        log(&self.agent, &note);
        self.number += 1;
        let event = Event { number: self.number, wall_ms: clock::wall_ms(), note };
        // Nobody may be listening.
        let _ = self.events.send(Arc::new(event));
    }

    /// Tells DNS and everybody else what is agreed: changes at once, its confirmation when there is one.
    fn publish(&mut self, confirmed: Option<Moment>) {
        let told = self.agreed.borrow().clone();
        let confirmed = told.confirmed.max(confirmed.unwrap_or_default());
        let (apps, handing) = (self.node.states(), self.node.handing());
        let since = standing::note(&told.since, &apps, clock::now());
        let next =
            Agreed { apps, handing, since, confirmed, heard: self.heard, seen: self.seen.clone() };
        if !next.same(&told) || told.confirmed < confirmed || told.seen != next.seen {
            self.agreed.send_replace(Arc::new(next));
        }
    }
}

/// Makes entries durable. A disk may take its time, and links and DNS must not wait for it.
pub(super) async fn save_or_end(agent: &AgentId, mut store: Store, entries: Vec<Entry>) -> Store {
    let saved = tokio::task::spawn_blocking(move || {
        let outcome = store.append(entries);
        (store, outcome)
    });
    match saved.await {
        Ok((store, Ok(()))) => store,
        Ok((_, Err(error))) => end_process(agent, &error),
        Err(broken) => std::panic::resume_unwind(broken.into_panic()),
    }
}

/// Ends the process without another word to anybody: what was to be durable is not, and trying again would only look as
/// if it were. A restart goes on from what is on disk.
fn end_process(agent: &AgentId, error: &StoreError) -> ! {
    let line = super::start::one_line(error);
    tracing::error!(agent = %agent, "{line}: ends, because what it promised may not be on disk");
    std::process::exit(STORE_FAILED)
}

/// Ends the process rather than let it say that a door is shut which may not be: the kernel shuts it when its time is up.
fn end_unshut(agent: &AgentId, target: &TargetId, why: &DoorFault) -> ! {
    let line = super::start::one_line(why);
    tracing::error!(agent = %agent, "cannot shut the door of {target}: {line}: ends, and says nothing of it");
    std::process::exit(DOOR_FAILED)
}

fn log(agent: &AgentId, note: &Note) {
    match note {
        Note::Alarm(_) | Note::Quarantined(_) => tracing::error!(agent = %agent, "{note}"),
        Note::Abstains(Some(_))
        | Note::Misses(_)
        | Note::Suspects { .. }
        | Note::Holds { .. }
        | Note::Warns(_)
        | Note::Drifts { .. }
        | Note::Leaves { .. }
        | Note::Owes { .. }
        | Note::HandsOut { .. }
        | Note::Finds { what: Err(_), .. }
        | Note::GivesUp { .. }
        | Note::Refuses { .. }
        | Note::Denies { .. }
        | Note::Loses { .. }
        | Note::Reports { what: Err(_), .. } => tracing::warn!(agent = %agent, "{note}"),
        Note::Judges { .. }
        | Note::Abstains(None)
        | Note::Hears(_)
        | Note::Voters { .. }
        | Note::Changing(_)
        | Note::Proposes { .. }
        | Note::Learns { .. }
        | Note::Frozen { .. }
        | Note::Thawed { .. }
        | Note::Lifetimes { .. }
        | Note::Relies { .. }
        | Note::Acknowledged { .. }
        | Note::Acts { .. }
        | Note::Finds { what: Ok(_), .. }
        | Note::Guards { .. }
        | Note::Rests { .. }
        | Note::Reports { .. } => tracing::info!(agent = %agent, "{note}"),
    }
}
