//! Tokens of the token service: short-lived, signed by this instance, saying
//! who somebody is and by what that was shown. They say nothing of rights.
//!
//! The form is a JSON Web Token (RFC 7519) signed with Ed25519 (RFC 8037), and
//! only ever the form that this file writes: the header of a token must be ours
//! to the byte, so that no algorithm, key or extension that a stranger names in
//! one is so much as parsed (CVE-2025-24976). What it says was shown is looked
//! at again with every request, by whoever asks.
//!
//! The key is made at first start, in a file of mode 0600, and is in no backup:
//! a copy of a registry does not take the tokens of the first.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::private_file::{self, FileError};
use crate::chance::{Chance, Id};
use crate::clock::Timestamp;
use crate::limits;

/// The key file's name in the data folder.
pub const TOKEN_KEY: &str = "token.key";

/// Why the key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The file cannot be read or written, or others can read it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds something else.
    #[error("{} is no token key: remove it, and everyone signs in again", .path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
}

/// By what somebody was known; whoever reads a token looks whether that still
/// holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The password, of which this is the print ([`Signer::print`]).
    Password([u8; 16]),
    /// The access token whose text hashes to this.
    Token([u8; 32]),
    /// A name in a client certificate.
    Certificate(String),
    /// Nothing: nobody signed in.
    Nothing,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The account or robot, all zero for nobody.
    pub subject: Id,
    /// By what it was known.
    pub proof: Proof,
}

/// Why a token is refused. One word for the client; which it was is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not of the form that this instance writes.
    #[error("the token is not of a form that is used here")]
    Malformed,
    /// Another key signed it, or it was changed.
    #[error("the token's signature is not ours")]
    Signature,
    /// It was made for another registry, or another name of this one.
    #[error("the token is for another registry")]
    Audience,
    /// Its time is over, or has not come.
    #[error("the token has expired")]
    Expired,
}

/// Makes and reads tokens. Cheap to clone.
#[derive(Clone)]
pub struct Signer(Arc<Inner>);

struct Inner {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
    /// The first segment of every token.
    header: String,
    issuer: String,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: Id,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: Id,
    /// [`Proof`], as text.
    by: String,
}

const HEADER: &str = "tidegate-token-key v1";

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

impl Signer {
    /// Opens the key file, or makes it, for the instance `instance`.
    ///
    /// # Errors
    /// [`TokenKeyError`].
    pub fn open_or_create(path: &Path, instance: Id, chance: &Chance) -> Result<Self, TokenKeyError> {
        if let Some(text) = private_file::read_private(path)? {
            let seed = parse(&text).ok_or_else(|| TokenKeyError::Malformed { path: path.to_owned() })?;
            return Ok(Self::new(seed, instance));
        }
        let mut seed = Zeroizing::new([0; 32]);
        chance.fill(seed.as_mut());
        let text = Zeroizing::new(format!("{HEADER}\n{}\n", *Zeroizing::new(hex::encode(*seed))));
        private_file::write(path, &text, 0o600)?;
        Ok(Self::new(seed, instance))
    }

    fn new(seed: Zeroizing<[u8; 32]>, instance: Id) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).expect("32 bytes are an Ed25519 seed");
        let kid = hex::encode(&Sha256::digest(pair.public_key().as_ref())[..8]);
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}"#));
        Self(Arc::new(Inner { pair, seed, header, issuer: instance.to_string() }))
    }

    /// A token that says `bearer`, for clients of `audience`: the registry's
    /// host and port as they call it. It holds for [`limits::BEARER_TOKEN`].
    pub fn sign(&self, bearer: &Bearer, audience: &str, now: Timestamp, chance: &Chance) -> String {
        let at = seconds(now);
        self.sign_claims(&Claims {
            iss: self.0.issuer.clone(),
            aud: audience.to_ascii_lowercase(),
            sub: bearer.subject,
            iat: at,
            nbf: at,
            exp: at + i64::try_from(limits::BEARER_TOKEN.as_secs()).unwrap_or(0),
            jti: chance.id(),
            by: write_proof(&bearer.proof),
        })
    }

    fn sign_claims(&self, claims: &Claims) -> String {
        self.sign_text(&serde_json::to_string(claims).expect("plain data always serializes"))
    }

    fn sign_text(&self, claims: &str) -> String {
        let signed = format!("{}.{}", self.0.header, URL_SAFE_NO_PAD.encode(claims));
        let signature = self.0.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// What a token says, if it is ours, for `audience` and of this time.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(&self, token: &str, audience: &str, now: Timestamp) -> Result<Bearer, TokenError> {
        if token.len() > limits::BEARER_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if header != self.0.header {
            return Err(TokenError::Malformed);
        }
        // The decoder takes neither padding nor loose bits at the end.
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        UnparsedPublicKey::new(&ED25519, self.0.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| TokenError::Signature)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Malformed)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)?;
        if claims.iss != self.0.issuer || claims.aud != audience.to_ascii_lowercase() {
            return Err(TokenError::Audience);
        }
        let (now, skew) = (seconds(now), i64::try_from(limits::BEARER_TOKEN_SKEW.as_secs()).unwrap_or(0));
        let longest = i64::try_from(limits::BEARER_TOKEN.as_secs()).unwrap_or(0);
        let is_old = now >= claims.exp || claims.exp.saturating_sub(claims.iat) > longest;
        if is_old || claims.nbf.max(claims.iat) > now.saturating_add(skew) {
            return Err(TokenError::Expired);
        }
        let proof = read_proof(&claims.by).ok_or(TokenError::Malformed)?;
        Ok(Bearer { subject: claims.sub, proof })
    }

    /// What stands for a password in tokens: another one once the password is
    /// set anew, even to the same, and of no use without this instance's key.
    pub fn print(&self, account: &Id, phc: &str) -> [u8; 16] {
        let mut hasher = Sha256::new();
        hasher.update(b"tidegate password print v1");
        hasher.update(*self.0.seed);
        hasher.update(account.bytes());
        hasher.update(phc);
        let mut print = [0; 16];
        print.copy_from_slice(&hasher.finalize()[..16]);
        print
    }
}

