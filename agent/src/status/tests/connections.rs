//! Slow, silent, greedy and too many clients, and who else may have the socket.

use std::os::unix::fs::PermissionsExt;

use tokio::net::UnixStream;

use super::*;

fn no_doors() -> Doors {
    Doors::showing(&GuardView::default())
}

#[tokio::test]
async fn slow_and_too_many_clients_cost_the_agent_nothing() {
    let agent = Agent::start().await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(agent.address()).await.expect("it listens");
        let _ = stream.write_all(b"GET /api/v1/sta").await;
        slow.push(stream);
    }
    // All places over TCP are taken; the socket has places of its own.
    agent.unix().get("/api/v1/status").await.expect("it answers");
    drop(slow);
    let deadline = Instant::now() + PATIENCE;
    while agent.tcp().get("/api/v1/status").await.is_err() {
        assert!(Instant::now() < deadline, "no place became free");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_neither_asks_nor_listens_is_sent_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("agent.sock");
    let listener = serve::bind_socket(&socket).await.expect("a socket");
    let (stop, stopped) = watch::channel(false);
    let short = Duration::from_millis(100);
    let patience = Patience { head: short, stall: short };
    let huge = async || "x".repeat(64 * 1024 * 1024);
    let router = axum::Router::new().route("/", axum::routing::get(huge));
    let listener = Listener::Unix(listener, socket.clone());
    let server = tokio::spawn(serve::serve(listener, router, patience, stopped));

    let mut silent = UnixStream::connect(&socket).await.expect("it listens");
    silent.write_all(b"GET / HTTP/1.1\r\n").await.expect("it reads");
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.expect("it is closed");

    let mut deaf = UnixStream::connect(&socket).await.expect("it listens");
    deaf.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
    // Writing shows that the other end is gone, without taking anything.
    let deadline = Instant::now() + PATIENCE;
    while deaf.write_all(b"\n").await.is_ok() {
        assert!(Instant::now() < deadline, "it is waited for");
        tokio::task::yield_now().await;
    }
    stop.send_replace(true);
    server.await.expect("it ends");
    assert!(!socket.exists(), "the socket is taken away");
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_for_one_agent() {
    let agent = Agent::start().await;
    let mode = agent.status.socket.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);

    let refused = async |config: &AgentConfig| {
        let handle = agent.looped.handle.clone();
        let (tails, readiness) = (Tails::default(), Readiness::default());
        let started = start(config, handle, parse, tails, no_doors(), readiness, None).await;
        started.err().expect("it does not start").to_string()
    };
    let error = refused(&config(&agent.folder, "127.0.0.1:0")).await;
    assert!(error.contains("another agent answers there"), "{error}");

    let mut taken = config(&agent.folder, &agent.address().to_string());
    taken.socket = agent.folder.path().join("other.sock");
    let error = refused(&taken).await;
    assert!(error.contains("cannot listen on"), "{error}");

    let error = refused(&config(&agent.folder, "0.0.0.0:4791")).await;
    assert!(error.contains("only loopback for now"), "{error}");
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists());
    drop(serve::bind_socket(&path).await.expect("nobody listens there"));
    std::fs::remove_file(&path).expect("it is there");
    std::fs::write(&path, "precious").expect("a disk");
    assert!(matches!(serve::bind_socket(&path).await, Err(StartError::Socket(..))));
    assert_eq!(std::fs::read_to_string(&path).expect("untouched"), "precious");
}

#[tokio::test]
async fn listeners_are_bounded() {
    let agent = Agent::start().await;
    let mut streams = Vec::new();
    for number in 0..=events::WATCHERS {
        let mut stream = TcpStream::connect(agent.address()).await.expect("it listens");
        let request = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.expect("it reads");
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("it answers");
        let expected = if number < events::WATCHERS { "HTTP/1.1 200" } else { "HTTP/1.1 503" };
        assert_eq!(std::str::from_utf8(&head), Ok(expected));
        streams.push(stream);
    }
}
