//! What providers are left with when a change is cut short, and what they would refuse of one.

use agent::config::Credentials;
use consensus::model::{ActionFaultKind, Provider, RecordSet};

use super::emulators::{self, Book, azure, cloudflare, digitalocean, google, route53};
use super::{MARKER, NAME, addresses, marker, to, with_token};
use crate::{act, kind, token};

/// A change that is cut short after any of its requests, made or not, is finished by whoever comes next: of the same decision or of
/// a later one.
async fn is_finished(provider: Provider, book: &emulators::Server, good: &Credentials) {
    let url = book.url();
    let to = |sets| to(provider, &url, sets);
    let word = provider.word();
    let mut cuts = 0;
    for (made, later) in [(false, 4), (true, 4), (false, 5), (true, 5)] {
        for after in 0.. {
            book.with(|it| {
                it.put(NAME, "A", 60, &["198.51.100.1", "198.51.100.2"]);
                it.put(MARKER, "TXT", 60, &[&marker(3)]);
                (it.cut, it.fewest) = (Some((after, made)), None);
            });
            let wanted = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
            let cut = act(good, token(4, 4), to(vec![addresses(&wanted)])).await;
            if book.with(|it| it.cut.take()).is_some() {
                assert!(cut.is_ok(), "{word}: {cut:?}");
                break;
            }
            cuts += 1;
            assert_eq!(kind(&cut), Some(ActionFaultKind::Unknown), "{word} {after}: {cut:?}");
            let next = act(good, token(later, 4), to(vec![addresses(&wanted)])).await;
            assert!(next.is_ok(), "{word}, cut after {after} (made: {made}): {next:?}");
            assert_eq!(book.with(|it| it.get(NAME, "A")), wanted, "{word} {after} {made}");
            assert_eq!(book.with(|it| it.get(MARKER, "TXT")), [marker(later)], "{word} {after}");
            let fewest = book.with(|it| it.fewest).expect("something was changed");
            assert!(0 < fewest, "{word}, cut after {after} (made: {made}): no name is ever empty");
        }
    }
    assert!(4 <= cuts, "{word}: {cuts}");
}

#[tokio::test]
async fn what_was_cut_short_is_finished_whatever_was_the_last_request() {
    let token = with_token(None, "a token");
    is_finished(Provider::Cloudflare, &cloudflare(Book::default()).await, &token).await;
    is_finished(Provider::DigitalOcean, &digitalocean(Book::default()).await, &token).await;
    let key = with_token(Some("AKIDEXAMPLE"), route53::SECRET);
    is_finished(Provider::Route53, &route53(Book::default()).await, &key).await;
    let book = azure(Book::default()).await;
    let principal = with_token(None, &emulators::principal(&book.url()));
    is_finished(Provider::Azure, &book, &principal).await;
    let book = google(Book::default()).await;
    let key_file = with_token(None, &emulators::key_file(&book.url()));
    is_finished(Provider::Google, &book, &key_file).await;
}

/// What a lifetime below the provider's least would be: refused, whole batches of it.
#[tokio::test]
async fn no_lifetime_is_sent_that_the_provider_would_refuse() {
    let good = with_token(None, "a token");
    for (provider, least) in [(Provider::Cloudflare, 60), (Provider::DigitalOcean, 30)] {
        let book = match provider {
            Provider::Cloudflare => cloudflare(Book::default()).await,
            _ => digitalocean(Book::default()).await,
        };
        let set = RecordSet { ttl: 5, ..addresses(&["192.0.2.2"]) };
        let done = act(&good, token(2, 4), to(provider, &book.url(), vec![set])).await;
        assert!(done.is_ok(), "{}: {done:?}", provider.word());
        assert_eq!(book.with(|it| it.ttl(NAME, "A")), Some(least));
        assert_eq!(book.with(|it| it.ttl(MARKER, "TXT")), Some(least));
    }
}

/// Markers of ours beside one another are what an interrupted change leaves; what is not ours among them is nobody's to remove.
#[tokio::test]
async fn beside_a_stranger_s_text_or_a_newer_token_nothing_is_written() {
    let book = digitalocean(Book::default()).await;
    let good = with_token(None, "a token");
    let to = || to(Provider::DigitalOcean, &book.url(), vec![addresses(&["192.0.2.2"])]);
    for (beside, expected) in [
        ("\"v=spf1 -all\"".to_owned(), ActionFaultKind::Refused),
        (marker(9), ActionFaultKind::Superseded),
        (marker(3).replace("app=shop", "app=blog"), ActionFaultKind::Refused),
    ] {
        let both = [marker(3), beside];
        book.with(|it| it.put(MARKER, "TXT", 30, &[&both[0], &both[1]]));
        let refused = act(&good, token(4, 4), to()).await;
        assert_eq!(kind(&refused), Some(expected), "{}: {refused:?}", both[1]);
        assert_eq!(book.with(|it| it.writes), 0, "{}", both[1]);
    }
}
