//! Whoever a zone of the agents is delegated to is asked what it says: through a real resolver, as clients come.

use tests::harness::unbound::Unbound;

use super::*;

#[test]
fn name_servers_that_agents_are_delegated_to_are_asked_for_what_they_answer() {
    inside(|lab: &Lab| {
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let mut mesh = Mesh::new(lab);
        mesh.start();
        let hosts = ["r1", "r2"].map(|host| format!("\"{}\"", address(host))).join(", ");
        let text = Shop { databases: false, outside: false, ..Shop::default() }.text();
        let servers = format!(
            "\n[[record]]\nname = \"ns1.edge.test\"\ntype = \"A\"\nttl = 5\n\
             values = {{ s1 = [{hosts}], s2 = [{hosts}] }}\n"
        );
        mesh.apply(lab, &(text.clone() + &servers));
        mesh.settle(SETTLE, "shop", "s1");
        let verify = |mesh: &Mesh<'_>| mesh.agents[3].quorate(&["dns", "verify", "shop"]);

        // Nobody resolves it here: that is not well.
        let unfound = verify(&mesh);
        let nobody = format!("{INSIDE}: no name server of its zone is found from here\n");
        assert!(unfound.output.contains(&nobody), "{}", unfound.output);
        assert_eq!(unfound.status.code(), Some(1));

        let _resolver =
            Unbound::start_for_all(lab, &mesh.agents[3].host, "edge.test", mesh.agents[0].dns());
        let both = format!("{INSIDE}: 2 of 2 name servers say so\n");
        eventually(SETTLE, "both agents say what was decided", || match verify(&mesh) {
            said if said.status.success() && said.output.contains(&both) => Ok(()),
            said => Err(said.output),
        });
        let file = mesh.agents[3].file();
        let doctor = ["doctor", "--config", file.to_str().expect("our own path")];
        let found = mesh.agents[3].quorate(&doctor).output;
        assert!(found.contains(&format!("all 2 name servers of {INSIDE}")), "{found}");

        mesh.agents[1].kill();
        let one = format!("{INSIDE}: 1 of 2 name servers say so\n");
        eventually(SETTLE, "one of two is missed", || match verify(&mesh) {
            said if !said.status.success() && said.output.contains(&one) => Ok(()),
            said => Err(said.output),
        });
        // And the agent itself finds so when it looks: now and then, and soon after a definition.
        mesh.apply(lab, &(text + &servers.replace("ttl = 5", "ttl = 6")));
        eventually(LOOKED, "the agent says that one name server is missed", || {
            let found = mesh.agents[3].beside().readiness;
            let missed = format!("1 of 2 name servers of {INSIDE} do not say what was decided: ");
            match found.iter().any(|it| it.stack.is_none() && it.why.starts_with(&missed)) {
                true => Ok(()),
                false => Err(format!("{found:?}")),
            }
        });
    });
}
