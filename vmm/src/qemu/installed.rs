//! Which QEMU is there, and what it can accelerate.

use super::QemuError;
use serde::{Deserialize, Serialize};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The emulator of this architecture.
const PROGRAM: &str = "qemu-system-x86_64";

/// How a machine is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// By the host's KVM, which nests.
    Kvm,
    /// By software emulation, several threads of it.
    Tcg,
}

impl Accel {
    /// The name that people use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// QEMU's `-accel`.
    pub(super) fn accelerator(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }

    /// QEMU's `-cpu`.
    pub(super) fn cpu(self) -> &'static str {
        match self {
            // Whatever the host has, its way to nest among it. KVM leaves out what cannot be saved.
            Self::Kvm => "host",
            // An AMD processor, because nested SVM with nested paging is what TCG emulates, minus the features of that model
            // which it does not: QEMU warns about each of them otherwise.
            Self::Tcg => "EPYC,+svm,+npt,-rdseed,-sha-ni,-fxsr-opt,-misalignsse,-3dnowprefetch,-osvw,-topoext,-nrip-save,-xsavec",
        }
    }
}

/// A QEMU that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The program.
    pub program: PathBuf,
    /// Its version, like `7.2.22`.
    pub version: String,
    /// The fastest that runs KVM inside on this host.
    pub accel: Accel,
    /// Why it is that one.
    pub reason: String,
}

impl Installed {
    /// Looks on PATH, and at this host.
    ///
    /// # Errors
    /// When there is none, or it does not say its version.
    pub fn find() -> Result<Self, QemuError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let program = env::split_paths(&path)
            .map(|dir| dir.join(PROGRAM))
            .find(|file| fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0))
            .ok_or(QemuError::Missing { program: PROGRAM })?;
        let output = Command::new(&program).arg("--version").output().map_err(QemuError::file("run", &program))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let Some(version) = version(&said) else {
            let said = said.lines().next().unwrap_or_default().to_owned();
            return Err(QemuError::Version { program, said });
        };
        let (accel, reason) = acceleration(Path::new("/"));
        Ok(Self { program, version, accel, reason })
    }
}

/// The number after "version" in what `--version` prints.
pub(super) fn version(said: &str) -> Option<String> {
    let mut words = said.lines().next()?.split_whitespace().skip_while(|&word| word != "version");
    let number = words.nth(1)?;
    number.starts_with(|first: char| first.is_ascii_digit()).then(|| number.to_owned())
}

/// What can run KVM inside a machine on the host whose file system is at `root`, and why.
pub(super) fn acceleration(root: &Path) -> (Accel, String) {
    let device = root.join("dev/kvm");
    if let Err(error) = fs::File::options().read(true).write(true).open(&device) {
        return (Accel::Tcg, format!("/dev/kvm: {error}"));
    }
    let on = |module: &str, name: &str| {
        let file = root.join("sys/module").join(module).join("parameters").join(name);
        fs::read_to_string(file).is_ok_and(|value| matches!(value.trim(), "1" | "Y" | "y"))
    };
    for (module, paging) in [("kvm_intel", "ept"), ("kvm_amd", "npt")] {
        if !root.join("sys/module").join(module).is_dir() {
            continue;
        }
        return match [("nested", on(module, "nested")), (paging, on(module, paging))].into_iter().find(|&(_, on)| !on) {
            Some((off, _)) => (Accel::Tcg, format!("{module}.{off} is off")),
            None => (Accel::Kvm, format!("{module} nests")),
        };
    }
    (Accel::Tcg, "neither kvm_intel nor kvm_amd is loaded".to_owned())
}
