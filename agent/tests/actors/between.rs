//! What happens to a zone between a driver's look and its dynamic update, and to the update's answer: at real servers.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::common::named::Named;

/// The operation code of a dynamic update (RFC 2136 section 2.2).
const UPDATE: u8 = 5;

async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn tell(stream: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    let framed = [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    stream.write_all(&framed).await.ok()
}

/// Passes everything on to a server, one connection after another. Before the first update something else happens; it is
/// answered as it was, or not at all.
async fn relay(
    listener: &TcpListener,
    server: SocketAddr,
    before: impl AsyncFnOnce(),
    answered: bool,
) {
    let mut before = Some(before);
    loop {
        let (mut client, _) = listener.accept().await.expect("a connection");
        let mut there = TcpStream::connect(server).await.expect("it listens");
        while let Some(question) = message(&mut client).await {
            let updates = question[2] >> 3 & 0xf == UPDATE;
            let first = before.take_if(|_| updates);
            let lost = first.is_some() && !answered;
            if let Some(before) = first {
                before().await;
            }
            tell(&mut there, &question).await.expect("it takes it");
            let answer = message(&mut there).await.expect("it answers");
            if lost || tell(&mut client, &answer).await.is_none() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_is_written_after_the_look_is_kept_and_an_answer_that_is_lost_is_found_out() {
    let (named, knot, pdns) = (Named::start("").await, Knot::start().await, Pdns::start().await);
    let key = Credential::Key {
        name: KEY.to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        secret: SECRET.to_vec(),
    };
    let good: Credentials = [("dns".parse().expect("a name"), key)].into();
    for server in [named.address, knot.address, pdns.address] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let between = listener.local_addr().expect("bound");
        let write = async |through: SocketAddr, epoch: u32| {
            let effect = Effect::Publish {
                name: NAME.to_owned(),
                driver: Driver::Rfc2136 {
                    server: through.to_string(),
                    zone: ZONE.to_owned(),
                    credential: "dns".parse().expect("a name"),
                },
                sets: vec![addresses(&[&format!("192.0.2.{epoch}")])],
                stack: "do-west".parse().expect("a name"),
            };
            act(&good, token(epoch, 4), effect).await
        };
        let holds = |epoch: u32| {
            assert_eq!(dig(server, &[NAME, "A"]), [format!("192.0.2.{epoch}")], "{server}");
            assert_eq!(dig(server, &[MARKER, "TXT"]), [marker(epoch)], "{server}");
        };
        let found = |server: SocketAddr| format!("{server} behind {between}");

        // At a name that was never written, and at one that was.
        for (rival, late) in [(3, 2), (6, 5)] {
            let newer = async || assert!(write(server, rival).await.is_ok(), "{}", found(server));
            let overtaken = tokio::select! {
                done = write(between, late) => done,
                () = relay(&listener, server, newer, true) => unreachable!("it goes on"),
            };
            let what = kind(&overtaken);
            assert_eq!(what, Some(ActionFaultKind::Superseded), "{}: {overtaken:?}", found(server));
            holds(rival);
        }

        let unheard = tokio::select! {
            done = write(between, 7) => done,
            () = relay(&listener, server, async || {}, false) => unreachable!("it goes on"),
        };
        assert_eq!(
            kind(&unheard),
            Some(ActionFaultKind::Unknown),
            "{}: {unheard:?}",
            found(server)
        );
        holds(7);
        let again = write(server, 7).await;
        assert!(text(&again).starts_with("says so already"), "{again:?}");
    }
}
