//! The host settings that a scenario wants, held while it runs.

use super::{Config, Scenario};
use crate::{
    host::{
        facts::{FOLIO_BYTES, Facts, writes_back},
        knobs::{Guard, Knob, Knobs, Setting},
    },
    memory::{Arena, Backing, BackingKind, Pages},
};
use nostale_notifier::addr::PAGE_SIZE;
use std::path::PathBuf;

const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SHMEM: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Settings in force until dropped; by default, none.
#[derive(Debug, Default)]
pub(super) struct Held {
    guards: Vec<Guard>,
    /// For operations that change settings themselves.
    pub(super) knobs: Option<Knobs>,
    /// The disk for the scenario's files, where one was made.
    pub(super) disk: Option<PathBuf>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Last change first: the kernel may refuse one value as long as another is in force.
        while self.guards.pop().is_some() {}
    }
}

/// Sets what `scenario` wants.
///
/// # Errors
/// Why a setting without which there is no point in going on is not to be had. Others come to a note.
pub(super) fn hold(
    scenario: &Scenario,
    config: &Config,
    facts: &Facts,
    knobs: &Knobs,
    notes: &mut Vec<String>,
) -> Result<Held, String> {
    let (backing, pages) = (scenario.backing, scenario.pages(config.pages));
    let mut wanted = of_backing(backing, pages, facts);
    for setting in scenario.operations.iter().flat_map(|operation| (operation.settings)(facts, backing)) {
        want(&mut wanted, setting)?;
    }
    let disk = wants_disk(scenario, config).then(|| facts.swap.disk_setting(Arena::file_bytes(backing, pages))).flatten();
    let mut held =
        Held { knobs: Some(knobs.clone()), disk: disk.as_ref().map(|disk| disk.knob.path().to_owned()), guards: Vec::new() };
    wanted.extend(disk);
    for Setting { knob, value, otherwise } in wanted {
        match (knobs.set(&knob, &value), otherwise) {
            (Ok(guard), None) if guard.fell_short(&value) => {
                let (path, got) = (knob.path().display(), guard.value());
                return Err(format!(
                    "{path} came to {got} when {value} was written: there is not enough free memory in one piece"
                ));
            }
            (Ok(guard), _) => held.guards.push(guard),
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

/// Adds a setting to those that are `wanted` already. Of two for the same knob the more urgent one counts.
fn want(wanted: &mut Vec<Setting>, setting: Setting) -> Result<(), String> {
    let Some(known) = wanted.iter_mut().find(|known| known.knob == setting.knob) else {
        wanted.push(setting);
        return Ok(());
    };
    match (known.otherwise, setting.otherwise) {
        (None, None) if known.value != setting.value => {
            let path = setting.knob.path().display();
            Err(format!("{path} would have to be {:?} for one operation and {:?} for another", known.value, setting.value))
        }
        (Some(_), None) => {
            *known = setting;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether `scenario` has to have a disk made for its files, because they would be in memory and an operation has them written back.
pub(super) fn wants_disk(scenario: &Scenario, config: &Config) -> bool {
    scenario.backing.has_file() && scenario.operations.iter().any(|operation| operation.disk) && !writes_back(&config.file_dir)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn essential(value: &str) -> Setting {
        Setting::essential(Knob::choice("/knob"), value)
    }

    fn helpful(value: &str) -> Setting {
        Setting::helpful(Knob::choice("/knob"), value, "less is tried")
    }

    #[test]
    fn what_one_operation_cannot_do_without_is_essential_whoever_asked_first() {
        for pair in [[helpful("on"), essential("on")], [essential("on"), helpful("on")]] {
            let mut wanted = Vec::new();
            for setting in pair {
                want(&mut wanted, setting).expect("no contradiction");
            }
            assert!(matches!(wanted.as_slice(), [Setting { otherwise: None, .. }]), "{wanted:?}");
        }
    }

    #[test]
    fn the_value_that_is_essential_counts_and_two_of_them_are_refused() {
        let mut wanted = vec![helpful("off")];
        want(&mut wanted, essential("on")).expect("the first was only helpful");
        want(&mut wanted, helpful("off")).expect("the second is only helpful");
        assert_eq!((wanted.len(), wanted[0].value.as_str()), (1, "on"));
        let refused = want(&mut wanted, essential("off")).expect_err("both at once");
        assert_eq!(refused, r#"/knob would have to be "on" for one operation and "off" for another"#);
        want(&mut wanted, Setting::essential(Knob::number("/other"), "1")).expect("another knob");
        assert_eq!(wanted.len(), 2);
    }
}
