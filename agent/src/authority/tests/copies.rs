//! Copies of signed zones: signed anew each day, and within a day only what changed.

use std::collections::BTreeMap;
use std::time::Instant;

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{LowerName, RData};

use super::weights::signing;
use super::*;
use crate::authority::copy::{Copies, Whole};
use crate::authority::journal::{Journal, serial};

const DAY: u32 = 86_400;
const NOW: u32 = 1_800_000_000;

fn apex() -> LowerName {
    LowerName::new(&Name::from_ascii("shop.example.").expect("a name"))
}

async fn whole(copies: &Copies, zones: &Zones, now: u32) -> Whole {
    let journal = Arc::new(Journal::new(Arc::new(zones.clone())));
    copies.whole(journal, apex(), now).await.expect("a signed zone")
}

/// Each signature, by its owner and the type that it covers.
fn signatures(whole: &Whole) -> BTreeMap<(String, u16), Vec<u8>> {
    let of = |data: &NULL| data.anything.clone();
    let one = |record: &Answer| match &record.data {
        RData::Unknown { code: RecordType::RRSIG, rdata } => {
            let data = of(rdata);
            let covers = u16::from_be_bytes([data[0], data[1]]);
            Some(((record.name.to_string(), covers), data))
        }
        _ => None,
    };
    whole.records.iter().filter_map(one).collect()
}

/// When signatures end, in seconds since 1970.
fn end(signature: &[u8]) -> u32 {
    u32::from_be_bytes(signature[8..12].try_into().expect("four octets"))
}

#[tokio::test]
async fn a_copy_is_signed_anew_each_day_and_outlives_what_a_secondary_may_keep() {
    let extra = Extra { day: 300, ..signing(extra()) };
    let first = agreed(vec![shop()]);
    let zones = Zones::new(&first, &extra);
    let copies = Copies::default();
    let today = whole(&copies, &zones, NOW).await;
    let again = whole(&copies, &zones, NOW + 100).await;
    assert!(Arc::ptr_eq(&today.records, &again.records), "the version is the same");

    // A move: what it leaves alone keeps its signatures.
    let mut moved = (*shop()).clone();
    moved.epoch.0 += 1;
    let moved = agreed(vec![Arc::new(moved)]);
    let (zones, _) = zones.revised(&moved, &extra).expect("revised");
    let after = whole(&copies, &zones, NOW + 200).await;
    assert!(serial(&today.start) < serial(&after.start));
    assert!(serial(&after.start) - serial(&today.start) < 100);
    let (old, new) = (signatures(&today), signatures(&after));
    let changed: Vec<_> = new.iter().filter(|(at, made)| old[*at] != **made).collect();
    let changed: Vec<_> = changed.iter().map(|((name, kind), _)| (name.as_str(), *kind)).collect();
    // What `_status` tells has the epoch.
    assert_eq!(changed, [("_status.shop.shop.example.", 16), ("shop.example.", 6)]);

    // A day: a newer version, told by NOTIFY as any, and no signature of yesterday's.
    let tomorrow = Extra { day: 301, ..extra };
    let (zones, touched) = zones.revised(&moved, &tomorrow).expect("revised");
    assert!(touched.is_empty());
    assert_eq!(
        serial(&Zones::new(&moved, &tomorrow).zone_at(&apex()).expect("a zone").soa),
        serial(&zones.zone_at(&apex()).expect("a zone").soa),
        "however it came to be"
    );
    let next = whole(&copies, &zones, NOW + DAY).await;
    assert_eq!(serial(&next.start), serial(&after.start) + 65_536);
    let newer = signatures(&next);
    assert!(newer.iter().all(|(at, made)| new[at] != *made));

    // Taken at the day's end, confirmed last then, kept until it expires, and cached after that.
    let RData::SOA(start) = &next.start.data else { panic!("no start of authority") };
    let kept = 2 * DAY + start.expire.cast_unsigned() + DAY;
    assert!(newer.values().all(|made| NOW + DAY + kept < end(made)));
}

/// Says with `--nocapture` how long that takes (tests/bench/RESULTS.md).
#[tokio::test]
async fn ten_thousand_names_are_signed_once() {
    let names: Vec<_> = (0..10_000).map(|at| format!("n{at}.shop.example")).collect();
    let mut app = (*shop()).clone();
    let mut definition = (*app.definition).clone();
    let like = definition.records[0].clone();
    definition.records.extend(names.into_iter().map(|name| {
        let mut record = like.clone();
        record.name = name;
        record
    }));
    app.definition = Arc::new(definition);
    let zones = Zones::new(&agreed(vec![Arc::new(app)]), &signing(extra()));
    let copies = Copies::default();
    let began = Instant::now();
    let first = whole(&copies, &zones, NOW).await;
    println!("{} records signed: {:?}", first.records.len(), began.elapsed());
    assert!(40_000 < first.records.len());
    let began = Instant::now();
    let second = whole(&copies, &zones, NOW).await;
    println!("taken again: {:?}", began.elapsed());
    assert!(Arc::ptr_eq(&first.records, &second.records));
}
