//! Asks every name server of a zone for a name's records, as a resolver would: which of them say what was decided.
//!
//! The servers are found through the zone itself: its NS records, from the server that takes its updates or through the
//! host's resolver, and their addresses alike. A server that this host has no way to is left out; one that is silent, errs
//! or says something else is told of.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_resolver::TokioResolver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::plan::Plan;
use super::round::{Round, SILENT, Servers};
use super::update::owned;

/// The most addresses that are asked; zones have a handful.
const ADDRESSES: usize = 32;
/// How often a question is asked, and how long it may wait for its answer.
const TRIES: u32 = 2;
const PATIENCE: Duration = SILENT.checked_div(TRIES).expect("there are tries");
/// The most bytes of an answer that come as one datagram (the size that DNS flag day 2020 recommends).
const DATAGRAM: u16 = 1232;
const PORT: u16 = 53;

static RESOLVER: LazyLock<Option<TokioResolver>> = LazyLock::new(|| {
    TokioResolver::builder_tokio()
        .and_then(|mut builder| {
            // Whoever looks whether something has changed must not be told what was.
            builder.options_mut().cache_size = 0;
            builder.options_mut().timeout = PATIENCE;
            builder.options_mut().attempts = 1;
            builder.build()
        })
        .ok()
});

/// What the name servers of a zone say.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// How many say what was decided.
    pub(super) right: usize,
    /// For how many seconds any of those lets it be kept, at most.
    pub(super) longest: Option<u32>,
    /// What the others say, one line each.
    pub(super) wrong: Vec<String>,
    /// How many of those serve the zone, and answer with something else.
    pub(super) otherwise: usize,
}

/// Asks every server of the plan's zone; nobody where none is found. `primary` is the server that takes its updates.
pub(super) async fn ask_all(plan: &Plan, primary: Option<&str>, round: &Round) -> Answers {
    ask_for(plan, primary, true, round).await
}

/// The same of what agents answer themselves: any of it may be all that one hands out just now.
pub(super) async fn ask_agents(plan: &Plan, round: &Round) -> Answers {
    ask_for(plan, None, false, round).await
}

async fn ask_for(plan: &Plan, primary: Option<&str>, all: bool, round: &Round) -> Answers {
    let servers = find(&plan.zone, primary, round).await;
    let wanted = Wanted { name: &plan.name, records: &plan.records, all };
    let said = join_all(servers.iter().take(ADDRESSES).map(async |(name, address)| {
        let said = wanted.ask(SocketAddr::new(*address, PORT), round).await;
        (format!("{} ({address})", name.to_ascii().trim_end_matches('.')), said)
    }));
    let mut answers = Answers::default();
    for (server, said) in said.await {
        match said {
            Said::AsDecided { kept } => {
                answers.right += 1;
                answers.longest = answers.longest.max(kept);
            }
            Said::Otherwise(what) => {
                answers.otherwise += 1;
                answers.wrong.push(format!("{server} {what}"));
            }
            Said::Amiss(what) => answers.wrong.push(format!("{server} {what}")),
            Said::NoWay => {}
        }
    }
    answers
}

struct Wanted<'a> {
    name: &'a Name,
    records: &'a [Record],
    /// Is every one of them to be told, or some?
    all: bool,
}

/// What one server says.
enum Said {
    AsDecided {
        /// For at most so many seconds.
        kept: Option<u32>,
    },
    /// In words.
    Otherwise(String),
    /// Nothing of the name: why.
    Amiss(String),
    /// This host has no way to it, as to addresses of a family it does not have.
    NoWay,
}

impl Wanted<'_> {
    /// Those of ours that are told, and of a type of which nothing is told all.
    fn told_by(&self, held: &[Record]) -> Vec<Record> {
        let told = |ours: &&Record| {
            let mut same = held.iter().filter(|it| it.record_type() == ours.record_type());
            same.clone().next().is_none() || same.any(|it| it.data == ours.data)
        };
        let told: Vec<Record> = self.records.iter().filter(told).cloned().collect();
        if told.is_empty() { self.records.to_vec() } else { told }
    }

    async fn ask(&self, server: SocketAddr, round: &Round) -> Said {
        let mut held = Vec::new();
        for kind in owned(self.records) {
            let answer = match ask(server, self.name, kind, round).await {
                Ok(answer) => answer,
                Err(error) if no_way(&error) => return Said::NoWay,
                Err(error) => return Said::Amiss(format!("does not answer: {error}")),
            };
            match answer.metadata.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => {}
                code => return Said::Amiss(format!("answers {code}")),
            }
            if !answer.metadata.authoritative {
                return Said::Amiss("does not serve the zone".to_owned());
            }
            let here = |record: &Record| record.name == *self.name && record.record_type() == kind;
            held.extend(answer.answers.into_iter().filter(here));
        }
        let ours: Vec<Record> = match self.all {
            true => self.records.to_vec(),
            false => self.told_by(&held),
        };
        match Plan::difference(&ours, &held) {
            None => Said::AsDecided { kept: held.iter().map(|record| record.ttl).max() },
            Some((found, _)) => Said::Otherwise(format!("says {found}")),
        }
    }
}

