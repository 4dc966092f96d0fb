//! Publishing through providers: PowerDNS itself, Knot beside it, and what Route 53, Cloudflare, DigitalOcean and Google
//! document, kept strictly by servers of the test's own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::actors::Actors;
use agent::clock;
use agent::config::{Credential, Credentials};
use consensus::model::{
    Action, ActionFault, ActionFaultKind, Done, Driver, Effect, Held, Inspection, Provider,
    RecordData, RecordKind, RecordSet, Report,
};
use consensus::outbox::Input;
use tokio::sync::mpsc;

use crate::common::knot::Knot;
use crate::common::named::{KEY, SECRET, ZONE, dig};
use crate::common::pdns::{API_KEY, Pdns};
use crate::{act, kind, text, token};

#[path = "amazon.rs"]
mod amazon;
#[path = "between.rs"]
mod between;
#[path = "emulators.rs"]
mod emulators;
#[path = "interrupted.rs"]
mod interrupted;
#[path = "kinds.rs"]
mod kinds;
#[path = "recorded.rs"]
mod recorded;
#[path = "troubles.rs"]
mod troubles;

use emulators::{Book, Trouble, azure, cloudflare, digitalocean, google, route53};

const NAME: &str = "shop.dyn.example";
const MARKER: &str = "_quorate.shop.dyn.example";

fn with_token(access_key: Option<&str>, token: &str) -> Credentials {
    let token =
        Credential::Token { access_key: access_key.map(str::to_owned), token: token.to_owned() };
    [("dns".parse().expect("a name"), token)].into()
}

fn addresses(addresses: &[&str]) -> RecordSet {
    let data = addresses.iter().map(|a| RecordData::Address(a.parse().expect("an address")));
    RecordSet { kind: RecordKind::A, ttl: 60, data: data.collect() }
}

fn alias(target: &str) -> RecordSet {
    RecordSet { kind: RecordKind::Cname, ttl: 60, data: vec![RecordData::Name(target.to_owned())] }
}

fn to(provider: Provider, url: &str, sets: Vec<RecordSet>) -> Effect {
    let zone_id = match provider {
        Provider::Route53 => Some("Z2FDTNDATAQYW2"),
        Provider::Cloudflare => Some("023e105f4ecef8ad9ca31a8372d0c353"),
        Provider::Google => Some("acme/dyn"),
        Provider::Azure => Some("acme/dns"),
        _ => None,
    };
    Effect::Publish {
        name: NAME.to_owned(),
        driver: Driver::Provider {
            provider,
            url: Some(url.to_owned()),
            zone: ZONE.to_owned(),
            zone_id: zone_id.map(str::to_owned),
            credential: "dns".parse().expect("a name"),
        },
        sets,
        stack: "do-west".parse().expect("a name"),
    }
}

fn marker(epoch: u32) -> String {
    format!("\"v=1;app=shop;tok={};stack=do-west\"", token(epoch, 4).0)
}

#[tokio::test]
async fn like_bind_powerdns_follows_the_newest_token_by_its_own_interface() {
    let pdns = Pdns::start().await;
    let good = with_token(None, API_KEY);
    let to = |sets| to(Provider::PowerDns, &pdns.url, sets);
    let first = act(&good, token(2, 4), to(vec![addresses(&["192.0.2.2", "192.0.2.3"])])).await;
    assert!(matches!(&first, Ok(Done { proven: true, .. })), "{first:?}");
    assert_eq!(pdns.dig(NAME, "A"), ["192.0.2.2", "192.0.2.3"]);
    assert_eq!(pdns.dig(MARKER, "TXT"), [marker(2)]);
    let again = act(&good, token(2, 4), to(vec![addresses(&["192.0.2.3", "192.0.2.2"])])).await;
    assert!(text(&again).starts_with("says so already"), "{again:?}");
    let aliased = act(&good, token(5, 4), to(vec![alias("lb.example.net")])).await;
    assert!(aliased.is_ok(), "{aliased:?}");
    assert_eq!(pdns.dig(NAME, "CNAME"), ["lb.example.net."]);
    assert_eq!(pdns.dig(MARKER, "TXT"), [marker(5)]);
    let late = act(&good, token(4, 4), to(vec![addresses(&["192.0.2.9"])])).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    let back = act(&good, token(6, 4), to(vec![addresses(&["192.0.2.2"])])).await;
    assert!(back.is_ok(), "{back:?}");
    assert_eq!(pdns.dig(NAME, "A"), ["192.0.2.2"]);

    let stranger = act(&with_token(None, "no"), token(7, 4), to(vec![alias("x.example")])).await;
    assert_eq!(kind(&stranger), Some(ActionFaultKind::Refused), "{stranger:?}");
    assert!(text(&stranger).contains("refuses the credential (401)"), "{stranger:?}");
}

