//! A loss budget, in bytes and in seconds, on real servers: beyond it nobody moves but a person who accepts the loss, and what
//! was said to be lost is what is lost.
//!
//! Modules name the servers their tests need, so that `./tests/run --without SERVER` can leave them out.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use consensus::model::{DecisionKind, Warning, WarningKind};
use consensus::view::{AppView, StackView};
use tests::harness::agents::Agent;
use tests::harness::app::{Shop, TWO};
use tests::harness::guarded::{Guarded, Plan, Server, ms};
use tests::harness::lab::{Lab, inside};
use tests::harness::mariadb::MariaDb;
use tests::harness::mysql::MySql;
use tests::harness::postgres::Replication;
use tests::harness::recorded::recorded_loss;
use tests::harness::sql::SqlServer as _;
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::{SETTLE, World};
use tests::harness::writer::{Acknowledged, Dialect, Writer, lost};

/// Between two looks of the fast profile, and what a busy machine adds: what the primary took after it was last seen.
const UNSEEN: Duration = Duration::from_millis(1_500);
/// What is said is said in whole seconds, rounded up.
const ROUNDED: Duration = Duration::from_secs(1);
/// More than the budget, and looks apart by as much as a busy machine makes of them.
const BEYOND: Duration = Duration::from_secs(8);

/// `s2: orders lacks the last 7 s (8112 bytes), 5 s may be lost`, as the first agent says it.
fn lacking(world: &World<'_>) -> Result<(Duration, String), String> {
    let unready = world.mesh.agents[0].app("shop")?.unready.join("; ");
    let span = unready.split("lacks the last ").nth(1).and_then(|it| it.split(' ').next());
    let span = span.and_then(|it| it.parse().ok()).map(Duration::from_secs);
    span.map(|span| (span, unready.clone())).ok_or(unready)
}

/// What a move to `s2` would lose now, in bytes and in time, as the first agent shows it.
fn would_lose(world: &Guarded<'_, 2>) -> (u64, Option<Duration>) {
    lost_by(world.view())
}

fn lost_by(view: AppView) -> (u64, Option<Duration>) {
    let mut stacks = view.stacks.into_iter();
    let it = stacks.find(|it: &StackView| it.stack.as_str() == "s2").expect("it is one");
    (it.would_lose.unwrap_or_default(), it.would_lose_ms.map(Duration::from_millis))
}

/// Waits until `s2` is not fit for this reason, and people are warned of it, in the status and in the metrics.
fn is_beyond(world: &Guarded<'_, 2>, [what, why]: [&str; 2]) {
    let what = format!("s2: {what}");
    eventually(SETTLE, "it is said before it comes to it", || {
        let AppView { unready, warnings, .. } = world.view();
        let said = unready.iter().any(|it| it.starts_with(&what) && it.contains(why));
        let of_s2 = |it: &&Warning| {
            it.target.stack.as_str() == "s2"
                && [WarningKind::Lag, WarningKind::OutOfSync].contains(&it.kind)
        };
        let kind = warnings.iter().find(of_s2).map(|it| it.kind);
        let scraped =
            kind.map_or(Ok(false), |it| world.mesh.agents[0].scrapes(it, ["s2", "orders"]))?;
        match said && scraped {
            true => Ok(()),
            false => Err(format!("{unready:?} {warnings:?}, scraped: {scraped}")),
        }
    });
    println!("said: {:?}", world.view().unready);
}

