//! Passwords: argon2id, few at once, none twice in a minute.
//!
//! A hash takes 19 MiB and tens of milliseconds, so hashing runs off the async
//! threads behind a semaphore, and clients that send their password with every
//! request (Basic) are remembered for a minute under a keyed hash. An account
//! that does not exist costs the same work as one that does.
//!
//! Not here: which account a name means, lock-out, rate limits.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Argon2, Params, PasswordHash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::chance::Chance;
use crate::secret::Secret;
use crate::{lifecycle, limits};

/// A password that may not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer characters than allowed.
    #[error("a password has at least {} characters, this one has {chars}", limits::PASSWORD_MIN_CHARS)]
    TooShort {
        /// How many it has.
        chars: usize,
    },
    /// More bytes than allowed.
    #[error("a password has at most {} bytes, this one has {bytes}", limits::PASSWORD_MAX_BYTES)]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
}

/// Hashes and checks passwords. Cheap to clone; clones share the memory of
/// what was checked.
#[derive(Clone, Debug)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    turns: Arc<Semaphore>,
    /// Places of those who wait for a turn, where the line is bounded.
    places: Arc<Semaphore>,
    chance: Chance,
    /// The key of [`fingerprint`], of this process alone.
    key: Zeroizing<[u8; 32]>,
    /// What a missing account is checked against.
    decoy: String,
    verified: Mutex<Verified>,
    computed: AtomicU64,
}

/// A place among those who wait for a hash to be computed.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for as long as the place is taken")] OwnedSemaphorePermit);

/// Fingerprints of passwords that were right, with the moment they expire.
/// All live equally long, so the queue is in order of expiry.
#[derive(Default)]
struct Verified {
    until: HashMap<[u8; 32], Instant>,
    order: VecDeque<([u8; 32], Instant)>,
}

/// Whether a password may be set.
pub fn check(password: &Secret) -> Result<(), PasswordError> {
    let text = password.expose();
    if text.len() > limits::PASSWORD_MAX_BYTES {
        return Err(PasswordError::TooLong { bytes: text.len() });
    }
    let chars = text.chars().count();
    if chars < limits::PASSWORD_MIN_CHARS {
        return Err(PasswordError::TooShort { chars });
    }
    Ok(())
}

/// Hashes a password to a PHC string (argon2id). Blocks for tens of
/// milliseconds: a server goes through [`Passwords::hash`].
pub fn hash(password: &Secret, chance: &Chance) -> Result<String, PasswordError> {
    check(password)?;
    let mut salt = [0; 16];
    chance.fill(&mut salt);
    let phc = Argon2::default()
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .expect("a salt of 16 bytes and a password of bounded length hash");
    Ok(phc.to_string())
}

/// Whether `password` is the one that `phc` was made from. Blocks for tens of
/// milliseconds: a server goes through [`Passwords::verify`]. A `phc` that
/// cannot be read matches nothing.
pub fn verify(phc: &str, password: &Secret) -> bool {
    if password.expose().len() > limits::PASSWORD_MAX_BYTES {
        return false;
    }
    match PasswordHash::new(phc) {
        Ok(parsed) => Argon2::default().verify_password(password.expose().as_bytes(), &parsed).is_ok(),
        Err(error) => {
            tracing::error!(%error, "a stored password hash cannot be read");
            false
        }
    }
}

