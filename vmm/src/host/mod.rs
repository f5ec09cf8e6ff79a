//! The host: what it is, what it can do, and what is changed on it (and put back).

pub mod clock;
pub mod facts;
pub mod kmsg;
pub mod knobs;
pub(crate) mod stat;
pub(crate) mod task;
pub(crate) mod vmstat;
