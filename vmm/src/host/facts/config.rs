//! The options the running kernel was built with, where it says so.

use std::io::Read;

use flate2::read::GzDecoder;

use super::fact::Fact;
use super::tree::{ReadError, Tree};

/// A configuration has some 300 kB; what unpacks to more is none.
const CONFIG_LIMIT_BYTES: u64 = 8 << 20;

/// The text of a kernel configuration, or why there is none.
pub(crate) struct Config(Fact<String>);

impl Config {
    /// `/proc/config.gz` belongs to the running kernel without doubt (`CONFIG_IKCONFIG_PROC`), so it goes first; then where
    /// distributions install the file.
    pub(crate) fn read(tree: &Tree, release: Option<&str>) -> Self {
        let mut found = from_proc(tree);
        // The release becomes a part of a path, so it must be one.
        if let Some(release) = release.filter(|release| !release.contains('/')) {
            for file in [format!("boot/config-{release}"), format!("lib/modules/{release}/config")] {
                found = found.or_else(|_| tree.text(&file));
            }
        }
        Self(match found {
            Ok(text) if text.contains("CONFIG_") => Fact::Known(text),
            Ok(_) => Fact::unknown("the kernel configuration is unreadable"),
            Err(_) => Fact::unknown("no kernel configuration in /proc/config.gz or /boot"),
        })
    }

    /// Whether `option` is built in or a module.
    pub(crate) fn enabled(&self, option: &str) -> Fact<bool> {
        match &self.0 {
            Fact::Known(text) => Fact::Known(
                text.lines().filter_map(|line| line.split_once('=')).any(|(name, value)| name == option && value != "n"),
            ),
            Fact::Unknown { reason } => Fact::unknown(reason),
        }
    }
}

fn from_proc(tree: &Tree) -> Result<String, ReadError> {
    let packed = tree.bytes("proc/config.gz", CONFIG_LIMIT_BYTES)?;
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice())
        .take(CONFIG_LIMIT_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|source| ReadError::Io { path: "/proc/config.gz".into(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::fake::Fake;
    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("a vector takes everything");
        encoder.finish().expect("a vector takes everything")
    }

    #[test]
    fn the_running_kernel_goes_first() {
        let fake = Fake::new()
            .file("proc/config.gz", packed("CONFIG_KASAN=y\nCONFIG_KASAN_INLINE=y\nCONFIG_ZRAM=m\n"))
            .file("boot/config-6.1", "CONFIG_DEBUG_VM=y\n");
        let config = Config::read(&fake.tree(), Some("6.1"));
        assert!(config.enabled("CONFIG_KASAN").is(&true));
        assert!(config.enabled("CONFIG_ZRAM").is(&true));
        assert!(config.enabled("CONFIG_DEBUG_VM").is(&false));
    }

    #[test]
    fn garbage_and_hostile_releases() {
        let fake = Fake::new().file("proc/config.gz", "not gzip").file("secret", "CONFIG_X=y");
        assert!(Config::read(&fake.tree(), Some("../../secret")).enabled("CONFIG_X").known().is_none());
        let fake = Fake::new().file("proc/config.gz", packed("hello"));
        assert!(Config::read(&fake.tree(), None).enabled("CONFIG_X").known().is_none());
    }
}
