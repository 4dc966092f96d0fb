//! [`Output::Seek`](consensus::outbox::Output::Seek) → the places that a source names → [`Input::Found`].
//!
//! Whatever a source says is bounded in time, in bytes and in number. "There is nothing of that name" is an answer, and the next
//! source is asked; one that errs, is silent or tells nonsense is a failure, and the node keeps what was agreed last. What a file or
//! a page holds is never repeated, only what is wrong with it: app files name them, and not everybody may read them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use consensus::model::{Found, Place, Sought, Source};
use consensus::outbox::Input;
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::web;

/// The most bytes of a file or a page.
const BYTES: u64 = 64 * 1024;
/// The most places that are read of one source: far more than are taken. It bounds what an SRV answer comes to, too.
const PLACES: usize = 256;
/// The most hosts of an SRV answer that are looked up.
const HOSTS: usize = 32;
/// The most servers that a resolver is kept for.
const SERVERS: usize = 64;
/// How long one server may take, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 2;

/// What a source told: places, and for how long they may be believed.
type Told = (BTreeSet<Place>, Option<Duration>);

/// Asks sources, each time in a task of its own.
#[derive(Clone)]
pub struct Sources {
    /// By server; none for the host's own.
    resolvers: Arc<Mutex<BTreeMap<Option<SocketAddr>, TokioResolver>>>,
    inputs: mpsc::Sender<Input>,
}

impl Sources {
    /// Tells what is found to `inputs`.
    pub fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self { resolvers: Arc::default(), inputs }
    }

    /// Asks; what comes of it follows as an input. Within a tokio runtime.
    pub fn seek(&self, sought: Sought) {
        let sources = self.clone();
        tokio::spawn(async move {
            let Sought { app, stack, name, sources: asked, limit } = sought;
            let what = timeout(limit, sources.ask(&asked)).await;
            let what =
                what.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())));
            // A loop that has ended wants to know nothing.
            let _ = sources.inputs.send(Input::Found(Found { app, stack, name, what })).await;
        });
    }

    /// The first source that names any place.
    async fn ask(&self, asked: &[Source]) -> Result<Told, String> {
        let mut told = Told::default();
        for source in asked {
            told = match source {
                Source::Dns { name, server } => self.resolve(name, *server).await,
                Source::Json(url) => fetch(url).await,
                Source::File(path) => read(path.clone()).await,
            }
            .map_err(|why| format!("{source}: {why}"))?;
            if !told.0.is_empty() {
                break;
            }
        }
        Ok(told)
    }

    async fn resolve(&self, name: &str, server: Option<SocketAddr>) -> Result<Told, String> {
        let resolver = self.resolver(server)?;
        if !name.starts_with('_') {
            let mut told = Told::default();
            for address in addresses(&resolver, name, &mut told.1).await? {
                told.0.insert(Place { address, port: None });
            }
            return Ok(told);
        }
        let mut told = Told::default();
        let services = records(&resolver, name, RecordType::SRV, &mut told.1).await?;
        let mut services: Vec<_> = services
            .into_iter()
            .filter_map(|data| match data {
                RData::SRV(it) if !it.target.is_root() => Some(it),
                _ => None,
            })
            .collect();
        // Those of a higher number are for clients that reach none of a lower one (RFC 2782), and stand in no answer
        // beside them.
        services.sort_by_key(|it| it.priority);
        services.truncate(HOSTS);
        for alike in services.chunk_by(|one, other| one.priority == other.priority) {
            for service in alike {
                let room = PLACES.saturating_sub(told.0.len());
                let host = service.target.to_ascii();
                let found = addresses(&resolver, &host, &mut told.1).await?.into_iter().take(room);
                told.0.extend(found.map(|address| Place { address, port: Some(service.port) }));
            }
            if !told.0.is_empty() {
                break;
            }
        }
        Ok(told)
    }

    /// A resolver that keeps nothing: how long an answer is believed is the node's business.
    fn resolver(&self, server: Option<SocketAddr>) -> Result<TokioResolver, String> {
        let mut kept = self.resolvers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = kept.get(&server) {
            return Ok(resolver.clone());
        }
        let made = match server {
            None => keeping_nothing(TokioResolver::builder_tokio(), |_| {})?,
            Some(server) => resolver_at(server)?,
        };
        if SERVERS <= kept.len() {
            kept.clear();
        }
        kept.insert(server, made.clone());
        Ok(made)
    }
}

