//! Where log lines go, and in which form.
//!
//! Text for people, JSON for collectors, one line an event on standard error,
//! which systemd hands to the journal. A panic is a line like any other: the
//! hook here replaces the standard one, so that it cannot tear a JSON log.

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
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload();
            let words = message
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| message.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(panic.message = words, panic.place = place, "a thread panicked");
        }));
    }
}
