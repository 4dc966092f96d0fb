//! Records as meant: for every stack something to answer, in a form that DNS allows.

use std::collections::BTreeMap;
use std::net::IpAddr;

use consensus::model::{RECORD_LIMIT, Record, RecordData, RecordKind, Stack, StackId};

use super::datum::datum;
use super::drivers::mean_driver;
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
        let values = mean_values(table, stacks, findings);
        if let Some(driver) = driver {
            records.push(Record {
                name: table.name.value.0.clone(),
                kind: table.r#type.value,
                ttl: table.ttl.value.0,
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
    let mut values = BTreeMap::new();
    for stack in stacks {
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
            None => derived_data(table, stack, findings),
        };
        values.insert(stack.name.clone(), data);
    }
    values
}

fn unanswered(table: &RecordTable, stack: &Stack, why: &str) -> String {
    let (name, kind) = (&table.name.value.0, table.r#type.value);
    format!("stack `{}` cannot answer record `{name}` {kind}: {why}", stack.name)
}

/// The addresses that the stack's own endpoints are reached at.
fn derived_data(
    table: &RecordTable,
    stack: &Stack,
    findings: &mut Findings<'_>,
) -> Vec<RecordData> {
    let kind = table.r#type.value;
    let fits = |address: &IpAddr| match kind {
        RecordKind::A => address.is_ipv4(),
        RecordKind::Aaaa => address.is_ipv6(),
        _ => false,
    };
    let mut data: Vec<RecordData> = Vec::new();
    for address in stack.endpoints.iter().filter_map(|endpoint| endpoint.address.parse().ok()) {
        let address = RecordData::Address(address);
        if matches!(&address, RecordData::Address(ip) if fits(ip)) && !data.contains(&address) {
            data.push(address);
        }
    }
    if data.is_empty() {
        let example = format!("`values = {{ {} = [\"…\"] }}`", stack.name);
        let why = match kind {
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
