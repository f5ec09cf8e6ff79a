use super::super::newc;
use super::*;

#[test]
fn this_test_program_is_complete_and_starts_from_what_is_kept() {
    let program = Program::this().expect("it runs");
    let whole = fs::metadata("/proc/self/exe").expect("it runs").len();
    assert!((program.executable.len() as u64) < whole, "debug information is gone");
    // The real proof: the copy starts. `--list` of the test harness needs no more than that.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let copy = dir.path().join("copy");
    fs::write(&copy, &program.executable).expect("written");
    let mut mode = fs::metadata(&copy).expect("there").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&copy, mode).expect("ours");
    let listed = std::process::Command::new(&copy).arg("--list").output().expect("it starts");
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stdout).contains("this_test_program_is_complete"));
}

#[test]
fn every_needed_library_is_in_the_directory_that_is_searched() {
    let program = Program::this().expect("it runs");
    let mut places = Places::of(newc::Archive::default());
    program.install(Path::new("/init"), &mut places);
    let entries = newc::read(&places.finish());
    let contents = |path: &str| entries.iter().find(|entry| entry.path == path).map(|entry| entry.contents.as_slice());
    let init = Elf::read(contents("init").expect("there")).expect("an ELF file");
    for name in &init.needed {
        let library = Elf::read(contents(&format!("lib/{name}")).expect("there")).expect("an ELF file");
        for name in library.needed {
            assert!(contents(&format!("lib/{name}")).is_some(), "{name}");
        }
    }
    if let Some(interpreter) = init.interpreter {
        let name = interpreter.rsplit('/').next().expect("it has a name");
        assert!(contents(&format!("lib/{name}")).is_some());
    }
}

#[test]
fn libraries_elsewhere_are_also_found_there() {
    let library = |name: &str, path: &str| Library { name: name.into(), path: path.into(), bytes: b"library".to_vec() };
    let libraries = vec![library("a.so.1", "/nix/store/a/lib/a.so.1.2"), library("b.so", "/usr/lib/x86_64-linux-gnu/b.so")];
    let mut places = Places::of(newc::Archive::default());
    Program { executable: b"program".to_vec(), libraries }.install(Path::new("/init"), &mut places);
    let entries = newc::read(&places.finish());
    let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    let before = |first: &str, then: &str| {
        let at = |path: &str| paths.iter().position(|known| *known == path).unwrap_or_else(|| panic!("{path} in {paths:?}"));
        assert!(at(first) < at(then), "{first} before {then}");
    };
    before("nix", "nix/store");
    before("nix/store/a/lib", "nix/store/a/lib/a.so.1");
    before("lib", "lib/a.so.1");
    before("lib/x86_64-linux-gnu", "lib/b.so");
    assert_eq!(paths.iter().filter(|path| path.ends_with("b.so")).count(), 1, "no file hides a link");
    let link = entries.iter().find(|entry| entry.path == "nix/store/a/lib/a.so.1").expect("there");
    assert_eq!((link.mode, link.contents.as_slice()), (0o120_777, &b"/lib/a.so.1"[..]));
}

#[test]
fn maps_name_files_with_code_once() {
    let maps = "\
55d0-55d1 r--p 00000000 fe:00 12   /usr/bin/a program
55d1-55d2 r-xp 00001000 fe:00 12   /usr/bin/a program
7f00-7f01 rw-s 00000000 00:01 99   /memfd:arena (deleted)
7f02-7f03 r-xp 00000000 fe:00 13   /lib/libc.so.6
7f03-7f04 r-xp 00001000 fe:00 13   /lib/libc.so.6
7ffe-7fff r-xp 00000000 00:00 0    [vdso]
";
    assert_eq!(mapped(maps), [PathBuf::from("/usr/bin/a program"), "/lib/libc.so.6".into()]);
}

#[test]
fn loaders_list_files_in_two_ways() {
    let list = "\
\tlinux-vdso.so.1 (0x00007ffc)
\tlibfdt.so.1 => /lib/x86_64-linux-gnu/libfdt.so.1 (0x00007f12)
\tlibgone.so => not found
\tlibodd.so => /opt/with (brackets)/libodd.so (0x00007f12)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f12)
";
    let found = ["/lib/x86_64-linux-gnu/libfdt.so.1", "/opt/with (brackets)/libodd.so", "/lib64/ld-linux-x86-64.so.2"];
    assert_eq!(loaded(list), found.map(PathBuf::from));
}

#[test]
fn a_loader_says_of_a_program_what_a_process_that_runs_it_shows() {
    let this = Program::this().expect("it runs");
    let path = std::env::current_exe().expect("it runs");
    let names = |program: &Program| program.libraries.iter().map(|library| library.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&Program::at(&path).expect("complete")), names(&this));
}

#[test]
fn a_missing_library_is_named() {
    let error = Program::of(Path::new("/proc/self/exe"), &[]);
    match Elf::read(&fs::read("/proc/self/exe").expect("it runs")).expect("an ELF file").needed.as_slice() {
        [] => assert!(error.expect("static").libraries.is_empty()),
        _ => assert!(matches!(error, Err(ProgramError::NotMapped { .. }))),
    }
}

#[test]
fn broken_files_are_refused() {
    let bytes = fs::read("/proc/self/exe").expect("it runs");
    for cut in [0, 4, 63, 64, 100, 4096] {
        assert!(Elf::read(&bytes[..cut]).is_err(), "{cut}");
    }
    assert!(matches!(Program::of(Path::new("/missing"), &[]), Err(ProgramError::Read { .. })));
    assert!(matches!(Program::of(Path::new("/proc/self/maps"), &[]), Err(ProgramError::Elf { .. })));
}
