//! Databases: one module for each thing they speak. Each turns one look into a `DatabaseSight`.

mod secure;

pub mod mongodb;
pub mod mysql;
pub mod postgres;
pub mod redis;

pub use secure::{Stream, Tls, protect};