/// The link to the replica goes silent, and the primary dies when that lacks more than may be lost: nobody moves it but a person
/// who accepts that. Guards hold the doors.
fn beyond(
    lab: &Lab,
    (dialect, max_loss): (Dialect, &'static str),
    why: &str,
    enough: impl Fn((u64, Option<Duration>)) -> bool,
) -> (AppView, Vec<Acknowledged>) {
    let plan = Plan { dialect, replication: Replication::Asynchronous, max_loss, kept: false };
    let mut world: Guarded<'_, 2> = Guarded::start(lab, plan, TWO);
    world.servers[1].is_patient();
    world.ready();
    lab.fabric.cut("s1", "s2");
    let cut = Instant::now();
    let words = ["orders lacks", why];
    is_beyond(&world, words);
    eventually(SETTLE, "it is well beyond the budget", || match would_lose(&world) {
        loss if enough(loss) => Ok(()),
        loss => Err(format!("{loss:?}")),
    });
    let agent = &world.mesh.agents[0];
    let status = agent.quorate(&["status"]).expect_done();
    let shown = status.lines().find(|line| line.contains("a move to s2 now would lose"));
    println!("shown {}: {}", ms(cut.elapsed()), shown.expect("the estimate is shown").trim());
    refused_until_accepted(&mut world, words, cut)
}

/// The primary dies, and `s2` is not fit for this reason: nobody moves it but a person who accepts the loss. Returns the rows
/// that are lost; the standby got nothing after the cut.
fn refused_until_accepted(
    world: &mut Guarded<'_, 2>,
    [what, why]: [&str; 2],
    cut: Instant,
) -> (AppView, Vec<Acknowledged>) {
    let epoch = world.view().epoch;
    let killed = world.kill(0);
    let refused = eventually(SETTLE, "the mesh says that it does not move", || {
        let said: String = world.mesh.running().map(Agent::said).collect();
        let ours = |line: &&str| line.contains("leaves shop alone") && line.contains(why);
        said.lines().rev().find(ours).map(str::to_owned).ok_or("nothing of the kind")
    });
    println!("refused: {refused}");
    throughout(Duration::from_secs(4), "nobody moves it", || world.view().epoch);
    assert_eq!(world.view().epoch, epoch);
    let known = would_lose(world);
    is_said(world, known);
    // Whoever starts anew after the primary's end has its last position from the others.
    let anew = &mut world.mesh.agents[1];
    anew.kill();
    anew.start();
    eventually(SETTLE, "an agent that never saw the primary knows what would be lost", || {
        let lost = lost_by(anew.app("shop")?);
        match lost.0.abs_diff(known.0) * 4 <= known.0 {
            true => Ok(()),
            false => Err(format!("{lost:?}, others {known:?}")),
        }
    });
    eventually(SETTLE, "nothing else keeps it", || {
        let stacks = world.view().stacks;
        match &stacks.iter().find(|it| it.stack.as_str() == "s2").expect("it is one").unfit[..] {
            [only] if only.contains(what) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let agent = &world.mesh.agents[0];
    let words = ["failover", "shop", "--to", "s2", "--yes"];
    let said = agent.quorate(&words).expect_refused();
    println!("without leave: {}", said.trim());
    assert!(said.contains(&format!("s2 is not fit: {what}")) && said.contains(why), "{said}");
    let said = agent.quorate(&[&words[..], &["--accept-loss"]].concat()).expect_done();
    println!("accepted: {}", said.trim());
    let view = world.mesh.settle(SETTLE, "shop", "s2");
    assert_eq!(view.decision.kind, DecisionKind::Forced);
    assert_eq!(recorded_loss(&world.mesh, view.epoch), view.decision.loss_bytes);
    world.takes(1);

    let ledger = world.writers.acknowledged();
    let gone = world.servers[1].lost(&ledger);
    let old = world.servers[0].address();
    let mut lost: Vec<_> = ledger.into_iter().filter(|it| gone.contains(&it.row)).collect();
    lost.sort_by_key(|it| it.at);
    assert!(
        lost.iter().all(|it| it.server == old && cut < it.at + UNSEEN),
        "what came before the cut is there"
    );
    let (first, last) = (lost.first().expect("rows are lost"), lost.last().expect("as before"));
    println!(
        "{} rows lost of {}, the last {} before the end; {known:?} said, {:?} bytes of {:?} ms recorded",
        lost.len(),
        ms(last.at - first.at),
        ms(killed.saturating_duration_since(last.at)),
        view.decision.loss_bytes,
        view.decision.loss_ms,
    );
    (view, lost)
}

/// How much a move would lose, while nobody makes it: for whoever asks, and for whoever scrapes.
fn is_said(world: &Guarded<'_, 2>, (bytes, time): (u64, Option<Duration>)) {
    let agent = &world.mesh.agents[0];
    let status = agent.quorate(&["status"]).expect_done();
    assert!(status.contains("a move to s2 now would lose"), "{status}");
    let labels = "{app=\"shop\",stack=\"s2\"}";
    let scraped = ["bytes", "seconds"].map(|unit| {
        let found = agent.metric(&format!("quorate_promotion_loss_{unit}{labels}"));
        found.expect("it answers")
    });
    assert_eq!(scraped[0], Some(bytes as f64));
    let near = |one: f64, other: Duration| Duration::from_secs_f64(one).abs_diff(other) < UNSEEN;
    let same = match (scraped[1], time) {
        (Some(one), Some(other)) => near(one, other),
        (one, other) => one.is_none() && other.is_none(),
    };
    assert!(same, "{scraped:?}, {time:?}");
}

/// Beyond a budget in bytes.
fn beyond_bytes(lab: &Lab, dialect: Dialect, row: RangeInclusive<u64>) {
    let enough = |(bytes, _)| 3 * 65_536 <= bytes;
    let (view, lost) = beyond(lab, (dialect, "64KiB"), "bytes, 65536 may be lost", enough);
    let recorded = view.decision.loss_bytes.expect("it was known");
    let end = lost.last().expect("rows are lost").at;
    let seen = lost.iter().filter(|it| it.at + UNSEEN < end).count();
    let [least, most] = [(seen, row.start()), (lost.len(), row.end())]
        .map(|(rows, row)| u64::try_from(rows).expect("few") * row);
    println!(
        "{recorded} bytes recorded, of {} rows: {} each",
        lost.len(),
        recorded / lost.len() as u64
    );
    assert!((least..=most).contains(&recorded), "{recorded} bytes, not {least} to {most}");
}

/// Beyond a budget in seconds, with a link that nobody has given up.
fn beyond_seconds(lab: &Lab, dialect: Dialect) {
    let enough = |(_, time): (u64, Option<Duration>)| time.is_some_and(|time| BEYOND <= time);
    let (view, lost) = beyond(lab, (dialect, "5s"), "bytes), 5 s may be lost", enough);
    let recorded = view.decision.loss_ms.map(Duration::from_millis).expect("it was known");
    let span = lost.last().expect("rows are lost").at - lost.first().expect("as before").at;
    // Redis tells whole seconds, rounded down; MySQL's silence is counted from a look.
    assert!(span <= recorded + UNSEEN + ROUNDED, "{span:?} lost, {recorded:?} recorded");
    assert!(recorded <= span + UNSEEN + ROUNDED, "{span:?} lost, {recorded:?} recorded");
}

/// Nothing may be lost, and no commit waits for the one replica any more: it may have all, but nobody knows that.
fn waited_for_by_none(lab: &Lab, dialect: Dialect) {
    let replication = Replication::Synchronous;
    let mut world: Guarded<'_, 2> =
        Guarded::start(lab, Plan { dialect, replication, max_loss: "0", kept: false }, TWO);
    let said = match &world.servers[0] {
        Server::Postgres(it) => it
            .query_at_host("alter system reset synchronous_standby_names")
            .and_then(|_| it.query_at_host("select pg_reload_conf()")),
        Server::MariaDb(it) => it.at_host(MariaDb::WORDS.waits_for_nobody),
        Server::MySql(it) => it.at_host(MySql::WORDS.waits_for_nobody),
        Server::Redis(_) => panic!("its commits wait for nobody"),
    };
    said.expect("it answers");
    let words = ["orders was no synchronous replica", "`max_loss` is 0"];
    is_beyond(&world, words);
    lab.fabric.cut("s1", "s2");
    let cut = Instant::now();
    // More than the two are apart when one is looked at after the other.
    eventually(SETTLE, "it is seen to lack something", || match would_lose(&world) {
        (bytes, _) if 3 * 65_536 <= bytes => Ok(()),
        loss => Err(format!("{loss:?}")),
    });
    let (view, lost) = refused_until_accepted(&mut world, words, cut);
    let recorded = view.decision.loss_bytes;
    assert!(recorded.is_some_and(|bytes| 3 * 65_536 <= bytes), "{recorded:?}, {}", lost.len());
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn beyond_a_budget_of_bytes_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| beyond_bytes(lab, Dialect::Postgres, 100..=300));
    }

    #[test]
    fn where_nothing_may_be_lost_who_is_waited_for_by_none_needs_a_person() {
        inside(|lab: &Lab| waited_for_by_none(lab, Dialect::Postgres));
    }

    #[test]
    fn on_a_silent_link_a_budget_of_seconds_holds() {
        inside(|lab: &Lab| beyond_seconds(lab, Dialect::Postgres));
    }

    #[test]
    fn beyond_a_budget_of_seconds_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| {
            let shop = Shop { max_loss: "5s", ..Shop::default() };
            let mut world = World::small(lab, Replication::Asynchronous);
            world.apply(lab, &shop);
            let [old, new] = world.databases.each_ref().map(|it| it.address());
            let writer = Writer::start(&[old, new]);
            let took = |server| {
                writer.acknowledged().iter().filter(|entry| entry.server == server).count()
            };
            eventually(SETTLE, "s1 takes rows", || if took(old) < 20 { Err("no") } else { Ok(()) });
            let ready = world.mesh.agents[0].app("shop").expect("it was applied").unready;
            assert!(ready.is_empty(), "{ready:?}");

            // What is written from here on the standby never gets.
            world.databases[1].query("alter system set primary_conninfo = ''");
            world.databases[1].query("select pg_reload_conf()");
            // Well beyond: what counts is how long the primary had written when it was *last* seen, up to a look before its end.
            let before = eventually(SETTLE, "the loss is said before it comes to it", || {
                match lacking(&world)? {
                    (span, said) if BEYOND <= span => Ok(said),
                    (_, said) => Err(said),
                }
            });
            println!("before: {before}");
            eventually(SETTLE, "people are warned", || {
                let warnings = world.mesh.agents[0].app("shop")?.warnings;
                let warned = warnings.iter().any(|it| it.text.contains("lacks the last"));
                if warned { Ok(()) } else { Err(format!("{warnings:?}")) }
            });
            world.kill_active();
            let refused = eventually(SETTLE, "the mesh says that it does not move", || {
                let said = world.mesh.agents[0].said();
                let line = said.lines().rev().find(|line| {
                    line.contains("leaves shop alone")
                        && line.contains("s2 is not fit: orders lacks")
                });
                line.map(str::to_owned).ok_or("nothing of the kind")
            });
            println!("refused: {refused}");
            throughout(Duration::from_secs(4), "nobody moves it", || world.epoch());
            let (known, _) = lacking(&world).expect("it is said still");

            let agent = &world.mesh.agents[0];
            let words = ["failover", "shop", "--to", "s2", "--yes"];
            let said = agent.quorate(&words).expect_refused();
            assert!(said.contains("orders lacks the last"), "{said}");
            let said = agent.quorate(&[&words[..], &["--accept-loss"]].concat()).expect_done();
            println!("accepted: {said}");
            let view = world.mesh.settle(SETTLE, "shop", "s2");
            // In bytes and in time, before and after.
            let recorded = view.decision.loss_ms.map(Duration::from_millis);
            let recorded = recorded.expect("it was known");
            let near = known.saturating_sub(UNSEEN + ROUNDED)..known + UNSEEN;
            assert!(near.contains(&recorded), "{recorded:?} agreed, {known:?} said");
            println!("agreed: {:?} bytes of {recorded:?}", view.decision.loss_bytes);
            eventually(SETTLE, "s2 takes rows", || if took(new) < 20 { Err("no") } else { Ok(()) });
            assert!(view.decision.loss_bytes.is_some_and(|bytes| 0 < bytes), "{:?}", view.decision);

            let ledger = writer.stop();
            let gone = lost(&ledger, &world.databases[1]);
            let mut times: Vec<_> =
                ledger.iter().filter(|it| gone.contains(&it.row)).map(|it| it.at).collect();
            times.sort();
            let (first, last) = (times.first(), times.last());
            let span = *last.expect("rows were lost") - *first.expect("rows were lost");
            println!("{} rows lost of {span:?}; {known:?} was said", gone.len());
            assert!(Duration::from_secs(5) < span + UNSEEN, "{span:?}");
            assert!(span <= known + UNSEEN, "{span:?} lost, {known:?} said");
        });
    }
}

