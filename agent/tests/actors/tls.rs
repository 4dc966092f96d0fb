//! The way to real databases: in the clear, encrypted, verified; and what is said where it does not come about.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use agent::config::{Credential, Credentials};
use consensus::model::{
    ActionFaultKind, Database, Effect, Engine, FaultKind, Outcome, TargetId, Watched,
};
use consensus::outbox::{Look, Subject};
use probe::{Login, Means, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::common::mariadb::MariaDb;
use crate::common::postgres::Postgres;
use crate::common::redis::Redis;
use crate::common::{eventually, free_port, run};
use crate::rejoin::{Keep, program};
use crate::{act, kind, text, token};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    fn verified(&self) -> Tls {
        Tls::Verified(Some(self.0.pem().into()))
    }

    /// A server's certificate and key for this name, in files of a folder.
    fn issue(&self, name: &str, folder: &Path) -> [PathBuf; 2] {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        let files = ["server.crt", "server.key"].map(|file| folder.join(file));
        fs::write(&files[0], certificate.pem()).expect("own folder");
        fs::write(&files[1], key.serialize_pem()).expect("own folder");
        files
    }

    /// What servers of Redis are told of TLS, but for their port; they believe each other.
    fn for_redis(&self, folder: &Path) -> Vec<String> {
        let own = self.issue("127.0.0.1", folder);
        let issuer = folder.join("authority.crt");
        fs::write(&issuer, self.0.pem()).expect("own folder");
        let [certificate, key, issuer] =
            [&own[0], &own[1], &issuer].map(|file| file.display().to_string());
        [
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &issuer],
            ["--tls-auth-clients", "no"],
        ]
        .map(|words| words.map(str::to_owned))
        .concat()
    }
}

/// A Redis, and the port on which it speaks TLS.
async fn encrypted(files: &[String]) -> (Redis, u16) {
    let port = free_port();
    let own = ["--tls-port".to_owned(), port.to_string()];
    let settings: Vec<_> = own.iter().chain(files).map(String::as_str).collect();
    (Redis::start(&settings).await, port)
}

/// Gives files to whom this one belongs, and to nobody else.
fn as_owned(like: &Path, files: &[PathBuf]) {
    run(Command::new("chown").arg("--reference").arg(like).args(files));
    run(Command::new("chmod").arg("600").args(files));
}

/// One server, as one who logs in like this sees it.
struct Seen {
    database: Database,
    login: Login,
}

impl Seen {
    fn at(engine: Engine, port: u16, user: &str, password: Option<&str>, tls: Tls) -> Self {
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
        Self { database, login: Login { tls, ..Login::new(user, password) } }
    }

    async fn look(&self) -> Outcome {
        let target = TargetId {
            app: "shop".parse().expect("a name"),
            stack: "a".parse().expect("a name"),
            name: "main".parse().expect("a name"),
        };
        let look = Look {
            watched: Watched::Target(target),
            subject: Subject::Database(Arc::new(self.database.clone())),
            limit: Duration::from_secs(4),
        };
        let means = Means::of_host(None).with_login(Some(Arc::new(self.login.clone())));
        probe::look(&look, &means).await.outcome
    }

    /// It is looked at, and carries out what is asked for.
    async fn serves(&self) {
        match self.look().await {
            Outcome::Up(Some(_)) => {}
            other => panic!("{:?} {:?}: {other:?}", self.database.engine, self.login.tls),
        }
        let fence = Effect::Unfence(self.database.clone());
        let done = act(&self.credentials(), token(2, 1), fence).await;
        assert!(done.is_ok(), "{:?} {:?}: {done:?}", self.database.engine, self.login.tls);
    }

    /// It is told apart from a dead one and from one that is well, in these words, and nothing is done.
    async fn is_refused(&self, expected: FaultKind, words: &str) {
        let engine = self.database.engine;
        let Outcome::Failed(fault) = self.look().await else { panic!("{engine:?}: it looked") };
        assert_eq!(fault.kind, expected, "{engine:?}: {}", fault.text);
        assert!(fault.text.contains(words), "{engine:?}: {}", fault.text);
        let fence = Effect::Fence(self.database.clone());
        let done = act(&self.credentials(), token(2, 2), fence).await;
        let refused = [Some(ActionFaultKind::Refused), Some(ActionFaultKind::Unknown)];
        assert!(refused.contains(&kind(&done)), "{engine:?}: {done:?}");
        println!("{engine:?}: {} / {}", fault.text, text(&done));
    }

