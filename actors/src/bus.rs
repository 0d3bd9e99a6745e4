//! The way between nodes: what waits to be published, what waits for another node's custody, and
//! the actor that serves both (DELIVERY, "Many nodes").
//!
//! Nothing here is relied upon: a word that is lost is missed by a timer, and what a full queue
//! drops counts as lost. [`Alone`] is the bus of a node without others; [`MemoryBus`] joins
//! several engines of one process.

mod actor;
mod memory;
mod post;
mod waits;

pub(crate) use actor::BusActor;
pub use memory::{Alone, MemoryBus};
pub(crate) use post::Post;
pub(crate) use waits::{Wait, Waits};
