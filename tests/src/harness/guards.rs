//! The agents on the databases' own hosts: `g1` on `s1`, `g2` on `s2`, and so on; observers that hold the doors.

use std::path::Path;
use std::time::Duration;

use super::agents::{Agent, Mesh, enrol};
use super::fabric::{REGIONS, address};
use super::lab::{Lab, server_user};
use super::postgres::{Postgres, program};
use super::wait::eventually;

/// The longest a door stays open that nobody holds: PROTOCOL.md C.1.
pub const LEASE: Duration = Duration::from_secs(10);

/// The hosts that databases may be on.
const HOSTS: [&str; 3] = ["s1", "s2", "dns"];

/// What a guard's file says beside the rest: a door for each of these databases, which the agents and the replicas pass.
fn doors(databases: &[(&str, u16)]) -> String {
    doors_for(REGIONS.iter().chain(&HOSTS), databases)
}

/// The same, of a door that the replicas alone pass.
pub fn private_door() -> String {
    doors_for(HOSTS.iter(), &[("orders", 5432)])
}

fn doors_for<'a>(
    known: impl Iterator<Item = &'a &'static str>,
    databases: &[(&str, u16)],
) -> String {
    let allow: Vec<_> = known.map(|host| format!("\"{}\"", address(host))).collect();
    let allow = allow.join(", ");
    let door = |(name, port): &(&str, u16)| {
        format!(
            "\n[[guard.door]]\napp = \"shop\"\ndatabase = \"{name}\"\nports = [{port}]\nallow = [{allow}]\n"
        )
    };
    databases.iter().map(door).collect()
}

/// The words of the program in `deploy` that makes this server a replica again, with which it can be rebuilt, too.
pub fn rejoin(server: &Postgres<'_>) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/rejoin-postgres");
    let (data, bin) = (server.folder().display().to_string(), program("").display().to_string());
    let mut words = vec![script.display().to_string(), "--data".into(), data, "--bin".into(), bin];
    if let Some(user) = server_user() {
        words.extend(["--user".to_owned(), user.to_owned()]);
    }
    let [stop, start] = server.service();
    words.extend(["--stop".to_owned(), stop, "--start".to_owned(), start]);
    words.extend(["--rebuild".to_owned(), server.rebuild()]);
    words
}

/// Enrols both guards; neither runs yet.
pub fn enrolled<'a>(lab: &'a Lab, mesh: &Mesh<'a>) -> [Agent<'a>; 2] {
    enrolled_at(lab, mesh, 5432)
}

/// The same, with doors in front of this port.
pub fn enrolled_at<'a>(lab: &'a Lab, mesh: &Mesh<'a>, port: u16) -> [Agent<'a>; 2] {
    let doors = [("orders", port)];
    [("g1", "s1"), ("g2", "s2")].map(|(name, host)| enrolled_as(lab, mesh, (name, host), &doors))
}

/// The same for each of these stacks, with doors in front of each of these databases.
pub fn enrolled_of<'a>(
    lab: &'a Lab,
    mesh: &Mesh<'a>,
    databases: &[(&str, u16)],
    stacks: &[(&str, &str)],
) -> Vec<Agent<'a>> {
    stacks.iter().map(|(host, name)| enrolled_as(lab, mesh, (name, host), databases)).collect()
}

fn enrolled_as<'a>(
    lab: &'a Lab,
    mesh: &Mesh<'a>,
    (name, host): (&str, &str),
    databases: &[(&str, u16)],
) -> Agent<'a> {
    let home = enrol(&mesh.folder, name, host, false);
    let mut guard = Agent::new(lab, name, host, &home);
    guard.set_up(|setup| {
        setup.seeds = mesh.hosts();
        setup.more = doors(databases);
    });
    guard
}

/// Enrols both guards and starts them: from here on no client reaches either database until the app is applied.
pub fn start<'a>(lab: &'a Lab, mesh: &Mesh<'a>) -> [Agent<'a>; 2] {
    let mut guards = enrolled(lab, mesh);
    guards.iter_mut().for_each(Agent::start);
    guards
}

/// Waits until a guard holds its database open.
pub fn holds(guard: &Agent<'_>, limit: Duration) {
    eventually(limit, &format!("{} holds its door open", guard.name), || {
        let lease = guard.app("shop")?.lease.ok_or("nothing is guarded")?;
        let mut guards = lease.guards.iter();
        match guards.any(|it| it.guard.as_str() == guard.name && it.open_ms > 0) {
            true => Ok(()),
            false => Err(format!("{:?}", lease.guards)),
        }
    });
}
