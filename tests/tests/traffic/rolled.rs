//! The key of a signed zone is rolled as README.md says, with a parent zone that is signed, too, while one resolver that
//! validates and keeps answers is asked all the time.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use agent::zone_key::ZoneKey;
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tests::harness::process::Process;
use tests::harness::wait::pace;

use super::outside::edit_at;
use super::*;

/// How long the resolver keeps anything, whatever it is told; agents let the keys themselves be kept for five minutes.
const KEPT: Duration = Duration::from_secs(3);
/// Instead of the day between two steps: whatever was kept has run out.
const DAY: Duration = Duration::from_secs(6);
/// How often a name is asked for that was never asked for before.
const EVERY: Duration = Duration::from_millis(100);
/// Longer than the resolver tries.
const PATIENCE: Duration = Duration::from_secs(10);

struct Key {
    file: PathBuf,
    /// The record that its parent has of it.
    delegation: String,
}

fn key(lab: &Lab, name: &str) -> Key {
    let file = zone_key(lab, name);
    let pem = fs::read_to_string(&file).expect("it was just made");
    let apex = Name::from_str("edge.test.").expect("a name");
    let text = ZoneKey::from_pem(&pem).expect("as openssl writes it").delegation_text(&apex);
    let (apex, data) = text.split_once(" DS ").expect("a record");
    Key { file, delegation: format!("{apex} 2 DS {data}") }
}

/// BIND on the host `dns`, with the signed zone `test`, which has handed `edge.test` to the agents under this key. Gives the
/// key of `test`, too.
fn parent(lab: &Lab, first: &Key, agents: &[String]) -> (Process, String) {
    let folder = lab.folder("parent");
    let at = folder.display();
    let text = format!(
        "key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         options {{ directory \"{at}\"; listen-on port 53 {{ any; }}; listen-on-v6 {{ none; }};\n\
         pid-file \"{at}/pid\"; session-keyfile \"{at}/session.key\"; recursion no;\n\
         dnssec-validation no; notify no; }};\ncontrols {{ }};\n\
         zone \"test\" {{ type primary; file \"zone\"; dnssec-policy default;\n\
         update-policy {{ grant {KEY} zonesub ANY; }}; }};\n"
    );
    let mut zone = format!(
        "$ORIGIN test.\n$TTL 2\n@ IN SOA ns1 hostmaster 1 60 60 600 2\n@ IN NS ns1\nns1 IN A {}\n\
         edge IN NS ns1.edge\n{}\n",
        address("dns"),
        first.delegation
    );
    for host in agents {
        zone += &format!("ns1.edge IN A {}\n", address(host));
    }
    fs::write(folder.join("zone"), zone).expect("scratch folder takes files");
    let file = folder.join("named.conf");
    fs::write(&file, text).expect("scratch folder takes files");
    let mut command = lab.fabric.command("dns", "named");
    command.arg("-g").arg("-n").arg("1").arg("-c").arg(&file);
    let process = Process::start(lab, "parent", &mut command);
    let anchor = eventually(SETTLE, "the parent zone is signed", || {
        let mut dig = lab.fabric.command("dns", "dig");
        let server = format!("@{}", address("dns"));
        let words = [&server, "+noall", "+answer", "+dnssec", "test", "DNSKEY"];
        let told = String::from_utf8(dig.args(words).output().expect("dig runs").stdout);
        let told = told.expect("text");
        let key = told.lines().find(|line| line.contains("\tDNSKEY\t257 "));
        key.filter(|_| told.contains("\tRRSIG\t")).map(str::to_owned).ok_or(told)
    });
    (process, anchor)
}

/// unbound on the host `client`, which trusts the key of `test` and nothing else.
fn resolver(lab: &Lab, anchor: &str) -> Process {
    let folder = lab.folder("validating");
    let own = address("client");
    let seconds = KEPT.as_secs();
    let text = format!(
        "server:\n  interface: {own}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  \
         directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  do-ip6: no\n  \
         access-control: 10.77.0.0/16 allow\n  val-log-level: 2\n  module-config: \"validator iterator\"\n  \
         trust-anchor: \"{anchor}\"\n  local-zone: \"test.\" nodefault\n  cache-max-ttl: {seconds}\n  \
         cache-max-negative-ttl: {seconds}\nremote-control:\n  control-enable: no\n\
         stub-zone:\n  name: \"test\"\n  stub-addr: {}\n",
        folder.display(),
        address("dns"),
    );
    let file = folder.join("unbound.conf");
    fs::write(&file, text).expect("scratch folder takes files");
    let mut command = lab.fabric.command("client", "unbound");
    let process = Process::start(lab, "unbound", command.arg("-d").arg("-c").arg(file));
    eventually(SETTLE, "unbound believes the agents", || match validated(INSIDE, RecordType::A) {
        Ok(_) => Ok(()),
        Err(why) => Err(why),
    });
    process
}

/// What the resolver tells of a name: that it believes it, or why it does not.
fn validated(name: &str, kind: RecordType) -> Result<Vec<String>, String> {
    let mut message = Message::query();
    let asked = Name::from_str(&format!("{name}.")).expect("a name");
    message.add_query(Query::query(asked, kind));
    message.metadata.recursion_desired = true;
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    message.set_edns(edns);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    socket.connect((address("client"), 53)).expect("a way");
    let mut packet = [0; 4096];
    let sent = socket.send(&message.to_vec().expect("a question is short"));
    let length = sent.and_then(|_| socket.recv(&mut packet)).map_err(|error| error.to_string())?;
    let told = Message::from_vec(&packet[..length]).map_err(|error| error.to_string())?;
    let metadata = &told.metadata;
    match (metadata.response_code, metadata.authentic_data) {
        (ResponseCode::NoError, true) => {
            let of_kind = told.answers.iter().filter(|record| record.record_type() == kind);
            Ok(of_kind.map(|record| record.data.to_string()).collect())
        }
        (code, believed) => Err(format!("{name} {kind}: {code}, believed: {believed}")),
    }
}

