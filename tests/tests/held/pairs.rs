//! Two guarded databases in one app, each behind a door of its own: both move, or neither does, and clients that are at all
//! four all the time never see either taken at two places.

use tests::harness::agents::Mesh;
use tests::harness::app::Shop;
use tests::harness::bind::{Bind, Updates};
use tests::harness::guarded::engine;
use tests::harness::guards::{enrolled_of, holds};
use tests::harness::nginx::Web;
use tests::harness::writer::Writers;

use super::*;

/// One of the app's two databases: its servers at `s1` and `s2`, and the clients of both.
struct Half<'a> {
    servers: [Server<'a>; 2],
    writers: Writers,
}

impl<'a> Half<'a> {
    fn start(lab: &'a Lab, dialect: Dialect) -> Self {
        let servers = Server::start(lab, dialect, Replication::Synchronous, ["s1", "s2"]);
        let writers = Writers::start(dialect, &servers.each_ref().map(Server::address));
        Self { servers, writers }
    }

    /// How many rows each of its servers acknowledged.
    fn took(&self) -> [usize; 2] {
        let ledger = self.writers.acknowledged();
        let took = |it: &Server<'_>| ledger.iter().filter(|row| row.server == it.address()).count();
        self.servers.each_ref().map(took)
    }

    /// Waits until one of its servers takes more rows than it has taken.
    fn takes(&self, server: usize) {
        let before = self.took()[server];
        let of = self.servers[server].address();
        eventually(SETTLE, &format!("{of} takes rows"), || match self.took()[server] {
            now if before + 20 <= now => Ok(()),
            now => Err(format!("{now}, {before} before")),
        });
    }

    fn reaches(&self, server: usize) -> bool {
        let address = self.servers[server].address();
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    }

    /// One server took over from the other: never both at once, and what was acknowledged is there.
    fn moved(&self, name: &str) -> Duration {
        let ledger = self.writers.acknowledged();
        let [old, new] = self.servers.each_ref().map(Server::address);
        let pause = gap(&ledger, old, new);
        assert_eq!(self.servers[1].lost(&ledger), Vec::<i64>::new(), "{name} of {}", ledger.len());
        println!("{name}: overlap 0 ms, pause {}, of {} rows none lost", ms(pause), ledger.len());
        pause
    }

    /// Nothing was ever taken but where it always was.
    fn stayed(&self, name: &str) {
        let [old, new] = self.took();
        println!("{name}: {old} rows, and {new} at the other");
        assert_eq!(new, 0, "{name}");
        assert!(!self.reaches(1), "{name}: the other is behind its door");
    }
}

/// The app with both, each pair of servers behind a guard with two doors.
struct Pair<'a> {
    mesh: Mesh<'a>,
    webs: [Web<'a>; 2],
    /// The app's database `orders`.
    orders: Half<'a>,
    /// The app's database `second`.
    second: Half<'a>,
    _guards: Vec<Agent<'a>>,
    _bind: Bind,
}

impl<'a> Pair<'a> {
    fn start(lab: &'a Lab, [first, second]: [Dialect; 2]) -> Self {
        let webs = ["s1", "s2"].map(|host| Web::start(lab, host));
        let bind = Bind::start(lab, Updates::Granted);
        let mut mesh = Mesh::small(lab);
        mesh.start();
        let [(word, port), (other, at)] = [first, second].map(engine);
        let mut guards = enrolled_of(lab, &mesh, &[("orders", port), ("second", at)], TWO);
        // The servers before their guards: these shut their doors as soon as they are there.
        let [orders, second] = [first, second].map(|dialect| Half::start(lab, dialect));
        guards.iter_mut().for_each(Agent::start);
        let shop = Shop {
            guarded: true,
            // Redis waits for no replica.
            max_loss: "1MiB",
            engine: (word, port),
            second: Some(("second", other, at)),
            ..Shop::default()
        };
        mesh.apply(lab, &shop.text());
        mesh.settle(SETTLE, "shop", "s1");
        holds(&guards[0], SETTLE);
        let pair = Self { mesh, webs, orders, second, _guards: guards, _bind: bind };
        pair.ready();
        pair.halves().iter().for_each(|(_, half)| half.takes(0));
        pair
    }

    fn halves(&self) -> [(&'static str, &Half<'a>); 2] {
        [("orders", &self.orders), ("second", &self.second)]
    }

    fn view(&self) -> AppView {
        self.mesh.agents[0].app("shop").expect("it was applied")
    }

    fn ready(&self) {
        self.mesh.ready(SETTLE * 2, "shop");
    }

    /// Both are at `s2`, and neither was ever at both.
    fn is_moved(&self, kind: DecisionKind, epoch: Epoch) {
        let view = self.mesh.settle(SETTLE, "shop", "s2");
        assert_eq!((view.decision.kind, view.epoch), (kind, epoch), "decided once");
        let fence = view.decision.fence.iter().map(|(name, it)| (name.as_str(), it.proven));
        let fence: Vec<_> = fence.collect();
        assert_eq!(fence, [("orders", true), ("second", true)], "both are proven fenced");
        for (name, half) in self.halves() {
            half.takes(1);
            assert!(!half.reaches(0), "{name}: the old one is behind its door");
            half.moved(name);
        }
    }