/// A resolver that asks one server for all, and keeps nothing.
///
/// # Errors
/// Why it cannot be had.
pub fn resolver_at(server: SocketAddr) -> Result<TokioResolver, String> {
    let mut ways = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    ways.iter_mut().for_each(|way| way.port = server.port());
    let server = NameServerConfig::new(server.ip(), true, ways);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    keeping_nothing(Ok(builder), |options| options.use_hosts_file = ResolveHosts::Never)
}

fn keeping_nothing(
    builder: Result<ResolverBuilder<TokioRuntimeProvider>, NetError>,
    set: impl FnOnce(&mut ResolverOpts),
) -> Result<TokioResolver, String> {
    let made = builder.and_then(|mut builder| {
        let options = builder.options_mut();
        (options.cache_size, options.timeout, options.attempts) = (0, PATIENCE, TRIES);
        set(options);
        builder.build()
    });
    made.map_err(|error| format!("no resolver on this host: {error}"))
}

/// Both families of addresses of a name.
async fn addresses(
    resolver: &TokioResolver,
    name: &str,
    keep: &mut Option<Duration>,
) -> Result<Vec<IpAddr>, String> {
    let mut found = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        found.extend(records(resolver, name, kind, keep).await?.into_iter().filter_map(
            |it| match it {
                RData::A(it) => Some(IpAddr::V4(it.0)),
                RData::AAAA(it) => Some(IpAddr::V6(it.0)),
                _ => None,
            },
        ));
    }
    Ok(found)
}

/// The records of a name and type, none if it has none; what they may be kept for shortens `keep`.
async fn records(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
    keep: &mut Option<Duration>,
) -> Result<Vec<RData>, String> {
    let found = lookup(resolver, name, kind).await?;
    if let Some(left) = found.iter().map(|(_, left)| *left).min() {
        *keep = Some(keep.map_or(left, |before| before.min(left)));
    }
    Ok(found.into_iter().map(|(data, _)| data).collect())
}

/// The records of a name and type, none if it has none, and for how long each may be kept.
///
/// # Errors
/// Why nobody tells.
pub async fn lookup(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
) -> Result<Vec<(RData, Duration)>, String> {
    // In full: what a search list would make of it is another name.
    let full = format!("{}.", name.trim_end_matches('.'));
    match resolver.lookup(full, kind).await {
        Ok(found) => {
            let record = |it: &Record| (it.data.clone(), Duration::from_secs(it.ttl.into()));
            Ok(found.answers().iter().map(record).take(PLACES).collect())
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
            if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn fetch(url: &str) -> Result<Told, String> {
    let uri: Uri = url.parse().map_err(|_| "it is no URL".to_owned())?;
    let host = uri.authority().map(|it| it.as_str().to_owned()).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, web::USER_AGENT)
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::new()))
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = web::connect(&uri).await.map_err(|error| error.to_string())?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BYTES as usize).collect().await;
        let body = body.map_err(|error| format!("its answer broke off: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    let answered: Result<(StatusCode, Bytes), String> = answered.await;
    connection.abort();
    match answered? {
        (StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::NO_CONTENT, _) => {
            Ok(Told::default())
        }
        (status, body) if status.is_success() => Ok((of_json(&body)?, None)),
        (status, _) => Err(format!("answers {}", status.as_u16())),
    }
}

async fn read(path: String) -> Result<Told, String> {
    let read = tokio::task::spawn_blocking(move || {
        // A pipe or a device would be read for ever.
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
            Ok(what) if !what.is_file() => return Err("it is no plain file".to_owned()),
            Ok(_) => {}
        }
        let mut text = Vec::new();
        let file = std::fs::File::open(&path).map_err(|error| error.to_string())?;
        file.take(BYTES + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
        match text.len() as u64 <= BYTES {
            true => Ok(Some(text)),
            false => Err(format!("it has more than {BYTES} bytes")),
        }
    });
    let text = read.await.map_err(|error| error.to_string())??;
    let Some(text) = text else { return Ok(Told::default()) };
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    let places = match first {
        Some(b'[' | b'{') => of_json(&text)?,
        _ => of_lines(&text)?,
    };
    Ok((places, None))
}

/// A list of places, or an object that holds one as `endpoints`; each place a text or an object of `address` and `port`.
fn of_json(text: &[u8]) -> Result<BTreeSet<Place>, String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| {
        format!("it is no JSON (line {}, column {})", error.line(), error.column())
    })?;
    let list = match &value {
        Value::Array(list) => list,
        Value::Object(object) => match object.get("endpoints") {
            Some(Value::Array(list)) => list,
            _ => return Err("its JSON has no list `endpoints`".into()),
        },
        _ => return Err("its JSON is no list".into()),
    };
    let place = |(at, value): (usize, &Value)| {
        let (address, port) = match value {
            Value::String(text) => return place(text).ok_or(format!("item {at} is no address")),
            Value::Object(object) => (object.get("address"), object.get("port")),
            _ => (None, None),
        };
        let address = address.and_then(Value::as_str).and_then(|text| text.parse().ok());
        let port = match port {
            None | Some(Value::Null) => Some(None),
            Some(port) => port.as_u64().and_then(|it| u16::try_from(it).ok()).map(Some),
        };
        match (address, port) {
            (Some(address), Some(port)) if port != Some(0) => Ok(Place { address, port }),
            _ => Err(format!("item {at} is no address")),
        }
    };
    few(list.len())?;
    list.iter().enumerate().map(place).collect()
}

