//! Whether a key that may read a zone may change it, asked of each provider without a change.
//!
//! The forms are documented: Google's in "managedZones.testIamPermissions", Azure's in "Permissions - List For Resource" and,
//! with an answer as it came, in "Use Resource Manager authentication API to access subscriptions"; Cloudflare's batch asks for
//! "DNS Write" ("Batch DNS Records"), and what it says without is quoted in issues of its Terraform provider (#1533, #913) and
//! of cf-terraforming (#677). Route 53's are those of the emulator.

use std::sync::Arc;

use agent::actors::{Actors, Consent};
use agent::config::Credentials;
use consensus::model::Effect;
use tokio::sync::mpsc;

use super::super::emulators::route53::{Granted, SECRET};
use super::super::emulators::{Book, Server, Trouble, route53};
use super::*;
use crate::common::pdns::{API_KEY, Pdns};

/// What comes of asking for these.
async fn asked(good: &Credentials, publications: &[Effect]) -> Vec<Consent> {
    let (inputs, _) = mpsc::channel(1);
    let actors = Actors::new(Arc::new(good.clone()), inputs);
    let app = "shop".parse().expect("a name");
    let consents = actors.consents(&app, token(2, 4), publications).await;
    consents
        .into_iter()
        .map(|(name, consent)| {
            assert_eq!(name, NAME);
            consent
        })
        .collect()
}

fn one() -> Vec<RecordSet> {
    vec![addresses(&["192.0.2.2"])]
}

/// What Route 53 says to this key, and that nothing came of it.
async fn route53_says(book: &Server, sets: Vec<RecordSet>) -> Consent {
    let good = with_token(Some("AKIDEXAMPLE"), SECRET);
    let before = book.with(|it| it.everything());
    let effect = to(Provider::Route53, &book.url(), sets);
    let consent = asked(&good, &[effect]).await.remove(0);
    book.with(|it| {
        assert_eq!(it.everything(), before, "nothing was changed");
        assert_eq!(it.amazon.taken, 0, "no change was taken");
    });
    consent
}

const ALL: Granted =
    Granted { names: &[NAME, MARKER], kinds: &["A", "TXT"], actions: &["CREATE", "DELETE"] };

#[tokio::test]
async fn a_route53_key_that_may_only_read_is_told_with_what_to_grant() {
    let book = route53(Book::default()).await;
    book.with(|it| it.amazon.granted = Some(Granted::default()));
    let Consent::Refused(why) = route53_says(&book, one()).await else { panic!("it may not") };
    let said = "Route 53 does not let credential `dns` change A of `shop.dyn.example` and TXT of \
                `_quorate.shop.dyn.example` in zone `dyn.example`: grant it \
                `route53:ChangeResourceRecordSets` on `hostedzone/Z2FDTNDATAQYW2`, to CREATE and to DELETE both: \
                AccessDenied: User: arn:aws:iam::123456789012:user/mesh is not authorized to perform";
    assert!(why.starts_with(said), "{why}");
    assert_eq!(book.with(|it| it.writes), 1);
}

/// Whatever stands there, also exactly what would be published.
#[tokio::test]
async fn a_route53_key_that_may_change_is_told_so_by_a_batch_that_changes_nothing() {
    let book = route53(Book::default()).await;
    assert_eq!(route53_says(&book, one()).await, Consent::Given);
    for (kind, text) in [("A", "192.0.2.2"), ("A", "198.51.100.1"), ("CNAME", "lb.example.")] {
        for epoch in [2, 9] {
            let book = route53(Book::default()).await;
            book.with(|it| {
                it.put(NAME, kind, 60, &[text]);
                it.put(MARKER, "TXT", 30, &[&marker(epoch)]);
            });
            assert_eq!(route53_says(&book, one()).await, Consent::Given, "{kind} {text} {epoch}");
        }
    }
    // Somebody wrote what nobody writes: the batch is taken, and leaves all of it as it was.
    let never = "\"may this be changed?\"";
    let book = route53(Book::default()).await;
    book.with(|it| {
        it.put(NAME, "A", 60, &["192.0.2.2"]);
        it.put(MARKER, "TXT", 30, &[never]);
    });
    let effect = to(Provider::Route53, &book.url(), one());
    let consents = asked(&with_token(Some("AKIDEXAMPLE"), SECRET), &[effect]).await;
    assert_eq!((consents, book.with(|it| it.amazon.taken)), (vec![Consent::Given], 1));
    let held = book.with(|it| (it.get(NAME, "A"), it.ttl(NAME, "A"), it.get(MARKER, "TXT")));
    assert_eq!(held, (vec!["192.0.2.2".to_owned()], Some(60), vec![never.to_owned()]));
}

