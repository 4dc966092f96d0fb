//! The simulator: the very `Node` of production in one thread, from one seed, in a world with ground truth.
//!
//! It turns a seed into a run: a mesh, a world, faults, and every checker after every step. Whatever happens is drawn
//! from that one seed and kept in ordered maps, so a run repeats to the byte. Modules stand in reading order: chance and
//! scene first, then what surrounds an agent, the agent, the simulation in which they meet, the checkers, and last the
//! ways to use it all, from a swarm of seeds to stories as text. Beside them stand the exhaustive models of the same types.

pub mod chance;
pub mod scene;

pub mod disk;
pub mod network;
pub mod world;

pub mod agent;
pub mod transcript;

pub mod cells;
pub mod check;
pub mod simulation;
pub mod weather;

pub mod aimed;
pub mod latency;
pub mod ordeals;
pub mod regime;
pub mod story;
pub mod swarm;

pub mod models;
