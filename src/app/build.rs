//! Opens the store, makes or loads certificates and keys, binds listeners,
//! and puts the parts together. Nothing runs yet.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::rehearsal::Pace;
use crate::config::{CertificateFiles, Config, When};
use crate::http::connection::{Options as ConnectionOptions, Tally};
use crate::http::listen::{Bound, Spec, bind};
use crate::http::rate::Rate;
use crate::http::{State, Tls, state};
use crate::identity::token::TOKEN_KEY;
use crate::identity::{
    Authority, CertificateNames, ClientAuthority, Guesses, KeyPlaces, Passwords, SealingKeys, ServerCertificate, Signer,
};
use crate::jobs::rekey::uses;
use crate::jobs::timetable::Entry;
use crate::jobs::{self, Remotes, Runner};
use crate::lifecycle::{Scope, blocking};
use crate::limits;
use crate::registry::Registry;
use crate::remote::{Names, Outbound, OutboundOptions, Subnet, Timing};
use crate::store::backup::{ADDED_KEYS, KEY_FILES, SEALING_KEY};
use crate::store::record::JobAction;
use crate::store::{DATABASE, Store, StoreError};

use super::renew::{Certificate, Reload};
use super::{AppError, descriptors};

/// The daemon, put together and not running.
pub struct App {
    /// What every handler works with.
    pub state: State,
    /// The registry.
    pub registry: Registry,
    /// The runner of jobs.
    pub runner: Runner,
    /// What is listened on; the local endpoint first.
    pub bound: Vec<Bound>,
    /// Bounds of connections, shared by all listeners.
    pub connections: ConnectionOptions,
    /// The scope of outgoing connections.
    pub outgoing: Scope,
    /// How soon things are done that are done from time to time.
    pub pace: Pace,
    /// What is done on the daemon's own schedules.
    pub timetable: Vec<Entry>,
    /// The certificate that listeners show.
    pub certificate: Certificate,
    /// Asks for it to be read again.
    pub reload: Reload,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// Puts the daemon together.
///
/// # Errors
/// One [`AppError`], one line, for whatever cannot be had.
pub async fn build(config: &Config, clock: Clock, chance: Chance) -> Result<App, AppError> {
    let given = given_certificate(config).await?;
    let is_new = !config.data.join(DATABASE).exists();
    if is_new {
        try_addresses(config).await?;
    }
    let store = {
        let (root, keep, clock, chance) = (config.data.clone(), config.keep_free, clock.clone(), chance.clone());
        blocking(move || Store::open_keeping(&root, keep, clock, chance)).await?
    };
    if let Ok(room) = store.files().disk().room()
        && store.files().disk().keep(&room) >= room.total_bytes
    {
        tracing::warn!(
            total_bytes = room.total_bytes,
            "disk.keep_free is more than the disk has: every upload is refused"
        );
    }
    let registry = {
        let (store, options) = (store.clone(), config.registry);
        blocking(move || Registry::with(store, options)).await?
    };
    let (ca_pem, tls, certificate) = certificates(config, given, &clock, &chance).await?;
    let mut bound = vec![bind(Spec::Unix { path: config.admin_socket.clone() }, 0).await?];
    // Whoever reads them from now on is not sent to where the last daemon was.
    remove_addresses(&config.addresses_file);
    for (index, listener) in config.listeners.iter().enumerate() {
        let tls = match listener.client_ca() {
            Some(path) => Some(tls.asking(ClientAuthority::load(path)?)),
            None => listener.is_tls().then(|| tls.clone()),
        };
        bound.push(bind(Spec::Tcp { address: listener.address(), tls }, index + 1).await?);
    }
    write_addresses(&config.addresses_file, &bound)?;
    let own: Vec<SocketAddr> = bound.iter().filter_map(Bound::local_addr).collect();
    let outgoing = Scope::new();
    let outbound = Outbound::new(OutboundOptions {
        scope: outgoing.clone(),
        clock: clock.clone(),
        own,
        allow: config.remote.allow_private.iter().filter_map(|network| subnet(&network.to_string())).collect(),
        user_agent: concat!("tidegate/", env!("CARGO_PKG_VERSION")).to_owned(),
        timing: Timing::default(),
        names: Names::System,
    });
    let remotes = Remotes::new(outbound, sealing_keys(config, &store, &chance).await?);
    let options = jobs::Options { collection: config.gc.how, scrub: config.scrub.rate, ..jobs::Options::default() };
    let runner = Runner::new(registry.clone(), remotes.clone(), options);
    let passwords = Passwords::new(&chance);
    let signer = signer(config, &store, &chance, is_new).await?;
    let guesses = Guesses::default();
    let key_files = key_files(&config.data, config.sealing_key.as_deref());
    let (registry_of_state, scrub) = (registry.clone(), config.scrub.clone());
    let rate = Rate::new(config.requests_per_second);
    let tally = Arc::<Tally>::default();
    let parts = state::Parts {
        registry: registry_of_state,
        passwords,
        signer,
        guesses,
        ca_pem,
        remotes,
        key_files,
        scrub,
        rate,
        tally: Arc::clone(&tally),
    };
    let state = State::new(parts);
    let most = descriptors::raise().connections();
    if most < limits::CONNECTIONS {
        tracing::warn!(connections = most, "few descriptors are allowed (ulimit -n), so fewer connections are taken");
    }
    let connections =
        ConnectionOptions { connections: Arc::new(Semaphore::new(most)), tally, ..ConnectionOptions::default() };
    let (mut pace, timetable) = (config.pace.clone(), timetable(config));
    pace.upkeep.history = config.gc.history;
    pace.upkeep.audit = config.audit;
    let reload = Reload::default();
    Ok(App { state, registry, runner, bound, connections, outgoing, pace, timetable, certificate, reload })
}

/// The key files of a data folder, by the name that a backup gives them.
pub fn key_files(data: &Path, sealing_key: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    let place = |name: &'static str| match sealing_key {
        Some(path) if name == SEALING_KEY => (name, path.to_owned()),
        _ => (name, data.join(name)),
    };
    KEY_FILES.into_iter().map(place).collect()
}

