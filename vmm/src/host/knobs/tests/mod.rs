//! Files in a temporary directory stand for knobs; processes, locks and deaths are real.

mod processes;

use std::io::Write;
use std::path::{Path, PathBuf};

use super::*;

/// A journal directory and files that stand for knobs.
struct Host {
    root: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self { root: tempfile::tempdir().expect("make a temporary directory") }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    fn knobs(&self) -> Knobs {
        Knobs::open(self.dir()).expect("open the journal")
    }

    fn file(&self, name: &str, value: &str) -> PathBuf {
        let path = self.root.path().join(name);
        std::fs::write(&path, format!("{value}\n")).expect("write a knob");
        path
    }

    fn journal_is_empty(&self) -> bool {
        !self.dir().join("knobs.json").exists()
    }
}

fn value(path: &Path) -> String {
    Knob::choice(path).read().expect("read a knob")
}

fn set(knobs: &Knobs, path: &Path, wanted: &str) -> Guard {
    knobs.set(&Knob::choice(path), wanted).expect("set a knob")
}

#[test]
fn a_guard_puts_the_original_back() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "always [madvise] never"));
    let guard = set(&knobs, &path, "never");
    assert_eq!((value(&path).as_str(), guard.original(), guard.value()), ("never", "madvise", "never"));
    assert!(!host.journal_is_empty());
    assert_eq!(guard.release().expect("release"), Outcome::Restored);
    assert_eq!(value(&path), "madvise");
    assert!(host.journal_is_empty());
    drop(set(&knobs, &path, "madvise"));
    assert_eq!(set(&knobs, &path, "madvise").release().expect("release"), Outcome::Unchanged);
    assert_eq!(knobs.take_notes(), Vec::<String>::new());
}

#[test]
fn a_panic_puts_it_back() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("ksm", "0"));
    let (theirs, file) = (knobs.clone(), path.clone());
    let thread = std::thread::spawn(move || {
        let _guard = set(&theirs, &file, "1");
        std::panic::panic_any("on purpose");
    });
    assert!(thread.join().is_err());
    assert_eq!(value(&path), "0");
    assert!(host.journal_is_empty());
}

#[test]
fn the_last_holder_restores() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let first = set(&knobs, &path, "always");
    let second = set(&host.knobs(), &path, "always");
    assert_eq!(second.original(), "madvise");
    assert_eq!(first.release().expect("release"), Outcome::StillHeld { holders: 1 });
    assert_eq!(value(&path), "always");
    assert_eq!(second.release().expect("release"), Outcome::Restored);
    assert_eq!(value(&path), "madvise");
}

#[test]
fn two_spellings_of_a_path_are_one_knob() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let alias = host.root.path().join("alias");
    std::os::unix::fs::symlink(&path, &alias).expect("make a link");
    let _guard = set(&knobs, &path, "always");
    assert!(matches!(knobs.set(&Knob::choice(&alias), "never"), Err(SetError::Conflict { .. })));
}

#[test]
fn one_path_is_not_two_things_at_once() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("device", "1"));
    let guard = set(&knobs, &path, "1");
    let error = knobs.set(&Knob::number(&path), "1").expect_err("another kind");
    assert!(matches!(error, SetError::InUse { wanted: Kind::Number, held: Kind::Choice, .. }), "{error}");
    drop(guard);
    drop(knobs.set(&Knob::number(&path), "1").expect("free again"));
    assert!(host.journal_is_empty());
}

/// Somebody else makes the swap file between the look whether there is one and the attempt to make it.
#[test]
fn what_somebody_else_was_quicker_to_make_is_not_taken_down() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.root.path().join("swap"));
    let knob = Knob::swap_area(&path);
    let mut journal = Journal::open(&host.dir()).expect("open the journal");
    let entry = Entry {
        path: path.clone(),
        kind: knob.kind,
        original: "off".to_owned(),
        wanted: "on".to_owned(),
        got: None,
        holders: vec![],
    };
    journal.knobs.push(entry);
    std::fs::write(&path, "theirs").expect("write as somebody else");
    let cause = write_and_record(&mut journal, &knob, "off", "on").expect_err("there already");
    let cause = roll_back(&mut journal, knob, "off".to_owned(), cause);
    assert!(matches!(&cause, SetError::Knob(error) if error.is_taken()), "{cause}");
    assert_eq!(std::fs::read(&path).expect("still there"), b"theirs");
    drop(journal);
    assert!(host.journal_is_empty());
    drop(knobs);
}