#[tokio::test]
async fn knot_and_powerdns_take_dynamic_updates_as_bind_does() {
    let (knot, pdns) = (Knot::start().await, Pdns::start().await);
    let key = Credential::Key {
        name: KEY.to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        secret: SECRET.to_vec(),
    };
    let good: Credentials = [("dns".parse().expect("a name"), key)].into();
    for server in [knot.address, pdns.address] {
        let to = |sets| Effect::Publish {
            name: NAME.to_owned(),
            driver: Driver::Rfc2136 {
                server: server.to_string(),
                zone: ZONE.to_owned(),
                credential: "dns".parse().expect("a name"),
            },
            sets,
            stack: "do-west".parse().expect("a name"),
        };
        let first = act(&good, token(2, 4), to(vec![addresses(&["192.0.2.2"])])).await;
        assert!(matches!(&first, Ok(Done { proven: true, .. })), "{server}: {first:?}");
        let newer = act(&good, token(5, 4), to(vec![addresses(&["192.0.2.5"])])).await;
        assert!(newer.is_ok(), "{server}: {newer:?}");
        let late = act(&good, token(4, 4), to(vec![addresses(&["192.0.2.4"])])).await;
        assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{server}: {late:?}");
        assert_eq!(dig(server, &[NAME, "A"]), ["192.0.2.5"]);
        assert_eq!(dig(server, &[MARKER, "TXT"]), [marker(5)]);
    }
}

