//! A vCPU's thread: enters the guest until told otherwise, and says what became of it.

use super::{
    control::Vm,
    exit::{Exit, VcpuFailure, classify},
    slots::{Carried, Mmio},
    suspend::wait_at_gate,
    view::{Shared, VcpuState, VcpuView},
};
use crate::memory::{Primary, System};
use kvm_ioctls::VcpuFd;
use nix::errno::Errno;
use nostale_guest::abi::{Check, Verb};
use nostale_notifier::{Gpa, addr::PAGE_SIZE, event::Tsc};
use std::{
    sync::{
        PoisonError,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

/// Between two tries at a page that is away: whoever took it brings it back, and may need this CPU for it. A sleep and no
/// `sched_yield`: a dozen threads that yield in a loop starved kernel threads for a minute on Linux 6.18 (RCU stall warnings).
pub(crate) const AWAY: Duration = Duration::from_micros(20);

/// Accesses to one page that KVM handed to us in a row though their memslot was there, before that is a finding: one alone can come of
/// a page that was away from its host mapping at the moment at which KVM interpreted an instruction. What KVM remembers of MMIO it
/// remembers of a page (arch/x86/kvm/mmu.h, `vcpu_cache_mmio_info`; MMIO SPTEs), and a visit is more accesses than these.
const MISSED: u32 = 4;
/// Instructions that KVM could not interpret in a row, before that is a failure: an operation may have had the page for as long.
const UNINTERPRETED: u32 = 1 << 16;

/// A check that failed inside the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestFinding {
    /// Which vCPU.
    pub vcpu: usize,
    /// Which check.
    pub check: Check,
    /// Arena page.
    pub page: u64,
    /// What had been published.
    pub published: u64,
    /// What the page held.
    pub found: u64,
    /// When.
    pub tsc: Tsc,
}

/// Is told of things as they happen, on the vCPU's own thread, while that vCPU waits.
pub trait Observer: Send + Sync {
    /// A check failed in the guest.
    fn finding(&self, finding: GuestFinding);

    /// KVM takes memory that has had a memslot since before the vCPU was entered for MMIO.
    fn missed_slot(&self, vcpu: usize, gpa: Gpa, write: bool) {
        let _ = (vcpu, gpa, write);
    }

    /// The vCPU is about to be entered (again) after a hypercall. A test may hold it here.
    fn before_entry(&self, vcpu: usize) {
        let _ = vcpu;
    }
}

/// Runs a vCPU until it stops, fails or is abandoned.
pub(super) fn run(mut fd: VcpuFd, index: usize, vm: &Vm, view: &VcpuView, observer: &dyn Observer) {
    let (shared, system) = (&view.shared, vm.system());
    let _end = Ends(view);
    // SAFETY: gettid(2) has no preconditions.
    shared.thread.store(unsafe { libc::gettid() }, Release);
    view.set(VcpuState::Running);
    let (mut missed, mut uninterpreted) = ((None, 0), 0);
    let end = loop {
        if shared.abandon.load(Relaxed) {
            break VcpuState::Abandoned;
        }
        // Before it stands still it has to complete what its last exit left: a port write is only done, and the instruction pointer
        // behind it, at the next KVM_RUN (Documentation/virt/kvm/api.rst, 5, KVM_EXIT_IO). With `immediate_exit` that is all the next
        // one does; but what is completed may want another exit: a read-modify-write that has read wants to write.
        let settling = shared.gate.is_closed();
        fd.set_kvm_immediate_exit(settling.into());
        let version = vm.memslots().version();
        shared.entered.fetch_add(1, AcqRel);
        let result = fd.run().map_err(|error| Errno::from_raw(error.errno()));
        shared.entered.fetch_add(1, AcqRel);
        let exit = match classify(result) {
            Exit::Failed(failure) => Exit::Failed(complete(failure, &mut fd)),
            exit => exit,
        };
        match exit {
            // KVM was about to interpret an access whose page was taken away at that moment. The instruction is still to be done.
            Exit::Failed(VcpuFailure::Internal { suberror: kvm_bindings::KVM_INTERNAL_ERROR_EMULATION, .. })
                if uninterpreted < UNINTERPRETED && vm.memslots().changed() && vm.exits_on_emulation_failure() =>
            {
                uninterpreted += 1;
                std::thread::sleep(AWAY);
                continue;
            }
            Exit::Again if settling => {
                if let Err(failure) = wait_at_gate(&mut fd, view) {
                    break VcpuState::Failed(failure);
                }
                continue;
            }
            Exit::Again => {}
            Exit::Unmapped { gpa } => {
                shared.efaults.fetch_add(1, Relaxed);
                shared.last_gpa.store(gpa.unwrap_or(u64::MAX), Relaxed);
                std::thread::sleep(AWAY);
            }
            Exit::RingFull => {
                shared.ring_full.fetch_add(1, Relaxed);
                // Whoever reads the ring makes room.
                std::thread::sleep(AWAY);
            }
            Exit::Failed(failure) => break VcpuState::Failed(failure),
            Exit::Mmio { gpa, mmio } => match carry_out(vm, gpa, mmio, version, &mut fd, shared) {
                Some(Carried::Missed(_)) => {
                    let page = Some(gpa.get() / PAGE_SIZE);
                    missed = (page, if missed.0 == page { missed.1 + 1 } else { 1 });
                    if missed.1 == MISSED {
                        observer.missed_slot(index, gpa, mmio != Mmio::Read);
                    }
                    continue;
                }
                Some(Carried::Nowhere) => {
                    break VcpuState::Failed(VcpuFailure::Unexpected(format!("MMIO at {gpa}, where nothing ever was")));
                }
                Some(_) => {}
                None => break VcpuState::Abandoned,
            },
            Exit::Hypercall(verb) => {
                match verb {
                    Verb::Ready => shared.ready_host_tsc.store(crate::host::clock::now().0, Relaxed),
                    Verb::Done => {}
                    Verb::Paused => pause(view),
                    Verb::Stopped => break VcpuState::Stopped,
                    Verb::Finding => {
                        if let Some(finding) = finding(system, index) {
                            observer.finding(finding);
                        }
                    }
                    Verb::Assertion => break VcpuState::Failed(assertion(system, index)),
                }
                observer.before_entry(index);
            }
        }
        (missed, uninterpreted) = ((None, 0), 0);
    };
    view.set(end);
}

/// Does for the guest what it could not do for want of a memslot, as soon as it may be done. `None` if it was abandoned first.
fn carry_out(vm: &Vm, gpa: Gpa, mmio: Mmio, version: u64, fd: &mut VcpuFd, shared: &Shared) -> Option<Carried> {
    let primary = Primary::new();
    loop {
        match vm.memslots().carry_out(gpa, mmio, version, primary) {
            Carried::Later if shared.abandon.load(Relaxed) => return None,
            Carried::Later => {
                shared.last_gpa.store(gpa.get(), Relaxed);
                std::thread::sleep(AWAY);
            }
            carried => {
                if let (Mmio::Read, Carried::Out(value) | Carried::Missed(value)) = (mmio, carried) {
                    // The exit reason was KVM_EXIT_MMIO: from this member of the union KVM takes what was read.
                    fd.get_kvm_run().__bindgen_anon_1.mmio.data = value.to_ne_bytes();
                }
                shared.carried_out.fetch_add(1, Relaxed);
                return Some(carried);
            }
        }
    }
}

/// At the end of a vCPU's thread, however it ends.
struct Ends<'a>(&'a VcpuView);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.shared.thread.store(0, Release);
        // A vCPU whose thread panics must not look stuck: that would blame the kernel.
        if std::thread::panicking() {
            self.0.set(VcpuState::Failed(VcpuFailure::Unexpected("its thread panicked".to_owned())));
        }
    }
}

