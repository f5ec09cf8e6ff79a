//! What a kernel image says of itself: the boot protocol's header (Documentation/arch/x86/boot.rst).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::{KernelError, io_at};

/// The setup code is at most 64 sectors long, and the string with the release lies in it.
const SETUP_BYTES: u64 = 64 * 512;
/// `header`: the magic number "HdrS".
const MAGIC: usize = 0x202;
/// `kernel_version`: where the string with the release is, less 0x200.
const KERNEL_VERSION: usize = 0x20e;

/// The release (`uname -r`) of the kernel in `path`.
pub(super) fn release(path: &Path) -> Result<String, KernelError> {
    let mut setup = Vec::new();
    File::open(path).and_then(|file| file.take(SETUP_BYTES).read_to_end(&mut setup)).map_err(io_at("read", path))?;
    in_setup(&setup).map_err(|why| KernelError::Image { path: path.to_owned(), why })
}

fn in_setup(setup: &[u8]) -> Result<String, &'static str> {
    if setup.starts_with(b"\x7fELF") {
        return Err("it is an ELF file (vmlinux); give arch/x86/boot/bzImage of the same build");
    }
    if setup.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        return Err("the boot protocol's header (HdrS at 0x202) is not there");
    }
    let version = setup.get(KERNEL_VERSION..KERNEL_VERSION + 2).ok_or("it ends in its header")?;
    let start = match u16::from_le_bytes([version[0], version[1]]) {
        0 => return Err("its header names no version"),
        version => usize::from(version) + 0x200,
    };
    let text = setup.get(start..).ok_or("its version lies beyond its setup code")?;
    let word = text.split(|&byte| byte == b' ' || byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(word) {
        // It becomes a part of paths.
        Ok(release) if is_release(release) => Ok(release.to_owned()),
        _ => Err("its version is not text"),
    }
}

/// Whether `name` can be a kernel's release, and so a single part of a path.
pub(super) fn is_release(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit()) && is_word(name)
}

/// Whether `name` holds nothing that a path or the kernel's command line would take for more than a name.
pub(super) fn is_word(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-_~".contains(&byte))
}

/// A header as the boot protocol wants it, for the tests.
#[cfg(test)]
pub(super) fn fake(release: &str) -> Vec<u8> {
    let mut setup = vec![0; 0x400];
    setup[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
    setup[KERNEL_VERSION..KERNEL_VERSION + 2].copy_from_slice(&0x100_u16.to_le_bytes());
    setup.truncate(0x300);
    setup.extend(format!("{release} (builder@host) #1 SMP\0").into_bytes());
    setup
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_the_first_word_of_the_version() {
        assert_eq!(in_setup(&fake("6.1.0-50-amd64")), Ok("6.1.0-50-amd64".to_owned()));
        assert_eq!(in_setup(&fake("7.2.13+deb14-amd64")), Ok("7.2.13+deb14-amd64".to_owned()));
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let mut beyond = fake("6.1");
        beyond[KERNEL_VERSION + 1] = 0xff;
        let mut none = fake("6.1");
        none[KERNEL_VERSION + 1] = 0;
        for bad in [&b""[..], b"MZ", b"\x7fELF\x02\x01", &fake("6.1")[..0x20f], &beyond, &none, &fake("6.1/../../etc"), &fake("")]
        {
            in_setup(bad).expect_err("not a kernel");
        }
    }
}
