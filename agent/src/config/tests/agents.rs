//! Agent files: what they mean, and what is said of broken ones, secrets apart.

use std::os::unix::fs::PermissionsExt;

use probe::Tls;

use super::*;

#[test]
fn the_example_agent_file_means_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in [("orders", "hunter2\n"), ("dns-key", "c2VjcmV0\n")] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("own folder");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).expect("own file");
    }
    let own = folder.path().display().to_string();
    let text = AGENT.replace("/run/credentials/quorate.service", &own);
    let (config, warnings) =
        parse_agent(&text, "agent.toml", Path::new("/etc"), true).expect("the example is good");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.mesh.voters, Path::new("/etc/quorate/voters.toml"));
    assert_eq!(config.mesh.seeds.len(), 2);
    assert_eq!(config.socket, Path::new("/run/quorate/agent.sock"));
    assert_eq!(config.dns.map(|dns| dns.stale_after), Some(Duration::from_secs(300)));
    let held: Vec<&Credential> = config.credentials.values().collect();
    assert!(matches!(held[0], Credential::Key { secret, .. } if secret == b"secret"));
    assert!(matches!(held[1], Credential::Login(it) if it.password.as_deref() == Some("hunter2")));
}

#[test]
fn a_log_in_says_how_its_connections_are_protected() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = rcgen::generate_simple_self_signed(["db.test".to_owned()]).expect("one");
    let pem = authority.cert.pem();
    std::fs::write(folder.path().join("ca.pem"), &pem).expect("own folder");
    std::fs::write(folder.path().join("none.pem"), "nothing").expect("own folder");
    let (mesh, _) = AGENT.split_once("[credentials.orders]").expect("the example holds one");
    let read = |keys: &str| {
        let text = format!("{mesh}[credentials.orders]\nuser = \"quorate\"\n{keys}\n");
        let parsed = parse_agent(&text, "agent.toml", folder.path(), true);
        parsed.map(|(config, _)| match config.credentials.into_values().next() {
            Some(Credential::Login(login)) => login.tls.clone(),
            other => panic!("expected a log-in, found {other:?}"),
        })
    };
    let verified = |pem: Option<&str>| Tls::Verified(pem.map(Into::into));
    for (keys, expected) in [
        ("", Tls::AsOffered),
        ("tls = \"encrypted\"", Tls::Encrypted),
        ("tls = \"verified\"", verified(None)),
        ("tls = \"verified\"\nauthority_file = \"ca.pem\"", verified(Some(&pem))),
        ("authority_file = \"ca.pem\"", verified(Some(&pem))),
    ] {
        assert_eq!(read(keys).expect("it is good"), expected, "{keys}");
    }
    for keys in [
        "tls = \"maybe\"",
        "tls = \"encrypted\"\nauthority_file = \"ca.pem\"",
        "authority_file = \"none.pem\"",
        "authority_file = \"missing.pem\"",
    ] {
        assert!(read(keys).is_err(), "{keys}");
    }
}

#[test]
fn relative_paths_start_from_the_file_and_defaults_from_their_neighbours() {
    let text = "[agent]\ndata_dir = \"data\"\n[mesh]\nlisten = \"127.0.0.1:0\"\nadvertise = \"[::1]:9\"\n\
                certificate = \"tls/a.crt\"\nkey = \"tls/a.key\"\nauthority = \"mesh.crt\"\n";
    let (config, _) = parse_agent(text, "agent.toml", Path::new("/m/a1"), true).expect("good");
    assert_eq!(config.data_dir, Path::new("/m/a1/data"));
    assert_eq!(config.mesh.voters, Path::new("/m/a1/tls/voters.toml"));
    assert_eq!(config.socket, Path::new("/m/a1/data/agent.sock"));
    assert_eq!(config.mesh.advertise, "[::1]:9");
    assert!(config.dns.is_none() && config.status.is_none());
}

