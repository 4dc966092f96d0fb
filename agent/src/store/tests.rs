use std::os::unix::fs::PermissionsExt;

use consensus::message::{Accepted, Value};
use consensus::model::{AcceptorId, Ballot, RegisterId};
use tempfile::TempDir;

use super::folder::RESERVE;
use super::*;

const MESH: MeshId = MeshId(1);

fn agent(name: &str) -> AgentId {
    name.parse().expect("a name")
}

fn voter(ballots: &BallotStore) -> Voter {
    Voter {
        acceptor: ballots.acceptor,
        agent: agent("a1"),
        region: "eu".parse().expect("a name"),
        key: evidence_key(&ballots.seed),
    }
}

/// The folder of a voter as `quorate init` leaves it, and what `voters.toml` says of it.
struct Home {
    folder: TempDir,
    voter: Voter,
}

impl Home {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ballots = draw().expect("chance");
        let saved = newborn(MESH, &agent("a1"), Some(&ballots));
        create(folder.path(), &saved, Some(&ballots)).expect("a store");
        Self { folder, voter: voter(&ballots) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> (Store, Opened) {
        self.open_as("a1", Some(&self.voter)).expect("open")
    }

    fn open_as(&self, name: &str, voter: Option<&Voter>) -> Result<(Store, Opened), StoreError> {
        let agent = agent(name);
        let owner = Owner { mesh: MESH, agent: &agent, voter: true, bootstrap: voter };
        Store::open(self.folder.path(), owner)
    }
}

fn observer(folder: &Path) -> (Store, Opened) {
    let agent = agent("w1");
    let owner = Owner { mesh: MESH, agent: &agent, voter: false, bootstrap: None };
    Store::open(folder, owner).expect("open")
}

fn shop() -> RegisterId {
    RegisterId::App("shop".parse().expect("a name"))
}

fn promised(round: u64) -> Entry {
    Entry::Promised { register: shop(), ballot: Ballot { round, instance: 1 } }
}

fn chosen(round: u64, bytes: usize) -> Entry {
    let ballot = Ballot { round, instance: 1 };
    Entry::Chosen {
        register: shop(),
        accepted: Accepted { ballot, value: Value::new(vec![7; bytes]) },
    }
}

fn rounds(saved: &Saved) -> Vec<u64> {
    saved.registers.values().map(|register| register.promised.round).collect()
}

fn chosen_rounds(saved: &Saved) -> Vec<u64> {
    let chosen = saved.registers.values().filter_map(|register| register.chosen.as_ref());
    chosen.map(|accepted| accepted.ballot.round).collect()
}

fn id(opened: &Opened) -> AcceptorId {
    opened.ballots.as_ref().expect("a voter's store").acceptor
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let home = Home::make();
    let (mut store, opened) = home.open();
    assert_eq!((&opened.quarantine, id(&opened)), (&None, home.voter.acceptor));
    store.append(vec![Entry::Started { boot: 1 }, promised(3)]).expect("durable");
    store.append(vec![promised(4)]).expect("durable");
    drop(store);
    let (_store, opened) = home.open();
    assert_eq!((opened.saved.boot, rounds(&opened.saved)), (1, vec![4]));
}

#[test]
fn secrets_are_for_their_owner_only() {
    let home = Home::make();
    let mode =
        |name: &str| fs::metadata(home.path(name)).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(KEY), 0o600);
    fs::remove_file(home.path(LOG)).expect("own file");
    drop(home.open());
    assert_eq!(mode(KEY), 0o600, "and those of a fresh store");
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_tears() {
    let home = Home::make();
    let path = home.path(LOG);
    let (mut store, _) = home.open();
    store.append(vec![promised(3)]).expect("durable");
    let kept = fs::read(&path).expect("the log");
    store.append(vec![promised(4)]).expect("durable");
    let all = fs::read(&path).expect("the log");
    drop(store);
    for end in kept.len()..all.len() {
        fs::write(&path, &all[..end]).expect("a torn log");
        let (mut store, opened) = home.open();
        assert_eq!((opened.quarantine, rounds(&opened.saved)), (None, vec![3]), "{end}");
        store.append(vec![promised(9)]).expect("durable");
        drop(store);
        assert_eq!(rounds(&home.open().1.saved), vec![9]);
    }
}

#[test]
fn a_damaged_store_is_kept_aside_and_a_fresh_one_has_another_id() {
    let home = Home::make();
    let (mut store, _) = home.open();
    store.append(vec![promised(3), chosen(3, 10)]).expect("durable");
    drop(store);
    let mut bytes = fs::read(home.path(LOG)).expect("the log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(home.path(LOG), &bytes).expect("a damaged log");

    let (mut store, opened) = home.open();
    assert!(opened.saved.registers.is_empty());
    let Some(Quarantine::Damaged(what)) = &opened.quarantine else {
        panic!("expected damage, found {:?}", opened.quarantine);
    };
    assert!(what.starts_with("damaged at byte "), "{what}");
    let [kept] = &looks(home.folder.path()).kept[..] else { panic!("expected one log aside") };
    assert_eq!(fs::read(kept).expect("kept aside"), bytes);
    let fresh = id(&opened);
    assert_ne!(fresh, home.voter.acceptor);
    let seed = opened.ballots.as_ref().expect("a key").seed;
    assert_ne!(evidence_key(&seed), home.voter.key);
    store.append(vec![promised(5), chosen(8, 10)]).expect("durable");
    drop(store);

    let (_store, opened) = home.open();
    assert_eq!((id(&opened), rounds(&opened.saved)), (fresh, vec![5]), "the fresh one stays");
    let Some(Quarantine::Earlier(text)) = &opened.quarantine else {
        panic!("expected its story, found {:?}", opened.quarantine);
    };
    assert!(text.contains("the log was damaged at byte "), "{text}");
    assert!(text.contains(&*kept.to_string_lossy()), "{text}");
}

#[test]
fn a_store_cut_in_its_middle_is_damaged_and_one_cut_at_its_end_is_torn() {
    let home = Home::make();
    let (mut store, _) = home.open();
    let before = fs::metadata(home.path(LOG)).expect("the log").len() as usize;
    store.append(vec![promised(3)]).expect("durable");
    let after = fs::metadata(home.path(LOG)).expect("the log").len() as usize;
    store.append(vec![promised(4)]).expect("durable");
    drop(store);
    // A hole where a record was.
    let mut bytes = fs::read(home.path(LOG)).expect("the log");
    bytes.drain(before..after);
    fs::write(home.path(LOG), &bytes).expect("a cut log");
    let (_, opened) = home.open();
    assert!(matches!(opened.quarantine, Some(Quarantine::Damaged(_))), "{:?}", opened.quarantine);
}

#[test]
fn a_voter_without_its_log_begins_a_fresh_one_and_so_does_one_that_was_enrolled_later() {
    let home = Home::make();
    fs::remove_file(home.path(LOG)).expect("own file");
    let (_, opened) = home.open();
    assert_eq!(opened.quarantine, Some(Quarantine::Missing));
    assert_ne!(id(&opened), home.voter.acceptor);
    // Its boots count on from where the mesh may remember them.
    assert!(1_000_000 < opened.saved.boot);

    fs::write(home.path(LOG), b"").expect("an empty log");
    let (_, opened) = home.open();
    assert!(matches!(opened.quarantine, Some(Quarantine::Damaged(_))));

    let folder = tempfile::tempdir().expect("a folder");
    let later = Home { folder, voter: home.voter.clone() };
    let (_, opened) = later.open_as("a4", None).expect("open");
    assert_eq!(opened.quarantine, None);
    let first = id(&opened);
    drop(opened);
    assert_eq!(id(&later.open_as("a4", None).expect("open").1), first);
}

#[test]
fn an_observer_has_no_id_until_its_certificate_says_that_it_votes() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = folder.path().join("deeper/data");
    let (mut store, opened) = observer(&new);
    assert!(opened.quarantine.is_none() && opened.ballots.is_none());
    store.append(vec![chosen(6, 10)]).expect("durable");
    drop(store);
    let agent = agent("w1");
    let owner = Owner { mesh: MESH, agent: &agent, voter: true, bootstrap: None };
    let (_store, opened) = Store::open(&new, owner).expect("open");
    assert!(opened.quarantine.is_none() && opened.ballots.is_some());
    assert_eq!(chosen_rounds(&opened.saved), [6], "what it knew it still knows");
}

#[test]
fn a_key_that_does_not_belong_to_the_log_costs_the_log_its_vote() {
    let spoil: [fn(&Home); 3] = [
        |home| fs::remove_file(home.path(KEY)).expect("own file"),
        |home| fs::write(home.path(KEY), "00").expect("own file"),
        |home| key::write(home.folder.path(), &draw().expect("chance")).expect("another key"),
    ];
    for spoil in spoil {
        let home = Home::make();
        spoil(&home);
        let (_, opened) = home.open();
        assert_eq!(opened.quarantine, Some(Quarantine::Key));
        assert_ne!(id(&opened), home.voter.acceptor);
    }
    let home = Home::make();
    let other = Voter { key: [9; 32], ..home.voter.clone() };
    let (_, opened) = home.open_as("a1", Some(&other)).expect("open");
    assert_eq!(opened.quarantine, Some(Quarantine::Key), "the voters know another");
}

#[test]
fn a_store_of_which_more_was_seen_than_it_holds_is_out_for_good() {
    let home = Home::make();
    let (mut store, _) = home.open();
    let a3 = agent("a3");
    let why = consensus::model::Quarantined::RolledBack { by: a3, seen: 12, holds: 9 };
    let other = AcceptorId(8);
    let entries = vec![
        Entry::Started { boot: 7 },
        promised(3),
        chosen(3, 10),
        Entry::Sighted { acceptor: other, changes: 40 },
        Entry::Quarantined(why),
    ];
    store.append(entries).expect("durable");
    drop(store);
    let (_, opened) = home.open();
    assert_ne!(id(&opened), home.voter.acceptor);
    let text = opened.quarantine.expect("told").to_string();
    assert!(text.contains("holds 9 changes, and a3 has seen 12"), "{text}");
    assert_eq!((rounds(&opened.saved), chosen_rounds(&opened.saved)), (vec![0], vec![3]));
    assert!(7 < opened.saved.boot, "{}", opened.saved.boot);
    assert_eq!(opened.saved.sightings.get(&other), Some(&40), "what it knows of others stays true");
    assert_eq!((opened.saved.changes, opened.saved.quarantined), (0, None));
    let (_, opened) = home.open();
    assert!(matches!(opened.quarantine, Some(Quarantine::Earlier(_))), "{:?}", opened.quarantine);
}

#[test]
fn a_disk_that_damages_every_log_is_not_filled_with_them() {
    let home = Home::make();
    let mut kept = Vec::new();
    for _ in 0..6 {
        fs::write(home.path(LOG), b"nonsense, and more of it").expect("a damaged log");
        drop(home.open());
        kept = looks(home.folder.path()).kept;
    }
    assert!((1..=3).contains(&kept.len()), "{kept:?}");
}

#[test]
fn a_folder_serves_one_process_at_a_time() {
    let home = Home::make();
    let (store, _) = home.open();
    let error = home.open_as("a1", Some(&home.voter)).expect_err("locked").to_string();
    assert!(error.contains("is locked by another agent"), "{error}");
    drop(store);
    home.open();
}

#[test]
fn a_folder_of_another_agent_or_mesh_is_left_alone() {
    let home = Home::make();
    let other = agent("a2");
    let owner = Owner { mesh: MESH, agent: &other, voter: true, bootstrap: None };
    for owner in [owner, Owner { mesh: MeshId(2), agent: &home.voter.agent, ..owner }] {
        let error = Store::open(home.folder.path(), owner).expect_err("foreign");
        assert!(error.to_string().contains("belongs to agent `a1` of mesh"), "{error}");
    }
    assert_eq!(home.open().1.quarantine, None);
}

#[test]
fn a_store_is_made_once() {
    let home = Home::make();
    let saved = newborn(MESH, &agent("a1"), None);
    assert!(matches!(create(home.folder.path(), &saved, None), Err(StoreError::Exists(_))));
}

#[test]
fn a_long_log_is_rewritten_and_says_the_same() {
    let home = Home::make();
    let (mut store, _) = home.open();
    let big = 150 * 1024;
    for round in 1..=60 {
        store.append(vec![chosen(round, big), promised(round)]).expect("durable");
    }
    let length = fs::metadata(home.path(LOG)).expect("the log").len();
    assert!(length < COMPACT_BEYOND as u64 + 2 * big as u64, "{length}");
    let expected = store.saved.clone();
    drop(store);
    let (mut store, opened) = home.open();
    assert_eq!(opened.saved, expected);
    store.append(vec![promised(99)]).expect("durable");
    drop(store);
    assert_eq!(rounds(&home.open().1.saved), vec![99]);
}

#[test]
fn after_a_failed_write_a_store_takes_nothing_more() {
    let home = Home::make();
    let (mut store, _) = home.open();
    store.fill_the_disk();
    let error = store.append(vec![promised(3)]).expect_err("a full disk");
    assert!(error.to_string().starts_with("cannot write `"), "{error}");
    // Even once there would be room again.
    store.log = File::create(home.path("elsewhere")).expect("a file");
    assert!(matches!(store.append(vec![promised(4)]), Err(StoreError::Broken(_))));
    drop(store);
    assert_eq!(rounds(&home.open().1.saved), Vec::<u64>::new());
    assert!(home.path(RESERVE).exists());
}

#[test]
fn a_failed_sync_is_a_failure_too() {
    let home = Home::make();
    let (mut store, _) = home.open();
    // A pipe takes every byte and syncs none.
    let (_reader, writer) = io::pipe().expect("a pipe");
    store.log = File::from(std::os::fd::OwnedFd::from(writer));
    let error = store.append(vec![promised(3)]).expect_err("no sync");
    assert!(error.to_string().starts_with("cannot sync `"), "{error}");
    assert!(matches!(store.append(vec![promised(4)]), Err(StoreError::Broken(_))));
}
