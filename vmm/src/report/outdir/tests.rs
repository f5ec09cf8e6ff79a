use super::*;
use crate::report::sample::{self, TICKS};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Barrier},
    thread,
};

fn above() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").file_name());
    entries.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_run_is_kept_with_all_its_files() {
    let above = above();
    let out = OutDir::prepare(&above.path().join("out/")).expect("it can be created");
    assert!(!out.path().exists(), "not before it is complete");
    out.write_run(&sample::run(), &json!({"kernel": "6.18"}), "BUG: a message\n", TICKS).expect("written");
    let path = out.commit().expect("the name is free");
    assert_eq!(names(above.path()), BTreeSet::from(["out".to_owned()]));
    let files = ["README.txt", "host.json", "junit.xml", "kernel.log", "ktap.txt", "run.json", "table.txt", "violations"];
    assert_eq!(names(&path), files.map(str::to_owned).into());
    assert_eq!(names(&path.join("violations")), BTreeSet::from(["01-finality-mremap.json".to_owned()]));
    let read = |name: &str| fs::read_to_string(path.join(name)).expect(name);
    let case: Value = serde_json::from_str(&read("violations/01-finality-mremap.json")).expect("valid JSON");
    assert_eq!(case["replay"], "nostale run --ops mremap --backing memfd --seed 0x5eed");
    assert_eq!(case["pages"].as_array().map(Vec::len), Some(2));
    assert_eq!(case["pages"][0]["lines"][0][0], "0x2a");
    assert_eq!((&case["oracle"], &case["ticks_per_us"]), (&json!("finality"), &json!(TICKS)));
    assert!(read("README.txt").contains("kernel.log"));
    assert!(read("README.txt").contains("\n    nostale run --ops mremap --backing memfd --seed 0x5eed\n"));
    assert!(!read("table.txt").contains('\x1b'));
}

#[test]
fn without_messages_or_violations_there_are_no_files_for_them() {
    let above = above();
    let out = OutDir::prepare(&above.path().join("out")).expect("it can be created");
    let mut run = sample::run();
    run.scenarios.clear();
    out.write_run(&run, &Value::Null, "", f64::NAN).expect("written");
    let path = out.commit().expect("the name is free");
    assert!(!path.join("kernel.log").exists() && !path.join("violations").exists());
}

#[test]
fn what_is_not_committed_leaves_nothing() {
    let above = above();
    let out = OutDir::prepare(&above.path().join("out")).expect("it can be created");
    out.write("violations/01.json", b"{}").expect("written");
    assert!(names(above.path()).iter().all(|name| name.starts_with(".out.partial-")));
    drop(out);
    assert!(names(above.path()).is_empty());
}

