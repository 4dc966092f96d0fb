//! A DNS server outside, that takes updates with prerequisites (RFC 2136) and compares the marker record; or, asked through
//! an interface that compares nothing, takes whatever comes last.
//!
//! An update with prerequisites is atomic, and names the marker it replaces; so a driver's read, compare and write are one
//! step here. Of one without, that it had read an older marker before is assumed of every late one.

use std::collections::BTreeMap;

use consensus::model::{
    ActionFaultKind, AgentId, Driver, Effect, Held, Published, RecordData, RecordKind, RecordSet,
    StackId, Token,
};

use super::{Arrival, World, done, fault};

/// One name of a server.
#[derive(Clone, Debug, Default)]
pub struct Name {
    /// The token and the stack of the marker record.
    pub marker: Option<(Token, StackId)>,
    /// The records.
    pub sets: BTreeMap<RecordKind, Vec<RecordData>>,
    /// For how many seconds the longest of them may be kept.
    pub ttl: u32,
    /// How often they changed.
    pub changes: u64,
    /// Were they written over since the mesh last wrote what is decided, by hand or by somebody late whom nobody refuses?
    pub edited: bool,
    /// How often somebody late wrote over what is newer.
    pub overtaken: u64,
}

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// It answers nobody.
    Dark,
    /// It refuses, for a reason that has nothing to do with tokens: a key, a view, a lock.
    Refusing,
    /// It answers with an error of its own (SERVFAIL, 5xx), having done what was asked or not.
    Failing {
        /// Has it?
        done: bool,
    },
}

/// One server.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// What is wrong with it.
    pub trouble: Trouble,
    /// Its names.
    pub names: BTreeMap<String, Name>,
}

impl World {
    /// An update of an agent arrives.
    pub(super) fn publish(
        &mut self,
        agent: &AgentId,
        name: &str,
        driver: &Driver,
        sets: &[RecordSet],
        (token, stack): (Token, &StackId),
    ) -> Arrival {
        let trouble = server(driver).and_then(|it| self.servers.get(it)).map(|it| it.trouble);
        if self.barred.contains(agent) {
            return fault(ActionFaultKind::Refused, "NOTAUTH (BADSIG)");
        }
        let failed = || fault(ActionFaultKind::Unknown, "SERVFAIL");
        match trouble.unwrap_or_default() {
            Trouble::None => self.update(name, driver, sets, (token, stack)),
            Trouble::Dark => Arrival::Nowhere,
            Trouble::Refusing => fault(ActionFaultKind::Refused, "REFUSED"),
            Trouble::Failing { done: false } => failed(),
            Trouble::Failing { done: true } => {
                match self.update(name, driver, sets, (token, stack)) {
                    Arrival::Answered(Ok(_)) => failed(),
                    other => other,
                }
            }
        }
    }

    /// What an agent sees that asks the server, and each of its two name servers.
    pub fn inspect(
        &self,
        agent: &AgentId,
        effect: &Effect,
        ours: Token,
        holder: bool,
    ) -> Option<Published> {
        let Effect::Publish { name, driver, sets, .. } = effect else { return None };
        let found = self.servers.get(server(driver)?);
        let silent = found.is_some_and(|it| it.trouble != Trouble::None);
        let held = found.and_then(|it| it.names.get(name)).cloned().unwrap_or_default();
        let wanted: BTreeMap<_, _> = sets.iter().map(|set| (set.kind, set.data.clone())).collect();
        let same = held.sets == wanted;
        let ttl = longest(sets);
        let words = |sets: &BTreeMap<RecordKind, Vec<RecordData>>| {
            sets.values().flatten().map(RecordData::to_string).collect::<Vec<_>>().join(" ")
        };
        let otherwise = || format!("holds {}, decided was {}", words(&held.sets), words(&wanted));
        let marker = held.marker.as_ref().map(|(token, _)| *token);
        let newer = marker.is_some_and(|token| token > ours);
        let barred = self.barred.contains(agent);
        Some(Published {
            name: name.clone(),
            held: match (holder, silent || newer || barred, same) {
                (false, ..) => Held::Unasked,
                (true, true, _) => Held::Unknown("is not ours to write over".into()),
                (true, false, _) if marker.is_none_or(|token| token < ours) => {
                    Held::Owed(otherwise())
                }
                (true, false, true) if held.ttl != ttl => {
                    Held::Otherwise("holds it under another lifetime".into())
                }
                (true, false, true) => Held::AsDecided,
                (true, false, false) => Held::Otherwise(otherwise()),
            },
            right: if same && !silent { 2 } else { 0 },
            longest: (same && !silent).then_some(held.ttl),
            wrong: match (silent, same) {
                (true, _) => vec!["none answers".into()],
                (false, false) => vec![words(&held.sets)],
                (false, true) => Vec::new(),
            },
        })
    }

