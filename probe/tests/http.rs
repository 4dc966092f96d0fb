//! HTTP and TCP looks at servers that behave, misbehave and do not exist.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use consensus::model::{Endpoint, Expect, FaultKind, Outcome, Scheme};
use consensus::outbox::Subject;
use probe::{Means, look};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use common::*;

mod common;

const SHORT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_healthy_answer_is_up_and_says_where_the_time_went() {
    let at = serve_text("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall fine\n").await;
    let expect = Expect { status: vec![], body: Some("fine".to_owned()) };
    let sighted = look_at(Endpoint { expect, ..endpoint(Scheme::Http, at) }, AMPLE).await;
    assert_eq!(sighted.outcome, Outcome::Up(None));
    let phases = sighted.phases;
    assert_eq!((phases.resolve, phases.tls), (None, None));
    let sum = phases.connect.expect("connected")
        + phases.process.expect("asked")
        + phases.transfer.expect("read");
    assert!(sum <= sighted.took, "{sum:?} of {:?}", sighted.took);
}

#[tokio::test]
async fn the_request_names_host_and_agent_and_asks_to_close() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let heads = heard.clone();
    let at = serve(move |mut stream| {
        let heads = heads.clone();
        async move {
            let head = read_head(&mut stream).await;
            let port = stream.peer_addr().expect("connected").port();
            heads.lock().expect("not poisoned").push((head, port));
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let host = Some("shop.example".to_owned());
    for host in [None, host] {
        let endpoint =
            Endpoint { host, path: "/up?deep=1".to_owned(), ..endpoint(Scheme::Http, at) };
        assert_eq!(look_at(endpoint, AMPLE).await.outcome, Outcome::Up(None));
    }
    let heard = heard.lock().expect("not poisoned").clone();
    let [(plain, first), (named, second)] = heard.as_slice() else { panic!("{heard:?}") };
    assert!(plain.starts_with("GET /up?deep=1 HTTP/1.1\r\n"), "{plain}");
    assert!(plain.contains(&format!("host: {at}\r\n")), "{plain}");
    assert!(plain.contains("connection: close\r\n"), "{plain}");
    assert!(plain.contains("user-agent: quorate/"), "{plain}");
    assert!(named.contains("host: shop.example\r\n"), "{named}");
    assert_ne!(first, second, "each look takes a fresh source port");
}

#[tokio::test]
async fn wrong_answers_are_told_apart() {
    let long_body = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 100 * 1024], b"fine".to_vec()];
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let cases: Vec<(&str, Vec<u8>, FaultKind, &str)> = vec![
        ("status", b"HTTP/1.1 503 Gone\r\n\r\n".to_vec(), FaultKind::Status, "503, expected 2xx"),
        (
            "redirect",
            b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n".to_vec(),
            FaultKind::Status,
            "302",
        ),
        ("body", b"HTTP/1.1 200 OK\r\n\r\nbad".to_vec(), FaultKind::Body, "lack `fine`"),
        ("body too late", long_body.concat(), FaultKind::Body, "first 65536 bytes"),
        ("garbage", b"\x00\xff\xfe\r\n\r\n".to_vec(), FaultKind::Protocol, "not an HTTP/1.1"),
        ("another protocol", b"SSH-2.0-OpenSSH\r\n".to_vec(), FaultKind::Protocol, "not an HTTP"),
        ("TLS", b"\x15\x03\x01\x00\x02\x02\x46".to_vec(), FaultKind::Protocol, "not an HTTP"),
        ("nothing", b"".to_vec(), FaultKind::Reset, "closed"),
        ("half a head", b"HTTP/1.1 200 OK\r\nx-".to_vec(), FaultKind::Reset, "closed"),
        (
            "half a body",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nfine".to_vec(),
            FaultKind::Reset,
            "closed",
        ),
        (
            "two lengths",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nfine".to_vec(),
            FaultKind::Protocol,
            "not an HTTP",
        ),
        (
            "bad chunk",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
            FaultKind::Protocol,
            "",
        ),
        (
            "huge chunk",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nfine"
                .to_vec(),
            FaultKind::Reset,
            "",
        ),
        (
            "many headers",
            format!("HTTP/1.1 200 OK\r\n{many}\r\n").into_bytes(),
            FaultKind::Protocol,
            "head exceeds",
        ),
    ];
    for (name, answer, kind, words) in cases {
        let at = serve_text(answer).await;
        let expect = Expect { status: vec![], body: Some("fine".to_owned()) };
        let sighted = look_at(Endpoint { expect, ..endpoint(Scheme::Http, at) }, AMPLE).await;
        let fault = failed(&sighted);
        assert_eq!(fault.kind, kind, "{name}: {fault}");
        assert!(fault.text.contains(words), "{name}: {fault}");
        assert!(sighted.took < AMPLE, "{name}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_read_to_its_end() {
    let at = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nfine").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let expect = Expect { status: vec![200], body: Some("fine".to_owned()) };
    let sighted = look_at(Endpoint { expect, ..endpoint(Scheme::Http, at) }, AMPLE).await;
    assert_eq!(sighted.outcome, Outcome::Up(None));
    assert!(sighted.took < AMPLE);
}

#[tokio::test]
async fn endless_heads_end_at_their_limit() {
    let headers = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(&[b'y'; 4096]).await.is_ok() {}
    })
    .await;
    let status = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 ").await;
        while stream.write_all(&[b'O'; 4096]).await.is_ok() {}
    })
    .await;
    for at in [headers, status] {
        let sighted = look_at(endpoint(Scheme::Http, at), AMPLE).await;
        let fault = failed(&sighted);
        assert_eq!(fault.kind, FaultKind::Protocol, "{fault}");
        assert!(fault.text.contains("head exceeds"), "{fault}");
    }
}

