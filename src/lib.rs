//! Tidegate: a container registry that moves images by policy.
//!
//! The rows, lowest first; a module names only modules of earlier rows, and
//! `tests/architecture.rs` holds them to it.

// Row 0: every bound, time as a value, chance as a value, retry arithmetic, JSON with one reading, what is never printed.
pub mod backoff;
pub mod chance;
pub mod clock;
pub mod json;
pub mod limits;
pub mod secret;
// Row 1: the protocol's vocabulary; task scopes.
pub mod lifecycle;
pub mod oci;
pub mod telemetry;
// Row 2: what happened, as data; rights as arithmetic.
pub mod access;
pub mod event;
// Row 3: who did what, as data; rules, templates, schedules, plans: arithmetic without I/O.
pub mod audit;
pub mod policy;
// Row 4: all durable state; the client of other registries. Neither sees the other.
pub mod remote;
pub mod store;
// Row 5: who is calling, and sealed credentials.
pub mod identity;
// Row 6: the protocol's meaning without HTTP.
pub mod registry;
// Row 7: work that outlives a request.
pub mod jobs;
// Row 8: events and ticks to plans to commits.
pub mod reactor;
// Row 9: listeners, routes, answers.
pub mod http;
// Row 10: the only reader of files and environment.
pub mod config;
// Row 11: build, run, drain.
pub mod app;
// Row 12: the command line.
pub mod cli;
