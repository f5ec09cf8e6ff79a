//! KSM: whether the kernel merges equal pages.

use serde::Serialize;

use super::fact::Fact;
use super::tree::Tree;

const DIR: &str = "sys/kernel/mm/ksm";

/// What `run` says (`Documentation/admin-guide/mm/ksm.rst`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KsmRun {
    /// 0: stopped, merged pages stay merged.
    Stopped,
    /// 1: merging.
    Running,
    /// 2: stopped, and every merged page was taken apart.
    Unmerged,
}

/// KSM on this host.
#[derive(Clone, Debug, Serialize)]
pub struct Ksm {
    /// What it does now.
    pub run: Fact<KsmRun>,
    /// Pages a batch looks at.
    pub pages_to_scan: Fact<u64>,
    /// The pause between batches.
    pub sleep_ms: Fact<u64>,
    /// Whether it can pass over pages that were different before (since 6.7).
    pub smart_scan: bool,
    /// Whether it can set its own pace (since 6.8).
    pub advisor: bool,
}

impl Ksm {
    pub(crate) fn read(tree: &Tree) -> Self {
        let run = tree.parse(&format!("{DIR}/run"), "0, 1 or 2", |text| match text {
            "0" => Some(KsmRun::Stopped),
            "1" => Some(KsmRun::Running),
            "2" => Some(KsmRun::Unmerged),
            _ => None,
        });
        Self {
            run: run.into(),
            pages_to_scan: tree.number(&format!("{DIR}/pages_to_scan")).into(),
            sleep_ms: tree.number(&format!("{DIR}/sleep_millisecs")).into(),
            smart_scan: tree.exists(&format!("{DIR}/smart_scan")),
            advisor: tree.exists(&format!("{DIR}/advisor_mode")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn run() {
        let run = |text: &str| Ksm::read(&Fake::new().file("sys/kernel/mm/ksm/run", text).tree()).run;
        assert!(run("0\n").is(&KsmRun::Stopped) && run("1\n").is(&KsmRun::Running) && run("2").is(&KsmRun::Unmerged));
        assert!(run("3").known().is_none() && run("").known().is_none());
    }
}
