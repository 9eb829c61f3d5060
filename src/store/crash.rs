//! Named places where a test lets the process die.
//!
//! `crash_point!("name")` stands between two steps of the write order. In a
//! build with debug assertions it aborts the process when the point that
//! `arm` named is reached for the n-th time; without them it is nothing.
//! A test inside the process uses `interrupt` instead: the work on that
//! thread ends at the point, as a dead process would, and what lies on the
//! disk can be looked at.
//!
//! Every name stands in `POINTS`; a `crash_point!` with another does not
//! compile.

/// Every crash point, in the order of the flow. Tests walk this list.
pub const POINTS: &[&str] = &[
    "database-created",
    "database-renamed",
    "upload-folder-created",
    "upload-session-written",
    "upload-data-written",
    "upload-data-synced",
    "blob-shards-created",
    "blob-renamed",
    "blob-directory-synced",
    "upload-folder-removed",
    "promotion-applied",
    "cursor-moved",
    "transfer-moved",
    "transfer-settled",
    "before-commit",
    "after-commit",
    "blob-unlinked",
    "flaw-found",
    "flaw-quarantined",
    "heal-sealed",
    "heal-named",
];

/// Why a crash point could not be armed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// The name is in no list.
    #[error("no crash point is called {name}; there are {}", POINTS.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Hits are counted from 1.
    #[error("the hits of a crash point are counted from 1")]
    Zeroth,
    /// Another point is armed already.
    #[error("the crash point {name} is armed already")]
    Armed {
        /// The one that is armed.
        name: &'static str,
    },
    /// Crash points are compiled out of this build.
    #[error("this build has no crash points: they need debug assertions")]
    Release,
}

/// Arms the point `name`: the process aborts when it is hit for the `nth` time
/// from now on, counted from 1. One point can be armed, once, in a process.
pub fn arm(name: &str, nth: u32) -> Result<(), ArmError> {
    let Some(&name) = POINTS.iter().find(|&&point| point == name) else {
        return Err(ArmError::Unknown { name: name.to_owned() });
    };
    if nth == 0 {
        return Err(ArmError::Zeroth);
    }
    armed::arm(name, nth)
}

