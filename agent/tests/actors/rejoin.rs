//! `quorate rejoin-redis` on real servers: what an old primary alone had is kept before it follows, and nothing is lost by
//! ending it anywhere.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use probe::redis::resp::{Link, Reply};
use tempfile::TempDir;

use crate::common::eventually;
use crate::common::redis::{Make, ROLE, Redis};

/// A folder for what is kept, as the guard names it.
pub struct Keep(TempDir);

impl Keep {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("rejoin/shop.cache.2.1.6").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// The program, as a guard would run it for the server at this port.
pub fn program(here: u16, new: u16, keep: &Keep, user: (&str, &str)) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.arg("rejoin-redis").env_clear();
    for (name, value) in [
        ("APP", "shop"),
        ("DATABASE", "cache"),
        ("HOST", "127.0.0.1"),
        ("PORT", &here.to_string()),
        ("PRIMARY_HOST", "127.0.0.1"),
        ("PRIMARY_PORT", &new.to_string()),
        ("USER", user.0),
        ("PASSWORD", user.1),
        ("KEEP", keep.path("").to_str().expect("a plain path")),
    ] {
        command.env(format!("QUORATE_{name}"), value);
    }
    command
}

/// Runs it: did it succeed, and what did it say?
fn run(here: &Redis, new: &Redis, keep: &Keep, user: (&str, &str)) -> (bool, String) {
    let output = program(here.port, new.port, keep, user).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
}

const ANYBODY: (&str, &str) = ("default", "");

/// Commands as they are sent.
fn sent(commands: &[&str]) -> String {
    let one = |command: &&str| {
        let words: Vec<_> = command.split(' ').collect();
        let word = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        format!("*{}\r\n", words.len()) + &words.iter().map(word).collect::<String>()
    };
    commands.iter().map(one).collect()
}

async fn set(redis: &Redis, key: &str, value: &str) {
    assert_eq!(redis.ask(&["SET", key, value]).await, Reply::Text("OK".to_owned()));
}

async fn holds(redis: &Redis, key: &str, value: &str) {
    eventually(&format!("it holds {key}"), async || {
        (redis.ask(&["GET", key]).await == Reply::Text(value.to_owned())).then_some(())
    })
    .await;
}

/// A primary and the replica that took its place, and both went on.
async fn parted(make: Make, settings: &[&str]) -> (Redis, Redis) {
    let old = make.start(settings).await;
    let new = old.replica().await;
    set(&old, "shared", "x").await;
    holds(&new, "shared", "x").await;
    promote(&new).await;
    set(&new, "new", "y").await;
    (old, new)
}

async fn promote(replica: &Redis) {
    replica.ask(&["REPLICAOF", "NO", "ONE"]).await;
    replica.until("role", "master").await;
}

/// It is a replica with what the new primary has, and with nothing else.
async fn follows(old: &Redis, new: &Redis) {
    old.until("master_port", &new.port.to_string()).await;
    old.until("master_link_status", "up").await;
    holds(old, "new", "y").await;
    assert_eq!(old.ask(&["DBSIZE"]).await, new.ask(&["DBSIZE"]).await);
}

/// What a server that has read a kept file holds.
async fn of_file(make: Make, keep: &Keep) -> Redis {
    make.start(&["--dir", keep.path("").to_str().expect("a plain path")]).await
}

