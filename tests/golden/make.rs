//! Makes the golden database of the first format: small, the same bytes each
//! time (clock, ids and salts are seeded, operations go one by one), and a row
//! in every table.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate::audit::Audit;
use tidegate::chance::{Chance, Id};
use tidegate::clock::{Clock, Timestamp};
use tidegate::identity::Passwords;
use tidegate::oci::{Algorithm, Digest, Reference, RepoName, Tag};
use tidegate::policy::{Decision, Kind, Outcome, PolicyId, RawRule, Reason};
use tidegate::registry::account::NewAccount;
use tidegate::registry::manifest::Sent;
use tidegate::registry::policy::Saving;
use tidegate::registry::repository::Settings;
use tidegate::registry::upload::{BrokenBody, Said};
use tidegate::registry::{Caller, Registry};
use tidegate::secret::Secret;
use tidegate::store::record::{
    Cron, Decided, Direction, Job, JobAction, JobStatus, PolicyBody, PolicyStatus, Remote, Transfer, Verdict,
};
use tidegate::store::{
    Change, Key, Lane, Operation, RepoId, Store, StoreError, Table, event, policy, queue, repo, tag, transfer,
};

/// When everything in it happens.
pub(crate) const BEGUN: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
/// The password of `ann`.
pub(crate) const PASSWORD: &str = "golden, and long enough";
/// The layer of `dev/app:1.0`.
pub(crate) const LAYER: &[u8] = b"the first layer";
/// A job as the first version of its record wrote it.
pub(crate) const OLD_JOB: Id = Id::from_bytes([0x0d; 16]);
/// A transfer's job.
pub(crate) const JOB: Id = Id::from_bytes([0x0a; 16]);

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Maker {
    registry: Registry,
    clock: Clock,
}

/// Rows that only jobs and the reactor write.
struct Beside {
    repository: RepoId,
    promotion: Id,
    push: Id,
    pull: Id,
}

/// Writes it to `folder`, which is missing or empty.
pub(crate) async fn v1(folder: &Path) {
    let clock = Clock::manual(BEGUN);
    let store = Store::open(folder, clock.clone(), Chance::seeded(2026)).unwrap();
    let maker = Maker { registry: Registry::new(store).unwrap(), clock };
    maker.people().await;
    maker.images().await;
    let ids = maker.policies().await;
    let beside = maker.beside(ids);
    maker.registry.store().submit(Lane::Foreground, beside).await.unwrap().unwrap();
    // Gone, with rows that are still to be removed.
    maker.registry.delete_repository(&Caller::System, &name("dev/old")).await.unwrap();
    maker.session().await;
    maker.registry.store().close();
}

pub(crate) fn name(text: &str) -> RepoName {
    text.parse().unwrap()
}

/// The image `dev/app:1.0`: its manifest.
pub(crate) fn first() -> Vec<u8> {
    image(LAYER, 0)
}

fn image(layer: &[u8], padding: usize) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        "annotations": {"padding": "x".repeat(padding)},
    });
    manifest.to_string().into_bytes()
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::sha256_of(bytes), "size": bytes.len()})
}

impl Maker {
    fn tick(&self) {
        self.clock.advance(Duration::from_secs(60));
    }

    async fn people(&self) {
        let passwords = Passwords::new(&Chance::seeded(1));
        let hash = passwords.hash(&Secret::new(PASSWORD)).await.unwrap();
        for (name, is_org, is_admin) in [("ann", false, true), ("bob", false, false), ("dev", true, false)] {
            let (name, full_name) = (name.to_owned(), format!("{name} of the golden database"));
            let password_hash = (!is_org).then(|| hash.clone());
            let new = NewAccount { name, full_name, is_org, is_admin, is_active: true, password_hash };
            self.registry.create_account(&Caller::System, new).await.unwrap();
            self.tick();
        }
    }

