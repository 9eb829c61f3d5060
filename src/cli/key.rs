//! `key list|add|rekey|retire|generate`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::segment;
use super::error::CliError;
use super::job::{follow, succeeded};
use super::run::Session;
use super::terminal::{Terminal, cell, rows};
use crate::chance::Chance;
use crate::config::Environment;
use crate::identity::credential::Keyring;
use crate::identity::{FileError, private_file};

/// What to do with the keys that seal the credentials of mirrors.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys, what each has sealed, and keys that are missing
    List,
    /// Add a key, which seals from now on; the others still open what they sealed
    Add,
    /// Seal everything anew by the key that is current; goes on while mirrors work
    Rekey(RekeyArgs),
    /// Take a key away that nothing is sealed by any more
    Retire {
        /// The key's id
        id: String,
    },
    /// Print a key file with a new key, for a credential of the service manager
    Generate(GenerateArgs),
}

/// `key rekey`'s flags.
#[derive(Args, Debug)]
pub struct RekeyArgs {
    /// Start it and do not wait for its end
    #[arg(long)]
    pub no_wait: bool,
}

/// `key generate`'s flags.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// The present key file: its keys follow the new one
    #[arg(long, value_name = "FILE")]
    pub with: Option<PathBuf>,
}

const PATH: &str = "/api/v0/admin/sealingKeys";

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &KeyCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        KeyCommand::List => {
            let keys = session.client.get(PATH).await?;
            show(&keys, session)
        }
        KeyCommand::Add => {
            let keys = session.client.post(PATH, &json!({})).await?;
            show(&keys, session)
        }
        KeyCommand::Rekey(wanted) => rekey(wanted, session).await,
        KeyCommand::Retire { id } => {
            let gone = session.client.delete(&format!("{PATH}/{}", segment(id))).await?;
            session.say(&gone, &format!("key {id} is gone; backups that were made before may still need it"))
        }
        // It asks no daemon.
        KeyCommand::Generate(wanted) => generate(wanted, session.environment, session.terminal),
    }
}

fn show(keys: &Value, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let known = |key: &Value| {
        let state = if key.pointer("/seals").and_then(Value::as_bool) == Some(true) { "seals" } else { "opens" };
        vec![cell(key, "/id"), state.to_owned(), cell(key, "/sealed"), cell(key, "/file"), String::new()]
    };
    let missing = |key: &Value| {
        let mirrors: Vec<String> = rows(key, "/mirrors").iter().map(|mirror| cell(mirror, "")).collect();
        vec![cell(key, "/id"), "MISSING".to_owned(), cell(key, "/sealed"), String::new(), mirrors.join(", ")]
    };
    let mut shown: Vec<Vec<String>> = rows(keys, "/keys").iter().map(known).collect();
    shown.extend(rows(keys, "/missing").iter().map(missing));
    session.show(keys, &["KEY", "STATE", "SEALED", "FILE", "MIRRORS THAT STAND FOR IT"], shown)?;
    match keys.pointer("/unusable").and_then(Value::as_str) {
        Some(why) => session.note(&format!("a key file cannot be used: {why}")),
        None => Ok(()),
    }
}

async fn rekey(wanted: &RekeyArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let started = session.client.post("/api/v0/jobs", &json!({"action": "rekey"})).await?;
    if wanted.no_wait {
        return session.say(&started, &format!("started job {}", cell(&started, "/id")));
    }
    let job = follow(&started, session).await?;
    succeeded(&job)?;
    let count = cell(&job, "/parameters/resealed");
    let count = if count.is_empty() { "0" } else { &count };
    session.say(&job, &format!("sealed anew: {count}; `tidegate key list` shows which keys can be retired"))
}

