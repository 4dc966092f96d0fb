//! Endpoints that are followed to wherever a name server, a page or a file says.

use std::collections::BTreeSet;

use tests::harness::fabric::address_six;

use super::*;

/// `shop`, whose first stack is wherever BIND says, or a file once it is there; and the second wherever a page says.
fn text(balancer: &str) -> String {
    let text = Shop { databases: false, ..Shop::default() }.text();
    let follow = |text: String, stack: &str, lines: &str| {
        let url = format!("url = \"http://{}/healthz\"\n", address(stack));
        text.replacen(&url, &format!("{url}{lines}\n"), 1)
    };
    let dns =
        format!("follow = \"dns://{}/web.{ZONE}\"\nbalancer = \"{balancer}\"", address("dns"));
    let page = format!("follow = \"http://{}/places.json\"", address("client"));
    follow(follow(text, "s1", &dns), "s2", &page)
}

fn says(server: SocketAddr, name: &str, hosts: &[&str]) -> Result<(), String> {
    let mut wanted: Vec<_> = hosts.iter().map(|host| address(host)).collect();
    wanted.sort();
    match ask(server, name) {
        Answer::Addresses(mut found) => {
            found.sort();
            if found == wanted { Ok(()) } else { Err(format!("{server}: {found:?}")) }
        }
        other => Err(format!("{server}: {other:?}")),
    }
}

fn everywhere(mesh: &Mesh<'_>, bind: &Bind, hosts: &[&str]) -> Result<(), String> {
    mesh.running().try_for_each(|agent| says(agent.dns(), INSIDE, hosts))?;
    says(bind.address(), OUTSIDE, hosts)
}

/// Does every agent say so of what it follows of a stack?
fn all_see(
    mesh: &Mesh<'_>,
    stack: &str,
    wanted: impl Fn(&FollowingView) -> bool,
) -> Result<(), String> {
    for agent in mesh.running() {
        let following = agent.app("shop")?.following;
        let it = following.iter().find(|it| it.stack.as_str() == stack);
        let it = it.ok_or("it follows nothing")?;
        if !wanted(it) {
            return Err(format!("{}: {it:?}", agent.name));
        }
    }
    Ok(())
}

