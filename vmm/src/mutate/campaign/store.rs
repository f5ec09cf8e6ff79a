//! Results kept as they come, so that a campaign that was interrupted goes on where it stopped.

use super::MutantResult;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Results could not be kept.
#[derive(Debug, Error)]
#[error("cannot keep results in {path}: {source}")]
pub struct StoreError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A directory with a file for each mutant.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// The store of one campaign: `key` stands for everything that its results depend on.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(above: &Path, key: &str) -> Result<Self, StoreError> {
        let dir = above.join(key);
        fs::create_dir_all(&dir).map_err(|source| StoreError { path: dir.clone(), source })?;
        Ok(Self { dir })
    }

    /// A key made of everything that goes into it: two of them agree only if all of it does.
    #[must_use]
    pub fn key(parts: &[&[u8]]) -> String {
        // FNV-1a with 128 bits: it has to tell a handful of campaigns apart, the same in every version of this program.
        let (offset, prime) = (0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, 0x0000_0000_0100_0000_0000_0000_0000_013b_u128);
        let byte = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(prime);
        let hash = parts.iter().fold(offset, |hash, part| {
            let length = (part.len() as u64).to_le_bytes();
            length.iter().chain(part.iter()).fold(hash, |hash, &next| byte(hash, next))
        });
        format!("{hash:032x}")
    }

    fn file(&self, id: &str) -> PathBuf {
        let name: String = id.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '+' }).collect();
        self.dir.join(name + ".json")
    }

    /// Keeps the result of a mutant, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, result: &MutantResult) -> Result<(), StoreError> {
        write(&self.dir, &self.file(&result.id), result)
    }

    /// The result of the mutant called `id`, if one was kept. A file that is broken counts as none: it is tried again.
    #[must_use]
    pub fn kept(&self, id: &str) -> Option<MutantResult> {
        read(&self.file(id)).filter(|result: &MutantResult| result.id == id)
    }

    /// Forgets these: they are in a report, or to be made afresh.
    pub fn forget<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        ids.into_iter().for_each(|id| drop(fs::remove_file(self.file(id))));
        // Gone with the last of them.
        let _ = fs::remove_dir(&self.dir);
    }

    /// Forgets everything that is kept.
    ///
    /// # Errors
    /// When the store cannot be made again.
    pub fn empty(&self) -> Result<(), StoreError> {
        let _ = fs::remove_dir_all(&self.dir);
        fs::create_dir_all(&self.dir).map_err(|source| StoreError { path: self.dir.clone(), source })
    }
}

fn write(dir: &Path, path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let failed = |source| StoreError { path: path.to_owned(), source };
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    serde_json::to_writer(&mut file, value).map_err(io::Error::from).and_then(|()| file.flush()).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::campaign::Fate;

    fn result(id: &str) -> MutantResult {
        MutantResult {
            id: id.to_owned(),
            function: "f".into(),
            kind: "both".into(),
            group: "caller".into(),
            fate: Fate::Survived,
            expected: false,
            why: None,
            killed_by: None,
            patches: Vec::new(),
            sites: Vec::new(),
            scenarios: Vec::new(),
            trials: Vec::new(),
            replay: String::new(),
        }
    }

    #[test]
    fn what_is_kept_is_found_again_by_the_same_campaign_alone() {
        let above = tempfile::tempdir().expect("a directory");
        let store = Store::open(above.path(), &Store::key(&[b"6.1", b"seed 1"])).expect("made");
        store.keep(&result("wp_page_copy/both")).expect("kept");
        let again = Store::open(above.path(), &Store::key(&[b"6.1", b"seed 1"])).expect("there");
        assert_eq!(again.kept("wp_page_copy/both"), Some(result("wp_page_copy/both")));
        assert_eq!(again.kept("wp_page_copy/end"), None);
        let other = Store::open(above.path(), &Store::key(&[b"6.1s", b"eed 1"])).expect("made");
        assert_eq!(other.kept("wp_page_copy/both"), None);
        again.forget(["wp_page_copy/both"]);
        assert_eq!(store.kept("wp_page_copy/both"), None);
    }

    #[test]
    fn a_broken_file_counts_as_none() {
        let above = tempfile::tempdir().expect("a directory");
        let store = Store::open(above.path(), "k").expect("made");
        store.keep(&result("a/b")).expect("kept");
        fs::write(store.file("a/b"), "{\"id\":\"a/b\",").expect("cut off");
        assert_eq!(store.kept("a/b"), None);
    }
}
