//! What is looked up when somebody asks: the store, the disk, the queues, the
//! mirrors, the process.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry as Page, Unit};

use super::State;
use crate::chance::Id;
use crate::http::state::Trouble;
use crate::limits;
use crate::registry::{RegistryError, quota};
use crate::store::record::PolicyBody;
use crate::store::{Snapshot, Store, event, policy, quarantine, queue, repo, transfer};
use crate::telemetry::process::Process;

/// A policy, as operators know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    policy: String,
    repository: String,
    kind: &'static str,
}

/// What has a quota: everything together (without a name), a namespace, or a
/// repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Bounded {
    quota: &'static str,
    name: String,
}

/// Looks all of it up. Blocks.
pub(super) fn gather(state: &State) -> Result<Page, RegistryError> {
    let mut page = Page::with_prefix("tidegate");
    page.register("build", "The daemon", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    let healthy = i64::from(state.trouble().is_none());
    page.register("ready", "Whether requests are welcome", ConstGauge::new(healthy));
    let failed = i64::from(state.trouble() == Some(Trouble::Store));
    page.register("store_stopped", "Whether a failed write has stopped the store", ConstGauge::new(failed));
    process(&mut page);
    connections(&mut page, state);
    disk(&mut page, state.registry().store());
    let read = state.registry().store().snapshot()?;
    store(&mut page, state, &read)?;
    work(&mut page, &read)?;
    policies(&mut page, &read)?;
    quotas(&mut page, &read)?;
    keys(&mut page, state);
    Ok(page)
}

fn process(page: &mut Page) {
    let Some(process) = Process::look() else { return };
    gauge(page, ("process_resident_memory", Unit::Bytes), "Memory that the daemon holds", process.resident_bytes);
    let peak = process.resident_peak_bytes;
    gauge(page, ("process_resident_memory_peak", Unit::Bytes), "Most memory that the daemon ever held", peak);
    page.register("process_threads", "Threads of the daemon", ConstGauge::new(whole(process.threads)));
    if let Some(open) = process.open_descriptors {
        page.register("process_open_descriptors", "Descriptors that the daemon has open", ConstGauge::new(whole(open)));
    }
}

fn connections(page: &mut Page, state: &State) {
    let tally = state.tally();
    let mut count = |name: &str, help: &str, of: &AtomicU64| {
        page.register(name, help, ConstCounter::new(of.load(Ordering::Relaxed)));
    };
    count("connections_accepted", "Connections that were accepted", &tally.accepted);
    count("connections_accept_failed", "Times that the system gave no connection", &tally.accepts_failed);
    count("tls_handshakes_failed", "TLS handshakes that failed or took too long", &tally.handshakes_failed);
    count("http_panics", "Requests that ended by a fault in the program", &tally.panics);
    let running = whole(tally.running.load(Ordering::Relaxed));
    page.register("http_requests_running", "Requests whose answer is not sent yet", ConstGauge::new(running));
    let uploads = state.registry().open_uploads().len() as u64;
    page.register("uploads_open", "Upload sessions that can go on", ConstGauge::new(whole(uploads)));
}

fn disk(page: &mut Page, store: &Store) {
    let files = store.files();
    let traffic = files.traffic().total();
    let help = "Bytes of blobs that were read and written for those who wait for them";
    page.register_with_unit("blob_transferred", help, Unit::Bytes, ConstCounter::new(traffic));
    let disk = files.disk();
    let level = disk.level() as i64;
    let help = "Who may write: 2 everybody, 1 what adds no bytes, 0 what gives room back";
    page.register("disk_level", help, ConstGauge::new(level));
    let Ok(room) = disk.room() else { return };
    gauge(page, ("disk_free", Unit::Bytes), "Room on the file system of the data folder", room.free_bytes);
    gauge(page, ("disk_size", Unit::Bytes), "Length of the file system of the data folder", room.total_bytes);
    let mark = disk.keep(&room);
    gauge(page, ("disk_kept_free", Unit::Bytes), "Below this much room uploads are refused", mark);
    if let Some(free) = room.free_inodes {
        page.register("disk_free_inodes", "Files that the file system has room for", ConstGauge::new(whole(free)));
    }
}

fn store(page: &mut Page, state: &State, read: &Snapshot) -> Result<(), RegistryError> {
    let store = state.registry().store();
    let commits = *store.writer().commits().borrow();
    page.register("store_commits", "Commits of the database", ConstCounter::new(commits));
    let waiting = store.writer().waiting() as u64;
    page.register("store_waiting", "Operations that wait for the next commit", ConstGauge::new(whole(waiting)));
    let damaged = quarantine::count(read)?;
    page.register("quarantined", "Blobs and manifests whose bytes are damaged", ConstGauge::new(whole(damaged)));
    let (last, cursor) = (event::last(read)?, event::cursor(read)?);
    page.register("events", "Events that were written", ConstCounter::new(last));
    let lag = whole(last.saturating_sub(cursor));
    page.register("events_waiting", "Events that no policy has looked at yet", ConstGauge::new(lag));
    Ok(())
}

/// Jobs and transfers, as many as are counted for one page.
fn work(page: &mut Page, read: &Snapshot) -> Result<(), RegistryError> {
    let mut jobs = 0;
    queue::due(read, |_, _| {
        jobs += 1;
        more(jobs)
    })?;
    page.register("jobs_waiting", "Jobs that wait or run", ConstGauge::new(whole(jobs)));
    let (mut owed, mut by_policy) = (0, BTreeMap::<Id, u64>::new());
    transfer::due(read, |due| {
        owed += 1;
        *by_policy.entry(due.policy).or_default() += 1;
        more(owed)
    })?;
    let family = Family::<Of, Gauge>::default();
    for (id, count) in by_policy {
        if let Some(of) = of(read, &id)? {
            family.get_or_create(&of).set(whole(count));
        }
    }
    page.register("transfers_owed", "Tags that a mirror still has to bring or send", family);
    Ok(())
}

fn policies(page: &mut Page, read: &Snapshot) -> Result<(), RegistryError> {
    let (enabled, good) = (Family::<Of, Gauge>::default(), Family::<Of, Gauge>::default());
    let (told, moved) = (Family::<Of, Gauge>::default(), Family::<Of, Gauge>::default());
    for policy in policy::all(read)?.into_iter().take(limits::METRICS_POLICIES) {
        let Some(of) = of(read, &policy.id)? else { continue };
        enabled.get_or_create(&of).set(i64::from(policy.enabled));
        let status = policy::status(read, &policy.id)?;
        if let Some(at) = status.at {
            good.get_or_create(&of).set(i64::from(status.code == "SUCCESS"));
            told.get_or_create(&of).set(at.micros() / 1_000_000);
        }
        if let Some(at) = status.last_moved_at {
            moved.get_or_create(&of).set(at.micros() / 1_000_000);
        }
    }
    page.register("policy_enabled", "Whether a policy is enabled", enabled);
    page.register("policy_good", "Whether a policy's last result was a success", good);
    let help = "When a policy had its last result, in seconds since 1970";
    page.register_with_unit("policy_result_timestamp", help, Unit::Seconds, told);
    let help = "When a policy last moved an image, in seconds since 1970";
    page.register_with_unit("policy_moved_timestamp", help, Unit::Seconds, moved);
    Ok(())
}

/// What is held of everything that is bounded, and the bounds.
fn quotas(page: &mut Page, read: &Snapshot) -> Result<(), RegistryError> {
    let (bounds, held) = (Family::<Bounded, Gauge>::default(), Family::<Bounded, Gauge>::default());
    for standing in quota::standings(read, limits::METRICS_QUOTAS)? {
        let of = Bounded { quota: standing.of.kind(), name: standing.of.name().to_owned() };
        bounds.get_or_create(&of).set(whole(standing.limit.unwrap_or(0)));
        held.get_or_create(&of).set(whole(standing.used));
    }
    page.register_with_unit("quota_limit", "Bytes that may be held", Unit::Bytes, bounds);
    page.register_with_unit("quota_used", "Bytes that are held of what is bounded", Unit::Bytes, held);
    Ok(())
}

fn keys(page: &mut Page, state: &State) {
    let keys = state.remotes().keys();
    let missing = whole(keys.missing().len() as u64);
    let help = "Sealing keys that are missing while credentials of mirrors are sealed by them";
    page.register("sealing_keys_missing", help, ConstGauge::new(missing));
    let unusable = i64::from(keys.unusable().is_some());
    page.register("sealing_key_file_unusable", "Whether a sealing key file cannot be used", ConstGauge::new(unusable));
}

fn of(read: &Snapshot, id: &Id) -> Result<Option<Of>, RegistryError> {
    let Some(policy) = policy::get(read, id)? else { return Ok(None) };
    let Some(repository) = repo::name_of(read, policy.repository)? else { return Ok(None) };
    let kind = match policy.body {
        PolicyBody::Promotion { .. } => "promotion",
        PolicyBody::Push { .. } => "push_mirror",
        PolicyBody::Pull { .. } => "pull_mirror",
    };
    Ok(Some(Of { policy: id.to_string(), repository: repository.to_string(), kind }))
}

const fn more(count: u64) -> ControlFlow<()> {
    if count < limits::METRICS_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

fn gauge(page: &mut Page, (name, unit): (&str, Unit), help: &str, value: u64) {
    page.register_with_unit(name, help, unit, ConstGauge::new(whole(value)));
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