#[test]
fn endpoints_are_followed_to_where_a_quorum_finds_them_well() {
    inside(|lab: &Lab| {
        let mut webs = ["s1", "client", "s2"].map(|host| Web::start(lab, host));
        let bind = Bind::start(lab, Updates::Granted);
        let at = |host: &str| address(host).to_string();
        let add = |host: &str| format!("update add web.{ZONE} 5 A {}", at(host));
        edit(lab, &add("s1"));
        let folder = lab.folder("balancer");
        let balancer = folder.join("places.txt");
        let mut mesh = Mesh::new(lab);
        mesh.start();
        let file = text(balancer.to_str().expect("our own path"));
        mesh.apply(lab, &file);
        mesh.settle(SETTLE, "shop", "s1");
        eventually(SETTLE, "it begins where the file says", || everywhere(&mesh, &bind, &["s1"]));
        eventually(SETTLE, "all have found it there", || {
            all_see(&mesh, "s1", |it| it.found == it.agreed && it.why.is_none())
        });

        // Another server comes.
        edit(lab, &add("client"));
        let added = Instant::now();
        eventually(SETTLE, "it is handed out everywhere", || {
            everywhere(&mesh, &bind, &["s1", "client"])
        });
        println!("published {} ms after the source named it", added.elapsed().as_millis());

        // One is named that serves nobody.
        edit(lab, &add("r5"));
        let named = |it: &FollowingView| it.found.contains(&at("r5"));
        eventually(SETTLE, "all are told of it", || all_see(&mesh, "s1", named));
        let epoch = mesh.settle(SETTLE, "shop", "s1").epoch;
        everywhere(&mesh, &bind, &["s1", "client"]).expect("nobody hands it out");

        // The source is silent, then tells of nothing: what was agreed stands.
        bind.pause();
        eventually(SETTLE, "all say that it is silent", || {
            all_see(&mesh, "s1", |it| it.why.is_some() && 0 < it.failures)
        });
        bind.resume();
        edit(lab, &format!("update delete web.{ZONE} A"));
        eventually(SETTLE, "all say that it tells of nothing", || {
            all_see(&mesh, "s1", |it| it.why.as_deref() == Some("it tells of nothing"))
        });
        everywhere(&mesh, &bind, &["s1", "client"]).expect("what was agreed stands");
        assert_eq!(mesh.settle(SETTLE, "shop", "s1").epoch, epoch, "nothing was decided");
        let shown = mesh.agents[1].quorate(&["status"]).expect_done();
        assert!(shown.contains("it tells of nothing"), "{shown}");
        println!("{shown}");

        // One dies and is named no more.
        webs[0].kill();
        edit(lab, &add("client"));
        eventually(SETTLE, "the other alone", || everywhere(&mesh, &bind, &["client"]));

        // The same file again says where to look, not what was found.
        let path = lab.folder("same").join("shop.toml");
        std::fs::write(&path, &file).expect("scratch folder takes files");
        let plan = mesh.agents[0].quorate(&["plan", path.to_str().expect("our own path")]);
        assert!(plan.status.success(), "{}", plan.output);

        // A load balancer takes their place while there is one.
        webs[0].restart();
        std::fs::write(&balancer, format!("{} # the balancer\n", at("s1"))).expect("a file");
        let written = Instant::now();
        let balanced = |it: &FollowingView| it.found == [at("s1")] && it.agreed == it.found;
        eventually(SETTLE, "the balancer alone", || {
            all_see(&mesh, "s1", balanced)?;
            everywhere(&mesh, &bind, &["s1"])
        });
        println!("the balancer alone {} ms after it came", written.elapsed().as_millis());

        // The standby's page is there now, and names two.
        webs[1].tell(&format!("[\"{}\", {{\"address\": \"{}\"}}]", at("s2"), at("client")));
        eventually(SETTLE, "both are agreed", || {
            all_see(&mesh, "s2", |it| it.agreed.len() == 2 && it.why.is_none())
        });
        webs[0].kill();
        mesh.settle(SETTLE, "shop", "s2");
        eventually(SETTLE, "the standby's both", || everywhere(&mesh, &bind, &["s2", "client"]));
    });
}

#[test]
fn a_balancer_takes_the_servers_place_and_gives_it_back() {
    inside(|lab: &Lab| {
        let _webs = ["s1", "client", "s2"].map(|host| Web::start(lab, host));
        let bind = Bind::start(lab, Updates::Granted);
        for host in ["s1", "client"] {
            edit(lab, &format!("update add web.{ZONE} 5 A {}", address(host)));
        }
        let balancer = lab.folder("balancer").join("places.txt");
        let mut mesh = Mesh::new(lab);
        mesh.start();
        mesh.apply(lab, &text(balancer.to_str().expect("our own path")));
        mesh.settle(SETTLE, "shop", "s1");
        let leads = |hosts: &[&str]| {
            let began = Instant::now();
            let mut wanted: Vec<_> = hosts.iter().map(|host| address(host).to_string()).collect();
            wanted.sort();
            let agreed = |it: &FollowingView| {
                let mut agreed = it.agreed.clone();
                agreed.sort();
                agreed == wanted
            };
            eventually(SETTLE, &format!("{hosts:?} and nobody else"), || {
                all_see(&mesh, "s1", agreed)?;
                everywhere(&mesh, &bind, hosts)
            });
            println!("{hosts:?} after {} ms", began.elapsed().as_millis());
        };
        leads(&["s1", "client"]);
        std::fs::write(&balancer, address("s2").to_string()).expect("a file");
        leads(&["s2"]);
        std::fs::remove_file(&balancer).expect("it was written");
        leads(&["s1", "client"]);
    });
}

