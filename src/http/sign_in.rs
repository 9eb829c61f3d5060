//! Who is calling.
//!
//! Over the local socket it is the system: being able to open it is the right.
//! Who says nothing is nobody, who reads what is public where the operator lets
//! that be; who is refused for having no name is told to say one.
//! Everyone else says name and password with every request (Basic, RFC 7617);
//! what was right is remembered for a minute by `identity::Passwords`. An
//! account that is not there, is no user or may not sign in answers like a
//! wrong password and costs as much. A failure is a line in the log with name
//! and address; so many of them a minute, and then a number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

use super::State;
use super::connection::Peer;
use super::told::Told;
use crate::limits;
use crate::registry::Caller;
use crate::secret::Secret;
use crate::store::{StoreError, account};

/// What every 401 carries, on every path: clients sign in wherever they meet it.
pub const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Basic realm="tidegate", charset="UTF-8""#);

/// Why a caller has no name.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Nothing was said.
    #[error("sign in: send a user's name and password (Basic)")]
    Missing,
    /// What was said is not `Basic <base64 of name:password>`.
    #[error("the Authorization header must be `Basic` and the base64 of `name:password` in UTF-8")]
    Malformed,
    /// Two of them; a proxy in front may have read the other.
    #[error("there is more than one Authorization header; send one")]
    Repeated,
    /// No such user, not active, or another password.
    #[error("the name or the password is wrong")]
    Wrong,
    /// It could not be looked up.
    #[error("the account could not be looked up")]
    Store(#[from] StoreError),
}

/// Finds out who is calling.
pub async fn sign_in(state: &State, headers: &HeaderMap, peer: Peer) -> Result<Caller, SignInError> {
    if peer.local {
        return Ok(Caller::System);
    }
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let nobody = if state.registry().signed_in_only() { Err(SignInError::Missing) } else { Ok(Caller::Anonymous) };
    let Some(sent) = all.next() else { return nobody };
    if all.next().is_some() {
        return Err(SignInError::Repeated);
    }
    let (name, password) = basic(sent).ok_or(SignInError::Malformed)?;
    // Some programs send this when they were given nothing to send.
    if name.is_empty() && password.is_empty() {
        return nobody;
    }
    let found = account::get(&state.registry().store().snapshot()?, &name)?;
    let known = found.as_ref().map(|account| account.id);
    let user = found.filter(|account| account.is_active && !account.is_org);
    let hash = user.as_ref().and_then(|account| account.password_hash.as_deref());
    let right = state.passwords().verify(&name, hash, &password).await;
    match user {
        Some(account) if right => Ok(Caller::Account { id: account.id, name }),
        _ => {
            state.failures().note(known.map(|id| (id, name.as_str())), peer.addr);
            static FAILURES: Told = Told::new(limits::SIGN_IN_FAILURES_LOGGED, limits::SIGN_IN_FAILURES_WINDOW);
            if let Some(withheld) = FAILURES.admit(state.registry().store().clock().monotonic()) {
                let (name, addr) = (shown(&name), peer.addr.map(tracing::field::display));
                tracing::warn!(account.name = name, peer.addr = addr, withheld, "a sign-in failed");
            }
            Err(SignInError::Wrong)
        }
    }
}

/// A name that a stranger sent, short enough for the log, which quotes and
/// escapes it like every text.
fn shown(name: &str) -> String {
    name.chars().take(limits::SIGN_IN_NAME_CHARACTERS).collect()
}

/// Name and password of a `Basic` header. The name ends at the first colon.
fn basic(header: &HeaderValue) -> Option<(String, Secret)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((name.to_owned(), Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_log_is_short() {
        assert_eq!(shown("ann"), "ann");
        assert_eq!(shown(&"é".repeat(5000)).chars().count(), limits::SIGN_IN_NAME_CHARACTERS);
    }

    #[test]
    fn basic_is_read_as_rfc_7617_has_it() {
        let read = |text: &str| {
            let pair = basic(&HeaderValue::from_str(text).unwrap())?;
            Some((pair.0, pair.1.expose().to_owned()))
        };
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        let encode = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(read(&encode(b"ann:pass:word")), pair("ann", "pass:word"));
        assert_eq!(read(&encode("ann:pässword".as_bytes())), pair("ann", "pässword"));
        assert_eq!(read(&encode(b":")), pair("", ""));
        assert_eq!(read(&format!("bAsIc  {} ", STANDARD.encode("a:b"))), pair("a", "b"));
        for bad in ["", "Basic", "Basic !", "Bearer YTpi", &encode(b"ann"), &encode(b"ann:\xff")] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
