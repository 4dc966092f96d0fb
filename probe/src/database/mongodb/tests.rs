//! What members of a set say of themselves, and what is read from it.

use bson::oid::ObjectId;
use bson::raw::RawDocumentBuf;
use bson::{DateTime, Timestamp};

use super::*;

fn term(term: u8) -> ObjectId {
    ObjectId::from_bytes([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, term])
}

fn at(seconds: u32) -> Timestamp {
    Timestamp { time: seconds, increment: 1 }
}

fn hello() -> RawDocumentBuf {
    rawdoc! {
        "isWritablePrimary": false, "secondary": true, "setName": "rs0", "me": "10.0.0.2:27017",
        "primary": "10.0.0.1:27017", "hosts": ["10.0.0.1:27017", "10.0.0.2:27017"],
        "minWireVersion": 0, "maxWireVersion": 21,
        "lastWrite": { "opTime": { "ts": at(100), "t": 3_i64 } }, "ok": 1.0,
    }
}

fn primary() -> RawDocumentBuf {
    rawdoc! {
        "isWritablePrimary": true, "secondary": false, "setName": "rs0", "me": "10.0.0.1:27017",
        "hosts": ["10.0.0.2:27017", "10.0.0.1:27017"], "electionId": term(4),
        "minWireVersion": 0, "maxWireVersion": 21,
        "lastWrite": { "opTime": { "ts": at(107), "t": 3_i64 } }, "ok": 1.0,
    }
}

fn status(source: &str) -> RawDocumentBuf {
    rawdoc! {
        "set": "rs0", "date": DateTime::from_millis(109_000), "term": 4_i64,
        "optimes": { "writtenOpTime": { "ts": at(103), "t": 3_i64 } },
        "members": [
            { "state": 1, "stateStr": "PRIMARY", "optimeDate": DateTime::from_millis(107_000),
              "lastHeartbeatRecv": DateTime::from_millis(108_000) },
            { "state": 2, "stateStr": "SECONDARY", "self": true, "syncSourceHost": source,
              "optimeDate": DateTime::from_millis(100_000) },
        ],
        "ok": 1.0,
    }
}

fn with(hello: &RawDocumentBuf, key: &str, value: bson::RawBson) -> RawDocumentBuf {
    let mut changed = RawDocumentBuf::new();
    for (name, old) in hello.iter().map(|entry| entry.expect("it is whole")) {
        if name.as_str() != key {
            changed.append(name, old);
        }
    }
    changed.append(bson::raw::CString::try_from(key).expect("a key"), value);
    changed
}

#[test]
fn a_secondary_says_what_it_received_and_what_it_applied() {
    let sight = read(Facts(&hello()), Some(Facts(&status("10.0.0.1:27017")))).expect("it is well");
    assert!(sight.replica && sight.read_only && sight.streaming);
    assert_eq!((sight.position, sight.replayed), (103 << 32 | 1, 100 << 32 | 1));
    assert_eq!(sight.timeline, 4, "its own term, though the last write is of an older one");
    assert_eq!(sight.lag, Some(Duration::from_secs(7)));
    assert_eq!(sight.heard, Some(Duration::from_secs(1)));
    assert_eq!(sight.upstream_name.as_deref(), Some("10.0.0.2:27017"));
    assert!(!read(Facts(&hello()), Some(Facts(&status("")))).expect("it is well").streaming);
    let bare = read(Facts(&hello()), None).expect("it is well");
    assert_eq!((bare.timeline, bare.lag, bare.streaming), (3, None, true));
}

/// A real one that had everything when it joined has no source until there is more.
#[test]
fn a_secondary_that_lacks_nothing_needs_no_source() {
    let streams = |state: i32, last: u32, own: u32| {
        let place = |seconds| rawdoc! { "ts": at(seconds), "t": 3_i64 };
        let status = rawdoc! { "members": [
            { "state": state, "optime": place(last) },
            { "state": 2, "self": true, "syncSourceHost": "", "optime": place(own) },
        ] };
        read(Facts(&hello()), Some(Facts(&status))).expect("it is well").streaming
    };
    assert!(streams(1, 100, 100) && streams(1, 100, 101));
    assert!(!streams(1, 101, 100), "there is more");
    assert!(!streams(8, 100, 100), "it hears of no primary");
}

#[test]
fn a_primary_says_its_term_and_is_of_its_replicas_history() {
    let sight = read(Facts(&primary()), None).expect("it is well");
    assert!(!sight.replica && !sight.read_only && !sight.streaming);
    assert_eq!((sight.timeline, sight.position), (4, 107 << 32 | 1));
    assert_eq!(sight.system, history(Facts(&hello())), "whatever the order of the members");
    let other = with(&hello(), "setName", "rs1".into());
    assert_ne!(sight.system, history(Facts(&other)));
    let other = with(&hello(), "hosts", bson::rawbson!(["10.0.0.9:27017"]));
    assert_ne!(sight.system, history(Facts(&other)));
}

