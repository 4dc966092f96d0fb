//! A server that speaks MySQL 8's protocol and understands just the statements that Quorate sends, with MySQL's names,
//! numbers of errors and rules (`super_read_only` stops everybody). Written by the manual; real ones are driven in
//! `tests/tests/engines/mysql.rs` and `held.rs`, where they can be fetched.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it replicates from.
#[derive(Clone, Debug)]
pub struct Source {
    pub host: String,
    pub port: u16,
    pub id: u32,
    pub auto_position: bool,
    pub running: bool,
    pub received: u64,
    pub applied: u64,
}

/// What it is.
#[derive(Clone, Debug)]
pub struct State {
    pub version: &'static str,
    pub id: u32,
    pub super_read_only: bool,
    pub read_only: bool,
    pub position: u64,
    /// The last transaction of each writer, none missing before it.
    pub executed: BTreeMap<String, u64>,
    pub source: Option<Source>,
    /// Of `rpl_semi_sync_…`, without that.
    pub semi_sync: Vec<(&'static str, &'static str)>,
    /// How many replicas confirm what they received.
    pub confirm: u32,
    pub replicas: Vec<u32>,
    /// The name of the group that it agrees with, if it does.
    pub group: Option<&'static str>,
    pub token: Option<u64>,
    /// What its logs no longer hold.
    pub purged: &'static str,
    /// Every statement that changes something.
    pub said: Vec<String>,
}

pub struct MySql8 {
    pub port: u16,
    pub state: Arc<Mutex<State>>,
}

impl MySql8 {
    pub async fn start(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A session that breaks off is the client's to notice.
                tokio::spawn(session(stream, shared.clone()));
            }
        });
        Self { port, state }
    }

    pub fn state(&self) -> State {
        self.state.lock().expect("nobody panics with it").clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("nobody panics with it"));
    }
}

enum Answer {
    Done,
    Rows(Vec<&'static str>, Vec<Vec<Option<String>>>),
    Error(u16, String),
}

fn one(pairs: Vec<(&'static str, String)>) -> Answer {
    let (names, texts): (Vec<_>, Vec<_>) = pairs.into_iter().map(|(n, t)| (n, Some(t))).unzip();
    Answer::Rows(names, vec![texts])
}

fn flag(set: bool) -> String {
    u8::from(set).to_string()
}

/// What stands between two words of a statement.
fn between<'a>(sql: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = sql.split_once(before).unwrap_or_default();
    rest.split_once(after).map_or(rest, |(text, _)| text)
}

pub fn uuid(id: u32) -> String {
    format!("0000000{id}-0000-0000-0000-000000000000")
}

impl State {
    pub fn primary(version: &'static str, id: u32) -> Self {
        Self {
            version,
            id,
            super_read_only: false,
            read_only: false,
            position: 700,
            executed: [(uuid(id), 7)].into(),
            source: None,
            semi_sync: Vec::new(),
            confirm: 0,
            replicas: Vec::new(),
            group: None,
            token: None,
            purged: "",
            said: Vec::new(),
        }
    }

    pub fn replica(version: &'static str, id: u32, of: u32, port: u16) -> Self {
        let source = Source {
            host: "127.0.0.1".to_owned(),
            port,
            id: of,
            auto_position: true,
            running: true,
            received: 700,
            applied: 600,
        };
        Self {
            super_read_only: true,
            read_only: true,
            executed: [(uuid(of), 6)].into(),
            source: Some(source),
            ..Self::primary(version, id)
        }
    }

    fn executed(&self) -> String {
        let each = self.executed.iter().map(|(uuid, last)| format!("{uuid}:1-{last}"));
        each.collect::<Vec<_>>().join(",\n")
    }

    fn renamed(&self) -> bool {
        self.version.starts_with("8.4")
    }

