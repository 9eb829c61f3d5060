//! The other side of mirrors: Debian's `docker-registry`, with an account and a
//! certificate from an authority of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::curl::Client;
use super::image::{Image, Layout};
use super::namespace::Namespace;
use super::program::{Run as _, need, program};
use super::running::Running;
use super::wait::until;

/// How long it may take to start.
const STARTS: Duration = Duration::from_secs(30);
/// Nothing else uses ports on the namespace's addresses.
const PORT: u16 = 5000;

/// A second registry that runs.
pub(crate) struct SecondRegistry {
    running: Running,
    folder: PathBuf,
    client: Client,
}

impl SecondRegistry {
    /// Its account.
    pub(crate) const USER: &str = "edge";
    /// Its password.
    pub(crate) const PASSWORD: &str = "the other side's password";

    /// Starts one below `folder`.
    pub(crate) async fn start(folder: &Path, namespace: &Namespace) -> Self {
        let folder = folder.join("second");
        std::fs::create_dir_all(folder.join("trust")).unwrap();
        certificates(&folder);
        let words = ["-nbB", "-C", "5", Self::USER, Self::PASSWORD];
        std::fs::write(folder.join("htpasswd"), program("htpasswd").args(words).run().good()).unwrap();
        std::fs::write(folder.join("config.yml"), config(&folder)).unwrap();
        let mut command = namespace.lasting(&need("docker-registry"));
        command.arg("serve").arg(folder.join("config.yml"));
        let mut running = Running::start("docker-registry", &command, folder.join("log"));
        let client = Client::tls(&format!("https://{}", Self::address()), folder.join("trust").join("ca.crt"));
        let client = client.inside(namespace).signed_in(Self::USER, Self::PASSWORD);
        until("the second registry listens", STARTS, || {
            running.assert_running();
            running.said().contains("listening on")
        })
        .await;
        client.get("/v2/").is(200);
        Self { running, folder, client }
    }

    /// `host:port`.
    pub(crate) fn address() -> String {
        format!("{}:{PORT}", Namespace::THERE)
    }

    /// A folder with its authority's certificate alone, `ca.crt`.
    pub(crate) fn trust(&self) -> PathBuf {
        self.folder.join("trust")
    }

    /// Asks it, signed in.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Has `skopeo` push `image` under `name` (`repository:tag`); gives its digest.
    pub(crate) fn receive(&self, namespace: &Namespace, image: &Image, name: &str) -> String {
        let layout = tempfile::tempdir().unwrap();
        let digest = Layout(layout.path()).write_image(image);
        let mut skopeo = namespace.program("skopeo");
        skopeo.args(["copy", "--preserve-digests", "--dest-tls-verify=true", "--dest-cert-dir"]).arg(self.trust());
        skopeo.arg(format!("--dest-creds={}:{}", Self::USER, Self::PASSWORD));
        skopeo.arg(format!("oci:{}", layout.path().display())).arg(format!("docker://{}/{name}", Self::address()));
        skopeo.run().good();
        digest
    }

    /// What it logged.
    pub(crate) fn said(&self) -> String {
        self.running.said()
    }
}

fn config(folder: &Path) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "version: 0.1\n\
         log: {{level: info, accesslog: {{disabled: false}}}}\n\
         storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}\n\
         auth: {{htpasswd: {{realm: second, path: {htpasswd}}}}}\n\
         http:\n  addr: {address}\n  tls: {{certificate: {certificate}, key: {key}}}\n",
        data = at("data"),
        htpasswd = at("htpasswd"),
        address = SecondRegistry::address(),
        certificate = at("server.crt"),
        key = at("server.key"),
    )
}

/// An authority, and a certificate of it for the registry's address.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "authority of the second registry");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new([Namespace::THERE.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    for (name, text) in
        [("trust/ca.crt", authority.pem()), ("server.crt", server.pem()), ("server.key", key.serialize_pem())]
    {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