/// What the daemon does by itself, and when.
fn timetable(config: &Config) -> Vec<Entry> {
    let on = |action: JobAction, when: &When| match when {
        When::On(schedule) => Some(Entry { action, schedule: schedule.clone(), parameters: BTreeMap::new() }),
        When::Never => None,
    };
    let scrub = config.scrub.schedule.clone().map_or(When::Never, When::On);
    [on(JobAction::OnlineGc, &config.gc.schedule), on(JobAction::Scrub, &scrub)].into_iter().flatten().collect()
}

/// The operator's own certificate. It goes before everything else: with one
/// that cannot be used nothing is made.
async fn given_certificate(config: &Config) -> Result<Option<(CertificateFiles, ServerCertificate)>, AppError> {
    let Some(files) = config.tls.files.clone() else { return Ok(None) };
    let read = {
        let files = files.clone();
        blocking(move || ServerCertificate::load(&files.certificate, &files.key)).await?
    };
    Ok(Some((files, read)))
}

/// Whether the listeners' addresses can be had, and the local endpoint where it
/// lies elsewhere: a first start that fails for one of them leaves no folder
/// behind that looks like a registry's.
async fn try_addresses(config: &Config) -> Result<(), AppError> {
    if !config.admin_socket.starts_with(&config.data) {
        bind(Spec::Unix { path: config.admin_socket.clone() }, 0).await?;
    }
    for listener in &config.listeners {
        bind(Spec::Tcp { address: listener.address(), tls: None }, 0).await?;
    }
    Ok(())
}

fn subnet(text: &str) -> Option<Subnet> {
    text.parse().ok()
}