/// A place a line; what stands behind `#` is for people.
fn of_lines(text: &[u8]) -> Result<BTreeSet<Place>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines: Vec<_> = (1..).zip(lines).filter(|(_, line)| !line.is_empty()).collect();
    few(lines.len())?;
    let place = |(at, line): (usize, &str)| place(line).ok_or(format!("line {at} is no address"));
    lines.into_iter().map(place).collect()
}

fn few(count: usize) -> Result<(), String> {
    match count <= PLACES {
        true => Ok(()),
        false => Err(format!("it names more than {PLACES}")),
    }
}

/// `192.0.2.1`, `192.0.2.1:8080`, `2001:db8::1` or `[2001:db8::1]:8080`.
fn place(text: &str) -> Option<Place> {
    if let Ok(address) = text.parse() {
        return Some(Place { address, port: None });
    }
    let at: SocketAddr = text.parse().ok()?;
    (at.port() != 0).then_some(Place { address: at.ip(), port: Some(at.port()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_words(places: Result<BTreeSet<Place>, String>) -> String {
        match places {
            Ok(places) => places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(why) => why,
        }
    }

    #[test]
    fn json_is_a_list_of_places_in_any_common_spelling() {
        for (text, found) in [
            (
                r#"["192.0.2.1", "192.0.2.2:8080", "[2001:db8::1]:81"]"#,
                "192.0.2.1 192.0.2.2:8080 [2001:db8::1]:81",
            ),
            (
                r#"{"endpoints": [{"address": "192.0.2.1", "port": 80}, {"address": "2001:db8::1"}]}"#,
                "192.0.2.1:80 2001:db8::1",
            ),
            (r#"[]"#, ""),
            (r#"{"endpoints": "192.0.2.1"}"#, "its JSON has no list `endpoints`"),
            (r#"["192.0.2.1", "example.com"]"#, "item 1 is no address"),
            (r#"[{"address": "192.0.2.1", "port": 70000}]"#, "item 0 is no address"),
            (r#"[{"address": "192.0.2.1", "port": 0}]"#, "item 0 is no address"),
            ("[", "it is no JSON (line 1, column 1)"),
            ("3", "its JSON is no list"),
        ] {
            assert_eq!(in_words(of_json(text.as_bytes())), found, "{text}");
        }
        let many = format!("[{}\"192.0.2.1\"]", "\"192.0.2.1\",".repeat(PLACES));
        assert_eq!(in_words(of_json(many.as_bytes())), format!("it names more than {PLACES}"));
    }

    #[test]
    fn a_file_may_be_lines_and_what_it_holds_is_not_repeated() {
        let text = "# servers\n192.0.2.1 # the old one\n\n192.0.2.2:8080\n";
        assert_eq!(in_words(of_lines(text.as_bytes())), "192.0.2.1 192.0.2.2:8080");
        assert_eq!(in_words(of_lines(b"192.0.2.1\nroot:x:0:0\n")), "line 2 is no address");
        assert_eq!(in_words(of_lines(b"\xff\xfe")), "it is no text");
    }
}
