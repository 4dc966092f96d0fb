//! The weak door of a database, on real servers: shut by the engine's own means while its agent hears no majority.
//!
//! Modules name the servers their tests need, so that `./tests/run --without SERVER` can leave them out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agent::guard::DoorMeans;
use tests::harness::agents::{Agent, Mesh, enrol};
use tests::harness::app::INSIDE;
use tests::harness::fabric::{REGIONS, address};
use tests::harness::guards::LEASE;
use tests::harness::lab::{Lab, inside};
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::SETTLE;
use tests::harness::writer::{Dialect, Writers};

/// An agent that hears a majority again opens what it may within this: it waits for 20 s.
const OPENS: Duration = Duration::from_secs(35);
/// What shutting takes beyond the lease: the sessions' ends, on a machine that is busy compiling.
const CLOSING: Duration = Duration::from_secs(3);

/// An app that is nothing but a database, in two stacks.
fn app(engine: &str, port: u16, fencing: &str) -> String {
    let mut text = format!(
        "[app]\nname = \"shop\"\ncooldown = \"0s\"\n[quorum]\nregions = 2\n\
         [probe]\ninterval = \"1s\"\nwindow = \"2s\"\n\
         [data]\nmax_loss = \"64MiB\"\nfencing = \"{fencing}\"\nlease = \"10s\"\n\
         [[zone]]\nname = \"edge.test\"\nns = [\"ns1.edge.test\"]\ncontact = \"hostmaster@edge.test\"\n"
    );
    for stack in ["s1", "s2"] {
        let host = address(stack);
        text += &format!(
            "[[stack]]\nname = \"{stack}\"\n[[stack.database]]\nname = \"orders\"\n\
             engine = \"{engine}\"\naddress = \"{host}:{port}\"\ncredential = \"orders\"\n"
        );
    }
    let values = ["s1", "s2"].map(|stack| format!("{stack} = [\"{}\"]", address(stack))).join(", ");
    text + &format!(
        "[[record]]\nname = \"{INSIDE}\"\ntype = \"A\"\nttl = 5\nvalues = {{ {values} }}\n"
    )
}

/// A mesh, two weak doors, and clients at both databases that write wherever they are let.
struct Story<'a> {
    lab: &'a Lab,
    mesh: Mesh<'a>,
    doors: [Agent<'a>; 2],
    writers: Writers,
    servers: [SocketAddr; 2],
}

