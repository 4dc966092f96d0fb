//! What the tests of this crate share: looks to take, and servers that answer a connection with a script.

#![allow(dead_code)] // each test file uses its part

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consensus::model::{
    Database, Endpoint, Engine, Expect, Fault, Outcome, Scheme, TargetId, Watched,
};
use consensus::outbox::{Look, Subject};
use probe::{Login, Means, Sighted, look};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Enough for a busy machine; looks that should end early are held to much less where it matters.
pub const AMPLE: Duration = Duration::from_secs(10);

pub fn means() -> Means {
    Means::of_host(None)
}

pub fn endpoint(scheme: Scheme, at: SocketAddr) -> Endpoint {
    Endpoint {
        name: "web-1".parse().expect("a name"),
        scheme,
        address: at.ip().to_string(),
        port: at.port(),
        path: "/health".to_owned(),
        host: None,
        expect: Expect::default(),
        authority: None,
    }
}

pub fn database(port: u16) -> Database {
    Database {
        name: "db".parse().expect("a name"),
        engine: Engine::Postgres,
        address: "127.0.0.1".to_owned(),
        port,
        credential: "shop-db".parse().expect("a name"),
        guard: None,
        view: Default::default(),
    }
}

pub fn at(subject: Subject, limit: Duration) -> Look {
    let target = TargetId {
        app: "shop".parse().expect("a name"),
        stack: "a".parse().expect("a name"),
        name: "web-1".parse().expect("a name"),
    };
    Look { watched: Watched::Target(target), subject, limit }
}

pub async fn look_at(endpoint: Endpoint, limit: Duration) -> Sighted {
    look(&at(Subject::Endpoint(Arc::new(endpoint)), limit), &means()).await
}

pub async fn look_into(database: Database, login: Option<(&str, Option<&str>)>) -> Sighted {
    look_into_within(database, login, AMPLE).await
}

pub async fn look_into_within(
    database: Database,
    login: Option<(&str, Option<&str>)>,
    limit: Duration,
) -> Sighted {
    let login = login.map(|(user, password)| Arc::new(Login::new(user, password)));
    let means = means().with_login(login);
    look(&at(Subject::Database(Arc::new(database)), limit), &means).await
}

/// The fault of a look that failed by the target's doing.
pub fn failed(sighted: &Sighted) -> &Fault {
    match &sighted.outcome {
        Outcome::Failed(fault) => fault,
        other => panic!("expected a failure, found {other:?}"),
    }
}

/// The fault of a look that failed by our own doing.
pub fn invalid(sighted: &Sighted) -> &Fault {
    match &sighted.outcome {
        Outcome::Invalid(fault) => fault,
        other => panic!("expected an invalid look, found {other:?}"),
    }
}

/// A server that does this with every connection; it ends with the test's runtime.
pub async fn serve<F, Done>(answer: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Done + Send + Sync + 'static,
    Done: Future<Output = ()> + Send + 'static,
{
    serve_on("127.0.0.1:0", answer).await
}

pub async fn serve_on<F, Done>(address: &str, answer: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Done + Send + Sync + 'static,
    Done: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

/// A server that reads a request's head and then writes these bytes and closes.
pub async fn serve_text(text: impl Into<Vec<u8>>) -> SocketAddr {
    let text: Arc<[u8]> = text.into().into();
    serve(move |mut stream| {
        let text = text.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(&text).await;
        }
    })
    .await
}

/// Reads up to the empty line.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
