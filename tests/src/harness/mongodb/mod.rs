//! A replica set whose members are scripted ([`member`]), and a real client that accepts it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::net::TcpListener;

use super::lab::build_folder;
use super::postgres::{PASSWORD, USER};

pub mod member;

use member::Set;

/// Members on loopback, served by this process for as long as its runtime lives.
pub struct Loopback {
    /// Where each listens.
    pub members: Vec<SocketAddr>,
    /// What they agree on.
    pub file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Loopback {
    /// So many members, of which the first is the primary.
    pub async fn start(number: usize) -> Self {
        let folder = tempfile::tempdir().expect("the system's folder takes files");
        let file = folder.path().join("set.json");
        let mut listeners = Vec::new();
        for _ in 0..number {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        }
        let members: Vec<_> = listeners.iter().map(|it| it.local_addr().expect("bound")).collect();
        let names: Vec<_> = members.iter().map(ToString::to_string).collect();
        Set::of(&names).write(&file);
        for (listener, name) in listeners.into_iter().zip(names) {
            let login = (USER.to_owned(), PASSWORD.to_owned());
            tokio::spawn(member::serve(listener, name, file.clone(), login));
        }
        Self { members, file, _folder: folder }
    }

    /// A member's name.
    pub fn name(&self, number: usize) -> String {
        self.members[number].to_string()
    }

    /// Changes what they agree on.
    pub fn change(&self, change: impl FnOnce(&mut Set)) {
        Set::change(&self.file, change);
    }

    /// What they agree on.
    pub fn set(&self) -> Set {
        Set::read(&self.file)
    }
}

/// A Python that has pymongo: `./tests/run install` makes it.
pub fn python() -> PathBuf {
    let folder = build_folder();
    let target = folder.ancestors().nth(2).expect("`target/PROFILE/processes`");
    let python = target.join("pymongo/bin/python");
    assert!(python.exists(), "no {}: run `./tests/run install`", python.display());
    python
}

/// The real client, about to be run against these members.
pub fn client(command: &mut Command, members: &[String]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/harness/mongodb/client.py");
    command.arg(script).arg(members.join(",")).args([USER, PASSWORD]);
}
