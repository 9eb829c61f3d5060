//! What the process was started with: its name, variables and the current
//! folder.
//!
//! Read once, at the start, and passed on as a value. `NOTIFY_SOCKET` and
//! `WATCHDOG_USEC` are not here: they belong to the `sd-notify` library.

use std::path::{Path, PathBuf};

use super::rehearsal;
use crate::secret::Secret;

/// Where the packaged service has its local endpoint.
pub const SERVICE_SOCKET: &str = "/run/tidegate/admin.sock";

/// The program's name where it is installed.
const PROGRAM: &str = "tidegate";

/// The surroundings of the process.
#[derive(Clone)]
pub struct Environment {
    /// The program as it was called, for words that are to be pasted.
    pub program: String,
    /// The folder that relative paths start from.
    pub current_dir: PathBuf,
    /// `RUNTIME_DIRECTORY`: where the service manager wants sockets.
    pub runtime_dir: Option<PathBuf>,
    /// `STATE_DIRECTORY`: where the service manager wants data.
    pub state_dir: Option<PathBuf>,
    /// `CREDENTIALS_DIRECTORY`: secrets passed on by the service manager.
    pub credentials_dir: Option<PathBuf>,
    /// `TIDEGATE_SOCKET`: the daemon's local endpoint, for the command line.
    pub socket: Option<PathBuf>,
    /// `TIDEGATE_PASSWORD`: signs the command line in over `--url`.
    pub password: Option<Secret>,
    /// `TIDEGATE_SETUP_SECRET`: makes the first system admin, for the command
    /// line.
    pub setup_secret: Option<Secret>,
    /// `TIDEGATE_CRASH_AT`: where a daemon under test dies.
    pub crash_at: Option<String>,
    /// `TIDEGATE_PACE`: how soon a daemon under test does what it does from
    /// time to time.
    pub pace: Option<String>,
    /// The packaged service's local endpoint: [`SERVICE_SOCKET`].
    pub service_socket: PathBuf,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("program", &self.program)
            .field("current_dir", &self.current_dir)
            .field("socket", &self.socket)
            .field("has_password", &self.password.is_some())
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// Reads the variables and the current folder. One that cannot be told, for
    /// it was removed or may not be read, is `.`: what needs it fails by itself,
    /// and what does not need it works.
    pub fn read() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let password = text("TIDEGATE_PASSWORD");
        let called = std::env::args_os().next().map(|name| name.to_string_lossy().into_owned());
        Self {
            program: called.filter(|name| !name.is_empty()).unwrap_or_else(|| PROGRAM.to_owned()),
            runtime_dir: variable("RUNTIME_DIRECTORY").map(first_of_list),
            state_dir: variable("STATE_DIRECTORY").map(first_of_list),
            credentials_dir: variable("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            socket: variable("TIDEGATE_SOCKET").map(PathBuf::from),
            password: password.map(Secret::new),
            setup_secret: text("TIDEGATE_SETUP_SECRET").map(Secret::new),
            crash_at: text(rehearsal::CRASH_AT),
            pace: text(rehearsal::PACE),
            ..Self::bare(std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")))
        }
    }

    /// Surroundings with no variable set.
    pub fn bare(current_dir: PathBuf) -> Self {
        Self {
            program: PROGRAM.to_owned(),
            current_dir,
            runtime_dir: None,
            state_dir: None,
            credentials_dir: None,
            socket: None,
            password: None,
            setup_secret: None,
            crash_at: None,
            pace: None,
            service_socket: PathBuf::from(SERVICE_SOCKET),
        }
    }

    /// `path` as seen from the current folder.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.current_dir.join(path.strip_prefix(".").unwrap_or(path))
    }
}

/// systemd separates several folders of one kind by colons; ours is the first.
fn first_of_list(list: std::ffi::OsString) -> PathBuf {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let first = list.as_bytes().split(|&b| b == b':').next().unwrap_or_default().to_vec();
    PathBuf::from(std::ffi::OsString::from_vec(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_of_several_folders() {
        assert_eq!(first_of_list("/run/a:/run/b".into()), PathBuf::from("/run/a"));
        assert_eq!(first_of_list("/run/a".into()), PathBuf::from("/run/a"));
    }

    #[test]
    fn paths_start_at_the_current_folder() {
        let environment = Environment::bare(PathBuf::from("/srv"));
        for (given, seen) in [("./data", "/srv/data"), ("data", "/srv/data"), ("/data", "/data"), ("../x", "/srv/../x")]
        {
            assert_eq!(environment.absolute(Path::new(given)), PathBuf::from(seen), "{given}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let mut environment = Environment::bare(PathBuf::from("/srv"));
        environment.password = Some(Secret::new("hunter22"));
        assert!(!format!("{environment:?}").contains("hunter22"));
    }
}
