//! Client certificates: whose authority is believed, and what names they have.
//!
//! A listener asks for one and goes on without: who shows none signs in
//! otherwise. One that the authority did not sign ends the handshake. Sessions
//! are not resumed there, so that each connection is looked at anew.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::private_file::{self, FileError};

/// Why an authority for client certificates cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClientAuthorityError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds no certificate of an authority.
    #[error("{} holds no certificate of an authority in PEM: {reason}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Authorities whose client certificates are believed. Clones share them.
#[derive(Clone)]
pub struct ClientAuthority(Arc<Inner>);

struct Inner {
    verifier: Arc<dyn ClientCertVerifier>,
    /// What was made last, and from what.
    made: Mutex<Option<(Arc<ServerConfig>, Arc<ServerConfig>)>>,
}

impl fmt::Debug for ClientAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthority(..)")
    }
}

impl ClientAuthority {
    /// Reads the authorities' certificates from a PEM file.
    ///
    /// # Errors
    /// [`ClientAuthorityError`].
    pub fn load(path: &Path) -> Result<Self, ClientAuthorityError> {
        let unusable = |reason: String| ClientAuthorityError::Unusable { path: path.to_owned(), reason };
        let text = private_file::read(path)?.ok_or_else(|| unusable("it is not there".to_owned()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("there is none in it".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self(Arc::new(Inner { verifier, made: Mutex::default() })))
    }

    /// The settings `base` of a listener, asking for a client certificate as well.
    pub fn over(&self, base: &Arc<ServerConfig>) -> Arc<ServerConfig> {
        let mut made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, asking)) = made.as_ref().filter(|(of, _)| Arc::ptr_eq(of, base)) {
            return Arc::clone(asking);
        }
        let mut asking = ServerConfig::builder_with_provider(Arc::clone(base.crypto_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider has suites for both versions")
            .with_client_cert_verifier(Arc::clone(&self.0.verifier))
            .with_cert_resolver(Arc::clone(&base.cert_resolver));
        asking.alpn_protocols.clone_from(&base.alpn_protocols);
        asking.session_storage = Arc::new(NoServerSessionStorage {});
        asking.send_tls13_tickets = 0;
        let asking = Arc::new(asking);
        *made = Some((Arc::clone(base), Arc::clone(&asking)));
        asking
    }
}

/// The names of a certificate as `kind:value`, the most particular first; only
/// its fingerprint where it cannot be read.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let mut names = vec![format!("fingerprint:{}", hex::encode(Sha256::digest(certificate)))];
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return names };
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let (mut uris, mut emails, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    for name in alternative {
        match name {
            GeneralName::URI(uri) => uris.push(format!("uri:{uri}")),
            GeneralName::RFC822Name(email) => emails.push(format!("email:{email}")),
            GeneralName::DNSName(host) => hosts.push(format!("dns:{}", host.to_ascii_lowercase())),
            _ => {}
        }
    }
    names.extend(uris.into_iter().chain(emails).chain(hosts));
    // Two of them would leave open which one counts.
    let mut common = parsed.subject().iter_common_name();
    if let (Some(name), None) = (common.next().and_then(|name| name.as_str().ok()), common.next()) {
        names.push(format!("cn:{name}"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(common: &[&str], names: Vec<rcgen::SanType>) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common {
            params.distinguished_name.push(rcgen::DnType::CommonName, *name);
        }
        params.subject_alt_names = names;
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_names_of_a_certificate_come_the_most_particular_first() {
        use rcgen::SanType::{DnsName, Rfc822Name, URI};
        let certificate = made(
            &["Press 7"],
            vec![
                DnsName("Press-7.example".try_into().unwrap()),
                Rfc822Name("press@factory.example".try_into().unwrap()),
                URI("spiffe://factory/press-7".try_into().unwrap()),
            ],
        );
        let fingerprint = format!("fingerprint:{}", hex::encode(Sha256::digest(&certificate)));
        let expected = [
            fingerprint.as_str(),
            "uri:spiffe://factory/press-7",
            "email:press@factory.example",
            "dns:press-7.example",
            "cn:Press 7",
        ];
        assert_eq!(names(&certificate), expected);
        assert_eq!(names(&made(&[], Vec::new())).len(), 1);
        assert_eq!(names(&CertificateDer::from(vec![1, 2, 3])).len(), 1);
    }

    #[test]
    fn a_file_without_an_authority_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.pem");
        let refused = || ClientAuthority::load(&path).unwrap_err().to_string();
        assert!(refused().contains("clients.pem"), "{}", refused());
        std::fs::write(&path, "no PEM").unwrap();
        assert!(refused().contains("none in it"), "{}", refused());
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refused().contains("clients.pem"), "{}", refused());
    }
}
