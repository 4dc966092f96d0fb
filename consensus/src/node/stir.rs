//! Which apps have to be looked at again after something happened: most of what comes concerns one of them, or none.

use std::collections::BTreeSet;

use super::Node;
use crate::gossip::Heard;
use crate::message::Message;
use crate::model::{AppId, RegisterId};
use crate::moment::Moment;

/// What is stirred by something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stir {
    /// Nothing: small talk.
    Nothing,
    /// One app.
    One(AppId),
    /// These apps.
    Some(BTreeSet<AppId>),
    /// Every app, and who votes.
    All,
}

impl Stir {
    /// Whatever this message may be about. Beliefs stir only when they are news, which is not seen here.
    pub fn by(message: &Message) -> Self {
        match message {
            // What is relayed stirs what it is about, once it is opened.
            Message::Gossip(_)
            | Message::Pulse(_)
            | Message::Echo { .. }
            | Message::Beliefs(_)
            | Message::Lost { .. }
            | Message::View(_)
            | Message::Relayed(_) => Self::Nothing,
            Message::Ballot(message) => Self::in_register(&message.register),
            Message::Evidence(evidence) => Self::One(evidence.statement.app.clone()),
            Message::Lease(message) => Self::One(message.app.clone()),
            Message::Guard(message) => Self::One(message.target.app.clone()),
            Message::Chosen { register, .. } => Self::in_register(register),
        }
    }

    fn in_register(register: &RegisterId) -> Self {
        match register {
            RegisterId::App(app) => Self::One(app.clone()),
            RegisterId::Voters => Self::All,
        }
    }

    /// What beliefs stir, by what was new in them.
    pub fn by_beliefs(heard: Heard) -> Self {
        match heard {
            Heard::Before => Self::Nothing,
            Heard::Of(apps) if apps.is_empty() => Self::Nothing,
            Heard::Of(apps) => Self::Some(apps),
            Heard::News => Self::All,
        }
    }

    /// All, if so.
    pub fn all_if(so: bool) -> Self {
        if so { Self::All } else { Self::Nothing }
    }

    /// This app, if so.
    pub fn one_if(so: bool, app: &AppId) -> Self {
        if so { Self::One(app.clone()) } else { Self::Nothing }
    }
}

impl Node {
    /// The apps that are stirred, and those whose time has come.
    pub(super) fn stirred(&self, stir: &Stir, now: Moment) -> BTreeSet<AppId> {
        let stirs = |app: &AppId| match stir {
            Stir::Nothing => false,
            Stir::One(one) => one == app,
            Stir::Some(some) => some.contains(app),
            Stir::All => true,
        };
        let apps = self.apps.iter().filter(|(app, it)| it.due <= now || stirs(app));
        apps.map(|(app, _)| app.clone()).collect()
    }
}
