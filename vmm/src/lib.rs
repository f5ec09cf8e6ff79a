//! The machine: a small KVM virtual machine whose memory is host VMAs, the operations a host performs on them, the oracles that
//! watch, and the command line `nostale`.

pub mod cli;
mod errno;
pub mod host;
pub mod inside;
pub mod kernels;
pub mod l1;
pub mod litmus;
pub mod live;
pub mod machine;
pub mod matrix;
pub mod memory;
pub mod migration;
pub mod mutate;
pub mod ops;
pub mod oracle;
pub mod qemu;
pub mod report;
pub mod trace;
