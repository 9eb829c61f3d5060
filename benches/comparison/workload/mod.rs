//! What is measured, in the order in which it is: one file a subject.

mod blobs;
mod collection;
mod flows;
mod lists;
mod manifests;
mod memory;
mod mounts;
mod pushes;
mod referrers;
mod slow;
mod starts;
mod syncs;

use anyhow::Result;

use crate::bench::Bench;

/// The kind of an image's manifest: distribution gives it to nobody who does
/// not ask for it.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// One subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// GET and HEAD of manifests by tag
    Manifests,
    /// Pages of tags
    Tags,
    /// Pages of repositories
    Catalog,
    /// What is attached to a manifest
    Referrers,
    /// GET of blobs, whole and in part
    Blobs,
    /// What a thousand slow readers cost
    Slow,
    /// Pushes: a long blob, many blobs, images, tags
    Pushes,
    /// How often an image is synced
    Syncs,
    /// Whole pushes and pulls
    Flows,
    /// Images whose layers are there already
    Mounts,
    /// Reading and pushing while half of all blobs are collected
    Collection,
    /// Time until ready, with many tags
    Starts,
    /// Memory, idle and at the end of all that came before
    Memory,
}

impl Workload {
    /// All of them. Memory frames the others.
    pub(crate) const ALL: [Self; 13] = [
        Self::Manifests,
        Self::Tags,
        Self::Catalog,
        Self::Referrers,
        Self::Blobs,
        Self::Slow,
        Self::Pushes,
        Self::Syncs,
        Self::Flows,
        Self::Mounts,
        Self::Collection,
        Self::Starts,
        Self::Memory,
    ];

    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Manifests => "manifests",
            Self::Tags => "tags",
            Self::Catalog => "catalog",
            Self::Referrers => "referrers",
            Self::Blobs => "blobs",
            Self::Slow => "slow",
            Self::Pushes => "pushes",
            Self::Syncs => "syncs",
            Self::Flows => "flows",
            Self::Mounts => "mounts",
            Self::Collection => "collection",
            Self::Starts => "starts",
            Self::Memory => "memory",
        }
    }

    /// Measures it.
    pub(crate) fn run(self, bench: &mut Bench) -> Result<()> {
        match self {
            Self::Manifests => manifests::run(bench),
            Self::Tags => lists::tags(bench),
            Self::Catalog => lists::catalog(bench),
            Self::Referrers => referrers::run(bench),
            Self::Blobs => blobs::run(bench),
            Self::Slow => slow::run(bench),
            Self::Pushes => pushes::run(bench),
            Self::Syncs => syncs::run(bench),
            Self::Flows => flows::run(bench),
            Self::Mounts => mounts::run(bench),
            Self::Collection => collection::run(bench),
            Self::Starts => starts::run(bench),
            Self::Memory => memory::at_the_end(bench),
        }
    }
}

/// Measures the memory of servers that have just started.
pub(crate) use memory::idle;

/// A number as people read it in a name.
pub(crate) fn counted(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 if number.is_multiple_of(1_000) => format!("{}k", number / 1_000),
        1_000_000.. if number.is_multiple_of(1_000_000) => format!("{}M", number / 1_000_000),
        _ => number.to_string(),
    }
}

/// A length as people read it in a name.
pub(crate) fn sized(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.into_iter().find(|(_, size)| bytes.is_multiple_of(*size));
    unit.map_or_else(|| format!("{bytes} B"), |(name, size)| format!("{} {name}", bytes / size))
}

/// The end of a name that the load generator gives the `number`th.
pub(crate) fn numbered(number: u64) -> String {
    format!("{number:07}")
}
