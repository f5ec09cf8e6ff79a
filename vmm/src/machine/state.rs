//! Everything that a vCPU is beside memory: taken where it stands, at any instruction, and put into another one.

use kvm_bindings::{
    Msrs, kvm_debugregs, kvm_device_attr, kvm_mp_state, kvm_msr_entry, kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::{Kvm, VcpuFd};
use nix::errno::Errno;
use std::{os::fd::AsRawFd, sync::OnceLock};
use thiserror::Error;

/// Why a vCPU's state could not be taken or put.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// An ioctl failed.
    #[error("{what}: {errno}")]
    Ioctl {
        /// Which.
        what: &'static str,
        /// How.
        errno: Errno,
    },
    /// A model-specific register that differs and cannot be set.
    #[error("KVM_SET_MSRS: MSR {index:#x} does not take {value:#x}, which the other vCPU has there")]
    Msr {
        /// Which.
        index: u32,
        /// What it should hold.
        value: u64,
    },
    /// Bytes that are no state.
    #[error("a vCPU's state of {found} bytes: {expected} were expected")]
    Length {
        /// Bytes that came.
        found: usize,
        /// Bytes that make sense.
        expected: usize,
    },
}

/// A structure of KVM's API that is plain bytes: integers and explicit padding, of which every pattern is valid.
///
/// # Safety
/// No references, no implicit padding, and no invalid bit patterns.
unsafe trait Plain: Copy + Default {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the trait's promise: all bytes are initialised.
        unsafe { std::slice::from_raw_parts((&raw const *self).cast(), size_of::<Self>()) }
    }

    /// The structure at the start of `bytes`, which are cut off.
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (own, rest) = bytes.split_at_checked(size_of::<Self>())?;
        let mut plain = Self::default();
        // SAFETY: as many bytes as the structure has, of which the trait promises that any will do.
        unsafe { std::ptr::copy_nonoverlapping(own.as_ptr(), (&raw mut plain).cast(), own.len()) };
        *bytes = rest;
        Some(plain)
    }
}

macro_rules! plain {
    ($($kind:ty),*) => {
        $(
            // SAFETY: a structure of the KVM API (arch/x86/include/uapi/asm/kvm.h): integers, and padding by name.
            unsafe impl Plain for $kind {}
        )*
    };
}

plain!(kvm_regs, kvm_sregs, kvm_xcrs, kvm_debugregs, kvm_vcpu_events, kvm_mp_state, u32, u64);

/// Bytes of the XSAVE area that KVM_GET_XSAVE gives.
const XSAVE_WORDS: usize = 1024;

/// A vCPU's state.
#[derive(Clone, PartialEq)]
pub struct CpuState {
    regs: kvm_regs,
    sregs: kvm_sregs,
    xcrs: kvm_xcrs,
    debug: kvm_debugregs,
    events: kvm_vcpu_events,
    runs: kvm_mp_state,
    xsave: Box<[u32; XSAVE_WORDS]>,
    /// `KVM_VCPU_TSC_OFFSET`, or all ones where KVM keeps it to itself (before 5.16).
    tsc_offset: u64,
    msrs: Vec<(u32, u64)>,
}

impl std::fmt::Debug for CpuState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuState").field("rip", &format_args!("{:#x}", self.regs.rip)).field("msrs", &self.msrs.len()).finish()
    }
}

/// Says that a TSC offset is not known.
const NO_OFFSET: u64 = u64::MAX;

/// Registers that tell the time or the number of interrupts and so differ at every look: MSR_IA32_TSC (its offset travels instead),
/// IA32_MPERF and IA32_APERF, HV_X64_MSR_TIME_REF_COUNT and HV_X64_MSR_VP_RUNTIME.
const CLOCKS: [u32; 5] = [0x10, 0xe7, 0xe8, 0x4000_0020, 0x4000_0010];

fn ioctl<T>(what: &'static str, result: Result<T, kvm_ioctls::Error>) -> Result<T, StateError> {
    result.map_err(|error| StateError::Ioctl { what, errno: Errno::from_raw(error.errno()) })
}

impl CpuState {
    /// Takes the state of a vCPU that is not in KVM_RUN and has no access to a device left to be completed.
    pub(super) fn take(fd: &VcpuFd) -> Result<Self, StateError> {
        // Where the guest stands decides which exceptions are pending: events before anything that could change them, and regs with
        // them (Documentation/virt/kvm/api.rst, 4.31, says no more than that all vCPU ioctls see a consistent state).
        let mut xsave = Box::new([0; XSAVE_WORDS]);
        xsave.copy_from_slice(&ioctl("KVM_GET_XSAVE", fd.get_xsave())?.region);
        Ok(Self {
            runs: ioctl("KVM_GET_MP_STATE", fd.get_mp_state())?,
            events: ioctl("KVM_GET_VCPU_EVENTS", fd.get_vcpu_events())?,
            regs: ioctl("KVM_GET_REGS", fd.get_regs())?,
            sregs: ioctl("KVM_GET_SREGS", fd.get_sregs())?,
            xcrs: ioctl("KVM_GET_XCRS", fd.get_xcrs())?,
            debug: ioctl("KVM_GET_DEBUGREGS", fd.get_debug_regs())?,
            xsave,
            tsc_offset: tsc_offset(fd).unwrap_or(NO_OFFSET),
            msrs: read_msrs(fd)?,
        })
    }

