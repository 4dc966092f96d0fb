//! Everything the demo sees of the mesh, by asking as any user would: status and events over the agents' sockets, answers
//! over DNS, rows in the databases. Gathered in one [`Scene`] that the acts wait on and the screen shows.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use consensus::model::{AgentId, DecisionKind, Epoch, Phase, StackId, Token, Verdict};
use consensus::view::{AppView, View};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{UdpSocket, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::postgres::{self, Places};
use super::world::{Agent, BLOG, SHOP, addresses, domain};
use crate::cli::client::Client;

/// Between two looks at an agent's status.
const LOOK: Duration = Duration::from_millis(200);
/// Between two questions to one DNS server: the resolution of the times it is judged by.
const ASK: Duration = Duration::from_millis(10);
/// How long a DNS question waits for its answer.
const ANSWER: Duration = Duration::from_millis(500);
/// Between two rows.
const WRITE: Duration = Duration::from_millis(20);
/// How long a row waits for its acknowledgement before its writer gives the connection up.
const ROW: Duration = Duration::from_secs(1);
/// Between two tries to reach somebody.
const AGAIN: Duration = Duration::from_millis(50);
/// No line of an event stream is longer.
const LINE_LIMIT: usize = 256 * 1024;

/// What an agent said, and when it was heard here.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// From whom.
    pub agent: &'static str,
    /// What.
    pub word: Word,
}

/// An event of an agent's stream, as far as the demo tells of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", content = "detail", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Word {
    Suspects {
        app: String,
        stack: StackId,
        verdict: Verdict,
        down: usize,
        voters: usize,
    },
    Proposes {
        app: String,
        what: String,
    },
    GivesUp {
        app: String,
        why: String,
    },
    Learns(Learnt),
    Acts {
        app: String,
        token: Token,
        what: String,
    },
    Reports {
        app: String,
        token: Token,
        took: Duration,
        what: Result<String, String>,
    },
    Misses(AgentId),
    Alarm(String),
    /// Not of an agent: `servers` of them all answer with these addresses now.
    #[serde(skip)]
    Answers {
        app: String,
        addresses: Vec<Ipv4Addr>,
        servers: usize,
    },
    /// Not of an agent: the first row that this database acknowledged.
    #[serde(skip)]
    Writes(SocketAddr),
}

/// A value that was chosen.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Learnt {
    /// Of which app.
    pub app: String,
    /// Its epoch.
    pub epoch: Epoch,
    /// What sort of decision.
    pub kind: DecisionKind,
    /// How far carried out.
    pub phase: Phase,
    /// Which stack the answers name.
    pub active: StackId,
    /// Who carries it out.
    pub executor: Option<AgentId>,
    /// The decision's reason.
    pub reason: String,
}

/// What came of a DNS question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These addresses, sorted.
    Addresses(Vec<Ipv4Addr>),
    /// The name is there and holds none.
    Empty,
    /// The server would not say.
    Failed(String),
    /// Nothing came in time.
    Silent,
}

/// One server's answers for one app's name, each with the time from which on it was given.
pub type Answers = Vec<(Instant, Answer)>;

/// A row that a database acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number.
    pub row: i64,
    /// When.
    pub at: Instant,
    /// By which server.
    pub server: SocketAddr,
}

/// Everything seen so far.
#[derive(Default)]
pub struct State {
    /// Each agent's own last status.
    pub views: BTreeMap<&'static str, View>,
    /// Every event that is told of, in the order it was heard.
    pub heard: Vec<Heard>,
    /// What each server answers, by app and agent.
    pub answers: BTreeMap<(&'static str, &'static str), Answers>,
    /// Every row that was acknowledged.
    pub rows: Vec<Row>,
}

/// What is seen, shared between those who look, the acts and the screen.
#[derive(Default)]
pub struct Scene {
    state: Mutex<State>,
    changed: Notify,
}

impl Scene {
    /// A look at the state; not to be held while waiting.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// Changes the state and wakes whoever waits for it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    /// Waits until something is found in the state.
    pub async fn until<T>(
        &self,
        limit: Duration,
        mut find: impl FnMut(&State) -> Option<T>,
    ) -> Option<T> {
        let waiting = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                // From here on no change is missed.
                changed.as_mut().enable();
                if let Some(found) = find(&self.state()) {
                    return found;
                }
                changed.await;
            }
        };
        timeout(limit, waiting).await.ok()
    }

    /// Nobody hears of this agent any more.
    pub fn forget(&self, agent: &'static str) {
        self.change(|state| drop(state.views.remove(agent)));
    }
}

