//! The registry API: OCI distribution specification 1.1, and what Docker's
//! clients expect beyond it.
//!
//! A request is read into a `Call` by the router. `handle` gives each call to
//! its handler, which reads headers and body, asks [`crate::registry`], and
//! writes the answer; what goes wrong is an `Error`, which alone decides status
//! and code.

/// Headers and shapes that several answers share.
mod answer;
/// One request as data.
pub mod call;
/// Status, code and words of every refusal.
pub mod error;

/// Blobs: read and deleted.
mod blob;
/// Listings: repositories, tags, referrers.
mod list;
/// Manifests: read, put, deleted.
mod manifest;
/// Uploads and mounts.
mod upload;

/// From call to handler.
mod dispatch;

#[cfg(test)]
mod tests;

pub use call::{Call, CallError};
pub(super) use dispatch::{API_VERSION, admit, handle};
pub use error::Error;
