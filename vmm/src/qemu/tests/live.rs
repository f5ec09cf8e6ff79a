//! The whole machinery with a real QEMU, and instead of a kernel a page of machine code: no root, no KVM, no download.

use super::{LONG, SHORT};
use crate::qemu::{Accel, Cause, Installed, Machine, MachineSpec, QemuError, Received, Saved, State};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// Where the program is loaded, its header first.
const LOAD: u32 = 0x10_0000;
/// Address of the constant that each byte is xor-ed with on its way back.
const PATCH: u64 = 0x10_0060;

/// Prints "console" on the first serial line and "ready" on the second. Then sends every byte that comes there back, xor-ed
/// with a constant unless it ends a line. `R` resets the machine, `P` powers it off.
#[rustfmt::skip]
const PROGRAM: &[u8] = &[
    0xbc, 0x00, 0x00, 0x20, 0x00,       // 20          mov esp, 0x200000
    0xbe, 0x9e, 0x00, 0x10, 0x00,       // 25          mov esi, console
    0xba, 0xf8, 0x03, 0x00, 0x00,       //             mov edx, 0x3f8
    0xe8, 0x4d, 0x00, 0x00, 0x00,       //             call puts
    0xbe, 0xa7, 0x00, 0x10, 0x00,       //             mov esi, ready
    0xba, 0xf8, 0x02, 0x00, 0x00,       //             mov edx, 0x2f8
    0xe8, 0x3e, 0x00, 0x00, 0x00,       //             call puts
    0xba, 0xfd, 0x02, 0x00, 0x00,       // 43 loop:    mov edx, 0x2fd
    0xec, 0xa8, 0x01, 0x74, 0xf6,       //             in al, dx; test al, 1; jz loop
    0xba, 0xf8, 0x02, 0x00, 0x00, 0xec, //             mov edx, 0x2f8; in al, dx
    0x3c, b'R', 0x74, 0x16,             //             cmp al, 'R'; je reset
    0x3c, b'P', 0x74, 0x18,             //             cmp al, 'P'; je off
    0x3c, b'\n', 0x74, 0x02,            //             cmp al, 10; je echo
    0x34, 0x00,                         // 5f          xor al, 0
    0xba, 0xf8, 0x02, 0x00, 0x00,       // 61 echo:    mov edx, 0x2f8
    0xe8, 0x22, 0x00, 0x00, 0x00,       //             call putc
    0xeb, 0xd6,                         //             jmp loop
    0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfa, // 6d reset:   mov al, 0xfe; out 0x64, al; jmp reset
    0xba, 0x04, 0x06, 0x00, 0x00,       // 73 off:     mov edx, 0x604
    0xb8, 0x00, 0x20, 0x00, 0x00,       //             mov eax, 0x2000
    0x66, 0xef, 0xeb, 0xf2,             //             out dx, ax; jmp off
    0xac, 0x84, 0xc0, 0x74, 0x17,       // 81 puts:    lodsb; test al, al; jz done
    0xe8, 0x02, 0x00, 0x00, 0x00,       //             call putc
    0xeb, 0xf4,                         //             jmp puts
    0x88, 0xc3, 0x83, 0xc2, 0x05,       // 8d putc:    mov bl, al; add edx, 5
    0xec, 0xa8, 0x20, 0x74, 0xfb,       // 92 full:    in al, dx; test al, 0x20; jz full
    0x83, 0xea, 0x05, 0x88, 0xd8, 0xee, //             sub edx, 5; mov al, bl; out dx, al
    0xc3,                               // 9d done:    ret
    b'c', b'o', b'n', b's', b'o', b'l', b'e', b'\n', 0, // 9e
    b'r', b'e', b'a', b'd', b'y', b'\n', 0,             // a7
];

/// A multiboot image of [`PROGRAM`]: QEMU loads that without a boot loader.
fn image() -> Vec<u8> {
    const MAGIC: u32 = 0x1bad_b002;
    const ADDRESSES: u32 = 1 << 16;
    let end = LOAD + 0x20 + PROGRAM.len() as u32;
    let header = [MAGIC, ADDRESSES, 0u32.wrapping_sub(MAGIC + ADDRESSES), LOAD, LOAD, end, end, LOAD + 0x20];
    header.iter().flat_map(|word| word.to_le_bytes()).chain(PROGRAM.iter().copied()).collect()
}

