//! Who is calling.
//!
//! Over the local socket it is the system: being able to open it is the right.
//! Who says nothing is nobody, who reads what is public where the operator lets
//! that be; who is refused for having no name is told to say one.
//! Everyone else shows something with every request: a name and a password, or
//! an access token in its place (Basic, RFC 7617); a token of the token service
//! or an access token (Bearer, RFC 6750); on the management API the access token
//! alone as `?refresh_token=`; or a client certificate that is mapped.
//!
//! What was right is remembered for a minute by `identity::Passwords`; whoever
//! is wrong too often waits (`identity::guess`). An account that is not there,
//! is no user or may not sign in answers like a wrong password and costs as
//! much. A failure is a line in the log with name and address; so many of them a
//! minute, and then a number.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderValue, header};
use zeroize::Zeroizing;

use super::connection::Peer;
use super::told::Told;
use super::{Query, State, host};
use crate::chance::Id;
use crate::identity::token::{access, same_print};
use crate::identity::{Block, Proof, guess};
use crate::limits;
use crate::registry::caller::ROBOT_MARK;
use crate::registry::{Caller, access_token, certified};
use crate::secret::Secret;
use crate::store::record::Account;
use crate::store::{Snapshot, StoreError, account, robot};

/// What a 401 of the management API carries, and of the token service.
pub const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Basic realm="tidegate", charset="UTF-8""#);

/// The names of a client certificate that was shown in the handshake, the most
/// particular first: an extension of every request of that connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificate(pub Arc<[String]>);

/// Who is calling, and by what it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub caller: Caller,
    /// By what.
    pub proof: Proof,
}

/// Why a caller has no name.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Nothing was said.
    #[error("sign in: send a user's name and password (Basic), or a token (Bearer)")]
    Missing,
    /// What was said is neither.
    #[error(
        "the Authorization header must be `Basic` and the base64 of `name:password` in UTF-8, or `Bearer` and a token"
    )]
    Malformed,
    /// Two of them; a proxy in front may have read the other.
    #[error("there is more than one Authorization header; send one")]
    Repeated,
    /// No such user, not active, or another password.
    #[error("the name or the password is wrong")]
    Wrong,
    /// The token is not ours, or what it was made by does not hold any more.
    #[error("the token does not hold, or not any more; sign in again")]
    Token,
    /// Too many wrong ones before.
    #[error("there were too many wrong passwords; try again in {} s", seconds(*wait))]
    TooMany {
        /// How long to wait.
        wait: Duration,
    },
    /// Too many wait for theirs to be looked at.
    #[error("too many passwords are being checked at once; try again in {} s", seconds(limits::RETRY_AFTER_BUSY))]
    Busy,
    /// It could not be looked up.
    #[error("the account could not be looked up")]
    Store(#[from] StoreError),
}