/// As the change itself would be: a policy may be limited to names, types and actions.
#[tokio::test]
async fn a_route53_key_is_asked_for_the_names_types_and_actions_of_a_change() {
    for (granted, given) in [
        (ALL, true),
        (Granted { names: &[NAME], ..ALL }, false),
        (Granted { names: &[MARKER], ..ALL }, false),
        (Granted { kinds: &["A"], ..ALL }, false),
        (Granted { kinds: &["TXT", "CNAME"], ..ALL }, false),
        (Granted { actions: &["UPSERT", "DELETE"], ..ALL }, false),
        (Granted { actions: &["CREATE", "UPSERT"], ..ALL }, false),
    ] {
        let book = route53(Book::default()).await;
        book.with(|it| it.amazon.granted = Some(granted));
        let consent = route53_says(&book, one()).await;
        assert_eq!(consent == Consent::Given, given, "{consent:?}");
        // It is what the change comes to.
        let effect = to(Provider::Route53, &book.url(), one());
        book.with(|it| {
            it.put(NAME, "A", 60, &["198.51.100.1"]);
            it.put(MARKER, "TXT", 30, &[&marker(1)]);
        });
        let changed = act(&with_token(Some("AKIDEXAMPLE"), SECRET), token(2, 4), effect).await;
        assert_eq!(changed.is_ok(), given, "{changed:?}");
    }
    // What a standby would be published as is asked for, too.
    let book = route53(Book::default()).await;
    book.with(|it| it.amazon.granted = Some(ALL));
    let url = book.url();
    let both = [one(), vec![alias("lb.example.net")]];
    let both = both.map(|sets| to(Provider::Route53, &url, sets));
    let good = with_token(Some("AKIDEXAMPLE"), SECRET);
    let consents = asked(&good, &both).await;
    assert_eq!(consents[0], Consent::Given);
    assert!(
        matches!(&consents[1], Consent::Refused(why) if why.contains("change CNAME of")),
        "{consents:?}"
    );
    // And the same twice is asked for once.
    let writes = book.with(|it| it.writes);
    let again = [one(), one()].map(|sets| to(Provider::Route53, &url, sets));
    assert_eq!(asked(&good, &again).await, [Consent::Given]);
    assert_eq!(book.with(|it| it.writes), writes + 1);
}

#[tokio::test]
async fn what_route53_says_of_other_things_is_no_refusal() {
    let book = route53(Book::default()).await;
    book.with(|it| it.amazon.processing = true);
    let unknown = |consent: Consent, words: &str| match consent {
        Consent::Unknown(why) => assert!(why.contains(words), "{why}"),
        other => panic!("{words}: {other:?}"),
    };
    unknown(route53_says(&book, one()).await, "PriorRequestNotComplete");
    book.with(|it| it.amazon.processing = false);
    for (trouble, words) in [
        (Trouble::Busy, "asks to come again later"),
        (Trouble::Locked, "InvalidClientTokenId"),
        (Trouble::Broken, "answers 500"),
    ] {
        book.with(|it| it.trouble = Some(trouble));
        unknown(route53_says(&book, one()).await, words);
    }
    // Who holds no credential asks nobody.
    let effect = to(Provider::Route53, &book.url(), one());
    assert_eq!(asked(&Credentials::default(), &[effect]).await, []);
}

/// Looks leave a reserve for changes, and so do questions.
#[tokio::test]
async fn questions_are_left_out_where_the_rest_is_kept_for_a_failover() {
    let book = route53(Book::default()).await;
    let (inputs, _) = mpsc::channel(1);
    let good = with_token(Some("AKIDEXAMPLE"), SECRET);
    let actors = Actors::new(Arc::new(good), inputs);
    let app = "shop".parse().expect("a name");
    let effect = [to(Provider::Route53, &book.url(), one())];
    let mut last = Vec::new();
    for _ in 0..40 {
        last = actors.consents(&app, token(2, 4), &effect).await;
    }
    let [(_, Consent::Unknown(why))] = last.as_slice() else { panic!("{last:?}") };
    assert!(why.contains("kept for a failover"), "{why}");
    assert!(book.with(|it| it.asked) < 20, "{}", book.with(|it| it.asked));
}

