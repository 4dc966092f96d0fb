//! Databases: one module for each thing they speak. Each turns one look into a `DatabaseSight`.

pub(crate) mod postgres;
pub mod redis;
