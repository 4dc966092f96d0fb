//! Datagrams are taken and answered many at a time, by several sockets at one port.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Instant;

use super::*;

/// As many as a system call takes.
const BURST: u16 = 64;

fn udp_answers(authority: &Authority) -> u64 {
    let answers = authority.counters().answers();
    answers.filter(|(by, ..)| *by == Transport::Udp).map(|(.., count)| count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_at_once_is_taken_and_answered_at_once() {
    for local in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        answers_at_once(local);
    }
}

fn answers_at_once(local: IpAddr) {
    let (authority, server, _sender) = serve_at(local, Duration::from_secs(300));
    let socket = UdpSocket::bind((local, 0)).expect("a socket");
    socket.connect(server).expect("loopback");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut message = question("shop.example.", RecordType::A);
    let counted = || {
        let counters = authority.counters();
        [udp_answers(&authority), counters.batches(), counters.sends()]
    };
    let until = Instant::now() + PATIENCE;
    // Whoever answers may be as fast as we send; then again.
    loop {
        let before = counted();
        for id in 0..BURST {
            message.metadata.id = id;
            socket.send(&message.to_vec().expect("encodes")).expect("loopback");
        }
        let mut missed: BTreeSet<u16> = (0..BURST).collect();
        while !missed.is_empty() {
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).expect("an answer to each");
            let said = Message::from_vec(&answer[..length]).expect("DNS");
            assert_eq!(data(&said.answers), ["192.0.2.1"]);
            assert!(missed.remove(&said.metadata.id), "each is answered once");
        }
        let after = counted();
        let [answers, batches, sends] = std::array::from_fn(|at| after[at] - before[at]);
        assert_eq!(answers, u64::from(BURST));
        println!("{local}: {answers} answers, taken {batches} times and sent {sends} times");
        if batches * 2 <= answers && sends * 2 <= answers {
            return;
        }
        assert!(Instant::now() < until, "{answers} queries in {batches} and {sends} system calls");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sockets_share_the_port() {
    let (_authority, server, _sender) = serve(Duration::from_secs(300));
    // proc(5): local address and port, in hexadecimal, stand in the second column.
    let table = std::fs::read_to_string("/proc/net/udp").expect("Linux");
    let port = format!(":{:04X}", server.port());
    let local = table.lines().filter_map(|line| line.split_whitespace().nth(1));
    assert_eq!(local.filter(|it| it.ends_with(&port)).count(), config(PATIENCE).threads);
}
