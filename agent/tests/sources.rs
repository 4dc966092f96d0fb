//! Sources against a real name server: what BIND says of services and addresses is what is found.

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use agent::sources::Sources;
use consensus::model::{Found, Place, Sought, Source};
use consensus::outbox::Input;
use tokio::sync::mpsc;

use crate::common::named::{Named, ZONE};

const RECORDS: &str = "
a IN A 192.0.2.1
a IN AAAA 2001:db8::1
b 7 IN A 192.0.2.2
_web._tcp IN SRV 0 5 8443 a
_web._tcp IN SRV 0 1 8080 b
_api._tcp IN SRV 20 5 8443 a
_api._tcp IN SRV 10 5 8080 b
_api._tcp IN SRV 10 0 8081 b
_old._tcp IN SRV 10 5 8080 nowhere
_old._tcp IN SRV 20 5 8443 a
_none._tcp IN SRV 0 0 0 .
_gone._tcp IN SRV 0 0 80 nowhere
";

fn of(server: SocketAddr, name: &str) -> Source {
    Source::Dns { name: name.to_owned(), server: Some(server) }
}

async fn found(sources: Vec<Source>) -> Result<(BTreeSet<Place>, Option<Duration>), String> {
    let (sender, mut inputs) = mpsc::channel(1);
    Sources::new(sender).seek(Sought {
        app: "shop".parse().expect("a name"),
        stack: "a".parse().expect("a name"),
        name: "web".parse().expect("a name"),
        sources,
        limit: Duration::from_secs(20),
    });
    let Some(Input::Found(Found { what, .. })) = inputs.recv().await else { panic!("an answer") };
    what
}

fn places(texts: &[(&str, Option<u16>)]) -> BTreeSet<Place> {
    let place = |(address, port): &(&str, Option<u16>)| Place {
        address: address.parse().expect("an address"),
        port: *port,
    };
    texts.iter().map(place).collect()
}

#[tokio::test]
async fn services_are_found_where_bind_says_that_they_are() {
    let bind = Named::start(RECORDS).await;
    let at = |name: &str| of(bind.address, &format!("{name}.{ZONE}"));
    let (services, keep) = found(vec![at("_web._tcp")]).await.expect("it tells");
    let expected =
        [("192.0.2.1", Some(8443)), ("2001:db8::1", Some(8443)), ("192.0.2.2", Some(8080))];
    assert_eq!(services, places(&expected));
    assert_eq!(keep, Some(Duration::from_secs(7)), "the shortest of all that were asked for");
    let addresses = found(vec![at("a")]).await.expect("it tells").0;
    assert_eq!(addresses, places(&[("192.0.2.1", None), ("2001:db8::1", None)]));

    // Of several priorities the lowest that leads anywhere, and what weighs nothing there, too.
    let first = found(vec![at("_api._tcp")]).await.expect("it tells").0;
    assert_eq!(first, places(&[("192.0.2.2", Some(8080)), ("192.0.2.2", Some(8081))]));
    let second = found(vec![at("_old._tcp")]).await.expect("it tells").0;
    assert_eq!(second, places(&[("192.0.2.1", Some(8443)), ("2001:db8::1", Some(8443))]));

    // What is not there is an answer, and the next source is asked.
    for nothing in ["_none._tcp", "_gone._tcp", "_other._tcp", "nowhere"] {
        assert_eq!(found(vec![at(nothing)]).await.expect("it tells").0, places(&[]), "{nothing}");
        let next = found(vec![at(nothing), at("b")]).await.expect("it tells").0;
        assert_eq!(next, places(&[("192.0.2.2", None)]), "after {nothing}");
    }
    // Who refuses, and who is not there, tells nothing, and what was agreed stands.
    let refused = found(vec![of(bind.address, "_web._tcp.elsewhere.example"), at("b")]).await;
    assert!(refused.is_err(), "{refused:?}");
}
