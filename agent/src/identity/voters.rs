//! `voters.toml`: who votes, as `quorate init` fixed it. The same file lies on every agent.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use consensus::model::{AcceptorId, AgentId, MeshId, Region, Voter, Voters};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;

use super::{mesh_from_hex, u128_from_hex};

/// More voters make every decision slower and none safer; 9 survive four failures (PROTOCOL.md section G).
const VOTER_LIMIT: usize = 9;
/// Room for [`VOTER_LIMIT`] voters with the longest names, many times over.
const FILE_LIMIT: u64 = 64 * 1024;

/// Why the voters are not known.
#[derive(Debug, thiserror::Error)]
pub enum VotersError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file says something else than voters.
    #[error("{}", place(path.as_deref(), what))]
    Wrong {
        /// Which file, if it came from one.
        path: Option<PathBuf>,
        /// What and where.
        what: String,
    },
}

fn place(path: Option<&Path>, what: &str) -> String {
    match path {
        Some(path) => format!("cannot read `{}`: {what}", path.display()),
        None => what.to_owned(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    mesh: String,
    version: u64,
    #[serde(default)]
    voter: Vec<TypedVoter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedVoter {
    agent: String,
    region: String,
    acceptor: String,
    key: String,
}

/// Reads a `voters.toml`.
///
/// # Errors
/// If it cannot be read, or is not one.
pub fn read_voters(path: &Path) -> Result<Voters, VotersError> {
    let text = super::own::read_limited(path, FILE_LIMIT)
        .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other))
        .map_err(|source| VotersError::Read { path: path.to_owned(), source })?;
    voters_from_toml(&text).map_err(|error| match error {
        VotersError::Wrong { what, .. } => VotersError::Wrong { path: Some(path.to_owned()), what },
        read => read,
    })
}

/// Reads the text of a `voters.toml`.
///
/// # Errors
/// If it is not one.
pub fn voters_from_toml(text: &str) -> Result<Voters, VotersError> {
    let typed: Typed =
        toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
    let mesh: MeshId = mesh_from_hex(&typed.mesh).ok_or_else(|| {
        wrong(format!("`mesh`: expected 32 hexadecimal digits, found `{}`", typed.mesh))
    })?;
    if !(1..=VOTER_LIMIT).contains(&typed.voter.len()) {
        let found = typed.voter.len();
        return Err(wrong(format!("expected 1 to {VOTER_LIMIT} `[[voter]]`, found {found}")));
    }
    let mut members = typed
        .voter
        .iter()
        .enumerate()
        .map(|(at, voter)| meant(at, voter))
        .collect::<Result<Vec<_>, _>>()?;
    members.sort_by(|one, other| one.agent.cmp(&other.agent));
    let names: BTreeSet<_> = members.iter().map(|voter| &voter.agent).collect();
    let stores: BTreeSet<_> = members.iter().map(|voter| voter.acceptor).collect();
    let keys: BTreeSet<_> = members.iter().map(|voter| voter.key).collect();
    if [names.len(), stores.len(), keys.len()].iter().any(|&distinct| distinct < members.len()) {
        return Err(wrong("two voters share an `agent`, an `acceptor` or a `key`".into()));
    }
    Ok(Voters::stable(mesh, typed.version, members))
}

fn meant(at: usize, voter: &TypedVoter) -> Result<Voter, VotersError> {
    let bad = |what: &str, why: String| wrong(format!("`voter[{at}].{what}`: {why}"));
    let agent: AgentId = voter.agent.parse().map_err(|error| bad("agent", format!("{error}")))?;
    let region: Region = voter.region.parse().map_err(|error| bad("region", format!("{error}")))?;
    let acceptor = u128_from_hex(&voter.acceptor).map(AcceptorId).ok_or_else(|| {
        bad("acceptor", format!("expected 32 hexadecimal digits, found `{}`", voter.acceptor))
    })?;
    let key = HEXLOWER_PERMISSIVE
        .decode(voter.key.as_bytes())
        .ok()
        .and_then(|key| key.try_into().ok())
        .ok_or_else(|| {
            bad("key", format!("expected 64 hexadecimal digits, found `{}`", voter.key))
        })?;
    Ok(Voter { acceptor, agent, region, key })
}

fn wrong(what: String) -> VotersError {
    VotersError::Wrong { path: None, what }
}

/// Writes the text of a `voters.toml`.
pub fn voters_to_toml(voters: &Voters) -> String {
    let mut text = format!(
        "# Who votes in this mesh: written by `quorate init`, the same on every agent. Do not edit.\n\
         mesh = \"{}\"\nversion = {}\n",
        voters.mesh, voters.version
    );
    for voter in &voters.members {
        write!(
            text,
            "\n[[voter]]\nagent = \"{}\"\nregion = \"{}\"\nacceptor = \"{:032x}\"\nkey = \"{}\"\n",
            voter.agent,
            voter.region,
            voter.acceptor.0,
            HEXLOWER_PERMISSIVE.encode(&voter.key)
        )
        .expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters() -> Voters {
        let voter = |n: u8| Voter {
            acceptor: AcceptorId(u128::from(n) << 90 | 5),
            agent: format!("a{n}").parse().expect("a name"),
            region: format!("r{n}").parse().expect("a name"),
            key: [n; 32],
        };
        Voters::stable(MeshId(77), 1, vec![voter(1), voter(2), voter(3)])
    }

    #[test]
    fn what_is_written_is_read() {
        let text = voters_to_toml(&voters());
        assert_eq!(voters_from_toml(&text).expect("voters"), voters());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let text = voters_to_toml(&voters());
        let cases = [
            (text.replace("agent = \"a2\"", "agent = \"A2\""), "`voter[1].agent`"),
            (text.replace("region = \"r3\"", "region = \"\""), "`voter[2].region`"),
            (text.replace("key = \"01", "key = \"0x"), "`voter[0].key`: expected 64"),
            (text.replace("mesh = \"0", "mesh = \""), "`mesh`: expected 32"),
            (text.replace("a2", "a1"), "two voters share"),
            (text.replace("version = 1", "version = \"1\""), "version"),
            (text.replace("version = 1", "version = 1\nhue = 2"), "unknown field `hue`"),
            ("mesh = \"00000000000000000000000000000001\"\nversion = 1\n".into(), "found 0"),
        ];
        for (text, expected) in cases {
            let error = voters_from_toml(&text).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_voters(Path::new("/nowhere/voters.toml")).expect_err("missing");
        assert_eq!(error.to_string(), "cannot read `/nowhere/voters.toml`");
    }
}