#[test]
fn a_door_is_named_once_and_has_ports() {
    let agent = "[agent]\ndata_dir = \"d\"\n[mesh]\nlisten = \"127.0.0.1:0\"\nadvertise = \"[::1]:9\"\n\
                 certificate = \"a.crt\"\nkey = \"a.key\"\nauthority = \"mesh.crt\"\n";
    let door = "[[guard.door]]\napp = \"shop\"\ndatabase = \"orders\"\nports = [5432]\nallow = [\"192.0.2.7\"]\n";
    let parse = |doors: &str| {
        parse_agent(&format!("{agent}{doors}"), "f", Path::new("/"), false).map_err(|faults| {
            faults
                .0
                .iter()
                .map(|fault| fault.to_string().lines().next().map(str::to_owned))
                .collect::<Vec<_>>()
        })
    };
    let (config, warnings) = parse(door).expect("good");
    assert!(warnings.is_empty());
    assert_eq!((&config.doors[0].ports, config.doors[0].allow.len()), (&vec![5432], 1));
    let (_, warnings) = parse(&door.replace("allow = [\"192.0.2.7\"]\n", "")).expect("good");
    assert!(warnings[0].to_string().contains("no other agent sees the database"));
    let (config, _) =
        parse(&format!("[guard]\nwatchdog = \"/dev/watchdog1\"\n{door}")).expect("good");
    assert_eq!(config.watchdog.map(|it| it.to_string()).as_deref(), Some("/dev/watchdog1"));
    for (doors, expected) in [
        (
            "[guard]\nwatchdog = \"/dev/sda\"\n".to_owned(),
            vec![
                "f:10:12: `watchdog`: expected a watchdog's device, such as `/dev/watchdog`, found `/dev/sda`",
            ],
        ),
        (
            format!("{door}{door}"),
            vec![
                "f:16:12: `shop/orders` has two doors",
                "f:17:10: `ports`: `5432` is behind a door already",
            ],
        ),
        (
            door.replace("[5432]", "[]"),
            vec![
                "f:9:1: `[[guard.door]]` lacks `ports`: expected the database's port, such as `[5432]`",
            ],
        ),
        (
            door.replace("[5432]", "[0]"),
            vec!["f:12:10: `ports`: expected a whole number from 1 to 65535, found the number `0`"],
        ),
    ] {
        let said: Vec<_> = parse(&doors).expect_err("broken").into_iter().flatten().collect();
        assert_eq!(said, expected);
    }
}

#[test]
fn a_door_by_the_engine_says_its_stack_and_nothing_of_the_other_sort() {
    let agent = "[agent]\ndata_dir = \"d\"\n[mesh]\nlisten = \"127.0.0.1:0\"\nadvertise = \"[::1]:9\"\n\
                 certificate = \"a.crt\"\nkey = \"a.key\"\nauthority = \"mesh.crt\"\n";
    let parse = |doors: &str| parse_agent(&format!("{agent}{doors}"), "f", Path::new("/"), false);
    let weak =
        "[[guard.door]]\nby = \"engine\"\napp = \"shop\"\nstack = \"s1\"\ndatabase = \"orders\"\n";
    let hard = "[[guard.door]]\napp = \"blog\"\ndatabase = \"db\"\nports = [5432]\nallow = [\"192.0.2.7\"]\n";
    let watchdog = "[guard]\nwatchdog = \"/dev/watchdog\"\n";
    let (config, warnings) = parse(weak).expect("good");
    assert!(warnings.is_empty() && config.doors.is_empty(), "the core is told of no door");
    assert_eq!(config.weak_doors[0].stack.as_str(), "s1");
    let (config, _) = parse(&format!("{watchdog}{weak}{hard}")).expect("both sorts");
    assert_eq!((config.doors.len(), config.weak_doors.len()), (1, 1));
    for (doors, expected) in [
        (
            weak.replace("stack = \"s1\"\n", ""),
            vec![
                "f:9:1: `[[guard.door]]` lacks `stack`: with `by = \"engine\"` no app file says which one's database it is",
            ],
        ),
        (
            format!(
                "{weak}ports = [1]\nallow = [\"192.0.2.7\"]\nrejoin = [\"x\"]\nheartbeat = true\n"
            ),
            vec![
                "f:14:10: `ports`: of a door by nftables alone: with `by = \"engine\"` leave it out",
                "f:15:10: `allow`: of a door by nftables alone: with `by = \"engine\"` leave it out",
                "f:16:11: `rejoin`: of a door by nftables alone: with `by = \"engine\"` leave it out",
                "f:17:13: `heartbeat`: of a door by nftables alone: with `by = \"engine\"` leave it out",
            ],
        ),
        (
            format!("{hard}stack = \"s1\"\n"),
            vec![
                "f:14:9: `stack`: of a door by nftables the app file says it, by `guard`: leave it out",
            ],
        ),
        (format!("{weak}{weak}"), vec!["f:18:12: `shop/orders` has two doors"]),
        (
            format!("{watchdog}{weak}"),
            vec![
                "f:10:12: `watchdog`: nothing arms it: it goes beside a door by nftables, which a lease holds open",
            ],
        ),
        (
            weak.replace("engine", "engin"),
            vec![
                "f:10:6: `by`: expected `nftables` or `engine`, found `engin`; did you mean `engine`?",
            ],
        ),
    ] {
        let faults = parse(&doors).expect_err("broken");
        let lines = faults.0.iter().map(|fault| fault.to_string());
        let said: Vec<_> =
            lines.map(|it| it.lines().next().unwrap_or_default().to_owned()).collect();
        assert_eq!(said, expected);
    }
}

