//! What a return from KVM_RUN means: a pure function, so that it is tested without KVM.

use super::{slots::Mmio, state::StateError};
use kvm_ioctls::VcpuExit;
use nix::errno::Errno;
use nostale_guest::abi::{HYPERCALL_PORT, Verb};
use nostale_notifier::Gpa;
use thiserror::Error;

/// What to do after a return from KVM_RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest says something.
    Hypercall(Verb),
    /// A signal arrived (EINTR), or KVM asks to be entered again (EAGAIN).
    Again,
    /// The host mapping of what the guest touched is gone, or does not allow the access (EFAULT, or KVM_EXIT_MEMORY_FAULT with
    /// the guest-physical address): an operation has it at the moment.
    Unmapped {
        /// Where, if KVM says.
        gpa: Option<u64>,
    },
    /// The guest touched memory that has no memslot, or wrote to a read-only one: an operation has it at the moment.
    Mmio {
        /// Where.
        gpa: Gpa,
        /// What it wanted.
        mmio: Mmio,
    },
    /// The vCPU's dirty ring has no room.
    RingFull,
    /// The vCPU cannot go on.
    Failed(VcpuFailure),
}

/// Why a vCPU cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VcpuFailure {
    /// KVM could not emulate or deliver something; the suberror and its data tell kernel developers what.
    #[error("KVM_EXIT_INTERNAL_ERROR, suberror {suberror} ({name}), data {data:x?}", name = suberror_name(*suberror))]
    Internal {
        /// `KVM_INTERNAL_ERROR_*`.
        suberror: u32,
        /// Data that came with it.
        data: Vec<u64>,
    },
    /// KVM_EXIT_SHUTDOWN: a triple fault. The guest has no IDT, so any exception in it ends here.
    #[error("KVM_EXIT_SHUTDOWN: triple fault at rip {rip:#x}")]
    TripleFault {
        /// Where, if the registers could be read.
        rip: u64,
    },
    /// KVM_EXIT_FAIL_ENTRY.
    #[error("KVM_EXIT_FAIL_ENTRY: hardware reason {reason:#x} on CPU {cpu}")]
    FailedEntry {
        /// `hardware_entry_failure_reason`.
        reason: u64,
        /// Physical CPU.
        cpu: u32,
    },
    /// An exit that this guest has no reason to make.
    #[error("unexpected exit: {0}")]
    Unexpected(String),
    /// KVM_RUN failed.
    #[error("KVM_RUN: {0}")]
    Ioctl(Errno),
    /// Its state could not be taken, or another one not be put.
    #[error(transparent)]
    State(StateError),
    /// An assertion in the guest.
    #[error("guest assertion failed at {place}: left {left:#x}, right {right:#x}")]
    Assertion {
        /// File and line.
        place: String,
        /// Left operand.
        left: u64,
        /// Right operand.
        right: u64,
    },
}

impl VcpuFailure {
    /// Whether the host may just have had too little of something, or a CPU that does not do it.
    #[must_use]
    pub const fn is_lack(&self) -> bool {
        matches!(self, Self::FailedEntry { .. } | Self::Ioctl(Errno::ENOMEM))
    }
}

fn suberror_name(suberror: u32) -> &'static str {
    match suberror {
        kvm_bindings::KVM_INTERNAL_ERROR_EMULATION => "emulation",
        kvm_bindings::KVM_INTERNAL_ERROR_SIMUL_EX => "simultaneous exceptions",
        kvm_bindings::KVM_INTERNAL_ERROR_DELIVERY_EV => "event delivery",
        kvm_bindings::KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON => "unexpected exit reason",
        _ => "unknown",
    }
}

