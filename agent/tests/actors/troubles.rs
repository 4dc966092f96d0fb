//! Providers in trouble: PowerDNS itself and a program behind a webhook, each behind a proxy that errs, delays, sends elsewhere
//! or never ends. Nothing is taken for done that is not, nothing is waited for without bound, and what is wrong is said.

use super::*;
use crate::common::proxy::{Ill, Proxy};
use crate::report;

/// Longer than any answer takes here.
const LIMIT: Duration = Duration::from_secs(2);

/// Publishes one address by actors of its own.
async fn publish_to(
    provider: Provider,
    url: &str,
    good: &Credentials,
    (epoch, to_address): (u32, &str),
) -> Result<Done, ActionFault> {
    let effect = to(provider, url, vec![addresses(&[to_address])]);
    let deadline = clock::now() + Duration::from_secs(5);
    let report = report(Actors::new, good, token(epoch, 4), effect, deadline, LIMIT).await;
    assert!(report.took < LIMIT + Duration::from_secs(1), "it is bounded: {report:?}");
    report.result
}

/// Says how it ended, as a fault of this kind.
fn expect(result: &Result<Done, ActionFault>, expected: ActionFaultKind, words: &str) {
    assert_eq!(kind(result), Some(expected), "{words}: {result:?}");
    assert!(text(result).contains(words), "{words}: {result:?}");
}

/// Whoever says when to come again is left alone until then, by the same agent.
async fn left_alone(provider: Provider, url: &str, good: &Credentials, proxy: &Proxy) {
    proxy.spoil(Ill::Status(429, Some(60)));
    let (sender, mut inputs) = mpsc::channel(4);
    let actors = Actors::new(Arc::new(good.clone()), sender);
    let mut tried = async || {
        actors.start(Action {
            app: "shop".parse().expect("a name"),
            token: token(3, 4),
            term: 1,
            item: 0,
            deadline: clock::now() + Duration::from_secs(5),
            limit: LIMIT,
            effect: to(provider, url, vec![addresses(&["192.0.2.3"])]),
        });
        match inputs.recv().await {
            Some(Input::Report(report)) => report.result,
            other => panic!("{other:?}"),
        }
    };
    proxy.counted();
    let busy = tried().await;
    expect(&busy, ActionFaultKind::Unknown, "asks to come again later (429)");
    proxy.heal();
    let held = tried().await;
    expect(&held, ActionFaultKind::Unknown, "wants to be left alone for");
    assert_eq!(proxy.counted(), (1, 0), "nobody asks again");
}

/// Sends everybody elsewhere; nobody comes there with a secret.
async fn sent_elsewhere(provider: Provider, url: &str, good: &Credentials, proxy: &Proxy) {
    let other = emulators::webhook(Book::default()).await;
    let elsewhere = format!("{}/login", other.url());
    proxy.spoil(Ill::Elsewhere(elsewhere.clone()));
    let sent = publish_to(provider, url, good, (3, "192.0.2.3")).await;
    let words = format!("redirects (307) to `{elsewhere}`, where no secret is sent");
    expect(&sent, ActionFaultKind::Refused, &words);
    assert_eq!(other.with(|it| it.asked), 0);
    proxy.heal();
}

