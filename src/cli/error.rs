//! What went wrong, in words for the person at the terminal, and the exit
//! code it has.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::terminal::Exit;
use crate::app::AppError;
use crate::config::ConfigError;
use crate::store::backup::{BackupError, BackupOver};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A combination of words that means nothing.
    #[error("{0}")]
    Usage(UsageError),
    /// The daemon's configuration is wrong.
    #[error("{}", chain(.0))]
    Config(ConfigError),
    /// A file named on the command line is wrong.
    #[error("{}", chain(.0))]
    File(ConfigError),
    /// A key file that cannot be read.
    #[error("{}", crate::store::error_chain(.0))]
    KeyFile(crate::identity::FileError),
    /// A key file that is none.
    #[error("{} line {line}: expected {expected}", .path.display())]
    NoKeyFile {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A file named for certificates holds none.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate in a file cannot be read.
    #[error("{} holds a certificate that cannot be used: {reason}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What the TLS library said.
        reason: String,
    },
    /// No daemon answers anywhere.
    #[error("no daemon found\n{}  start one with `tidegate serve`, or say where it is: --socket PATH, TIDEGATE_SOCKET or --url URL", looked(.0))]
    NoDaemon(Vec<Looked>),
    /// The daemon that was named does not answer.
    #[error("no daemon answers at {at}: {source}{}", trust(source, at))]
    Connect {
        /// Socket or URL.
        at: String,
        /// What the system or the TLS library said.
        source: io::Error,
    },
    /// The daemon took too long.
    #[error("the daemon at {at} did not answer within {} s", within.as_secs())]
    Slow {
        /// Socket or URL.
        at: String,
        /// How long was waited.
        within: Duration,
    },
    /// The connection broke.
    #[error("the connection to {at} broke: {reason}")]
    Broken {
        /// Socket or URL.
        at: String,
        /// What the HTTP library said.
        reason: String,
    },
    /// What answers is not Tidegate.
    #[error("{at} answered {status} without the JSON that Tidegate answers with: is it another program?")]
    NotJson {
        /// Socket or URL.
        at: String,
        /// HTTP status.
        status: u16,
    },
    /// The daemon refused.
    #[error("{0}")]
    Api(ApiError),
    /// Standard input held no secret.
    #[error("{0}")]
    Secret(SecretError),
    /// Standard output cannot be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
    /// A page or a folder cannot be written.
    #[error("cannot write man pages to {}: {source}", path.display())]
    Pages {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A job ended, and not well.
    #[error("job {id} ended as {status}: {why}")]
    JobFailed {
        /// The job.
        id: String,
        /// Its last status.
        status: String,
        /// What it says of itself.
        why: String,
    },
    /// A job that is over cannot be called off.
    #[error("job {id} is over: it ended as {status}")]
    JobOver {
        /// The job.
        id: String,
        /// Its last status.
        status: String,
    },
    /// A try of a job failed, and it is tried again.
    #[error("job {id} failed: {why}; it is tried again at {next}")]
    JobWaits {
        /// The job.
        id: String,
        /// What it says of itself.
        why: String,
        /// When.
        next: String,
    },
    /// A backup was not made, or not restored.
    #[error("{}", crate::store::error_chain(.0))]
    Backup(BackupError),
    /// A folder could not be read for a backup.
    #[error("{}", crate::store::error_chain(.0))]
    BackupOver(BackupOver),
    /// The daemon could not be started or stopped with an error.
    #[error("{}", crate::store::error_chain(.0))]
    Daemon(AppError),
}

