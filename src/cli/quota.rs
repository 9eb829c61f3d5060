//! `quota list|set`.

use std::str::FromStr;

use bytesize::ByteSize;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::client::{API_PAGING, segment};
use super::error::CliError;
use super::run::Session;
use super::terminal::{cell, rows};

/// What to do with quotas.
#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// List how much is held, and how much may be
    List(ListArgs),
    /// Set how much a namespace, or all together, may hold; a repository's is set with `repository update --quota`
    Set(SetArgs),
}

/// `quota list`'s flags.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The repositories of this namespace, in place of all namespaces
    pub namespace: Option<String>,
}

/// `quota set`'s flags.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("of").required(true).args(["namespace", "all"])))]
pub struct SetArgs {
    /// Such as 10GiB, or `none`
    pub size: QuotaSize,
    /// Of this namespace
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Of all together
    #[arg(long)]
    pub all: bool,
}

/// A quota as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaSize(u64);

/// A text that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write bytes such as 10GiB, or `none`")]
pub struct NoSize;

impl QuotaSize {
    /// As the daemon's API has it: 0 is none.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for QuotaSize {
    type Err = NoSize;

    fn from_str(text: &str) -> Result<Self, NoSize> {
        if text == "none" {
            return Ok(Self(0));
        }
        // Nothing at all may be held is no quota that anybody means.
        text.parse::<ByteSize>().ok().filter(|size| size.as_u64() > 0).map(|size| Self(size.as_u64())).ok_or(NoSize)
    }
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &QuotaCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        QuotaCommand::List(wanted) => list(wanted, session).await,
        QuotaCommand::Set(wanted) => set(wanted, session).await,
    }
}

async fn list(wanted: &ListArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let (path, whole, parts) = match &wanted.namespace {
        None => ("/api/v0/quotas".to_owned(), "/all", "namespaces"),
        Some(name) => (format!("/api/v0/quotas/{}", segment(name)), "/namespace", "repositories"),
    };
    let found = session.client.list(&path, parts, API_PAGING).await?;
    if found.pointer("/counting").and_then(Value::as_bool) == Some(true) {
        let note = "what is held is still being counted: figures are too low, and quotas do not hold yet";
        writeln!(session.terminal.stderr, "warning: {note}")?;
    }
    let whole = found.pointer(whole).into_iter();
    let shown = whole.chain(rows(&found, &format!("/{parts}"))).map(row).collect();
    session.show(&found, &["KIND", "NAME", "USED", "QUOTA", "PERCENT"], shown)
}

fn row(usage: &Value) -> Vec<String> {
    let number = |name: &str| usage.pointer(name).and_then(Value::as_u64).unwrap_or(0);
    let (used, quota) = (number("/usedBytes"), number("/quotaBytes"));
    let (bound, percent) = match quota {
        0 => ("none".to_owned(), String::new()),
        quota => (ByteSize(quota).to_string(), (u128::from(used) * 100 / u128::from(quota)).to_string()),
    };
    vec![cell(usage, "/kind"), cell(usage, "/name"), ByteSize(used).to_string(), bound, percent]
}

async fn set(wanted: &SetArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let (path, of) = match &wanted.namespace {
        Some(name) => (format!("/api/v0/quotas/{}", segment(name)), format!("namespace {name}")),
        None => ("/api/v0/quotas".to_owned(), "the whole registry".to_owned()),
    };
    let answer = session.client.put(&path, &json!({ "quotaBytes": wanted.size.bytes() })).await?;
    let line = match wanted.size.bytes() {
        0 => format!("{of} has no quota now"),
        bytes => format!("the quota of {of} is {} now", ByteSize(bytes)),
    };
    session.say(&answer, &line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;

    #[test]
    fn a_quota_is_written_as_people_write_amounts() {
        assert_eq!("10GiB".parse(), Ok(QuotaSize(10 << 30)));
        assert_eq!("500 MB".parse(), Ok(QuotaSize(500_000_000)));
        assert_eq!("none".parse(), Ok(QuotaSize(0)));
        for bad in ["", "0", "0GiB", "some", "-1", "10%"] {
            assert_eq!(bad.parse::<QuotaSize>(), Err(NoSize), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_is_held_is_a_table_or_the_apis_json() {
        let row = |kind: &str, name: &str, used: u64, quota: u64| json!({ "kind": kind, "name": name, "usedBytes": used, "quotaBytes": quota });
        let all = json!({ "counting": true, "all": row("all", "", 3 << 20, 0), "namespaces": [row("namespace", "dev", 3 << 20, 4 << 20)] });
        let dev = json!({ "counting": false, "namespace": row("namespace", "dev", 1, 0), "repositories": [row("repository", "dev/x", 1, 0)] });
        let fake = Fake::new(vec![
            reply("GET /api/v0/quotas?pageSize=1000", 200, all.clone()),
            reply("GET /api/v0/quotas?pageSize=1000", 200, all.clone()),
            reply("GET /api/v0/quotas/dev?pageSize=1000", 200, dev),
        ]);
        let ran = fake.run(&["quota", "list"], "").await;
        let lines: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["KIND", "NAME", "USED", "QUOTA", "PERCENT"]);
        assert_eq!(lines[1], ["all", "3.0", "MiB", "none"]);
        assert_eq!(lines[2], ["namespace", "dev", "3.0", "MiB", "4.0", "MiB", "75"]);
        assert!(ran.err.contains("still being counted"), "{}", ran.err);
        let printed = fake.run(&["--json", "quota", "list"], "").await.out;
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), all);
        let out = fake.run(&["quota", "list", "dev"], "").await.done();
        assert!(out.contains("repository  dev/x"), "{out}");
    }

    #[tokio::test]
    async fn a_quota_is_set_and_what_it_means_is_said() {
        let warned = json!({ "quotaBytes": 1, "warnings": ["nothing more goes in"] });
        let fake =
            Fake::new(vec![reply("PUT /api/v0/quotas/dev", 200, warned), reply("PUT /api/v0/quotas", 200, json!({}))]);
        let ran = fake.run(&["quota", "set", "1MiB", "--namespace", "dev"], "").await;
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, "the quota of namespace dev is 1.0 MiB now\n"));
        assert_eq!(ran.err, "warning: nothing more goes in\n");
        let out = fake.run(&["quota", "set", "none", "--all"], "").await.done();
        assert_eq!(out, "the whole registry has no quota now\n");
        assert_eq!(fake.seen()[0].body, json!({ "quotaBytes": 1 << 20 }));
        assert_eq!(fake.seen()[1].body, json!({ "quotaBytes": 0 }));
        for words in [&["quota", "set", "1MiB"][..], &["quota", "set", "much", "--all"]] {
            assert_eq!(fake.run(words, "").await.exit, Exit::Usage, "{words:?}");
        }
    }
}
