//! Requests to a guard that come late, or from whoever has no claim: real agents, a real PostgreSQL, and a network that
//! holds back what one says to another.

use consensus::model::{Epoch, Phase, Token};
use tests::harness::agents::{MESH_PORT, enrol};
use tests::harness::letters::{Agreed, Hand, forget_all_but_tokens, on_disk};

use super::*;

/// An executor acts on a claim confirmed no longer ago than this (`consensus::node::work`, rule E1).
const ACT: Duration = Duration::from_secs(5);

/// A guarded app on its first stack, its guards, and the epoch in which it will be moved.
fn begun(lab: &Lab) -> (World<'_>, [Agent<'_>; 2], Epoch) {
    let world = World::small(lab, Replication::Synchronous);
    let guards = start(lab, &world.mesh);
    world.apply(lab, &guarded());
    holds(&guards[0], SETTLE);
    let moved = after(world.epoch());
    (world, guards, moved)
}

/// What the requests of a step carry.
fn token(epoch: Epoch, phase: Phase) -> Token {
    Token::new(epoch, 1, phase.step())
}

fn after(epoch: Epoch) -> Epoch {
    Epoch(epoch.0 + 1)
}

/// Stops whoever carries a step out, once its disk says so. Returns what it would ask a guard for by that.
fn stop(world: &mut World<'_>, executor: &str, step: (Epoch, Phase)) -> Agreed {
    let agent = world.mesh.agent(executor);
    let agreed = eventually(SETTLE, "its claim is on its disk", || {
        let agreed = Agreed::on(&on_disk(agent), "shop");
        let claim = agreed.state.claim.as_ref().map(|claim| claim.agent.to_string());
        let found = (agreed.state.epoch, agreed.state.phase);
        match found == step && claim.as_deref() == Some(executor) {
            true => Ok(agreed),
            false => Err(format!("{found:?} by {claim:?}")),
        }
    });
    agent.process().pause();
    agreed
}

/// The requests with this token that an agent logged as carried out, by whom they were asked for.
fn acts(agent: &Agent<'_>, token: Token) -> Vec<String> {
    let begin = format!("acts for shop with {token}: ");
    let said = agent.said();
    let lines = said.lines().filter(|line| line.contains(&begin));
    let asked = lines.map(|line| line.split_once("(asked by ").map_or("itself", |it| it.1));
    asked.map(|by| by.chars().take_while(|it| it.is_alphanumeric()).collect()).collect()
}

/// What a primary is, by its own word: on which timeline, whether clients may only read, and by which token.
fn made_of(world: &World<'_>, database: usize) -> String {
    let what = "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), \
                current_setting('default_transaction_read_only'), max(token) from quorate.epoch";
    world.databases[database].query_at_host(what).expect("it answers")
}

/// Somebody with a certificate of this mesh, and nothing to carry out.
fn stranger(world: &World<'_>, guard: &str, host: &str) -> Hand {
    Hand::of(&enrol(&world.mesh.folder, "x1", "r1", false), guard, host)
}

/// A move is decided, and whoever carries it out asks the old primary's guard to close it; what it says to the guard is held
/// back, and it is stopped. A person takes the move back by way of another agent, and the guard opens the primary again. Then
/// the first one goes on, and its request arrives.
#[test]
fn what_a_stopped_executor_asked_for_comes_once_it_was_taken_back_and_is_refused() {
    inside(|lab: &Lab| {
        let (mut world, mut guards, moved) = begun(lab);
        let fence = token(moved, Phase::Fencing);
        let unfence = token(after(moved), Phase::Aborting);

        // As long as it stands still it cannot say that its door is shut, and is asked for nothing.
        guards[0].process().pause();
        let words = ["switchover", "shop", "--to", "s2", "--yes"];
        let _person = world.mesh.agents[2].begin(&words);
        let executor = world.executor_at(Phase::Fencing, moved);
        lab.fabric.hold_back(&[&executor.replace('a', "r")], "s1", MESH_PORT);
        guards[0].process().resume();
        let asks = format!("acts for shop with {fence}: fence orders");
        eventually(SETTLE, "it asks the guard", || {
            said(world.mesh.agent(&executor), &[&asks, ", by g1"]).ok_or("not yet")
        });
        let asked = Instant::now();
        let agreed = stop(&mut world, &executor, (moved, Phase::Fencing));

        let other = world.mesh.agents.iter().find(|it| it.name != executor).expect("two of them");
        other.quorate(&["abort", "shop", "--yes"]).expect_done();
        let done = eventually(SETTLE, "the guard opens it again", || {
            said(&guards[0], &[&format!("is done for shop with {unfence}: ")]).ok_or("not yet")
        });
        let made = made_of(&world, 0);
        lab.fabric.pass_on();
        world.mesh.agent(&executor).process().resume();
        let late = asked.elapsed();
        let refuses = format!("refuses what {executor} asks of shop/s1/orders with {fence}: ");
        let refused = eventually(SETTLE, "its request arrives", || {
            said(&guards[0], &[&refuses]).ok_or("not yet")
        });
        println!("{done}\n{} ms after it was asked for: {refused}", late.as_millis());
        assert!(refused.contains("g1 knows of a newer claim"), "{refused}");
        world.mesh.settle(SETTLE, "shop", "s1");
        eventually(SETTLE, "s1 takes rows", || match world.databases[0].writable()? {
            true => Ok(()),
            false => Err("read-only".to_owned()),
        });

        // The same hours later, to a guard that has just started and hears of nothing but this.
        world.mesh.agent(&executor).kill();
        guards[0].kill();
        lab.fabric.isolate("s1");
        guards[0].start();
        let asked = agreed.request("g1");
        assert_eq!(asked.token, fence);
        let home = world.mesh.folder.join(&executor);
        let newer = Hand::of(&home, "g1", "s1").refused(&asked);
        assert_eq!(newer, "g1 knows of a newer claim");
        let nobody = stranger(&world, "g1", "s1").refused(&asked);
        assert_eq!(nobody, "x1 has no claim to it");
        assert_eq!(on_disk(&guards[0]).obeyed.get(&asked.target), Some(&unfence));

        // Its token alone is enough.
        guards[0].kill();
        forget_all_but_tokens(&guards[0]);
        guards[0].start();
        let held = Hand::of(&home, "g1", "s1").refused(&asked);
        assert_eq!(held, format!("g1 acted with the newer token {unfence}"));
        println!("from its disk: {newer}; {nobody}; {held}");
        assert_eq!(acts(&guards[0], fence), Vec::<String>::new());
        assert_eq!(made_of(&world, 0), made);
    });
}

