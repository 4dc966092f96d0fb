//! The API as clients meet it: through real sockets, with a loop that holds the fixture.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::authority::Authority;
use crate::cli::client::{Client, ClientError};
use crate::config::{DnsConfig, MeshConfig};
use crate::readiness::Readiness;
use crate::run::{Agreed, Event};

mod commands;
mod connections;

/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Agent {
    status: Status,
    looped: fixture::Loop,
    folder: TempDir,
    dns: Authority,
}

impl Agent {
    pub(super) async fn start() -> Self {
        Self::with(fixture::view()).await
    }

    async fn with(view: consensus::view::View) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(&folder, "127.0.0.1:0");
        let looped = fixture::spawn(view);
        let Beside { tails, guard, readiness } = fixture::beside();
        let (tails, doors) = (Tails::showing(tails), Doors::showing(&guard));
        let readiness = Readiness::showing(readiness);
        let handle = looped.handle.clone();
        let dns = authority(handle.agreed());
        let answered = Some(dns.counters().clone());
        let started = start(&config, handle, parse, tails, doors, readiness, answered).await;
        let status = started.expect("it starts");
        Self { status, looped, folder, dns }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.status.address.expect("it listens")
    }

    pub(super) fn history(&self) -> Arc<History> {
        self.status.history()
    }

    pub(super) fn tcp(&self) -> Client {
        Client::open(&format!("http://{}", self.address()))
    }

    pub(super) fn unix(&self) -> Client {
        Client::open(self.status.socket.to_str().expect("a plain path"))
    }

    /// Sends bytes as they are, and reads until the end.
    pub(super) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE, read).await.expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn fetch(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            .await
    }
}

fn config(folder: &TempDir, listen: &str) -> AgentConfig {
    AgentConfig {
        data_dir: folder.path().into(),
        source: None,
        mesh: MeshConfig {
            listen: "127.0.0.1:0".parse().expect("an address"),
            advertise: "localhost:4790".into(),
            seeds: Vec::new(),
            certificate: "agent.crt".into(),
            key: "agent.key".into(),
            authority: "mesh.crt".into(),
            voters: "voters.toml".into(),
        },
        status: Some(listen.parse().expect("an address")),
        socket: folder.path().join("agent.sock"),
        states: None,
        resolvers: Vec::new(),
        dns: None,
        canaries: Vec::new(),
        doors: Vec::new(),
        weak_doors: Vec::new(),
        watchdog: None,
        credentials: BTreeMap::new(),
    }
}

/// Answers at a port of its own.
fn authority(agreed: watch::Receiver<Arc<Agreed>>) -> Authority {
    let config = DnsConfig {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        stale_after: Duration::from_secs(300),
        rate_limit: 0,
        threads: 1,
        status: false,
        secondaries: Vec::new(),
        signing: Default::default(),
    };
    authority::start(&config, agreed).expect("a free port")
}

fn parse(text: &str) -> Result<Definition, String> {
    match text.contains("[app]") {
        true => Ok(fixture::shop_state(consensus::model::Phase::Idle).definition.as_ref().clone()),
        false => Err("line 1, column 1: expected `[app]`".into()),
    }
}

fn status_of(error: ClientError) -> (u16, String) {
    match error {
        ClientError::Refused { status, why } => (status, why),
        other => panic!("not a refusal: {other}"),
    }
}

#[tokio::test]
async fn the_status_is_the_view_and_keeps_its_shape() {
    let agent = Agent::start().await;
    for client in [agent.tcp(), agent.unix()] {
        let mut document = client.get("/api/v1/status").await.expect("a status");
        assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
        let view: consensus::view::View = client.read("/api/v1/status").await.expect("a view");
        assert_eq!(view, fixture::view());
        document["version"] = "0".into();
        let text = serde_json::to_string_pretty(&document).expect("plain data");
        crate::cli::golden::same("status.json", &format!("{text}\n"));
    }
}

