//! Which of a stack's endpoints are handed out, and for how long.

use std::collections::BTreeSet;

use consensus::node::Handing;

use super::*;

/// Two endpoints of the east, and a third name that stands for none.
pub(super) fn state() -> Arc<AppState> {
    let endpoint = |name: &str, address: &str| Endpoint {
        name: name.parse().expect("a name"),
        scheme: Scheme::Tcp,
        address: address.to_owned(),
        port: 443,
        path: "/".to_owned(),
        host: None,
        expect: Expect::default(),
        authority: None,
    };
    let both = [address("192.0.2.1"), address("192.0.2.2")];
    let records = vec![
        record("shop.example", RecordKind::A, &both),
        record("cdn.shop.example", RecordKind::A, &[address("192.0.2.1"), address("198.51.100.7")]),
        record("db.shop.example", RecordKind::A, &[address("192.0.2.20")]),
    ];
    let mut state = AppState::clone(&app(vec![zone("shop.example", &["ns.example.net"])], records));
    let mut definition = Definition::clone(&state.definition);
    definition.stacks = vec![Stack {
        name: "east".parse().expect("a name"),
        site: "east".parse().expect("a name"),
        endpoints: vec![endpoint("web-1", "192.0.2.1"), endpoint("web-2", "192.0.2.2")],
        databases: Vec::new(),
    }];
    state.definition = Arc::new(definition);
    Arc::new(state)
}

/// What is answered while these endpoints are left out: addresses, and for how long.
fn told(left_out: &[&str], shortened: u8, name: &str) -> (Vec<String>, u32) {
    let place = |name: &&str| ("east".parse().expect("a name"), name.parse().expect("a name"));
    let left_out: BTreeSet<_> = left_out.iter().map(place).collect();
    let handing = vec![Arc::new(Handing { left_out, shortened })];
    let agreed = Agreed { apps: vec![state()], handing, ..Agreed::default() };
    let zones = Arc::new(Zones::new(&agreed, &Extra::default()));
    let mut desk = desk(Table::new(&zones), Transport::Tcp, 0);
    let packet = bytes(&question(name, RecordType::A));
    let told = Message::from_vec(&ask(&mut desk, &packet).expect("an answer")).expect("DNS");
    let addresses = told.answers.iter().map(|record| record.data.to_string());
    (addresses.collect(), told.answers[0].ttl)
}

#[test]
fn what_is_down_is_not_handed_out_unless_nothing_else_is_left() {
    let table: [(&[&str], &str, &[&str]); 6] = [
        (&[], "shop.example.", &["192.0.2.1", "192.0.2.2"]),
        (&["web-1"], "shop.example.", &["192.0.2.2"]),
        (&["web-1", "web-2"], "shop.example.", &["192.0.2.1", "192.0.2.2"]),
        (&["web-1"], "cdn.shop.example.", &["198.51.100.7"]),
        (&["web-1", "web-2"], "cdn.shop.example.", &["198.51.100.7"]),
        (&["web-1", "web-2"], "db.shop.example.", &["192.0.2.20"]),
    ];
    for (left_out, name, addresses) in table {
        assert_eq!(told(left_out, 0, name).0, addresses, "{name} without {left_out:?}");
    }
}

#[test]
fn lifetimes_grow_back_step_by_step() {
    let lifetimes: Vec<_> = (0..4).map(|step| told(&[], step, "shop.example.").1).collect();
    assert_eq!(lifetimes, [30, 30, 20, 5]);
}
