//! A VM that nobody uses, held for the life of the machine.
//!
//! KVM switches branches in the kernel's text when the first VM or vCPU comes and when the last one goes: in `__schedule` (preempt
//! notifiers), in its own entry path (vCPUs without an APIC), and it turns virtualisation on and off on every CPU. A run makes and
//! drops VMs all the time. Patching `__schedule` while other CPUs execute it is what multi-threaded emulation gets wrong
//! (`Oops: int3` in `__schedule`), and it is slow there. With one VM held, it happens once.
//!
//! The VM belongs to a process of its own, because KVM watches the memory of the process that made it: that of PID 1 is not to
//! appear in what probes count.

use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use nix::{
    fcntl::OFlag,
    unistd::{ForkResult, fork, pause, pipe2},
};
use std::{
    fs::File,
    io::{self, Read, Write},
};

/// Starts the process that holds the VM; returns once it does.
///
/// # Errors
/// Why there is none.
pub(super) fn hold() -> Result<(), String> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|error| error.to_string())?;
    // SAFETY: this process has one thread, so the child may do everything that it could.
    match unsafe { fork() }.map_err(|error| error.to_string())? {
        ForkResult::Parent { .. } => {
            drop(write);
            let mut why = String::new();
            File::from(read).read_to_string(&mut why).map_err(|error| error.to_string())?;
            if why.is_empty() { Ok(()) } else { Err(why) }
        }
        ForkResult::Child => {
            drop(read);
            let held = make();
            // Closing the pipe without a word says that it is done.
            let mut pipe = File::from(write);
            let said = held.as_ref().map_or_else(|error| pipe.write_all(error.to_string().as_bytes()), |_| Ok(()));
            drop(pipe);
            while held.is_ok() && said.is_ok() {
                pause();
            }
            // SAFETY: ends this process at once; nothing of PID 1 that was inherited may be torn down here.
            unsafe { libc::_exit(0) }
        }
    }
}

fn make() -> io::Result<(VmFd, VcpuFd)> {
    let error = |error: kvm_ioctls::Error| io::Error::from_raw_os_error(error.errno());
    let vm = Kvm::new().map_err(error)?.create_vm().map_err(error)?;
    let vcpu = vm.create_vcpu(0).map_err(error)?;
    Ok((vm, vcpu))
}
