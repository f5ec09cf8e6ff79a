//! Which messages mean that the kernel found something wrong with itself.
//!
//! Words such as "BUG" and "WARNING" also come from firmware tables, drivers and services. The kernel's own reports have fixed
//! forms, so a pattern is anchored at the start of a line, and a "WARNING:" has to go on as WARN() or lockdep would.

use std::fmt;

use super::record::Record;

/// What kind of trouble the kernel reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Alarm {
    /// `WARN_ON` and its kind.
    Warning,
    /// `BUG`, `BUG_ON`, or a message that begins with "BUG:" and is no other kind.
    Bug,
    /// The kernel died on an exception: page fault, general protection, invalid opcode, …
    Oops,
    /// The kernel panicked.
    Panic,
    /// A page, a page table or a swap entry in an impossible state, or counters of an mm that do not add up.
    BadPage,
    /// A list whose neighbours do not point back.
    ListCorruption,
    /// A reference count that underflowed, saturated or left zero.
    Refcount,
    /// A slab object overwritten or freed twice.
    Slab,
    /// KVM's shadow or TDP MMU found entries that cannot be.
    KvmMmu,
    /// KASAN, KMSAN, KCSAN, KFENCE or UBSAN.
    Sanitizer,
    /// Lockdep, or RCU used without its lock.
    Lockdep,
    /// A task blocked for longer than the hung-task limit.
    HungTask,
    /// A soft or hard lockup, or a workqueue that does not get on.
    Lockup,
    /// An RCU grace period that does not end.
    RcuStall,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warning => "WARN",
            Self::Bug => "BUG",
            Self::Oops => "Oops",
            Self::Panic => "panic",
            Self::BadPage => "bad page",
            Self::ListCorruption => "list corruption",
            Self::Refcount => "refcount",
            Self::Slab => "slab corruption",
            Self::KvmMmu => "KVM MMU",
            Self::Sanitizer => "sanitizer",
            Self::Lockdep => "lockdep",
            Self::HungTask => "hung task",
            Self::Lockup => "lockup",
            Self::RcuStall => "RCU stall",
        })
    }
}

/// What lockdep puts behind "WARNING: " (or, before 4.11, inside "[ INFO: … ]").
const LOCKDEP: [&str; 10] = [
    "possible circular locking dependency",
    "possible recursive locking",
    "possible irq lock inversion dependency",
    "inconsistent lock state",
    "suspicious RCU usage",
    "bad unlock balance",
    "held lock freed",
    "lock held when returning to user space",
    "lock held at task exit time",
    "Nested lock was not taken",
];

const SWAP: [&str; 4] =
    ["Bad swap file entry ", "Bad swap offset entry ", "Unused swap file entry ", "Unused swap offset entry "];

/// What a record means, if it means that something is wrong.
///
/// Records of userspace count as well, which is how a planted line proves that the oracle works.
pub fn alarm(record: &Record) -> Option<Alarm> {
    record.text.lines().find_map(|line| {
        let line = line.trim_start();
        classify(line).or_else(|| {
            // The kernel's own messages may carry pr_fmt() and a function's name in front ("kvm: get_mmio_spte: "). In those of
            // userspace what looks like that is the name of a service.
            let rest = strip_prefix(line).filter(|_| record.is_from_kernel())?;
            classify(rest).or_else(|| classify(strip_prefix(rest)?))
        })
    })
}

/// Takes one "module: " or "function: " away.
fn strip_prefix(line: &str) -> Option<&str> {
    let (prefix, rest) = line.split_once(": ")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    (!prefix.is_empty() && prefix.len() <= 40 && prefix.chars().all(plain)).then_some(rest)
}

