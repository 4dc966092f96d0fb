//! Letters to agents by hand: what a network may still carry, hours late, of an agent that is stopped or gone. They are under
//! its own certificate and say what its own disk says; another's hand can send the same.
//!
//! This module alone of the harness knows what agents say to one another.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use agent::config::MeshConfig;
use agent::identity::{Identity, read_voters};
use agent::mesh::{Mesh, Setup};
use agent::store;
use consensus::failover::plan;
use consensus::message::{Accepted, GuardBody, GuardMessage, Message};
use consensus::model::{AgentId, AppId, AppState, Effect, MeshId, RegisterId};
use consensus::outbox::Input;
use consensus::saved::{Saved, replay};
use consensus::value;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::agents::{Agent, MESH_PORT};
use super::fabric::{address, router};

/// Where an agent keeps what must survive, in its data folder.
const LOG: &str = "log";
/// Until whoever had this name before is known to be gone, it is linked with again, and has answered.
const ANSWERED: Duration = Duration::from_secs(30);
/// Messages are lost, and there may be no link yet.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a request may still be begun, by what it says itself: as long as any.
const LEFT: Duration = Duration::from_secs(5);

/// What an agent's disk holds, whether it runs, is stopped or gone.
pub fn on_disk(agent: &Agent<'_>) -> Saved {
    let log = fs::read(agent.data().join(LOG)).expect("it has started before");
    replay(&log).expect("it wrote it").saved
}

/// Takes everything from the disk of an agent that does not run, but whose it is and the tokens that it acted with.
pub fn forget_all_but_tokens(agent: &Agent<'_>) {
    let Saved { birth, boot, obeyed, .. } = on_disk(agent);
    fs::remove_file(agent.data().join(LOG)).expect("it was read just now");
    let left = Saved { birth, boot, obeyed, ..Saved::default() };
    store::create(agent.data(), &left, None).expect("there is no store any more");
}

/// What an agent knew to be agreed on an app, by its disk.
pub struct Agreed {
    mesh: MeshId,
    accepted: Accepted,
    /// What it comes to.
    pub state: AppState,
}

impl Agreed {
    /// By this disk.
    pub fn on(disk: &Saved, app: &str) -> Self {
        let app: AppId = app.parse().expect("a name");
        let register = disk.registers.get(&RegisterId::App(app)).expect("it knows the app");
        let accepted = register.chosen.clone().expect("something is agreed");
        let state = value::decode(&accepted.value).expect("it was encoded by an agent");
        let mesh = disk.birth.as_ref().expect("it is somebody's").mesh;
        Self { mesh, accepted, state }
    }

    /// What whoever holds the claim would ask this guard for.
    pub fn request(&self, guard: &str) -> GuardMessage {
        let Self { mesh, accepted, state } = self;
        let term = state.claim.as_ref().expect("somebody carries it out").term;
        let effects = plan::effects(state);
        let guarded = |effect: &Effect| plan::database(effect)?.guard.clone();
        let theirs = |effect: &Effect| guarded(effect).is_some_and(|it| it.as_str() == guard);
        let place = effects.iter().position(theirs).expect("the guard has something to do");
        let target = plan::target(state, &effects[place]).expect("it is done to a database");
        let item = u16::try_from(place).expect("few effects");
        let body = GuardBody::Asks { agreed: accepted.clone(), left: LEFT };
        GuardMessage { mesh: *mesh, target, token: plan::token(state), term, item, body }
    }
}

/// Somebody who writes letters to one agent, from the router: no cut between hosts keeps them off.
pub struct Hand {
    runtime: Runtime,
    mesh: Mesh,
    inputs: mpsc::Receiver<Input>,
    to: AgentId,
}

impl Hand {
    /// Under the certificate in this folder, to the agent `to` on `host`.
    pub fn of(home: &Path, to: &str, host: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let own = router(host);
        let files = MeshConfig {
            listen: (own, 0).into(),
            advertise: format!("{own}:0"),
            seeds: vec![format!("{}:{MESH_PORT}", address(host))],
            certificate: home.join("agent.crt"),
            key: home.join("agent.key"),
            authority: home.join("mesh.crt"),
            voters: home.join("voters.toml"),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let now = u64::try_from(now.as_millis()).expect("before the sun dies");
        let identity = Identity::load(&files, now).expect("it was enrolled");
        let voters = read_voters(&files.voters).expect("init wrote it");
        // Room for all that is said to it while nobody reads.
        let (sender, inputs) = mpsc::channel(65_536);
        let entered = runtime.enter();
        let setup = Setup {
            identity: &identity,
            voters: &voters,
            listen: files.listen,
            advertise: files.advertise,
            seeds: files.seeds,
            instance: now,
            inputs: sender,
        };
        let mesh = Mesh::start(setup).expect("a free port");
        drop(entered);
        Self { runtime, mesh, inputs, to: to.parse().expect("a name") }
    }

    /// Asks the guard, again and again until it has answered, and returns what it said first.
    pub fn ask(&mut self, asked: &GuardMessage) -> GuardBody {
        let Self { runtime, mesh, inputs, to } = self;
        let answer = async {
            loop {
                mesh.send(to, &Message::Guard(Box::new(asked.clone())));
                if let Ok(body) = timeout(AGAIN, answered(inputs, to, asked)).await {
                    return body;
                }
            }
        };
        let answer = runtime.block_on(async { timeout(ANSWERED, answer).await });
        let troubles: BTreeSet<_> = self.mesh.troubles().into_iter().collect();
        answer.unwrap_or_else(|_| panic!("{} does not answer: {troubles:?}", self.to))
    }

    /// Why it does not do what it is asked for; panics if it does, or only cannot.
    pub fn refused(&mut self, asked: &GuardMessage) -> String {
        match self.ask(asked) {
            GuardBody::Answers { result: Err(why), .. } => why.text,
            body => panic!("expected a refusal, found {body:?}"),
        }
    }
}

async fn answered(
    inputs: &mut mpsc::Receiver<Input>,
    guard: &AgentId,
    asked: &GuardMessage,
) -> GuardBody {
    loop {
        let input = inputs.recv().await.expect("the mesh holds the other end");
        if let Input::Message(from, Message::Guard(message)) = input
            && from == *guard
            && (message.token, message.term) == (asked.token, asked.term)
        {
            return message.body;
        }
    }
}
