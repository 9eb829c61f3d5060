//! SHA-256 of memory on one thread: no pushed byte costs less.

use std::hint::black_box;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::figures::Figures;
use crate::payload::fill;

const BLOCK_BYTES: usize = 1024 * 1024;

/// How much.
#[derive(clap::Args, Debug)]
pub(crate) struct Hash {
    #[arg(long, default_value_t = 512 * 1024 * 1024)]
    bytes: u64,
}

impl Hash {
    /// Measures it.
    pub(super) fn run(&self) -> Figures {
        let mut block = vec![0; BLOCK_BYTES];
        fill(&mut block);
        let blocks = self.bytes.div_ceil(BLOCK_BYTES as u64);
        let begun = Instant::now();
        let mut hash = Sha256::new();
        for _ in 0..blocks {
            hash.update(black_box(&block));
        }
        black_box(hash.finalize());
        let seconds = begun.elapsed().as_secs_f64();
        let bytes = (blocks * BLOCK_BYTES as u64) as f64;
        Figures::default().with("seconds", seconds).with("bytesPerSecond", bytes / seconds)
    }
}
