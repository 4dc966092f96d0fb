//! Records as meant: for every stack something to answer, in a form that DNS allows.

use std::collections::BTreeMap;
use std::net::IpAddr;

use consensus::model::{RECORD_LIMIT, Record, RecordData, RecordKind, Stack, StackId, TargetName};

use super::datum::datum;
use super::drivers::{mean_driver, mean_ttl};
use super::fault::{Findings, nearest};
use super::tree::{At, excerpt};
use super::typed::app::{AppFile, RecordTable};

/// The most values of one record for one stack: with the longest names they still fit one DNS message over TCP.
const VALUE_LIMIT: usize = 64;

/// What the records mean, given what the stacks do.
pub(super) fn mean(file: &AppFile, stacks: &[Stack], findings: &mut Findings<'_>) -> Vec<Record> {
    if file.record.len() > RECORD_LIMIT {
        let text = format!("expected at most {RECORD_LIMIT} records, found {}", file.record.len());
        findings.error(&file.record[RECORD_LIMIT].at, text);
    }
    check_names(&file.record, findings);
    let mut records = Vec::new();
    for table in &file.record {
        let driver = mean_driver(file, table, findings);
        let values = mean_values(file, table, stacks, findings);
        if let Some(driver) = driver {
            records.push(Record {
                name: table.name.value.0.clone(),
                kind: table.r#type.value,
                ttl: mean_ttl(table, &driver, findings),
                values,
                driver,
            });
        }
    }
    records
}

