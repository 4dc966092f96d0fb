//! What would keep a standby from serving is said before it has to.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tests::harness::agents::Agent;
use time::OffsetDateTime;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate for these names with so many days of ninety left, and its key.
fn issued(authority: &CertifiedIssuer<'static, KeyPair>, names: &[&str], left: u32) -> [String; 2] {
    let mut params =
        CertificateParams::new(names.iter().map(|it| it.to_string()).collect::<Vec<_>>())
            .expect("names");
    params.not_after = OffsetDateTime::now_utc() + DAY * left;
    params.not_before = params.not_after - DAY * 90;
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("signed");
    [certificate.pem(), key.serialize_pem()]
}

/// What an agent finds not to be ready, one line each.
fn unready(agent: &Agent<'_>) -> Vec<String> {
    let found = agent.beside().readiness.into_iter();
    found
        .map(|it| format!("{} {}", it.stack.map_or("-".into(), |it| it.to_string()), it.why))
        .collect()
}

#[test]
fn what_would_keep_a_standby_from_serving_is_said_until_it_is_mended() {
    inside(|lab: &Lab| {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("signed");
        let mut webs = [
            Web::start_showing(lab, "s1", &issued(&authority, &[INSIDE, OUTSIDE], 3)),
            Web::start_showing(lab, "s2", &issued(&authority, &["s2.internal.test", OUTSIDE], 60)),
        ];
        let bind = Bind::start(lab, Updates::Granted);
        let mut text = Shop { databases: false, ..Shop::default() }.text();
        // The probes ask by a name that the certificate is for, and see nothing amiss.
        for (stack, host) in [("s1", INSIDE), ("s2", "s2.internal.test")] {
            let url = |scheme: &str| format!("url = \"{scheme}://{}/healthz\"\n", address(stack));
            let more =
                format!("host = \"{host}\"\nauthority = \"\"\"\n{}\"\"\"\n", authority.pem());
            text = text.replacen(&url("http"), &(url("https") + &more), 1);
        }
        let mut mesh = Mesh::new(lab);
        mesh.start();
        mesh.apply(lab, &text);
        mesh.settle(SETTLE, "shop", "s1");
        let wrong = format!(
            "s2 web-1 for `{INSIDE}`: the certificate is not for `{INSIDE}` but for s2.internal.test"
        );
        let ending =
            [INSIDE, OUTSIDE].map(|it| format!("s1 web-1 for `{it}`: the certificate ends at "));
        let says = |agent: &Agent<'_>, wanted: &[&str]| {
            let lines = unready(agent);
            let all = wanted.len() == lines.len()
                && wanted.iter().all(|it| lines.iter().any(|line| line.starts_with(it)));
            if all { Ok(()) } else { Err(format!("{}: {lines:?}", agent.name)) }
        };
        eventually(LOOKED, "every agent says so of both certificates", || {
            mesh.running().try_for_each(|agent| says(agent, &[&wrong, &ending[0], &ending[1]]))
        });
        let agent = &mesh.agents[3];
        for words in [["status"].as_slice(), &["explain", "shop"], &["status", "--check"]] {
            let told = agent.quorate(words).output;
            println!("{told}");
            // Lines are folded.
            let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(told.contains("s2, seen from here: web-1 for"), "{words:?}: {told}");
        }

        // Whoever holds a zone does not answer.
        bind.pause();
        eventually(LOOKED, "every agent says that it cannot be read", || {
            mesh.running().try_for_each(|agent| {
                let lines = unready(agent);
                let told =
                    |what: &str| lines.iter().any(|it| it.starts_with('-') && it.contains(what));
                match told("cannot be read") && told("no name server") {
                    true => Ok(()),
                    false => Err(format!("{}: {lines:?}", agent.name)),
                }
            })
        });

        // All is mended, and nothing is said of it any more.
        bind.resume();
        for (web, host) in webs.iter_mut().zip(["s1", "s2"]) {
            web.kill();
            *web = Web::start_showing(lab, host, &issued(&authority, &[INSIDE, OUTSIDE], 60));
        }
        mesh.apply(lab, &text.replace("s2.internal.test", INSIDE));
        eventually(LOOKED, "no agent says anything", || {
            mesh.running().try_for_each(|agent| match unready(agent).as_slice() {
                [] => Ok(()),
                lines => Err(format!("{}: {lines:?}", agent.name)),
            })
        });
    });
}

#[test]
fn a_key_that_may_read_and_change_nothing_is_said_before_anything_is_to_be_changed() {
    inside(|lab: &Lab| {
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let _bind = Bind::start(lab, Updates::Refused);
        let mut mesh = Mesh::new(lab);
        mesh.start();
        mesh.apply(lab, &Shop { databases: false, ..Shop::default() }.text());
        let wanted = format!("{OUTSIDE} cannot be changed: ");
        // The definition is agreed once nobody tries any more; then they look.
        eventually(LOOKED * 3, "every agent says so", || {
            mesh.running().try_for_each(|agent| {
                let lines = unready(agent);
                match lines
                    .iter()
                    .any(|it| it.contains(&wanted) && it.contains("refuses to update"))
                {
                    true => Ok(()),
                    false => Err(format!("{}: {lines:?}", agent.name)),
                }
            })
        });
        let file = mesh.agents[3].file();
        let doctor = ["doctor", "--config", file.to_str().expect("our own path")];
        let found = mesh.agents[3].quorate(&doctor).output;
        let told = found.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(&format!("{OUTSIDE} of shop cannot be changed: ")), "{found}");
    });
}
