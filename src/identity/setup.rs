//! The set-up secret: how the first system admin is made from elsewhere.
//!
//! A daemon that nobody can sign in to as system admin makes one at its start,
//! writes it to a file that only its own user may read, and tells it in its
//! log. Whoever shows it makes one account; then it is gone, with its file. It
//! is gone as well after an hour, at the daemon's end, and once there is a
//! system admin by another way. None is ever kept over a restart.
//!
//! It has 128 random bits, so guessing leads nowhere; it is compared in
//! constant time all the same, and each block of addresses may be wrong a few
//! times a minute and is told to wait beyond that. Whoever has the right one
//! does not wait: who floods keeps out nobody.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::address_block;
use super::private_file;
use crate::chance::Chance;
use crate::limits;
use crate::secret::Secret;

/// The file in the data folder that holds it.
pub const SETUP_FILE: &str = "setup-secret";

/// The set-up secret, while there is one.
#[derive(Debug, Default)]
pub struct Setup {
    pending: tokio::sync::Mutex<Option<Pending>>,
    wrong: Mutex<Wrong>,
}

struct Pending {
    secret: Secret,
    until: Instant,
    file: PathBuf,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Who was wrong, how often, in this window of time.
#[derive(Debug, Default)]
struct Wrong {
    begun: Option<Instant>,
    times: HashMap<Option<IpAddr>, u32>,
}

/// Why a secret was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// It is not the one, or there is none any more: nobody is told which.
    #[error(
        "the set-up secret is wrong, or was used, or is over; a restart of the service makes a new one while there is no system admin"
    )]
    Refused,
    /// Too many were wrong.
    #[error("too many set-up secrets were wrong; try again in a minute")]
    TooMany,
}

/// Somebody who has shown the secret. Nobody else can while this is held.
#[derive(Debug)]
pub struct Shown<'a>(MutexGuard<'a, Option<Pending>>);

impl Setup {
    /// Makes a new secret, good until `until`, and writes it to `folder`.
    ///
    /// # Errors
    /// When it cannot be written; then there is none.
    pub async fn begin(
        &self,
        folder: &Path,
        chance: &Chance,
        until: Instant,
    ) -> Result<(Secret, PathBuf), private_file::FileError> {
        let mut pending = self.pending.lock().await;
        let mut bytes = zeroize::Zeroizing::new([0; 16]);
        chance.fill(&mut *bytes);
        let (secret, file) = (Secret::new(hex::encode(*bytes)), folder.join(SETUP_FILE));
        let (text, written) = (zeroize::Zeroizing::new(format!("{}\n", secret.expose())), file.clone());
        crate::lifecycle::blocking(move || private_file::write(&written, &text, 0o600)).await?;
        *pending = Some(Pending { secret: secret.clone(), until, file: file.clone() });
        Ok((secret, file))
    }

    /// Whether there is one.
    pub async fn is_pending(&self) -> bool {
        self.pending.lock().await.is_some()
    }

    /// Whether there is one that can still be shown.
    pub async fn is_open(&self, now: Instant) -> bool {
        self.pending.lock().await.as_ref().is_some_and(|pending| now < pending.until)
    }

    /// Lets whoever has the secret in.
    ///
    /// # Errors
    /// [`SetupError`].
    pub async fn show(&self, given: &Secret, from: Option<IpAddr>, now: Instant) -> Result<Shown<'_>, SetupError> {
        let pending = self.pending.lock().await;
        let is_right = pending.as_ref().is_some_and(|pending| {
            let same = pending.secret.expose().as_bytes().ct_eq(given.expose().as_bytes());
            bool::from(same) && now < pending.until
        });
        if is_right {
            return Ok(Shown(pending));
        }
        drop(pending);
        if self.wrong().add(from.map(address_block), now) { Err(SetupError::Refused) } else { Err(SetupError::TooMany) }
    }

    /// Ends it, with its file; whether there was one.
    pub async fn end(&self) -> bool {
        let pending = self.pending.lock().await.take();
        match pending {
            Some(pending) => {
                remove(pending.file).await;
                true
            }
            None => false,
        }
    }

    fn wrong(&self) -> std::sync::MutexGuard<'_, Wrong> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown<'_> {
    /// It was used: it is gone, with its file.
    pub async fn finish(mut self) {
        if let Some(pending) = self.0.take() {
            remove(pending.file).await;
        }
    }
}