/// Reads a return from KVM_RUN.
pub(super) fn classify(result: Result<VcpuExit<'_>, Errno>) -> Exit {
    match result {
        Ok(VcpuExit::IoOut(HYPERCALL_PORT, data)) => {
            let number = data.iter().rev().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
            match u32::try_from(number).ok().and_then(Verb::from_u32) {
                Some(verb) => Exit::Hypercall(verb),
                None => Exit::Failed(VcpuFailure::Unexpected(format!("hypercall {number:#x}"))),
            }
        }
        Ok(VcpuExit::MmioRead(gpa, data)) if data.len() == 8 => Exit::Mmio { gpa: Gpa::new(gpa), mmio: Mmio::Read },
        Ok(VcpuExit::MmioWrite(gpa, data)) if data.len() == 8 => {
            let value = data.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
            Exit::Mmio { gpa: Gpa::new(gpa), mmio: Mmio::Write(value) }
        }
        Ok(VcpuExit::Unsupported(kvm_bindings::KVM_EXIT_DIRTY_RING_FULL)) => Exit::RingFull,
        Ok(VcpuExit::MemoryFault { gpa, .. }) => Exit::Unmapped { gpa: Some(gpa) },
        Ok(VcpuExit::Intr) | Err(Errno::EINTR | Errno::EAGAIN) => Exit::Again,
        Err(Errno::EFAULT) => Exit::Unmapped { gpa: None },
        // The vCPU's thread completes both from `kvm_run` and the registers.
        Ok(VcpuExit::InternalError) => Exit::Failed(VcpuFailure::Internal { suberror: 0, data: Vec::new() }),
        Ok(VcpuExit::Shutdown) => Exit::Failed(VcpuFailure::TripleFault { rip: 0 }),
        Ok(VcpuExit::FailEntry(reason, cpu)) => Exit::Failed(VcpuFailure::FailedEntry { reason, cpu }),
        Ok(other) => Exit::Failed(VcpuFailure::Unexpected(format!("{other:?}"))),
        Err(errno) => Exit::Failed(VcpuFailure::Ioctl(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypercalls_are_told_from_noise_on_other_ports() {
        assert_eq!(classify(Ok(VcpuExit::IoOut(HYPERCALL_PORT, &[3, 0, 0, 0]))), Exit::Hypercall(Verb::Stopped));
        assert!(matches!(
            classify(Ok(VcpuExit::IoOut(HYPERCALL_PORT, &[99, 0, 0, 0]))),
            Exit::Failed(VcpuFailure::Unexpected(_))
        ));
        assert!(matches!(classify(Ok(VcpuExit::IoOut(0x80, &[3]))), Exit::Failed(VcpuFailure::Unexpected(_))));
    }

    #[test]
    fn a_missing_host_mapping_is_retried_with_or_without_an_address() {
        assert_eq!(classify(Err(Errno::EFAULT)), Exit::Unmapped { gpa: None });
        let exit = VcpuExit::MemoryFault { flags: 0, gpa: 0x1000, size: 4096 };
        assert_eq!(classify(Ok(exit)), Exit::Unmapped { gpa: Some(0x1000) });
        assert_eq!(classify(Err(Errno::EINTR)), Exit::Again);
        assert_eq!(classify(Err(Errno::EAGAIN)), Exit::Again);
    }

    #[test]
    fn what_the_guest_wants_of_missing_memory_is_whole_words() {
        let write = classify(Ok(VcpuExit::MmioWrite(0x1000, &[1, 2, 0, 0, 0, 0, 0, 0])));
        assert_eq!(write, Exit::Mmio { gpa: Gpa::new(0x1000), mmio: Mmio::Write(0x201) });
        let read = classify(Ok(VcpuExit::MmioRead(0x2000, &mut [0; 8])));
        assert_eq!(read, Exit::Mmio { gpa: Gpa::new(0x2000), mmio: Mmio::Read });
        assert!(matches!(classify(Ok(VcpuExit::MmioWrite(0x1000, &[1]))), Exit::Failed(VcpuFailure::Unexpected(_))));
        assert_eq!(classify(Ok(VcpuExit::Unsupported(kvm_bindings::KVM_EXIT_DIRTY_RING_FULL))), Exit::RingFull);
    }

    #[test]
    fn what_ends_a_vcpu_is_never_a_quiet_end() {
        assert!(matches!(classify(Ok(VcpuExit::Shutdown)), Exit::Failed(VcpuFailure::TripleFault { .. })));
        assert!(matches!(classify(Ok(VcpuExit::Hlt)), Exit::Failed(VcpuFailure::Unexpected(_))));
        assert!(matches!(classify(Ok(VcpuExit::InternalError)), Exit::Failed(VcpuFailure::Internal { .. })));
        assert_eq!(classify(Err(Errno::EIO)), Exit::Failed(VcpuFailure::Ioctl(Errno::EIO)));
        let text = VcpuFailure::Internal { suberror: 1, data: vec![0xbad] }.to_string();
        assert_eq!(text, "KVM_EXIT_INTERNAL_ERROR, suberror 1 (emulation), data [bad]");
    }
}
