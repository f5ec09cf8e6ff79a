//! What a test asks of a real machine: which of its threads are the guest's, and which system calls it makes.

use nostale_notifier::{
    litmus::observed,
    model::{Action, BinOp, Expr, Model, Observed, Place, Role, State, Step, ThreadId, VarId, targets::targets},
};
use std::collections::BTreeSet;
use thiserror::Error;

/// Why a test does not run on a real machine.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unsuited {
    /// It speaks of more than the standard operations.
    #[error("it is not made of the standard operations alone: {0}")]
    NotStandard(String),
    /// It has orderings of its own: that of a real machine is the kernel's.
    #[error("it has orderings of its own, and the kernel has one")]
    Orderings,
    /// A step that no single instruction does.
    #[error("`{step}` of {thread} is more than one access")]
    Accesses {
        /// Whose.
        thread: String,
        /// Which.
        step: String,
    },
    /// A thread that waits or goes round.
    #[error("{0} waits, chooses or goes round, which would hold up all other instances")]
    Waits(String),
    /// A thread that is on both sides.
    #[error("{0} uses both the guest's and the host's addresses")]
    BothSides(String),
    /// A system call among other things.
    #[error("`{step}` of {thread}: an operation has to remap a named address to a named page")]
    Operation {
        /// Whose.
        thread: String,
        /// Which.
        step: String,
    },
    /// Two threads that remap, or a system call that is not always made.
    #[error("{0} and another thread remap the same address")]
    TwoOperators(String),
    /// Something is observed that is inside the machine.
    #[error("{0} is inside the machine: observe pages, flags and local variables")]
    Inside(String),
    /// Too much for one instance.
    #[error("{0} flags and variables, of which {1} fit into an instance")]
    Large(usize, usize),
    /// No code.
    #[error("no machine code: {0}")]
    Code(String),
}

/// On which side a thread runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Guest,
    Host,
}

/// Where something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Where {
    /// At an address of the guest, by its number.
    Guest(usize),
    /// At an address of the host.
    Host(usize),
    /// In a page, seen through its second mapping.
    Page(usize),
    /// In memory that guest and host share and no operation touches: the number of the word.
    Board(usize),
    /// With the thread: the number of the word.
    Own(usize),
}

/// A part of a thread's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Steps at these program counters, by machine code, for all instances.
    Code(std::ops::Range<i32>),
    /// Another page appears at an address, for all instances at once.
    Remap { address: usize, page: usize },
}

/// A thread.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    pub(super) id: ThreadId,
    pub(super) side: Side,
    pub(super) parts: Vec<Part>,
}

/// A test, as a real machine runs it.
#[derive(Debug)]
pub(super) struct Test<'m> {
    pub(super) model: &'m Model,
    pub(super) columns: Vec<Observed>,
    pub(super) threads: Vec<Thread>,
    /// Pages, addresses, and the page that is mapped at each address at first and in the end.
    pub(super) pages: usize,
    pub(super) first: Vec<usize>,
    pub(super) last: Vec<usize>,
    /// What each word of the board begins with.
    pub(super) board: Vec<i32>,
    /// What each page's words begin with.
    pub(super) contents: Vec<i32>,
    data: Option<VarId>,
    pte: Option<VarId>,
    tlb: Option<VarId>,
    spte: Option<VarId>,
    /// By element of the model.
    places: Vec<Option<Where>>,
    offsets: Vec<usize>,
}

/// Words of an instance on the board, and of a thread's own.
pub(super) const WORDS: usize = 16;

impl<'m> Test<'m> {
    pub(super) fn of(model: &'m Model) -> Result<Self, Unsuited> {
        let named = |name: &str| (0u32..).zip(&model.vars).find(|(_, var)| var.name == name).map(|(id, _)| VarId(id));
        let offsets: Vec<usize> =
            model.vars.iter().scan(0, |next, var| Some(std::mem::replace(next, *next + var.elements.len()))).collect();
        let (data, pte, tlb, spte) = (named("page.data"), named("virt.pte"), named("virt.tlb"), named("virt.spte"));
        let elements = |var: Option<VarId>| var.map_or(&[][..], |var| &model.vars[var.0 as usize].elements);
        let reference = |value: i32| usize::try_from(value - 1).ok();
        let first: Option<Vec<usize>> = elements(pte).iter().map(|element| reference(element.init)).collect();
        let Some(first) = first else { return Err(Unsuited::NotStandard("an address that nothing is mapped at".to_owned())) };
        let mut this = Self {
            model,
            columns: observed(model),
            threads: Vec::new(),
            pages: elements(data).len(),
            last: first.clone(),
            first,
            board: Vec::new(),
            contents: elements(data).iter().map(|element| element.init).collect(),
            data,
            pte,
            tlb,
            spte,
            places: Vec::new(),
            offsets,
        };
        this.lay_out()?;
        for (id, _) in (0u32..).zip(&model.threads) {
            let thread = this.thread(ThreadId(id))?;
            this.threads.push(thread);
        }
        this.check_columns()?;
        Ok(this)
    }