impl SignInError {
    /// The whole seconds to wait, if that is what helps.
    pub fn retry_after(&self) -> Option<HeaderValue> {
        match self {
            Self::TooMany { wait } => Some(HeaderValue::from(seconds(*wait))),
            Self::Busy => Some(HeaderValue::from(seconds(limits::RETRY_AFTER_BUSY))),
            Self::Missing | Self::Malformed | Self::Repeated | Self::Wrong | Self::Token | Self::Store(_) => None,
        }
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}

/// Finds out who is calling the registry.
pub async fn sign_in(state: &State, parts: &Parts, peer: Peer) -> Result<SignedIn, SignInError> {
    if peer.local {
        return Ok(SignedIn { caller: Caller::System, proof: Proof::Nothing });
    }
    match said(parts)? {
        Some(Said::Basic(name, password)) => by_name(state, &name, &password, peer.addr).await,
        Some(Said::Bearer(token)) => by_bearer(state, &token, parts),
        None => match by_certificate(state, parts)? {
            Some(known) => Ok(known),
            None => nobody(state),
        },
    }
}

/// The same for the management API, where an access token may stand in the
/// query and nowhere else.
pub async fn sign_in_to_manage(
    state: &State,
    parts: &Parts,
    query: &Query,
    peer: Peer,
) -> Result<SignedIn, SignInError> {
    let is_alone = !peer.local && !parts.headers.contains_key(header::AUTHORIZATION);
    match query.filled("refresh_token").filter(|_| is_alone) {
        Some(token) => by_access_token(state, token, None)?.ok_or(SignInError::Token),
        None => sign_in(state, parts, peer).await,
    }
}

/// What stands in the token of who said no name.
pub(super) const NOBODY: Id = Id::from_bytes([0; 16]);

/// Who says nothing: it reads what is public, where the operator lets that be.
fn nobody(state: &State) -> Result<SignedIn, SignInError> {
    if state.registry().signed_in_only() {
        return Err(SignInError::Missing);
    }
    Ok(SignedIn { caller: Caller::Anonymous, proof: Proof::Nothing })
}

/// A name and a password, or an access token in its place.
pub(super) async fn by_name(
    state: &State,
    name: &str,
    password: &Secret,
    from: Option<SocketAddr>,
) -> Result<SignedIn, SignInError> {
    if access::hash(password.expose()).is_some() {
        let known = by_access_token(state, password.expose(), Some(name))?;
        return known.ok_or_else(|| wrong(state, name, from));
    }
    let user = active_user(&state.registry().store().snapshot()?, name)?;
    let hash = user.as_ref().and_then(|account| account.password_hash.as_deref());
    let right = is_right(state, name, hash, password, from).await?;
    match (&user, hash) {
        (Some(account), Some(phc)) if right => {
            let proof = Proof::Password(state.signer().print(&account.id, phc));
            Ok(SignedIn { caller: Caller::account_of(account.id, name.to_owned()), proof })
        }
        _ => Err(wrong(state, name, from)),
    }
}

/// Whether the password is right; whoever was wrong too often is not told.
pub(super) async fn is_right(
    state: &State,
    name: &str,
    hash: Option<&str>,
    password: &Secret,
    from: Option<SocketAddr>,
) -> Result<bool, SignInError> {
    let (guesses, clock) = (state.guesses(), state.registry().store().clock());
    let block = from.map(|from| Block::of(from.ip()));
    let known = state.passwords().is_known(name, hash, password);
    // Before the turn of a hash is waited for: who guesses holds up nobody.
    if let Some(block) = block.filter(|_| !known) {
        guesses.look(name, block, clock.monotonic()).map_err(|wait| SignInError::TooMany { wait })?;
    }
    // Who was right before may wait for as long as it takes.
    let may_wait = known || block.is_some_and(|block| guesses.was_right_before(name, block));
    let place = match may_wait {
        true => None,
        false => Some(state.passwords().place().ok_or(SignInError::Busy)?),
    };
    let begin = || -> Result<Option<guess::Try>, Duration> {
        drop(place);
        block.map(|block| guesses.begin(name, block, clock.monotonic())).transpose()
    };
    let verified = state.passwords().verify_if(name, hash, password, begin).await;
    let (right, attempt) = verified.map_err(|wait| SignInError::TooMany { wait })?;
    if let Some(attempt) = attempt.filter(|_| right) {
        guesses.was_right(attempt, clock.monotonic());
    }
    Ok(right)
}

/// An access token: whose it is, if it is `name`'s.
pub(super) fn by_access_token(state: &State, text: &str, name: Option<&str>) -> Result<Option<SignedIn>, SignInError> {
    let Some(hash) = access::hash(text) else { return Ok(None) };
    let known = by_token_hash(state, hash)?;
    let known = known.filter(|known| name.is_none_or(|name| known.caller.label() == name));
    if known.is_some() {
        let store = state.registry().store();
        store.token_uses().note(&hash, store.now());
    }
    Ok(known)
}

fn by_token_hash(state: &State, hash: [u8; 32]) -> Result<Option<SignedIn>, SignInError> {
    let store = state.registry().store();
    let print = |account: &Id, phc: &str| state.signer().print(account, phc);
    let holder = access_token::holder(&store.snapshot()?, &hash, store.now(), print)?;
    Ok(holder.map(|caller| SignedIn { caller, proof: Proof::Token(hash) }))
}

/// A token of the token service, or an access token.
fn by_bearer(state: &State, token: &str, parts: &Parts) -> Result<SignedIn, SignInError> {
    if access::hash(token).is_some() {
        return by_access_token(state, token, None)?.ok_or(SignInError::Token);
    }
    let store = state.registry().store();
    let host = host::named(parts).ok_or(SignInError::Token)?;
    let bearer = state.signer().read(token, &host, store.now()).map_err(|error| {
        tracing::debug!(%error, "a token was refused");
        SignInError::Token
    })?;
    let read = store.snapshot()?;
    let known = match &bearer.proof {
        Proof::Nothing if bearer.subject == NOBODY => return nobody(state).map_err(|_| SignInError::Token),
        Proof::Nothing => None,
        Proof::Token(hash) => by_token_hash(state, *hash)?,
        Proof::Certificate(name) => {
            let known = certified::who(&read, std::slice::from_ref(name))?;
            known.map(|(caller, name)| SignedIn { caller, proof: Proof::Certificate(name) })
        }
        Proof::Password(print) => {
            let found = account::by_id(&read, &bearer.subject)?.filter(|(_, account)| account.is_active);
            let same = found.filter(|(_, account)| {
                let now = account.password_hash.as_deref().map(|phc| state.signer().print(&account.id, phc));
                now.is_some_and(|now| same_print(&now, print))
            });
            same.map(|(name, account)| SignedIn {
                caller: Caller::account_of(account.id, name),
                proof: bearer.proof.clone(),
            })
        }
    };
    let is_subject = |known: &SignedIn| known.caller.id() == Some(&bearer.subject);
    known.filter(is_subject).ok_or(SignInError::Token)
}

/// A client certificate that is mapped to an account.
fn by_certificate(state: &State, parts: &Parts) -> Result<Option<SignedIn>, SignInError> {
    let Some(ShownCertificate(names)) = parts.extensions.get() else { return Ok(None) };
    let known = certified::who(&state.registry().store().snapshot()?, names)?;
    Ok(known.map(|(caller, name)| SignedIn { caller, proof: Proof::Certificate(name) }))
}

fn active_user(read: &Snapshot, name: &str) -> Result<Option<Account>, StoreError> {
    Ok(account::get(read, name)?.filter(|account| account.is_active && !account.is_org))
}

/// A failure, told to the operator.
pub(super) fn wrong(state: &State, name: &str, from: Option<SocketAddr>) -> SignInError {
    let known = known(state, name).ok().flatten();
    state.failures().note(known.map(|id| (id, name)), from);
    static FAILURES: Told = Told::new(limits::SIGN_IN_FAILURES_LOGGED, limits::SIGN_IN_FAILURES_WINDOW);
    if let Some(withheld) = FAILURES.admit(state.registry().store().clock().monotonic()) {
        // What is no name is not repeated: people type passwords, and programs
        // put tokens, where the name belongs.
        let (name, addr) = (known.map(|_| name), from.map(tracing::field::display));
        tracing::warn!(account.name = name, peer.addr = addr, withheld, "a sign-in failed");
    }
    SignInError::Wrong
}

/// The id of the account or the robot that has a name.
fn known(state: &State, name: &str) -> Result<Option<Id>, StoreError> {
    let read = state.registry().store().snapshot()?;
    let Some((namespace, robot)) = name.split_once(ROBOT_MARK) else {
        return Ok(account::get(&read, name)?.map(|account| account.id));
    };
    match account::get(&read, namespace)? {
        Some(account) => Ok(robot::get(&read, &account.id, robot)?.map(|robot| robot.id)),
        None => Ok(None),
    }
}

/// What an `Authorization` header says.
pub(super) enum Said {
    /// A name and a password.
    Basic(String, Secret),
    /// A token.
    Bearer(Zeroizing<String>),
}

/// What is said, if anything is.
pub(super) fn said(parts: &Parts) -> Result<Option<Said>, SignInError> {
    let mut all = parts.headers.get_all(header::AUTHORIZATION).iter();
    let Some(sent) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(SignInError::Repeated);
    }
    if let Some((name, password)) = basic(sent) {
        // Some programs send this when they were given nothing to send.
        let is_empty = name.is_empty() && password.is_empty();
        return Ok((!is_empty).then_some(Said::Basic(name, password)));
    }
    let bearer = sent.to_str().ok().and_then(|text| text.split_once(' '));
    match bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
        Some((_, token)) => Ok(Some(Said::Bearer(Zeroizing::new(token.trim_matches(' ').to_owned())))),
        None => Err(SignInError::Malformed),
    }
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

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_are_enough() {
        for (millis, told) in [(1, 1), (1_000, 1), (1_001, 2), (30_000, 30)] {
            assert_eq!(seconds(Duration::from_millis(millis)), told);
        }
    }
}