#[tokio::test]
async fn every_part_can_be_read_by_itself() {
    let agent = Agent::start().await;
    let tcp = agent.tcp();
    let members = tcp.get("/api/v1/members").await.expect("members");
    assert_eq!(members.as_array().map(Vec::len), Some(6));
    let voters = tcp.get("/api/v1/voters").await.expect("voters");
    assert_eq!((&voters["version"], &voters["members"][4]["agent"]), (&json!(3), &json!("sgp-1")));
    let app = tcp.get("/api/v1/apps/shop").await.expect("an app");
    assert_eq!((&app["phase"], &app["active"]), (&json!("promoting"), &json!("aws-east")));
    let defined = tcp.get("/api/v1/apps/shop/definition").await.expect("a definition");
    assert_eq!((&defined["revision"], &defined["definition"]["name"]), (&json!(2), &json!("shop")));
    let definition: Definition =
        serde_json::from_value(defined["definition"].clone()).expect("it can be read back");
    assert_eq!(definition.stacks.len(), 2);
    let found: explain::Explanation = tcp.read("/api/v1/explain/shop").await.expect("sums");
    assert_eq!(found.sights[0].stacks[0].sums[0].down, 4);
}

#[tokio::test]
async fn a_past_decision_is_explained_from_the_history() {
    let agent = Agent::start().await;
    let mut past = fixture::shop_state(consensus::model::Phase::Idle);
    past.epoch = consensus::model::Epoch(3);
    let apps = vec![Arc::new(past)];
    agent.looped.agreed.send_replace(Arc::new(Agreed { apps, ..fixture::agreed() }));
    let tcp = agent.tcp();
    let deadline = Instant::now() + PATIENCE;
    let story = loop {
        let story = tcp.get("/api/v1/history?app=shop&epoch=3").await.expect("a history");
        if story["states"].as_array().is_some_and(|states| !states.is_empty()) {
            break story;
        }
        assert!(Instant::now() < deadline, "the state is never written: {story}");
        tokio::task::yield_now().await;
    };
    assert_eq!(story["states"][0]["epoch"], 3);
    agent.looped.agreed.send_replace(Arc::new(fixture::agreed()));
    let found: explain::Explanation =
        tcp.read("/api/v1/explain/shop?epoch=3").await.expect("an explanation");
    assert_eq!(found.sights.len(), 2);
    assert_eq!(found.sights[1].witnesses.len(), 4);
    let (status, why) =
        status_of(tcp.get("/api/v1/explain/shop?epoch=77").await.expect_err("no such epoch"));
    assert_eq!((status, why.contains("epoch 77")), (404, true));
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let agent = Agent::start().await;
    let tcp = agent.tcp();
    for (path, status, word) in [
        ("/api/v1/apps/nope", 404, "no app `nope`"),
        ("/api/v1/apps/nope/definition", 404, "no app `nope`"),
        ("/api/v1/explain/%3Cscript%3E", 404, "no app `<script>`"),
        ("/api/v2/status", 404, "no such path"),
        ("/api/v1/history?epoch=minus", 400, "epoch"),
        ("/api/v1/apply", 405, "no such method"),
    ] {
        let (found, why) = status_of(tcp.get(path).await.expect_err(path));
        assert_eq!(found, status, "{path}: {why}");
        assert!(why.contains(word), "{path}: {why}");
    }
}