#[tokio::test]
async fn servers_that_never_end_run_into_the_limit_and_the_text_says_where() {
    let silent = serve(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let trickle = |start: &'static [u8]| {
        serve(move |mut stream| async move {
            let _ = stream.write_all(start).await;
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            while stream.write_all(b"x").await.is_ok() {
                ticks.tick().await;
            }
        })
    };
    let informing = serve(|mut stream| async move {
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let cases = [
        ("silent", silent, "waiting for an answer"),
        ("head", trickle(b"HTTP/1.1 200 OK\r\nx: ").await, "waiting for an answer"),
        ("body", trickle(b"HTTP/1.1 200 OK\r\n\r\n").await, "reading the answer"),
        ("informing", informing, "waiting for an answer"),
    ];
    for (name, at, words) in cases {
        let began = Instant::now();
        let sighted = look_at(endpoint(Scheme::Http, at), SHORT).await;
        let took = began.elapsed();
        let fault = failed(&sighted);
        assert_eq!(fault.kind, FaultKind::Timeout, "{name}: {fault}");
        assert!(fault.text.contains(words) && fault.text.contains("400 ms"), "{name}: {fault}");
        assert!(took >= SHORT && took < SHORT * 3, "{name}: {took:?}");
    }
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let at = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
        stream.set_zero_linger().expect("a socket");
    })
    .await;
    let sighted = look_at(endpoint(Scheme::Http, at), AMPLE).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Reset, "{}", failed(&sighted));
}

#[tokio::test]
async fn a_closed_port_refuses_and_an_open_one_is_enough_for_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    let sighted = look_at(endpoint(Scheme::Tcp, at), AMPLE).await;
    assert_eq!(sighted.outcome, Outcome::Up(None));
    assert!(sighted.phases.connect.is_some() && sighted.phases.process.is_none());
    drop(listener);
    for scheme in [Scheme::Tcp, Scheme::Http, Scheme::Https] {
        let sighted = look_at(endpoint(scheme, at), AMPLE).await;
        assert_eq!(failed(&sighted).kind, FaultKind::Refused);
        assert_eq!(failed(&sighted).text, format!("connection refused: connecting to {at}"));
    }
}

#[tokio::test]
async fn ipv6_and_names_are_connected_to() {
    let at = serve_on("[::1]:0", |mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    })
    .await;
    for address in ["::1", "[::1]"] {
        let endpoint = Endpoint { address: address.to_owned(), ..endpoint(Scheme::Http, at) };
        assert_eq!(look_at(endpoint, AMPLE).await.outcome, Outcome::Up(None));
    }
    let at = serve_text("HTTP/1.1 200 OK\r\n\r\n").await;
    let named = Endpoint { address: "localhost".to_owned(), ..endpoint(Scheme::Http, at) };
    let sighted = look_at(named, AMPLE).await;
    assert_eq!(sighted.outcome, Outcome::Up(None));
    assert!(sighted.phases.resolve.is_some());
}

#[tokio::test]
async fn our_own_troubles_count_neither_way() {
    let at = SocketAddr::from(([127, 0, 0, 1], 9));
    // No host has this address (RFC 5737), so no socket can be bound to it.
    let source = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77)));
    let elsewhere = Means { source, ..means() };
    let subject = Subject::Endpoint(Arc::new(endpoint(Scheme::Tcp, at)));
    let sighted = look(&common::at(subject, AMPLE), &elsewhere).await;
    assert_eq!(invalid(&sighted).kind, FaultKind::Local);
    assert!(invalid(&sighted).text.contains("no such source address"), "{}", invalid(&sighted));

    let subject = Subject::Endpoint(Arc::new(endpoint(
        Scheme::Tcp,
        SocketAddr::from((Ipv6Addr::LOCALHOST, 9)),
    )));
    let sighted = look(&common::at(subject, AMPLE), &elsewhere).await;
    assert_eq!(invalid(&sighted).kind, FaultKind::Local, "another family than the source");

    // Class E is not routed: Linux says so inside `connect`.
    let nowhere = SocketAddr::from(([255, 255, 255, 255], 9));
    let sighted = look_at(endpoint(Scheme::Tcp, nowhere), AMPLE).await;
    assert_eq!(invalid(&sighted).kind, FaultKind::Local, "{}", invalid(&sighted));

    let path = Endpoint { path: "no slash".to_owned(), ..endpoint(Scheme::Http, at) };
    assert_eq!(invalid(&look_at(path, AMPLE).await).kind, FaultKind::Local);
}
