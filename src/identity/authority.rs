//! The authority made at first start, and the certificates it issues.
//!
//! A box without an administrator still serves TLS: a certificate authority of
//! its own (trusted once by each client, `GET /ca`) issues the certificate the
//! listeners show, and issues it anew when its time runs out or its names
//! change. When the authority's own time runs out its certificate is renewed
//! under the same name and key, so that clients which trust the old one keep
//! working to its last day.
//!
//! Files in the folder: `ca.key` (0600), `ca.crt` (to hand out), `server.pem`
//! (0600, certificate and key in one, so that no crash leaves halves).

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Datelike as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::certificate::{self, CertificateError, Facts, ServerCertificate};
use super::certificate_name::{CertificateName, CertificateNames};
use super::private_file;
use crate::chance::Chance;
use crate::clock::Timestamp;
use crate::limits;

/// The box's own certificate authority.
pub struct Authority {
    folder: PathBuf,
    chance: Chance,
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    not_after: Timestamp,
}

/// Earlier than this no copy of this program existed: a clock that says so is
/// not set yet, and what is dated by it would have expired once it is.
/// 2026-01-01.
const EARLIEST: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

const KEY: &str = "ca.key";
const CERTIFICATE: &str = "ca.crt";
const SERVER: &str = "server.pem";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Authority {
    /// Opens the authority in `folder`, or makes it where there is none.
    /// Blocks: files and a key pair.
    pub fn open_or_create(folder: &Path, now: Timestamp, chance: &Chance) -> Result<Self, CertificateError> {
        let now = now.max(EARLIEST);
        let (key_path, certificate_path) = (folder.join(KEY), folder.join(CERTIFICATE));
        let key_text = private_file::read_private(&key_path)?;
        let certificate_text = private_file::read(&certificate_path)?;
        let key = match (&key_text, &certificate_text) {
            (Some(text), _) => {
                KeyPair::from_pem(text).map_err(|_| CertificateError::NoKey { path: key_path.clone() })?
            }
            (None, Some(_)) => {
                return Err(CertificateError::HalfAuthority { present: certificate_path, missing: key_path });
            }
            (None, None) => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                private_file::write(&key_path, &Zeroizing::new(key.serialize_pem()), 0o600)?;
                key
            }
        };
        let held = match &certificate_text {
            Some(text) => {
                let certificate = certificate::read_chain(text, &certificate_path)?.swap_remove(0);
                let facts = Facts::read(&certificate, &certificate_path)?;
                if facts.public_key != key.subject_public_key_info() {
                    return Err(CertificateError::Mismatch { certificate: certificate_path, key: key_path });
                }
                Some((certificate, facts))
            }
            // The very first start was cut short between the two files.
            None => None,
        };
        let (certificate, not_after) = match held {
            Some((certificate, facts)) if !facts.is_due(now) => (certificate, facts.not_after),
            due => {
                let name = due.and_then(|(_, facts)| facts.common_name).unwrap_or_else(|| new_name(chance));
                let made = authority_params(&name, now, chance).self_signed(&key)?;
                private_file::write(&certificate_path, &made.pem(), 0o644)?;
                (made.der().clone(), Facts::read(made.der(), &certificate_path)?.not_after)
            }
        };
        let pem = private_file::read(&certificate_path)?
            .ok_or_else(|| CertificateError::Absent { path: certificate_path.clone() })?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self {
            folder: folder.to_owned(),
            chance: chance.clone(),
            certificate,
            pem: pem.to_string(),
            issuer,
            not_after,
        })
    }

    /// The authority's certificate as PEM, for `GET /ca`.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The authority's certificate, for a client of this process.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Where the authority's certificate stands, for what the daemon prints.
    pub fn certificate_path(&self) -> PathBuf {
        self.folder.join(CERTIFICATE)
    }

    /// The certificate for `names`: the one on the disk, or a new one when
    /// there is none, its names differ, it cannot be read, less than a third
    /// of its life is left, or another authority issued it. Blocks.
    ///
    /// Calling it once a day and swapping what it returns keeps a listener in
    /// date for as long as the process runs.
    pub fn server_certificate(
        &self,
        names: &CertificateNames,
        now: Timestamp,
    ) -> Result<ServerCertificate, CertificateError> {
        let now = now.max(EARLIEST);
        let path = self.folder.join(SERVER);
        if let Some(text) = private_file::read_private(&path)? {
            match ServerCertificate::from_pem(&text, &path, &text, &path) {
                Ok(held)
                    if names.are(&held.facts().names)
                        && !held.facts().is_due(now)
                        && held.is_signed_by(&self.certificate) =>
                {
                    return Ok(held);
                }
                Ok(_) => tracing::info!(path = %path.display(), "the certificate is made anew"),
                // It can be made at any time, so a torn one stops nobody.
                Err(error) => tracing::warn!(%error, "the certificate is made anew"),
            }
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let made = self.server_params(names, now)?.signed_by(&key, &self.issuer)?;
        let text = Zeroizing::new(made.pem() + &Zeroizing::new(key.serialize_pem()));
        private_file::write(&path, &text, 0o600)?;
        ServerCertificate::from_pem(&text, &path, &text, &path)
    }

    fn server_params(&self, names: &CertificateNames, now: Timestamp) -> Result<CertificateParams, CertificateError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(subject_name).collect::<Result<_, _>>()?;
        params.distinguished_name = common_name("Tidegate");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(&self.chance));
        // A day back, for clients whose clock is behind. The whole span counts against the limit.
        let from = back_a_day(now);
        set_validity(&mut params, from, from.after(DAY * limits::CERTIFICATE_DAYS).min(self.not_after));
        Ok(params)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("folder", &self.folder)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

