//! What a run is about: who the agents are, and which apps they watch.
//!
//! Only builds configurations and definitions; everything random in them comes from the caller.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use consensus::config::{BallotStore, Config, Mutant};
use consensus::model::{
    AcceptorId, AgentId, AppId, DataPolicy, Database, Definition, Driver, Endpoint, Engine, Expect,
    Fencing, Following, MeshId, Mode, ProbePolicy, Provider, Record, RecordData, RecordKind,
    Region, Scheme, SeenBy, Source, Stack, StackId, TargetName, Voter, Voters,
};
use consensus::value::Format;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::chance::Chance;

/// A name that is written in this crate and therefore one.
pub fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("names in tests are names")
}

/// The credential of every simulated database.
pub const DATABASE_CREDENTIAL: &str = "database";
/// The credential of every simulated DNS server.
pub const DNS_CREDENTIAL: &str = "dns-key";
/// The one DNS server outside.
pub const DNS_SERVER: &str = "192.0.2.53:53";

/// A mesh: voters spread over regions, and observers.
#[derive(Clone, Debug)]
pub struct MeshShape {
    /// The region of every voter.
    pub voters: Vec<u64>,
    /// The region of every agent whose store stands by.
    pub standbys: Vec<u64>,
    /// The region of every observer.
    pub observers: Vec<u64>,
    /// How far the rates of clocks may be off, in millionths: crystals are good for 200, leases allow for 10,000.
    pub rate_error: u64,
    /// How many canaries every agent has.
    pub canaries: usize,
    /// One safety rule to break.
    pub mutant: Option<Mutant>,
    /// Do guards make old primaries replicas again?
    pub rejoins: bool,
}

impl MeshShape {
    /// As many voters, spread evenly over as many regions.
    pub fn spread(voters: u64, regions: u64) -> Self {
        Self {
            voters: (0..voters).map(|v| v % regions + 1).collect(),
            standbys: vec![],
            observers: vec![],
            rate_error: 200,
            canaries: 0,
            mutant: None,
            rejoins: false,
        }
    }

    /// The configuration of every agent: voters, then those who stand by, then observers. Their keys come from chance.
    pub fn configs(&self, chance: &mut Chance) -> Vec<Config> {
        let with_stores = self.voters.iter().chain(&self.standbys);
        let stores: Vec<BallotStore> = with_stores.map(|_| store(chance)).collect();
        let members =
            self.voters.iter().zip(&stores).enumerate().map(|(index, (region, store))| {
                let key =
                    Ed25519KeyPair::from_seed_unchecked(&store.seed).expect("32 bytes are a seed");
                Voter {
                    acceptor: store.acceptor,
                    agent: agent_name(index),
                    region: region_name(*region),
                    key: key.public_key().as_ref().try_into().expect("32 bytes"),
                }
            });
        let voters = Voters::stable(MeshId(1), 1, members.collect());
        let everybody = self.voters.iter().chain(&self.standbys).chain(&self.observers);
        let config = |(index, region): (usize, &u64)| Config {
            agent: agent_name(index),
            region: region_name(*region),
            address: format!("{}:4790", agent_name(index)),
            voters: voters.clone(),
            ballots: stores.get(index).cloned(),
            quarantined: false,
            credentials: vec![name(DATABASE_CREDENTIAL), name(DNS_CREDENTIAL)],
            canaries: (1..=self.canaries).map(canary).collect(),
            doors: None,
            rejoins: (!self.rejoins).then(std::collections::BTreeSet::new),
            format: Format::NOW,
            mutant: self.mutant,
        };
        everybody.enumerate().map(config).collect()
    }
}

/// Something far away that everybody reaches who reaches anything.
fn canary(number: usize) -> Endpoint {
    Endpoint {
        name: name(&format!("canary-{number}")),
        scheme: Scheme::Tcp,
        address: format!("203.0.113.{number}"),
        port: 443,
        path: "/".into(),
        host: None,
        expect: Expect::default(),
        authority: None,
    }
}