/// The primary is gone, and whoever carries the failover out is stopped with the claim to the promotion; the standby's guard
/// has not heard of it yet, so that it holds no lease and is asked for nothing. Another takes the promotion over. The first
/// one, once it goes on, asks for nothing; and what it would have asked for is refused.
#[test]
fn an_executor_that_was_stopped_with_the_claim_to_a_promotion_asks_for_nothing_once_it_goes_on() {
    inside(|lab: &Lab| {
        let (mut world, mut guards, moved) = begun(lab);
        let promote = token(moved, Phase::Promoting);
        let watches = world.watches(&[0]);

        world.kill_active();
        guards[0].kill();
        let first = world.executor_at(Phase::Fencing, moved);
        // That is some while before the old primary's lease has ended.
        eventually(SETTLE, "the promotion is proposed", || {
            said(world.mesh.agent(&first), &["promote after fencing"]).ok_or("not yet")
        });
        lab.fabric.hold_back(&REGIONS, "s2", MESH_PORT);
        let executor = world.executor_at(Phase::Promoting, moved);
        let agreed = stop(&mut world, &executor, (moved, Phase::Promoting));
        let stopped = Instant::now();
        lab.fabric.pass_on();
        eventually(SETTLE, "another has it promoted", || {
            said(&guards[1], &[&format!("is done for shop with {promote}: promoted")])
                .ok_or("not yet")
        });
        let made = made_of(&world, 1);
        // Till then it may ask once more, for the same: its claim was confirmed not long ago.
        eventually(SETTLE, "its claim is too old to act on", || {
            (ACT < stopped.elapsed()).then_some(()).ok_or("not yet")
        });
        world.mesh.agent(&executor).process().resume();
        world.settle_on_standby(&watches);
        let asked = agreed.request("g2");
        assert_eq!(asked.token, promote);
        assert_eq!(acts(world.mesh.agent(&executor), promote), Vec::<String>::new());
        let by = acts(&guards[1], promote);
        assert!(by.len() == 1 && by[0] != executor, "{by:?}");
        let learns = format!("learns shop epoch {} ", moved.0);
        let learned = said(world.mesh.agent(&executor), &[&learns, "active s2"]);
        println!(
            "{} after {executor}: {}",
            by[0],
            learned.expect("it was told where it serves from")
        );

        // Its request all the same, as the network might bring it by now.
        world.mesh.agent(&executor).kill();
        let home = world.mesh.folder.join(&executor);
        let newer = Hand::of(&home, "g2", "s2").refused(&asked);
        assert_eq!(newer, "g2 knows of a newer claim");
        guards[1].kill();
        guards[1].start();
        let again = Hand::of(&home, "g2", "s2").refused(&asked);
        assert_eq!(again, newer, "after its start");
        let nobody = stranger(&world, "g2", "s2").refused(&asked);
        assert_eq!(nobody, "x1 has no claim to it");
        assert_eq!(on_disk(&guards[1]).obeyed.get(&asked.target), Some(&promote));
        assert_eq!(acts(&guards[1], promote), by);
        assert_eq!(made_of(&world, 1), made);
    });
}
