//! Texts that multiply: macros, loops and quantifiers inside each other. Each is compiled or refused in no time, in little memory
//! and on a small stack.

use nostale_notifier::{
    compile::{MemoryModel, Program},
    lang::Sources,
};
use std::{
    fmt::Write,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// Without optimisation, on a busy machine; a hang takes for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// That of a test's thread.
const STACK: usize = 2 << 20;

/// Reads and compiles a text in a thread of its own, and drops what came of it there.
fn compile(what: &str, text: String) {
    let (done, wait) = channel();
    let begin = Instant::now();
    let run = move || {
        let outcome = match Program::read(Sources::new("large.nst", text)) {
            Ok(program) => {
                let variant = program.variants()[0].to_owned();
                let models = MemoryModel::ALL.map(|memory| program.compile(&variant, memory).map(|model| model.steps.len()));
                format!("{:?}", models.map(|model| model.map_err(|findings| findings.0[0].message.clone())))
            }
            Err(rejected) => {
                let said = rejected.render(false);
                assert!(rejected.diagnostics.0.len() <= 20, "nobody reads that");
                format!(
                    "{} findings in {} bytes: {}",
                    rejected.diagnostics.0.len(),
                    said.len(),
                    rejected.diagnostics.0[0].message
                )
            }
        };
        done.send(outcome).expect("somebody waits");
    };
    thread::Builder::new().stack_size(STACK).spawn(run).expect("a thread");
    match wait.recv_timeout(PATIENCE) {
        Ok(outcome) => println!("{what}: {outcome} ({:.2} s)", begin.elapsed().as_secs_f64()),
        Err(RecvTimeoutError::Timeout) => panic!("{what}: takes longer than {PATIENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("{what}: panics"),
    }
}

/// The same around itself.
fn nested(times: usize, open: &str, middle: &str, close: &str) -> String {
    [&open.repeat(times), middle, &close.repeat(times)].concat()
}

const HEAD: &str = "kind page { data: 0..7; next: page? }\npage F[i in 0..63]\nvar x: 0..7\nvar a[8]: 0..7\nvar p: page?\n";

fn thread(body: &str) -> String {
    format!("{HEAD}thread t {{ let r: 0..7; let e: page?; {body} }}\nthread u {{ x = 2; p = F[0]; a[0] = 1 }}")
}

#[test]
fn constants_of_constants() {
    let mut text = thread("x = c0 % 2");
    (0..60).for_each(|i| writeln!(text, "const c{i} = c{} - c{} / 2", i + 1, i + 1).expect("memory"));
    compile("constants", text + "const c60 = 1");
}

#[test]
fn operations_of_operations() {
    let chain = |body: &dyn Fn(usize) -> String| {
        let mut text = thread("o0(x)");
        (0..28).for_each(|i| writeln!(text, "op o{i}(v) {{ {} }}", body(i + 1)).expect("memory"));
        text + "op o28(v) { r(v) }\nop r(v) { let k = v; assert k == v }"
    };
    compile("arguments that double", chain(&|next| format!("o{next}(v + v - v)")));
    compile("conditions that double", chain(&|next| format!("o{next}(v == v)")));
    compile("calls that multiply", chain(&|next| format!("o{next}(v); o{next}(v); o{next}(v)")));
    compile("calls that multiply and do nothing", chain(&|next| format!("o{next}(v); o{next}(v)")).replace("{ r(v) }", "{ }"));
    compile("calls that multiply mistakes", chain(&|next| format!("o{next}(v); y = 1; o{next}(v)")));
}

#[test]
fn loops_in_loops() {
    for body in
        ["x = 1", "", "r = 1", "y = 1", "if x == 1 { r = 2 }", "if r == 1 { return }", "let k = r", "atomic { x = r; r = x }"]
    {
        compile(body, thread(&nested(6, "repeat 64 { ", body, " }")));
        compile(body, thread(&nested(6, "for p in page { ", body, " }")));
        let atomic = format!("atomic {{ {} }}", nested(6, "repeat 64 { ", body, " }"));
        compile(body, thread(&atomic));
        compile(body, thread(&nested(2, "repeat 64 { ", body, " }")).replace("thread t {", "thread t[i in 0..63] {"));
    }
}

#[test]
fn quantifiers_in_quantifiers() {
    for condition in ["x == 1", "p.data == x", "p0.next.next.data == 1", "p0 == p1", "p0.data + p1.data + p2.data < 3"] {
        let quantifiers: String = (0..6).map(|i| format!("forall p{i} in page: ")).collect();
        compile(condition, thread(&format!("wait {quantifiers}({condition})")));
        compile(condition, thread("x = 1") + &format!("\nnever {quantifiers}({condition})"));
        compile(
            condition,
            thread(&format!("x = 1; {}", format!("assert forall q in page: q.data == 1 && {condition}\n").repeat(60)))
                .replace("p0", "p")
                .replace("p1", "p")
                .replace("p2", "p"),
        );
    }
}

#[test]
fn expressions_in_expressions() {
    compile("indices", thread(&format!("x = {}", nested(40, "a[", "x", "]"))));
    compile("fields", thread(&format!("x = p{}.data", ".next".repeat(80))));
    compile("fields of objects", thread(&format!("e = p{}; if p != none {{ free p }}", ".next".repeat(80))));
    let lists = format!("{}\nvar l: list of page", thread(&format!("e = {}", nested(40, "list_next(", "p", ", l)"))));
    compile("a list", lists);
}

#[test]
fn branches_after_branches() {
    for (way, label) in [("return", ""), ("goto out", "; out: x = 1"), ("r = 2", ""), ("x = r", ""), ("if r == 3 { x = 2 }", "")]
    {
        let text = |count: usize| thread(&format!("{}{label}", format!("if r == 1 {{ {way} }}\n").repeat(count)));
        for count in [20, 300, 5_000] {
            compile(way, text(count));
        }
        compile(way, thread(&format!("atomic {{ {}{label} }}", format!("if r == 1 {{ {way} }}\n").repeat(200))));
    }
    compile("choices", thread(&"choose { x = 1 } or { r = 2 } or { }\n".repeat(5_000)));
    compile("jumps", thread(&format!("{} out: x = 1", "if x == 1 { goto out }\n".repeat(5_000))));
    let far = format!("{} here: {} x = 1", "if x == 1 { goto here }\n".repeat(5_000), "r = 1\n".repeat(30_000));
    compile("a long way after each jump", thread(&far));
}

#[test]
fn wide_states() {
    let fields: String = (0..3_000).map(|i| format!("f{i}[64]: 0..0\n")).collect();
    compile("fields", format!("kind big {{ {fields} }}\nbig B[i in 0..63]\nthread t {{ B[0].f0[0] = 0 }}"));
    let locks: String = (0..2_000).map(|i| format!("l{i}[64]: rwsem\n")).collect();
    compile(
        "locks",
        format!(
            "kind big {{ {locks} }}\nbig B[i in 0..63]\nthread t[i in 0..63] {{ read_lock B[0].l0[0]; read_unlock B[0].l0[0] }}"
        ),
    );
    let lists: String = (0..2_000).map(|i| format!("q{i}[64]: list of big\n")).collect();
    compile("lists", format!("kind big {{ {lists} }}\nbig B[i in 0..63]\nthread t {{ list_add(B[0], B[0].q0[0]) }}"));
    let threads: String = (0..20_000).map(|i| format!("thread t{i} {{ x = 1 }}\n")).collect();
    compile("threads", format!("var x: 0..1\n{threads}"));
    let threads: String =
        (0..1_000).map(|i| format!("thread t{i}[i in 0..63] {{ rcu_read_lock; x = 1; rcu_read_unlock }}\n")).collect();
    compile("families of threads", format!("var x: 0..1\n{threads}"));
    compile("locals", thread(&(0..30_000).map(|i| format!("let k{i} = x\n")).collect::<String>()));
}

#[test]
fn long_texts() {
    compile("stores", thread(&"x = 1\n".repeat(150_000)));
    compile("mistakes", thread(&"y = 1\n".repeat(150_000)));
    compile(
        "lists",
        format!("var l: list of page\n{}", thread(&"list_add_before(F[1], p, l); list_del(F[1], l)\n".repeat(20_000))),
    );
    compile("properties", thread("x = 1") + &"\nnever forall p in page: p.data == 1 && p.next.data == 2".repeat(15_000));
    compile("ops", thread("x = 1") + &(0..30_000).map(|i| format!("\nop o{i}(a) {{ a = 1 }}")).collect::<String>());
    compile(
        "orderings",
        thread("o; x = 1") + "\nop o\n" + &(0..20_000).map(|i| format!("ordering o{i} {{ x = 1 }}\n")).collect::<String>(),
    );
    compile("fences", thread(&"smp_wmb; x = 1; smp_rmb; r = x; smp_mb\n".repeat(25_000)));
    compile("references", thread(&"if p != none { free p }; e = alloc(page)\n".repeat(15_000)));
}