#[test]
fn endpoints_of_ipv6_are_followed_to_where_aaaa_records_say() {
    inside(|lab: &Lab| {
        lab.fabric.add_six();
        let _webs = ["s1", "client", "s2"].map(|host| Web::start_six(lab, host));
        let bind = Bind::start(lab, Updates::Granted);
        let at = |host: &str| address_six(host).to_string();
        let add = |host: &str| format!("update add web6.{ZONE} 5 AAAA {}", at(host));
        edit(lab, &add("s1"));
        let mut text = Shop { databases: false, ..Shop::default() }.text();
        for stack in ["s1", "s2"] {
            let four = format!("url = \"http://{}/healthz\"\n", address(stack));
            let six = format!("url = \"http://[{}]/healthz\"\n", at(stack));
            let follow = format!("follow = \"dns://{}/web6.{ZONE}\"\n", address("dns"));
            let six = if stack == "s1" { six + &follow } else { six };
            text = text.replacen(&four, &six, 1);
        }
        let text = text.replace("type = \"A\"", "type = \"AAAA\"");
        let mut mesh = Mesh::new(lab);
        mesh.start();
        mesh.apply(lab, &text);
        mesh.settle(SETTLE, "shop", "s1");
        let says = |server: SocketAddr, name: &str, hosts: &[&str]| {
            let mut dig = lab.fabric.command("client", "dig");
            let found = dig.args([&format!("@{}", server.ip()), "+short", name, "AAAA"]).output();
            let found = String::from_utf8(found.expect("dig runs").stdout).expect("text");
            let found: BTreeSet<_> = found.lines().map(str::to_owned).collect();
            let wanted: BTreeSet<_> = hosts.iter().map(|host| at(host)).collect();
            if found == wanted { Ok(()) } else { Err(format!("{server}: {found:?}")) }
        };
        let everywhere = |hosts: &[&str]| {
            eventually(SETTLE, &format!("{hosts:?} everywhere"), || {
                mesh.running().try_for_each(|agent| says(agent.dns(), INSIDE, hosts))?;
                says(bind.address(), OUTSIDE, hosts)
            });
        };
        everywhere(&["s1"]);
        edit(lab, &add("client"));
        everywhere(&["s1", "client"]);
        // Named, and nobody serves there.
        edit(lab, &add("r5"));
        let named = |it: &FollowingView| it.found.iter().any(|it| it.contains(&at("r5")));
        eventually(SETTLE, "all are told of it", || all_see(&mesh, "s1", named));
        everywhere(&["s1", "client"]);
        edit(lab, &format!("update delete web6.{ZONE} AAAA {}", at("s1")));
        everywhere(&["client"]);
    });
}

#[test]
fn a_page_over_tls_is_followed_if_it_is_whose_its_url_says() {
    inside(|lab: &Lab| {
        let _stacks = ["s1", "s2"].map(|host| Web::start(lab, host));
        let _bind = Bind::start(lab, Updates::Granted);
        let (page, its_own) = Web::start_secure(lab, "client", &address("client").to_string());
        let (other, anothers) = Web::start_secure(lab, "r5", "elsewhere.example");
        page.tell(&format!("[\"{}\", \"{}\"]", address("s2"), address("client")));
        other.tell(&format!("[\"{}\"]", address("client")));
        let authorities = lab.folder("authorities").join("both.pem");
        std::fs::write(&authorities, its_own + &anothers).expect("scratch folder takes files");
        let mut mesh = Mesh::new(lab);
        for agent in &mut mesh.agents {
            agent.set_up(|setup| setup.authorities = Some(authorities.clone()));
        }
        mesh.start();
        let follow = |text: String, stack: &str, host: &str| {
            let url = format!("url = \"http://{}/healthz\"\n", address(stack));
            let page = format!("{url}follow = \"https://{}/places.json\"\n", address(host));
            text.replacen(&url, &page, 1)
        };
        let text = Shop { databases: false, ..Shop::default() }.text();
        mesh.apply(lab, &follow(follow(text, "s1", "r5"), "s2", "client"));
        mesh.settle(SETTLE, "shop", "s1");
        eventually(SETTLE, "both that the page names are agreed", || {
            all_see(&mesh, "s2", |it| it.agreed.len() == 2 && it.why.is_none())
        });
        // Trusted, but for another name: what was agreed stands.
        eventually(SETTLE, "all say that the other page is not whose its URL says", || {
            let not = |why: &str| why.contains("certificate not valid for name");
            all_see(&mesh, "s1", |it| it.why.as_deref().is_some_and(not))
        });
        let stands = |it: &FollowingView| it.agreed == [address("s1").to_string()];
        all_see(&mesh, "s1", stands).expect("what was agreed stands");
    });
}
