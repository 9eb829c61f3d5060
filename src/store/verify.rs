//! Proof that all of it fits together: every tag has its manifest, every
//! manifest its blobs, every blob its file, every file the hash it is named
//! after, and every back index its row. Reads one snapshot, changes nothing.
//!
//! What it reports as a finding breaks a promise. Files that no row names are
//! counted, and are no finding: a crash leaves them, and the sweep takes them.

/// Who did what.
mod audit;
/// Tokens, robots, certificates.
mod credential;
/// Members, teams and grants.
mod organization;

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use tokio::time::Instant;

use super::file::{BlobFile, FileError, Files, Found, UploadId};
use super::guard::corruption;
use super::quarantine::{self, Held};
use super::record::manifest::Bytes;
use super::record::{
    Account, Blob, Counts, Holder, Job, ManifestBody, ManifestLinks, Pass, Policy, PolicyBody, Quarantined, Repository,
    TagPast, TagValue, Transfer, Verdict,
};
use super::{
    Key, Order, Parts, Read, RepoId, Snapshot, Span, Store, StoreError, Stored, Table, blob, event, hole, manifest,
};
use crate::event::Event;
use crate::limits;
use crate::oci::{Digest, Manifest};

/// What was found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Broken promises.
    pub findings: Vec<Finding>,
    /// How many findings there were beyond those that are listed.
    pub more_findings: u64,
    /// How much of each kind was looked at.
    pub checked: BTreeMap<&'static str, u64>,
    /// Blob files that no row names.
    pub orphans: u64,
    /// Bytes that are served and are not what their digest says.
    pub suspects: Vec<Held>,
    /// Bytes of all files that rows name.
    pub file_bytes: u64,
}

/// What came of hashing some of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashing {
    /// Files that are not what they are named after.
    pub findings: Vec<Finding>,
    /// Whose files those are.
    pub suspects: Vec<Held>,
    /// Bytes that were looked at, by the lengths that rows give.
    pub bytes: u64,
    /// Where to go on; `None` when all are done.
    pub next: Option<FilesFrom>,
}

/// A place in the files that rows name: those of blobs, then those of
/// manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesFrom {
    of_manifests: bool,
    /// The last digest that is done.
    after: Option<Digest>,
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which kind.
    pub kind: &'static str,
    /// What, where.
    pub detail: String,
}

/// How deep to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Rows, and that files are there with the right length.
    Names,
    /// Every byte is hashed as well.
    Bytes,
}

impl Depth {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Bytes => "bytes",
        }
    }
}

impl FilesFrom {
    /// The first of them.
    pub const START: Self = Self { of_manifests: false, after: None };
}

/// `blobs:sha256:…`, `manifests:sha256:…`.
impl std::fmt::Display for FilesFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.of_manifests { "manifests:" } else { "blobs:" })?;
        self.after.map_or(Ok(()), |after| write!(f, "{after}"))
    }
}

impl std::str::FromStr for FilesFrom {
    type Err = crate::oci::digest::DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (of_manifests, after) = match text.strip_prefix("manifests:") {
            Some(after) => (true, after),
            None => (false, text.strip_prefix("blobs:").unwrap_or(text)),
        };
        let after = if after.is_empty() { None } else { Some(after.parse()?) };
        Ok(Self { of_manifests, after })
    }
}

/// Findings that are listed one by one.
const LISTED: usize = 1_000;
/// What is known to be damaged, is not served, and waits for the right bytes.
pub const QUARANTINED: &str = "quarantined";

impl Report {
    /// Adds a page of the database that does not fit its checksum.
    pub fn find_page(&mut self, why: &str) {
        self.find("damaged database", format!("a page does not fit its checksum: {why}; restore it from a backup"));
    }

    /// The first finding beside what is in quarantine, and how many there are.
    pub fn unknown(&self) -> Option<(&Finding, usize)> {
        let mut unknown = self.findings.iter().filter(|found| found.kind != QUARANTINED);
        unknown.next().map(|first| (first, 1 + unknown.count()))
    }

