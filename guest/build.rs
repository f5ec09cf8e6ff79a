//! Builds the guest image: the same crate root as the library, compiled a second time as a freestanding program.
//!
//! One `rustc` call and no nested cargo: the image has no dependencies but `core`, and the host target's prebuilt `core`
//! serves it (there is no `x86_64-unknown-none` to rely on).

use std::{env, path::PathBuf, process::Command};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(guest_image)");
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=link.ld");

    let var = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"));
    let crate_dir = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let image = PathBuf::from(var("OUT_DIR")).join("guest.elf");
    let status = Command::new(var("RUSTC"))
        .current_dir(&crate_dir)
        .args(["--crate-name", "guest_image", "--crate-type", "bin", "--edition", "2024"])
        .args(["--target", &var("TARGET"), "--cfg", "guest_image", "-D", "warnings"])
        .args(["-C", "panic=abort", "-C", "opt-level=2", "-C", "codegen-units=1"])
        .args(["-C", "relocation-model=static", "-C", "strip=debuginfo"])
        .args(["-C", "linker=rust-lld", "-C", "linker-flavor=ld.lld"])
        .args(["-C", "link-arg=--build-id=none", "-C", "link-arg=-T", "-C"])
        .arg(format!("link-arg={}", crate_dir.join("link.ld").display()))
        .arg(format!("--remap-path-prefix={}=guest", crate_dir.display()))
        .arg("-o")
        .arg(&image)
        .arg("src/lib.rs")
        .status()
        .expect("rustc can be started");
    assert!(status.success(), "the guest image did not build: {status}");
}
