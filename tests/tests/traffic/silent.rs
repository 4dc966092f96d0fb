//! An agent that hears nobody: what it goes on answering, and when it stops.

use super::*;

/// As short as a machine that is busy with other tests allows.
const STALE_AFTER: Duration = Duration::from_secs(8);

#[test]
fn an_agent_that_is_cut_off_answers_with_what_it_sees_itself_and_else_with_servfail() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let mut mesh = Mesh::new(lab);
        for agent in &mut mesh.agents {
            agent.set_up(|setup| {
                setup.dns = format!("stale_after = \"{}s\"\n", STALE_AFTER.as_secs())
            });
        }
        mesh.start();
        mesh.apply(lab, &Shop { databases: false, outside: false, ..Shop::default() }.text());
        mesh.settle(SETTLE, "shop", "s1");
        mesh.agents[1].ready(SETTLE, "shop");
        let file = mesh.agents[1].file();
        let diff = ["dns", "diff", "shop", "--config", file.to_str().expect("our own path")];
        let none = mesh.agents[1].quorate(&diff).expect_done();
        assert_eq!(none, "shop: others hold no record of it, only agents answer\n");
        let at = |agent: usize| mesh.agents[agent].dns();
        let (one, two) =
            (Answer::Addresses(vec![address("s1")]), Answer::Addresses(vec![address("s2")]));
        let failure = Answer::Failed("Server Failure".to_owned());
        let becomes = |agent: usize, wanted: &Answer| {
            eventually(SETTLE, &format!("a{} answers {wanted:?}", agent + 1), || {
                match ask(at(agent), INSIDE) {
                    told if told == *wanted => Ok(()),
                    told => Err(format!("{told:?}")),
                }
            });
        };

        // It hears no other, and sees the stack: that is as good as it was, for as long as this lasts.
        lab.fabric.split(&["r1"], &["r2", "r3", "r4", "r5"]);
        throughout(STALE_AFTER * 2, "what it sees itself", || ask(at(0), INSIDE));
        assert_eq!(ask(at(0), INSIDE), one);
        assert_eq!(ask(at(0), "nobody.edge.test"), Answer::Empty);

        // The stack dies; the others move it, and who does not hear of that names it no more.
        webs[0].kill();
        let killed = Instant::now();
        becomes(0, &failure);
        println!("SERVFAIL {} ms after the stack died", killed.elapsed().as_millis());
        becomes(1, &two);
        throughout(Duration::from_secs(3), "it is said to ask others", || ask(at(0), INSIDE));
        assert_eq!(ask(at(0), "nobody.edge.test"), failure);

        // Blind as well as deaf from the start: it answers from what it has for as long as that is not too old.
        lab.fabric.heal();
        becomes(0, &two);
        lab.fabric.isolate("r1");
        let cut = Instant::now();
        becomes(0, &failure);
        let lasted = cut.elapsed();
        println!("SERVFAIL {} ms after it was cut off from everything", lasted.as_millis());
        assert!(STALE_AFTER - Duration::from_secs(3) < lasted, "{lasted:?}");
        lab.fabric.heal();
        becomes(0, &two);
    });
}
