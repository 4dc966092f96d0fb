//! A signed zone as real agents serve it: what it tells whoever walks it, and what it gives a real secondary.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tests::harness::fabric::REGIONS;
use tests::harness::process::Process;

use super::*;

/// A name that nobody is told of but by asking for it, and the same app in a zone that is not signed.
const MORE: &str = "\n[[record]]\nname = \"hidden-2f7a.edge.test\"\ntype = \"A\"\nttl = 5\n\
     \n[[zone]]\nname = \"plain.test\"\nns = [\"ns1.plain.test\"]\ncontact = \"hostmaster@plain.test\"\n\
     \n[[record]]\nname = \"shop.plain.test\"\ntype = \"A\"\nttl = 5\n";
/// A walk goes on until names are as long as they can be: two octets more each time, of 255.
const STEPS: usize = 128;

/// Real agents that sign `edge.test`, and have one secondary.
fn signing<'a>(lab: &'a Lab, key: &Path) -> Mesh<'a> {
    let mut mesh = Mesh::new(lab);
    let more = format!(
        "\n[[dns.signing]]\nzone = \"edge.test\"\nkeys = [\"{}\"]\n\
         \n[[dns.secondary]]\naddress = \"{}:53\"\ncredential = \"dns-key\"\n",
        key.display(),
        address("dns")
    );
    for agent in &mut mesh.agents {
        agent.set_up(|setup| setup.more.clone_from(&more));
    }
    mesh.start();
    mesh
}

/// BIND on the host `dns`, with copies of both zones, which any of the agents may give it.
fn secondary(lab: &Lab) -> (Process, PathBuf) {
    let folder = lab.folder("copies");
    let at = folder.display();
    let agents: Vec<_> =
        REGIONS.iter().map(|host| format!("{} key {KEY};", address(host))).collect();
    let agents = agents.join(" ");
    let mut text = format!(
        "key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         options {{ directory \"{at}\"; listen-on port 53 {{ any; }}; listen-on-v6 {{ none; }};\n\
         pid-file \"{at}/pid\"; session-keyfile \"{at}/session.key\"; recursion no; notify no;\n\
         dnssec-validation no; }};\ncontrols {{ }};\n"
    );
    for zone in ["edge.test", "plain.test"] {
        text += &format!(
            "zone \"{zone}\" {{ type secondary; file \"{zone}\"; masterfile-format text;\n\
             primaries {{ {agents} }}; }};\n"
        );
    }
    let file = folder.join("named.conf");
    fs::write(&file, text).expect("scratch folder takes files");
    let mut command = lab.fabric.command("dns", "named");
    command.arg("-g").arg("-n").arg("1").arg("-c").arg(&file);
    (Process::start(lab, "copies", &mut command), folder)
}

/// What dig prints, asked from where the clients are.
fn dig(lab: &Lab, server: &str, words: &[&str]) -> String {
    let mut dig = lab.fabric.command("client", "dig");
    dig.args([format!("@{}", address(server)).as_str(), "+noall", "+answer", "+authority"]);
    String::from_utf8(dig.args(words).output().expect("dig runs").stdout).expect("text")
}

/// A transfer by whoever holds the key: the records, with nothing of the transaction; the serial of each start of authority.
fn transfer(lab: &Lab, words: &[&str]) -> (Vec<String>, Vec<(usize, u32)>) {
    let secret = format!("hmac-sha256:{KEY}:{SECRET}");
    let words = [&["-y", &secret, "+nostats", "+nocmd"], words].concat();
    let told = dig(lab, "r1", &words);
    let lines = told.lines().filter(|line| !line.starts_with(';') && !line.contains("\tTSIG\t"));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| line.contains("\tSOA\t"));
    let serial = |line: &str| {
        line.split_whitespace().nth(6).and_then(|it| it.parse().ok()).expect("a serial")
    };
    let starts = starts.map(|(at, line)| (at, serial(line))).collect();
    (lines, starts)
}

#[test]
fn who_walks_a_signed_zone_learns_nothing_and_comes_to_an_end() {
    inside(|lab: &Lab| {
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let mesh = signing(lab, &zone_key(lab, "own"));
        let shop = Shop { databases: false, outside: false, more: MORE, ..Shop::default() };
        mesh.apply(lab, &shop.text());
        mesh.settle(SETTLE, "shop", "s1");
        let hidden = dig(lab, "r1", &["+dnssec", "hidden-2f7a.edge.test", "A"]);
        assert!(hidden.contains("\tRRSIG\t"), "{hidden}");

        let mut walk = lab.fabric.command("client", "timeout");
        let server = format!("@{}", address("r1"));
        let walked = walk.args(["60", "ldns-walk", "-4", &server, "edge.test"]).output();
        let walked = walked.expect("ldns-walk (ldnsutils) is installed");
        let text = String::from_utf8(walked.stdout).expect("text");
        println!("{}: {} steps", walked.status, text.lines().count());
        // It ends by itself, since no name is longer; 124 would be the limit of its time.
        assert_ne!(walked.status.code(), Some(124), "{text}");
        let mut steps: Vec<&str> = text.lines().collect();
        assert_eq!(steps.pop(), Some("Error: Domainname length overflow"), "{text}");
        assert!((2..STEPS).contains(&steps.len()), "{text}");
        for step in &steps {
            for name in ["hidden", "shop", "ns1", "_status"] {
                assert!(!step.contains(name), "it is told of {name}: {step}");
            }
            assert!(step.trim_end().ends_with("RRSIG NSEC TYPE128"), "no such name: {step}");
        }

        // Whatever is asked for: a record that covers nothing but that name, and what the name itself has.
        for name in
            ["edge.test", "shop.edge.test", "hidden-2f7a.edge.test", "a.edge.test", "zzz.edge.test"]
        {
            for kind in ["NSEC", "MX", "TYPE65280"] {
                let told = dig(lab, "r1", &["+dnssec", name, kind]);
                let denials = told.lines().filter(|line| line.contains("\tNSEC\t"));
                let denials: Vec<_> =
                    denials.map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
                let [denial] = denials.as_slice() else { panic!("{name} {kind}: {told}") };
                let wanted = [format!("{name}."), format!("\\000.{name}.")];
                assert_eq!([denial[0], denial[4]], wanted, "{told}");
                let types: BTreeSet<_> = denial[5..].iter().copied().collect();
                let there = name.starts_with("shop") || name.starts_with("hidden");
                assert_eq!(types.contains("A"), there, "{told}");
                assert_eq!(
                    types.contains("TYPE128"),
                    name.ends_with("a.edge.test") && !there || name.starts_with('z'),
                    "{told}"
                );
            }
        }
    });
}

