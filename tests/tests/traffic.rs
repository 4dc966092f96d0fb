//! DNS that others serve, kept as it was decided: real agents, nginx, and BIND with a secondary.

#[path = "traffic/many.rs"]
mod bind_many;
#[allow(dead_code, unused_imports)]
#[path = "traffic/common.rs"]
mod common;
#[allow(dead_code, unused_imports)]
#[path = "../../agent/tests/actors/emulators.rs"]
mod emulators;
#[path = "traffic/followed.rs"]
mod nginx_bind_followed;
#[path = "traffic/providers.rs"]
mod nginx_bind_providers;
#[path = "traffic/ready.rs"]
mod nginx_bind_ready;
#[path = "traffic/rolled.rs"]
mod nginx_bind_rolled;
#[path = "traffic/signed.rs"]
mod nginx_bind_signed;
#[path = "traffic/unable.rs"]
mod nginx_bind_unable;
#[path = "traffic/half.rs"]
mod nginx_half;
#[path = "traffic/keys.rs"]
mod nginx_keys;
#[path = "traffic/names.rs"]
mod nginx_names;
#[path = "traffic/silent.rs"]
mod nginx_silent;
#[path = "traffic/delegated.rs"]
mod nginx_unbound_delegated;

#[path = "traffic/outside.rs"]
mod outside;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use consensus::model::{Warning, WarningKind};
use consensus::view::FollowingView;
use outside::{edit, kept};
use serde_json::json;
use tests::harness::agents::Mesh;
use tests::harness::app::{INSIDE, OUTSIDE, Shop};
use tests::harness::bind::{Bind, KEY, SECOND, SECRET, Updates, ZONE};
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside, write_private};
use tests::harness::nginx::Web;
use tests::harness::process::output;
use tests::harness::resolver::{Answer, Watch, ask};
use tests::harness::wait::{eventually, promptly, throughout};
use tests::harness::world::SETTLE;
use tokio::runtime::{Builder, Runtime};

/// An agent looks within ten seconds of its start and of a definition, and twice a minute while something is not ready
/// (`agent::readiness`).
const LOOKED: Duration = Duration::from_secs(60);

/// How long an edit by hand may stand: the pause between two looks (`consensus::node::drift`), and a moment to mend it.
const STANDS: Duration = Duration::from_secs(35);

/// What a webhook took has a minute to show, and looks are half a minute apart (`dns::told`).
const AGAIN: Duration = Duration::from_secs(150);

/// What emulators run on.
fn threads() -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("threads")
}

/// A key for a zone of the agents' own, in a file of this name.
fn zone_key(lab: &Lab, name: &str) -> PathBuf {
    let made = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let file = lab.folder("zone-keys").join(format!("{name}.pem"));
    write_private(&file, &output(Command::new("openssl").args(made)));
    file
}

/// What the agents warn of, in this respect: one line each that warns.
fn warned(mesh: &Mesh<'_>, kind: WarningKind) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for agent in mesh.running() {
        let warnings = agent.app("shop")?.warnings.into_iter();
        lines.extend(warnings.filter(|it| it.kind == kind).map(|Warning { text, .. }| text));
    }
    Ok(lines)
}

mod nginx_bind {
    use super::*;