fn authority_params(name: &str, now: Timestamp, chance: &Chance) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // A renewed authority has the same name and key; only its serial number tells it from the old one.
    params.serial_number = Some(serial(chance));
    let from = back_a_day(now);
    set_validity(&mut params, from, from.after(DAY * limits::AUTHORITY_DAYS));
    params
}

/// A name of its own, so that a client that trusts many boxes can tell them apart.
fn new_name(chance: &Chance) -> String {
    format!("Tidegate CA {}", chance.id().short())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// A random positive number of 16 bytes (RFC 5280 §4.1.2.2).
fn serial(chance: &Chance) -> SerialNumber {
    let mut bytes = [0; 16];
    chance.fill(&mut bytes);
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn subject_name(name: &CertificateName) -> Result<SanType, rcgen::Error> {
    Ok(match name {
        CertificateName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        CertificateName::Ip(address) => SanType::IpAddress(*address),
    })
}

fn back_a_day(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_sub(86_400_000_000))
}

/// Both ends at midnight UTC. Years that X.509 cannot write (after 9999) come
/// out of no clock that is near right.
fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    for (end, at) in [(&mut params.not_before, from.utc()), (&mut params.not_after, until.utc())] {
        *end = rcgen::date_time_ymd(at.year().clamp(1970, 9_999), at.month() as u8, at.day() as u8);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn after(days: u32) -> Timestamp {
        NOW.after(DAY * days)
    }

    fn open(folder: &Path, now: Timestamp) -> Authority {
        Authority::open_or_create(folder, now, &Chance::system()).unwrap()
    }

    fn names(given: &[&str]) -> CertificateNames {
        CertificateNames::new(Some("edge-7"), given).unwrap()
    }

    #[test]
    fn the_first_start_makes_an_authority_that_the_next_finds() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), NOW);
        let again = open(folder.path(), after(1));
        assert_eq!(first.certificate_pem(), again.certificate_pem());
        let facts = Facts::read(first.certificate(), &first.certificate_path()).unwrap();
        assert!(facts.common_name.is_some_and(|name| name.starts_with("Tidegate CA ")));
        assert_eq!(facts.not_after.since(facts.not_before), DAY * limits::AUTHORITY_DAYS);
        let mode = |file| std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode() & 0o777;
        first.server_certificate(&names(&[]), NOW).unwrap();
        assert_eq!((mode(KEY), mode(CERTIFICATE), mode(SERVER)), (0o600, 0o644, 0o600));
    }

    #[test]
    fn the_certificate_stays_until_its_names_or_its_time_say_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let authority = open(folder.path(), NOW);
        let serve = |given: &[&str], now| authority.server_certificate(&names(given), now).unwrap();
        let first = serve(&["registry.example"], NOW);
        assert_eq!(first.not_after().since(first.not_before()), DAY * limits::CERTIFICATE_DAYS);
        assert_eq!(serve(&["registry.example"], after(500)).not_after(), first.not_after());
        assert!(serve(&["registry.example"], after(600)).not_after() > first.not_after());
        let other = serve(&["10.0.0.7"], NOW);
        let shown: Vec<String> = other.names().map(ToString::to_string).collect();
        assert_eq!(shown, ["edge-7", "localhost", "10.0.0.7", "127.0.0.1", "::1"]);
    }

    #[test]
    fn an_authority_near_its_end_is_renewed_under_its_name_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let old = open(folder.path(), NOW);
        let new = open(folder.path(), after(2_600));
        assert_ne!(old.certificate(), new.certificate());
        let facts = |authority: &Authority| Facts::read(authority.certificate(), Path::new(CERTIFICATE)).unwrap();
        assert_eq!(facts(&old).common_name, facts(&new).common_name);
        assert_eq!(facts(&old).public_key, facts(&new).public_key);
        let shown = new.server_certificate(&names(&[]), after(2_600)).unwrap();
        assert!(shown.is_signed_by(old.certificate()) && shown.is_signed_by(new.certificate()));
    }

    #[test]
    fn a_certificate_of_another_authority_or_a_torn_one_is_made_anew() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (authority, stranger) = (open(folder.path(), NOW), open(other.path(), NOW));
        stranger.server_certificate(&names(&[]), NOW).unwrap();
        std::fs::copy(other.path().join(SERVER), folder.path().join(SERVER)).unwrap();
        let shown = authority.server_certificate(&names(&[]), NOW).unwrap();
        assert!(shown.is_signed_by(authority.certificate()) && !shown.is_signed_by(stranger.certificate()));
        private_file::write(&folder.path().join(SERVER), "-----BEGIN CERTIFICATE-----\nAA", 0o600).unwrap();
        assert!(authority.server_certificate(&names(&[]), NOW).unwrap().is_signed_by(authority.certificate()));
    }

    #[test]
    fn a_clock_that_is_not_set_makes_nothing_that_has_expired_once_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let authority = open(folder.path(), Timestamp::EPOCH);
        let shown = authority.server_certificate(&names(&[]), Timestamp::EPOCH).unwrap();
        assert!(shown.not_after() > EARLIEST.after(DAY * 800));
        // And one that ran ahead is put right once it is back.
        let ahead = authority.server_certificate(&names(&[]), after(2_000)).unwrap();
        assert!(ahead.not_before() > NOW);
        assert!(authority.server_certificate(&names(&[]), NOW).unwrap().not_before() < NOW);
    }

    #[test]
    fn half_an_authority_is_never_replaced_silently() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), NOW);
        let again = || Authority::open_or_create(folder.path(), NOW, &Chance::system());
        let key = std::fs::read_to_string(folder.path().join(KEY)).unwrap();
        std::fs::remove_file(folder.path().join(KEY)).unwrap();
        assert!(matches!(again(), Err(CertificateError::HalfAuthority { .. })));
        let stranger = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        private_file::write(&folder.path().join(KEY), &stranger, 0o600).unwrap();
        assert!(matches!(again(), Err(CertificateError::Mismatch { .. })));
        private_file::write(&folder.path().join(KEY), &key, 0o640).unwrap();
        assert!(matches!(again(), Err(CertificateError::File(_))));
        // A first start that was cut short after the key goes on with it.
        private_file::write(&folder.path().join(KEY), &key, 0o600).unwrap();
        std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
        let (old, new) = (first.certificate(), again().unwrap());
        let public_key = |der| Facts::read(der, Path::new(CERTIFICATE)).unwrap().public_key;
        assert_eq!(public_key(old), public_key(new.certificate()));
    }
}
