//! Hosts that say nothing: whoever drops packets is given up soon, whoever answers them gets its time.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use agent::actors::Actors;
use agent::clock;
use agent::config::Credentials;
use consensus::model::{ActionFaultKind, Database, Effect, Engine, Report};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

use crate::{kind, login, report, text, token};

/// A place where so many connections are answered, and later ones are as if nobody were there: their packets are dropped.
async fn answers(connections: i32) -> (Socket, u16) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    listener.bind(&any.into()).expect("a free port");
    listener.listen(connections).expect("it listens");
    let port = listener.local_addr().expect("it is bound").as_socket().expect("IPv4").port();
    (listener, port)
}

async fn fence(engine: Engine, port: u16) -> Report {
    let name = || "main".parse().expect("a name");
    let database = Database {
        name: name(),
        engine,
        address: "127.0.0.1".to_owned(),
        port,
        credential: "main".parse().expect("a name"),
        guard: None,
        view: Default::default(),
    };
    let role: Credentials =
        [("main".parse().expect("a name"), login("quorate", Some("quorate")))].into();
    let (deadline, limit) = (clock::now() + Duration::from_secs(5), Duration::from_secs(5));
    report(Actors::new, &role, token(2, 1), Effect::Fence(database), deadline, limit).await
}

#[tokio::test]
async fn a_host_that_drops_packets_is_given_up_soon_whatever_its_engine() {
    let (_listener, port) = answers(0).await;
    let _first = TcpStream::connect(("127.0.0.1", port)).await.expect("the first waits");
    for engine in [Engine::Postgres, Engine::Mysql, Engine::Redis] {
        let given_up = fence(engine, port).await;
        assert_eq!(kind(&given_up.result), Some(ActionFaultKind::Unknown), "{given_up:?}");
        let said = text(&given_up.result);
        assert!(said.contains("cannot reach `127.0.0.1:"), "{engine:?}: {said}");
        let took = given_up.took;
        assert!(Duration::from_millis(800) <= took, "{engine:?}: {took:?}");
        assert!(took < Duration::from_millis(1_500), "{engine:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_there_and_slow_gets_its_time() {
    let (_listener, port) = answers(16).await;
    let given_up = fence(Engine::Mysql, port).await;
    assert_eq!(kind(&given_up.result), Some(ActionFaultKind::Unknown), "{given_up:?}");
    assert!(text(&given_up.result).contains("within 2.5s"), "{given_up:?}");
    assert!(Duration::from_millis(2_500) <= given_up.took, "{given_up:?}");
}
