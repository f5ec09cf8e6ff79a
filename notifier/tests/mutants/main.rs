//! Would the checker notice? Every model that holds is broken in every small way, and two explorers say what comes of it.
//!
//! A mutant is *detected* if it does not hold any more, and otherwise *equivalent*: all of its states were seen, and all is well.
//! An equivalent mutant is a step or an order that the property does not need, which is worth knowing about a kernel patch, too.
//! What is small enough is explored a second time, by an explorer that shares nothing with ours but the model.

mod mutate;
#[path = "../support/mod.rs"]
mod support;

use mutate::{Mutant, mutants};
use nostale_notifier::{
    check::{Limits, Verdict, explore},
    compile::{Case, MemoryModel, Program},
    lang::{Sources, ast::Expected, parse},
};
use std::{
    collections::BTreeMap,
    env, fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use support::naive;

/// What the naive explorer has time for.
const NAIVE_STATES: u64 = 5_000;
/// What ours has time for. A mutant may be much larger than what it was made from.
const STATES: u64 = 100_000;

/// Each line of the table is a variant that is expected to hold. `UPDATE_SNAPSHOTS=1` writes it anew, for the review of the
/// difference: a model whose mutants are detected less often than before proves less.
#[test]
fn mutants_are_detected_or_equivalent_and_both_explorers_say_so() {
    let files = files();
    assert!(files.len() >= 12);
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, text)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = examine(name, text);
                    rows.lock().expect("nobody panicked").insert(name, found);
                }
            });
        }
    });
    let rows = rows.into_inner().expect("nobody panicked");
    for (name, rows) in &rows {
        let hopeless = !rows.is_empty() && rows.iter().all(|(_, row)| row.detected == 0);
        assert!(!hopeless, "{name}: whatever is done to it, it holds");
    }
    let total: usize = rows.values().flatten().map(|(_, row)| row.twice).sum();
    assert!(total >= 500, "only {total} mutants were explored twice");
    compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutants/table.txt"), &table(&rows));
}

/// The examples of the language reference by their line, and the corpus.
fn files() -> Vec<(String, String)> {
    let reference = include_str!("../../LANGUAGE.md");
    let mut files = Vec::new();
    let mut rest = reference;
    while let Some((_, after)) = rest.split_once("```nst\n") {
        let (example, behind) = after.split_once("```").expect("a block that ends");
        let name = example.split('"').nth(1).expect("a model has a name");
        files.push((format!("LANGUAGE.md: {name}"), example.to_owned()));
        rest = behind;
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(corpus).into_iter().flatten().map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "nst"));
    paths.sort();
    for path in paths {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        files.push((name, fs::read_to_string(&path).expect("readable")));
    }
    files
}

#[derive(Default)]
struct Row {
    mutants: usize,
    rejected: usize,
    detected: usize,
    equivalent: usize,
    /// Larger than [`STATES`].
    open: usize,
    /// Detected and equivalent ones on which both explorers agree.
    twice: usize,
}

/// A line for each variant that is expected to hold.
fn examine(name: &str, text: &str) -> Vec<(String, Row)> {
    let sources = Sources::new(name, text);
    let file = parse(&sources, 0).unwrap_or_else(|findings| panic!("{}", findings.render(&sources, false)));
    let program = Program::read(sources).unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
    let mut rows = Vec::new();
    for case in program.cases(None).into_iter().filter(|case| case.expected == Expected::Holds) {
        let mut row = Row::default();
        for mutant in mutants(text, &file, &case.variant) {
            row.mutants += 1;
            judge(name, &case, &mutant, &mut row);
        }
        let under = if case.memory == MemoryModel::Sc { String::new() } else { format!(" under {}", case.memory.name()) };
        rows.push((format!("{}{under}", case.variant), row));
    }
    rows
}

fn judge(name: &str, case: &Case, mutant: &Mutant, row: &mut Row) {
    let model = Program::read(Sources::new(name, mutant.text.as_str())).ok();
    let Some(model) = model.and_then(|program| program.compile(&case.variant, case.memory).ok()) else {
        row.rejected += 1;
        return;
    };
    let limits = Limits { max_states: STATES, max_bytes: 1 << 30, workers: 1 };
    let outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("no wider than the original");
    match outcome.verdict {
        Verdict::Bounded => row.open += 1,
        Verdict::Holds => row.equivalent += 1,
        _ => row.detected += 1,
    }
    if outcome.verdict != Verdict::Bounded && outcome.states <= NAIVE_STATES {
        assert_eq!(naive::Said::of(&outcome), naive::explore(&model), "{name}, {}, {}", case.variant, mutant.what);
        row.twice += 1;
    }
}

fn table(rows: &BTreeMap<&String, Vec<(String, Row)>>) -> String {
    let mut table = format!("mutants {:>8} {:>8} {:>10} {:>4} {:>5}\n", "rejected", "detected", "equivalent", "open", "twice");
    for (name, rows) in rows {
        table += &format!("\n{name}\n");
        for (variant, row) in rows {
            table += &format!(
                "{:>7} {:>8} {:>8} {:>10} {:>4} {:>5}  {variant}\n",
                row.mutants, row.rejected, row.detected, row.equivalent, row.open, row.twice
            );
        }
    }
    table
}

fn compare(path: &Path, table: &str) {
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, table).expect("writable");
    } else {
        let expected = fs::read_to_string(path).unwrap_or_default();
        assert!(expected == table, "not as it was:\n{table}");
    }
}