/// What every provider does alike, whatever it can compare.
async fn follows(provider: Provider, book: emulators::Server, good: &Credentials) {
    let url = book.url();
    let to = |sets| to(provider, &url, sets);
    let word = provider.word();
    book.with(|book| book.put(NAME, "A", 300, &["198.51.100.1"]));
    book.with(|book| book.put("other.dyn.example", "A", 300, &["198.51.100.7"]));

    let first = act(good, token(2, 4), to(vec![addresses(&["192.0.2.2", "192.0.2.3"])])).await;
    assert!(matches!(&first, Ok(Done { proven: true, .. })), "{word}: {first:?}");
    assert_eq!(book.with(|it| it.get(NAME, "A")), ["192.0.2.2", "192.0.2.3"], "{word}");
    assert_eq!(book.with(|it| it.get(MARKER, "TXT")), [marker(2)], "{word}");
    let writes = book.with(|it| it.writes);
    let again = act(good, token(2, 4), to(vec![addresses(&["192.0.2.3", "192.0.2.2"])])).await;
    assert!(text(&again).starts_with("says so already"), "{word}: {again:?}");
    assert_eq!(book.with(|it| it.writes), writes, "{word} is asked, and not written to");

    // Somebody changed the address by hand: it is put right under the same marker.
    book.with(|it| it.put(NAME, "A", 60, &["192.0.2.99"]));
    let mended = act(good, token(2, 4), to(vec![addresses(&["192.0.2.2"])])).await;
    assert!(text(&mended).starts_with("changed"), "{word}: {mended:?}");
    assert_eq!(book.with(|it| it.get(NAME, "A")), ["192.0.2.2"], "{word}");

    let aliased = act(good, token(5, 4), to(vec![alias("lb.example.net")])).await;
    assert!(aliased.is_ok(), "{word}: {aliased:?}");
    assert_eq!(book.with(|it| it.get(NAME, "A")), [""; 0], "{word}");
    assert_eq!(book.with(|it| it.get(NAME, "CNAME")).len(), 1, "{word}");
    let late = act(good, token(4, 4), to(vec![addresses(&["192.0.2.4"])])).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{word}: {late:?}");
    assert_eq!(book.with(|it| it.get(MARKER, "TXT")), [marker(5)], "{word}");
    assert_eq!(book.with(|it| it.get("other.dyn.example", "A")), ["198.51.100.7"], "{word}");

    // Troubles of the provider: said, and not taken for done.
    for (trouble, expected) in [
        (Trouble::Busy, ActionFaultKind::Unknown),
        (Trouble::Broken, ActionFaultKind::Unknown),
        (Trouble::Locked, ActionFaultKind::Refused),
        (Trouble::Gibberish, ActionFaultKind::Unknown),
    ] {
        book.with(|it| it.trouble = Some(trouble));
        let failed = act(good, token(6, 4), to(vec![addresses(&["192.0.2.6"])])).await;
        assert_eq!(kind(&failed), Some(expected), "{word} {trouble:?}: {failed:?}");
    }
    book.with(|it| it.trouble = None);

    // It takes the change and does not publish it.
    book.with(|it| it.trouble = Some(Trouble::Forgets));
    let lost = act(good, token(6, 4), to(vec![addresses(&["192.0.2.6"])])).await;
    assert_eq!(kind(&lost), Some(ActionFaultKind::Unknown), "{word}: {lost:?}");
    book.with(|it| it.trouble = None);

    // It applies the change and never says so: the next try finds it done, or finishes it.
    book.with(|it| it.trouble = Some(Trouble::Silent));
    let silent = act(good, token(6, 4), to(vec![addresses(&["192.0.2.6"])])).await;
    assert_eq!(kind(&silent), Some(ActionFaultKind::Unknown), "{word}: {silent:?}");
    book.with(|it| it.trouble = None);
    let found = act(good, token(6, 4), to(vec![addresses(&["192.0.2.6"])])).await;
    assert!(found.is_ok(), "{word}: {found:?}");
    assert_eq!(book.with(|it| it.get(NAME, "A")), ["192.0.2.6"], "{word}");
    assert_eq!(book.with(|it| it.get(MARKER, "TXT")), [marker(6)], "{word}");

    // A newer executor comes between reading and changing.
    if provider.compares() {
        book.with(|it| it.rival = Some((MARKER.to_owned(), marker(9))));
        let overtaken = act(good, token(7, 4), to(vec![addresses(&["192.0.2.7"])])).await;
        assert_eq!(kind(&overtaken), Some(ActionFaultKind::Superseded), "{word}: {overtaken:?}");
        assert_eq!(book.with(|it| it.get(NAME, "A")), ["192.0.2.6"], "{word}");
    }
}

#[tokio::test]
async fn route53_is_changed_in_batches_that_depend_on_the_marker() {
    let book = route53(Book::default()).await;
    let good = with_token(Some("AKIDEXAMPLE"), route53::SECRET);
    follows(Provider::Route53, book, &good).await;
}

#[tokio::test]
async fn route53_without_an_access_key_is_said_before_anything_is_sent() {
    let book = route53(Book::default()).await;
    let effect = to(Provider::Route53, &book.url(), vec![addresses(&["192.0.2.1"])]);
    let refused = act(&with_token(None, "x"), token(2, 4), effect).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert!(text(&refused).contains("access_key"), "{refused:?}");
    assert_eq!(book.with(|it| it.asked), 0);
}

