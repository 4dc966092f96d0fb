//! What happens to a zone between a driver's look and its dynamic update, and to the update's answer or after it: at real
//! servers.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::common::named::Named;

/// The operation code of a dynamic update (RFC 2136 section 2.2).
const UPDATE: u8 = 5;

/// What is done to the answer of an update; false if it is to be lost.
type Answered<'a> = dyn FnMut(&mut Vec<u8>) -> bool + 'a;

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

/// Passes everything on to a server, one connection after another. Something happens before each update, and something to its
/// answer: what is not to be passed on is lost with the connection.
async fn relay(
    listener: &TcpListener,
    server: SocketAddr,
    mut before: impl AsyncFnMut(),
    mut answered: impl FnMut(&mut Vec<u8>) -> bool,
) {
    loop {
        let (mut client, _) = listener.accept().await.expect("a connection");
        let mut there = TcpStream::connect(server).await.expect("it listens");
        while let Some(question) = message(&mut client).await {
            let updates = question[2] >> 3 & 0xf == UPDATE;
            if updates {
                before().await;
            }
            tell(&mut there, &question).await.expect("it takes it");
            let mut answer = message(&mut there).await.expect("it answers");
            let lost = updates && !answered(&mut answer);
            if lost || tell(&mut client, &answer).await.is_none() {
                break;
            }
        }
    }
}

/// Leads the name to another address under the marker as it stands, as people do.
fn edit(server: SocketAddr, address: &str) {
    let secret = data_encoding::BASE64.encode(SECRET);
    let mut editor = Command::new("nsupdate")
        .args(["-y", &format!("hmac-sha256:{KEY}:{secret}")])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nsupdate (bind9-dnsutils) is installed");
    let script = format!(
        "server {} {}\nupdate delete {NAME} A\nupdate add {NAME} 60 A {address}\nsend\n",
        server.ip(),
        server.port()
    );
    editor.stdin.take().expect("piped").write_all(script.as_bytes()).expect("it reads");
    assert!(editor.wait().expect("it ends").success(), "{script}");
}

/// No section at all, and this code: nobody signed it.
fn unsigned(answer: &mut Vec<u8>, code: u8) {
    answer.truncate(12);
    answer[3] = answer[3] & 0xf0 | code;
    answer[4..].fill(0);
}

fn signer() -> Credentials {
    let key = Credential::Key {
        name: KEY.to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        secret: SECRET.to_vec(),
    };
    [("dns".parse().expect("a name"), key)].into()
}

async fn write(through: SocketAddr, epoch: u32) -> Result<Done, ActionFault> {
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
    act(&signer(), token(epoch, 4), effect).await
}

#[tokio::test]
async fn what_is_written_after_the_look_is_kept_and_an_answer_that_is_lost_is_found_out() {
    let (named, knot, pdns) = (Named::start("").await, Knot::start().await, Pdns::start().await);
    for server in [named.address, knot.address, pdns.address] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let between = listener.local_addr().expect("bound");
        let holds = |epoch: u32| {
            assert_eq!(dig(server, &[NAME, "A"]), [format!("192.0.2.{epoch}")], "{server}");
            assert_eq!(dig(server, &[MARKER, "TXT"]), [marker(epoch)], "{server}");
        };
        let found = |server: SocketAddr| format!("{server} behind {between}");

        // At a name that was never written, and at one that was.
        for (rival, late) in [(3, 2), (6, 5)] {
            let mut came = false;
            let newer = async || {
                if !std::mem::replace(&mut came, true) {
                    assert!(write(server, rival).await.is_ok(), "{}", found(server));
                }
            };
            let overtaken = tokio::select! {
                done = write(between, late) => done,
                () = relay(&listener, server, newer, |_| true) => unreachable!("it goes on"),
            };
            let what = kind(&overtaken);
            assert_eq!(what, Some(ActionFaultKind::Superseded), "{}: {overtaken:?}", found(server));
            holds(rival);
        }

        let unheard = tokio::select! {
            done = write(between, 7) => done,
            () = relay(&listener, server, async || {}, |_| false) => unreachable!("it goes on"),
        };
        let what = kind(&unheard);
        assert_eq!(what, Some(ActionFaultKind::Unknown), "{}: {unheard:?}", found(server));
        holds(7);
        let again = write(server, 7).await;
        assert!(text(&again).starts_with("says so already"), "{again:?}");
    }
}

#[tokio::test]
async fn an_answer_to_an_update_is_believed_if_the_key_signed_it_and_the_records_say_so() {
    let (named, knot, pdns) = (Named::start("").await, Knot::start().await, Pdns::start().await);
    for server in [named.address, knot.address, pdns.address] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let between = listener.local_addr().expect("bound");
        assert!(write(server, 2).await.is_ok(), "{server}");
        let through = async |epoch: u32, answered: &mut Answered<'_>| {
            tokio::select! {
                done = write(between, epoch) => done,
                () = relay(&listener, server, async || {}, answered) => unreachable!("it goes on"),
            }
        };

        // Before its end an answer has the signature's octets, then an identifier, an error and a length of two octets each.
        let forged = |answer: &mut Vec<u8>| {
            let at = answer.len() - 7;
            answer[at] ^= 1;
            true
        };
        let bare = |answer: &mut Vec<u8>| {
            unsigned(answer, 0);
            true
        };
        let failed = |answer: &mut Vec<u8>| {
            unsigned(answer, 2);
            true
        };
        let another = |answer: &mut Vec<u8>| {
            answer[0] ^= 1;
            true
        };
        let cases: [(&mut Answered<'_>, &str); 4] = [
            (&mut { forged }, "answered with a signature that key `mesh-key.` does not verify"),
            (&mut { bare }, "answered with a signature that key `mesh-key.` does not verify"),
            (&mut { failed }, "answers Server Failure to an update of `dyn.example.`"),
            (&mut { another }, "answered another question than was asked"),
        ];
        for (epoch, (answered, words)) in (3..).zip(cases) {
            let unbelieved = through(epoch, answered).await;
            assert_eq!(
                kind(&unbelieved),
                Some(ActionFaultKind::Unknown),
                "{words}: {unbelieved:?}"
            );
            assert!(text(&unbelieved).contains(words), "{server}: {words}: {unbelieved:?}");
            // Believed or not, the server took it: whoever asks again finds that.
            let again = write(server, epoch).await;
            assert!(text(&again).starts_with("says so already"), "{server}: {words}: {again:?}");
        }

        // Edited by hand behind the update: once is put right at once, and who does it every time is told of.
        let mut left = 1;
        let mended = through(7, &mut |_| {
            if 0 < left {
                left -= 1;
                edit(server, "192.0.2.99");
            }
            true
        })
        .await;
        assert!(text(&mended).starts_with("updated"), "{server}: {mended:?}");
        assert_eq!(dig(server, &[NAME, "A"]), ["192.0.2.7"], "{server}");
        let fought = through(8, &mut |_| {
            edit(server, "192.0.2.99");
            true
        })
        .await;
        assert_eq!(kind(&fought), Some(ActionFaultKind::Unknown), "{server}: {fought:?}");
        let words = "took the update, but holds 192.0.2.99";
        assert!(text(&fought).contains(words), "{server}: {fought:?}");
    }
}
