//! Real processes and real servers in network namespaces, one small world for each test.
//!
//! [`lab::inside`] runs a test in namespaces of its own (network, mounts, processes, shared memory). The first process in
//! there is the test itself: when it ends, however it ends, the kernel ends everything it started and forgets its mounts
//! and namespaces, so nothing is ever left behind. The test's own network namespace is the router between all regions:
//! it sees every host whatever is cut between them, and cuts are made where packets are forwarded.
//!
//! Nothing here knows how Quorate works: it starts programs, breaks things and looks from outside.

pub mod lab;

pub mod authority;
pub mod fabric;
pub mod process;
pub mod room;
pub mod wait;

pub mod bind;
pub mod mariadb;
pub mod mongodb;
pub mod mysql;
pub mod nginx;
pub mod postgres;
pub mod redis;
pub mod sql;

pub mod crowd;
pub mod resolver;
pub mod unbound;
pub mod writer;

pub mod agents;
pub mod app;
pub mod guards;
pub mod letters;
pub mod metrics;
pub mod recorded;
pub mod world;

pub mod guarded;
pub mod switchover;
