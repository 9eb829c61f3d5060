//! The other registry of a mirror policy, as a client with its credentials.

use std::sync::Arc;

use crate::chance::{Chance, Id};
use crate::identity::credential::{Keyring, Sealed};
use crate::remote::{
    Credentials, Origin, Outbound, Registry as Client, RegistryOptions, RemoteHost, RemoteRepository, Trust,
};
use crate::secret::Secret;
use crate::store::record::Remote;

/// What it takes to talk to other registries: the one connector, and the keys
/// that open stored credentials.
#[derive(Clone)]
pub struct Remotes {
    outbound: Outbound,
    keys: Option<Arc<Keyring>>,
    chance: Chance,
    realms: Vec<Origin>,
}

impl std::fmt::Debug for Remotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remotes")
    }
}

/// Why a stored or given remote cannot be talked to at all; words for the
/// policy's status and for whoever saves it.
#[derive(Debug, thiserror::Error)]
pub enum RemoteSettingError {
    /// The host.
    #[error("remoteHost: {0}")]
    Host(String),
    /// The repository.
    #[error("remoteRepository: {0}")]
    Repository(String),
    /// The user name.
    #[error("username: a user name has no `:` and no control characters in it")]
    Username,
    /// The certificate authority.
    #[error("remoteCA: {0}")]
    Authority(String),
    /// The credentials do not open.
    #[error("the stored credentials cannot be opened: {0}")]
    Sealed(String),
}

/// A remote's credentials in clear, on their way in.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    /// The password.
    pub password: Secret,
    /// The token.
    pub token: Secret,
}

impl Remotes {
    /// Over one connector and one ring of keys; none when the key was lost:
    /// then nothing is sealed or opened, and mirrors without credentials go on.
    pub fn new(outbound: Outbound, keys: Option<Arc<Keyring>>, chance: Chance) -> Self {
        Self { outbound, keys, chance, realms: Vec::new() }
    }

    /// A client for a stored remote of the policy `id`.
    pub fn client(&self, id: &Id, remote: &Remote) -> Result<Client, RemoteSettingError> {
        self.client_with(remote, self.unseal(id, remote)?)
    }

    /// A client for a remote whose credentials are at hand.
    pub fn client_with(&self, remote: &Remote, plain: Plain) -> Result<Client, RemoteSettingError> {
        username(&remote.username)?;
        let credentials =
            Credentials { username: remote.username.clone(), password: plain.password, token: plain.token };
        let options = RegistryOptions {
            host: host(&remote.host)?,
            repository: repository(&remote.repository)?,
            credentials,
            trust: Trust::new(&remote.ca, remote.skip_tls_verification)
                .map_err(|error| RemoteSettingError::Authority(error.to_string()))?,
            private: remote.private,
            realms: self.realms.clone(),
        };
        Ok(Client::new(&self.outbound, options))
    }

    /// Seals credentials to the policy `id` and the remote's origin.
    pub fn seal(&self, id: &Id, remote: &mut Remote, plain: &Plain) -> Result<(), RemoteSettingError> {
        let host = host(&remote.host)?;
        let seal = |secret: &Secret, part: &str| -> Result<Option<String>, RemoteSettingError> {
            if secret.is_empty() {
                return Ok(None);
            }
            let sealed = self.keys()?.seal(&record(id, part, &host), secret, &self.chance);
            Ok(Some(sealed.as_str().to_owned()))
        };
        remote.password = seal(&plain.password, "password")?;
        remote.token = seal(&plain.token, "token")?;
        Ok(())
    }

    fn keys(&self) -> Result<&Keyring, RemoteSettingError> {
        let lost = || RemoteSettingError::Sealed("the sealing key is missing; put its file back".to_owned());
        self.keys.as_deref().ok_or_else(lost)
    }

    /// The stored credentials of a remote in clear, to be used again.
    pub fn unseal(&self, id: &Id, remote: &Remote) -> Result<Plain, RemoteSettingError> {
        let host = host(&remote.host)?;
        let open = |sealed: &Option<String>, part: &str| match sealed {
            None => Ok(Secret::default()),
            Some(text) => self
                .keys()?
                .unseal(&record(id, part, &host), &Sealed::from_stored(text.clone()))
                .map_err(|error| RemoteSettingError::Sealed(error.to_string())),
        };
        Ok(Plain { password: open(&remote.password, "password")?, token: open(&remote.token, "token")? })
    }
}

/// Whether two texts name the same origin: credentials go with the origin.
pub fn same_origin(one: &str, other: &str) -> bool {
    match (host(one), host(other)) {
        (Ok(one), Ok(other)) => one.origin() == other.origin(),
        _ => false,
    }
}

/// Where a remote is; none when its host is not understood any more.
pub fn origin(remote: &Remote) -> Option<Origin> {
    Some(host(&remote.host).ok()?.origin().clone())
}

/// Checks a remote's texts.
pub fn check(remote: &Remote) -> Result<(), RemoteSettingError> {
    host(&remote.host)?;
    repository(&remote.repository)?;
    username(&remote.username)?;
    Trust::new(&remote.ca, remote.skip_tls_verification)
        .map_err(|error| RemoteSettingError::Authority(error.to_string()))?;
    Ok(())
}

fn host(text: &str) -> Result<RemoteHost, RemoteSettingError> {
    text.parse().map_err(|error: crate::remote::origin::OriginError| RemoteSettingError::Host(error.to_string()))
}

fn repository(text: &str) -> Result<RemoteRepository, RemoteSettingError> {
    text.parse()
        .map_err(|error: crate::remote::host::RemoteRepositoryError| RemoteSettingError::Repository(error.to_string()))
}

/// Basic ends the name at its first colon, and control characters end a header
/// (RFC 7617 §2): another name would be sent than the one that was saved.
fn username(text: &str) -> Result<(), RemoteSettingError> {
    if text.chars().any(|letter| letter == ':' || letter.is_control()) {
        Err(RemoteSettingError::Username)
    } else {
        Ok(())
    }
}

/// What a sealed credential is bound to.
fn record(id: &Id, part: &str, host: &RemoteHost) -> String {
    format!("policy {id} {part} {}", host.origin())
}
