//! The host settings that a scenario wants, held while it runs.

use super::{Config, Scenario};
use crate::{
    host::{
        facts::{Facts, writes_back},
        knobs::{Guard, Kind, Knob, Knobs, Setting},
    },
    memory::{Backing, BackingKind},
};
use std::path::PathBuf;

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

/// The disk that an operation of `scenario` wants for its files, where they would be in memory otherwise.
pub(super) fn disk(scenario: &Scenario, config: &Config, facts: &Facts) -> Option<PathBuf> {
    if !scenario.backing.has_file() || writes_back(&config.file_dir) {
        return None;
    }
    let mut settings = scenario.operations.iter().flat_map(|operation| (operation.settings)(facts, scenario.backing));
    settings.find(|setting| setting.knob.kind() == Kind::Disk).map(|setting| setting.knob.path().to_owned())
}

/// Huge pages for memory that asks for them. Where they are on already, nothing is to be done.
fn of_backing(backing: Backing, facts: &Facts) -> Vec<Setting> {
    let (path, now, value) = match backing.kind {
        BackingKind::Anon => (THP, &facts.thp.enabled, "madvise"),
        BackingKind::Memfd => (SHMEM, &facts.thp.shmem_enabled, "advise"),
        BackingKind::FileShared | BackingKind::FilePrivate => return Vec::new(),
    };
    // What is there already may be there only until another run ends; to want it as well keeps it.
    let off = now.known().is_some_and(|now| now == value || now == "never" || now == "deny");
    if !backing.huge || !off {
        return Vec::new();
    }
    vec![Setting::helpful(Knob::choice(path), value, "memory stays in small pages")]
}
