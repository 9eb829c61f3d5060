//! `audit`.

use std::fmt::Write as _;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;

use super::client::segment;
use super::error::CliError;
use super::run::Session;
use super::terminal::{cell, rows};
use crate::clock::{Clock, Timestamp};
use crate::limits;

/// `audit`'s words.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// Not before: a time such as 2026-11-30T08:00:00Z, or how long ago, such as 2h or 7d
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Moment>,
    /// Not after
    #[arg(long, value_name = "WHEN")]
    pub until: Option<Moment>,
    /// By whom: the name or id of an account, `system`, or a policy's id
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// What was done, such as repository.update, or `tag.*` for all of a kind; may be repeated
    #[arg(long, value_name = "ACTION")]
    pub action: Vec<String>,
    /// To which kind of thing: account, organization, team, repository, policy, tag, …
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// To what: its name or id, or `dev/web*` for all that begin so
    #[arg(long, value_name = "NAME")]
    pub object: Option<String>,
    /// In which namespace; who is no system admin names one of their own
    #[arg(long)]
    pub namespace: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "ROWS", default_value_t = 100)]
    pub limit: usize,
    /// Go on with what is done from now on, the oldest first
    #[arg(long)]
    pub follow: bool,
}

/// A moment as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(Timestamp);

/// A text that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a time such as 2026-11-30T08:00:00Z nor a while such as 2h or 7d")]
pub struct NoMoment(String);

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self(Timestamp::from_utc(at.with_timezone(&Utc))));
        }
        let ago = humantime::parse_duration(text).map_err(|_| NoMoment(text.to_owned()))?;
        Ok(Self(Clock::system().now().before(ago)))
    }
}

impl AuditArgs {
    /// The query that asks for these, without where a page begins.
    fn query(&self) -> String {
        let moment = |moment: &Option<Moment>| moment.map(|Moment(at)| at.rfc3339());
        let mut query = String::from("/api/v0/audit?");
        let pairs = [
            ("since", moment(&self.since)),
            ("until", moment(&self.until)),
            ("actor", self.actor.clone()),
            ("objectKind", self.kind.clone()),
            ("object", self.object.clone()),
            ("namespace", self.namespace.clone()),
        ];
        let given = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in given.chain(self.action.iter().map(|action| ("action", action.clone()))) {
            // Writing to a String does not fail.
            let _ = write!(query, "{name}={}&", segment(&value));
        }
        query
    }
}

/// Shows what was done.
///
/// # Errors
/// [`CliError`].
pub async fn run(wanted: &AuditArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut found = newest(wanted, None, wanted.limit, session).await?;
    if !wanted.follow {
        let shown = found.iter().map(row).collect();
        return session.show(&Value::Array(found), &["TIME", "ACTION", "BY", "FROM", "OBJECT", "DETAIL"], shown);
    }
    let mut last = 0;
    loop {
        for entry in found.iter().rev() {
            last = last.max(entry.pointer("/number").and_then(Value::as_u64).unwrap_or(0));
            let line = if session.json { entry.to_string() } else { row(entry).join("  ").trim_end().to_owned() };
            session.terminal.line(&line)?;
        }
        session.terminal.flush()?;
        tokio::time::sleep(limits::AUDIT_FOLLOW).await;
        found = newest(wanted, Some(last), usize::MAX, session).await?;
    }
}

/// The newest rows, at most `limit`: as many pages as it takes.
async fn newest(
    wanted: &AuditArgs,
    after: Option<u64>,
    limit: usize,
    session: &mut Session<'_, '_>,
) -> Result<Vec<Value>, CliError> {
    let mut query = wanted.query();
    if let Some(after) = after {
        let _ = write!(query, "after={after}&");
    }
    let (mut found, mut start) = (Vec::new(), String::new());
    while found.len() < limit {
        let size = (limit - found.len()).min(limits::PAGE_DEFAULT_ENTRIES);
        let (page, next) = session.client.page(&format!("{query}pageSize={size}{start}")).await?;
        found.extend_from_slice(rows(&page, ""));
        match next {
            Some(next) => start = format!("&pageStart={}", segment(&next)),
            None => break,
        }
    }
    Ok(found)
}

