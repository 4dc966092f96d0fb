//! Followed endpoints as meant: which they are, where they are looked for, and which records hold what is found.

use std::net::IpAddr;

use consensus::model::{Definition, FOLLOWED_NAME_LIMIT, Following, Place, RecordKind, Stack};

use super::fault::Findings;
use super::typed::app::{AppFile, EndpointTable, RecordTable, StackTable};

/// Adds what the file follows to a definition in which it is listed so far.
pub(super) fn mean(file: &AppFile, definition: &mut Definition, findings: &mut Findings<'_>) {
    let mut following = Vec::new();
    for (table, stack) in file.stack.iter().zip(&definition.stacks) {
        for (at, typed) in table.endpoint.iter().enumerate() {
            match (&typed.follow, &typed.balancer) {
                (Some(_), _) => following.extend(followed(file, table, stack, at, findings)),
                (None, Some(balancer)) => findings.error(
                    &balancer.span,
                    "`balancer` goes with `follow`: where the servers are while there is no load balancer",
                ),
                (None, None) => {}
            }
        }
    }
    if findings.failed() || following.is_empty() {
        return;
    }
    definition.following.clone_from(&following);
    for of in following {
        let Ok(address) = of.endpoint.address.parse() else { continue };
        // From the listed endpoint to the same one as if it had been found.
        let stacks = definition.stacks.iter_mut().filter(|it| it.name == of.stack);
        for stack in stacks {
            stack.endpoints.retain(|it| it.name != of.endpoint.name);
        }
        let first = [Place { address, port: None }].into();
        if let Some(placed) = definition.placed(&of, &first) {
            *definition = placed;
        }
    }
}

/// One endpoint of a stack that is followed.
fn followed(
    file: &AppFile,
    table: &StackTable,
    stack: &Stack,
    at: usize,
    findings: &mut Findings<'_>,
) -> Option<Following> {
    let typed: &EndpointTable = &table.endpoint[at];
    let endpoint = stack.endpoints.get(at)?.clone();
    let name = endpoint.name.as_str();
    let follow = typed.follow.as_ref()?;
    if endpoint.address.parse::<IpAddr>().is_err() {
        let text = format!(
            "`url`: expected an address beside `follow`, found `{}`: it is handed out until a quorum has found others",
            endpoint.address
        );
        findings.error(&typed.url.span, text);
    }
    if name.len() > FOLLOWED_NAME_LIMIT {
        let text = format!(
            "`name`: expected at most {FOLLOWED_NAME_LIMIT} characters beside `follow`, found {}: addresses are added to it",
            name.len()
        );
        findings.error(&follow.span, text);
    }
    let others = stack.endpoints.iter().map(|it| &it.name);
    let mut others = others.chain(stack.databases.iter().map(|it| &it.name));
    let taken = others.find(|it| it.as_str().starts_with(&format!("{name}-")));
    if let Some(taken) = taken {
        let text = format!("target `{taken}` may come to be a name of followed `{name}`");
        findings.error(&follow.span, text);
    }
    if let Some(weighed) = table.endpoint.iter().find(|it| it.weight.value.0 != 1) {
        findings.error(
            &weighed.weight.span,
            "`weight` in a stack whose endpoints are followed: what is found is handed out alike",
        );
    }
    let balancer = typed.balancer.iter().map(|it| it.value.0.clone());
    let records = file.record.iter().filter(|record| derives(record, table));
    Some(Following {
        stack: stack.name.clone(),
        sources: balancer.chain([follow.value.0.clone()]).collect(),
        endpoint,
        records: records.map(|record| (record.name.value.0.clone(), record.r#type.value)).collect(),
    })
}

/// Does a record hold the addresses of a stack's endpoints?
fn derives(record: &RecordTable, stack: &StackTable) -> bool {
    matches!(record.r#type.value, RecordKind::A | RecordKind::Aaaa)
        && record.rw.is_none()
        && record.ro.is_none()
        && record.values.0.iter().all(|(name, _)| name.value != stack.name.value)
}