/// What every test here starts from: `None`, and a reason on stderr, when there is no QEMU.
fn bed() -> Option<(Installed, TempDir, MachineSpec)> {
    let installed = match Installed::find() {
        Ok(installed) => installed,
        Err(error @ QemuError::Missing { .. }) => {
            eprintln!("skipped: {error}");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let (kernel, nothing) = (dir.path().join("image"), dir.path().join("nothing"));
    fs::write(&kernel, image()).unwrap();
    fs::write(&nothing, [0; 16]).unwrap();
    let work = dir.path().join("a work directory, with a name that no socket could have ".repeat(3));
    let spec = MachineSpec { memory_bytes: 64 << 20, cpus: 1, ..MachineSpec::new(kernel, nothing, Accel::Tcg, work) };
    Some((installed, dir, spec))
}

fn boot(installed: &Installed, spec: &MachineSpec) -> Machine {
    let mut machine = Machine::boot(installed, spec).unwrap();
    assert_eq!(receive(&mut machine), "ready");
    machine
}

fn receive(machine: &mut Machine) -> String {
    match machine.channel().recv_line(LONG).unwrap() {
        Received::Line(line) => line,
        other => panic!("{other:?}; QEMU is {:?}, the console says {:?}", machine.state(), machine.console()),
    }
}

fn echo(machine: &mut Machine, line: &str) -> String {
    machine.channel().send_line(line).unwrap();
    receive(machine)
}

/// Whether there is such a process, dead and unreaped ones included.
fn exists(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

#[test]
fn the_guest_talks_and_ends() {
    let Some((installed, _dir, spec)) = bed() else { return };
    let mut machine = boot(&installed, &spec);
    assert_eq!(machine.state(), State::Running);
    assert_eq!(machine.console(), "console\n");
    assert_eq!(echo(&mut machine, "some \u{20ac}"), "some \u{20ac}");
    let long = "0123456789".repeat(2000);
    assert!(echo(&mut machine, &long) == long);
    assert_eq!(machine.channel().recv_line(SHORT).unwrap(), Received::Timeout);
    assert_eq!(fs::read_to_string(machine.dir().join("qemu.log")).unwrap(), "", "QEMU warns of nothing");

    machine.channel().send_line("P").unwrap();
    let State::Ended(ending) = machine.wait(LONG) else { panic!("it should power off") };
    assert_eq!(ending.cause, Cause::PoweredOff);
    assert!(matches!(machine.channel().recv_line(LONG).unwrap(), Received::Closed { .. }));
    assert!(matches!(machine.debug(), Err(QemuError::Ended { .. })));
    assert!(matches!(machine.read_memory(0, 1), Err(QemuError::Ended { .. })));
    assert_eq!(machine.quit(LONG).cause, Cause::PoweredOff);

    let mut machine = boot(&installed, &spec);
    machine.channel().send_line("R").unwrap();
    assert_eq!(machine.quit(LONG).cause, Cause::Reset);
}

#[test]
fn what_the_debugger_writes_is_executed() {
    let Some((installed, _dir, spec)) = bed() else { return };
    let mut machine = boot(&installed, &spec);
    assert_eq!(echo(&mut machine, "abc"), "abc", "and now the code is translated");
    let mut debugger = machine.debug().unwrap();
    assert_eq!(debugger.read(u64::from(LOAD) + 0x20, PROGRAM.len()).unwrap(), PROGRAM);
    debugger.write_checked(PATCH, &[0x20]).unwrap();
    // More than a packet, with every byte that means something in the protocol.
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    debugger.write_checked(0x30_0000, &bytes).unwrap();
    // A write to nowhere is dropped by the bus; reading back tells.
    let nowhere = debugger.write_checked(0xe000_0000, &[1, 2, 3]);
    assert!(matches!(nowhere, Err(QemuError::Debug { .. })), "{nowhere:?}");
    debugger.detach().unwrap();
    assert_eq!(echo(&mut machine, "abc"), "ABC");
    assert!(machine.read_memory(0x30_0000, bytes.len()).unwrap() == bytes);

    // A second session, which is just dropped.
    machine.debug().unwrap().write(PATCH, &[0]).unwrap();
    assert_eq!(echo(&mut machine, "abc"), "abc");
}

#[test]
fn a_saved_machine_goes_on_as_often_as_one_likes() {
    let Some((installed, dir, spec)) = bed() else { return };
    let mut machine = boot(&installed, &spec);
    machine.debug().unwrap().write_checked(PATCH, &[0x20]).unwrap();
    let place = dir.path().join("saved, with a comma");
    let saved = machine.save(&place).unwrap();
    assert_eq!(echo(&mut machine, "abc"), "ABC", "the saved one goes on");
    machine.debug().unwrap().write_checked(PATCH, &[0]).unwrap();
    drop(machine);

    let mut first = Machine::restore(&installed, &saved, &dir.path().join("first")).unwrap();
    let reopened = Saved::open(&place).unwrap();
    let mut second = Machine::restore(&installed, &reopened, &dir.path().join("second")).unwrap();
    first.debug().unwrap().write_checked(PATCH, &[1]).unwrap();
    assert_eq!(echo(&mut first, "abc"), "`cb", "a patch of one");
    assert_eq!(echo(&mut second, "abc"), "ABC", "is none of another, nor is what came after the saving");
    let mut third = Machine::restore(&installed, &saved, &dir.path().join("third")).unwrap();
    assert_eq!(echo(&mut third, "abc"), "ABC", "nor of what is saved");
    assert_eq!(third.console(), "", "the console begins anew");

    // A restored one can be saved itself, over the old one.
    drop((second, third));
    let again = first.save(&place).unwrap();
    drop(first);
    let mut fourth = Machine::restore(&installed, &again, &dir.path().join("fourth")).unwrap();
    assert_eq!(echo(&mut fourth, "abc"), "`cb");
    assert!(fs::read_dir(dir.path()).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with(".saving")));
}

#[test]
fn a_broken_saved_machine_is_named() {
    let Some((installed, dir, spec)) = bed() else { return };
    let place = dir.path().join("saved");
    assert!(Saved::open(&place).unwrap_err().to_string().contains("machine.json"));
    let saved = boot(&installed, &spec).save(&place).unwrap();
    let other = Installed { version: "1.0".to_owned(), ..installed.clone() };
    let error = Machine::restore(&other, &saved, &dir.path().join("r")).unwrap_err().to_string();
    assert!(error.contains("this is 1.0") && error.contains("save it again"), "{error}");

    let change = |name: &str, change: &dyn Fn(&Path)| {
        let (path, kept) = (place.join(name), dir.path().join("kept"));
        fs::copy(&path, &kept).unwrap();
        change(&path);
        let error = Saved::open(&place).err().map(|error| error.to_string());
        fs::rename(&kept, &path).unwrap();
        error
    };
    let shorter = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
    assert!(change("memory1", &shorter).unwrap().contains("memory1 has 100 bytes"));
    assert!(change("devices", &shorter).unwrap().contains("devices has 100 bytes"));
    assert!(change("machine.json", &shorter).unwrap().contains("machine.json"));
    // Right in size and wrong in what it says: QEMU finds that out.
    fs::write(place.join("devices"), vec![0; fs::metadata(place.join("devices")).unwrap().len() as usize]).unwrap();
    let error = Machine::restore(&installed, &saved, &dir.path().join("r")).unwrap_err();
    assert!(matches!(error, QemuError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("it said:"), "{error}");
}

#[test]
fn nothing_is_left_behind() {
    let Some((installed, _dir, spec)) = bed() else { return };
    // Started by a thread that ends: the machine belongs to the process.
    let (mut machine, pid) = thread::scope(|scope| {
        let started = scope.spawn(|| {
            let machine = boot(&installed, &spec);
            let pid = machine.pid().unwrap();
            (machine, pid)
        });
        started.join().unwrap()
    });
    thread::sleep(Duration::from_millis(100));
    assert_eq!(echo(&mut machine, "abc"), "abc");
    assert!(exists(pid));
    let error = Machine::boot(&installed, &spec).unwrap_err().to_string();
    assert!(error.contains("another machine"), "{error}");
    drop(machine);
    assert!(!exists(pid), "killed and reaped");

    let mut machine = boot(&installed, &spec);
    assert_eq!(machine.kill().cause, Cause::Stopped);
    drop(machine);
    let machine = boot(&installed, &spec);
    assert_eq!(machine.quit(SHORT).cause, Cause::Stopped, "this one does not end by itself");
    let mut machine = boot(&installed, &spec);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(machine.pid().unwrap() as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    let State::Ended(ending) = machine.wait(LONG) else { panic!("it was killed") };
    assert_eq!(ending.cause, Cause::Signal(9));
}

#[test]
fn a_start_that_fails_says_why() {
    let Some((installed, dir, spec)) = bed() else { return };
    let missing = MachineSpec { image: dir.path().join("no-such-kernel"), ..spec.clone() };
    let error = Machine::boot(&installed, &missing).unwrap_err().to_string();
    assert!(error.contains("no-such-kernel"), "{error}");
    let nonsense = dir.path().join("nonsense");
    fs::write(&nonsense, [0; 5000]).unwrap();
    let error = Machine::boot(&installed, &MachineSpec { image: nonsense, ..spec }).unwrap_err();
    assert!(matches!(error, QemuError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("kernel"), "QEMU's own words: {error}");
}
