//! The protocol by which checkers are compared: a remapper, a vCPU with the sequence-count retry, a host writer and a migrator, on
//! three pages, three rounds each. Four independent tools agree on its numbers.

use nostale_notifier::model::*;

use super::*;

/// Its states.
pub(crate) const STATES: u64 = 9_029_564;
/// Its steps.
pub(crate) const TRANSITIONS: u64 = 27_264_876;
/// The steps of the shortest counterexample without the retry check.
pub(crate) const BROKEN_STEPS: usize = 16;

const PAGES: i32 = 3;
const ROUNDS: i32 = 3;

struct Vars {
    pte: VarId,
    spte: VarId,
    tlb: VarId,
    ptl: VarId,
    ghost: VarId,
    dirty: VarId,
    data: VarId,
    gone: VarId,
    mmu: Place,
    seq: Place,
    inprog: Place,
    bad: Place,
}

/// The reference, or (not `retry`) the one that leaves out the check.
pub(crate) fn reference(retry: bool) -> Model {
    let mut b = Build::new("reference");
    let v = Vars {
        pte: b.array("V.pte", 9, &[1, 2, 3]),
        spte: b.array("V.spte", 9, &[0; 3]),
        tlb: b.array("V.tlb", 9, &[0; 3]),
        ptl: b.array("V.ptl", 2, &[0; 3]),
        ghost: b.array("V.ghost", 3, &[0; 3]),
        dirty: b.array("V.dirty", 1, &[0; 3]),
        data: b.array("F.data", 3, &[0; 9]),
        gone: b.array("F.gone", 1, &[0; 9]),
        mmu: b.scalar("mmu", 3),
        seq: b.scalar("seq", 7),
        inprog: b.scalar("inprog", 2),
        bad: b.scalar("bad", 1),
    };
    mover(&mut b, &v, "remap", 1, 0, PAGES);
    vcpu(&mut b, &v, retry);
    host(&mut b, &v);
    mover(&mut b, &v, "migrate", 2, 1, PAGES + ROUNDS);
    properties(&mut b, &v);
    b.model
}

/// The field of the page that a reference names.
fn of(var: VarId, reference: Expr) -> Place {
    at(var, bin(BinOp::Sub, reference, c(1)))
}

/// The remapper (14 steps) and the migrator (15: it reads and clears in two).
fn mover(b: &mut Build, v: &Vars, name: &str, who: i32, offset: i32, first_new: i32) {
    let two = who == 2;
    let steps = 14 + i32::from(two);
    let old = b.scalar(&format!("{name}.old"), 9);
    let t = b.thread(name, steps * ROUNDS);
    let (yes, holder) = (c(1), if two { 3 } else { 1 });
    for i in 0..ROUNDS {
        let page = (i + offset) % PAGES;
        let (pte, new) = (item(v.pte, page), first_new + i + 1);
        let mut pc = i * steps;
        let mut step = |guard: Expr, actions: Vec<Action>| {
            b.step(t, pc, pc + 1, guard, actions);
            pc += 1;
        };
        let ptl = item(v.ptl, page);
        step(eq(read(&ptl), c(0)), vec![set(&ptl, c(who))]);
        if two {
            step(yes.clone(), vec![set(&old, read(&pte))]);
            step(yes.clone(), vec![set(&pte, c(0))]);
        } else {
            step(yes.clone(), vec![set(&old, read(&pte)), set(&pte, c(0))]);
        }
        step(yes.clone(), vec![set(&item(v.tlb, page), c(0))]);
        step(eq(read(&v.mmu), c(0)), vec![set(&v.mmu, c(holder))]);
        step(yes.clone(), vec![set(&v.inprog, add(read(&v.inprog), c(1)))]);
        step(yes.clone(), vec![set(&item(v.spte, page), c(0))]);
        step(yes.clone(), vec![set(&v.mmu, c(0))]);
        step(yes.clone(), vec![set(&item(v.data, new - 1), read(&of(v.data, read(&old))))]);
        step(yes.clone(), vec![set(&pte, c(new))]);
        step(yes.clone(), vec![set(&of(v.gone, read(&old)), c(1)), set(&old, c(0))]);
        step(eq(read(&v.mmu), c(0)), vec![set(&v.mmu, c(holder))]);
        step(yes.clone(), vec![set(&v.seq, add(read(&v.seq), c(1))), set(&v.inprog, bin(BinOp::Sub, read(&v.inprog), c(1)))]);
        step(yes.clone(), vec![set(&v.mmu, c(0))]);
        step(yes.clone(), vec![set(&ptl, c(0))]);
    }
}