    /// Makes a vCPU that is not in KVM_RUN go on from here.
    pub(super) fn put(&self, fd: &VcpuFd) -> Result<(), StateError> {
        ioctl("KVM_SET_MP_STATE", fd.set_mp_state(self.runs))?;
        ioctl("KVM_SET_REGS", fd.set_regs(&self.regs))?;
        ioctl("KVM_SET_SREGS", fd.set_sregs(&self.sregs))?;
        ioctl("KVM_SET_XCRS", fd.set_xcrs(&self.xcrs))?;
        let xsave = kvm_xsave { region: *self.xsave, ..kvm_xsave::default() };
        // SAFETY: without features that a process has to ask for (arch_prctl), the area has the 4096 bytes of the structure.
        ioctl("KVM_SET_XSAVE", unsafe { fd.set_xsave(&xsave) })?;
        ioctl("KVM_SET_DEBUGREGS", fd.set_debug_regs(&self.debug))?;
        write_msrs(fd, &self.msrs)?;
        // Both vCPUs are on one host and its one clock. Where there is no such attribute, the clock stays what KVM gave.
        if self.tsc_offset != NO_OFFSET {
            set_tsc_offset(fd, self.tsc_offset);
        }
        // Last: what came before may clear pending exceptions.
        ioctl("KVM_SET_VCPU_EVENTS", fd.set_vcpu_events(&self.events))
    }

    /// Where it stands.
    #[must_use]
    pub const fn rip(&self) -> u64 {
        self.regs.rip
    }

    /// As bytes, for another process on a host of the same kind.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8192);
        let parts = [
            self.regs.bytes(),
            self.sregs.bytes(),
            self.xcrs.bytes(),
            self.debug.bytes(),
            self.events.bytes(),
            self.runs.bytes(),
            self.tsc_offset.bytes(),
        ];
        parts.into_iter().for_each(|part| bytes.extend_from_slice(part));
        self.xsave.iter().for_each(|word| bytes.extend_from_slice(word.bytes()));
        for (index, value) in &self.msrs {
            bytes.extend_from_slice(index.bytes());
            bytes.extend_from_slice(value.bytes());
        }
        bytes
    }

    /// The state that [`CpuState::to_bytes`] wrote.
    ///
    /// # Errors
    /// When there are too few bytes, or some are left over.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut rest = bytes;
        Self::parse(&mut rest).filter(|_| rest.is_empty()).ok_or_else(|| {
            let known = Self::fixed_bytes();
            let msrs = bytes.len().saturating_sub(known) / MSR_BYTES;
            StateError::Length { found: bytes.len(), expected: known + msrs * MSR_BYTES }
        })
    }

    const fn fixed_bytes() -> usize {
        size_of::<kvm_regs>()
            + size_of::<kvm_sregs>()
            + size_of::<kvm_xcrs>()
            + size_of::<kvm_debugregs>()
            + size_of::<kvm_vcpu_events>()
            + size_of::<kvm_mp_state>()
            + 8
            + 4 * XSAVE_WORDS
    }

    fn parse(bytes: &mut &[u8]) -> Option<Self> {
        let (regs, sregs, xcrs) = (kvm_regs::take(bytes)?, kvm_sregs::take(bytes)?, kvm_xcrs::take(bytes)?);
        let (debug, events) = (kvm_debugregs::take(bytes)?, kvm_vcpu_events::take(bytes)?);
        let (runs, tsc_offset) = (kvm_mp_state::take(bytes)?, u64::take(bytes)?);
        let mut xsave = Box::new([0; XSAVE_WORDS]);
        for word in xsave.iter_mut() {
            *word = u32::take(bytes)?;
        }
        let mut msrs = Vec::new();
        while bytes.len() >= MSR_BYTES {
            msrs.push((u32::take(bytes)?, u64::take(bytes)?));
        }
        Some(Self { regs, sregs, xcrs, debug, events, runs, xsave, tsc_offset, msrs })
    }
}

const MSR_BYTES: usize = 12;

