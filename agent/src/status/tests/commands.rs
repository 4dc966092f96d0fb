//! What people ask of the mesh: over the socket alone, and within limits.

use super::*;

#[tokio::test]
async fn commands_are_for_the_socket_alone() {
    let agent = Agent::start().await;
    let verbs = ["switchover", "failover", "freeze", "unfreeze", "ack", "abort", "approve"];
    let paths = verbs.map(|verb| format!("/api/v1/apps/shop/{verb}"));
    let others = ["/api/v1/apply", "/api/v1/voters"];
    for path in paths.iter().map(String::as_str).chain(others) {
        let (status, answer) = agent.tcp().post(path, "", "").await.expect("an answer");
        assert_eq!(status, 403, "{path}");
        assert!(answer["error"].as_str().is_some_and(|why| why.contains("socket")), "{answer}");
    }
    let unix = agent.unix();
    for (path, body, status, expected) in [
        ("apply", "[app]", 200, json!({"answer": "agreed", "epoch": 5, "revision": 3})),
        (
            "apply?replaces=1&active=aws-east",
            "[app]",
            409,
            json!({"answer": "refused", "why": "revision 2 is there"}),
        ),
        ("apply", "[ap]", 422, json!({"error": "line 1, column 1: expected `[app]`"})),
        ("apps/shop/failover", "", 200, json!({"answer": "unchanged"})),
        (
            "voters",
            r#"{"replace": {"old": "sgp-1", "new": "fra-2"}}"#,
            200,
            json!({"answer": "agreed", "version": 3}),
        ),
        (
            "apps/shop/failover",
            r#"{"to": "do-west", "accept_loss": true}"#,
            200,
            json!({"answer": "agreed", "epoch": 5, "revision": 2}),
        ),
        (
            "apps/shop/freeze",
            r#"{"for": "2h", "reason": "release"}"#,
            200,
            json!({"answer": "agreed", "epoch": 4, "revision": 2}),
        ),
        (
            "apps/shop/freeze",
            r#"{"for": "a while"}"#,
            400,
            json!({"error": "`for`: expected a time like `2h`, found `a while`"}),
        ),
        ("apps/shop/ack", "{}", 200, json!({"answer": "agreed", "epoch": 4, "revision": 2})),
        ("apps/shop/unfreeze", "", 200, json!({"answer": "agreed", "epoch": 4, "revision": 2})),
    ] {
        let answer = unix.post(&format!("/api/v1/{path}"), "", body).await.expect("an answer");
        assert_eq!(answer, (status, expected), "{path}");
    }
    let me = unix.post("/api/v1/apps/shop/switchover", "application/json", "{}").await;
    let (status, answer) = me.expect("an answer");
    let uid = rustix::process::geteuid().as_raw();
    let me = if uid == 0 { "root".to_owned() } else { uid.to_string() };
    let why = answer["why"].as_str().unwrap_or_default();
    assert_eq!((status, &answer["answer"]), (503, &json!("unknown")));
    assert!(uid != 0 || why == format!("asked by {me}"), "{why}");
    for (body, status) in [("{\"too\": 1}", 400), ("nonsense", 400), ("{\"to\": \"A B\"}", 400)] {
        let (found, answer) =
            unix.post("/api/v1/apps/shop/switchover", "", body).await.expect("an answer");
        assert_eq!(found, status, "{answer}");
    }
    for body in ["", "{}", r#"{"add": {"agent": "A B"}}"#, r#"{"drop": {"agent": "a"}}"#] {
        let (found, answer) = unix.post("/api/v1/voters", "", body).await.expect("an answer");
        assert_eq!(found, 400, "{body}: {answer}");
    }
    let (status, _) = unix.post("/api/v1/apps/no!/failover", "", "").await.expect("an answer");
    assert_eq!(status, 404);
}

#[tokio::test]
async fn whoever_had_something_agreed_sees_it_at_once() {
    let agent = Agent::start().await;
    let unix = agent.unix();
    for (verb, body, epoch) in [
        ("failover", r#"{"accept_loss": true}"#, 5),
        ("ack", "", 4),
        ("failover", r#"{"accept_loss": true}"#, 5),
    ] {
        let before: Value = unix.read("/api/v1/apps/shop").await.expect("an app");
        assert_ne!(before["epoch"], epoch);
        let path = format!("/api/v1/apps/shop/{verb}");
        let (_, answer) = unix.post(&path, "", body).await.expect("an answer");
        assert_eq!(answer["epoch"], epoch, "{answer}");
        let after: Value = unix.read("/api/v1/apps/shop").await.expect("an app");
        assert_eq!(after["epoch"], epoch, "after {verb}");
    }
}

#[tokio::test]
async fn a_body_beyond_its_limit_is_refused_and_so_is_an_endless_head() {
    let agent = Agent::start().await;
    let body = "#".repeat(64 * 1024 + 1);
    let (status, answer) =
        agent.unix().post("/api/v1/apply", "", body.clone()).await.expect("an answer");
    assert_eq!(status, 413, "{answer}");
    let (status, _) =
        agent.unix().post("/api/v1/apps/shop/failover", "", body).await.expect("an answer");
    assert_eq!(status, 413);
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let answer = agent.raw(&head).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}
