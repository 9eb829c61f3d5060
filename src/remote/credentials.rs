//! What a mirror signs in with at the other side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::secret::Secret;

/// A user name with a password or an access token; all of it may be empty,
/// which means anonymous.
///
/// An access token takes the password's place, with or without a user name, as
/// it does in DTR; when both are there the token is used.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The account; may be empty beside a token.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// An access token, used in the password's place.
    pub token: Secret,
}

impl Credentials {
    /// No credentials.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Whether there is nothing to sign in with.
    pub fn is_anonymous(&self) -> bool {
        self.username.is_empty() && self.password.is_empty() && self.token.is_empty()
    }

    /// The `Authorization` header (RFC 7617); `None` when anonymous.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        if self.is_anonymous() {
            return None;
        }
        let pair = Secret::new(format!("{}:{}", self.username, self.word().expose()));
        let encoded = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
        let mut value = HeaderValue::from_str(encoded.expose()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn word(&self) -> &Secret {
        if self.token.is_empty() { &self.password } else { &self.token }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(username: &str, password: &str, token: &str) -> Credentials {
        Credentials { username: username.into(), password: Secret::new(password), token: Secret::new(token) }
    }

    #[test]
    fn the_token_takes_the_passwords_place() {
        let sent = |c: Credentials| {
            let value = c.basic().expect("not anonymous");
            let encoded = value.to_str().expect("ASCII").strip_prefix("Basic ").expect("Basic").to_owned();
            String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("UTF-8")
        };
        assert_eq!(sent(credentials("ann", "pw", "")), "ann:pw");
        assert_eq!(sent(credentials("ann", "", "tok")), "ann:tok");
        assert_eq!(sent(credentials("ann", "pw", "tok")), "ann:tok");
        assert_eq!(sent(credentials("", "", "tok")), ":tok");
        assert_eq!(sent(credentials("ann", "p:ü\n", "")), "ann:p:ü\n");
        assert!(Credentials::anonymous().basic().is_none());
    }

    #[test]
    fn nothing_secret_is_printed() {
        let c = credentials("ann", "hunter22", "tok-9f");
        let header = c.basic().expect("not anonymous");
        let shown = format!("{c:?} {header:?}");
        assert!(!shown.contains("hunter22") && !shown.contains("tok-9f") && !shown.contains("Basic"), "{shown}");
    }
}
