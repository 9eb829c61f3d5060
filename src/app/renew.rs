//! The certificate that listeners show, kept good while the daemon runs.
//!
//! One of ours is made anew before it runs out. One of the operator's is read
//! again when its files change, which is looked at every minute and at once
//! when somebody asks (`systemctl reload`, SIGHUP). New connections get the new
//! one; those that are open keep theirs. Files that cannot be used (half of a
//! renewal is written) change nothing: the old certificate stays, the log says
//! why, once, and they are looked at again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, Timestamp};
use crate::config::CertificateFiles;
use crate::http::Tls;
use crate::identity::{Authority, CertificateNames, ServerCertificate};
use crate::lifecycle::{Scope, blocking};
use crate::limits;
use crate::store::error_chain;

/// The certificate that listeners show, and where it comes from.
pub enum Certificate {
    /// Made here.
    Own {
        /// Who makes it.
        authority: Box<Authority>,
        /// What it is for.
        names: CertificateNames,
        /// Where it is swapped.
        tls: Tls,
        /// Until when the current one holds.
        not_after: Timestamp,
    },
    /// The operator's.
    Given {
        /// Where it lies.
        files: CertificateFiles,
        /// Where it is swapped.
        tls: Tls,
        /// The one that is shown.
        shown: ServerCertificate,
    },
}

/// Asks a running daemon to read its certificate again. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Asks.
    pub fn ask(&self) {
        self.0.notify_one();
    }
}

/// Keeps the certificate good until the scope is told to stop.
pub async fn run(certificate: Certificate, reload: Reload, clock: Clock, scope: Scope) {
    match certificate {
        Certificate::Own { authority, names, tls, not_after } => {
            own(authority, names, tls, not_after, &reload, &clock, &scope).await;
        }
        Certificate::Given { files, tls, shown } => {
            let mut given = Given { files, tls, shown, failed: None, warned_at: None };
            given.warn(clock.now());
            while let Some(asked) = wait(&scope, &reload, limits::CERTIFICATE_LOOK).await {
                given.look(asked).await;
                given.warn(clock.now());
            }
        }
    }
}

/// Waits for the next look; whether somebody asked for it. `None` at the end.
async fn wait(scope: &Scope, reload: &Reload, every: Duration) -> Option<bool> {
    scope.until_stopped(tokio::time::timeout(every, reload.0.notified())).await.map(|waited| waited.is_ok())
}

async fn own(
    mut authority: Box<Authority>,
    mut names: CertificateNames,
    tls: Tls,
    mut not_after: Timestamp,
    reload: &Reload,
    clock: &Clock,
    scope: &Scope,
) {
    while wait(scope, reload, limits::CERTIFICATE_RENEWAL_LOOK).await.is_some() {
        let now = clock.now();
        let made;
        (authority, names, made) = blocking(move || {
            let made = authority.server_certificate(&names, now);
            (authority, names, made)
        })
        .await;
        match made {
            Ok(made) if made.not_after() != not_after => {
                not_after = made.not_after();
                tls.swap(made.server_config());
                tracing::info!(until = %not_after, "the certificate was renewed");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(error = error_chain(&error), "the certificate could not be renewed"),
        }
    }
}

/// An operator's certificate, watched.
struct Given {
    files: CertificateFiles,
    tls: Tls,
    shown: ServerCertificate,
    /// What was wrong with the files when they were last looked at.
    failed: Option<String>,
    /// When it was last said that it runs out.
    warned_at: Option<Timestamp>,
}

impl Given {
    async fn look(&mut self, asked: bool) {
        let files = self.files.clone();
        match blocking(move || ServerCertificate::load(&files.certificate, &files.key)).await {
            Ok(read) if read.is_same(&self.shown) => {
                self.failed = None;
                if asked {
                    tracing::info!(until = %read.not_after(), "the certificate's files have not changed");
                }
            }
            Ok(read) => {
                self.tls.swap(read.server_config());
                tracing::info!(until = %read.not_after(), "the certificate was read again; new connections get it");
                (self.shown, self.failed, self.warned_at) = (read, None, None);
            }
            Err(error) => {
                let words = error_chain(&error);
                if asked || self.failed.as_ref() != Some(&words) {
                    tracing::error!(error = words, "the certificate's files cannot be used; the one before stays");
                }
                self.failed = Some(words);
            }
        }
    }

    /// Says once a day that it runs out, or has.
    fn warn(&mut self, now: Timestamp) {
        let left = self.shown.not_after().since(now);
        let is_told = self.warned_at.is_some_and(|at| now.since(at) < limits::CERTIFICATE_WARN_EVERY);
        if left >= limits::CERTIFICATE_WARN_BEFORE || is_told {
            return;
        }
        self.warned_at = Some(now);
        let (until, path) = (self.shown.not_after(), self.files.certificate.display());
        if left.is_zero() {
            tracing::error!(%until, certificate = %path, "the configured certificate has expired: clients refuse it");
        } else {
            tracing::warn!(%until, certificate = %path, "the configured certificate runs out soon");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn write(folder: &Path, made: &rcgen::CertifiedKey<rcgen::KeyPair>) {
        std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    }

    fn made() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(vec!["registry.example".to_owned()]).unwrap()
    }

    #[tokio::test]
    async fn files_that_change_are_shown_and_files_that_cannot_be_used_are_not() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &made());
        let files = CertificateFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        let shown = ServerCertificate::load(&files.certificate, &files.key).unwrap();
        let tls = Tls::new(shown.server_config());
        let (reload, scope) = (Reload::default(), Scope::new());
        let first = tls.current();
        let given = Certificate::Given { files, tls: tls.clone(), shown };
        scope.spawn(run(given, reload.clone(), Clock::system(), scope.clone()));
        // Half of a renewal: the certificate is new and the key is not.
        let renewed = made();
        std::fs::write(folder.path().join("tls.crt"), renewed.cert.pem()).unwrap();
        reload.ask();
        let changed = tokio::time::timeout(Duration::from_millis(300), tls.changed()).await;
        assert!(changed.is_err() && Arc::ptr_eq(&first, &tls.current()));
        write(folder.path(), &renewed);
        let changed = tls.changed();
        reload.ask();
        tokio::time::timeout(Duration::from_secs(30), changed).await.expect("it is read again");
        assert!(!Arc::ptr_eq(&first, &tls.current()));
        assert!(scope.drain(Duration::from_secs(5)).await);
    }
}
