//! The test bed itself: a cut that does not cut would make every other process test pass for nothing.
//!
//! A process test has the servers it needs in its name, so that `./tests/run --without SERVER` can leave it out.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::harness::bind::{Bind, KEY, SECRET, Updates, ZONE};
use tests::harness::fabric::{Fabric, address};
use tests::harness::lab::{Lab, inside};
use tests::harness::nginx::Web;
use tests::harness::postgres::{Postgres, Replication};
use tests::harness::process::{Process, output};
use tests::harness::redis::Redis;
use tests::harness::resolver::{Answer, Watch, ask};
use tests::harness::wait::{eventually, throughout};
use tests::harness::writer::{Dialect, Writer, Writers, gap, handover, lost};

const LIMIT: Duration = Duration::from_secs(20);

/// Does a TCP connection from one host to another's web server come about?
fn reaches(fabric: &Fabric, from: &str, to: &str) -> bool {
    let script = format!("echo > /dev/tcp/{}/80", address(to));
    let mut command = fabric.command(from, "timeout");
    command.args(["1", "bash", "-c", &script]).stderr(Stdio::null());
    command.status().expect("bash runs").success()
}

#[test]
fn a_cut_between_a_region_and_nginx_cuts_just_that_and_heals() {
    inside(|lab: &Lab| {
        let _web = Web::start(lab, "s1");
        let fabric = &lab.fabric;
        assert!(reaches(fabric, "r1", "s1"));
        fabric.cut("r1", "s1");
        assert!(!reaches(fabric, "r1", "s1"));
        assert!(reaches(fabric, "r2", "s1"));
        fabric.heal();
        assert!(reaches(fabric, "r1", "s1"));
        // Requests arrive, replies are lost.
        fabric.cut_one_way("s1", "r2");
        assert!(!reaches(fabric, "r2", "s1"));
        fabric.heal();
        fabric.isolate("s1");
        assert!(!reaches(fabric, "r5", "s1") && !reaches(fabric, "client", "s1"));
        fabric.heal();
        assert!(reaches(fabric, "r5", "s1"));
    });
}

#[test]
fn nginx_says_who_it_is_until_it_is_killed() {
    inside(|lab: &Lab| {
        let mut web = Web::start(lab, "s2");
        assert_eq!(web.ask(), Ok("ready s2\n".to_owned()));
        web.kill();
        assert!(web.ask().is_err());
        web.restart();
        assert_eq!(web.ask(), Ok("ready s2\n".to_owned()));
    });
}

#[test]
fn a_postgres_standby_streams_and_holds_every_acknowledged_row_after_promotion() {
    inside(|lab: &Lab| {
        let start = Instant::now();
        let mut primary = Postgres::primary(lab, "s1");
        let standby = Postgres::standby(&primary, "s2", Replication::Synchronous);
        println!("primary and standby: {:?}", start.elapsed());
        assert_eq!((primary.writable(), standby.writable()), (Ok(true), Ok(false)));

        let writer = Writer::start(&[primary.address(), standby.address()]);
        let written = |by| writer.acknowledged().iter().filter(|entry| entry.server == by).count();
        eventually(LIMIT, "20 rows are acknowledged", || match written(primary.address()) {
            rows if 20 <= rows => Ok(()),
            rows => Err(format!("{rows} rows")),
        });
        let killed = Instant::now();
        primary.kill();
        assert_eq!(standby.query("select pg_promote(true, 10)"), "t");
        println!("promoted after {:?}", killed.elapsed());
        eventually(LIMIT, "20 rows on the new primary", || match written(standby.address()) {
            rows if 20 <= rows => Ok(()),
            rows => Err(format!("{rows} rows")),
        });
        let ledger = writer.stop();
        assert_eq!(lost(&ledger, &standby), Vec::<i64>::new(), "of {} rows", ledger.len());
        primary.restart();
        assert!(!lost(&ledger, &primary).is_empty(), "the ledger check sees what is missing");
    });
}

