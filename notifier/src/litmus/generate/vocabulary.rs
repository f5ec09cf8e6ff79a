//! The words that generated tests are made of.

/// Everything that a thread of a generated test can do.
///
/// | step | host's operator | guests | third thread | in the language | in names |
/// | --- | --- | --- | --- | --- | --- |
/// | [`Remap`](Step::Remap) | yes | | | `remap(x, B)` | `remap` |
/// | [`Migrate`](Step::Migrate) | yes | | | `migrate(x, B)` | `migrate` |
/// | [`Write`](Step::Write) | | yes | yes | `guest_write(x, 1)` · `host_write(x, 1)` | `w` |
/// | [`Add`](Step::Add) | | yes | yes | `guest_add(x)` · `host_add(x)` | `a` |
/// | [`Read`](Step::Read) | | yes | yes | `let read = guest_read(x)` · `let read = host_read(x)` | `r` |
/// | [`Tell`](Step::Tell) | `done`, last | `told` | `told` | `done = true` · `told = true` | `t` (`done`: not named) |
/// | [`Look`](Step::Look) | | yes | yes | `let was_done = done` · `let known = told` | `d` · `k` |
///
/// There is no guarded access: what comes after a look, in a final state in which the look found the flag set, is what a guard would
/// let through, and threads without branches are what every place can run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// The host maps another page.
    Remap(Virt),
    /// The host moves the contents to another page.
    Migrate(Virt),
    /// A store.
    Write(Virt),
    /// A load, whose value is looked at in the end.
    Read(Virt),
    /// An atomic increment.
    Add(Virt),
    /// Sets a flag, once in a test.
    Tell(Flag),
    /// Reads a flag, once in a thread.
    Look(Flag),
}

/// A virtual page: the one that the first operation is about, and another one, if the second operation is about that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "names")]
pub enum Virt {
    X,
    Y,
}

/// A variable of the host's that all threads see at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Flag {
    /// All operations have returned.
    Done,
    /// One of the other threads has come so far.
    Told,
}

impl Virt {
    pub(super) const ALL: [Self; 2] = [Self::X, Self::Y];
}

impl Flag {
    pub(super) const ALL: [Self; 2] = [Self::Done, Self::Told];
}

impl Step {
    /// The page that it uses, if it is an access.
    pub(super) fn accesses(self) -> Option<Virt> {
        match self {
            Self::Write(virt) | Self::Read(virt) | Self::Add(virt) => Some(virt),
            _ => None,
        }
    }

    /// The page that it maps anew, if it is an operation.
    pub(super) fn operates_on(self) -> Option<Virt> {
        match self {
            Self::Remap(virt) | Self::Migrate(virt) => Some(virt),
            _ => None,
        }
    }

    /// The same step on a page of another name.
    pub(super) fn on(self, virt: Virt) -> Self {
        match self {
            Self::Remap(_) => Self::Remap(virt),
            Self::Migrate(_) => Self::Migrate(virt),
            Self::Write(_) => Self::Write(virt),
            Self::Read(_) => Self::Read(virt),
            Self::Add(_) => Self::Add(virt),
            Self::Tell(_) | Self::Look(_) => self,
        }
    }
}

/// What an operator does before it says, perhaps, that all is done: one operation, or two, the first of which is on `x`.
pub(super) const OPERATIONS: &[&[Step]] = {
    use {
        Step::{Migrate, Remap},
        Virt::{X, Y},
    };
    &[
        &[Remap(X)],
        &[Migrate(X)],
        &[Remap(X), Remap(X)],
        &[Remap(X), Migrate(X)],
        &[Migrate(X), Remap(X)],
        &[Migrate(X), Migrate(X)],
        &[Remap(X), Remap(Y)],
        &[Remap(X), Migrate(Y)],
        &[Migrate(X), Remap(Y)],
        &[Migrate(X), Migrate(Y)],
    ]
};

/// What guests and the third thread do.
pub(super) const STEPS: &[Step] = {
    use {
        Flag::{Done, Told},
        Step::{Add, Look, Read, Tell, Write},
        Virt::{X, Y},
    };
    &[Write(X), Read(X), Add(X), Write(Y), Read(Y), Add(Y), Tell(Told), Look(Told), Look(Done)]
};
