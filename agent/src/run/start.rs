//! Starts an agent: reads who it is, opens what it keeps, binds, and sets the loop going.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consensus::codec;
use consensus::config::Config;
use consensus::model::{MeshId, Quarantined, RegisterId, Voter, Voters, VotersState};
use consensus::node::Node;
use consensus::saved::Saved;
use probe::Means;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::turn::Turn;
use super::warnings::Warnings;
use super::{Agreed, Handle};
use crate::actors::Actors;
use crate::clock;
use crate::config::{AgentConfig, DoorConfig};
use crate::guard::{DoorFault, Doors, Guard, Rejoins};
use crate::identity::{Identity, IdentityError, Member, VotersError, read_voters};
use crate::mesh::{Counters, Mesh, MeshError, Setup};
use crate::probes::Probes;
use crate::readiness::Looks;
use crate::sources::Sources;
use crate::standing::{self, Since};
use crate::store::{Opened, Owner, Quarantine, Store, StoreError};
use crate::weak::{self, Weak};

/// Inputs that wait for the loop. It takes one in microseconds, so a full queue means that it does not keep up, and
/// then whoever feeds it waits.
const INPUTS: usize = 256;
/// Questions that wait for the loop.
const ASKS: usize = 64;
/// Events a slow reader may lag behind.
const EVENTS: usize = 1024;

/// A running agent. Dropping it stops it.
pub struct Running {
    /// What others may ask of the loop.
    pub handle: Handle,
    /// Who this agent is.
    pub member: Member,
    /// In which mesh.
    pub mesh: MeshId,
    /// Where it listens.
    pub address: SocketAddr,
    /// What goes over its links.
    pub counters: Arc<Counters>,
    /// The doors of its host.
    pub doors: Doors,
    /// With what it looks whether standbys are ready.
    pub(crate) looks: Looks,
    /// Why it began a fresh store in the place of an earlier one, until the voters count that.
    pub quarantine: Option<Quarantine>,
    stop: Option<oneshot::Sender<()>>,
    turning: JoinHandle<Option<Quarantined>>,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot prove who it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It does not know who votes.
    #[error(transparent)]
    Voters(#[from] VotersError),
    /// It cannot keep anything.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot guard what it is to guard.
    #[error("cannot close the doors of `[guard]`")]
    Guard(#[from] DoorFault),
    /// It cannot listen.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Its voters are another mesh's.
    #[error(
        "`{}` is of mesh {found} and the certificate of mesh {expected}: give the files of the same `quorate init`",
        path.display()
    )]
    OtherMesh {
        /// The voters' file.
        path: PathBuf,
        /// The mesh it names.
        found: MeshId,
        /// The mesh of the certificate.
        expected: MeshId,
    },
    /// Certificate and voters say different things about it.
    #[error(
        "the certificate says `{member}` and `{}` says {said}: give the files of the same `quorate init`",
        path.display()
    )]
    OtherRole {
        /// The voters' file.
        path: PathBuf,
        /// What the certificate says.
        member: Member,
        /// What the file says.
        said: String,
    },
    /// The operating system refuses something small.
    #[error("cannot start")]
    System(#[from] io::Error),
}

impl StartError {
    /// The error and its causes as one line.
    pub fn line(&self) -> String {
        one_line(self)
    }
}

pub(super) fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

/// Starts an agent. Must be called within a runtime; returns once it listens and the loop turns.
///
/// # Errors
/// If anything about its files, its folder or its address is wrong.
pub async fn start(config: &AgentConfig) -> Result<Running, StartError> {
    let identity = Identity::load(&config.mesh, clock::wall_ms())?;
    let member = identity.member.clone();
    let voters = read_voters(&config.mesh.voters)?;
    let owner = Owner {
        mesh: identity.mesh,
        agent: &member.name,
        voter: member.voter,
        bootstrap: bootstrap(config, &identity, &voters)?,
    };
    let (store, opened) = Store::open(&config.data_dir, owner)?;
    let agreed = agreed(&opened.saved, &voters);
    let counted =
        opened.ballots.as_ref().is_some_and(|own| agreed.by_acceptor(own.acceptor).is_some());
    tell(&member, &opened, counted);

    // Before anybody can ask for anything: a door is shut until its lease is there.
    let guard = Guard::start(config.doors.clone(), config.watchdog).await?;
    let door = |door: &DoorConfig| (door.app.clone(), door.database.clone());

    let (sender, inputs) = mpsc::channel(INPUTS);
    let mesh = Mesh::start(Setup {
        identity: &identity,
        voters: &voters,
        listen: config.mesh.listen,
        advertise: config.mesh.advertise.clone(),
        seeds: config.mesh.seeds.clone(),
        instance: rand::random(),
        inputs: sender.clone(),
    })?;
    let (address, counters) = (mesh.local_address()?, mesh.counters());

    let now = clock::now();
    let me = Config {
        ballots: opened.ballots,
        credentials: config.credentials.keys().cloned().collect(),
        canaries: config.canaries.clone(),
        doors: Some(config.doors.iter().map(door).collect()),
        rejoins: Some(config.doors.iter().filter(|it| !it.rejoin.is_empty()).map(door).collect()),
        ..Config::observer(
            member.name.clone(),
            member.region.clone(),
            mesh.address().to_owned(),
            voters,
        )
    };
    let node = Node::new(me, opened.saved, now, rand::random());
    let (asker, asks) = mpsc::channel(ASKS);
    let (events, _) = broadcast::channel(EVENTS);
    // What was agreed before the restart is answered at once: the start counts as a confirmation.
    let (agreed, _) = watch::channel(Arc::new(Agreed {
        apps: node.states(),
        handing: node.handing(),
        since: standing::note(&Since::new(), &node.states(), now),
        confirmed: now,
        heard: false,
        seen: Arc::default(),
    }));
    let handle = Handle { asks: asker, agreed: agreed.subscribe(), events: events.clone() };
    let credentials = Arc::new(config.credentials.clone());
    let actors = Actors::new(credentials.clone(), sender.clone());
    let weak = weak::start(Weak {
        agent: member.name.clone(),
        doors: config.weak_doors.clone(),
        folder: config.data_dir.clone(),
        means: Means::of_host(config.source),
        actors: actors.clone(),
        credentials: credentials.clone(),
        agreed: agreed.subscribe(),
    });
    let doors = guard.doors().with_weak(weak);
    let looks = Looks {
        means: Means::of_host(config.source),
        actors: actors.clone(),
        credentials: credentials.clone(),
    };
    let turn = Turn {
        agent: member.name.clone(),
        node,
        store: Some(store),
        mesh,
        probes: Probes::new(config.source, &config.credentials, &config.doors, sender.clone()),
        sources: Sources::new(sender.clone()),
        guard,
        rejoins: Rejoins::new(&config.doors, credentials, &config.data_dir, sender),
        actors: actors.guarding(&member.name, &config.doors),
        inputs,
        asks,
        agreed,
        events,
        number: 0,
        heard: false,
        seen: Arc::default(),
        commands: HashMap::new(),
        command: 0,
        warnings: Warnings::default(),
        watchdog: sd_notify::watchdog_enabled().is_some(),
        quarantined: None,
    };
    let (stop, stopped) = oneshot::channel();
    let turning = tokio::spawn(turn.run(stopped));
    let quarantine = opened.quarantine.filter(|_| !counted);
    let (mesh, stop) = (identity.mesh, Some(stop));
    Ok(Running { handle, member, mesh, address, counters, doors, looks, quarantine, stop, turning })
}

