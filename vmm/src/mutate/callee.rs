//! The functions by which memory management tells secondary MMUs what it does.

use super::{Function, Image, Symbols};
use std::fmt;

/// What every one of them is called.
const PREFIX: &str = "__mmu_notifier_";

/// Those that are about a subscription and not about memory.
const LIFECYCLE: [&str; 2] = ["__mmu_notifier_register", "__mmu_notifier_subscriptions_destroy"];

/// A notifier function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Callee {
    /// `invalidate_range_start`: a range is about to change; returns an error when it may not sleep but would have to.
    Start,
    /// `invalidate_range_end`: it has changed.
    End,
    /// `invalidate_range` (until 6.5): it changed, and the CPU's TLB has been flushed.
    Range,
    /// `arch_invalidate_secondary_tlbs` (since 6.6): what `invalidate_range` became.
    SecondaryTlbs,
    /// `change_pte` (until 6.9): one page is replaced by another.
    ChangePte,
    /// `clear_flush_young`: was it accessed? Forget that, and make sure that the next access is seen.
    ClearFlushYoung,
    /// `clear_young`: was it accessed? Forget that.
    ClearYoung,
    /// `test_young`: was it accessed?
    TestYoung,
    /// `release`: the address space is going away.
    Release,
    /// One that this version of nostale does not know, with what follows `__mmu_notifier_`.
    Unknown(String),
}

impl Callee {
    /// The one with this name in the source, if it is one that tells about memory.
    #[must_use]
    pub fn of(function: &str) -> Option<Self> {
        if LIFECYCLE.contains(&function) {
            return None;
        }
        Some(match function.strip_prefix(PREFIX)? {
            "invalidate_range_start" => Self::Start,
            "invalidate_range_end" => Self::End,
            "invalidate_range" => Self::Range,
            "arch_invalidate_secondary_tlbs" => Self::SecondaryTlbs,
            "change_pte" => Self::ChangePte,
            "clear_flush_young" => Self::ClearFlushYoung,
            "clear_young" => Self::ClearYoung,
            "test_young" => Self::TestYoung,
            "release" => Self::Release,
            other => Self::Unknown(other.to_owned()),
        })
    }

    /// Its name without what all have in common.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Start => "invalidate_range_start",
            Self::End => "invalidate_range_end",
            Self::Range => "invalidate_range",
            Self::SecondaryTlbs => "arch_invalidate_secondary_tlbs",
            Self::ChangePte => "change_pte",
            Self::ClearFlushYoung => "clear_flush_young",
            Self::ClearYoung => "clear_young",
            Self::TestYoung => "test_young",
            Self::Release => "release",
            Self::Unknown(name) => name,
        }
    }

    /// Whether its caller looks at what it returns.
    #[must_use]
    pub fn returns(&self) -> bool {
        match self {
            Self::Start | Self::ClearFlushYoung | Self::ClearYoung | Self::TestYoung => true,
            Self::End | Self::Range | Self::SecondaryTlbs | Self::ChangePte | Self::Release => false,
            // Nobody reads a register that a function of type void leaves alone.
            Self::Unknown(_) => true,
        }
    }
}

impl fmt::Display for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.name())
    }
}

/// One notifier function of the kernel at hand, with the addresses that a direct call to it can go to.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which it is.
    pub callee: Callee,
    /// Its first instruction.
    pub address: u64,
    /// The first byte that is not its own.
    pub end: u64,
    /// Behind an `endbr64`, which direct calls may skip (FineIBT); the address itself when there is none.
    pub body: u64,
    /// Where call depth tracking lets calls begin, in the padding before the function; the address itself when there is none.
    pub padding: u64,
}

impl Entry {
    /// Whether a direct call to this address is a call of this function.
    #[must_use]
    pub fn takes(&self, target: u64) -> bool {
        (self.padding..=self.address).contains(&target) || target == self.body
    }
}

/// Every notifier function that the kernel has, and clones of them that the compiler made.
pub(super) fn entries(symbols: &Symbols, image: &Image) -> Vec<Entry> {
    let core = symbols.functions().iter().filter(|function| function.module.is_none() && !function.is_cold());
    core.filter_map(|function| Some(entry(symbols, image, function, Callee::of(function.base())?))).collect()
}

fn entry(symbols: &Symbols, image: &Image, function: &Function, callee: Callee) -> Entry {
    let address = function.address;
    let marked = image.bytes(address, 4).is_some_and(is_landing_pad);
    Entry {
        callee,
        address,
        end: function.end,
        body: if marked { address + 4 } else { address },
        padding: symbols.padding(function),
    }
}

/// Whether these four bytes are `endbr64`, or the no-op that the kernel writes over one that nobody jumps to.
pub(super) fn is_landing_pad(bytes: &[u8]) -> bool {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    /// `nopl -42(%rax)` and, in older kernels, `nopw (%rax)`: `gen_endbr_poison()` in arch/x86/include/asm/ibt.h.
    const SEALED: [[u8; 4]; 2] = [[0x0f, 0x1f, 0x40, 0xd6], [0x66, 0x0f, 0x1f, 0x00]];
    bytes == ENDBR64 || SEALED.iter().any(|sealed| bytes == sealed)
}