    #[test]
    fn a_planned_move_waits_until_old_answers_have_run_out() {
        inside(|lab: &Lab| {
            const TTL: u32 = 20;
            let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let _bind = Bind::start(lab, Updates::Granted);
            let mut mesh = Mesh::new(lab);
            mesh.start();
            let text = Shop { databases: false, ..Shop::default() }.text();
            mesh.apply(lab, &text.replace("ttl = 5", &format!("ttl = {TTL}")));
            let before = mesh.settle(SETTLE, "shop", "s1");
            let server = format!("@{}", address("dns"));
            let says = |stack: &str, ttl: u32| match kept(lab, &server) {
                found if found == vec![(address(stack).to_string(), ttl)] => Ok(()),
                found => Err(format!("{found:?}")),
            };
            eventually(SETTLE, "BIND has the first answer", || says("s1", TTL));
            mesh.agents[0].ready(SETTLE, "shop");

            let asked = Instant::now();
            let words = ["switchover", "shop", "--to", "s2", "--yes", "--no-wait", "--json"];
            let answer = mesh.agents[0].quorate(&words).expect_done();
            assert!(answer.contains("planned"), "{answer}");
            promptly(SETTLE, "BIND has the short lifetime", || says("s1", 5));
            let lowered = asked.elapsed();
            let view = mesh.agents[4].app("shop").expect("it answers");
            assert_eq!((view.epoch, view.shortened), (before.epoch, 3), "no decision was made");
            let shown = mesh.agents[4].quorate(&["status"]).expect_done();
            assert!(shown.contains("to s2 in "), "{shown}");
            let limit = Duration::from_secs(u64::from(TTL)) + SETTLE;
            eventually(limit, "BIND has the other address", || says("s2", 5));
            let moved = asked.elapsed() - lowered;
            assert!(Duration::from_secs(TTL.into()) <= moved, "moved {moved:?} after");
            mesh.settle(SETTLE, "shop", "s2");
            // Nothing stirs for a minute.
            let limit = Duration::from_secs(90) + SETTLE;
            eventually(limit, "BIND has the old lifetime again", || says("s2", TTL));
            let restored = asked.elapsed() - lowered - moved;
            println!("lowered after {lowered:?}, moved {moved:?} later, restored {restored:?} on");

            // The other way at once, and the one planned before it is called off.
            mesh.agents[0].quorate(&["switchover", "shop", "--to", "s1", "--yes", "--no-wait"]);
            eventually(SETTLE, "it is planned", || match mesh.agents[1].app("shop")?.planned {
                Some(_) => Ok(()),
                None => Err("not yet".to_owned()),
            });
            mesh.agents[1].quorate(&["abort", "shop", "--yes"]).expect_done();
            let words = ["switchover", "shop", "--to", "s1", "--now", "--yes"];
            mesh.agents[2].quorate(&words).expect_done();
            let view = mesh.settle(SETTLE, "shop", "s1");
            assert_eq!((view.epoch.0, view.planned), (before.epoch.0 + 2, None));
        });
    }

    /// A majority doubts the stack, and a person has not answered yet: whatever is decided, no client is to hold the old answer
    /// for long.
    #[test]
    fn doubt_shortens_what_bind_says_and_calm_lengthens_it_again() {
        inside(|lab: &Lab| {
            const TTL: u32 = 20;
            let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let _bind = Bind::start(lab, Updates::Granted);
            let mut mesh = Mesh::new(lab);
            mesh.start();
            let text = Shop { databases: false, ..Shop::default() }.text();
            let text = text.replacen("[app]\n", "[app]\nmode = \"approve\"\n", 1);
            mesh.apply(lab, &text.replace("ttl = 5", &format!("ttl = {TTL}")));
            let before = mesh.settle(SETTLE, "shop", "s1");
            let server = format!("@{}", address("dns"));
            let says = |ttl: u32| match kept(lab, &server) {
                found if found == vec![(address("s1").to_string(), ttl)] => Ok(()),
                found => Err(format!("{found:?}")),
            };
            eventually(SETTLE, "BIND has the first answer", || says(TTL));

            webs[0].kill();
            let killed = Instant::now();
            eventually(SETTLE, "BIND has the short lifetime", || says(5));
            let shortened = killed.elapsed();
            webs[0].restart();
            let restarted = Instant::now();
            // Half a minute of calm.
            let limit = Duration::from_secs(60) + SETTLE;
            eventually(limit, "BIND has the old one again", || says(TTL));
            println!("shortened after {shortened:?}, restored {:?} on", restarted.elapsed());
            let view = mesh.settle(SETTLE, "shop", "s1");
            assert_eq!(view.epoch, before.epoch, "nothing was decided");
        });
    }