    /// Both are at `s1`, and take rows there.
    fn stays(&self) {
        for (name, half) in self.halves() {
            half.takes(0);
            half.stayed(name);
        }
    }
}

/// One of them dies: the other is fenced where it was well, and both are promoted.
fn one_dies(lab: &Lab, dialects: [Dialect; 2]) {
    let mut pair = Pair::start(lab, dialects);
    let before = pair.view().epoch;
    pair.orders.servers[0].kill();
    pair.is_moved(DecisionKind::Failover, Epoch(before.0 + 1));
    eventually(SETTLE, "what was well beside it follows the new one", || {
        pair.second.servers[0].follows("s2")
    });
}

/// The stack would be left, for its web is gone, and one of the two standbys is not fit: neither moves, and both go on.
fn one_is_unfit(lab: &Lab, dialects: [Dialect; 2]) {
    let mut pair = Pair::start(lab, dialects);
    let before = pair.view().epoch;
    let standby = &pair.second.servers[1];
    standby.diverge();
    let why = eventually(SETTLE, "it is said which is not fit", || {
        let unready = pair.view().unready;
        let said = unready.iter().find(|it| it.starts_with("s2") && it.contains("second"));
        said.cloned().ok_or(format!("{unready:?}"))
    });
    println!("said: {why}");
    pair.webs[0].kill();
    eventually(SETTLE, "the mesh says that it does not move", || {
        let said: String = pair.mesh.running().map(Agent::said).collect();
        let ours = |line: &&str| line.contains("leaves shop alone") && line.contains("second");
        said.lines().find(ours).map(str::to_owned).ok_or("nothing of the kind")
    });
    throughout(Duration::from_secs(5), "neither moves", || {
        (pair.view().epoch, pair.view().active, pair.halves().map(|(_, half)| half.reaches(1)))
    });
    let agent = &pair.mesh.agents[0];
    for command in ["failover", "switchover"] {
        let refused = agent.quorate(&[command, "shop", "--to", "s2", "--yes"]).expect_refused();
        println!("{command}: {}", refused.trim());
        assert!(refused.contains("second"), "{refused}");
    }
    assert_eq!(pair.view().epoch, before);
    pair.stays();
}

/// A planned move of both, of which one lags: what was fenced is opened again, of both, and neither is promoted. Once it does not
/// lag, both are moved.
fn one_lags(lab: &Lab, dialects: [Dialect; 2]) {
    let pair = Pair::start(lab, dialects);
    let before = pair.view().epoch;
    let port = engine(dialects[1]).1;
    lab.fabric.silence("s1", port, "s2");
    let agent = &pair.mesh.agents[2];
    let words = ["switchover", "shop", "--to", "s2", "--yes", "--timeout", "30"];
    let said = agent.quorate(&words).expect_refused();
    println!("while it lags: {}", said.trim());
    assert!(said.contains("second has not received position"), "{said}");
    pair.mesh.settle(SETTLE, "shop", "s1");
    pair.stays();
    assert_eq!(pair.view().epoch, Epoch(before.0 + 2), "decided once, and taken back once");

    lab.fabric.heal();
    pair.ready();
    eventually(SETTLE, "both are moved once agents see that it receives again", || {
        let said = agent.quorate(&words);
        if said.status.success() { Ok(()) } else { Err(said.errors) }
    });
    pair.is_moved(DecisionKind::Switchover, pair.view().epoch);
}

mod nginx_postgres_redis_bind {
    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::Postgres, Dialect::Redis];

    #[test]
    fn where_one_of_two_dies_both_are_fenced_and_both_move() {
        inside(|lab: &Lab| one_dies(lab, BOTH));
    }

    #[test]
    fn where_one_of_two_standbys_is_unfit_neither_moves_and_both_go_on() {
        inside(|lab: &Lab| one_is_unfit(lab, BOTH));
    }

    #[test]
    fn a_planned_move_of_two_of_which_one_lags_is_taken_back_for_both() {
        inside(|lab: &Lab| one_lags(lab, BOTH));
    }
}

mod nginx_postgres_mariadb_bind {
    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::Postgres, Dialect::MariaDb];

    #[test]
    fn where_one_of_two_dies_both_are_fenced_and_both_move() {
        inside(|lab: &Lab| one_dies(lab, BOTH));
    }

    #[test]
    fn where_one_of_two_standbys_is_unfit_neither_moves_and_both_go_on() {
        inside(|lab: &Lab| one_is_unfit(lab, BOTH));
    }
}

mod nginx_foreign_mysql_redis_bind {
    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::MySql, Dialect::Redis];

    #[test]
    fn where_one_of_two_dies_both_are_fenced_and_both_move() {
        inside(|lab: &Lab| one_dies(lab, BOTH));
    }

    #[test]
    fn a_planned_move_of_two_of_which_one_lags_is_taken_back_for_both() {
        inside(|lab: &Lab| one_lags(lab, BOTH));
    }
}