/// Whether `name` is in [`POINTS`]; `crash_point!` asks while compiling.
pub const fn is_point(name: &str) -> bool {
    let mut at = 0;
    while at < POINTS.len() {
        if same(POINTS[at].as_bytes(), name.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

/// Dies here when this point is armed. See [`crate::store::crash`].
macro_rules! crash_point {
    ($name:literal) => {{
        const { assert!($crate::store::crash::is_point($name), "the name is missing from store::crash::POINTS") };
        #[cfg(debug_assertions)]
        $crate::store::crash::hit($name);
    }};
}
pub(crate) use crash_point;

#[cfg(debug_assertions)]
pub use armed::{Hook, Interrupted, hit, hook, interrupt, with_hook};

/// `==` on bytes, for a constant.
const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(not(debug_assertions))]
mod armed {
    pub(super) fn arm(_: &'static str, _: u32) -> Result<(), super::ArmError> {
        Err(super::ArmError::Release)
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::cell::RefCell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, OnceLock};

    use super::ArmError;

    /// The point that ends the process, and how many hits are left.
    static ARMED: OnceLock<(&str, AtomicU32)> = OnceLock::new();

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Called with the name of every point that its thread hits.
    pub type Hook = Arc<dyn Fn(&'static str) + Send + Sync>;

    /// The work ended at the point that was to interrupt it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Interrupted(
        /// The point.
        pub &'static str,
    );

    pub(super) fn arm(name: &'static str, nth: u32) -> Result<(), ArmError> {
        ARMED.set((name, AtomicU32::new(nth))).map_err(|_| ArmError::Armed { name: ARMED.get().map_or("", |a| a.0) })
    }

    /// A point is reached. Called by `crash_point!` alone.
    pub fn hit(name: &'static str) {
        if let Some((armed, left)) = ARMED.get()
            && *armed == name
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
        if let Some(hook) = hook() {
            hook(name);
        }
    }

    /// The hook of this thread, for handing it on to a thread that works for
    /// this one.
    pub fn hook() -> Option<Hook> {
        HOOK.with_borrow(Clone::clone)
    }

    /// Runs `work` with `hook` on this thread, and puts back what was there.
    pub fn with_hook<T>(hook: Option<Hook>, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Hook>);
        impl Drop for Restore {
            fn drop(&mut self) {
                HOOK.set(self.0.take());
            }
        }
        let _restore = Restore(HOOK.replace(hook));
        work()
    }

    /// Runs `work` and ends it when `name` is hit for the `nth` time, counted
    /// from 1, as if the process had died there.
    pub fn interrupt<T>(name: &'static str, nth: u32, work: impl FnOnce() -> T) -> Result<T, Interrupted> {
        let left = AtomicU32::new(nth);
        let hook: Hook = Arc::new(move |point| {
            if point == name && left.fetch_sub(1, Ordering::SeqCst) == 1 {
                resume_unwind(Box::new(Interrupted(point)));
            }
        });
        catch_unwind(AssertUnwindSafe(|| with_hook(Some(hook), work))).map_err(|panic| {
            match panic.downcast::<Interrupted>() {
                Ok(interrupted) => *interrupted,
                Err(other) => resume_unwind(other),
            }
        })
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_known() {
        for (at, name) in POINTS.iter().enumerate() {
            assert!(is_point(name));
            assert!(!POINTS[..at].contains(name), "{name} stands twice");
        }
        assert!(!is_point("blob-rename"));
        assert!(!is_point(""));
    }

    #[test]
    fn refuses_to_arm_nonsense() {
        assert_eq!(arm("nonsense", 1), Err(ArmError::Unknown { name: "nonsense".to_owned() }));
        assert!(arm("nonsense", 1).unwrap_err().to_string().contains("blob-renamed"));
        assert_eq!(arm("blob-renamed", 0), Err(ArmError::Zeroth));
    }

    #[test]
    fn interrupts_at_the_nth_hit_and_puts_the_hook_back() {
        let mut hits = 0;
        let ended = interrupt("blob-renamed", 3, || {
            for _ in 0..10 {
                crash_point!("blob-directory-synced");
                crash_point!("blob-renamed");
                hits += 1;
            }
        });
        assert_eq!(ended, Err(Interrupted("blob-renamed")));
        assert_eq!(hits, 2);
        crash_point!("blob-renamed");
        assert_eq!(interrupt("blob-renamed", 1, || 7), Ok(7));
    }

    #[test]
    fn a_hook_is_handed_on_to_another_thread() {
        let ended = interrupt("blob-unlinked", 1, || {
            let handed = hook();
            let joined = std::thread::spawn(move || with_hook(handed, || crash_point!("blob-unlinked"))).join();
            std::panic::resume_unwind(joined.expect_err("the point ends the thread"))
        });
        assert_eq!(ended, Err::<(), _>(Interrupted("blob-unlinked")));
    }

    #[test]
    fn an_armed_point_aborts_the_process() {
        // Runs itself again as a child, which dies at the second hit.
        const CHILD: &str = "TIDEGATE_TEST_CRASH_CHILD";
        if std::env::var_os(CHILD).is_some() {
            arm("blob-renamed", 2).expect("known");
            assert_eq!(arm("blob-unlinked", 1), Err(ArmError::Armed { name: "blob-renamed" }));
            crash_point!("blob-unlinked");
            crash_point!("blob-renamed");
            eprintln!("one hit survived");
            crash_point!("blob-renamed");
            unreachable!("the second hit aborts");
        }
        let child = std::process::Command::new(std::env::current_exe().expect("the test binary"))
            .args(["--exact", "store::crash::tests::an_armed_point_aborts_the_process", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .expect("the child runs");
        use std::os::unix::process::ExitStatusExt as _;
        let printed = String::from_utf8_lossy(&child.stderr).into_owned();
        assert_eq!(child.status.signal(), Some(6), "ended by SIGABRT: {printed}");
        assert!(printed.contains("one hit survived"), "{printed}");
    }
}
