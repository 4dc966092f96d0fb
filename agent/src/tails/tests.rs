use std::sync::mpsc;

use consensus::model::{Driver, Record};

use super::*;
use crate::status::fixture;

fn stacks() -> [StackId; 2] {
    ["aws-east", "do-west"].map(|name| name.parse().expect("a name"))
}

fn of(data: &[&str]) -> Vec<RecordData> {
    let datum = |it: &&str| match it.parse() {
        Ok(address) => RecordData::Address(address),
        Err(_) => RecordData::Name((*it).to_owned()),
    };
    data.iter().map(datum).collect()
}

fn definition(kind: RecordKind, before: &[&str], after: &[&str]) -> Definition {
    let state = fixture::shop_state(consensus::model::Phase::Idle);
    let [east, west] = stacks();
    let record = |name: &str| Record {
        name: name.to_owned(),
        kind,
        ttl: 30,
        values: [(east.clone(), of(before)), (west.clone(), of(after))].into(),
        driver: Driver::BuiltIn,
    };
    let records = vec![record("shop.example.com"), record("*.shop.example.com")];
    Definition { records, ..Definition::clone(&state.definition) }
}

/// What is told.
fn ends() -> (mpsc::Receiver<Ended>, impl Fn(&Ended) + Clone + Send + 'static) {
    let (tell, told) = mpsc::channel();
    (told, move |ended: &Ended| tell.send(ended.clone()).expect("a test that listens"))
}

#[test]
fn old_is_what_only_the_stack_before_has() {
    use RecordKind::{A, Aaaa, Cname, Txt};
    let [east, west] = stacks();
    for (kind, before, after, old) in [
        (A, &["192.0.2.1"][..], &["192.0.2.2"][..], &["192.0.2.1"][..]),
        (Aaaa, &["2001:db8::1"], &["2001:db8::2"], &["2001:db8::1"]),
        (Cname, &["East.example.net."], &["west.example.net"], &["east.example.net"]),
        // What both have, as a proxy before them, says nothing.
        (A, &["192.0.2.1", "192.0.2.9"], &["192.0.2.9"], &["192.0.2.1"]),
        (A, &["192.0.2.9"], &["192.0.2.9"], &[]),
        // What weighs more stands there more often.
        (A, &["192.0.2.1", "192.0.2.1"], &["192.0.2.2"], &["192.0.2.1"]),
        // Nobody is sent anywhere by it.
        (Txt, &["one"], &["two"], &[]),
    ] {
        let found = old_answers(&definition(kind, before, after), &east, &west);
        assert!(found.keys().all(|(name, _)| name == "shop.example.com"), "{found:?}");
        let found: BTreeSet<_> = found.into_values().flatten().collect();
        assert_eq!(found, old.iter().map(|it| (*it).to_owned()).collect(), "{before:?} {after:?}");
    }
}

/// A tail of before that is still shown, and a move by which nothing changes that could be asked for.
#[tokio::test]
async fn a_move_that_changes_no_answer_is_not_watched() {
    let tails = Tails::showing(fixture::tails());
    let mut state = fixture::shop_state(consensus::model::Phase::Idle);
    state.definition = Arc::new(definition(RecordKind::A, &["192.0.2.9"], &["192.0.2.9"]));
    let [east, west] = stacks();
    state.active = west;
    let resolvers = ["192.0.2.53:53".parse().expect("an address")];
    let (told, tell) = ends();
    let asked = tails.watch(&state, east, &resolvers, tell);
    assert!(asked.is_empty() && tails.views().is_empty(), "nobody is asked, nothing is shown");
    assert_eq!(told.try_recv().map(|ended| ended.how), Ok(Ending::Moved), "of the one before");
}

#[tokio::test]
async fn who_has_not_followed_in_time_is_not_shown_as_if_it_were_asked_still() {
    let resolver = "127.0.0.1:9".parse().expect("an address");
    let [from, to] = stacks();
    let old = OldView { name: "shop.example.com".into(), value: "192.0.2.1".into(), left_ms: 9 };
    let view = ResolverView { resolver, old: vec![old], followed_ms: None, why: None };
    let app: AppId = "shop".parse().expect("a name");
    let tails =
        Tails::showing(vec![TailView { app: app.clone(), from, to, resolvers: vec![view] }]);
    tails.clone().ask(app, resolver, Arc::default(), Instant::now()).await;
    let shown = tails.views();
    let view = &shown[0].resolvers[0];
    assert!(view.old.is_empty() && view.followed_ms.is_none(), "{view:?}");
    assert!(view.why.as_ref().is_some_and(|why| why.contains("is asked no more")), "{view:?}");
}

#[test]
fn an_agent_that_starts_soon_after_a_move_watches_it_and_no_older_one() {
    let mut state = fixture::shop_state(consensus::model::Phase::Idle);
    let [east, west] = stacks();
    (state.decision.from, state.decision.to, state.active) = (east.clone(), west.clone(), west);
    state.decision.wall_ms = clock::wall_ms();
    assert_eq!(moved_lately(&state), Some(east));
    state.decision.wall_ms -= 2 * 3_600_000;
    assert_eq!(moved_lately(&state), None);
    state.decision.wall_ms = clock::wall_ms();
    state.decision.from = state.decision.to.clone();
    assert_eq!(moved_lately(&state), None);
}

#[tokio::test]
async fn the_end_of_a_tail_is_told_once_and_that_of_one_that_another_move_replaced() {
    let tails = Tails::default();
    let mut state = fixture::shop_state(consensus::model::Phase::Idle);
    let [east, west] = stacks();
    let resolvers: [SocketAddr; 2] =
        ["127.0.0.1:9", "127.0.0.1:10"].map(|it| it.parse().expect("an address"));
    let (told, tell) = ends();
    let mut moved = |epoch: u32, from: &StackId, to: &StackId| {
        state.definition = Arc::new(definition(RecordKind::A, &["192.0.2.1"], &["192.0.2.2"]));
        (state.epoch, state.active) = (Epoch(epoch), to.clone());
        tails.watch(&state, from.clone(), &resolvers, tell.clone())
    };
    let first = moved(4, &east, &west);
    assert!(told.try_recv().is_err(), "it is watched");
    let second = moved(5, &west, &east);
    let ended = told.try_recv().expect("the first is over");
    assert_eq!((ended.how, ended.epoch, &ended.tail.to), (Ending::Moved, Epoch(4), &west));
    drop(first);
    for resolver in resolvers {
        tails.update(&fixture::name("shop"), resolver, |view| view.followed_ms = Some(7));
    }
    // Whoever was watching the first learns nothing of the second.
    assert_eq!(tails.end(&fixture::name("shop"), Epoch(4), &west), None);
    let ended = tails.end(&fixture::name("shop"), Epoch(5), &east).expect("it is told");
    assert_eq!((ended.how, ended.epoch), (Ending::Followed, Epoch(5)));
    assert_eq!(tails.end(&fixture::name("shop"), Epoch(5), &east), None, "once");
    let third = moved(6, &east, &west);
    assert!(told.try_recv().is_err(), "the end of the second was told before");
    tails.update(&fixture::name("shop"), resolvers[0], |view| view.followed_ms = Some(7));
    let ended = tails.end(&fixture::name("shop"), Epoch(6), &west).expect("it is told");
    assert_eq!(ended.how, Ending::Late, "one of two has followed");
    drop((second, third));
}
