//! Members that take for ever, a byte at a time, or say more than there is: what is asked of them ends in time.

use std::time::Instant;

use tests::harness::authority::Authority;
use tests::harness::mongodb::protected;

use super::*;

/// What a look and an action may take here.
const LIMIT: Duration = Duration::from_millis(1_200);
/// They are given up at their limit: this much later on a busy machine.
const SLACK: Duration = Duration::from_secs(5);
/// Everything that a look says, in this order.
const LOOK: [&str; 4] = ["hello", "saslStart", "saslContinue", "replSetGetStatus"];
/// Everything that a request to step down says.
const ACTION: [&str; 4] = ["hello", "saslStart", "saslContinue", "replSetStepDown"];

fn ails(set: &Loopback, ailment: Ailment) {
    set.change(|it| {
        *it = Set::of(&it.members);
        it.ails = Some((it.members[0].clone(), ailment));
    });
}

fn login(tls: Tls) -> Login {
    Login { tls, ..Login::new(USER, Some(PASSWORD)) }
}

/// What comes of it, in little more than its limit.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let ended = tokio::time::timeout(LIMIT + SLACK, what).await;
    ended.unwrap_or_else(|_| panic!("no end within {:?}", began.elapsed()))
}

async fn look_fails(set: &Loopback, tls: Tls) -> Fault {
    match in_time(look_at(database(set, 0), login(tls), LIMIT)).await {
        Outcome::Failed(fault) => fault,
        other => panic!("expected a fault, found {other:?}"),
    }
}

/// What is said of a step down that did not come about.
async fn action_fails(set: &Loopback, tls: Tls) -> ActionFault {
    let done = in_time(step_down(database(set, 0), login(tls), LIMIT)).await;
    let set = set.set();
    assert_eq!(set.primary.as_ref(), set.members.first(), "it stays the primary: {done:?}");
    done.expect_err("it is not known to step down")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_answers_is_given_up_at_the_limit() {
    let set = Loopback::start(2).await;
    for command in LOOK {
        ails(&set, Ailment::Silent(command.to_owned()));
        let fault = look_fails(&set, Tls::AsOffered).await;
        assert_eq!(fault.kind, FaultKind::Timeout, "{command}: {fault}");
        assert!(fault.text.contains("no end within 1200 ms"), "{command}: {fault}");
    }
    for command in ACTION {
        ails(&set, Ailment::Silent(command.to_owned()));
        let fault = action_fails(&set, Tls::AsOffered).await;
        assert_eq!(fault.kind, ActionFaultKind::Unknown, "{command}: {fault:?}");
        assert!(fault.text.contains("no end within 1.2s"), "{command}: {fault:?}");
    }
    // Nor in the handshake.
    ails(&set, Ailment::Dumb);
    let fault = look_fails(&set, Tls::Encrypted).await;
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault}");
    assert!(fault.text.contains("TLS handshake"), "{fault}");
    let fault = action_fails(&set, Tls::Encrypted).await;
    assert_eq!(fault.kind, ActionFaultKind::Unknown, "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_byte_by_byte_is_given_up_at_the_limit() {
    let authority = Authority::new("ours");
    let (certificate, key) = authority.issue("127.0.0.1");
    let tls = protected((&certificate, &key), None);
    for (tls, ours) in [(None, Tls::AsOffered), (Some(tls), Tls::Encrypted)] {
        let set = Loopback::start_with(2, tls).await;
        for command in ["hello", "saslStart"] {
            ails(&set, Ailment::Trickles(command.to_owned()));
            let fault = look_fails(&set, ours.clone()).await;
            assert_eq!(fault.kind, FaultKind::Timeout, "{command}: {fault}");
            let fault = action_fails(&set, ours.clone()).await;
            assert_eq!(fault.kind, ActionFaultKind::Unknown, "{command}: {fault:?}");
            assert!(fault.text.contains("no end within 1.2s"), "{command}: {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_announces_two_thousand_million_bytes_is_heard_no_further() {
    let set = Loopback::start(2).await;
    for command in LOOK {
        ails(&set, Ailment::Boundless(command.to_owned()));
        let fault = look_fails(&set, Tls::AsOffered).await;
        assert_eq!(
            (fault.kind, fault.text.as_str()),
            (FaultKind::Protocol, "the answer is too long"),
            "{command}"
        );
    }
    for command in &ACTION[..3] {
        ails(&set, Ailment::Boundless((*command).to_owned()));
        let fault = action_fails(&set, Tls::AsOffered).await;
        assert_eq!(fault.kind, ActionFaultKind::Unknown, "{command}: {fault:?}");
        assert!(fault.text.ends_with("the answer is too long"), "{command}: {fault:?}");
    }
}

/// Without `maxTimeMS` it would wait on, and step down when nobody expects it any more. In a log-in it is allowed no time: whatever
/// ends one there looks like a wrong password.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_stuck_gives_up_first_and_says_so() {
    let set = Loopback::start(2).await;
    let words = "operation exceeded time limit";
    let logs_in = |command: &str| command.starts_with("sasl");
    for command in LOOK {
        ails(&set, Ailment::Stuck(command.to_owned()));
        let fault = look_fails(&set, Tls::AsOffered).await;
        assert_eq!(fault.kind, FaultKind::Timeout, "{command}: {fault}");
        assert_eq!(fault.text.contains(words), !logs_in(command), "{command}: {fault}");
    }
    for command in ACTION {
        ails(&set, Ailment::Stuck(command.to_owned()));
        let fault = action_fails(&set, Tls::AsOffered).await;
        let kind =
            if logs_in(command) { ActionFaultKind::Unknown } else { ActionFaultKind::Refused };
        assert_eq!(fault.kind, kind, "{command}: {fault:?}");
        assert_eq!(fault.text.contains(words), !logs_in(command), "{command}: {fault:?}");
    }
}
