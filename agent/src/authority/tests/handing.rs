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
fn a_binding_hints_at_no_server_that_is_left_out() {
    let hints = |hosts: &[[u8; 4]]| (4, hosts.concat());
    let (both, other) = ([[192, 0, 2, 1], [192, 0, 2, 2]], [198, 51, 100, 7]);
    let told = |target: &str, parameters: &[(u16, Vec<u8>)], left_out: &[&str]| {
        let parameters = parameters.iter().cloned().collect();
        let data = RecordData::Binding { priority: 1, target: target.to_owned(), parameters };
        let mut state = AppState::clone(&state());
        let mut definition = Definition::clone(&state.definition);
        definition.stacks[0].endpoints[0].address = "web-1.example.net".to_owned();
        let first = Endpoint {
            address: "192.0.2.1".to_owned(),
            ..definition.stacks[0].endpoints[0].clone()
        };
        definition.stacks[0]
            .endpoints
            .push(Endpoint { name: "web-3".parse().expect("a name"), ..first });
        definition.records = vec![record("shop.example", RecordKind::Https, &[data])];
        state.definition = Arc::new(definition);
        let place = |name: &&str| ("east".parse().expect("a name"), name.parse().expect("a name"));
        let left_out: BTreeSet<_> = left_out.iter().map(place).collect();
        let handing = vec![Arc::new(Handing { left_out, shortened: 0 })];
        let agreed = Agreed { apps: vec![Arc::new(state)], handing, ..Agreed::default() };
        let zones = Arc::new(Zones::new(&agreed, &Extra::default()));
        let mut desk = desk(Table::new(&zones), Transport::Tcp, 0);
        let packet = bytes(&question("shop.example.", RecordType::HTTPS));
        let told = Message::from_vec(&ask(&mut desk, &packet).expect("an answer")).expect("DNS");
        told.answers.iter().map(|it| it.data.to_string()).collect::<Vec<_>>().join("; ")
    };
    let here = |left_out: &[&str]| told("", &[hints(&both)], left_out);
    assert_eq!(here(&[]), "1 . ipv4hint=192.0.2.1,192.0.2.2,");
    assert_eq!(here(&["web-3"]), "1 . ipv4hint=192.0.2.2,");
    assert_eq!(here(&["web-2", "web-3"]), "1 .", "a hint is only a hint");
    let six = (6, "2001:db8::1".parse::<std::net::Ipv6Addr>().expect("one").octets().to_vec());
    let mixed = told("", &[hints(&[both[0], other]), six], &["web-3"]);
    assert_eq!(mixed, "1 . ipv4hint=198.51.100.7, ipv6hint=2001:db8::1,");
    // Who demands that hints be understood has one at least.
    let demanded = |left_out: &[&str]| told("", &[(0, vec![0, 4]), hints(&both)], left_out);
    assert_eq!(demanded(&["web-3"]), "1 . mandatory=ipv4hint, ipv4hint=192.0.2.2,");
    let all = "1 . mandatory=ipv4hint, ipv4hint=192.0.2.1,192.0.2.2,";
    assert_eq!(demanded(&["web-2", "web-3"]), all);
    // By name it is left out as a whole, but where nothing else is there.
    assert_eq!(told("web-1.example.net", &[], &["web-1"]), "1 web-1.example.net.");
}

#[test]
fn lifetimes_grow_back_step_by_step() {
    let lifetimes: Vec<_> = (0..4).map(|step| told(&[], step, "shop.example.").1).collect();
    assert_eq!(lifetimes, [30, 30, 20, 5]);
}

/// Stacks whose web servers and databases share their hosts, with names for writers and readers.
fn roles(hosts: &[(&str, &str)]) -> AppState {
    let name = |text: &str| text.parse::<StackId>().expect("a name");
    let mut state = AppState::clone(&state());
    let mut definition = Definition::clone(&state.definition);
    let endpoint = definition.stacks[0].endpoints[0].clone();
    let of = |(stack_name, host): &(&str, &str)| Stack {
        name: name(stack_name),
        site: stack_name.parse().expect("a name"),
        endpoints: vec![Endpoint { address: (*host).to_owned(), ..endpoint.clone() }],
        databases: vec![Database {
            name: "orders".parse().expect("a name"),
            engine: Engine::Postgres,
            address: (*host).to_owned(),
            port: 5432,
            credential: "orders".parse().expect("a name"),
            guard: None,
            view: Default::default(),
        }],
    };
    definition.stacks = hosts.iter().map(of).collect();
    let values = |own: bool| {
        let of_stack = |(stack, _): &(&str, &str)| {
            let these = hosts.iter().filter(|(other, _)| (other == stack) == own);
            (name(stack), these.map(|(_, host)| address(host)).collect())
        };
        hosts.iter().map(of_stack).collect()
    };
    let lead = |record: Record, own: bool| Record { values: values(own), ..record };
    definition.records = [("rw.shop.example", true), ("ro.shop.example", false)]
        .map(|(name, own)| lead(record(name, RecordKind::A, &[]), own))
        .into();
    state.active = name(hosts[0].0);
    state.definition = Arc::new(definition);
    state
}

#[test]
fn readers_are_led_to_the_primary_where_no_replica_is_left_and_a_majority_says_so() {
    let two = [("east", "192.0.2.1"), ("west", "192.0.2.2")];
    let three = [two[0], two[1], ("north", "192.0.2.3")];
    let dead = &[("west", "orders"), ("north", "orders")];
    for (hosts, left_out, heard, reads) in [
        (&two[..], &[][..], true, &["192.0.2.2"][..]),
        (&two, &dead[..1], true, &["192.0.2.1"]),
        (&two, &dead[..1], false, &["192.0.2.2"]),
        // The web server beside it is of no interest to readers.
        (&two, &[("west", "web-1")], true, &["192.0.2.2"]),
        (&three, &dead[..1], true, &["192.0.2.3"]),
        (&three, &dead[..], true, &["192.0.2.1"]),
        (&three, &dead[..], false, &["192.0.2.2", "192.0.2.3"]),
    ] {
        let place = |(stack, name): &(&str, &str)| {
            (stack.parse().expect("a name"), name.parse().expect("a name"))
        };
        let left_out: BTreeSet<_> = left_out.iter().map(place).collect();
        let handing = vec![Arc::new(Handing { left_out, shortened: 0 })];
        let apps = vec![Arc::new(roles(hosts))];
        let agreed = Agreed { apps, handing, heard, ..Agreed::default() };
        let zones = Arc::new(Zones::new(&agreed, &Extra::default()));
        let mut desk = desk(Table::new(&zones), Transport::Tcp, 0);
        let mut held = |name: &str| -> Vec<String> {
            let packet = bytes(&question(name, RecordType::A));
            let told = Message::from_vec(&ask(&mut desk, &packet).expect("an answer"));
            told.expect("DNS").answers.iter().map(|record| record.data.to_string()).collect()
        };
        assert_eq!(held("ro.shop.example."), reads, "of {hosts:?}: {:?}", agreed.handing[0]);
        assert_eq!(held("rw.shop.example."), ["192.0.2.1"]);
    }
}
