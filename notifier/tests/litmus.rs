//! The litmus tests that everybody knows, and what each memory model makes of them.
//!
//! `weak` keeps loads before later stores (so load buffering is out of reach) and has one memory for all (so independent readers
//! that load in order agree), and it forgets dependencies, as Alpha does.

use nostale_notifier::{
    check::{Limits, Verdict, explore},
    compile::{DEFAULT, MemoryModel, Program},
    lang::Sources,
};
use std::ops::ControlFlow;

/// The models under which an outcome can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reached {
    Nowhere,
    Weak,
    WeakAndTso,
    Everywhere,
}
use Reached::{Everywhere, Nowhere, Weak, WeakAndTso};

/// Its name, what the threads do, the outcome, and where that is reached.
type Litmus = (&'static str, &'static [&'static str], &'static str, Reached);

const TESTS: &[Litmus] = &[
    // Store buffering.
    ("SB", &["x = 1; let r = y", "y = 1; let r = x"], "a.r == 0 && b.r == 0", WeakAndTso),
    ("SB+one mb", &["x = 1; smp_mb; let r = y", "y = 1; let r = x"], "a.r == 0 && b.r == 0", WeakAndTso),
    ("SB+mbs", &["x = 1; smp_mb; let r = y", "y = 1; smp_mb; let r = x"], "a.r == 0 && b.r == 0", Nowhere),
    (
        "SB+wmb+rmb",
        &["x = 1; smp_wmb; smp_rmb; let r = y", "y = 1; smp_wmb; smp_rmb; let r = x"],
        "a.r == 0 && b.r == 0",
        WeakAndTso,
    ),
    (
        "SB+release+acquire",
        &["store_release(x, 1); let r = load_acquire(y)", "store_release(y, 1); let r = load_acquire(x)"],
        "a.r == 0 && b.r == 0",
        WeakAndTso,
    ),
    (
        "SB+forwarding",
        &["x = 1; let f = x; let r = y", "y = 1; let f = y; let r = x"],
        "a.f == 1 && b.f == 1 && a.r == 0 && b.r == 0",
        WeakAndTso,
    ),
    ("SB+atomics", &["atomic { x = 1 }; let r = y", "atomic { y = 1 }; let r = x"], "a.r == 0 && b.r == 0", Nowhere),
    ("SB+cas", &["cas(x, 0, 1); let r = y", "cas(y, 0, 1); let r = x"], "a.r == 0 && b.r == 0", Nowhere),
    ("SB+locks", &["lock l; x = 1; unlock l; let r = y", "lock m; y = 1; unlock m; let r = x"], "a.r == 0 && b.r == 0", Nowhere),
    (
        "SB+stores in order",
        &["x = 1; smp_wmb; z = 1; smp_wmb; smp_rmb; let r = y", "y = 1; smp_mb; let r = x"],
        "a.r == 0 && b.r == 0",
        WeakAndTso,
    ),
    (
        "SB+releases",
        &["store_release(x, 1); store_release(z, 1); smp_rmb; let r = y", "y = 1; smp_mb; let r = x"],
        "a.r == 0 && b.r == 0",
        WeakAndTso,
    ),
    // Message passing.
    ("MP+sc outcome", &["x = 1; y = 1", "let r = y; let s = x"], "b.r == 0 && b.s == 1", Everywhere),
    ("MP", &["x = 1; y = 1", "let r = y; let s = x"], "b.r == 1 && b.s == 0", Weak),
    ("MP+wmb", &["x = 1; smp_wmb; y = 1", "let r = y; let s = x"], "b.r == 1 && b.s == 0", Weak),
    ("MP+rmb", &["x = 1; y = 1", "let r = y; smp_rmb; let s = x"], "b.r == 1 && b.s == 0", Weak),
    ("MP+wmb+rmb", &["x = 1; smp_wmb; y = 1", "let r = y; smp_rmb; let s = x"], "b.r == 1 && b.s == 0", Nowhere),
    ("MP+rmb+wmb", &["x = 1; smp_rmb; y = 1", "let r = y; smp_wmb; let s = x"], "b.r == 1 && b.s == 0", Weak),
    ("MP+mbs", &["x = 1; smp_mb; y = 1", "let r = y; smp_mb; let s = x"], "b.r == 1 && b.s == 0", Nowhere),
    (
        "MP+release+acquire",
        &["x = 1; store_release(y, 1)", "let r = load_acquire(y); let s = x"],
        "b.r == 1 && b.s == 0",
        Nowhere,
    ),
    ("MP+release", &["x = 1; store_release(y, 1)", "let r = y; let s = x"], "b.r == 1 && b.s == 0", Weak),
    ("MP+acquire", &["x = 1; y = 1", "let r = load_acquire(y); let s = x"], "b.r == 1 && b.s == 0", Weak),
    ("MP+release of the data", &["store_release(x, 1); y = 1", "let r = y; smp_rmb; let s = x"], "b.r == 1 && b.s == 0", Weak),
    ("MP+lock", &["lock l; x = 1; y = 1; unlock l", "lock l; let r = y; let s = x; unlock l"], "b.r == 1 && b.s == 0", Nowhere),
    ("MP+three stores", &["x = 1; z = 1; smp_wmb; y = 1", "let r = y; smp_rmb; let s = x"], "b.r == 1 && b.s == 0", Nowhere),
    ("MP+wait", &["x = 1; smp_wmb; y = 1", "wait y == 1; smp_rmb; let s = x"], "b.s == 0", Nowhere),
    (
        "MP+address",
        &["A.data = 1; smp_wmb; p = A", "let q = p; let s: 0..1; if q != none { s = q.data }"],
        "b.q == A && b.s == 0",
        Weak,
    ),
    // Load buffering: loads are not delayed past later stores.
    ("LB", &["let r = x; y = 1", "let r = y; x = 1"], "a.r == 1 && b.r == 1", Nowhere),
    // One place is coherent.
    ("CoRR", &["x = 1", "let r = x; let s = x"], "b.r == 1 && b.s == 0", Nowhere),
    ("CoWW", &["x = 1; x = 2", ""], "x == 1", Nowhere),
    ("CoWW+wmb", &["x = 1; smp_wmb; x = 2", ""], "x == 1", Nowhere),
    ("CoWR", &["x = 1; let r = x", "x = 2"], "a.r == 0", Nowhere),
    ("CoRW", &["let r = x; x = 1", "x = 2"], "a.r == 1", Nowhere),
    ("CoRW2", &["let r = x; x = 1", "x = 2"], "a.r == 2 && x == 2", Nowhere),
    ("CoRR of two", &["x = 1", "x = 2", "let r = x; let s = x", "let r = x; let s = x"], COHERENCE, Nowhere),
    // Stores against stores.
    ("2+2W", &["x = 1; y = 2", "y = 1; x = 2"], "x == 1 && y == 1", Weak),
    ("2+2W+wmbs", &["x = 1; smp_wmb; y = 2", "y = 1; smp_wmb; x = 2"], "x == 1 && y == 1", Nowhere),
    ("R", &["x = 1; y = 1", "y = 2; let r = x"], "y == 2 && b.r == 0", WeakAndTso),
    ("R+mbs", &["x = 1; smp_mb; y = 1", "y = 2; smp_mb; let r = x"], "y == 2 && b.r == 0", Nowhere),
    ("S", &["x = 2; y = 1", "let r = y; x = 1"], "b.r == 1 && x == 2", Weak),
    ("S+wmb", &["x = 2; smp_wmb; y = 1", "let r = y; x = 1"], "b.r == 1 && x == 2", Nowhere),
    // More than two.
    ("WRC", &["x = 1", "let r = x; y = 1", "let s = y; let t = x"], "b.r == 1 && c.s == 1 && c.t == 0", Weak),
    ("WRC+rmb", &["x = 1", "let r = x; y = 1", "let s = y; smp_rmb; let t = x"], "b.r == 1 && c.s == 1 && c.t == 0", Nowhere),
    ("ISA2", &["x = 1; y = 1", "let r = y; z = 1", "let s = z; smp_rmb; let t = x"], "b.r == 1 && c.s == 1 && c.t == 0", Weak),
    (
        "ISA2+wmb",
        &["x = 1; smp_wmb; y = 1", "let r = y; z = 1", "let s = z; smp_rmb; let t = x"],
        "b.r == 1 && c.s == 1 && c.t == 0",
        Nowhere,
    ),
    ("IRIW", &["x = 1", "y = 1", "let r = x; let s = y", "let r = y; let s = x"], INDEPENDENT, Weak),
    ("IRIW+one rmb", &["x = 1", "y = 1", "let r = x; smp_rmb; let s = y", "let r = y; let s = x"], INDEPENDENT, Weak),
    ("IRIW+rmbs", &["x = 1", "y = 1", "let r = x; smp_rmb; let s = y", "let r = y; smp_rmb; let s = x"], INDEPENDENT, Nowhere),
    ("IRIW+mbs", &["x = 1", "y = 1", "let r = x; smp_mb; let s = y", "let r = y; smp_mb; let s = x"], INDEPENDENT, Nowhere),
];

const INDEPENDENT: &str = "c.r == 1 && c.s == 0 && d.r == 1 && d.s == 0";
/// Two readers that disagree on the order of two stores.
const COHERENCE: &str = "c.r == 1 && c.s == 2 && d.r == 2 && d.s == 1";

/// Whether a finished state is like that.
fn reaches(threads: &[&str], outcome: &str, memory: MemoryModel) -> bool {
    let mut text = "kind page { data: 0..1 }\npage A\nvar p: page?\nvar x, y, z: 0..2\nspin l, m\n".to_owned();
    for (name, body) in ["a", "b", "c", "d"].into_iter().zip(threads) {
        text += &format!("thread {name} {{ {body} }}\n");
    }
    text += &format!("finally !({outcome}) \"reached\"\n");
    match verdict(&text, memory) {
        Verdict::Holds => false,
        Verdict::Fails => true,
        other => panic!("{other:?}: {text}"),
    }
}

fn verdict(text: &str, memory: MemoryModel) -> Verdict {
    let program = Program::read(Sources::new("litmus.nst", text)).unwrap_or_else(|why| panic!("{}", why.render(false)));
    let model = program.compile(DEFAULT, memory).expect("compiles under all");
    let limits = Limits { max_states: 1_000_000, max_bytes: 1 << 30, workers: 1 };
    explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("small").verdict
}

#[test]
fn each_memory_model_allows_what_it_should() {
    let mut wrong = Vec::new();
    for (name, threads, outcome, expected) in TESTS {
        let [sc, tso, weak] = MemoryModel::ALL.map(|memory| reaches(threads, outcome, memory));
        let found = match (sc, tso, weak) {
            (false, false, false) => Nowhere,
            (false, false, true) => Weak,
            (false, true, true) => WeakAndTso,
            (true, true, true) => Everywhere,
            other => panic!("{name}: a weaker model forbids what a stronger one allows: {other:?}"),
        };
        if found != *expected {
            wrong.push(format!("{name}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_allocated_object_is_new_to_whoever_allocates_it() {
    let thread = "let p = alloc(page); let r = p.data; p.data = 1; smp_mb; free p";
    let text = format!(
        "kind page {{ data: 0..1 }}\npage A free\nthread a {{ {thread} }}\nthread b {{ {thread} }}\nfinally a.r == 0 && b.r == 0"
    );
    for memory in MemoryModel::ALL {
        assert_eq!(verdict(&text, memory), Verdict::Holds, "{}", memory.name());
    }
}

#[test]
fn nothing_is_asked_of_the_end_before_every_store_is_seen() {
    let text = "kind page { data: 0..1 }\npage A\nvar p: page?\nthread a { p = A }\nthread b { A.data = 1 }\nfinally p.data == 1";
    for memory in MemoryModel::ALL {
        assert_eq!(verdict(text, memory), Verdict::Holds, "{}", memory.name());
    }
}