/// A combination of words that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// Two daemons named.
    #[error("--socket and --url name two daemons: give one")]
    TwoDaemons,
    /// Sign-in without a place to sign in at.
    #[error("--username and --ca before the command are for --url; the local socket needs neither")]
    SignInWithoutUrl,
    /// A name without a password.
    #[error("--username needs a password in the variable TIDEGATE_PASSWORD")]
    NoPassword,
    /// No set-up secret.
    #[error("give the set-up secret in the variable TIDEGATE_SETUP_SECRET, or its file with --secret-file")]
    NoSetupSecret,
    /// A file that holds no secret.
    #[error("--secret-file {}: {why}", .path.display())]
    SecretFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A removal without consent.
    #[error("this removes the repository with all its tags and policies: add --yes to do it")]
    NoConsent,
    /// The same for an account.
    #[error("this removes the account with its memberships and teams; its repositories stay: add --yes to do it")]
    NoConsentAccount,
    /// The same for a namespace.
    #[error("this removes the account and all its repositories with all their tags and policies: add --yes to do it")]
    NoConsentNamespace,
    /// A word that makes the request longer than any may be.
    #[error("a request of {bytes} bytes is longer than any can be: one of the words is no name or id")]
    TooLong {
        /// How long its path is.
        bytes: usize,
    },
    /// Two listeners that cannot both be had.
    #[error("--listen {other} and --listen {one} cannot both be listened on: give one, or two ports")]
    Overlap {
        /// The later one.
        one: std::net::SocketAddr,
        /// The earlier one.
        other: std::net::SocketAddr,
    },
    /// A change without anything that changes.
    #[error("nothing is to be changed: give --username, --password-stdin, --token-stdin, --ca or --enable")]
    NothingToChange,
    /// A folder and a daemon named.
    #[error("--data names a folder, --socket and --url a daemon: give one")]
    FolderAndDaemon,
}

/// Why standard input held no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing there.
    #[error("standard input is empty: write the secret to it, such as `printf %s \"$SECRET\" | tidegate …`")]
    Empty,
    /// More than one line.
    #[error("standard input has more than one line, and a secret has one")]
    Lines,
    /// Too long, or not text.
    #[error("standard input holds no secret but a file of some kind: it is too long, or not UTF-8")]
    NotText,
}

/// A place where no daemon was found, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The socket.
    pub path: PathBuf,
    /// Why it is none.
    pub why: String,
}

/// The daemon's refusal, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Code and message of each error; the codes are for programs.
    pub errors: Vec<(String, String)>,
}

impl CliError {
    /// The exit code that a script sees.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Api(api) if api.is_usage() => Exit::Usage,
            Self::Config(_) => Exit::Config,
            Self::File(_)
            | Self::KeyFile(_)
            | Self::NoKeyFile { .. }
            | Self::NoCertificate(_)
            | Self::BadCertificate { .. }
            | Self::NoDaemon(_)
            | Self::Connect { .. }
            | Self::Slow { .. }
            | Self::Broken { .. }
            | Self::NotJson { .. }
            | Self::Api(_)
            | Self::Secret(_)
            | Self::Output(_)
            | Self::Pages { .. }
            | Self::JobFailed { .. }
            | Self::JobOver { .. }
            | Self::JobWaits { .. }
            | Self::Backup(_)
            | Self::BackupOver(_) => Exit::Failure,
            Self::Daemon(error) if error.is_configuration() => Exit::Config,
            Self::Daemon(_) => Exit::Failure,
        }
    }

    /// Whether the daemon refused with this code.
    pub fn is_api(&self, code: &str) -> bool {
        matches!(self, Self::Api(api) if api.errors.iter().any(|(own, _)| own == code))
    }
}

impl ApiError {
    /// Whether the daemon found what the command line could have found: a
    /// rule, a template, a schedule, a name or a URL that makes no sense. DTR
    /// answers some of these with 404.
    fn is_usage(&self) -> bool {
        let is_refused = self.status == 400 || self.status == 404;
        is_refused && !self.errors.is_empty() && self.errors.iter().all(|(code, _)| code.starts_with("INVALID_"))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (code, message)) in self.errors.iter().enumerate() {
            let between = if index == 0 { "" } else { "\nerror: " };
            write!(f, "{between}{message} ({code})")?;
        }
        if self.errors.is_empty() {
            write!(f, "the daemon answered {} and gave no reason", self.status)?;
        }
        match self.status {
            401 => f.write_str("\n  sign in: tidegate --url URL --username NAME …, with the password in the variable TIDEGATE_PASSWORD"),
            403 => f.write_str("\n  this account has no right to do that; over the local socket every right is there"),
            _ => Ok(()),
        }
    }
}

/// What to do about a certificate that nobody here vouches for.
fn trust(error: &io::Error, at: &str) -> String {
    if !error.to_string().contains("UnknownIssuer") {
        return String::new();
    }
    format!(
        "\n  this host does not know who made its certificate: fetch the authority, `curl -fksS {at}/ca > tidegate-ca.crt`, make sure that it is the right one, and add --ca tidegate-ca.crt"
    )
}

fn looked(places: &[Looked]) -> String {
    places.iter().map(|place| format!("  looked at {}: {}\n", place.path.display(), place.why)).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
