use super::{changes, told};
use crate::{
    compile::{DEFAULT, MemoryModel, Program},
    lang::Sources,
    model::{
        State, eval,
        fixture::{numbers, two_pages},
    },
};

#[test]
fn values_are_written_by_their_domain() {
    let model = two_pages();
    let (flag, pages) = (&model.vars[0].domain, &model.vars[1].domain);
    assert_eq!(flag.shown(1).to_string(), "true");
    assert_eq!(pages.shown(2).to_string(), "B");
    assert_eq!(numbers(-3, 3).shown(-2).to_string(), "-2");
    assert_eq!(format!("{:>5}|{:<5}", flag.shown(0), pages.shown(0)), "false|none ");
}

#[test]
fn a_value_without_a_word_is_a_number() {
    let model = two_pages();
    assert_eq!(model.vars[1].domain.shown(7).to_string(), "7");
    assert_eq!(model.vars[1].domain.shown(i32::MIN).to_string(), "-2147483648");
}

#[test]
fn changes_name_the_element_and_leave_out_program_counters() {
    let model = two_pages();
    let before = eval::first(&model);
    let after = State(Box::new([0, 0, 1, 2]));
    let told: Vec<_> = changes(&model, &before, &after).iter().map(|change| change.shown(&model).to_string()).collect();
    assert_eq!(told, ["flag: true → false", "A.pte: B → none"]);
    assert!(changes(&model, &before, &before).is_empty());
}

/// Buffers come from the compiler, so they are tested on what it makes of a text.
#[test]
fn buffered_stores_are_told_once_and_in_words() {
    let text = "flag x, y\nthread a { let r: bool\n x = true; r = y }\nthread b { y = true }\nexpect holds";
    let program = Program::read(Sources::new("a.nst", text)).expect("a good model");
    let model = program.compile(DEFAULT, MemoryModel::Tso).expect("compiles");
    let mut state = eval::first(&model);
    let mut all = Vec::new();
    for text in ["x = true", "r = y", "x reaches memory", "y = true"] {
        let step = eval::enabled(&model, &state).find(|step| model.steps[step.0 as usize].text == text).expect("can run");
        let after = eval::take(&model, &state, step).expect("does not fail");
        all.push(told(&model, &state, step, &after).join(", "));
        state = after;
    }
    assert_eq!(all, ["buffered: x = true", "a.r = false", "x: false → true", "buffered: y = true"]);
}

/// The steps of a model with one thing to do at a time, each with what is told of it.
fn way_through(text: &str) -> Vec<(String, String)> {
    let program = Program::read(Sources::new("a.nst", text)).expect("a good model");
    let model = program.compile(DEFAULT, MemoryModel::Sc).expect("compiles");
    let mut state = eval::first(&model);
    let mut all = Vec::new();
    loop {
        let next = eval::enabled(&model, &state).next();
        let Some(step) = next else { break };
        let after = eval::take(&model, &state, step);
        let shown = told(&model, &state, step, after.as_ref().unwrap_or(&state)).join(", ");
        all.push((model.steps[step.0 as usize].text.clone(), shown));
        let Ok(after) = after else { break };
        state = after;
    }
    all
}

#[test]
fn a_local_is_told_as_it_was_before_it_went_out_of_scope() {
    let text = "flag mapped = true\nop page_mapped(): bool { return mapped }\nflag took\nspin l\n\
        thread t { if page_mapped() { lock l; let p = mapped; unlock l }\n took = true }\nexpect holds";
    let told = way_through(text);
    let told: Vec<_> = told.iter().map(|(step, shown)| (step.as_str(), shown.as_str())).collect();
    assert_eq!(
        told,
        [
            ("return mapped", "t.page_mapped: false → true"),
            ("lock l", "l: free → t"),
            ("let p = mapped", "t.p: false → true"),
            ("unlock l", "l: t → free"),
            ("took = true", "took: false → true"),
        ]
    );
}

#[test]
fn a_condition_says_which_way_it_went_and_a_failure_what_was_read() {
    let text = "flag a\nspin l\nvar y: 0..3 = 2\nthread t { if !a { a = true }\n if a && y == 1 { a = false }\n while y == 3 { y = 1 }\n \
        if !trylock(l) { a = false }\n if !trylock(l) { a = true }\n let p = y\n assert p == 1 }\nexpect fails";
    let told = way_through(text);
    let told: Vec<_> = told.iter().map(|(step, shown)| (step.as_str(), shown.as_str())).collect();
    assert_eq!(
        told,
        [
            ("if !a", "→ true"),
            ("a = true", "a: false → true"),
            ("if a && y == 1", "→ false"),
            ("while y == 3", "→ false"),
            ("if !trylock(l)", "l: free → t"),
            ("if !trylock(l)", "→ true"),
            ("a = true", ""),
            ("let p = y", "t.p: 0 → 2"),
        ]
    );
}
