use std::os::unix::fs::PermissionsExt;

use consensus::message::{Accepted, Value};
use consensus::model::{AcceptorId, Ballot, RegisterId};
use tempfile::TempDir;

use super::*;

const MESH: MeshId = MeshId(1);
const SEED_BYTES: [u8; 32] = [7; 32];

fn agent(name: &str) -> AgentId {
    name.parse().expect("a name")
}

fn voter() -> Voter {
    Voter {
        acceptor: AcceptorId(5),
        agent: agent("a1"),
        region: "eu".parse().expect("a name"),
        key: evidence_key(&SEED_BYTES),
    }
}

fn made() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let birth = Birth { mesh: MESH, agent: agent("a1"), acceptor: Some(AcceptorId(5)) };
    create(folder.path(), birth, Some(&SEED_BYTES)).expect("a store");
    folder
}

fn open(folder: &Path) -> Result<(Store, Opened), StoreError> {
    Store::open(folder, MESH, &agent("a1"), Some(&voter()))
}

fn promised(round: u64) -> Entry {
    let register = RegisterId::App("shop".parse().expect("a name"));
    Entry::Promised { register, ballot: Ballot { round, instance: 1 } }
}

fn chosen(round: u64, bytes: usize) -> Entry {
    let ballot = Ballot { round, instance: 1 };
    let register = RegisterId::App("shop".parse().expect("a name"));
    Entry::Chosen { register, accepted: Accepted { ballot, value: Value::new(vec![7; bytes]) } }
}

fn rounds(saved: &Saved) -> Vec<u64> {
    saved.registers.values().map(|register| register.promised.round).collect()
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let folder = made();
    let (mut store, opened) = open(folder.path()).expect("open");
    assert_eq!(opened.quarantine, None);
    assert_eq!(opened.ballots.expect("a voter").seed, SEED_BYTES);
    store.append(vec![Entry::Started { boot: 1 }, promised(3)]).expect("durable");
    store.append(vec![promised(4)]).expect("durable");
    drop(store);
    let (_store, opened) = open(folder.path()).expect("open");
    assert_eq!((opened.saved.boot, rounds(&opened.saved)), (1, vec![4]));
}

#[test]
fn secrets_are_for_their_owner_only() {
    let folder = made();
    let mode = |name: &str| {
        fs::metadata(folder.path().join(name)).expect("a file").permissions().mode() & 0o777
    };
    assert_eq!(mode(SEED), 0o600);
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_tears() {
    let folder = made();
    let path = folder.path().join(LOG);
    let (mut store, _) = open(folder.path()).expect("open");
    store.append(vec![promised(3)]).expect("durable");
    let kept = fs::read(&path).expect("the log");
    store.append(vec![promised(4)]).expect("durable");
    let all = fs::read(&path).expect("the log");
    drop(store);
    for end in kept.len()..all.len() {
        fs::write(&path, &all[..end]).expect("a torn log");
        let (mut store, opened) = open(folder.path()).expect("open");
        assert_eq!((opened.quarantine, rounds(&opened.saved)), (None, vec![3]), "{end}");
        store.append(vec![promised(9)]).expect("durable");
        drop(store);
        assert_eq!(rounds(&open(folder.path()).expect("open").1.saved), vec![9]);
    }
}

#[test]
fn a_damaged_voter_is_quarantined_for_good_and_still_keeps_what_was_chosen() {
    let folder = made();
    let (mut store, _) = open(folder.path()).expect("open");
    store.append(vec![promised(3), chosen(3, 10)]).expect("durable");
    drop(store);
    let path = folder.path().join(LOG);
    let mut bytes = fs::read(&path).expect("the log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("a damaged log");

    let (mut store, opened) = open(folder.path()).expect("open");
    assert!(opened.ballots.is_none() && opened.saved.registers.is_empty());
    let Some(Quarantine::Damaged { what, kept }) = opened.quarantine else {
        panic!("expected damage, found {:?}", opened.quarantine);
    };
    assert!(what.starts_with("damaged at byte "), "{what}");
    assert_eq!(fs::read(kept).expect("kept aside"), bytes);
    store.append(vec![chosen(8, 10)]).expect("durable");
    drop(store);

    let (_store, opened) = open(folder.path()).expect("open");
    assert_eq!(opened.quarantine, Some(Quarantine::Reborn(folder.path().to_owned())));
    assert!(opened.ballots.is_none());
    let chosen = opened.saved.registers.values().next().and_then(|known| known.chosen.clone());
    assert_eq!(chosen.expect("what DNS answers from").ballot.round, 8);
}

#[test]
fn a_voter_without_its_store_is_quarantined_and_an_observer_begins_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, opened) = open(folder.path()).expect("open");
    assert_eq!(opened.quarantine, Some(Quarantine::Missing(folder.path().to_owned())));
    assert!(opened.ballots.is_none());

    let empty = made();
    fs::write(empty.path().join(LOG), b"").expect("an empty log");
    let (_store, opened) = open(empty.path()).expect("open");
    assert!(matches!(opened.quarantine, Some(Quarantine::Damaged { .. })));

    let folder = tempfile::tempdir().expect("a folder");
    let new = folder.path().join("deeper/data");
    let (_store, opened) = Store::open(&new, MESH, &agent("w1"), None).expect("open");
    assert_eq!(opened.quarantine, None);
}