/// What the voters' file says of this agent: the store it was made with, if it was one of the first voters. Who votes by
/// now is in the log.
fn bootstrap<'v>(
    config: &AgentConfig,
    identity: &Identity,
    voters: &'v Voters,
) -> Result<Option<&'v Voter>, StartError> {
    let (path, member) = (config.mesh.voters.clone(), identity.member.clone());
    if voters.mesh != identity.mesh {
        let (found, expected) = (voters.mesh, identity.mesh);
        return Err(StartError::OtherMesh { path, found, expected });
    }
    match voters.by_agent(&member.name).filter(|_| member.voter) {
        Some(voter) if voter.region != member.region => {
            let said = format!("that it is in `{}`", voter.region);
            Err(StartError::OtherRole { path, member, said })
        }
        found => Ok(found),
    }
}

/// Who votes, as far as the log knows.
fn agreed(saved: &Saved, bootstrap: &Voters) -> Voters {
    let register = saved.registers.get(&RegisterId::Voters);
    let chosen = register.and_then(|register| register.chosen.as_ref());
    let state = chosen.and_then(|it| codec::decode::<VotersState>(it.value.bytes()).ok());
    state.map_or_else(|| bootstrap.clone(), |state| state.voters)
}

/// Says what became of this agent's store, if anything did.
fn tell(member: &Member, opened: &Opened, counted: bool) {
    let name = &member.name;
    match (&opened.quarantine, member.voter) {
        (Some(why), true) if !counted => tracing::error!(
            agent = %name,
            "begins a fresh store and stands by until the voters take it in: {why}"
        ),
        (Some(why), false) => tracing::warn!(agent = %name, "begins a fresh store: {why}"),
        (None, true) if !counted => {
            tracing::warn!(agent = %name, "stands by: `quorate voters add {name}` lets it vote");
        }
        (Some(_) | None, _) => {}
    }
}

impl Running {
    /// Tells systemd that the agent serves: to be called once everything listens.
    pub fn ready(&self) {
        let status = match &self.quarantine {
            Some(why) if self.member.voter => {
                format!("{}, began a fresh store: {why}", self.member)
            }
            _ => self.member.to_string(),
        };
        // Without systemd nobody listens.
        let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
        let (member, address) = (&self.member, self.address);
        tracing::info!(agent = %member.name, "starts as {member}, listens on UDP `{address}`");
    }

    /// Runs until SIGTERM or SIGINT, or until the loop ends by itself, which is an error.
    ///
    /// # Errors
    /// If signals cannot be had, or the loop broke.
    pub async fn until_told(mut self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            ended = &mut self.turning => {
                let why = match ended {
                    Ok(Some(why)) => {
                        format!("{why}; it ends, and begins a fresh store when it is started again")
                    }
                    Ok(None) => "the loop ended by itself".into(),
                    Err(error) => format!("the loop broke: {error}"),
                };
                return Err(io::Error::other(why));
            }
        }
        tracing::info!(agent = %self.member.name, "stops");
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        self.stop().await;
        Ok(())
    }

    /// Stops the loop and hangs up. Everything saved is durable already.
    pub async fn stop(mut self) {
        /// The links' farewell takes half a second at most.
        const PATIENCE: Duration = Duration::from_secs(2);
        if let Some(stop) = self.stop.take() {
            // The loop may have ended before.
            let _ = stop.send(());
        }
        let _ = tokio::time::timeout(PATIENCE, &mut self.turning).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.turning.abort();
    }
}

#[cfg(test)]
mod tests;