impl Passwords {
    /// With the product's limits.
    pub fn new(chance: &Chance) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        chance.fill(key.as_mut());
        Self(Arc::new(Inner {
            turns: Arc::new(Semaphore::new(limits::PASSWORD_HASHES)),
            places: Arc::new(Semaphore::new(limits::PASSWORDS_WAITING)),
            chance: chance.clone(),
            key,
            decoy: decoy(chance),
            verified: Mutex::default(),
            computed: AtomicU64::new(0),
        }))
    }

    /// Hashes a password to the PHC string that is stored.
    pub async fn hash(&self, password: &Secret) -> Result<String, PasswordError> {
        check(password)?;
        let (chance, password) = (self.0.chance.clone(), password.clone());
        self.compute(move || hash(&password, &chance)).await
    }

    /// Whether `password` is the one of the account `account`, whose stored
    /// hash is `phc`; `None` when there is no such account or it has no
    /// password, which takes as long to refuse.
    ///
    /// A right password is remembered for [`limits::PASSWORD_CACHE`]; once the
    /// stored hash changes, what was remembered no longer fits.
    pub async fn verify(&self, account: &str, phc: Option<&str>, password: &Secret) -> bool {
        let admit = || Ok::<(), Infallible>(());
        self.verify_if(account, phc, password, admit).await.is_ok_and(|(right, ())| right)
    }

    /// The same, if `admit` lets it be computed: asked when it is about to be,
    /// and not at all for what is remembered. What it gave comes back beside the
    /// answer.
    ///
    /// # Errors
    /// What `admit` refuses with.
    pub async fn verify_if<T: Default, E>(
        &self,
        account: &str,
        phc: Option<&str>,
        password: &Secret,
        admit: impl FnOnce() -> Result<T, E>,
    ) -> Result<(bool, T), E> {
        if password.expose().len() > limits::PASSWORD_MAX_BYTES {
            return Ok((false, T::default()));
        }
        let fingerprint = phc.map(|phc| fingerprint(&self.0.key, account, phc, password));
        let known = |verified: &Mutex<Verified>| fingerprint.is_some_and(|print| lock(verified).holds(&print));
        if known(&self.0.verified) {
            return Ok((true, T::default()));
        }
        let turn = self.turn().await;
        // Whoever had the turn before may have asked the same: a client opens several connections at once.
        if known(&self.0.verified) {
            return Ok((true, T::default()));
        }
        let admitted = admit()?;
        let (stored, secret, inner) = (phc.unwrap_or(&self.0.decoy).to_owned(), password.clone(), Arc::clone(&self.0));
        let right = self.compute_in(turn, move || {
            // Always computed; and without an account nobody gets in, whatever it says.
            let right = verify(&stored, &secret);
            let Some(print) = fingerprint.filter(|_| right) else { return false };
            // Before the turn is given on, so that whoever gets it finds this.
            lock(&inner.verified).keep(print);
            true
        });
        Ok((right.await, admitted))
    }

    /// Whether this password is remembered as right: nothing is computed for it.
    pub fn is_known(&self, account: &str, phc: Option<&str>, password: &Secret) -> bool {
        phc.is_some_and(|phc| lock(&self.0.verified).holds(&fingerprint(&self.0.key, account, phc, password)))
    }

    /// A place among those who wait for a turn, for whoever nothing speaks for;
    /// `None` when there is none left. It is free again when it is dropped.
    pub fn place(&self) -> Option<Place> {
        Arc::clone(&self.0.places).try_acquire_owned().ok().map(Place)
    }

    /// How many hashes were computed, for the metrics.
    pub fn computed(&self) -> u64 {
        self.0.computed.load(Ordering::Relaxed)
    }

    async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0.turns).acquire_owned().await.expect("the semaphore is never closed")
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let turn = self.turn().await;
        self.compute_in(turn, work).await
    }

    /// The turn goes along with the work: a caller who hangs up does not free
    /// it while the work still takes its memory.
    async fn compute_in<T: Send + 'static>(
        &self,
        turn: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.0.computed.fetch_add(1, Ordering::Relaxed);
        lifecycle::blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("turns", &self.turns).field("computed", &self.computed).finish_non_exhaustive()
    }
}

impl Verified {
    fn holds(&self, print: &[u8; 32]) -> bool {
        self.until.get(print).is_some_and(|until| Instant::now() < *until)
    }

    fn keep(&mut self, print: [u8; 32]) {
        let now = Instant::now();
        while let Some((oldest, until)) = self.order.front().copied()
            && (until <= now || self.order.len() >= limits::PASSWORD_CACHE_ENTRIES)
        {
            self.order.pop_front();
            // The same password may have been kept again since, with a later end.
            if self.until.get(&oldest) == Some(&until) {
                self.until.remove(&oldest);
            }
        }
        let until = now + limits::PASSWORD_CACHE;
        self.until.insert(print, until);
        self.order.push_back((print, until));
    }
}

/// What stands for a right password in memory: it cannot be turned back
/// without the key, and holds for one account and one stored hash.
fn fingerprint(key: &[u8; 32], account: &str, phc: &str, password: &Secret) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(key);
    // Lengths first, so that no two triples run together to the same bytes.
    for part in [account, phc, password.expose()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// A hash that no password has, of the cost that real ones have.
fn decoy(chance: &Chance) -> String {
    let (mut salt, mut output) = ([0; 16], [0; Params::DEFAULT_OUTPUT_LEN]);
    chance.fill(&mut salt);
    chance.fill(&mut output);
    format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        Params::DEFAULT_M_COST,
        Params::DEFAULT_T_COST,
        Params::DEFAULT_P_COST,
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(output)
    )
}

