//! Who did what: the audit log, newest first.
//!
//! `GET /api/v0/audit` takes `since` and `until` (RFC 3339), `actor` (a name or
//! an id), `action` (as often as wanted; `tag.*` for all of a kind),
//! `objectKind`, `object` (a name or an id; `dev/web*` for all that begin so),
//! `namespace`, and `after` (only rows with higher numbers). A page is
//! `pageSize` rows from number `pageStart` down. Each page looks at a bounded
//! stretch of the log: where few rows fit, it may be short or empty and have a
//! next all the same, in `X-Next-Page-Start`. System admins read all of it;
//! an admin of a namespace names that.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::audit::{Action, Detail, Entry, ObjectKind, Origin, Peer, Value};
use crate::clock::Timestamp;
use crate::event::Actor;
use crate::lifecycle;
use crate::store::audit::Filter;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryShape {
    number: u64,
    time: String,
    action: &'static str,
    actor: ActorShape,
    from: FromShape,
    object: ObjectShape,
    cause: CauseShape,
    changes: Vec<ChangeShape>,
    /// The event that tells the same.
    event: Option<u64>,
    /// How many times.
    count: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ActorShape {
    /// `system`, `account` or `policy`.
    kind: &'static str,
    id: Option<String>,
    name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FromShape {
    /// `daemon`, `socket` or `network`.
    kind: &'static str,
    address: Option<String>,
    /// The user at the other end of the local socket.
    uid: Option<u32>,
    user_agent: String,
    #[serde(rename = "requestID")]
    request_id: String,
    /// What was shown in place of a password, by its label.
    credential: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectShape {
    kind: &'static str,
    name: String,
    id: Option<String>,
    namespace: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CauseShape {
    #[serde(rename = "policyID")]
    policy_id: Option<String>,
    event: Option<u64>,
    #[serde(rename = "jobID")]
    job_id: Option<String>,
    reason: String,
}

#[derive(Debug, Serialize)]
struct ChangeShape {
    field: String,
    before: Option<String>,
    after: Option<String>,
}

/// `GET /api/v0/audit`
pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let start = page.start.as_deref().map(str::parse).transpose().map_err(|_| ApiError::Parameter {
        name: "pageStart",
        why: "a page of the audit log begins at the number of a row".to_owned(),
    })?;
    let filter = filter(call)?;
    let (registry, caller) = (call.registry().clone(), call.caller.clone());
    let found = lifecycle::blocking(move || registry.audit_log(&caller, &filter, start, page.size)).await?;
    let shapes: Vec<EntryShape> = found.entries.into_iter().map(shape).collect();
    Ok(Answer::ok(&shapes).next(found.next))
}

fn filter(call: Call<'_>) -> Result<Filter, ApiError> {
    let text = |name: &str| call.query.filled(name).map(str::to_owned);
    let after = match call.query.filled("after") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            let why = format!("{text:?} is no number of a row");
            ApiError::Parameter { name: "after", why }
        })?),
    };
    let mut actions = Vec::new();
    for word in call.query.all("action").filter(|word| !word.is_empty()) {
        let before = actions.len();
        actions.extend(Action::ALL.into_iter().filter(|action| match word.strip_suffix('*') {
            Some(front) => action.as_str().starts_with(front),
            None => action.as_str() == word,
        }));
        if actions.len() == before {
            let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
            let why = format!("{word:?} is none of {}", known.join(", "));
            return Err(ApiError::Parameter { name: "action", why });
        }
    }
    let kind = match call.query.filled("objectKind") {
        None => None,
        Some(word) => Some(ObjectKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            let known: Vec<&str> = ObjectKind::ALL.iter().map(|kind| kind.as_str()).collect();
            let why = format!("{word:?} is none of {}", known.join(", "));
            ApiError::Parameter { name: "objectKind", why }
        })?),
    };
    Ok(Filter {
        since: time(call, "since")?,
        until: time(call, "until")?,
        after,
        actor: text("actor"),
        actions,
        kind,
        object: text("object"),
        namespace: text("namespace"),
    })
}

/// A moment of the query. A `+` of its zone stands for itself, or came as the
/// blank that forms make of it.
fn time(call: Call<'_>, name: &'static str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = call.query.filled(name) else { return Ok(None) };
    match DateTime::parse_from_rfc3339(&text.replace(' ', "+")) {
        Ok(at) => Ok(Some(Timestamp::from_utc(at.with_timezone(&Utc)))),
        Err(_) => Err(ApiError::Parameter { name, why: format!("{text:?} is no RFC 3339 time") }),
    }
}

fn shape(entry: Entry) -> EntryShape {
    let text = |id: crate::chance::Id| id.to_string();
    let actor = match entry.actor {
        Actor::System => ActorShape { kind: "system", id: None, name: "system".to_owned() },
        Actor::Account { id, name } => ActorShape { kind: "account", id: Some(text(id)), name },
        Actor::Policy(id) => ActorShape { kind: "policy", id: Some(text(id)), name: id.short() },
    };
    let shown = |value: Option<Value>| value.map(|value| value.to_string());
    let change = |Detail { field, before, after }| ChangeShape {
        field: field.into_owned(),
        before: shown(before),
        after: shown(after),
    };
    EntryShape {
        number: entry.number,
        time: entry.at.rfc3339(),
        action: entry.action.as_str(),
        actor,
        from: from(entry.origin),
        object: ObjectShape {
            kind: entry.object.kind.as_str(),
            name: entry.object.name,
            id: entry.object.id.map(text),
            namespace: entry.object.namespace,
        },
        cause: CauseShape {
            policy_id: entry.cause.policy.map(text),
            event: entry.cause.event,
            job_id: entry.cause.job.map(text),
            reason: entry.cause.words,
        },
        changes: entry.details.into_iter().map(change).collect(),
        event: entry.event,
        count: entry.times,
    }
}

fn from(origin: Origin) -> FromShape {
    let mut shape = FromShape {
        kind: "daemon",
        address: None,
        uid: None,
        user_agent: String::new(),
        request_id: String::new(),
        credential: None,
    };
    if let Origin::Request(request) = origin {
        match request.peer {
            Peer::Local { uid } => (shape.kind, shape.uid) = ("socket", uid),
            // What is told together is told by its block, without a port.
            Peer::Network(address) if address.port() == 0 => {
                (shape.kind, shape.address) = ("network", Some(address.ip().to_string()));
            }
            Peer::Network(address) => (shape.kind, shape.address) = ("network", Some(address.to_string())),
        }
        (shape.user_agent, shape.request_id, shape.credential) = (request.agent, request.id, request.credential);
    }
    shape
}
