//! Records that cannot be published: by one agent, by all of them, for a while.

use super::*;

/// Of the right length, and not what BIND knows.
const WRONG: &str = "c2l4dGVlbiB0aW1lcyB0d28gb2N0ZXRzIHdyb25nISE=";
/// For so long executors try, the last of them ten seconds more (`consensus::node::outcome`), and as many change hands.
const OWED: Duration = Duration::from_secs(75);

/// Does BIND lead to this stack, and to nothing else?
fn leads(lab: &Lab, stack: &str) -> Result<(), String> {
    let found = kept(lab, &format!("@{}", address("dns")));
    let addresses: Vec<_> = found.into_iter().map(|(address, _)| address).collect();
    match addresses == [address(stack).to_string()] {
        true => Ok(()),
        false => Err(format!("{addresses:?}")),
    }
}

#[test]
fn whoever_holds_the_right_key_publishes_and_everybody_knows_who_could_not() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let _bind = Bind::start(lab, Updates::Granted);
        let mut mesh = Mesh::new(lab);
        for agent in &mut mesh.agents {
            agent.set_up(|setup| setup.dns_secret = WRONG.to_owned());
        }
        mesh.start();
        let text = Shop { databases: false, ..Shop::default() }.text();
        mesh.apply(lab, &text);

        // Nobody can, and all say so; the definition is agreed, the built-in server answers, the records are owed.
        mesh.settle(OWED, "shop", "s1");
        assert_eq!(ask(mesh.agents[2].dns(), INSIDE), Answer::Addresses(vec![address("s1")]));
        eventually(SETTLE, "everybody tells of everybody", || {
            let lines = warned(&mesh, WarningKind::Unable)?;
            let told = |agent: &str| {
                let what = format!("{agent} could not");
                lines
                    .iter()
                    .filter(|it| it.contains(&what) && it.contains("another secret"))
                    .count()
            };
            let counts: Vec<_> = ["a1", "a2", "a3", "a4", "a5"].map(told).into();
            match counts.contains(&5) {
                true => Ok(()),
                false => Err(format!("{counts:?}: {lines:?}")),
            }
        });
        eventually(SETTLE, "readiness says that its key is refused", || {
            let found = mesh.agents[1].beside().readiness;
            let lines: Vec<_> = found.into_iter().map(|it| it.why).collect();
            match lines
                .iter()
                .any(|it| it.contains("cannot be read") && it.contains("another secret"))
            {
                true => Ok(()),
                false => Err(format!("{lines:?}")),
            }
        });

        // One of them learns the right one.
        let agent = mesh.agent("a5");
        agent.kill();
        agent.set_up(|setup| setup.dns_secret = SECRET.to_owned());
        agent.start();
        let began = Instant::now();
        eventually(OWED, "what is owed is put back", || leads(lab, "s1"));
        println!("put back {:?} after a5 started", began.elapsed());

        // And does its part when the stack dies, whoever of the others tries first.
        mesh.agents[4].ready(SETTLE, "shop");
        webs[0].kill();
        let died = Instant::now();
        eventually(SETTLE, "BIND has the other address", || leads(lab, "s2"));
        println!("published {:?} after the stack died", died.elapsed());
        mesh.settle(SETTLE, "shop", "s2");
    });
}

#[test]
fn a_provider_that_is_gone_while_a_definition_is_published_keeps_nobody_from_moving() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let bind = Bind::start(lab, Updates::Granted);
        let mut mesh = Mesh::new(lab);
        mesh.start();
        let text = Shop { databases: false, ..Shop::default() }.text();
        mesh.apply(lab, &text);
        mesh.settle(SETTLE, "shop", "s1");
        mesh.agents[0].ready(SETTLE, "shop");

        bind.pause();
        mesh.apply(lab, &text.replace("ttl = 5", "ttl = 7"));
        webs[0].kill();
        let died = Instant::now();
        let moved = || match ask(mesh.agents[3].dns(), INSIDE) {
            Answer::Addresses(told) if told == [address("s2")] => Ok(()),
            told => Err(format!("{told:?}")),
        };
        eventually(OWED, "the built-in server leads to s2", moved);
        println!("moved {:?} after the stack died", died.elapsed());
        mesh.settle(OWED, "shop", "s2");
        let told = mesh.agents[1].quorate(&["status"]).output;
        println!("{told}");

        bind.resume();
        eventually(OWED, "BIND leads to s2, too", || leads(lab, "s2"));
    });
}
