//! The command line: the same binary as the daemon.
//!
//! Three verbs: parse the words ([`arguments`]), find the daemon
//! ([`locate`]), ask it over HTTP ([`client`] on [`dial`]). Each noun of the
//! command line has a file that holds its flags, its calls and how its answer
//! looks to a person; `--json` prints the daemon's own answer instead.
//! [`run::run`] takes words, surroundings and streams as values, so that a
//! test is one call.
//!
//! Nothing is decided here that the daemon decides: names are parsed because
//! they become paths, everything else goes over as it was written and comes
//! back with the daemon's own words. [`daemon`] holds the calls into the
//! rest of the program; only backups ([`backup`], [`mod@restore`]) write files here,
//! because under a service manager the daemon cannot.

/// `account create|list|show|update|password|delete`.
pub mod account;
/// What the memory allocator is told.
pub mod allocator;
/// The words of the command line.
pub mod arguments;
/// `audit`.
pub mod audit;
/// `backup`.
pub mod backup;
/// What a backup is made of.
pub mod backup_source;
/// `certificate map|list|unmap`.
pub mod certificate;
/// Requests and answers in JSON.
pub mod client;
/// `serve`, `demo`, and folders that no daemon runs on.
pub mod daemon;
/// Unix sockets, TCP and TLS.
pub mod dial;
/// Answers that are bytes.
pub mod download;
/// What went wrong, and the exit code it has.
pub mod error;
/// `gc run`.
pub mod gc;
/// `completions` and `man`.
pub mod generate;
/// An image as people write it.
pub mod image;
/// `job list|show|logs`, and waiting for one.
pub mod job;
/// `key list|add|rekey|retire|generate`.
pub mod key;
/// Where the daemon is.
pub mod locate;
/// What push and pull mirrors have in common: the far side and its flags.
pub mod mirror;
/// `org create|list|show|delete|member`.
pub mod organization;
/// `promotion create|list|delete|test`.
pub mod promotion;
/// `pull-mirror create|list|delete|run`.
pub mod pull_mirror;
/// `push-mirror create|list|delete`.
pub mod push_mirror;
/// `quota list|set`.
pub mod quota;
/// `repository create|list|delete`.
pub mod repository;
/// `restore`.
pub mod restore;
/// `robot create|list|update|token|tokens|delete`.
pub mod robot;
/// Rules as words.
pub mod rule;
/// From words to an exit code.
pub mod run;
/// `scrub status|run|list|heal`.
pub mod scrub;
/// `setup`.
pub mod setup;
/// `tag list|history|restore|delete`.
pub mod tag;
/// `team create|list|show|update|delete|member|grant|revoke|grants`, and `access`.
pub mod team;
/// Streams, tables, and text that is safe to show.
pub mod terminal;
/// `token create|list|update|revoke`.
pub mod token;
/// `verify`.
pub mod verify;
/// `why`.
pub mod why;

#[cfg(test)]
mod fake;

pub use arguments::{Arguments, Command, ServeOptions};
pub use error::CliError;
pub use run::{main, run};
pub use terminal::{Exit, Terminal};
