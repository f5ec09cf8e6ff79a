//! The image: how a vCPU starts, visits pages, obeys, and reports. Only in the freestanding build.

use crate::{
    abi::{ABI_MAGIC, Assertion, Board, Command, Control, FINDINGS_REPORTED, HYPERCALL_PORT, Program, VcpuBlock, Verb, layout},
    page::Page,
    visit::{self, Stale},
    walk::{Habit, Walk},
};
use core::{
    arch::{asm, global_asm},
    panic::PanicInfo,
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

// Entered in ring 3 with paging on, rdi = Control, rsi = VcpuBlock, rsp = top of this vCPU's stack.
global_asm!(
    ".section .text.start, \"ax\"",
    ".globl _start",
    "_start:",
    "    xor ebp, ebp",
    "    and rsp, -16",
    "    call {main}",
    "    ud2",
    main = sym main,
);

/// Visits between two looks at the command word and two signs of life.
const BATCH: u64 = 16;
/// One visit in this many only reads.
const READ_EVERY: u64 = 8;

/// Ends the vCPU with file, line and both operands when the comparison fails.
macro_rules! guest_assert {
    ($block:expr, $left:expr, $op:tt, $right:expr) => {{
        let (left, right) = (u64::from($left), u64::from($right));
        if !(left $op right) {
            fail(&$block.assertion, Some((file!(), line!())), left, right)
        }
    }};
}

extern "C" fn main(control: &'static Control, block: &'static VcpuBlock) -> ! {
    guest_assert!(block, control.magic, ==, ABI_MAGIC);
    guest_assert!(block, control.pages, >, 0u64);
    guest_assert!(block, block.arena.load(Relaxed) % crate::abi::PAGE_SIZE, ==, 0u64);

    let mut walk = Walk::new(block.seed, control.pages, Habit::of(block.index));
    block.counts.last_tsc.store(rdtsc(), Relaxed);
    hypercall(Verb::Ready);

    let mut last = rdtsc();
    loop {
        if block.program.load(Relaxed) == Program::Call as u64 {
            // SAFETY: the host has put a function of this type there, and everything that it touches has a memslot.
            let code: extern "sysv64" fn(u64) = unsafe { core::mem::transmute(block.entry.load(Acquire)) };
            code(block.argument.load(Relaxed));
            block.counts.visits.store(block.counts.visits.load(Relaxed) + 1, Release);
            hypercall(Verb::Done);
            last = obey(control, rdtsc());
            continue;
        }
        if block.program.load(Relaxed) == Program::Bare as u64 {
            bare_batch(control, block, &mut walk);
        } else {
            storm_batch(control, block, &mut walk);
        }
        let now = rdtsc();
        // Clocks of different CPUs may differ a little, and in emulation by more.
        let gap = now.saturating_sub(last);
        if gap > block.counts.longest_gap.load(Relaxed) {
            block.counts.longest_gap.store(gap, Relaxed);
        }
        last = now;
        block.counts.last_tsc.store(now, Relaxed);
        block.counts.visits.store(block.counts.visits.load(Relaxed) + BATCH, Release);
        last = obey(control, last);
    }
}

/// Pauses or stops when told to; gives back the time from which the next gap counts.
#[inline(always)]
fn obey(control: &Control, last: u64) -> u64 {
    let command = control.command.load(Acquire);
    if command == Command::Run as u32 {
        return last;
    }
    hypercall(if command == Command::Pause as u32 { Verb::Paused } else { Verb::Stopped });
    // A pause is the host's doing and no stall.
    rdtsc()
}

#[inline(always)]
fn next(control: &Control, walk: &mut Walk) -> u64 {
    walk.next(|| (control.hot_start.load(Relaxed), control.hot_pages.load(Relaxed)))
}

#[inline(always)]
fn page_at(block: &VcpuBlock, index: u64) -> Page<'static> {
    // SAFETY: the host gave this vCPU an arena of `control.pages` pages; an access whose host mapping is gone for the moment
    // does not fault in the guest, the host retries it.
    unsafe { Page::at((block.arena.load(Relaxed) + index * crate::abi::PAGE_SIZE) as *const u8) }
}

