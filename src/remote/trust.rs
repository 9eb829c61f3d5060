//! Which certificates are believed when talking to one remote.
//!
//! The system's roots always; a CA that came with the mirror beside them; or,
//! where somebody asked for it, any certificate at all. Even then the handshake
//! is checked, so that only the holder of the shown certificate's key answers.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::limits;

/// Which certificates are believed. Two equal ones share their connections.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Trust {
    authorities: Arc<[CertificateDer<'static>]>,
    skip_verification: bool,
}

/// Why a text is no CA bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Over the limit.
    #[error("the CA bundle has {bytes} bytes; at most {} are accepted", limits::REMOTE_CA_BYTES)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// No certificate in it.
    #[error("the CA must be one or more PEM certificates (-----BEGIN CERTIFICATE-----); none was found")]
    Empty,
    /// A key that nobody needs to believe a certificate.
    #[error(
        "the CA bundle holds a private key, which does not belong here: give the certificates alone, and replace the key if others may have seen it"
    )]
    PrivateKey,
    /// A section that is not PEM.
    #[error("certificate {number} of the CA bundle is not valid PEM: {reason}")]
    Pem {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// PEM around something that is no certificate.
    #[error("certificate {number} of the CA bundle is not a valid X.509 certificate")]
    Certificate {
        /// Which one, from 1.
        number: usize,
    },
}

impl Trust {
    /// The system's roots alone.
    pub fn system() -> Self {
        Self::default()
    }

    /// The system's roots and the certificates in `ca_pem` (empty for none);
    /// with `skip_verification` every certificate, on every hop.
    pub fn new(ca_pem: &str, skip_verification: bool) -> Result<Self, TrustError> {
        let mut authorities = Vec::new();
        if !ca_pem.trim().is_empty() {
            if ca_pem.len() > limits::REMOTE_CA_BYTES {
                return Err(TrustError::TooLarge { bytes: ca_pem.len() });
            }
            if ca_pem.contains("PRIVATE KEY-----") {
                return Err(TrustError::PrivateKey);
            }
            for (number, section) in (1..).zip(CertificateDer::pem_slice_iter(ca_pem.as_bytes())) {
                let certificate = section.map_err(|error| TrustError::Pem { number, reason: reason(&error) })?;
                RootCertStore::empty().add(certificate.clone()).map_err(|_| TrustError::Certificate { number })?;
                authorities.push(certificate);
            }
            if authorities.is_empty() {
                return Err(TrustError::Empty);
            }
        }
        Ok(Self { authorities: authorities.into(), skip_verification })
    }

    /// Whether every certificate is believed.
    pub fn skips_verification(&self) -> bool {
        self.skip_verification
    }

    /// The TLS client for this trust over the system's `roots`.
    pub(super) fn client(&self, roots: &RootCertStore) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let mut roots = roots.clone();
        roots.add_parsable_certificates(self.authorities.iter().cloned());
        let builder = if self.skip_verification {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody { provider }))
        } else if roots.is_empty() {
            // The chain verifier cannot be built without a root; an empty
            // store refuses every certificate, which is what is meant.
            builder.with_root_certificates(roots)
        } else {
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(ChainOrItself { chain, named: self.authorities.clone() }))
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// What is wrong with a section; of the text itself nothing is repeated.
fn reason(error: &rustls_pki_types::pem::Error) -> String {
    use rustls_pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { .. } => "its end line is missing",
        Error::IllegalSectionStart { .. } => "its first line is malformed",
        Error::Base64Decode(_) => "it is not base64",
        _ => "it cannot be read",
    }
    .to_owned()
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("authorities", &self.authorities.len())
            .field("skip_verification", &self.skip_verification)
            .finish()
    }
}

/// The standard verification, and one exception: a server that shows the very
/// certificate that was given as its CA. Self-signed server certificates are
/// marked as CA by the usual tools and pasted into that field; the chain rules
/// refuse a CA that serves. Time, name and handshake are checked all the same.
#[derive(Debug)]
struct ChainOrItself {
    chain: Arc<WebPkiServerVerifier>,
    named: Arc<[CertificateDer<'static>]>,
}

impl ServerCertVerifier for ChainOrItself {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The one case without a name of its own that is left once time
            // and encoding were found good: a CA that serves.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) if self.named.contains(end_entity) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Believes every certificate, whoever signed it and whatever name it has.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_read_or_refused_with_the_reason() {
        let pem = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate").cert.pem();
        assert_eq!(Trust::new(&format!("{pem}\n{pem}"), false).map(|trust| trust.authorities.len()), Ok(2));
        assert_eq!(Trust::new(" \n", true).map(|trust| trust.skips_verification()), Ok(true));
        assert_eq!(Trust::new("hello", false), Err(TrustError::Empty));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(Trust::new(key, false), Err(TrustError::PrivateKey));
        assert_eq!(Trust::new(&format!("{pem}{key}"), false), Err(TrustError::PrivateKey));
        let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(Trust::new(&format!("{pem}{hollow}"), false), Err(TrustError::Certificate { number: 2 }));
        let open = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(matches!(Trust::new(open, false), Err(TrustError::Pem { number: 1, .. })));
        let bytes = limits::REMOTE_CA_BYTES + 1;
        assert_eq!(Trust::new(&"x".repeat(bytes), false), Err(TrustError::TooLarge { bytes }));
    }
}
