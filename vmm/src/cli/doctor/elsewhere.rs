//! What is needed to test other kernels: QEMU, and a place from which kernels come.

use crate::{
    host::facts::{Row, State},
    kernels::{Cache, Contents, KernelError},
    qemu::{Accel, Installed, QemuError},
    report::units,
};
use serde_json::{Value, json};
use std::path::Path;

/// What installs QEMU.
const INSTALL: &str = "apt-get install --no-install-recommends qemu-system-x86 (or scripts/setup qemu)";
/// What fetches kernels.
const APT: &str = "apt-get";

/// QEMU and the kernels that are there.
pub(super) struct Elsewhere {
    qemu: Result<Installed, QemuError>,
    cache: Result<(Cache, Contents), KernelError>,
    /// Whether kernels can be fetched.
    apt: bool,
}

impl Elsewhere {
    pub(super) fn look() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |program: &str| std::env::split_paths(&path).any(|dir: std::path::PathBuf| is_file(&dir.join(program)));
        let with_contents = |cache: Cache| {
            let contents = cache.contents();
            (cache, contents)
        };
        Self { qemu: Installed::find(), cache: Cache::open().map(with_contents), apt: is_there(APT) }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        vec![self.qemu_row(), self.kernels_row()]
    }

    fn qemu_row(&self) -> Row {
        let (state, text, hint) = match &self.qemu {
            Ok(Installed { version, accel: Accel::Kvm, reason, .. }) => {
                (State::Good, format!("{version}, accelerated by KVM: {reason}"), None)
            }
            Ok(Installed { version, reason, .. }) => {
                (State::Limited, format!("{version}, by software emulation, which is slow: {reason}"), None)
            }
            Err(error @ QemuError::Missing { .. }) => (State::Missing, error.to_string(), Some(INSTALL.to_owned())),
            Err(error) => (State::Missing, error.to_string(), None),
        };
        Row { subject: "qemu", state, text, hint }
    }

    fn kernels_row(&self) -> Row {
        let kept = match &self.cache {
            Ok((cache, Contents { kernels, .. })) if kernels.is_empty() => format!("none in {}", cache.dir().display()),
            Ok((cache, Contents { bytes, kernels })) => {
                // What is left of a division by 1 MiB tells nobody anything.
                let size = units::bytes(bytes >> 20 << 20);
                let names: Vec<_> = kernels.iter().map(|key| name(key)).collect();
                format!("{} in {} ({size})", names.join(", "), cache.dir().display())
            }
            Err(error) => error.to_string(),
        };
        let (state, text, hint) = match (&self.cache, self.apt) {
            (Err(_), _) => (State::Missing, kept, None),
            (Ok(_), true) => (State::Good, format!("fetched with apt; {kept}"), None),
            (Ok(_), false) => {
                let hint = "give kernels as .deb, directory or IMAGE:MODULESDIR";
                (State::Limited, format!("no {APT}, so none can be fetched; {kept}"), Some(hint.to_owned()))
            }
        };
        Row { subject: "other kernels", state, text, hint }
    }

    pub(super) fn as_json(&self) -> Value {
        let qemu = match &self.qemu {
            Ok(Installed { program, version, accel, reason }) => {
                json!({"program": program, "version": version, "accelerator": accel, "reason": reason})
            }
            Err(error) => json!({"program": null, "needs": error.to_string(), "do": INSTALL}),
        };
        let kernels = match &self.cache {
            Ok((cache, Contents { bytes, kernels })) => {
                json!({"cache": cache.dir(), "bytes": bytes, "kernels": kernels, "apt": self.apt})
            }
            Err(error) => json!({"cache": null, "needs": error.to_string(), "apt": self.apt}),
        };
        json!({"qemu": qemu, "kernels": kernels})
    }
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file())
}

/// The release in the name of a fetched kernel (`debian-6.1.0-50-amd64_6.1.176-1`); others have none to show.
fn name(key: &str) -> &str {
    key.strip_prefix("debian-").and_then(|rest| rest.split_once('_')).map_or(key, |(release, _)| release)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(accel: Accel) -> Installed {
        Installed { program: "/usr/bin/q".into(), version: "7.2.22".to_owned(), accel, reason: "because".to_owned() }
    }

    fn elsewhere(qemu: Result<Installed, QemuError>, kernels: &[&str], apt: bool) -> Elsewhere {
        let kernels = kernels.iter().map(|&key| key.to_owned()).collect();
        Elsewhere { qemu, cache: Ok((Cache::at("/c"), Contents { bytes: (5 << 20) + 1, kernels })), apt }
    }

    #[test]
    fn what_is_there_is_named_and_what_is_missing_has_a_remedy() {
        let rows = elsewhere(Ok(installed(Accel::Kvm)), &["debian-6.1.0-50-amd64_6.1.176-1", "file-x"], true).rows();
        assert_eq!((rows[0].state, rows[0].text.as_str()), (State::Good, "7.2.22, accelerated by KVM: because"));
        assert_eq!(
            (rows[1].state, rows[1].text.as_str()),
            (State::Good, "fetched with apt; 6.1.0-50-amd64, file-x in /c (5 MiB)")
        );
        let missing = || QemuError::Missing { program: "qemu-system-x86_64" };
        let rows = elsewhere(Err(missing()), &[], false).rows();
        assert_eq!((rows[0].state, rows[0].hint.as_deref()), (State::Missing, Some(INSTALL)));
        assert_eq!((rows[1].state, rows[1].text.as_str()), (State::Limited, "no apt-get, so none can be fetched; none in /c"));
        assert_eq!(elsewhere(Ok(installed(Accel::Tcg)), &[], true).rows()[0].state, State::Limited);
        let json = elsewhere(Err(missing()), &["k"], true).as_json();
        assert_eq!((&json["qemu"]["program"], &json["qemu"]["do"]), (&Value::Null, &INSTALL.into()));
        assert_eq!((&json["kernels"]["cache"], &json["kernels"]["kernels"][0]), (&"/c".into(), &"k".into()));
        assert_eq!(elsewhere(Ok(installed(Accel::Tcg)), &[], true).as_json()["qemu"]["accelerator"], "tcg");
    }
}
