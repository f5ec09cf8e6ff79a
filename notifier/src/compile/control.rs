//! Where control goes: branches, loops, jumps, and the expansion of operations.

use super::{
    assign::Special,
    builtin,
    decl::MOST,
    flow::{Choice, Fault, NodeId},
    fold,
    operand::{Home, Loc, Operand},
    returns::never_ends,
    scope::{Binding, Target},
    ty::Ty,
    unit::{Result, Unit},
};
use crate::{
    lang::{
        Diagnostic, Span,
        ast::{Block, Domain, Expr, ExprKind, Name, UnaryOp},
    },
    model::VarId,
    near::near,
};

/// Operations that call operations: deeper is a mistake, and would exhaust the stack.
const DEEPEST: usize = 32;

impl Unit<'_> {
    /// Looks at a condition: the branch, and where each answer goes on.
    fn test(&mut self, condition: &Expr, at: Span) -> Result<(NodeId, NodeId, NodeId)> {
        if let ExprKind::Unary(UnaryOp::Not, inner) = &condition.kind {
            let (branch, yes, no) = self.test(inner, at)?;
            return Ok((branch, no, yes));
        }
        let value = match self.special(condition)? {
            Special::Act(act) => return Ok(self.act_branch(act, at)),
            Special::Result(var, Ty::Bool) => {
                self.decided();
                let branch = self.graph.cursor();
                let (yes, no) = self.graph.branch(fold::read(var, fold::constant(0)));
                let mut ends = [yes, no];
                for end in &mut ends {
                    self.graph.move_to(*end);
                    self.reset(&[var]);
                    *end = self.graph.cursor();
                }
                return Ok((branch, ends[0], ends[1]));
            }
            Special::Result(_, ty) => {
                let what = self.decls.describe(ty);
                return Err(Diagnostic::error("a condition is needed here").at(condition.span, format!("this returns {what}")));
            }
            Special::Any(..) | Special::Alloc(_) | Special::Acquire(..) => {
                return Err(Diagnostic::error("a condition is needed here").at(condition.span, "this is no condition"));
            }
            Special::Pure => self.condition(condition)?,
        };
        if value.shared && self.atomic.is_none() {
            self.step(value.faults, Vec::new(), at);
        } else {
            self.local_work(value.faults.into_iter().map(Fault::action).collect());
            self.decided();
        }
        let branch = self.graph.cursor();
        let (yes, no) = self.graph.branch(value.expr);
        Ok((branch, yes, no))
    }

    /// A step that does one of two things, and goes on accordingly.
    fn act_branch(&mut self, act: builtin::Act, at: Span) -> (NodeId, NodeId, NodeId) {
        self.ordered_step(fold::truth(true), Vec::new(), act.faults, Vec::new(), at);
        self.decided();
        let branch = self.graph.cursor();
        let (yes, no) = self.graph.branch(act.condition);
        self.graph.move_to(yes);
        self.graph.local(act.yes);
        let yes = self.graph.cursor();
        self.graph.move_to(no);
        self.graph.local(act.no);
        (branch, yes, self.graph.cursor())
    }

    pub(super) fn either(&mut self, condition: &Expr, then: &Block, otherwise: Option<&Block>, at: Span) -> Result<()> {
        let (branch, yes, no) = self.test(condition, Span { end: condition.span.end, ..at })?;
        self.graph.move_to(yes);
        self.block(then);
        let after_then = self.graph.cursor();
        self.graph.move_to(no);
        if let Some(otherwise) = otherwise {
            self.block(otherwise);
        }
        let after_otherwise = self.graph.cursor();
        self.join(branch, [after_then, after_otherwise]);
        Ok(())
    }

    /// A loop's body, which `break` and `continue` leave.
    fn body(&mut self, body: &Block, out: NodeId, next: NodeId) {
        self.scopes.open();
        // Leaving closes the scope of the body itself: what stays open is what is around it.
        let depth = self.scopes.depth() - 1;
        self.scopes.set_loop(Target { node: out, depth }, Target { node: next, depth });
        self.statements(body);
        let ending = self.scopes.close();
        self.reset(&ending);
        self.graph.goto(next);
    }

    pub(super) fn endless(&mut self, body: &Block, at: Span) -> Result<()> {
        self.not_in_atomic("a loop without a bound", at)?;
        let head = self.graph.loop_head(at);
        let out = self.graph.hole();
        self.body(body, out, head);
        self.graph.move_to(out);
        Ok(())
    }

    pub(super) fn while_loop(&mut self, condition: &Expr, body: &Block, at: Span) -> Result<()> {
        self.not_in_atomic("a loop without a bound", at)?;
        let at = Span { end: condition.span.end, ..at };
        let head = self.graph.loop_head(at);
        let out = self.graph.hole();
        let (_, yes, no) = self.test(condition, at)?;
        self.graph.move_to(no);
        self.graph.goto(out);
        self.graph.move_to(yes);
        self.body(body, out, head);
        self.graph.move_to(out);
        Ok(())
    }

    pub(super) fn repeat(&mut self, times: &Expr, body: &Block) -> Result<()> {
        let count = self.known_number(times)?;
        if !(0..=MOST).contains(&count) {
            return Err(Diagnostic::error(format!("a loop of {count} rounds")).at(times.span, format!("from 0 to {MOST}")));
        }
        let out = self.graph.hole();
        for _ in 0..count {
            if self.gives_up(body.span) {
                break;
            }
            let next = self.graph.hole();
            self.body(body, out, next);
            self.graph.move_to(next);
        }
        self.graph.goto(out);
        self.graph.move_to(out);
        Ok(())
    }

    pub(super) fn each(&mut self, name: &Name, domain: &Domain, body: &Block, at: Span) -> Result<()> {
        if let Domain::Of(expr) = domain
            && let Operand::Loc(loc) = self.operand(expr)?
            && let Ty::List(_) = loc.ty
        {
            return builtin::list::walk(self, name, expr, body, Span { end: expr.span.end, ..at });
        }
        let members = self.members(domain)?;
        let out = self.graph.hole();
        for member in members {
            if self.gives_up(body.span) {
                break;
            }
            let next = self.graph.hole();
            self.scopes.open();
            self.scopes.bind(&name.text, Binding::Operand(member));
            self.body(body, out, next);
            self.scopes.close();
            self.graph.move_to(next);
        }
        self.graph.goto(out);
        self.graph.move_to(out);
        Ok(())
    }

    /// The body of a walk through a list, for [`builtin::list::walk`].
    pub(super) fn walk_body(&mut self, body: &Block, out: NodeId, next: NodeId) {
        self.body(body, out, next);
    }

    pub(super) fn choose(&mut self, blocks: &[Block], at: Span) -> Result<()> {
        self.not_in_atomic("`choose`", at)?;
        let entries: Vec<NodeId> = blocks.iter().map(|_| self.graph.hole()).collect();
        let mut choices = Vec::new();
        for (block, next) in blocks.iter().zip(&entries) {
            let text = Some(format!("choose {}", self.text(block.span)));
            choices.push(Choice { guard: fold::truth(true), faults: Vec::new(), actions: Vec::new(), next: *next, text });
        }
        self.graph.choices(choices, "choose".to_owned(), at);
        let join = self.graph.hole();
        for (block, entry) in blocks.iter().zip(entries) {
            self.graph.move_to(entry);
            self.block(block);
            self.graph.goto(join);
        }
        self.graph.move_to(join);
        Ok(())
    }

    /// What follows is not always reached: an atomic step cannot wait for it any more.
    fn decided(&mut self) {
        if let Some(atomic) = &mut self.atomic {
            atomic.begun = true;
        }
    }

    /// Goes to where fewer scopes are open.
    fn leave_to(&mut self, target: Target) {
        self.decided();
        let ending = self.scopes.locals_above(target.depth);
        self.reset(&ending);
        self.graph.goto(target.node);
    }

    pub(super) fn leave_loop(&mut self, at: Span, word: &str) -> Result<()> {
        let Some((out, next)) = self.scopes.innermost_loop() else {
            return Err(Diagnostic::error(format!("`{word}` outside a loop")).at(at, "no loop to leave"));
        };
        self.leave_to(if word == "break" { out } else { next });
        Ok(())
    }

    pub(super) fn jump(&mut self, label: &Name) -> Result<()> {
        let Some(found) = self.scopes.find_label(&label.text).cloned() else {
            let error = Diagnostic::error(format!("no label is called `{}`", label.text)).at(label.span, "nothing to go to");
            return Err(match near(&label.text, self.scopes.labels()) {
                Some(close) => error.help(format!("did you mean `{close}`?")),
                None => error.note("a label is in the same block or one around it"),
            });
        };
        self.leave_to(found.target);
        Ok(())
    }

    pub(super) fn give_back(&mut self, value: Option<&Expr>, at: Span) -> Result<()> {
        let Some((target, result)) = self.scopes.returning() else {
            if value.is_some() {
                return Err(Diagnostic::error("a thread returns nothing").at(at, "to whom?"));
            }
            self.decided();
            // The thread ends here; its outermost variables stay as they are.
            self.graph.end();
            let unreachable = self.graph.hole();
            self.graph.move_to(unreachable);
            return Ok(());
        };
        match (value, result) {
            (Some(value), Some((var, ty))) => {
                let loc = Loc { at: Home::Local(var), ty, index: fold::constant(0), faults: Vec::new(), shared: false };
                self.assign_value(value, loc, at)?;
            }
            (None, None) => {}
            (Some(value), None) => {
                return Err(Diagnostic::error("this operation returns nothing")
                    .at(value.span, "a value")
                    .help("say what it returns: `op name(…): bool`"));
            }
            (None, Some(_)) => return Err(Diagnostic::error("this operation returns a value").at(at, "none is given")),
        }
        self.leave_to(target);
        Ok(())
    }

    /// A call that stands alone.
    pub(super) fn call(&mut self, name: &Name, args: &[Expr], at: Span) -> Result<()> {
        if let Some(op) = self.op(&name.text) {
            if let Some((var, _)) = self.expand(op, name, args, at)? {
                self.reset(&[var]);
            }
            return Ok(());
        }
        builtin::statement(self, name, args, at)
    }

    /// Writes the steps of an operation here; yields where its result is.
    pub(super) fn expand(&mut self, op: usize, name: &Name, args: &[Expr], at: Span) -> Result<Option<(VarId, Ty)>> {
        let decl = self.decls.ops[op];
        if args.len() != decl.params.len() {
            let (takes, given) = (decl.params.len(), args.len());
            return Err(Diagnostic::error(format!("`{}` takes {}", name.text, counted(takes)))
                .at(at, format!("{given} given"))
                .also(decl.name.span, "declared here"));
        }
        if self.expanding.contains(&op) || self.expanding.len() >= DEEPEST {
            return Err(Diagnostic::error(format!("`{}` calls itself", name.text))
                .at(at, "operations are macros: this would never end")
                .help("use a loop"));
        }
        let own = decl.orderings.iter().find(|(names, _)| names.iter().any(|n| Some(n.text.as_str()) == self.variant));
        let Some(body) = own.map(|(_, body)| body).or(decl.body.as_ref()) else {
            let variant = self.variant.unwrap_or("default");
            return Err(Diagnostic::error(format!("`{}` has no definition in the ordering `{variant}`", name.text))
                .at(at, "used here")
                .also(decl.name.span, "declared here")
                .help("add one, or a definition for all others before the orderings"));
        };
        if decl.result.is_some() && !never_ends(body) {
            let end = Span { start: body.span.end.saturating_sub(1), ..body.span };
            return Err(Diagnostic::error(format!("`{}` can end without a value", name.text))
                .at(end, "comes here without `return`")
                .also(decl.name.span, "says that it returns one"));
        }
        let mut operands = Vec::new();
        for (param, arg) in decl.params.iter().zip(args) {
            operands.push((param, [self.argument(arg)?, self.ordered(|unit| unit.argument(arg))?]));
        }
        let result = match &decl.result {
            Some(ty) => {
                let ty = self.decls.ty(ty)?;
                Some((self.local(&name.text, decl.name.span, ty), ty))
            }
            None => None,
        };
        let out = self.graph.hole();
        let depth = self.scopes.depth();
        self.scopes.open_opaque(Target { node: out, depth }, result);
        for (param, [plain, ordered]) in operands {
            self.scopes.bind(&param.text, Binding::Argument { plain, ordered });
        }
        self.expanding.push(op);
        self.statements(body);
        self.expanding.pop();
        let ending = self.scopes.close();
        self.reset(&ending);
        self.graph.goto(out);
        self.graph.move_to(out);
        Ok(result)
    }

    /// What a parameter stands for: as in a C macro, a place is looked at where it is used, not where it is handed over.
    fn argument(&mut self, arg: &Expr) -> Result<Operand> {
        match &arg.kind {
            ExprKind::Call(name, _) if self.op(&name.text).is_some() => {
                Err(Diagnostic::error("an operation cannot be an argument").at(arg.span, "put its result into a variable first"))
            }
            _ => self.operand(arg),
        }
    }
}

fn counted(count: usize) -> String {
    match count {
        0 => "no arguments".to_owned(),
        1 => "one argument".to_owned(),
        n => format!("{n} arguments"),
    }
}
