//! A small file system of the test's own, to be filled.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::program::{Run as _, program};

/// An ext4 on a file, mounted. Unmounted when it is dropped.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Makes one of `mebibytes`, with room for `inodes` files. Needs root.
    pub(crate) fn new(mebibytes: u64, inodes: u64) -> Self {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let image = disk.folder.path().join("image");
        File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        let count = inodes.to_string();
        program("mkfs.ext4").args(["-q", "-m", "0", "-N", &count, "-O", "^has_journal"]).arg(&image).run().good();
        std::fs::create_dir(disk.path()).unwrap();
        program("mount").args(["-o", "loop"]).arg(&image).arg(disk.path()).run().good();
        disk
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Fills it to the last byte with a file; gives the file.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        for piece in [1 << 20, 1 << 12, 1] {
            let piece = vec![7_u8; piece];
            while file.write_all(&piece).is_ok() {}
        }
        path
    }

    /// Makes empty files until no more can be made; gives their folder.
    pub(crate) fn fill_inodes(&self) -> PathBuf {
        let folder = self.path().join("many");
        std::fs::create_dir(&folder).unwrap();
        for number in 0_u64.. {
            if File::create(folder.join(number.to_string())).is_err() {
                break;
            }
        }
        folder
    }

    /// Whether `path` lies on it.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.starts_with(self.path())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = program("umount").arg("--lazy").arg(self.path()).run();
    }
}
