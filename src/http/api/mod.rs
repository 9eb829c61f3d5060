//! The management API: DTR's `/api/v0` and the accounts of `/enzi/v0`, with
//! our additions in the same style.
//!
//! A request becomes an `ApiRoute`; the table in `right` says what it needs;
//! `dispatch` hands it to one of the calls, which take a `Call` and give an
//! `Answer` or an `ApiError`. The calls check texts and shape answers; what they
//! mean is `registry`'s, `jobs`' and `reactor`'s business.
//!
//! Requests are taken leniently, as DTR's tools send them: unknown fields are
//! passed over, `null` is as good as nothing, text after the JSON value does
//! not matter. What has two readings is refused: a key twice, a list in the
//! place of an object. Answers have every field that DTR's description requires.

/// What is asked for, as data.
mod route;

/// Which call needs which right.
mod right;

/// Status, code and words of refusals.
mod error;

/// What a call gives.
mod answer;
/// What a call works with.
mod call;
/// A request's fields from its JSON.
mod form;

/// What teams and accounts may do.
mod access;
/// Who did what.
mod audit;
/// Backups: rows, files and keys on their way out.
mod backup;
/// Which account a client certificate stands for.
mod certified;
/// Why a tag is where it is.
mod decisions;
/// The accounts API.
mod enzi;
/// What a tag was.
mod history;
/// Jobs.
mod job;
/// Mirror policies.
mod mirror;
/// What a mirror policy's request holds, checked and merged.
mod mirror_form;
/// One tag sent to another registry by hand.
mod mirror_once;
/// Namespaces that go.
mod namespace;
/// What the calls on policies of all kinds have in common.
mod policy;
/// Promotion policies, and promotion by hand.
mod promotion;
/// How much is held, and how much may be.
mod quota;
/// Repositories.
mod repository;
/// Robots.
mod robot;
/// The pass over everything that is stored, and what is damaged.
mod scrub;
/// Sealing keys.
mod sealing_key;
/// Settings.
mod settings;
/// The first system admin, from elsewhere.
mod setup;
/// The daemon itself.
mod system;
/// Tags and manifests.
mod tag;
/// Access tokens.
mod token;

/// One request from its path to its answer.
mod dispatch;

pub(super) use dispatch::handle;
pub(super) use error::refused;
pub(super) use setup::handle as set_up;
pub use system::{Finding, VerifyReport};
#[cfg(test)]
pub(super) use {enzi::EnziRoute, route::ApiRoute};

#[cfg(test)]
mod tests;