fn lock(verified: &Mutex<Verified>) -> std::sync::MutexGuard<'_, Verified> {
    // Nothing in here panics half way; and what is kept is checked for its age anyway.
    verified.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    #[test]
    fn lengths_are_checked_in_characters_below_and_bytes_above() {
        assert_eq!(check(&secret("1234567")), Err(PasswordError::TooShort { chars: 7 }));
        assert_eq!(check(&secret("ääääää7")), Err(PasswordError::TooShort { chars: 7 }));
        assert_eq!(check(&secret("12345678")), Ok(()));
        assert_eq!(check(&secret(&"x".repeat(1_024))), Ok(()));
        let error = check(&secret(&"x".repeat(1_025))).unwrap_err();
        assert_eq!(error.to_string(), "a password has at most 1024 bytes, this one has 1025");
    }

    #[test]
    fn a_hash_is_argon2id_at_19_mib_with_a_salt_of_its_own() {
        let chance = Chance::system();
        let (one, two) =
            (hash(&secret("correct horse"), &chance).unwrap(), hash(&secret("correct horse"), &chance).unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, two);
        assert!(verify(&one, &secret("correct horse")) && verify(&two, &secret("correct horse")));
        assert!(!verify(&one, &secret("correct horsf")));
        assert!(!verify("not a hash", &secret("correct horse")));
    }

    #[test]
    fn a_hash_of_another_implementation_verifies() {
        // A vector of the reference implementation (its test.c): password, somesalt, t=2, m=2^16, p=1.
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(verify(phc, &secret("password")));
        assert!(!verify(phc, &secret("Password")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_password_is_remembered_for_its_time_and_a_wrong_one_never() {
        let passwords = Passwords::new(&Chance::system());
        let phc = passwords.hash(&secret("correct horse")).await.unwrap();
        let ask = async |password: &str| passwords.verify("ann", Some(&phc), &secret(password)).await;
        assert!(ask("correct horse").await);
        assert!(ask("correct horse").await);
        assert_eq!(passwords.computed(), 2, "one to hash, one to verify");
        assert!(!ask("wrong horse").await);
        assert!(!ask("wrong horse").await);
        assert_eq!(passwords.computed(), 4);
        tokio::time::advance(limits::PASSWORD_CACHE).await;
        assert!(ask("correct horse").await);
        assert_eq!(passwords.computed(), 5);
    }

    #[tokio::test]
    async fn what_is_remembered_holds_for_one_account_and_one_stored_hash() {
        let passwords = Passwords::new(&Chance::system());
        let (old, new) = (
            passwords.hash(&secret("correct horse")).await.unwrap(),
            passwords.hash(&secret("other horse")).await.unwrap(),
        );
        assert!(passwords.verify("ann", Some(&old), &secret("correct horse")).await);
        assert!(!passwords.verify("ann", Some(&new), &secret("correct horse")).await);
        let computed = passwords.computed();
        assert!(passwords.verify("bob", Some(&old), &secret("correct horse")).await);
        assert_eq!(passwords.computed(), computed + 1);
    }

    #[tokio::test]
    async fn an_account_that_is_not_there_costs_a_hash_of_the_same_price() {
        let passwords = Passwords::new(&Chance::system());
        assert!(!passwords.verify("nobody", None, &secret("whatever it is")).await);
        assert!(!passwords.verify("nobody", None, &secret("whatever it is")).await);
        assert_eq!(passwords.computed(), 2);
        let decoy = PasswordHash::new(&passwords.0.decoy).unwrap();
        let real = PasswordHash::new(&hash(&secret("correct horse"), &Chance::system()).unwrap()).unwrap();
        assert_eq!((decoy.algorithm, decoy.version, &decoy.params), (real.algorithm, real.version, &real.params));
        assert_eq!(decoy.hash.map(|hash| hash.len()), real.hash.map(|hash| hash.len()));
    }

    #[tokio::test]
    async fn many_who_ask_the_same_at_once_cost_at_most_a_hash_a_turn() {
        let passwords = Passwords::new(&Chance::system());
        let phc = passwords.hash(&secret("correct horse")).await.unwrap();
        let (word, before) = (secret("correct horse"), passwords.computed());
        let asked = futures_util::future::join_all((0..8).map(|_| passwords.verify("ann", Some(&phc), &word))).await;
        assert!(asked.into_iter().all(|right| right));
        assert!(passwords.computed() - before <= limits::PASSWORD_HASHES as u64, "{}", passwords.computed());
    }

    #[test]
    fn the_memory_is_bounded() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut verified = Verified::default();
            let print = |n: usize| {
                let mut print = [0; 32];
                print[..8].copy_from_slice(&(n as u64).to_be_bytes());
                print
            };
            for n in 0..limits::PASSWORD_CACHE_ENTRIES + 10 {
                verified.keep(print(n));
                // The same one over and over must not push the others out of the map only.
                verified.keep(print(n));
            }
            assert!(verified.order.len() <= limits::PASSWORD_CACHE_ENTRIES);
            assert!(verified.until.len() <= verified.order.len());
            assert!(verified.holds(&print(limits::PASSWORD_CACHE_ENTRIES + 9)));
            assert!(!verified.holds(&print(0)));
        });
    }
}