    #[test]
    fn what_others_serve_is_put_back_and_every_name_server_is_asked() {
        inside(|lab: &Lab| {
            let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let (bind, secondary) = Bind::start_two(lab);
            let mut mesh = Mesh::new(lab);
            mesh.start();
            mesh.apply(lab, &Shop { databases: false, ..Shop::default() }.text());
            let before = mesh.settle(SETTLE, "shop", "s1");
            let servers = [bind.address(), SocketAddr::from((address(SECOND), 53))];
            let says = |server, stack| match ask(server, OUTSIDE) {
                answer if answer == Answer::Addresses(vec![address(stack)]) => Ok(()),
                other => Err(format!("{other:?}")),
            };
            for server in servers {
                eventually(SETTLE, "both servers have the first answer", || says(server, "s1"));
            }
            let watch = Watch::start(bind.address(), OUTSIDE);
            let all_well = || match warned(&mesh, WarningKind::Servers)?.as_slice() {
                [] => Ok(()),
                lines => Err(lines.join("\n")),
            };

            // By hand: another address, then nothing at all, with and without the marker.
            for change in [
                format!("update delete {OUTSIDE} A\nupdate add {OUTSIDE} 5 A 203.0.113.9"),
                format!("update delete {OUTSIDE} A"),
                format!("update delete {OUTSIDE} A\nupdate delete _quorate.{OUTSIDE} TXT"),
                format!("update add {OUTSIDE} 5 AAAA 2001:db8::9"),
            ] {
                edit(lab, &change);
                let edited = Instant::now();
                let digs = |kind: &str| {
                    let mut dig = lab.fabric.command("dns", "dig");
                    let at = format!("@{}", address("dns"));
                    let found = dig.args([at.as_str(), "+short", OUTSIDE, kind]).output();
                    String::from_utf8(found.expect("dig runs").stdout).expect("text")
                };
                eventually(STANDS, &format!("it is put back: {change}"), || {
                    match (digs("A").trim(), digs("AAAA").trim()) {
                        (a, "") if a == address("s1").to_string() => Ok(()),
                        other => Err(format!("{other:?}")),
                    }
                });
                println!("put back after {} ms: {change:?}", edited.elapsed().as_millis());
            }
            let said: String = mesh.running().map(|agent| agent.said()).collect();
            let line = format!("finds {OUTSIDE} of shop changed: holds 203.0.113.9, decided was");
            assert!(said.contains(&line), "the event is told");
            // Only what was done by hand left it empty; the mesh itself replaced it in one step.
            assert!(!watch.changes().is_empty());
            assert_eq!(
                mesh.settle(SETTLE, "shop", "s1").epoch,
                before.epoch,
                "nothing was decided"
            );

            // A secondary that is cut off keeps the old answer, and everybody says so.
            eventually(SETTLE, "both servers say what was decided", all_well);
            mesh.agents[0].ready(SETTLE, "shop");
            lab.fabric.cut("dns", SECOND);
            let words = ["switchover", "shop", "--to", "s2", "--yes"];
            mesh.agents[0].quorate(&words).expect_done();
            mesh.settle(SETTLE, "shop", "s2");
            assert!(says(servers[0], "s2").is_ok() && says(servers[1], "s1").is_ok());
            let old = format!(
                "{OUTSIDE}: 1 of 2 name servers say so; ns2.{ZONE} ({}) says {}",
                address(SECOND),
                address("s1")
            );
            eventually(SETTLE, "all agents say that one of two is behind", || {
                match warned(&mesh, WarningKind::Servers)? {
                    lines if lines == vec![old.clone(); 5] => Ok(()),
                    lines => Err(format!("{lines:?}")),
                }
            });
            let shown = mesh.agents[3].quorate(&["status"]).expect_done();
            assert!(shown.contains("1 of 2 name servers say so"), "{shown}");
            println!("{shown}");
            let verified = mesh.agents[3].quorate(&["dns", "verify", "shop"]);
            println!("{}", verified.output);
            let line = format!("  ns2.{ZONE} ({}) says {}\n", address(SECOND), address("s1"));
            assert!(!verified.status.success() && verified.output.contains(&line));
            // No resolver of this world knows of a delegation.
            let nobody = format!("{INSIDE}: no name server of its zone is found from here\n");
            assert!(verified.output.contains(&nobody), "{}", verified.output);
            // Whoever holds the zone has it as decided; an edit of a frozen app is left, and shown.
            let file = mesh.agents[3].file();
            let diff = ["dns", "diff", "shop", "--config", file.to_str().expect("our own path")];
            let same = mesh.agents[3].quorate(&diff).expect_done();
            assert_eq!(same, format!("{OUTSIDE}: as decided\n"));
            let doctor = ["doctor", "--config", file.to_str().expect("our own path")];
            let found = mesh.agents[3].quorate(&doctor).output;
            let read = format!("{OUTSIDE} of shop is as decided, read with its credential");
            let behind = format!("1 of 2 say so of {OUTSIDE}");
            assert!(found.contains(&read) && found.contains(&behind), "{found}");
            let freeze = ["freeze", "shop", "--for", "10m", "--reason", "by hand", "--yes"];
            mesh.agents[0].quorate(&freeze).expect_done();
            edit(lab, &format!("update delete {OUTSIDE} A\nupdate add {OUTSIDE} 5 A 203.0.113.9"));
            let differs = mesh.agents[3].quorate(&diff);
            let ours = address("s2");
            let words = format!("{OUTSIDE}: holds 203.0.113.9, decided was {ours}\n");
            assert_eq!((differs.status.code(), differs.output), (Some(2), words));
            mesh.agents[0].quorate(&["unfreeze", "shop", "--yes"]).expect_done();
            eventually(STANDS, "it is put back once nobody holds it", || says(servers[0], "s2"));
            let exported = mesh.agents[3].quorate(&["dns", "export", "shop"]).expect_done();
            assert!(exported.contains(&format!("{OUTSIDE}. ")), "{exported}");
            assert!(exported.contains(&format!(" IN A {}\n", address("s2"))), "{exported}");
            let zone = lab.folder("export").join("zone");
            let head = "$TTL 60\n@ IN SOA ns root 1 60 30 600 5\n@ IN NS ns\nns IN A 192.0.2.53\n";
            std::fs::write(&zone, format!("{head}{exported}"))
                .expect("the scratch folder takes files");
            let mut check = lab.fabric.command("dns", "named-checkzone");
            let loaded =
                check.args(["-D", ZONE]).arg(&zone).output().expect("bind9-utils is there");
            let loaded = String::from_utf8_lossy(&loaded.stdout).replace(['\t', ' '], "");
            let line = format!("{OUTSIDE}.5INA{}\n", address("s2"));
            assert!(loaded.contains(&line), "BIND reads it: {loaded}");
            let told = |words: &[&str]| {
                let words = [words, &["--json"]].concat();
                let told: serde_json::Value =
                    serde_json::from_str(&mesh.agents[3].quorate(&words).output).expect("JSON");
                assert_eq!((&told["app"], &told["stack"]), (&json!("shop"), &json!("s2")));
                told
            };
            let record = format!("{OUTSIDE}. 5 IN A {}", address("s2"));
            let records = told(&["dns", "export", "shop"])["records"].clone();
            assert!(records.as_array().is_some_and(|it| it.contains(&json!(record))), "{records}");
            let name = told(&diff)["names"][0].clone();
            assert_eq!((&name["name"], &name["found"]), (&json!(OUTSIDE), &json!("same")));
            let names = told(&["dns", "verify", "shop"])["names"].clone();
            let of = |it: &&serde_json::Value| it["name"] == OUTSIDE;
            let name = names.as_array().into_iter().flatten().find(of).expect("it is there");
            assert_eq!(
                (&name["right"], name["wrong"].as_array().map(Vec::len)),
                (&json!(1), Some(1))
            );
            eventually(SETTLE, "it is an event, too", || {
                let said = mesh.agents[3].said();
                if said.contains("warns (servers)") { Ok(()) } else { Err("not yet") }
            });
            lab.fabric.heal();
            eventually(SETTLE, "the other has it, too", || says(servers[1], "s2"));
            eventually(SETTLE, "nobody warns any more", all_well);

            // One that hangs is told of as well.
            secondary.pause();
            eventually(SETTLE, "all agents say that one of two is silent", || {
                let lines = warned(&mesh, WarningKind::Servers)?;
                let silent = lines.iter().filter(|line| line.contains("does not answer")).count();
                if silent == 5 { Ok(()) } else { Err(format!("{lines:?}")) }
            });
            secondary.resume();
            eventually(SETTLE, "it answers again", all_well);
        });
    }
}