#[tokio::test]
async fn cloudflare_is_changed_in_batches_that_name_the_marker_by_number() {
    let book = cloudflare(Book::default()).await;
    follows(Provider::Cloudflare, book, &with_token(None, "a token")).await;
}

#[tokio::test]
async fn digitalocean_is_changed_record_by_record() {
    let book = digitalocean(Book::default()).await;
    follows(Provider::DigitalOcean, book, &with_token(None, "a token")).await;
}

#[tokio::test]
async fn one_record_at_a_time_and_never_none() {
    let book = digitalocean(Book::default()).await;
    book.with(|it| it.put(NAME, "A", 60, &["198.51.100.1", "198.51.100.2"]));
    let effect = to(Provider::DigitalOcean, &book.url(), vec![addresses(&["192.0.2.1"])]);
    let moved = act(&with_token(None, "a token"), token(2, 4), effect).await;
    assert!(moved.is_ok(), "{moved:?}");
    assert_eq!(book.with(|it| it.get(NAME, "A")), ["192.0.2.1"]);
    assert_eq!(book.with(|it| it.fewest), Some(1), "the new address came before the old ones went");
}

#[tokio::test]
async fn google_is_changed_in_changes_that_name_what_goes() {
    let book = google(Book::default()).await;
    let key_file = emulators::key_file(&book.url());
    follows(Provider::Google, book, &with_token(None, &key_file)).await;
}

#[tokio::test]
async fn azure_changes_each_set_only_as_it_was_read() {
    let book = azure(Book::default()).await;
    let principal = emulators::principal(&book.url());
    follows(Provider::Azure, book, &with_token(None, &principal)).await;
}

#[tokio::test]
async fn a_webhook_is_told_everything_signed_and_may_hold_a_newer_token() {
    let book = emulators::webhook(Book::default()).await;
    let good = with_token(None, "a shared secret");
    let to = |sets| to(Provider::Webhook, &format!("{}/dns?x=1", book.url()), sets);
    let first = act(&good, token(5, 4), to(vec![addresses(&["192.0.2.2"])])).await;
    assert!(first.is_ok(), "{first:?}");
    assert_eq!(book.with(|it| it.get(NAME, "A")), ["192.0.2.2"]);
    let late = act(&good, token(4, 4), to(vec![addresses(&["192.0.2.4"])])).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    let forged = act(&with_token(None, "another"), token(6, 4), to(vec![alias("x.example")])).await;
    assert_eq!(kind(&forged), Some(ActionFaultKind::Refused), "{forged:?}");
    assert_eq!(book.with(|it| it.get(NAME, "A")), ["192.0.2.2"]);
}

/// Nobody can ask it what it did: that it took something is all that is ever said, and it may be told again.
#[tokio::test]
async fn a_webhook_that_answers_and_does_nothing_is_never_said_to_have_changed_anything() {
    let book = emulators::webhook(Book::default()).await;
    let good = with_token(None, "a shared secret");
    let url = format!("{}/dns?x=1", book.url());
    let to = |sets| to(Provider::Webhook, &url, sets);
    book.with(|it| it.trouble = Some(Trouble::Forgets));
    let lost = act(&good, token(5, 4), to(vec![addresses(&["192.0.2.2"])])).await;
    assert!(text(&lost).starts_with("taken by the webhook: "), "{lost:?}");
    assert_eq!(book.with(|it| it.get(NAME, "A")), [""; 0]);
    book.with(|it| it.trouble = None);
    let again = act(&good, token(5, 4), to(vec![addresses(&["192.0.2.2"])])).await;
    assert!(text(&again).starts_with("taken by the webhook: "), "{again:?}");
    assert_eq!(book.with(|it| it.get(NAME, "A")), ["192.0.2.2"]);
    // It does as it was told, and nobody hears of it: not known, so it is told again.
    book.with(|it| it.trouble = Some(Trouble::Silent));
    let silent = act(&good, token(6, 4), to(vec![addresses(&["192.0.2.6"])])).await;
    assert_eq!(kind(&silent), Some(ActionFaultKind::Unknown), "{silent:?}");
    for trouble in [Trouble::Broken, Trouble::Busy] {
        book.with(|it| it.trouble = Some(trouble));
        let failed = act(&good, token(6, 4), to(vec![addresses(&["192.0.2.6"])])).await;
        assert_eq!(kind(&failed), Some(ActionFaultKind::Unknown), "{trouble:?}: {failed:?}");
    }
}

