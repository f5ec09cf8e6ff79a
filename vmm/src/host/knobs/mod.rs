//! System-wide host settings, changed so that they always come back.
//!
//! Huge pages, KSM, swap and compaction are steered through files that affect the whole host. [`Knobs::set`] writes the original
//! down first and then changes the file; the [`Guard`] puts the original back when it is dropped, and so on a panic. After a
//! `kill -9` the next [`Knobs::recover`] does it. Two runs at once agree through the same journal: who wants the value that is
//! set joins in, who wants another is told who is in the way, and the last one out restores.
//!
//! What this does not see: programs that share the host's sysfs and have a `/run` of their own (containers). Their changes look
//! like an administrator's, and are left alone.
//!
//! ```no_run
//! # use nostale_vmm::host::knobs::{Knob, Knobs};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let knobs = Knobs::open(Knobs::default_dir())?;
//! for restored in knobs.recover()? {
//!     eprintln!("{restored}");
//! }
//! let always = knobs.set(&Knob::choice("/sys/kernel/mm/transparent_hugepage/enabled"), "always")?;
//! // … the run …
//! always.release()?;
//! # Ok(())
//! # }
//! ```

mod disk;
mod error;
mod group;
mod guard;
mod journal;
mod knob;
mod process;
mod restore;
mod setting;
mod swap_area;
#[cfg(test)]
mod tests;
mod zram;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use error::SetError;
pub use guard::{Guard, ReleaseError};
pub use journal::JournalError;
pub use knob::{Kind, Knob, KnobError};
pub use restore::{Outcome, Restored};
pub use setting::Setting;

use journal::{Entry, Holder, Journal};
use restore::{holds_ours, restore};

/// The settings of this host, as far as they were changed by runs that share a journal. Clones are the same thing.
#[derive(Clone, Debug)]
pub struct Knobs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// The tokens of the guards that have not let go yet.
    live: Mutex<BTreeSet<u64>>,
    /// What guards could only say while they were dropped.
    notes: Mutex<Vec<String>>,
}

impl Knobs {
    /// Uses the journal in `dir`, which is made (mode 0700) if it does not exist.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let dir = dir.into();
        journal::prepare(&dir)?;
        // A damaged journal should stop a run before it starts and not in the middle.
        drop(Journal::open(&dir)?);
        Ok(Self { shared: Arc::new(Shared { dir, live: Mutex::default(), notes: Mutex::default() }) })
    }

    /// Where all runs on this host meet: `/run/nostale`, for others than root their runtime directory, else the temporary one.
    pub fn default_dir() -> PathBuf {
        let run = Path::new("/run");
        if nix::unistd::access(run, nix::unistd::AccessFlags::W_OK).is_ok() {
            return run.join("nostale");
        }
        match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if Path::new(&dir).is_absolute() => Path::new(&dir).join("nostale"),
            _ => std::env::temp_dir().join(format!("nostale-{}", nix::unistd::geteuid())),
        }
    }

    /// Sets a knob until the guard is dropped.
    ///
    /// A counter may be given another number than it asked for: compare [`Guard::value`] with what was wanted.
    pub fn set(&self, knob: &Knob, value: &str) -> Result<Guard, SetError> {
        let knob = knob.resolved()?;
        let mut journal = Journal::open(&self.shared.dir)?;
        let shown = knob.show()?;
        let wanted = knob.accept(&shown, value)?;
        let holder = Holder { process: journal.me, token: next_token() };

        if let Some(at) = journal.knobs.iter().position(|entry| entry.path == knob.path) {
            let entry = &mut journal.knobs[at];
            if let Some(first) = entry.holders.first() {
                let pid = first.process.pid;
                // What is on a disk is one holder's business, and a device that is swap to one is no disk to another.
                if entry.kind != knob.kind || knob.kind == Kind::Disk {
                    return Err(SetError::InUse { path: knob.path, wanted: knob.kind, held: entry.kind, pid });
                }
                if entry.wanted != wanted {
                    return Err(SetError::Conflict { path: knob.path, wanted, held: entry.wanted.clone(), pid });
                }
                if !holds_ours(entry, &shown.value) {
                    return Err(SetError::Disturbed { path: knob.path, wanted, found: shown.value, pid });
                }
                entry.holders.push(holder);
                let original = entry.original.clone();
                journal.save()?;
                return Ok(self.guard(knob, holder, original, shown.value));
            }
            // The holder died. Taking the entry over would leave a moment in which a second death looks like a foreign hand
            // (our value in the journal, the dead one's in the knob), so go back first and start afresh.
            let orphan = Restored { path: knob.path.clone(), original: entry.original.clone(), result: Ok(restore(entry)?) };
            self.note(&orphan);
            journal.knobs.remove(at);
            journal.save()?;
        }
        self.set_afresh(&mut journal, knob, wanted, holder)
    }

    fn set_afresh(&self, journal: &mut Journal, knob: Knob, wanted: String, holder: Holder) -> Result<Guard, SetError> {
        let original = knob.read()?;
        if knob.kind == Kind::Disk && original != disk::NONE {
            return Err(SetError::Foreign { path: knob.path, found: original });
        }
        let entry = Entry {
            path: knob.path.clone(),
            kind: knob.kind,
            original: original.clone(),
            wanted: wanted.clone(),
            got: None,
            holders: vec![holder],
        };
        journal.knobs.push(entry);
        journal.save()?;
        match write_and_record(journal, &knob, &original, &wanted) {
            Ok(got) => Ok(self.guard(knob, holder, original, got)),
            Err(cause) => Err(roll_back(journal, knob, original, cause)),
        }
    }

    /// Puts back what dead runs have left behind, last change first. To be called when a run starts.
    ///
    /// What live runs hold is not touched. One knob that cannot be put back does not keep the others from it.
    pub fn recover(&self) -> Result<Vec<Restored>, JournalError> {
        let mut journal = Journal::open(&self.shared.dir)?;
        let mut report = restore_orphans(&mut journal, |_| true);
        for entry in std::mem::take(&mut journal.rebooted) {
            report.push(Restored { path: entry.path, original: entry.original, result: Ok(Outcome::Rebooted) });
        }
        if !report.is_empty() {
            journal.save()?;
        }
        Ok(report)
    }

    /// Lets go of everything that guards of this `Knobs` hold, for a process that is told to end and cannot unwind.
    ///
    /// The guards may be dropped or not afterwards. It locks and allocates: call it from a thread that waits for signals and
    /// never from a signal handler.
    pub fn release_all(&self) -> Result<Vec<Restored>, JournalError> {
        let mut journal = Journal::open(&self.shared.dir)?;
        let mine = std::mem::take(&mut *locked(&self.shared.live));
        let me = journal.me;
        let is_mine = |holder: &Holder| holder.process == me && mine.contains(&holder.token);
        let mut released = BTreeSet::new();
        for entry in &mut journal.knobs {
            if entry.holders.iter().any(is_mine) {
                entry.holders.retain(|holder| !is_mine(holder));
                released.insert(entry.path.clone());
            }
        }
        let report = restore_orphans(&mut journal, |entry| released.contains(&entry.path));
        journal.save()?;
        Ok(report)
    }

    /// What guards had to say when they were dropped: a value left alone, a write refused. Whatever is not taken by the end of
    /// the last guard and clone goes to standard error.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.shared.notes))
    }

    fn guard(&self, knob: Knob, holder: Holder, original: String, value: String) -> Guard {
        locked(&self.shared.live).insert(holder.token);
        Guard::new(self.clone(), knob, holder, original, value)
    }

    fn note(&self, restored: &Restored) {
        if restored.is_notable() {
            locked(&self.shared.notes).push(restored.to_string());
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for note in locked(&self.notes).drain(..) {
            eprintln!("nostale: {note}");
        }
    }
}

