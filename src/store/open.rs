//! Opening a data folder: create, refuse, or take over what a crash left.
//!
//! The folder holds `tidegate.redb`, `blobs/`, `uploads/` and `generation`.
//! The last is a marker beside the blobs that says which database they belong
//! to and how new it is: an empty or older database must never be opened over
//! them, because collection would then remove what it does not know.
//!
//! A database that is refused, for whatever reason, lies there afterwards byte
//! for byte as it was found.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Builder, Database, DatabaseError, Durability};

use super::account::SYSTEM_ORGANIZATION;
use super::age;
use super::backend::{Faults, WatchedFile};
use super::error::{Mismatch, OpenError, StoreError, error_chain};
use super::gate::Pages;
use super::guard::guarded;
use super::held::HeldFile;
use super::key::Key;
use super::medium::Medium;
use super::read::Read;
use super::record::{Account, Damage, Repository, Stored as _};
use super::repo::PUBLIC_LISTED;
use super::tables::Table;
use super::usage;
use super::write::Change;
use crate::chance::{Chance, Id};
use crate::clock::Timestamp;
use crate::limits;

/// The database's file name.
pub const DATABASE: &str = "tidegate.redb";
/// The marker's file name.
pub(super) const MARKER: &str = "generation";
/// The folder of the blobs.
pub(super) const BLOBS: &str = "blobs";
/// The format this program writes.
pub(super) const FORMAT: u64 = 1;

/// What opening found.
pub(super) struct Opened {
    pub(super) database: Arc<Pages>,
    pub(super) instance: Id,
    /// The marker beside the blobs; none for a test's own backend.
    pub(super) marker: Option<Marker>,
}

/// What stands beside the blobs: which database they belong to, and how new it
/// is at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) instance: Id,
    /// The start that it was opened in.
    pub(super) generation: u64,
    /// An event that the database holds.
    pub(super) event: u64,
}

/// Opens the database of `root`, creating it when the folder is empty.
pub(super) fn open(medium: &Medium, root: &Path, wall: Timestamp, chance: &Chance) -> Result<Opened, OpenError> {
    make_folder(medium, root)?;
    let path = root.join(DATABASE);
    let marker = read_marker(root)?;
    let exists = path.try_exists().map_err(|source| OpenError::Folder { path: path.clone(), source })?;
    if !exists {
        if marker.is_some() || has_blobs(root)? {
            return Err(OpenError::Mismatch { path: root.to_owned(), how: Mismatch::Missing });
        }
        create(medium, root, &path, chance)?;
    } else if marker.is_none() && has_blobs(root)? {
        return Err(OpenError::Mismatch { path: root.to_owned(), how: Mismatch::Unmarked });
    }
    let faults = Faults::default();
    let held = HeldFile::open(medium, &path, faults.clone()).map_err(|error| refuse(&path, root, error))?;
    let database = load(&builder(), &held, &path, root)?;
    has_its_blobs(&database, root)?;
    for own in [&path, &marker_path(root)] {
        keep_private(medium, own);
    }
    let again = {
        let (medium, path, root, faults) = (medium.clone(), path.clone(), root.to_owned(), faults.clone());
        move || open_again(&medium, &path, &root, faults.clone())
    };
    let database = Pages::on_file(database, faults, Box::new(again));
    let opened = enter(database, &path, root, marker, (wall, chance))?;
    held.release().map_err(|source| OpenError::Folder { path, source })?;
    let marker = Marker { instance: opened.instance, generation: opened.generation, event: opened.event };
    write_marker(medium, root, marker).map_err(|source| OpenError::Folder { path: marker_path(root), source })?;
    Ok(Opened { database: opened.database, instance: opened.instance, marker: Some(marker) })
}

