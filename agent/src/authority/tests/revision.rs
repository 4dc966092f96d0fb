//! What is worked out from the tables of a moment before is what would be made anew.

use super::*;

/// The shop with something else to say in the west, and a second app in one of its zones.
fn apps(west: bool) -> Agreed {
    let mut shop = AppState::clone(&shop());
    let other = |data: &RecordData| match data {
        RecordData::Address(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            RecordData::Address([a, b, c, d ^ 0x80].into())
        }
        RecordData::Text(text) => RecordData::Text(format!("west of {text}")),
        RecordData::Name(name) if name == "shop.example" => alias("many.shop.example"),
        same => same.clone(),
    };
    let mut definition = Definition::clone(&shop.definition);
    for record in &mut definition.records {
        let data = record.values.values().next().expect("east has data").iter().map(other);
        let data = data.collect();
        record.values.insert("west".parse().expect("a name"), data);
    }
    shop.definition = Arc::new(definition);
    if west {
        shop.epoch = Epoch(2);
        shop.active = "west".parse().expect("a name");
        shop.decision.to = shop.active.clone();
        shop.decision.wall_ms = 5000;
    }
    let till = record("till.shop.example", RecordKind::Cname, &[alias("many.shop.example")]);
    let mut second = AppState::clone(&app(Vec::new(), vec![till]));
    let mut definition = Definition::clone(&second.definition);
    definition.name = "till".parse().expect("a name");
    second.definition = Arc::new(definition);
    agreed(vec![Arc::new(shop), Arc::new(second)])
}

/// There and back.
fn revised() -> [Desk; 2] {
    let zones = Arc::new(Zones::new(&apps(false), &extra()));
    let (west, touched) = zones.revised(&apps(true), &extra()).expect("nothing is defined anew");
    let west = Arc::new(west);
    let table = Table::new(&zones).revised(&west, &touched).expect("all can be served");
    let (east, touched) = west.revised(&apps(false), &extra()).expect("nothing is defined anew");
    let back = table.revised(&Arc::new(east), &touched).expect("all can be served");
    [table, back].map(|table| desk(table, Transport::Tcp, 0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_revised_is_what_would_be_made_anew(
        name in labels(), kind in kinds(), turn in any::<u32>(),
    ) {
        thread_local! {
            static DESKS: RefCell<[(Desk, Desk); 2]> = {
                let [west, back] = revised();
                let anew = |west| desk(Table::new(&Arc::new(Zones::new(&apps(west), &extra()))), Transport::Tcp, 0);
                [(west, anew(true)), (back, anew(false))].into()
            };
        }
        let packet = bytes(&question(&name, kind));
        DESKS.with_borrow_mut(|desks| {
            for (revised, anew) in desks {
                (revised.turn, anew.turn) = (turn, turn);
                prop_assert_eq!(ask(revised, &packet), ask(anew, &packet));
            }
            Ok(())
        })?;
    }
}

#[test]
fn what_was_defined_anew_is_made_anew() {
    let zones = Zones::new(&apps(false), &extra());
    let fewer = agreed(apps(false).apps[..1].to_vec());
    assert!(zones.revised(&fewer, &extra()).is_none(), "an app is gone");
    let mut later = apps(true);
    let mut state = AppState::clone(&later.apps[0]);
    let mut definition = Definition::clone(&state.definition);
    definition.records.pop();
    state.definition = Arc::new(definition);
    later.apps[0] = Arc::new(state);
    assert!(zones.revised(&later, &extra()).is_none(), "a record is gone");
}
