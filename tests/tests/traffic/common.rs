//! What the emulators of providers, which live beside the actors' tests, are written against.

#[path = "../../../agent/tests/common/web.rs"]
pub mod web;

pub mod named {
    /// The zone that they hold.
    pub const ZONE: &str = "dyn.example";
}