    fn credentials(&self) -> Credentials {
        let login = Credential::Login(Arc::new(self.login.clone()));
        [("main".parse().expect("a name"), login)].into()
    }
}

const OFFERS_NONE: &str = "offers no encryption";

#[tokio::test]
async fn postgres_is_encrypted_where_it_offers_and_verified_where_that_is_asked_for() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    let postgres = Postgres::primary().await;
    postgres.grant_documented_rights().await;
    let seen = |tls| Seen::at(Engine::Postgres, postgres.port, "postgres", None, tls);
    seen(Tls::AsOffered).serves().await;
    seen(Tls::Encrypted).is_refused(FaultKind::Credential, OFFERS_NONE).await;
    seen(authority.verified()).is_refused(FaultKind::Credential, OFFERS_NONE).await;

    let data = postgres.folder.path().join("data");
    let files = authority.issue("127.0.0.1", &data);
    as_owned(&data.join("postgresql.conf"), &files);
    postgres.sql("ALTER SYSTEM SET ssl = on").await;
    // From here on nobody gets in without TLS.
    fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").expect("its file");
    postgres.sql("SELECT pg_reload_conf()").await;
    eventually("it asks for TLS", || async {
        postgres.try_sql("SELECT 1").await.is_err().then_some(())
    })
    .await;
    for tls in [Tls::AsOffered, Tls::Encrypted, authority.verified()] {
        seen(tls).serves().await;
    }
    let unknown = "issuer is unknown";
    seen(stranger.verified()).is_refused(FaultKind::Credential, unknown).await;
    let elsewhere =
        Seen::at(Engine::Postgres, postgres.port, "postgres", None, authority.verified());
    let database = Database { address: "localhost".to_owned(), ..elsewhere.database };
    let elsewhere = Seen { database, ..elsewhere };
    elsewhere.is_refused(FaultKind::Credential, "not for `localhost`").await;
}