    async fn images(&self) {
        for repository in ["dev/app", "dev/qa", "dev/old"] {
            let settings = Settings {
                is_public: Some(repository == "dev/qa"),
                short_description: Some("golden".to_owned()),
                ..Settings::default()
            };
            self.registry.create_repository(&Caller::System, &name(repository), settings).await.unwrap();
            self.tick();
        }
        for (repository, tag, layer, padding) in [
            ("dev/app", "1.0", LAYER, 0),
            ("dev/app", "latest", LAYER, 0),
            ("dev/app", "latest", b"the second layer", 0),
            ("dev/app", "large", b"the third layer", 20_000),
            ("dev/old", "1.0", b"an old layer", 0),
        ] {
            for blob in [b"{}", layer] {
                self.blob(repository, &Digest::sha256_of(blob), blob).await;
            }
            self.manifest(repository, &Reference::Tag(tag.parse().unwrap()), MANIFEST, image(layer, padding)).await;
        }
        self.blob("dev/app", &Digest::of(Algorithm::Sha512, LAYER), LAYER).await;
        let entries = [first(), image(b"the second layer", 0)].map(|manifest| descriptor(MANIFEST, &manifest));
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        self.manifest("dev/app", &Reference::Tag("all".parse().unwrap()), INDEX, index.to_string().into_bytes()).await;
        let absent = descriptor(MANIFEST, b"an image that is not here");
        let sparse = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [absent]}).to_string().into_bytes();
        self.manifest("dev/app", &Reference::Tag("sparse".parse().unwrap()), INDEX, sparse).await;
        let signature = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.signature",
            "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [], "subject": descriptor(MANIFEST, &first()),
        });
        let signature = signature.to_string().into_bytes();
        self.manifest("dev/app", &Reference::Digest(Digest::sha256_of(&signature)), MANIFEST, signature).await;
    }

    async fn blob(&self, repository: &str, digest: &Digest, bytes: &'static [u8]) {
        let body = futures_util::stream::iter([Ok::<_, BrokenBody>(Bytes::from_static(bytes))]);
        self.registry.store_blob(&Caller::System, &name(repository), digest, None, body).await.unwrap();
        self.tick();
    }

    async fn manifest(&self, repository: &str, reference: &Reference, kind: &str, bytes: Vec<u8>) {
        let repository = name(repository);
        let sent = Sent { bytes: bytes.into(), content_type: Some(kind), ..Sent::default() };
        let put = self.registry.put_manifest(&Caller::System, &repository, reference, sent);
        put.await.unwrap();
        self.tick();
    }

    /// A promotion, a push mirror and a pull mirror. The mirrors are switched
    /// off, so that whoever serves this dials nobody.
    async fn policies(&self) -> [Id; 3] {
        let remote = Remote {
            host: "https://registry.invalid".to_owned(),
            repository: "edge/app".to_owned(),
            username: "golden".to_owned(),
            password: None,
            token: Some("v1.0000000000000000.AAAA".to_owned()),
            ca: String::new(),
            skip_tls_verification: false,
            private: true,
        };
        let pull = PolicyBody::Pull { remote: remote.clone(), schedule: "0 3 * * *".to_owned(), changes_only: true };
        let bodies = [PolicyBody::Promotion { target: "dev/qa".to_owned() }, PolicyBody::Push { remote }, pull];
        let mut ids = [Id::from_bytes([0; 16]); 3];
        for (id, body) in ids.iter_mut().zip(bodies) {
            let is_promotion = matches!(body, PolicyBody::Promotion { .. });
            let rule = RawRule { field: "tag".to_owned(), operator: "eq".to_owned(), values: vec!["1.0".to_owned()] };
            let saving = Saving {
                id: None,
                repository: name("dev/app"),
                enabled: is_promotion,
                rules: vec![rule],
                tag_template: "%n".to_owned(),
                time_zone: "Europe/Berlin".to_owned(),
                body,
                evaluate: is_promotion,
                again: false,
            };
            *id = self.registry.save_policy(&Caller::System, saving).await.unwrap().policy.id;
            self.tick();
        }
        ids
    }

    fn beside(&self, [promotion, push, pull]: [Id; 3]) -> Beside {
        let read = self.registry.store().snapshot().unwrap();
        let repository = repo::get(&read, &name("dev/app")).unwrap().unwrap().number;
        Beside { repository, promotion, push, pull }
    }

    /// An upload that was begun.
    async fn session(&self) {
        let (caller, repository) = (Caller::System, name("dev/app"));
        let id = self.registry.begin_upload(&caller, &repository, Algorithm::Sha256).await.unwrap().to_string();
        let body = futures_util::stream::iter([Ok::<_, BrokenBody>(Bytes::from_static(b"half of"))]);
        self.registry.append_upload(&caller, &repository, &id, Said::default(), body).await.unwrap();
    }
}

