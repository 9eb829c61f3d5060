//! What is measured, how often, how large: the words of the command line, and
//! the sizes that follow from them.

use std::path::PathBuf;

use super::transport::Transport;
use super::workload::Workload;

/// Starts Tidegate and the registries it finds side by side and measures them.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "benches/compare")]
pub(crate) struct Options {
    /// Only these workloads
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<Workload>,
    /// Only these peers (docker-registry, distribution, zot, angos; zot-unsafe and angos-unsafe as they are shipped);
    /// the durable ones that are installed without it
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Option<Vec<String>>,
    /// Only these transports
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) transports: Vec<Transport>,
    /// Runs of each, the median of which is shown
    #[arg(long)]
    pub(crate) runs: Option<usize>,
    /// How long a run at full speed lasts
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Small sizes, short runs: to see that all works, not to quote
    #[arg(long)]
    pub(crate) quick: bool,
    /// The smallest sizes, one run of each
    #[arg(long)]
    pub(crate) smoke: bool,
    /// Give peers as many tags, repositories and images as Tidegate, however long they take
    #[arg(long)]
    pub(crate) full_peers: bool,
    /// Where the registries keep their data while it runs: a folder on the disk to be measured
    #[arg(long, default_value = "target/compare")]
    pub(crate) folder: PathBuf,
    /// The first of the loopback ports that are used, about twenty
    #[arg(long, default_value_t = 16300)]
    pub(crate) port: u16,
    /// Leave data and logs where they are
    #[arg(long)]
    pub(crate) keep: bool,
    /// The built daemon
    #[arg(long, hide = true)]
    pub(crate) tidegate: PathBuf,
    /// The built load generator
    #[arg(long, hide = true)]
    pub(crate) load: PathBuf,
}

/// How large everything is.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) runs: usize,
    pub(crate) seconds: u64,
    /// Seconds before the first run that counts; 0: no warm-up.
    pub(crate) warm_up: u64,
    /// Tags of the repositories whose manifests and lists are read.
    pub(crate) tags: Vec<u64>,
    pub(crate) repositories: Vec<u64>,
    /// Referrers of a subject, and other manifests beside them.
    pub(crate) referrers: Vec<u64>,
    pub(crate) manifests: u64,
    /// The most tags, repositories and manifests that a peer is filled with.
    pub(crate) peer_entries: u64,
    /// Bytes of the blobs that are read.
    pub(crate) blobs: Vec<u64>,
    pub(crate) slow_readers: u64,
    /// Bytes of the one long blob that is pushed.
    pub(crate) push_bytes: u64,
    /// How many middling and small blobs, and images, and tags are pushed.
    pub(crate) push_large: u64,
    pub(crate) push_small: u64,
    pub(crate) push_images: u64,
    pub(crate) peer_images: u64,
    pub(crate) push_tags: u64,
    /// Whole images of 1 MB pushed and pulled, and of 10 MB.
    pub(crate) flows: [u64; 2],
    pub(crate) mounts: u64,
    /// Blobs that are there when half of them are collected.
    pub(crate) collected: u64,
    /// Tags there when the daemon is started.
    pub(crate) started: u64,
}

const MIB: u64 = 1024 * 1024;

impl Options {
    /// The sizes to use.
    pub(crate) fn sizes(&self) -> Sizes {
        let mut sizes = match (self.smoke, self.quick) {
            (true, _) => Sizes::smoke(),
            (false, true) => Sizes::quick(),
            (false, false) => Sizes::full(),
        };
        if self.full_peers {
            (sizes.peer_entries, sizes.peer_images) = (u64::MAX, sizes.push_images);
        }
        sizes.runs = self.runs.unwrap_or(sizes.runs);
        sizes.seconds = self.seconds.unwrap_or(sizes.seconds);
        sizes
    }

    /// Whether `workload` is measured.
    pub(crate) fn wants(&self, workload: Workload) -> bool {
        self.only.is_empty() || self.only.contains(&workload)
    }

    /// Those of `transports` that are measured.
    pub(crate) fn speak(&self, transports: &[Transport]) -> Vec<Transport> {
        let wanted = |transport: &Transport| self.transports.is_empty() || self.transports.contains(transport);
        transports.iter().copied().filter(wanted).collect()
    }
}

impl Sizes {
    /// What the project's figures are made with.
    fn full() -> Self {
        Self {
            runs: 5,
            seconds: 10,
            warm_up: 3,
            tags: vec![1, 1_000, 10_000, 100_000],
            repositories: vec![1_000, 10_000, 100_000],
            referrers: vec![0, 10, 1_000],
            manifests: 10_000,
            peer_entries: 10_000,
            blobs: vec![64 * 1024, MIB, 10 * MIB, 1024 * MIB],
            slow_readers: 1_000,
            push_bytes: 512 * MIB,
            push_large: 100,
            push_small: 10_000,
            push_images: 10_000,
            peer_images: 2_000,
            push_tags: 5_000,
            flows: [200, 40],
            mounts: 200,
            collected: 100_000,
            started: 1_000_000,
        }
    }

    fn quick() -> Self {
        Self {
            runs: 3,
            seconds: 2,
            warm_up: 1,
            tags: vec![1, 1_000],
            repositories: vec![100, 1_000],
            referrers: vec![0, 1_000],
            manifests: 1_000,
            peer_entries: 1_000,
            blobs: vec![64 * 1024, MIB, 10 * MIB],
            slow_readers: 1_000,
            push_bytes: 128 * MIB,
            push_large: 20,
            push_small: 1_000,
            push_images: 1_000,
            peer_images: 300,
            push_tags: 1_000,
            flows: [40, 8],
            mounts: 20,
            collected: 10_000,
            started: 50_000,
        }
    }

    fn smoke() -> Self {
        Self {
            runs: 1,
            seconds: 1,
            warm_up: 0,
            tags: vec![20],
            repositories: vec![10],
            referrers: vec![10],
            manifests: 10,
            peer_entries: 20,
            blobs: vec![MIB],
            slow_readers: 20,
            push_bytes: 4 * MIB,
            push_large: 2,
            push_small: 20,
            push_images: 20,
            peer_images: 10,
            push_tags: 40,
            flows: [4, 2],
            mounts: 2,
            collected: 100,
            started: 200,
        }
    }
}