    /// Gives every flag and local variable its word.
    fn lay_out(&mut self) -> Result<(), Unsuited> {
        let mut own = vec![0; self.model.threads.len()];
        for (id, var) in (0u32..).zip(&self.model.vars) {
            for element in &var.elements {
                let place = match var.role {
                    _ if [self.data, self.pte, self.tlb, self.spte].contains(&Some(VarId(id))) => None,
                    Role::Local(thread) => {
                        let next = &mut own[thread.0 as usize];
                        *next += 1;
                        // The first word is the program counter.
                        Some(Where::Own(*next))
                    }
                    Role::Pc(_) => Some(Where::Own(0)),
                    Role::Shared | Role::Hidden => {
                        self.board.push(element.init);
                        Some(Where::Board(self.board.len() - 1))
                    }
                    Role::Buffer(_) => return Err(Unsuited::NotStandard("a store buffer".to_owned())),
                };
                self.places.push(place);
            }
        }
        let most = own.iter().map(|words| words + 1).chain([self.board.len()]).max().unwrap_or(0);
        if most > WORDS { Err(Unsuited::Large(most, WORDS)) } else { Ok(()) }
    }

    /// Where a place is; none for what is inside the machine.
    pub(super) fn place(&self, place: &Place) -> Option<Where> {
        if Some(place.var) == self.data {
            return match place.index.as_deref() {
                None => Some(Where::Page(0)),
                Some(Expr::Const(page)) => usize::try_from(*page).ok().filter(|page| *page < self.pages).map(Where::Page),
                Some(index) => self.through(index),
            };
        }
        self.places.get(self.element(place)?).copied().flatten()
    }

    fn element(&self, place: &Place) -> Option<usize> {
        let count = self.model.vars.get(place.var.0 as usize)?.elements.len();
        let at = match place.index.as_deref() {
            None => 0,
            Some(Expr::Const(at)) => usize::try_from(*at).ok().filter(|at| *at < count)?,
            Some(_) => return None,
        };
        Some(self.offsets[place.var.0 as usize] + at)
    }

    /// The address by which a page is found: `virt.spte[1] - 1`.
    fn through(&self, index: &Expr) -> Option<Where> {
        match index {
            Expr::Read(place) if Some(place.var) == self.spte => Some(Where::Guest(self.number(place)?)),
            Expr::Read(place) if Some(place.var) == self.tlb => Some(Where::Host(self.number(place)?)),
            Expr::Binary(BinOp::Sub | BinOp::Add, left, right) => match (&**left, &**right) {
                (Expr::Const(_), inner) | (inner, Expr::Const(_)) => self.through(inner),
                _ => None,
            },
            _ => None,
        }
    }

    fn number(&self, place: &Place) -> Option<usize> {
        Some(self.element(place)? - self.offsets[place.var.0 as usize])
    }

    fn thread(&mut self, id: ThreadId) -> Result<Thread, Unsuited> {
        let name = self.model.threads[id.0 as usize].name.clone();
        let end = self.model.threads[id.0 as usize].end;
        let mut parts: Vec<Part> = Vec::new();
        let mut sides = BTreeSet::new();
        for pc in 0..end {
            let steps: Vec<&Step> = self.model.steps.iter().filter(|step| step.thread == id && step.from == Some(pc)).collect();
            let [step] = steps[..] else { return Err(Unsuited::Waits(name)) };
            if step.guard != Expr::Const(1) || self.goes_back(step, pc) {
                return Err(Unsuited::Waits(name));
            }
            if let Some(remap) = self.remap(step, &name)? {
                let Part::Remap { address, page } = remap else { continue };
                let other = self.threads.iter().flat_map(|thread| &thread.parts);
                if other.into_iter().any(|part| matches!(part, Part::Remap { address: known, .. } if *known == address)) {
                    return Err(Unsuited::TwoOperators(name));
                }
                self.last[address] = page;
                sides.insert(false);
                parts.push(remap);
                continue;
            }
            let mut accesses = Vec::new();
            self.accesses(&step.actions, &mut accesses, &step.text)?;
            let shared: Vec<_> = accesses.iter().filter(|(place, _)| !matches!(place, Where::Own(_))).collect();
            let one_place = shared.windows(2).all(|pair| pair[0].0 == pair[1].0);
            // One access, or one read-modify-write of one place.
            if !(shared.len() <= 1 || one_place && shared.len() == 2 && increments(&step.actions)) {
                return Err(Unsuited::Accesses { thread: name, step: step.text.clone() });
            }
            for (place, _) in shared {
                match place {
                    Where::Guest(_) => _ = sides.insert(true),
                    Where::Host(_) | Where::Page(_) => _ = sides.insert(false),
                    Where::Board(_) | Where::Own(_) => {}
                }
            }
            match parts.last_mut() {
                Some(Part::Code(range)) => range.end = pc + 1,
                _ => parts.push(Part::Code(pc..pc + 1)),
            }
        }
        if sides.len() > 1 {
            return Err(Unsuited::BothSides(name));
        }
        let side = if sides.contains(&true) { Side::Guest } else { Side::Host };
        Ok(Thread { id, side, parts })
    }

