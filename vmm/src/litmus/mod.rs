//! Litmus tests on real KVM: the guest's threads on vCPUs, the host's on threads of this process, and the operation by system calls.
//!
//! A test is compiled for a real machine ([`Program::read_real`](nostale_notifier::compile::Program::read_real)): an access is one
//! instruction, at an address of the guest or of the host, and a new value of `pte` or `migrated` is a system call (`program`). Each thread
//! becomes machine code (`code`) that goes through many instances, which share pages: one system call is about the pages of all of them
//! (`stage`). A round (`rounds`, `plan`) lets all threads loose at once, each beginning somewhere else, and then looks at every instance:
//! at what the guest stored for the host to see, and through a second mapping at the pages themselves. Rounds have shapes (`shape`), whose
//! yield is counted (`seen`): the second half of a run comes back to what brought up rare states.

mod code;
mod cpus;
mod crew;
mod meeting;
mod pace;
mod plan;
mod program;
mod rounds;
mod run;
mod seen;
mod session;
mod shape;
mod stage;
#[cfg(test)]
mod tests;

pub use program::Unsuited;
pub use run::{Kvm, Options, Run, RunError, Seen};
pub use session::{Failure, Known, Session, suited};
pub use shape::{ByValue, Parameter, telling};