    fn answer(&mut self, sql: &str) -> Answer {
        let parse_error = || {
            let text = format!("You have an error in your SQL syntax near '{sql}'");
            Answer::Error(1064, text)
        };
        if !sql.starts_with("select") && !sql.starts_with("show") {
            self.said.push(sql.to_owned());
        }
        match sql {
            it if it.contains("gtid_slave_pos") => {
                Answer::Error(1193, "Unknown system variable 'gtid_slave_pos'".to_owned())
            }
            "select @@version as version" => one(vec![("version", self.version.to_owned())]),
            it if it.contains("@@global.super_read_only as read_only") => one(vec![
                ("version", self.version.to_owned()),
                ("server_id", self.id.to_string()),
                ("read_only", flag(self.super_read_only)),
                ("gtid_mode", "ON".to_owned()),
                ("log_bin", "1".to_owned()),
            ]),
            "show global variables like 'rpl_semi_sync_%'" => {
                let rows = self.semi_sync.iter().map(|(name, value)| {
                    vec![Some(format!("rpl_semi_sync_{name}")), Some((*value).to_owned())]
                });
                Answer::Rows(vec!["Variable_name", "Value"], rows.collect())
            }
            it if it.contains("'group_replication_group_name'") => {
                let row = |name: &str| {
                    vec![Some("group_replication_group_name".to_owned()), Some(name.to_owned())]
                };
                Answer::Rows(
                    vec!["Variable_name", "Value"],
                    self.group.map(row).into_iter().collect(),
                )
            }
            "show global status like 'Rpl_semi_sync_%'" => {
                let confirm = self.confirm.to_string();
                let rows =
                    [("status", "ON"), ("clients", confirm.as_str())].map(|(what, value)| {
                        vec![Some(format!("Rpl_semi_sync_source_{what}")), Some(value.to_owned())]
                    });
                Answer::Rows(vec!["Variable_name", "Value"], rows.into())
            }
            "show replicas" => {
                let rows = self.replicas.iter().map(|id| vec![Some(id.to_string())]);
                Answer::Rows(vec!["Server_Id"], rows.collect())
            }
            "show replica status" => self.replica_status(),
            "show master status" if self.renamed() => parse_error(),
            "show binary log status" if !self.renamed() => parse_error(),
            "show master status" | "show binary log status" => one(vec![
                ("File", "binlog.000001".to_owned()),
                ("Position", self.position.to_string()),
                ("Executed_Gtid_Set", self.executed()),
            ]),
            it if it.contains("gtid_executed as state") => one(vec![
                ("state", self.executed()),
                ("purged", self.purged.to_owned()),
                ("server_id", self.id.to_string()),
                ("marked", flag(self.token.is_some())),
            ]),
            it if it.contains("information_schema.processlist") => {
                Answer::Rows(vec!["id"], vec![vec![Some("41".to_owned())]])
            }
            it if it.ends_with(", @@global.gtid_executed) as lacking") => {
                let purged = between(it, "gtid_subtract('", "'");
                let lacks = !self.executed.keys().any(|uuid| purged.starts_with(uuid.as_str()));
                let lacking = if lacks { purged } else { "" };
                one(vec![("lacking", lacking.to_owned())])
            }
            it if it.starts_with("select gtid_subtract") => {
                let theirs = between(it, "@@global.gtid_executed, '", "')");
                let known = |uuid: &str| {
                    let of = theirs.split(',').find_map(|set| set.trim().strip_prefix(uuid));
                    of.and_then(|set| set.strip_prefix(":1-")?.parse().ok()).unwrap_or(0u64)
                };
                let left = self.executed.iter().filter_map(|(uuid, last)| {
                    let known = known(uuid);
                    (known < *last).then(|| format!("{uuid}:{}-{last}", known + 1))
                });
                one(vec![("errant", left.collect::<Vec<_>>().join(",\n"))])
            }
            it if it.starts_with("select wait_for_executed_gtid_set") => {
                let source = self.source.as_mut().expect("a replica");
                source.applied = source.received;
                self.executed.insert(uuid(source.id), 7);
                one(vec![("waited", "0".to_owned())])
            }
            it if it.starts_with("select token from quorate.epoch") => {
                let rows = self.token.map(|token| vec![Some(token.to_string())]);
                Answer::Rows(vec!["token"], rows.into_iter().collect())
            }
            it if it.starts_with("set session") || it.starts_with("kill connection") => {
                Answer::Done
            }
            "set global rpl_semi_sync_source_enabled = 0" => {
                self.semi_sync.retain(|(name, _)| *name != "source_enabled");
                Answer::Done
            }
            "set global super_read_only = 1" => {
                (self.super_read_only, self.read_only) = (true, true);
                Answer::Done
            }
            "set global super_read_only = 0, global offline_mode = 0" => {
                self.super_read_only = false;
                Answer::Done
            }
            "set global read_only = 0" => {
                (self.super_read_only, self.read_only) = (false, false);
                Answer::Done
            }
            it if it.starts_with("create") || it.starts_with("insert") => self.write(it),
            "stop replica io_thread" | "stop replica" => {
                self.source.iter_mut().for_each(|source| source.running = false);
                Answer::Done
            }
            "start replica" => {
                self.source.iter_mut().for_each(|source| source.running = true);
                Answer::Done
            }
            "reset replica all" => {
                self.source = None;
                Answer::Done
            }
            it if it.starts_with("change replication source to") => {
                self.source = Some(Source {
                    host: between(it, "source_host = '", "'").to_owned(),
                    port: between(it, "source_port = ", ",").parse().expect("a port"),
                    id: 0,
                    auto_position: it.contains("source_auto_position = 1"),
                    running: false,
                    received: 0,
                    applied: 0,
                });
                Answer::Done
            }
            _ => parse_error(),
        }
    }

    fn write(&mut self, sql: &str) -> Answer {
        if self.super_read_only {
            let text = "The MySQL server is running with the --super-read-only option".to_owned();
            return Answer::Error(1290, text);
        }
        if sql.starts_with("insert into quorate.epoch") {
            let token: u64 = between(sql, "values ('shop', ", ")").parse().expect("a token");
            self.token = self.token.max(Some(token));
        }
        *self.executed.entry(uuid(self.id)).or_default() += 1;
        self.position += 100;
        Answer::Done
    }

