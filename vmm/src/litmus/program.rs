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
    #[error("`{step}` of {thread}: an operation has to be about a named address, and a named page")]
    Operation {
        /// Whose.
        thread: String,
        /// Which.
        step: String,
    },
    /// Two threads that remap, or a system call that is not always made.
    #[error("{0} and another thread have an operation on the same address")]
    TwoOperators(String),
    /// A page that migrates is used otherwise.
    #[error("{0} migrates pages that are not at that address alone")]
    Shared(String),
    /// A thread of the host that writes where it may not.
    #[error("{0} writes at an address that is read-only for a while, which would kill it")]
    Forbidden(String),
    /// Nobody gives write access back.
    #[error("{0} leaves an address read-only, at which a guest may wait to write")]
    LeftReadOnly(String),
    /// Something is observed that is inside the machine.
    #[error("{0} cannot be seen from outside: observe flags, local variables, and pages that no contents have left")]
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
    /// A system call about an address, for all instances at once.
    Deed { address: usize, deed: Deed },
}

/// What a system call does to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Another page of the file appears there.
    Remap(usize),
    /// The contents get another page of memory.
    Migrate,
    /// Write access goes, or comes back.
    Protect { writable: bool },
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
    /// Pages, addresses, and the page of the file that is mapped at each address at first and in the end.
    pub(super) pages: usize,
    pub(super) first: Vec<usize>,
    pub(super) last: Vec<usize>,
    /// The page that the model has at each address in the end: where contents have migrated, that is another one.
    named: Vec<usize>,
    /// Pages of the model from or to which contents migrate: their own are nobody's to see.
    migrating: BTreeSet<usize>,
    /// What each word of the board begins with.
    pub(super) board: Vec<i32>,
    /// What each page's words begin with.
    pub(super) contents: Vec<i32>,
    data: Option<VarId>,
    pte: Option<VarId>,
    tlb: Option<VarId>,
    spte: Option<VarId>,
    migrated: Option<VarId>,
    readonly: Option<VarId>,
    /// By element of the model.
    places: Vec<Option<Where>>,
    offsets: Vec<usize>,
    /// Bytes of an instance's words on the board, and of a thread's own: a power of two.
    pub(super) line: usize,
}

/// Words of an instance on the board, and of a thread's own, at the most.
pub(super) const WORDS: usize = 16;