/// Prints a key file; the present one is read from disk.
///
/// # Errors
/// [`CliError`].
pub fn generate(wanted: &GenerateArgs, environment: &Environment, terminal: &mut Terminal<'_>) -> Result<(), CliError> {
    let path = wanted.with.as_ref().map(|path| environment.absolute(path));
    let present = match &path {
        None => zeroize::Zeroizing::default(),
        Some(path) => private_file::read(path).map_err(CliError::KeyFile)?.ok_or_else(|| absent(path))?,
    };
    let text = Keyring::generate(&present, &Chance::system()).map_err(|(line, expected)| CliError::NoKeyFile {
        path: path.unwrap_or_default(),
        line,
        expected,
    })?;
    Ok(write!(terminal.stdout, "{}", *text)?)
}

fn absent(path: &Path) -> CliError {
    let source = std::io::ErrorKind::NotFound.into();
    CliError::KeyFile(FileError::Io { act: "open", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;

    fn keys() -> Value {
        json!({
            "keys": [
                {"id": "aaaa", "seals": true, "file": "sealing.key", "sealed": 3},
                {"id": "bbbb", "seals": false, "file": "sealing.key", "sealed": 0},
            ],
            "missing": [{"id": "cccc", "sealed": 1, "mirrors": ["push mirror 7 of dev/web"]}],
        })
    }

    #[tokio::test]
    async fn keys_are_listed_added_and_retired() {
        let fake = Fake::new(vec![
            reply("GET /api/v0/admin/sealingKeys", 200, keys()),
            reply("POST /api/v0/admin/sealingKeys", 201, keys()),
            reply("DELETE /api/v0/admin/sealingKeys/bbbb", 204, Value::Null),
        ]);
        let out = fake.run(&["key", "list"], "").await.done();
        for word in ["aaaa", "seals", "opens", "cccc", "MISSING", "push mirror 7 of dev/web"] {
            assert!(out.contains(word), "{word}: {out}");
        }
        let out = fake.run(&["key", "add", "--json"], "").await.done();
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), keys());
        assert!(fake.run(&["key", "retire", "bbbb"], "").await.done().contains("key bbbb is gone"));
    }

    #[tokio::test]
    async fn everything_is_sealed_anew_or_it_is_told_why_not() {
        let job = |status: &str, why: &str| {
            json!({"id": "j1", "status": status, "attempts": 0, "lastError": why,
                "parameters": {"resealed": "3", "total": "4"}})
        };
        for (status, why, exit) in [("done", "", Exit::Success), ("errored", "1 could not be", Exit::Failure)] {
            let fake = Fake::new(vec![
                reply("POST /api/v0/jobs", 202, job("waiting", "")),
                reply("GET /api/v0/jobs/j1", 200, job(status, why)),
                reply("GET /api/v0/jobs/j1/logs", 200, json!([{"lineNum": 0, "data": "sealed anew: 3 of 4"}])),
            ]);
            let ran = fake.run(&["key", "rekey"], "").await;
            assert_eq!(ran.exit, exit, "{}", ran.err);
            assert!(ran.out.contains("sealed anew: 3 of 4") && ran.err.contains(why), "{}{}", ran.out, ran.err);
            assert_eq!(fake.seen()[0].body, json!({"action": "rekey"}));
        }
    }

    #[tokio::test]
    async fn a_key_file_is_made_for_where_the_daemon_writes_none() {
        let fake = Fake::new(Vec::new());
        let first = fake.run(&["key", "generate"], "").await.done();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("present");
        std::fs::write(&path, &first).unwrap();
        let both = fake.run(&["key", "generate", "--with", path.to_str().unwrap()], "").await.done();
        let lines = |text: &str| {
            text.lines().skip(1).filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!((lines(&first).len(), lines(&both).len()), (1, 2));
        assert_eq!(lines(&both)[1], lines(&first)[0], "the present one is kept, behind the new one");
        std::fs::write(&path, "something else").unwrap();
        let refused = fake.run(&["key", "generate", "--with", path.to_str().unwrap()], "").await;
        assert!(refused.exit != Exit::Success && refused.out.is_empty() && !refused.err.contains("something else"));
    }
}
