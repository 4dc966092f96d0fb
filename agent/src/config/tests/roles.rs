//! What records hold where nobody says it: databases by their role, endpoints by their weight.

use super::*;

#[test]
fn rw_is_the_active_stacks_database_and_ro_the_others() {
    let shop = definition(SHOP);
    let held = |name: &str, stack: usize| {
        let record = shop.records.iter().find(|it| it.name == name).expect("a record");
        record.values[&shop.stacks[stack].name].clone()
    };
    let at = |stack: usize| {
        let address = shop.stacks[stack].databases[0].address.parse().expect("an address");
        vec![RecordData::Address(address)]
    };
    assert_eq!([held("rw.shop.example.com", 0), held("rw.shop.example.com", 1)], [at(0), at(1)]);
    assert_eq!([held("ro.shop.example.com", 0), held("ro.shop.example.com", 1)], [at(1), at(0)]);
}

#[test]
fn what_leads_to_no_database_is_said() {
    for (broken, lines) in [
        (
            "rw = \"db\"",
            &[
                "f:20:6: stack `a` cannot answer record `shop.example` A: it has no database `db`",
                "f:20:6: stack `b` cannot answer record `shop.example` A: it has no database `db`",
            ][..],
        ),
        (
            "rw = \"db\"\nro = \"db\"",
            &["f:21:6: `rw` and `ro` are two records: expected one of them"],
        ),
    ] {
        assert_eq!(said(&format!("{SMALL}{broken}\n")), lines, "{broken}");
    }
}

#[test]
fn endpoints_are_named_as_often_as_they_weigh() {
    let two = |one: &str, other: &str| {
        let more = format!(
            "url = \"http://192.0.2.1/\"\n{one}[[stack.endpoint]]\nurl = \"http://192.0.2.9/\"\n{other}"
        );
        SMALL.replacen("url = \"http://192.0.2.1/\"\n", &more, 1)
    };
    let held = |text: &str| -> Vec<String> {
        let shop = definition(text);
        shop.records[0].values[&shop.stacks[0].name].iter().map(ToString::to_string).collect()
    };
    assert_eq!(held(&two("", "")), ["192.0.2.1", "192.0.2.9"]);
    assert_eq!(held(&two("weight = 50\n", "weight = 50\n")), ["192.0.2.1", "192.0.2.9"]);
    let three = ["192.0.2.1", "192.0.2.1", "192.0.2.9", "192.0.2.1"];
    assert_eq!(held(&two("weight = 75\n", "weight = 25\n")), three);
    assert_eq!(held(&two("weight = 0\n", "")), ["192.0.2.9"]);
    assert!(held(&two("weight = 100\n", "weight = 1\n")).len() <= 64);
    let none = "f:20:1: stack `a` cannot answer record `shop.example` A: `weight = 0` drains all of its endpoints";
    assert_eq!(
        said(&two("weight = 0\n", "weight = 0\n"))[0].split_once("stack").map(|it| it.1),
        none.split_once("stack").map(|it| it.1)
    );
}