impl State {
    /// What one agent knows of an app.
    pub fn app(&self, agent: &str, app: &str) -> Option<&AppView> {
        self.views.get(agent)?.apps.iter().find(|view| view.app.as_str() == app)
    }

    /// What all agents that answer know of an app.
    pub fn everybodys<'s>(&'s self, app: &'s str) -> impl Iterator<Item = &'s AppView> {
        self.views.keys().filter_map(move |agent| self.app(agent, app))
    }

    /// What was learnt of an app, in the order it was heard.
    pub fn learnt<'s>(
        &'s self,
        app: &'s str,
    ) -> impl DoubleEndedIterator<Item = (&'s Heard, &'s Learnt)> {
        self.heard.iter().filter_map(move |heard| match &heard.word {
            Word::Learns(learnt) if learnt.app == app => Some((heard, learnt)),
            _ => None,
        })
    }

    fn acknowledge(&mut self, row: Row) {
        if self.rows.last().is_none_or(|last| last.server != row.server) {
            let word = Word::Writes(row.server);
            self.heard.push(Heard { at: row.at, agent: "", word });
        }
        self.rows.push(row);
    }

    /// How many servers give this answer by now.
    fn note_answer(&mut self, at: Instant, app: &'static str, agent: &'static str) {
        let Some(Answer::Addresses(addresses)) = self.answer(app, agent).cloned() else { return };
        let others = self.answers.iter().filter(|((of, _), _)| *of == app);
        let said = others.filter_map(|(_, answers)| match &answers.last()?.1 {
            Answer::Addresses(addresses) => Some(addresses),
            Answer::Empty | Answer::Failed(_) | Answer::Silent => None,
        });
        let servers = said.filter(|said| **said == addresses).count();
        let word = Word::Answers { app: app.to_owned(), addresses, servers };
        self.heard.push(Heard { at, agent, word });
    }

    /// The addresses a server answered with, one entry for each time they became others. That a server was silent for a
    /// moment says only that this machine was busy; refusals are counted apart.
    pub fn turns(&self, app: &'static str, agent: &'static str) -> Vec<(Instant, &[Ipv4Addr])> {
        let mut turns: Vec<(Instant, &[Ipv4Addr])> = Vec::new();
        for (at, answer) in self.answers.get(&(app, agent)).into_iter().flatten() {
            match answer {
                Answer::Addresses(found) if turns.last().is_none_or(|(_, last)| last != found) => {
                    turns.push((*at, found));
                }
                _ => {}
            }
        }
        turns
    }

    /// What the server of this agent answers now.
    pub fn answer(&self, app: &'static str, agent: &'static str) -> Option<&Answer> {
        self.answers.get(&(app, agent))?.last().map(|(_, answer)| answer)
    }
}

/// Everybody who looks; they stop when this is dropped.
pub struct Watchers(JoinSet<()>);

impl Watchers {
    /// Begins to look.
    pub fn start(scene: &Arc<Scene>, agents: &[Agent]) -> Self {
        let mut tasks = JoinSet::new();
        for agent in agents {
            let (name, socket, dns) = (agent.name, agent.socket(), agent.dns());
            tasks.spawn(look(scene.clone(), name, agent.client()));
            let listening = scene.clone();
            tasks.spawn(async move {
                loop {
                    let each = |word| {
                        let heard = Heard { at: Instant::now(), agent: name, word };
                        listening.change(|state| state.heard.push(heard));
                    };
                    // An agent that is gone is seen elsewhere.
                    let _ = listen(&socket, each).await;
                    sleep(AGAIN).await;
                }
            });
            for app in [SHOP, BLOG] {
                tasks.spawn(resolve(scene.clone(), app, name, dns));
            }
        }
        Self(tasks)
    }

    /// Begins to write rows to whichever database stands beside the web that DNS names.
    pub fn write_rows(&mut self, scene: &Arc<Scene>, places: &Places) {
        self.0.spawn(write(scene.clone(), places.clone()));
    }
}