/// A publication of this epoch, kept for so many seconds; of a claim, or of none (term 0).
fn publication(url: &str, (epoch, term): (u32, u32), ttl: u32) -> Action {
    let set = RecordSet { ttl, ..addresses(&["192.0.2.2"]) };
    Action {
        app: "shop".parse().expect("a name"),
        token: token(epoch, 4),
        term,
        item: 0,
        deadline: clock::now() + Duration::from_secs(5),
        limit: Duration::from_secs(5),
        effect: to(Provider::Cloudflare, url, vec![set]),
    }
}

/// Begins a publication and waits for what comes of it.
async fn publish(
    through: (&Actors, &mut mpsc::Receiver<Input>),
    url: &str,
    epoch: u32,
) -> Result<Done, ActionFault> {
    begin(through, publication(url, (epoch, 1), 60)).await
}

async fn begin(
    (actors, inputs): (&Actors, &mut mpsc::Receiver<Input>),
    action: Action,
) -> Result<Done, ActionFault> {
    actors.start(action);
    match inputs.recv().await {
        Some(Input::Report(report)) => report.result,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_of_them_is_left_alone_once_it_says_later() {
    let azure = azure(Book::default()).await;
    let google = google(Book::default()).await;
    let principal = with_token(None, &emulators::principal(&azure.url()));
    let key_file = with_token(None, &emulators::key_file(&google.url()));
    for (provider, book, good) in [
        (Provider::DigitalOcean, digitalocean(Book::default()).await, with_token(None, "a token")),
        (
            Provider::Route53,
            route53(Book::default()).await,
            with_token(Some("AKIDEXAMPLE"), route53::SECRET),
        ),
        (Provider::Google, google, key_file),
        (Provider::Azure, azure, principal),
    ] {
        let (sender, mut inputs) = mpsc::channel(64);
        let actors = Actors::new(Arc::new(good), sender);
        let effect = to(provider, &book.url(), vec![addresses(&["192.0.2.2"])]);
        let action = || Action { effect: effect.clone(), ..publication("", (2, 1), 60) };
        book.with(|it| it.trouble = Some(Trouble::Busy));
        let busy = begin((&actors, &mut inputs), action()).await;
        assert!(text(&busy).contains("asks to come again later"), "{busy:?}");
        book.with(|it| it.trouble = None);
        let asked = book.with(|it| it.asked);
        let held = begin((&actors, &mut inputs), action()).await;
        assert!(text(&held).contains("wants to be left alone"), "{}: {held:?}", provider.word());
        assert_eq!(book.with(|it| it.asked), asked, "{}: nothing was sent", provider.word());
    }
}

/// Real time passes: what a provider asks for is counted in it.
#[tokio::test]
async fn whoever_says_later_is_left_alone_and_looks_leave_enough_for_a_failover() {
    let book = cloudflare(Book::default()).await;
    let url = book.url();
    let (sender, mut inputs) = mpsc::channel(64);
    let actors = Actors::new(Arc::new(with_token(None, "a token")), sender);
    book.with(|it| it.trouble = Some(Trouble::Busy));
    let busy = publish((&actors, &mut inputs), &url, 2).await;
    assert!(text(&busy).contains("asks to come again later (429)"), "{busy:?}");
    book.with(|it| it.trouble = None);
    let (asked, began) = (book.with(|it| it.asked), Instant::now());
    let held = publish((&actors, &mut inputs), &url, 2).await;
    assert!(text(&held).contains("wants to be left alone"), "{held:?}");
    assert_eq!(book.with(|it| it.asked), asked, "nothing was sent");
    // Three seconds were asked for; the last of them are waited for.
    let done = loop {
        let tried = publish((&actors, &mut inputs), &url, 2).await;
        if tried.is_ok() || Duration::from_secs(6) < began.elapsed() {
            break tried;
        }
    };
    assert!(done.is_ok(), "{done:?}");
    let waited = began.elapsed();
    assert!((2_900..4_000).contains(&waited.as_millis()), "{waited:?}");

    // Forty looks at once at one that never complained, each of two requests: they stop at the reserve, and a change finds it.
    let (sender, mut inputs) = mpsc::channel(64);
    let actors = Actors::new(Arc::new(with_token(None, "a token")), sender);
    let asked = book.with(|it| it.asked);
    for _ in 0..40 {
        actors.inspect(Inspection {
            shortened: 0,
            app: "shop".parse().expect("a name"),
            token: token(2, 4),
            publications: vec![to(Provider::Cloudflare, &url, vec![addresses(&["192.0.2.2"])])],
            holder: true,
        });
    }
    let mut held = Vec::new();
    for _ in 0..40 {
        match inputs.recv().await {
            Some(Input::Inspected(mut inspected)) => held.push(inspected.names.remove(0).held),
            other => panic!("{other:?}"),
        }
    }
    let count = |wanted: &Held| held.iter().filter(|it| *it == wanted).count();
    let taken = book.with(|it| it.asked) - asked;
    assert!((2..=10).contains(&taken), "{taken} requests");
    assert_eq!(count(&Held::AsDecided), taken as usize / 2, "{held:?}");
    assert_eq!(count(&Held::AsDecided) + count(&Held::Unasked), 40, "{held:?}");
    let urgent = publish((&actors, &mut inputs), &url, 3).await;
    assert!(urgent.is_ok(), "{urgent:?}");
}

/// Fifty names are doubted at once, and the move comes in the same moment.
#[tokio::test]
async fn other_lifetimes_leave_a_failover_what_the_provider_allows() {
    let book = cloudflare(Book::default()).await;
    let url = book.url();
    let (sender, mut inputs) = mpsc::channel(64);
    let actors = Actors::new(Arc::new(with_token(None, "a token")), sender);
    let first = publish((&actors, &mut inputs), &url, 2).await;
    assert!(first.is_ok(), "{first:?}");
    let asked = book.with(|it| it.asked);
    for _ in 0..50 {
        actors.start(publication(&url, (2, 0), 120));
    }
    let mut kept = 0;
    for _ in 0..50 {
        match inputs.recv().await {
            Some(Input::Report(report)) if report.result.is_ok() => {}
            Some(Input::Report(report)) => {
                let why = text(&report.result);
                assert!(why.contains("kept for a failover"), "{why}");
                assert_eq!(
                    kind(&report.result),
                    Some(ActionFaultKind::Unknown),
                    "it is tried again"
                );
                kept += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let taken = book.with(|it| it.asked) - asked;
    assert!((1..=15).contains(&taken), "{taken} requests");
    assert!((45..50).contains(&kept), "{kept} wait");
    // As many requests as the reserve holds are there for it, in the same moment.
    for epoch in [3, 4] {
        let urgent = publish((&actors, &mut inputs), &url, epoch).await;
        assert!(urgent.is_ok(), "{urgent:?}");
    }
    // What waited finds its turn once the account has refilled.
    let began = Instant::now();
    loop {
        actors.start(publication(&url, (4, 0), 120));
        match inputs.recv().await {
            Some(Input::Report(report)) if report.result.is_ok() => break,
            other => assert!(began.elapsed() < Duration::from_secs(30), "{other:?}"),
        }
        tokio::task::yield_now().await;
    }
}
