//! The core of Quorate: pure, deterministic, simulated exactly as it is deployed.
//!
//! Nothing in this crate opens a socket, reads a clock, starts a thread or draws global randomness. Time and chance come
//! in as arguments; effects go out as data. Modules stand in reading order: nouns first, then what the stages exchange,
//! then the stages, and last the [`node`] in which they meet.

pub mod model;
pub mod moment;

pub mod codec;
pub mod config;
pub mod message;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod saved;
pub mod value;
pub mod view;

pub mod outbox;

pub mod ballot;
pub mod evidence;
pub mod failover;
pub mod gossip;
pub mod judge;
pub mod lease;
pub mod voters;

pub mod node;