impl<'m> Test<'m> {
    pub(super) fn of(model: &'m Model) -> Result<Self, Unsuited> {
        let named = |name: &str| (0u32..).zip(&model.vars).find(|(_, var)| var.name == name).map(|(id, _)| VarId(id));
        let offsets: Vec<usize> =
            model.vars.iter().scan(0, |next, var| Some(std::mem::replace(next, *next + var.elements.len()))).collect();
        let (data, pte, tlb, spte) = (named("page.data"), named("virt.pte"), named("virt.tlb"), named("virt.spte"));
        let (migrated, readonly) = (named("virt.migrated"), named("virt.readonly"));
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
            named: first.clone(),
            migrating: BTreeSet::new(),
            first,
            board: Vec::new(),
            contents: elements(data).iter().map(|element| element.init).collect(),
            data,
            pte,
            tlb,
            spte,
            migrated,
            readonly,
            places: Vec::new(),
            offsets,
            line: 0,
        };
        this.lay_out()?;
        this.migrating = this.migrations()?;
        for (id, _) in (0u32..).zip(&model.threads) {
            let thread = this.thread(ThreadId(id))?;
            this.threads.push(thread);
        }
        this.check_columns()?;
        Ok(this)
    }

    /// What there is of the machine, inside it or to be asked of it.
    const fn standard(&self) -> [Option<VarId>; 6] {
        [self.data, self.pte, self.tlb, self.spte, self.migrated, self.readonly]
    }

    /// Gives every flag and local variable its word.
    fn lay_out(&mut self) -> Result<(), Unsuited> {
        let mut own = vec![0; self.model.threads.len()];
        for (id, var) in (0u32..).zip(&self.model.vars) {
            for element in &var.elements {
                let place = match var.role {
                    _ if self.standard().contains(&Some(VarId(id))) => None,
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
        self.line = most.max(1).next_power_of_two() * 4;
        if most > WORDS { Err(Unsuited::Large(most, WORDS)) } else { Ok(()) }
    }

    /// Where a place is; none for what is inside the machine.
    pub(super) fn place(&self, place: &Place) -> Option<Where> {
        if Some(place.var) == self.data {
            return match self.page(place) {
                Some(page) => (!self.migrating.contains(&page)).then_some(Where::Page(page)),
                None => self.through(place.index.as_deref()?),
            };
        }
        self.places.get(self.element(place)?).copied().flatten()
    }

    /// Where a place is seen when all is done.
    pub(super) fn seen(&self, place: &Place) -> Option<Where> {
        // At an address there may be anything by then: it is the page that has to be named.
        if Some(place.var) == self.data { self.contents_of(self.page(place)?).map(Where::Page) } else { self.place(place) }
    }

    /// The page that a place names.
    fn page(&self, place: &Place) -> Option<usize> {
        let page = match place.index.as_deref() {
            None => 0,
            Some(Expr::Const(page)) => usize::try_from(*page).ok()?,
            Some(_) => return None,
        };
        Some(page).filter(|page| *page < self.pages)
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

    /// Through which address a page is found, and by whom.
    fn through(&self, index: &Expr) -> Option<Where> {
        let place = address(index)?;
        match Some(place.var) {
            var if var == self.spte => Some(Where::Guest(self.number(place)?)),
            var if var == self.tlb => Some(Where::Host(self.number(place)?)),
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
            if let Some((address, page, deed)) = self.deed(step, &name)? {
                let mut other = self.threads.iter().flat_map(|thread| &thread.parts);
                if other.any(|part| matches!(part, Part::Deed { address: known, .. } if *known == address)) {
                    return Err(Unsuited::TwoOperators(name));
                }
                if let Deed::Remap(page) = deed {
                    self.last[address] = page;
                }
                self.named[address] = page.unwrap_or(self.named[address]);
                sides.insert(false);
                parts.push(Part::Deed { address, deed });
                continue;
            }
            let protects = |address: usize| {
                let mut deeds = self.model.steps.iter().filter_map(|step| self.deed(step, "").ok().flatten());
                deeds.any(|(other, _, deed)| other == address && matches!(deed, Deed::Protect { .. }))
            };
            let mut accesses = Vec::new();
            self.accesses(&step.actions, &mut accesses, &step.text)?;
            let shared: Vec<_> = accesses.iter().filter(|(place, _)| !matches!(place, Where::Own(_))).collect();
            let one_place = shared.windows(2).all(|pair| pair[0].0 == pair[1].0);
            // One access, or one read-modify-write of one place.
            if !(shared.len() <= 1 || one_place && shared.len() == 2 && increments(&step.actions)) {
                return Err(Unsuited::Accesses { thread: name, step: step.text.clone() });
            }
            for (place, writes) in shared {
                match place {
                    Where::Host(address) if *writes && protects(*address) => return Err(Unsuited::Forbidden(name)),
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
        let mut readonly = BTreeSet::new();
        for part in &parts {
            match part {
                Part::Deed { address, deed: Deed::Protect { writable: false } } => _ = readonly.insert(*address),
                // A new mapping may be written.
                Part::Deed { address, deed: Deed::Protect { writable: true } | Deed::Remap(_) } => _ = readonly.remove(address),
                Part::Deed { .. } | Part::Code(_) => {}
            }
        }
        if !readonly.is_empty() {
            return Err(Unsuited::LeftReadOnly(name));
        }
        let side = if sides.contains(&true) { Side::Guest } else { Side::Host };
        Ok(Thread { id, side, parts })
    }

    /// The system call that a step is, if it is one: its address, and the page that the model has there then if that is another one.
    fn deed(&self, step: &Step, thread: &str) -> Result<Option<(usize, Option<usize>, Deed)>, Unsuited> {
        let wrong = || Unsuited::Operation { thread: thread.to_owned(), step: step.text.clone() };
        let mut found = None;
        for action in &step.actions {
            if let Action::Set(place, value) = action
                && self.standard().contains(&Some(place.var))
                && Some(place.var) != self.data
            {
                let (Some(address), Expr::Const(value)) = (self.number(place), value) else { return Err(wrong()) };
                let page = || usize::try_from(*value - 1).map_err(|_| wrong());
                let deed = match Some(place.var) {
                    var if var == self.pte => (address, Some(page()?), Deed::Remap(page()?)),
                    var if var == self.migrated => (address, Some(page()?), Deed::Migrate),
                    var if var == self.readonly => (address, None, Deed::Protect { writable: *value == 0 }),
                    _ => return Err(wrong()),
                };
                if found.replace(deed).is_some() {
                    return Err(wrong());
                }
            }
        }
        Ok(found)
    }

    /// The pages that contents leave, or come to, by migration. They are at one address, and nobody else has them.
    fn migrations(&self) -> Result<BTreeSet<usize>, Unsuited> {
        let mut of: Vec<BTreeSet<usize>> = self.first.iter().map(|first| BTreeSet::from([*first])).collect();
        let mut migrating = BTreeSet::new();
        for step in &self.model.steps {
            let thread = &self.model.threads[step.thread.0 as usize].name;
            if let Some((address, page, deed)) = self.deed(step, thread)? {
                of[address].extend(page);
                migrating.extend((deed == Deed::Migrate).then_some((address, thread)));
            }
        }
        for (address, thread) in &migrating {
            let others = of.iter().enumerate().filter(|(other, _)| other != address);
            let remapped = self.model.steps.iter().filter_map(|step| self.deed(step, thread).ok().flatten());
            let mut remapped = remapped.filter(|(other, _, deed)| other == address && matches!(deed, Deed::Remap(_)));
            if others.into_iter().any(|(_, pages)| !pages.is_disjoint(&of[*address])) || remapped.next().is_some() {
                return Err(Unsuited::Shared((*thread).clone()));
            }
        }
        Ok(migrating.into_iter().flat_map(|(address, _)| of[address].clone()).collect())
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
        let mut places = Vec::new();
        reads(expr, &mut places);
        places.into_iter().try_for_each(|place| {
            to.push((self.known(place, text)?, false));
            Ok(())
        })
    }

    fn known(&self, place: &Place, text: &str) -> Result<Where, Unsuited> {
        self.place(place).ok_or_else(|| Unsuited::NotStandard(format!("`{text}`")))
    }

    fn check_columns(&self) -> Result<(), Unsuited> {
        for column in &self.columns {
            let mut places = Vec::new();
            reads(&column.value, &mut places);
            if places.iter().any(|place| self.seen(place).is_none()) {
                return Err(Unsuited::Inside(column.text.clone()));
            }
        }
        Ok(())
    }

    /// The page of the file in which the contents of a page of the model are in the end; none of one that they have left.
    fn contents_of(&self, page: usize) -> Option<usize> {
        let at = self.named.iter().position(|named| *named == page).filter(|_| self.migrating.contains(&page));
        at.map(|address| self.last[address]).or_else(|| (!self.migrating.contains(&page)).then_some(page))
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
                    _ if Some(VarId(id)) == self.data => self.contents_of(number).map_or(0, |page| word(Where::Page(page), None)),
                    _ if Some(VarId(id)) == self.pte => self.named[number] as i32 + 1,
                    Role::Pc(thread) => self.model.threads[thread.0 as usize].end,
                    Role::Local(thread) => place.map_or(element.init, |place| word(place, Some(thread))),
                    _ => place.map_or(element.init, |place| word(place, None)),
                });
            }
        }
        State(values.into())
    }
}

/// The place of an address in the index of a page: `virt.spte[1] - 1`.
fn address(index: &Expr) -> Option<&Place> {
    match index {
        Expr::Read(place) => Some(place),
        Expr::Binary(BinOp::Sub | BinOp::Add, left, right) => match (&**left, &**right) {
            (Expr::Const(_), inner) | (inner, Expr::Const(_)) => address(inner),
            _ => None,
        },
        _ => None,
    }
}

/// The places that an expression reads, but for those that its places are found by.
pub(super) fn reads<'e>(expr: &'e Expr, places: &mut Vec<&'e Place>) {
    match expr {
        Expr::Const(_) => {}
        Expr::Read(place) => places.push(place),
        Expr::Not(operand) => reads(operand, places),
        Expr::Binary(_, left, right) => [left, right].into_iter().for_each(|operand| reads(operand, places)),
        Expr::Select(parts) => parts.iter().for_each(|part| reads(part, places)),
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
