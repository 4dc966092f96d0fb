//! Connections on which nobody keeps to the rules: lengths that lie, messages cut in half, many at once, a byte at a time.
//!
//! Whatever comes, what goes out is whole messages, one after the other, in the order of what was asked; and the next
//! connection is answered. Three hundred of them each time, and as many as a thousandth of `QUORATE_PACKETS` by hand.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fuzz::{bend, seeds, told};
use super::transfers::{requests, shared};
use super::*;
use crate::authority::connections;

const CONNECTIONS: u64 = 300;
/// The most messages at once.
const PIPELINE: usize = 12;
/// Longer than the server waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message as it goes over a connection, or nearly so.
fn framed(message: &[u8], chance: &mut StdRng, stream: &mut Vec<u8>) {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let told = match chance.random_range(0..40) {
        0 => 0,
        1 => u16::MAX,
        2 => length.wrapping_add(1),
        3 => length.saturating_sub(1),
        4 => chance.random(),
        _ => length,
    };
    stream.extend(told.to_be_bytes());
    stream.extend(message);
}

/// What the server is to make of all that: the number of each message that it sends, and whether it ends by itself.
fn expected(mut stream: &[u8]) -> (Vec<[u8; 2]>, bool) {
    let shared = shared();
    let mut desk = shared.desk(shared.tcp.clone(), Transport::Tcp);
    let (mut numbers, mut out) = (Vec::new(), Vec::new());
    while let Some((length, rest)) = stream.split_first_chunk::<2>() {
        let Some((packet, rest)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else {
            break;
        };
        stream = rest;
        shared.refresh(&mut desk);
        out.clear();
        match desk.answer(packet, FROM, &mut out) {
            Outcome::Answered => numbers.push([out[0], out[1]]),
            Outcome::Dropped => return (numbers, true),
            Outcome::Special(query) => {
                let messages = shared.respond(&mut desk, packet, &query, FROM, None);
                numbers.extend(messages.iter().map(|it| [it[0], it[1]]));
            }
        }
    }
    (numbers, false)
}

/// Everything the server sends, as whole messages; what is left over, if it ended within one; and whether it broke off.
async fn received(mut stream: TcpStream) -> (Vec<Vec<u8>>, usize, bool) {
    let mut bytes = Vec::new();
    let broken = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes));
    let broken = broken.await.expect("the server ends what it does not answer").is_err();
    let (mut messages, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let Some((message, more)) = more.split_at_checked(u16::from_be_bytes(*length).into())
        else {
            break;
        };
        messages.push(message.to_vec());
        rest = more;
    }
    (messages, rest.len(), broken)
}

#[tokio::test]
async fn whatever_comes_over_a_connection_whole_answers_go_out_in_order() {
    let connections = told("QUORATE_PACKETS").map_or(CONNECTIONS, |packets| packets / 1000);
    let seed = told("QUORATE_SEED").unwrap_or(1);
    let mut chance = StdRng::seed_from_u64(seed);
    let all: Vec<Vec<u8>> = seeds().into_iter().chain(requests()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = listener.local_addr().expect("it is bound");
    let serving = tokio::spawn(connections::serve(listener, Arc::new(shared())));
    let (mut asked, mut answered, mut ended) = (0, 0, 0);
    for number in 0..connections {
        let mut sent = Vec::new();
        for _ in 0..chance.random_range(1..=PIPELINE) {
            let mut message = all[chance.random_range(0..all.len())].clone();
            if chance.random_bool(0.2) {
                bend(&mut message, &all, &mut chance);
            }
            asked += 1;
            framed(&message, &mut chance, &mut sent);
        }
        // Half of a message, and nothing more.
        if chance.random_bool(0.3) {
            sent.truncate(chance.random_range(0..sent.len()));
        }
        let (wanted, ends) = expected(&sent);
        let stream = TcpStream::connect(server).await.expect("it listens");
        let (from, mut to) = stream.into_split();
        let piece = [1, 2, 3, 100, 70_000][chance.random_range(0..5)];
        let writing = tokio::spawn({
            let pieces: Vec<Vec<u8>> = sent.chunks(piece).map(<[u8]>::to_vec).collect();
            async move {
                for piece in pieces {
                    // Whoever was hung up on cannot go on.
                    if to.write_all(&piece).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                to
            }
        });
        let mut to = writing.await.expect("writing ends");
        let _ = to.shutdown().await;
        let stream = from.reunite(to).expect("the two halves of one");
        let (messages, left, broken) = received(stream).await;
        let numbers: Vec<[u8; 2]> = messages.iter().map(|it| [it[0], it[1]]).collect();
        let what = format!("connection {number} of seed {seed}");
        // Where the server hangs up on what was sent in vain, the system may take back answers on their way.
        if ends {
            ended += 1;
            assert!(wanted.starts_with(&numbers), "{what}: {numbers:?}, {wanted:?} at most");
            assert!(broken || left == 0, "{what}: half a message");
        } else {
            assert_eq!((&numbers, left), (&wanted, 0), "{what}: broken off: {broken}");
        }
        assert!(messages.iter().all(|it| it[2] & 0x80 != 0), "{what}: not an answer");
        answered += messages.len();
    }
    println!(
        "{connections} connections of seed {seed}: {asked} messages, {answered} answers, {ended} hung up on"
    );
    assert!(0 < answered && 0 < ended && !serving.is_finished());
    serving.abort();
}