fn bare_batch(control: &Control, block: &VcpuBlock, walk: &mut Walk) {
    for _ in 0..BATCH {
        visit::increment(page_at(block, next(control, walk)));
    }
    block.counts.write_visits.store(block.counts.write_visits.load(Relaxed) + BATCH, Relaxed);
}

fn storm_batch(control: &Control, block: &VcpuBlock, walk: &mut Walk) {
    let vcpu = block.index as usize;
    let mut writes = 0;
    for n in 0..BATCH {
        let index = next(control, walk);
        guest_assert!(block, index, <, control.pages);
        let page = page_at(block, index);
        // SAFETY: there is a board for each arena page in the system slot, which is always mapped.
        let board = unsafe { &*(layout::BOARDS as *const Board).add(index as usize) };
        let looked_at = index.wrapping_sub(control.looked_at_start.load(Relaxed)) < control.looked_at_pages.load(Relaxed);
        let stale = if looked_at || n % READ_EVERY == READ_EVERY - 1 {
            visit::read(page, board)
        } else {
            let stale = visit::write(page, board, vcpu);
            // SAFETY: this vCPU's own tally in the system slot, one word for each arena page.
            let tally = unsafe { &*(block.tally as *const AtomicU32).add(index as usize) };
            tally.store(tally.load(Relaxed).wrapping_add(1), Relaxed);
            writes += 1;
            stale
        };
        if let Some(stale) = stale {
            report(block, index, stale);
        }
    }
    let before = block.counts.write_visits.load(Relaxed);
    block.counts.write_visits.store(before + writes, Relaxed);
}

#[cold]
fn report(block: &VcpuBlock, page: u64, stale: Stale) {
    let count = block.counts.findings.load(Relaxed);
    block.counts.findings.store(count + 1, Relaxed);
    if count < FINDINGS_REPORTED {
        let finding = &block.finding;
        finding.check.store(stale.check as u64, Relaxed);
        finding.page.store(page, Relaxed);
        finding.published.store(stale.published, Relaxed);
        finding.found.store(stale.found, Relaxed);
        finding.tsc.store(rdtsc(), Relaxed);
        hypercall(Verb::Finding);
    }
}

#[cold]
fn fail(assertion: &Assertion, place: Option<(&str, u32)>, left: u64, right: u64) -> ! {
    if let Some((file, line)) = place {
        assertion.file.store(file.as_ptr() as u64, Relaxed);
        assertion.file_len.store(file.len() as u64, Relaxed);
        assertion.line.store(u64::from(line), Relaxed);
    }
    assertion.left.store(left, Relaxed);
    assertion.right.store(right, Relaxed);
    loop {
        hypercall(Verb::Assertion);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // Which vCPU this is follows from whose stack this is.
    let local = 0u8;
    let vcpu = (&raw const local as u64 - layout::STACKS) / layout::STACK_SIZE;
    // SAFETY: every stack belongs to a vCPU that has a block.
    let block = unsafe { &*(layout::VCPUS as *const VcpuBlock).add(vcpu as usize) };
    fail(&block.assertion, info.location().map(|at| (at.file(), at.line())), 0, 0)
}

fn hypercall(verb: Verb) {
    // SAFETY: IOPL is 3, so the port write leaves to the VMM, which changes no register. Memory is not marked untouched:
    // the host reads and writes the shared blocks meanwhile.
    unsafe { asm!("out dx, eax", in("dx") HYPERCALL_PORT, in("eax") verb as u32, options(nostack, preserves_flags)) }
}

#[inline(always)]
fn rdtsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: CR4.TSD is clear, so ring 3 may read the time stamp counter.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags)) }
    u64::from(high) << 32 | u64::from(low)
}

// What the compiler may call. `rep movsb` and `rep stosb` keep them from being compiled into calls of themselves.

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: as memcpy's contract says.
    unsafe { asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack)) }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: `to` does not lie inside the source, so copying upwards is right.
        return unsafe { memcpy(to, from, n) };
    }
    // SAFETY: as memmove's contract says; the direction flag is cleared again, as the ABI wants it.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") n => _, inout("rdi") to.add(n).wrapping_sub(1) => _,
             inout("rsi") from.add(n).wrapping_sub(1) => _, options(nostack));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: as memset's contract says.
    unsafe { asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8, options(nostack)) }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: both are readable for n bytes, as memcmp's contract says.
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: same contract.
    unsafe { memcmp(a, b, n) }
}