/// Changes the knob whose entry is the last of the journal.
fn write_and_record(journal: &mut Journal, knob: &Knob, original: &str, wanted: &str) -> Result<String, SetError> {
    let got = if original == wanted { wanted.to_owned() } else { knob.write(wanted)? };
    if knob.kind == Kind::Counter {
        if let Some(entry) = journal.knobs.last_mut() {
            entry.got = Some(got.clone());
        }
        journal.save()?;
    }
    Ok(got)
}

/// Takes the last entry of the journal back after `cause`. Whatever that was, the write may have half worked; but what somebody else
/// has made in the meantime is not ours to take down.
fn roll_back(journal: &mut Journal, knob: Knob, original: String, cause: SetError) -> SetError {
    let foreign = matches!(&cause, SetError::Knob(error) if error.is_taken());
    let undone = knob.read().and_then(|found| match found == original || foreign {
        true => Ok(original.clone()),
        // Remember what is there as ours, so that a recovery overwrites it.
        false => knob.write(&original).inspect_err(|_| {
            if let Some(entry) = journal.knobs.last_mut() {
                (entry.wanted, entry.got) = (found.clone(), Some(found));
            }
        }),
    });
    let failed = undone.err();
    match (&failed, journal.knobs.last_mut()) {
        (Some(_), Some(entry)) => entry.holders.clear(),
        _ => drop(journal.knobs.pop()),
    }
    // Without this save the entry names a holder until this process ends. That delays its recovery, and nothing is lost.
    let _ = journal.save();
    match failed {
        Some(source) => SetError::RollBack { path: knob.path, original, cause: Box::new(cause), source: Box::new(source) },
        None => cause,
    }
}

/// Restores every chosen entry without holders, last change first, and takes those out that are done.
fn restore_orphans(journal: &mut Journal, chosen: impl Fn(&Entry) -> bool) -> Vec<Restored> {
    let mut report = Vec::new();
    for at in (0..journal.knobs.len()).rev() {
        let entry = &journal.knobs[at];
        if !entry.holders.is_empty() || !chosen(entry) {
            continue;
        }
        let restored = Restored { path: entry.path.clone(), original: entry.original.clone(), result: restore(entry) };
        if restored.result.is_ok() {
            journal.knobs.remove(at);
        }
        report.push(restored);
    }
    report
}

fn next_token() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A panic elsewhere must not keep settings from being put back, and the data is valid between any two statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
