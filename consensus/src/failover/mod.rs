//! What follows from a decision, and in what order.
//!
//! [`plan`] is pure: decision → requests, with no choice left in them. [`chain`] says which value may follow which, and
//! what an acceptor must see before it lets it: the whole saga as one table. [`damping`] says how long the mesh must leave
//! an app alone after what it did. None of them knows who carries a step out, or reads a clock.

pub mod chain;
pub mod damping;
pub mod plan;
