//! Which kernel runs here, and which of its own checks watch along.

use serde::Serialize;

use super::config::Config;
use super::fact::Fact;
use super::tree::Tree;

/// `TAINT_DIE` and `TAINT_WARN` (`include/linux/panic.h`): the kernel has died or warned at least once since it booted.
const TAINT_DIE_OR_WARN: u64 = 1 << 7 | 1 << 9;

/// The running kernel.
#[derive(Clone, Debug, Serialize)]
pub struct Kernel {
    /// `uname -r`.
    pub release: Fact<String>,
    /// `/proc/version`: release, compiler, build.
    pub version: Fact<String>,
    /// The architecture in the kernel's words.
    pub arch: Fact<String>,
    /// Changes with every boot: two results with the same one come from the same running kernel.
    pub boot_id: Fact<String>,
    /// Whether it can load modules at all; hints that say `modprobe` would be useless otherwise.
    pub modules: bool,
    /// `/proc/sys/kernel/tainted`.
    pub taint_mask: Fact<u64>,
    /// `CONFIG_PROVE_LOCKING`: lock order violations are reported.
    pub prove_locking: Fact<bool>,
    /// `CONFIG_KASAN`: use after free is reported.
    pub kasan: Fact<bool>,
    /// `CONFIG_DEBUG_VM`: `VM_BUG_ON` and friends are compiled in.
    pub debug_vm: Fact<bool>,
}

impl Kernel {
    pub(crate) fn read(tree: &Tree) -> Self {
        let release: Fact<String> = tree.line("proc/sys/kernel/osrelease").into();
        let config = Config::read(tree, release.known().map(String::as_str));
        Self {
            version: tree.line("proc/version").into(),
            // The file exists since 6.1. Before that, a binary that runs natively says as much.
            arch: Fact::Known(tree.line("proc/sys/kernel/arch").unwrap_or_else(|_| std::env::consts::ARCH.to_owned())),
            boot_id: tree.line("proc/sys/kernel/random/boot_id").into(),
            modules: tree.exists("proc/modules"),
            taint_mask: tree.number("proc/sys/kernel/tainted").into(),
            prove_locking: prove_locking(tree, &config),
            kasan: config.enabled("CONFIG_KASAN"),
            debug_vm: config.enabled("CONFIG_DEBUG_VM"),
            release,
        }
    }

    /// Whether the kernel warned or died before this run, if that is known.
    pub fn warned_before(&self) -> bool {
        self.taint_mask.known().is_some_and(|mask| mask & TAINT_DIE_OR_WARN != 0)
    }
}

/// `/proc/lockdep_chains` is created under `CONFIG_PROVE_LOCKING` alone, `/proc/lockdep` under `LOCK_STAT` as well
/// (`kernel/locking/lockdep_proc.c`). Without the file in a `/proc` that is there, the answer is no.
fn prove_locking(tree: &Tree, config: &Config) -> Fact<bool> {
    if tree.exists("proc/lockdep_chains") {
        Fact::Known(true)
    } else if tree.exists("proc/version") {
        Fact::Known(false)
    } else {
        config.enabled("CONFIG_PROVE_LOCKING")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn a_debug_kernel() {
        let fake = Fake::new()
            .file("proc/version", "Linux version 6.12.0 (gcc) #1 SMP\n")
            .file("proc/sys/kernel/osrelease", "6.12.0\n")
            .file("proc/sys/kernel/tainted", "512\n")
            .file("proc/modules", "")
            .file("proc/lockdep_chains", "")
            .file("boot/config-6.12.0", "CONFIG_KASAN=y\n# CONFIG_DEBUG_VM is not set\n");
        let kernel = Kernel::read(&fake.tree());
        assert!(kernel.release.is("6.12.0"));
        assert!(kernel.modules && kernel.warned_before());
        assert!(kernel.prove_locking.is(&true));
        assert!(kernel.kasan.is(&true));
        assert!(kernel.debug_vm.is(&false));
    }

    #[test]
    fn nothing_is_guessed() {
        let kernel = Kernel::read(&Fake::new().tree());
        assert_eq!(kernel.release.reason(), Some("/proc/sys/kernel/osrelease does not exist"));
        assert!(kernel.kasan.known().is_none() && kernel.prove_locking.known().is_none());
        assert!(!kernel.modules && !kernel.warned_before());
    }
}
