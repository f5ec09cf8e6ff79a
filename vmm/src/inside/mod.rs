//! What `nostale` does inside another kernel, and how it speaks with the `nostale` outside.
//!
//! Inside, it is PID 1 of a machine that exists for one purpose. It prepares the machine, says that it is [`Ready`], and then
//! does what it is asked to ([`Request`]) until it is told to power off; everything that happens is an [`Event`]. Between two
//! requests it blocks in one read and touches nothing, so that the machine can be kept as a snapshot and its kernel changed
//! under it. What is asked for is done by a child (`child.rs`): whatever a broken kernel does to that one, PID 1 goes on.

mod child;
mod collected;
mod holder;
mod init;
mod kallsyms;
mod litmus;
mod modules;
mod port;
pub mod protocol;
mod reach;
mod run;
mod serve;
mod trace;

pub use collected::{Collected, Progress};
pub use init::{init, is_init};
pub use protocol::{
    BadLine, Decoded, Decoder, Disturbance, Event, LitmusText, Module, Pair, Plan, Ready, Request, RunRequest, Sender, Site,
    SiteReach, SymbolsCollector, SymbolsError, TracePhase, TraceRequest,
};
