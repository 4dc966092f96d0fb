//! A planned move under a client that writes all the while, and how long that one could not.

use std::time::Duration;

use consensus::model::DecisionKind;

use super::app::Shop;
use super::bind::Updates;
use super::guards::{holds, start};
use super::lab::Lab;
use super::postgres::Replication;
use super::wait::eventually;
use super::world::{SETTLE, World};
use super::writer::{Dialect, Writers, gap, lost};

/// Waits until so many rows are acknowledged by one of the databases.
pub fn written(world: &World<'_>, writer: &Writers, database: usize, rows: usize) {
    let server = world.databases[database].address();
    eventually(SETTLE, &format!("{rows} rows are acknowledged by {server}"), || {
        let found = writer.acknowledged().iter().filter(|entry| entry.server == server).count();
        if rows <= found { Ok(()) } else { Err(format!("{found} rows")) }
    });
}

/// Moves `shop` under a writer, and says how long nobody could write: from the last row that the old primary acknowledged to
/// the first of the new one. Panics if a row is lost.
pub fn moves(lab: &Lab, replication: Replication, shop: &Shop) -> Duration {
    let world = World::replicated(lab, Updates::Granted, replication);
    let guards = shop.guarded.then(|| start(lab, &world.mesh));
    world.apply(lab, shop);
    if let Some(guards) = &guards {
        holds(&guards[0], SETTLE);
    }
    let watches = world.watches(&[0]);
    let [old, new] = world.databases.each_ref().map(|it| it.address());
    let writer = Writers::start(Dialect::Postgres, &[old, new]);
    written(&world, &writer, 0, 50);
    let agent = &world.mesh.agents[2];
    let said = agent.quorate(&["switchover", "shop", "--to", "s2", "--yes", "--json"]);
    println!("{}", said.expect_done().trim());
    let view = world.settle_on_standby(&watches);
    assert_eq!(view.decision.kind, DecisionKind::Switchover);
    written(&world, &writer, 1, 50);
    let ledger = writer.stop();
    let missing = lost(&ledger, &world.databases[1]);
    assert_eq!(missing, Vec::<i64>::new(), "of {} acknowledged rows", ledger.len());
    let pause = gap(&ledger, old, new);
    println!("writes paused for {} ms, of {} rows none lost", pause.as_millis(), ledger.len());
    pause
}