mod nginx_mariadb_bind {
    use super::*;

    #[test]
    fn where_nothing_may_be_lost_who_is_waited_for_by_none_needs_a_person() {
        inside(|lab: &Lab| waited_for_by_none(lab, Dialect::MariaDb));
    }

    #[test]
    fn beyond_a_budget_of_bytes_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| beyond_bytes(lab, Dialect::MariaDb, 100..=300));
    }

    #[test]
    fn beyond_a_budget_of_seconds_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| beyond_seconds(lab, Dialect::MariaDb));
    }
}

mod nginx_foreign_mysql_bind {
    use super::*;

    #[test]
    fn where_nothing_may_be_lost_who_is_waited_for_by_none_needs_a_person() {
        inside(|lab: &Lab| waited_for_by_none(lab, Dialect::MySql));
    }

    #[test]
    fn beyond_a_budget_of_bytes_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| beyond_bytes(lab, Dialect::MySql, 200..=400));
    }

    #[test]
    fn beyond_a_budget_of_seconds_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| beyond_seconds(lab, Dialect::MySql));
    }
}

mod nginx_redis_bind {
    use super::*;

    #[test]
    fn beyond_a_budget_of_bytes_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| beyond_bytes(lab, Dialect::Redis, 30..=60));
    }

    #[test]
    fn beyond_a_budget_of_seconds_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| beyond_seconds(lab, Dialect::Redis));
    }
}

mod nginx_foreign_valkey_bind {
    use super::*;

    #[test]
    fn beyond_a_budget_of_bytes_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| beyond_bytes(lab, Dialect::Valkey, 30..=60));
    }
}