    /// Whether every promise holds.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds what hashing some files has shown; what is known already is told
    /// once.
    pub fn add(&mut self, hashed: Hashing) {
        hashed.suspects.into_iter().for_each(|held| self.suspect(held));
        for Finding { kind, detail } in hashed.findings {
            if !self.findings.iter().any(|known| known.kind == kind && known.detail == detail) {
                self.find(kind, detail);
            }
        }
    }

    fn find(&mut self, kind: &'static str, detail: impl Into<String>) {
        if self.findings.len() < LISTED {
            self.findings.push(Finding { kind, detail: detail.into() });
        } else {
            self.more_findings += 1;
        }
    }

    fn suspect(&mut self, held: Held) {
        if self.suspects.len() < LISTED {
            self.suspects.push(held);
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.checked.entry(what).or_default() += 1;
    }
}

/// Looks at everything. `live` are uploads whose files are not named yet.
/// Blocks for as long as it takes to read (or hash) all of it.
pub fn verify(read: &Snapshot, files: &Files, depth: Depth, live: &HashSet<UploadId>) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut check = Check { read, files, depth, report: &mut report };
    let sections = [
        Check::repositories,
        Check::tags,
        Check::history,
        Check::manifests,
        Check::links,
        Check::blobs,
        Check::accounts,
        Check::organizations,
        Check::credentials,
        Check::policies,
        Check::work,
        Check::log,
        Check::audit,
        Check::usage,
        // The last: what is known already hides nothing that is not.
        Check::quarantine,
    ];
    for section in sections {
        let looked = section(&mut check);
        check.find_damage(looked)?;
    }
    let looked = check.orphans(live);
    check.find_damage(looked)?;
    Ok(report)
}

/// Hashes files from a place on, until `until` or as many as one slice has: for
/// a store that goes on meanwhile, so no snapshot is held while files are read.
/// Blocks. What lost its name in between is no finding.
pub fn hash_files(store: &Store, from: FilesFrom, until: Instant) -> Result<Hashing, StoreError> {
    let mut done = Hashing::default();
    let named = named_files(&store.snapshot()?, &from)?;
    let is_last = named.len() < limits::VERIFY_SLICE_FILES;
    let mut at = from.after;
    for (index, (file, size)) in named.iter().enumerate() {
        if index > 0 && Instant::now() >= until {
            done.next = Some(FilesFrom { after: at, ..from });
            return Ok(done);
        }
        if let Some((kind, detail)) = hash_fault(store.files(), file, *size)
            && blob::names_file(&store.snapshot()?, file)?
        {
            done.findings.push(Finding { kind, detail });
            let holder = if from.of_manifests { Holder::Manifest } else { Holder::Blob };
            done.suspects.push(Held { digest: file.digest, holder });
        }
        done.bytes += size;
        at = Some(file.digest);
    }
    done.next = match (is_last, from.of_manifests) {
        (false, of_manifests) => Some(FilesFrom { of_manifests, after: at }),
        (true, false) => Some(FilesFrom { of_manifests: true, after: None }),
        (true, true) => None,
    };
    Ok(done)
}

