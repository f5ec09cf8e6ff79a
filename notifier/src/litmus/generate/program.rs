//! A test as its threads' steps, and all of them up to a size.

use super::vocabulary::{Flag, OPERATIONS, STEPS, Step, Virt};
use std::collections::BTreeSet;

/// The threads of a test. Two that differ only in the order of their guests are one, and so are the names of pages and flags: `x` is what
/// the first operation is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Program {
    /// Operations, and then perhaps a flag.
    pub operator: Vec<Step>,
    /// One or two; in order.
    pub guests: Vec<Vec<Step>>,
    /// A host thread that is no operator; none where it has no steps.
    pub third: Vec<Step>,
}

/// The most threads of a guest.
const GUESTS: usize = 2;

/// The greatest value that a page can hold: `page.data` of the library.
const GREATEST: usize = 3;

impl Program {
    /// Every program of at most so many steps of guests and third threads, each once.
    #[must_use]
    pub fn all(accesses: usize) -> BTreeSet<Self> {
        let mut all = BTreeSet::new();
        let threads = threads(accesses);
        for operations in OPERATIONS {
            let both = operations.iter().any(|step| step.operates_on() == Some(Virt::Y));
            let fitting = threads.iter().filter(|steps| both || !steps.iter().any(|step| step.accesses() == Some(Virt::Y)));
            let fitting: Vec<&Vec<Step>> = fitting.collect();
            let mut guests = Vec::new();
            crews(&fitting, 0, (accesses + 1).saturating_sub(operations.len()), &mut guests, &mut |guests, left| {
                let thirds = fitting.iter().copied().filter(|third| third.len() <= left).cloned();
                for third in [Vec::new()].into_iter().chain(thirds) {
                    let program = Self { operator: operations.to_vec(), guests: guests.to_vec(), third }.finished();
                    if program.is_whole() && program.values().is_some() {
                        all.insert(program);
                    }
                }
            });
        }
        all
    }

    /// The threads other than the operator.
    pub(super) fn others(&self) -> impl Iterator<Item = &Vec<Step>> {
        self.guests.iter().chain([&self.third])
    }

    fn others_mut(&mut self) -> impl Iterator<Item = &mut Vec<Step>> {
        self.guests.iter_mut().chain([&mut self.third])
    }

    /// Threads that do anything, the operator among them.
    #[must_use]
    pub fn threads(&self) -> usize {
        1 + self.others().filter(|steps| !steps.is_empty()).count()
    }

    /// Steps of the threads other than the operator: what the size of a test is counted in.
    #[must_use]
    pub fn accesses(&self) -> usize {
        self.others().map(Vec::len).sum()
    }

    /// All steps, and increments once more: an increment is a load and a store. Whatever is weaker than a program weighs less.
    pub(super) fn weight(&self) -> usize {
        let increments = self.others().flatten().filter(|step| matches!(step, Step::Add(_))).count();
        self.operator.len() + self.accesses() + increments
    }

    pub(super) fn looks_at(&self, flag: Flag) -> bool {
        self.others().flatten().any(|step| *step == Step::Look(flag))
    }

    fn tells(&self, flag: Flag) -> bool {
        self.operator.iter().chain(self.others().flatten()).any(|step| *step == Step::Tell(flag))
    }

    pub(super) fn operates_on(&self, virt: Virt) -> bool {
        self.operator.iter().any(|step| step.operates_on() == Some(virt))
    }

    /// The operator says that all is done if anybody wants to know, and guests come in order.
    fn finished(mut self) -> Self {
        self.operator.retain(|step| step.operates_on().is_some());
        if self.looks_at(Flag::Done) {
            self.operator.push(Step::Tell(Flag::Done));
        }
        self.guests.sort();
        self
    }

    /// Whether every part is of use to another: each flag is set once, and read; each page is mapped anew, and used; each thread uses a
    /// page; the guest is there.
    fn is_whole(&self) -> bool {
        let used = |virt| self.others().flatten().any(|step| step.accesses() == Some(virt));
        let uses = |steps: &Vec<Step>| steps.iter().any(|step| step.accesses().is_some());
        let tellers = self.others().filter(|steps| steps.contains(&Step::Tell(Flag::Told))).count();
        !self.guests.is_empty()
            && Virt::ALL.into_iter().all(|virt| self.operates_on(virt) == used(virt))
            && self.guests.iter().all(uses)
            && (self.third.is_empty() || uses(&self.third))
            && tellers <= 1
            && Flag::ALL.into_iter().all(|flag| self.tells(flag) == self.looks_at(flag))
    }

