//! Why scenarios could not run, and in which kernels: each reason once.

use super::KernelResult;
use crate::report::{
    Verdict,
    text::{clean, hanging},
};

/// A reason with its scenarios, and the kernels in which it is these.
struct Group {
    reason: String,
    scenarios: Vec<String>,
    kernels: Vec<String>,
}

pub(super) fn render(kernels: &[KernelResult], width: usize) -> Vec<String> {
    let mut groups: Vec<Group> = Vec::new();
    for kernel in kernels {
        for (reason, scenarios) in reasons(kernel) {
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

/// The reasons of one kernel, each with the scenarios to which it applies.
fn reasons(kernel: &KernelResult) -> Vec<(String, Vec<String>)> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for scenario in kernel.scenarios.iter().filter(|scenario| scenario.verdict == Verdict::Skipped) {
        let reason = scenario.reason.as_deref().map(clean).filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
        let who = format!("{} on {}", clean(&scenario.name), clean(&scenario.backing));
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, scenarios)) => scenarios.push(who),
            None => reasons.push((reason, vec![who])),
        }
    }
    reasons
}
