//! A loss budget in seconds on real servers: beyond it nobody moves but a person who accepts the loss, and what was said
//! to be lost is what is lost.

use std::time::Duration;

use tests::harness::app::Shop;
use tests::harness::bind::Updates;
use tests::harness::lab::{Lab, inside};
use tests::harness::postgres::Replication;
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::{SETTLE, World};
use tests::harness::writer::{Writer, lost};

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

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn beyond_a_budget_of_seconds_a_person_has_to_accept_the_loss() {
        inside(|lab: &Lab| {
            let shop = Shop { max_loss: "5s", ..Shop::default() };
            let mut world = World::replicated(lab, Updates::Granted, Replication::Asynchronous);
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
