//! One app at every sort of outside provider at once, those that compare tokens and those that do not: real Knot and PowerDNS,
//! and the interfaces of others as they are documented, with name servers that answer what these hold.

use std::process::Stdio;
use std::sync::Arc;

use tests::harness::fabric::router;
use tests::harness::lab::write_private;

use super::nginx_names::Answers;
use super::outside::{API_KEY, KNOT, PATCHED, UPDATED, edit_at, found, knot, powerdns};
use super::*;
use crate::common::named;
use crate::emulators::azure::azure_at;
use crate::emulators::cloudflare::cloudflare_at;
use crate::emulators::digitalocean::digitalocean_at;
use crate::emulators::google::google_at;
use crate::emulators::route53::{self, route53_at};
use crate::emulators::{Book, Server, key_file, principal, webhook_at};

/// Who holds a name, so that the test can look and change it by hand.
enum Holder {
    /// A name server on this host, whose zone is changed with the key there is.
    Updated(&'static str),
    /// PowerDNS on this host, changed in its own way.
    Patched(&'static str),
    Emulated(Arc<Server>),
}

/// A name, where it stands, and what the app's file says of it.
struct Place {
    name: String,
    ttl: u32,
    keys: String,
    holder: Holder,
}

/// The emulators of every provider, each with its word, the shortest lifetime it takes, and what else the record says.
fn emulated(lab: &Lab, runtime: &Runtime) -> (Vec<Place>, String) {
    let at = router("dns");
    let (route53, cloudflare, digitalocean, google, azure, webhook) = runtime.block_on(async {
        (
            Arc::new(route53_at(at, Book::default()).await),
            Arc::new(cloudflare_at(at, Book::default()).await),
            Arc::new(digitalocean_at(at, Book::default()).await),
            Arc::new(google_at(at, Book::default()).await),
            Arc::new(azure_at(at, Book::default()).await),
            Arc::new(webhook_at(at, Book::default()).await),
        )
    });
    let keys = lab.folder("keys");
    let file = |name: &str, text: &str| {
        let file = keys.join(name);
        write_private(&file, text);
        file.display().to_string()
    };
    let credentials = format!(
        "\n[credentials.amazon]\naccess_key = \"AKIDEXAMPLE\"\ntoken = \"{}\"\n\
         [credentials.bearer]\ntoken = \"a token\"\n[credentials.hook]\ntoken = \"a shared secret\"\n\
         [credentials.google]\ntoken_file = \"{}\"\n[credentials.azure]\ntoken_file = \"{}\"\n\
         [credentials.powerdns]\ntoken = \"{API_KEY}\"\n",
        route53::SECRET,
        file("google.json", &key_file(&google.url())),
        file("azure.json", &principal(&azure.url())),
    );
    let all = [
        ("route53", "amazon", 5, "zone_id = \"Z2FDTNDATAQYW2\"\n", "", route53),
        (
            "cloudflare",
            "bearer",
            60,
            "zone_id = \"023e105f4ecef8ad9ca31a8372d0c353\"\n",
            "",
            cloudflare,
        ),
        ("digitalocean", "bearer", 30, "", "", digitalocean),
        ("google", "google", 5, "zone_id = \"acme/dyn\"\n", "", google),
        ("azure", "azure", 5, "zone_id = \"acme/dns\"\n", "", azure),
        ("webhook", "hook", 5, "", "/dns?x=1", webhook),
    ];
    let places = all.into_iter().map(|(word, credential, ttl, more, path, server)| Place {
        name: format!("{word}.{}", named::ZONE),
        ttl,
        keys: format!(
            "driver = \"{word}\"\nurl = \"{}{path}\"\nzone = \"{}\"\n{more}credential = \"{credential}\"\n",
            server.url(),
            named::ZONE
        ),
        holder: Holder::Emulated(server),
    });
    (places.collect(), credentials)
}

impl Place {
    fn updated(host: &'static str, zone: &str) -> Self {
        let keys = format!(
            "driver = \"rfc2136\"\nserver = \"{}:53\"\nzone = \"{zone}\"\ncredential = \"dns-key\"\n",
            address(host)
        );
        Self { name: format!("shop.{zone}"), ttl: 5, keys, holder: Holder::Updated(host) }
    }

    fn patched(host: &'static str, url: &str) -> Self {
        let keys = format!(
            "driver = \"powerdns\"\nurl = \"{url}\"\nzone = \"{PATCHED}\"\ncredential = \"powerdns\"\n"
        );
        Self { name: format!("shop.{PATCHED}"), ttl: 5, keys, holder: Holder::Patched(host) }
    }

    /// Is whoever holds it only told, and never asked?
    fn is_told(&self) -> bool {
        self.keys.starts_with("driver = \"webhook\"")
    }

    /// As the app's file has it; Cloudflare and DigitalOcean are asked for less than they take, as people do.
    fn text(&self) -> String {
        format!("\n[[record]]\nname = \"{}\"\ntype = \"A\"\nttl = 5\n{}", self.name, self.keys)
    }

    /// What stands there: each value, and for how long it may be kept.
    fn held(&self, lab: &Lab, name: &str, kind: &str) -> Vec<(String, u32)> {
        match &self.holder {
            Holder::Updated(host) | Holder::Patched(host) => {
                found(lab, &format!("@{}", address(host)), name, kind)
            }
            Holder::Emulated(server) => server.with(|it| {
                let ttl = it.ttl(name, kind).unwrap_or_default();
                it.get(name, kind).into_iter().map(|text| (text, ttl)).collect()
            }),
        }
    }

    /// Does it lead to this stack, and to nothing else?
    fn leads(&self, lab: &Lab, stack: &str) -> Result<(), String> {
        let held = self.held(lab, &self.name, "A");
        match held == [(address(stack).to_string(), self.ttl)] {
            true => Ok(()),
            false => Err(format!("{}: {held:?}", self.name)),
        }
    }

    /// The marker beside it.
    fn marker(&self, lab: &Lab) -> Vec<String> {
        let held = self.held(lab, &format!("_quorate.{}", self.name), "TXT");
        held.into_iter().map(|(text, _)| text.trim_matches('"').to_owned()).collect()
    }

    /// Somebody puts an address there by hand.
    fn edit(&self, lab: &Lab, to: &str) {
        let (name, ttl) = (&self.name, self.ttl);
        match &self.holder {
            Holder::Updated(host) => {
                let zone = name.split_once('.').expect("it lies in one").1;
                let change = format!("update delete {name} A\nupdate add {name} {ttl} A {to}");
                edit_at(lab, address(host), zone, &change);
            }
            Holder::Patched(_) => {
                let at = format!("--config-dir={}", lab.folder("powerdns").display());
                let mut pdnsutil = Command::new("pdnsutil");
                let words = [&at, "replace-rrset", PATCHED, "shop", "A", &ttl.to_string(), to];
                assert!(
                    pdnsutil.args(words).stdout(Stdio::null()).status().expect("it runs").success()
                );
            }
            Holder::Emulated(server) => server.with(|it| it.put(name, "A", ttl.into(), &[to])),
        }
    }
}

#[test]
fn a_name_at_every_sort_of_provider_follows_the_stack_and_is_put_back_after_an_edit() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let runtime = threads();
        let (mut places, credentials) = emulated(lab, &runtime);
        let copies = places.iter().filter_map(|place| match &place.holder {
            Holder::Emulated(server) => Some(server.clone()),
            Holder::Updated(_) | Holder::Patched(_) => None,
        });
        let servers = vec![(router("dns"), copies.collect())];
        let _answers = Answers::start_all(lab, servers, vec![(PATCHED, address("client"))]);
        let _knot = knot(lab, "dns");
        let (_powerdns, url) = powerdns(lab, "client");
        places.extend([
            Place::updated("dns", KNOT),
            Place::updated("client", UPDATED),
            Place::patched("client", &url),
        ]);
        let mut mesh = Mesh::new(lab);
        for agent in &mut mesh.agents {
            agent.set_up(|it| it.more.clone_from(&credentials));
        }
        mesh.start();
        let text = Shop { databases: false, outside: false, ..Shop::default() }.text();
        mesh.apply(lab, &(text + &places.iter().map(Place::text).collect::<String>()));
        let first = mesh.settle(SETTLE, "shop", "s1");
        let all = |stack: &str| places.iter().try_for_each(|it| it.leads(lab, stack));
        eventually(SETTLE, "all lead to the first stack", || all("s1"));
        mesh.agents[0].ready(SETTLE, "shop");

        webs[0].kill();
        let killed = Instant::now();
        eventually(SETTLE, "all lead to the other", || all("s2"));
        println!("all {} names lead to s2 after {:?}", places.len(), killed.elapsed());
        let view = mesh.settle(SETTLE, "shop", "s2");
        assert_eq!(view.epoch.0, first.epoch.0 + 1, "{view:?}");
        // One marker beside each, under the one token; a webhook's program keeps the token in its own way.
        let mut tokens = Vec::new();
        for place in &places {
            let markers = place.marker(lab);
            match (markers.as_slice(), place.is_told()) {
                ([], true) => {}
                ([one], false) => {
                    let parts: Vec<_> = one.split(';').collect();
                    let [version, app, token, stack] = parts.as_slice() else { panic!("{one}") };
                    assert_eq!([*version, *app, *stack], ["v=1", "app=shop", "stack=s2"]);
                    tokens.push((*token).to_owned());
                }
                other => panic!("{}: {other:?}", place.name),
            }
        }
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "{tokens:?}");

        // Somebody puts the old address back, by hand, at each.
        places.iter().for_each(|place| place.edit(lab, &address("s1").to_string()));
        let edited = Instant::now();
        let readable = places.iter().filter(|it| !it.is_told());
        eventually(STANDS + SETTLE, "what was decided is there again", || {
            readable.clone().try_for_each(|it| it.leads(lab, "s2"))
        });
        println!("all that can be read are put back after {:?}", edited.elapsed());
        eventually(AGAIN, "and at the webhook", || all("s2"));
        println!("the webhook's after {:?}", edited.elapsed());
        assert_eq!(mesh.settle(SETTLE, "shop", "s2").epoch, view.epoch, "without a decision");
    });
}