fn row(entry: &Value) -> Vec<String> {
    let of = |pointer: &str| cell(entry, pointer);
    let from = match of("/from/kind").as_str() {
        "socket" if of("/from/uid").is_empty() => "socket".to_owned(),
        "socket" => format!("socket, uid {}", of("/from/uid")),
        "network" => of("/from/address"),
        other => other.to_owned(),
    };
    let by = match of("/actor/kind").as_str() {
        "policy" => format!("policy {}", of("/actor/name")),
        _ => of("/actor/name"),
    };
    let object = format!("{} {}", of("/object/kind"), of("/object/name"));
    vec![of("/time"), of("/action"), by, from, object.trim_end().to_owned(), detail(entry)]
}

/// What changed and why, in one line.
fn detail(entry: &Value) -> String {
    let changed = |change: &Value| {
        let (field, before, after) = (cell(change, "/field"), cell(change, "/before"), cell(change, "/after"));
        match (before.is_empty(), after.is_empty()) {
            (true, true) => field,
            (true, false) => format!("{field} {after}"),
            (false, true) => format!("{field} {before} -> none"),
            (false, false) => format!("{field} {before} -> {after}"),
        }
    };
    let mut parts: Vec<String> = rows(entry, "/changes").iter().map(changed).collect();
    parts.extend(Some(cell(entry, "/cause/reason")).filter(|reason| !reason.is_empty()));
    let causes = [("policy", "/cause/policyID"), ("job", "/cause/jobID"), ("event", "/cause/event")];
    for (word, pointer) in causes {
        let id = cell(entry, pointer);
        if !id.is_empty() {
            parts.push(format!("{word} {id}"));
        }
    }
    let count = entry.pointer("/count").and_then(Value::as_u64).unwrap_or(1);
    if count > 1 {
        parts.push(format!("{count} times"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;

    fn entry(number: u64) -> Value {
        json!({
            "number": number, "time": "2026-12-01T00:00:00.000000Z", "action": "account.admin",
            "actor": { "kind": "account", "id": "x", "name": "root" },
            "from": { "kind": "network", "address": "192.0.2.7:1", "uid": null },
            "object": { "kind": "account", "name": "bob", "id": "y", "namespace": "bob" },
            "cause": { "policyID": null, "event": null, "jobID": null, "reason": "" },
            "changes": [{ "field": "isAdmin", "before": "false", "after": "true" }], "event": null, "count": 1,
        })
    }

    #[tokio::test]
    async fn pages_are_asked_for_until_there_are_enough() {
        let first =
            "GET /api/v0/audit?since=2026-11-30T08%3A00%3A00.000000Z&actor=root&object=b%2A&action=account.%2A&";
        let fake = Fake::new(vec![
            reply(&format!("{first}pageSize=3"), 200, json!([entry(9), entry(8)])).next("5"),
            reply(&format!("{first}pageSize=1&pageStart=5"), 200, json!([])).next("2"),
            reply(&format!("{first}pageSize=1&pageStart=2"), 200, json!([entry(1)])).next("0"),
        ]);
        let words = ["audit", "--since", "2026-11-30T09:00:00+01:00", "--actor", "root", "--object", "b*"];
        let words = [&words[..], &["--action", "account.*", "--limit", "3"]].concat();
        let out = fake.run(&words, "").await.done();
        assert_eq!(out.lines().count(), 4, "{out}");
        assert!(out.contains("account.admin  root  192.0.2.7:1  account bob  isAdmin false -> true"), "{out}");
    }

    #[tokio::test]
    async fn a_while_ago_is_a_moment_and_nothing_else_is() {
        let Moment(at) = "2h".parse().unwrap();
        assert!(Clock::system().now().since(at) >= std::time::Duration::from_secs(7_200));
        let fake = Fake::new(Vec::new());
        for words in [&["audit", "--since", "yesterday"][..], &["audit", "--limit", "x"]] {
            assert_eq!(fake.run(words, "").await.exit, Exit::Usage);
        }
    }

    #[test]
    fn what_was_told_together_says_how_often() {
        let mut failed = entry(1);
        failed["count"] = json!(12);
        failed["changes"] = json!([]);
        failed["from"] = json!({ "kind": "socket", "uid": 0 });
        failed["cause"]["reason"] = json!("no account has the name");
        let shown = row(&failed);
        assert_eq!((shown[3].as_str(), shown[5].as_str()), ("socket, uid 0", "no account has the name; 12 times"));
    }
}
