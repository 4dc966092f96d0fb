//! Records of every type, at whoever takes them: as they were decided, and known again when they are read.

use super::*;
use crate::common::named::Named;

fn set(kind: RecordKind, data: RecordData) -> RecordSet {
    RecordSet { kind, ttl: 60, data: vec![data] }
}

/// One of each type that may stand beside the others.
fn every_kind() -> Vec<RecordSet> {
    let parameters = [
        (1, b"\x02h2\x02h3".to_vec()),
        (3, 8443_u16.to_be_bytes().to_vec()),
        (4, vec![192, 0, 2, 1]),
    ];
    let binding =
        RecordData::Binding { priority: 1, target: String::new(), parameters: parameters.into() };
    let authorization = RecordData::Authorization {
        flags: 0,
        tag: "issue".to_owned(),
        value: "ca.example.net".to_owned(),
    };
    let service = RecordData::Service {
        priority: 10,
        weight: 5,
        port: 5060,
        target: "sip.example.net".to_owned(),
    };
    let text = RecordData::Text("a \"quoted\" text; with more".to_owned());
    let mut sets = vec![addresses(&["192.0.2.2"])];
    sets.extend([
        set(RecordKind::Https, binding),
        set(RecordKind::Caa, authorization),
        set(RecordKind::Srv, service),
        set(RecordKind::Txt, text),
    ]);
    sets
}

/// As dig writes them.
const WRITTEN: [(&str, &str); 5] = [
    ("A", "192.0.2.2"),
    ("HTTPS", "1 . alpn=\"h2,h3\" port=8443 ipv4hint=192.0.2.1"),
    ("CAA", "0 issue \"ca.example.net\""),
    ("SRV", "10 5 5060 sip.example.net."),
    ("TXT", "\"a \\\"quoted\\\" text; with more\""),
];

#[tokio::test]
async fn every_type_is_taken_by_bind_knot_and_powerdns_and_known_again() {
    let (named, knot, pdns) = (Named::start("").await, Knot::start().await, Pdns::start().await);
    let key = Credential::Key {
        name: KEY.to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        secret: SECRET.to_vec(),
    };
    let key: Credentials = [("dns".parse().expect("a name"), key)].into();
    let update = |server: std::net::SocketAddr| Effect::Publish {
        name: NAME.to_owned(),
        driver: Driver::Rfc2136 {
            server: server.to_string(),
            zone: ZONE.to_owned(),
            credential: "dns".parse().expect("a name"),
        },
        sets: every_kind(),
        stack: "do-west".parse().expect("a name"),
    };
    let api = to(Provider::PowerDns, &pdns.url, every_kind());
    for (server, good, effect) in [
        (named.address, &key, update(named.address)),
        (knot.address, &key, update(knot.address)),
        (pdns.address, &with_token(None, API_KEY), api),
    ] {
        let first = act(good, token(2, 4), effect.clone()).await;
        assert!(matches!(&first, Ok(Done { proven: true, .. })), "{server}: {first:?}");
        for (kind, written) in WRITTEN {
            assert_eq!(dig(server, &[NAME, kind]), [written], "{server}");
        }
        let again = act(good, token(2, 4), effect).await;
        assert!(text(&again).starts_with("says so already"), "{server}: {again:?}");
    }
}

/// Azure has no HTTPS records, and says nothing of the others that was not written.
#[tokio::test]
async fn azure_takes_every_type_it_has_and_no_other() {
    let book = azure(Book::default()).await;
    let good = with_token(None, &emulators::principal(&book.url()));
    let to = |sets| to(Provider::Azure, &book.url(), sets);
    let address = RecordData::Address("2001:db8::2".parse().expect("an address"));
    let (theirs, others): (Vec<_>, Vec<_>) =
        every_kind().into_iter().partition(|set| set.kind == RecordKind::Https);
    let sets: Vec<_> = others.into_iter().chain([set(RecordKind::Aaaa, address)]).collect();
    let first = act(&good, token(2, 4), to(sets.clone())).await;
    assert!(matches!(&first, Ok(Done { proven: true, .. })), "{first:?}");
    let v6 = ("AAAA", "2001:db8::2");
    for (kind, written) in WRITTEN.into_iter().filter(|it| it.0 != "HTTPS").chain([v6]) {
        assert_eq!(book.with(|it| it.get(NAME, kind)), [written], "{kind}");
    }
    let writes = book.with(|it| it.writes);
    let again = act(&good, token(2, 4), to(sets)).await;
    assert!(text(&again).starts_with("says so already"), "{again:?}");
    let refused = act(&good, token(3, 4), to(theirs)).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert_eq!(book.with(|it| it.writes), writes);
}

/// They hold data as master files write it, and are given it so: quotes or none, it is the same.
#[tokio::test]
async fn route_53_and_google_take_every_type_and_it_is_known_again() {
    const UNQUOTED: &str = "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1";
    let (amazon, google) = (route53(Book::default()).await, google(Book::default()).await);
    let key_file = emulators::key_file(&google.url());
    let address = RecordData::Address("2001:db8::2".parse().expect("an address"));
    let sets: Vec<_> = every_kind().into_iter().chain([set(RecordKind::Aaaa, address)]).collect();
    let written = WRITTEN.into_iter().filter(|it| it.0 != "HTTPS");
    let written: Vec<_> = written.chain([("AAAA", "2001:db8::2"), ("HTTPS", UNQUOTED)]).collect();
    for (provider, book, good) in [
        (Provider::Route53, &amazon, with_token(Some("AKIDEXAMPLE"), route53::SECRET)),
        (Provider::Google, &google, with_token(None, &key_file)),
    ] {
        let word = provider.word();
        let publish =
            async || act(&good, token(2, 4), to(provider, &book.url(), sets.clone())).await;
        let first = publish().await;
        assert!(matches!(&first, Ok(Done { proven: true, .. })), "{word}: {first:?}");
        for (kind, written) in &written {
            assert_eq!(book.with(|it| it.get(NAME, kind)), [*written], "{word} {kind}");
        }
        let writes = book.with(|it| it.writes);
        for (kind, same) in WRITTEN {
            book.with(|it| it.put(NAME, kind, 60, &[same]));
        }
        let again = publish().await;
        assert!(text(&again).starts_with("says so already"), "{word}: {again:?}");
        assert_eq!(book.with(|it| it.writes), writes, "{word}");
        // Another value is a change, whatever its type.
        for (kind, other) in [
            ("AAAA", "2001:db8::9"),
            ("SRV", "10 5 5061 sip.example.net."),
            ("CAA", "0 issue \"ca.example.org\""),
            ("TXT", "\"another\""),
            ("HTTPS", "1 . alpn=\"h2\""),
        ] {
            book.with(|it| it.put(NAME, kind, 60, &[other]));
            let mended = publish().await;
            assert!(text(&mended).starts_with("changed"), "{word} {kind}: {mended:?}");
            let (_, ours) = written.iter().find(|it| it.0 == kind).expect("one of them");
            assert_eq!(book.with(|it| it.get(NAME, kind)), [*ours], "{word} {kind}");
        }
    }
}