/// Opens the database of `root` to look at it. Nothing in the folder changes:
/// what a repair after a crash would write stays in memory.
pub(super) fn look(root: &Path) -> Result<Opened, OpenError> {
    let path = root.join(DATABASE);
    is_there(&path, root)?;
    let marker = read_marker(root)?;
    let held = HeldFile::look(&path).map_err(|error| refuse(&path, root, error))?;
    let database = Pages::new(load(&builder(), &held, &path, root)?);
    let instance = accept(&database, &path, root, marker)?.instance;
    // Without a marker to keep up with what is committed, none is written.
    Ok(Opened { database: Arc::new(database), instance, marker: None })
}

/// That there is a database; why not, when it cannot be told.
fn is_there(path: &Path, root: &Path) -> Result<(), OpenError> {
    let folder = |source| OpenError::Folder { path: root.to_owned(), source };
    match path.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(folder(std::io::Error::new(ErrorKind::NotFound, "there is no database in it"))),
        Err(source) => Err(folder(source)),
    }
}

/// Opens a database on a backend of the caller's: for tests of a disk that
/// gives back something else. The folder holds the blobs; there is no marker.
#[cfg(test)]
pub(super) fn open_on(
    builder: &Builder,
    backend: impl redb::StorageBackend,
    root: &Path,
    wall: Timestamp,
    chance: &Chance,
) -> Result<Opened, OpenError> {
    make_folder(&Medium::default(), root)?;
    let refuse = |error| refuse(Path::new("(backend)"), root, error);
    let database = builder.create_with_backend(backend).map_err(refuse)?;
    initialise(&database, chance)?;
    let entered = enter(Pages::new(database), Path::new("(backend)"), root, None, (wall, chance))?;
    Ok(Opened { database: entered.database, instance: entered.instance, marker: None })
}

/// Checks every page of the database of `root` against its checksum, as no
/// start does; what does not fit, in words. The file is not changed.
pub fn damaged_page(root: &Path) -> Result<Option<String>, OpenError> {
    let path = root.join(DATABASE);
    is_there(&path, root)?;
    let held = HeldFile::look(&path).map_err(|error| refuse(&path, root, error))?;
    let mut builder = builder();
    builder.set_check_integrity_on_open(true);
    match load(&builder, &held, &path, root) {
        Ok(_) => Ok(None),
        Err(OpenError::Corrupt { why, .. }) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}

struct Entered {
    database: Arc<Pages>,
    instance: Id,
    generation: u64,
    event: u64,
}

/// Opens a database on its file.
fn load(builder: &Builder, held: &HeldFile, path: &Path, root: &Path) -> Result<Database, OpenError> {
    let loaded = guarded(|| Ok::<_, StoreError>(builder.create_with_backend(held.clone())));
    let loaded = loaded.map_err(|error| refuse_store(path, error))?;
    loaded.map_err(|error| refuse(path, root, error))
}

/// Opens the file of a daemon that runs once more, after a write failed for
/// want of room.
fn open_again(medium: &Medium, path: &Path, root: &Path, faults: Faults) -> Result<Database, OpenError> {
    let held = HeldFile::open(medium, path, faults).map_err(|error| refuse(path, root, error))?;
    let database = load(&builder(), &held, path, root)?;
    held.release().map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
    Ok(database)
}

/// How this program opens a database.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(limits::DATABASE_CACHE_BYTES);
    builder.set_repair_callback(|repair| {
        tracing::info!(progress = format!("{:.0}%", repair.progress() * 100.0), "repairing the database after a crash");
    });
    builder
}

