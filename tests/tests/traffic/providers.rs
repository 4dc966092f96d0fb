//! One app at two providers at once, one that compares tokens and one that does not: Cloudflare's and DigitalOcean's interfaces as
//! they are documented, and name servers that answer what they hold.

use std::sync::Arc;

use tests::harness::fabric::router;
use tokio::runtime::Builder;

use super::nginx_names::Answers;
use super::*;
use crate::emulators::cloudflare::cloudflare_at;
use crate::emulators::digitalocean::digitalocean_at;
use crate::emulators::{Book, Server};

const CLOUDFLARE: &str = "shop.dyn.example";
const DIGITALOCEAN: &str = "blog.dyn.example";

/// `shop` under a name at each; Cloudflare is asked for less than it takes.
fn text(urls: [String; 2]) -> String {
    let mut text = Shop { databases: false, outside: false, ..Shop::default() }.text();
    let [first, second] = urls;
    for (name, more) in [
        (
            CLOUDFLARE,
            format!(
                "driver = \"cloudflare\"\nzone_id = \"023e105f4ecef8ad9ca31a8372d0c353\"\nurl = \"{first}\""
            ),
        ),
        (DIGITALOCEAN, format!("driver = \"digitalocean\"\nurl = \"{second}\"")),
    ] {
        text += &format!(
            "\n[[record]]\nname = \"{name}\"\ntype = \"A\"\nttl = 30\nzone = \"dyn.example\"\n\
             credential = \"provider\"\n{more}\n"
        );
    }
    text
}

#[test]
fn names_at_two_providers_follow_the_stack_and_are_put_back_after_edits() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let one = Arc::new(runtime.block_on(cloudflare_at(router("dns"), Book::default())));
        let two = Arc::new(runtime.block_on(digitalocean_at(router("dns"), Book::default())));
        let _answers = Answers::start(lab, router("dns"), vec![one.clone(), two.clone()]);
        let mut mesh = Mesh::new(lab);
        for agent in &mut mesh.agents {
            agent.set_up(|it| {
                it.more = "\n[credentials.provider]\ntoken = \"a token\"\n".to_owned();
            });
        }
        mesh.start();
        mesh.apply(lab, &text([one.url(), two.url()]));
        let first = mesh.settle(SETTLE, "shop", "s1");
        let holds = |server: &Arc<Server>, name: &str, stack: &str, ttl: u32| {
            let found = server.with(|it| (it.get(name, "A"), it.ttl(name, "A")));
            let wanted = (vec![address(stack).to_string()], Some(ttl));
            if found == wanted { Ok(()) } else { Err(format!("{name}: {found:?}")) }
        };
        let both = |stack: &str| {
            holds(&one, CLOUDFLARE, stack, 60)?;
            holds(&two, DIGITALOCEAN, stack, 30)
        };
        eventually(SETTLE, "both hold the first stack's address", || both("s1"));
        mesh.agents[0].ready(SETTLE, "shop");

        webs[0].kill();
        let view = mesh.settle(SETTLE, "shop", "s2");
        assert_eq!(view.epoch.0, first.epoch.0 + 1, "{view:?}");
        eventually(SETTLE, "both hold the other's", || both("s2"));
        let marker = |server: &Arc<Server>, name: &str| {
            let texts = server.with(|it| it.get(&format!("_quorate.{name}"), "TXT"));
            assert_eq!(texts.len(), 1, "{texts:?}");
            assert!(texts[0].contains("app=shop;") && texts[0].contains("stack=s2"), "{texts:?}");
        };
        marker(&one, CLOUDFLARE);
        marker(&two, DIGITALOCEAN);

        // Somebody puts the old address back, by hand, at both.
        let old = address("s1").to_string();
        one.with(|it| it.put(CLOUDFLARE, "A", 60, &[&old]));
        two.with(|it| it.put(DIGITALOCEAN, "A", 30, &[&old]));
        eventually(STANDS + SETTLE, "what was decided is there again", || both("s2"));
        assert_eq!(mesh.settle(SETTLE, "shop", "s2").epoch, view.epoch, "without a decision");
    });
}
