//! A provider that took a change, and name servers that do not have it.

use std::sync::Arc;

use tests::harness::fabric::router;

use super::nginx_names::Answers;
use super::*;
use crate::common::named;
use crate::emulators::cloudflare::cloudflare_at;
use crate::emulators::{Book, Server, Trouble, webhook_at};

const NAME: &str = "shop.dyn.example";

/// Agents that hold this token as `provider`, started.
fn holding<'a>(lab: &'a Lab, token: &str) -> Mesh<'a> {
    let mut mesh = Mesh::new(lab);
    for agent in &mut mesh.agents {
        agent.set_up(|it| it.more = format!("\n[credentials.provider]\ntoken = \"{token}\"\n"));
    }
    mesh.start();
    mesh
}

fn text(keys: &str, ttl: u64) -> String {
    let text = Shop { databases: false, outside: false, ..Shop::default() }.text();
    format!(
        "{text}\n[[record]]\nname = \"{NAME}\"\ntype = \"A\"\nttl = {ttl}\nzone = \"{}\"\n\
         credential = \"provider\"\n{keys}\n",
        named::ZONE
    )
}

fn put(server: &Server, stack: &str, ttl: u64) {
    server.with(|it| it.put(NAME, "A", ttl, &[&address(stack).to_string()]));
}

fn holds(server: &Server, stack: &str) -> Result<(), String> {
    match server.with(|it| it.get(NAME, "A")) {
        held if held == [address(stack).to_string()] => Ok(()),
        held => Err(format!("{held:?}")),
    }
}

/// Does every agent warn of the name servers in these words, or none of anything?
fn all_warn(mesh: &Mesh<'_>, words: Option<&str>) -> Result<(), String> {
    let lines = warned(mesh, WarningKind::Servers)?;
    match words {
        None if lines.is_empty() => Ok(()),
        Some(words) if lines.len() == 5 && lines.iter().all(|it| it == words) => Ok(()),
        _ => Err(format!("{lines:?}")),
    }
}

/// Does `dns verify` say this of the name?
fn verified(mesh: &Mesh<'_>, line: &str) -> Result<(), String> {
    let said = mesh.agents[3].quorate(&["dns", "verify", "shop"]).output;
    if said.contains(&format!("{NAME}: {line}\n")) { Ok(()) } else { Err(said) }
}

/// Cloudflare has two name servers, and one of them does not hear of the change for a while.
#[test]
fn one_of_a_provider_s_two_name_servers_that_keeps_the_old_answer_is_told_until_it_has_the_other() {
    inside(|lab: &Lab| {
        /// Cloudflare's least.
        const TTL: u64 = 60;
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let runtime = threads();
        let provider = Arc::new(runtime.block_on(cloudflare_at(router("dns"), Book::default())));
        // Nobody publishes to it: it stands for what the second name server has.
        let copy = Arc::new(runtime.block_on(cloudflare_at(router("client"), Book::default())));
        let second = router("client");
        let servers = vec![(router("dns"), vec![provider.clone()]), (second, vec![copy.clone()])];
        let _answers = Answers::start_all(lab, servers, vec![]);
        let mesh = holding(lab, "a token");
        let keys = format!(
            "driver = \"cloudflare\"\nzone_id = \"023e105f4ecef8ad9ca31a8372d0c353\"\nurl = \"{}\"",
            provider.url()
        );
        put(&copy, "s1", TTL);
        mesh.apply(lab, &text(&keys, TTL));
        let first = mesh.settle(SETTLE, "shop", "s1");
        holds(&provider, "s1").expect("settled");
        eventually(STANDS, "both have it, and nobody warns", || {
            all_warn(&mesh, None)?;
            verified(&mesh, "2 of 2 name servers say so")
        });
        mesh.agents[0].ready(SETTLE, "shop");

        mesh.agents[0]
            .quorate(&["switchover", "shop", "--to", "s2", "--now", "--yes"])
            .expect_done();
        let view = mesh.settle(SETTLE, "shop", "s2");
        holds(&provider, "s2").expect("the provider took it, so the decision is done");
        let old = format!(
            "{NAME}: 1 of 2 name servers say so; ns2.{} ({second}) says {}",
            named::ZONE,
            address("s1")
        );
        eventually(SETTLE, "all agents say that one of two is behind", || {
            all_warn(&mesh, Some(&old))
        });
        verified(&mesh, "1 of 2 name servers say so").expect("asked now");
        let shown = mesh.agents[2].quorate(&["status"]).expect_done();
        assert!(shown.contains("1 of 2 name servers say so"), "{shown}");
        // That is not put back: whoever holds the zone has it as decided.
        throughout(Duration::from_secs(5), "it is said, and nothing is changed", || {
            (all_warn(&mesh, Some(&old)), provider.with(|it| it.everything()))
        });

        put(&copy, "s2", TTL);
        let had = Instant::now();
        verified(&mesh, "2 of 2 name servers say so").expect("asked now");
        eventually(STANDS + SETTLE, "nobody warns any more", || all_warn(&mesh, None));
        println!("nobody warns {:?} after the second had it", had.elapsed());
        let now = mesh.settle(SETTLE, "shop", "s2");
        assert_eq!((now.epoch, view.epoch.0), (view.epoch, first.epoch.0 + 1));
    });
}

