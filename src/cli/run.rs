//! From words to an exit code.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde_json::Value;

use super::arguments::{Arguments, Command};
use super::client::Client;
use super::error::CliError;
use super::key::KeyCommand;
use super::locate::locate;
use super::terminal::{Exit, Terminal, cell, rows};
use super::{
    account, audit, backup, certificate, daemon, gc, generate, job, key, organization, promotion, pull_mirror,
    push_mirror, quota, repository, restore, robot, scrub, setup, tag, team, token, verify, why,
};
use crate::config::Environment;

/// A command that speaks to the daemon: who to ask, how to answer.
pub struct Session<'a, 'b> {
    /// The daemon.
    pub client: Client,
    /// Whether programs read the answer.
    pub json: bool,
    /// Files named on the command line start here.
    pub environment: &'a Environment,
    /// The streams.
    pub terminal: &'a mut Terminal<'b>,
}

/// The process's own words, surroundings and streams.
pub async fn main() -> ExitCode {
    let environment = Environment::read();
    let (mut stdin, mut stdout, mut stderr) = (io::stdin(), io::stdout(), io::stderr());
    let interactive = stderr.is_terminal();
    let mut terminal = Terminal { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr, interactive };
    run(std::env::args_os(), &environment, &mut terminal).await.into()
}

/// Does what `words` say; the first is the program's own name.
pub async fn run<W>(words: W, environment: &Environment, terminal: &mut Terminal<'_>) -> Exit
where
    W: IntoIterator<Item: Into<OsString> + Clone>,
{
    let arguments = match Arguments::try_parse_from(sign_in_first(words)) {
        Ok(arguments) => arguments,
        Err(error) => return explained(error, terminal),
    };
    let ended = dispatch(&arguments, environment, terminal).await;
    match ended.and_then(|exit| Ok(terminal.flush().map(|()| exit)?)) {
        Ok(exit) => exit,
        // The reader of a pipe has what it wanted, as `head` does.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            // There is no third stream to complain on when this one fails.
            let _ = writeln!(terminal.stderr, "error: {error}");
            error.exit()
        }
    }
}

/// The words with `--username` and `--ca` before the command, wherever they
/// stood: the parser takes a flag anywhere only where no command has one of the
/// same name. Those of mirrors have, and there it is the far side's.
fn sign_in_first<W>(words: W) -> Vec<OsString>
where
    W: IntoIterator<Item: Into<OsString>>,
{
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    if words.iter().any(|word| word == "push-mirror" || word == "pull-mirror") {
        return words;
    }
    let mut words = words.into_iter();
    let mut first: Vec<OsString> = words.next().into_iter().collect();
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "--username" || text == "--ca" {
            first.push(word);
            first.extend(words.next());
        } else if text.starts_with("--username=") || text.starts_with("--ca=") {
            first.push(word);
        } else {
            rest.push(word);
        }
    }
    first.extend(rest);
    first
}

impl Session<'_, '_> {
    /// The daemon's answer for programs, or `line` for people; what it warns
    /// of on standard error for both.
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub fn say(&mut self, answer: &Value, line: &str) -> Result<(), CliError> {
        for warning in rows(answer, "/warnings") {
            writeln!(self.terminal.stderr, "warning: {}", cell(warning, ""))?;
        }
        if self.json { self.terminal.json(answer) } else { self.terminal.line(line) }
    }

    /// The daemon's answer for programs, or a table for people.
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub fn show(&mut self, answer: &Value, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), CliError> {
        if self.json { self.terminal.json(answer) } else { self.terminal.table(header, rows) }
    }

    /// Something done on the way; on standard error when programs read the
    /// answer.
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub fn note(&mut self, line: &str) -> Result<(), CliError> {
        if self.json { Ok(writeln!(self.terminal.stderr, "{line}")?) } else { self.terminal.line(line) }
    }
}