async fn the_commands_that_the_old_primary_alone_had_are_kept_before_it_follows(make: Make) {
    let (old, new) = parted(make, &["--min-replicas-max-lag", "0"]).await;
    for server in [&old, &new] {
        server.grant_documented_rights().await;
        server.ask(&["ACL", "SETUSER", ROLE, "+psync", "+replconf"]).await;
    }
    let own = ["SET a 1", "SET b 2", "SET c 3", "SET d 4", "SET e 5"];
    for command in own {
        old.ask(&command.split(' ').collect::<Vec<_>>()).await;
    }
    old.ask(&["PUBLISH", "news", "heard by nobody later"]).await;
    let keep = Keep::new();

    let (done, said) = run(&old, &new, &keep, (ROLE, "wrong"));
    assert!(!done && said.contains("refuses log-in: WRONGPASS"), "{said}");
    assert_eq!(old.info("role").await, "master");
    assert!(!keep.path("").exists(), "nothing was begun");
    let expected = sent(&[&["SELECT 0"], &own[..]].concat());
    let bytes = expected.len() - sent(&["SELECT 0"]).len();
    for again in [false, true] {
        let (done, said) = run(&old, &new, &keep, (ROLE, ROLE));
        assert!(done, "{said}");
        let lost =
            format!("lost: 5 transactions, {bytes} bytes, 0 s\nfollows 127.0.0.1; 5 transactions");
        match again {
            false => assert!(said.starts_with(&lost), "{said}"),
            true => assert_eq!(said, "follows 127.0.0.1 already"),
        }
        assert_eq!(keep.read("commands.resp"), expected);
    }
    assert!(keep.read("README").contains(&format!("5 transactions ({bytes} bytes)")));
    for name in ["min-replicas-to-write", "min-replicas-max-lag"] {
        let value = old.ask(&["CONFIG", "GET", name]).await;
        assert_eq!(value.setting(name), Some("0"), "as its owner has it");
    }
    follows(&old, &new).await;

    // What was kept can be given to a server.
    let other = make.primary().await;
    let mut pipe = make.cli();
    pipe.args(["-p", &other.port.to_string(), "--pipe"]);
    pipe.stdin(fs::File::open(keep.path("commands.resp")).expect("it is there"));
    assert!(pipe.output().expect("it is installed").status.success());
    assert_eq!(other.ask(&["DBSIZE"]).await, Reply::Number(5));
    assert_eq!(other.ask(&["GET", "e"]).await, Reply::Text("5".to_owned()));
}

async fn transactions_count_as_one_and_name_their_database(make: Make) {
    let (old, new) = parted(make, &[]).await;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", old.port)).await.expect("it listens");
    let mut link = Link::over(stream);
    for command in ["SELECT 3", "MULTI", "SET a 1", "INCR a", "EXEC", "SELECT 0", "DEL shared"] {
        link.ask(&command.split(' ').collect::<Vec<_>>()).await.expect("it answers");
    }
    let keep = Keep::new();
    let (done, said) = run(&old, &new, &keep, ANYBODY);
    assert!(done, "{said}");
    // Redis's log says within a transaction where it goes, since version 8; so does Valkey's, which says 7.2 of itself there.
    let version = old.info("redis_version").await;
    let major: u32 = version.split('.').next().unwrap_or_default().parse().expect("a number");
    let begun = match make {
        Make::Redis if major < 8 => ["SELECT 3", "MULTI"],
        Make::Redis | Make::Valkey | Make::Foreign(_) => ["MULTI", "SELECT 3"],
    };
    let expected =
        sent(&[&begun[..], &["SET a 1", "INCR a", "EXEC", "SELECT 0", "DEL shared"]].concat());
    let bytes = expected.len();
    assert_eq!(keep.read("commands.resp"), expected);
    assert!(said.starts_with(&format!("lost: 2 transactions, {bytes} bytes, 0 s\n")), "{said}");
    follows(&old, &new).await;
}

async fn one_that_was_started_again_from_its_file_keeps_what_it_wrote_since_or_all(make: Make) {
    for saved_late in [false, true] {
        let mut old = make.primary().await;
        let new = old.replica().await;
        set(&old, "shared", "x").await;
        old.save().await;
        holds(&new, "shared", "x").await;
        promote(&new).await;
        set(&new, "new", "y").await;
        set(&old, "forgotten", "1").await;
        if saved_late {
            old.save().await;
        }
        old.kill();
        old.restart().await;
        set(&old, "own", "1").await;
        let keep = Keep::new();
        let (done, said) = run(&old, &new, &keep, ANYBODY);
        assert!(done, "{said}");
        follows(&old, &new).await;
        match saved_late {
            false => {
                assert_eq!(keep.read("commands.resp"), sent(&["SELECT 0", "SET own 1"]));
                assert!(said.starts_with("lost: 1 transactions, "), "{said}");
                assert!(!keep.path("dump.rdb").exists());
            }
            true => {
                assert!(!said.contains("lost: ") && said.contains("started again"), "{said}");
                assert!(said.contains("is not known"), "{said}");
                let whole = of_file(make, &keep).await;
                for key in ["shared", "forgotten", "own"] {
                    assert_ne!(whole.ask(&["GET", key]).await, Reply::Nothing, "{key}");
                }
            }
        }
    }
}