/// `a1`, `a2`, …
pub fn agent_name(index: usize) -> AgentId {
    name(&format!("a{}", index + 1))
}

fn region_name(number: u64) -> Region {
    name(&format!("r{number}"))
}

/// A new store of ballots.
pub fn store(chance: &mut Chance) -> BallotStore {
    let mut seed = [0; 32];
    for bytes in seed.chunks_mut(8) {
        bytes.copy_from_slice(&chance.bits().to_le_bytes());
    }
    let acceptor = AcceptorId(u128::from(chance.bits()) << 64 | u128::from(chance.bits()));
    BallotStore { acceptor, seed }
}

/// An app, in the few words in which runs differ.
#[derive(Clone, Debug)]
pub struct AppShape {
    /// Its name.
    pub name: AppId,
    /// Its stacks, the first of them active.
    pub stacks: Vec<StackId>,
    /// Web endpoints a stack.
    pub endpoints: usize,
    /// Does every stack have a database?
    pub database: bool,
    /// Of which make are the databases? The simulated ones differ only in whether they are told whom to follow.
    pub engine: Engine,
    /// Does the primary wait for the second stack's replica before it acknowledges?
    pub synchronous: bool,
    /// For how many replicas does the mesh have the primary wait? 0, and people tell it.
    pub kept: u8,
    /// Are its endpoints followed?
    pub follows: bool,
    /// Are its records in an outside server, by RFC 2136?
    pub outside: bool,
    /// Does whoever serves them compare nothing, then, so that the last to write wins?
    pub blind: bool,
    /// For how many seconds they may be kept.
    pub ttl: u32,
    /// The guard of every stack's database, if they have any.
    pub guards: Vec<AgentId>,
    /// Are the databases seen through their guards alone, where there are any?
    pub hidden: bool,
    /// Is nothing promoted without proof of a fence, where there are guards?
    pub proven: bool,
    /// How long the leases of its guards are.
    pub lease: Duration,
    /// May the mesh act by itself?
    pub mode: Mode,
    /// After an automatic failover.
    pub cooldown: Duration,
    /// How targets are looked at.
    pub probe: ProbePolicy,
    /// In how many regions a stack must be seen down.
    pub regions: usize,
}

impl AppShape {
    /// An app of web endpoints alone, in two stacks, with the defaults of PRODUCT.md but no cooldown.
    pub fn web(app: &str) -> Self {
        Self {
            name: name(app),
            stacks: vec![name("east"), name("west")],
            endpoints: 1,
            database: false,
            engine: Engine::Postgres,
            synchronous: false,
            kept: 0,
            follows: false,
            outside: false,
            blind: false,
            ttl: 30,
            guards: vec![],
            hidden: false,
            proven: true,
            lease: DataPolicy::LEASE,
            mode: Mode::Automatic,
            cooldown: Duration::ZERO,
            probe: ProbePolicy {
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(4),
                window: Duration::from_secs(8),
            },
            regions: 2,
        }
    }

    /// The same with a database in every stack.
    pub fn with_database(app: &str, synchronous: bool) -> Self {
        Self { database: true, synchronous, ..Self::web(app) }
    }

    /// What `quorate apply` would put before the voters.
    pub fn definition(&self) -> Definition {
        let mut stacks: Vec<Stack> =
            self.stacks.iter().enumerate().map(|(i, s)| self.stack(i, s)).collect();
        let following: Vec<_> = match self.follows {
            true => stacks.iter().map(|stack| self.following(stack)).collect(),
            false => vec![],
        };
        for (stack, of) in stacks.iter_mut().zip(&following) {
            let address = of.endpoint.address.parse().expect("an address");
            stack.endpoints = vec![of.at(consensus::model::Place { address, port: None })];
        }
        Definition {
            name: self.name.clone(),
            mode: self.mode,
            cooldown: self.cooldown,
            regions: self.regions,
            probe: self.probe,
            data: DataPolicy {
                max_loss_bytes: if self.synchronous { 0 } else { LOSS_BUDGET },
                max_loss_time: None,
                fencing: match self.proven && !self.guards.is_empty() {
                    true => Fencing::Required,
                    false => Fencing::BestEffort,
                },
                lease: self.lease,
                sync: self.kept,
            },
            zones: vec![],
            stacks,
            records: vec![self.record()],
            following,
        }
    }

