//! Host operations: the ways in which a host changes the memory under a guest. One file each, in families.
//!
//! To add one: copy the file of the nearest relative, describe it (what it preserves or replaces on which backing, what it
//! needs, which host settings it wants), perform it once in [`HostOperation::perform`], and add its [`Operation`] to its family's
//! list.

mod bed;
mod child;
mod cleaning;
mod eyes;
mod hot;
pub(crate) mod huge;
mod kvm;
mod migration;
mod moving;
mod own_vma;
mod protecting;
mod reclaim;
mod replacing;
mod storm;
pub(crate) mod syscall;
mod userfault;
mod vma;
mod wait;

pub use bed::{Bed, Ledger};
pub use storm::STORM;
pub use syscall::OperationError;

use crate::{
    host::{
        facts::{Facts, writes_back},
        knobs::Setting,
    },
    live::Plant,
    machine::Demands,
    memory::{Backing, Pages},
};
use nostale_notifier::addr::PAGE_SIZE;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::{fmt, path::Path};

/// The generator that every random choice of an operation comes from.
pub type Rng = Xoshiro256PlusPlus;

/// What an operation does to the contents of guest pages, and so which oracles can judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Every page keeps its contents: conservation page by page, freshness of host values.
    Preserves,
    /// Fresh pages take the place of those that were there for a while, and what they counted is gathered afterwards:
    /// conservation page by page, finality, third thread, freshness of generations.
    Gathers,
    /// Other pages take the place of those that were there, and all of them stay visible through the witness: conservation
    /// over all pages together, finality, third thread, freshness of generations.
    Exchanges,
    /// Contents are thrown away on purpose: finality, third thread, freshness of generations.
    Discards,
    /// There is nothing to try, for this reason.
    Inapplicable(&'static str),
}

/// Something the host lacks, and how to get it.
pub use crate::host::facts::Need;

/// What one call of [`HostOperation::perform`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was performed on this many pages.
    Pages(u64),
    /// Nothing was done, because other operations had all the pages; trying again makes sense.
    Busy,
    /// There is nothing left to do in this run.
    Exhausted,
}

/// One way of changing host memory, ready to be used on an arena.
pub trait HostOperation: Send {
    /// Performs it once, on pages chosen by `rng`, and leaves every page at home.
    ///
    /// # Errors
    /// A system call that the host refused though the operation had said it would work.
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError>;

    /// How it does it, where that depends on the host.
    fn method(&self) -> Option<&'static str> {
        None
    }
}

/// An operation ready to be performed, or why it cannot be.
pub type Made = Result<Box<dyn HostOperation>, OperationError>;

/// An operation's entry in the catalogue.
pub struct Operation {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Where a run without options tries it: the backings on which it reaches calls of the notifier that nothing else there
    /// reaches. None for what has to be asked for by name.
    pub usual: &'static [Backing],
    /// The other backings on which it takes paths of its own through the kernel, for when it is asked for.
    pub more: &'static [Backing],
    /// How much time it should have, compared to others: some need a while before there is anything to see.
    pub share: u32,
    /// How often it is drawn for a round of a storm, compared to others.
    pub weight: u32,
    /// The least memory that it can work on, in pages. A scenario that asks for less gets this much.
    pub least: u64,
    /// What it does to the contents of a backing. See [`Operation::on`].
    effect: fn(Backing) -> Effect,
    /// Why it is not for hugetlb memory, if so. What is for it works on whole huge pages ([`crate::memory::Arena::unit`]).
    not_hugetlb: Option<&'static str>,
    /// Whether its files must be on a disk that they are written back to. Where they would be in memory, one is made for the run.
    pub disk: bool,
    /// What it needs of the host.
    pub needs: fn(&Facts, Backing) -> Result<(), Need>,
    /// What it wants of the machine, which must be known before there is one.
    pub machine: Demands,
    /// The planted faults that only some operations can show, of those that this one can.
    pub faults: &'static [Plant],
    /// Why it cannot run beside another operation on this backing, if so.
    pub rejects: fn(&Operation, Backing) -> Option<&'static str>,
    /// Host settings that are held while it runs.
    pub settings: fn(&Facts, Backing) -> Vec<Setting>,
    /// Makes one for an arena.
    pub make: fn(&Bed<'_>, &Facts) -> Made,
}

impl Operation {
    /// What most operations have in common: they need nothing, and want no setting. Each has a name, an effect and a maker of its own.
    const USUAL: Self = Self {
        name: "",
        summary: "",
        usual: &[],
        more: &[],
        share: 1,
        weight: 8,
        least: 0,
        effect: |_| Effect::Preserves,
        not_hugetlb: Some("it works on base pages, of which hugetlb memory has none"),
        disk: false,
        needs: |_, _| Ok(()),
        machine: Demands { vm: false, ..Demands::VM },
        faults: &[],
        rejects: |_, _| None,
        settings: |_, _| Vec::new(),
        make: |_, _| Err(OperationError::Unmade),
    };

    /// Whether it can run here on this backing, with files in `file_dir`.
    ///
    /// # Errors
    /// What the host lacks, of the backing or of the operation.
    pub fn possible(&self, facts: &Facts, backing: Backing, file_dir: &Path) -> Result<(), Need> {
        match backing.pages {
            Pages::Small | Pages::Transparent => {}
            Pages::Folios => facts.need_folios()?,
            Pages::Hugetlb2M | Pages::Hugetlb1G => facts.need_hugetlb(backing.unit() * PAGE_SIZE, 1)?,
        }
        if self.disk && backing.has_file() {
            facts.need_disk(writes_back(file_dir))?;
        }
        (self.needs)(facts, backing)
    }

    /// What it does to the contents of a backing.
    #[must_use]
    pub fn on(&self, backing: Backing) -> Effect {
        match self.not_hugetlb {
            Some(reason) if backing.is_hugetlb() => Effect::Inapplicable(reason),
            _ => (self.effect)(backing),
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All operations, family by family, in the order in which people are shown them.
pub fn all() -> impl Iterator<Item = &'static Operation> + Clone {
    let families = [
        moving::OPERATIONS,
        replacing::OPERATIONS,
        reclaim::OPERATIONS,
        cleaning::OPERATIONS,
        huge::OPERATIONS,
        protecting::OPERATIONS,
        userfault::OPERATIONS,
        vma::OPERATIONS,
        kvm::OPERATIONS,
        migration::OPERATIONS,
    ];
    families.into_iter().flatten().copied()
}

/// The operation with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Operation> {
    all().chain([&STORM]).find(|operation| operation.name == name)
}