fn google_asks(tape: &mut Tape, status: u16, said: &Value) {
    let pass =
        json!({ "access_token": "ya29.c.a-pass", "token_type": "Bearer", "expires_in": 3600 });
    tape.add(Method::POST, "/token", None, 200, &pass);
    let of =
        ["list", "create", "update", "delete"].map(|it| format!("dns.resourceRecordSets.{it}"));
    let [list, create, update, delete] = of;
    let asks = json!({ "permissions": [list, "dns.changes.create", create, update, delete] });
    tape.add(Method::POST, &format!("{GOOGLE}:testIamPermissions"), Some(asks), status, said);
}

#[tokio::test]
async fn google_tells_which_permissions_are_held() {
    const SETS: &str = "dns.resourceRecordSets";
    let refused = |lacks: &str| {
        format!(
            "Google Cloud DNS does not let credential `dns` change records in zone `dyn.example`: grant it {lacks} \
             (as `roles/dns.admin` does)"
        )
    };
    let turns = [one(), vec![alias("lb.example.net")]];
    let text = RecordData::Text("whatever".to_owned());
    let text = RecordSet { kind: RecordKind::Txt, ttl: 60, data: vec![text] };
    // Text that one stack has and another has not is left where it is.
    let beside = [one(), [one(), vec![text]].concat()];
    for (held, sets, lacks) in [
        (vec!["dns.changes.create", "update"], &beside[..], None),
        (vec!["dns.changes.create", "create", "update", "delete"], &turns[..1], None),
        (vec!["dns.changes.create", "update"], &turns[..1], None),
        (vec!["dns.changes.create", "create", "delete"], &turns[..], None),
        (
            vec!["dns.changes.create", "update", "create"],
            &turns[..],
            Some("`dns.resourceRecordSets.delete`"),
        ),
        (vec!["create", "update", "delete"], &turns[..1], Some("`dns.changes.create`")),
        (
            vec![],
            &turns[..1],
            Some(
                "`dns.changes.create` and `dns.resourceRecordSets.create` and `dns.resourceRecordSets.delete`",
            ),
        ),
    ] {
        let mut tape = Tape::default();
        let held = held.iter().map(|it| match it.contains('.') {
            true => (*it).to_owned(),
            false => format!("{SETS}.{it}"),
        });
        let held: Vec<_> = held.chain([format!("{SETS}.list")]).collect();
        for _ in sets {
            google_asks(&mut tape, 200, &json!({ "permissions": held }));
        }
        let tape = tape.play().await;
        let good = with_token(None, &emulators::key_file(&tape.url()));
        let effects = sets.iter().map(|sets| to(Provider::Google, &tape.url(), sets.clone()));
        let consents = asked(&good, &effects.collect::<Vec<_>>()).await;
        let wanted = lacks.map_or(Consent::Given, |lacks| Consent::Refused(refused(lacks)));
        assert_eq!(consents, vec![wanted; sets.len()], "{held:?}");
        ended(&tape);
    }
}

/// What it says of no zone, and to whoever may not ask ("dns.managedZones.list for the testIamPermission method").
#[tokio::test]
async fn what_google_does_not_tell_is_no_refusal() {
    let denied = json!({ "error": { "code": 403, "message": "Forbidden",
        "errors": [{ "message": "Forbidden", "domain": "global", "reason": "forbidden" }] } });
    for (status, said) in [(200, json!({})), (403, denied), (200, json!({ "permissions": [] }))] {
        let mut tape = Tape::default();
        google_asks(&mut tape, status, &said);
        let tape = tape.play().await;
        let good = with_token(None, &emulators::key_file(&tape.url()));
        let consents = asked(&good, &[to(Provider::Google, &tape.url(), one())]).await;
        assert!(matches!(consents[..], [Consent::Unknown(_)]), "{said}: {consents:?}");
        ended(&tape);
    }
}

/// Of the zone, or of a set.
fn azure_permits(tape: &mut Tape, set: &str, status: u16, said: &Value) {
    let path = format!(
        "{AZURE}/dnsZones/dyn.example{set}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01"
    );
    tape.get(&path, status, said);
}

/// Roles, by what they allow and what they leave out.
fn azure_roles(roles: &[(&[&str], &[&str])]) -> Value {
    let role = |(actions, not): &(&[&str], &[&str])| json!({ "actions": actions, "notActions": not, "dataActions": [], "notDataActions": [] });
    json!({ "value": roles.iter().map(role).collect::<Vec<_>>(), "nextLink": null })
}

async fn azure_says(mut tape: Tape, sets: Vec<RecordSet>) -> Consent {
    azure_pass(&mut tape);
    let tape = tape.play().await;
    let good = with_token(None, &emulators::principal(&tape.url()));
    let consent = asked(&good, &[to(Provider::Azure, &tape.url(), sets)]).await.remove(0);
    ended(&tape);
    consent
}