#[test]
fn what_cannot_be_is_no_sight() {
    let opening = |term: i64, seconds: u32| {
        let place = rawdoc! { "opTime": { "ts": at(seconds), "t": term } };
        bson::RawBson::Document(place)
    };
    let bare = with(&primary(), "electionId", bson::RawBson::Null);
    let no_election = "names no election";
    for (hello, words) in [
        (with(&primary(), "secondary", true.into()), "at once"),
        (with(&hello(), "lastWrite", bson::RawBson::Null), "lastWrite.opTime"),
        (with(&hello(), "lastWrite", bson::rawbson!([1, 2])), "lastWrite.opTime"),
        (with(&hello(), "lastWrite", bson::rawbson!({ "opTime": { "ts": 7, "t": 1 } })), "opTime"),
        (with(&hello(), "lastWrite", bson::rawbson!({ "opTime": { "ts": at(7) } })), "opTime"),
        (with(&hello(), "lastWrite", opening(-2, 7)), no_election),
        (with(&bare, "lastWrite", opening(-1, 7)), no_election),
        (with(&bare, "lastWrite", opening(i64::MAX, 7)), no_election),
    ] {
        let fault = read(Facts(&hello), None).expect_err(words).into_fault();
        assert_eq!(fault.kind, FaultKind::Protocol, "{fault}");
        assert!(fault.text.contains(words), "{fault}");
    }
    let early = with(&hello(), "lastWrite", opening(-1, 7));
    let fault = read(Facts(&early), None).expect_err("nobody was elected").into_fault();
    assert_eq!(fault.kind, FaultKind::Unready, "{fault}");
    assert_eq!(leads_by(Facts(&with(&bare, "lastWrite", opening(-1, 7)))), None);
    let negative = ObjectId::from_bytes([0x7f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(leads_by(Facts(&with(&primary(), "electionId", negative.into()))), None);
}

#[test]
fn what_is_of_another_type_or_beyond_measure_is_left_out() {
    let strange = with(&hello(), "me", "a\u{1b}[2J:27017".into());
    assert_eq!(read(Facts(&strange), None).expect("it is well").upstream_name, None);
    let long = with(&hello(), "me", "x".repeat(NAME + 1).into());
    assert_eq!(read(Facts(&long), None).expect("it is well").upstream_name, None);
    let state = "\u{7}".repeat(100);
    let neither = with(&hello(), "secondary", false.into());
    let status = rawdoc! { "members": [7, "x", { "self": true, "stateStr": state }] };
    let fault = read(Facts(&neither), Some(Facts(&status))).expect_err("neither").into_fault();
    assert!(fault.text.len() < 80 && !fault.text.contains('\u{7}'), "{fault:?}");
    // Clocks that ran backwards, and as far apart as numbers go.
    let date = DateTime::from_millis;
    for (leader, own, expected) in [
        (date(7), date(9), Duration::ZERO),
        (date(i64::MAX), date(i64::MIN), Duration::from_millis(i64::MAX.unsigned_abs())),
    ] {
        let status = rawdoc! { "members": [
            { "state": 1, "optimeDate": leader },
            { "state": 2.5, "self": true, "optimeDate": own, "syncSourceHost": 7 },
        ], "term": f64::NAN, "optimes": 7 };
        let sight = read(Facts(&hello()), Some(Facts(&status))).expect("it is well");
        assert_eq!((sight.lag, sight.timeline, sight.streaming), (Some(expected), 3, false));
    }
    // Thousands of members, of which the last would be the primary.
    let mut members = bson::raw::RawArrayBuf::new();
    (0..5_000).for_each(|number: i32| members.push(rawdoc! { "state": 2, "_id": number }));
    members.push(rawdoc! { "state": 1, "self": true, "syncSourceHost": "x" });
    let sight = read(Facts(&hello()), Some(Facts(&rawdoc! { "members": members })));
    assert!(!sight.expect("it is well").streaming, "only the first {MEMBERS} are read");
}

#[test]
fn who_can_never_be_elected_has_no_name_for_it() {
    for key in ["passive", "hidden"] {
        let hello = with(&hello(), key, true.into());
        assert_eq!(read(Facts(&hello), None).expect("it is well").upstream_name, None, "{key}");
    }
}

#[test]
fn what_cannot_be_followed_is_said() {
    for (key, value, words) in [
        ("msg", "isdbgrid".into(), "`mongos`"),
        ("isreplicaset", true.into(), "never initiated"),
        ("setName", bson::RawBson::Null, "no replica set"),
        ("arbiterOnly", true.into(), "arbiter"),
        ("maxWireVersion", 5.into(), "versions 0 to 5"),
        ("minWireVersion", 40.into(), "MongoDB 3.6 to 8"),
    ] {
        let trouble = fit(Facts(&with(&hello(), key, value))).expect_err(words);
        let fault = trouble.into_fault();
        assert_eq!(fault.kind, FaultKind::Unready, "{fault}");
        assert!(fault.text.contains(words), "{fault}");
    }
    fit(Facts(&hello())).expect("it is fit");
}

#[test]
fn who_is_neither_is_not_ready() {
    let hello = with(&hello(), "secondary", false.into());
    let told = |status: Option<&RawDocumentBuf>| {
        let trouble = read(Facts(&hello), status.map(|it| Facts(it))).expect_err("it is not ready");
        trouble.into_fault().text
    };
    assert_eq!(told(None), "is neither a primary nor a secondary just now");
    let recovering =
        rawdoc! { "members": [{ "self": true, "state": 3, "stateStr": "RECOVERING" }] };
    assert!(told(Some(&recovering)).ends_with("but RECOVERING"));
    let elected = rawdoc! { "members": [{ "self": true, "state": 1, "stateStr": "PRIMARY" }] };
    assert!(told(Some(&elected)).contains("not yet ready"));
}

/// What it asks of a server that answers like this, by the commands' names, and what it hears in the end.
async fn greeted(user: Option<&str>, answers: &[RawDocumentBuf]) -> (Vec<RawDocumentBuf>, String) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    // Hangs up once it has heard what it asked for.
    let asks = async {
        let mut link = Link::over(ours, Duration::from_secs(10));
        greet(&mut link, &Login::new("quorate", user)).await
    };
    let serves = async {
        let mut asked = Vec::new();
        for (number, answer) in (1_i32..).zip(answers) {
            asked.push(wire::tests::serve(&mut theirs, number, answer).await);
        }
        asked
    };
    let (said, asked) = tokio::join!(asks, serves);
    let said = match said {
        Ok(said) => format!("{:?}", mechanism(Facts(&said))),
        Err(error) => error.to_string(),
    };
    (asked, said)
}

#[tokio::test]
async fn who_does_not_know_hello_is_asked_by_its_old_name() {
    let unknown = || rawdoc! { "ok": 0.0, "code": 59, "errmsg": "no such command: 'hello'" };
    let first = |asked: &[RawDocumentBuf]| -> Vec<String> {
        let names = asked.iter().filter_map(|it| it.iter().next()?.ok());
        names.map(|(name, _)| name.to_string()).collect()
    };
    let old = rawdoc! { "ok": 1.0, "ismaster": true };
    let (asked, said) = greeted(Some("secret"), &[unknown(), old]).await;
    assert_eq!(
        (first(&asked).as_slice(), said.as_str()),
        (&["hello", "isMaster"].map(String::from)[..], "Sha1")
    );
    assert_eq!(Facts(&asked[1]).text("saslSupportedMechs"), Some("admin.quorate"));
    let (asked, said) = greeted(None, &[unknown(), unknown()]).await;
    assert_eq!((asked.len(), said.as_str()), (2, "no such command: 'hello'"));
    let other = rawdoc! { "ok": 0.0, "code": 91, "errmsg": "shuts down" };
    assert_eq!(first(&greeted(None, &[other]).await.0), ["hello"], "another no is a no");

    let offers = |list: bson::RawBson| rawdoc! { "ok": 1.0, "saslSupportedMechs": list };
    for (offer, taken) in [
        (bson::rawbson!(["SCRAM-SHA-1", "SCRAM-SHA-256"]), "Sha256"),
        (bson::rawbson!(["SCRAM-SHA-1"]), "Sha1"),
        (bson::rawbson!(["PLAIN"]), "Sha1"),
    ] {
        let (asked, said) = greeted(Some("secret"), &[offers(offer)]).await;
        assert_eq!((asked.len(), said.as_str()), (1, taken));
    }
    let (asked, _) = greeted(None, &[rawdoc! { "ok": 1.0 }]).await;
    assert_eq!(Facts(&asked[0]).text("saslSupportedMechs"), None, "nobody logs in");
}

#[test]
fn the_old_name_has_another_word_for_a_primary() {
    let old =
        with(&with(&primary(), "isWritablePrimary", bson::RawBson::Null), "ismaster", true.into());
    assert!(!read(Facts(&old), None).expect("it is well").replica);
    assert_eq!(leads_by(Facts(&old)), Some(4));
}

#[test]
fn refusals_and_silence_are_told_apart() {
    let refused = |code| Broken::Refused(Refusal { code, text: "no".to_owned() });
    for (code, kind) in [
        (18, FaultKind::Credential),
        (13, FaultKind::Credential),
        (91, FaultKind::Unready),
        (189, FaultKind::Unready),
        (9, FaultKind::Protocol),
        (50, FaultKind::Timeout),
        (262, FaultKind::Timeout),
    ] {
        assert_eq!(trouble(&refused(code), "quorate").into_fault().kind, kind, "{code}");
    }
    let login = Login::new("quorate", None);
    let fault = unheard(&refused(59), &login).into_fault();
    assert!(fault.text.contains("3.6 or newer"), "{fault}");
    let gone = || Broken::Io(io::ErrorKind::UnexpectedEof.into());
    let fault = unheard(&gone(), &login).into_fault();
    assert_eq!(fault.kind, FaultKind::Unready);
    assert!(fault.text.contains("too many connections") && fault.text.contains("`tls`"), "{fault}");
    assert_eq!(trouble(&gone(), "quorate").into_fault().kind, FaultKind::Reset);
}
