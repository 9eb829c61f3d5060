//! The management API over real connections, with a second registry where a
//! mirror needs one.

/// What teams and accounts may do.
mod access;
/// Users and organizations.
mod account;
/// Who did what.
mod audit;
/// Backups.
mod backup;
/// What tags were, and the way back.
mod history;
/// Jobs, and the daemon itself.
mod job;
/// Members and teams.
mod member;
/// Mirror policies.
mod mirror;
/// Promotion policies, decisions, promotion by hand.
mod promotion;
/// Quotas.
mod quota;
/// Repositories, tags, manifests.
mod repository;
/// Every path, and who may call it.
mod route;
/// Scrub and quarantine.
mod scrub;
/// Every way to be refused.
mod verdict;

use serde_json::Value;

use crate::http::harness::{Answer, Ask, Site};

/// The paths of this API, as `root` unless it says otherwise.
fn json(ask: Ask, body: Value) -> Ask {
    ask.header("content-type", "text/plain").body(body.to_string())
}

/// Sends JSON as `user`.
async fn send(site: &Site, status: u16, user: &str, ask: Ask, body: Value) -> Answer {
    site.expect(status, json(ask, body).user(user)).await
}

/// A repository path.
fn at(repository: &str, rest: &str) -> String {
    format!("/api/v0/repositories/{repository}{rest}")
}
