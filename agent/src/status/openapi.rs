//! The API as a document for machines: `GET /openapi.json` (OpenAPI 3.1).
//!
//! Written by hand, and held to what is answered: every path stands in it, every answer fits its schema and holds nothing that
//! the schema does not name.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

/// The document.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`.
pub async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::DOCUMENT;
    use crate::status::tests::Agent;

    fn parsed() -> Value {
        serde_json::from_str(DOCUMENT).expect("it is JSON")
    }

    /// The document's schemas, closed: in a test a field that no schema names is one that was forgotten.
    fn closed() -> Value {
        fn close(schema: &mut Value) {
            match schema {
                Value::Object(fields) => {
                    if fields.contains_key("properties") {
                        fields.entry("additionalProperties").or_insert(json!(false));
                    }
                    fields.values_mut().for_each(close);
                }
                Value::Array(items) => items.iter_mut().for_each(close),
                _ => {}
            }
        }
        let mut components = parsed()["components"].clone();
        close(&mut components);
        components
    }

    /// What of an answer does not fit a schema of the document.
    fn misfits(schema: &Value, answer: &Value) -> Vec<String> {
        let mut root = schema.clone();
        root["components"] = closed();
        let validator = jsonschema::draft202012::new(&root).expect("it is a schema");
        let errors = validator.iter_errors(answer);
        errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    fn schema_of<'a>(document: &'a Value, path: &str, method: &str, status: u16) -> &'a Value {
        let response = &document["paths"][path][method]["responses"][status.to_string()];
        &response["content"]["application/json"]["schema"]
    }

    /// Every path of the router and its methods, as its text has them.
    fn routes() -> BTreeSet<(String, &'static str)> {
        let text = include_str!("api.rs");
        let routes = text.split(".route(\"").skip(1).filter_map(|rest| {
            let (path, handler) = rest.split_once("\", ")?;
            let method = if handler.starts_with("get(") { "get" } else { "post" };
            Some((path.to_owned(), method))
        });
        routes.collect()
    }

    #[test]
    fn every_path_stands_in_the_document_and_no_other() {
        let document = parsed();
        let paths = document["paths"].as_object().expect("paths");
        let named: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = ["get", "post"].into_iter().filter(|it| item.get(it).is_some());
                methods.map(|method| (path.clone(), method))
            })
            .collect();
        assert_eq!(named, routes());
    }

    #[test]
    fn what_the_document_refers_to_is_there() {
        let document = parsed();
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let mut referred = BTreeSet::new();
        for rest in DOCUMENT.split("#/components/schemas/").skip(1) {
            referred.insert(rest.split('"').next().expect("a name"));
        }
        let there: BTreeSet<_> = schemas.keys().map(String::as_str).collect();
        assert_eq!(referred, there);
    }

    #[tokio::test]
    async fn every_answer_fits_its_schema() {
        let agent = Agent::start().await;
        let (document, tcp) = (parsed(), agent.tcp());
        let served = tcp.get("/openapi.json").await.expect("it is served");
        assert_eq!(served, document);
        for (path, asked) in [
            ("/api/v1/status", "/api/v1/status"),
            ("/api/v1/members", "/api/v1/members"),
            ("/api/v1/voters", "/api/v1/voters"),
            ("/api/v1/apps/{app}", "/api/v1/apps/shop"),
            ("/api/v1/apps/{app}", "/api/v1/apps/blog"),
            ("/api/v1/apps/{app}/definition", "/api/v1/apps/shop/definition"),
            ("/api/v1/apps/{app}/state/{stack}", "/api/v1/apps/shop/state/aws-east"),
            ("/api/v1/explain/{app}", "/api/v1/explain/shop"),
            ("/api/v1/history", "/api/v1/history"),
            ("/api/v1/history", "/api/v1/history?app=shop&limit=10"),
        ] {
            let answer = tcp.get(asked).await.expect(asked);
            let misfits = misfits(schema_of(&document, path, "get", 200), &answer);
            assert!(misfits.is_empty(), "{asked}: {misfits:#?}");
        }
        for (method, path, asked, status) in [
            ("get", "/api/v1/apps/{app}", "/api/v1/apps/nope", 404),
            ("get", "/api/v1/history", "/api/v1/history?epoch=minus", 400),
            ("post", "/api/v1/apps/{app}/ack", "/api/v1/apps/shop/ack", 403),
        ] {
            let request = format!(
                "{} {asked} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                method.to_uppercase()
            );
            let answer = agent.raw(&request).await;
            let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{asked}: {head}");
            let body: Value = serde_json::from_str(body).expect("JSON");
            let misfits = misfits(schema_of(&document, path, method, status), &body);
            assert!(misfits.is_empty(), "{asked}: {misfits:#?}");
        }
    }

    #[tokio::test]
    async fn what_becomes_of_commands_fits_its_schema_and_so_do_they() {
        let agent = Agent::start().await;
        let (document, unix) = (parsed(), agent.unix());
        for (verb, body) in [
            ("switchover", json!({"to": "do-west", "well_for": "30m", "now": true})),
            ("failover", json!({"to": "do-west", "accept_loss": true})),
            ("freeze", json!({"for": "2h", "reason": "release"})),
            ("unfreeze", json!({})),
            ("ack", json!({})),
            ("abort", json!({"accept_loss": true})),
            ("approve", json!({})),
        ] {
            let path = format!("/api/v1/apps/{{app}}/{verb}");
            let content = &document["paths"][&path]["post"]["requestBody"]["content"];
            let request = misfits(&content["application/json"]["schema"], &body);
            assert!(request.is_empty(), "{verb}: {request:#?}");
            let asked = format!("/api/v1/apps/shop/{verb}");
            let (found, answer) =
                unix.post(&asked, "application/json", body.to_string()).await.expect("an answer");
            let schema = schema_of(&document, &path, "post", found);
            assert!(schema.is_object(), "{verb}: {found} does not stand in the document");
            let misfits = misfits(schema, &answer);
            assert!(misfits.is_empty(), "{verb}: {misfits:#?}");
        }
    }
}
