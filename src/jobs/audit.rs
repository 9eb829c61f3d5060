//! The audit log ends: rows go by their age and their number, the oldest of
//! each class first, a slice a commit in the background lane.

use crate::audit::{Audit, Class};
use crate::limits;
use crate::store::audit::{self, Keep};
use crate::store::{Change, Lane, Operation, Store, StoreError};

/// Removes the oldest rows of one class.
struct Shorten {
    class: Class,
    keep: Keep,
}

impl Operation for Shorten {
    type Plan = ();
    /// How many went.
    type Done = usize;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "shorten audit log";
    const AUDIT: Audit = Audit::Nothing("what goes by age and number goes as it was set");
    const ADDS: bool = false;

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<usize, StoreError> {
        audit::prune(tables, self.class, self.keep, limits::BACKGROUND_ROWS)
    }
}

/// Removes what is beyond what is kept; how many rows went.
pub(super) async fn shorten(store: &Store, keep: Keep) -> Result<usize, StoreError> {
    let mut gone = 0;
    for class in Class::ALL {
        while audit::is_long(&store.snapshot()?, class, keep, store.steady())? {
            let Ok(went) = store.submit(Lane::Background, Shorten { class, keep }).await?;
            if went == 0 {
                break;
            }
            gone += went;
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audit::{Act, Action, ObjectKind};
    use crate::chance::Chance;
    use crate::clock::{Clock, Timestamp};
    use crate::event::Actor;
    use crate::store::audit::{Filter, page};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    struct Tell(Action, u32);

    impl Operation for Tell {
        type Plan = ();
        type Done = ();
        type Refusal = std::convert::Infallible;
        const NAME: &'static str = "tell";
        const AUDIT: Audit = Audit::Acts(&[Action::TagPush, Action::AccountCreate]);

        fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
            Ok(Ok(()))
        }

        fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
            for _ in 0..self.1 {
                audit::append(tables, &Actor::System, Act::new(self.0, ObjectKind::Tag, "dev/web:1"))?;
            }
            Ok(())
        }
    }

    async fn tell(store: &Store, action: Action, rows: u32) {
        store.submit(Lane::Foreground, Tell(action, rows)).await.unwrap().unwrap();
    }

    fn numbers(store: &Store, action: Action) -> Vec<u64> {
        let filter = Filter { actions: vec![action], ..Filter::default() };
        let found = page(&store.snapshot().unwrap(), &filter, None, usize::MAX).unwrap();
        found.entries.iter().map(|entry| entry.number).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn rows_go_by_number_within_their_class_and_by_age_on_a_clock_that_nobody_sets() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        let store = Store::open(folder.path(), clock.clone(), Chance::seeded(1)).unwrap();
        let keep = Keep { age: Some(10 * DAY), rows: 300 };
        tell(&store, Action::AccountCreate, 2).await;
        // More than two slices too many: whoever pushes a lot pushes out
        // pushes, and no account.
        tell(&store, Action::TagPush, 1_000).await;
        assert_eq!(shorten(&store, keep).await.unwrap(), 700);
        assert_eq!(numbers(&store, Action::TagPush).last(), Some(&703));
        assert_eq!(numbers(&store, Action::AccountCreate), [2, 1]);

        // A wall clock that leaps forgets nothing.
        clock.advance(400 * DAY);
        assert_eq!(shorten(&store, keep).await.unwrap(), 0);
        tokio::time::advance(9 * DAY).await;
        tell(&store, Action::AccountCreate, 1).await;
        assert_eq!(shorten(&store, keep).await.unwrap(), 0);
        tokio::time::advance(2 * DAY).await;
        assert_eq!(shorten(&store, keep).await.unwrap(), 302);
        assert_eq!(numbers(&store, Action::AccountCreate), [1_003]);
        assert_eq!(audit::kept(&store.snapshot().unwrap(), Class::Content).unwrap(), 0);
        // Numbers are never given twice, whatever went.
        tell(&store, Action::TagPush, 1).await;
        assert_eq!(numbers(&store, Action::TagPush), [1_004]);
        assert_eq!(shorten(&store, Keep { age: None, rows: 1 }).await.unwrap(), 0);
    }

    /// Acts and the shortening of the log, in one commit as they come.
    struct Both;

    impl Operation for Both {
        type Plan = ();
        type Done = usize;
        type Refusal = std::convert::Infallible;
        const NAME: &'static str = "tell and shorten";
        const AUDIT: Audit = Audit::Acts(&[Action::TagPush]);

        fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
            Ok(Ok(()))
        }

        fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<usize, StoreError> {
            Tell(Action::TagPush, 5).apply((), tables)?;
            let gone = audit::prune(tables, Class::Content, Keep { age: None, rows: 4 }, limits::BACKGROUND_ROWS)?;
            Tell(Action::TagPush, 1).apply((), tables)?;
            Ok(gone)
        }
    }

    /// The log forgot what the same commit had written before it was shortened:
    /// the next acts took the places of those rows.
    #[tokio::test]
    async fn what_is_written_in_the_commit_that_shortens_the_log_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Clock::system(), Chance::seeded(1)).unwrap();
        tell(&store, Action::TagPush, 3).await;
        assert_eq!(store.submit(Lane::Background, Both).await.unwrap().unwrap(), 4);
        tell(&store, Action::TagPush, 1).await;
        assert_eq!(numbers(&store, Action::TagPush), [10, 9, 8, 7, 6, 5]);
        assert_eq!(audit::kept(&store.snapshot().unwrap(), Class::Content).unwrap(), 6);
    }
}
