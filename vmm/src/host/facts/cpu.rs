//! The processor: what it is called and whether it offers hardware virtualization.

use serde::Serialize;

use super::fact::Fact;
use super::tree::Tree;

/// The hardware extension that a KVM vendor module needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Virtualization {
    /// Intel VT-x.
    Vmx,
    /// AMD-V.
    Svm,
    /// Neither, or turned off by the firmware (the kernel then clears the flag, `arch/x86/kernel/cpu/feat_ctl.c`).
    None,
}

/// The processors of the host.
#[derive(Clone, Debug, Serialize)]
pub struct Cpu {
    /// `model name` in `/proc/cpuinfo`.
    pub model: Fact<String>,
    /// The online CPUs.
    pub online: Fact<Vec<u32>>,
    /// What `/proc/cpuinfo` says of virtualization.
    pub virtualization: Fact<Virtualization>,
    /// This machine is itself a virtual one (the `hypervisor` flag).
    pub in_vm: Fact<bool>,
}

impl Cpu {
    pub(crate) fn read(tree: &Tree) -> Self {
        let field = |name: &'static str| {
            tree.parse("proc/cpuinfo", name, |text| {
                let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
                Some(line.split_once(':')?.1.trim().to_owned())
            })
        };
        let flags: Fact<String> = field("flags").into();
        let has = |flag: &str| flags.known().is_some_and(|flags| flags.split(' ').any(|word| word == flag));
        Self {
            model: field("model name").into(),
            online: tree.set("sys/devices/system/cpu/online").into(),
            virtualization: match &flags {
                Fact::Known(_) if has("vmx") => Fact::Known(Virtualization::Vmx),
                Fact::Known(_) if has("svm") => Fact::Known(Virtualization::Svm),
                Fact::Known(_) => Fact::Known(Virtualization::None),
                Fact::Unknown { reason } => Fact::unknown(reason),
            },
            in_vm: match &flags {
                Fact::Known(_) => Fact::Known(has("hypervisor")),
                Fact::Unknown { reason } => Fact::unknown(reason),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn flags_are_words() {
        let fake = Fake::new()
            .file("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU: fast\nvmx flags\t: svm\nflags\t\t: fpu vmx_x svm\n")
            .file("sys/devices/system/cpu/online", "0-3\n");
        let cpu = Cpu::read(&fake.tree());
        assert!(cpu.model.is("Some CPU: fast"));
        assert!(cpu.virtualization.is(&Virtualization::Svm));
        assert!(cpu.in_vm.is(&false));
        assert!(cpu.online.is(&vec![0, 1, 2, 3]));
    }

    #[test]
    fn garbage() {
        let cpu = Cpu::read(&Fake::new().file("proc/cpuinfo", "\u{0}::\n\n:").tree());
        assert!(cpu.model.known().is_none() && cpu.virtualization.known().is_none());
    }
}
