//! Planned moves under a client that writes all the while: a short pause, nothing lost, and back to where it was if the
//! target lags.

use std::time::Duration;

use consensus::model::Phase;
use tests::harness::app::Shop;
use tests::harness::bind::Updates;
use tests::harness::lab::{Lab, inside};
use tests::harness::postgres::Replication;
use tests::harness::switchover::{moves, written};
use tests::harness::wait::eventually;
use tests::harness::world::{SETTLE, World};
use tests::harness::writer::{Dialect, Writers};

/// What clients may notice (issue 4).
const PAUSE: Duration = Duration::from_secs(2);

/// The longest that one server acknowledged nothing between two rows of its own.
fn longest_pause(writer: &Writers, world: &World<'_>, database: usize) -> Duration {
    let server = world.databases[database].address();
    let at: Vec<_> =
        writer.acknowledged().iter().filter(|it| it.server == server).map(|it| it.at).collect();
    at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn writes_pause_briefly_and_none_is_lost() {
        inside(|lab: &Lab| {
            let shop = Shop { max_loss: "64MiB", ..Shop::default() };
            let pause = moves(lab, Replication::Asynchronous, &shop);
            assert!(pause < PAUSE, "{pause:?}");
        });
    }

    #[test]
    fn writes_pause_briefly_where_guards_hold_the_doors() {
        inside(|lab: &Lab| {
            let shop = Shop { guarded: true, ..Shop::default() };
            let pause = moves(lab, Replication::Synchronous, &shop);
            assert!(pause < PAUSE, "{pause:?}");
        });
    }

    /// The link between the two is cut just before: what the primary wrote last does not come.
    #[test]
    fn a_target_that_lags_is_left_and_writes_go_on_where_they_were() {
        inside(|lab: &Lab| {
            let world = World::replicated(lab, Updates::Granted, Replication::Asynchronous);
            world.apply(lab, &Shop { max_loss: "64MiB", ..Shop::default() });
            let [old, new] = world.databases.each_ref().map(|it| it.address());
            let writer = Writers::start(Dialect::Postgres, &[old, new]);
            written(&world, &writer, 0, 50);
            lab.fabric.cut("s1", "s2");
            let agent = &world.mesh.agents[2];
            let said = agent.quorate(&["switchover", "shop", "--to", "s2", "--yes", "--json"]);
            println!("{} {}", said.output.trim(), said.errors.trim());
            assert!(!said.status.success(), "it cannot be done");
            eventually(SETTLE, "it is taken back", || {
                let view = agent.app("shop")?;
                match view.active.as_str() == "s1" && view.phase == Phase::Idle {
                    true => Ok(()),
                    false => Err(format!("{} {}", view.active, view.phase)),
                }
            });
            let rows = writer.acknowledged().len();
            written(&world, &writer, 0, rows + 50);
            let pause = longest_pause(&writer, &world, 0);
            println!(
                "writes paused for {} ms at most, and went on where they were",
                pause.as_millis()
            );
            assert!(writer.acknowledged().iter().all(|it| it.server == old));
            assert!(pause < PAUSE, "{pause:?}");
            eventually(SETTLE, "it is refused before anything is closed", || {
                let said = agent.quorate(&["switchover", "shop", "--to", "s2", "--yes"]);
                match said.errors.contains("receives nothing from its primary") {
                    true => Ok(()),
                    false => Err(said.errors),
                }
            });
        });
    }
}
