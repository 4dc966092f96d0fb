//! Names that lead nowhere, and resolvers that do not answer.

use std::sync::Arc;
use std::time::Duration;

use consensus::model::{Endpoint, FaultKind, Outcome, Scheme};
use consensus::outbox::Subject;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use probe::{Means, Names, Sighted, look};
use tokio::net::{TcpListener, UdpSocket};

use common::*;

mod common;

/// Answers each query through this: the answer's flags, and the records' bytes with their count.
async fn nameserver(flags: u16, answers: Vec<[u8; 4]>) -> Names {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let port = socket.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let question = &query[12..length];
            let end = question.iter().position(|&byte| byte == 0).expect("a name ends") + 5;
            // Only A is answered; an AAAA is a name without such records.
            let is_a = question[end - 3] == 1;
            let answers = if is_a { answers.as_slice() } else { &[] };
            let mut answer = query[..2].to_vec();
            answer.extend(flags.to_be_bytes());
            answer.extend([0, 1, 0, answers.len() as u8, 0, 0, 0, 0]);
            answer.extend(&question[..end]);
            for address in answers {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                answer.extend(address);
            }
            socket.send_to(&answer, from).await.expect("loopback takes it");
        }
    });
    names_from(port)
}

fn names_from(port: u16) -> Names {
    let mut connection = ConnectionConfig::udp();
    connection.port = port;
    let server = NameServerConfig::new([127, 0, 0, 1].into(), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().use_hosts_file = ResolveHosts::Never;
    builder.options_mut().cache_size = 0;
    Names::by(builder.build().expect("a resolver"))
}

async fn look_by(names: Names, port: u16, limit: Duration) -> Sighted {
    let endpoint = Endpoint {
        address: "shop.example".to_owned(),
        ..endpoint(Scheme::Tcp, ([127, 0, 0, 1], port).into())
    };
    let means = Means { names, ..means() };
    look(&at(Subject::Endpoint(Arc::new(endpoint)), limit), &means).await
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_the_targets_fault() {
    let sighted = look_by(nameserver(0x8183, vec![]).await, 9, AMPLE).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Resolve);
    assert_eq!(failed(&sighted).text, "there is no name `shop.example`");
    let sighted = look_by(nameserver(0x8180, vec![]).await, 9, AMPLE).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Resolve);
    assert_eq!(failed(&sighted).text, "`shop.example` has no address");
}

#[tokio::test]
async fn a_resolver_that_errs_or_is_silent_is_our_own_fault() {
    for flags in [0x8182, 0x8185] {
        let sighted = look_by(nameserver(flags, vec![]).await, 9, AMPLE).await;
        assert_eq!(invalid(&sighted).kind, FaultKind::Resolve, "{flags:x}");
    }
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let names = names_from(silent.local_addr().expect("bound").port());
    let sighted = look_by(names, 9, Duration::from_millis(300)).await;
    assert_eq!(invalid(&sighted).kind, FaultKind::Timeout);
    assert!(invalid(&sighted).text.contains("looking up `shop.example`"), "{}", invalid(&sighted));
    assert!(sighted.took < Duration::from_secs(1));
}

#[tokio::test]
async fn a_dead_address_beside_a_live_one_does_not_hide_it() {
    let listener = TcpListener::bind("127.0.0.3:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let answers = vec![[127, 0, 0, 2], [127, 0, 0, 3]];
    let sighted = look_by(nameserver(0x8180, answers).await, port, AMPLE).await;
    assert_eq!(sighted.outcome, Outcome::Up(None));
    drop(listener);
    let answers = vec![[127, 0, 0, 2], [127, 0, 0, 3]];
    let sighted = look_by(nameserver(0x8180, answers).await, port, AMPLE).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Refused);
}
