//! What Route 53 refuses, limits and holds besides plain records, met by the driver.

use super::emulators::route53::{Pace, SECRET, value};
use super::*;
use crate::common::eventually;
use crate::report;

const KEY: &str = "AKIDEXAMPLE";
const CHANGED: &str = "changed: shop.dyn.example. 192.0.2.2";

fn good() -> Credentials {
    with_token(Some(KEY), SECRET)
}

fn here(book: &emulators::Server, sets: Vec<RecordSet>) -> Effect {
    to(Provider::Route53, &book.url(), sets)
}

fn one() -> Vec<RecordSet> {
    vec![addresses(&["192.0.2.2"])]
}

/// Publishes by actors whose clock is this.
async fn by_clock(book: &emulators::Server, wall_ms: fn() -> u64) -> Result<Done, ActionFault> {
    let actors = |credentials, inputs| Actors::new(credentials, inputs).with_wall(wall_ms);
    let (deadline, limit) = (clock::now() + Duration::from_secs(5), Duration::from_secs(5));
    report(actors, &good(), token(2, 4), here(book, one()), deadline, limit).await.result
}

/// What a look finds: of whoever holds the zone, and of those servers that do not say what was decided.
async fn seen(
    actors: &Actors,
    inputs: &mut mpsc::Receiver<Input>,
    book: &emulators::Server,
    holder: bool,
) -> (Held, Vec<String>) {
    actors.inspect(Inspection {
        shortened: 0,
        app: "shop".parse().expect("a name"),
        token: token(2, 4),
        publications: vec![here(book, one())],
        holder,
    });
    match inputs.recv().await {
        Some(Input::Inspected(mut inspected)) => {
            let name = inspected.names.remove(0);
            (name.held, name.wrong)
        }
        other => panic!("{other:?}"),
    }
}

async fn look(book: &emulators::Server) -> Held {
    let (sender, mut inputs) = mpsc::channel(1);
    let actors = Actors::new(Arc::new(good()), sender);
    seen(&actors, &mut inputs, book, true).await.0
}

