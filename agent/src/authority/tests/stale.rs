//! What is said of a state that no majority has confirmed for too long: what rests on stacks that this agent itself sees up.

use super::weights::{signing, wants_signatures};
use super::*;
use crate::run::Seen;

/// Two apps in one zone, the first's alias leading to the second.
fn apps() -> Agreed {
    use RecordKind::{A, Cname};
    let zones = || vec![zone("shop.example", &["ns1.shop.example"])];
    let named = |name: &str, records: Vec<Record>| {
        let mut state = AppState::clone(&app(zones(), records));
        let mut definition = Definition::clone(&state.definition);
        definition.name = name.parse().expect("a name");
        state.definition = Arc::new(definition);
        Arc::new(state)
    };
    let shop = vec![
        record("www.shop.example", A, &[address("192.0.2.1")]),
        record("*.wild.shop.example", A, &[address("192.0.2.2")]),
        record("pay.shop.example", Cname, &[alias("till.shop.example")]),
        record("cdn.shop.example", Cname, &[alias("cdn.example.net")]),
    ];
    let till = vec![record("till.shop.example", A, &[address("192.0.2.3")])];
    agreed(vec![named("shop", shop), named("till", till)])
}

fn seen(apps: &[(&str, &str)]) -> Arc<Seen> {
    let name = |(app, stack): &(&str, &str)| {
        (app.parse().expect("a name"), stack.parse().expect("a name"))
    };
    Arc::new(apps.iter().map(name).collect())
}

#[test]
fn what_rests_on_a_stack_that_is_not_seen_up_is_a_failure_and_nothing_else_is() {
    // By what is seen: nothing, the shop, the till, both, and the shop where it is not said to be.
    let sights = [
        &[][..],
        &[("shop", "east")],
        &[("till", "east")],
        &[("shop", "east"), ("till", "east")],
        &[("shop", "west"), ("till", "east")],
    ];
    for (name, told) in [
        ("www.shop.example.", [false, true, false, true, false]),
        ("x.wild.shop.example.", [false, true, false, true, false]),
        ("cdn.shop.example.", [false, true, false, true, false]),
        ("till.shop.example.", [false, false, true, true, true]),
        ("pay.shop.example.", [false, false, false, true, false]),
        ("_status.till.shop.example.", [false, false, true, true, true]),
        // Who serves the zone, and what is not there, is said for all of it.
        ("shop.example.", [false, false, false, true, false]),
        ("wild.shop.example.", [false, false, false, true, false]),
        ("nobody.shop.example.", [false, false, false, true, false]),
    ] {
        for extra in [extra(), signing(extra())] {
            let zones = Arc::new(Zones::new(&apps(), &extra));
            let mut desk = desk(Table::new(&zones), Transport::Udp, 0);
            let asked = bytes(&wants_signatures(question(name, RecordType::A)));
            let code = |desk: &mut Desk| {
                let told = ask(desk, &asked).expect("an answer");
                Message::from_vec(&told).expect("DNS").metadata.response_code
            };
            assert_ne!(code(&mut desk), ResponseCode::ServFail, "{name} while it is confirmed");
            desk.stale = true;
            for (sight, told) in sights.iter().zip(told) {
                desk.seen = seen(sight);
                assert_eq!(code(&mut desk) != ResponseCode::ServFail, told, "{name}: {sight:?}");
            }
        }
    }
    let mut desk = shop_desk(Transport::Udp);
    desk.stale = true;
    let told = ask(&mut desk, &bytes(&question("example.org.", RecordType::A))).expect("an answer");
    assert_eq!(
        Message::from_vec(&told).expect("DNS").metadata.response_code,
        ResponseCode::Refused
    );
}
