//! The host settings that a scenario wants, held while it runs.

use super::{Config, Scenario};
use crate::{
    host::{
        facts::{FOLIO_BYTES, Facts, writes_back},
        knobs::{Guard, Kind, Knob, Knobs, Setting},
    },
    memory::{Arena, Backing, BackingKind, Pages},
};
use nostale_notifier::addr::PAGE_SIZE;
use std::path::PathBuf;

const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SHMEM: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Settings in force until dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    _guards: Vec<Guard>,
}

/// Sets what `scenario` on `pages` pages wants.
///
/// # Errors
/// Why a setting without which there is no point in going on is not to be had. Others come to a note.
pub(super) fn hold(
    scenario: &Scenario,
    pages: u64,
    facts: &Facts,
    knobs: &Knobs,
    notes: &mut Vec<String>,
) -> Result<Held, String> {
    let mut wanted = of_backing(scenario.backing, pages, facts);
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
            (Ok(guard), None) if guard.fell_short(&value) => {
                let (path, got) = (knob.path().display(), guard.value());
                return Err(format!(
                    "{path} came to {got} when {value} was written: there is not enough free memory in one piece"
                ));
            }
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

/// What the memory itself wants.
fn of_backing(backing: Backing, pages: u64, facts: &Facts) -> Vec<Setting> {
    match backing.pages {
        Pages::Small => Vec::new(),
        Pages::Transparent => transparent(backing.kind, facts).into_iter().collect(),
        Pages::Folios => folios(facts),
        Pages::Hugetlb2M | Pages::Hugetlb1G => pool(backing, pages, facts).into_iter().collect(),
    }
}

/// Huge pages for memory that asks for them. Where they are on already, nothing is to be done.
fn transparent(kind: BackingKind, facts: &Facts) -> Option<Setting> {
    let (path, now, value) = match kind {
        BackingKind::Anon => (THP, &facts.thp.enabled, "madvise"),
        BackingKind::Memfd => (SHMEM, &facts.thp.shmem_enabled, "advise"),
        BackingKind::FileShared | BackingKind::FilePrivate => return None,
    };
    // What is there already may be there only until another run ends; to want it as well keeps it.
    let wanted = now.known().is_some_and(|now| now == value || now == "never" || now == "deny");
    wanted.then(|| Setting::helpful(Knob::choice(path), value, "memory stays in small pages"))
}

/// A hugetlb pool that has all pages which the memory can come to need at once.
fn pool(backing: Backing, pages: u64, facts: &Facts) -> Option<Setting> {
    let pool = facts.hugetlb.pools.known()?.iter().find(|pool| pool.page_bytes == backing.unit() * PAGE_SIZE)?;
    let needed = Arena::units_at_most(backing, pages);
    if pool.usable_pages() >= needed {
        return None;
    }
    let taken = pool.pages.known()?.saturating_sub(pool.usable_pages());
    Some(Setting::essential(Knob::counter(pool.control()), (taken + needed).to_string()))
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
