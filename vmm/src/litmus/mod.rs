//! Litmus tests on real KVM: the guest's threads on vCPUs, the host's on threads of this process, and the operation by system calls.
//!
//! A test is compiled for a real machine ([`Program::read_real`](nostale_notifier::compile::Program::read_real)): an access is one
//! instruction, at an address of the guest or of the host, and a new value of `pte` is a system call. Each thread becomes machine code
//! (`code`) that goes through many instances, which share pages: one system call remaps the pages of all of them (`stage`). A round
//! (`rounds`) lets all threads loose at once, each beginning somewhere else, and then looks at every instance: at what the guest stored for
//! the host to see, and through a second mapping at the pages themselves.

mod code;
mod crew;
mod meeting;
mod program;
mod rounds;
mod run;
mod stage;

pub use program::Unsuited;
pub use run::{Kvm, Options, Run, RunError};