#[test]
fn a_real_secondary_follows_and_changes_go_out_as_rfc_1995_says() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let mesh = signing(lab, &zone_key(lab, "own"));
        let shop = Shop { databases: false, outside: false, more: MORE, ..Shop::default() };
        mesh.apply(lab, &shop.text());
        mesh.settle(SETTLE, "shop", "s1");
        let (copies, folder) = secondary(lab);
        let has = |name: &str, stack: &str| {
            let told = dig(lab, "dns", &["+dnssec", name, "A"]);
            let signed = told.contains("\tRRSIG\t") == name.ends_with("edge.test");
            match told.contains(&address(stack).to_string()) && signed {
                true => Ok(()),
                false => Err(format!("{told:?}")),
            }
        };
        let follows = |stack: &str| {
            eventually(SETTLE, &format!("the secondary says {stack}"), || {
                ["shop.edge.test", "hidden-2f7a.edge.test", "shop.plain.test"]
                    .iter()
                    .try_for_each(|name| has(name, stack))
            });
        };
        follows("s1");
        // Nobody without the key is given anything.
        for zone in ["edge.test", "plain.test"] {
            for kind in ["AXFR", "IXFR=1"] {
                let told = dig(lab, "r1", &[zone, kind]);
                assert!(!told.contains("\tSOA\t"), "{told}");
            }
        }
        let [before, plain_before] = ["edge.test", "plain.test"].map(|zone| {
            let (lines, starts) = transfer(lab, &[zone, "AXFR"]);
            // From the start of authority to the same again (RFC 5936 section 2.2).
            assert_eq!(starts.iter().map(|it| it.0).collect::<Vec<_>>(), [0, lines.len() - 1]);
            starts[0].1
        });
        assert!(!folder.join("plain.test.jnl").exists(), "nothing has changed for it yet");

        webs[0].kill();
        mesh.settle(SETTLE, "shop", "s2");
        follows("s2");
        assert!(folder.join("plain.test.jnl").exists(), "it was told what changed, not all");
        println!(
            "{}",
            copies
                .said()
                .lines()
                .filter(|it| it.contains("Transfer"))
                .collect::<Vec<_>>()
                .join("\n")
        );

        // What changed, from version to version: what goes, then what comes (RFC 1995 section 4).
        let held = format!("IXFR={plain_before}");
        let (lines, starts) = transfer(lab, &["plain.test", &held]);
        let new = starts[0].1;
        assert!(plain_before < new, "{lines:?}");
        assert_eq!((starts[1].1, starts[starts.len() - 1].1), (plain_before, new), "{lines:?}");
        assert!(starts.len().is_multiple_of(2) && 4 <= starts.len(), "{lines:?}");
        let gone = format!("\tA\t{}", address("s1"));
        let come = format!("\tA\t{}", address("s2"));
        let place = |what: &str| lines.iter().position(|line| line.contains(what));
        assert!(place(&gone) < place(&come) && place(&gone).is_some(), "{lines:?}");
        // A signed zone goes out whole, which is as lawful: the second record is no start of authority.
        let held = format!("IXFR={before}");
        let (lines, starts) = transfer(lab, &["edge.test", &held]);
        assert_eq!(starts.iter().map(|it| it.0).collect::<Vec<_>>(), [0, lines.len() - 1]);
        assert!(before < starts[0].1 && lines.iter().any(|line| line.contains("\tRRSIG\t")));
        // Who has the newest is told just that; and so is who asks in a datagram (section 2).
        for (zone, now) in [("plain.test", new), ("edge.test", starts[0].1)] {
            let held = format!("IXFR={now}");
            let (lines, starts) = transfer(lab, &[zone, &held]);
            assert_eq!((lines.len(), starts), (1, vec![(0, now)]), "{lines:?}");
            let (lines, _) = transfer(lab, &["+notcp", zone, "IXFR=1"]);
            assert_eq!(lines.len(), 1, "{lines:?}");
        }
    });
}
