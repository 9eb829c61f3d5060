//! The protocol's vocabulary, pure: spoken by the server and the client alike.
//!
//! Everything that crosses the edge as text is parsed here once, into a type
//! with private fields and one fallible constructor, and is a value from then
//! on. Nothing in this folder does I/O, knows the store, or knows HTTP beyond
//! the grammar of a header.
//!
//! Source of the rules: OCI distribution-spec 1.1 and image-spec 1.1, Docker
//! image manifest version 2 schema 2.

/// Attachments by tag.
pub mod attachment;
/// `If-Match` and `If-None-Match`.
pub mod condition;
/// A descriptor: media type, digest, size.
pub mod descriptor;
/// `sha256:<hex>`, `sha512:<hex>`, and hashing to them.
pub mod digest;
/// The protocol's error codes.
pub mod error_code;
/// The members that clients know, with their types.
mod fields;
/// The entries of an index, for listings.
pub mod index;
/// Image manifests and indexes, checked and reduced to their links.
pub mod manifest;
/// Media types that mean something to a registry.
pub mod media_type;
/// Repository names: `namespace/name[/more]`.
pub mod name;
/// `n` and `last`.
pub mod page;
/// `/v2/...` paths as data.
pub mod path;
/// `Range` and `Content-Range`.
pub mod range;
/// A tag or a digest, as the end of a manifest path.
pub mod reference;
/// Tags.
pub mod tag;
/// `Warning`.
pub mod warning;

pub use condition::Condition;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Hasher};
pub use error_code::ErrorCode;
pub use manifest::{Links, Manifest, ManifestError};
pub use media_type::MediaType;
pub use name::RepoName;
pub use reference::Reference;
pub use tag::Tag;
