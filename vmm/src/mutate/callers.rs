//! Mutants that do not call the notifier.

use super::{Callee, Change, Group, Image, Kind, Mutant, Site, Symbols, patch::delete};
use std::collections::{BTreeMap, BTreeSet};

/// Functions by their names in the source; two static functions of one name in different modules stay apart.
type Key<'a> = (Option<&'a str>, &'a str);

/// A mutant for each way of not calling the notifier in each function that calls it. Every call site is in at least one.
#[must_use]
pub(super) fn callers(symbols: &Symbols, image: &Image, sites: &[Site]) -> Vec<Mutant> {
    let mut functions: BTreeMap<Key<'_>, Vec<&Site>> = BTreeMap::new();
    for site in sites {
        functions.entry((site.module.as_deref(), &site.function)).or_default().push(site);
    }
    functions.iter().flat_map(|(key, sites)| function(symbols, image, key, sites)).collect()
}

fn function(symbols: &Symbols, image: &Image, key: &Key<'_>, sites: &[&Site]) -> Vec<Mutant> {
    let callees: BTreeSet<&Callee> = sites.iter().map(|site| &site.callee).collect();
    let mut kinds: Vec<(Kind, Vec<&Callee>)> = Vec::new();
    if callees.contains(&Callee::Start) && callees.contains(&Callee::End) {
        kinds.push((Kind::Both, vec![&Callee::Start, &Callee::End]));
    }
    for callee in callees {
        kinds.push(match callee {
            Callee::Start => (Kind::Start, vec![callee]),
            Callee::End => (Kind::End, vec![callee]),
            other => (Kind::Call(other.name().to_owned()), vec![callee]),
        });
    }
    let name = match key {
        (Some(module), function) => format!("{module}:{function}"),
        (None, function) => (*function).to_owned(),
    };
    let mutant = |(kind, callees): (Kind, Vec<&Callee>)| {
        // Where a function has several calls of a kind, inlining or unlikely paths made them of one: they go together.
        let chosen = sites.iter().filter(|site| callees.contains(&&site.callee));
        let patches: Result<Vec<_>, String> = chosen.map(|site| delete(symbols, image, site)).collect();
        let change = patches.map_or_else(|reason| Change::Unpatchable { reason }, Change::Patches);
        Mutant { id: format!("{name}/{kind}"), function: key.1.to_owned(), kind, group: Group::Caller, change }
    };
    kinds.into_iter().map(mutant).collect()
}
