//! The words of the command line.
//!
//! How to sign in (`--username`, `--ca`) stands before the command for the
//! parser, because mirrors have a far side with flags of the same names;
//! `run` puts it there for all other commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::account::AccountCommand;
use super::audit::AuditArgs;
use super::backup::BackupArgs;
use super::certificate::CertificateCommand;
use super::dial::DaemonUrl;
use super::gc::GcCommand;
use super::generate::{CompletionsArgs, ManArgs};
use super::job::JobCommand;
use super::key::KeyCommand;
use super::organization::OrganizationCommand;
use super::promotion::PromotionCommand;
use super::pull_mirror::PullMirrorCommand;
use super::push_mirror::PushMirrorCommand;
use super::quota::QuotaCommand;
use super::repository::RepositoryCommand;
use super::restore::RestoreArgs;
use super::robot::RobotCommand;
use super::scrub::ScrubCommand;
use super::setup::SetupArgs;
use super::tag::TagCommand;
use super::team::{AccessArgs, TeamCommand};
use super::token::TokenCommand;
use super::verify::VerifyArgs;
use super::why::WhyArgs;
use crate::config::{Listener, Overrides};

/// A container registry that moves images by policy.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = FINDING)]
pub struct Arguments {
    /// The daemon's local socket
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The daemon on the network, `https://HOST[:PORT]`
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<DaemonUrl>,
    /// Who signs in at --url; the password is in TIDEGATE_PASSWORD
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Certificates (PEM) to trust at --url in place of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print the daemon's JSON in place of a table
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const FINDING: &str = "\
The daemon is looked for at --socket or --url, then at TIDEGATE_SOCKET, \
./tidegate-data/admin.sock and /run/tidegate/admin.sock.

Exit codes: 0 done, 1 failed, 64 wrong usage, 78 wrong configuration; \
verify: 0 clean, 1 could not check, 2 findings.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    Serve(ServeOptions),
    /// Show the whole pipeline with two registries in a temporary folder
    Demo,
    /// Make the first system admin with the set-up secret that the daemon's log shows
    Setup(SetupArgs),
    /// Accounts: users and organizations
    #[command(subcommand)]
    Account(AccountCommand),
    /// Organizations and their members
    #[command(subcommand, visible_alias = "organization")]
    Org(OrganizationCommand),
    /// Teams of organizations, and what they may do
    #[command(subcommand)]
    Team(TeamCommand),
    /// Say what a user may do with a repository
    Access(AccessArgs),
    /// Access tokens, which stand for a user's password
    #[command(subcommand)]
    Token(TokenCommand),
    /// Robots: names for programs, below a namespace
    #[command(subcommand)]
    Robot(RobotCommand),
    /// Client certificates, and whom they stand for
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// Keys that seal the credentials of mirrors, and how they are replaced
    #[command(subcommand)]
    Key(KeyCommand),
    /// Repositories
    #[command(subcommand)]
    Repository(RepositoryCommand),
    /// Tags: what they are, what they were, and the way back
    #[command(subcommand)]
    Tag(TagCommand),
    /// Policies that move images inside this registry
    #[command(subcommand)]
    Promotion(PromotionCommand),
    /// Policies that send images to another registry
    #[command(subcommand)]
    PushMirror(PushMirrorCommand),
    /// Policies that bring images from another registry
    #[command(subcommand)]
    PullMirror(PullMirrorCommand),
    /// How much repositories, namespaces and all hold, and how much they may
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// Work that outlives a request
    #[command(subcommand)]
    Job(JobCommand),
    /// Room on the disk: remove what nothing needs
    #[command(subcommand)]
    Gc(GcCommand),
    /// Bytes that rot: look for them, and get the right ones back
    #[command(subcommand)]
    Scrub(ScrubCommand),
    /// Say why an image moved, or did not
    Why(WhyArgs),
    /// Say who did what, from where and when
    Audit(AuditArgs),
    /// Prove that what is stored is whole
    Verify(VerifyArgs),
    /// Write a consistent copy of a running registry into a folder
    Backup(BackupArgs),
    /// Make a data folder from a backup
    Restore(RestoreArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the man page, or write all of them to a folder
    Man(ManArgs),
}

/// `serve`'s flags.
#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// Configuration (TOML); embedded defaults without it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder, in place of the configuration's
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// IP:PORT with TLS, or http://IP:PORT on loopback; in place of the configuration's listeners
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<Listener>,
}

impl ServeOptions {
    /// What of it goes before the configuration file.
    pub fn overrides(&self) -> Overrides {
        Overrides { data: self.data.clone(), listeners: self.listen.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sign_in_and_the_far_side_have_flags_of_the_same_names() {
        let words = "tidegate --url https://h --username me --ca a.pem push-mirror create dev/x --remote https://r \
                     --remote-repository a/b --username them --token-stdin --ca b.pem";
        let arguments = Arguments::try_parse_from(words.split_whitespace()).unwrap();
        assert_eq!(arguments.username.as_deref(), Some("me"));
        let Command::PushMirror(PushMirrorCommand::Create(create)) = arguments.command else { panic!() };
        assert_eq!(create.far.username.as_deref(), Some("them"));
    }
}
