use super::{
    super::{Change, Group, Mutant},
    *,
};
use std::collections::HashSet;

fn mutant(function: &str, kind: Kind) -> Mutant {
    let change = Change::Patches(Vec::new());
    Mutant { id: format!("{function}/{kind}"), function: function.to_owned(), kind, group: Group::Caller, change }
}

fn release(text: &str) -> Release {
    text.parse().expect("as written above")
}

#[test]
fn releases_are_read_as_uname_prints_them() {
    assert_eq!(release("6.12.95+deb12-amd64"), Release { major: 6, minor: 12 });
    assert_eq!(release("7.2-rc1"), Release { major: 7, minor: 2 });
    assert!(release("6.1.0-50-amd64") < release("6.12"));
    assert!("linux".parse::<Release>().is_err());
}

#[test]
fn no_function_is_described_twice() {
    let mut seen = HashSet::new();
    for name in callers::all().flat_map(|caller| caller.functions) {
        assert!(seen.insert(name), "{name}");
    }
}

#[test]
fn whoever_can_be_reached_is_noticed_or_equivalent() {
    let kernels = ["6.1", "6.12", "7.2"].map(release);
    for caller in callers::all().filter(|caller| matches!(caller.reach, Reach::Operations(_)) && caller.oracles.is_empty()) {
        let mutant = mutant(caller.functions[0], Kind::Both);
        for kernel in kernels {
            assert!(equivalence(&mutant, kernel).is_some_and(|argument| argument.condition == "always"), "{}", mutant.id);
        }
    }
}

#[test]
fn madv_free_is_noticed_only_since_kvm_marks_pages_when_it_maps_them() {
    let mutant = mutant("madvise_free_single_vma", Kind::Both);
    assert!(equivalence(&mutant, release("6.12.95")).is_some());
    assert!(equivalence(&mutant, release("6.13")).is_none());
}

#[test]
fn a_missing_end_is_never_equivalent() {
    for function in ["__split_huge_pmd", "retract_page_tables"] {
        assert!(equivalence(&mutant(function, Kind::Both), release("6.12")).is_some());
        for kind in [Kind::Start, Kind::End] {
            assert!(equivalence(&mutant(function, kind.clone()), release("6.12")).is_none());
            assert!(!oracles(function, &kind).is_empty());
        }
    }
}

#[test]
fn the_reference_functions_are_known() {
    for reference in REFERENCE {
        assert!(!reference.operation.is_empty() && !reference.ids.is_empty());
        if reference.function.starts_with("kvm_") {
            continue;
        }
        for id in reference.ids {
            let function = id.strip_suffix("/both").expect("as written above");
            let caller = caller(function).unwrap_or_else(|| panic!("{function} is not described"));
            assert!(caller.oracles.contains(&reference.oracle), "{id}");
            let Reach::Operations(names) = caller.reach else { panic!("{id} cannot be reached") };
            assert!(names.contains(&reference.operation), "{id}");
        }
    }
}

#[test]
fn every_way_to_a_function_is_a_scenario() {
    for name in callers::all().flat_map(Caller::operations) {
        let (ops, backing) =
            name.split_once(" on ").map_or((*name, None), |(ops, backing)| (ops, Some(vec![backing.to_owned()])));
        let plan =
            crate::live::plan(Some(&[ops.to_owned()]), backing.as_deref()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(plan.iter().any(|scenario| scenario.inapplicable().is_none()), "{name}");
    }
    assert!(caller("__split_huge_pud").expect("as written above").operations().is_empty());
}