#[test]
fn a_store_or_key_that_the_voters_do_not_know_does_not_vote() {
    let folder = made();
    let other = Voter { acceptor: AcceptorId(6), ..voter() };
    let (_, opened) = Store::open(folder.path(), MESH, &agent("a1"), Some(&other)).expect("open");
    assert_eq!(opened.quarantine, Some(Quarantine::OtherStore(folder.path().to_owned())));

    let seed = folder.path().join(SEED);
    fs::write(&seed, HEXLOWER.encode(&[8; 32])).expect("another key");
    let (_, opened) = open(folder.path()).expect("open");
    assert_eq!(opened.quarantine, Some(Quarantine::Key(seed.clone())));
    fs::remove_file(&seed).expect("no key");
    let (_, opened) = open(folder.path()).expect("open");
    assert_eq!(opened.quarantine, Some(Quarantine::Key(seed.clone())));
    fs::write(&seed, HEXLOWER.encode(&SEED_BYTES)).expect("the key again");
    assert!(open(folder.path()).expect("open").1.ballots.is_some());
}

#[test]
fn a_folder_serves_one_process_at_a_time() {
    let folder = made();
    let (store, _) = open(folder.path()).expect("open");
    let error = open(folder.path()).expect_err("locked").to_string();
    assert!(error.contains("is locked by another agent"), "{error}");
    drop(store);
    open(folder.path()).expect("free again");
}

#[test]
fn a_folder_of_another_agent_or_mesh_is_left_alone() {
    let folder = made();
    for (mesh, name) in [(MeshId(2), "a1"), (MESH, "a2")] {
        let error = Store::open(folder.path(), mesh, &agent(name), None).expect_err("foreign");
        assert!(error.to_string().contains("belongs to agent `a1` of mesh"), "{error}");
    }
    assert_eq!(open(folder.path()).expect("untouched").1.quarantine, None);
}

#[test]
fn a_store_is_made_once() {
    let folder = made();
    let birth = Birth { mesh: MESH, agent: agent("a1"), acceptor: Some(AcceptorId(6)) };
    assert!(matches!(create(folder.path(), birth, None), Err(StoreError::Exists(_))));
}

#[test]
fn a_long_log_is_rewritten_and_says_the_same() {
    let folder = made();
    let (mut store, _) = open(folder.path()).expect("open");
    let big = 150 * 1024;
    for round in 1..=60 {
        store.append(vec![chosen(round, big), promised(round)]).expect("durable");
    }
    let length = fs::metadata(folder.path().join(LOG)).expect("the log").len();
    assert!(length < COMPACT_BEYOND as u64 + 2 * big as u64, "{length}");
    let expected = store.saved.clone();
    drop(store);
    let (mut store, opened) = open(folder.path()).expect("open");
    assert_eq!(opened.saved, expected);
    store.append(vec![promised(99)]).expect("durable");
    drop(store);
    assert_eq!(rounds(&open(folder.path()).expect("open").1.saved), vec![99]);
}

#[test]
fn after_a_failed_write_a_store_takes_nothing_more() {
    let folder = made();
    let (mut store, _) = open(folder.path()).expect("open");
    store.fill_the_disk();
    let error = store.append(vec![promised(3)]).expect_err("a full disk");
    assert!(error.to_string().starts_with("cannot write `"), "{error}");
    // Even once there would be room again.
    store.log = File::create(folder.path().join("elsewhere")).expect("a file");
    assert!(matches!(store.append(vec![promised(4)]), Err(StoreError::Broken(_))));
    drop(store);
    assert_eq!(rounds(&open(folder.path()).expect("open").1.saved), Vec::<u64>::new());
}

#[test]
fn a_failed_sync_is_a_failure_too() {
    let folder = made();
    let (mut store, _) = open(folder.path()).expect("open");
    // A pipe takes every byte and syncs none.
    let (_reader, writer) = io::pipe().expect("a pipe");
    store.log = File::from(std::os::fd::OwnedFd::from(writer));
    let error = store.append(vec![promised(3)]).expect_err("no sync");
    assert!(error.to_string().starts_with("cannot sync `"), "{error}");
    assert!(matches!(store.append(vec![promised(4)]), Err(StoreError::Broken(_))));
}
