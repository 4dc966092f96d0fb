//! Specs → a folder with the authority, and one folder an agent with all it needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use consensus::config::BallotStore;
use consensus::message::Accepted;
use consensus::model::{MeshId, RegisterId, Voter, Voters};
use consensus::saved::SavedRegister;
use ring::rand::{SecureRandom, SystemRandom};

use super::spec::Spec;
use crate::identity::{Authority, AuthorityError, Member, voters_to_toml, write_secret};
use crate::store::{self, StoreError};

/// Why there is no mesh.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Something is there.
    #[error("`{}` is there already and holds something: a mesh is made once; name another folder with `--out`", .0.display())]
    Exists(PathBuf),
    /// The file system refuses.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error("cannot make certificates")]
    Authority(#[from] AuthorityError),
    /// No store could be made.
    #[error("cannot make a store")]
    Store(#[from] StoreError),
    /// The system gives no randomness.
    #[error("the system gives no random numbers")]
    Random,
}

fn failed<'p>(
    doing: &'static str,
    path: &'p Path,
) -> impl FnOnce(io::Error) -> InitError + use<'p> {
    move |source| InitError::Io { doing, path: path.to_owned(), source }
}

/// What an agent's store is born with.
struct Newborn<'s> {
    spec: &'s Spec,
    ballots: Option<BallotStore>,
}

/// What is known from the start: of a new mesh nothing, of a recovered one what its voters are to take for chosen.
pub type Known = BTreeMap<RegisterId, Accepted>;

/// Makes `out` with everything in it, or leaves nothing behind.
pub fn make(out: &Path, data_dir: &Path, specs: &[Spec], known: &Known) -> Result<(), InitError> {
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) || out.is_file() {
        return Err(InitError::Exists(out.to_owned()));
    }
    let name = out.file_name().map_or_else(|| "mesh".into(), |name| name.to_string_lossy());
    let partial = out.with_file_name(format!(".{name}.{}", std::process::id()));
    let made = fill(&partial, data_dir, specs, known)
        .and_then(|()| fs::rename(&partial, out).map_err(failed("make", out)));
    if made.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    made
}

fn fill(folder: &Path, data_dir: &Path, specs: &[Spec], known: &Known) -> Result<(), InitError> {
    make_folder(folder)?;
    let mesh = MeshId(u128::from_be_bytes(random()?));
    let authority = Authority::create(mesh)?;
    write(&folder.join("mesh.crt"), authority.certificate_pem())?;
    let key = folder.join("authority.key");
    write_secret(&key, authority.key_pem().as_bytes()).map_err(failed("write", &key))?;
    let mut newborns = Vec::new();
    for spec in specs {
        let ballots = if spec.voter { Some(store::draw()?) } else { None };
        newborns.push(Newborn { spec, ballots });
    }
    let voters = voters_to_toml(&voters(mesh, &newborns));
    for newborn in &newborns {
        let home = folder.join(newborn.spec.name.as_str());
        fill_home(&home, data_dir, newborn, (&authority, &voters), specs)?;
        let ballots = newborn.ballots.as_ref();
        let mut saved = store::newborn(mesh, &newborn.spec.name, ballots);
        saved.registers = known.iter().map(|(id, it)| (id.clone(), held(it, ballots))).collect();
        // Always made here, and moved by hand where `data_dir` lies elsewhere: this may not be the agent's host.
        store::create(&home.join("data"), &saved, ballots)?;
    }
    Ok(())
}

