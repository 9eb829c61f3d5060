//! The outside: what listens, and what travels over a connection.
//!
//! A listener takes connections ([`listen`]); each is a task that speaks TLS
//! where it must ([`tls`]) and HTTP/1.1 or HTTP/2 ([`connection`]), and hands
//! requests to one handler. Every step a stranger could hold open has a
//! deadline. Bodies of both directions are in [`body`].

/// Bodies: what is answered, and what is read with a cap and a deadline.
pub mod body;
/// A stream whose peer must keep reading.
mod stall;
/// TLS with a certificate that can be swapped.
pub mod tls;

/// One connection, from its first byte to its last.
pub mod connection;

/// A unix socket's path: taken over from the dead, refused to the living.
mod socket;

/// Listeners: bind, accept, drain.
pub mod listen;

pub use body::{Body, BodyError, Chunks, read_capped};
pub use connection::{Options, Peer, Tally};
pub use listen::{Bound, ListenError, Spec, bind, serve};
pub use socket::SocketError;
pub use tls::Tls;
