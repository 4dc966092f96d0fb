//! PostgreSQL: closed, opened again, promoted, a standby told whom to follow.
//!
//! # The rights it takes
//!
//! A superuser has them all. Otherwise, on every server of the app (`ALTER SYSTEM` can be granted since 15):
//!
//! ```sql
//! CREATE ROLE quorate LOGIN PASSWORD '…' IN ROLE pg_monitor, pg_signal_backend;
//! GRANT ALTER SYSTEM ON PARAMETER default_transaction_read_only TO quorate;
//! GRANT ALTER SYSTEM ON PARAMETER primary_conninfo TO quorate; -- this and the next where there are more than two stacks
//! GRANT EXECUTE ON FUNCTION pg_read_file(text) TO quorate;
//! GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO quorate; -- where it may read the log
//! GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO quorate; -- this and the next where the app file says `sync`
//! GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO quorate;
//! GRANT EXECUTE ON FUNCTION pg_reload_conf() TO quorate;
//! GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO quorate;
//! GRANT CREATE ON DATABASE postgres TO quorate;
//! ```
//!
//! By `pg_read_binary_file` alone two servers are told apart that were promoted from one timeline at one place. It reads any file
//! of the server: leave it out where that is too much, and see to it that nobody promotes a second standby by hand.
//!
//! Sessions of superusers are then left open by a fence, and it says so. The log-in is to the database `postgres`,
//! directly, without a pooler. A standby with a `primary_slot_name` needs `REPLICATION`, too, by which its slot is made at
//! whom it is to follow; and what else its `primary_conninfo` says must hold there: the log-in, and the way to its password.
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
mod session;
mod sync;
mod unfence;

use super::Order;

pub(super) use fence::fence;
pub(super) use follow::follow;
pub(super) use promote::promote;
pub(super) use sync::wait_for;
pub(super) use unfence::unfence;
