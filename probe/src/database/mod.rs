//! Databases: one module for each thing they speak. Each turns one look into a `DatabaseSight`.

pub mod mysql;
pub(crate) mod postgres;
pub mod redis;