/// A write through a translation.
fn write(v: &Vars, through: &Place, page: i32) -> Vec<Action> {
    let up = |place: &Place| set(place, bin(BinOp::Mod, add(read(place), c(1)), c(4)));
    vec![
        Action::If(read(&of(v.gone, read(through))), vec![set(&v.bad, c(1))], vec![]),
        up(&of(v.data, read(through))),
        up(&item(v.ghost, page)),
    ]
}

fn vcpu(b: &mut Build, v: &Vars, retry: bool) {
    let (rseq, rpte) = (b.scalar("vcpu.rseq", 7), b.scalar("vcpu.rpte", 9));
    let t = b.thread("vcpu", 7 * ROUNDS);
    let pc = b.pc(t);
    for i in 0..ROUNDS {
        let (page, first) = (i % PAGES, 7 * i);
        let (spte, pte) = (item(v.spte, page), item(v.pte, page));
        let mut hit = write(v, &spte, page);
        hit.push(set(&pc, c(first + 7)));
        b.raw(t, Some(first), c(1), vec![Action::If(ne(read(&spte), c(0)), hit, vec![set(&pc, c(first + 1))])]);
        b.step(t, first + 1, first + 2, c(1), vec![set(&rseq, read(&v.seq))]);
        b.step(t, first + 2, first + 3, ne(read(&pte), c(0)), vec![set(&rpte, read(&pte))]);
        b.step(t, first + 3, first + 4, eq(read(&v.mmu), c(0)), vec![set(&v.mmu, c(2))]);
        let again = if retry { or(ne(read(&v.inprog), c(0)), ne(read(&v.seq), read(&rseq))) } else { c(0) };
        let give_up = vec![set(&rseq, c(0)), set(&rpte, c(0)), set(&pc, c(first + 6))];
        b.raw(t, Some(first + 4), c(1), vec![Action::If(again, give_up, vec![set(&pc, c(first + 5))])]);
        b.step(t, first + 5, first + 6, c(1), vec![set(&spte, read(&rpte)), set(&rpte, c(0)), set(&rseq, c(0))]);
        b.step(t, first + 6, first, c(1), vec![set(&v.mmu, c(0))]);
    }
}

fn host(b: &mut Build, v: &Vars) {
    let t = b.thread("host", 3 * ROUNDS);
    let pc = b.pc(t);
    for i in 0..ROUNDS {
        let (page, first) = (i % PAGES, 3 * i);
        let (tlb, pte) = (item(v.tlb, page), item(v.pte, page));
        let empty = eq(read(&tlb), c(0));
        b.step(
            t,
            first,
            first + 1,
            or(ne(read(&tlb), c(0)), ne(read(&pte), c(0))),
            vec![Action::If(empty.clone(), vec![set(&tlb, read(&pte))], vec![])],
        );
        let mut hit = write(v, &tlb, page);
        hit.push(set(&pc, c(first + 2)));
        b.raw(t, Some(first + 1), c(1), vec![Action::If(empty, vec![set(&pc, c(first))], hit)]);
        b.step(t, first + 2, first + 3, c(1), vec![set(&item(v.dirty, page), c(1))]);
    }
}

fn properties(b: &mut Build, v: &Vars) {
    b.property(Ask::Always, "never a write to a page that is gone", not(read(&v.bad)));
    let all = |each: &dyn Fn(i32) -> Expr| and(and(each(0), each(1)), each(2));
    let fresh = |var: VarId, page: i32| {
        let reference = read(&item(var, page));
        or(eq(reference.clone(), c(0)), not(read(&of(v.gone, reference))))
    };
    b.property(Ask::Always, "no stale translation", all(&|page| and(fresh(v.spte, page), fresh(v.tlb, page))));
    let same = |page: i32| {
        let pte = read(&item(v.pte, page));
        or(eq(pte.clone(), c(0)), eq(read(&of(v.data, pte)), read(&item(v.ghost, page))))
    };
    b.property(Ask::Always, "the data is what was written", all(&same));
}
