//! From folded expressions and actions to instructions.

use std::collections::HashMap;

use crate::model::{BinOp, Expr, Place, VarId};

use super::code::{Bits, Code, Op, Table};
use super::fold::element;
use super::layout::{Field, Layout};

/// A place in the code that jumps lead to; it may still be ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label(u32);

/// Code under construction. Its jumps name labels until [`Emitter::finish`].
pub(super) struct Emitter<'a> {
    pub(super) layout: &'a Layout,
    code: Code,
    labels: Vec<u32>,
    tables: HashMap<VarId, u32>,
    /// Instructions before this one can be jumped to, so that what follows may not be merged into them.
    settled: usize,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(layout: &'a Layout) -> Emitter<'a> {
        Emitter { layout, code: Code::default(), labels: Vec::new(), tables: HashMap::new(), settled: 0 }
    }

    /// Where the next instruction goes.
    pub(super) fn here(&mut self) -> u32 {
        self.settled = self.code.ops.len();
        self.code.ops.len() as u32
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(u32::MAX);
        Label(self.labels.len() as u32 - 1)
    }

    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0 as usize] = self.here();
    }

    pub(super) fn push(&mut self, op: Op) {
        if let (Op::Patch { word, keep, bits }, true) = (op, self.code.ops.len() > self.settled)
            && let Some(Op::Patch { word: last, keep: last_keep, bits: last_bits }) = self.code.ops.last_mut()
            && *last == word
        {
            *last_bits = *last_bits & keep | bits;
            *last_keep &= keep;
            return;
        }
        self.code.ops.push(op);
    }

    pub(super) fn goto(&mut self, label: Label) {
        self.push(Op::Jump { to: label.0 });
    }

    /// The code, with every jump led to its place.
    pub(super) fn finish(mut self) -> Code {
        for op in &mut self.code.ops {
            if let Op::Jump { to }
            | Op::JumpIf { to, .. }
            | Op::JumpUnless { to, .. }
            | Op::Compare { to, .. }
            | Op::CompareConst { to, .. } = op
            {
                *to = self.labels[*to as usize];
            }
        }
        self.code
    }

    /// The field of a place whose element is known.
    pub(super) fn field(&self, place: &Place, write: bool) -> Option<Field> {
        element(self.layout, place, write).map(|element| self.layout.fields[element])
    }

    /// The table through which a variable's elements are reached by index.
    pub(super) fn table(&mut self, var: VarId) -> u32 {
        *self.tables.entry(var).or_insert_with(|| {
            let fields = &self.layout.fields[self.layout.elements(var)];
            let first = self.code.slots.len() as u32;
            self.code.slots.extend(fields.iter().map(|field| (field.word, field.shift)));
            self.code.tables.push(Table { first, len: fields.len() as u32, field: fields[0] });
            self.code.tables.len() as u32 - 1
        })
    }

    /// Jumps to the label where the truth of `e` is `want`, and goes on otherwise. Uses the registers from `base`.
    pub(super) fn branch(&mut self, e: &Expr, want: bool, to: Label, base: u8) {
        if let &Expr::Const(value) = e {
            if (value != 0) == want {
                self.goto(to);
            }
            return;
        }
        if let Some(Bits { word, mask, bits }) = self.bits(e, want) {
            return self.push(Op::JumpIf { word, to: to.0, mask, bits });
        }
        if let Some(Bits { word, mask, bits }) = self.bits(e, !want) {
            return self.push(Op::JumpUnless { word, to: to.0, mask, bits });
        }
        let mut all = Vec::new();
        leaves(e, !want, &mut all);
        if all.len() > 1 {
            return self.unless_all(&all, to, base);
        }
        all.clear();
        leaves(e, want, &mut all);
        if all.len() > 1 {
            let skip = self.label();
            self.unless_all(&all, skip, base);
            self.goto(to);
            return self.bind(skip);
        }
        match e {
            Expr::Not(inner) => self.branch(inner, !want, to, base),
            Expr::Select(parts) => {
                let (other, end) = (self.label(), self.label());
                self.branch(&parts[0], false, other, base);
                self.branch(&parts[1], want, to, base);
                self.goto(end);
                self.bind(other);
                self.branch(&parts[2], want, to, base);
                self.bind(end);
            }
            Expr::Binary(op @ (BinOp::Eq | BinOp::Ne | BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge), a, b) => {
                if let Expr::Const(value) = **b {
                    self.value(a, base);
                    self.push(Op::CompareConst { op: *op, want, a: base, value, to: to.0 });
                } else {
                    let (a, b) = self.pair(a, b, base);
                    self.push(Op::Compare { op: *op, want, a, b, to: to.0 });
                }
            }
            other => {
                self.value(other, base);
                self.push(Op::CompareConst { op: BinOp::Ne, want, a: base, value: 0, to: to.0 });
            }
        }
    }

    /// Jumps unless every one of these expressions has the truth beside it. What can be, is decided for a whole word at once.
    pub(super) fn unless_all(&mut self, all: &[(&Expr, bool)], to: Label, base: u8) {
        let mut tests: Vec<Bits> = Vec::new();
        let mut rest = Vec::new();
        for &(e, truth) in all {
            match self.bits(e, truth) {
                Some(test) => {
                    if !tests.iter_mut().any(|other| other.join(test)) {
                        tests.push(test);
                    }
                }
                None => rest.push((e, truth)),
            }
        }
        for Bits { word, mask, bits } in tests {
            self.push(Op::JumpUnless { word, to: to.0, mask, bits });
        }
        for (e, truth) in rest {
            self.branch(e, !truth, to, base);
        }
    }

    /// The bits that a word has exactly where the truth of `e` is `truth`, if that is one test.
    fn bits(&self, e: &Expr, truth: bool) -> Option<Bits> {
        let (element, value) = says(self.layout, e, truth)?;
        Some(Bits::of(self.layout.fields[element], value))
    }

    /// Puts a value into register `base`. Uses the registers from there on.
    pub(super) fn value(&mut self, e: &Expr, base: u8) {
        match e {
            Expr::Const(value) => self.push(Op::Const { r: base, value: *value }),
            Expr::Read(place) => match (self.field(place, false), &place.index) {
                (Some(field), _) => self.push(Op::Load { r: base, field }),
                (None, None) => unreachable!("a place without an index names an element"),
                (None, Some(index)) => {
                    let table = self.table(place.var);
                    if let Some((field, add)) = self.affine(index) {
                        let less = 0i32.wrapping_sub(field.lo.wrapping_add(add));
                        self.push(Op::LoadVia { r: base, from: (field.word, field.shift), mask: field.mask, table, less });
                    } else {
                        self.value(index, base);
                        self.push(Op::LoadAt { r: base, index: base, table, less: 0 });
                    }
                }
            },
            Expr::Binary(BinOp::Add, a, b) if matches!(**b, Expr::Const(_)) => self.plus(a, b, 1, base),
            Expr::Binary(BinOp::Sub, a, b) if matches!(**b, Expr::Const(_)) => self.plus(a, b, -1, base),
            Expr::Binary(op @ (BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div | BinOp::Mod), a, b) => {
                let (a, b) = self.pair(a, b, base);
                self.push(Op::Arith { op: *op, r: base, a, b });
            }
            Expr::Select(parts) => {
                let (other, end) = (self.label(), self.label());
                self.branch(&parts[0], false, other, base);
                self.value(&parts[1], base);
                self.goto(end);
                self.bind(other);
                self.value(&parts[2], base);
                self.bind(end);
            }
            truth => {
                let (no, end) = (self.label(), self.label());
                self.branch(truth, false, no, base);
                self.push(Op::Const { r: base, value: 1 });
                self.goto(end);
                self.bind(no);
                self.push(Op::Const { r: base, value: 0 });
                self.bind(end);
            }
        }
    }

    fn plus(&mut self, a: &Expr, b: &Expr, sign: i32, base: u8) {
        let Expr::Const(value) = *b else { unreachable!("the callers pass a constant") };
        self.value(a, base);
        self.push(Op::AddConst { r: base, a: base, value: value.wrapping_mul(sign) });
    }

    /// Two values in two registers, which are returned. The one that needs more registers goes first.
    pub(super) fn pair(&mut self, a: &Expr, b: &Expr, base: u8) -> (u8, u8) {
        if need(a) >= need(b) {
            self.value(a, base);
            self.value(b, base + 1);
            (base, base + 1)
        } else {
            self.value(b, base);
            self.value(a, base + 1);
            (base + 1, base)
        }
    }

    /// The field and the constant that an expression adds up, if that is what it does.
    pub(super) fn affine(&self, e: &Expr) -> Option<(Field, i32)> {
        match e {
            Expr::Read(place) => Some((self.field(place, false)?, 0)),
            Expr::Binary(op @ (BinOp::Add | BinOp::Sub), a, b) => match (op, &**a, &**b) {
                (BinOp::Add, Expr::Read(place), &Expr::Const(add)) | (BinOp::Add, &Expr::Const(add), Expr::Read(place)) => {
                    Some((self.field(place, false)?, add))
                }
                (BinOp::Sub, Expr::Read(place), &Expr::Const(less)) => Some((self.field(place, false)?, 0i32.wrapping_sub(less))),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The expressions that all have to have the truth beside them for `e` to have the truth `truth`.
pub(super) fn leaves<'e>(e: &'e Expr, truth: bool, all: &mut Vec<(&'e Expr, bool)>) {
    match e {
        Expr::Not(inner) => leaves(inner, !truth, all),
        Expr::Binary(op, a, b) if *op == if truth { BinOp::And } else { BinOp::Or } => {
            leaves(a, truth, all);
            leaves(b, truth, all);
        }
        _ => all.push((e, truth)),
    }
}

/// How many registers an expression needs (Sethi and Ullman).
fn need(e: &Expr) -> u32 {
    match e {
        Expr::Const(_) => 1,
        Expr::Read(place) => place.index.as_deref().map_or(1, need),
        Expr::Not(inner) => need(inner),
        Expr::Binary(BinOp::And | BinOp::Or, a, b) => need(a).max(need(b)),
        Expr::Binary(_, a, b) => {
            let (a, b) = (need(a), need(b));
            if a == b { a + 1 } else { a.max(b) }
        }
        Expr::Select(parts) => parts.iter().map(need).max().unwrap_or(1),
    }
}

/// The element and the value that it has exactly where the truth of `e` is `truth`, if it says no more than that.
pub(super) fn says(layout: &Layout, e: &Expr, truth: bool) -> Option<(usize, i32)> {
    let (place, value, equal) = match e {
        Expr::Read(place) => (place, 0, !truth),
        Expr::Binary(op @ (BinOp::Eq | BinOp::Ne), a, b) => match (&**a, &**b) {
            (Expr::Read(place), &Expr::Const(value)) => (place, value, (*op == BinOp::Eq) == truth),
            _ => return None,
        },
        Expr::Not(inner) => return says(layout, inner, !truth),
        _ => return None,
    };
    let element = element(layout, place, false)?;
    let field = layout.fields[element];
    match (equal, field.span) {
        _ if !field.holds(value) => None,
        (true, _) => Some((element, value)),
        // Of two values, not to be the one is to be the other.
        (false, 1) => Some((element, if value == field.lo { field.lo.wrapping_add(1) } else { field.lo })),
        _ => None,
    }
}