/// What "overlap 0 ms" rests on: were there one, it would be seen, and for how long.
#[test]
fn two_redis_that_take_rows_at_once_are_seen_as_overlap_and_one_after_the_other_are_not() {
    inside(|lab: &Lab| {
        let servers = [Redis::start(lab, "s1", None), Redis::start(lab, "s2", None)];
        let [one, other] = servers.each_ref().map(Redis::address);
        let took = |writers: &Writers, server| {
            writers.acknowledged().iter().filter(|entry| entry.server == server).count()
        };
        let takes = |writers: &Writers, server| {
            let before = took(writers, server);
            eventually(LIMIT, "20 rows more", || match took(writers, server) - before {
                0..20 => Err("not yet"),
                _ => Ok(()),
            });
        };
        let both = Writers::start(Dialect::Redis, &[one, other]);
        let span = Duration::from_millis(500);
        for server in [one, other, one] {
            takes(&both, server);
        }
        throughout(span, "both are up", || true);
        for server in [other, one] {
            takes(&both, server);
        }
        let ledger = both.stop();
        for (from, to) in [(one, other), (other, one)] {
            let overlap = handover(&ledger, from, to).expect_err("both took rows");
            assert!(span < overlap, "{overlap:?}");
        }

        // The second stands still while the first takes rows, and takes some once that stands still: just once, and for a moment.
        servers[1].process.pause();
        let turns = Writers::start(Dialect::Redis, &[one, other]);
        takes(&turns, one);
        servers[0].process.pause();
        throughout(span, "nobody takes any", || true);
        servers[1].process.resume();
        takes(&turns, other);
        let pause = gap(&turns.acknowledged(), one, other);
        assert!(span < pause && pause < span * 3, "{pause:?}");
        // Whoever waited for an answer all the time gets it now, and that is overlap.
        servers[0].process.resume();
        takes(&turns, one);
        let overlap = handover(&turns.stop(), one, other).expect_err("both took rows");
        println!("paused for {pause:?}, then both for {overlap:?}");
    });
}

#[test]
fn a_synchronous_postgres_commit_waits_for_a_standby_that_is_cut_off() {
    inside(|lab: &Lab| {
        let primary = Postgres::primary(lab, "s1");
        let _standby = Postgres::standby(&primary, "s2", Replication::Synchronous);
        primary.query("insert into ledger values (1)");
        lab.fabric.cut("s1", "s2");
        let answer = primary.try_query("insert into ledger values (2)");
        assert!(answer.is_err_and(|error| error.contains("no answer")));
    });
}

/// Sends an update with `nsupdate`; returns whether the server took it.
fn update(lab: &Lab, secret: &str, to: Ipv4Addr) -> bool {
    let mut command = lab.fabric.command("client", "nsupdate");
    command.arg("-y").arg(format!("hmac-sha256:{KEY}:{secret}")).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    let text = format!(
        "server {}\nzone {ZONE}\nupdate delete shop.{ZONE} A\nupdate add shop.{ZONE} 5 A {to}\nsend\n",
        address("dns")
    );
    let mut input = child.stdin.take().expect("piped");
    input.write_all(text.as_bytes()).expect("nsupdate reads");
    drop(input);
    child.wait().expect("own child").success()
}

#[test]
fn bind_takes_updates_with_the_right_key_only_and_a_watch_sees_each_change() {
    inside(|lab: &Lab| {
        let bind = Bind::start(lab, Updates::Granted);
        let name = format!("shop.{ZONE}");
        assert_eq!(ask(bind.address(), &name), Answer::Empty);
        assert!(update(lab, SECRET, address("s1")));
        let watch = Watch::start(bind.address(), &name);
        eventually(LIMIT, "the first address", || watch.first(address("s1")).ok_or("not yet"));
        assert!(!update(lab, "d3Jvbmc=", address("s2")), "the wrong key was taken");
        assert!(update(lab, SECRET, address("s2")));
        eventually(LIMIT, "the second address", || watch.first(address("s2")).ok_or("not yet"));
        assert_eq!(watch.addresses(), [vec![address("s1")], vec![address("s2")]]);
    });
}

#[test]
fn bind_can_be_told_to_refuse_updates() {
    inside(|lab: &Lab| {
        let bind = Bind::start(lab, Updates::Refused);
        assert!(!update(lab, SECRET, address("s1")));
        assert_eq!(ask(bind.address(), &format!("shop.{ZONE}")), Answer::Empty);
    });
}

#[test]
fn a_paused_process_does_nothing_until_it_is_resumed() {
    inside(|lab: &Lab| {
        let script = "while :; do echo tick; sleep 0.02; done";
        let mut command = lab.fabric.command("r1", "bash");
        let process = Process::start(lab, "ticker", command.args(["-c", script]));
        let ticks = || process.said().len();
        eventually(LIMIT, "a tick", || if 0 < ticks() { Ok(()) } else { Err("none") });
        process.pause();
        // The signal may arrive while a line is being written.
        let id = process.id();
        eventually(LIMIT, "the ticker stops", || match state(id).as_str() {
            "T" => Ok(()),
            other => Err(format!("state {other}")),
        });
        let before = ticks();
        throughout(Duration::from_millis(200), "a paused process is silent", ticks);
        process.resume();
        eventually(LIMIT, "more ticks", || if before < ticks() { Ok(()) } else { Err("none") });
    });
}

fn state(id: u32) -> String {
    output(Command::new("ps").args(["-o", "state=", "-p", &id.to_string()])).trim().to_owned()
}

#[test]
fn a_world_is_empty_and_has_its_own_processes() {
    inside(|_: &Lab| {
        assert_eq!(std::process::id(), 1, "the test is the first process of its world");
        let listed = output(Command::new("ip").args(["netns", "list"]));
        assert_eq!(listed.lines().count(), 9, "{listed}");
    });
}
