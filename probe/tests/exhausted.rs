//! Alone in its file, for it takes a whole process's files away.

use consensus::model::{Endpoint, FaultKind, Scheme};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;

use common::*;

mod common;

#[tokio::test]
async fn without_free_files_a_look_counts_neither_way() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    let named = Endpoint { address: "localhost".to_owned(), ..endpoint(Scheme::Tcp, at) };
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum })
        .expect("lowering is allowed");
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    let sighted = look_at(endpoint(Scheme::Tcp, at), AMPLE).await;
    let by_name = look_at(named, AMPLE).await;
    setrlimit(Resource::Nofile, before).expect("as it was");
    assert_eq!(invalid(&sighted).kind, FaultKind::Local, "{}", invalid(&sighted));
    assert!(invalid(&sighted).text.contains("too many open files"), "{}", invalid(&sighted));
    invalid(&by_name);
}
