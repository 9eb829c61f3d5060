//! Where log lines go, and in which form.
//!
//! Text for people, JSON for collectors, one line an event on standard error,
//! which systemd hands to the journal. A panic is a line like any other: the
//! hook here replaces the standard one, so that it cannot tear a JSON log. A
//! panic that is awaited (`catch`) is no line at all: whoever awaits it has
//! words of its own for it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// Whether panics go to the log; until then they go where they went before.
static LOGGED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread awaits a panic.
    static AWAITED: Cell<bool> = const { Cell::new(false) };
}

/// Starts logging for the whole process: `filter` is a level or `target=level`
/// pairs, checked before. A second call changes nothing.
pub fn start(filter: &str, form: Form) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    // systemd stamps each line itself and passes JOURNAL_STREAM on; terminals
    // and files want the time.
    let started = match form {
        Form::Json => registry
            .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init(),
        Form::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry
                .with(tracing_subscriber::fmt::layer().with_target(false).with_ansi(ansi).with_writer(std::io::stderr))
                .try_init()
        }
    };
    if started.is_ok() {
        LOGGED.store(true, Ordering::Release);
        hook();
    }
}

/// Runs `work`, in which a panic is a possible answer: its words come back, on
/// one line, and are reported nowhere else.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    hook();
    let before = AWAITED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    AWAITED.set(before);
    done.or_else(|panic| match words(panic.as_ref()) {
        Some(words) => Err(words.split_whitespace().collect::<Vec<_>>().join(" ")),
        // Not a fault's words but a message of somebody's, who waits for it.
        None => resume_unwind(panic),
    })
}

/// The text that a panic was given.
fn words(panic: &(dyn std::any::Any + Send)) -> Option<&str> {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

/// Puts the process's panic hook in place, once.
fn hook() {
    static PLACED: Once = Once::new();
    PLACED.call_once(|| {
        let standard = take_hook();
        set_hook(Box::new(move |panic| match (AWAITED.get(), LOGGED.load(Ordering::Acquire)) {
            (true, _) => {}
            (false, true) => log(panic),
            (false, false) => standard(panic),
        }));
    });
}

fn log(panic: &PanicHookInfo<'_>) {
    let words = words(panic.payload()).unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic.message = words, panic.place = place, "a thread panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_awaited_panic_comes_back_on_one_line() {
        assert_eq!(catch(|| 7), Ok(7));
        let inner = catch(|| {
            let inner = catch(|| panic!("of two\n  lines"));
            (inner, AWAITED.get())
        });
        assert_eq!(inner, Ok((Err::<(), _>("of two lines".to_owned()), true)));
        assert!(!AWAITED.get(), "what panics later is reported");
        let message = catch_unwind(|| catch(|| -> () { resume_unwind(Box::new(7_u8)) }));
        assert_eq!(message.expect_err("goes on").downcast_ref(), Some(&7_u8));
    }
}
