//! Large zeroed memory, and asking the processor for it ahead of its use.

use std::sync::atomic::AtomicU64;

/// Zeroed words, which take memory only where they are written.
pub(super) fn zeroed(words: usize) -> Box<[AtomicU64]> {
    let mut plain = vec![0u64; words].into_boxed_slice();
    in_huge_pages(&mut plain);
    let plain = Box::into_raw(plain);
    // SAFETY: the box was just taken apart, and `AtomicU64` is documented to have the size, alignment and bit validity of `u64`
    // (alignment: on the 64-bit targets that this is for; the assertion below says so).
    let words = unsafe { Box::from_raw(plain as *mut [AtomicU64]) };
    const { assert!(align_of::<AtomicU64>() == align_of::<u64>()) };
    words
}

/// Brings the line of a word into the cache while other work goes on.
#[inline(always)]
pub(super) fn prefetch(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on time, and the address is that of a reference.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

/// Asks the kernel to back large memory with huge pages: the table is read at random, and every page of it is touched. It is a
/// wish; nothing but speed depends on it.
fn in_huge_pages(words: &mut [u64]) {
    const HUGE: usize = 2 << 20;
    #[cfg(target_os = "linux")]
    {
        let start = words.as_ptr().addr().next_multiple_of(HUGE);
        let end = (words.as_ptr().addr() + size_of_val(words)) / HUGE * HUGE;
        if start < end {
            let start = words.as_mut_ptr().with_addr(start);
            // SAFETY: the range is inside memory that the slice owns, and the advice does not change what is in it.
            unsafe { libc::madvise(start.cast(), end - start.addr(), libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (words, HUGE);
}
