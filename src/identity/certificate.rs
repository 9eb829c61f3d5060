//! A certificate chain and its key, checked against each other.
//!
//! What a listener shows its clients: made by [`crate::identity::Authority`] or loaded
//! from the operator's PEM files. Everything that can be wrong with such files
//! is found here, by name, before a listener opens; a handshake never fails
//! for them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::certificate_name::CertificateName;
use super::private_file::{self, FileError};
use crate::clock::Timestamp;
use crate::limits;

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written, or others can read a key.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that was named is not there.
    #[error("{} is not there", .path.display())]
    Absent {
        /// Which file.
        path: PathBuf,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate: it must be PEM with `BEGIN CERTIFICATE`, the server's own first", .path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// A file holds no private key.
    #[error("{} holds no private key: it must be PEM with `BEGIN PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`, unencrypted", .path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// A PEM file is torn.
    #[error("{} is not whole PEM: {}", .path.display(), torn(.error))]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Where it breaks.
        error: pem::Error,
    },
    /// The key is too short for TLS.
    #[error("the certificate in {} has an RSA key of {bits} bits, and TLS needs {} or more: make a new key and certificate", .path.display(), limits::RSA_BITS)]
    ShortKey {
        /// The certificate's file.
        path: PathBuf,
        /// How long it is.
        bits: usize,
    },
    /// A certificate cannot be understood.
    #[error("the certificate in {} cannot be read", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
    },
    /// The key is not the certificate's.
    #[error("the key in {} is not the key of the certificate in {}", .key.display(), .certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// TLS cannot use the key or the certificate.
    #[error("the certificate in {} and its key cannot be used", .path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Half of the authority is gone.
    #[error("{} is there, but {} is not: put it back, or remove both and have every client trust a new authority", .present.display(), .missing.display())]
    HalfAuthority {
        /// The half that is there.
        present: PathBuf,
        /// The half that is gone.
        missing: PathBuf,
    },
    /// A certificate could not be made.
    #[error("make a certificate")]
    Make(#[from] rcgen::Error),
}

/// A certificate chain with its key, ready to be shown.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    key: Arc<CertifiedKey>,
    facts: Facts,
}

/// What stands in a certificate that decides about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) common_name: Option<String>,
    /// The subject's public key, as DER.
    pub(super) public_key: Vec<u8>,
    pub(super) names: BTreeSet<CertificateName>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl ServerCertificate {
    /// Loads a PEM chain (the server's own certificate first) and its key; one
    /// file may hold both. Who may read an operator's own key is the
    /// operator's business.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain_text = present(certificate)?;
        let key_text = if key == certificate { chain_text.clone() } else { present(key)? };
        Self::from_pem(&chain_text, certificate, &key_text, key)
    }

    /// From PEM texts; the paths are for the errors.
    pub(super) fn from_pem(
        chain_text: &str,
        certificate: &Path,
        key_text: &str,
        key: &Path,
    ) -> Result<Self, CertificateError> {
        let chain = read_chain(chain_text, certificate)?;
        let facts = Facts::read(&chain[0], certificate)?;
        if let Some(bits) = rsa_bits(&chain[0]).filter(|bits| *bits < limits::RSA_BITS) {
            return Err(CertificateError::ShortKey { path: certificate.to_owned(), bits });
        }
        let private = read_key(key_text, key)?;
        let key = match CertifiedKey::from_der(chain, private, &provider()) {
            Ok(certified) => Arc::new(certified),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(CertificateError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() });
            }
            Err(source) => return Err(CertificateError::Unusable { path: certificate.to_owned(), source }),
        };
        Ok(Self { key, facts })
    }

    /// The authority that clients are to trust, in PEM, when the chain ends in
    /// it: a certificate that signs itself.
    pub fn authority_pem(&self) -> Option<String> {
        let last = self.key.cert.last()?;
        let (_, parsed) = X509Certificate::from_der(last).ok()?;
        let signs_itself = parsed.issuer() == parsed.subject() && parsed.verify_signature(None).is_ok();
        signs_itself.then(|| {
            let text = base64::engine::general_purpose::STANDARD.encode(last);
            let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
        })
    }

    /// From when clients accept it.
    pub fn not_before(&self) -> Timestamp {
        self.facts.not_before
    }

    /// Until when clients accept it.
    pub fn not_after(&self) -> Timestamp {
        self.facts.not_after
    }

    /// The names it answers to.
    pub fn names(&self) -> impl Iterator<Item = &CertificateName> {
        self.facts.names.iter()
    }

    /// What a TLS listener needs: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.key))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Whether it is the same chain.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// Whether `authority` signed it.
    pub fn is_signed_by(&self, authority: &CertificateDer<'_>) -> bool {
        match (X509Certificate::from_der(&self.key.cert[0]), X509Certificate::from_der(authority)) {
            (Ok((_, own)), Ok((_, authority))) => own.verify_signature(Some(authority.public_key())).is_ok(),
            _ => false,
        }
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl Facts {
    pub(super) fn read(certificate: &CertificateDer<'_>, path: &Path) -> Result<Self, CertificateError> {
        let unreadable = || CertificateError::Unreadable { path: path.to_owned() };
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
        let subject = parsed.subject_alternative_name().map_err(|_| unreadable())?;
        let names = subject.iter().flat_map(|extension| &extension.value.general_names).filter_map(read_name).collect();
        let at = |time: x509_parser::time::ASN1Time| Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000));
        Ok(Self {
            common_name: parsed
                .subject()
                .iter_common_name()
                .next()
                .and_then(|name| name.as_str().ok())
                .map(str::to_owned),
            public_key: parsed.public_key().raw.to_vec(),
            names,
            not_before: at(parsed.validity().not_before),
            not_after: at(parsed.validity().not_after),
        })
    }

    /// Whether it must be made anew: less than a third of its life is left, or
    /// it begins later than `now` because a clock was wrong.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let life = self.not_after.since(self.not_before);
        now < self.not_before || self.not_after.since(now) < life / 3
    }
}

