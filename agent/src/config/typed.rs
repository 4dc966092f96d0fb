//! Both files as typed: every key, its type, its default, what it is for. The JSON Schema is made from this.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use consensus::model::{
    AgentId, AppId, CredentialId, Engine, Fencing, Mode, RecordKind, SeenBy, Site, StackId,
    TargetName,
};

/// App files: what is applied to the mesh.
pub(crate) mod app {
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use toml::Spanned;
    use toml::de::DeValue;

    use super::*;
    use crate::config::address::{Contact, DnsName, EndpointUrl, HostPort, OwnerName, SourceWord};
    use crate::config::fault::{Findings, Span};
    use crate::config::leaf::{DriverWord, LossBudget, Text, Time, Whole};
    use crate::config::tree::{At, Field, Named, Raw, Shape, described, prose, table_of, tables};

    const MINUTE: u64 = 60_000;
    const DAY: u64 = 24 * 60 * MINUTE;

    tables! {
        /// An app of a Quorate mesh: where it lives, how it is watched, what may happen to its data, and what
        /// clients look up. `quorate apply` puts it before the voters.
        pub struct AppFile = "the file" {
            /// The app itself.
            app: AppTable,
            /// What it takes to hold a stack for down.
            quorum: QuorumTable,
            /// How every target is looked at.
            probe: ProbeTable,
            /// What may happen to data.
            data: DataTable,
            /// Zones that the built-in DNS server answers for.
            zone: Vec<ZoneTable>,
            /// The complete copies of the app, in order of preference.
            stack: Vec<StackTable>,
            /// What clients look up.
            record: Vec<RecordTable>,
        }

        /// The app itself.
        pub struct AppTable = "`[app]`" {
            /// What the mesh knows it by.
            name: At<AppId>,
            /// Whether the mesh acts by itself, asks for approval, or only says what it would do.
            mode: At<Mode> = "automatic",
            /// How long the mesh waits after an automatic failover, doubling each time; `0s` for no damping.
            cooldown: At<Time<0, { 30 * DAY }>> = "15m",
        }

        /// What it takes to hold a stack for down, besides a majority of all voters.
        pub struct QuorumTable = "`[quorum]`" {
            /// In how many regions it must be seen down.
            regions: At<Whole<1, 64>> = 2,
        }

        /// How every target is looked at.
        pub struct ProbeTable = "`[probe]`" {
            /// Between two looks at a healthy target; a failing one is looked at more often.
            interval: At<Time<100, { 10 * MINUTE }>> = "5s",
            /// The limit of one look; by default 4s, and half the window where that is less.
            timeout: Option<At<Time<50, MINUTE>>>,
            /// Down only after this long without one success.
            window: At<Time<1_000, { 10 * MINUTE }>> = "8s",
        }

        /// What may happen to data.
        pub struct DataTable = "`[data]`" {
            /// The most bytes of the primary's log that a promotion may leave behind.
            max_loss: At<LossBudget> = "0",
            /// What must be known of the old primary before another is promoted.
            fencing: At<Fencing> = "required",
            /// How long a database's guard may hold it open without another word of the voters.
            lease: At<Time<2_000, MINUTE>> = "10s",
            /// For how many replicas the mesh has the primary wait before it acknowledges, and which: PostgreSQL's
            /// `synchronous_standby_names`. `0` leaves that to whoever runs it.
            sync: At<Whole<0, 8>> = 0,
            /// May a stack's web use the other stack's database, so that web alone may move?
            across: At<bool> = false,
        }

        /// A zone that the built-in DNS server answers for.
        pub struct ZoneTable = "`[[zone]]`" {
            /// Its apex.
            name: At<DnsName>,
            /// The names under which it is delegated to the agents.
            ns: Vec<At<DnsName>>,
            /// The mail address of whoever answers for it.
            contact: At<Contact>,
        }

        /// One complete copy of the app in one place.
        pub struct StackTable = "`[[stack]]`" {
            /// Its name.
            name: At<StackId>,
            /// The place it lives in, where several apps share one; by default its name.
            site: Option<At<Site>>,
            /// Its web endpoints.
            endpoint: Vec<EndpointTable>,
            /// Its databases.
            database: Vec<DatabaseTable>,
        }

        /// A web endpoint.
        pub struct EndpointTable = "`[[stack.endpoint]]`" {
            /// Its name within the stack; `web-1`, `web-2`, … where none is given.
            name: Option<At<TargetName>>,
            /// Where it is and how to speak to it.
            url: At<EndpointUrl>,
            /// The name for the Host header, SNI and the certificate, where it is not the URL's.
            host: Option<At<DnsName>>,
            /// How often it is answered with, beside the stack's others; `0` drains it: it is watched and not handed out.
            weight: At<Whole<0, 100>> = 1,
            /// What a healthy answer looks like; any 2xx where nothing is given.
            expect: ExpectTable,
            /// The authorities to trust in place of the system's: PEM, or the path of a PEM file beside this one.
            authority: Option<At<String>>,
            /// Where its addresses are found from now on, those of the URL being the first: `dns:NAME`, `dns://SERVER/NAME`, the
            /// URL of a JSON list, or the path of a file on every agent's host.
            follow: Option<At<SourceWord>>,
            /// Beside `follow`: where its load balancer is found, which takes the place of the servers once there is one.
            balancer: Option<At<SourceWord>>,
        }

        /// What a healthy answer looks like.
        pub struct ExpectTable = "`expect`" {
            /// Any of these statuses.
            status: Vec<At<Whole<100, 599>>>,
            /// A text that is in the first 64 KiB of the body.
            body: Option<At<Text<1024>>>,
        }

        /// A database of a stack.
        pub struct DatabaseTable = "`[[stack.database]]`" {
            /// Its name; databases of one name in different stacks are each other's replicas.
            name: At<TargetName>,
            /// What it speaks.
            engine: At<Engine>,
            /// Where it listens.
            address: At<HostPort>,
            /// The name of the credential to log in with; the secret lives on the agents that hold it.
            credential: At<CredentialId>,
            /// Who looks at it: every agent itself, or its guard, which tells each agent what it sees: for a database that is
            /// reached from its own network alone.
            view: At<SeenBy> = "direct",
            /// The agent on its host that closes it to writes when its lease ends: an agent's name.
            guard: Option<At<AgentId>>,
        }

        /// What clients look up.
        pub struct RecordTable = "`[[record]]`" {
            /// The full name; `*.` before it answers for every name below that holds nothing itself.
            name: At<OwnerName>,
            /// The type.
            r#type: At<RecordKind>,
            /// How long it may be cached, in seconds.
            ttl: At<Whole<1, 86_400>> = 30,
            /// How it is published.
            driver: At<DriverWord> = "built-in",
            /// Of `rfc2136`: the primary server.
            server: Option<At<HostPort>>,
            /// Of every driver but `built-in`: the zone to change.
            zone: Option<At<DnsName>>,
            /// Of `route53`, `cloudflare`, `google` and `azure`: the zone as the provider numbers it (`google`: `project/zone`,
            /// `azure`: `subscription/group`).
            zone_id: Option<At<Text<255>>>,
            /// Of `powerdns` and `webhook`: where it is spoken to.
            url: Option<At<EndpointUrl>>,
            /// Of every driver but `built-in`: the name of the key or token.
            credential: Option<At<CredentialId>>,
            /// In place of `values`: the active stack's database of this name, where it is written.
            rw: Option<At<TargetName>>,
            /// In place of `values`: the other stacks' databases of this name, its replicas, where it is only read.
            ro: Option<At<TargetName>>,
            /// What it holds while each stack is active; by default the addresses of that stack's endpoints.
            values: Named<StackId, Vec<At<String>>>,
        }
    }
}