async fn where_the_log_does_not_reach_back_all_its_data_are_kept(make: Make) {
    for diskless in ["yes", "no"] {
        let small = ["--repl-backlog-size", "16384", "--repl-diskless-sync", diskless];
        let (old, new) = parted(make, &small).await;
        let large = "x".repeat(20_000);
        for number in 0..50 {
            set(&old, &format!("own:{number}"), &large).await;
        }
        let keep = Keep::new();
        let (done, said) = run(&old, &new, &keep, ANYBODY);
        assert!(done && said.contains("does not reach back to"), "{said}");
        assert!(!said.contains("lost: "), "how many is not known: {said}");
        follows(&old, &new).await;
        let whole = of_file(make, &keep).await;
        assert_eq!(whole.ask(&["DBSIZE"]).await, Reply::Number(51));
        assert_eq!(whole.ask(&["GET", "own:7"]).await, Reply::Text(large));
        assert!(keep.read("README").contains("dump.rdb"));
    }
}

async fn whoever_waits_for_a_replica_does_not_take_the_copy_for_one(make: Make) {
    let (old, new) = parted(make, &[]).await;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", old.port)).await.expect("it listens");
    let mut client = Link::over(stream);
    client.ask(&["SET", "own", "1"]).await.expect("it answers");
    client.send(&[&["WAIT", "1", "0"]]).await.expect("it listens");
    old.until("blocked_clients", "1").await;
    let keep = Keep::new();
    let (done, said) = run(&old, &new, &keep, ANYBODY);
    assert!(done, "{said}");
    let waited = client.hear().await.expect("it answers");
    assert!(waited.refusal().is_some_and(|why| why.starts_with("UNBLOCKED")), "{waited:?}");
}

async fn nothing_is_kept_of_one_that_has_nothing_and_nobody_is_wiped(make: Make) {
    let (old, new) = parted(make, &[]).await;
    let keep = Keep::new();
    let empty = make.primary().await;
    let (done, said) = run(&old, &empty, &keep, ANYBODY);
    assert!(!done && said.contains("would wipe what is left"), "{said}");
    let replica = new.replica().await;
    let (done, said) = run(&old, &replica, &keep, ANYBODY);
    assert!(!done && said.ends_with("is no primary"), "{said}");
    let (done, said) = run(&replica, &old, &keep, ANYBODY);
    assert!(!done && said.contains("is a replica of"), "{said}");
    old.ask(&["SET", "quorate:epoch:shop", "9"]).await;
    let (done, said) = run(&old, &new, &keep, ANYBODY);
    assert!(!done && said.contains("holds an older token"), "{said}");
    assert_eq!(old.info("role").await, "master");

    // What it writes into its log by itself, while it has a replica, is nothing of its own.
    let (old, new) = parted(make, &[]).await;
    let _third = old.replica().await;
    let before = old.info("master_repl_offset").await;
    eventually("it wrote `PING`", async || {
        (old.info("master_repl_offset").await != before).then_some(())
    })
    .await;
    let (done, said) = run(&old, &new, &keep, ANYBODY);
    assert!(done && said.starts_with("lost: 0 transactions, 0 bytes, 0 s\n"), "{said}");
    follows(&old, &new).await;
    let (done, said) = run(&empty, &new, &keep, ANYBODY);
    assert!(done && said.contains("it is empty"), "{said}");
    follows(&empty, &new).await;
    assert!(!keep.path("").exists(), "nothing to keep");
}

/// At which moment the program is killed.
#[derive(Clone, Copy)]
enum When {
    /// When it has received this much.
    Received(usize),
    /// When it tells the server to follow, before the server hears of it.
    Follows,
}

type Victim = Arc<Mutex<Option<Child>>>;

fn held(victim: &Victim) -> MutexGuard<'_, Option<Child>> {
    victim.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kill(victim: &Victim) {
    if let Some(child) = held(victim).as_mut() {
        child.kill().expect("it is ours");
    }
}