/// The one provider of cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn present(path: &Path) -> Result<zeroize::Zeroizing<String>, CertificateError> {
    private_file::read(path)?.ok_or_else(|| CertificateError::Absent { path: path.to_owned() })
}

pub(super) fn read_chain(text: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateError::Pem { path: path.to_owned(), error })?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

/// How long a certificate's key is, when it is an RSA key.
fn rsa_bits(certificate: &CertificateDer<'_>) -> Option<usize> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    match parsed.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

/// Where PEM breaks, in words.
fn torn(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            let what = String::from_utf8_lossy(end_marker);
            format!(
                "the line `-----END {}-----` is missing",
                what.trim_matches(['-', ' ', '\n']).trim_start_matches("END ")
            )
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("the line `{}` begins nothing", String::from_utf8_lossy(line).trim())
        }
        pem::Error::Base64Decode(why) => format!("what stands between BEGIN and END is no base64: {why}"),
        other => other.to_string(),
    }
}

fn read_key(text: &str, path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|source| match source {
        pem::Error::NoItemsFound => CertificateError::NoKey { path: path.to_owned() },
        error => CertificateError::Pem { path: path.to_owned(), error },
    })
}

fn read_name(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::DNSName(name) => Some(CertificateName::Dns(name.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                .ok()?;
            Some(CertificateName::Ip(address))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// Signed by itself, until 2126.
    const RSA_1024: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIB/jCCAWegAwIBAgIUCiFH8PAUACk78uf6k2+L96xoglQwDQYJKoZIhvcNAQEL\n\
BQAwEDEOMAwGA1UEAwwFc2hvcnQwIBcNMjYxMTI3MTcxNTA0WhgPMjEyNjExMDMx\n\
NzE1MDRaMBAxDjAMBgNVBAMMBXNob3J0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCB\n\
iQKBgQC+y0kLs2eULoNKr4kstk8aLImXqmH+eRJBmuODXGVtlSO+TQAcByc/ndaT\n\
5pbexOijUO1Oa5NY4NMvAGMazjgclvnw2V/zMVSxJfXMfxUYnY+jVj0/bgX6hlZ4\n\
NYKK2XQhwHnIWSOS0p3Q1DkQFL69y8h9I1VhV4+fat3SRKgV2QIDAQABo1MwUTAd\n\
BgNVHQ4EFgQUzjvNr6tCzSeKNLwD65XdmyKWPmcwHwYDVR0jBBgwFoAUzjvNr6tC\n\
zSeKNLwD65XdmyKWPmcwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOB\n\
gQAC+u6TAbACOoD+8T1Dm+rlYfkqtFby9yvv+xwCy0JcrYg7XGY7JVVO+CxNLLXG\n\
DSYiCENYiknWMDQiIkeaWi+TSOvhEBFrj27JarVogoSF7ISD7OWw950CMCmAFy/B\n\
vMtWJ7IhFzObWfjU/ootpONPtamESyOI2gSX08azy/kX8A==\n\
-----END CERTIFICATE-----\n";

    struct Files {
        _folder: tempfile::TempDir,
        certificate: PathBuf,
        key: PathBuf,
    }

    fn files() -> Files {
        let folder = tempfile::tempdir().unwrap();
        let made =
            rcgen::generate_simple_self_signed(vec!["Registry.Example".to_owned(), "10.0.0.7".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Files { _folder: folder, certificate, key }
    }

    #[test]
    fn an_operators_files_load_with_their_facts() {
        let files = files();
        let loaded = ServerCertificate::load(&files.certificate, &files.key).unwrap();
        assert_eq!(loaded.names().map(ToString::to_string).collect::<Vec<_>>(), ["registry.example", "10.0.0.7"]);
        assert_eq!(loaded.not_before().rfc3339(), "1975-01-01T00:00:00.000000Z");
        let both = files.certificate.with_file_name("both.pem");
        let text = std::fs::read_to_string(&files.key).unwrap() + &std::fs::read_to_string(&files.certificate).unwrap();
        std::fs::write(&both, text).unwrap();
        assert!(ServerCertificate::load(&both, &both).is_ok());
        assert_eq!(loaded.server_config().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }

    /// With an operator's certificate, `/ca` once gave an authority that had not
    /// made it.
    #[test]
    fn the_authority_is_the_end_of_the_chain_when_it_signs_itself() {
        let files = files();
        let loaded = ServerCertificate::load(&files.certificate, &files.key).unwrap();
        let pem = loaded.authority_pem().unwrap();
        let text = std::fs::read_to_string(&files.certificate).unwrap();
        assert_eq!(read_chain(&pem, &files.certificate).unwrap(), read_chain(&text, &files.certificate).unwrap());
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority elsewhere");
        let issuer = rcgen::Issuer::new(authority, rcgen::KeyPair::generate().unwrap());
        let key = rcgen::KeyPair::generate().unwrap();
        let signed = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().signed_by(&key, &issuer);
        std::fs::write(&files.certificate, signed.unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        assert_eq!(ServerCertificate::load(&files.certificate, &files.key).unwrap().authority_pem(), None);
    }

    #[test]
    fn whatever_is_wrong_is_said_with_the_files_name() {
        let (files, others) = (files(), files());
        let torn = files.key.with_file_name("torn.pem");
        std::fs::write(&torn, &std::fs::read_to_string(&files.certificate).unwrap()[..200]).unwrap();
        let odd = files.key.with_file_name("odd.pem");
        std::fs::write(&odd, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let short = files.key.with_file_name("short.pem");
        std::fs::write(&short, RSA_1024).unwrap();
        let absent = files.key.with_file_name("absent.pem");
        for (certificate, key, blamed, said) in [
            (&files.certificate, &others.key, &others.key, "is not the key of the certificate in"),
            (&files.certificate, &files.certificate, &files.certificate, "holds no private key"),
            (&files.key, &files.key, &files.key, "holds no certificate"),
            (&absent, &files.key, &absent, "is not there"),
            (&files.certificate, &absent, &absent, "is not there"),
            (&torn, &files.key, &torn, "the line `-----END CERTIFICATE-----` is missing"),
            (&short, &files.key, &short, "has an RSA key of 1024 bits, and TLS needs 2048 or more"),
            (&odd, &files.key, &odd, "cannot be read"),
        ] {
            let error = ServerCertificate::load(certificate, key).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(said) && text.contains(blamed.to_str().unwrap()), "{text}");
            assert!(!error.source().is_some_and(|source| text.contains(&source.to_string())), "{text}");
        }
    }

    #[test]
    fn a_third_of_its_life_is_the_time_to_renew() {
        let day = |n: i64| Timestamp::from_micros(n * 86_400_000_000);
        let facts = Facts {
            common_name: None,
            public_key: Vec::new(),
            names: BTreeSet::new(),
            not_before: day(100),
            not_after: day(400),
        };
        for (now, due) in [(99, true), (100, false), (299, false), (300, false), (301, true), (500, true)] {
            assert_eq!(facts.is_due(day(now)), due, "day {now}");
        }
    }
}
