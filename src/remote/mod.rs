//! The client of other registries, for push mirrors and pull mirrors.
//!
//! A [`Registry`] is one repository at another registry, with what it takes to
//! talk to it. All connections leave through one [`Outbound`], and in there
//! through one connector: it resolves a name, checks every address against
//! [`Reach`], and dials only what it checked, on each hop anew. No other file
//! of the daemon opens a connection to somewhere else.
//!
//! Two rules hold everywhere in this folder. Credentials belong to an
//! [`Origin`]: they go there, to a token realm that is known to belong to it,
//! and nowhere else, whatever a challenge, a redirect or a `Location` says. And
//! nothing the other side says is believed: every length is a cap, every digest
//! is computed here or left to the caller who sees the bytes, every text is cut,
//! cleaned and freed of our own secrets before it is repeated.
//!
//! Reading order: what a person writes down (origin, host, credentials, trust),
//! where connections may go (address, subnet, reach), how they are made (wire,
//! connect, outbound), one request (location, body, censor, answer, challenge, token,
//! sign_in, session), and what a registry is asked (registry, list, pull, push).

/// What goes wrong, whose fault it is, and when to try again.
pub mod error;

/// Names, passwords and tokens.
pub mod credentials;
/// The host and repository of a mirror, as people write them.
pub mod host;
/// Scheme, host and port.
pub mod origin;
/// Which certificates are believed.
pub mod trust;

/// What kind of place an IP address is.
pub mod address;
/// Which addresses may be dialled.
pub mod reach;
/// Ranges of addresses.
pub mod subnet;

mod wire;

/// The one connector.
pub mod connect;
/// Connection pools, and the options all of them share.
pub mod outbound;

mod answer;
mod body;
mod censor;
/// `WWW-Authenticate`.
pub mod challenge;
mod location;
mod pace;
/// `Retry-After`.
pub mod retry_after;
mod session;
mod sign_in;
mod token;

/// A blob on its way here.
pub mod download;
mod list;
mod pull;
mod push;
/// One repository at another registry.
pub mod registry;

#[cfg(test)]
pub(crate) mod tests;

pub use address::Class;
pub use connect::{ConnectError, Names};
pub use credentials::Credentials;
pub use download::BlobStream;
pub use error::{Breach, RemoteError};
pub use host::{RemoteHost, RemoteRepository};
pub use list::TagList;
pub use origin::{Origin, Scheme};
pub use outbound::{Outbound, OutboundOptions, Timing};
pub use pull::{Fetched, RemoteManifest};
pub use push::{MountOutcome, UploadSession};
pub use reach::{Reach, Refusal};
pub use registry::{Permissions, Registry, RegistryOptions};
pub use subnet::Subnet;
pub use trust::{Trust, TrustError};
