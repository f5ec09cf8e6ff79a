//! A VM that nobody of us has started, recorded by its pid inside another kernel: QEMU, with firmware that does nothing but write.

use crate::{KERNEL, NOSTALE, ensure};
use libtest_mimic::Failed;
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

/// As much as firmware must be: the processor starts 16 bytes below its end.
const FIRMWARE: usize = 64 << 10;
/// Where its first byte is, when the processor starts.
const BASE: u32 = 0xffff_0000;
/// Offsets in it.
const FLAT: usize = 0x40;
const TABLE_REGISTER: usize = 0x80;
const TABLE: usize = 0x88;
const RESET: usize = 0xfff0;

/// Firmware that enters protected mode and increments the first word of each page from 1 to 17 MiB, for ever.
fn firmware() -> Vec<u8> {
    let mut image = vec![0xf4; FIRMWARE];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    // jmp 0: the segment ends behind it.
    put(RESET, &[0xe9, 0x0d, 0x00]);
    let mut real = vec![0xfa]; // cli
    real.extend([0x66, 0x2e, 0x0f, 0x01, 0x16, TABLE_REGISTER as u8, 0x00]); // lgdt cs:[TABLE_REGISTER]
    real.extend([0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0]); // mov eax, cr0; or al, 1; mov cr0, eax
    real.extend([0x66, 0xea]); // jmp 8:BASE + FLAT
    real.extend((BASE + FLAT as u32).to_le_bytes());
    real.extend([0x08, 0x00]);
    put(0, &real);
    let flat = [
        0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, // mov ax, 16; mov ds, ax
        0xbf, 0x00, 0x00, 0x10, 0x00, // again: mov edi, 1 MiB
        0xff, 0x07, // next: inc dword [edi]
        0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, // add edi, 4 KiB
        0x81, 0xff, 0x00, 0x00, 0x10, 0x01, // cmp edi, 17 MiB
        0x72, 0xf0, // jb next
        0xeb, 0xe9, // jmp again
    ];
    put(FLAT, &flat);
    // Three descriptors: none, code, data; both of all 4 GiB.
    put(TABLE_REGISTER, &23u16.to_le_bytes());
    put(TABLE_REGISTER + 2, &(BASE + TABLE as u32).to_le_bytes());
    put(TABLE + 8, &0x00cf_9b00_0000_ffff_u64.to_le_bytes());
    put(TABLE, &0u64.to_le_bytes());
    put(TABLE + 16, &0x00cf_9300_0000_ffff_u64.to_le_bytes());
    image
}

fn trace(place: &Path, options: &[&str], command: &[&str]) -> Result<Output, Failed> {
    let mut trace = Command::new(NOSTALE);
    trace.args(["trace", "--kernel", KERNEL, "--quiet", "--format", "json"]).args(options).arg("--").args(command);
    Ok(trace.env("TMPDIR", place).stdin(Stdio::null()).output()?)
}

/// Whatever moves its memory, the rules are asked and hold; and it is QEMU that was looked at, and no VM of ours.
pub(crate) fn qemu() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let [image, kept] = ["firmware", "kept"].map(|name| place.path().join(name));
    fs::write(&image, firmware())?;
    let file = format!("{}:/firmware", image.display());
    let vm = ["-m", "64M", "-machine", "pc", "-bios", "/firmware", "-display", "none", "-nodefaults", "-no-user-config"];
    let command = [&["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host"], &vm[..]].concat();
    let options = ["--seconds", "4", "--file", &file, "--out", &kept.to_string_lossy()];
    let mut output = trace(place.path(), &options, &command)?;
    // Emulation stumbles now and then, or comes to nothing in time, and seldom twice. A broken rule is neither.
    if matches!(output.status.code(), Some(2 | 3)) {
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        output = trace(place.path(), &options, &command)?;
    }
    let shown = || format!("{output:?}");
    ensure(output.status.code() == Some(0) && output.stderr.is_empty(), shown)?;
    let profile: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    let shown = || format!("{profile:#}");
    ensure(profile["verdict"] == "held" && profile["pid"].as_i64() > Some(1), shown)?;
    ensure(profile["command"].as_str().is_some_and(|name| name.starts_with("qemu-system-x86")), shown)?;
    ensure(profile["kernel"].as_str().is_some_and(|release| release.starts_with(KERNEL)), shown)?;
    ensure(profile["title"] == command.join(" "), shown)?;
    let all = |list: &str| profile[list].as_array().cloned().unwrap_or_default();
    // How many depends on how fast all this is emulated; that there were some does not.
    let invalidations: u64 = all("operations").iter().filter_map(|operation| operation["invalidations"].as_u64()).sum();
    ensure(invalidations > 0, shown)?;
    let held: Vec<_> =
        all("rules").into_iter().filter(|rule| rule["state"] == "held" && rule["checks"].as_u64() > Some(0)).collect();
    // With all that they need: where guest memory lies, what the host maps there, and the probes.
    for name in ["zapped", "flushed", "in-progress", "installed-over", "primary", "freed", "closed"] {
        ensure(held.iter().any(|rule| rule["name"] == name), || format!("{name}: {profile:#}"))?;
    }
    ensure(kept.join("trace.json").is_file(), || "no profile was kept".to_owned())?;
    fs::remove_file(image)?;
    let left: Vec<_> = fs::read_dir(place.path())?.flatten().map(|entry| entry.file_name()).collect();
    ensure(left == ["kept"], || format!("left behind: {left:?}"))
}

/// A command without a VM is none to be recorded: that is said with its own words.
pub(crate) fn nothing() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let output = trace(place.path(), &["--nodes", "1"], &["qemu-system-x86_64", "-machine", "help-me"])?;
    let text = String::from_utf8_lossy(&output.stderr);
    let said = text.contains("qemu-system-x86_64 ended before it could be recorded: exit status: 1")
        && text.contains("unsupported machine type");
    ensure(output.status.code() == Some(2) && said && text.lines().count() == 1, || format!("{output:?}"))
}
