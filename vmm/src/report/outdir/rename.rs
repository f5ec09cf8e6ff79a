//! A directory gets its final name in one step, and never by taking the place of something else.

use std::{fs, io, path::Path};

/// Renames directory `from` to `to`; fails with `AlreadyExists` if there is a `to`.
pub(super) fn without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match noreplace(from, to) {
        // The file system (EINVAL: NFS, some FUSE) or the kernel does not know the flag.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => by_claim(from, to),
        done => done,
    }
}

#[cfg(target_env = "gnu")]
fn noreplace(from: &Path, to: &Path) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    Ok(renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE)?)
}

/// Other C libraries have no such call.
#[cfg(not(target_env = "gnu"))]
fn noreplace(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// The same with what every file system has: `mkdir` takes the name if it is free, and `rename` may then replace that directory,
/// but only while it is empty. Others can see it empty for a moment.
fn by_claim(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::rename(from, to).inspect_err(|_| {
        // Ours, if it is still empty; else somebody uses it and it stays.
        let _ = fs::remove_dir(to);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rename = fn(&Path, &Path) -> io::Result<()>;

    #[test]
    fn either_way_moves_a_directory_and_replaces_nothing() {
        for rename in [without_replacing as Rename, by_claim as Rename] {
            let above = tempfile::tempdir().expect("a temporary directory");
            let at = |name: &str| above.path().join(name);
            fs::create_dir(at("from")).expect("created");
            fs::write(at("from/file"), "new").expect("written");
            fs::create_dir(at("empty")).expect("created");
            fs::write(at("file"), "old").expect("written");
            std::os::unix::fs::symlink("nowhere", at("dangling")).expect("linked");
            for taken in ["empty", "file", "dangling"] {
                let error = rename(&at("from"), &at(taken)).expect_err("it is taken");
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{taken}");
            }
            assert_eq!(fs::read_to_string(at("file")).expect("still there"), "old");
            rename(&at("from"), &at("to")).expect("the name is free");
            assert_eq!(fs::read_to_string(at("to/file")).expect("moved"), "new");
            assert!(!at("from").exists());
        }
    }

    #[test]
    fn a_claim_that_came_to_nothing_is_taken_back() {
        let above = tempfile::tempdir().expect("a temporary directory");
        by_claim(&above.path().join("missing"), &above.path().join("to")).expect_err("there is nothing to rename");
        assert!(!above.path().join("to").exists());
    }
}