/// Whoever wrote the webhook's program answered before it did anything, and lost what it was told.
#[test]
fn a_webhook_that_says_it_did_and_did_not_is_told_of_and_told_again_until_name_servers_say_so() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let runtime = threads();
        let hook = Arc::new(runtime.block_on(webhook_at(router("dns"), Book::default())));
        let server = router("dns");
        let _answers = Answers::start(lab, server, vec![hook.clone()]);
        let mesh = holding(lab, "a shared secret");
        let keys = format!("driver = \"webhook\"\nurl = \"{}/dns?x=1\"", hook.url());
        // As short as any, so that nothing but a loss is a reason to tell it again.
        mesh.apply(lab, &text(&keys, 5));
        let first = mesh.settle(SETTLE, "shop", "s1");
        holds(&hook, "s1").expect("settled");
        eventually(STANDS, "nobody warns", || all_warn(&mesh, None));
        mesh.agents[0].ready(SETTLE, "shop");

        hook.with(|it| it.trouble = Some(Trouble::Forgets));
        webs[0].kill();
        // It took it, so nothing is waited for; and nobody calls that published.
        let view = mesh.settle(SETTLE, "shop", "s2");
        let moved = Instant::now();
        holds(&hook, "s1").expect("it did nothing");
        let old = format!(
            "{NAME}: 0 of 1 name servers say so; ns1.{} ({server}) says {}",
            named::ZONE,
            address("s1")
        );
        eventually(SETTLE, "all agents say that nothing came of it", || {
            all_warn(&mesh, Some(&old))
        });
        println!("all warn {:?} after the move", moved.elapsed());
        verified(&mesh, "0 of 1 name servers say so").expect("asked now");
        let shown = mesh.agents[2].quorate(&["status"]).expect_done();
        assert!(shown.contains("0 of 1 name servers say so"), "{shown}");

        // It is told again, of the same decision, and not before it has had its time.
        hook.with(|it| it.trouble = None);
        let asked = hook.with(|it| it.asked);
        eventually(AGAIN, "it does as it is told", || holds(&hook, "s2"));
        println!("it leads to s2 {:?} after the move", moved.elapsed());
        assert!(Duration::from_secs(50) < moved.elapsed(), "{:?}", moved.elapsed());
        assert_eq!(hook.with(|it| it.asked) - asked, 1);
        let told: String = mesh.running().map(|agent| agent.said()).collect();
        let line =
            format!("finds {NAME} of shop changed: no name server says what the webhook was told");
        assert!(told.contains(&line), "the event is told");
        eventually(STANDS + SETTLE, "nobody warns any more", || all_warn(&mesh, None));
        verified(&mesh, "1 of 1 name servers say so").expect("asked now");
        let now = mesh.settle(SETTLE, "shop", "s2");
        assert_eq!((now.epoch, view.epoch.0), (view.epoch, first.epoch.0 + 1));
    });
}