async fn look(scene: Arc<Scene>, agent: &'static str, client: Client) {
    loop {
        if let Ok(view) = client.read::<View>("/api/v1/status").await {
            scene.change(|state| drop(state.views.insert(agent, view)));
        }
        sleep(LOOK).await;
    }
}

/// Reads an agent's events until its stream ends.
async fn listen(socket: &Path, mut each: impl FnMut(Word)) -> io::Result<()> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    let driven = tokio::spawn(connection);
    let request = Request::get("/api/v1/events").header(HOST, "localhost");
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let mut body = response.into_body();
    let mut line = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        for byte in frame.data_ref().into_iter().flatten() {
            match byte {
                b'\n' => {
                    if let Some(word) = word(&line) {
                        each(word);
                    }
                    line.clear();
                }
                _ if LINE_LIMIT <= line.len() => {
                    return Err(io::Error::other("a line without end"));
                }
                byte => line.push(*byte),
            }
        }
    }
    driven.abort();
    Ok(())
}

/// What a line of an event stream says, if the demo has a word for it.
fn word(line: &[u8]) -> Option<Word> {
    let data = line.strip_prefix(b"data:")?;
    serde_json::from_slice(data).ok()
}

async fn resolve(scene: Arc<Scene>, app: &'static str, agent: &'static str, server: SocketAddr) {
    loop {
        let answer = ask(server, &domain(app)).await;
        let known = scene.state().answer(app, agent) == Some(&answer);
        if !known {
            let at = Instant::now();
            // In one change, so that whoever waits for the answer has heard of it as well.
            scene.change(|state| {
                state.answers.entry((app, agent)).or_default().push((at, answer));
                state.note_answer(at, app, agent);
            });
        }
        sleep(ASK).await;
    }
}

/// Asks one server for the A records of a name, over UDP, as a resolver would.
async fn ask(server: SocketAddr, name: &str) -> Answer {
    let asking = async { question(server, name).await.unwrap_or(Answer::Silent) };
    timeout(ANSWER, asking).await.unwrap_or(Answer::Silent)
}

async fn question(server: SocketAddr, name: &str) -> Option<Answer> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_str(&format!("{name}.")).ok()?, RecordType::A));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.ok()?;
    socket.connect(server).await.ok()?;
    socket.send(&message.to_vec().ok()?).await.ok()?;
    let mut packet = [0; 1232];
    let length = socket.recv(&mut packet).await.ok()?;
    let reply = Message::from_vec(&packet[..length]).ok()?;
    if reply.metadata.id != message.metadata.id {
        return None;
    }
    let addresses = reply.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    });
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort();
    Some(match reply.metadata.response_code {
        ResponseCode::NoError if addresses.is_empty() => Answer::Empty,
        ResponseCode::NoError => Answer::Addresses(addresses),
        other => Answer::Failed(other.to_string()),
    })
}

/// The database that a client of the shop would use: the one of the stack that DNS names.
fn database(state: &State, places: &Places) -> Option<SocketAddr> {
    let east = addresses(SHOP, "east");
    let mut answers = state.answers.iter().filter(|((app, _), _)| *app == SHOP);
    answers.find_map(|(_, answers)| match &answers.last()?.1 {
        Answer::Addresses(found) => Some(match found.iter().any(|ip| east.contains(ip)) {
            true => places.east,
            false => places.west,
        }),
        Answer::Empty | Answer::Failed(_) | Answer::Silent => None,
    })
}

async fn write(scene: Arc<Scene>, places: Places) {
    let mut row: i64 = 0;
    loop {
        let server = database(&scene.state(), &places);
        let client = match server {
            Some(server) => postgres::connect(&places.shop(server)).await.ok(),
            None => None,
        };
        if let (Some(client), Some(server)) = (client, server) {
            loop {
                // A number is never used twice: whether a row that was not acknowledged was taken is not known.
                row += 1;
                let insert = format!("insert into ledger values ({row})");
                match timeout(ROW, client.batch_execute(&insert)).await {
                    Ok(Ok(())) => {
                        let row = Row { row, at: Instant::now(), server };
                        scene.change(|state| state.acknowledge(row));
                    }
                    Ok(Err(_)) | Err(_) => break,
                }
                sleep(WRITE).await;
            }
        }
        sleep(AGAIN).await;
    }
}