/// A cut inside redb's very first create leaves a file that can never be
/// opened, so the file is made under another name and renamed.
fn create(medium: &Medium, root: &Path, path: &Path, chance: &Chance) -> Result<(), OpenError> {
    let made = root.join(format!("{DATABASE}.new"));
    let folder = |source| OpenError::Folder { path: made.clone(), source };
    match medium.remove(&made) {
        Ok(()) => tracing::info!("an unfinished database of an earlier start was removed"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(folder(error)),
    }
    let file = medium.create(&made).map_err(folder)?;
    let file = WatchedFile::new(file, Faults::default()).map_err(|error| refuse(&made, root, error))?;
    let database = builder().create_with_backend(file).map_err(|error| refuse(&made, root, error))?;
    initialise(&database, chance)?;
    drop(database);
    crate::store::crash::crash_point!("database-created");
    medium.open(&made).and_then(|file| file.sync_bytes()).map_err(folder)?;
    medium.rename(&made, path).map_err(folder)?;
    medium.sync_names(root).map_err(folder)?;
    crate::store::crash::crash_point!("database-renamed");
    Ok(())
}

/// Writes the first rows, when there are none.
fn initialise(database: &Database, chance: &Chance) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_quick_repair(true);
    for table in Table::ALL {
        transaction.open_table(table.definition())?;
    }
    {
        let mut meta = transaction.open_table(Table::Meta.definition())?;
        if redb::ReadableTable::get(&meta, b"format".as_slice())?.is_none() {
            meta.insert(b"format".as_slice(), FORMAT.to_be_bytes().as_slice())?;
            meta.insert(b"instance".as_slice(), chance.id().bytes().as_slice())?;
            meta.insert(b"generation".as_slice(), 0_u64.to_be_bytes().as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Refuses a database without the blobs that it names: of a disk that is not
/// mounted there is an empty folder. A push would be acknowledged that names
/// bytes nobody has.
fn has_its_blobs(database: &Database, root: &Path) -> Result<(), OpenError> {
    use redb::{ReadableDatabase as _, ReadableTableMetadata as _};
    let path = root.join(DATABASE);
    let named = guarded(|| match database.begin_read()?.open_table(Table::Blobs.definition()) {
        Ok(blobs) => Ok::<_, StoreError>(blobs.len()?),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    });
    match named.map_err(|error| refuse_store(&path, error))? {
        names if names > 0 && !has_blobs(root)? => Err(OpenError::NoBlobs { path: root.join(BLOBS), names }),
        _ => Ok(()),
    }
}

/// Takes a file that was made under a lax umask from everybody else. Where
/// that is not allowed it stays as it is: it may be somebody's wish.
fn keep_private(medium: &Medium, path: &Path) {
    match medium.keep_private(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(error = %error, path = %path.display(), "others may read a file of the store");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Checks format and marker; what the database says of itself.
fn accept(database: &Pages, path: &Path, root: &Path, marker: Option<Marker>) -> Result<Meta, OpenError> {
    let found = read_meta(database).map_err(|error| refuse_store(path, error))?;
    let meta = found.ok_or_else(|| OpenError::Corrupt {
        path: path.to_owned(),
        why: "it is a redb file, but no tidegate database".to_owned(),
    })?;
    if meta.format > FORMAT {
        return Err(OpenError::Newer { path: root.to_owned(), found: meta.format, known: FORMAT });
    }
    match marker {
        Some(marker) if marker.instance != meta.instance => {
            Err(OpenError::Mismatch { path: root.to_owned(), how: Mismatch::Different })
        }
        Some(marker) if marker.generation > meta.generation || marker.event > meta.event => {
            Err(OpenError::Mismatch { path: root.to_owned(), how: Mismatch::Older })
        }
        Some(_) | None => Ok(meta),
    }
}

/// Checks format and marker, and begins a new generation.
fn enter(
    database: Pages,
    path: &Path,
    root: &Path,
    marker: Option<Marker>,
    (wall, chance): (Timestamp, &Chance),
) -> Result<Entered, OpenError> {
    let Meta { instance, generation, event, .. } = accept(&database, path, root, marker)?;
    let generation = generation + 1;
    let begin = || -> Result<(), StoreError> {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(true);
        guarded(|| {
            for table in Table::ALL {
                transaction.open_table(table.definition())?;
            }
            let mut meta = transaction.open_table(Table::Meta.definition())?;
            meta.insert(b"generation".as_slice(), generation.to_be_bytes().as_slice())?;
            make_system_organization(&transaction, wall, chance)?;
            age::begin(&mut meta, &transaction.open_table(Table::Events.definition())?, wall)?;
            if meta.insert(PUBLIC_LISTED.as_bytes(), [].as_slice())?.is_none() {
                let all = transaction.open_table(Table::Repositories.definition())?;
                let mut public = transaction.open_table(Table::PublicRepositories.definition())?;
                for row in redb::ReadableTable::iter(&all)? {
                    let (name, value) = row?;
                    let damaged = |why| StoreError::damaged(Table::Repositories, name.value(), why);
                    if Repository::decode(value.value()).map_err(damaged)?.is_public {
                        public.insert(name.value(), [].as_slice())?;
                    }
                }
            }
            Ok::<_, StoreError>(())
        })?;
        guarded(|| {
            let mut change = Change::open(&transaction, Timestamp::EPOCH, Timestamp::EPOCH)?;
            usage::begin(&mut change, generation)?;
            change.finish()
        })?;
        transaction.commit()
    };
    begin().map_err(|error| refuse_store(path, error))?;
    Ok(Entered { database: Arc::new(database), instance, generation, event })
}

/// Makes the organization that is there from the start, where it is not.
fn make_system_organization(
    transaction: &redb::WriteTransaction,
    now: Timestamp,
    chance: &Chance,
) -> Result<(), StoreError> {
    let mut accounts = transaction.open_table(Table::Accounts.definition())?;
    if redb::ReadableTable::get(&accounts, SYSTEM_ORGANIZATION.as_bytes())?.is_some() {
        return Ok(());
    }
    let record = Account {
        id: chance.id(),
        full_name: String::new(),
        is_org: true,
        is_admin: false,
        is_active: true,
        password_hash: None,
        created_at: now,
    };
    accounts.insert(SYSTEM_ORGANIZATION.as_bytes(), record.encode().as_slice())?;
    let mut ids = transaction.open_table(Table::AccountIds.definition())?;
    ids.insert(record.id.bytes().as_slice(), SYSTEM_ORGANIZATION.as_bytes())?;
    Ok(())
}

/// Format and generation, as a snapshot has them.
pub(super) fn numbers(read: &impl Read) -> Result<(u64, u64), StoreError> {
    let number = |name: &str| {
        let found = read.with(Table::Meta, &Key::new().text(name), |bytes| bytes.try_into().map(u64::from_be_bytes))?;
        found.and_then(Result::ok).ok_or_else(|| StoreError::damaged(Table::Meta, name.as_bytes(), Damage::Empty))
    };
    Ok((number("format")?, number("generation")?))
}

/// What a database says of itself.
struct Meta {
    format: u64,
    instance: Id,
    generation: u64,
    /// Its last event.
    event: u64,
}

/// What a database says of itself, when it is one of ours.
fn read_meta(database: &Pages) -> Result<Option<Meta>, StoreError> {
    guarded(|| {
        let reading = database.begin_read()?;
        let meta = match reading.transaction.open_table(Table::Meta.definition()) {
            Ok(meta) => meta,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(StoreError::from(error)),
        };
        let get = |name: &str| -> Result<Option<Vec<u8>>, StoreError> {
            Ok(redb::ReadableTable::get(&meta, name.as_bytes())?.map(|value| value.value().to_vec()))
        };
        let number = |bytes: Option<Vec<u8>>| bytes.and_then(|b| Some(u64::from_be_bytes(b.try_into().ok()?)));
        let instance = get("instance")?.and_then(|bytes| Some(Id::from_bytes(bytes.try_into().ok()?)));
        let event = number(get("event")?).unwrap_or_default();
        let meta = |((format, instance), generation)| Meta { format, instance, generation, event };
        Ok(number(get("format")?).zip(instance).zip(number(get("generation")?)).map(meta))
    })
}

fn refuse(path: &Path, root: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(root.to_owned()),
        DatabaseError::Storage(redb::StorageError::Io(source))
            if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            OpenError::Folder { path: path.to_owned(), source }
        }
        DatabaseError::Storage(redb::StorageError::Corrupted(why)) => OpenError::Corrupt { path: path.to_owned(), why },
        other => OpenError::Corrupt { path: path.to_owned(), why: other.to_string() },
    }
}

/// The same, for what was met after the file was opened.
fn refuse_store(path: &Path, error: StoreError) -> OpenError {
    let StoreError::Database(inner) = &error else { return error.into() };
    match inner.as_ref() {
        redb::Error::Io(source) => {
            let source = std::io::Error::new(source.kind(), source.to_string());
            OpenError::Folder { path: path.to_owned(), source }
        }
        redb::Error::Corrupted(why) => OpenError::Corrupt { path: path.to_owned(), why: why.clone() },
        other => OpenError::Corrupt { path: path.to_owned(), why: error_chain(other) },
    }
}

/// Whether there are blobs: a database that knows nothing of them has no
/// business beside them.
fn has_blobs(root: &Path) -> Result<bool, OpenError> {
    let path = root.join(BLOBS);
    let mut folders = vec![path];
    while let Some(path) = folders.pop() {
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            // What is no folder is told by who opens the files.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(source) => return Err(OpenError::Folder { path, source }),
        };
        for entry in entries {
            let found = entry.and_then(|entry| Ok((entry.file_type()?.is_dir(), entry.path())));
            match found.map_err(|source| OpenError::Folder { path: path.clone(), source })? {
                (true, folder) => folders.push(folder),
                (false, _) => return Ok(true),
            }
        }
    }
    Ok(false)
}

fn make_folder(medium: &Medium, root: &Path) -> Result<(), OpenError> {
    make_folders(medium, root).map_err(|source| {
        let path = root.to_owned();
        if root.is_file() { OpenError::NotAFolder { path } } else { OpenError::Folder { path, source } }
    })
}

/// Makes a folder and those above it that are missing, each with a durable
/// name: the deepest image is of no use in a folder whose parent is lost.
fn make_folders(medium: &Medium, path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_folders(medium, parent)?;
    }
    match medium.make_folder(path) {
        // Somebody else made it in between.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    medium.sync_names(parent.unwrap_or(Path::new(".")))
}

fn marker_path(root: &Path) -> PathBuf {
    root.join(MARKER)
}

/// `<instance id> <generation> <event>` on one line; the last may be missing.
fn read_marker(root: &Path) -> Result<Option<Marker>, OpenError> {
    let path = marker_path(root);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Folder { path, source }),
    };
    let parse = || -> Option<Marker> {
        let mut parts = text.split_ascii_whitespace();
        let (instance, generation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let event = parts.next().map_or(Some(0), |number| number.parse().ok())?;
        parts.next().is_none().then_some(Marker { instance, generation, event })
    };
    parse().map(Some).ok_or_else(|| OpenError::Folder {
        path,
        source: std::io::Error::new(ErrorKind::InvalidData, "the generation marker is unreadable"),
    })
}

pub(super) fn write_marker(medium: &Medium, root: &Path, marker: Marker) -> std::io::Result<()> {
    let Marker { instance, generation, event } = marker;
    let path = marker_path(root);
    let made = path.with_extension("new");
    let file = medium.create(&made)?;
    file.write_all_at(format!("{instance} {generation} {event}\n").as_bytes(), 0)?;
    file.sync_bytes()?;
    medium.rename(&made, &path)?;
    medium.sync_names(root)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;

    fn open(root: &Path) -> Result<Store, OpenError> {
        Store::open(root, Clock::system(), Chance::seeded(7))
    }

    #[test]
    fn a_second_daemon_is_refused_in_one_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = open(folder.path()).expect("opens");
        let error = open(folder.path()).expect_err("is refused").to_string();
        assert!(error.contains("another tidegate is running"), "{error}");
        drop(first);
        open(folder.path()).expect("opens again");
    }

    /// Everything in a folder: names, modes, and the bytes of files.
    fn contents(folder: &Path) -> std::collections::BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut found = std::collections::BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("lists").map(|entry| entry.expect("an entry")) {
                let (path, data) = (entry.path(), entry.metadata().expect("looks"));
                let bytes = if data.is_dir() { Vec::new() } else { std::fs::read(&path).expect("reads") };
                if data.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path, (data.permissions().mode(), bytes));
            }
        }
        found
    }

    /// `verify --data` and `backup --data` once began a generation of their own:
    /// run by root, they left files behind that the service could not open.
    #[test]
    fn looking_changes_nothing_and_keeps_a_daemon_out() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(open(folder.path()).expect("opens"));
        let before = contents(folder.path());
        let looked = Store::look(folder.path(), Clock::system(), Chance::seeded(7)).expect("looks");
        assert!(Store::look(folder.path(), Clock::system(), Chance::seeded(7)).is_ok(), "two may look");
        assert!(matches!(open(folder.path()), Err(OpenError::InUse(_))), "nobody writes meanwhile");
        assert_eq!(damaged_page(folder.path()).expect("looks"), None);
        looked.close();
        drop(looked);
        assert_eq!(contents(folder.path()), before);
        let running = open(folder.path()).expect("opens");
        let refused = Store::look(folder.path(), Clock::system(), Chance::seeded(7));
        assert!(matches!(refused, Err(OpenError::InUse(_))));
        drop(running);
        let none = folder.path().join("none");
        assert!(Store::look(&none, Clock::system(), Chance::seeded(7)).is_err());
        assert!(!none.exists());
    }

    /// A kill leaves a database that wants a repair; that one is made in memory.
    #[test]
    fn a_database_after_a_crash_is_looked_at_and_left_as_it_is() {
        let (folder, copy) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let running = open(folder.path()).expect("opens");
        for name in [DATABASE, MARKER] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("copies");
        }
        drop(running);
        let before = contents(copy.path());
        drop(Store::look(copy.path(), Clock::system(), Chance::seeded(7)).expect("looks"));
        assert_eq!(contents(copy.path()), before);
    }

    /// With the blobs' disk not mounted the daemon once said it was ready, and
    /// acknowledged pushes of blobs whose bytes were nowhere.
    #[test]
    fn a_database_without_the_blobs_that_it_names_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
        for name in [DATABASE, MARKER] {
            std::fs::copy(golden.join(name), folder.path().join(name)).expect("copies");
        }
        for is_empty in [false, true] {
            if is_empty {
                std::fs::create_dir_all(folder.path().join("blobs/sha256/aa")).expect("made");
            }
            let before = contents(folder.path());
            let error = open(folder.path()).expect_err("is refused");
            assert!(matches!(&error, OpenError::NoBlobs { names, .. } if *names > 0), "{error:?}");
            let told = error.to_string();
            assert!(told.contains("mount") && told.contains("blobs") && !told.contains('\n'), "{told}");
            assert_eq!(contents(folder.path()), before);
        }
    }

    /// In a folder that others may enter, password hashes were there to be read.
    #[test]
    fn the_database_and_the_marker_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mode =
            |name: &str| std::fs::metadata(folder.path().join(name)).expect("there").permissions().mode() & 0o777;
        drop(open(folder.path()).expect("opens"));
        assert_eq!((mode(DATABASE), mode(MARKER)), (0o600, 0o600));
        for name in [DATABASE, MARKER] {
            let lax = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(folder.path().join(name), lax).expect("set");
        }
        drop(open(folder.path()).expect("opens"));
        assert_eq!((mode(DATABASE), mode(MARKER)), (0o600, 0o600));
    }

    #[test]
    fn garbage_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(DATABASE), b"this is no database, but it is somebody's").expect("writes");
        let error = open(folder.path()).expect_err("is refused");
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        assert_eq!(std::fs::read(folder.path().join(DATABASE)).expect("reads").len(), 41);
    }

    #[test]
    fn a_cut_in_the_first_create_does_not_stop_the_next_start() {
        // redb leaves a file without its magic number when it dies inside
        // create; on the final path it could never be opened again.
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("tidegate.redb.new"), vec![0; 4096]).expect("writes");
        open(folder.path()).expect("opens");
    }

    #[test]
    fn an_empty_older_or_foreign_database_is_never_put_over_blobs() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join(DATABASE);
        drop(open(folder.path()).expect("opens"));
        let old = std::fs::read(&database).expect("reads");
        drop(open(folder.path()).expect("opens"));
        let current = std::fs::read(&database).expect("reads");

        std::fs::remove_file(&database).expect("removes");
        assert!(matches!(open(folder.path()), Err(OpenError::Mismatch { how: Mismatch::Missing, .. })));
        std::fs::write(&database, old).expect("writes");
        assert!(matches!(open(folder.path()), Err(OpenError::Mismatch { how: Mismatch::Older, .. })));
        let other = tempfile::tempdir().expect("a folder");
        drop(Store::open(other.path(), Clock::system(), Chance::seeded(8)).expect("opens"));
        std::fs::copy(other.path().join(DATABASE), &database).expect("copies");
        assert!(matches!(open(folder.path()), Err(OpenError::Mismatch { how: Mismatch::Different, .. })));

        std::fs::write(&database, &current).expect("writes");
        // Another's database, and nothing that says so.
        let marker = std::fs::read(folder.path().join(MARKER)).expect("reads");
        let blob = folder.path().join(BLOBS).join("sha256/00");
        std::fs::create_dir_all(&blob).expect("makes");
        std::fs::write(blob.join("somebodys"), b"bytes").expect("writes");
        std::fs::remove_file(folder.path().join(MARKER)).expect("removes");
        assert!(matches!(open(folder.path()), Err(OpenError::Mismatch { how: Mismatch::Unmarked, .. })));
        std::fs::write(folder.path().join(MARKER), marker).expect("writes");
        open(folder.path()).expect("opens");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_from_before_the_last_events_is_never_put_over_blobs() {
        // Copied while the daemon ran and put back without a start in between:
        // it was taken, and every image pushed since was swept away.
        use crate::event::{Actor, Kind};
        use crate::oci::RepoName;
        use crate::store::{Change, Lane, Operation, RepoId, event};

        struct Happen;
        impl Operation for Happen {
            type Plan = ();
            type Done = ();
            type Refusal = std::convert::Infallible;
            const NAME: &'static str = "happen";
            const AUDIT: crate::audit::Audit = crate::audit::Audit::Nothing("a test's");
            fn check(&self, _: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
                Ok(Ok(()))
            }
            fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
                let name: RepoName = "dev/website".parse().expect("a name");
                event::append(tables, Actor::System, (RepoId(1), &name), Kind::RepositoryCreated).map(|_| ())
            }
        }

        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join(DATABASE);
        let store = open(folder.path()).expect("opens");
        store.submit(Lane::Foreground, Happen).await.expect("runs").expect("happens");
        store.mark_age().expect("is marked");
        let old = std::fs::read(&database).expect("reads");
        store.submit(Lane::Foreground, Happen).await.expect("runs").expect("happens");
        store.mark_age().expect("is marked");
        let current = std::fs::read(&database).expect("reads");
        drop(store);
        std::fs::write(&database, old).expect("writes");
        assert!(matches!(open(folder.path()), Err(OpenError::Mismatch { how: Mismatch::Older, .. })));
        std::fs::write(&database, current).expect("writes");
        open(folder.path()).expect("opens");
    }
}