fn voters(mesh: MeshId, newborns: &[Newborn<'_>]) -> Voters {
    let mut members: Vec<Voter> = newborns
        .iter()
        .filter_map(|newborn| {
            let BallotStore { acceptor, seed } = newborn.ballots.as_ref()?;
            Some(Voter {
                acceptor: *acceptor,
                agent: newborn.spec.name.clone(),
                region: newborn.spec.region.clone(),
                key: store::evidence_key(seed),
            })
        })
        .collect();
    members.sort_by(|one, other| one.agent.cmp(&other.agent));
    Voters::stable(mesh, 1, members)
}

fn fill_home(
    home: &Path,
    data_dir: &Path,
    newborn: &Newborn<'_>,
    (authority, voters): (&Authority, &str),
    specs: &[Spec],
) -> Result<(), InitError> {
    let spec = newborn.spec;
    make_folder(home)?;
    let member = Member { name: spec.name.clone(), region: spec.region.clone(), voter: spec.voter };
    let issued = authority.issue(&member)?;
    write(&home.join("agent.crt"), &issued.certificate_pem)?;
    let key = home.join("agent.key");
    write_secret(&key, issued.key_pem.as_bytes()).map_err(failed("write", &key))?;
    write(&home.join("mesh.crt"), authority.certificate_pem())?;
    write(&home.join("voters.toml"), voters)?;
    write(&home.join("agent.toml"), &agent_file(spec, data_dir, specs))
}

/// A register as an agent holds it of which everybody knows what was chosen: a voter has accepted that, too.
fn held(chosen: &Accepted, ballots: Option<&BallotStore>) -> SavedRegister {
    let chosen = Some(chosen.clone());
    match ballots {
        None => SavedRegister { chosen, ..SavedRegister::default() },
        Some(_) => SavedRegister {
            promised: chosen.as_ref().map(|it| it.ballot).unwrap_or_default(),
            accepted: chosen.clone(),
            chosen,
        },
    }
}

fn agent_file(spec: &Spec, data_dir: &Path, specs: &[Spec]) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let seeds: Vec<String> = specs
        .iter()
        .filter(|other| other.name != spec.name)
        .map(|other| quoted(&other.address.text))
        .collect();
    let role = if spec.voter { "voter" } else { "observer" };
    let mut text = format!(
        "# Agent {} ({role} in {}): written by `quorate init`. Relative paths start from this file.\n\n\
         [agent]\ndata_dir = {}\n\n\
         [mesh]\nlisten = \"{}\"\nadvertise = {}\nseeds = [{}]\ncertificate = \"agent.crt\"\nkey = \"agent.key\"\n\
         authority = \"mesh.crt\"\nvoters = \"voters.toml\"\n\n\
         [status]\nlisten = \"{}\"\n",
        spec.name,
        spec.region,
        quoted(&data_dir.to_string_lossy()),
        spec.listen,
        quoted(&spec.address.text),
        seeds.join(", "),
        spec.status,
    );
    match spec.dns {
        Some(dns) => write!(text, "\n[dns]\nlisten = [\"{dns}\"]\n"),
        None => write!(text, "\n# [dns]\n# listen = [\"ADDRESS:53\"]\n"),
    }
    .expect("writing to a string cannot fail");
    text.push_str(
        "\n# [credentials.NAME]\n# user = \"quorate\"\n# password_file = \"NAME.password\"\n",
    );
    text
}

fn make_folder(path: &Path) -> Result<(), InitError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make", path))
}

fn write(path: &Path, text: &str) -> Result<(), InitError> {
    fs::write(path, text).map_err(failed("write", path))
}

fn random<const N: usize>() -> Result<[u8; N], InitError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| InitError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_agent;
    use crate::identity::{Identity, read_voters};
    use crate::store::{Owner, Store};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_made_is_a_mesh_whose_agents_can_start() {
        let scratch = tempfile::tempdir().expect("a folder");
        let out = scratch.path().join("mesh");
        let mut specs = super::super::spec::on_this_machine();
        specs.push("w,east,observer,h.example:4790".parse().expect("good"));
        make(&out, Path::new("data"), &specs, &Known::new()).expect("made");
        assert_eq!(
            fs::read_dir(scratch.path()).expect("own").count(),
            1,
            "nothing is left beside it"
        );
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&out.join("authority.key")), 0o600);
        for spec in &specs {
            let home = out.join(spec.name.as_str());
            assert_eq!(mode(&home.join("agent.key")), 0o600);
            let config = read_agent(&home.join("agent.toml")).expect("a good file");
            assert_eq!(config.mesh.seeds.len(), 3);
            assert_eq!(config.dns.is_some(), spec.voter);
            let voters = read_voters(&config.mesh.voters).expect("voters");
            assert_eq!(voters.members.len(), 3);
            let identity =
                Identity::load(&config.mesh, crate::clock::wall_ms()).expect("an identity");
            assert_eq!((&identity.member.name, identity.member.voter), (&spec.name, spec.voter));
            let owner = Owner {
                mesh: voters.mesh,
                agent: &spec.name,
                voter: spec.voter,
                bootstrap: voters.by_agent(&spec.name),
            };
            let (_, opened) = Store::open(&config.data_dir, owner).expect("a store");
            assert!(opened.quarantine.is_none(), "{:?}", opened.quarantine);
            assert_eq!(opened.ballots.is_some(), spec.voter);
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let scratch = tempfile::tempdir().expect("a folder");
        let specs = super::super::spec::on_this_machine();
        let out = scratch.path().join("mesh");
        fs::create_dir(&out).expect("own");
        make(&out, Path::new("data"), &specs, &Known::new()).expect("an empty folder is taken");
        let key = fs::read(out.join("authority.key")).expect("made");
        assert!(matches!(
            make(&out, Path::new("data"), &specs, &Known::new()),
            Err(InitError::Exists(_))
        ));
        assert_eq!(fs::read(out.join("authority.key")).expect("kept"), key);
    }
}