/// The authority's certificate, what listeners present, and how it is renewed.
async fn certificates(
    config: &Config,
    given: Option<(CertificateFiles, ServerCertificate)>,
    clock: &Clock,
    chance: &Chance,
) -> Result<(Option<String>, Tls, Certificate), AppError> {
    if let Some((files, shown)) = given {
        let tls = Tls::new(shown.server_config());
        return Ok((shown.authority_pem(), tls.clone(), Certificate::Given { files, tls, shown }));
    }
    let folder = config.data.join("tls");
    let (now, chance) = (clock.now(), chance.clone());
    let authority = blocking(move || Authority::open_or_create(&folder, now, &chance)).await?;
    let ca_pem = Some(authority.certificate_pem().to_owned());
    let mut names: Vec<String> = config.tls.names.iter().map(|name| name.as_str().to_owned()).collect();
    let addresses = config.listeners.iter().map(|listener| listener.address().ip());
    names.extend(addresses.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
    let names = CertificateNames::of_this_host(&names).map_err(|error| AppError::Name(error.to_string()))?;
    let (authority, names, made) = blocking(move || {
        let made = authority.server_certificate(&names, now);
        (authority, names, made)
    })
    .await;
    let made = made?;
    let tls = Tls::new(made.server_config());
    let not_after = made.not_after();
    let authority = Box::new(authority);
    Ok((ca_pem, tls.clone(), Certificate::Own { authority, names, tls, not_after }))
}

/// The keys that seal credentials. The first is made only where nothing is
/// sealed yet: a new key over rows that another one sealed would hide that the
/// old one was lost. A daemon whose keys are missing, or in a file that cannot
/// be used, starts all the same.
async fn sealing_keys(config: &Config, store: &Store, chance: &Chance) -> Result<SealingKeys, AppError> {
    let places = KeyPlaces {
        main: config.sealing_key.clone().unwrap_or_else(|| config.data.join(SEALING_KEY)),
        is_given: config.sealing_key.is_some(),
        added: config.data.join(ADDED_KEYS),
    };
    let path = places.main.display().to_string();
    let (store, chance) = (store.clone(), chance.clone());
    let keys = blocking(move || {
        let sealed_by = uses(&store.snapshot()?)?.into_keys().collect();
        Ok::<_, StoreError>(SealingKeys::open(places, &sealed_by, &chance))
    })
    .await??;
    for key in keys.missing() {
        tracing::error!(
            key.id = key,
            path,
            "a sealing key is missing: mirrors with credentials that it sealed stand still until it is put back, or \
             they are saved again with their passwords"
        );
    }
    Ok(keys)
}

/// What signs tokens. A lost key costs everyone a sign-in and nothing else.
async fn signer(config: &Config, store: &Store, chance: &Chance, is_new: bool) -> Result<Signer, AppError> {
    let (path, instance, chance) = (config.data.join(TOKEN_KEY), store.instance(), chance.clone());
    if !is_new && !path.exists() {
        let path = path.display().to_string();
        tracing::warn!(
            path,
            "the key that signs tokens is missing and is made anew: whoever had signed in signs in again; access \
             tokens hold"
        );
    }
    Ok(blocking(move || Signer::open_or_create(&path, instance, &chance)).await?)
}

/// Takes the addresses away that are not listened on any more.
pub(super) fn remove_addresses(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "the file with the addresses could not be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Writes what is listened on, so that port 0 is of use.
fn write_addresses(path: &Path, bound: &[Bound]) -> Result<(), AppError> {
    let text: String =
        bound.iter().filter(|bound| bound.local_addr().is_some()).map(|bound| format!("{bound}\n")).collect();
    let made = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&made)?;
        // The group of the local endpoint may know them as well, whatever the
        // umask is.
        file.set_permissions(std::fs::Permissions::from_mode(0o640))?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&made, path)
    };
    write().map_err(|source| AppError::File { path: path.to_owned(), source })
}