async fn dispatch(
    arguments: &Arguments,
    environment: &Environment,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, CliError> {
    match &arguments.command {
        Command::Serve(options) => daemon::serve(options, environment).await?,
        Command::Demo => daemon::demo(environment).await?,
        Command::Completions(wanted) => generate::completions(wanted, terminal)?,
        Command::Man(wanted) => generate::man(wanted, environment, terminal)?,
        Command::Verify(wanted) => return verify::run(wanted, arguments, environment, terminal).await,
        Command::Backup(wanted) => backup::run(wanted, arguments, environment, terminal).await?,
        Command::Restore(wanted) => restore::run(wanted, arguments, environment, terminal).await?,
        Command::Key(KeyCommand::Generate(wanted)) => key::generate(wanted, environment, terminal)?,
        Command::Setup(_)
        | Command::Account(_)
        | Command::Org(_)
        | Command::Team(_)
        | Command::Access(_)
        | Command::Token(_)
        | Command::Robot(_)
        | Command::Certificate(_)
        | Command::Key(_)
        | Command::Repository(_)
        | Command::Tag(_)
        | Command::Promotion(_)
        | Command::PushMirror(_)
        | Command::PullMirror(_)
        | Command::Quota(_)
        | Command::Job(_)
        | Command::Gc(_)
        | Command::Scrub(_)
        | Command::Audit(_)
        | Command::Why(_) => {
            let client = locate(arguments, environment).await?;
            let json = arguments.json;
            ask(&arguments.command, &mut Session { client, json, environment, terminal }).await?;
        }
    }
    Ok(Exit::Success)
}

async fn ask(command: &Command, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        Command::Setup(wanted) => setup::run(wanted, session).await,
        Command::Account(command) => account::run(command, session).await,
        Command::Org(command) => organization::run(command, session).await,
        Command::Team(command) => team::run(command, session).await,
        Command::Access(wanted) => team::access(wanted, session).await,
        Command::Token(command) => token::run(command, session).await,
        Command::Robot(command) => robot::run(command, session).await,
        Command::Certificate(command) => certificate::run(command, session).await,
        Command::Key(command) => key::run(command, session).await,
        Command::Repository(command) => repository::run(command, session).await,
        Command::Tag(command) => tag::run(command, session).await,
        Command::Promotion(command) => promotion::run(command, session).await,
        Command::PushMirror(command) => push_mirror::run(command, session).await,
        Command::PullMirror(command) => pull_mirror::run(command, session).await,
        Command::Quota(command) => quota::run(command, session).await,
        Command::Job(command) => job::run(command, session).await,
        Command::Gc(command) => gc::run(command, session).await,
        Command::Scrub(command) => scrub::run(command, session).await,
        Command::Audit(wanted) => audit::run(wanted, session).await,
        Command::Why(wanted) => why::run(wanted, session).await,
        // Handled without a daemon, above.
        Command::Serve(_)
        | Command::Demo
        | Command::Verify(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Completions(_)
        | Command::Man(_) => Ok(()),
    }
}

/// Prints what the parser has to say: help that was asked for is an answer,
/// anything else is wrong usage.
fn explained(mut error: clap::Error, terminal: &mut Terminal<'_>) -> Exit {
    // An address with a password in it is not repeated: what is said here ends
    // up in the logs of whoever runs it.
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && let Some((before, after)) = value.rsplit_once('@')
    {
        let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
        let hidden = format!("{scheme}[removed]@{after}");
        error.insert(ContextKind::InvalidValue, ContextValue::String(hidden));
    }
    let text = error.render();
    let (stream, exit) = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => (&mut *terminal.stdout, Exit::Success),
        _ => (&mut *terminal.stderr, Exit::Usage),
    };
    match write!(stream, "{text}").and_then(|()| stream.flush()) {
        Ok(()) => exit,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit,
        Err(_) => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Fake, reply};
    use serde_json::json;

    #[tokio::test]
    async fn wrong_words_are_64_and_help_is_an_answer() {
        let fake = Fake::new(Vec::new());
        for words in [&["nonsense"][..], &[], &["job"], &["repository", "create", "website"], &["why", "dev/x"]] {
            let ran = fake.run(words, "").await;
            assert_eq!((ran.exit, ran.out.as_str()), (Exit::Usage, ""), "{words:?}");
            assert!(!ran.err.is_empty(), "{words:?}");
        }
        for words in [&["help"][..], &["help", "promotion", "create"], &["promotion", "help"]] {
            assert!(fake.run(words, "").await.done().contains("Usage: tidegate"), "{words:?}");
        }
        let help = fake.run(&["--help"], "").await;
        assert_eq!((help.exit, help.err.as_str()), (Exit::Success, ""));
        assert!(help.out.contains("Exit codes: 0 done, 1 failed, 64 wrong usage, 78 wrong configuration"));
        assert_eq!(fake.run(&["--version"], "").await.out, format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn signing_in_stands_anywhere_but_where_the_far_side_has_the_same_words() {
        let read = |words: &str| Arguments::try_parse_from(sign_in_first(words.split_whitespace())).unwrap();
        for words in [
            "tidegate job list --url https://h --username me --ca a.pem",
            "tidegate job --username=me list --ca=a.pem --url https://h",
            "tidegate --username me job list --url https://h --ca a.pem",
        ] {
            let found = read(words);
            assert_eq!((found.username.as_deref(), found.ca), (Some("me"), Some("a.pem".into())), "{words}");
        }
        let far = "tidegate push-mirror create dev/x --remote https://r --remote-repository a/b --username them --token-stdin";
        assert_eq!(read(far).username, None);
        assert_eq!(
            sign_in_first(["tidegate", "job", "--ca"]).len(),
            3,
            "what lacks its value is the parser's to refuse"
        );
    }

    #[tokio::test]
    async fn a_wrong_configuration_is_78_and_one_line() {
        let fake = Fake::new(Vec::new());
        let folder = fake.environment().current_dir;
        std::fs::write(folder.join("c.toml"), "[[listener]]\nport = 5\n").unwrap();
        let ran = fake.run(&["serve", "--config", "c.toml"], "").await;
        assert_eq!(ran.exit, Exit::Config);
        assert!(ran.err.contains("c.toml:2:1: listener.port: unknown field `port`"), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1);
        let missing = fake.run(&["serve", "--config", "none.toml"], "").await;
        assert_eq!(missing.exit, Exit::Config);
        assert!(missing.err.contains("cannot read") && missing.err.contains("No such file"), "{}", missing.err);
        let ran = fake.run(&["serve", "--listen", "http://0.0.0.0:80"], "").await;
        assert!(ran.exit == Exit::Usage && ran.err.contains("in the configuration file"), "{}", ran.err);
        let ran = fake.run(&["serve", "--listen", "0.0.0.0:1", "--listen", "127.0.0.1:1"], "").await;
        assert!(ran.exit == Exit::Usage && ran.err.contains("cannot both be listened on"), "{}", ran.err);
    }

    #[tokio::test]
    async fn refusals_say_how_to_sign_in() {
        let refusal = |code: &str| json!({"errors": [{"code": code, "message": "no", "detail": null}]});
        let fake = Fake::new(vec![
            reply("GET /api/v0/jobs?limit=20", 401, refusal("NOT_AUTHENTICATED")),
            reply("GET /api/v0/jobs?limit=20", 403, refusal("NOT_AUTHORIZED")),
        ]);
        let ran = fake.run(&["job", "list"], "").await;
        assert_eq!(ran.exit, Exit::Failure);
        assert!(ran.err.starts_with("error: no (NOT_AUTHENTICATED)\n  sign in: "), "{}", ran.err);
        let ran = fake.run(&["job", "list"], "").await;
        assert!(ran.err.starts_with("error: no (NOT_AUTHORIZED)\n  this account has no right"), "{}", ran.err);
    }

    #[tokio::test]
    async fn a_policy_that_makes_no_sense_is_wrong_usage_whoever_finds_it() {
        let path = "/api/v0/repositories/dev/x";
        let refusal = |code: &str| json!({"errors": [{"code": code, "message": "no"}]});
        let far = ["--remote", "https://far", "--remote-repository", "a/b"];
        let promotion = ["promotion", "create", "dev/x", "qa/x"];
        for (words, kind, status, code, exit) in [
            (&promotion[..], "promotionPolicies", 400, "INVALID_PROMOTION_POLICY", Exit::Usage),
            (
                &["push-mirror", "create", "dev/x"],
                "pushMirroringPolicies",
                404,
                "INVALID_PUSH_MIRRORING_POLICY",
                Exit::Usage,
            ),
            (
                &["pull-mirror", "create", "dev/x"],
                "pollMirroringPolicies",
                404,
                "INVALID_POLL_MIRRORING_POLICY",
                Exit::Usage,
            ),
            (&promotion[..], "promotionPolicies", 404, "NO_SUCH_REPOSITORY", Exit::Failure),
            (&promotion[..], "promotionPolicies", 500, "INTERNAL_ERROR", Exit::Failure),
        ] {
            let request = format!("POST {path}/{kind}?initialEvaluation=true");
            let fake = Fake::new(vec![reply(&request, status, refusal(code))]);
            let words = if kind == "promotionPolicies" { words.to_vec() } else { [words, &far].concat() };
            let ran = fake.run(&words, "").await;
            assert_eq!((ran.exit, ran.err.starts_with("error: no (")), (exit, true), "{code}: {}", ran.err);
        }
    }

    #[tokio::test]
    async fn a_reader_that_left_is_no_failure() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let fake = Fake::new(vec![reply("GET /api/v0/jobs?limit=20", 200, json!({"jobs": []}))]);
        let mut errors = Vec::new();
        let mut terminal =
            Terminal { stdin: &mut io::empty(), stdout: &mut Closed, stderr: &mut errors, interactive: false };
        let exit = run(["tidegate", "job", "list"], &fake.environment(), &mut terminal).await;
        assert_eq!((exit, errors), (Exit::Success, Vec::new()));
    }
}
