//! The host settings that a scenario wants, held while it runs.

use super::Scenario;
use crate::{
    host::{
        facts::{FOLIO_BYTES, Facts},
        knobs::{Guard, Knob, Knobs, Setting},
    },
    memory::{Backing, BackingKind},
};

const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SHMEM: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Settings in force until dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    _guards: Vec<Guard>,
}

/// Sets what `scenario` wants.
///
/// # Errors
/// Why a setting without which there is no point in going on is not to be had. Others come to a note.
pub(super) fn hold(scenario: &Scenario, facts: &Facts, knobs: &Knobs, notes: &mut Vec<String>) -> Result<Held, String> {
    let mut wanted = of_backing(scenario.backing, facts);
    for operation in &scenario.operations {
        for setting in (operation.settings)(facts, scenario.backing) {
            if wanted.iter().all(|known| known.knob != setting.knob) {
                wanted.push(setting);
            }
        }
    }
    let mut held = Held::default();
    for Setting { knob, value, otherwise } in wanted {
        match (knobs.set(&knob, &value), otherwise) {
            (Ok(guard), _) => held._guards.push(guard),
            (Err(error), None) => return Err(error.to_string()),
            // Not every user may write there, and need not where it is so already.
            (Err(_), _) if knob.read().is_ok_and(|now| now == value) => {}
            (Err(error), Some(otherwise)) => {
                let note = format!("{otherwise}: {error}");
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
    }
    Ok(held)
}

/// Huge pages for memory that asks for them. Where they are on already, nothing is to be done.
fn of_backing(backing: Backing, facts: &Facts) -> Vec<Setting> {
    let (path, now, value) = match backing.kind {
        BackingKind::Anon => (THP, &facts.thp.enabled, "madvise"),
        BackingKind::Memfd => (SHMEM, &facts.thp.shmem_enabled, "advise"),
        BackingKind::AnonMthp => return folios(facts),
        BackingKind::FileShared | BackingKind::FilePrivate => return Vec::new(),
    };
    // What is there already may be there only until another run ends; to want it as well keeps it.
    let off = now.known().is_some_and(|now| now == value || now == "never" || now == "deny");
    if !backing.huge || !off {
        return Vec::new();
    }
    vec![Setting::helpful(Knob::choice(path), value, "memory stays in small pages")]
}

/// Folios of [`FOLIO_BYTES`] for memory that asks for huge pages, and none of a whole PMD, which would come first.
fn folios(facts: &Facts) -> Vec<Setting> {
    let size = |bytes: u64| facts.thp.sizes.iter().find(|size| size.page_bytes == bytes);
    let knob = |bytes: u64| Knob::choice(format!("/sys/kernel/mm/transparent_hugepage/hugepages-{}kB/enabled", bytes >> 10));
    let on = size(FOLIO_BYTES).and_then(|size| size.enabled.known()).is_some_and(|now| now == "always");
    let mut wanted = Vec::new();
    if !on {
        wanted.push(Setting::essential(knob(FOLIO_BYTES), "madvise"));
    }
    if let Some(&pmd) = facts.thp.hpage_pmd_size_bytes.known()
        && size(pmd).is_some()
    {
        wanted.push(Setting::helpful(knob(pmd), "never", "memory may come in whole huge pages instead of smaller ones"));
    }
    wanted
}