mod nginx {
    use super::*;

    /// `shop` with two web servers in its first stack.
    fn two_servers() -> String {
        let mut text = Shop { databases: false, outside: false, ..Shop::default() }.text();
        let endpoint = format!(
            "\n[[stack.endpoint]]\nurl = \"http://{}/healthz\"\n\n[[stack]]\nname = \"s2\"\n",
            address("client")
        );
        text = text.replacen("\n[[stack]]\nname = \"s2\"\n", &endpoint, 1);
        text
    }

    fn answers(mesh: &Mesh<'_>, hosts: &[&str]) -> Result<(), String> {
        let mut wanted: Vec<_> = hosts.iter().map(|host| address(host)).collect();
        wanted.sort();
        for agent in mesh.running() {
            match ask(agent.dns(), INSIDE) {
                Answer::Addresses(mut found) => {
                    found.sort();
                    if found != wanted {
                        return Err(format!("{}: {found:?}", agent.name));
                    }
                }
                other => return Err(format!("{}: {other:?}", agent.name)),
            }
        }
        Ok(())
    }

    #[test]
    fn a_dead_server_is_not_handed_out_and_comes_back_once_it_is_steady() {
        inside(|lab: &Lab| {
            let mut webs = ["s1", "client", "s2"].map(|host| Web::start(lab, host));
            let mut mesh = Mesh::new(lab);
            mesh.start();
            mesh.apply(lab, &two_servers());
            let before = mesh.settle(SETTLE, "shop", "s1");
            eventually(SETTLE, "both are handed out", || answers(&mesh, &["s1", "client"]));
            webs[1].kill();
            let killed = Instant::now();
            eventually(SETTLE, "no agent hands it out", || answers(&mesh, &["s1"]));
            println!(
                "not handed out by any agent {} ms after it died",
                killed.elapsed().as_millis()
            );
            webs[1].restart();
            let restarted = Instant::now();
            eventually(SETTLE, "both again", || answers(&mesh, &["s1", "client"]));
            let steady = restarted.elapsed();
            println!("handed out again after {} ms", steady.as_millis());
            assert!(Duration::from_secs(14) < steady, "as long as a standby must be up");
            assert_eq!(mesh.settle(SETTLE, "shop", "s1").epoch, before.epoch, "nothing is decided");
            let said = mesh.agents[0].said();
            let times = said.matches("hands out shop/s1 without web-2").count();
            assert_eq!(times, 1, "it does not flap");
            webs[0].kill();
            webs[1].kill();
            mesh.settle(SETTLE, "shop", "s2");
            eventually(SETTLE, "the standby alone", || answers(&mesh, &["s2"]));
        });
    }

