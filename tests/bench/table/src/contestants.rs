//! The implementations that are compared behind one trait, [`Coalescer`](crate::coalescer::Coalescer): ours,
//! what people use instead, and the floors.
//!
//! Each peer is written as an expert would write it. Only sharing is wanted of it, so a peer that caches is
//! configured to keep nothing, and where the peer allows it, an entry is removed by the caller that ran the
//! work, before the other callers get the outcome. Nothing else is worked around: what happens to the others
//! when a leader is dropped, or is held unpolled, is the peer's own behaviour.
//!
//! A floor shares nothing and looks nothing up. No call can cost less than it: see [`floors`].

pub mod floors;
mod moka;
mod once_cell;
mod ours;
mod quick_cache;
mod shared;

pub use self::moka::Moka;
pub use self::once_cell::OnceCells;
pub use self::ours::Ours;
pub use self::quick_cache::QuickCache;
pub use self::shared::{Shared, SharedTask};
