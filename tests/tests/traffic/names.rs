//! Many names at one provider that is asked at its own pace: Route 53's interface as it is documented, and name servers that
//! answer what it holds.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::{A, NS};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tests::harness::fabric::router;

use super::*;
use crate::common::named;
use crate::emulators::route53::{Pace, SECRET, route53_at};
use crate::emulators::{Book, Server};

/// How many names, unless `NAMES` says otherwise: with sixty it takes nine minutes.
const NAMES: usize = 16;
const TTL: u32 = 20;
const KEPT: u32 = 5;

fn names() -> usize {
    std::env::var("NAMES").ok().and_then(|number| number.parse().ok()).unwrap_or(NAMES)
}

fn name(number: usize) -> String {
    format!("n{number}.{}", named::ZONE)
}

/// `shop` under many names more.
fn text(url: &str) -> String {
    let mut text = Shop { databases: false, outside: false, ..Shop::default() }.text();
    for number in 0..names() {
        text += &format!(
            "\n[[record]]\nname = \"{}\"\ntype = \"A\"\nttl = {TTL}\ndriver = \"route53\"\nurl = \"{url}\"\n\
             zone = \"{}\"\nzone_id = \"Z2FDTNDATAQYW2\"\ncredential = \"amazon\"\n",
            name(number),
            named::ZONE,
        );
    }
    text
}

/// The name servers of the providers' zone, the first of them the resolver of every host, too.
pub(super) struct Answers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What one of them answers from.
type Copies = Vec<Arc<Server>>;

/// Where the name servers are, of the providers' zone and of zones that have one each.
#[derive(Clone)]
struct Places {
    own: Vec<Ipv4Addr>,
    others: Vec<(&'static str, Ipv4Addr)>,
}

impl Answers {
    pub(super) fn start(lab: &Lab, at: Ipv4Addr, providers: Copies) -> Self {
        Self::start_all(lab, vec![(at, providers)], vec![])
    }

    /// Several, each of which answers from copies of its own; who resolves is told of one server more for each of `others`.
    pub(super) fn start_all(
        lab: &Lab,
        servers: Vec<(Ipv4Addr, Copies)>,
        others: Vec<(&'static str, Ipv4Addr)>,
    ) -> Self {
        let own: Vec<_> = servers.iter().map(|(at, _)| *at).collect();
        let file = lab.folder("resolver").join("resolv.conf");
        std::fs::write(&file, format!("nameserver {}\n", own[0]))
            .expect("scratch folder takes files");
        let mut mount = Command::new("mount");
        let bound = mount.arg("--bind").arg(&file).arg("/etc/resolv.conf").status();
        assert!(bound.expect("mount (mount) is installed").success());
        let stop = Arc::new(AtomicBool::new(false));
        let places = Places { own, others };
        let threads = servers.into_iter().map(|(at, copies)| {
            let (stopped, places) = (stop.clone(), places.clone());
            let socket = UdpSocket::bind((at, 53)).expect("this network is this world's own");
            socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
            thread::spawn(move || serve(&socket, &stopped, &places, &copies))
        });
        Self { threads: threads.collect(), stop }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        assert!(thread::panicking() || ended.iter().all(Result::is_ok), "they answered to the end");
    }
}

fn serve(socket: &UdpSocket, stopped: &AtomicBool, places: &Places, copies: &Copies) {
    let mut packet = [0; 4096];
    while !stopped.load(Ordering::Relaxed) {
        let (length, from) = match socket.recv_from(&mut packet) {
            Ok(received) => received,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => continue,
                _ => panic!("{error}"),
            },
        };
        if let Some(reply) = answer(&packet[..length], places, copies) {
            // Whoever has gone away wants no answer.
            let _ = socket.send_to(&reply, from);
        }
    }
}

fn answer(packet: &[u8], places: &Places, copies: &Copies) -> Option<Vec<u8>> {
    let mut reply = Message::from_vec(packet).ok()?;
    let asked = reply.queries.first()?.clone();
    let name = asked.name.to_ascii().trim_end_matches('.').to_lowercase();
    let record = |ttl, data| Record::from_rdata(asked.name.clone(), ttl, data);
    let own =
        (1..).zip(&places.own).map(|(n, at)| (named::ZONE, format!("ns{n}.{}", named::ZONE), *at));
    let others = places.others.iter().map(|(zone, at)| (*zone, format!("ns1.{zone}"), *at));
    let servers: Vec<_> = own.chain(others).collect();
    let records = match asked.query_type {
        RecordType::NS => {
            let of_zone = servers.iter().filter(|(zone, ..)| *zone == name);
            let names =
                of_zone.filter_map(|(_, server, _)| Name::from_ascii(format!("{server}.")).ok());
            names.map(|server| record(60, RData::NS(NS(server)))).collect()
        }
        RecordType::A => match servers.iter().find(|(_, server, _)| *server == name) {
            Some((.., at)) => vec![record(60, RData::A(A(*at)))],
            None => {
                let held = copies.iter().map(|copy| {
                    copy.with(|book| {
                        (book.ttl(&name, "A").unwrap_or_default(), book.get(&name, "A"))
                    })
                });
                let all = held.flat_map(|(ttl, texts)| texts.into_iter().map(move |it| (ttl, it)));
                all.filter_map(|(ttl, it)| Some(record(ttl, RData::A(A(it.parse().ok()?)))))
                    .collect()
            }
        },
        _ => vec![],
    };
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.authoritative = true;
    reply.metadata.recursion_available = true;
    reply.add_answers(records);
    reply.to_vec().ok()
}

/// Route 53, as a provider outside of all regions; it answers for as long as its threads are there.
pub fn route53() -> (Runtime, Arc<Server>) {
    let runtime = threads();
    let provider = runtime.block_on(route53_at(router("dns"), Book::default()));
    (runtime, Arc::new(provider))
}

/// Agents that hold its key, started.
pub fn holding_its_key(lab: &Lab) -> Mesh<'_> {
    let mut mesh = Mesh::new(lab);
    for agent in &mut mesh.agents {
        agent.set_up(|it| {
            it.more = format!(
                "\n[credentials.amazon]\naccess_key = \"AKIDEXAMPLE\"\ntoken = \"{SECRET}\"\n"
            );
        });
    }
    mesh.start();
    mesh
}

