//! A registry over a real store, and short ways to fill it and ask it.

use bytes::Bytes;

use crate::chance::{Chance, Id};
use crate::clock::Clock;
use crate::oci::{Digest, MediaType, Reference, RepoName};
use crate::policy::RawRule;
use crate::reactor::{evaluate, react};
use crate::registry::account::NewAccount;
use crate::registry::manifest::Sent;
use crate::registry::policy::Saving;
use crate::registry::repository::Settings;
use crate::registry::upload::BrokenBody;
use crate::registry::{Caller, Registry};
use crate::store::file::Files;
use crate::store::record::{PolicyBody, Remote, TagValue, Verdict};
use crate::store::verify::{Depth, verify};
use crate::store::{Store, policy, repo, tag};

/// A registry with a folder of its own; `verify` must be clean when it goes.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) registry: Registry,
}

impl World {
    pub(super) async fn new(repositories: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("data"), Clock::system(), Chance::seeded(3)).expect("opens");
        let registry = Registry::new(store).expect("sessions");
        let world = Self { folder, registry };
        for name in repositories {
            let name: RepoName = name.parse().expect("a name");
            world.organization(name.namespace()).await;
            world.registry.create_repository(&Caller::System, &name, Settings::default()).await.expect("is made");
        }
        world
    }

    pub(super) async fn organization(&self, name: &str) -> Option<Id> {
        self.account(name, true, false).await
    }

    pub(super) async fn account(&self, name: &str, is_org: bool, is_admin: bool) -> Option<Id> {
        let name = name.to_owned();
        let new = NewAccount { name, full_name: String::new(), is_org, is_admin, is_active: true, password_hash: None };
        self.registry.create_account(&Caller::System, new).await.ok().map(|account| account.id)
    }

    pub(super) fn store(&self) -> &Store {
        self.registry.store()
    }

    pub(super) async fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256_of(bytes);
        let body = futures_util::stream::iter([Ok::<_, BrokenBody>(Bytes::copy_from_slice(bytes))]);
        let name = repository.parse().expect("a name");
        self.registry.store_blob(&Caller::System, &name, &digest, None, body).await.expect("is stored");
        digest
    }

    /// Pushes an image whose content is `seed`, and gives its digest.
    pub(super) async fn push(&self, repository: &str, tag: &str, seed: &str) -> Digest {
        let bytes = self.image(repository, seed).await;
        self.manifest(repository, tag, bytes, MediaType::OciManifest).await
    }

    /// Pushes something attached to `subject`.
    pub(super) async fn attach(&self, repository: &str, subject: Digest, seed: &str) -> Digest {
        let config = self.blob(repository, seed.as_bytes()).await;
        let bytes = format!(
            r#"{{"schemaVersion":2,"artifactType":"application/vnd.example.sbom","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":{}}},"layers":[],"subject":{{"mediaType":"{}","digest":"{subject}","size":10}}}}"#,
            seed.len(),
            MediaType::OciManifest
        );
        let digest = Digest::sha256_of(bytes.as_bytes());
        self.manifest(repository, &digest.to_string(), bytes, MediaType::OciManifest).await
    }

    /// Attaches by a tag, as the older scheme does.
    pub(super) async fn sign(&self, repository: &str, tag: &str, seed: &str) -> Digest {
        let config = self.blob(repository, seed.as_bytes()).await;
        let bytes = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{}}},"layers":[]}}"#,
            seed.len()
        );
        self.manifest(repository, tag, bytes, MediaType::OciManifest).await
    }

    /// An image as [`World::push`] pushes it, without pushing it: its bytes.
    pub(super) async fn image(&self, repository: &str, seed: &str) -> String {
        let config = self.blob(repository, format!("{{\"seed\":\"{seed}\"}}").as_bytes()).await;
        let layer = self.blob(repository, seed.as_bytes()).await;
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{}}}]}}"#,
            seed.len() + 11,
            seed.len()
        )
    }

    /// Pushes an index of what these bytes are, whether it is there or not.
    pub(super) async fn index(&self, repository: &str, reference: &str, entries: &[(MediaType, &str)]) -> Digest {
        let bytes = index(entries);
        let digest = Digest::sha256_of(bytes.as_bytes()).to_string();
        let reference = if reference.is_empty() { digest.as_str() } else { reference };
        self.manifest(repository, reference, bytes, MediaType::OciIndex).await
    }

    /// What is attached to `subject` there.
    pub(super) fn attached(&self, repository: &str, subject: Digest) -> Vec<Digest> {
        let name = repository.parse().expect("a name");
        let found = self.registry.referrers(&Caller::System, &name, &subject, None, None, 100).expect("lists").0;
        found.into_iter().map(|descriptor| descriptor.digest).collect()
    }

    /// Whether the manifest is readable there.
    pub(super) fn has(&self, repository: &str, digest: Digest) -> bool {
        let name = repository.parse().expect("a name");
        self.registry.manifest(&Caller::System, &name, &Reference::Digest(digest)).is_ok()
    }

    /// Removes every policy of a repository.
    pub(super) async fn disarm(&self, repository: &str) {
        let name = repository.parse().expect("a name");
        for shown in self.registry.policies(&Caller::System, &name).expect("lists") {
            assert!(self.registry.delete_policy(&Caller::System, &name, shown.policy.id).await.expect("goes"));
        }
    }

    pub(super) async fn manifest(&self, repository: &str, reference: &str, bytes: String, kind: MediaType) -> Digest {
        let name = repository.parse().expect("a name");
        let reference: Reference = reference.parse().expect("a reference");
        let sent = Sent { bytes: bytes.into(), content_type: Some(kind.as_str()), ..Sent::default() };
        let put = self.registry.put_manifest(&Caller::System, &name, &reference, sent);
        put.await.expect("is taken").0
    }

    pub(super) async fn save(&self, caller: &Caller, source: &str, saving: impl FnOnce(&mut Saving)) -> Id {
        let mut policy = Saving {
            id: None,
            repository: source.parse().expect("a name"),
            enabled: true,
            rules: vec![RawRule { field: "tag".into(), operator: "ew".into(), values: vec!["-stable".into()] }],
            tag_template: "%n".into(),
            time_zone: "UTC".into(),
            body: PolicyBody::Promotion { target: "qa/website".into() },
            evaluate: true,
            again: false,
        };
        saving(&mut policy);
        self.registry.save_policy(caller, policy).await.expect("is saved").policy.id
    }

    pub(super) async fn promote(&self, source: &str, target: &str) -> Id {
        self.save(&Caller::System, source, |saving| saving.body = PolicyBody::Promotion { target: target.into() }).await
    }

    /// Lets everything happen that is owed.
    pub(super) async fn settle(&self) {
        react::catch_up(self.store()).await.expect("reacts");
        evaluate::walk_all(self.store()).await.expect("walks");
        react::catch_up(self.store()).await.expect("reacts");
    }

    pub(super) fn tag(&self, repository: &str, name: &str) -> Option<TagValue> {
        let read = self.store().snapshot().expect("reads");
        let record = repo::get(&read, &repository.parse().expect("a name")).expect("reads")?;
        tag::get(&read, record.number, &name.parse().expect("a tag")).expect("reads")
    }

    pub(super) fn verdict(&self, repository: &str, name: &str) -> Verdict {
        let read = self.store().snapshot().expect("reads");
        let record = repo::get(&read, &repository.parse().expect("a name")).expect("reads").expect("is there");
        let verdict = policy::verdict(&read, record.number, &name.parse().expect("a tag")).expect("reads");
        verdict.expect("a verdict")
    }
}

/// Another registry, which nobody asks here.
pub(super) fn remote() -> Remote {
    Remote {
        host: "https://127.0.0.1:1".into(),
        repository: "far/website".into(),
        username: String::new(),
        password: None,
        token: None,
        ca: String::new(),
        skip_tls_verification: false,
        private: true,
    }
}

/// An index of what these bytes are.
pub(super) fn index(entries: &[(MediaType, &str)]) -> String {
    let entry = |(kind, bytes): &(MediaType, &str)| {
        let digest = Digest::sha256_of(bytes.as_bytes());
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let entries: Vec<String> = entries.iter().map(entry).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#, MediaType::OciIndex, entries.join(","))
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let files = Files::open(&self.folder.path().join("data")).expect("opens");
        let read = self.store().snapshot().expect("reads");
        let report = verify(&read, &files, Depth::Bytes, &Default::default()).expect("verifies");
        assert!(report.is_clean(), "{:#?}", report.findings);
        assert_eq!(report.orphans, 0);
    }
}
