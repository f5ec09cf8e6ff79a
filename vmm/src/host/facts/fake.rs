//! A made-up host for tests: a temporary directory that holds only what the test put there.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::tree::Tree;

pub(crate) struct Fake {
    dir: TempDir,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().expect("a temporary directory") }
    }

    pub(crate) fn file(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a file below the root")).expect("directories");
        fs::write(path, contents).expect("a file");
        self
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        fs::create_dir_all(self.dir.path().join(path)).expect("directories");
        self
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::new(self.root())
    }
}
