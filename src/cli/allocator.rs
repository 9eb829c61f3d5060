//! What the memory allocator is told before the daemon begins.
//!
//! glibc keeps freed buffers for itself, an arena for each few threads, and
//! gives none of it back: after some gigabytes of pushes that is more than the
//! daemon uses. It reads its settings once, before `main`, so a daemon that was
//! started without them starts itself again with them: the same process, with
//! the same arguments. The service's unit has them, and then this does nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Two arenas; what is 1 MiB or more by itself, and given back when it is
/// freed; 256 KiB at the end of an arena kept at most.
pub const SETTINGS: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "262144")];

/// The commands that stay.
const DAEMONS: [&str; 2] = ["serve", "demo"];

/// Starts the program again with the settings, where `arguments` ask for a
/// daemon and nothing is set; returns otherwise, and where that fails: the
/// daemon works without them.
pub fn settle(arguments: impl IntoIterator<Item = OsString>) {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if !cfg!(target_env = "gnu") || !is_wanted(&arguments, |name| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = Command::new(program);
    again.envs(SETTINGS);
    if let Some((called, rest)) = arguments.split_first() {
        again.arg0(called).args(rest);
    }
    // It returns only when it fails.
    drop(again.exec());
}

/// Whether a daemon is asked for and nobody has set anything.
fn is_wanted(arguments: &[OsString], is_set: impl Fn(&str) -> bool) -> bool {
    let is_daemon = |argument: &OsString| DAEMONS.iter().any(|daemon| argument == OsStr::new(daemon));
    arguments.iter().skip(1).any(is_daemon) && !SETTINGS.iter().any(|(name, _)| is_set(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_daemon_that_was_told_nothing_starts_again() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let wanted = |text: &str| is_wanted(&words(text), |_| false);
        assert!(wanted("tidegate serve --data x") && wanted("tidegate --json demo"));
        assert!(!wanted("tidegate tag list a/b") && !wanted("serve"));
        for (name, _) in SETTINGS {
            assert!(!is_wanted(&words("tidegate serve"), |set| set == name), "{name} is the operator's");
        }
    }

    #[test]
    fn the_unit_says_the_same() {
        let unit = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/tidegate.service")).unwrap();
        let line = unit.lines().find_map(|line| line.strip_prefix("Environment=")).unwrap();
        let said = SETTINGS.map(|(name, value)| format!("{name}={value}"));
        assert_eq!(line.split(' ').collect::<Vec<_>>(), said);
    }
}