#[test]
fn what_exists_is_an_error_in_one_line_and_stays() {
    let above = above();
    fs::create_dir(above.path().join("dir")).expect("created");
    fs::write(above.path().join("file"), "precious").expect("written");
    std::os::unix::fs::symlink("nowhere", above.path().join("link")).expect("linked");
    for name in ["dir", "dir/", "file", "link"] {
        let error = OutDir::prepare(&above.path().join(name)).expect_err("it exists");
        assert!(matches!(error, OutDirError::Exists { .. }), "{error:?}");
        assert!(error.to_string().contains("already exists; choose another directory or remove it"), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
    assert_eq!(fs::read_to_string(above.path().join("file")).expect("still there"), "precious");
    assert_eq!(names(above.path()).len(), 3);
}

#[test]
fn a_place_where_nothing_can_be_created_is_known_before_the_run() {
    let above = above();
    fs::write(above.path().join("file"), "").expect("written");
    let long = above.path().join("x".repeat(256));
    let places = [above.path().join("missing/out"), above.path().join("file/out"), long, "/proc/out".into(), "/sys/out".into()];
    for place in places {
        let error = OutDir::prepare(&place).expect_err("nothing can be created there");
        assert!(matches!(error, OutDirError::Parent { .. }), "{error:?}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
    for place in ["/", "..", "", "/tmp/.."] {
        let error = OutDir::prepare(Path::new(place)).expect_err("no name");
        assert!(matches!(error, OutDirError::NoName { .. }), "{place}: {error:?}");
    }
    assert_eq!(names(above.path()), BTreeSet::from(["file".to_owned()]));
    drop(OutDir::prepare(&above.path().join("y".repeat(255))).expect("the longest name there can be"));
}

#[test]
fn names_do_not_lead_out_and_no_file_is_written_twice() {
    let above = above();
    let out = OutDir::prepare(&above.path().join("out")).expect("it can be created");
    for name in ["", "..", "../x", "/etc/x", "a/../../x", "a/", "."] {
        assert!(matches!(out.write(name, b""), Err(OutDirError::FileName { .. })), "{name}");
    }
    out.write("run.json", b"first").expect("written");
    let error = out.write("run.json", b"second").expect_err("it is there");
    assert!(error.to_string().contains("run.json"), "{error}");
}

#[test]
fn of_many_that_want_one_name_one_gets_it_and_the_others_leave_nothing() {
    let above = above();
    let path = above.path().join("out");
    let start = Arc::new(Barrier::new(8));
    let runs = (0..8).map(|n| {
        let (path, start) = (path.clone(), Arc::clone(&start));
        thread::spawn(move || {
            let out = OutDir::prepare(&path).expect("nobody has the name yet");
            out.write("run.json", format!("{n}").as_bytes()).expect("written");
            start.wait();
            out.commit().map(|_| n)
        })
    });
    let results: Vec<_> = runs.collect::<Vec<_>>().into_iter().map(|run| run.join().expect("no panic")).collect();
    let winners: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(OutDirError::Exists { .. }))), "{results:?}");
    assert_eq!(fs::read_to_string(path.join("run.json")).expect("the winner's"), winners[0].to_string());
    assert_eq!(names(above.path()).len(), 1);
}

/// Gives this thread, and nothing else, a file system of `bytes` at `place`. The kernel takes it away with the thread.
fn mount_small(place: &Path, bytes: usize) -> Result<(), nix::errno::Errno> {
    use nix::{errno::Errno, sched};
    use std::ffi::CString;
    sched::unshare(sched::CloneFlags::CLONE_NEWNS)?;
    let text = |text: &[u8]| CString::new(text).expect("no zero in it");
    let (root, kind, place) = (text(b"/"), text(b"tmpfs"), text(place.as_os_str().as_bytes()));
    let size = text(format!("size={bytes}").as_bytes());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: strings that end in zero and outlive the call; the other pointers may be null for a change of propagation.
    Errno::result(unsafe { libc::mount(std::ptr::null(), root.as_ptr(), std::ptr::null(), private, std::ptr::null()) })?;
    // SAFETY: strings that end in zero and outlive the call.
    Errno::result(unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, size.as_ptr().cast()) })?;
    Ok(())
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let above = above();
    let place = above.path().to_owned();
    let full = thread::spawn(move || {
        if let Err(error) = mount_small(&place, 64 << 10) {
            println!("skipped: cannot mount a small file system ({error}; needs CAP_SYS_ADMIN)");
            return;
        }
        let out = OutDir::prepare(&place.join("out")).expect("it can be created");
        out.write("small", b"fits").expect("written");
        let error = out.write("run.json", &vec![b'x'; 1 << 20]).expect_err("it does not fit");
        let OutDirError::Write { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("run.json"), "{error}");
        assert_eq!(names(&out.partial), BTreeSet::from(["small".to_owned()]), "no half of a file");
        drop(out);
        assert!(names(&place).is_empty());
    });
    full.join().expect("no panic");
    assert!(names(above.path()).is_empty(), "the mount was seen by this thread alone");
}
