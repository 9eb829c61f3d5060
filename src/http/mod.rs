//! The outside: what listens, and what travels over a connection.
//!
//! A listener takes connections ([`listen`]); each is a task that speaks TLS
//! where it must ([`tls`]) and HTTP/1.1 or HTTP/2 ([`connection`]), and hands
//! requests to one handler. Every step a stranger could hold open has a
//! deadline. Bodies of both directions are in [`body`].
//!
//! That handler is [`handle`]: it reads what is asked for ([`route`]), finds
//! out who asks ([`mod@sign_in`]), and gives the request to the registry API
//! ([`v2`]) or the management API (`api`). All of them work with one
//! [`State`].

/// Bodies: what is answered, and what is read with a cap and a deadline.
pub mod body;
/// Request bodies that are read whole, and the memory they may take.
mod intake;
/// Memory for large answers.
mod room;
/// A stream whose peer must keep reading.
mod stall;
/// The same for one answer over HTTP/2.
mod taken;
/// TLS with a certificate that can be swapped.
pub mod tls;

/// One connection, from its first byte to its last.
pub mod connection;

/// A unix socket's path: taken over from the dead, refused to the living.
mod socket;

/// Listeners: bind, accept, drain.
pub mod listen;

/// How a body is framed.
mod framing;
/// The host that a request is for.
mod host;
/// The query of a request, decoded once.
pub mod query;
/// A request's body that comes back when nobody wanted it.
mod request_body;
/// The name of one request.
pub mod request_id;
/// What every handler works with.
pub mod state;

/// Sign-ins that failed, for the audit log.
pub mod failures;
/// Where a request came from.
mod origin;
/// Who is calling.
pub mod sign_in;
/// Lines of the log that strangers can cause.
mod told;

/// How many requests one client may send.
pub mod rate;

/// Docker's token service, and sessions.
pub mod token;

/// Conditions of requests.
mod condition;
/// Quotas that leave no room.
mod quota;

/// The registry API.
pub mod v2;

/// The management API.
mod api;

/// What anyone may ask.
mod health;
/// What is counted, and what is so.
mod metrics;

/// From method, path and query to what is asked for.
pub mod route;

/// One request from its head to its answer.
mod serve;

/// All of it at work, for tests.
#[cfg(test)]
pub(crate) mod harness;
/// Who is answered what, on every route.
#[cfg(test)]
mod matrix;

pub use api::{Finding, VerifyReport};
pub use body::{Body, BodyError, Chunks};
pub use connection::{Options, Peer, Tally};
pub use listen::{Bound, ListenError, Spec, bind, serve};
pub use query::Query;
pub use request_id::RequestId;
pub use route::Route;
pub use serve::handle;
pub use sign_in::{CHALLENGE, ShownCertificate, SignInError, SignedIn, sign_in};
pub use socket::SocketError;
pub use state::{Parts, State, Trouble};
pub use tls::Tls;