/// An agent file with these lines at its end, in a folder that holds `secret` (mode 600) and `open` (mode 644).
fn agent(lines: &str, exposed: bool) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, mode) in [("secret", 0o600), ("open", 0o644)] {
        let path = folder.path().join(name);
        std::fs::write(&path, "hunter2").expect("own folder");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("own file");
    }
    let text = format!(
        "[agent]\ndata_dir = \"/d\"\n[mesh]\nlisten = \"[::]:1\"\nadvertise = \"a:1\"\ncertificate = \"c\"\n\
         key = \"k\"\nauthority = \"m\"\n{lines}"
    );
    let said = match parse_agent(&text, "f", folder.path(), exposed) {
        Ok((_, warnings)) => warnings,
        Err(Faults(faults)) => faults,
    };
    let own = format!("{}/", folder.path().display());
    let said = said.iter().map(|fault| fault.to_string().replace(&own, "")).collect();
    (folder, said)
}

#[test]
fn what_is_wrong_with_an_agent_file_is_said_and_no_secret_is() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        ("[credentials.x]\nuser = \"u\"", &[]),
        ("[credentials.x]\nuser = \"u\"\npassword_file = \"secret\"", &[]),
        (
            "[credentials.x]\nuser = \"u\"\npassword_file = \"open\"",
            &[
                "f:11:17: `password_file`: everybody on this computer may read `open`: `chmod 600 open`",
            ],
        ),
        (
            "[credentials.x]\nuser = \"u\"\npassword_file = \"none\"",
            &[
                "f:11:17: `password_file`: cannot read `none`: No such file or directory (os error 2)",
            ],
        ),
        (
            "[credentials.x]\nuser = \"u\"\npassword_file = \".\"",
            &["f:11:17: `password_file`: expected a plain file, `.` is none"],
        ),
        ("[credentials.x]\npassword = \"hunter2\"", &["f:9:1: credential `x` lacks `user`"]),
        (
            "[credentials.x]\nuser = \"u\"\npassword = 2",
            &["f:11:12: `password`: expected a text in quotes, not empty"],
        ),
        (
            "[credentials.x]\nuser = \"u\"\npasword = \"hunter2\"",
            &["f:11:1: unknown key `pasword` in `[credentials.…]`: did you mean `password`?"],
        ),
        (
            "[credentials.x]\nuser = \"u\"\nvoters = \"a key of another table\"",
            &[
                "f:11:1: unknown key `voters` in `[credentials.…]`: expected `user`, `password`, `password_file`, `tls`, `authority_file`, `name`, `algorithm`, `secret`, `secret_file`, `token`, `token_file` or `access_key`",
            ],
        ),
        (
            "[status]\nalgorithm = \"a secret's\"",
            &[
                "f:10:1: unknown key `algorithm` in `[status]`: expected `listen`, `socket`, `states` or `resolvers`",
            ],
        ),
        (
            "[credentials.x]\nuser = \"u\"\npassword = hunter2",
            &["f:11:12: expected a value; a text stands in quotes, `\"…\"`"],
        ),
        (
            "[credentials.x]\nuser = \"u\"\nsecret = \"hunter2\"",
            &["f:11:10: `secret` belongs to a TSIG key, `x` is a log-in by its other keys"],
        ),
        (
            "[credentials.x]\n",
            &[
                "f:9:1: credential `x` is empty: expected `user` and `password_file` or `password` for a database, \
             `name`, `algorithm` and `secret_file` or `secret` for TSIG, or `token_file` or `token` for a provider",
            ],
        ),
        (
            "[credentials.x]\nname = \"k.\"",
            &[
                "f:9:1: credential `x` lacks `algorithm`: expected `hmac-sha256`, `hmac-sha384` or `hmac-sha512`",
                "f:9:1: credential `x` lacks its secret: expected `secret_file` or `secret`",
            ],
        ),
        (
            "[credentials.x]\nname = \"k.\"\nalgorithm = \"hmac-md5\"\nsecret = \"c2VjcmV0\"",
            &[
                "f:11:13: `algorithm`: expected `hmac-sha256`, `hmac-sha384` or `hmac-sha512`, found `hmac-md5`",
            ],
        ),
        (
            "[credentials.x]\nname = \"k.\"\nalgorithm = \"hmac-sha256\"\nsecret_file = \"secret\"",
            &["f:12:15: expected the secret in base64, as `tsig-keygen` prints it"],
        ),
        (
            "[status]\nlisten = \"0.0.0.0:4791\"",
            &[
                "f:10:10: `listen`: expected a loopback address, such as `127.0.0.1:4791`, found `0.0.0.0:4791`: \
             reading from other hosts needs tokens, which are still to come\
             \n 10 | listen = \"0.0.0.0:4791\"\n    |          ^^^^^^^^^^^^^^",
            ],
        ),
        (
            "[dns]\nlisten = [\"192.0.2.1\"]",
            &[
                "f:10:11: `listen`: expected `address:port`, such as `127.0.0.1:4791` or `[::]:4790`, \
             found `192.0.2.1`; the port is missing\n 10 | listen = [\"192.0.2.1\"]\n    |           ^^^^^^^^^^^",
            ],
        ),
        (
            "[status]\nresolvers = [\"9.9.9.9:53\", \"9.9.9.9:53\"]",
            &[
                "f:10:28: `resolvers`: `9.9.9.9:53` is named twice\n 10 | resolvers = [\"9.9.9.9:53\", \"9.9.9.9:53\"]\
                 \n    |                            ^^^^^^^^^^^^",
            ],
        ),
        (
            "[status]\nresolvers = [\n\"[::1]:1\", \"[::1]:2\", \"[::1]:3\", \"[::1]:4\", \"[::1]:5\", \"[::1]:6\",\n\
             \"[::1]:7\", \"[::1]:8\", \"[::1]:9\", \"[::1]:10\", \"[::1]:11\", \"[::1]:12\", \"[::1]:13\",\n\
             \"[::1]:14\", \"[::1]:15\", \"[::1]:16\",\n\"[::1]:17\"]",
            &[
                "f:14:1: `resolvers`: expected at most 16, found 17\n 14 | \"[::1]:17\"]\n    | ^^^^^^^^^^",
            ],
        ),
        (
            "[health]\ncanaries = [\"tcp://192.0.2.1:53\", \"https://192.0.2.1\", \"tcp://192.0.2.2\"]",
            &[
                "f:10:56: `canaries`: expected `http(s)://host[:port]/path` or `tcp://host:port`, found `tcp://192.0.2.2`; \
                 the port is missing\n 10 | canaries = [\"tcp://192.0.2.1:53\", \"https://192.0.2.1\", \"tcp://192.0.2.2\"]\
                 \n    |                                                        ^^^^^^^^^^^^^^^^^",
            ],
        ),
        (
            "[health]\ncanaries = [\"tcp://192.0.2.1:53\", \"https://192.0.2.1\", \"tcp://192.0.2.2:9\"]",
            &[
                "f:10:35: `canaries`: `192.0.2.1` is named twice: one failure would count as two\n 10 | canaries = [\"tcp://192.0.2.1:53\", \"https://192.0.2.1\", \"tcp://192.0.2.2:9\"]\
                 \n    |                                   ^^^^^^^^^^^^^^^^^^^",
            ],
        ),
        (
            "[health]\ncanaries = [\"tcp://192.0.2.1:53\"]",
            &[
                "f:10:13: warning: 1 is few: with 3 or more, in different networks, one may fail without silencing this agent\
                 \n 10 | canaries = [\"tcp://192.0.2.1:53\"]\n    |             ^^^^^^^^^^^^^^^^^^^^",
            ],
        ),
    ];
    for (lines, expected) in cases {
        let (_folder, said) = agent(lines, true);
        let inline = "the secret stands in a file that everybody on this computer may read";
        let other: Vec<&String> = said.iter().filter(|said| !said.contains(inline)).collect();
        assert_eq!(other, *expected, "{lines}");
        assert!(!said.iter().any(|said| said.contains("hunter2")), "{said:?}");
    }
    let inline = "[credentials.x]\nuser = \"u\"\npassword = \"hunter2\"";
    assert_eq!(agent(inline, false).1, [""; 0]);
    assert_eq!(agent(inline, true).1.len(), 1);
}
