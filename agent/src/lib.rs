//! The only asynchronous code and the only effects: everything around the core.
//!
//! [`run`] owns the one [`consensus::node::Node`] and performs what it asks for, in order; every other module turns one
//! kind of output into an effect, or one kind of effect into an input. None of them decides anything.

pub mod cli;
pub mod config;

pub mod clock;
pub mod identity;
pub mod store;

pub mod run;

pub mod readiness;
mod records;
pub mod sources;
pub mod standing;
pub mod tails;
mod web;
pub mod zone_key;

pub mod actors;
pub mod authority;
pub mod guard;
pub mod mesh;
pub mod probes;
pub mod rejoin;
pub mod status;
pub mod weak;

pub mod demo;