#[test]
fn threads_hold_one_knob_together() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("ksm", "0"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let guard = set(&knobs, &path, "1");
                    assert_eq!(value(&path), "1");
                    drop(guard);
                }
            });
        }
    });
    assert_eq!(value(&path), "0");
    assert!(host.journal_is_empty());
    assert_eq!(knobs.take_notes(), Vec::<String>::new());
}

#[test]
fn what_an_administrator_set_is_left_alone() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let guard = set(&knobs, &path, "always");
    std::fs::write(&path, "never\n").expect("write as an administrator");
    assert!(matches!(knobs.set(&Knob::choice(&path), "always"), Err(SetError::Disturbed { .. })));
    drop(guard);
    assert_eq!(value(&path), "never");
    let notes = knobs.take_notes();
    assert!(matches!(notes.as_slice(), [note] if note.contains("left at \"never\"")), "{notes:?}");
    assert!(host.journal_is_empty());
}

#[test]
fn release_all_leaves_nothing_for_the_guards() {
    let host = Host::new();
    let (knobs, thp, ksm) = (host.knobs(), host.file("thp", "madvise"), host.file("ksm", "0"));
    let theirs = set(&host.knobs(), &ksm, "1");
    let guards = [set(&knobs, &thp, "always"), set(&knobs, &ksm, "1")];
    let report = knobs.release_all().expect("release all");
    assert!(matches!(report.as_slice(), [Restored { result: Ok(Outcome::Restored), .. }]), "{report:?}");
    assert_eq!((value(&thp).as_str(), value(&ksm).as_str()), ("madvise", "1"));
    for guard in guards {
        assert_eq!(guard.release().expect("release"), Outcome::AlreadyReleased);
    }
    assert_eq!(theirs.release().expect("release"), Outcome::Restored);
}

#[test]
fn a_damaged_journal_is_named_and_kept() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let guard = set(&knobs, &path, "always");
    let journal = host.dir().join("knobs.json");
    let whole = std::fs::read(&journal).expect("read the journal");
    for damaged in [&b""[..], b"{", &whole[..whole.len() / 2], b"\xff\xfe", b"[]", br#"{"version":1}"#, br#"{"version":99}"#] {
        std::fs::write(&journal, damaged).expect("damage the journal");
        let error = Knobs::open(host.dir()).expect_err("damaged").to_string();
        assert!(error.contains("knobs.json is damaged") && error.contains("by hand"), "{error}");
        assert!(knobs.set(&Knob::choice(&path), "always").is_err() && knobs.recover().is_err() && knobs.release_all().is_err());
        assert_eq!(std::fs::read(&journal).expect("still there"), damaged);
    }
    drop(guard);
    let notes = knobs.take_notes();
    assert!(matches!(notes.as_slice(), [note] if note.contains("should go back to \"madvise\"")), "{notes:?}");
}

#[test]
fn a_deleted_journal_is_noticed() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let guard = set(&knobs, &path, "always");
    std::fs::remove_file(host.dir().join("knobs.json")).expect("delete the journal");
    let error = guard.release().expect_err("deleted").to_string();
    assert!(error.contains("back to \"madvise\" by hand"), "{error}");
}

#[test]
fn entries_of_an_earlier_boot_are_dropped_unwritten() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let guard = set(&knobs, &path, "always");
    let journal = host.dir().join("knobs.json");
    let boot = process::boot_id().expect("read the boot id");
    let text = std::fs::read_to_string(&journal).expect("read the journal").replace(&boot, "an earlier one");
    std::fs::write(&journal, text).expect("age the journal");
    let report = knobs.recover().expect("recover");
    assert!(matches!(report.as_slice(), [Restored { result: Ok(Outcome::Rebooted), .. }]), "{report:?}");
    assert_eq!(value(&path), "always");
    assert!(host.journal_is_empty());
    assert!(guard.release().is_err());
}