/// Some files that rows name, in the order of their digests.
fn named_files(read: &Snapshot, from: &FilesFrom) -> Result<Vec<(BlobFile, u64)>, StoreError> {
    let table = if from.of_manifests { Table::Manifests } else { Table::Blobs };
    let span = from.after.map_or_else(Span::all, |after| Span::all().after(&Key::new().digest(&after)));
    let mut named = Vec::new();
    read.walk(table, &span, Order::Forward, |key, value| {
        // A record that does not decode is found by `verify`.
        let found = if from.of_manifests {
            ManifestBody::decode(value).ok().and_then(|body| match body.bytes {
                Bytes::File(upload) => Some((upload, body.size)),
                Bytes::Inline(_) => None,
            })
        } else {
            Blob::decode(value).ok().map(|blob| (blob.upload, blob.size))
        };
        named.extend(found.map(|(upload, size)| (BlobFile { digest: digest_of(key), upload }, size)));
        Ok(if named.len() < limits::VERIFY_SLICE_FILES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(named)
}

/// What is wrong with a file, by its bytes.
fn hash_fault(files: &Files, file: &BlobFile, size: u64) -> Option<(&'static str, String)> {
    match files.hash(file, |_| ()) {
        Ok(Some(hashed)) if hashed.digest == file.digest && hashed.size == size => None,
        Ok(Some(_)) => Some(("wrong bytes", file.to_string())),
        Ok(None) => Some(("missing file", file.to_string())),
        Err(error) => Some(("unreadable file", super::error_chain(&error))),
    }
}

struct Check<'a> {
    read: &'a Snapshot,
    files: &'a Files,
    depth: Depth,
    report: &'a mut Report,
}

impl Check<'_> {
    /// What of the database cannot be read is a finding; the rest is looked at
    /// all the same.
    fn find_damage(&mut self, looked: Result<(), StoreError>) -> Result<(), StoreError> {
        match looked {
            Err(error) if matches!(error, StoreError::Damaged { .. }) || corruption(&error).is_some() => {
                self.report.find("damaged database", super::error_chain(&error));
                Ok(())
            }
            looked => looked,
        }
    }

    /// Hands every record of a table to `each`; those that do not decode are
    /// findings.
    fn each<R: Stored>(
        &mut self,
        table: Table,
        mut each: impl FnMut(&mut Self, &[u8], R) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let read = self.read;
        read.walk(table, &Span::all(), Order::Forward, |key, value| {
            self.report.count(table.name());
            match R::decode(value) {
                Ok(record) => each(self, key, record)?,
                Err(why) => self.report.find("damaged record", format!("{} {}: {why}", table.name(), hex::encode(key))),
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Hands every key of a table to `each`, which says whether it fits.
    fn keys(
        &mut self,
        table: Table,
        mut fits: impl FnMut(&Snapshot, &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let read = self.read;
        read.walk(table, &Span::all(), Order::Forward, |key, _| {
            self.report.count(table.name());
            if !fits(read, key)? {
                self.report.find("stray index row", format!("{} {}", table.name(), hex::encode(key)));
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn is_purging(&self, repo: RepoId) -> Result<bool, StoreError> {
        self.read.has(Table::Purges, &Key::new().repo(repo))
    }

    fn repositories(&mut self) -> Result<(), StoreError> {
        let lists_public = super::repo::lists_public(self.read)?;
        self.keys(Table::PublicRepositories, |read, key| {
            let name = std::str::from_utf8(key).unwrap_or_default();
            let record = read.record::<Repository>(Table::Repositories, &Key::new().text(name))?;
            Ok(record.is_some_and(|record| record.is_public))
        })?;
        self.each::<Repository>(Table::Repositories, |check, key, record| {
            let name = String::from_utf8_lossy(key).into_owned();
            let listed = check.read.has(Table::PublicRepositories, &Key::new().text(&name))?;
            if lists_public && record.is_public && !listed {
                check.report.find("public repository", format!("{name} is public, and no list of those has it"));
            }
            let back = super::repo::name_of(check.read, record.number)?;
            if back.is_none_or(|back| back.as_str() != name) {
                check
                    .report
                    .find("repository number", format!("{name}: its number {} leads elsewhere", record.number.0));
            }
            Ok(())
        })
    }

    fn tags(&mut self) -> Result<(), StoreError> {
        let last = event::last(self.read)?;
        let mut counted = BTreeMap::<RepoId, u64>::new();
        self.each::<TagValue>(Table::Tags, |check, key, value| {
            let mut parts = Parts::of(key);
            let (Some(repo), Some(tag)) = (parts.repo(), parts.tag()) else {
                check.report.find("damaged key", format!("tags {}", hex::encode(key)));
                return Ok(());
            };
            *counted.entry(repo).or_default() += 1;
            if check.is_purging(repo)? {
                return Ok(());
            }
            let place = format!("repository {} tag {tag}", repo.0);
            match manifest::body_in(check.read, repo, &value.digest)? {
                None if check.is_damaged(Held::manifest(value.digest))? => {}
                None => check.report.find("dangling tag", format!("{place}: {} is not there", value.digest)),
                Some(body) if body.kind != value.kind || body.size != value.size => {
                    check.report.find("tag differs from manifest", place.clone());
                }
                Some(_) => {}
            }
            if value.seq > last {
                check
                    .report
                    .find("tag from the future", format!("{place}: set by event {}, the last is {last}", value.seq));
            }
            if !check.read.has(Table::DigestTags, &Key::new().repo(repo).digest(&value.digest).tag(&tag))? {
                check.report.find("missing index row", format!("{place}: not listed under its digest"));
            }
            Ok(())
        })?;
        self.each::<Counts>(Table::RepositoryCounts, |check, key, counts| {
            let Some(repo) = Parts::of(key).repo() else { return Ok(()) };
            let found = counted.get(&repo).copied().unwrap_or(0);
            if counts.tags.is_some_and(|tags| tags != found) && !check.is_purging(repo)? {
                let said = counts.tags.unwrap_or(0);
                check
                    .report
                    .find("tags not in step", format!("repository {}: {said} are counted, {found} are there", repo.0));
            }
            Ok(())
        })?;
        self.keys(Table::DigestTags, |read, key| {
            let mut parts = Parts::of(key);
            let (Some(repo), Some(digest), Some(tag)) = (parts.repo(), parts.digest(), parts.tag()) else {
                return Ok(false);
            };
            Ok(super::tag::get(read, repo, &tag)?.is_some_and(|value| value.digest == digest)
                || read.has(Table::Purges, &Key::new().repo(repo))?)
        })?;
        self.each::<Verdict>(Table::Verdicts, |check, key, verdict| {
            let mut parts = Parts::of(key);
            let (Some(repo), Some(tag)) = (parts.repo(), parts.tag()) else { return Ok(()) };
            if check.is_purging(repo)? {
                return Ok(());
            }
            match super::tag::get(check.read, repo, &tag)? {
                Some(value) if verdict.seq <= value.seq => {}
                Some(_) => check.report.find("verdict from the future", format!("repository {} tag {tag}", repo.0)),
                None => check.report.find("verdict without a tag", format!("repository {} tag {tag}", repo.0)),
            }
            Ok(())
        })
    }

    /// What tags were: each row under its own event, before what the tag is.
    fn history(&mut self) -> Result<(), StoreError> {
        let last = event::last(self.read)?;
        self.each::<TagPast>(Table::TagHistory, |check, key, past| {
            let mut parts = Parts::of(key);
            let (Some(repo), Some(tag), Some(seq)) = (parts.repo(), parts.text_then(), parts.number()) else {
                check.report.find("damaged key", format!("tag_history {}", hex::encode(key)));
                return Ok(());
            };
            if check.is_purging(repo)? {
                return Ok(());
            }
            let place = format!("repository {} tag {tag} event {seq}", repo.0);
            let current = match tag.parse() {
                Ok(tag) => super::tag::get(check.read, repo, &tag)?,
                Err(_) => None,
            };
            if super::repo::name_of(check.read, repo)?.is_none() {
                check.report.find("stray history", format!("{place}: there is no such repository"));
            }
            if past.seq() != seq || seq > last || current.is_some_and(|value| seq >= value.seq) {
                check.report.find("history not in step", place);
            }
            Ok(())
        })
    }

    fn manifests(&mut self) -> Result<(), StoreError> {
        self.each::<ManifestBody>(Table::Manifests, |check, key, body| {
            let Some((digest, _)) = Digest::from_key(key) else {
                check.report.find("damaged key", format!("manifests {}", hex::encode(key)));
                return Ok(());
            };
            let Some(links) = manifest::links(check.read, &digest)? else {
                check.report.find("manifest without links", digest.to_string());
                return Ok(());
            };
            let bytes = match &body.bytes {
                Bytes::Inline(bytes) => bytes.clone(),
                Bytes::File(upload) => {
                    check.file(Held::manifest(digest), *upload, body.size);
                    return Ok(());
                }
            };
            if Digest::of(digest.algorithm(), &bytes) != digest || bytes.len() as u64 != body.size {
                check.report.find("wrong bytes", format!("manifest {digest}"));
                check.report.suspect(Held::manifest(digest));
                return Ok(());
            }
            match Manifest::parse(&bytes, None) {
                Ok(parsed) if parsed.links == links.links && parsed.kind == body.kind => {}
                _ => check.report.find("manifest differs from its links", digest.to_string()),
            }
            Ok(())
        })?;
        self.each::<ManifestLinks>(Table::ManifestLinks, |check, key, _| {
            let digest = digest_of(key);
            if !check.read.has(Table::Manifests, &Key::new().digest(&digest))?
                && !check.is_damaged(Held::manifest(digest))?
            {
                check.report.find("links without a manifest", hex::encode(key));
            }
            Ok(())
        })
    }

    /// Links of repositories to manifests and blobs, with their back indexes.
    fn links(&mut self) -> Result<(), StoreError> {
        let read = self.read;
        read.walk(Table::RepositoryManifests, &Span::all(), Order::Forward, |key, _| {
            self.report.count(Table::RepositoryManifests.name());
            let mut parts = Parts::of(key);
            if let (Some(repo), Some(digest)) = (parts.repo(), parts.digest())
                && !self.is_purging(repo)?
            {
                self.manifest_in(repo, &digest)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.keys(Table::RepositoryBlobs, |read, key| {
            let mut parts = Parts::of(key);
            let (Some(repo), Some(digest)) = (parts.repo(), parts.digest()) else { return Ok(false) };
            Ok(read.has(Table::Purges, &Key::new().repo(repo))?
                || read.has(Table::BlobRepositories, &Key::new().digest(&digest).repo(repo))?
                    && (blob::get(read, &digest)?.is_some() || quarantine::has(read, &Held::blob(digest))?))
        })?;
        self.keys(Table::Holes, |read, key| {
            let Some((repo, absent, parent)) = hole::parts(key) else { return Ok(false) };
            let is_there = blob::is_linked(read, repo, &absent)? || manifest::is_linked(read, repo, &absent)?;
            Ok(read.has(Table::Purges, &Key::new().repo(repo))?
                || !is_there && manifest::is_linked(read, repo, &parent)?)
        })?;
        for (back, forth) in [
            (Table::BlobRepositories, Table::RepositoryBlobs),
            (Table::ManifestRepositories, Table::RepositoryManifests),
        ] {
            self.keys(back, |read, key| {
                let mut parts = Parts::of(key);
                let (Some(digest), Some(repo)) = (parts.digest(), parts.repo()) else { return Ok(false) };
                read.has(forth, &Key::new().repo(repo).digest(&digest))
            })?;
        }
        Ok(())
    }

    fn manifest_in(&mut self, repo: RepoId, digest: &Digest) -> Result<(), StoreError> {
        let read = self.read;
        let place = format!("repository {} manifest {digest}", repo.0);
        if !read.has(Table::ManifestRepositories, &Key::new().digest(digest).repo(repo))? {
            self.report.find("missing index row", place.clone());
        }
        let is_here = manifest::body(read, digest)?.is_some() || self.is_damaged(Held::manifest(*digest))?;
        let Some(record) = manifest::links(read, digest)?.filter(|_| is_here) else {
            self.report.find("dangling manifest link", place);
            return Ok(());
        };
        for link in record.links.blobs() {
            let is_there = blob::is_linked(read, repo, &link.digest)?;
            if !is_there && !hole::is_known(read, repo, &link.digest, digest)? {
                self.report.find("dangling blob", format!("{place}: {} is not there", link.digest));
            }
            if !read.has(Table::Parents, &Key::new().digest(&link.digest).digest(digest))? {
                self.report.find("missing index row", format!("{place}: parents of {}", link.digest));
            }
        }
        for child in &record.links.children {
            let is_there = if child.is_manifest {
                manifest::is_linked(read, repo, &child.digest)?
            } else {
                blob::is_linked(read, repo, &child.digest)?
            };
            if !is_there && !hole::is_known(read, repo, &child.digest, digest)? {
                self.report.find("dangling entry", format!("{place}: {} is not there", child.digest));
            }
        }
        if let Some(subject) = record.links.subject
            && super::referrer::get(read, repo, &subject, digest)?.is_none()
        {
            self.report.find("missing index row", format!("{place}: not listed as a referrer of {subject}"));
        }
        Ok(())
    }

    fn blobs(&mut self) -> Result<(), StoreError> {
        self.each::<Blob>(Table::Blobs, |check, key, record| {
            check.file(Held::blob(digest_of(key)), record.upload, record.size);
            Ok(())
        })?;
        let files = blob::files_to_unlink(self.read, usize::MAX)?;
        for file in files {
            self.report.count(Table::Unlinks.name());
            if blob::names_file(self.read, &file)? {
                self.report.find("file named and to be removed", file.to_string());
            }
        }
        Ok(())
    }

    /// A file that a row names: there, of the right length, of the right hash.
    fn file(&mut self, held: Held, upload: UploadId, size: u64) {
        let file = &BlobFile { digest: held.digest, upload };
        let fault = match self.depth {
            Depth::Names => match self.files.find_blob(file, size) {
                Ok(Some(_)) => None,
                Err(FileError::Length { .. }) => Some(("wrong bytes", file.to_string())),
                Ok(None) => Some(("missing file", file.to_string())),
                Err(error) => Some(("unreadable file", super::error_chain(&error))),
            },
            Depth::Bytes => hash_fault(self.files, file, size),
        };
        self.report.count("files");
        self.report.file_bytes += size;
        if let Some((kind, detail)) = fault {
            self.report.find(kind, detail);
            self.report.suspect(held);
        }
    }

    /// What is damaged and known to be: a finding, but none that the tables did
    /// not tell.
    fn quarantine(&mut self) -> Result<(), StoreError> {
        self.each::<Quarantined>(Table::Quarantine, |check, key, row| {
            let Some(held) = Held::of_key(key) else {
                check.report.find("damaged key", format!("quarantine {}", hex::encode(key)));
                return Ok(());
            };
            let key = Key::new().digest(&held.digest);
            let (table, needs_links) = match held.holder {
                Holder::Blob => (Table::Blobs, false),
                Holder::Manifest => (Table::Manifests, true),
            };
            if check.read.has(table, &key)? {
                check.report.find("quarantined and served", held.to_string());
            }
            if needs_links && !check.read.has(Table::ManifestLinks, &key)? {
                check.report.find("manifest without links", held.digest.to_string());
            }
            check.report.find(QUARANTINED, format!("{held}: {}, found {}", row.flaw, row.found_at));
            Ok(())
        })?;
        self.each::<Pass>(Table::Scrub, |_, _, _| Ok(()))
    }

    fn is_damaged(&self, held: Held) -> Result<bool, StoreError> {
        quarantine::has(self.read, &held)
    }

    fn accounts(&mut self) -> Result<(), StoreError> {
        self.each::<Account>(Table::Accounts, |check, key, record| {
            let name = String::from_utf8_lossy(key).into_owned();
            if super::account::name_of(check.read, &record.id)?.as_deref() != Some(&name) {
                check.report.find("account id", format!("{name}: its id leads elsewhere"));
            }
            Ok(())
        })
    }

    fn policies(&mut self) -> Result<(), StoreError> {
        self.each::<Policy>(Table::Policies, |check, _, policy| {
            if !check.read.has(Table::PoliciesOf, &Key::new().repo(policy.repository).id(&policy.id))? {
                check.report.find("missing index row", format!("policy {}", policy.id));
            }
            if let PolicyBody::Promotion { target } = &policy.body
                && !check.read.has(Table::PoliciesInto, &Key::new().text_then(target).id(&policy.id))?
            {
                check.report.find("missing index row", format!("policy {} into {target}", policy.id));
            }
            Ok(())
        })
    }

    /// Transfers and jobs, with the rows of due ones.
    fn work(&mut self) -> Result<(), StoreError> {
        self.each::<Transfer>(Table::Transfers, |check, key, transfer| {
            let mut parts = Parts::of(key);
            if let (Some(policy), Some(tag)) = (parts.id(), parts.tag()) {
                let due = Key::new().time(transfer.next_at).id(&policy).tag(&tag);
                if transfer.is_owed() != check.read.has(Table::TransfersDue, &due)? {
                    check.report.find("transfer not in step", format!("policy {policy} tag {tag}"));
                }
            }
            Ok(())
        })?;
        self.keys(Table::TransfersDue, |read, key| {
            let mut parts = Parts::of(key);
            let (Some(at), Some(policy), Some(tag)) = (parts.time(), parts.id(), parts.tag()) else { return Ok(false) };
            let row = super::transfer::get(read, &policy, &tag)?;
            Ok(row.is_some_and(|row| row.is_owed() && row.next_at == at))
        })?;
        self.each::<Job>(Table::Jobs, |check, key, job| {
            let Some(id) = Parts::of(key).id() else { return Ok(()) };
            let timed = Key::new().time(job.scheduled_at).id(&id);
            let due = check.read.has(Table::JobsDue, &timed)?;
            if due != super::queue::is_due(&job) || !check.read.has(Table::JobsListed, &timed)? {
                check.report.find("job not in step", format!("job {id}"));
            }
            Ok(())
        })
    }

    fn log(&mut self) -> Result<(), StoreError> {
        let (last, cursor) = (event::last(self.read)?, event::cursor(self.read)?);
        if cursor > last {
            self.report.find("cursor beyond the log", format!("cursor {cursor}, last event {last}"));
        }
        let mut expected: Option<u64> = None;
        self.each::<Event>(Table::Events, |check, _, event| {
            if expected.is_some_and(|expected| expected != event.seq) {
                check.report.find("gap in the event log", format!("before event {}", event.seq));
            }
            expected = Some(event.seq + 1);
            Ok(())
        })?;
        let newest = expected.map_or(last, |next| next - 1);
        if newest != last {
            self.report.find("event log and its number differ", format!("newest {newest}, number {last}"));
        }
        Ok(())
    }

    /// What repositories, namespaces and all hold, counted again.
    fn usage(&mut self) -> Result<(), StoreError> {
        for difference in super::usage::differences(self.read)? {
            self.report.find("usage not in step", difference);
        }
        for table in [Table::Usage, Table::Quotas] {
            let span = Span::all();
            self.read.walk(table, &span, Order::Forward, |_, _| {
                self.report.count(table.name());
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    fn orphans(&mut self, live: &HashSet<UploadId>) -> Result<(), StoreError> {
        for found in self.files.walk()? {
            let Found::Blob { file, .. } = found? else { continue };
            let is_known = live.contains(&file.upload)
                || blob::names_file(self.read, &file)?
                || blob::is_to_unlink(self.read, &file)?;
            if !is_known {
                self.report.orphans += 1;
            }
        }
        Ok(())
    }
}

/// The digest that a key is, or a digest that nothing has.
fn digest_of(key: &[u8]) -> Digest {
    Digest::from_key(key).map_or_else(|| Digest::sha256_of(key), |(digest, _)| digest)
}