    #[test]
    fn a_server_without_weight_is_handed_out_to_nobody_while_there_is_another() {
        inside(|lab: &Lab| {
            let _webs = ["s1", "client", "s2"].map(|host| Web::start(lab, host));
            let mut mesh = Mesh::new(lab);
            mesh.start();
            let text = two_servers();
            let drained = |host: &str, text: &str| {
                let url = format!("url = \"http://{}/healthz\"\n", address(host));
                text.replacen(&url, &format!("{url}weight = 0\n"), 1)
            };
            mesh.apply(lab, &text);
            mesh.settle(SETTLE, "shop", "s1");
            eventually(SETTLE, "both are handed out", || answers(&mesh, &["s1", "client"]));
            for (gone, stays) in [("client", "s1"), ("s1", "client")] {
                mesh.apply(lab, &drained(gone, &text));
                let epoch = mesh.settle(SETTLE, "shop", "s1").epoch;
                eventually(SETTLE, "the other alone", || answers(&mesh, &[stays]));
                // It is watched all the same, and well.
                let web = mesh.agents[0].app("shop").expect("it answers").stacks.remove(0);
                assert_eq!(web.targets.len(), 2);
                throughout(Duration::from_secs(3), "it stays drained", || answers(&mesh, &[stays]));
                assert_eq!(mesh.settle(SETTLE, "shop", "s1").epoch, epoch);
            }
            // With none left nothing would be answered: such a file is refused, and what was agreed stands.
            let file = lab.folder("none").join("shop.toml");
            std::fs::write(&file, drained("s1", &drained("client", &text))).expect("a file");
            let words = ["apply", "--yes", file.to_str().expect("our own path")];
            let refused = mesh.agents[0].quorate(&words).expect_refused();
            assert!(refused.contains("`weight = 0` drains all of its endpoints"), "{refused}");
            answers(&mesh, &["client"]).expect("as before");
            mesh.apply(lab, &text);
            eventually(SETTLE, "both again", || answers(&mesh, &["s1", "client"]));
        });
    }

    #[test]
    fn the_doctor_is_shown_a_certificate_that_is_not_valid_for_a_name_that_leads_there() {
        inside(|lab: &Lab| {
            let (_first, certificate) = Web::start_secure(lab, "s1", INSIDE);
            let _second = Web::start(lab, "s2");
            let text = Shop { databases: false, outside: false, ..Shop::default() }.text();
            let url = format!("url = \"http://{}/healthz\"\n", address("s1"));
            let secure = format!(
                "url = \"https://{}/healthz\"\nhost = \"{INSIDE}\"\nauthority = \"\"\"\n{certificate}\"\"\"\n",
                address("s1")
            );
            let other = "\n[[record]]\nname = \"www.edge.test\"\ntype = \"A\"\nttl = 5\n";
            let mut mesh = Mesh::new(lab);
            mesh.start();
            mesh.apply(lab, &(text.replacen(&url, &secure, 1) + other));
            mesh.settle(SETTLE, "shop", "s1");
            let file = mesh.agents[0].file();
            let words = ["doctor", "--config", file.to_str().expect("our own path")];
            let found = mesh.agents[0].quorate(&words);
            println!("{}", found.output);
            let valid = format!("the certificate of shop/s1/web-1 is valid for `{INSIDE}`");
            assert!(found.output.contains(&valid), "{}", found.output);
            let wrong = "shop/s1/web-1 for `www.edge.test`";
            assert!(found.output.contains(wrong), "{}", found.output);
            assert!(!found.status.success(), "it is a reason not to move there");
        });
    }