/// Whether two prints are the same, in a time that does not tell where they
/// differ.
pub fn same_print(one: &[u8; 16], other: &[u8; 16]) -> bool {
    bool::from(one.ct_eq(other))
}

/// Access tokens as texts: made, recognised, hashed.
///
/// `tgp_`, 64 hexadecimal digits that are 256 random bits, and 8 that check
/// them, so that a scanner for secrets finds them and reports no others.
pub mod access {
    use std::borrow::Cow;

    use sha2::{Digest as _, Sha256};
    use zeroize::Zeroizing;

    use crate::chance::Chance;
    use crate::secret::Secret;

    const PREFIX: &str = "tgp_";
    const RANDOM: usize = 64;
    const CHECK: usize = 8;

    /// A new one.
    pub fn make(chance: &Chance) -> Secret {
        let mut bytes = Zeroizing::new([0; 32]);
        chance.fill(bytes.as_mut());
        let random = Zeroizing::new(hex::encode(*bytes));
        Secret::new(format!("{PREFIX}{}{}", *random, check(&random)))
    }

    /// The hash of a text that can be one; `None` for others, which are
    /// perhaps passwords.
    pub fn hash(text: &str) -> Option<[u8; 32]> {
        let rest = text.strip_prefix(PREFIX).filter(|rest| rest.len() == RANDOM + CHECK)?;
        let (random, sum) = rest.split_at_checked(RANDOM)?;
        (check(random) == sum).then(|| Sha256::digest(text).into())
    }

    /// A text for the log: without what stands behind the prefix, wherever one
    /// is in it. People put a token where its hash belongs.
    pub fn hide(text: &str) -> Cow<'_, str> {
        if !text.contains(PREFIX) {
            return Cow::Borrowed(text);
        }
        let mut parts = text.split(PREFIX);
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit());
            shown.push_str(PREFIX);
            shown.push_str(if rest.len() < part.len() { "[removed]" } else { "" });
            shown.push_str(rest);
        }
        Cow::Owned(shown)
    }

    /// The beginning of a token's id, for people: nothing of its text.
    pub fn short(hash: &[u8; 32]) -> String {
        hex::encode(&hash[..CHECK / 2])
    }

    fn check(random: &str) -> String {
        hex::encode(&Sha256::digest(random)[..CHECK / 2])
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

fn write_proof(proof: &Proof) -> String {
    match proof {
        Proof::Password(print) => format!("password:{}", hex::encode(print)),
        Proof::Token(hash) => format!("token:{}", hex::encode(hash)),
        Proof::Certificate(name) => format!("certificate:{name}"),
        Proof::Nothing => "nothing".to_owned(),
    }
}

fn read_proof(text: &str) -> Option<Proof> {
    if text == "nothing" {
        return Some(Proof::Nothing);
    }
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "password" => {
            let mut print = [0; 16];
            hex::decode_to_slice(rest, &mut print).ok()?;
            Some(Proof::Password(print))
        }
        "token" => {
            let mut hash = [0; 32];
            hex::decode_to_slice(rest, &mut hash).ok()?;
            Some(Proof::Token(hash))
        }
        "certificate" => Some(Proof::Certificate(rest.to_owned())),
        _ => None,
    }
}

fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let (header, rest) = text.split_once('\n')?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(rest.strip_suffix('\n')?, seed.as_mut()).ok()?;
    (header == HEADER).then_some(seed)
}

#[cfg(test)]
mod tests;