fn classify(line: &str) -> Option<Alarm> {
    let starts = |patterns: &[&str]| patterns.iter().any(|pattern| line.starts_with(pattern));
    if let Some(rest) = line.strip_prefix("BUG: ") {
        return bug(rest);
    }
    if let Some(rest) = line.strip_prefix("WARNING: ") {
        return warning(rest);
    }
    if let Some(rest) = line.strip_prefix("INFO: ") {
        return info(rest);
    }
    if starts(&["kernel BUG at "]) {
        Some(Alarm::Bug)
    } else if starts(&["Kernel panic - not syncing", "PANIC: double fault"]) {
        Some(Alarm::Panic)
    } else if starts(&["Oops: ", "general protection fault", "Unable to handle kernel ", "Internal error: "]) || is_die(line) {
        Some(Alarm::Oops)
    } else if starts(&SWAP) || is_bad_table(line) {
        Some(Alarm::BadPage)
    } else if starts(&["list_add corruption", "list_del corruption", "list_add double add", "list_add attempted on"]) {
        Some(Alarm::ListCorruption)
    } else if starts(&["refcount_t: "]) {
        Some(Alarm::Refcount)
    } else if starts(&["BUG "]) && (line.contains(" (Not tainted): ") || line.contains(" (Tainted: ")) {
        Some(Alarm::Slab)
    } else if starts(&["Invalid SPTE change: ", "reserved bits set on MMU-present spte, addr "]) {
        Some(Alarm::KvmMmu)
    } else if starts(&["UBSAN: "]) && line.contains(" in ") {
        Some(Alarm::Sanitizer)
    } else if starts(&["[ BUG: "]) || line.strip_prefix("[ INFO: ").is_some_and(is_lockdep) {
        Some(Alarm::Lockdep)
    } else if starts(&["Watchdog detected hard LOCKUP on cpu"]) {
        Some(Alarm::Lockup)
    } else {
        None
    }
}

fn bug(rest: &str) -> Option<Alarm> {
    let starts = |patterns: &[&str]| patterns.iter().any(|pattern| rest.starts_with(pattern));
    if rest.starts_with("MAX_") && rest.contains(" too low!") {
        // Lockdep ran out of memory for its tables and turned itself off.
        return None;
    }
    Some(if starts(&["KASAN: ", "KMSAN: ", "KCSAN: ", "KFENCE: "]) {
        Alarm::Sanitizer
    } else if starts(&["Bad page ", "Bad rss-counter state", "non-zero pgtables_bytes"]) {
        Alarm::BadPage
    } else if starts(&["soft lockup", "workqueue lockup"]) {
        Alarm::Lockup
    } else if starts(&["unable to handle ", "kernel NULL pointer dereference"]) {
        Alarm::Oops
    } else {
        Alarm::Bug
    })
}

fn warning(rest: &str) -> Option<Alarm> {
    // "CPU: 1 PID: 2 at mm/rmap.c:3 f+0x4/0x5", and since 6.19 "mm/rmap.c:3 at f+0x4/0x5, CPU#1: comm/2"; both without the
    // place when the kernel was built without it.
    let at_place = || rest.split_once(" at ").is_some_and(|(place, _)| is_place(place));
    let at_cpu = || rest.starts_with("at ") && rest.contains(", CPU#");
    let old = || rest.strip_prefix("CPU: ").is_some_and(|rest| rest.contains(" PID: ") && rest.contains(" at "));
    if is_lockdep(rest) || rest.contains(" lock order detected") {
        Some(Alarm::Lockdep)
    } else if old() || at_place() || at_cpu() {
        Some(Alarm::Warning)
    } else {
        None
    }
}

fn info(rest: &str) -> Option<Alarm> {
    if rest.starts_with("task ") && rest.contains(" blocked ") && rest.contains(" for more than ") {
        Some(Alarm::HungTask)
    } else if rest.starts_with("rcu") && rest.contains("stall") {
        Some(Alarm::RcuStall)
    } else if rest.starts_with("trying to register non-static key") {
        Some(Alarm::Lockdep)
    } else {
        None
    }
}

fn is_lockdep(rest: &str) -> bool {
    LOCKDEP.iter().any(|pattern| rest.starts_with(pattern))
}

/// A place in the source, `mm/rmap.c:123`.
fn is_place(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(file, line)| {
        (file.ends_with(".c") || file.ends_with(".h") || file.ends_with(".rs"))
            && !file.contains(' ')
            && !line.is_empty()
            && line.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// `mm/pgtable-generic.c:50: bad pmd 00000000(…)`.
fn is_bad_table(line: &str) -> bool {
    line.split_once(": bad p").is_some_and(|(place, rest)| {
        is_place(place) && ["te ", "md ", "ud ", "4d ", "gd "].iter().any(|level| rest.starts_with(level))
    })
}

/// What every exception ends up in, whatever it was: `invalid opcode: 0000 [#1] SMP`.
fn is_die(line: &str) -> bool {
    let Some((head, tail)) = line.split_once(" [#") else { return false };
    let Some((_, code)) = head.rsplit_once(": ") else { return false };
    let Some((count, _)) = tail.split_once(']') else { return false };
    (4..=16).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_hexdigit())
        && !count.is_empty()
        && count.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
