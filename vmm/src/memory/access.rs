//! The host's own accesses through the *primary* MMU, at addresses that may be unmapped or read-only at that moment.
//!
//! A host operation takes pages away while other host threads use them: that is the point. Such a thread must see the fault as
//! a value, like the kernel's `get_user`. So every access is one instruction in a known piece of text, and the handler of
//! SIGSEGV and SIGBUS resumes a fault in there at a fix-up (the kernel calls this an exception table).

use nostale_notifier::Hva;
use std::{
    arch::global_asm,
    sync::{Once, OnceLock},
};
use thiserror::Error;

/// The host mapping was absent, or did not allow the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no access at {0} for the moment")]
pub struct Fault(pub Hva);

#[repr(C)]
struct Outcome {
    value: u64,
    faulted: u64,
}

// Nothing here touches the stack, so the fix-up can return in place of whichever instruction faulted.
global_asm!(
    ".pushsection .text.nostale_access, \"ax\"",
    "nostale_access_load:",
    "    mov rax, qword ptr [rdi]",
    "    xor edx, edx",
    "    ret",
    "nostale_access_store:",
    "    mov qword ptr [rdi], rsi",
    "    xor edx, edx",
    "    ret",
    "nostale_access_increment:",
    "    lock inc qword ptr [rdi]",
    "    xor edx, edx",
    "    ret",
    "nostale_access_copy:",
    "    mov rcx, rdx",
    "nostale_access_copy_at:",
    "    rep movsb",
    "    xor edx, edx",
    "    ret",
    "nostale_access_fixup:",
    "    xor eax, eax",
    "    mov edx, 1",
    "    ret",
    ".popsection",
);

unsafe extern "C" {
    fn nostale_access_load(at: u64) -> Outcome;
    fn nostale_access_store(at: u64, value: u64) -> Outcome;
    fn nostale_access_increment(at: u64) -> Outcome;
    fn nostale_access_copy(to: u64, from: u64, bytes: u64) -> Outcome;
    fn nostale_access_copy_at();
    fn nostale_access_fixup();
}

/// The primary MMU, as a host thread sees it.
#[derive(Clone, Copy, Debug)]
pub struct Primary(());

impl Primary {
    /// Installs the fault handler (once a process) and gives access.
    #[must_use]
    pub fn new() -> Self {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            for (signal, previous) in PREVIOUS.iter().map(|(signal, cell)| (*signal, cell)) {
                // SAFETY: sigaction with a handler of the SA_SIGINFO kind; both structures live through the call.
                unsafe {
                    let mut action: libc::sigaction = std::mem::zeroed();
                    action.sa_sigaction = on_fault as *const () as usize;
                    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                    let mut old: libc::sigaction = std::mem::zeroed();
                    libc::sigaction(signal, &action, &mut old);
                    let _ = previous.set(old);
                }
            }
        });
        Self(())
    }

    /// Loads the word at `at`.
    ///
    /// # Errors
    /// [`Fault`] when the primary page tables do not let it.
    pub fn load(self, at: Hva) -> Result<u64, Fault> {
        debug_assert!(at.is_aligned(8));
        // SAFETY: one load; a fault comes back as a value.
        let outcome = unsafe { nostale_access_load(at.get()) };
        if outcome.faulted == 0 { Ok(outcome.value) } else { Err(Fault(at)) }
    }

    /// Stores `value` to the word at `at`.
    ///
    /// # Errors
    /// [`Fault`] when the primary page tables do not let it.
    ///
    /// # Safety
    /// Whatever is mapped at `at`, if anything, is memory that may be overwritten: arena pages, which are only accessed
    /// atomically.
    pub unsafe fn store(self, at: Hva, value: u64) -> Result<(), Fault> {
        debug_assert!(at.is_aligned(8));
        // SAFETY: the caller's promise; a fault comes back as a value.
        let outcome = unsafe { nostale_access_store(at.get(), value) };
        if outcome.faulted == 0 { Ok(()) } else { Err(Fault(at)) }
    }

    /// Increments the word at `at` atomically.
    ///
    /// # Errors
    /// [`Fault`] when the primary page tables do not let it; then nothing was added.
    ///
    /// # Safety
    /// As for [`Primary::store`].
    pub unsafe fn increment(self, at: Hva) -> Result<(), Fault> {
        debug_assert!(at.is_aligned(8));
        // SAFETY: the caller's promise; a fault comes back as a value.
        let outcome = unsafe { nostale_access_increment(at.get()) };
        if outcome.faulted == 0 { Ok(()) } else { Err(Fault(at)) }
    }
}

