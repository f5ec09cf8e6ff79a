//! Large zeroed memory, and asking the processor for it ahead of its use.

use std::sync::atomic::AtomicU64;

/// Zeroed words, which take memory only where they are written.
pub(super) fn zeroed(words: usize) -> Box<[AtomicU64]> {
    let plain = Box::into_raw(vec![0u64; words].into_boxed_slice());
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