#[test]
fn a_refused_value_leaves_no_trace() {
    let host = Host::new();
    let knobs = host.knobs();
    // The kernel cuts the name of a process to 15 bytes without a word.
    let name = Knob::choice("/proc/self/comm");
    let before = name.read().expect("read the name");
    assert!(matches!(knobs.set(&name, "longer-than-fifteen-bytes"), Err(SetError::Knob(KnobError::NotTaken { .. }))));
    assert_eq!(name.read().expect("read the name"), before);
    assert!(matches!(knobs.set(&Knob::choice("/proc/sys/kernel/ostype"), "Hurd"), Err(SetError::Knob(KnobError::Write { .. }))));
    assert!(matches!(knobs.set(&Knob::number("/proc/sys/vm/none"), "1"), Err(SetError::Knob(KnobError::Read { .. }))));
    let number = Knob::number(host.file("n", "1"));
    assert!(matches!(knobs.set(&number, "many"), Err(SetError::Knob(KnobError::BadValue { .. }))));
    assert!(host.journal_is_empty());
}

#[test]
fn a_counter_takes_what_it_gets() {
    // The kernel's own example of a number that comes back as another: 0 stands for the default slack.
    let path = "/proc/self/timerslack_ns";
    if let Err(error) = std::fs::write(path, "61234") {
        return skip(format_args!("{path}: {error}"));
    }
    let host = Host::new();
    let knobs = host.knobs();
    let guard = knobs.set(&Knob::counter(path), "0").expect("set");
    assert_ne!(guard.value(), "0");
    assert_eq!(guard.original(), "61234");
    assert_eq!(guard.release().expect("release"), Outcome::Restored);
    assert_eq!(Knob::counter(path).read().expect("read"), "61234");
    assert!(matches!(knobs.set(&Knob::number(path), "0"), Err(SetError::Knob(KnobError::NotTaken { .. }))));
    assert_eq!(Knob::counter(path).read().expect("read"), "61234");
}

#[test]
fn a_vanished_knob_is_forgotten() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let guard = set(&knobs, &path, "always");
    std::fs::remove_file(&path).expect("remove the knob");
    assert_eq!(guard.release().expect("release"), Outcome::Gone);
    assert!(host.journal_is_empty());
}

#[test]
fn a_directory_others_can_write_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new();
    std::fs::create_dir(host.dir()).expect("make the directory");
    std::fs::set_permissions(host.dir(), std::fs::Permissions::from_mode(0o777)).expect("open it to all");
    assert!(matches!(Knobs::open(host.dir()), Err(JournalError::NotPrivate { .. })));
    let link = host.root.path().join("link");
    std::os::unix::fs::symlink(host.root.path(), &link).expect("make a link");
    assert!(matches!(Knobs::open(&link), Err(JournalError::NotPrivate { .. })));
}

/// Says why a test that needs the real thing did nothing. Not `eprintln!`, which the test harness swallows.
fn skip(reason: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

#[test]
fn a_real_knob_of_this_host_comes_back() {
    let path = Path::new("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    if let Err(error) = std::fs::OpenOptions::new().write(true).open(path) {
        return skip(format_args!("{}: {error}", path.display()));
    }
    // The journal of real runs, so that one in progress and this test do not undo each other.
    let knobs = match Knobs::open(Knobs::default_dir()) {
        Ok(knobs) => knobs,
        Err(error) => return skip(error),
    };
    let before = value(path);
    let other = if before == "advise" { "never" } else { "advise" };
    match knobs.set(&Knob::choice(path), other) {
        Ok(guard) => {
            let text = std::fs::read_to_string(path).expect("read the knob");
            assert!(text.contains(&format!("[{other}]")), "{text}");
            let original = guard.original().to_owned();
            match guard.release().expect("release") {
                Outcome::Restored => assert_eq!(value(path), original),
                outcome => skip(format_args!("somebody else changed it too: {outcome:?}")),
            }
        }
        Err(error @ (SetError::Conflict { .. } | SetError::Disturbed { .. })) => skip(error),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn knobs_can_be_shared_and_sent() {
    fn check<T: Send + Sync>() {}
    check::<Knobs>();
    check::<Guard>();
}