impl Primary {
    /// Copies what is at `at`, in no particular order: others may write meanwhile.
    ///
    /// # Errors
    /// [`Fault`] when the primary page tables do not let it; then a part may have been copied.
    pub fn copy_from(self, at: Hva, to: &mut [u8]) -> Result<(), Fault> {
        // SAFETY: writes `to`, as many bytes as it has; a fault comes back as a value.
        let outcome = unsafe { nostale_access_copy(to.as_mut_ptr() as u64, at.get(), to.len() as u64) };
        if outcome.faulted == 0 { Ok(()) } else { Err(Fault(at)) }
    }

    /// Copies `from` to `at`, in no particular order.
    ///
    /// # Errors
    /// [`Fault`] when the primary page tables do not let it; then a part may have been copied.
    ///
    /// # Safety
    /// As for [`Primary::store`].
    pub unsafe fn copy_to(self, at: Hva, from: &[u8]) -> Result<(), Fault> {
        // SAFETY: the caller's promise; a fault comes back as a value.
        let outcome = unsafe { nostale_access_copy(at.get(), from.as_ptr() as u64, from.len() as u64) };
        if outcome.faulted == 0 { Ok(()) } else { Err(Fault(at)) }
    }
}

impl Default for Primary {
    fn default() -> Self {
        Self::new()
    }
}

/// What was installed before us (the Rust runtime's stack guard, say): a fault that is not ours goes there.
static PREVIOUS: [(i32, OnceLock<libc::sigaction>); 2] = [(libc::SIGSEGV, OnceLock::new()), (libc::SIGBUS, OnceLock::new())];

extern "C" fn on_fault(signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a ucontext_t, ours to change until we return.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let rip = &mut registers[libc::REG_RIP as usize];
    let fixup = nostale_access_fixup as *const () as i64;
    // Only one instruction of each access can fault.
    let ours = [
        nostale_access_load as *const () as i64,
        nostale_access_store as *const () as i64,
        nostale_access_increment as *const () as i64,
        nostale_access_copy_at as *const () as i64,
    ];
    if ours.contains(rip) {
        *rip = fixup;
        return;
    }
    // Not ours: let the previous owner see the same fault again, from the same instruction.
    let previous = PREVIOUS.iter().find(|(number, _)| *number == signal).and_then(|(_, cell)| cell.get());
    // SAFETY: sigaction is async-signal-safe; a zeroed action is SIG_DFL.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, previous.unwrap_or(&default), std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

    #[test]
    fn faults_are_values() {
        let primary = Primary::new();
        let size = std::num::NonZeroUsize::new(4096).expect("not zero");
        // SAFETY: a fresh private mapping.
        let page = unsafe { mmap_anonymous(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE) };
        let page = page.expect("memory");
        let at = Hva::new(page.as_ptr() as u64);
        // SAFETY: our own page throughout.
        unsafe {
            assert_eq!(primary.store(at, 41), Ok(()));
            assert_eq!(primary.increment(at), Ok(()));
            mprotect(page, 4096, ProtFlags::PROT_READ).expect("mprotect");
            assert_eq!(primary.increment(at), Err(Fault(at)));
            assert_eq!(primary.store(at, 0), Err(Fault(at)));
            assert_eq!(primary.load(at), Ok(42));
            let mut copy = [0; 4096];
            assert_eq!(primary.copy_from(at, &mut copy), Ok(()));
            assert_eq!((copy[0], primary.copy_to(at, &copy)), (42, Err(Fault(at))));
            munmap(page, 4096).expect("munmap");
        }
        assert_eq!(primary.load(at), Err(Fault(at)));
        assert_eq!(primary.copy_from(at, &mut [0; 64]), Err(Fault(at)));
    }
}
