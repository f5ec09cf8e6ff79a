//! Why scenarios could not run, and in which kernels: each reason once.

use super::KernelResult;
use crate::report::{human::reasons, text::hanging};

/// A reason with its scenarios, and the kernels in which it is these.
struct Group {
    reason: String,
    scenarios: Vec<String>,
    kernels: Vec<String>,
}

pub(super) fn render(kernels: &[KernelResult], width: usize) -> Vec<String> {
    let mut groups: Vec<Group> = Vec::new();
    for kernel in kernels {
        for (reason, scenarios) in reasons(&kernel.scenarios) {
            match groups.iter_mut().find(|group| group.reason == reason && group.scenarios == scenarios) {
                Some(group) => group.kernels.push(kernel.name()),
                None => groups.push(Group { reason, scenarios, kernels: vec![kernel.name()] }),
            }
        }
    }
    let line = |Group { reason, scenarios, kernels }: &Group| {
        hanging(&format!("skipped in {}: ", kernels.join(", ")), &format!("{}: {reason}", scenarios.join(", ")), width)
    };
    groups.iter().flat_map(line).collect()
}
