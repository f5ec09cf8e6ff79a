//! What a kernel really did: its own events, recorded without any change to the VM, put back together into invalidations, and held
//! against the rules of invalidate ordering.
//!
//! ```text
//! tracefs ──record──▶ recording (a file) ──read──▶ items in order of time ──┬─▶ mirror (which SPTEs live)  ──▶ rules
//!                                                                           └─▶ timelines ──▶ signatures, latencies ──▶ profile
//! ```
//!
//! Recording needs root; everything behind the file needs nothing.

mod decode;
pub mod event;
pub mod file;
pub mod format;
pub mod head;
mod merge;
pub mod page;
pub mod profile;
mod reading;
pub mod record;
pub mod synthetic;

pub use reading::Reading;
