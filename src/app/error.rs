//! Why the daemon does not start, or ended: one clear line each.

use std::path::PathBuf;

use crate::http::listen::ListenError;
use crate::identity::CertificateError;
use crate::identity::client_certificate::ClientAuthorityError;
use crate::identity::credential::KeyringError;
use crate::identity::token::TokenKeyError;
use crate::store::{OpenError, StoreError};

/// What keeps the daemon from running.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data folder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A name for the certificate.
    #[error("a name for the certificate: {0}")]
    Name(String),
    /// A step of the demonstration.
    #[error("the demonstration failed: {0}")]
    Demo(String),
    /// The sealing key.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The authority of client certificates.
    #[error(transparent)]
    Clients(#[from] ClientAuthorityError),
    /// The key that signs tokens.
    #[error(transparent)]
    TokenKey(#[from] TokenKeyError),
    /// A file beside the data.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store, after it was opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A write failed while running; the supervisor starts the daemon again.
    #[error("the store stopped: {0}")]
    Stopped(String),
}

impl AppError {
    /// Whether the configuration is at fault and a retry cannot heal it: the
    /// supervisor leaves such a daemon down. A port in use or a folder that
    /// cannot be written may heal, so it is none of these.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Certificate(_) | Self::Clients(_) | Self::Name(_) => true,
            Self::Listen(_)
            | Self::Open(_)
            | Self::Demo(_)
            | Self::Keyring(_)
            | Self::TokenKey(_)
            | Self::File { .. }
            | Self::Store(_)
            | Self::Stopped(_) => false,
        }
    }
}
