//! What this process may do.

use serde::Serialize;

use super::fact::Fact;
use super::tree::Tree;

/// The effective capabilities that some test depends on (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// `CAP_SYS_ADMIN`: physical frame numbers, mounts, swap.
    pub sys_admin: bool,
    /// `CAP_SYS_NICE`: moving pages of others, priorities.
    pub sys_nice: bool,
    /// `CAP_IPC_LOCK`: locked memory beyond the limit.
    pub ipc_lock: bool,
    /// `CAP_SYS_PTRACE`: userfaultfd that also serves faults of the kernel.
    pub sys_ptrace: bool,
    /// `CAP_SYSLOG`: the kernel log where it is restricted.
    pub syslog: bool,
}

impl Capabilities {
    /// Bit numbers from `include/uapi/linux/capability.h`.
    fn from_mask(mask: u64) -> Self {
        let has = |bit: u32| mask & (1 << bit) != 0;
        Self { sys_admin: has(21), sys_nice: has(23), ipc_lock: has(14), sys_ptrace: has(19), syslog: has(34) }
    }

    /// The names of those that are not effective.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = [
            (self.sys_admin, "CAP_SYS_ADMIN"),
            (self.sys_nice, "CAP_SYS_NICE"),
            (self.ipc_lock, "CAP_IPC_LOCK"),
            (self.sys_ptrace, "CAP_SYS_PTRACE"),
            (self.syslog, "CAP_SYSLOG"),
        ];
        all.into_iter().filter(|(effective, _)| !effective).map(|(_, name)| name).collect()
    }
}

/// The credentials of this process.
#[derive(Clone, Debug, Serialize)]
pub struct Privilege {
    /// The effective user.
    pub euid: Fact<u32>,
    /// What it may do.
    pub capabilities: Fact<Capabilities>,
    /// Whether those capabilities are worth anything to the kernel: in a user namespace of a container they are not.
    pub initial_user_namespace: Fact<bool>,
}

impl Privilege {
    pub(crate) fn read(tree: &Tree) -> Self {
        let status = |key: &'static str| {
            move |text: &str| {
                text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':').map(|rest| rest.trim().to_owned()))
            }
        };
        let file = "proc/self/status";
        Self {
            // real, effective, saved, file system
            euid: tree.parse(file, "Uid:", |text| status("Uid")(text)?.split_whitespace().nth(1)?.parse().ok()).into(),
            capabilities: tree
                .parse(file, "CapEff: in hex", |text| u64::from_str_radix(&status("CapEff")(text)?, 16).ok())
                .map(Capabilities::from_mask)
                .into(),
            // user_namespaces(7): the initial one maps every user to itself
            initial_user_namespace: tree
                .parse("proc/self/uid_map", "ranges of users", |text| {
                    let words: Vec<u64> = text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
                    Some(words == [0, 0, 4_294_967_295])
                })
                .into(),
        }
    }

    /// Root with the capability that counts most.
    pub fn is_root(&self) -> bool {
        self.euid.is(&0) && self.capabilities.known().is_some_and(|capabilities| capabilities.sys_admin)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn masks() {
        let fake = Fake::new()
            .file("proc/self/status", "Name:\tx\nUid:\t1000\t0\t0\t0\nCapPrm:\t0\nCapEff:\t0000000400200000\n")
            .file("proc/self/uid_map", "         0          0 4294967295\n");
        let privilege = Privilege::read(&fake.tree());
        assert!(privilege.is_root() && privilege.initial_user_namespace.is(&true));
        let missing = privilege.capabilities.known().map(Capabilities::missing);
        assert_eq!(missing, Some(vec!["CAP_SYS_NICE", "CAP_IPC_LOCK", "CAP_SYS_PTRACE"]));
    }

    #[test]
    fn garbage_is_not_root() {
        for text in ["", "Uid:", "Uid:\tx\ty", "CapEff:\tzz", "Uid:\t0\nCapEff:\t10000000000000000"] {
            let privilege = Privilege::read(&Fake::new().file("proc/self/status", text).tree());
            assert!(!privilege.is_root() && privilege.capabilities.known().is_none(), "{text:?}");
        }
    }
}
