//! The other registry of a mirror policy, as a client with its credentials.

use std::collections::BTreeSet;

use crate::chance::Id;
use crate::identity::credential::Sealed;
use crate::identity::{KeyringError, SealError, SealingKeys};
use crate::lifecycle;
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
    keys: SealingKeys,
    realms: Vec<Origin>,
}

impl std::fmt::Debug for Remotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remotes")
    }
}

/// How it is said that credentials are there and cannot be had; by these words
/// whoever brings the key back finds what waited for it.
pub(super) const UNOPENED: &str = "its credentials cannot be opened";

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
    #[error("{UNOPENED}: {0}")]
    Sealed(SealError),
    /// There is no key to seal with, and none can be made.
    #[error("the credentials cannot be sealed: {0}")]
    Key(#[from] KeyringError),
}

/// A remote's credentials in clear, on their way in.
#[derive(Clone, Default)]
pub struct Plain {
    /// The password.
    pub password: Secret,
    /// The token.
    pub token: Secret,
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plain(..)")
    }
}

impl Remotes {
    /// Over one connector and the sealing keys.
    pub fn new(outbound: Outbound, keys: SealingKeys) -> Self {
        Self { outbound, keys, realms: Vec::new() }
    }

    /// The sealing keys.
    pub fn keys(&self) -> &SealingKeys {
        &self.keys
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

    /// Seals credentials to the policy `id` and the remote's origin. Where all
    /// keys are lost one is made, beside the place of those: nothing that is
    /// put back is in its way. Whoever writes the remote down holds
    /// [`SealingKeys::sealing`] from before this until then.
    pub async fn seal(&self, id: &Id, remote: &mut Remote, plain: &Plain) -> Result<(), RemoteSettingError> {
        if self.keys.current().is_none() {
            let keys = self.keys.clone();
            if lifecycle::blocking(move || keys.make_if_lost()).await? {
                let key = self.keys.current();
                tracing::warn!(key.id = key, "all sealing keys are missing; a new one was made for new credentials");
            }
        }
        self.seal_all(id, remote, plain)
    }

    fn seal_all(&self, id: &Id, remote: &mut Remote, plain: &Plain) -> Result<(), RemoteSettingError> {
        let host = host(&remote.host)?;
        let seal = |secret: &Secret, part: &str| -> Result<Option<String>, RemoteSettingError> {
            if secret.is_empty() {
                return Ok(None);
            }
            let sealed = self.keys.seal(&record(id, part, &host), secret).map_err(RemoteSettingError::Sealed)?;
            Ok(Some(sealed.as_str().to_owned()))
        };
        remote.password = seal(&plain.password, "password")?;
        remote.token = seal(&plain.token, "token")?;
        Ok(())
    }

    /// The remote with its credentials sealed by the key that is current.
    pub(super) fn reseal(&self, id: &Id, remote: &Remote) -> Result<Remote, RemoteSettingError> {
        let plain = self.unseal(id, remote)?;
        let mut resealed = remote.clone();
        self.seal_all(id, &mut resealed, &plain)?;
        Ok(resealed)
    }

    /// The stored credentials of a remote in clear, to be used again.
    pub fn unseal(&self, id: &Id, remote: &Remote) -> Result<Plain, RemoteSettingError> {
        let host = host(&remote.host)?;
        let open = |sealed: &Option<String>, part: &str| match sealed {
            None => Ok(Secret::default()),
            Some(text) => self
                .keys
                .unseal(&record(id, part, &host), &Sealed::from_stored(text.clone()))
                .map_err(RemoteSettingError::Sealed),
        };
        Ok(Plain { password: open(&remote.password, "password")?, token: open(&remote.token, "token")? })
    }
}

/// The keys that sealed a remote's credentials; a text that names none counts
/// as sealed by one that nobody has.
pub(super) fn sealed_by(remote: &Remote) -> BTreeSet<String> {
    let sealed = [&remote.password, &remote.token].into_iter().flatten();
    sealed.map(|text| Sealed::from_stored(text.clone()).key_id().unwrap_or("?").to_owned()).collect()
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