#[tokio::test]
async fn powerdns_in_trouble_is_asked_again_found_done_or_given_up_and_never_believed_blindly() {
    let pdns = Pdns::start().await;
    let proxy = Proxy::start(&pdns.url).await;
    let (url, good) = (proxy.url(), with_token(None, API_KEY));
    let publish = async |epoch: u32, address: &str| {
        publish_to(Provider::PowerDns, &url, &good, (epoch, address)).await
    };
    let first = publish(2, "192.0.2.2").await;
    assert!(text(&first).starts_with("changed"), "{first:?}");

    // It is asked for nothing, or for nothing that it takes.
    for (ill, expected, words) in [
        (Ill::Status(500, None), ActionFaultKind::Unknown, "PowerDNS answers 500"),
        (Ill::Status(503, Some(1)), ActionFaultKind::Unknown, "PowerDNS answers 503"),
        (Ill::Revoked("x-api-key"), ActionFaultKind::Refused, "refuses the credential (401)"),
        (Ill::Endless, ActionFaultKind::Unknown, "broke off its answer: length limit exceeded"),
        (Ill::Silent, ActionFaultKind::Unknown, "no end within 2s, while reading the records"),
        (Ill::HungUp, ActionFaultKind::Unknown, "broke the connection"),
        (Ill::Swallowed, ActionFaultKind::Unknown, "answers with what is not expected"),
    ] {
        proxy.spoil(ill);
        let failed = publish(3, "192.0.2.3").await;
        expect(&failed, expected, words);
        assert_eq!(pdns.dig(NAME, "A"), ["192.0.2.2"], "{words}");
        proxy.heal();
    }
    left_alone(Provider::PowerDns, &url, &good, &proxy).await;
    sent_elsewhere(Provider::PowerDns, &url, &good, &proxy).await;
    assert_eq!(pdns.dig(MARKER, "TXT"), [marker(2)]);

    // It says that it took the change, and did not.
    proxy.spoil_writes(Ill::Swallowed);
    let swallowed = publish(3, "192.0.2.3").await;
    expect(&swallowed, ActionFaultKind::Unknown, "took the change, but `shop.dyn.example.`");
    assert_eq!(pdns.dig(NAME, "A"), ["192.0.2.2"]);

    // It took the change, and nobody is told: whoever asks next finds it done, and writes nothing.
    for (epoch, address, ill, words) in [
        (4, "192.0.2.4", Ill::Silent, "no end within 2s, while changing the records"),
        (5, "192.0.2.5", Ill::HungUp, "broke the connection"),
        (6, "192.0.2.6", Ill::Endless, "broke off its answer"),
    ] {
        proxy.spoil_writes(ill);
        let untold = publish(epoch, address).await;
        expect(&untold, ActionFaultKind::Unknown, words);
        assert_eq!(pdns.dig(NAME, "A"), [address]);
        let found = publish(epoch, address).await;
        assert!(text(&found).starts_with("says so already"), "{found:?}");
    }
    // One that is late all the same is shut out.
    proxy.heal();
    let late = publish(5, "192.0.2.5").await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    assert_eq!(pdns.dig(NAME, "A"), ["192.0.2.6"]);
}

#[tokio::test]
async fn a_webhook_in_trouble_is_asked_again_and_done_once() {
    let program = emulators::webhook(Book::default()).await;
    let proxy = Proxy::start(&program.url()).await;
    let (url, good) = (format!("{}/dns?x=1", proxy.url()), with_token(None, "a shared secret"));
    let publish = async |epoch: u32, address: &str| {
        publish_to(Provider::Webhook, &url, &good, (epoch, address)).await
    };
    let holds = || program.with(|it| it.get(NAME, "A"));
    let first = publish(2, "192.0.2.2").await;
    assert!(text(&first).starts_with("taken by the webhook"), "{first:?}");
    for (ill, expected, words) in [
        (Ill::Status(500, None), ActionFaultKind::Unknown, "the webhook answers 500"),
        (
            Ill::Revoked("x-quorate-signature"),
            ActionFaultKind::Refused,
            "refuses the credential (403): not signed by us",
        ),
    ] {
        proxy.spoil(ill);
        let failed = publish(3, "192.0.2.3").await;
        expect(&failed, expected, words);
        assert_eq!(holds(), ["192.0.2.2"], "{words}");
    }
    left_alone(Provider::Webhook, &url, &good, &proxy).await;
    sent_elsewhere(Provider::Webhook, &url, &good, &proxy).await;
    assert_eq!(holds(), ["192.0.2.2"]);

    // It has done so, and nobody is told: not taken for done, and told once more, under the same token.
    for (epoch, address, ill, words) in [
        (4, "192.0.2.4", Ill::Silent, "no end within 2s, while calling the webhook"),
        (5, "192.0.2.5", Ill::HungUp, "broke the connection"),
        (6, "192.0.2.6", Ill::Endless, "broke off its answer: length limit exceeded"),
    ] {
        proxy.spoil(ill);
        let untold = publish(epoch, address).await;
        expect(&untold, ActionFaultKind::Unknown, words);
        assert_eq!(holds(), [address]);
        proxy.heal();
        let again = publish(epoch, address).await;
        assert!(text(&again).starts_with("taken by the webhook"), "{again:?}");
        assert_eq!(holds(), [address]);
    }
    let late = publish(5, "192.0.2.5").await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    assert_eq!(holds(), ["192.0.2.6"]);
}
