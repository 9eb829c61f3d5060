//! A long file, written in large pieces and then synced.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use crate::figures::Figures;
use crate::payload::fill;

const BLOCK_BYTES: usize = 1024 * 1024;

/// How long, where.
#[derive(clap::Args, Debug)]
pub(crate) struct Disk {
    #[arg(long, default_value_t = 512 * 1024 * 1024)]
    bytes: u64,
    /// A folder on the disk in question
    #[arg(long)]
    folder: PathBuf,
}

impl Disk {
    /// Measures it.
    pub(super) fn run(&self) -> Result<Figures> {
        let path = self.folder.join(format!("disk-{}", std::process::id()));
        let mut block = vec![0; BLOCK_BYTES];
        fill(&mut block);
        let blocks = self.bytes.div_ceil(BLOCK_BYTES as u64);
        let begun = Instant::now();
        let mut file = File::create(&path)?;
        for _ in 0..blocks {
            file.write_all(&block)?;
        }
        let written = begun.elapsed().as_secs_f64();
        file.sync_data()?;
        let seconds = begun.elapsed().as_secs_f64();
        std::fs::remove_file(&path)?;
        let bytes = (blocks * BLOCK_BYTES as u64) as f64;
        Ok(Figures::default()
            .with("seconds", seconds)
            .with("writtenSeconds", written)
            .with("bytesPerSecond", bytes / seconds))
    }
}
