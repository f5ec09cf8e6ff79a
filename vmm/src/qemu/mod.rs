//! Machines in QEMU: other kernels, to run the same tests in and to patch from outside.
//!
//! A [`Machine`] boots a kernel or comes from a [`Saved`] one; the guest talks over its [`Channel`], is read and patched through
//! a [`Debugger`], and is gone when the value is dropped, or when this process is.
//!
//! Under emulation a guest should hold one VM open (`KVM_CREATE_VM`, then wait) from before the first run to the end. The first
//! VM and the last switch the static key of the preempt notifiers, which patches `__schedule`; now and then QEMU goes on
//! executing the breakpoint that the patching had there for a moment, and the guest hangs for ever, unmutated and without a word.

mod channel;
mod error;
mod gdb;
mod installed;
mod machine;
mod process;
mod qmp;
mod save;
mod socket;
mod spec;
mod workdir;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use channel::Channel;
pub use error::QemuError;
pub use gdb::{Debugger, GdbError};
pub use installed::{Accel, Installed};
pub use machine::{Cause, Ending, Machine, State};
pub use qmp::QmpError;
pub use save::Saved;
pub use socket::{LONGEST_LINE, Received, SocketError};
pub use spec::MachineSpec;
