//! What is known to be in a golden database, read by the code of today.

use std::collections::BTreeSet;
use std::path::Path;

use tidegate::app;
use tidegate::chance::Chance;
use tidegate::clock::Clock;
use tidegate::event::{Actor, Cause, Kind};
use tidegate::identity::Passwords;
use tidegate::jobs::counting;
use tidegate::oci::{Algorithm, Digest, Reference, Tag};
use tidegate::policy::Outcome;
use tidegate::registry::{Caller, Registry};
use tidegate::secret::Secret;
use tidegate::store::Read as _;
use tidegate::store::record::{Direction, JobAction, JobStatus, PolicyBody};
use tidegate::store::usage::{self, Scope};
use tidegate::store::{
    RepoId, Snapshot, Span, Store, Table, account, blob, event, manifest, policy, queue, referrer, repo, tag, transfer,
};

use crate::make::{BEGUN, JOB, LAYER, OLD_JOB, PASSWORD, first, name};

/// Tables that came after the first golden database was written.
const LATER: [Table; 21] = [
    Table::Audit,
    Table::Quarantine,
    Table::Scrub,
    Table::Usage,
    Table::Quotas,
    Table::Organizations,
    Table::Members,
    Table::Memberships,
    Table::Teams,
    Table::TeamNames,
    Table::TeamMembers,
    Table::UserTeams,
    Table::NamespaceGrants,
    Table::RepositoryGrants,
    Table::TeamGrants,
    Table::Settings,
    Table::Tokens,
    Table::HeldTokens,
    Table::Robots,
    Table::RobotIds,
    Table::Certified,
];

/// Of the first format.
pub(crate) async fn v1(folder: &Path) {
    let report = app::verify::folder(folder, tidegate::store::verify::Depth::Bytes).await.unwrap();
    assert!(report.is_clean() && report.orphans == 0, "{report:?}");
    let store = Store::open(folder, Clock::system(), Chance::seeded(1)).unwrap();
    {
        let read = store.snapshot().unwrap();
        for table in Table::ALL.into_iter().filter(|table| !LATER.contains(table)) {
            let rows = read.keys(table, &Span::all(), 1).unwrap();
            assert!(!rows.is_empty(), "{} has no row: it is not covered", table.name());
        }
        people(&read).await;
        let number = repo::get(&read, &name("dev/app")).unwrap().unwrap().number;
        images(&read, number);
        policies(&read, number);
        work(&read);
    }
    what_is_held_is_counted(&store).await;
    let registry = Registry::new(store).unwrap();
    a_history_is_told(&registry);
    blobs_are_read(&registry).await;
}

async fn people(read: &Snapshot) {
    let ann = account::get(read, "ann").unwrap().unwrap();
    assert!(ann.is_admin && ann.is_active && !ann.is_org);
    assert_eq!((ann.full_name.as_str(), ann.created_at), ("ann of the golden database", BEGUN));
    let passwords = Passwords::new(&Chance::seeded(9));
    assert!(passwords.verify("ann", ann.password_hash.as_deref(), &Secret::new(PASSWORD)).await);
    assert!(!passwords.verify("ann", ann.password_hash.as_deref(), &Secret::new("another password")).await);
    assert!(account::get(read, "dev").unwrap().unwrap().is_org);
    assert!(repo::get(read, &name("dev/qa")).unwrap().unwrap().is_public);
    assert!(repo::get(read, &name("dev/old")).unwrap().is_none(), "it was deleted");
}

fn images(read: &Snapshot, number: RepoId) {
    let digest = Digest::sha256_of(&first());
    let value = tag::get(read, number, &"1.0".parse().unwrap()).unwrap().unwrap();
    assert_eq!((value.digest, value.size, value.cause), (digest, first().len() as u64, Cause::Push));
    assert_eq!(value.actor, Actor::System);
    let latest: Tag = "latest".parse().unwrap();
    assert_ne!(tag::get(read, number, &latest).unwrap().unwrap().digest, digest);
    let past: Vec<Digest> = tag::history(read, number, &latest, None, 9)
        .unwrap()
        .into_iter()
        .filter_map(|past| past.value().map(|value| value.digest))
        .collect();
    assert_eq!(past, [digest]);
    assert_eq!(referrer::digests(read, number, &digest, 9).unwrap().len(), 1);
    let large = tag::get(read, number, &"large".parse().unwrap()).unwrap().unwrap().digest;
    assert!(manifest::file_of(read, &large).unwrap().is_some(), "it has a file of its own");
    let index = tag::get(read, number, &"all".parse().unwrap()).unwrap().unwrap().digest;
    assert_eq!(manifest::links(read, &index).unwrap().unwrap().links.children.len(), 2);
    assert_eq!(blob::get(read, &Digest::of(Algorithm::Sha512, LAYER)).unwrap().unwrap().size, LAYER.len() as u64);
    assert!(!blob::files_to_unlink(read, 99).unwrap().is_empty());
    let counts = repo::counts(read, number).unwrap();
    assert_eq!(counts.pulls, 7);
    let events = event::after(read, 0, usize::MAX).unwrap();
    let kinds: BTreeSet<&str> = events.iter().map(|event| kind(&event.kind)).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["linked", "other", "repository", "tag"]);
    assert!(event::cursor(read).unwrap() > 0);
}

fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::RepositoryCreated | Kind::RepositoryDeleted => "repository",
        Kind::TagSet { .. } => "tag",
        Kind::ManifestLinked { .. } => "linked",
        _ => "other",
    }
}

fn policies(read: &Snapshot, number: RepoId) {
    let all = policy::of(read, number).unwrap();
    let of = |is: fn(&PolicyBody) -> bool| all.iter().find(|policy| is(&policy.body)).unwrap();
    let promotion = of(|body| matches!(body, PolicyBody::Promotion { .. }));
    let push = of(|body| matches!(body, PolicyBody::Push { .. }));
    let pull = of(|body| matches!(body, PolicyBody::Pull { .. }));
    assert_eq!((promotion.enabled, push.enabled, pull.enabled), (true, false, false));
    promotion.to_plan().unwrap().expect("it is planned");
    assert_eq!(push.remote().unwrap().host, "https://registry.invalid");
    assert!(push.remote().unwrap().token.is_some());
    pull.to_pull().unwrap().expect("it is a pull mirror");
    let tag: Tag = "1.0".parse().unwrap();
    let verdict = policy::verdict(read, number, &tag).unwrap().unwrap();
    assert_eq!(verdict.of(&promotion.id).unwrap().decision.outcome, Outcome::Allow);
    assert_eq!(policy::status(read, &push.id).unwrap().code, "SUCCESS");
    assert!(policy::evaluation(read, &promotion.id).unwrap().is_some());
    assert!(policy::has_baseline(read, &pull.id, 1).unwrap());
    let owed = transfer::get(read, &push.id, &tag).unwrap().unwrap();
    assert!(owed.is_owed() && owed.direction == Direction::Push);
    assert_eq!((owed.attempts, owed.bytes, owed.job), (3, 42, JOB));
    assert_eq!(policy::cron(read, &pull.id).unwrap().unwrap().job, Some(OLD_JOB));
}

fn work(read: &Snapshot) {
    let job = queue::get(read, &JOB).unwrap().unwrap();
    assert_eq!((job.action, job.status, job.lines), (JobAction::PushMirrorTag, JobStatus::Waiting, 2));
    assert_eq!(job.last_error, "registry.invalid does not answer");
    assert_eq!(queue::lines(read, &JOB, 1, 9).unwrap(), [(1, "and another".to_owned())]);
    let old = queue::get(read, &OLD_JOB).unwrap().unwrap();
    assert_eq!((old.action, old.attempts, old.last_error.as_str()), (JobAction::PollMirror, 1, ""));
}

/// Nothing was counted then. What is held is counted behind its back; until then
/// quotas refuse nothing.
async fn what_is_held_is_counted(store: &Store) {
    let all = |read: &Snapshot| {
        let number = repo::get(read, &name("dev/app")).unwrap().unwrap().number;
        [Scope::All, Scope::Namespace("dev"), Scope::Repository(number)]
            .map(|scope| usage::counted(read, scope).unwrap())
    };
    counting::count(store).await.unwrap();
    let read = store.snapshot().unwrap();
    assert!(usage::is_whole(&read).unwrap());
    let [stored, namespace, repository] = all(&read);
    assert!(
        repository > 20_000 && namespace >= repository && stored >= repository,
        "{stored} {namespace} {repository}"
    );
    assert_eq!(usage::differences(&read).unwrap(), Vec::<String>::new());
}

/// What a tag named before did not stand in its value then.
fn a_history_is_told(registry: &Registry) {
    let latest: Tag = "latest".parse().unwrap();
    let (changes, next) = registry.tag_history(&Caller::System, &name("dev/app"), &latest, None, 9).unwrap();
    let before: Vec<Option<Digest>> = changes.iter().map(|change| change.previous).collect();
    assert_eq!((before, next), (vec![Some(Digest::sha256_of(&first())), None], None));
}

async fn blobs_are_read(registry: &Registry) {
    let repository = name("dev/app");
    for digest in [Digest::sha256_of(LAYER), Digest::of(Algorithm::Sha512, LAYER)] {
        let reader = registry.open_blob(&Caller::System, &repository, &digest).unwrap();
        let mut bytes = vec![0; LAYER.len()];
        reader.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, LAYER);
    }
    let large = Reference::Tag("large".parse().unwrap());
    let served = registry.manifest(&Caller::System, &repository, &large).unwrap();
    assert!(registry.manifest_bytes(served).await.unwrap().len() > 20_000);
    assert_eq!(registry.open_uploads().len(), 1, "a session goes on");
}
