//! The ground that all servers stand on: one folder, and so one disk; one
//! authority and one certificate for all of them; ports on loopback.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// The folder, with what all share in it.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    folder: PathBuf,
    first_port: u16,
}

impl Ground {
    /// Makes it in `folder`, which is there.
    pub(crate) fn new(folder: &Path, first_port: u16) -> Result<Self> {
        let ground = Self { folder: folder.to_owned(), first_port };
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "authority of a comparison");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let server = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
        for (path, text) in [
            (ground.authority(), authority.pem()),
            (ground.certificate(), server.pem()),
            (ground.key(), key.serialize_pem()),
        ] {
            std::fs::write(path, text)?;
        }
        Ok(ground)
    }

    /// A folder of `name`'s own, made if it is not there.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// The `number`th pair of addresses: plain and TLS.
    pub(crate) fn addresses(&self, number: u16) -> [SocketAddr; 2] {
        [0, 1].map(|second| SocketAddr::from(([127, 0, 0, 1], self.first_port + 2 * number + second)))
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// Has the disk write what is still to be written, so that nobody pays for
    /// the one before.
    pub(crate) fn settle(&self) -> Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.folder)?)?)
    }
}