    /// The system call that a step is, if it is one.
    fn remap(&self, step: &Step, thread: &str) -> Result<Option<Part>, Unsuited> {
        let wrong = || Unsuited::Operation { thread: thread.to_owned(), step: step.text.clone() };
        let mut found = None;
        for action in &step.actions {
            if let Action::Set(place, value) = action
                && [self.pte, self.tlb, self.spte].contains(&Some(place.var))
            {
                let (Some(address), Expr::Const(page)) = (self.number(place), value) else { return Err(wrong()) };
                let page = usize::try_from(*page - 1).map_err(|_| wrong())?;
                if Some(place.var) != self.pte || found.replace(Part::Remap { address, page }).is_some() {
                    return Err(wrong());
                }
            }
        }
        Ok(found)
    }

    fn goes_back(&self, step: &Step, pc: i32) -> bool {
        let mut to = Vec::new();
        targets(&step.actions, self.model.threads[step.thread.0 as usize].pc, &mut to);
        to.iter().any(|to| to.is_none_or(|to| to <= pc))
    }

    /// All accesses of actions, and whether they write.
    fn accesses(&self, actions: &[Action], to: &mut Vec<(Where, bool)>, text: &str) -> Result<(), Unsuited> {
        for action in actions {
            match action {
                Action::Set(place, value) => {
                    self.reads(value, to, text)?;
                    to.push((self.known(place, text)?, true));
                }
                Action::If(when, then, other) => {
                    self.reads(when, to, text)?;
                    self.accesses(then, to, text)?;
                    self.accesses(other, to, text)?;
                }
                // Whether a translation is there, and whether a value is in its range, is looked at in the model.
                Action::Fail { .. } | Action::Forget(_) => {}
            }
        }
        Ok(())
    }

    fn reads(&self, expr: &Expr, to: &mut Vec<(Where, bool)>, text: &str) -> Result<(), Unsuited> {
        match expr {
            Expr::Const(_) => Ok(()),
            Expr::Read(place) => {
                to.push((self.known(place, text)?, false));
                Ok(())
            }
            Expr::Not(operand) => self.reads(operand, to, text),
            Expr::Binary(_, left, right) => self.reads(left, to, text).and_then(|()| self.reads(right, to, text)),
            Expr::Select(parts) => parts.iter().try_for_each(|part| self.reads(part, to, text)),
        }
    }

    fn known(&self, place: &Place, text: &str) -> Result<Where, Unsuited> {
        self.place(place).ok_or_else(|| Unsuited::NotStandard(format!("`{text}`")))
    }

    fn check_columns(&self) -> Result<(), Unsuited> {
        for column in &self.columns {
            let inside = |expr: &Expr| self.reads(expr, &mut Vec::new(), &column.text).is_err();
            if inside(&column.value) {
                return Err(Unsuited::Inside(column.text.clone()));
            }
        }
        Ok(())
    }

    /// What a thread's own words begin with.
    pub(super) fn own(&self, thread: ThreadId) -> Vec<i32> {
        let locals = self.model.vars.iter().filter(|var| var.role == Role::Local(thread));
        [0].into_iter().chain(locals.flat_map(|var| &var.elements).map(|element| element.init)).collect()
    }

    /// The state of the model in the end, where `word` reads what is kept of it: where, and by which thread if it is a thread's own.
    pub(super) fn state(&self, word: impl Fn(Where, Option<ThreadId>) -> i32) -> State {
        let mut values = Vec::new();
        for (id, var) in (0u32..).zip(&self.model.vars) {
            for (number, element) in var.elements.iter().enumerate() {
                let place = self.places[self.offsets[id as usize] + number];
                values.push(match var.role {
                    _ if Some(VarId(id)) == self.data => word(Where::Page(number), None),
                    _ if Some(VarId(id)) == self.pte => self.last[number] as i32 + 1,
                    Role::Pc(thread) => self.model.threads[thread.0 as usize].end,
                    Role::Local(thread) => place.map_or(element.init, |place| word(place, Some(thread))),
                    _ => place.map_or(element.init, |place| word(place, None)),
                });
            }
        }
        State(values.into())
    }
}

/// Whether actions add a number to a place and do nothing else that others see.
pub(super) fn increment(place: &Place, value: &Expr) -> Option<i32> {
    match value {
        Expr::Binary(op @ (BinOp::Add | BinOp::Sub), left, right) => match (&**left, &**right) {
            (Expr::Read(of), Expr::Const(n)) if of == place => Some(if *op == BinOp::Add { *n } else { n.wrapping_neg() }),
            _ => None,
        },
        _ => None,
    }
}

fn increments(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Set(place, value) if increment(place, value).is_some()))
}
