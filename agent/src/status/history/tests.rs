use std::fs;
use std::io::Write;

use tempfile::tempdir;
use tokio::sync::watch;

use super::*;
use crate::status::fixture;
use crate::tails::Ending;

fn nothing_agreed() -> watch::Receiver<Arc<Agreed>> {
    watch::channel(Arc::default()).1
}

fn one(app: &str, epoch: u32) -> Question {
    Question { app: Some(fixture::name(app)), epoch: Some(Epoch(epoch)), limit: 1_000 }
}

#[test]
fn a_decision_is_told_whole_with_its_evidence_also_after_a_restart() {
    let folder = tempdir().expect("a folder");
    let history = History::open(folder.path(), nothing_agreed());
    for event in fixture::events() {
        history.event(&event);
    }
    for phase in [Phase::Fencing, Phase::Promoting, Phase::Idle] {
        history.state(&fixture::shop_state(phase));
    }
    history.close();

    let history = History::open(folder.path(), nothing_agreed());
    let story = history.ask(&one("shop", 4));
    assert_eq!(story.states, [fixture::shop_state(Phase::Idle)]);
    let kinds: Vec<_> = story.entries.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(kinds[..4], ["suspects", "suspects", "holds", "learns"]);
    assert_eq!(story.entries.len(), 12);
    assert_eq!((story.garbled, story.lost), (0, 0));

    history.state(&fixture::shop_state(Phase::Idle));
    history.close();
    let lines = fs::read_to_string(folder.path().join("history.jsonl")).expect("a history");
    assert_eq!(lines.lines().count(), 13 + 3, "a state that is there is not written again");
}

#[test]
fn a_torn_line_and_garbage_are_counted_and_cost_nothing_else() {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("history.jsonl");
    let events = fixture::events();
    let history = History::open(folder.path(), nothing_agreed());
    history.event(&events[0]);
    history.close();
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("a history");
    file.write_all(b"\xff\xfe\0 garbage\n{\"wall_ms\": 12, \"eve").expect("a disk");

    let history = History::open(folder.path(), nothing_agreed());
    history.event(&events[1]);
    history.close();
    let history = History::open(folder.path(), nothing_agreed());
    let story = history.ask(&Question { limit: 10, ..Question::default() });
    assert_eq!(story.entries.len(), 2);
    assert_eq!(story.garbled, 2);
}

#[test]
fn a_full_history_turns_over_and_keeps_what_holds_now() {
    let folder = tempdir().expect("a folder");
    let agreed = watch::channel(Arc::new(fixture::agreed())).1;
    let limit = 256 * 1024;
    let events = fixture::events();
    for round in 0..40 {
        let history = History::with_limit(folder.path(), agreed.clone(), limit);
        history.state(&fixture::shop_state(Phase::Promoting));
        for event in events.iter().cycle().take(events.len() * 5) {
            history.event(&Event { wall_ms: event.wall_ms + round, ..event.clone() });
        }
        history.close();
        assert_eq!(history.losses(), (0, 0));
    }
    for name in ["history.jsonl", "history.1.jsonl"] {
        let size = fs::metadata(folder.path().join(name)).expect("both are there").len();
        assert!(size <= limit, "{name} has {size} bytes");
    }
    let story = History::open(folder.path(), nothing_agreed()).ask(&one("shop", 4));
    assert_eq!(story.states.len(), 1, "the state agreed now outlives its file");
    assert!(story.entries.len() > RECENT / 2, "{}", story.entries.len());
}

#[test]
fn a_disk_that_fails_is_counted_and_stops_nothing() {
    let folder = tempdir().expect("a folder");
    fs::create_dir(folder.path().join("history.jsonl")).expect("a folder in the way");
    let history = History::open(folder.path(), nothing_agreed());
    for event in fixture::events() {
        history.event(&event);
    }
    history.close();
    assert_eq!(history.losses(), (13, 0));
    let story = history.ask(&Question { limit: 100, ..Question::default() });
    assert_eq!(story.entries.len(), 13, "what memory holds is still told");
}

#[test]
fn what_came_of_a_move_at_resolvers_is_told_once_and_no_story_is_longer_for_it() {
    let folder = tempdir().expect("a folder");
    let history = History::open(folder.path(), nothing_agreed());
    let events = fixture::events();
    for event in &events {
        history.event(event);
    }
    history.close();

    let history = History::open(folder.path(), nothing_agreed());
    let before = history.ask(&one("shop", 4)).entries;
    let late = fixture::NIGHT + 300_000;
    let between =
        events.iter().find(|it| matches!(it.note, Note::Holds { .. })).expect("one holds");
    history.event(&Event { wall_ms: late - 1, ..between.clone() });
    history.tail(&fixture::ended(Ending::Followed), late);
    history.close();

    let history = History::open(folder.path(), nothing_agreed());
    // An agent that starts soon after a move watches it once more.
    history.tail(&fixture::ended(Ending::Late), late + 1);
    let story = history.ask(&one("shop", 4)).entries;
    let (last, rest) = story.split_last().expect("entries");
    assert_eq!((last.event.as_str(), last.wall_ms), (resolvers::FOLLOWED, late));
    assert_eq!(rest, before, "what else happened meanwhile is not this decision's");
    let mut again = fixture::ended(Ending::Late);
    again.epoch = Epoch(5);
    history.tail(&again, late + 2);
    history.close();
    let story = history.ask(&one("shop", 5)).entries;
    assert_eq!(story.len(), 1, "another move is another entry, and all that is known of it");
    assert_eq!(story[0].event, resolvers::GIVEN_UP);
}
