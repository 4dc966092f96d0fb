//! What two agents tell each other before anything else, and why one of them may hang up.
//!
//! Name, region and role are not in it: those stand in the certificate. Refusals are worded so that the same line can
//! be logged on both sides.

use consensus::codec;
use consensus::model::{AgentId, MeshId, Voters};
use quinn::{ConnectionError, TransportErrorCode, VarInt};
use serde::{Deserialize, Serialize};

use crate::identity::Member;

/// The version of everything said on a link after the greeting.
pub const PROTOCOL: u16 = 1;
/// The most bytes a greeting may have.
pub(super) const GREETING_LIMIT: usize = 1024;
/// The most bytes of an address, `host:port`: a DNS name has at most 253.
const ADDRESS_LIMIT: usize = 260;
/// The most characters of a peer's words that are shown.
const WORDS_LIMIT: usize = 400;

/// The first thing said on a connection, by both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Greeting {
    /// In which mesh the speaker is.
    pub mesh: MeshId,
    /// The version of its set of voters.
    pub voters: u64,
    /// SHA-256 of that set.
    pub voters_hash: [u8; 32],
    /// Which run of its process speaks.
    pub instance: u64,
    /// Where it is reached, `host:port`.
    pub address: String,
}

impl Greeting {
    /// What this run of this agent says.
    pub(super) fn new(voters: &Voters, instance: u64, address: String) -> Self {
        let hash = ring::digest::digest(&ring::digest::SHA256, &codec::encode(voters));
        let voters_hash = hash.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Self { mesh: voters.mesh, voters: voters.version, voters_hash, instance, address }
    }

    /// The version of the protocol stands in front, outside of what it versions.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = PROTOCOL.to_le_bytes().to_vec();
        bytes.extend(codec::encode(self));
        bytes
    }

    /// What a peer said, if the two can talk at all.
    pub(super) fn decode(bytes: &[u8], me: &AgentId, peer: &AgentId) -> Result<Self, Refusal> {
        let malformed = |why: String| Refusal::Malformed(format!("greeting: {why}"));
        let (version, body) =
            bytes.split_first_chunk::<2>().ok_or_else(|| malformed("empty".into()))?;
        match u16::from_le_bytes(*version) {
            PROTOCOL => {}
            theirs => {
                let (me, peer) = (me.clone(), peer.clone());
                return Err(Refusal::Protocol { peer, theirs, me, ours: PROTOCOL });
            }
        }
        let greeting: Self = codec::decode(body).map_err(|error| malformed(error.to_string()))?;
        match greeting.address.len() <= ADDRESS_LIMIT {
            true => Ok(greeting),
            false => Err(malformed(format!("an address of {} bytes", greeting.address.len()))),
        }
    }

    /// May the agent that said `theirs` be linked with the one that says `self`?
    pub(super) fn accepts(
        &self,
        theirs: &Self,
        me: &AgentId,
        peer: &AgentId,
    ) -> Result<(), Refusal> {
        let pair = || (me.clone(), peer.clone());
        if peer == me && theirs.instance == self.instance {
            return Err(Refusal::Itself);
        }
        if peer == me {
            return Err(Refusal::NameTaken { name: me.clone(), at: self.address.clone() });
        }
        if theirs.mesh != self.mesh {
            return Err(Refusal::Mesh { pair: pair(), meshes: (self.mesh, theirs.mesh) });
        }
        if (theirs.voters, theirs.voters_hash) != (self.voters, self.voters_hash) {
            return Err(Refusal::Voters { pair: pair(), versions: (self.voters, theirs.voters) });
        }
        Ok(())
    }
}

/// Why a connection is not, or no longer, a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The agent has stopped.
    Stopped,
    /// There is a better connection between the two.
    Duplicate,
    /// Another run of the peer has taken this one's place.
    Succeeded,
    /// An agent dialled itself.
    Itself,
    /// Bytes that are not what they should be.
    Malformed(String),
    /// Nothing was said in time.
    Silent,
    /// Versions that cannot talk to each other.
    Protocol { peer: AgentId, theirs: u16, me: AgentId, ours: u16 },
    /// Two meshes under one authority.
    Mesh { pair: (AgentId, AgentId), meshes: (MeshId, MeshId) },
    /// Two sets of voters in one mesh.
    Voters { pair: (AgentId, AgentId), versions: (u64, u64) },
    /// Two live agents with one certificate.
    NameTaken { name: AgentId, at: String },
    /// A certificate that names no agent.
    Certificate(String),
}

impl Refusal {
    /// The code a connection is closed with.
    pub(super) fn code(&self) -> VarInt {
        VarInt::from_u32(match self {
            Self::Stopped => 1,
            Self::Duplicate => 2,
            Self::Itself => 3,
            Self::Malformed(_) => 4,
            Self::Silent => 5,
            Self::Protocol { .. } => 6,
            Self::Mesh { .. } => 7,
            Self::Voters { .. } => 8,
            Self::NameTaken { .. } => 9,
            Self::Certificate(_) => 10,
            Self::Succeeded => 11,
        })
    }

