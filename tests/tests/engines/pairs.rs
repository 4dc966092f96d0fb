//! A PostgreSQL and a Redis in one app: they move together, or neither does.

mod postgres_redis {
    use tests::harness::agents::Agent;
    use tests::harness::postgres::{Postgres, Replication};
    use tests::harness::redis::Redis;

    use super::super::*;

    /// The databases of an app in two stacks.
    struct Pair<'a> {
        orders: [Postgres<'a>; 2],
        cache: [Redis<'a>; 2],
    }

    fn start(lab: &Lab) -> Pair<'_> {
        let primary = Postgres::primary(lab, "s1");
        let standby = Postgres::standby(&primary, "s2", Replication::Asynchronous);
        let cache = [Redis::start(lab, "s1", None), Redis::start(lab, "s2", Some("s1"))];
        Pair { orders: [primary, standby], cache }
    }

    fn text() -> String {
        let mut text = "[app]\nname = \"shop\"\ncooldown = \"0s\"\n[quorum]\nregions = 2\n\
             [probe]\ninterval = \"1s\"\nwindow = \"2s\"\n\
             [data]\nmax_loss = \"1MiB\"\nfencing = \"best-effort\"\n\
             [[zone]]\nname = \"edge.test\"\nns = [\"ns1.edge.test\"]\ncontact = \"hostmaster@edge.test\"\n"
            .to_owned();
        for stack in ["s1", "s2"] {
            text += &format!("[[stack]]\nname = \"{stack}\"\n");
            for (name, engine, port) in [("orders", "postgres", 5432), ("cache", "redis", 6379)] {
                text += &format!(
                    "[[stack.database]]\nname = \"{name}\"\nengine = \"{engine}\"\n\
                     address = \"{}:{port}\"\ncredential = \"orders\"\n",
                    address(stack)
                );
            }
        }
        let values = ["s1", "s2"].map(|stack| format!("{stack} = [\"{}\"]", address(stack)));
        let values = values.join(", ");
        text + &format!(
            "[[record]]\nname = \"{INSIDE}\"\ntype = \"A\"\nttl = 5\nvalues = {{ {values} }}\n"
        )
    }

    /// Both of the second stack, and what each says that it is.
    fn second(pair: &Pair<'_>) -> (Result<bool, String>, Result<String, String>) {
        (pair.orders[1].writable(), pair.cache[1].info("role"))
    }

    #[test]
    fn where_both_databases_die_both_move() {
        inside(|lab: &Lab| {
            let mut pair = start(lab);
            let mesh = mesh(lab, &text());
            assert_eq!(second(&pair), (Ok(false), Ok("slave".to_owned())));
            pair.orders[0].kill();
            pair.cache[0].process.kill();
            let view = mesh.settle(SETTLE, "shop", "s2");
            assert_eq!(view.decision.kind, DecisionKind::Failover);
            assert_eq!(second(&pair), (Ok(true), Ok("master".to_owned())));
            answered(&mesh, INSIDE, &["s2"]);
        });
    }

    /// The one that was well beside a dead one moves with it, and is no primary where it was any more.
    #[test]
    fn where_one_of_two_databases_dies_both_move() {
        inside(|lab: &Lab| {
            let mut pair = start(lab);
            let mesh = mesh(lab, &text());
            pair.orders[0].kill();
            let view = mesh.settle(SETTLE, "shop", "s2");
            assert_eq!(view.decision.kind, DecisionKind::Failover);
            assert_eq!(second(&pair), (Ok(true), Ok("master".to_owned())));
            eventually(SETTLE, "the other's old primary follows the new one", || {
                pair.cache[0].follows(&pair.cache[1])
            });
        });
    }

    #[test]
    fn where_one_of_two_standbys_is_unfit_neither_moves_and_the_status_says_which() {
        inside(|lab: &Lab| {
            let mut pair = start(lab);
            let mesh = mesh(lab, &text());
            let ask = |words: &[&str]| pair.cache[1].ask(words).expect("it answers");
            ask(&["REPLICAOF", "NO", "ONE"]);
            ask(&["SET", "own", "x"]);
            let why = "cache is no replica";
            excluded(&mesh, "s2", why);
            pair.orders[0].kill();
            eventually(SETTLE, "the mesh says that it does not move", || {
                let said = mesh.agents.iter().map(Agent::said).collect::<String>();
                let said_so =
                    |line: &&str| line.contains("leaves shop alone") && line.contains(why);
                said.lines().find(said_so).map(str::to_owned).ok_or("nothing of the kind")
            });
            throughout(Duration::from_secs(5), "neither moves", || {
                let active = mesh.agents[0].app("shop").map(|it| it.active);
                (active, second(&pair), pair.cache[0].info("role"))
            });
            assert_eq!(pair.orders[1].writable(), Ok(false), "the fit one waits for the other");
            let status = mesh.agents[0].quorate(&["status"]).expect_done();
            assert!(status.contains(why), "{status}");
            let words = ["failover", "shop", "--to", "s2", "--yes"];
            let refused = mesh.agents[0].quorate(&words).expect_refused();
            assert!(refused.contains(why), "{refused}");
        });
    }
}
