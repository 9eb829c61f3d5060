//! Where the daemon is: the flags, `TIDEGATE_SOCKET`, `./tidegate-data`,
//! `/run/tidegate`, in that order.
//!
//! What was named is used or fails; what was only guessed is tried, and the
//! error tells every guess with the reason it was none.

use std::io;
use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::client::Client;
use super::dial::Target;
use super::error::{CliError, Looked, UsageError};
use crate::config::Environment;

/// The folder that `serve` uses without a configuration.
pub const DATA_DIR: &str = "tidegate-data";
/// The local endpoint's name in a data folder.
pub const SOCKET_NAME: &str = "admin.sock";

/// Finds the daemon.
///
/// # Errors
/// [`CliError::Usage`] for flags that contradict each other,
/// [`CliError::NoDaemon`] when no guess was right.
pub async fn locate(arguments: &Arguments, environment: &Environment) -> Result<Client, CliError> {
    named(arguments, environment)?;
    if let Some(url) = &arguments.url {
        let sign_in = match (&arguments.username, &environment.password) {
            (Some(name), Some(password)) => Some((name.as_str(), password)),
            (Some(_), None) => return Err(CliError::Usage(UsageError::NoPassword)),
            (None, _) => None,
        };
        let ca = arguments.ca.as_ref().map(|path| environment.absolute(path));
        return Ok(Client::new(Target::url(url.clone(), ca.as_deref(), sign_in)?));
    }
    if let Some(path) = arguments.socket.as_ref().or(environment.socket.as_ref()) {
        return Ok(Client::new(Target::Socket(environment.absolute(path))));
    }
    let mut looked = Vec::new();
    for path in guesses(environment) {
        match answers(&path).await {
            Ok(()) => return Ok(Client::new(Target::Socket(path))),
            Err(why) => looked.push(Looked { path, why: reason(&why) }),
        }
    }
    Err(CliError::NoDaemon(looked))
}

/// Whether a daemon was named, and not in two ways.
///
/// # Errors
/// [`CliError::Usage`] for flags that contradict each other.
pub fn named(arguments: &Arguments, environment: &Environment) -> Result<bool, CliError> {
    if arguments.socket.is_some() && arguments.url.is_some() {
        return Err(CliError::Usage(UsageError::TwoDaemons));
    }
    if arguments.url.is_none() && (arguments.username.is_some() || arguments.ca.is_some()) {
        return Err(CliError::Usage(UsageError::SignInWithoutUrl));
    }
    Ok(arguments.socket.is_some() || arguments.url.is_some() || environment.socket.is_some())
}

/// Whether something listens on the socket `path`.
///
/// # Errors
/// What the system said.
pub async fn answers(path: &Path) -> io::Result<()> {
    tokio::net::UnixStream::connect(path).await.map(drop)
}

fn guesses(environment: &Environment) -> [PathBuf; 2] {
    [environment.current_dir.join(DATA_DIR).join(SOCKET_NAME), environment.service_socket.clone()]
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "nothing there".to_owned(),
        io::ErrorKind::ConnectionRefused => "left behind by a daemon that is gone".to_owned(),
        io::ErrorKind::PermissionDenied => "not for this user: be root or a member of the group tidegate".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::json;

    #[tokio::test]
    async fn no_daemon_is_told_where_it_was_looked_for_and_how_to_start_one() {
        let fake = Fake::new(Vec::new());
        let mut environment = fake.environment();
        environment.socket = None;
        std::fs::create_dir(environment.current_dir.join(DATA_DIR)).unwrap();
        // A socket file that nobody listens on any more.
        drop(std::os::unix::net::UnixListener::bind(environment.current_dir.join(DATA_DIR).join(SOCKET_NAME)).unwrap());
        let ran = fake.run_in(&environment, &["job", "list"], "").await;
        assert_eq!(ran.exit, Exit::Failure);
        assert!(ran.err.contains("tidegate-data/admin.sock: left behind by a daemon that is gone\n"), "{}", ran.err);
        assert!(ran.err.contains("service.sock: nothing there\n"), "{}", ran.err);
        assert!(ran.err.contains("start one with `tidegate serve`"), "{}", ran.err);
    }

    #[tokio::test]
    async fn the_order_is_flag_variable_folder_service() {
        let empty = json!({"jobs": []});
        let fake = Fake::new(vec![reply("GET /api/v0/jobs?limit=20", 200, empty); 4]);
        let bare = fake.environment();
        let folder = bare.current_dir.join(DATA_DIR);
        std::fs::create_dir(&folder).unwrap();
        let nowhere = || Some(PathBuf::from("/nonexistent/x.sock"));
        // The flag goes before a variable that leads nowhere.
        let mut environment = bare.clone();
        environment.socket = nowhere();
        let socket = fake.socket().to_str().unwrap().to_owned();
        fake.run_in(&environment, &["job", "list", "--socket", &socket], "").await.done();
        // The variable goes before a flag's absence.
        fake.run_in(&bare, &["job", "list"], "").await.done();
        // What was named is used or fails: no guessing behind it.
        std::os::unix::fs::symlink(fake.socket(), folder.join(SOCKET_NAME)).unwrap();
        let ran = fake.run_in(&environment, &["job", "list"], "").await;
        assert!(ran.err.starts_with("error: no daemon answers at /nonexistent/x.sock"), "{}", ran.err);
        // The folder, then the service.
        environment.socket = None;
        fake.run_in(&environment, &["job", "list"], "").await.done();
        std::fs::remove_dir_all(&folder).unwrap();
        environment.service_socket = fake.socket().to_owned();
        fake.run_in(&environment, &["job", "list"], "").await.done();
    }

    #[tokio::test]
    async fn flags_that_contradict_each_other_are_usage() {
        let fake = Fake::new(Vec::new());
        for (words, said) in [
            (&["--socket", "x", "--url", "https://y", "job", "list"][..], "--socket and --url"),
            (&["--username", "x", "job", "list"], "are for --url"),
            (&["--ca", "x", "job", "list"], "are for --url"),
            (&["--url", "https://y", "--username", "x", "job", "list"], "TIDEGATE_PASSWORD"),
            (&["--url", "http://192.0.2.1", "job", "list"], "plain http://"),
        ] {
            let ran = fake.run(words, "").await;
            assert_eq!(ran.exit, Exit::Usage, "{words:?} {}", ran.err);
            assert!(ran.err.contains(said), "{words:?} {}", ran.err);
        }
    }
}
