//! What follows from a decision, and in what order.
//!
//! [`plan`] is pure: decision → requests, with no choice left in them. [`chain`] says which value may follow which, and
//! what an acceptor must see before it lets it: the whole saga as one table. Neither knows who carries a step out.

pub mod chain;
pub mod plan;
