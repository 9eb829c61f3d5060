//! A real root file system, bootstrapped once and kept between runs: what
//! images are made of, and what the package is installed in.

use std::path::{Path, PathBuf};

use super::program::{Run as _, program, scratch};

/// The release.
const SUITE: &str = "bookworm";
/// What the package depends on, beyond the smallest system.
const PACKAGES: &str = "ca-certificates,systemd-standalone-sysusers";

/// The root file system as a tar; made when it is not there yet.
pub(crate) fn debian_tar() -> PathBuf {
    let kept = scratch().join(format!("debian-{SUITE}-{}.tar", PACKAGES.replace(',', "-")));
    if kept.exists() {
        return kept;
    }
    let folder = tempfile::tempdir_in(scratch()).unwrap();
    let (root, tar) = (folder.path().join("root"), folder.path().join("root.tar"));
    println!("bootstrapping {SUITE}, which is kept for the next run");
    let include = format!("--include={PACKAGES}");
    program("debootstrap").args(["--variant=minbase", &include, SUITE]).arg(&root).run().good();
    // The packages themselves and their lists are of no use in an image.
    let without = ["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "--exclude=./dev/*"];
    program("tar").args(["--numeric-owner", "-C"]).arg(&root).args(without).arg("-cf").arg(&tar).arg(".").run().good();
    std::fs::rename(&tar, &kept).unwrap();
    kept
}

/// Unpacks the root file system into the folder `at`.
pub(crate) fn debian_root(at: &Path) {
    std::fs::create_dir_all(at).unwrap();
    program("tar").args(["--numeric-owner", "-C"]).arg(at).arg("-xpf").arg(debian_tar()).run().good();
}