/// One set a name and type, one driver a name, and a CNAME stands alone (RFC 1034 section 3.6.2).
fn check_names(records: &[RecordTable], findings: &mut Findings<'_>) {
    for (at, record) in records.iter().enumerate() {
        let (name, kind) = (&record.name.value.0, record.r#type.value);
        let mut others = records[..at].iter().filter(|other| other.name.value == record.name.value);
        let Some(other) = others.clone().find(|other| other.r#type.value == kind).or(others.next())
        else {
            continue;
        };
        let text = match other.r#type.value {
            same if same == kind => {
                format!("record `{name}` {kind} is named twice: several values go into one record")
            }
            one if one == RecordKind::Cname || kind == RecordKind::Cname => {
                format!("record `{name}` has {one} and {kind}: a CNAME stands alone at its name")
            }
            _ if other.driver.value != record.driver.value => {
                format!("record `{name}` is published by two drivers: expected one")
            }
            _ => continue,
        };
        findings.error(&record.name.span, text);
    }
}

fn mean_values(
    file: &AppFile,
    table: &RecordTable,
    stacks: &[Stack],
    findings: &mut Findings<'_>,
) -> BTreeMap<StackId, Vec<RecordData>> {
    for (stack, _) in &table.values.0 {
        if !stacks.iter().any(|known| known.name == stack.value) {
            let hint =
                nearest(stack.value.as_str(), stacks.iter().map(|known| known.name.as_str()));
            let hint = hint.map_or(String::new(), |word| format!(": did you mean `{word}`?"));
            findings.error(&stack.span, format!("no stack is named `{}`{hint}", stack.value));
        }
    }
    let role = match (&table.rw, &table.ro) {
        (Some(_), Some(ro)) => {
            findings.error(&ro.span, "`rw` and `ro` are two records: expected one of them");
            None
        }
        (Some(rw), None) => Some((Role::Written, rw)),
        (None, Some(ro)) => Some((Role::Read, ro)),
        (None, None) => None,
    };
    if let Some((_, database)) = role
        && let Some((stack, _)) = table.values.0.first()
    {
        findings.error(&stack.span, format!("`values` beside database `{}`", database.value));
    }
    let mut values = BTreeMap::new();
    for stack in stacks {
        if let Some((role, database)) = role {
            let data = database_data(table, stack, stacks, (role, database), findings);
            values.insert(stack.name.clone(), data);
            continue;
        }
        let typed = table.values.0.iter().find(|(name, _)| name.value == stack.name);
        let data = match typed {
            Some((name, list)) => {
                if list.is_empty() {
                    let text = format!(
                        "stack `{}` would answer nothing: expected one value or more",
                        stack.name
                    );
                    findings.error(&name.span, text);
                }
                typed_data(table.r#type.value, list, findings)
            }
            None if !table.values.0.is_empty() => {
                let text = unanswered(table, stack, "`values` has nothing for it");
                findings.error(&table.at, text);
                continue;
            }
            None => {
                let typed = file.stack.iter().find(|it| it.name.value == stack.name);
                let endpoints = typed.map(|it| it.endpoint.as_slice()).unwrap_or_default();
                let weights: Vec<u32> = endpoints.iter().map(|it| it.weight.value.0).collect();
                derived_data(table, stack, &weights, findings)
            }
        };
        values.insert(stack.name.clone(), data);
    }
    values
}

fn unanswered(table: &RecordTable, stack: &Stack, why: &str) -> String {
    let (name, kind) = (&table.name.value.0, table.r#type.value);
    format!("stack `{}` cannot answer record `{name}` {kind}: {why}", stack.name)
}

/// The addresses that the stack's own endpoints are reached at, each as often as it weighs beside the others.
fn derived_data(
    table: &RecordTable,
    stack: &Stack,
    weights: &[u32],
    findings: &mut Findings<'_>,
) -> Vec<RecordData> {
    let kind = table.r#type.value;
    let fits = |address: &IpAddr| match kind {
        RecordKind::A => address.is_ipv4(),
        RecordKind::Aaaa => address.is_ipv6(),
        _ => false,
    };
    let mut weighed: Vec<(IpAddr, u32)> = Vec::new();
    for (endpoint, weight) in stack.endpoints.iter().zip(weights) {
        let Some(address) = endpoint.address.parse().ok().filter(fits) else { continue };
        match weighed.iter_mut().find(|(known, _)| *known == address) {
            Some((_, known)) => *known = (*known).max(*weight),
            None => weighed.push((address, *weight)),
        }
    }
    let drained = !weighed.is_empty() && weighed.iter().all(|(_, weight)| *weight == 0);
    let data = in_turns(&weighed);
    if data.is_empty() {
        let example = format!("`values = {{ {} = [\"…\"] }}`", stack.name);
        let why = match kind {
            _ if drained => "`weight = 0` drains all of its endpoints".to_owned(),
            RecordKind::A => {
                format!("no endpoint of it has an IPv4 address in its URL; give {example}")
            }
            RecordKind::Aaaa => {
                format!("no endpoint of it has an IPv6 address in its URL; give {example}")
            }
            _ => format!("give {example}"),
        };
        findings.error(&table.at, unanswered(table, stack, &why));
    }
    data
}

/// Every address as often as it weighs, the lighter ones spread among the others; none more often than it takes, and no more
/// than a record may hold.
fn in_turns(weighed: &[(IpAddr, u32)]) -> Vec<RecordData> {
    let heavy: Vec<_> = weighed.iter().filter(|(_, weight)| *weight > 0).collect();
    let all: u32 = heavy.iter().map(|(_, weight)| weight).sum();
    let common = heavy.iter().fold(0, |common, (_, weight)| greatest_common(common, *weight));
    let room = (VALUE_LIMIT as u32).max(heavy.len() as u32);
    // Coarser, where they would not fit; none of them vanishes.
    let share = |weight: u32| match all / common.max(1) {
        few if few <= room => weight / common.max(1),
        _ => (weight * (room - heavy.len() as u32) / all).max(1),
    };
    let shares: Vec<(IpAddr, u32)> =
        heavy.iter().map(|(it, weight)| (*it, share(*weight))).collect();
    let turns: u32 = shares.iter().map(|(_, share)| share).sum();
    let mut owed: Vec<i64> = vec![0; shares.len()];
    let mut data = Vec::new();
    for _ in 0..turns {
        for (owed, (_, share)) in owed.iter_mut().zip(&shares) {
            *owed += i64::from(*share);
        }
        // The first of those that are owed most.
        let Some(next) = (0..owed.len()).rev().max_by_key(|at| owed[*at]) else { break };
        owed[next] -= i64::from(turns);
        data.push(RecordData::Address(shares[next].0));
    }
    data
}

fn greatest_common(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common(other, one % other) }
}

/// What clients want of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Written,
    Read,
}

/// Where the database of this name is written, or its replicas are read, while a stack is the active one.
fn database_data(
    table: &RecordTable,
    active: &Stack,
    stacks: &[Stack],
    (role, database): (Role, &At<TargetName>),
    findings: &mut Findings<'_>,
) -> Vec<RecordData> {
    let of = |stack: &Stack| {
        let found = stack.databases.iter().find(|it| it.name == database.value);
        found.map(|found| found.address.clone())
    };
    let mut hosts: Vec<String> = match role {
        Role::Written => of(active).into_iter().collect(),
        Role::Read => stacks.iter().filter(|it| it.name != active.name).filter_map(of).collect(),
    };
    if hosts.is_empty() && role == Role::Read {
        hosts.extend(of(active));
    }
    let datum = |host: &String| match (table.r#type.value, host.parse()) {
        (RecordKind::A, Ok(address @ IpAddr::V4(_))) => Some(RecordData::Address(address)),
        (RecordKind::Aaaa, Ok(address @ IpAddr::V6(_))) => Some(RecordData::Address(address)),
        (RecordKind::Cname, Err(_)) => Some(RecordData::Name(host.to_ascii_lowercase())),
        _ => None,
    };
    let mut data: Vec<RecordData> = Vec::new();
    for datum in hosts.iter().filter_map(datum) {
        if !data.contains(&datum) {
            data.push(datum);
        }
    }
    let (name, kind) = (&database.value, table.r#type.value);
    match data.len() {
        0 => {
            let why = match hosts.as_slice() {
                [] => format!("it has no database `{name}`"),
                hosts => {
                    format!("database `{name}` is at {}, which is no {kind}", hosts.join(", "))
                }
            };
            findings.error(&database.span, unanswered(table, active, &why));
        }
        2.. if kind == RecordKind::Cname => {
            findings.error(&database.span, "a CNAME has one value, and there are more replicas");
        }
        _ => {}
    }
    data
}

fn typed_data(
    kind: RecordKind,
    list: &[At<String>],
    findings: &mut Findings<'_>,
) -> Vec<RecordData> {
    let mut data: Vec<RecordData> = Vec::new();
    if let Some(beyond) = list.get(VALUE_LIMIT) {
        findings.error(&beyond.span, format!("expected at most {VALUE_LIMIT} values"));
    }
    for (at, value) in list.iter().enumerate() {
        if kind == RecordKind::Cname && at > 0 {
            findings.error(&value.span, "a CNAME has one value");
        }
        match datum(kind, &value.value) {
            Ok(datum) if data.contains(&datum) => {
                findings.error(&value.span, format!("`{}` is named twice", excerpt(&value.value)));
            }
            Ok(datum) => data.push(datum),
            Err(expected) => {
                let found = excerpt(&value.value);
                findings.error(&value.span, format!("expected {expected}, found `{found}`"));
            }
        }
    }
    data
}
