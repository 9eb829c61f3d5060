//! The client against real servers on loopback.
//!
//! Each test says what the server answers and then what the client made of it,
//! or what the server saw.

mod auth;
mod connect;
pub(crate) mod fake;
mod pull;
mod push;

use fake::{Fake, Reply, Seen};