/// How long each part takes is printed; ARCHITECTURE.md says what it was.
#[test]
fn many_names_at_five_requests_a_second_move_as_planned_and_none_is_lost() {
    inside(|lab: &Lab| {
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let (_runtime, provider) = route53();
        let _answers = Answers::start(lab, router("dns"), vec![provider.clone()]);
        let mesh = holding_its_key(lab);
        mesh.apply(lab, &text(&provider.url()));
        let before = mesh.settle(SETTLE, "shop", "s1");
        let say = |stack: &str, ttl: u32| {
            let wanted = vec![address(stack).to_string()];
            let there = provider.with(|book| {
                let is = |name: &String| {
                    book.get(name, "A") == wanted && book.ttl(name, "A") == Some(ttl)
                };
                (0..names()).map(name).filter(is).count()
            });
            if there == names() { Ok(()) } else { Err(format!("{there} of {}", names())) }
        };
        eventually(SETTLE, "all names are there", || say("s1", TTL));
        mesh.agents[0].ready(SETTLE, "shop");

        // What was allowed until here was only to begin with.
        provider.with(|book| {
            (book.asked, book.amazon.pace) = (0, Some(Pace::new(5.0, 5.0)));
        });
        let began = Instant::now();
        let words = ["switchover", "shop", "--to", "s2", "--yes", "--no-wait"];
        mesh.agents[0].quorate(&words).expect_done();
        let mut last = Duration::ZERO;
        let mut part = |what: &str, limit: u64, (stack, ttl)| {
            eventually(Duration::from_secs(limit), what, || say(stack, ttl));
            let (asked, throttled) = provider.with(|it| (it.asked, it.amazon.throttled));
            let took = began.elapsed() - last;
            last = began.elapsed();
            println!("{what} after {took:?}; {asked} requests so far, {throttled} too many");
        };
        part("shortened", 180, ("s1", KEPT));
        part("moved", 240, ("s2", KEPT));
        mesh.settle(SETTLE, "shop", "s2");
        part("restored", 300, ("s2", TTL));
        let view = mesh.settle(SETTLE, "shop", "s2");
        assert_eq!((view.epoch.0, view.planned), (before.epoch.0 + 1, None));
        assert_eq!(provider.with(|it| it.amazon.lost), 0, "a name was left without an address");
    });
}
