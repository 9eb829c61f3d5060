//! Spawns, waits, drains.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::{Config, Environment, LogFormat};
use crate::http::{failures, handle, listen};
use crate::jobs::{counting, lost_key, room, suspect, timetable, upkeep};
use crate::lifecycle::{Scope, blocking};
use crate::limits;
use crate::reactor::{evaluate, react, schedule, sweep};
use crate::telemetry;

use super::AppError;
use super::build::{App, build, remove_addresses};
use super::renew::{self, Certificate, Reload};
use super::setup;
use super::signal::{Heard, Signals};
use super::welcome::Welcome;

/// What ends the daemon.
#[derive(Clone, Debug, Default)]
pub struct Stop(Scope);

impl Stop {
    /// A stop that nobody has asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for it.
    pub fn ask(&self) {
        self.0.stop();
    }

    async fn asked(&self) {
        self.0.stopped().await;
    }
}

/// The whole daemon under a configuration, until a signal ends it.
///
/// # Errors
/// When it cannot start, or a write failed while it ran.
pub async fn serve(config: Config, environment: &Environment) -> Result<(), AppError> {
    let form = match config.log_format {
        LogFormat::Text => telemetry::Form::Text,
        LogFormat::Json => telemetry::Form::Json,
    };
    telemetry::start(config.log.as_str(), form);
    let app = build(&config, Clock::system(), Chance::system()).await?;
    setup::begin(&config, &app.state).await;
    welcome(&config, environment, &app);
    let stop = Stop::new();
    let signals = Scope::new();
    match Signals::watch() {
        Ok(watched) => {
            let is_given = matches!(app.certificate, Certificate::Given { .. });
            signals.spawn(watch_signals(watched, stop.clone(), app.reload.clone(), is_given));
        }
        Err(error) => tracing::error!(%error, "signals cannot be watched"),
    }
    let done = run(app, stop).await;
    remove_addresses(&config.addresses_file);
    done
}

