//! What the console of a kernel under test says about its health. Its own log is read inside ([`kmsg`]); when the
//! kernel dies the console is all that is left.

use crate::host::kmsg::{self, Alarm, Record};

/// A message that means trouble, with what followed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleAlarm {
    /// What kind.
    pub alarm: Alarm,
    /// The message.
    pub text: String,
    /// Whether it is KVM's or memory management's: in a trace with KVM in it, or a page in an impossible state. Others may be the
    /// emulation's fault, which now and then makes a kernel stumble over its own text being patched.
    pub signature: bool,
}

/// Lines behind a message that are still its report.
const REPORT: usize = 60;

/// All alarms on a console, in their order. What follows a report within it is part of it.
#[must_use]
pub fn alarms(console: &str) -> Vec<ConsoleAlarm> {
    let lines: Vec<&str> = console.lines().map(message).collect();
    let mut found: Vec<ConsoleAlarm> = Vec::new();
    for (at, text) in lines.iter().enumerate() {
        let record = Record { sequence: 0, time_us: 0, level: 0, facility: 0, text: (*text).to_owned() };
        let Some(alarm) = kmsg::alarm(&record) else { continue };
        let report = &lines[at..(at + REPORT).min(lines.len())];
        let end = report.iter().position(|line| line.starts_with("---[ end ")).map_or(report.len(), |end| end + 1);
        let signature = match alarm {
            Alarm::KvmMmu | Alarm::BadPage => true,
            // A vCPU's thread always has KVM on its stack, wherever the emulation made it stumble or stop.
            Alarm::Lockup | Alarm::RcuStall | Alarm::HungTask => false,
            _ => !text.contains("int3") && report[..end].iter().any(|line| is_in_kvm(line)),
        };
        found.push(ConsoleAlarm { alarm, text: (*text).to_owned(), signature });
    }
    found
}

/// What a kernel said when something went wrong: at most so many lines from its complaint on, the gravest if there are several;
/// of a console without any, the end.
#[must_use]
pub fn last_words(console: &str, most: usize) -> Vec<&str> {
    let said: Vec<&str> = console.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let found = alarms(console);
    let gravest = found.iter().find(|alarm| alarm.signature);
    let gravest = gravest.or_else(|| found.iter().find(|alarm| alarm.alarm != Alarm::Warning));
    let at = gravest.and_then(|alarm| said.iter().position(|line| message(line) == alarm.text));
    let from = at.unwrap_or(said.len().saturating_sub(most));
    said[from..].iter().take(most).copied().collect()
}

/// The message of a console line, without its time and its caller: `[    5.658698][  T123] kernel BUG at …`.
fn message(line: &str) -> &str {
    let mut rest = line.trim_end();
    while let Some((_, behind)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        // "[ BUG: …" of lockdep is a message.
        if rest.starts_with("[ BUG") || rest.starts_with("[ INFO") {
            break;
        }
        rest = behind.trim_start();
    }
    rest
}

/// A line that says where it happened, and that this is KVM's code or the notifier's. The trace behind it says only who called.
fn is_in_kvm(line: &str) -> bool {
    let place = ["RIP: 0010:", "kernel BUG at ", "WARNING: "].iter().any(|start| line.starts_with(start));
    place && ["[kvm", "kvm_", "tdp_mmu", "/kvm/", "mmu_notifier"].iter().any(|mark| line.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUG: &str = "\
[    5.658698] kernel BUG at arch/x86/kvm/mmu/tdp_mmu.c:485!
[    5.658900] invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
[    5.659000] Modules linked in: kvm_amd kvm irqbypass
[    5.659497] RIP: 0010:__handle_changed_spte.cold+0x42/0x49b [kvm]
[    5.662000] ---[ end trace 0000000000000000 ]---
";

    #[test]
    fn a_bug_of_kvm_has_its_signature() {
        let found = alarms(BUG);
        assert_eq!(found[0].alarm, Alarm::Bug);
        assert!(found.iter().all(|alarm| alarm.signature), "{found:?}");
        assert_eq!(found[0].text, "kernel BUG at arch/x86/kvm/mmu/tdp_mmu.c:485!");
    }

    #[test]
    fn a_stumble_of_the_emulation_has_none() {
        let console = "\
[   12.1][    T1] Oops: int3: 0000 [#1] PREEMPT SMP
[   12.2][    T1] Modules linked in: kvm_amd kvm irqbypass
[   12.3][    T1] RIP: 0010:__schedule+0x2f0/0x900
[   12.3][    T1]  kvm_arch_vcpu_ioctl_run+0x1f0/0x1700 [kvm]
[   12.4][    T1] ---[ end trace 0 ]---
[   13.0] kvm_amd: Nested Paging enabled
";
        let found = alarms(console);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].alarm, found[0].signature), (Alarm::Oops, false));
    }

    #[test]
    fn the_last_words_begin_where_it_went_wrong() {
        let console = format!(
            "[ 0.1] first\n\n[ 0.2] WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1\r\n[ 0.2] ---[ end trace 0 ]---\n{BUG}[ 9.0] Kernel Offset: disabled\n"
        );
        let words = last_words(&console, 3);
        assert!(words.len() == 3 && words[0].ends_with("tdp_mmu.c:485!") && words[2].contains("Modules"), "{words:?}");
        assert_eq!(last_words("one\n\ntwo\nthree", 2), ["two", "three"]);
        assert!(last_words("", 2).is_empty());
    }

    #[test]
    fn pages_in_impossible_states_speak_for_themselves_and_a_quiet_console_for_nothing() {
        let found = alarms("[    9.4] BUG: Bad page state in process nostale  pfn:06000\r\n");
        assert_eq!((found[0].alarm, found[0].signature), (Alarm::BadPage, true));
        assert!(alarms("[    3.1] kvm: Nested Virtualization enabled\n\n[    4.0] random: crng init done").is_empty());
    }
}