#[tokio::test]
async fn mariadb_is_encrypted_and_verified_where_that_is_asked_for() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    let role = crate::common::mariadb::ROLE;
    // Since 11.4 it makes itself a certificate.
    let plain = MariaDb::primary_with(&["--skip-ssl"]).await;
    let seen = |port, tls| Seen::at(Engine::Mysql, port, role, Some(role), tls);
    seen(plain.port, Tls::AsOffered).serves().await;
    seen(plain.port, Tls::Encrypted).is_refused(FaultKind::Credential, OFFERS_NONE).await;

    let folder = tempfile::tempdir().expect("a folder");
    let files = authority.issue("127.0.0.1", folder.path());
    run(Command::new("chmod").arg("755").arg(folder.path()));
    run(Command::new("chmod").arg("644").args(&files));
    let [certificate, key] = files.each_ref().map(|file| file.display());
    let settings = [format!("--ssl-cert={certificate}"), format!("--ssl-key={key}")];
    let server = MariaDb::primary_with(&settings.each_ref().map(String::as_str)).await;
    let replica = server.replica().await;
    replica.caught_up(&server).await;
    server.sql("set global require_secure_transport = 1").await;
    for tls in [Tls::Encrypted, authority.verified()] {
        seen(server.port, tls).serves().await;
    }
    // In the words of a wrong password: MariaDB says no more.
    let plainly = "without TLS: the credential asks for none";
    seen(server.port, Tls::AsOffered).is_refused(FaultKind::Credential, plainly).await;
    let unknown = "issuer is unknown";
    seen(server.port, stranger.verified()).is_refused(FaultKind::Credential, unknown).await;

    // And so is the way of an old primary that is to follow it again.
    for sql in ["stop slave", "reset slave all", "set global read_only = 0"] {
        replica.sql(sql).await;
    }
    let ways = [(stranger.0.pem(), Err("TLS/SSL error")), (authority.0.pem(), Ok(()))];
    for (pem, expected) in ways {
        let mut rejoins =
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/rejoin-mariadb"));
        for (name, value) in [
            ("APP", "shop"),
            ("DATABASE", "main"),
            ("HOST", "127.0.0.1"),
            ("PORT", &replica.port.to_string()),
            ("PRIMARY_HOST", "127.0.0.1"),
            ("PRIMARY_PORT", &server.port.to_string()),
            ("USER", role),
            ("PASSWORD", role),
            ("TLS", "verified"),
            ("TLS_AUTHORITY", &pem),
            ("TOKEN", "1.1.1"),
            ("KEEP", folder.path().join("keep").to_str().expect("a plain path")),
        ] {
            rejoins.env(format!("QUORATE_{name}"), value);
        }
        let output = rejoins.output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        match expected {
            Ok(()) => {
                assert!(output.status.success() && said.contains("follows 127.0.0.1"), "{said}")
            }
            Err(why) => assert!(!output.status.success() && said.contains(why), "{said}"),
        }
    }
    let connected = "select count(*) from information_schema.processlist \
                     where state = 'Waiting for master to send event'";
    eventually("it follows, encrypted", async || {
        (replica.sql(connected).await == "1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn redis_is_encrypted_and_verified_where_that_is_asked_for() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    let folder = tempfile::tempdir().expect("a folder");
    let files = authority.for_redis(folder.path());
    let (redis, port) = encrypted(&files).await;
    let seen = |port, tls| Seen::at(Engine::Redis, port, "default", None, tls);
    seen(redis.port, Tls::AsOffered).serves().await;
    for tls in [Tls::Encrypted, authority.verified()] {
        seen(port, tls).serves().await;
    }
    // It hangs up on whoever speaks none, and where it speaks none, waits for the end of what it takes for a command.
    seen(port, Tls::AsOffered).is_refused(FaultKind::Credential, "speaks TLS alone").await;
    for tls in [Tls::Encrypted, authority.verified()] {
        seen(redis.port, tls).is_refused(FaultKind::Credential, "speaks no TLS").await;
    }
    let unknown = "issuer is unknown";
    seen(port, stranger.verified()).is_refused(FaultKind::Credential, unknown).await;

    // And so is the copy of what an old primary alone has.
    let (new, other) = encrypted(&files).await;
    for server in [&redis, &new] {
        server.ask(&["SET", "own", "1"]).await;
        server.ask(&["DEL", "quorate:epoch:shop"]).await;
    }
    let keep = Keep::new();
    for (tls, succeeds) in [(stranger.verified(), false), (authority.verified(), true)] {
        let Tls::Verified(Some(pem)) = tls else { panic!("verified by our own") };
        let mut rejoins = program(port, other, &keep, ("default", ""));
        rejoins.env("QUORATE_TLS", "verified").env("QUORATE_TLS_AUTHORITY", &*pem);
        let output = rejoins.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), succeeds, "{said}");
        assert!(succeeds || said.contains(unknown), "{said}");
        assert_eq!(keep.path("dump.rdb").exists(), succeeds);
    }
}

#[tokio::test]
async fn a_redis_that_follows_already_is_told_to_encrypt_what_does_not_come_about_in_the_clear() {
    let authority = Authority::new("ours");
    let folder = tempfile::tempdir().expect("a folder");
    let files = authority.for_redis(folder.path());
    let (primary, above) = encrypted(&files).await;
    let (replica, port) = encrypted(&files).await;
    // As an agent of before told it, or its own file does.
    replica.ask(&["REPLICAOF", "127.0.0.1", &above.to_string()]).await;
    replica.until("master_link_status", "down").await;
    let [database, upstream] = [port, above]
        .map(|port| Seen::at(Engine::Redis, port, "default", None, authority.verified()));
    let credentials = database.credentials();
    let follow = Effect::Follow { database: database.database, primary: upstream.database };
    let told = act(&credentials, token(2, 4), follow.clone()).await;
    let follows = format!("follows `127.0.0.1:{above}` already");
    assert_eq!(text(&told), format!("{follows}, and is told to encrypt that"));
    replica.until("master_link_status", "up").await;
    let told = act(&credentials, token(2, 4), follow).await;
    assert_eq!(text(&told), follows);
    primary.until("connected_slaves", "1").await;
}
