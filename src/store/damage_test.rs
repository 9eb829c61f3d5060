//! Pages that a disk gives back as something else.
//!
//! redb panics over many of them. A daemon once ended so at its start, with
//! exit code 101 and a report for programmers; while it ran, a request broke
//! off without an answer, and a writer that ended left every push waiting.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::record::Account;
use super::verify::{Depth, verify};
use super::{
    Change, DATABASE, Key, Lane, OpenError, Operation, Order, Read as _, Span, Store, StoreError, Table, account,
};
use crate::audit::Audit;
use crate::chance::Chance;
use crate::clock::Clock;

const PAGE: usize = 4096;
const LONG: &str = "a name that is so long that not many of them go on one page";

/// Makes accounts, after looking whether the first is there.
struct Accounts(Range<u64>);

impl Operation for Accounts {
    type Plan = ();
    type Done = ();
    type Refusal = ();
    const NAME: &'static str = "accounts";
    const AUDIT: Audit = Audit::Nothing("a test's");

    fn check(&self, tables: &Change<'_>) -> Result<Result<(), ()>, StoreError> {
        account::get(tables, "name-0").map(|_| Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        for number in self.0.clone() {
            let account = Account {
                id: Chance::seeded(number).id(),
                full_name: LONG.repeat(4),
                is_org: false,
                is_admin: false,
                is_active: true,
                password_hash: None,
                created_at: tables.now(),
            };
            account::put(tables, &format!("name-{number}"), &account)?;
        }
        Ok(())
    }
}

fn open(root: &Path) -> Result<Store, OpenError> {
    Store::open(root, Clock::system(), Chance::seeded(7))
}

/// A folder with a database that was used and closed.
async fn used(accounts: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).expect("opens");
    store.submit(Lane::Foreground, Accounts(0..accounts)).await.expect("runs").expect("is taken");
    store.close();
    folder
}

