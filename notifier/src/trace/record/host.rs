//! What a recording says of the machine and the process.

use super::super::head::Mmu;
use crate::event::Tsc;
use std::fs;

/// The time stamp counter now.
pub(super) fn now() -> Tsc {
    // SAFETY: every x86-64 CPU has it.
    Tsc(unsafe { core::arch::x86_64::_rdtsc() })
}

fn line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}

/// `uname -r`.
pub(super) fn kernel() -> String {
    line("/proc/sys/kernel/osrelease").unwrap_or_default()
}

/// CPU model.
pub(super) fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    model.map(|(_, model)| model.trim().to_owned()).unwrap_or_default()
}

/// The name of a process or thread.
pub(super) fn command(pid: i32) -> String {
    line(&format!("/proc/{pid}/comm")).unwrap_or_default()
}

/// Bytes of memory that the machine has.
pub(super) fn memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes: u64 = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Kind of secondary MMU. The TDP MMU needs nested paging, which another module decides: kernels before 6.3 say `tdp_mmu=Y` without it.
pub(super) fn mmu() -> Mmu {
    decide(|module, parameter| line(&format!("/sys/module/{module}/parameters/{parameter}")))
}

fn decide(parameter: impl Fn(&str, &str) -> Option<String>) -> Mmu {
    let says = |module, name, wanted: &[&str]| parameter(module, name).is_some_and(|value| wanted.contains(&value.as_str()));
    let nested = says("kvm_intel", "ept", &["Y", "1"]) || says("kvm_amd", "npt", &["Y", "1"]);
    if nested && says("kvm", "tdp_mmu", &["Y", "1"]) { Mmu::Tdp } else { Mmu::Shadow }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tdp_mmu_needs_nested_paging() {
        let mmu = |known: &[(&str, &str)]| {
            decide(|module, name| {
                known.iter().find(|(key, _)| *key == format!("{module}.{name}")).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(mmu(&[("kvm.tdp_mmu", "Y"), ("kvm_amd.npt", "Y")]), Mmu::Tdp);
        assert_eq!(mmu(&[("kvm.tdp_mmu", "Y"), ("kvm_intel.ept", "1")]), Mmu::Tdp);
        assert_eq!(mmu(&[("kvm.tdp_mmu", "Y"), ("kvm_amd.npt", "0")]), Mmu::Shadow);
        assert_eq!(mmu(&[("kvm.tdp_mmu", "N"), ("kvm_amd.npt", "1")]), Mmu::Shadow);
        assert_eq!(mmu(&[("kvm.tdp_mmu", "Y")]), Mmu::Shadow, "another way to run guests");
    }

    #[test]
    fn this_machine_has_memory_and_time() {
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
        assert!(now() < now());
    }
}
