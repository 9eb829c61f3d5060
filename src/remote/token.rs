//! Tokens: from which realms, for which scopes, for how long (distribution,
//! "Token Authentication Specification").
//!
//! The realm is named by the other side, so it is the place where a registry,
//! or whoever stands in front of it, can ask for the credentials. They go to
//! the registry's own origin, to the few realms that are known to belong to a
//! registry, and to those that were configured. Anonymous tokens may come from
//! anywhere the connector goes, but not over plain text when the registry
//! itself is spoken to over TLS.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::{Origin, Scheme};
use crate::limits;
use crate::secret::Secret;

/// Registries whose realm is known to be somewhere else.
const PAIRS: [(&str, &str); 2] =
    [("https://registry-1.docker.io", "https://auth.docker.io"), ("https://registry.gitlab.com", "https://gitlab.com")];

/// Whether the credentials for `registry` may go to `realm`.
pub(super) fn may_have_credentials(registry: &Origin, realm: &Origin, configured: &[Origin]) -> bool {
    realm == registry
        || configured.contains(realm)
        || PAIRS.iter().any(|(from, to)| registry.to_string() == *from && realm.to_string() == *to)
}

/// Whether `realm` would weaken what protects the talk with `registry`.
pub(super) fn is_downgrade(registry: &Origin, realm: &Origin) -> bool {
    registry.scheme() == Scheme::Https && realm.scheme() == Scheme::Http
}

/// What a token service answers. No `Debug`: it is a secret.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    /// Seconds; some services write it as a text.
    expires_in: Option<serde_json::Value>,
}

impl TokenAnswer {
    /// The token, and how long it may be used; `None` when it cannot be sent.
    pub(super) fn read(self) -> Option<(Secret, Duration)> {
        let token = [self.token, self.access_token].into_iter().flatten().find(|token| !token.is_empty())?;
        let sendable = token.expose().bytes().all(|b| b.is_ascii_graphic());
        if !sendable || token.expose().len() > limits::REMOTE_TOKEN_BYTES {
            return None;
        }
        let seconds = match &self.expires_in {
            Some(serde_json::Value::Number(number)) => number.as_u64().or(Some(0)),
            Some(serde_json::Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let life = seconds.map_or(limits::REMOTE_TOKEN_DEFAULT, Duration::from_secs);
        Some((token, life.min(limits::REMOTE_TOKEN_LONGEST).saturating_sub(limits::REMOTE_TOKEN_MARGIN)))
    }
}

/// The tokens of one remote repository, by scope.
#[derive(Clone, Default)]
pub(super) struct Tokens(HashMap<String, (Secret, Instant)>);

impl Tokens {
    /// The token for `scope`, when it is good beyond `now`.
    pub(super) fn get(&self, scope: &str, now: Instant) -> Option<Secret> {
        self.0.get(scope).filter(|(_, until)| *until > now).map(|(token, _)| token.clone())
    }

    /// Keeps a token.
    pub(super) fn put(&mut self, scope: &str, token: Secret, until: Instant, now: Instant) {
        if self.0.len() >= limits::REMOTE_TOKENS {
            self.0.retain(|_, (_, until)| *until > now);
        }
        if self.0.len() >= limits::REMOTE_TOKENS {
            self.0.clear();
        }
        self.0.insert(scope.to_owned(), (token, until));
    }

    /// Ends the token for `scope`: the registry refused it.
    pub(super) fn end(&mut self, scope: &str, now: Instant) {
        if let Some((_, until)) = self.0.get_mut(scope) {
            *until = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().expect(text)
    }

    #[test]
    fn credentials_go_to_realms_that_belong_to_the_registry() {
        let configured = [origin("https://sso.example:8443")];
        for (registry, realm, allowed) in [
            ("https://r.example", "https://r.example", true),
            ("https://r.example", "https://r.example:443", true),
            ("http://r.example:5000", "http://r.example:5000", true),
            ("https://registry-1.docker.io", "https://auth.docker.io", true),
            ("https://registry.gitlab.com", "https://gitlab.com", true),
            ("https://r.example", "https://sso.example:8443", true),
            ("https://r.example", "https://r.example:444", false),
            ("https://r.example", "http://r.example", false),
            ("http://r.example", "https://r.example", false),
            ("https://r.example", "https://auth.r.example", false),
            ("https://r.example", "https://r.example.evil.example", false),
            ("https://r.example", "https://auth.docker.io", false),
            ("https://registry-1.docker.io", "https://gitlab.com", false),
            ("https://registry-1.docker.io", "http://auth.docker.io", false),
            ("https://registry-1.docker.io", "https://auth.docker.io:444", false),
            ("http://registry-1.docker.io", "https://auth.docker.io", false),
            ("https://r.example", "https://sso.example", false),
            ("https://r.example", "https://[::1]", false),
            ("https://r.example", "http://169.254.169.254", false),
        ] {
            let verdict = may_have_credentials(&origin(registry), &origin(realm), &configured);
            assert_eq!(verdict, allowed, "{registry} {realm}");
        }
    }

    #[test]
    fn reads_tokens_and_their_lives() {
        let read = |json: &str| {
            let answer: TokenAnswer = serde_json::from_str(json).ok()?;
            answer.read().map(|(token, life)| (token.expose().to_owned(), life.as_secs()))
        };
        let some = |token: &str, seconds| Some((token.to_owned(), seconds));
        for (json, expected) in [
            (r#"{"token":"a"}"#, some("a", 50)),
            (r#"{"access_token":"b","expires_in":300}"#, some("b", 290)),
            (r#"{"token":"a","access_token":"b","expires_in":"300"}"#, some("a", 290)),
            (r#"{"token":"","access_token":"b"}"#, some("b", 50)),
            (r#"{"token":"a","expires_in":-5}"#, some("a", 0)),
            (r#"{"token":"a","expires_in":5}"#, some("a", 0)),
            (r#"{"token":"a","expires_in":99999999999}"#, some("a", 3590)),
            (r#"{"token":"a","expires_in":null,"issued_at":"9999-01-01T00:00:00Z"}"#, some("a", 50)),
            (r#"{"token":"a\r\nX: y"}"#, None),
            (r#"{"token":"a b"}"#, None),
            (r#"{}"#, None),
        ] {
            assert_eq!(read(json), expected, "{json}");
        }
    }

    #[tokio::test]
    async fn tokens_end_and_are_bounded() {
        let now = Instant::now();
        let mut tokens = Tokens::default();
        tokens.put("a", Secret::new("1"), now + Duration::from_secs(1), now);
        assert!(tokens.get("a", now) == Some(Secret::new("1")));
        assert!(tokens.get("a", now + Duration::from_secs(1)).is_none());
        assert!(tokens.get("b", now).is_none());
        for n in 0..limits::REMOTE_TOKENS * 3 {
            tokens.put(&n.to_string(), Secret::new("t"), now + Duration::from_secs(1), now);
        }
        assert!(tokens.0.len() <= limits::REMOTE_TOKENS);
        tokens.put("z", Secret::new("t"), now + Duration::from_secs(1), now);
        tokens.end("z", now);
        assert!(tokens.get("z", now).is_none());
    }
}