type Rows = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// Every row but those that each start and commit changes.
fn rows(store: &Store) -> Result<Rows, StoreError> {
    let (read, mut rows) = (store.snapshot()?, Rows::new());
    for table in Table::ALL {
        read.walk(table, &Span::all(), Order::Forward, |key, value| {
            // A start writes these anew.
            if key != b"generation" && key != b"usage" {
                rows.insert((table.name(), key.to_vec()), value.to_vec());
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(rows)
}

/// Opens, reads, writes, verifies and closes a folder with a damaged database;
/// whether the damage was told.
async fn live_with(root: &Path, damaged: &[u8], sound: &Rows) -> bool {
    let path = root.join(DATABASE);
    std::fs::write(&path, damaged).expect("writes");
    let by_checksum = super::damaged_page(root).expect("can be looked at");
    let same = std::fs::read(&path).expect("reads") == damaged;
    assert!(same, "looking changes nothing");
    let store = match open(root) {
        Ok(store) => store,
        Err(error) => {
            let line = error.to_string();
            assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
            assert!(line.contains(&path.display().to_string()) && line.contains("backup"), "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(std::fs::read(&path).expect("reads") == damaged, "a file that is refused is left as it was");
            return true;
        }
    };
    let read = rows(&store);
    let report = verify(&store.snapshot().expect("reads"), store.files(), Depth::Bytes, &Default::default());
    assert!(report.is_ok() || by_checksum.is_some(), "{report:?}");
    let _answered = store.submit(Lane::Foreground, Accounts(1000..1040)).await;
    store.close();
    let is_told = by_checksum.is_some();
    assert!(is_told || read.as_ref().is_ok_and(|rows| rows == sound), "no damage is told, and the rows differ");
    is_told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_anywhere_is_told_and_never_ends_a_thread() {
    let folder = used(60).await;
    let root = folder.path();
    let sound = rows(&open(root).expect("opens")).expect("reads");
    let whole = std::fs::read(root.join(DATABASE)).expect("reads");
    let marker = std::fs::read(root.join("generation")).expect("reads");
    let (mut told, mut tried) = (0, 0);
    for page in 0..whole.len() / PAGE {
        let place = page * PAGE..(page + 1) * PAGE;
        if whole[place.clone()].iter().all(|byte| *byte == 0) {
            continue;
        }
        for kind in 0..3 {
            let mut damaged = whole.clone();
            match kind {
                0 => damaged[place.clone()].fill(0),
                1 => Chance::seeded(page as u64).fill(&mut damaged[place.clone()]),
                _ => damaged[place.start + page * 37 % PAGE] ^= 0x11,
            }
            std::fs::write(root.join("generation"), &marker).expect("writes");
            tried += 1;
            told += u32::from(live_with(root, &damaged, &sound).await);
        }
    }
    assert!(tried > 60 && told > 40, "{told} of {tried}: the pages are those that are in use");
    for (fill, tail) in [(0, 0), (1, 0), (0, whole.len() / 2)] {
        let mut damaged = whole.clone();
        match fill {
            0 => damaged[PAGE.max(tail)..].fill(0),
            _ => Chance::seeded(1).fill(&mut damaged[PAGE..]),
        }
        std::fs::write(root.join("generation"), &marker).expect("writes");
        assert!(live_with(root, &damaged, &sound).await || tail > 0);
    }
    std::fs::write(root.join("generation"), &marker).expect("writes");
    assert!(!live_with(root, &whole, &sound).await, "what is whole is found whole");
}

/// A disk that turns bad while it is used.
#[derive(Clone, Debug)]
struct Disk(Arc<(FileBackend, AtomicBool, AtomicBool)>);

impl Disk {
    fn of(root: &Path) -> Self {
        let file = std::fs::File::options().read(true).write(true).open(root.join(DATABASE)).expect("opens");
        Self(Arc::new((FileBackend::new(file).expect("opens"), AtomicBool::new(false), AtomicBool::new(false))))
    }

    /// Opens it with a page cache of that size; without one, every read goes to
    /// the disk.
    fn open(&self, root: &Path, cache_bytes: usize) -> Store {
        let (mut builder, chance) = (super::open::builder(), Chance::seeded(7));
        builder.set_cache_size(cache_bytes);
        let opened = super::open::open_on(&builder, self.clone(), root, Clock::system().now(), &chance).expect("opens");
        Store::assemble(
            opened,
            crate::store::medium::Medium::default(),
            root,
            crate::store::file::Keep::Usual,
            Clock::system(),
            chance,
        )
        .expect("opens")
    }

    /// Gives back the pages that hold accounts as zeros from now on.
    fn forget(&self) {
        self.0.1.store(true, SeqCst);
    }

    /// Panics over the next write, as no disk does and a fault might.
    fn panic(&self) {
        self.0.2.store(true, SeqCst);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.0.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.0.read(offset, out)?;
        if self.0.1.load(SeqCst) && out.windows(LONG.len()).any(|bytes| bytes == LONG.as_bytes()) {
            out.fill(0);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        assert!(!self.0.2.load(SeqCst), "asked to");
        self.0.0.write(offset, data)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_goes_bad_costs_who_needs_it_and_the_others_go_on() {
    let folder = used(600).await;
    let disk = Disk::of(folder.path());
    let store = disk.open(folder.path(), 0);
    disk.forget();
    let read = account::get(&store.snapshot().expect("reads"), "name-300");
    let Err(StoreError::Damaged { table, why, .. }) = &read else { panic!("{read:?}") };
    assert_eq!(*table, Table::Accounts);
    assert!(why.to_string().contains("restore the database from a backup"), "{why}");

    let answer = store.submit(Lane::Foreground, Accounts(0..1)).await;
    assert!(matches!(answer, Err(StoreError::Damaged { .. })), "{answer:?}");
    assert!(store.writer().failure().borrow().is_none(), "one operation's trouble");
    let report = verify(&store.snapshot().expect("reads"), store.files(), Depth::Names, &Default::default());
    let report = report.expect("the rest is looked at");
    assert!(report.findings.iter().any(|found| found.kind == "damaged database"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_fails_ends_the_daemon_and_leaves_nobody_waiting() {
    let folder = used(1).await;
    let disk = Disk::of(folder.path());
    let store = disk.open(folder.path(), 1 << 20);
    let mut failure = store.writer().failure();
    disk.panic();
    let waiting = (0..10).map(|number| store.submit(Lane::Background, Accounts(number..number + 1)));
    for answer in futures_util::future::join_all(waiting).await {
        assert!(matches!(answer, Err(StoreError::Database(_) | StoreError::Stopped)), "{answer:?}");
    }
    let words = failure.wait_for(Option::is_some).await.expect("is told").clone();
    assert!(words.as_ref().is_some_and(|words| words.contains("asked to")), "{words:?}");
    let late = store.submit(Lane::Foreground, Accounts(0..1)).await;
    assert!(matches!(late, Err(StoreError::Stopped)), "{late:?}");
    assert_eq!(
        store.snapshot().and_then(|read| read.has(Table::Accounts, &Key::new().text("name-9"))).ok(),
        Some(false)
    );
}
