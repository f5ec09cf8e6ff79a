//! Models as people write them, compiled: fields of references, locks, lists, store buffers.

use nostale_notifier::{
    check::{Limits, Outcome, explore},
    compile::{DEFAULT, MemoryModel, Program},
    lang::Sources,
    model::Model,
};
use std::ops::ControlFlow;

/// Each with the memory model that it is about.
const TEXTS: [(&str, MemoryModel, &str); 4] = [
    (
        "where_to_invalidate",
        MemoryModel::Sc,
        r#"
        model "where to invalidate"
        use memory
        page A, B
        virt x { pte = A; spte = A }
        flag seen
        op remap(x, new)
            ordering after_unlock { lock ptl; x.pte = none; flush x; x.pte = new; unlock ptl; zap x }
            ordering start_end { start x; lock ptl; x.pte = none; flush x; x.pte = new; unlock ptl; end x }
        thread mutator { remap(x, B) }
        thread third { wait x.pte == B; seen = true }
        thread guest {
            let late = seen
            if late { guest_write(x, 2) } else { guest_write(x, 1) }
        }
        never A.data == 2 "the guest wrote the old page after somebody had seen the new one"
        sometimes B.data == 2 "the guest writes the new page"
        expect after_unlock fails "the guest wrote the old page after somebody had seen the new one", start_end holds
        "#,
    ),
    (
        "a_walk_while_others_delete",
        MemoryModel::Sc,
        r#"
        model "a walk while others delete"
        kind vma { seen: bool; next: vma? }
        vma a { next = b }, b { next = c }, c
        var scan: list of vma = [a, b, c]
        spin l
        thread walker { lock l; for v in scan { v.seen = true }; unlock l }
        thread deleter { lock l; list_del(b, scan); a.next = a.next.next; unlock l }
        always a in scan && c in scan
        finally a.seen && c.seen
        sometimes !b.seen && !(b in scan)
        expect holds
        "#,
    ),
    (
        "a_store_passes_a_load",
        MemoryModel::Tso,
        r#"
        model "a store passes a load"
        flag x, y
        thread a { x = true; let r = y }
        thread b { y = true; let r = x }
        finally a.r || b.r
        expect fails under tso, holds under sc
        "#,
    ),
    (
        "two_locks_in_two_orders",
        MemoryModel::Sc,
        r#"
        model "two locks in two orders"
        spin a, b
        thread one { lock a; lock b; unlock b; unlock a }
        thread other { lock b; lock a; unlock a; unlock b }
        expect deadlocks
        "#,
    ),
];

/// All of them, in each ordering, with a name each.
pub(crate) fn models() -> Vec<(String, Model)> {
    let mut models = Vec::new();
    for (name, memory, text) in TEXTS {
        let program = Program::read(Sources::new(name, text)).unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
        for variant in program.variants() {
            let model =
                program.compile(variant, memory).unwrap_or_else(|errors| panic!("{}", errors.render(program.sources(), false)));
            models.push((format!("{name}_{variant}"), model));
        }
    }
    models
}

/// Explores a model of the benchmark.
pub(crate) fn benchmark(file: &str) -> Result<Outcome, String> {
    let path = format!("{}/bench/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    let program = Program::read(Sources::from_bytes(file, &text)).map_err(|rejected| rejected.render(false))?;
    let model = program.compile(DEFAULT, MemoryModel::Sc).map_err(|errors| errors.render(program.sources(), false))?;
    let limits = Limits { max_states: 100_000, max_bytes: 1 << 30, workers: 1 };
    explore(&model, &limits, &|_| ControlFlow::Continue(())).map_err(|error| error.to_string())
}
