//! Backups of a daemon that is used meanwhile, made and restored by the command
//! line, in this process.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};

use super::{at, send};
use crate::audit::Audit;
use crate::chance::{Chance, Id};
use crate::cli::{self, Exit, Terminal};
use crate::clock::Clock;
use crate::config::Environment;
use crate::http::harness::{Ask, Site};
use crate::limits;
use crate::oci::{Digest, Tag};
use crate::store::backup::{BackupFolder, Draft, NamedFiles};
use crate::store::file::{BlobFile, Flaw, UploadId};
use crate::store::quarantine::{self, Held};
use crate::store::record::PolicyBody;
use crate::store::verify::{Depth, verify};
use crate::store::{
    Change, Key, Lane, Operation, Order, Read as _, Span, Store, StoreError, Table, blob, policy, repo, tag,
};

/// How a command ended, and what it said.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

/// A folder for backups and what is restored from them.
struct Place(tempfile::TempDir);

async fn tidegate(site: Option<&Site>, words: &[&str]) -> Ran {
    let mut environment = Environment::bare(std::env::temp_dir());
    environment.socket = site.map(Site::socket);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal =
        Terminal { stdin: &mut std::io::empty(), stdout: &mut out, stderr: &mut err, interactive: false };
    let words = std::iter::once("tidegate").chain(words.iter().copied());
    let exit = cli::run(words, &environment, &mut terminal).await;
    Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

impl Ran {
    #[track_caller]
    fn json(self) -> Value {
        assert_eq!((self.exit, self.err.as_str()), (Exit::Success, ""), "{}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }

    /// The one line of a refusal.
    #[track_caller]
    fn refused(self) -> String {
        assert_eq!((self.exit, self.out.as_str()), (Exit::Failure, ""), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        self.err
    }
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Backs up to `backup`.
    async fn back_up(&self, site: &Site) -> Value {
        tidegate(Some(site), &["--json", "backup", &self.text("backup")]).await.json()
    }

    /// Restores `backup` to a folder of the name, and opens it, proved.
    async fn restore(&self, name: &str) -> Store {
        tidegate(None, &["--json", "restore", &self.text("backup"), &self.text(name)]).await.json();
        let store = Store::open(&self.path(name), Clock::system(), Chance::seeded(1)).unwrap();
        let report = verify(&store.snapshot().unwrap(), store.files(), Depth::Bytes, &HashSet::new()).unwrap();
        assert!(report.is_clean() && report.orphans == 0, "{report:?}");
        store
    }

    /// The files below `backup/blobs`.
    fn files(&self) -> Vec<PathBuf> {
        below(&self.path("backup").join("blobs"))
    }
}

/// All files below a folder, sorted.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Every row but the few that belong to a folder and not to what is in it.
fn rows(store: &Store) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let read = store.snapshot().unwrap();
    let mut rows = Vec::new();
    for table in Table::ALL {
        read.walk(table, &Span::all(), Order::Forward, |key, value| {
            let is_own = table == Table::Meta && [&b"generation"[..], b"instance", b"usage"].contains(&key);
            if !is_own {
                rows.push((table.name(), key.to_vec(), value.to_vec()));
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
    }
    rows
}

fn tags(store: &Store, repository: &str) -> Vec<(String, Digest)> {
    let read = store.snapshot().unwrap();
    let number = repo::get(&read, &repository.parse().unwrap()).unwrap().unwrap().number;
    let names: Vec<Tag> = {
        let mut names = Vec::new();
        tag::walk_names(&read, number, None, |tag, _| {
            names.push(tag.parse().unwrap());
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
        names
    };
    names.into_iter().map(|name| (name.to_string(), tag::get(&read, number, &name).unwrap().unwrap().digest)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_during_pushes_is_the_registry_as_of_one_commit() {
    let (site, place) = (Site::open().await, Place::new());
    let number = |read: &crate::store::Snapshot| repo::get(read, &"ann/app".parse().unwrap()).unwrap().unwrap().number;
    let pushes = async {
        let mut model = Vec::new();
        for round in 0..60 {
            let tag = format!("t{:02}", round % 40);
            let digest = site.push_image("ann", "ann/app", &tag, format!("layer {round}").as_bytes()).await;
            let read = site.state.registry().store().snapshot().unwrap();
            let value = tag::get(&read, number(&read), &tag.parse().unwrap()).unwrap().unwrap();
            assert_eq!(value.digest, digest);
            model.push((value.seq, tag, digest));
        }
        model
    };
    let backups = async {
        let mut made = Vec::new();
        for round in 0..4 {
            let told = place.back_up(&site).await;
            let store = place.restore(&format!("data{round}")).await;
            made.push((told["eventSequence"].as_u64().unwrap(), tags(&store, "ann/app")));
        }
        made
    };
    let (model, made) = futures_util::future::join(pushes, backups).await;
    for (sequence, found) in made {
        let mut expected = std::collections::BTreeMap::new();
        for (_, tag, digest) in model.iter().filter(|(seq, ..)| *seq <= sequence) {
            expected.insert(tag.clone(), *digest);
        }
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "as of event {sequence}");
    }
    // Nothing runs any more: now the copy is the original, row by row.
    place.back_up(&site).await;
    let store = place.restore("last").await;
    assert_eq!(rows(&store), rows(site.state.registry().store()));
    assert_ne!(store.instance(), site.state.registry().store().instance());
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_copies_what_is_new_and_drops_what_is_gone() {
    let (site, place) = (Site::open().await, Place::new());
    site.push_image("ann", "ann/app", "1.0", b"one").await;
    let first = place.back_up(&site).await;
    assert_eq!((&first["files"], &first["copied"]["files"]), (&json!(2), &json!(2)));
    assert_eq!((&first["fileBytes"], &first["copied"]["bytes"]), (&json!(5), &json!(5)));
    let inode = fs::metadata(&place.files()[0]).unwrap().ino();

    let again = place.back_up(&site).await;
    assert_eq!((&again["files"], &again["copied"]["files"]), (&json!(2), &json!(0)));
    site.push_image("ann", "ann/app", "1.1", b"four").await;
    let third = place.back_up(&site).await;
    assert_eq!((&third["files"], &third["copied"]), (&json!(3), &json!({"files": 1, "bytes": 4})));
    assert!(place.files().iter().any(|file| fs::metadata(file).unwrap().ino() == inode), "it was not written again");

    // A file that is cut is brought anew, one that nothing names goes.
    let (cut, stray) = (place.files()[0].clone(), place.path("backup").join("blobs/sha256/00"));
    fs::write(&cut, b"").unwrap();
    fs::create_dir_all(&stray).unwrap();
    fs::write(stray.join(format!("00{}.{}", "a".repeat(62), "b".repeat(32))), b"old").unwrap();
    let fourth = place.back_up(&site).await;
    assert_eq!((&fourth["copied"]["files"], &fourth["removed"]), (&json!(1), &json!({"files": 1, "bytes": 3})));
    assert_eq!(place.files().len(), 3);
    drop(place.restore("data").await);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_anywhere_the_folder_holds_the_backup_before_or_the_new_one() {
    let (site, place) = (Site::open().await, Place::new());
    site.push_image("ann", "ann/app", "1.0", b"one").await;
    place.back_up(&site).await;
    let digest = site.push_image("ann", "ann/app", "2.0", b"two").await;
    let store = site.state.registry().store();
    let backup = place.path("backup");
    let held = |store: Store| tags(&store, "ann/app").iter().any(|(_, found)| *found == digest);

    // The rows end early, at every length of a stream.
    let id = store.begin_backup("").unwrap();
    let mut stream = Vec::new();
    while let Some(piece) = store.backup_rows(&id).unwrap() {
        stream.extend_from_slice(&piece);
    }
    for cut in (0..stream.len()).step_by(stream.len() / 23) {
        let folder = BackupFolder::open(&backup).unwrap();
        Draft::build(&folder.draft_path(), &stream[..cut], |_| Ok(())).unwrap_err();
    }
    assert!(!held(place.restore("rows").await));

    // A file ends early; then all are there, and the database is not in place.
    let folder = BackupFolder::open(&backup).unwrap();
    let draft = Draft::build(&folder.draft_path(), stream.as_slice(), |_| Ok(())).unwrap();
    let missing: Vec<_> = NamedFiles::new().next(&draft.snapshot().unwrap()).unwrap();
    let missing: Vec<_> = missing.into_iter().filter(|named| !folder.has(named)).collect();
    assert_eq!(missing.len(), 1);
    let mut short = folder.begin(missing[0]).unwrap();
    short.write(b"tw").unwrap();
    drop((short, draft, folder));
    assert!(!held(place.restore("file").await));
    let folder = BackupFolder::open(&backup).unwrap();
    let draft = Draft::build(&folder.draft_path(), stream.as_slice(), |_| Ok(())).unwrap();
    let mut other = folder.begin(missing[0]).unwrap();
    other.write(b"TWO").unwrap();
    assert!(other.finish().unwrap_err().to_string().contains("other bytes"), "what is no blob is not taken");
    folder.verify(&draft.snapshot().unwrap()).unwrap_err();
    let mut whole = folder.begin(missing[0]).unwrap();
    whole.write(b"two").unwrap();
    whole.finish().unwrap();
    folder.verify(&draft.snapshot().unwrap()).unwrap();
    drop((draft, folder));
    assert!(!held(place.restore("files").await));

    // The database is in place, and that is all.
    let folder = BackupFolder::open(&backup).unwrap();
    let draft = Draft::build(&folder.draft_path(), stream.as_slice(), |_| Ok(())).unwrap();
    folder.install(draft).unwrap();
    drop(folder);
    assert!(held(place.restore("database").await));

    // And the next one goes on from there.
    store.end_backup(&id);
    let next = place.back_up(&site).await;
    assert_eq!(next["copied"]["files"], 0);
    assert!(held(place.restore("next").await));
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_holds_something_else_is_refused() {
    let (site, place) = (Site::open().await, Place::new());
    let back_up = async |name: &str| tidegate(Some(&site), &["backup", &place.text(name)]).await;
    fs::create_dir(place.path("photos")).unwrap();
    fs::write(place.path("photos/cat.jpg"), b"x").unwrap();
    assert!(back_up("photos").await.refused().contains("holds something else (cat.jpg)"));
    assert_eq!(below(&place.path("photos")), [place.path("photos/cat.jpg")]);
    // A data folder, and a folder in one.
    drop(Store::open(&place.path("other"), Clock::system(), Chance::seeded(3)).unwrap());
    for name in ["other", "other/backup"] {
        assert!(back_up(name).await.refused().contains("is a data folder"), "{name}");
    }
    // A bare database is not taken for a backup.
    fs::create_dir(place.path("bare")).unwrap();
    fs::copy(place.path("other/tidegate.redb"), place.path("bare/tidegate.redb")).unwrap();
    assert!(back_up("bare").await.refused().contains("holds something else (tidegate.redb)"));
    // One that another process works on, and one of another registry.
    place.back_up(&site).await;
    let held = BackupFolder::open(&place.path("backup")).unwrap();
    assert!(back_up("backup").await.refused().contains("another backup or restore is using"));
    drop(held);
    let another = Site::open().await;
    let refused = tidegate(Some(&another), &["backup", &place.text("backup")]).await.refused();
    assert!(refused.contains("holds the backup of another registry"), "{refused}");
    assert!(!another.state.registry().store().is_backed_up(), "what was refused holds nothing");
    another.close().await;
    drop(place.restore("data").await);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_by_name_and_nothing_is_left_behind() {
    let (site, place) = (Site::open().await, Place::new());
    site.push_image("ann", "ann/app", "1.0", b"some layer").await;
    place.back_up(&site).await;
    site.close().await;
    let refused = async || tidegate(None, &["restore", &place.text("backup"), &place.text("data")]).await.refused();
    let file = place.files().into_iter().find(|file| fs::metadata(file).unwrap().len() == 10).unwrap();
    let database = place.path("backup/tidegate.redb");
    let pages = fs::read(&database).unwrap();
    let torn = {
        let mut torn = pages.clone();
        // The middle of what is used: half of the file is room to grow.
        let used = torn.iter().rposition(|byte| *byte != 0).unwrap();
        torn[used / 2..used / 2 + 4096].fill(0xaa);
        torn
    };
    let description = fs::read_to_string(place.path("backup/backup.json")).unwrap();
    let json = place.path("backup/backup.json");
    let later = description.replacen("\"format\": 1", "\"format\": 2", 1);
    let cases: [(&PathBuf, Option<&[u8]>, &str); 8] = [
        (&file, None, "is missing"),
        (&file, Some(b"short"), "has 5 bytes, not 10"),
        (&file, Some(b"SOME LAYER"), "holds other bytes than its name says"),
        (&database, None, "is missing"),
        (&database, Some(b"no database at all"), "does not read as a database"),
        (&database, Some(&torn), "does not read as a database"),
        (&json, Some(b"{"), "does not read"),
        (&json, Some(later.as_bytes()), "made by a newer tidegate (format 2)"),
    ];
    for (path, bytes, words) in cases {
        let before = fs::read(path).unwrap();
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let said = refused().await;
        assert!(said.contains(words) && said.contains(path.to_str().unwrap()), "{words}: {said}");
        assert!(!place.path("data").exists(), "{words}: the folder was missing, and is again");
        fs::create_dir(place.path("data")).unwrap();
        refused().await;
        assert_eq!(fs::read_dir(place.path("data")).unwrap().count(), 0, "{words}: it was empty, and is again");
        fs::remove_dir(place.path("data")).unwrap();
        fs::write(path, before).unwrap();
    }
    fs::create_dir(place.path("data")).unwrap();
    fs::write(place.path("data/mine"), b"x").unwrap();
    assert!(refused().await.contains("is not empty (mine)"));
    assert_eq!(below(&place.path("data")), [place.path("data/mine")]);
    fs::remove_dir_all(place.path("data")).unwrap();
    // What a restore that was killed leaves is no registry, and no obstacle.
    fs::create_dir_all(place.path("data/restoring/blobs")).unwrap();
    fs::write(place.path("data/generation"), format!("{} 1\n", Id::from_bytes([7; 16]))).unwrap();
    let opened = Store::open(&place.path("data"), Clock::system(), Chance::seeded(1));
    assert!(opened.unwrap_err().to_string().contains("the database that names them is missing"));
    drop(place.restore("data").await);
    assert!(refused().await.contains("is not empty"), "it holds a registry now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_a_registry_of_its_own_unless_it_replaces_the_original() {
    let (site, place) = (Site::open().await, Place::new());
    let promotion = json!({"enabled": true, "targetRepository": "ann/other", "rules": []});
    send(&site, 201, "root", Ask::post(&at("ann/app", "/promotionPolicies")), promotion).await;
    let there = Site::open().await;
    for kind in ["/pushMirroringPolicies", "/pollMirroringPolicies"] {
        let ask = Ask::post(&at("ann/app", &format!("{kind}?initialEvaluation=false")));
        send(&site, 201, "root", ask, super::mirror::mirror(&there, "bob/app")).await;
    }
    site.push_image("ann", "ann/app", "1.0", b"layer").await;
    // Sessions are not part of it.
    site.expect(202, Ask::post("/v2/ann/app/blobs/uploads/").user("ann")).await;
    let own = site.state.registry().store().instance();
    tidegate(Some(&site), &["--json", "backup", &place.text("backup"), "--with-keys"]).await.json();
    let key = place.path("backup/keys/sealing.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    for (name, words) in [("copy", &[][..]), ("same", &["--same-host"]), ("linked", &["--same-host", "--link"])] {
        let (from, to) = (place.text("backup"), place.text(name));
        let words: Vec<&str> = ["--json", "restore", &from, &to].into_iter().chain(words.iter().copied()).collect();
        let told = tidegate(None, &words).await.json();
        let store = Store::open(&place.path(name), Clock::system(), Chance::seeded(1)).unwrap();
        let is_copy = name == "copy";
        assert_eq!(store.instance() != own, is_copy, "{name}");
        assert_eq!(told["mirrorsPaused"], if is_copy { 2 } else { 0 });
        for policy in policy::all(&store.snapshot().unwrap()).unwrap() {
            let is_mirror = !matches!(policy.body, PolicyBody::Promotion { .. });
            assert_eq!(policy.enabled, !(is_copy && is_mirror), "{name} {policy:?}");
        }
        assert!(store.snapshot().unwrap().with(Table::Meta, &Key::new().text("backup"), |_| ()).unwrap().is_none());
        assert_eq!(fs::read_dir(place.path(name).join("uploads")).unwrap().count(), 0);
        let keys = place.path(name).join("sealing.key");
        assert_eq!(fs::read(&keys).unwrap(), fs::read(&key).unwrap());
        assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
        let links = below(&place.path(name).join("blobs")).iter().all(|file| fs::metadata(file).unwrap().nlink() > 1);
        assert_eq!(links, name == "linked");
        assert!(!place.path(name).join("restoring").exists());
    }
    there.close().await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_a_daemon_is_backed_up_too() {
    let place = Place::new();
    let data = place.path("data");
    {
        let (site, from) = (Site::open().await, Place::new());
        site.push_image("ann", "ann/app", "1.0", b"layer").await;
        from.back_up(&site).await;
        site.close().await;
        tidegate(None, &["--json", "restore", &from.text("backup"), data.to_str().unwrap()]).await.json();
    }
    let told = tidegate(None, &["--json", "backup", "--data", data.to_str().unwrap(), &place.text("backup")]).await;
    assert_eq!(told.json()["copied"]["files"], 2);
    drop(place.restore("copy").await);
    let nothing = tidegate(None, &["backup", "--data", &place.text("nothing"), &place.text("other")]).await;
    assert!(nothing.refused().contains("there is no database in it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_leave_over_the_local_socket_alone() {
    let site = Site::open().await;
    let id = site.state.registry().store().begin_backup("").unwrap();
    let path = format!("/api/v0/backups/{id}/keys");
    let over_the_network = site.expect(403, Ask::get(&path).user("root")).await;
    assert!(over_the_network.message().contains("local socket"));
    let keys = site.expect(200, Ask::get(&path).local()).await.json();
    assert_eq!(keys["keys"][0]["name"], "sealing.key");
    assert!(keys["keys"][0]["text"].as_str().unwrap().starts_with("tidegate-sealing-keys v1"));
    site.expect(204, Ask::delete(&format!("/api/v0/backups/{id}")).local()).await;
    assert_eq!(site.expect(404, Ask::get(&path).local()).await.code(), "NO_SUCH_BACKUP");
    // Without keys asked for, none are in a backup.
    let place = Place::new();
    place.back_up(&site).await;
    assert!(!place.path("backup/keys").exists());
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_takes_over_the_socket_is_a_backup_until_it_ends_it() {
    let site = Site::open().await;
    let id = {
        use crate::cli::client::Client;
        use crate::cli::dial::Target;
        let client = Client::new(Target::Socket(site.socket()));
        let mut whole = client.download(Method::POST, "/api/v0/backups").await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = whole.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert!(site.state.registry().store().is_backed_up(), "its files are still to come");
        let folder = tempfile::tempdir().unwrap();
        Draft::build(&folder.path().join("draft"), bytes.as_slice(), |_| Ok(())).unwrap().lease()
    };
    site.expect(204, Ask::delete(&format!("/api/v0/backups/{id}")).user("root")).await;
    assert!(!site.state.registry().store().is_backed_up());
    let long = "x".repeat(limits::BACKUP_FOLDER_BYTES + 1);
    site.expect(400, Ask::post(&format!("/api/v0/backups?folder={long}")).local()).await;
    site.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_nobody_goes_on_with_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Clock::system(), Chance::seeded(1)).unwrap();
    let used = store.begin_backup("").unwrap();
    let left = store.begin_backup("").unwrap();
    for _ in 0..3 {
        tokio::time::advance(limits::BACKUP_IDLE / 2).await;
        assert!(store.is_backed_up());
        assert!(store.renew_backup(&used));
    }
    assert!(!store.renew_backup(&left), "nobody used it");
    // The rows have an end of their own: a snapshot pins pages.
    assert!(store.backup_rows(&used).unwrap().is_some());
    let begun = limits::BACKUP_IDLE / 2 * 3;
    let mut passed = begun;
    while passed < limits::BACKUP_ROWS {
        tokio::time::advance(limits::BACKUP_IDLE / 2).await;
        passed += limits::BACKUP_IDLE / 2;
        assert!(store.renew_backup(&used) && store.is_backed_up());
    }
    assert!(store.backup_rows(&used).is_err(), "its rows are over");
    assert!(store.renew_backup(&used), "its files are not");
    assert!(store.end_backup(&used) && !store.is_backed_up());
    // A folder takes one at a time: what was cut off is over with the next.
    let cut_off = store.begin_backup("here").unwrap();
    let next = store.begin_backup("here").unwrap();
    assert!(!store.renew_backup(&cut_off) && store.end_backup(&next));
    // And there are not too many of them.
    let all: Vec<Id> = (0..limits::BACKUPS).map(|_| store.begin_backup("").unwrap()).collect();
    assert!(store.begin_backup("").unwrap_err().to_string().contains("under way already"));
    tokio::time::advance(limits::BACKUP_IDLE).await;
    store.begin_backup("").unwrap();
    assert!(all.iter().all(|id| !store.renew_backup(id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_not_backed_up_as_good_and_comes_back_from_an_earlier_backup() {
    // An incremental backup of a registry with a rotten layer once would have
    // dropped the good copy that it held.
    let (site, place) = (Site::open().await, Place::new());
    site.push_image("ann", "ann/app", "1.0", b"a layer that rots").await;
    site.push_image("ann", "ann/app", "2.0", b"another that rots").await;
    let store = site.state.registry().store();
    let path_of = |digest: &Digest| {
        let upload = blob::get(&store.snapshot().unwrap(), digest).unwrap().unwrap().upload;
        (site.folder().join("blobs").join(BlobFile { digest: *digest, upload }.path()), upload)
    };
    let (one, other) = (Digest::sha256_of(b"a layer that rots"), Digest::sha256_of(b"another that rots"));
    let (path, upload) = path_of(&other);
    fs::write(&path, b"rotten").unwrap();
    // Not known yet: the backup says so, and holds nothing.
    let refused = tidegate(Some(&site), &["backup", &place.text("backup")]).await.refused();
    assert!(refused.contains("verify"), "{refused}");
    let condemn = async |digest, upload| {
        store.submit(Lane::Foreground, Condemned(digest, upload)).await.unwrap().unwrap();
    };
    condemn(other, upload).await;
    let first = place.back_up(&site).await;
    assert_eq!((&first["files"], &first["quarantined"]), (&json!(2), &json!(1)), "{first}");
    let (path, upload) = path_of(&one);
    fs::write(&path, b"rotten as well").unwrap();
    condemn(one, upload).await;
    let second = place.back_up(&site).await;
    assert_eq!((&second["files"], &second["quarantined"]), (&json!(1), &json!(2)), "{second}");
    assert_eq!(second["removed"]["files"], 0, "a good copy is not dropped for a damaged one");

    let told = tidegate(None, &["--json", "restore", &place.text("backup"), &place.text("data")]).await;
    assert_eq!(told.exit, Exit::Success, "{}", told.err);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let findings = told["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].as_str().unwrap().starts_with(&format!("quarantined: blob {other}")), "{findings:?}");
    let restored = Store::open(&place.path("data"), Clock::system(), Chance::seeded(1)).unwrap();
    let read = restored.snapshot().unwrap();
    assert!(quarantine::has(&read, &Held::blob(other)).unwrap() && !quarantine::has(&read, &Held::blob(one)).unwrap());
    let whole = blob::get(&read, &one).unwrap().unwrap();
    let file = BlobFile { digest: one, upload: whole.upload };
    assert_eq!(restored.files().hash(&file, |_| ()).unwrap().unwrap().digest, one);
    drop(read);
    let report = verify(&restored.snapshot().unwrap(), restored.files(), Depth::Bytes, &HashSet::new()).unwrap();
    assert_eq!((report.findings.len(), report.orphans), (1, 0), "{report:?}");
    // Both are pushed again.
    site.push_image("ann", "ann/app", "1.0", b"a layer that rots").await;
    site.push_image("ann", "ann/app", "2.0", b"another that rots").await;
    site.close().await;
}

/// Puts a blob into quarantine.
struct Condemned(Digest, UploadId);

impl Operation for Condemned {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "condemn";
    const AUDIT: Audit = Audit::Nothing("a test's");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        let flaw = Flaw::Short { found: 6 };
        assert!(quarantine::condemn(tables, &Held::blob(self.0), Some(self.1), &flaw)?, "it is named");
        Ok(())
    }
}
