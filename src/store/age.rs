//! The store's own time: what has to be of some age is measured on it.
//!
//! A wall clock is set by whoever likes: an hour back, years ahead. So the store
//! keeps a time line of its own. It begins at the wall clock's time when the
//! folder is made, runs while the store is open, by the clock that nobody sets,
//! and goes on after a restart from where the last operation of the last commit
//! was handed in (`time` in `meta`). It stands still while nothing runs, so it lags behind the wall: what
//! is young by it may be old, never the other way round.

use redb::{ReadableTable as _, Table as RedbTable};

use super::error::StoreError;
use super::key::Key;
use super::read::Read;
use super::record::Damage;
use super::tables::Table;
use super::write::Change;
use crate::clock::{Clock, Timestamp};
use crate::event::Event;
use crate::store::Stored as _;

/// Where it stands in `meta`: microseconds.
const NAME: &str = "time";

/// The time line of a store that is open. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Age {
    /// The time at which the store was opened, here and by the clock that
    /// nobody sets.
    opened: (Timestamp, tokio::time::Instant),
    clock: Clock,
}

impl Age {
    /// Goes on from what the database says; one that only looks at a database of
    /// an earlier version takes the wall clock's word.
    pub(super) fn of(read: &impl Read, clock: &Clock) -> Result<Self, StoreError> {
        let stored = read.with(Table::Meta, &Key::new().text(NAME), parse)?;
        let damaged = || StoreError::damaged(Table::Meta, NAME.as_bytes(), Damage::Empty);
        let at = match stored {
            Some(at) => at.ok_or_else(damaged)?,
            None => clock.now(),
        };
        Ok(Self { opened: (at, clock.monotonic()), clock: clock.clone() })
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        let (at, monotonic) = self.opened;
        at.after(self.clock.monotonic().duration_since(monotonic))
    }
}

/// Writes down how far it is, in the commit that is being made.
pub(super) fn keep(change: &mut Change<'_>) -> Result<(), StoreError> {
    let micros = change.age().micros().to_be_bytes();
    change.put_bytes(Table::Meta, &Key::new().text(NAME), &micros)
}

/// Begins the time line of a database that has none: at the wall clock's time,
/// or at that of its last event if that is earlier, because a clock that is
/// ahead must not make old what an earlier version has stamped.
pub(super) fn begin(
    meta: &mut RedbTable<'_, &'static [u8], &'static [u8]>,
    events: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    wall: Timestamp,
) -> Result<(), StoreError> {
    if meta.get(NAME.as_bytes())?.is_some() {
        return Ok(());
    }
    let last = match events.last()? {
        Some((_, value)) => Event::decode(value.value()).map_or(wall, |event| event.at),
        None => wall,
    };
    meta.insert(NAME.as_bytes(), wall.min(last).micros().to_be_bytes().as_slice())?;
    Ok(())
}

fn parse(bytes: &[u8]) -> Option<Timestamp> {
    Some(Timestamp::from_micros(i64::from_be_bytes(bytes.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::chance::Chance;
    use crate::oci::Digest;
    use crate::store::gc::{CutOff, Kept};
    use crate::store::{Lane, Operation, RepoId, Store, blob, event};

    const GRACE: Duration = Duration::from_secs(3_600);
    const YEAR: i64 = 365 * 24 * 3_600_000_000;
    const BEGUN: i64 = 1_700_000_000_000_000;
    const REPO: RepoId = RepoId(1);

    /// Links a blob, as a push does.
    struct Link(Digest);

    impl Operation for Link {
        type Plan = ();
        type Done = ();
        type Refusal = std::convert::Infallible;
        const NAME: &'static str = "link";
        const AUDIT: crate::audit::Audit = crate::audit::Audit::Nothing("a test's");

        fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
            Ok(Ok(()))
        }

        fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
            blob::link(tables, REPO, &self.0)
        }
    }

    /// A store whose wall clock shows this many microseconds.
    fn start(folder: &Path, wall: i64) -> Store {
        Store::open(folder, Clock::manual(Timestamp::from_micros(wall)), Chance::system()).unwrap()
    }

    async fn link(store: &Store, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256_of(bytes);
        store.submit(Lane::Foreground, Link(digest)).await.unwrap().unwrap();
        digest
    }

    /// Whether it is too young to be collected.
    fn is_young(store: &Store, digest: &Digest) -> bool {
        let at = store.steady().before(GRACE);
        let read = store.snapshot().unwrap();
        Kept::new(&read, CutOff { blobs: at, manifests: at }).blob(REPO, digest).unwrap()
    }

    /// The clock of a box without a battery stood in 2037 at one start and a year
    /// back at the next: what had just been pushed was collected.
    #[tokio::test(start_paused = true)]
    async fn nothing_ages_by_what_is_done_to_the_clock() {
        let folder = tempfile::tempdir().unwrap();
        let mut pushed = Vec::new();
        let hour = YEAR / 365 / 24;
        for wall in [BEGUN, BEGUN + 12 * YEAR, BEGUN - hour, BEGUN - YEAR, BEGUN + 30 * YEAR, BEGUN] {
            let store = start(folder.path(), wall);
            for digest in &pushed {
                assert!(is_young(&store, digest), "at {wall}");
            }
            pushed.push(link(&store, &pushed.len().to_be_bytes()).await);
            // While it runs, too.
            store.clock().advance(Duration::from_secs(400 * 24 * 3_600));
            tokio::time::advance(GRACE / 10).await;
            pushed.push(link(&store, &pushed.len().to_be_bytes()).await);
            assert!(pushed.iter().all(|digest| is_young(&store, digest)), "at {wall}");
        }
        let store = start(folder.path(), BEGUN - YEAR);
        tokio::time::advance(GRACE / 2 + Duration::from_secs(60)).await;
        assert!(!is_young(&store, &pushed[0]), "what has been here for its time is old");
        assert!(is_young(&store, &pushed[11]));
        tokio::time::advance(GRACE).await;
        assert!(!pushed.iter().any(|digest| is_young(&store, digest)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_from_the_last_commit_and_stands_still_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let store = start(folder.path(), BEGUN);
        assert_eq!(store.steady(), Timestamp::from_micros(BEGUN));
        tokio::time::advance(GRACE).await;
        link(&store, b"x").await;
        let left = store.steady();
        assert_eq!(left.since(Timestamp::from_micros(BEGUN)), GRACE);
        drop(store);
        tokio::time::advance(GRACE).await;
        assert_eq!(start(folder.path(), BEGUN + YEAR).steady(), left);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_of_an_earlier_version_begins_at_its_last_event() {
        for (wall, ahead) in [(BEGUN + 100 * YEAR, true), (1, false)] {
            let folder = tempfile::tempdir().unwrap();
            for name in ["tidegate.redb", "generation"] {
                let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
                std::fs::copy(golden, folder.path().join(name)).unwrap();
            }
            std::fs::create_dir_all(folder.path().join("blobs/sha256/aa")).unwrap();
            std::fs::write(folder.path().join("blobs/sha256/aa/somebodys"), b"bytes").unwrap();
            let store = start(folder.path(), wall);
            let last = event::after(&store.snapshot().unwrap(), 0, usize::MAX).unwrap().pop().unwrap().at;
            assert_eq!(store.steady(), if ahead { last } else { Timestamp::from_micros(wall) });
        }
    }
}
