//! What a kernel really did: its own events, recorded without any change to the VM, put back together into invalidations, and held
//! against the rules of invalidate ordering.
//!
//! ```text
//! tracefs ──record──▶ recording (a file) ──read──▶ items in order of time ──┬─▶ mirror (which SPTEs live)  ──▶ rules
//!                                                                           └─▶ timelines ──▶ signatures, latencies ──▶ profile
//! ```
//!
//! Recording needs root; everything behind the file needs nothing.

pub mod analysis;
pub mod compare;
mod decode;
pub mod describe;
pub mod errno;
pub mod event;
pub mod export;
pub mod file;
pub mod format;
pub mod head;
pub mod kind;
pub mod layout;
mod merge;
pub mod order;
pub mod page;
pub mod profile;
mod reading;
pub mod record;
pub mod rules;
pub mod synthetic;
mod telling;
pub mod world;

pub use reading::Reading;
