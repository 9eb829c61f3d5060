//! What the package installs: the unit, the default configuration and the
//! maintainer scripts, checked with the programs that will read them.
//!
//! Needs `systemd-analyze` and `sh`; a missing one fails the test that names
//! it. The package itself is built and installed by the process tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tidegate::config::{Config, Environment, Overrides};

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(source(path)).expect("the file is there")
}

fn ran(program: &str, words: &[&str]) -> Output {
    Command::new(program)
        .args(words)
        .env("SYSTEMD_COLORS", "0")
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"))
}

/// The surroundings that the unit gives the daemon.
fn service() -> Environment {
    let mut environment = Environment::bare(PathBuf::from("/"));
    environment.state_dir = Some(PathBuf::from("/var/lib/tidegate"));
    environment.runtime_dir = Some(PathBuf::from("/run/tidegate"));
    environment
}

#[test]
fn the_default_configuration_is_what_the_unit_expects() {
    let config = Config::load(&source("packaging/tidegate.toml"), &Overrides::default(), &service()).unwrap();
    assert_eq!(config.data, PathBuf::from("/var/lib/tidegate"));
    assert_eq!(config.admin_socket, PathBuf::from("/run/tidegate/admin.sock"));
    assert_eq!(config.listeners.len(), 1);
    assert!(config.listeners[0].is_tls());
    let unit = read("systemd/tidegate.service");
    assert!(unit.contains("ExecStart=/usr/bin/tidegate serve --config /etc/tidegate/tidegate.toml\n"));
    assert!(unit.contains("RequiresMountsFor=/var/lib/tidegate\n"));
}

/// An operator removes one `#` and the service must start: what stands behind
/// it is a setting that parses.
#[test]
fn every_example_in_the_default_configuration_parses() {
    let examples: String = read("packaging/tidegate.toml")
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(examples.matches("[[listener]]").count(), 2, "the second listener is an example");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.toml");
    std::fs::write(&path, examples).unwrap();
    let config = Config::load(&path, &Overrides::default(), &service()).unwrap();
    assert_eq!((config.listeners.len(), config.tls.names.len(), config.remote.allow_private.len()), (2, 2, 1));
}

/// `systemd-analyze verify` exits 0 on an unknown key, so what it writes is
/// what counts. It also wants the program of `ExecStart` and the manual page to
/// be there, which they are only where the package is installed: the built
/// program stands in for the one, and the other is left out.
#[test]
fn systemd_has_nothing_to_say_about_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.service");
    let unit = read("systemd/tidegate.service");
    let unit = unit.replace("Documentation=man:tidegate(1)\n", "");
    std::fs::write(&path, unit.replace("/usr/bin/tidegate", env!("CARGO_BIN_EXE_tidegate"))).unwrap();
    let said = ran("systemd-analyze", &["verify", path.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&said.stderr), "");
    assert!(said.status.success());
}

#[test]
fn the_unit_exposes_no_more_than_promised() {
    let unit = source("systemd/tidegate.service");
    let said = ran("systemd-analyze", &["security", "--offline=true", "--threshold=12", unit.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&said.stdout);
    let last = told.lines().rev().find(|line| line.contains("exposure level"));
    assert!(said.status.success(), "{last:?} {}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn the_scripts_are_sh_and_refuse_what_they_do_not_know() {
    for script in ["packaging/build", "packaging/debian/postinst", "packaging/debian/prerm", "packaging/debian/postrm"]
    {
        let path = source(script);
        let checked = ran("sh", &["-n", path.to_str().unwrap()]);
        assert!(checked.status.success(), "{script}: {}", String::from_utf8_lossy(&checked.stderr));
        if script.starts_with("packaging/debian/") {
            assert!(!ran("sh", &[path.to_str().unwrap(), "nonsense"]).status.success(), "{script}");
        }
    }
}

/// The manager once killed a daemon that was still waiting for its jobs.
#[test]
fn the_unit_gives_a_stop_more_time_than_it_takes() {
    use tidegate::limits;
    let sum = limits::DRAIN_REQUESTS + limits::DRAIN + limits::DRAIN_JOBS + limits::DRAIN_OUTGOING + limits::SHUTDOWN;
    let unit = read("systemd/tidegate.service");
    let seconds = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.parse::<u64>().ok()).unwrap();
    assert!(seconds >= sum.as_secs() + 5, "{seconds} s for {sum:?}");
}

/// A service that would not start left the packages of a host half configured.
#[test]
fn a_service_that_does_not_start_does_not_fail_an_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    for name in ["systemctl", "deb-systemd-invoke", "systemd-sysusers", "install"] {
        let fails = if name.starts_with("sys") && name != "systemctl" || name == "install" { 0 } else { 1 };
        let script = format!("#!/bin/sh\necho {name} \"$@\" >> {asked:?}\nexit {fails}\n");
        let path = folder.path().join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    // What a host under systemd has; the scripts are run on any.
    let scripts = folder.path().join("scripts");
    std::fs::create_dir(&scripts).unwrap();
    for (name, words) in
        [("postinst", &["configure", "0.1.0-1"][..]), ("postinst", &["configure"]), ("prerm", &["remove"])]
    {
        let text = read(&format!("packaging/debian/{name}")).replace("/run/systemd/system", "/");
        let path = scripts.join(name);
        std::fs::write(&path, text).unwrap();
        let search = format!("{}:/usr/bin:/bin", folder.path().display());
        let ran = Command::new("sh").arg(&path).args(words).env("PATH", search).output().unwrap();
        assert!(ran.status.success(), "{name} {words:?}: {ran:?}");
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert_eq!(
            told.contains("systemctl enable --now tidegate"),
            words == ["configure"],
            "{name} {words:?}: {told}"
        );
    }
    let asked = std::fs::read_to_string(asked).unwrap();
    assert!(asked.contains("deb-systemd-invoke try-restart tidegate.service"), "{asked}");
}

/// A file that is named in `Cargo.toml` and not there is found by the release
/// build alone, late.
#[test]
fn the_package_names_files_that_are_there() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let deb = manifest["package"]["metadata"]["deb"].as_table().unwrap();
    let sources = deb["assets"].as_array().unwrap().iter().map(|asset| asset[0].as_str().unwrap());
    let written: Vec<&str> = sources.filter(|source| !source.starts_with("target/")).collect();
    assert!(written.contains(&"systemd/tidegate.service"), "{written:?}");
    for source_path in written {
        assert!(source(source_path).is_file(), "{source_path}");
    }
}