    /// Is this how things should go, so that nobody need be told?
    pub(super) fn ordinary(&self) -> bool {
        matches!(self, Self::Stopped | Self::Duplicate | Self::Itself)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("the agent has stopped"),
            Self::Duplicate => f.write_str("there is a better connection"),
            Self::Succeeded => f.write_str("another run of this agent has taken its place"),
            Self::Itself => f.write_str("an agent dialled itself"),
            Self::Malformed(why) => write!(f, "malformed frame: {why}"),
            Self::Silent => f.write_str("no greeting in time"),
            Self::Protocol { peer, theirs, me, ours } => write!(
                f,
                "`{peer}` speaks mesh protocol {theirs} and `{me}` {ours}: update the older agent"
            ),
            Self::Mesh { pair: (me, peer), meshes: (ours, theirs) } => {
                write!(f, "`{peer}` is in mesh {theirs} and `{me}` in mesh {ours}")
            }
            Self::Voters { pair: (me, peer), versions: (ours, theirs) } => write!(
                f,
                "`{peer}` (version {theirs}) and `{me}` (version {ours}) follow different voters: \
                 give both the same `voters.toml`"
            ),
            Self::NameTaken { name, at } => write!(
                f,
                "the name `{name}` is already in use by a live agent at `{at}`: \
                 stop that one, or issue this one its own certificate"
            ),
            Self::Certificate(why) => write!(f, "certificate: {why}"),
        }
    }
}

/// Who answered: the first certificate of the chain, which TLS has verified.
pub(super) fn peer(connection: &quinn::Connection) -> Result<Member, Refusal> {
    let chain = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<rustls_pki_types::CertificateDer<'static>>>().ok())
        .ok_or_else(|| Refusal::Certificate("none shown".into()))?;
    let leaf = chain.first().ok_or_else(|| Refusal::Certificate("none shown".into()))?;
    let (_, member) =
        Member::from_certificate(leaf).map_err(|error| Refusal::Certificate(error.to_string()))?;
    Ok(member)
}

/// Why a connection ended, in words for an operator.
pub(super) fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => "no answer".into(),
        ConnectionError::TransportError(error) => match alert(error.code) {
            Some(UNKNOWN_CA | DECRYPT_ERROR) => {
                "its certificate is not signed by this mesh's authority".into()
            }
            Some(EXPIRED) => {
                "its certificate is expired or not valid yet, or a clock is off".into()
            }
            Some(NO_PROTOCOL) => "it is not a Quorate agent, or one far too old or new".into(),
            _ => words(error.reason.as_bytes()),
        },
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(UNKNOWN_CA | DECRYPT_ERROR) => {
                "it holds this agent's certificate for signed by another mesh's authority".into()
            }
            Some(EXPIRED) => {
                "it holds this agent's certificate for expired or not valid yet: is a clock off?"
                    .into()
            }
            Some(NO_PROTOCOL) => "it is not a Quorate agent, or one far too old or new".into(),
            _ => words(&close.reason),
        },
        ConnectionError::ApplicationClosed(close) => words(&close.reason),
        other => other.to_string(),
    }
}

/// TLS alerts (RFC 8446 section 6) that mean something to an operator.
const EXPIRED: u8 = 45;
const UNKNOWN_CA: u8 = 48;
const DECRYPT_ERROR: u8 = 51;
const NO_PROTOCOL: u8 = 120;

/// The TLS alert within a QUIC error: 0x100 and the alert (RFC 9001 section 4.8).
fn alert(code: TransportErrorCode) -> Option<u8> {
    let code = u64::from(code);
    (0x100..0x200).contains(&code).then_some((code & 0xff) as u8)
}

/// A peer's words, fit for a log line.
fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|letter| !letter.is_control()).take(WORDS_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(instance: u64, version: u64) -> Greeting {
        let voters = Voters::stable(MeshId(1), version, Vec::new());
        Greeting::new(&voters, instance, "192.0.2.1:4790".into())
    }

    fn name(text: &str) -> AgentId {
        text.parse().expect("a name")
    }

    #[test]
    fn a_greeting_is_read_as_it_was_said() {
        let said = greeting(7, 1);
        assert_eq!(Greeting::decode(&said.encode(), &name("a1"), &name("a2")), Ok(said));
    }

    #[test]
    fn what_cannot_be_talked_to_is_told_why() {
        let (me, peer) = (name("a1"), name("a2"));
        let mut old = greeting(7, 1).encode();
        old[0] = 0;
        let long = Greeting { address: "x".repeat(300), ..greeting(7, 1) }.encode();
        for (bytes, expected) in [
            (old, "`a2` speaks mesh protocol 0 and `a1` 1: update the older agent"),
            (vec![1], "malformed frame: greeting: empty"),
            (vec![1, 0], "malformed frame: greeting: empty"),
            (long, "malformed frame: greeting: an address of 300 bytes"),
        ] {
            let refusal = Greeting::decode(&bytes, &me, &peer).expect_err(expected);
            assert_eq!(refusal.to_string(), expected);
        }
    }

    #[test]
    fn who_may_be_linked() {
        let (me, peer) = (name("a1"), name("a2"));
        let ours = greeting(7, 1);
        let told = |theirs: &Greeting, peer| ours.accepts(theirs, &me, peer);
        assert_eq!(told(&greeting(8, 1), &peer), Ok(()));
        assert_eq!(told(&greeting(7, 1), &me), Err(Refusal::Itself));
        assert!(matches!(told(&greeting(8, 1), &me), Err(Refusal::NameTaken { .. })));
        assert!(matches!(told(&greeting(8, 2), &peer), Err(Refusal::Voters { .. })));
        let elsewhere = Greeting { mesh: MeshId(2), ..greeting(8, 1) };
        assert!(matches!(told(&elsewhere, &peer), Err(Refusal::Mesh { .. })));
    }
}