/// Runs an app that was built, until it is asked to stop.
///
/// # Errors
/// [`AppError::Stopped`] when a write failed.
pub async fn run(app: App, stop: Stop) -> Result<(), AppError> {
    let App { state, registry, runner, bound, connections, outgoing, pace, timetable, certificate, reload } = app;
    let (store, tally) = (registry.store().clone(), Arc::clone(&connections.tally));
    let recovered = runner.recover().await?;
    if recovered > 0 {
        tracing::info!(jobs = recovered, "jobs that were interrupted go on");
    }
    let (listeners, reactor, jobs) = (Scope::new(), Scope::new(), Scope::new());
    for bound in bound {
        let (state, scope) = (state.clone(), listeners.clone());
        let handler = move |request, peer| handle(state.clone(), request, peer);
        listeners.spawn(listen::serve(bound, scope, connections.clone(), handler));
    }
    reactor.spawn(react::run(store.clone(), reactor.clone()));
    reactor.spawn(evaluate::run(store.clone(), reactor.clone()));
    reactor.spawn(sweep::run(store.clone(), reactor.clone(), pace.sweep));
    reactor.spawn(schedule::run(store.clone(), reactor.clone()));
    jobs.spawn(runner.run(jobs.clone()));
    jobs.spawn(counting::run(registry.store().clone(), jobs.clone()));
    jobs.spawn(lost_key::run(store.clone(), state.remotes().clone(), jobs.clone()));
    jobs.spawn(upkeep::run(registry.clone(), jobs.clone(), pace.upkeep));
    jobs.spawn(setup::watch(state.clone(), pace.setup, jobs.clone()));
    jobs.spawn(failures::run(state.clone(), jobs.clone()));
    jobs.spawn(suspect::run(registry.clone(), jobs.clone()));
    jobs.spawn(timetable::run(store.clone(), timetable, jobs.clone()));
    jobs.spawn(room::run(store.clone(), jobs.clone()));
    jobs.spawn(watchdog(store.clone(), jobs.clone()));
    jobs.spawn(renew::run(certificate, reload, store.clock().clone(), jobs.clone()));
    state.set_ready(true);
    notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!("ready");

    let mut failure = store.writer().failure();
    let failed = async { failure.wait_for(Option::is_some).await.map(|words| words.clone()) };
    let broken = tokio::select! {
        () = stop.asked() => None,
        words = failed => words.ok().flatten(),
    };
    state.set_ready(false);
    notify(&[sd_notify::NotifyState::Stopping]);
    if let Some(words) = broken {
        // What the kernel kept of the failed write is not known: nothing is
        // drained, nothing more is promised.
        return Err(AppError::Stopped(words));
    }
    tracing::info!("stopping");
    for (name, scope, patience) in [
        ("requests", &listeners, limits::DRAIN_REQUESTS),
        ("the reactor", &reactor, limits::DRAIN),
        ("jobs", &jobs, limits::DRAIN_JOBS),
        ("outgoing connections", &outgoing, limits::DRAIN_OUTGOING),
    ] {
        if !scope.drain(TELLS_AFTER.min(patience)).await {
            // Once for each, and not for what ends at once anyway.
            let waiting = match name {
                "requests" => usize::try_from(tally.running.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
                _ => scope.running(),
            };
            tracing::info!("waiting for {name} ({waiting}); a second signal skips that");
        }
        if !scope.drain(patience).await {
            tracing::warn!(running = scope.running(), "{name} did not end in time and are cut off");
        }
    }
    blocking(move || store.close()).await;
    tracing::info!("stopped");
    Ok(())
}

/// How long a stop may take before it is told what it waits for.
const TELLS_AFTER: Duration = Duration::from_secs(1);

/// The first signal asks for a stop; the second ends the process at once. A
/// hangup asks for what can be read again while the daemon runs: the files of
/// a certificate that was given.
async fn watch_signals(mut signals: Signals, stop: Stop, reload: Reload, is_given: bool) {
    let mut is_stopping = false;
    loop {
        match signals.next().await {
            Heard::Hangup => {
                if !is_given {
                    tracing::info!("SIGHUP: there is nothing to read again; restart for a changed configuration");
                }
                reload.ask();
            }
            Heard::Stop if is_stopping => {
                tracing::warn!("a second signal: ending at once");
                std::process::exit(1);
            }
            Heard::Stop => {
                is_stopping = true;
                stop.ask();
            }
        }
    }
}

/// Tells the service manager that all is well, while it is: the store can be
/// read, the blob folder looked at, and the runtime runs this.
async fn watchdog(store: crate::store::Store, scope: Scope) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    while scope.until_stopped(tokio::time::sleep(every / 3)).await.is_some() {
        let looked = {
            let store = store.clone();
            blocking(move || {
                let read = store.snapshot()?;
                crate::store::event::last(&read)?;
                store.files().disk().room().map_err(crate::store::StoreError::from)
            })
            .await
        };
        match looked {
            Ok(_) => notify(&[sd_notify::NotifyState::Watchdog]),
            Err(error) => tracing::error!(error = %crate::store::error_chain(&error), "the store cannot be read"),
        }
    }
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(error = %error, "the service manager was not told");
    }
}

/// What to do next, for the person who started it by hand.
fn welcome(config: &Config, environment: &Environment, app: &App) {
    for bound in &app.bound {
        tracing::info!(address = %bound, "listening");
    }
    if config.supervised {
        return;
    }
    let is_first = app.registry.has_users().is_ok_and(|has| !has);
    let listener = app.bound.iter().find_map(|bound| bound.local_addr().map(|address| (address, bound.to_string())));
    if let Some((address, url)) = listener {
        let has_ca = app.state.ca_pem().is_some();
        let text = Welcome { environment, config, address, url: &url, is_first, has_ca }.text();
        // Nobody may be reading it; the daemon serves all the same.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
