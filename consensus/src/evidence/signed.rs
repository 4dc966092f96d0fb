//! Signing statements and checking them.

use std::collections::BTreeSet;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::codec;
use crate::message::{Letter, Relayed};
use crate::model::{AgentId, AppId, Ballot, Certificate, Evidence, MeshId, Statement, Voters};

/// Signatures are over this and the encoded statement, so that no other use of the key can be mistaken for evidence.
const CONTEXT: &[u8] = b"quorate evidence 1\0";

/// A voter's evidence key (ed25519, RFC 8032).
pub struct KeyPair(Ed25519KeyPair);

impl KeyPair {
    /// The key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed"))
    }

    /// The public half, as the voter set names it.
    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("an ed25519 key has 32 bytes")
    }

    /// Signs what this voter states.
    pub fn sign(&self, statement: Statement) -> Evidence {
        let signature = self.0.sign(&message(&statement)).as_ref().to_vec();
        Evidence { statement, signature }
    }
}

/// What is taken on trust about evidence: nothing. Only mutants take more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust {
    /// That it was given for this ballot.
    pub ballot: bool,
    /// That it is signed.
    pub signature: bool,
}

/// Letters are signed over this, the mesh and what they say.
const SEAL: &[u8] = b"quorate relay 1\0";

impl KeyPair {
    /// Seals a letter, so that it can go through another's hands.
    pub fn seal(&self, mesh: MeshId, from: &AgentId, to: &AgentId, letter: Letter) -> Relayed {
        let signature = self.0.sign(&sealed(mesh, from, to, &letter)).as_ref().to_vec();
        Relayed { from: from.clone(), to: to.clone(), letter, signature }
    }
}

/// Is this letter by the voter that it names?
pub fn genuine(relayed: &Relayed, voters: &Voters) -> bool {
    let Relayed { from, to, letter, signature } = relayed;
    let signed = sealed(voters.mesh, from, to, letter);
    voters.all().filter(|voter| voter.agent == *from).any(|voter| {
        UnparsedPublicKey::new(&ED25519, &voter.key).verify(&signed, signature).is_ok()
    })
}

fn sealed(mesh: MeshId, from: &AgentId, to: &AgentId, letter: &Letter) -> Vec<u8> {
    [SEAL, &codec::encode(&(mesh, from, to, letter))].concat()
}

fn message(statement: &Statement) -> Vec<u8> {
    [CONTEXT, &codec::encode(statement)].concat()
}

/// Is every piece of this certificate what it claims: of this mesh and these voters, about this app and revision of its
/// definition, for this very ballot, one of each voter, and signed by it?
///
/// # Errors
/// The first thing that is wrong, in words.
pub fn certified(
    certificate: &Certificate,
    voters: &Voters,
    ballot: Ballot,
    subject: (&AppId, u64),
    trust: Trust,
) -> Result<(), String> {
    if certificate.ballot != ballot {
        return Err(format!("given for {}, not for {ballot}", certificate.ballot));
    }
    let mut seen = BTreeSet::new();
    for evidence in &certificate.evidence {
        let it = &evidence.statement;
        if !seen.insert(it.acceptor) {
            return Err(format!("{} speaks twice", it.agent));
        }
        verified(evidence, voters, ballot, subject, trust)?;
    }
    Ok(())
}

/// Leaves out of a certificate whatever is not what it claims.
pub fn sift(
    certificate: &mut Certificate,
    voters: &Voters,
    ballot: Ballot,
    subject: (&AppId, u64),
    trust: Trust,
) {
    certificate
        .evidence
        .retain(|evidence| verified(evidence, voters, ballot, subject, trust).is_ok());
}

fn verified(
    evidence: &Evidence,
    voters: &Voters,
    ballot: Ballot,
    (app, revision): (&AppId, u64),
    trust: Trust,
) -> Result<(), String> {
    let it = &evidence.statement;
    let voter = voters
        .by_acceptor(it.acceptor)
        .filter(|voter| voter.agent == it.agent && voter.region == it.region)
        .ok_or_else(|| format!("{} is no voter", it.agent))?;
    if (it.mesh, it.voters) != (voters.mesh, voters.version) {
        return Err(format!("{} speaks for another mesh or set of voters", it.agent));
    }
    if (&it.app, it.revision) != (app, revision) {
        return Err(format!("{} speaks of {} revision {}", it.agent, it.app, it.revision));
    }
    if it.ballot != ballot && !trust.ballot {
        return Err(format!("{} speaks for {}, not for {ballot}", it.agent, it.ballot));
    }
    if trust.signature {
        return Ok(());
    }
    UnparsedPublicKey::new(&ED25519, &voter.key)
        .verify(&message(it), &evidence.signature)
        .map_err(|_| format!("the signature of {} is not its own", it.agent))
}