    #[test]
    fn a_stack_that_is_cut_off_is_offline_before_another_is_online() {
        inside(|lab: &Lab| {
            let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let mut mesh = Mesh::new(lab);
            mesh.start();
            mesh.apply(lab, &Shop { databases: false, outside: false, ..Shop::default() }.text());
            mesh.settle(SETTLE, "shop", "s1");
            let asks = |mesh: &Mesh<'_>, agent: usize, stack: &str| {
                let said = mesh.agents[agent].quorate(&["state", "shop", "--stack", stack]);
                (said.status.success(), said.output)
            };
            let online = |mesh: &Mesh<'_>, agent: usize, stack: &str| match asks(mesh, agent, stack)
            {
                (true, _) => Ok(()),
                (false, why) => Err(why),
            };
            eventually(SETTLE, "the first stack is online", || online(&mesh, 0, "s1"));
            assert!(!asks(&mesh, 0, "s2").0);
            let text = |mesh: &Mesh<'_>, agent: usize| {
                let server = mesh.agents[agent].dns().ip().to_string();
                let mut dig = lab.fabric.command("client", "dig");
                let name = "_status.shop.edge.test";
                let found = dig.args([&format!("@{server}"), "+short", name, "TXT"]).output();
                String::from_utf8(found.expect("dig runs").stdout).expect("text")
            };
            eventually(SETTLE, "DNS says so, too", || match text(&mesh, 0) {
                it if it.contains("active=s1 state=online") => Ok(()),
                other => Err(other),
            });

            // The first region is cut off with its stack; what runs beside the stack asks its own agent.
            lab.fabric.isolate("r1");
            lab.fabric.split(&["s1"], &["r2", "r3", "r4", "r5"]);
            let cut = Instant::now();
            let mut ended = None;
            eventually(SETTLE, "the second stack is online for the others", || {
                let (first, second) = (asks(&mesh, 0, "s1").0, asks(&mesh, 1, "s2"));
                assert!(!(first && second.0), "both are online");
                if !first && ended.is_none() {
                    ended = Some(cut.elapsed());
                }
                if second.0 { Ok(()) } else { Err(second.1) }
            });
            let ended = ended.expect("it ended before").as_millis();
            let began = cut.elapsed().as_millis();
            println!("offline {ended} ms after the cut, the other online after {began} ms");
            let (_, why) = asks(&mesh, 0, "s1");
            assert!(why.starts_with("offline: no majority of voters was heard"), "{why}");

            let mut dig = lab.fabric.command("r1", "dig");
            let server = format!("@{}", mesh.agents[0].dns().ip());
            let found = dig.args([&server, "+short", "_status.shop.edge.test", "TXT"]).output();
            let found = String::from_utf8(found.expect("dig runs").stdout).expect("text");
            assert!(found.contains("active=s1 state=offline"), "{found}");

            // An agent that stands still takes nothing back: its file ends by itself.
            lab.fabric.heal();
            eventually(SETTLE, "the second stack is online for all", || online(&mesh, 0, "s2"));
            let folder = mesh.agents[2].states();
            let folder = folder.to_str().expect("our own path");
            let reads = |mesh: &Mesh<'_>| {
                let words = ["state", "shop", "--stack", "s2", "--folder", folder];
                let said = mesh.agents[2].quorate(&words);
                (said.status.success(), said.output)
            };
            eventually(SETTLE, "the file says so", || match reads(&mesh) {
                (true, _) => Ok(()),
                (false, why) => Err(why),
            });
            mesh.agents[2].process().pause();
            let paused = Instant::now();
            eventually(SETTLE, "the file is too old", || match reads(&mesh) {
                (true, _) => Err("online still".to_owned()),
                (false, why) if why.contains("too old") => Ok(()),
                (false, why) => Err(why),
            });
            println!("the file ended {} ms after its agent stopped", paused.elapsed().as_millis());
            mesh.agents[2].process().resume();
        });
    }
}
