//! What must not be repeated of another registry's words: our own credentials
//! and its tokens, in every form that a far side may send them back in.
//!
//! A registry, or a proxy before it, that repeats what it was sent would put a
//! password into the log, the status of a policy and the answer of whoever
//! looks. So all texts of the other side pass through here before they become
//! part of anything.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::Credentials;
use super::error::clean;
use crate::limits;
use crate::secret::Secret;

/// What stands where a secret stood.
const REMOVED: &str = "[removed]";

/// The secrets of one remote. No `Debug`: it holds nothing else.
#[derive(Default)]
pub(super) struct Censor {
    /// Forms of the credentials, the longest first.
    own: Vec<Secret>,
    /// Tokens of the other side, the oldest first.
    tokens: Mutex<VecDeque<Secret>>,
}

impl Censor {
    /// Knows the credentials.
    pub(super) fn of(credentials: &Credentials) -> Self {
        let mut own = Vec::new();
        for secret in [&credentials.password, &credentials.token] {
            if secret.is_empty() {
                continue;
            }
            forms(secret.expose(), &mut own);
            // What `Basic` carries, with the name before it.
            let pair = Secret::new(format!("{}:{}", credentials.username, secret.expose()));
            forms(pair.expose(), &mut own);
        }
        own.sort_by_key(|form| std::cmp::Reverse(form.expose().len()));
        Self { own, tokens: Mutex::default() }
    }

    /// Knows a token as well.
    pub(super) fn add(&self, token: &Secret) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.contains(token) {
            return;
        }
        if tokens.len() >= limits::REMOTE_TOKENS {
            tokens.pop_front();
        }
        tokens.push_back(token.clone());
    }

    /// `text` without them, fit to be repeated ([`clean`]). Nothing is cut
    /// before all of it was looked at.
    pub(super) fn clean(&self, text: &str) -> String {
        clean(&self.remove(text))
    }

    fn remove(&self, text: &str) -> String {
        let without = self.own.iter().fold(text.to_owned(), |text, form| replace(text, form.expose()));
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().fold(without, |text, token| replace(text, token.expose()))
    }
}

/// `secret` as it may come back: itself, escaped for a query, a form or JSON, in
/// base64 of either alphabet, in hexadecimal digits, in lower case as a host's
/// name, and as `clean` leaves it.
fn forms(secret: &str, into: &mut Vec<Secret>) {
    let bytes = secret.as_bytes();
    let escaped = percent_encode(bytes, NON_ALPHANUMERIC).to_string();
    let json = serde_json::Value::from(secret).to_string();
    let found = [
        secret.to_owned(),
        secret.to_ascii_lowercase(),
        clean(secret),
        escaped.replace("%20", "+"),
        escaped,
        json[1..json.len() - 1].to_owned(),
        STANDARD.encode(bytes),
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE.encode(bytes),
        URL_SAFE_NO_PAD.encode(bytes),
        hex::encode(bytes),
        hex::encode_upper(bytes),
    ];
    for form in found {
        let form = Secret::new(form);
        if !form.is_empty() && !into.contains(&form) {
            into.push(form);
        }
    }
}

fn replace(text: String, form: &str) -> String {
    if text.contains(form) { text.replace(form, REMOVED) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_secret_is_repeated() {
        let password = "pa ss/w+rd\"ü-9f3a";
        let credentials =
            Credentials { username: "ann".into(), password: Secret::new(password), token: Secret::default() };
        let censor = Censor::of(&credentials);
        let pair = format!("ann:{password}");
        for said in [
            password.to_owned(),
            format!("Basic {}", STANDARD.encode(&pair)),
            STANDARD.encode(password),
            URL_SAFE_NO_PAD.encode(password),
            hex::encode(password),
            hex::encode_upper(&pair),
            percent_encode(password.as_bytes(), NON_ALPHANUMERIC).to_string(),
            percent_encode(pair.as_bytes(), NON_ALPHANUMERIC).to_string(),
            serde_json::json!({ "you sent": password }).to_string(),
        ] {
            let told = censor.clean(&format!("wrong: {said}, go away"));
            assert!(told.contains(REMOVED) && told.starts_with("wrong: ") && told.ends_with(", go away"), "{told}");
            assert!(!told.contains("9f3a") && !told.contains(&said), "{told}");
        }
        // One that is cut at the end of what is repeated leaves no part behind.
        let long = format!("{}{password}", "x".repeat(limits::REMOTE_MESSAGE_CHARS - 4));
        assert!(!censor.clean(&long).contains("pa s"), "cut before it was looked at");
    }

    #[test]
    fn tokens_are_known_up_to_a_bound() {
        let censor = Censor::default();
        for number in 0..=limits::REMOTE_TOKENS {
            censor.add(&Secret::new(format!("token-{number}-x")));
        }
        assert_eq!(censor.clean("token-0-x token-1-x"), "token-0-x [removed]");
        assert_eq!(censor.clean("plain"), "plain");
    }
}
