//! A provider's key that may read and change nothing is told before anything has to be changed, and one that may is not.

use tests::harness::agents::Agent;
use tests::harness::fabric::router;

use super::nginx_names::{Answers, holding_its_key, route53};
use super::*;
use crate::common::named;
use crate::emulators::route53::Granted;

const NAME: &str = "shop.dyn.example";

/// What an agent finds not to be ready, as to changing.
fn unchangeable(agent: &Agent<'_>) -> Vec<String> {
    let found = agent.beside().readiness.into_iter().map(|it| it.why);
    found.filter(|why| why.contains("cannot be changed")).collect()
}

/// What `doctor` says there, its lines unfolded.
fn doctor(agent: &Agent<'_>) -> String {
    let file = agent.file();
    let words = ["doctor", "--config", file.to_str().expect("our own path")];
    agent.quorate(&words).output.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_provider_s_key_that_may_only_read_is_told_until_it_may_change() {
    inside(|lab: &Lab| {
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let (_runtime, provider) = route53();
        provider.with(|it| it.amazon.granted = Some(Granted::default()));
        let _answers = Answers::start(lab, router("dns"), vec![provider.clone()]);
        let mesh = holding_its_key(lab);
        let text = Shop { databases: false, outside: false, ..Shop::default() }.text();
        let record = format!(
            "\n[[record]]\nname = \"{NAME}\"\ntype = \"A\"\nttl = 5\ndriver = \"route53\"\nurl = \"{}\"\n\
             zone = \"{}\"\nzone_id = \"Z2FDTNDATAQYW2\"\ncredential = \"amazon\"\n",
            provider.url(),
            named::ZONE,
        );
        mesh.apply(lab, &(text + &record));
        let told = format!(
            "{NAME} cannot be changed: Route 53 does not let credential `amazon` change A of `{NAME}` and TXT of \
             `_quorate.{NAME}` in zone `{}`: grant it `route53:ChangeResourceRecordSets`",
            named::ZONE
        );
        // The definition is agreed once nobody tries any more; then they look.
        eventually(LOOKED * 3, "every agent says so", || {
            mesh.running().try_for_each(|agent| match unchangeable(agent).as_slice() {
                [one] if one.starts_with(&told) => Ok(()),
                lines => Err(format!("{}: {lines:?}", agent.name)),
            })
        });
        let found = doctor(&mesh.agents[3]);
        assert!(found.contains(&format!("{NAME} of shop cannot be changed: Route 53")), "{found}");
        assert!(!found.contains("which may change it"), "{found}");
        assert_eq!(provider.with(|it| (it.get(NAME, "A").len(), it.amazon.taken)), (0, 0));

        // The policy is put right.
        provider.with(|it| it.amazon.granted = None);
        eventually(LOOKED * 2, "no agent says so, and the name is there", || {
            mesh.running().try_for_each(|agent| match unchangeable(agent).as_slice() {
                [] => Ok(()),
                lines => Err(format!("{}: {lines:?}", agent.name)),
            })?;
            match provider.with(|it| it.get(NAME, "A")).as_slice() {
                [one] if *one == address("s1").to_string() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        let found = doctor(&mesh.agents[3]);
        let fine =
            format!("{NAME} of shop is as decided, read with its credential, which may change it");
        assert!(found.contains(&fine) && !found.contains("cannot be changed"), "{found}");
        // Nobody's question was taken for a change: one made the name, and no marker stands alone.
        let (marker, lost) = provider
            .with(|it| (it.get(&format!("_quorate.{NAME}"), "TXT").concat(), it.amazon.lost));
        assert!(marker.contains("app=shop") && lost == 0, "{marker}");
    });
}