    /// Values of the test: the first that is stored, and what new pages hold. None where there are more than a page can hold.
    pub(super) fn values(&self) -> Option<Values> {
        let count = |is: fn(&Step) -> bool| self.others().flatten().filter(|step| is(step)).count();
        let (writes, adds) = (count(|step| matches!(step, Step::Write(_))), count(|step| matches!(step, Step::Add(_))));
        let remaps = self.operator.iter().filter(|step| matches!(step, Step::Remap(_))).count();
        // Who reads has to see which page it was.
        let news = if count(|step| matches!(step, Step::Read(_))) > 0 { remaps } else { 0 };
        (news + writes + adds <= GREATEST).then_some(Values { news, first: news + 1 })
    }

    /// Without what has become useless; none if nothing is left of it.
    fn tidied(mut self) -> Option<Self> {
        loop {
            let before = self.clone();
            for virt in Virt::ALL {
                let used = self.others().flatten().any(|step| step.accesses() == Some(virt));
                if !used {
                    self.operator.retain(|step| step.operates_on() != Some(virt));
                } else if !self.operates_on(virt) {
                    self.others_mut().for_each(|steps| steps.retain(|step| step.accesses() != Some(virt)));
                }
            }
            self.others_mut().filter(|steps| !steps.iter().any(|step| step.accesses().is_some())).for_each(Vec::clear);
            self.guests.retain(|steps| !steps.is_empty());
            if !(self.looks_at(Flag::Told) && self.tells(Flag::Told)) {
                let told = [Step::Tell(Flag::Told), Step::Look(Flag::Told)];
                self.others_mut().for_each(|steps| steps.retain(|step| !told.contains(step)));
            }
            if self == before {
                break;
            }
        }
        // Of two operations, the second is the one that may be on another page.
        if !self.operates_on(Virt::X) {
            let renamed = |steps: &mut Vec<Step>| steps.iter_mut().for_each(|step| *step = step.on(Virt::X));
            renamed(&mut self.operator);
            self.others_mut().for_each(renamed);
        }
        let whole = !self.operator.is_empty() && !self.guests.is_empty();
        whole.then(|| self.finished())
    }

    /// What is left when one step is taken away, or an increment is only a store: with whatever is of no use any more taken away as well.
    #[must_use]
    pub fn weakened(&self) -> BTreeSet<Self> {
        let mut weaker = BTreeSet::new();
        let mut add = |program: Self| weaker.extend(program.tidied());
        let operations = self.operator.iter().filter(|step| step.operates_on().is_some()).count();
        for at in 0..operations {
            let mut program = self.clone();
            program.operator.remove(at);
            add(program);
        }
        let steps: Vec<(usize, usize, Step)> = (0..)
            .zip(self.others())
            .flat_map(|(thread, steps)| (0..).zip(steps).map(move |(at, step)| (thread, at, *step)))
            .collect();
        for (thread, at, step) in steps {
            let mut fewer = self.clone();
            fewer.others_mut().nth(thread).into_iter().for_each(|steps| _ = steps.remove(at));
            add(fewer);
            if let Step::Add(virt) = step {
                let mut stores = self.clone();
                stores.others_mut().nth(thread).into_iter().for_each(|steps| steps[at] = Step::Write(virt));
                add(stores);
            }
        }
        weaker
    }
}

/// The values of a test.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    /// New pages that hold something of their own: 1, 2, ….
    pub(super) news: usize,
    /// The first value that is stored.
    pub(super) first: usize,
}

/// Every thread of at most so many steps that uses a page, tells at most once and looks at each flag at most once.
fn threads(most: usize) -> Vec<Vec<Step>> {
    let mut threads: Vec<Vec<Step>> = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..most {
        let to = threads.len();
        for at in from..to {
            for &step in STEPS {
                let steps = &threads[at];
                let again = step.accesses().is_none() && steps.contains(&step);
                let has = |wanted| step == wanted || steps.contains(&wanted);
                let to_itself = has(Step::Tell(Flag::Told)) && has(Step::Look(Flag::Told));
                if !again && !to_itself {
                    threads.push(threads[at].iter().copied().chain([step]).collect());
                }
            }
        }
        from = to;
    }
    threads.retain(|steps| steps.iter().any(|step| step.accesses().is_some()));
    threads
}

/// Every choice of one or two threads for guests, in order, and how many steps they leave.
fn crews(
    threads: &[&Vec<Step>],
    from: usize,
    left: usize,
    chosen: &mut Vec<Vec<Step>>,
    each: &mut impl FnMut(&[Vec<Step>], usize),
) {
    for (at, steps) in threads.iter().enumerate().skip(from).filter(|(_, steps)| steps.len() <= left) {
        chosen.push((*steps).clone());
        each(chosen, left - steps.len());
        if chosen.len() < GUESTS {
            crews(threads, at, left - steps.len(), chosen, each);
        }
        chosen.pop();
    }
}