/// Stands before a server, and kills the program at that moment. Ends with the test.
fn before(server: u16, victim: &Victim, when: When) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let victim = victim.clone();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { return };
            let (to, from) = (near.try_clone().expect("a copy"), far.try_clone().expect("a copy"));
            let (one, other) = (victim.clone(), victim.clone());
            thread::spawn(move || {
                pass(near, far, |bytes, _| {
                    let follows = bytes.windows(9).any(|word| word == b"REPLICAOF");
                    if matches!(when, When::Follows) && follows {
                        kill(&one);
                        return false;
                    }
                    true
                });
            });
            thread::spawn(move || {
                pass(from, to, |_, sum| match when {
                    When::Received(enough) if enough <= sum => {
                        kill(&other);
                        false
                    }
                    When::Received(_) | When::Follows => true,
                });
            });
        }
    });
    port
}

/// Passes bytes on, as long as `goes_on` says so of them and of how many there were.
fn pass(mut from: TcpStream, mut to: TcpStream, goes_on: impl Fn(&[u8], usize) -> bool) {
    let (mut bytes, mut sum) = (vec![0; 16 * 1024], 0);
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        sum += read;
        if !goes_on(&bytes[..read], sum) || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

async fn killed_in_the_middle_it_loses_nothing_and_is_asked_again(make: Make) {
    let value = "x".repeat(100_000);
    for (when, whole) in [(When::Received(1_000_000), false), (When::Follows, true)] {
        let (old, new) = parted(make, &["--repl-backlog-size", "64mb"]).await;
        let mut expected = sent(&["SELECT 0"]);
        for number in 0..50 {
            set(&old, &format!("own:{number}"), &value).await;
            expected += &sent(&[&format!("SET own:{number} {value}")]);
        }
        let keep = Keep::new();
        let victim = Victim::default();
        let port = before(old.port, &victim, when);
        let mut command = program(port, new.port, &keep, ANYBODY);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        *held(&victim) = Some(child.expect("it runs"));
        eventually("it was killed", async || {
            held(&victim).as_mut().expect("it is there").try_wait().expect("it is ours")
        })
        .await;
        assert_eq!(old.info("role").await, "master", "and nothing of it was lost");
        assert_eq!(old.ask(&["DBSIZE"]).await, Reply::Number(51));
        let late = old.ask(&["SET", "late", "1"]).await;
        assert!(late.refusal().is_some_and(|why| why.starts_with("NOREPLICAS")), "{late:?}");
        match whole {
            true => assert!(keep.read("commands.resp") == expected, "whole before it follows"),
            false => assert!(!keep.path("commands.resp").exists(), "half is no file"),
        }
        let (done, said) = run(&old, &new, &keep, ANYBODY);
        assert!(done && said.starts_with("lost: 50 transactions, "), "{said}");
        assert!(keep.read("commands.resp") == expected, "the same as ever");
        follows(&old, &new).await;
    }
}

servers!(
    redis,
    Make::Redis,
    [
        the_commands_that_the_old_primary_alone_had_are_kept_before_it_follows,
        transactions_count_as_one_and_name_their_database,
        one_that_was_started_again_from_its_file_keeps_what_it_wrote_since_or_all,
        where_the_log_does_not_reach_back_all_its_data_are_kept,
        whoever_waits_for_a_replica_does_not_take_the_copy_for_one,
        nothing_is_kept_of_one_that_has_nothing_and_nobody_is_wiped,
        killed_in_the_middle_it_loses_nothing_and_is_asked_again,
    ]
);
// Where Valkey could be another: in what its log says and how, what its file is, and who counts as a replica. When the program is
// killed is the program's own affair.
servers!(
    foreign_valkey,
    Make::Valkey,
    [
        the_commands_that_the_old_primary_alone_had_are_kept_before_it_follows,
        transactions_count_as_one_and_name_their_database,
        one_that_was_started_again_from_its_file_keeps_what_it_wrote_since_or_all,
        where_the_log_does_not_reach_back_all_its_data_are_kept,
        whoever_waits_for_a_replica_does_not_take_the_copy_for_one,
        nothing_is_kept_of_one_that_has_nothing_and_nobody_is_wiped,
    ]
);
