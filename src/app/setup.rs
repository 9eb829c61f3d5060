//! The set-up secret's life: made where nobody can sign in as system admin,
//! told, and ended when it is used, over, or not needed any more.

use std::time::Duration;

use tokio::time::Instant;

use crate::chance::Chance;
use crate::config::Config;
use crate::http::State;
use crate::identity::setup;
use crate::lifecycle::Scope;
use crate::store::error_chain;

/// How often it is looked whether a system admin was made by another way.
const EVERY: Duration = Duration::from_secs(5);

/// Makes a secret where one is needed; what an earlier run left is gone.
pub(super) async fn begin(config: &Config, state: &State) {
    setup::forget(&config.data).await;
    match state.registry().has_admin() {
        Ok(true) => return,
        Ok(false) => {}
        Err(error) => {
            tracing::error!(error = error_chain(&error), "whether there is a system admin could not be looked up");
            return;
        }
    }
    let lasts = config.pace.setup;
    match state.setup().begin(&config.data, &Chance::system(), Instant::now() + lasts).await {
        Ok((secret, file)) => tracing::warn!(
            secret = secret.expose(),
            path = %file.display(),
            "nobody can sign in as system admin yet: for {} this secret makes the first one, once (`tidegate setup`); \
             so does the local socket (`tidegate account create NAME --admin`)",
            humantime::format_duration(lasts),
        ),
        Err(error) => tracing::error!(
            error = error_chain(&error),
            "a set-up secret could not be written; the first account is made over the local socket"
        ),
    }
}

/// Ends the secret in time, and at the daemon's end.
pub(super) async fn watch(state: State, lasts: Duration, scope: Scope) {
    let over = Instant::now() + lasts;
    while state.setup().is_pending().await {
        let wait = EVERY.min(over.saturating_duration_since(Instant::now()));
        let goes_on = scope.until_stopped(tokio::time::sleep(wait)).await.is_some();
        let why = if !goes_on {
            "the daemon stops"
        } else if Instant::now() >= over {
            "it was not used in time; a restart makes a new one"
        } else if state.registry().has_admin().unwrap_or(false) {
            "there is a system admin"
        } else {
            continue;
        };
        if state.setup().end().await {
            tracing::info!(why, "the set-up secret is gone");
        }
    }
}