    /// Somebody writes over a name's records by hand, and leaves the marker.
    pub fn edit(&mut self, name: &str, kind: RecordKind, data: &RecordData) {
        let names = self.servers.values_mut().filter_map(|server| server.names.get_mut(name));
        for held in names {
            held.sets.insert(kind, vec![data.clone()]);
            held.changes += 1;
            held.edited = true;
        }
    }

    fn update(
        &mut self,
        name: &str,
        driver: &Driver,
        sets: &[RecordSet],
        (token, stack): (Token, &StackId),
    ) -> Arrival {
        let Some(address) = server(driver) else {
            self.breaches.push(format!("{name}: no server of this world was asked for an update"));
            return fault(ActionFaultKind::Refused, "no server");
        };
        let server = self.servers.entry(address.to_owned()).or_default();
        if sets.is_empty() || sets.iter().any(|set| set.data.is_empty()) {
            self.breaches.push(format!("{name}: an update with {token} would leave it empty"));
            return fault(ActionFaultKind::Refused, "empty");
        }
        let held = server.names.entry(name.to_owned()).or_default();
        let before = held.marker.as_ref().map(|(token, _)| *token);
        let ignored = self.token_ignored || self.blind_publish || !driver.compares();
        let new: BTreeMap<_, _> = sets.iter().map(|set| (set.kind, set.data.clone())).collect();
        match before {
            Some(before) if before > token && !ignored => {
                return fault(ActionFaultKind::Superseded, format!("marker holds {before}"));
            }
            Some(before)
                if before == token && held.sets == new && held.ttl == longest(sets) && !ignored =>
            {
                return done(None, "was so already");
            }
            _ => {}
        }
        let late = before.is_some_and(|before| before > token);
        if late && driver.compares() {
            self.breaches.push(format!("{name}: an update with {token} replaced {before:?}"));
        }
        held.overtaken += u64::from(late);
        held.marker = Some((token, stack.clone()));
        held.changes += u64::from(held.sets != new);
        (held.sets, held.ttl) = (new, longest(sets));
        held.edited = late;
        done(None, format!("names {stack}"))
    }
}

fn longest(sets: &[RecordSet]) -> u32 {
    sets.iter().map(|set| set.ttl).max().unwrap_or(0)
}

/// Who is asked for an update, if it is anybody of this world.
pub fn server(driver: &Driver) -> Option<&str> {
    match driver {
        Driver::Rfc2136 { server, .. } | Driver::Provider { url: Some(server), .. } => Some(server),
        Driver::BuiltIn | Driver::Provider { url: None, .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{DNS_SERVER, name};
    use consensus::model::Epoch;

    fn driver() -> Driver {
        Driver::Rfc2136 {
            server: DNS_SERVER.into(),
            zone: "example.com".into(),
            credential: name("dns-key"),
        }
    }

    fn set(text: &str) -> Vec<RecordSet> {
        vec![RecordSet {
            kind: RecordKind::Txt,
            ttl: 30,
            data: vec![RecordData::Text(text.into())],
        }]
    }

    #[test]
    fn an_older_token_is_refused_and_an_equal_one_changes_nothing() {
        let mut world = World::default();
        let publish = |world: &mut World, epoch, stack: &str| {
            let token = Token::new(Epoch(epoch), 0, 4);
            world.publish(
                &name("a1"),
                "shop.example.com",
                &driver(),
                &set(stack),
                (token, &name(stack)),
            )
        };
        assert!(matches!(publish(&mut world, 2, "west"), Arrival::Answered(Ok(_))));
        assert!(matches!(publish(&mut world, 2, "west"), Arrival::Answered(Ok(_))));
        let Arrival::Answered(Err(late)) = publish(&mut world, 1, "east") else {
            panic!("refused")
        };
        assert_eq!(late.kind, ActionFaultKind::Superseded);
        assert_eq!(world.servers[DNS_SERVER].names["shop.example.com"].changes, 1);
        assert!(world.breaches.is_empty());
    }

    #[test]
    fn an_empty_answer_is_a_breach() {
        let mut world = World::default();
        let token = Token::new(Epoch(1), 0, 4);
        world.publish(&name("a1"), "shop.example.com", &driver(), &[], (token, &name("east")));
        assert_eq!(world.breaches.len(), 1);
    }
}