/// A thread that asks the resolver again and again, for what it has and for what it never had.
struct Asking {
    seen: Arc<Mutex<Seen>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    believed: usize,
    /// Why not, and how often.
    doubts: BTreeMap<String, usize>,
}

impl Asking {
    fn start() -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let ending = Arc::new(AtomicBool::new(false));
        let (list, end) = (seen.clone(), ending.clone());
        let thread = thread::spawn(move || {
            for number in 0_u32.. {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                for (name, kind) in [
                    (INSIDE.to_owned(), RecordType::A),
                    ("edge.test".to_owned(), RecordType::SOA),
                    ("edge.test".to_owned(), RecordType::DNSKEY),
                    (format!("n{number}.edge.test"), RecordType::A),
                ] {
                    let told = validated(&name, kind);
                    let mut seen = list.lock().expect("nobody panics while holding it");
                    match told {
                        Ok(_) => seen.believed += 1,
                        Err(why) => *seen.doubts.entry(why).or_default() += 1,
                    }
                }
                pace(EVERY);
            }
        });
        Self { seen, ending, thread: Some(thread) }
    }

    fn seen(&self) -> Seen {
        self.seen.lock().expect("nobody panics while holding it").clone()
    }

    /// Until whatever was kept has run out: nothing is doubted.
    fn passes(&self, what: &str) {
        let before = self.seen().believed;
        throughout(DAY, what, || self.seen().doubts);
        let Seen { believed, doubts } = self.seen();
        assert!(doubts.is_empty() && before < believed, "{what}: {doubts:?}");
        println!("{what}: {believed} answers so far, all believed");
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The agents' files name these keys, one agent after the other.
fn sign_with(mesh: &mut Mesh<'_>, keys: &[&Key]) {
    let files: Vec<&Path> = keys.iter().map(|key| key.file.as_path()).collect();
    let more = format!("\n[[dns.signing]]\nzone = \"edge.test\"\nkeys = {files:?}\n");
    for agent in &mut mesh.agents {
        if agent.is_started() {
            agent.kill();
        }
        agent.set_up(|setup| setup.more.clone_from(&more));
        agent.start();
        eventually(SETTLE, "it answers again", || match ask(agent.dns(), INSIDE) {
            Answer::Addresses(_) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}

fn delegate(lab: &Lab, change: &str, key: &Key) {
    let (name, rest) = key.delegation.split_once(" 2 ").expect("a record");
    let words = match change {
        "add" => key.delegation.clone(),
        _ => format!("{name} {rest}"),
    };
    edit_at(lab, address("dns"), "test", &format!("update {change} {words}"));
}

#[test]
fn whoever_kept_answers_believes_every_one_while_a_key_is_rolled() {
    inside(|lab: &Lab| {
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let [old, new, sudden] = ["old", "new", "sudden"].map(|name| key(lab, name));
        let mut mesh = Mesh::small(lab);
        let more = format!("\n[[dns.signing]]\nzone = \"edge.test\"\nkeys = [{:?}]\n", old.file);
        for agent in &mut mesh.agents {
            agent.set_up(|setup| setup.more.clone_from(&more));
        }
        mesh.start();
        let hosts: Vec<_> =
            mesh.hosts().iter().map(|host| format!("\"{}\"", address(host))).collect();
        let hosts = hosts.join(", ");
        let servers = format!(
            "\n[[record]]\nname = \"ns1.edge.test\"\ntype = \"A\"\nttl = 5\n\
             values = {{ s1 = [{hosts}], s2 = [{hosts}] }}\n"
        );
        let text = Shop { databases: false, outside: false, ..Shop::default() }.text();
        mesh.apply(lab, &(text + &servers));
        mesh.settle(SETTLE, "shop", "s1");
        let (_parent, anchor) = parent(lab, &old, &mesh.hosts());
        let unbound = resolver(lab, &anchor);
        let asking = Asking::start();
        asking.passes("the old key alone");

        sign_with(&mut mesh, &[&old, &new]);
        asking.passes("the new one is listed second");
        delegate(lab, "add", &new);
        asking.passes("the parent knows both");
        sign_with(&mut mesh, &[&new, &old]);
        asking.passes("the new one signs");
        // A decision meanwhile is signed as it is told.
        let words = ["switchover", "shop", "--to", "s2", "--now", "--yes"];
        eventually(SETTLE, "it is moved", || match mesh.agents[0].quorate(&words) {
            said if said.status.success() => Ok(()),
            said => Err(said.errors),
        });
        eventually(SETTLE, "unbound tells of s2", || match validated(INSIDE, RecordType::A)? {
            told if told == [address("s2").to_string()] => Ok(()),
            told => Err(format!("{told:?}")),
        });
        delegate(lab, "delete", &old);
        asking.passes("the parent knows the new one alone");
        sign_with(&mut mesh, &[&new]);
        asking.passes("the old one is gone");
        assert!(!unbound.said().contains("validation failure"), "{}", unbound.said());

        // It would have been seen: a key that comes at once is one that nobody believes.
        sign_with(&mut mesh, &[&sudden]);
        eventually(SETTLE, "it is doubted", || match asking.seen().doubts {
            doubts if doubts.is_empty() => Err("believed"),
            _ => Ok(()),
        });
        println!("{:?}", asking.seen());
        eventually(SETTLE, "and for the reason there is", || {
            match unbound.said().contains("validation failure") {
                true => Ok(()),
                false => Err("nothing said"),
            }
        });
    });
}