    fn stack(&self, index: usize, stack: &StackId) -> Stack {
        let endpoint = |number: usize| Endpoint {
            name: name(&format!("web-{}", number + 1)),
            scheme: Scheme::Http,
            address: format!("198.51.100.{}", index + 1),
            port: 80 + number as u16,
            path: "/".into(),
            host: None,
            expect: Expect::default(),
            authority: None,
        };
        let database = Database {
            name: database_name(),
            engine: self.engine,
            address: format!("198.51.100.{}", index + 1),
            port: 5432,
            credential: name(DATABASE_CREDENTIAL),
            guard: self.guards.get(index).cloned(),
            view: match self.hidden && !self.guards.is_empty() {
                true => SeenBy::Guard,
                false => SeenBy::All,
            },
        };
        Stack {
            name: stack.clone(),
            site: name(stack.as_str()),
            endpoints: (0..self.endpoints).map(endpoint).collect(),
            databases: self.database.then_some(database).into_iter().collect(),
        }
    }

    /// Its web, wherever a name leads to; it begins where it would else be listed.
    fn following(&self, stack: &Stack) -> Following {
        Following {
            stack: stack.name.clone(),
            sources: vec![Source::Dns {
                name: format!("web.{}.example.net", stack.name),
                server: None,
            }],
            endpoint: Endpoint { name: name("web"), ..stack.endpoints[0].clone() },
            records: vec![(format!("{}.example.com", self.name), RecordKind::A)],
        }
    }

    fn record(&self) -> Record {
        let address = |index: usize| {
            RecordData::Address(IpAddr::V4(Ipv4Addr::new(198, 51, 100, index as u8 + 1)))
        };
        let values: BTreeMap<_, _> =
            self.stacks.iter().enumerate().map(|(i, s)| (s.clone(), vec![address(i)])).collect();
        Record {
            name: format!("{}.example.com", self.name),
            kind: RecordKind::A,
            ttl: self.ttl,
            values,
            driver: match (self.outside, self.blind) {
                (false, _) => Driver::BuiltIn,
                (true, true) => Driver::Provider {
                    provider: Provider::PowerDns,
                    url: Some(DNS_SERVER.into()),
                    zone: "example.com".into(),
                    zone_id: None,
                    credential: name(DNS_CREDENTIAL),
                },
                (true, false) => Driver::Rfc2136 {
                    server: DNS_SERVER.into(),
                    zone: "example.com".into(),
                    credential: name(DNS_CREDENTIAL),
                },
            },
        }
    }
}

/// What an asynchronous app may lose: one segment of PostgreSQL's log, the default of PROTOCOL.md C.5.
const LOSS_BUDGET: u64 = 16 * 1024 * 1024;

/// The name of every simulated database.
pub fn database_name() -> TargetName {
    name("db")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_region_of_a_spread_mesh_holds_a_majority() {
        let configs = MeshShape::spread(5, 3).configs(&mut Chance::new(1));
        let voters = &configs[0].voters;
        assert!(voters.regions().values().all(|count| *count < voters.needed()));
    }

    #[test]
    fn an_app_has_records_for_all_its_stacks() {
        let definition = AppShape::with_database("shop", true).definition();
        assert!(definition.has_databases());
        for record in &definition.records {
            assert_eq!(record.values.len(), definition.stacks.len());
        }
    }
}