impl<'a> Story<'a> {
    /// Served from `s1`, whose door's agent is on this host: a container has none of its own for it.
    fn begin(lab: &'a Lab, host: &str, text: &str, writes: (Dialect, [SocketAddr; 2])) -> Self {
        let mut mesh = Mesh::small(lab);
        mesh.start();
        let doors = [("g1", host, "s1"), ("g2", "dns", "s2")].map(|(name, host, stack)| {
            let home = enrol(&mesh.folder, name, host, false);
            let mut agent = Agent::new(lab, name, host, &home);
            let door = format!(
                "\n[[guard.door]]\nby = \"engine\"\napp = \"shop\"\nstack = \"{stack}\"\ndatabase = \"orders\"\n"
            );
            agent.set_up(|setup| {
                setup.seeds = mesh.hosts();
                setup.more = door;
            });
            agent.start();
            agent
        });
        mesh.apply(lab, text);
        mesh.settle(SETTLE, "shop", "s1");
        let (dialect, servers) = writes;
        let story = Self { lab, mesh, doors, writers: Writers::start(dialect, &servers), servers };
        story.takes_more(0);
        eventually(SETTLE, "the door is open, and shown as what it is", || {
            match &story.doors[0].doors()[..] {
                [door] if door.by == DoorMeans::Engine && 0 < door.left_ms => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        story
    }

    fn rows(&self, server: usize) -> usize {
        let rows = self.writers.acknowledged();
        rows.iter().filter(|entry| entry.server == self.servers[server]).count()
    }

    fn takes_more(&self, server: usize) {
        let before = self.rows(server);
        eventually(SETTLE, &format!("{} takes rows", self.servers[server]), || {
            match self.rows(server) - before {
                0..20 => Err("not yet"),
                _ => Ok(()),
            }
        });
    }

    /// Waits until the first door is shut, and says how long after `since` the last row was acknowledged there.
    fn falls_silent(&self, since: Instant) -> Duration {
        eventually(LEASE * 2, "it takes no more rows", || {
            let shut = self.doors[0].doors()[0].left_ms == 0;
            let last = self.last().elapsed();
            match shut && Duration::from_secs(2) < last {
                true => Ok(()),
                false => Err(format!("shut: {shut}, last row {last:?} ago")),
            }
        });
        self.last().saturating_duration_since(since)
    }

    fn last(&self) -> Instant {
        let rows = self.writers.acknowledged();
        let of = rows.iter().filter(|entry| entry.server == self.servers[0]).map(|entry| entry.at);
        of.max().expect("it took rows")
    }

    /// The first door's agent hears nobody; whoever it is, everybody else reaches the database.
    fn cut_off(&self) -> Instant {
        let cut = Instant::now();
        for other in REGIONS.iter().chain(&["s2", "dns"]) {
            self.lab.fabric.cut("client", other);
        }
        cut
    }

    fn stays_shut(&self, span: Duration, why: &str) {
        throughout(span, why, || self.rows(0));
    }

    /// The first door's agent hears everybody again, learns that another stack is the writer, and opens nothing.
    fn stays_shut_once_healed(&self) {
        self.lab.fabric.heal();
        self.stays_shut(OPENS, "nobody writes to the old primary");
        assert_eq!(self.doors[0].app("shop").expect("it is known").active.as_str(), "s2");
    }

    /// What `quorate doctor` finds beside the first door's agent.
    fn doctor(&self) -> String {
        let file = self.doors[0].file();
        let said = ["doctor", "--config", file.to_str().expect("our own path")];
        words(&self.doors[0].quorate(&said).output)
    }

    fn epoch(&self) -> consensus::model::Epoch {
        self.mesh.agents[0].app("shop").expect("it is known").epoch
    }
}

/// What a command printed, in one line: long ones are folded.
fn words(printed: &str) -> String {
    printed.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The agent of a door is cut off, and nothing else: clients and voters reach the database. It is shut within a lease, moves
/// nothing, and is opened once the agent hears the voters again. Where a proof is required there is none.
fn shut_while_nobody_is_heard_and_opened_again(story: &Story<'_>) {
    let unready = story.mesh.agents[0].app("shop").expect("it is known").unready;
    let refused = "no guard proves that the old primary is fenced, and `fencing` is `required`";
    assert!(unready.iter().any(|why| why.contains(refused)), "{unready:?}");
    let doctor = story.doctor();
    assert!(doctor.contains("takes the log-in of `quorate`, with which it is shut"), "{doctor}");
    let both = doctor.matches("`quorate` may do all that shop asks of `").count();
    assert_eq!(both, 2, "{doctor}");
    let before = story.epoch();
    let last = story.falls_silent(story.cut_off());
    assert!(Duration::from_secs(4) < last && last < LEASE + CLOSING, "{last:?}");
    story.stays_shut(Duration::from_secs(5), "no row while nobody is heard");
    story.lab.fabric.heal();
    let healed = Instant::now();
    story.takes_more(0);
    println!(
        "last row {} ms after the cut, opened {} ms after it",
        last.as_millis(),
        healed.elapsed().as_millis()
    );
    assert_eq!((story.rows(1), story.epoch()), (0, before), "nothing is moved");
    eventually(SETTLE, "its history tells of both", || {
        let said = words(&story.doors[0].quorate(&["history"]).output);
        let shut = "the weak door of orders is shut: no majority of the voters was heard for up to";
        match said.contains(shut) && said.contains("the weak door of orders is opened: ") {
            true => Ok(()),
            false => Err(said),
        }
    });
}

mod postgres {
    use consensus::model::Phase;
    use tests::harness::postgres::{Postgres, Replication};

    use super::*;

    fn pair(lab: &Lab) -> [Postgres<'_>; 2] {
        let primary = Postgres::primary(lab, "s1");
        let standby = Postgres::standby(&primary, "s2", Replication::Asynchronous);
        [primary, standby]
    }

    fn story<'a>(lab: &'a Lab, host: &str, fencing: &str, pair: &[Postgres<'a>; 2]) -> Story<'a> {
        let servers = pair.each_ref().map(Postgres::address);
        Story::begin(lab, host, &app("postgres", 5432, fencing), (Dialect::Postgres, servers))
    }

    #[test]
    fn it_is_shut_while_nobody_is_heard_and_a_persons_own_setting_stays() {
        inside(|lab: &Lab| {
            let pair = pair(lab);
            let mut story = story(lab, "client", "required", &pair);
            shut_while_nobody_is_heard_and_opened_again(&story);
            assert_eq!(pair[1].query("select pg_is_in_recovery()"), "t", "a standby stays one");

            // An agent that is started anew while its door is shut knows that it was the one.
            story.falls_silent(story.cut_off());
            story.doors[0].kill();
            story.lab.fabric.heal();
            story.doors[0].start();
            story.takes_more(0);

            pair[0].query("alter system set default_transaction_read_only = on");
            pair[0].query("select pg_reload_conf()");
            eventually(SETTLE, "a person closed it", || match pair[0].writable() {
                Ok(false) => Ok(()),
                other => Err(format!("{other:?}")),
            });
            story.cut_off();
            throughout(LEASE + CLOSING, "it stays as it is", || pair[0].writable());
            story.lab.fabric.heal();
            throughout(OPENS, "and is not opened", || pair[0].writable());
            assert_eq!(pair[0].writable(), Ok(false));
        });
    }

    /// The host of the old primary and of its door's agent is cut off, and clients reach it all the same. Another takes over,
    /// unproven; the old one is shut within its lease, and stays shut once all are heard again.
    #[test]
    fn a_move_by_best_effort_is_unproven_and_is_not_undone() {
        inside(|lab: &Lab| {
            let pair = pair(lab);
            let story = story(lab, "s1", "best-effort", &pair);
            eventually(SETTLE, "a failover would succeed", || {
                match story.mesh.agents[0].app("shop")?.unready {
                    unready if unready.is_empty() => Ok(()),
                    unready => Err(unready.join("; ")),
                }
            });
            let cut = Instant::now();
            for other in REGIONS.iter().chain(&["s2", "dns", "client"]) {
                lab.fabric.cut("s1", other);
            }
            let view = story.mesh.settle(SETTLE, "shop", "s2");
            let records = &view.decision.fence;
            assert!(!records.is_empty() && records.values().all(|it| !it.proven), "{records:?}");
            let last = story.falls_silent(cut);
            assert!(last < LEASE + CLOSING, "{last:?}");
            println!("last row of the old primary {} ms after the cut", last.as_millis());
            story.takes_more(1);
            story.stays_shut_once_healed();
            assert_eq!(pair[0].writable(), Ok(false));
        });
    }

    /// It shut its door, and heard nobody while a person moved the app: the fence that was agreed is not its to take back.
    #[test]
    fn what_was_agreed_while_it_heard_nobody_is_not_undone() {
        inside(|lab: &Lab| {
            let pair = pair(lab);
            let story = story(lab, "client", "best-effort", &pair);
            story.falls_silent(story.cut_off());
            let words = ["switchover", "shop", "--to", "s2", "--yes"];
            eventually(SETTLE, "it is moved", || {
                let said = story.mesh.agents[1].quorate(&words);
                if said.status.success() { Ok(()) } else { Err(said.errors) }
            });
            let view = story.mesh.settle(SETTLE, "shop", "s2");
            assert_eq!(view.phase, Phase::Idle);
            story.takes_more(1);
            story.stays_shut_once_healed();
            assert_eq!(pair[0].writable(), Ok(false));

            // The other's door is open, and its agent keeps it so.
            eventually(SETTLE, "the other's door is shown open", || {
                match story.doors[1].doors()[0].left_ms {
                    1..=10_000 => Ok(()),
                    left => Err(left),
                }
            });
            story.takes_more(1);
        });
    }
}

mod mariadb {
    use tests::harness::mariadb::MariaDb;
    use tests::harness::sql::SqlServer as _;

    use super::*;

    #[test]
    fn it_is_shut_while_nobody_is_heard_and_opened_again() {
        inside(|lab: &Lab| {
            let pair = MariaDb::start(lab, ["s1", "s2"]);
            let servers = pair.each_ref().map(MariaDb::address);
            let text = app("mysql", 3306, "required");
            let story = Story::begin(lab, "client", &text, (Dialect::MariaDb, servers));
            shut_while_nobody_is_heard_and_opened_again(&story);
            assert_eq!(pair[1].sql("select @@read_only"), "1", "a replica stays one");

            pair[0].sql("alter user quorate@'%' identified by 'another'");
            let doctor = story.doctor();
            let wrong = "it does not take the log-in it would be shut with: ";
            assert!(doctor.contains(wrong), "{doctor}");
        });
    }
}

mod foreign_mysql {
    use tests::harness::mysql::{MySql, Version};
    use tests::harness::sql::SqlServer as _;

    use super::*;

    #[test]
    fn it_is_shut_while_nobody_is_heard_and_opened_again() {
        inside(|lab: &Lab| {
            let pair = MySql::start(lab, Version::V8_4, ["s1", "s2"]);
            let servers = pair.each_ref().map(MySql::address);
            let text = app("mysql", 3306, "required");
            let story = Story::begin(lab, "client", &text, (Dialect::MySql, servers));
            shut_while_nobody_is_heard_and_opened_again(&story);
            assert_eq!(pair[1].sql("select @@super_read_only"), "1", "a replica stays one");
        });
    }
}

mod redis {
    use tests::harness::redis::Redis;

    use super::*;

    #[test]
    fn it_is_shut_while_nobody_is_heard_and_opened_again() {
        inside(|lab: &Lab| {
            let pair = [Redis::start(lab, "s1", None), Redis::start(lab, "s2", Some("s1"))];
            let servers = pair.each_ref().map(Redis::address);
            let text = app("redis", 6379, "required");
            let story = Story::begin(lab, "client", &text, (Dialect::Redis, servers));
            shut_while_nobody_is_heard_and_opened_again(&story);
        });
    }
}
