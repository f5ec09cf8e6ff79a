//! On pages of our own, where this process may have a userfaultfd; elsewhere these pass, and `nostale doctor` says why not.

use super::*;
use crate::memory::{Arena, Backing};
use nostale_notifier::Hva;
use std::{path::Path, time::Duration};

const PATIENCE: Duration = Duration::from_secs(10);

fn open(features: Features) -> Option<Userfault> {
    Userfault::open(features).ok()
}

fn arena(backing: Backing) -> Arena {
    Arena::new(backing, 64, Path::new("/")).expect("memory")
}

/// Loads a page's first word in another thread, while this one serves.
fn with_reader(arena: &Arena, page: u64, serve: impl FnOnce()) -> u64 {
    let (primary, at) = (arena.primary(), arena.hva(page));
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || primary.load(at).expect("mapped"));
        serve();
        reader.join().expect("no panic")
    })
}

fn fault(uffd: &Userfault, stop: &Stop) -> PageFault {
    match uffd.read_fault(stop, PATIENCE).expect("readable") {
        Next::Event(Event::Fault(fault)) => fault,
        other => panic!("no fault, but {other:?}"),
    }
}

#[test]
fn a_missing_page_appears_whole() {
    let Some(uffd) = open(Features::NONE) else { return };
    let (arena, stop) = (arena(Backing::ANON), Stop::new().expect("a descriptor"));
    uffd.register(arena.home(), Modes::MISSING).expect("anonymous memory");
    let value = with_reader(&arena, 3, || {
        let fault = fault(&uffd, &stop);
        assert_eq!((fault.page, fault.write, fault.minor), (arena.hva(3), false, false));
        assert_eq!(uffd.copy(fault.page, &[7; 4096], false), Ok(Filled::All));
    });
    assert_eq!(value, 0x0707_0707_0707_0707);
    // It is there now: neither another copy nor zeros take its place.
    let there = Ok(Filled::Only { pages: 0, errno: Errno::EEXIST });
    assert_eq!(uffd.copy(arena.hva(3), &[8; 4096], false), there);
    let around = arena.home().part(2, 2).expect("inside");
    assert_eq!(uffd.zeropage(around), Ok(Filled::Only { pages: 1, errno: Errno::EEXIST }));
    uffd.unregister(arena.home()).expect("registered");
    assert_eq!(arena.primary().load(arena.hva(5)), Ok(0), "nobody serves, and nobody waits");
}

#[test]
fn a_server_can_be_told_to_end_and_does_not_wait_for_ever() {
    let Some(uffd) = open(Features::NONE) else { return };
    let stop = Stop::new().expect("a descriptor");
    assert!(matches!(uffd.read_fault(&stop, Duration::from_millis(1)), Ok(Next::Nothing)));
    stop.tell();
    for _ in 0..2 {
        assert!(matches!(uffd.read_fault(&stop, PATIENCE), Ok(Next::Stop)), "told for good");
    }
}

#[test]
fn a_minor_fault_finds_what_was_put_into_the_file() {
    let Some(uffd) = open(Features::MINOR_SHMEM) else { return };
    let (arena, stop) = (arena(Backing::MEMFD), Stop::new().expect("a descriptor"));
    let frame = arena.frame_of(4).expect("shared");
    arena.store_frame_word(frame, 0, 1).expect("mapped");
    uffd.register(arena.home(), Modes::MINOR).expect("shmem");
    let generation = with_reader(&arena, 4, || {
        let fault = fault(&uffd, &stop);
        assert!(fault.minor && fault.page == arena.hva(4), "{fault:?}");
        arena.store_frame_word(frame, 0, 2).expect("mapped");
        assert_eq!(uffd.continue_(arena.home().part(4, 1).expect("inside")), Ok(Filled::All));
    });
    assert_eq!(generation, 0, "the first word is a counter");
    assert_eq!(arena.snapshot(arena.hva(4)).expect("mapped").generation(), 2);
}

#[test]
fn whoever_waits_goes_on_when_nobody_serves_any_more() {
    for (features, backing, modes) in
        [(Features::NONE, Backing::ANON, Modes::MISSING), (Features::MINOR_SHMEM, Backing::MEMFD, Modes::MINOR)]
    {
        let Some(uffd) = open(features) else { continue };
        let (arena, stop) = (arena(backing), Stop::new().expect("a descriptor"));
        if let Some(frame) = arena.frame_of(4) {
            arena.store_frame_word(frame, 0, 1).expect("mapped");
        }
        uffd.register(arena.home(), modes).expect("served");
        // A reader that is forgotten hangs here for good.
        with_reader(&arena, 4, || {
            assert_eq!(fault(&uffd, &stop).page, arena.hva(4));
            uffd.unregister(arena.home()).expect("registered");
        });
    }
}

#[test]
fn a_protected_page_is_written_when_it_is_let_go_of() {
    let Some(uffd) = open(Features::WRITE_PROTECT) else { return };
    let (arena, stop) = (arena(Backing::ANON), Stop::new().expect("a descriptor"));
    arena.store_word(arena.hva(0), 0, 1).expect("mapped");
    let page = arena.home().part(0, 1).expect("inside");
    uffd.register(page, Modes::WRITE_PROTECT).expect("anonymous memory");
    uffd.write_protect(page, true).expect("registered");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| arena.store_word(arena.hva(0), 0, 2));
        let fault = fault(&uffd, &stop);
        assert!(fault.protected && fault.write, "{fault:?}");
        assert_eq!(arena.snapshot(arena.hva(0)).expect("readable").generation(), 1);
        uffd.write_protect(page, false).expect("registered");
        writer.join().expect("no panic").expect("writable again");
    });
    assert_eq!(arena.snapshot(arena.hva(0)).expect("readable").generation(), 2);
}

#[test]
fn pages_move_and_leave_nothing_behind() {
    let Some(uffd) = open(Features::MOVE) else { return };
    let arena = arena(Backing::ANON);
    let (from, to) = (arena.home().part(0, 2).expect("inside"), arena.home().part(8, 2).expect("inside"));
    from.iter().for_each(|at| arena.store_word(at, 0, 5).expect("mapped"));
    uffd.register(to, Modes::MISSING).expect("anonymous memory");
    assert_eq!(uffd.move_pages(from, to.start()), Ok(Filled::All));
    for page in [0, 1] {
        assert_eq!(arena.snapshot(arena.hva(8 + page)).expect("mapped").generation(), 5);
        assert_eq!(arena.snapshot(arena.hva(page)).expect("mapped").generation(), 0);
    }
    assert_eq!(uffd.move_pages(from, to.start()), Ok(Filled::Only { pages: 0, errno: Errno::EEXIST }));
}

#[test]
fn what_a_kernel_lacks_is_named() {
    let Some(uffd) = open(Features::NONE) else { return };
    let absent = Features::from_bits(1 << 60);
    assert!(!uffd.offered().contains(absent));
    let error = Userfault::open(absent).expect_err("no kernel has it");
    assert_eq!(error, UserfaultError::Features { missing: absent });
    let nowhere = HvaRange::new(Hva::new(0x1000), 1).expect("aligned");
    let error = uffd.register(nowhere, Modes::MISSING).expect_err("nothing is mapped there").to_string();
    assert!(error.starts_with("UFFDIO_REGISTER on "), "{error}");
}