#[tokio::test]
async fn events_are_told_as_they_happen_and_end_with_the_agent() {
    let agent = Agent::start().await;
    let mut stream = TcpStream::connect(agent.address()).await.expect("it listens");
    let request = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.expect("it reads");
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    while !heard.contains("\r\n\r\n") {
        let count = stream.read(&mut buffer).await.expect("it answers");
        heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(heard.contains("text/event-stream"), "{heard}");
    let event: Event = fixture::events().swap_remove(4);
    agent.looped.handle.events.send(Arc::new(event)).expect("somebody listens");
    while !heard.contains("\n\n") {
        let count = stream.read(&mut buffer).await.expect("it answers");
        heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    let data = heard.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!((&data["event"], &data["number"]), (&json!("learns"), &json!(5)));
    assert!(heard.contains("event: learns") && heard.contains("id: 5"), "{heard}");

    let stopping = tokio::time::timeout(PATIENCE, agent.status.stop());
    stopping.await.expect("an open stream does not hold it up");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn ready_means_that_a_majority_is_heard() {
    let agent = Agent::start().await;
    assert!(agent.fetch("/healthz").await.ends_with("ok\n"));
    assert!(agent.fetch("/readyz").await.ends_with("ready\n"));

    let mut view = fixture::view();
    view.quorum.heard = 2;
    view.quorum.why = Some("2 of 5 voters heard, 3 are needed".into());
    let cut_off = Agent::with(view).await;
    assert!(cut_off.fetch("/healthz").await.ends_with("ok\n"));
    let answer = cut_off.fetch("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("3 are needed"), "{answer}");
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let agent = Agent::start().await;
    for event in fixture::events() {
        agent.looped.handle.events.send(Arc::new(event)).expect("somebody listens");
    }
    // No query at all, and counted as such.
    let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.send_to(&[0; 3], agent.dns.addresses()[0]).expect("loopback");
    let done = [
        "quorate_failover_duration_seconds_count{app=\"shop\",kind=\"failover\"} 1",
        "quorate_dns_dropped_total{transport=\"udp\"} 1",
    ];
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        let answer = agent.fetch("/metrics").await;
        if done.iter().all(|it| answer.contains(it)) {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer}");
    };
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    for line in [
        "quorate_quorum_available 1.0",
        "quorate_voters_heard 4.0",
        "quorate_app_epoch{app=\"shop\"} 4.0",
        "quorate_app_phase{app=\"shop\",phase=\"promoting\"} 1.0",
        "quorate_stack_down{app=\"shop\",stack=\"aws-east\",part=\"web\"} 1.0",
        "quorate_target_up{app=\"shop\",stack=\"aws-east\",target=\"web-1\"} 0.0",
        "quorate_gossip_rtt_seconds{agent=\"iad-1\",region=\"us-east\"} 0.08125",
        "quorate_actions_total{app=\"shop\",outcome=\"failed\"} 1",
        "quorate_decisions_total{app=\"shop\",kind=\"failover\"} 1",
        "quorate_database_warning{app=\"shop\",stack=\"do-west\",target=\"orders\",kind=\"out-of-sync\"} 1.0",
        "quorate_promotion_loss_bytes{app=\"shop\",stack=\"do-west\"} 4096.0",
        "quorate_promotion_loss_seconds{app=\"shop\",stack=\"do-west\"} 1.4",
        "quorate_resolver_old{app=\"shop\",resolver=\"192.0.2.53:53\"} 1.0",
        "quorate_resolver_old{app=\"shop\",resolver=\"198.51.100.53:53\"} 0.0",
        "quorate_dns_answers_total{transport=\"udp\",code=\"noerror\"} 0",
        "quorate_dns_limited_total 0",
        "quorate_dns_batches_total 1",
        "quorate_dns_sends_total 0",
        "quorate_resolver_followed_seconds{app=\"shop\",resolver=\"198.51.100.53:53\"} 31.4",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
    assert!(!text.contains("203.0.113.53:53"), "who does not tell is neither old nor new\n{text}");
    let mut families = BTreeMap::new();
    for line in text.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(family) => {
                let (name, kind) = family.split_once(' ').expect("a name and a kind");
                assert!(families.insert(name.to_owned(), kind).is_none(), "{name} twice");
            }
            None if line.starts_with('#') => {}
            None => {
                let (name, value) = line.rsplit_once(' ').expect("a name and a value");
                let name = name.split('{').next().expect("a name");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert!(families.keys().any(|family| name.starts_with(family.as_str())), "{line}");
            }
        }
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_page_stands_alone_and_lets_nobody_in() {
    let agent = Agent::start().await;
    let answer = agent.fetch("/").await;
    let (head, page) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    for outside in ["http://", "https://", "//cdn", "innerHTML", "insertAdjacentHTML", "eval("] {
        let found = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(outside), "the page says `{outside}`");
    }
    let rebound = "GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert!(agent.raw(rebound).await.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn a_client_says_in_a_line_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("none.sock");
    let nobody = Client::open(path.to_str().expect("a plain path"));
    let error = nobody.get("/api/v1/status").await.expect_err("nobody").to_string();
    assert!(error.contains("start one with `quorate agent`"), "{error}");

    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = stranger.local_addr().expect("a port");
    let talking = tokio::spawn(async move {
        let (mut stream, _) = stranger.accept().await.expect("a client");
        stream.write_all(b"220 mail.example.org ESMTP\r\n").await.expect("it listens");
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let error = Client::open(&format!("http://{address}")).get("/").await.expect_err("a stranger");
    assert!(matches!(error, ClientError::Stranger { .. }), "{error}");
    talking.await.expect("it ends");
}