impl Operation for Beside {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "golden rows";
    const AUDIT: Audit = Audit::Nothing("a test's");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), change: &mut Change<'_>) -> Result<(), StoreError> {
        let (now, tag): (_, Tag) = (change.now(), "1.0".parse().unwrap());
        let value = tag::get(change, self.repository, &tag)?.unwrap();
        self.verdict(change, &tag, value.seq, value.digest)?;
        policy::set_sent(change, self.repository, &value.digest, &name("dev/qa"), &self.promotion)?;
        policy::set_status(
            change,
            &self.push,
            &PolicyStatus {
                last_moved_at: Some(now),
                code: "SUCCESS".to_owned(),
                detail: String::new(),
                at: Some(now),
            },
        )?;
        policy::set_baseline(change, &self.pull, 1, &tag, &value.digest)?;
        policy::end_baseline(change, &self.pull, 1)?;
        policy::set_cron(change, &self.pull, &Cron { last: now, job: Some(OLD_JOB) })?;
        let owed = Transfer {
            direction: Direction::Push,
            want: value.digest,
            generation: 2,
            done: 1,
            have: None,
            remote_tag: "1.0".to_owned(),
            seq: value.seq,
            version: 1,
            attempts: 3,
            next_at: now.after(Duration::from_secs(60)),
            last_error: "registry.invalid does not answer".to_owned(),
            bytes: 42,
            job: JOB,
            updated_at: now,
        };
        transfer::put(change, &self.push, &tag, &owed)?;
        let mut job = Job {
            action: JobAction::PushMirrorTag,
            policy: Some(self.push),
            parameters: BTreeMap::from([("tag".to_owned(), "1.0".to_owned())]),
            status: JobStatus::Waiting,
            scheduled_at: now,
            updated_at: now,
            attempts: 3,
            lines: 0,
            last_error: "registry.invalid does not answer".to_owned(),
        };
        queue::log(change, &JOB, &mut job, &["a line".to_owned(), "and another".to_owned()])?;
        queue::put(change, &JOB, &job)?;
        old_job(change, self.pull, now)?;
        repo::count(change, self.repository, 7, 0)?;
        let last = event::last(change)?;
        event::set_cursor(change, last)
    }
}

impl Beside {
    fn verdict(&self, change: &mut Change<'_>, tag: &Tag, seq: u64, digest: Digest) -> Result<(), StoreError> {
        let decision = Decision {
            policy: PolicyId::new(self.promotion),
            version: 1,
            kind: Kind::Promotion,
            outcome: Outcome::Allow,
            reason: Reason::Matched { rules: 1, checks: Vec::new() },
            target: Some(name("dev/qa")),
            tag: Some(tag.clone()),
        };
        let decisions = vec![Decided { decision, at: change.now() }];
        policy::set_verdict(change, self.repository, tag, &Verdict { seq, digest, decisions })
    }
}

/// A job in the first version of its record, which had no last error: it waits
/// in the queue.
fn old_job(change: &mut Change<'_>, pull: Id, now: Timestamp) -> Result<(), StoreError> {
    let parameters: BTreeMap<String, String> = BTreeMap::new();
    let fields = (JobAction::PollMirror, Some(pull), parameters, JobStatus::Waiting, now, now, 1_u32, 0_u32);
    let record = postcard::to_extend(&fields, vec![1]).unwrap();
    change.put_bytes(Table::Jobs, &Key::new().id(&OLD_JOB), &record)?;
    change.put_mark(Table::JobsDue, &Key::new().time(now).id(&OLD_JOB))?;
    change.put_mark(Table::JobsListed, &Key::new().time(now).id(&OLD_JOB))
}
