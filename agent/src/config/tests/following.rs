//! Endpoints that are followed: where they begin, and what a file may not ask for.

use consensus::model::{Place, Source};

use super::*;

const URL: &str = "url = \"http://192.0.2.1/\"\n";

fn followed(more: &str) -> String {
    SMALL.replacen(URL, &format!("{URL}{more}\n"), 1)
}

#[test]
fn what_is_followed_begins_at_the_address_of_its_url() {
    let shop = definition(&followed(
        "follow = \"dns:web.internal\"\nbalancer = \"dns://192.0.2.53/lb.internal\"",
    ));
    let [of] = &shop.following[..] else { panic!("one is followed") };
    let sources: Vec<String> = of.sources.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["dns://192.0.2.53:53/lb.internal", "dns:web.internal"]);
    assert_eq!(of.records.len(), 1);
    let place = Place { address: "192.0.2.1".parse().unwrap(), port: None };
    assert_eq!(shop.places(of), [place].into());
    assert_eq!(shop.stacks[0].endpoints[0].name.as_str(), "web-1-192-0-2-1");
    assert!(shop.follows_well());
    for (typed, source) in [
        ("https://example.com/list.json", Source::Json("https://example.com/list.json".into())),
        ("/etc/quorate/web.txt", Source::File("/etc/quorate/web.txt".into())),
    ] {
        let shop = definition(&followed(&format!("follow = \"{typed}\"")));
        assert_eq!(shop.following[0].sources, [source]);
    }
}

#[test]
fn what_cannot_be_followed_is_said() {
    for (text, line) in [
        (
            followed("balancer = \"dns:lb.internal\""),
            "`balancer` goes with `follow`: where the servers are while there is no load balancer",
        ),
        (
            followed("follow = \"dns:web.internal\"\nweight = 2"),
            "`weight` in a stack whose endpoints are followed: what is found is handed out alike",
        ),
        (
            followed("follow = \"dns:web.internal\"\nname = \"a-name-of-17-byte\""),
            "`name`: expected at most 16 characters beside `follow`, found 17: addresses are added to it",
        ),
        (
            followed("follow = \"dns://ns.internal/web.internal\""),
            "a server is named by its address: its name would have to be looked up",
        ),
        (followed("follow = \"tcp://192.0.2.1:80\""), "`follow`: expected `dns:NAME`"),
        (
            followed("follow = \"dns:web.internal\"")
                .replacen("192.0.2.1", "web.example.com", 1)
                .replace(
                    "type = \"A\"\n",
                    "type = \"A\"\nvalues = { a = [\"192.0.2.1\"], b = [\"192.0.2.2\"] }\n",
                ),
            "`url`: expected an address beside `follow`, found `web.example.com`",
        ),
    ] {
        let lines = said(&text);
        assert!(lines.iter().any(|it| it.contains(line)), "{text}\n{lines:?}");
    }
}

#[test]
fn the_same_file_again_changes_nothing_of_what_was_found() {
    let file = definition(&followed("follow = \"dns:web.internal\""));
    let of = &file.following[0];
    let places =
        ["192.0.2.7", "192.0.2.8"].map(|it| Place { address: it.parse().unwrap(), port: None });
    let agreed = file.placed(of, &places.into()).expect("the record has addresses");
    let data: Vec<String> =
        agreed.records[0].values[&of.stack].iter().map(ToString::to_string).collect();
    assert_eq!(data, ["192.0.2.7", "192.0.2.8"]);
    assert!(agreed.follows_well() && agreed != file);
    assert_eq!(file.keeping_places(&agreed), agreed);
    assert_eq!(agreed.led_back(&file.left_by(&agreed)), Some(file.clone()));
    // An address of the other family alone would leave the record with nothing.
    let other = Place { address: "2001:db8::1".parse().unwrap(), port: None };
    assert_eq!(file.placed(of, &[other].into()), None);
    assert_eq!(file.placed(of, &[].into()), None);
    // Who writes another address into the file begins anew there.
    let anew = definition(&followed("follow = \"dns:web.internal\"").replacen(
        "192.0.2.1",
        "192.0.2.3",
        1,
    ));
    assert_eq!(anew.keeping_places(&agreed), anew);
}
