//! Two runs at once, and runs that are killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Host, set, value};
use crate::host::knobs::{Knob, Knobs, Outcome, Restored};

/// Another process of this program that holds a knob until its standard input closes. See [`as_a_child_process`].
fn hold_in_child(host: &Host, mode: &str, path: &Path, wanted: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("find the test binary"))
        .args(["--exact", "host::knobs::tests::processes::as_a_child_process", "--ignored", "--nocapture"])
        .env("NOSTALE_TEST_CHILD", mode)
        .env("NOSTALE_TEST_DIR", host.dir())
        .env("NOSTALE_TEST_KNOB", path)
        .env("NOSTALE_TEST_VALUE", wanted)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start a child");
    // Borrowed, because a closed pipe would be an error of the child's test harness.
    let mut lines = BufReader::new(child.stdout.as_mut().expect("the child's output is piped")).lines();
    let ready = lines.any(|line| line.is_ok_and(|line| line.ends_with("child is ready")));
    assert!(ready, "the child did not set the knob");
    child
}

#[test]
#[ignore = "the other process of tests in this file"]
fn as_a_child_process() {
    let Ok(mode) = std::env::var("NOSTALE_TEST_CHILD") else { return };
    let variable = |name| std::env::var(name).expect("the parent sets it");
    let knobs = Knobs::open(variable("NOSTALE_TEST_DIR")).expect("open the journal");
    let knob = Knob::choice(variable("NOSTALE_TEST_KNOB"));
    if mode == "storm" {
        println!("child is ready");
        loop {
            drop(knobs.set(&knob, &variable("NOSTALE_TEST_VALUE")).expect("set a knob"));
        }
    }
    let guard = knobs.set(&knob, &variable("NOSTALE_TEST_VALUE")).expect("set a knob");
    println!("child is ready");
    let _ = std::io::stdin().read_line(&mut String::new());
    guard.release().expect("release");
}

#[test]
fn another_value_is_refused_and_names_the_process() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let mut child = hold_in_child(&host, "hold", &path, "always");
    let error = knobs.set(&Knob::choice(&path), "never").expect_err("held by the child");
    assert!(error.to_string().contains(&format!("held at \"always\" by process {}", child.id())), "{error}");
    // The same value is no conflict, and outlives the child.
    let guard = set(&knobs, &path, "always");
    drop(child.stdin.take());
    assert!(child.wait().expect("wait for the child").success());
    assert_eq!(value(&path), "always");
    assert_eq!(guard.release().expect("release"), Outcome::Restored);
    assert_eq!(value(&path), "madvise");
}

#[test]
fn a_killed_run_is_cleaned_up_by_the_next() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let mut child = hold_in_child(&host, "hold", &path, "always");
    assert!(knobs.recover().expect("recover").is_empty(), "it is alive");
    child.kill().expect("kill the child");
    // Not yet waited for: a zombie holds nothing either. SIGKILL is not instant, so give it a moment.
    let mut report = Vec::new();
    for _ in 0..500 {
        report = knobs.recover().expect("recover");
        if !report.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(matches!(report.as_slice(), [Restored { original, result: Ok(Outcome::Restored), .. }] if original == "madvise"));
    assert_eq!(value(&path), "madvise");
    assert!(host.journal_is_empty());
    child.wait().expect("reap the child");
}

#[test]
fn a_new_run_goes_back_before_it_sets_its_own() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let mut child = hold_in_child(&host, "hold", &path, "always");
    child.kill().expect("kill the child");
    child.wait().expect("reap the child");
    let guard = set(&knobs, &path, "never");
    assert_eq!((guard.original(), value(&path).as_str()), ("madvise", "never"));
    drop(guard);
    assert_eq!(value(&path), "madvise");
}

#[test]
fn a_kill_at_any_moment_loses_nothing() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let mut interrupted = 0;
    for round in 0..25_u64 {
        let mut child = hold_in_child(&host, "storm", &path, "always");
        std::thread::sleep(Duration::from_micros(500 + round * 337));
        child.kill().expect("kill the child");
        child.wait().expect("reap the child");
        for restored in knobs.recover().expect("the journal is whole") {
            assert!(matches!(restored.result, Ok(Outcome::Restored | Outcome::Unchanged)), "{restored}");
            interrupted += 1;
        }
        assert_eq!(value(&path), "madvise", "round {round}");
        assert!(host.journal_is_empty());
    }
    assert!(interrupted > 0, "no child died with the knob in its hands");
}

#[test]
fn a_kill_does_not_disturb_another_run() {
    let host = Host::new();
    let (knobs, path) = (host.knobs(), host.file("thp", "madvise"));
    let mut survivor = hold_in_child(&host, "storm", &path, "always");
    for _ in 0..5 {
        let mut victim = hold_in_child(&host, "storm", &path, "always");
        std::thread::sleep(Duration::from_millis(5));
        victim.kill().expect("kill a child");
        victim.wait().expect("reap a child");
        std::thread::sleep(Duration::from_millis(5));
        // It stops at the first refusal.
        assert!(survivor.try_wait().expect("look at the survivor").is_none());
    }
    survivor.kill().expect("kill the survivor");
    survivor.wait().expect("reap the survivor");
    knobs.recover().expect("recover");
    assert_eq!(value(&path), "madvise");
    assert!(host.journal_is_empty());
}
