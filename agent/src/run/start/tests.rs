use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use consensus::message::{Accepted, Value};
use consensus::model::{AgentId, Ballot, RegisterId};
use consensus::outbox::{Answer, Command, Note};
use consensus::saved::Entry;
use consensus::view::View;
use tempfile::TempDir;

use super::*;
use crate::config::{MeshConfig, parse_app};
use crate::identity::{Authority, voters_to_toml};
use crate::store;

const DEADLINE: Duration = Duration::from_secs(30);
const MESH: MeshId = MeshId(1);

fn name(text: &str) -> AgentId {
    text.parse().expect("a name")
}

/// The files of a mesh: three voters in three regions, and `w1`, which watches.
struct Files {
    folder: TempDir,
    voters: Voters,
}

impl Files {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::create(MESH).expect("an authority");
        fs::write(folder.path().join("mesh.crt"), authority.certificate_pem()).expect("a file");
        let mut voters = Voters::stable(MESH, 1, Vec::new());
        for (at, agent) in ["a1", "a2", "a3", "w1"].into_iter().enumerate() {
            let home = folder.path().join(agent);
            fs::create_dir(&home).expect("a folder");
            let region = format!("r{at}").parse().expect("a name");
            let member = Member { name: name(agent), region, voter: agent != "w1" };
            let issued = authority.issue(&member).expect("a certificate");
            fs::write(home.join("agent.crt"), issued.certificate_pem).expect("a file");
            fs::write(home.join("agent.key"), issued.key_pem).expect("a file");
            if member.voter {
                let ballots = store::draw().expect("chance");
                let saved = store::newborn(MESH, &member.name, Some(&ballots));
                store::create(&home.join("data"), &saved, Some(&ballots)).expect("a store");
                let (acceptor, key) = (ballots.acceptor, store::evidence_key(&ballots.seed));
                let Member { name, region, .. } = member;
                voters.members.push(Voter { acceptor, agent: name, region, key });
            }
        }
        let files = Self { folder, voters };
        files.write_voters(&files.voters);
        files
    }

    fn write_voters(&self, voters: &Voters) {
        let path = self.folder.path().join("voters.toml");
        fs::write(path, voters_to_toml(voters)).expect("a file");
    }

    fn data(&self, agent: &str) -> PathBuf {
        self.folder.path().join(agent).join("data")
    }

    fn config(&self, agent: &str, seeds: &[String]) -> AgentConfig {
        let path = |name: &str| self.folder.path().join(agent).join(name);
        let shared = |name: &str| self.folder.path().join(name);
        AgentConfig {
            data_dir: self.data(agent),
            source: None,
            mesh: MeshConfig {
                listen: "127.0.0.1:0".parse().expect("an address"),
                advertise: "127.0.0.1:0".into(),
                seeds: seeds.to_vec(),
                certificate: path("agent.crt"),
                key: path("agent.key"),
                authority: shared("mesh.crt"),
                voters: shared("voters.toml"),
            },
            status: None,
            socket: path("socket"),
            states: None,
            resolvers: Vec::new(),
            dns: None,
            canaries: Vec::new(),
            doors: Vec::new(),
            weak_doors: Vec::new(),
            watchdog: None,
            credentials: BTreeMap::new(),
        }
    }

    async fn start(&self, agent: &str, seeds: &[String]) -> Running {
        start(&self.config(agent, seeds)).await.unwrap_or_else(|error| panic!("{}", error.line()))
    }

    async fn refused(&self, agent: &str) -> String {
        let line = match start(&self.config(agent, &[])).await {
            Ok(_) => panic!("{agent} started"),
            Err(error) => error.line(),
        };
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    }
}

/// Asks until the view fits; the loop itself paces this.
async fn sees(running: &Running, what: &str, fits: impl Fn(&View) -> bool) -> View {
    let began = Instant::now();
    loop {
        let view = running.handle.view().await.expect("the loop turns");
        if fits(&view) {
            return view;
        }
        assert!(began.elapsed() < DEADLINE, "expected {what}, found {view:#?}");
        tokio::task::yield_now().await;
    }
}

fn shop() -> Command {
    let text = include_str!("../../../../deploy/examples/shop.toml");
    let definition = Arc::new(parse_app(text, "shop.toml", None).expect("an app").definition);
    Command::Apply { definition, replaces: None, active: None }
}

