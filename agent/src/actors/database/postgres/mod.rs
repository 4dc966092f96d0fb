//! PostgreSQL: closed, opened again, promoted, a standby told whom to follow.
//!
//! # The rights it takes
//!
//! A superuser has them all; what else has them stands in README.md, "Rights", from where tests take it, and [`rights`] says
//! what of it is lacking. Where `primary_slot_name` is set, the slot is made at whom the standby is to follow; and what else
//! its `primary_conninfo` says must hold there: the log-in, and the way to its password.
//!
//! # What the server compares
//!
//! `quorate.epoch (app, token)` holds the token under which this server was last promoted or opened. Every action
//! refuses to go below it. A standby that was never reached by a newer token cannot know of it: a late promotion is
//! refused at the row only after it has happened (PROTOCOL.md 0.1 i), and a fence is never proven (C.4).

mod epoch;
mod fence;
mod follow;
mod history;
mod lineage;
mod promote;
mod rights;
mod session;
mod sync;
mod unfence;

use super::Order;

pub(super) use fence::fence;
pub(super) use follow::follow;
pub(super) use promote::promote;
pub(super) use rights::lacking;
pub(super) use sync::wait_for;
pub(super) use unfence::unfence;