/// The first is the answer of the documentation; the second is what the role DNS Zone Contributor has.
#[tokio::test]
async fn azure_tells_what_the_caller_may_do_with_a_zone() {
    let documented: &[(&[&str], &[&str])] = &[
        (&["*"], &["Microsoft.Authorization/*/Write", "Microsoft.Authorization/*/Delete"]),
        (&["*/read"], &[]),
    ];
    let contributor: &[(&[&str], &[&str])] = &[(
        &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Network/dnsZones/*",
            "Microsoft.ResourceHealth/availabilityStatuses/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Support/*",
        ],
        &[],
    )];
    for roles in [documented, contributor] {
        let mut tape = Tape::default();
        azure_permits(&mut tape, "", 200, &azure_roles(roles));
        assert_eq!(azure_says(tape, one()).await, Consent::Given);
    }
}

#[tokio::test]
async fn an_azure_principal_that_may_only_read_is_told_with_what_to_grant() {
    let reader = azure_roles(&[(&["*/read"], &[])]);
    let mut tape = Tape::default();
    for set in ["", "/A/shop", "/TXT/_quorate.shop"] {
        azure_permits(&mut tape, set, 200, &reader);
    }
    let said = "Azure DNS does not let credential `dns` change A of `shop.dyn.example` and TXT of \
                `_quorate.shop.dyn.example` in zone `dyn.example`: grant it `Microsoft.Network/dnsZones/A/write` and \
                `Microsoft.Network/dnsZones/TXT/write` (as the role DNS Zone Contributor does)";
    assert_eq!(azure_says(tape, one()).await, Consent::Refused(said.to_owned()));
}

/// A role may be given for one record set alone ("How to protect DNS zones and records").
#[tokio::test]
async fn an_azure_principal_may_have_its_rights_by_the_set() {
    let reader = azure_roles(&[(&["*/read"], &[])]);
    let writer = azure_roles(&[(&["*/read"], &[]), (&["Microsoft.Network/dnsZones/*"], &[])]);
    let mut tape = Tape::default();
    azure_permits(&mut tape, "", 200, &reader);
    azure_permits(&mut tape, "/A/shop", 200, &writer);
    azure_permits(&mut tape, "/TXT/_quorate.shop", 200, &writer);
    assert_eq!(azure_says(tape, one()).await, Consent::Given);
}

/// An alias in the place of addresses takes their deletion.
#[tokio::test]
async fn azure_is_asked_for_deletion_where_a_type_gives_way_to_another() {
    let half = azure_roles(&[(&["Microsoft.Network/dnsZones/*"], &["*/delete"])]);
    let mut tape = Tape::default();
    for (gone, times) in [("/CNAME/shop", 1), ("/A/shop", 1)] {
        azure_pass(&mut tape);
        azure_permits(&mut tape, "", 200, &half);
        (0..times).for_each(|_| azure_permits(&mut tape, gone, 200, &half));
    }
    let tape = tape.play().await;
    let good = with_token(None, &emulators::principal(&tape.url()));
    let both = [one(), vec![alias("lb.example.net")]];
    let both = both.map(|sets| to(Provider::Azure, &tape.url(), sets));
    let consents = asked(&good, &both).await;
    for (consent, gone) in consents.iter().zip(["CNAME", "A"]) {
        let wanted = format!("change {gone} of `shop.dyn.example` in zone");
        let Consent::Refused(why) = consent else { panic!("{consent:?}") };
        assert!(
            why.contains(&wanted) && why.contains(&format!("dnsZones/{gone}/delete`")),
            "{why}"
        );
    }
    assert_eq!(consents.len(), 2);
    ended(&tape);
}

#[tokio::test]
async fn what_azure_does_not_tell_is_no_refusal() {
    let denied = json!({ "error": { "code": "AuthorizationFailed",
        "message": "The client 'mesh' does not have authorization to perform action \
                    'Microsoft.Authorization/permissions/read' over scope '/subscriptions/acme'." } });
    let missing = json!({ "error": { "code": "ResourceNotFound", "message": "not found" } });
    let reader = azure_roles(&[(&["*/read"], &[])]);
    let mut more = reader.clone();
    more["nextLink"] = "https://management.azure.com/more".into();
    let nothing = azure_roles(&[]);
    for (zone, set) in [
        ((403, &denied), None),
        ((200, &more), None),
        ((200, &reader), Some((404, &missing))),
        // Reading works all the same: this is not all that it may.
        ((200, &nothing), Some((200, &nothing))),
    ] {
        let mut tape = Tape::default();
        azure_permits(&mut tape, "", zone.0, zone.1);
        if let Some((status, said)) = set {
            azure_permits(&mut tape, "/A/shop", status, said);
        }
        let consent = azure_says(tape, one()).await;
        assert!(matches!(consent, Consent::Unknown(_)), "{consent:?}");
    }
}

/// The batch of nothing but a deletion, and what comes of it.
fn cloudflare_asks(tape: &mut Tape, status: u16, code: u32, message: &str) {
    let batch = json!({ "deletes": [{ "id": "00000000000000000000000000000000" }] });
    let said = json!({ "result": null, "success": false,
        "errors": [{ "code": code, "message": message }], "messages": [] });
    tape.add(Method::POST, &format!("{CLOUDFLARE}/batch"), Some(batch), status, &said);
}

async fn cloudflare_says(tape: Tape) -> Consent {
    let tape = tape.play().await;
    let effect = to(Provider::Cloudflare, &tape.url(), one());
    let consent = asked(&with_token(None, "a token"), &[effect]).await.remove(0);
    ended(&tape);
    consent
}

#[tokio::test]
async fn cloudflare_is_asked_to_delete_what_never_was() {
    let mut tape = Tape::default();
    cloudflare_asks(&mut tape, 404, 81_044, "Record does not exist.");
    assert_eq!(cloudflare_says(tape).await, Consent::Given);

    for (code, message) in
        [(10_000, "Authentication error"), (9_109, "Unauthorized to access requested resource")]
    {
        let mut tape = Tape::default();
        cloudflare_asks(&mut tape, 403, code, message);
        cloudflare_list(&mut tape, NAME, &[]);
        cloudflare_list(&mut tape, MARKER, &[]);
        let Consent::Refused(why) = cloudflare_says(tape).await else { panic!("{code}") };
        let said = "Cloudflare does not let credential `dns` change records in zone `dyn.example`: grant it the permission \
                    `DNS` `Edit` for this zone: {";
        assert!(why.starts_with(said) && why.contains(message), "{why}");
    }
}

/// Whoever is let in nowhere is told so by reading.
#[tokio::test]
async fn what_cloudflare_says_of_other_things_is_no_refusal() {
    let mut tape = Tape::default();
    cloudflare_asks(&mut tape, 403, 10_000, "Authentication error");
    let denied = json!({ "success": false, "errors": [{ "code": 10_000,
        "message": "Authentication error" }] });
    tape.get(&format!("{CLOUDFLARE}?name={NAME}&per_page=100"), 403, &denied);
    let consent = cloudflare_says(tape).await;
    assert!(matches!(consent, Consent::Unknown(_)), "{consent:?}");
    for (status, code) in [(403, 10_502), (400, 7_003), (500, 10_000), (503, 0)] {
        let mut tape = Tape::default();
        cloudflare_asks(&mut tape, status, code, "something else");
        let consent = cloudflare_says(tape).await;
        assert!(matches!(consent, Consent::Unknown(_)), "{code}: {consent:?}");
    }
}

/// Its one key is for all of its interface: that it reads is proof.
#[tokio::test]
async fn powerdns_lets_whoever_reads_change() {
    let pdns = Pdns::start().await;
    let effect = [to(Provider::PowerDns, &pdns.url, one())];
    let serial = pdns.dig(super::super::ZONE, "SOA");
    assert_eq!(asked(&with_token(None, API_KEY), &effect).await, [Consent::Given]);
    let consents = asked(&with_token(None, "no"), &effect).await;
    let [Consent::Unknown(why)] = consents.as_slice() else { panic!("{consents:?}") };
    assert!(why.contains("refuses the credential (401)"), "{why}");
    assert_eq!(pdns.dig(super::super::ZONE, "SOA"), serial);
    assert_eq!(pdns.dig(MARKER, "TXT"), [""; 0]);
    // And the key that reads does change.
    let changed = act(&with_token(None, API_KEY), token(2, 4), effect[0].clone()).await;
    assert!(changed.is_ok(), "{changed:?}");
}

/// Nothing is sent.
#[tokio::test]
async fn who_cannot_be_asked_without_a_change_is_not_known() {
    for (provider, words) in [
        (Provider::DigitalOcean, "DigitalOcean does not tell what a token may change"),
        (Provider::Webhook, "the webhook cannot be asked without being told to change"),
    ] {
        let tape = Tape::default().play().await;
        let effect = to(provider, &tape.url(), one());
        let consents = asked(&with_token(None, "a token"), &[effect]).await;
        assert_eq!(consents, [Consent::Untold(words.to_owned())]);
        ended(&tape);
    }
}