impl Wrong {
    fn is_full(&mut self, block: Option<IpAddr>, now: Instant) -> bool {
        let is_over = |begun: Instant| now.saturating_duration_since(begun) >= WINDOW;
        if self.begun.is_none_or(is_over) {
            *self = Self { begun: Some(now), times: HashMap::new() };
        }
        match self.times.get(&block) {
            Some(times) => *times >= limits::SETUP_TRIES,
            None => self.times.len() >= limits::SETUP_BLOCKS,
        }
    }

    /// Counts one, if there is room for it.
    fn add(&mut self, block: Option<IpAddr>, now: Instant) -> bool {
        let has_room = !self.is_full(block, now);
        if has_room {
            *self.times.entry(block).or_default() += 1;
        }
        has_room
    }
}

const WINDOW: Duration = limits::SETUP_TRIES_WINDOW;

/// Removes the file of an earlier run: it holds nothing any more.
pub async fn forget(folder: &Path) {
    remove(folder.join(SETUP_FILE)).await;
}

async fn remove(file: PathBuf) {
    let shown = file.display().to_string();
    match crate::lifecycle::blocking(move || std::fs::remove_file(file)).await {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, path = shown, "the file of a set-up secret that is over stays"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(host: u8) -> Option<IpAddr> {
        Some([192, 0, 2, host].into())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_shown_once_and_within_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let (setup, now) = (Setup::default(), Instant::now());
        assert_eq!(setup.show(&Secret::new(""), None, now).await.unwrap_err(), SetupError::Refused);
        let (secret, file) = setup.begin(folder.path(), &Chance::system(), now + HOUR).await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{}\n", secret.expose()));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(secret.expose().len(), 32);
        // Shown and not used, it can be shown again; used, it cannot.
        drop(setup.show(&secret, None, now).await.unwrap());
        assert_eq!(setup.show(&secret, None, now + HOUR).await.unwrap_err(), SetupError::Refused);
        setup.show(&secret, None, now).await.unwrap().finish().await;
        assert!(!file.exists() && !setup.is_pending().await);
        assert_eq!(setup.show(&secret, None, now).await.unwrap_err(), SetupError::Refused);
        // The next is another.
        let (other, _) = setup.begin(folder.path(), &Chance::system(), now + HOUR).await.unwrap();
        assert!(other != secret);
        assert!(setup.end().await && !file.exists());
        assert!(!setup.end().await);
    }

    #[tokio::test(start_paused = true)]
    async fn guessers_are_told_to_wait_and_keep_out_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (setup, now) = (Setup::default(), Instant::now());
        let (secret, _) = setup.begin(folder.path(), &Chance::system(), now + HOUR).await.unwrap();
        for _ in 0..limits::SETUP_TRIES {
            assert_eq!(setup.show(&Secret::new("guess"), at(1), now).await.unwrap_err(), SetupError::Refused);
        }
        assert_eq!(setup.show(&Secret::new("guess"), at(1), now).await.unwrap_err(), SetupError::TooMany);
        // The right one is no guess: whoever floods, from the same network or
        // from so many that no more are counted, keeps nobody from setting up.
        drop(setup.show(&secret, at(1), now).await.unwrap());
        for block in 0..limits::SETUP_BLOCKS {
            let from = IpAddr::from([10, 0, (block >> 8) as u8, block as u8]);
            let _ = setup.show(&Secret::new("guess"), Some(from), now).await.unwrap_err();
        }
        assert_eq!(setup.show(&Secret::new("guess"), at(2), now).await.unwrap_err(), SetupError::TooMany);
        drop(setup.show(&secret, at(2), now).await.unwrap());
        assert_eq!(setup.show(&Secret::new("guess"), at(1), now + WINDOW).await.unwrap_err(), SetupError::Refused);
    }
}
