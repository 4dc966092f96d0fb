//! Answers datagrams: one thread a socket, many packets a system call.
//!
//! A thread of its own, because a flood of queries must not take the time of the loop that judges and votes. It sleeps in
//! the kernel until a packet comes, takes as many as are there, and answers all of them at once. A batch allocates nothing
//! but for signatures that are made the first time, and for secondaries (`tests/allocations.rs`).

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno as Refusal;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg};
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg, sendto};
use tracing::warn;

use super::Shared;
use super::counters::Tally;
use super::desk::{DATAGRAM, Desk, Outcome};

/// Packets a system call takes or sends.
const BATCH: usize = 64;
/// No honest query is longer; what is cut off here is answered FORMERR.
const QUERY_LIMIT: usize = 2048;
/// Between two tries when a socket fails; without it the loop would spin.
const BREATH: Duration = Duration::from_millis(100);

/// An address of either family, as the kernel writes it.
trait Peer: SockaddrLike + Copy {
    fn address(self) -> SocketAddr;
}

impl Peer for SockaddrIn {
    fn address(self) -> SocketAddr {
        SocketAddrV4::from(self).into()
    }
}

impl Peer for SockaddrIn6 {
    fn address(self) -> SocketAddr {
        SocketAddrV6::from(self).into()
    }
}

/// Answers until it is told to stop and woken by the socket's shutdown.
pub(super) fn serve(socket: &UdpSocket, local: SocketAddr, desk: Desk, shared: &Arc<Shared>) {
    match local {
        SocketAddr::V4(_) => serve_family::<SockaddrIn>(socket, desk, shared),
        SocketAddr::V6(_) => serve_family::<SockaddrIn6>(socket, desk, shared),
    }
}

fn serve_family<P: Peer>(socket: &UdpSocket, mut desk: Desk, shared: &Arc<Shared>) {
    let mut packets = vec![[0; QUERY_LIMIT]; BATCH];
    let mut received = [(0, None); BATCH];
    let mut headers = MultiHeaders::<P>::preallocate(BATCH, None);
    let mut answers: Vec<Vec<u8>> = Vec::new();
    answers.resize_with(BATCH, || Vec::with_capacity(usize::from(DATAGRAM)));
    let mut targets = Vec::with_capacity(BATCH);
    loop {
        let count = match receive(socket, &mut headers, &mut packets, &mut received, shared) {
            Ok(count) => count,
            Err(_) if shared.stopped() => return,
            Err(Refusal::EINTR | Refusal::EAGAIN) => continue,
            Err(error) => {
                warn!(%error, "cannot receive DNS queries over UDP");
                std::thread::sleep(BREATH);
                continue;
            }
        };
        desk.tally.take();
        shared.refresh(&mut desk);
        targets.clear();
        for (packet, (length, from)) in packets.iter().zip(&received[..count]) {
            let Some(from) = from.filter(|from| from.port() != 0) else {
                desk.tally.drop_one();
                continue;
            };
            let answer = &mut answers[targets.len()];
            answer.clear();
            match desk.answer(&packet[..*length], from.ip(), answer) {
                Outcome::Answered => {}
                Outcome::Dropped => continue,
                Outcome::Special(query) => {
                    let packet = &packet[..*length];
                    match shared.respond(&mut desk, packet, &query, from.ip(), None).pop() {
                        // Into what is there, which has room for every answer to come.
                        Some(message) => answer.extend_from_slice(&message),
                        None => continue,
                    }
                }
            }
            targets.push(from.into());
        }
        send(socket, &answers[..targets.len()], &targets, &desk.tally);
    }
}

/// Waits for a packet and takes those that are there: their lengths and senders.
fn receive<P: Peer>(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<P>,
    packets: &mut [[u8; QUERY_LIMIT]],
    received: &mut [(usize, Option<SocketAddr>); BATCH],
    shared: &Shared,
) -> Result<usize, Refusal> {
    let mut packets = packets.iter_mut();
    let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = std::array::from_fn(|_| {
        [IoSliceMut::new(packets.next().expect("there are as many buffers as slices"))]
    });
    let flags = MsgFlags::MSG_WAITFORONE;
    let messages = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None)?;
    if shared.stopped() {
        return Err(Refusal::ESHUTDOWN);
    }
    let mut count = 0;
    for (place, message) in received.iter_mut().zip(messages) {
        let whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
        *place = (message.bytes, message.address.filter(|_| whole).map(P::address));
        count += 1;
    }
    Ok(count)
}

/// Sends them all; one that the kernel refuses is left out.
fn send(socket: &UdpSocket, answers: &[Vec<u8>], targets: &[SocketAddrAny], tally: &Tally) {
    if let ([answer], [target]) = (answers, targets) {
        tally.send();
        if sendto(socket, answer, SendFlags::empty(), target).is_err() {
            tally.drop_one();
        }
        return;
    }
    // On the stack: an allocation here would be one for every batch. Those behind the last answer are never sent.
    let slices: [_; BATCH] = std::array::from_fn(|at| {
        [IoSlice::new(answers.get(at).map(Vec::as_slice).unwrap_or_default())]
    });
    let mut controls: [SendAncillaryBuffer<'_, '_, '_>; BATCH] =
        std::array::from_fn(|_| SendAncillaryBuffer::default());
    let mut controls = controls.iter_mut();
    let mut messages: [MMsgHdr<'_>; BATCH] = std::array::from_fn(|at| {
        let control = controls.next().expect("there are as many buffers as messages");
        match targets.get(at) {
            Some(target) => MMsgHdr::new_with_addr(target, &slices[at], control),
            None => MMsgHdr::new(&slices[at], control),
        }
    });
    let mut rest = &mut messages[..answers.len().min(targets.len())];
    while !rest.is_empty() {
        tally.send();
        let done = match sendmmsg(socket, rest, SendFlags::empty()) {
            Ok(sent) => sent.max(1),
            Err(Errno::INTR) => 0,
            Err(_) => {
                tally.drop_one();
                1
            }
        };
        rest = &mut rest[done..];
    }
}
