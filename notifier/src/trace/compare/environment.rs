//! What else is different between two recordings: it qualifies everything that is said of them.

use super::diff::Difference;
use crate::trace::{
    head::Mmu,
    profile::{OrderVerdict, Profile},
};

/// All of it, what says most first.
pub(super) fn differences(a: &Profile, b: &Profile) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut unless_same = |what: &str, [a, b]: [String; 2], means: &str| {
        if a != b {
            all.push(Difference { what: what.to_owned(), a, b, means: means.to_owned() });
        }
    };
    let both = |of: fn(&Profile) -> String| [of(a), of(b)];
    unless_same("kernel", both(|side| side.kernel.clone()), "the usual reason to compare");
    unless_same(
        "mmu",
        both(|side| mmu(side.mmu).to_owned()),
        "entries are not seen in the same way; orders compare only by what both see",
    );
    unless_same(
        "probes",
        both(|side| if side.probes { "yes" } else { "no" }.to_owned()),
        "only one sees where KVM begins, flushes and ends; start is not the same point on both sides, nor are times from it",
    );
    unless_same("vacuous", both(vacuous), "what a vacuous recording does not have says nothing");
    unless_same("title", both(|side| side.title.clone()), "another load: frequencies and times move with it");
    unless_same("command", both(|side| side.command.clone()), "another program: frequencies and times move with it");
    unless_same("cpu", both(|side| side.cpu.clone()), "times do not compare");
    unless_same("cpus", both(|side| side.cpus.to_string()), "flushes and faults in flight depend on it");
    let mut where_any = |what: &str, of: fn(&Profile) -> Option<String>, means: &str| {
        if let (a, b) = (of(a), of(b))
            && (a.is_some() || b.is_some())
        {
            let or_none = |side: Option<String>| side.unwrap_or_else(|| "no".to_owned());
            all.push(Difference { what: what.to_owned(), a: or_none(a), b: or_none(b), means: means.to_owned() });
        }
    };
    where_any("lost events", lost, "orders with a gap look new, or are missing; what is missing in B is not counted as relevant");
    where_any("truncated", |side| side.truncated.clone(), "what came later is not known");
    all
}

/// What should be known of the second recording.
pub(super) fn notes(b: &Profile) -> Vec<String> {
    match lost(b) {
        Some(lost) => vec![format!(
            "B has lost events ({lost}): a stage that does not come may be among them. Record again, with less or with larger buffers"
        )],
        None => Vec::new(),
    }
}

fn mmu(mmu: Mmu) -> &'static str {
    match mmu {
        Mmu::Shadow => "shadow",
        Mmu::Tdp => "tdp",
    }
}

fn vacuous(side: &Profile) -> String {
    if side.verdict == OrderVerdict::Vacuous { "yes" } else { "no" }.to_owned()
}

fn lost(side: &Profile) -> Option<String> {
    let lost = side.lost.iter().map(|lost| lost.events).fold(0, u64::saturating_add);
    (lost > 0).then(|| lost.to_string())
}
