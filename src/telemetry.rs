//! Where log lines go, and in which form.
//!
//! Text for people, JSON for collectors, one line an event on standard error,
//! which systemd hands to the journal. Strangers' texts stand in many lines: in
//! text, what could end a line or move a terminal's cursor is written as its
//! escape, so that nobody but the daemon writes lines. A panic is a line like any other: the
//! hook here replaces the standard one, so that it cannot tear a JSON log. A
//! panic that is awaited (`catch`) is no line at all: whoever awaits it has
//! words of its own for it.

/// What this process takes of the machine.
pub mod process;

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::debug_fn;
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
            text(registry, ansi, std::io::stderr).try_init()
        }
    };
    if started.is_ok() {
        LOGGED.store(true, Ordering::Release);
        hook();
    }
}

/// Lines for people on top of `registry`.
pub fn text<R, W>(registry: R, ansi: bool, writer: W) -> impl Subscriber + Send + Sync
where
    R: Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span> + Send + Sync,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let fields = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(Escaped(writer), "{value:?}"),
        name => write!(Escaped(writer), "{name}={value:?}"),
    });
    registry.with(
        tracing_subscriber::fmt::layer()
            .fmt_fields(fields.delimited(" "))
            .with_target(false)
            .with_ansi(ansi)
            .with_writer(writer),
    )
}

/// Writes on what it is given, with escapes for what is no part of a line.
struct Escaped<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                // Controls, and what turns the direction of a line around.
                '\u{2028}'
                | '\u{2029}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => {
                    write!(self.0, "{}", letter.escape_unicode())?;
                }
                _ if letter.is_control() => write!(self.0, "{}", letter.escape_default())?,
                _ => self.0.write_char(letter)?,
            }
        }
        Ok(())
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

    /// Gathers what is logged.
    #[derive(Clone, Default)]
    struct Gathered(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Gathered {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A tag or a host with a line end in it wrote lines of its own into the
    /// journal; with an ESC it repainted the terminal that showed them.
    #[test]
    fn no_text_of_a_stranger_ends_a_line_or_moves_a_cursor() {
        let gathered = Gathered::default();
        let writer = gathered.clone();
        let logger = text(tracing_subscriber::registry(), false, move || writer.clone());
        let bad = "a\u{1b}[31m\r\nERROR forged\0\u{7f}\u{9b}\u{202e}\u{2028}z";
        tracing::subscriber::with_default(logger, || {
            let span = tracing::info_span!("request", shown = %bad, quoted = bad, later = tracing::field::Empty);
            let _entered = span.enter();
            span.record("later", tracing::field::display(bad));
            tracing::info!(host = %bad, name = ?bad, text = bad, "{bad}");
            let error = std::io::Error::other(bad);
            tracing::warn!(error = &error as &dyn std::error::Error, "refused: {error}");
        });
        let logged = String::from_utf8(gathered.0.lock().expect("whole").clone()).expect("text");
        assert_eq!(logged.lines().count(), 2, "{logged:?}");
        let strange =
            |letter: &char| letter.is_control() && *letter != '\n' || matches!(letter, '\u{202e}' | '\u{2028}');
        assert_eq!(logged.chars().find(strange), None, "{logged:?}");
        assert!(logged.contains(r"a\u{1b}[31m\r\nERROR forged\u{0}\u{7f}\u{9b}\u{202e}\u{2028}z"), "{logged}");
        assert!(logged.contains(r"host=a\u{1b}") && logged.contains(r"later=a\u{1b}"), "{logged}");
    }

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
