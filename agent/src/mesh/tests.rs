use std::time::Instant;

use consensus::message::{Accepted, Value};
use consensus::model::{AcceptorId, Ballot, MeshId, RegisterId, Voter};
use consensus::moment::Moment;
use tokio::time::timeout;

use super::*;
use crate::config::MeshConfig;
use crate::identity::{Authority, Member};

/// Far beyond anything that should happen here.
const DEADLINE: Duration = Duration::from_secs(20);

fn name(text: &str) -> AgentId {
    text.parse().expect("a name")
}

fn voters(version: u64) -> Voters {
    let voter = Voter {
        acceptor: AcceptorId(1),
        agent: name("a1"),
        region: "eu".parse().expect("a name"),
        key: [1; 32],
    };
    Voters::stable(MeshId(1), version, vec![voter])
}

fn identity(authority: &Authority, agent: &str) -> Identity {
    let folder = tempfile::tempdir().expect("a folder");
    let region = "eu".parse().expect("a name");
    let issued =
        authority.issue(&Member { name: name(agent), region, voter: true }).expect("a certificate");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let files = MeshConfig {
        listen: loopback(),
        advertise: String::new(),
        seeds: Vec::new(),
        certificate: file("agent.crt", &issued.certificate_pem),
        key: file("agent.key", &issued.key_pem),
        authority: file("mesh.crt", authority.certificate_pem()),
        voters: folder.path().join("voters.toml"),
    };
    Identity::load(&files, crate::clock::wall_ms()).expect("an identity")
}

