//! L1: a kernel under test, in QEMU, with `nostale` as its PID 1. (In KVM's words this host is L0, and the small VM whose
//! translations are tested, inside that kernel, is L2.)
//!
//! An [`L1`] boots or is restored, does what it is asked to, one request at a time, and whatever becomes of its kernel on the way is
//! a result ([`End`]), not an error.

mod console;
mod deadline;
mod emulation;
mod end;
mod error;
mod patching;
mod session;

pub use console::{ConsoleAlarm, alarms, last_words};
pub use emulation::may_be_emulation;
pub use end::{End, Ran};
pub use error::L1Error;
pub use session::{Boot, L1};
