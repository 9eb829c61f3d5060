//! Programs that are built from Go's module proxy, each at one version and
//! once: they stay below `target/`.

use std::path::{Path, PathBuf};

use super::program::{Run as _, bounded, scratch};

/// Name, package and version, one program a line.
const PROGRAMS: &str = include_str!("../go-programs");

/// Where the program `name` lies; built when it is not there yet.
pub(crate) fn go_program(name: &str) -> PathBuf {
    let lines = PROGRAMS.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let known = lines.into_iter().find(|words| words.first() == Some(&name));
    let [_, package, version] = known.as_deref().unwrap_or_default() else {
        panic!("{name} is not among the programs in go-programs");
    };
    let folder = scratch().join("go").join(format!("{name}-{version}"));
    let path = folder.join(name);
    if !path.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        println!("building {package}@{version}, which is kept for the next run");
        let wanted = format!("{package}@{version}");
        bounded(Path::new("go")).args(["install", &wanted]).env("GOBIN", &folder).env_remove("GOFLAGS").run().good();
    }
    path
}
