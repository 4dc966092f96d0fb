//! What clients see: single DNS questions, and a watch that writes down every change of an answer.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::wait::pace_by;

/// How long a question waits for its answer.
const LIMIT: Duration = Duration::from_millis(500);
/// How often a watch asks where figures are taken: the resolution of the times it writes down.
const EVERY: Duration = Duration::from_millis(5);

/// What became of a question for A records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These addresses, sorted; never none.
    Addresses(Vec<Ipv4Addr>),
    /// The name holds no address, or is not there.
    Empty,
    /// The server would not say: SERVFAIL, REFUSED and the like.
    Failed(String),
    /// Nothing came back in time.
    Silent,
}

/// Asks a server for the A records of a name, over UDP.
pub fn ask(server: SocketAddr, name: &str) -> Answer {
    question(server, name).unwrap_or(Answer::Silent)
}

fn question(server: SocketAddr, name: &str) -> Option<Answer> {
    let name = Name::from_str(&format!("{name}.")).expect("tests ask for names");
    let mut message = Message::query();
    message.add_query(Query::query(name, RecordType::A));
    let id = message.metadata.id;
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.set_read_timeout(Some(LIMIT)).ok()?;
    socket.connect(server).ok()?;
    socket.send(&message.to_vec().expect("a question is short")).ok()?;
    let mut packet = [0; 4096];
    let length = socket.recv(&mut packet).ok()?;
    let reply = Message::from_vec(&packet[..length]).ok()?;
    if reply.metadata.id != id {
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
        ResponseCode::NXDomain => Answer::Empty,
        other => Answer::Failed(other.to_string()),
    })
}

/// A thread that asks one server for one name again and again, and keeps what changes.
pub struct Watch {
    seen: Arc<Mutex<Vec<(Instant, Answer)>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to ask.
    pub fn start(server: SocketAddr, name: &str) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let ending = Arc::new(AtomicBool::new(false));
        let (list, end, name) = (Arc::clone(&seen), Arc::clone(&ending), name.to_owned());
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let answer = ask(server, &name);
                let mut list = list.lock().expect("nobody panics while holding it");
                if list.last().map(|(_, last)| last) != Some(&answer) {
                    list.push((Instant::now(), answer));
                }
                drop(list);
                pace_by(EVERY);
            }
        });
        Self { seen, ending, thread: Some(thread) }
    }

    /// Every change so far, with its time.
    pub fn changes(&self) -> Vec<(Instant, Answer)> {
        self.seen.lock().expect("nobody panics while holding it").clone()
    }

    /// The addresses answered so far, one entry for each time they became others; failures left out.
    pub fn addresses(&self) -> Vec<Vec<Ipv4Addr>> {
        let mut list: Vec<Vec<Ipv4Addr>> = Vec::new();
        for (_, answer) in self.changes() {
            match answer {
                Answer::Addresses(addresses) if list.last() != Some(&addresses) => {
                    list.push(addresses);
                }
                _ => {}
            }
        }
        list
    }

    /// When it first answered with just this address.
    pub fn first(&self, address: Ipv4Addr) -> Option<Instant> {
        let wanted = Answer::Addresses(vec![address]);
        self.changes().into_iter().find(|(_, answer)| *answer == wanted).map(|(at, _)| at)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