/// What is begun by these actors, with this limit.
async fn publish_by(
    actors: &Actors,
    inputs: &mut mpsc::Receiver<Input>,
    effect: Effect,
    limit: Duration,
) -> Report {
    actors.start(Action {
        app: "shop".parse().expect("a name"),
        token: token(2, 4),
        term: 1,
        item: 0,
        deadline: clock::now() + Duration::from_secs(5),
        limit,
        effect,
    });
    match inputs.recv().await {
        Some(Input::Report(report)) => report,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_signs_wrongly_changes_nothing_and_is_told_why() {
    let book = route53(Book::default()).await;
    for (key, secret, why) in [
        (KEY, "another", "(403): SignatureDoesNotMatch: The request signature we calculated"),
        ("AKIDREVOKED", SECRET, "(403): InvalidClientTokenId: The security token included"),
    ] {
        let refused = act(&with_token(Some(key), secret), token(2, 4), here(&book, one())).await;
        assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
        let why = format!("Route 53 refuses the credential {why}");
        assert!(text(&refused).starts_with(&why), "{refused:?}");
    }
    assert_eq!(book.with(|it| (it.writes, it.get(NAME, "A"))), (0, vec![]));
}

#[tokio::test]
async fn a_clock_that_is_off_by_more_than_five_minutes_is_said_with_how_much() {
    let book = route53(Book::default()).await;
    for (wall_ms, off) in [
        ((|| clock::wall_ms() - 600_000) as fn() -> u64, -600_i64),
        (|| clock::wall_ms() + 600_000, 600),
    ] {
        let refused = by_clock(&book, wall_ms).await;
        assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
        // Each side rounds to seconds, and one may have begun in between.
        let words =
            |off| format!("refuses the signature: our clock is off by {off} s from the server's");
        let said = [off - 2, off - 1, off, off + 1].map(words);
        assert!(said.iter().any(|it| text(&refused).ends_with(it)), "{refused:?}");
    }
    assert_eq!(book.with(|it| it.writes), 0);
    for wall_ms in [(|| clock::wall_ms() - 290_000) as fn() -> u64, || clock::wall_ms() + 290_000] {
        let within = by_clock(&book, wall_ms).await;
        assert!(within.is_ok(), "{within:?}");
    }
}

/// It says so with 400, whatever is asked for, and does not say for how long.
#[tokio::test]
async fn a_pace_that_is_too_high_is_no_refusal_and_the_account_is_left_alone_for_a_second() {
    let book = route53(Book::default()).await;
    // Reading is too much; then the change is.
    for (burst, asked) in [(0.0, 1), (1.0, 2)] {
        book.with(|it| {
            (it.asked, it.amazon.pace) = (0, Some(Pace::new(0.0, burst)));
        });
        let (sender, mut inputs) = mpsc::channel(4);
        let actors = Actors::new(Arc::new(good()), sender);
        let mut tried = async || {
            let limit = Duration::from_millis(500);
            publish_by(&actors, &mut inputs, here(&book, one()), limit).await.result
        };
        let throttled = tried().await;
        assert_eq!(kind(&throttled), Some(ActionFaultKind::Unknown), "{throttled:?}");
        let why = "Route 53 asks to come again later (400): Throttling: Rate exceeded";
        assert_eq!(text(&throttled), why);
        book.with(|it| it.amazon.pace = None);
        let early = tried().await;
        assert_eq!(kind(&early), Some(ActionFaultKind::Unknown), "{early:?}");
        assert_eq!(book.with(|it| it.asked), asked, "nobody asks within the second");
    }
    assert_eq!(book.with(|it| it.get(NAME, "A")), [""; 0]);
    let done = act(&good(), token(2, 4), here(&book, one())).await;
    assert_eq!(text(&done), CHANGED, "{done:?}");
}

#[tokio::test]
async fn a_zone_that_is_being_changed_is_asked_again_and_not_given_up() {
    let book = route53(Book::default()).await;
    book.with(|it| it.amazon.processing = true);
    let busy = act(&good(), token(2, 4), here(&book, one())).await;
    assert_eq!(kind(&busy), Some(ActionFaultKind::Unknown), "{busy:?}");
    let why = "Route 53 asks to come again later (400): PriorRequestNotComplete: The request was rejected";
    assert!(text(&busy).starts_with(why), "{busy:?}");
    book.with(|it| it.amazon.processing = false);
    let done = act(&good(), token(2, 4), here(&book, one())).await;
    assert_eq!(text(&done), CHANGED, "{done:?}");
}

/// Whatever it is, and at whichever of both names.
#[tokio::test]
async fn aliases_and_routing_policies_are_neither_written_over_nor_missed() {
    let alias = "<AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>lb.example.</DNSName>\
                 <EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget>";
    let policy = |policy: &str, text: &str| {
        let record = value(text);
        format!(
            "<SetIdentifier>east</SetIdentifier>{policy}<TTL>60</TTL><ResourceRecords>{record}</ResourceRecords>"
        )
    };
    let weighted = |text: &str| policy("<Weight>10</Weight>", text);
    for (name, of, id, rest) in [
        (NAME, "A", "", alias.to_owned()),
        (NAME, "A", "east", weighted("192.0.2.9")),
        (NAME, "AAAA", "east", policy("<Region>us-east-1</Region>", "2001:db8::9")),
        (NAME, "CNAME", "east", policy("<Failover>PRIMARY</Failover>", "lb.example.")),
        // One of a type that this driver has no word for.
        (NAME, "SPF", "east", weighted("\"v=spf1 -all\"")),
        (MARKER, "TXT", "east", weighted(&marker(9))),
    ] {
        let book = route53(Book::default()).await;
        book.with(|it| {
            it.put("aaa.dyn.example", "A", 60, &["192.0.2.1"]);
            let at = (name.to_owned(), of.to_owned(), id.to_owned());
            it.amazon.special.insert(at, rest.clone());
            // Those of another name are nobody's business.
            let at = ("till.dyn.example".to_owned(), "A".to_owned(), String::new());
            it.amazon.special.insert(at, alias.to_owned());
        });
        let why = format!(
            "Route 53 holds an alias or a routing policy at `{name}.` {of}: quorate replaces plain records only"
        );
        let refused = act(&good(), token(2, 4), here(&book, one())).await;
        assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{of}: {refused:?}");
        assert_eq!(text(&refused), why);
        assert_eq!(look(&book).await, Held::Unknown(why.clone()));
        assert_eq!(book.with(|it| (it.writes, it.amazon.special.len())), (0, 2), "{of}");
    }
    // One that comes between reading and changing is Amazon's to refuse: nothing is changed.
    let book = route53(Book::default()).await;
    book.with(|it| {
        let at = (NAME.to_owned(), "A".to_owned(), "east".to_owned());
        it.amazon.late = Some((at, weighted("192.0.2.9")));
    });
    let refused = act(&good(), token(2, 4), here(&book, one())).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert!(text(&refused).contains("cannot be created as other RRSets exist"), "{refused:?}");
    assert_eq!(book.with(|it| it.get(MARKER, "TXT")), [""; 0]);
}

#[tokio::test]
async fn what_stands_on_the_next_page_is_read_as_well() {
    let book = route53(Book::default()).await;
    book.with(|it| {
        it.amazon.page = Some(1);
        it.put(NAME, "A", 60, &["198.51.100.1"]);
        it.put(NAME, "AAAA", 60, &["2001:db8::1"]);
        it.put("till.dyn.example", "A", 60, &["198.51.100.7"]);
    });
    let moved = act(&good(), token(2, 4), here(&book, one())).await;
    assert_eq!(text(&moved), CHANGED, "{moved:?}");
    assert_eq!(book.with(|it| it.get(NAME, "AAAA")), [""; 0], "the other family is gone as well");
    assert_eq!(look(&book).await, Held::AsDecided);

    // No alias is put beside text, and the marker of somebody else is seen behind other sets of its name.
    book.with(|it| it.put(NAME, "TXT", 60, &["\"v=spf1 -all\""]));
    let beside = act(&good(), token(3, 4), here(&book, vec![alias("lb.example.net")])).await;
    assert!(text(&beside).contains("no CNAME can stand beside them"), "{beside:?}");
    book.with(|it| it.put(MARKER, "A", 60, &["192.0.2.1"]));
    book.with(|it| it.put(MARKER, "TXT", 60, &[&marker(9)]));
    let late = act(&good(), token(3, 4), here(&book, one())).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");

    // A name that goes on and on is given up, and said.
    book.with(|it| {
        for kind in ["CAA", "DS", "HTTPS", "MX"] {
            it.put(NAME, kind, 60, &["whatever"]);
        }
    });
    let endless = act(&good(), token(10, 4), here(&book, one())).await;
    assert_eq!(kind(&endless), Some(ActionFaultKind::Refused), "{endless:?}");
    assert!(
        text(&endless).contains("holds more at `shop.dyn.example.` than is read"),
        "{endless:?}"
    );
}

/// A batch deletes what was there and creates what comes: both count.
#[tokio::test]
async fn more_than_a_batch_may_hold_is_refused_whole_and_said() {
    let fours: Vec<String> = (0..400).map(|n| format!("10.0.{}.{}", n / 200, n % 200)).collect();
    let sixes: Vec<String> = (0..400).map(|n| format!("2001:db8::{n:x}")).collect();
    let fours: Vec<&str> = fours.iter().map(String::as_str).collect();
    let sixes: Vec<&str> = sixes.iter().map(String::as_str).collect();
    let book = route53(Book::default()).await;
    book.with(|it| {
        it.put(NAME, "A", 60, &fours);
        it.put(NAME, "AAAA", 60, &sixes);
    });
    // 800 go and 200 come, with the marker.
    let many = |count: usize| vec![addresses(&fours[..count])];
    let refused = act(&good(), token(2, 4), here(&book, many(200))).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    let why = "Route 53 refuses the request (400): InvalidChangeBatch: Number of records limit of 1000 exceeded.";
    assert_eq!(text(&refused), why);
    assert_eq!(book.with(|it| it.get(NAME, "A").len()), 400);
    let taken = act(&good(), token(2, 4), here(&book, many(199))).await;
    assert!(taken.is_ok(), "{taken:?}");
    assert_eq!(book.with(|it| (it.get(NAME, "A").len(), it.get(NAME, "AAAA").len())), (199, 0));

    // Text is counted by its characters.
    let long: Vec<RecordData> =
        (100..200).map(|n| RecordData::Text(format!("{n}{}", "x".repeat(340)))).collect();
    let text_set = RecordSet { kind: RecordKind::Txt, ttl: 60, data: long };
    let refused = act(&good(), token(3, 4), here(&book, vec![text_set])).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert!(text(&refused).contains("Number of characters limit of 32000 exceeded"), "{refused:?}");
    assert_eq!(book.with(|it| it.get(NAME, "TXT")), [""; 0]);
}

/// A name that is as long as names may be fills the answer's first lines.
#[tokio::test]
async fn whoever_comes_between_is_noticed_however_long_the_answer_is() {
    let book = route53(Book::default()).await;
    let label = "a".repeat(60);
    let name = format!("{label}.{label}.{label}.dyn.example");
    let marker_name = format!("_quorate.{name}");
    let long = |epoch: u32, sets| {
        let Effect::Publish { driver, stack, .. } = here(&book, sets) else { unreachable!() };
        (token(epoch, 4), Effect::Publish { name: name.clone(), driver, sets: one(), stack })
    };
    let (of, effect) = long(2, one());
    let first = act(&good(), of, effect).await;
    assert!(first.is_ok(), "{first:?}");
    book.with(|it| it.rival = Some((marker_name.clone(), marker(9))));
    let (of, effect) = long(3, one());
    let overtaken = act(&good(), of, effect).await;
    assert_eq!(kind(&overtaken), Some(ActionFaultKind::Superseded), "{overtaken:?}");
    assert_eq!(book.with(|it| it.get(&marker_name, "TXT")), [marker(9)]);
}

/// Real time passes: its servers are asked after for the first time three seconds later.
#[tokio::test]
async fn what_not_all_servers_have_yet_is_said_and_keeps_nobody_waiting() {
    let book = route53(Book::default()).await;
    book.with(|it| it.amazon.pending = true);
    let (sender, mut inputs) = mpsc::channel(4);
    let actors = Actors::new(Arc::new(good()), sender);
    let limit = Duration::from_secs(5);
    let mut moved = async |to: &str| {
        let effect = here(&book, vec![addresses(&[to])]);
        let report = publish_by(&actors, &mut inputs, effect, limit).await;
        assert!(report.took < Duration::from_secs(2), "{report:?}");
        assert_eq!(text(&report.result), format!("changed: shop.dyn.example. {to}"));
    };
    moved("192.0.2.9").await;
    moved("192.0.2.2").await;
    // It holds what was decided, whoever is asked of its servers, and only the last change counts.
    let spreads = "some servers of Route 53 do not have it yet (change C2)".to_owned();
    let (held, wrong) = seen(&actors, &mut inputs, &book, true).await;
    assert_eq!((held, wrong.last()), (Held::AsDecided, Some(&spreads)));
    // Others' looks know nothing of it.
    assert_eq!(look(&book).await, Held::AsDecided);

    book.with(|it| it.amazon.pending = false);
    eventually("all have it", async || {
        let (_, wrong) = seen(&actors, &mut inputs, &book, false).await;
        (!wrong.contains(&spreads)).then_some(())
    })
    .await;
    assert_eq!(book.with(|it| it.amazon.asked_after), 1, "the one that was replaced is left");

    // Who may not ask after changes publishes all the same, and asks no more.
    book.with(|it| (it.amazon.pending, it.amazon.closed) = (true, true));
    let again = publish_by(&actors, &mut inputs, here(&book, vec![alias("lb.example")]), limit);
    assert!(again.await.result.is_ok());
    let spreads = "some servers of Route 53 do not have it yet (change C3)".to_owned();
    let (_, wrong) = seen(&actors, &mut inputs, &book, false).await;
    assert_eq!(wrong.last(), Some(&spreads));
    eventually("it is not said any more", async || {
        let (_, wrong) = seen(&actors, &mut inputs, &book, false).await;
        (!wrong.contains(&spreads)).then_some(())
    })
    .await;
    assert_eq!(book.with(|it| it.amazon.asked_after), 2);
}

/// One reading where the zone lists the marker behind its name, two where it does not.
#[tokio::test]
async fn a_change_takes_three_requests_and_five_where_other_names_come_between() {
    let book = route53(Book::default()).await;
    book.with(|it| it.put("till.dyn.example", "A", 60, &["198.51.100.7"]));
    for (epoch, between, asked) in [(2, 0, 3), (3, 0, 3), (4, 30, 5), (5, 30, 5)] {
        book.with(|it| {
            for n in 0..between {
                it.put(&format!("{n}.{NAME}"), "A", 60, &["198.51.100.8"]);
            }
            it.asked = 0;
        });
        let address = format!("192.0.2.{epoch}");
        let moved = act(&good(), token(epoch, 4), here(&book, vec![addresses(&[&address])])).await;
        assert!(text(&moved).starts_with("changed"), "{moved:?}");
        assert_eq!(book.with(|it| (it.asked, it.ttl(NAME, "A"))), (asked, Some(60)));
        assert_eq!(book.with(|it| it.get(MARKER, "TXT")), [marker(epoch)]);
    }
}

/// Each is asked for again as soon as it ends, as an executor would, only sooner.
#[tokio::test]
async fn many_names_at_once_are_changed_one_by_one_once_five_requests_a_second_are_too_many() {
    const NAMES: usize = 12;
    let book = route53(Book::default()).await;
    book.with(|it| it.amazon.pace = Some(Pace::new(5.0, 5.0)));
    let (sender, mut inputs) = mpsc::channel(64);
    let actors = Actors::new(Arc::new(good()), sender);
    let begin = |item: u16| {
        let Effect::Publish { driver, stack, sets, .. } = here(&book, one()) else {
            unreachable!()
        };
        actors.start(Action {
            app: "shop".parse().expect("a name"),
            token: token(2, 4),
            term: 1,
            item,
            deadline: clock::now() + Duration::from_secs(5),
            limit: Duration::from_secs(5),
            effect: Effect::Publish { name: format!("n{item}.dyn.example"), driver, sets, stack },
        });
    };
    let began = Instant::now();
    let names = 0..u16::try_from(NAMES).expect("few");
    names.clone().for_each(&begin);
    let mut waiting: std::collections::BTreeSet<u16> = names.collect();
    let mut retry = None;
    eventually("all are changed", async || {
        if let Some(item) = retry.take() {
            begin(item);
        }
        match inputs.recv().await {
            Some(Input::Report(report)) if report.result.is_ok() => {
                waiting.remove(&report.item);
            }
            Some(Input::Report(report)) => {
                assert_eq!(kind(&report.result), Some(ActionFaultKind::Unknown), "{report:?}");
                retry = Some(report.item);
            }
            other => panic!("{other:?}"),
        }
        waiting.is_empty().then_some(())
    })
    .await;
    let (asked, throttled) = book.with(|it| (it.asked, it.amazon.throttled));
    println!("{NAMES} names took {:?}: {asked} requests, {throttled} too many", began.elapsed());
    // Those of the first moment, and whoever was under way then: nobody asks blindly for long.
    assert!(throttled < 24, "{throttled} of {asked} were too many");
}
