//! Members that speak TLS alone: to whom, and what is said where no protected session comes about.

use std::io::Write as _;

use tests::harness::authority::Authority;
use tests::harness::mongodb::protected;

use super::*;

fn verified(authority: &Authority) -> Tls {
    Tls::Verified(Some(authority.pem().into()))
}

fn login(tls: Tls) -> Login {
    Login { tls, ..Login::new(USER, Some(PASSWORD)) }
}

/// One who logs in like this learns nothing of it and is told so, and asks it for nothing.
async fn is_refused(set: &Loopback, database: Database, tls: Tls, kind: FaultKind, words: &str) {
    let limit = Duration::from_secs(4);
    let Outcome::Failed(fault) = look_at(database.clone(), login(tls.clone()), limit).await else {
        panic!("{tls:?}: it looked")
    };
    assert_eq!(fault.kind, kind, "{tls:?}: {fault}");
    assert!(fault.text.contains(words), "{tls:?}: {fault}");
    let done = step_down(database, login(tls), limit).await.expect_err("nothing is done");
    let kinds = [ActionFaultKind::Refused, ActionFaultKind::Unknown];
    assert!(kinds.contains(&done.kind), "{done:?}");
    assert!(set.set().stepped.is_empty(), "it was asked: {done:?}");
    println!("{fault} / {}", done.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_client_accepts_the_members_over_tls_as_well() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    let (certificate, key) = authority.issue("127.0.0.1");
    let set = Loopback::start_with(2, Some(protected((&certificate, &key), None))).await;
    let members = [set.name(0), set.name(1)];
    let told = |authority: &Authority| {
        let mut file = tempfile::NamedTempFile::new().expect("the system's folder takes files");
        file.write_all(authority.pem().as_bytes()).expect("the system's folder takes files");
        let mut command = Command::new(python());
        client(&mut command, &members);
        command.arg(file.path());
        (command, file)
    };
    let (mut command, _file) = told(&authority);
    let said = tokio::task::spawn_blocking(move || output(&mut command)).await;
    let said: Value = serde_json::from_str(&said.expect("it ends")).expect("it says JSON");
    println!("pymongo {} over TLS: {said}", said["version"]);
    assert_eq!(said["wrong password"], 18);
    assert_eq!(said["after"], Value::from(members[1].as_str()));
    let rows = set.set().rows.len();
    assert_eq!(rows, 2, "one write each, at the primary of the time");

    // And believes nobody else's certificate: it is TLS that it spoke.
    let (mut command, _file) = told(&stranger);
    let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends");
    let ended = ended.expect("Python is there");
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(
        !ended.status.success() && complaint.contains("CERTIFICATE_VERIFY_FAILED"),
        "{complaint}"
    );
    assert_eq!(set.set().rows.len(), rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_looked_at_and_asked_over_tls() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    let (certificate, key) = authority.issue("127.0.0.1");
    let set = Loopback::start_with(2, Some(protected((&certificate, &key), None))).await;
    let here = || database(&set, 0);
    let there = || Database { address: "localhost".to_owned(), ..here() };
    let credential = FaultKind::Credential;
    is_refused(&set, here(), verified(&stranger), credential, "issuer is unknown").await;
    is_refused(&set, there(), verified(&authority), credential, "not for `localhost`").await;
    is_refused(&set, here(), Tls::AsOffered, FaultKind::Unready, "speaks TLS alone").await;
    for tls in [Tls::Encrypted, verified(&authority)] {
        set.change(|it| *it = Set::of(&it.members));
        let seen = look_at(here(), login(tls.clone()), Duration::from_secs(4)).await;
        let Outcome::Up(Some(sight)) = seen else { panic!("{tls:?}: {seen:?}") };
        assert!(!sight.replica && sight.timeline == 3, "{sight:?}");
        let done = step_down(here(), login(tls.clone()), Duration::from_secs(4)).await;
        assert!(done.is_ok(), "{tls:?}: {done:?}");
        assert_eq!(set.set().stepped, ["[Some(60), Some(3)]"], "{tls:?}");
        let seen = look_at(here(), login(tls), Duration::from_secs(4)).await;
        assert!(matches!(&seen, Outcome::Up(Some(sight)) if sight.replica), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_or_with_a_certificate_asked_for_nobody_gets_in() {
    let authority = Authority::new("ours");
    let plain = Loopback::start(2).await;
    let here = database(&plain, 0);
    for tls in [Tls::Encrypted, verified(&authority)] {
        let words = "offers no encryption";
        is_refused(&plain, here.clone(), tls, FaultKind::Credential, words).await;
    }
    // One that says so in the handshake's own words.
    let (certificate, key) = authority.issue("127.0.0.1");
    let tls = protected((&certificate, &key), Some(&authority.pem()));
    let set = Loopback::start_with(2, Some(tls)).await;
    let words = "asks for a client's certificate";
    let here = database(&set, 0);
    is_refused(&set, here, verified(&authority), FaultKind::Credential, words).await;
    // And one that hangs up: a `mongod` with `net.tls.CAFile` and without `allowConnectionsWithoutCertificates`.
    let set = Loopback::start_with(2, Some(protected((&certificate, &key), None))).await;
    set.change(|it| it.ails = Some((it.members[0].clone(), Ailment::Choosy)));
    let here = database(&set, 0);
    is_refused(&set, here, verified(&authority), FaultKind::Unready, words).await;
}
