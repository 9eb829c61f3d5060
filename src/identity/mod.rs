//! Who is calling, and who we are.
//!
//! Passwords are checked here, the credentials of other registries are sealed
//! here, and the certificates that this daemon shows are made or loaded here.
//! Nothing in this folder knows accounts' rights (that is `access`), rows (that
//! is `store`), or HTTP.
//!
//! Three kinds of secret, three ways to keep them: a password is only ever
//! compared ([`password`]), a remote's credential must come back as it was
//! ([`credential`]), a private key stays in a file of its owner
//! ([`private_file`]).

/// Which addresses are one client's.
mod address_block;
/// Key files: whole or absent, and nobody else's to read.
pub mod private_file;

/// Passwords: argon2id, few at once, none twice in a minute.
pub mod password;

/// How often anyone may be wrong.
pub mod guess;

/// Tokens: signed ones that hold for minutes, and access tokens as texts.
pub mod token;

/// Credentials of other registries, sealed to the row that holds them.
pub mod credential;

/// The keys that seal them, while the daemon runs.
pub mod sealing_keys;

/// A certificate chain and its key, checked against each other.
pub mod certificate;
/// The names that a made certificate answers to.
pub mod certificate_name;

/// Client certificates: whose authority is believed, and what names they have.
pub mod client_certificate;
/// How the first system admin is made from elsewhere.
pub mod setup;

/// The authority made at first start, and the certificates it issues.
pub mod authority;

pub use address_block::address_block;
pub use authority::Authority;
pub use certificate::{CertificateError, ServerCertificate};
pub use certificate_name::{CertificateName, CertificateNames};
pub use client_certificate::{ClientAuthority, ClientAuthorityError};
pub use credential::{Keyring, KeyringError, SealError, Sealed};
pub use guess::{Block, Guesses};
pub use password::{PasswordError, Passwords};
pub use private_file::FileError;
pub use sealing_keys::{KeyChangeError, KeyPlaces, SealingKeys};
pub use setup::{Setup, SetupError};
pub use token::{Bearer, Proof, Signer};