/// Agent files: one per agent, never shared.
pub(crate) mod agent {
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use toml::Spanned;
    use toml::de::DeValue;

    use super::*;
    use crate::config::address::{DnsName, EndpointUrl, HostPort};
    use crate::config::fault::{Findings, Span};
    use crate::config::leaf::{Algorithm, DoorWord, Protection, Secret, Text, Time, Whole};
    use crate::config::tree::{At, Field, Named, Raw, Shape, described, prose, table_of, tables};
    use crate::guard::Device;

    tables! {
        /// One agent of a Quorate mesh: where it listens and where its secrets are. Its name, region and role are
        /// in its certificate.
        pub struct AgentFile = "the file" {
            /// The process.
            agent: AgentTable,
            /// How the other agents are reached.
            mesh: MeshTable,
            /// The status page, the API and the metrics.
            status: StatusTable,
            /// The built-in DNS server; leave it out to run none.
            dns: Option<DnsTable>,
            /// How this agent judges itself.
            health: HealthTable,
            /// What it guards.
            guard: GuardTable,
            /// The secrets this agent holds, by the names that app files use.
            credentials: Named<CredentialId, CredentialTable>,
        }

        /// The process.
        pub struct AgentTable = "`[agent]`" {
            /// Where the store and the history are kept.
            data_dir: At<PathBuf>,
            /// The source address of probes, where the host has several.
            source: Option<At<IpAddr>>,
        }

        /// How the other agents are reached.
        pub struct MeshTable = "`[mesh]`" {
            /// The UDP address to listen on.
            listen: At<SocketAddr>,
            /// Where the others reach this agent.
            advertise: At<HostPort>,
            /// Where some of the others are reached.
            seeds: Vec<At<HostPort>>,
            /// This agent's certificate, PEM.
            certificate: At<PathBuf>,
            /// Its private key, PEM.
            key: At<PathBuf>,
            /// The mesh's authority, PEM.
            authority: At<PathBuf>,
            /// The voters as `quorate init` fixed them; by default `voters.toml` beside the certificate.
            voters: Option<At<PathBuf>>,
        }

        /// The status page, the API and the metrics.
        pub struct StatusTable = "`[status]`" {
            /// Where they are served; leave it out to serve only the socket.
            listen: Option<At<SocketAddr>>,
            /// The Unix socket that commands travel over; by default `agent.sock` in `data_dir`.
            socket: Option<At<PathBuf>>,
            /// A folder, best below `/run`, in which `APP/STACK` says whether that stack is to act as the one that serves.
            states: Option<At<PathBuf>>,
            /// Resolvers of others that are asked after a move, until none hands out old addresses any more.
            resolvers: Vec<At<SocketAddr>>,
        }

        /// The built-in DNS server.
        pub struct DnsTable = "`[dns]`" {
            /// Each address to serve, UDP and TCP.
            listen: Vec<At<SocketAddr>>,
            /// Answers that no majority has confirmed for this long become SERVFAIL, but where this agent itself sees their stack up.
            stale_after: At<Time<1_000, { 24 * 60 * 60_000 }>> = "5m",
            /// How many times a second one network (IPv4 /24, IPv6 /56) gets the same answer over UDP; 0 is no limit.
            rate_limit: At<Whole<0, 1_000_000>> = 200,
            /// Threads that answer over UDP, for each address; by default one less than there are cores, at least one, at most four.
            threads: Option<At<Whole<1, 64>>>,
            /// Does `_status.<app>` in each zone tell which stack is active?
            status: At<bool> = false,
            /// Servers of others that hold copies of the zones.
            secondary: Vec<SecondaryTable>,
            /// Zones that are signed.
            signing: Vec<SigningTable>,
        }

        /// A server that holds copies of the zones.
        pub struct SecondaryTable = "`[[dns.secondary]]`" {
            /// Where it is told of changes.
            address: At<SocketAddr>,
            /// The name of the TSIG key that it signs its requests with, and we what it is told.
            credential: At<CredentialId>,
        }

        /// How this agent judges itself.
        pub struct HealthTable = "`[health]`" {
            /// Things of others, in networks of others, that it looks at to know whether it reaches the world at all:
            /// three or more. While too few of them answer, its word on the apps does not count.
            canaries: Vec<At<EndpointUrl>>,
        }

        /// What an agent on a database's host guards.
        pub struct GuardTable = "`[guard]`" {
            /// The databases that this agent guards: those on this host that app files name it the guard of, and weak doors
            /// (`by = "engine"`).
            door: Vec<DoorTable>,
            /// The device that resets the host before a lease ends, if this agent dies or stands still while a door is
            /// open: `/dev/watchdog`, with a driver such as `softdog`. With it every restart shuts the doors for a moment.
            watchdog: Option<At<Device>>,
        }

        /// A database that takes writes only while this agent holds its lease; with `by = "engine"`, while it hears a
        /// majority of the voters, which proves nothing.
        pub struct DoorTable = "`[[guard.door]]`" {
            /// By what it is shut: the kernel's filter (`nftables`), or the database's own read-only mode (`engine`), which
            /// is weaker: it is for where nothing else can be, holds no lease, and no app file names its agent as `guard`.
            by: At<DoorWord> = "nftables",
            /// The app.
            app: At<AppId>,
            /// In which of the app's stacks the database is: of a door `by = "engine"` alone.
            stack: Option<At<StackId>>,
            /// The database's name in the app file.
            database: At<TargetName>,
            /// The TCP ports by which clients reach it on this host: its own, and those of poolers before it.
            ports: Vec<At<Whole<1, 65_535>>>,
            /// Addresses that are let in while it is shut: of the agents, that look, and of its replicas. The database's own
            /// rules must let them do no more (`pg_hba.conf`).
            allow: Vec<At<IpAddr>>,
            /// The program, with its arguments, that makes an old primary here a replica again once another took its place.
            rejoin: Vec<At<Text<1024>>>,
            /// Is a row written to it with each look of this agent's while its door is open (`quorate.heartbeat`)? A database
            /// that answers and takes no writes shows by nothing else.
            heartbeat: At<bool> = false,
        }

        /// A zone that is signed (DNSSEC).
        pub struct SigningTable = "`[[dns.signing]]`" {
            /// Its apex.
            zone: At<DnsName>,
            /// The files of its keys: the first signs, all are published; the same on every agent.
            keys: Vec<At<PathBuf>>,
        }

        /// One secret: a log-in (`user`) or a TSIG key (`name`).
        pub struct CredentialTable = "`[credentials.…]`" {
            /// Of a log-in: the user.
            user: Option<At<Text<255>>>,
            /// The password; `password_file` keeps it out of this file.
            password: Option<At<Secret>>,
            /// The file that holds the password.
            password_file: Option<At<PathBuf>>,
            /// Of a log-in: `encrypted`, with whoever answers, or `verified`: the server's certificate is checked. Left out,
            /// PostgreSQL is spoken to as it offers, the others in the clear.
            tls: Option<At<Protection>>,
            /// The authorities that the server's certificate is checked with, PEM, in place of the system's.
            authority_file: Option<At<PathBuf>>,
            /// Of a TSIG key: its name, as the server knows it.
            name: Option<At<DnsName>>,
            /// Of a TSIG key: its algorithm.
            algorithm: Option<At<Algorithm>>,
            /// The secret in base64; `secret_file` keeps it out of this file.
            secret: Option<At<Secret>>,
            /// The file that holds the secret.
            secret_file: Option<At<PathBuf>>,
            /// Of a provider's interface: its token, or all of its key file.
            token: Option<At<Secret>>,
            /// The file that holds the token.
            token_file: Option<At<PathBuf>>,
            /// Of `route53`: the access key's id, which goes with `token`.
            access_key: Option<At<Text<128>>>,
        }
    }
}