    fn replica_status(&self) -> Answer {
        let Some(source) = &self.source else { return Answer::Rows(vec!["Source_Host"], vec![]) };
        let yes = |it: bool| if it { "Yes" } else { "No" }.to_owned();
        one(vec![
            ("Source_Host", source.host.clone()),
            ("Source_Port", source.port.to_string()),
            ("Source_Server_Id", source.id.to_string()),
            ("Source_Log_File", "binlog.000001".to_owned()),
            ("Read_Source_Log_Pos", source.received.to_string()),
            ("Relay_Source_Log_File", "binlog.000001".to_owned()),
            ("Exec_Source_Log_Pos", source.applied.to_string()),
            ("Replica_IO_Running", yes(source.running)),
            ("Replica_SQL_Running", yes(source.running)),
            ("Last_IO_Errno", "0".to_owned()),
            ("Last_SQL_Errno", "0".to_owned()),
            ("Retrieved_Gtid_Set", format!("{}:1-7", uuid(source.id))),
            ("Executed_Gtid_Set", self.executed()),
            ("Auto_Position", flag(source.auto_position)),
            ("Seconds_Behind_Source", "2".to_owned()),
        ])
    }
}

/// `LONG_PASSWORD`, `CONNECT_WITH_DB`, `PROTOCOL_41`, `TRANSACTIONS`, `SECURE_CONNECTION`, `PLUGIN_AUTH`.
const ABILITIES: u32 = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x8_0000;

async fn session(mut stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    let version = state.lock().ok()?.version;
    let mut hello = vec![10];
    hello.extend(version.bytes().chain([0, 7, 0, 0, 0]));
    hello.extend([b'a'; 8]);
    hello.push(0);
    hello.extend(&ABILITIES.to_le_bytes()[..2]);
    hello.extend([255, 2, 0]);
    hello.extend(&ABILITIES.to_le_bytes()[2..]);
    hello.extend([21; 1].into_iter().chain([0; 10]).chain([b'b'; 12]).chain([0]));
    hello.extend(b"caching_sha2_password\0");
    send(&mut stream, 0, &hello).await?;
    let (number, _log_in) = receive(&mut stream).await?;
    // The password is known already, and right: the short way of `caching_sha2_password`.
    send(&mut stream, number + 1, &[1, 3]).await?;
    send(&mut stream, number + 2, &OK).await?;
    loop {
        let (number, command) = receive(&mut stream).await?;
        let (kind, sql) = command.split_first()?;
        let answer = match kind {
            1 => return Some(()),
            3 => state.lock().ok()?.answer(&String::from_utf8_lossy(sql)),
            _ => Answer::Done,
        };
        let packets = match answer {
            Answer::Done => vec![OK.to_vec()],
            Answer::Error(code, text) => {
                let mut packet = vec![255];
                packet.extend(code.to_le_bytes().into_iter().chain(*b"#HY000").chain(text.bytes()));
                vec![packet]
            }
            Answer::Rows(names, rows) => result(&names, &rows),
        };
        let mut number = number;
        for packet in packets {
            number = number.wrapping_add(1);
            send(&mut stream, number, &packet).await?;
        }
    }
}

const OK: [u8; 7] = [0, 0, 0, 2, 0, 0, 0];
const EOF: [u8; 5] = [254, 0, 0, 2, 0];

fn result(names: &[&str], rows: &[Vec<Option<String>>]) -> Vec<Vec<u8>> {
    let mut packets = vec![vec![u8::try_from(names.len()).expect("few columns")]];
    for name in names {
        let mut packet = Vec::new();
        for text in ["def", "", "", "", name, name] {
            long(&mut packet, text);
        }
        packet.extend([12, 255, 0, 0, 4, 0, 0, 253, 0, 0, 0, 0, 0]);
        packets.push(packet);
    }
    packets.push(EOF.to_vec());
    for row in rows {
        let mut packet = Vec::new();
        for text in row {
            match text {
                Some(text) => long(&mut packet, text),
                None => packet.push(251),
            }
        }
        packets.push(packet);
    }
    packets.push(EOF.to_vec());
    packets
}

/// A text after its length.
fn long(packet: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) if length < 251 => packet.push(length),
        _ => {
            packet.push(252);
            packet.extend(u16::try_from(text.len()).expect("no long texts").to_le_bytes());
        }
    }
    packet.extend(text.bytes());
}

async fn send(stream: &mut TcpStream, number: u8, payload: &[u8]) -> Option<()> {
    let length = u32::try_from(payload.len()).ok()?.to_le_bytes();
    let mut packet = length[..3].to_vec();
    packet.push(number);
    packet.extend(payload);
    stream.write_all(&packet).await.ok()
}

async fn receive(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], payload))
}