fn authority() -> Authority {
    Authority::create(MeshId(1)).expect("an authority")
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// One agent's mesh, and what its loop would see.
struct Agent {
    mesh: Mesh,
    inputs: mpsc::Receiver<Input>,
}

impl Agent {
    fn start(identity: &Identity, instance: u64, listen: SocketAddr, seeds: &[&Self]) -> Self {
        Self::with_voters(identity, instance, listen, seeds, &voters(1))
    }

    fn with_voters(
        identity: &Identity,
        instance: u64,
        listen: SocketAddr,
        seeds: &[&Self],
        voters: &Voters,
    ) -> Self {
        let seeds = seeds.iter().map(|agent| agent.mesh.address().to_owned()).collect();
        let (sender, inputs) = mpsc::channel(64);
        let advertise = format!("127.0.0.1:{}", listen.port());
        let setup = Setup { identity, voters, listen, advertise, seeds, instance, inputs: sender };
        Self { mesh: Mesh::start(setup).expect("a mesh"), inputs }
    }

    async fn next(&mut self) -> Input {
        timeout(DEADLINE, self.inputs.recv()).await.expect("in time").expect("a mesh")
    }

    /// Takes inputs up to the first that fits.
    async fn until(&mut self, fits: impl Fn(&Input) -> bool) -> Input {
        loop {
            let input = self.next().await;
            if fits(&input) {
                return input;
            }
        }
    }

    async fn linked_with(&mut self, agent: &str) -> String {
        let agent = name(agent);
        match self.until(|input| matches!(input, Input::Linked(who, _) if *who == agent)).await {
            Input::Linked(_, address) => address,
            _ => unreachable!("until fits"),
        }
    }

    async fn unlinked_from(&mut self, agent: &str) {
        let agent = name(agent);
        self.until(|input| matches!(input, Input::Unlinked(who) if *who == agent)).await;
    }

    async fn hears(&mut self) -> (AgentId, Message) {
        match self.until(|input| matches!(input, Input::Message(..))).await {
            Input::Message(from, message) => (from, message),
            _ => unreachable!("until fits"),
        }
    }

    /// Waits for a line about what keeps agents apart.
    async fn is_told(&self, expected: &str) -> String {
        let began = Instant::now();
        loop {
            let lines = self.mesh.troubles();
            if let Some(line) = lines.iter().find(|line| line.contains(expected)) {
                return line.clone();
            }
            assert!(began.elapsed() < DEADLINE, "expected {expected}, found {lines:?}");
            tokio::task::yield_now().await;
        }
    }
}

fn echo() -> Message {
    Message::Echo { sent: Moment::from_micros(7), instance: 1, seen: 0 }
}

/// One that does not travel as a datagram.
fn chosen() -> Message {
    let ballot = Ballot { round: 3, instance: 9 };
    let accepted = Accepted { ballot, value: Value::new(vec![1, 2, 3]) };
    Message::Chosen { register: RegisterId::App("shop".parse().expect("a name")), accepted }
}

#[tokio::test]
async fn three_agents_hear_each_other_through_one_seed_and_what_they_learn() {
    let authority = authority();
    let [one, two, three] = ["a1", "a2", "a3"].map(|agent| identity(&authority, agent));
    let mut a1 = Agent::start(&one, 1, loopback(), &[]);
    let mut a2 = Agent::start(&two, 2, loopback(), &[&a1]);
    let mut a3 = Agent::start(&three, 3, loopback(), &[&a1]);
    let a2_address = a1.linked_with("a2").await;
    assert_eq!(a2_address, a2.mesh.address());
    a2.linked_with("a1").await;
    a3.linked_with("a1").await;
    a3.mesh.learn(name("a2"), a2_address);
    a3.linked_with("a2").await;
    a2.linked_with("a3").await;

    for message in
        [echo(), chosen(), Message::Gossip(vec![7; 400]), Message::Gossip(vec![7; 90_000])]
    {
        a2.mesh.send(&name("a3"), &message);
        assert_eq!(a3.hears().await, (name("a2"), message.clone()));
        a3.mesh.send(&name("a2"), &message);
        assert_eq!(a2.hears().await, (name("a3"), message));
    }
    a1.mesh.send(&name("nobody"), &echo());
    assert_eq!(a1.mesh.counters().dropped.load(Ordering::Relaxed), 1);
    a1.mesh.close().await;
    a2.unlinked_from("a1").await;
    a3.unlinked_from("a1").await;
}

#[tokio::test]
async fn both_may_dial_at_once_and_one_link_remains() {
    let authority = authority();
    let [one, two] = ["a1", "a2"].map(|agent| identity(&authority, agent));
    let mut a1 = Agent::start(&one, 1, loopback(), &[]);
    let mut a2 = Agent::start(&two, 2, loopback(), &[&a1]);
    a1.mesh.learn(name("a2"), a2.mesh.address().to_owned());
    a1.linked_with("a2").await;
    a2.linked_with("a1").await;
    // Whatever was dialled twice settles; messages still go both ways and nobody was reported gone.
    for _ in 0..20 {
        a1.mesh.send(&name("a2"), &chosen());
        let heard = a2.next().await;
        assert!(matches!(heard, Input::Message(..)), "{heard:?}");
        a2.mesh.send(&name("a1"), &chosen());
        let heard = a1.next().await;
        assert!(matches!(heard, Input::Message(..)), "{heard:?}");
    }
    let began = Instant::now();
    while a1.mesh.shared.endpoint.open_connections() != 1 {
        assert!(began.elapsed() < DEADLINE, "more than one connection stays open");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_agent_that_is_given_its_own_address_stays_alone() {
    let authority = authority();
    let one = identity(&authority, "a1");
    let a1 = Agent::start(&one, 1, loopback(), &[]);
    let address = a1.mesh.address().to_owned();
    let found = dial::dial(&a1.mesh.shared, &address).await;
    assert_eq!((found, a1.mesh.troubles()), (Some(name("a1")), Vec::<String>::new()));
}

#[tokio::test]
async fn another_authority_is_refused_and_both_sides_are_told() {
    let [ours, theirs] = [authority(), authority()];
    let mut a1 = Agent::start(&identity(&ours, "a1"), 1, loopback(), &[]);
    let a2 = Agent::start(&identity(&theirs, "a2"), 2, loopback(), &[&a1]);
    let a3 = Agent::start(&identity(&ours, "a3"), 3, loopback(), &[&a1]);
    a2.is_told("its certificate is not signed by this mesh's authority").await;
    a1.is_told("refuses a peer at `127.0.0.1:").await;
    a1.linked_with("a3").await;
    drop((a2, a3));
}

#[tokio::test]
async fn a_client_of_another_authority_that_trusts_ours_is_refused_in_words() {
    let [ours, theirs] = [authority(), authority()];
    let a1 = Agent::start(&identity(&ours, "a1"), 1, loopback(), &[]);
    let mut false_friend = identity(&theirs, "a2");
    false_friend.roots = identity(&ours, "a2").roots;
    let a2 = Agent::start(&false_friend, 2, loopback(), &[&a1]);
    a2.is_told("it holds this agent's certificate for signed by another mesh's authority").await;
    a1.is_told("its certificate is not signed by this mesh's authority").await;
}

#[tokio::test]
async fn a_name_in_use_is_refused_while_its_holder_lives() {
    let authority = authority();
    let mut a1 = Agent::start(&identity(&authority, "a1"), 1, loopback(), &[]);
    let a2 = Agent::start(&identity(&authority, "a2"), 2, loopback(), &[&a1]);
    a1.linked_with("a2").await;
    let again = Agent::start(&identity(&authority, "a2"), 3, loopback(), &[&a1]);
    again.is_told("the name `a2` is already in use by a live agent at `127.0.0.1:").await;
    a1.is_told("the name `a2` is already in use by a live agent").await;
    // The holder is gone, and the name is free.
    a2.mesh.close().await;
    a1.unlinked_from("a2").await;
    a1.linked_with("a2").await;
    drop(again);
}

#[tokio::test]
async fn an_agent_that_meets_its_own_name_says_so() {
    let authority = authority();
    let a1 = Agent::start(&identity(&authority, "a1"), 1, loopback(), &[]);
    let twin = Agent::start(&identity(&authority, "a1"), 2, loopback(), &[&a1]);
    a1.is_told("refuses `a1` at").await;
    twin.is_told("is refused by `a1` at").await;
}

#[tokio::test]
async fn other_voters_are_refused() {
    let authority = authority();
    let a1 = Agent::start(&identity(&authority, "a1"), 1, loopback(), &[]);
    let two = identity(&authority, "a2");
    let a2 = Agent::with_voters(&two, 2, loopback(), &[&a1], &voters(2));
    let expected = "`a2` (version 2) and `a1` (version 1) follow different voters";
    a1.is_told(expected).await;
    a2.is_told(expected).await;
}

#[tokio::test]
async fn a_restarted_peer_is_linked_again_on_the_same_port() {
    let authority = authority();
    let [one, two] = ["a1", "a2"].map(|agent| identity(&authority, agent));
    let mut a1 = Agent::start(&one, 1, loopback(), &[]);
    let a2 = Agent::start(&two, 2, loopback(), &[]);
    a1.mesh.learn(name("a2"), a2.mesh.address().to_owned());
    a1.linked_with("a2").await;
    let port = a2.mesh.local_address().expect("bound");
    a2.mesh.close().await;
    drop(a2.inputs);
    a1.unlinked_from("a2").await;
    free(port).await;
    let mut a2 = Agent::start(&two, 4, port, &[]);
    a1.linked_with("a2").await;
    a2.linked_with("a1").await;
    a1.mesh.send(&name("a2"), &chosen());
    assert_eq!(a2.hears().await, (name("a1"), chosen()));
}

#[tokio::test]
async fn a_taken_port_is_said() {
    let authority = authority();
    let one = identity(&authority, "a1");
    let a1 = Agent::start(&one, 1, loopback(), &[]);
    let listen = a1.mesh.local_address().expect("bound");
    let (inputs, _receiver) = mpsc::channel(1);
    let voters = voters(1);
    let (advertise, seeds) = (String::new(), Vec::new());
    let setup =
        Setup { identity: &one, voters: &voters, listen, advertise, seeds, instance: 1, inputs };
    let error = Mesh::start(setup).err().expect("taken").to_string();
    assert_eq!(
        error,
        format!(
            "cannot listen on UDP `{listen}`: another agent or program does; stop it, or change \
             `mesh.listen`"
        )
    );
}

/// Waits until the tasks of a closed mesh have let its socket go; between processes that is instant.
async fn free(port: SocketAddr) {
    let began = Instant::now();
    while let Err(error) = UdpSocket::bind(port) {
        assert!(began.elapsed() < DEADLINE, "{error}");
        tokio::task::yield_now().await;
    }
}

/// A peer with a good certificate that says what it likes.
struct Stranger {
    endpoint: Endpoint,
    greeting: Vec<u8>,
}

impl Stranger {
    fn new(identity: &Identity, instance: u64) -> Self {
        let (_, client) = tls::configs(identity).expect("configurations");
        let mut endpoint = Endpoint::client(loopback()).expect("an endpoint");
        endpoint.set_default_client_config(client);
        let greeting = Greeting::new(&voters(1), instance, "127.0.0.1:1".into()).encode();
        Self { endpoint, greeting }
    }

    async fn greet(&self, agent: &Agent) -> quinn::Connection {
        let address = agent.mesh.local_address().expect("bound");
        let connecting = self.endpoint.connect(address, crate::identity::PEER).expect("dialled");
        let connection = connecting.await.expect("a connection");
        let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
        send.write_all(&self.greeting).await.expect("written");
        send.finish().expect("unfinished");
        // Whether it was welcome shows in what follows.
        let _ = receive.read_to_end(2000).await;
        connection
    }
}

async fn end_of(connection: &quinn::Connection) -> String {
    let end = timeout(DEADLINE, connection.closed()).await.expect("in time");
    greeting::explain(&end)
}

#[tokio::test]
async fn an_older_protocol_is_refused_with_a_line_that_says_so() {
    let authority = authority();
    let a1 = Agent::start(&identity(&authority, "a1"), 1, loopback(), &[]);
    let mut old = Stranger::new(&identity(&authority, "a2"), 2);
    old.greeting[0] = 0;
    let line = "`a2` speaks mesh protocol 0 and `a1` 1: update the older agent";
    assert_eq!(end_of(&old.greet(&a1).await).await, line);
    a1.is_told(line).await;
}

#[tokio::test]
async fn frames_that_are_none_end_that_connection_and_nothing_else() {
    let authority = authority();
    let mut a1 = Agent::start(&identity(&authority, "a1"), 1, loopback(), &[]);
    let a3 = Agent::start(&identity(&authority, "a3"), 3, loopback(), &[&a1]);
    a1.linked_with("a3").await;
    let stranger = Stranger::new(&identity(&authority, "a2"), 2);
    let good = frame(&chosen());
    let cut = good[..good.len() - 1].to_vec();
    let huge_claim = vec![1, 0, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let cases = [
        (vec![], "malformed frame: empty"),
        (vec![9, 9], "malformed frame: expected format 1, found 9"),
        (cut, "malformed frame: garbled"),
        (huge_claim, "malformed frame: garbled"),
        (vec![1; codec::LIMIT + 2], "malformed frame: expected at most"),
    ];
    for (bytes, expected) in cases {
        let connection = stranger.greet(&a1).await;
        a1.linked_with("a2").await;
        let mut stream = connection.open_uni().await.expect("a stream");
        // The other side may hang up before all of it is written.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.finish();
        let end = end_of(&connection).await;
        assert!(end.starts_with(expected), "{expected}: {end}");
        a1.unlinked_from("a2").await;
    }
    let connection = stranger.greet(&a1).await;
    a1.linked_with("a2").await;
    connection.send_datagram(Bytes::from_static(b"\x01\xff\xff")).expect("sent");
    assert!(end_of(&connection).await.starts_with("malformed frame: garbled"));
    assert_eq!(a1.mesh.counters().malformed.load(Ordering::Relaxed), 6);

    a3.mesh.send(&name("a1"), &chosen());
    assert_eq!(a1.hears().await, (name("a3"), chosen()));
}

#[tokio::test]
async fn an_oversized_greeting_or_none_is_no_link() {
    let authority = authority();
    let mut a1 = Agent::start(&identity(&authority, "a1"), 1, loopback(), &[]);
    let mut stranger = Stranger::new(&identity(&authority, "a2"), 2);
    stranger.greeting = vec![1; 100_000];
    let _connection = stranger.greet(&a1).await;
    a1.is_told("`a2` at").await;
    assert!(a1.inputs.try_recv().is_err());
}

#[tokio::test]
async fn a_peer_that_reads_nothing_costs_a_bounded_budget() {
    let authority = authority();
    let mut a1 = Agent::start(&identity(&authority, "a1"), 1, loopback(), &[]);
    let stranger = Stranger::new(&identity(&authority, "a2"), 2);
    let _connection = stranger.greet(&a1).await;
    a1.linked_with("a2").await;
    let large = Message::Gossip(vec![7; 200 * 1024]);
    for _ in 0..100 {
        a1.mesh.send(&name("a2"), &large);
    }
    // 2 MiB hold ten of them.
    assert_eq!(a1.mesh.counters().dropped.load(Ordering::Relaxed), 90);
}