/// The addresses of every name server of a zone.
async fn find(zone: &Name, primary: Option<&str>, round: &Round) -> Servers {
    if let Some(servers) = round.servers(zone, primary) {
        return servers;
    }
    let at = match primary {
        Some(primary) => {
            tokio::net::lookup_host(primary).await.ok().and_then(|mut found| found.next())
        }
        None => None,
    };
    let names = look_up(at, zone, RecordType::NS, round).await;
    // Another name's look may be luckier.
    let mut all_told = names.is_some();
    let names = names.unwrap_or_default().into_iter().filter_map(|record| match record.data {
        RData::NS(name) => Some(name.0),
        _ => None,
    });
    let both = names.flat_map(|name| [(name.clone(), RecordType::A), (name, RecordType::AAAA)]);
    let looked_up = join_all(both.map(async |(name, kind)| {
        let own = at.filter(|_| zone.zone_of(&name));
        let found = look_up(own, &name, kind, round).await;
        (name, found)
    }));
    let mut servers = Vec::new();
    for (name, found) in looked_up.await {
        all_told &= found.is_some();
        let addresses = found.iter().flatten().filter_map(|record| record.data.ip_addr());
        servers.extend(addresses.map(|address| (name.clone(), address)));
    }
    servers.sort();
    servers.dedup();
    if all_told {
        round.found(zone, primary, &servers);
    }
    servers
}

/// The records of a name, of the server that holds them or of whoever resolves for this host; `None` where nobody says.
async fn look_up(
    primary: Option<SocketAddr>,
    name: &Name,
    kind: RecordType,
    round: &Round,
) -> Option<Vec<Record>> {
    let records = match primary {
        Some(primary) => ask(primary, name, kind, round).await.ok()?.answers,
        None => {
            match timeout(PATIENCE * 2, RESOLVER.as_ref()?.lookup(name.clone(), kind)).await.ok()? {
                Ok(found) => found.answers().to_vec(),
                Err(error) if error.is_no_records_found() => vec![],
                Err(_) => return None,
            }
        }
    };
    Some(records.into_iter().filter(|record| record.record_type() == kind).collect())
}

/// One question and its answer, over TCP where a datagram is too small. Whoever was silent is not asked again.
async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    round: &Round,
) -> io::Result<Message> {
    if round.is_silent(server) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut question = Message::query();
    question.metadata.recursion_desired = false;
    let mut query = Query::query(name.clone(), kind);
    query.set_query_class(DNSClass::IN);
    question.add_query(query);
    question.edns.get_or_insert_default().set_max_payload(DATAGRAM);
    question.metadata.id = rand::random();
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let answer = match by_datagram(server, &bytes).await {
        Ok(answer) if !answer.metadata.truncation => answer,
        Ok(_) => timeout(PATIENCE, by_stream(server, &bytes)).await??,
        Err(error) => {
            if error.kind() == io::ErrorKind::TimedOut {
                round.silent(server);
            }
            return Err(error);
        }
    };
    match answer.queries.first().is_some_and(|it| it.name == *name && it.query_type == kind) {
        true => Ok(answer),
        false => Err(io::Error::other("it answered another question")),
    }
}

async fn by_datagram(server: SocketAddr, question: &[u8]) -> io::Result<Message> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    let mut buffer = vec![0; usize::from(DATAGRAM)];
    for _ in 0..TRIES {
        socket.send(question).await?;
        let waiting = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                // Whatever does not carry our number is somebody else's.
                if buffer[..length].get(..2) == question.get(..2)
                    && let Ok(answer) = Message::from_vec(&buffer[..length])
                {
                    return Ok(answer);
                }
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(answer) => return answer,
            Err(_) => continue,
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn by_stream(server: SocketAddr, question: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[length.to_be_bytes().as_slice(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Message::from_vec(&answer).map_err(io::Error::other)
}

fn no_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable)
}
