//! A vCPU's first state: long mode, paging on, and ring 3 from the first instruction.

use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};
use nostale_guest::{IMAGE, abi::layout};
use thiserror::Error;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

/// The ring in which the guest runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privilege {
    /// Ring 3: runs natively on every KVM.
    #[default]
    User,
    /// Ring 0: on KVMs without hardware virtualisation (kvm_pvm) interpreted, without a single SPTE. A way to see the vacuity
    /// oracle fail.
    Supervisor,
}

/// Why the guest could not be put into memory.
#[derive(Debug, Error)]
pub enum BootError {
    /// The image is not the ELF file that `guest/build.rs` makes.
    #[error("guest image: {0}")]
    Image(&'static str),
    /// More guest memory than there is room for page directories.
    #[error("no room for page tables of {0} GiB of guest memory")]
    TooLarge(u64),
    /// It does not fit.
    #[error("guest memory: {0}")]
    Memory(#[from] GuestMemoryError),
}

const PRESENT_WRITE_USER: u64 = 0b111;
const LARGE: u64 = 1 << 7;
const GIB: u64 = 1 << 30;

/// Writes page tables that map guest memory below `end` one to one with 2 MiB pages, all of them for ring 3 too.
pub(super) fn write_page_tables(memory: &GuestMemoryMmap, end: u64) -> Result<u64, BootError> {
    let (pml4, pdpt, directories) = (layout::PAGE_TABLES, layout::PAGE_TABLES + 0x1000, layout::PAGE_TABLES + 0x2000);
    let gibs = end.div_ceil(GIB);
    if gibs > 512 || directories + gibs * 0x1000 > layout::PAGE_TABLES_END {
        return Err(BootError::TooLarge(gibs));
    }
    memory.write_obj(pdpt | PRESENT_WRITE_USER, GuestAddress(pml4))?;
    for gib in 0..gibs {
        let directory = directories + gib * 0x1000;
        memory.write_obj(directory | PRESENT_WRITE_USER, GuestAddress(pdpt + gib * 8))?;
        let entries: Vec<u8> =
            (0..512).flat_map(|n| ((gib * GIB + n * (2 << 20)) | LARGE | PRESENT_WRITE_USER).to_le_bytes()).collect();
        memory.write_slice(&entries, GuestAddress(directory))?;
    }
    Ok(pml4)
}

/// Loads the guest image and gives its entry point.
pub(super) fn load_image(memory: &GuestMemoryMmap) -> Result<u64, BootError> {
    // A fixed format by a fixed build: a few fields of Elf64_Ehdr and Elf64_Phdr (elf(5)) are all that is needed.
    let word = |at: usize| IMAGE.get(at..at + 8).map(|b| u64::from_le_bytes(b.try_into().expect("8 bytes")));
    let half = |at: usize| IMAGE.get(at..at + 2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    let (Some(b"\x7fELF\x02\x01"), Some(entry), Some(table), Some(size), Some(count)) =
        (IMAGE.get(..6), word(24), word(32), half(54), half(56))
    else {
        return Err(BootError::Image("no 64-bit ELF header"));
    };
    for header in (0..count).map(|n| table as usize + n * size) {
        let loadable = IMAGE.get(header..header + 4) == Some(&[1, 0, 0, 0]);
        let (Some(offset), Some(address), Some(bytes)) = (word(header + 8), word(header + 24), word(header + 32)) else {
            return Err(BootError::Image("a program header lies outside the file"));
        };
        if loadable {
            let content = IMAGE.get(offset as usize..(offset + bytes) as usize);
            memory.write_slice(content.ok_or(BootError::Image("a segment lies outside the file"))?, GuestAddress(address))?;
        }
    }
    Ok(entry)
}

fn segment(selector: u16, kind: u8, dpl: u8, long: bool) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_: kind,
        present: 1,
        dpl,
        db: u8::from(!long),
        s: 1,
        l: u8::from(long),
        g: 1,
        ..kvm_segment::default()
    }
}

/// Special registers for long mode at `privilege` with page tables at `cr3` (Intel SDM vol. 3, 4.1 and 5.2.1).
pub(super) fn special_registers(reset: kvm_sregs, cr3: u64, privilege: Privilege) -> kvm_sregs {
    let dpl = match privilege {
        Privilege::User => 3,
        Privilege::Supervisor => 0,
    };
    let mut sregs = reset;
    sregs.cs = segment(0x30 | u16::from(dpl), 0xb, dpl, true);
    let data = segment(0x28 | u16::from(dpl), 0x3, dpl, false);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    // PE, MP, ET, NE, WP, PG.
    sregs.cr0 = 0x8001_0033;
    sregs.cr3 = cr3;
    // PAE, OSFXSR, OSXMMEXCPT.
    sregs.cr4 = 1 << 5 | 1 << 9 | 1 << 10;
    // LME, LMA.
    sregs.efer = 1 << 8 | 1 << 10;
    sregs
}

/// General registers of vCPU `vcpu` at the image's entry.
pub(super) fn registers(entry: u64, vcpu: u64, privilege: Privilege) -> kvm_regs {
    kvm_regs {
        rip: entry,
        rsp: layout::STACKS + (vcpu + 1) * layout::STACK_SIZE,
        rdi: layout::CONTROL,
        rsi: layout::VCPUS + vcpu * size_of::<nostale_guest::abi::VcpuBlock>() as u64,
        // IOPL 3 lets ring 3 reach the hypercall port; bit 1 always reads as set.
        rflags: match privilege {
            Privilege::User => 0x3002,
            Privilege::Supervisor => 0x2,
        },
        ..kvm_regs::default()
    }
}
