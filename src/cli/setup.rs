//! `setup`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::error::{CliError, UsageError};
use super::run::Session;
use crate::identity::private_file;
use crate::secret::Secret;

/// `setup`'s words.
#[derive(Args, Debug)]
#[command(after_help = WHERE)]
pub struct SetupArgs {
    /// The name of the first system admin
    pub name: String,
    /// A name for people
    #[arg(long, value_name = "TEXT")]
    pub full_name: Option<String>,
    /// The file with the set-up secret; the variable TIDEGATE_SETUP_SECRET without it
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Read the password from standard input (the only way to give it)
    #[arg(long, required = true)]
    pub password_stdin: bool,
}

const WHERE: &str = "\
A daemon that nobody can sign in to as system admin writes a set-up secret into \
its log and into the file setup-secret of its data folder at each start. It makes \
one account, once, within an hour.

On the daemon's own host no secret is needed: `tidegate account create NAME --admin`.";

/// Makes the first system admin.
///
/// # Errors
/// [`CliError`].
pub async fn run(wanted: &SetupArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let secret = match &wanted.secret_file {
        Some(path) => {
            let path = session.environment.absolute(path);
            let unread = |why: String| CliError::Usage(UsageError::SecretFile { path: path.clone(), why });
            let text = private_file::read(&path).map_err(|error| unread(crate::store::error_chain(&error)))?;
            Secret::new(text.ok_or_else(|| unread("nothing there".to_owned()))?.trim())
        }
        None => session.environment.setup_secret.clone().ok_or(CliError::Usage(UsageError::NoSetupSecret))?,
    };
    let password = session.terminal.secret()?;
    let mut body = json!({ "secret": secret.expose(), "name": wanted.name, "password": password.expose() });
    if let Some(full_name) = &wanted.full_name {
        body["fullName"] = json!(full_name);
    }
    let made = session.client.post("/api/v0/setup", &body).await?;
    session.say(&made, &format!("{} is system admin; the set-up secret is gone", wanted.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;

    #[tokio::test]
    async fn the_secret_comes_from_a_variable_or_a_file_and_never_from_the_words() {
        let made = || reply("POST /api/v0/setup", 201, json!({ "name": "admin" }));
        let fake = Fake::new(vec![made(), made()]);
        let mut environment = fake.environment();
        let words = ["setup", "admin", "--password-stdin"];
        let ran = fake.run_in(&environment, &words, "a long password\n").await;
        assert_eq!(ran.exit, Exit::Usage);
        assert!(ran.err.contains("TIDEGATE_SETUP_SECRET"), "{}", ran.err);
        environment.setup_secret = Some(Secret::new("abc"));
        let out = fake.run_in(&environment, &words, "a long password\n").await.done();
        assert_eq!(out, "admin is system admin; the set-up secret is gone\n");
        std::fs::write(environment.current_dir.join("s"), "def\n").unwrap();
        let words = ["setup", "admin", "--password-stdin", "--secret-file", "s", "--full-name", "A"];
        fake.run_in(&environment, &words, "a long password\n").await.done();
        let sent = |secret: &str| json!({ "secret": secret, "name": "admin", "password": "a long password" });
        assert_eq!(fake.seen()[0].body, sent("abc"));
        let mut second = sent("def");
        second["fullName"] = json!("A");
        assert_eq!(fake.seen()[1].body, second);
        let words = ["setup", "admin", "--password-stdin", "--secret-file", "none"];
        assert!(fake.run_in(&environment, &words, "x\n").await.err.contains("none: nothing there"));
    }
}
