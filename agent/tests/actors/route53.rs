//! Route 53 (API of 2013-04-01).

use serde::Deserialize;

use super::{Book, Server, bare};
use crate::common::web::{Asked, Web};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    change_batch: Batch,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    changes: Changes,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Changes {
    change: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    action: String,
    resource_record_set: Set,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Set {
    name: String,
    r#type: String,
    #[serde(rename = "TTL")]
    ttl: u64,
    resource_records: Records,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Records {
    resource_record: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    value: String,
}

pub async fn route53(book: Book) -> Server {
    Web::start(book, |book, asked| {
        let writes = asked.method == "POST";
        if let Some(reply) = book.trouble(writes) {
            return reply;
        }
        let signed = asked.header("authorization");
        let lawful = signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            && signed.contains("/us-east-1/route53/aws4_request, SignedHeaders=host;x-amz-date, ")
            && signed.rsplit('=').next().is_some_and(|signature| signature.len() == 64);
        if !lawful || asked.header("x-amz-date").len() != 16 {
            return Some((403, "<Code>SignatureDoesNotMatch</Code>".to_owned()));
        }
        assert_eq!(asked.uri.path(), "/2013-04-01/hostedzone/Z2FDTNDATAQYW2/rrset");
        match writes {
            false => Some((200, list_sets(book, &bare(asked.query("name").expect("a name"))))),
            true => book.apply(|book| change_sets(book, asked)),
        }
    })
    .await
}

/// From a name on, in the order of the zone (from the last label to the first).
fn list_sets(book: &Book, from: &str) -> String {
    let order = |name: &str| name.rsplit('.').map(str::to_owned).collect::<Vec<_>>();
    let mut sets: Vec<_> = book
        .rows
        .iter()
        .filter(|((name, _), rows)| order(name) >= order(from) && !rows.is_empty())
        .collect();
    sets.sort_by_key(|((name, kind), _)| (order(name), kind.clone()));
    let sets: String = sets
        .into_iter()
        .map(|((name, kind), rows)| {
            let records: String = rows
                .iter()
                .map(|row| {
                    let value = row.text.replace('"', "&quot;");
                    format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>")
                })
                .collect();
            format!(
                "<ResourceRecordSet><Name>{name}.</Name><Type>{kind}</Type><TTL>{}</TTL>\
                 <ResourceRecords>{records}</ResourceRecords></ResourceRecordSet>",
                rows[0].ttl
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?><ListResourceRecordSetsResponse \
         xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ResourceRecordSets>{sets}\
         </ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>20</MaxItems>\
         </ListResourceRecordSetsResponse>"
    )
}

fn change_sets(book: &mut Book, asked: &Asked) -> Result<(u16, String), (u16, String)> {
    let invalid = |why: String| {
        let text =
            format!("<Error><Code>InvalidChangeBatch</Code><Message>{why}</Message></Error>");
        (400, text)
    };
    let request: Request =
        quick_xml::de::from_str(&asked.body).map_err(|error| invalid(error.to_string()))?;
    for change in request.change_batch.changes.change {
        let set = change.resource_record_set;
        let (name, kind) = (bare(&set.name), set.r#type);
        let mut given: Vec<String> =
            set.resource_records.resource_record.into_iter().map(|it| it.value).collect();
        given.sort();
        let held = book.set(&name, &kind);
        let named = format!("[name='{name}.', type='{kind}']");
        match change.action.as_str() {
            "DELETE" if held.is_empty() => {
                return Err(invalid(format!("Tried to delete {named} but it was not found")));
            }
            "DELETE" if book.get(&name, &kind) != given || held[0].ttl != set.ttl => {
                return Err(invalid(format!(
                    "Tried to delete {named} but the values provided do not match the current values"
                )));
            }
            "DELETE" => {
                book.rows.remove(&(name, kind));
            }
            "CREATE" if !held.is_empty() => {
                return Err(invalid(format!("Tried to create {named} but it already exists")));
            }
            "CREATE" => {
                let given: Vec<&str> = given.iter().map(String::as_str).collect();
                book.put(&name, &kind, set.ttl, &given);
            }
            other => return Err(invalid(format!("no action {other}"))),
        }
    }
    Ok((200, "<ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo>".to_owned()))
}
