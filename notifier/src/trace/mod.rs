//! What a kernel really did: its own events, recorded without any change to the VM, put back together into invalidations, and held
//! against the rules of invalidate ordering.
//!
//! ```text
//! tracefs ──record──▶ recording (a file) ──read──▶ items in order of time ──┬─▶ mirror (which SPTEs live)  ──▶ rules
//!                                                                           └─▶ timelines ──▶ signatures, latencies ──▶ profile
//! ```
//!
//! Recording needs root; everything behind the file needs nothing.

pub mod compare;
pub mod event;
pub mod head;
pub mod profile;
