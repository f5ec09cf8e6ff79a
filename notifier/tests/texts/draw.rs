//! Small models as people write them: source texts, drawn at random. Not every one compiles.

use proptest::prelude::*;

/// The declarations that all of them share.
const HEAD: &str = "kind page { data: 0..1 }
page A, B
var x, y: 0..2
flag f
var p: page? = A
spin l
rwlock k
var q: list of page = [A]
op swap(a, b) { let old = a; a = b; b = old }
op is(a, b): bool { if a == b { return true }; return false }
";

/// A whole text.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let threads = prop::collection::vec(prop::collection::vec(stmt(), 1..=4), 2..=3);
    let properties = prop::collection::vec(property(), 1..=3);
    let allow = prop_oneof![3 => Just(""), 1 => Just("allow livelock\n"), 1 => Just("allow deadlock\n")];
    (threads, properties, allow).prop_map(|(threads, properties, allow)| {
        let mut text = HEAD.to_owned();
        for (name, body) in ["a", "b", "c"].into_iter().zip(threads) {
            text += &format!("thread {name} {{ let r: 0..2; {} }}\n", body.join("; "));
        }
        text + &properties.join("\n") + "\n" + allow
    })
}

fn of(choices: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(choices).prop_map(str::to_owned)
}

fn condition() -> impl Strategy<Value = String> + Clone {
    let simple = of(&[
        "x == 1",
        "y == 1",
        "x != 0",
        "y > 0",
        "x == y",
        "f",
        "!f",
        "p == A",
        "p != none",
        "r == 1",
        "r < 2",
        "A.data == 1",
        "A in q",
        "list_empty(q)",
        "held(l)",
        "x + y < 3",
        "true",
    ]);
    let both = (simple.clone(), of(&["&&", "||"]), simple.clone()).prop_map(|(a, how, b)| format!("{a} {how} {b}"));
    prop_oneof![4 => simple, 1 => both]
}

/// Conditions without local variables, of which a property sees none that way.
fn property() -> impl Strategy<Value = String> {
    let simple = of(&[
        "x == 1",
        "y == 2",
        "x == y",
        "f",
        "p == A",
        "p == none",
        "a.r == 1",
        "b.r == 1",
        "a.r == b.r",
        "A.data == 1",
        "A in q",
        "p.data == 0",
        "held(l)",
    ]);
    let what = of(&["never", "always", "sometimes", "finally", "never", "finally"]);
    let how = of(&["&&", "||"]);
    (what, simple.clone(), how.clone(), simple.clone(), how, simple)
        .prop_map(|(what, a, one, b, other, c)| format!("{what} ({a} {one} {b}) {other} {c}"))
}

fn step() -> impl Strategy<Value = String> {
    let store = (of(&["x", "y"]), of(&["0", "1", "2", "r", "x", "y"])).prop_map(|(to, from)| format!("{to} = {from}"));
    let load = of(&["x", "y", "x", "y", "A.data", "load_acquire(x)", "load_acquire(y)"]).prop_map(|from| format!("r = {from}"));
    let object = of(&["p = A", "p = B", "p = none", "p.data = 1", "A.data = 1", "f = true", "f = !f", "x = p.data"]);
    let order = of(&[
        "smp_mb",
        "smp_wmb",
        "smp_rmb",
        "store_release(x, 1)",
        "store_release(y, r)",
        "atomic { x = y; y = 1 }",
        "x = any 0..1",
    ]);
    let rest = of(&[
        "x++",
        "y--",
        "x += r",
        "r = x + 1",
        "swap(x, y)",
        "swap(x, r)",
        "f = is(x, y)",
        "atomic { wait x == 1; y = 2 }",
        "list_add(B, q)",
        "list_add_tail(A, q)",
        "list_del(A, q)",
        "list_move_tail(A, q)",
        "might_sleep",
        "wait held(l)",
        "lock l",
        "unlock l",
        "cas(x, 0, 1)",
        "cas(p, A, B)",
        "p = list_first(q)",
        "return",
    ]);
    let shared = of(&[
        "rcu_read_lock; r = A.data; rcu_read_unlock",
        "p = none; synchronize_rcu; free B",
        "p = none; free_rcu B",
        "p = alloc(page)",
        "read_lock k; r = x; read_unlock k",
        "write_lock k; x = r; write_unlock k",
        "if read_trylock(k) { r = y; read_unlock k }",
        "if trylock(l) { x = 1; unlock l }",
        "if p != none { r = p.data }",
        "if cas(f, false, true) { y = 1 }",
    ]);
    let wait = condition().prop_map(|e| format!("wait {e}"));
    let assert = condition().prop_map(|e| format!("assert {e}"));
    prop_oneof![10 => store, 8 => load, 4 => object, 5 => order, 4 => rest, 2 => shared, 2 => wait, 1 => assert]
}

fn stmt() -> impl Strategy<Value = String> {
    step().prop_recursive(2, 6, 2, |inner| {
        let block = prop::collection::vec(inner.clone(), 0..=2).prop_map(|stmts| stmts.join("; "));
        let branch = (condition(), block.clone(), block.clone()).prop_map(|(e, a, b)| format!("if {e} {{ {a} }} else {{ {b} }}"));
        let choice = (block.clone(), block.clone()).prop_map(|(a, b)| format!("choose {{ {a} }} or {{ {b} }}"));
        let around = (
            of(&[
                "repeat 2 { _ }",
                "for i in 0..1 { y = i; _ }",
                "for v in page { v.data = 1; _ }",
                "for v in q { r = v.data; _ }",
                "lock l; _; unlock l",
                "loop { if f { break }; _ }",
                "while x == 0 { wait x != 0; _ }",
                "loop { _; break }",
                "rcu_read_lock; _; rcu_read_unlock",
                "if x == 1 { goto out }; _; out: y = 1",
                "{ _ }",
            ]),
            block,
        );
        prop_oneof![3 => inner, 2 => branch, 1 => choice, 3 => around.prop_map(|(around, block)| around.replace('_', &block))]
    })
}