fn pause(view: &VcpuView) {
    let mut state = view.lock();
    *state = VcpuState::Paused;
    view.shared.changed.notify_all();
    while !view.shared.resume.swap(false, Acquire) && !view.shared.abandon.load(Relaxed) {
        // A bound, so that no lost wake-up holds the thread for ever.
        let wait = view.shared.changed.wait_timeout(state, Duration::from_millis(100));
        state = wait.unwrap_or_else(PoisonError::into_inner).0;
    }
    *state = VcpuState::Running;
}

fn finding(system: &System, index: usize) -> Option<GuestFinding> {
    let finding = &system.vcpu(index)?.finding;
    Some(GuestFinding {
        vcpu: index,
        check: Check::from_u64(finding.check.load(Relaxed))?,
        page: finding.page.load(Relaxed),
        published: finding.published.load(Relaxed),
        found: finding.found.load(Relaxed),
        tsc: Tsc(finding.tsc.load(Relaxed)),
    })
}

fn assertion(system: &System, index: usize) -> VcpuFailure {
    let Some(block) = system.vcpu(index) else { return VcpuFailure::Unexpected(format!("no vCPU {index}")) };
    let assertion = &block.assertion;
    let file = system.text(assertion.file.load(Relaxed), assertion.file_len.load(Relaxed)).filter(|name| !name.is_empty());
    VcpuFailure::Assertion {
        place: format!("{}:{}", file.as_deref().unwrap_or("?"), assertion.line.load(Relaxed)),
        left: assertion.left.load(Relaxed),
        right: assertion.right.load(Relaxed),
    }
}

/// Adds to a failure what `kvm_run` and the registers know of it.
fn complete(failure: VcpuFailure, fd: &mut VcpuFd) -> VcpuFailure {
    match failure {
        VcpuFailure::Internal { .. } => {
            // SAFETY: the exit reason was KVM_EXIT_INTERNAL_ERROR, so this member of the union is the one KVM filled in.
            let internal = unsafe { fd.get_kvm_run().__bindgen_anon_1.internal };
            let count = (internal.ndata as usize).min(internal.data.len());
            VcpuFailure::Internal { suberror: internal.suberror, data: internal.data[..count].to_vec() }
        }
        VcpuFailure::TripleFault { .. } => VcpuFailure::TripleFault { rip: fd.get_regs().map_or(0, |regs| regs.rip) },
        other => other,
    }
}

/// Waits for `thread` to end for as long as there is `patience`, and interrupts it again and again (a signal that arrives just before
/// KVM_RUN is lost).
pub(crate) fn join_while(
    thread: std::thread::JoinHandle<()>,
    mut patience: impl FnMut() -> bool,
) -> Result<(), std::thread::JoinHandle<()>> {
    use std::os::unix::thread::JoinHandleExt;
    while !thread.is_finished() {
        if !patience() {
            return Err(thread);
        }
        // SAFETY: the thread has not been joined, so its id is valid even if it ended a moment ago.
        unsafe { libc::pthread_kill(thread.as_pthread_t(), kick_signal()) };
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = thread.join();
    Ok(())
}

pub(super) fn kick_signal() -> i32 {
    libc::SIGRTMIN() + 1
}

/// Makes the kick signal interrupt system calls and do nothing else.
pub(crate) fn install_kick() {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: an empty handler is async-signal-safe; without SA_RESTART, KVM_RUN returns EINTR.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(kick_signal(), &action, std::ptr::null_mut());
    }
}