/// The registers that this KVM names (KVM_GET_MSR_INDEX_LIST) and that a vCPU of ours lets us read.
fn readable_msrs(fd: &VcpuFd) -> Result<&'static [u32], StateError> {
    static READABLE: OnceLock<Vec<u32>> = OnceLock::new();
    if let Some(known) = READABLE.get() {
        return Ok(known);
    }
    let all = ioctl("KVM_GET_MSR_INDEX_LIST", Kvm::new().and_then(|kvm| kvm.get_msr_index_list()))?;
    // One that cannot be read ends a whole batch.
    let readable = |index: &u32| batch(&[(*index, 0)]).is_ok_and(|mut one| fd.get_msrs(&mut one) == Ok(1));
    let kept = all.as_slice().iter().copied().filter(|index| !CLOCKS.contains(index)).filter(readable).collect();
    Ok(READABLE.get_or_init(|| kept))
}

fn batch(entries: &[(u32, u64)]) -> Result<Msrs, StateError> {
    let entries: Vec<_> =
        entries.iter().map(|&(index, data)| kvm_msr_entry { index, data, ..kvm_msr_entry::default() }).collect();
    Msrs::from_entries(&entries).map_err(|_| StateError::Ioctl { what: "KVM_GET_MSRS", errno: Errno::E2BIG })
}

fn read_msrs(fd: &VcpuFd) -> Result<Vec<(u32, u64)>, StateError> {
    let wanted: Vec<_> = readable_msrs(fd)?.iter().map(|&index| (index, 0)).collect();
    let mut msrs = batch(&wanted)?;
    let read = ioctl("KVM_GET_MSRS", fd.get_msrs(&mut msrs))?;
    Ok(msrs.as_slice().iter().take(read).map(|entry| (entry.index, entry.data)).collect())
}

/// Sets those that differ: many are read-only, and on a host of the same kind they are the same anyway.
fn write_msrs(fd: &VcpuFd, wanted: &[(u32, u64)]) -> Result<(), StateError> {
    let now = read_msrs(fd)?;
    let differ: Vec<_> = wanted.iter().copied().filter(|wanted| !now.contains(wanted)).collect();
    if differ.is_empty() {
        return Ok(());
    }
    let set = ioctl("KVM_SET_MSRS", fd.set_msrs(&batch(&differ)?))?;
    differ.get(set).map_or(Ok(()), |&(index, value)| Err(StateError::Msr { index, value }))
}

fn attribute(offset: *mut u64) -> kvm_device_attr {
    kvm_device_attr {
        group: kvm_bindings::KVM_VCPU_TSC_CTRL,
        attr: u64::from(kvm_bindings::KVM_VCPU_TSC_OFFSET),
        addr: offset as u64,
        flags: 0,
    }
}

// kvm-ioctls offers them for vCPUs of other architectures only.
nix::ioctl_write_ptr!(set_device_attr, kvm_bindings::KVMIO, 0xe1, kvm_device_attr);
nix::ioctl_write_ptr!(get_device_attr, kvm_bindings::KVMIO, 0xe2, kvm_device_attr);

/// How far the guest's time stamp counter is from the host's, where KVM says (5.16).
fn tsc_offset(fd: &VcpuFd) -> Option<u64> {
    let mut offset = 0;
    // SAFETY: KVM writes `offset`, which lives, through the address in the attribute.
    unsafe { get_device_attr(fd.as_raw_fd(), &attribute(&raw mut offset)) }.ok().map(|_| offset)
}

/// Sets it, where KVM lets it. Whether it worked is measured when the guest starts.
pub(super) fn set_tsc_offset(fd: &VcpuFd, offset: u64) {
    let mut offset = offset;
    // SAFETY: KVM reads `offset`, which lives, through the address in the attribute.
    let _ = unsafe { set_device_attr(fd.as_raw_fd(), &attribute(&raw mut offset)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> CpuState {
        CpuState {
            regs: kvm_regs { rip: 0x20_1234, rax: 7, ..kvm_regs::default() },
            sregs: kvm_sregs { cr3: 0x1000, ..kvm_sregs::default() },
            xcrs: kvm_xcrs::default(),
            debug: kvm_debugregs::default(),
            events: kvm_vcpu_events::default(),
            runs: kvm_mp_state { mp_state: 0 },
            xsave: Box::new(std::array::from_fn(|n| n as u32)),
            tsc_offset: 5,
            msrs: vec![(0x174, 1), (0xc000_0082, u64::MAX)],
        }
    }

    #[test]
    fn a_state_survives_the_way_through_bytes() {
        let state = some();
        assert_eq!(CpuState::from_bytes(&state.to_bytes()), Ok(state));
    }

    #[test]
    fn bytes_that_are_no_state_are_refused() {
        let bytes = some().to_bytes();
        for cut in [0, 1, 100, bytes.len() - 25, bytes.len() - 1] {
            assert!(
                matches!(CpuState::from_bytes(&bytes[..cut]), Err(StateError::Length { found, .. }) if found == cut),
                "{cut}"
            );
        }
    }
}