async fn knows_shop(running: &Running) {
    let mut agreed = running.handle.agreed();
    let known = agreed.wait_for(|agreed| !agreed.apps.is_empty());
    tokio::time::timeout(DEADLINE, known).await.expect("in time").expect("the loop turns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_agents_agree_and_know_it_after_a_restart() {
    let files = Files::make();
    let a1 = files.start("a1", &[]).await;
    let seeds = [a1.address.to_string()];
    let a2 = files.start("a2", &seeds).await;
    let a3 = files.start("a3", &seeds).await;
    let mut events = a1.handle.events();
    for agent in [&a1, &a2, &a3] {
        sees(agent, "all three heard", |view| view.quorum.heard == 3).await;
    }
    let answer = a1.handle.command(shop()).await.expect("the loop turns");
    assert!(matches!(answer, Answer::Agreed { .. }), "{answer:?}");
    for agent in [&a1, &a2, &a3] {
        knows_shop(agent).await;
    }
    let learnt = async {
        loop {
            if let Note::Learns { .. } = events.recv().await.expect("an event").note {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, learnt).await.expect("told of it");

    for agent in [a1, a2, a3] {
        agent.stop().await;
    }
    // Alone, and at once: this is what DNS answers from after a power cut.
    let a2 = files.start("a2", &[]).await;
    let agreed = a2.handle.agreed().borrow().clone();
    assert_eq!(agreed.apps.len(), 1);
    assert!(clock::now().since(agreed.confirmed) < DEADLINE);
    a2.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_with_a_damaged_log_stands_by_with_a_fresh_one() {
    let files = Files::make();
    let log = files.data("a2").join("log");
    let mut bytes = fs::read(&log).expect("the log");
    bytes[5] ^= 1;
    fs::write(&log, bytes).expect("a damaged log");
    let a1 = files.start("a1", &[]).await;
    let seeds = [a1.address.to_string()];
    let a2 = files.start("a2", &seeds).await;
    let a3 = files.start("a3", &seeds).await;
    assert!(matches!(a2.quarantine, Some(Quarantine::Damaged(_))));
    let standing_by = Some(consensus::model::Abstention::StandingBy);
    sees(&a2, "it stands by", |view| view.abstention == standing_by).await;
    sees(&a3, "all three heard", |view| view.members.iter().filter(|it| it.heard).count() == 3)
        .await;
    // The two others decide without it, once they have waited long enough for what it might have seen of them; and it learns
    // what they did.
    let began = Instant::now();
    loop {
        match a3.handle.command(shop()).await.expect("the loop turns") {
            Answer::Agreed { .. } | Answer::Unchanged => break,
            answer => assert!(began.elapsed() < DEADLINE, "{answer:?}"),
        }
    }
    knows_shop(&a2).await;
    a2.stop().await;
    let a2 = files.start("a2", &[]).await;
    assert!(matches!(a2.quarantine, Some(Quarantine::Earlier(_))));
    assert_eq!(a2.handle.agreed().borrow().apps.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_alone_agrees_on_nothing_and_the_loop_goes_on() {
    let files = Files::make();
    let a1 = files.start("a1", &[]).await;
    let answer = a1.handle.command(shop()).await.expect("the loop turns");
    assert!(matches!(answer, Answer::Refused(_) | Answer::Unknown(_)), "{answer:?}");
    let view = sees(&a1, "no quorum", |view| view.quorum.heard == 1).await;
    assert_eq!((view.agent.as_str(), view.voter, view.quorum.needed), ("a1", true, 2));
}

#[tokio::test]
async fn what_is_wrong_at_the_start_is_one_line_each() {
    let files = Files::make();
    let watching = files.start("w1", &[]).await;
    assert!(watching.quarantine.is_none());
    assert!(files.refused("w1").await.contains("is locked by another agent"));

    fs::rename(files.data("a3"), files.data("a1").with_file_name("spare")).expect("moved");
    fs::rename(files.data("a2"), files.data("a3")).expect("moved");
    assert!(files.refused("a3").await.contains("belongs to agent `a2` of mesh"));

    files.write_voters(&Voters { mesh: MeshId(2), ..files.voters.clone() });
    assert!(files.refused("a1").await.contains("give the files of the same `quorate init`"));

    let mut voters = files.voters.clone();
    voters.members[1].region = "elsewhere".parse().expect("a name");
    files.write_voters(&voters);
    assert!(files.refused("a2").await.contains("says that it is in `elsewhere`"));

    fs::remove_file(files.folder.path().join("voters.toml")).expect("removed");
    let line = files.refused("a1").await;
    assert!(line.ends_with("voters.toml`: No such file or directory (os error 2)"), "{line}");
    watching.stop().await;
}

#[tokio::test]
async fn a_taken_port_and_a_data_dir_that_is_a_file_are_told() {
    let files = Files::make();
    let a1 = files.start("a1", &[]).await;
    let mut config = files.config("a2", &[]);
    config.mesh.listen = a1.address;
    let line = start(&config).await.err().expect("taken").line();
    assert!(line.contains("another agent or program does; stop it"), "{line}");
    config.data_dir = config.mesh.certificate.clone();
    let line = start(&config).await.err().expect("a file").line();
    assert!(line.starts_with("cannot make `") && line.contains("agent.crt`: "), "{line}");
}

/// Ends this very process when it is run as a child of the test below.
#[tokio::test]
async fn a_store_that_fails_ends_the_process() {
    const CHILD: &str = "QUORATE_TEST_FAILING_STORE";
    if let Ok(data) = std::env::var(CHILD) {
        let subscriber = tracing_subscriber::fmt().with_writer(io::stderr).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let agent = name("w1");
        let owner = Owner { mesh: MESH, agent: &agent, voter: false, bootstrap: None };
        let (mut store, _) = Store::open(Path::new(&data), owner).expect("a store");
        store.fill_the_disk();
        let ballot = Ballot { round: 1, instance: 1 };
        let accepted = Accepted { ballot, value: Value::new(vec![1]) };
        let entry =
            Entry::Chosen { register: RegisterId::App("shop".parse().expect("a name")), accepted };
        super::super::turn::save_or_end(&name("w1"), store, vec![entry]).await;
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = std::process::Command::new(std::env::current_exe().expect("a test"))
        .args(["run::start::tests::a_store_that_fails_ends_the_process", "--exact", "--nocapture"])
        .env(CHILD, folder.path())
        .output()
        .expect("a child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(said.contains("cannot write `") && said.contains("No space left on device"), "{said}");
}
