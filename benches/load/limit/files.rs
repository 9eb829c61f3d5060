//! Small files as a store makes them durable: written, synced, renamed, the
//! folder synced.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::figures::{Figures, Timed};
use crate::fill::numbered;

/// How many, by how many threads, where.
#[derive(clap::Args, Debug)]
pub(crate) struct Files {
    #[arg(long, default_value_t = 4)]
    threads: u64,
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    #[arg(long, default_value_t = 4096)]
    bytes: usize,
    /// A folder on the disk in question
    #[arg(long)]
    folder: PathBuf,
}

impl Files {
    /// Measures it.
    pub(super) fn run(&self) -> Result<Figures> {
        let root = self.folder.join(format!("files-{}", std::process::id()));
        std::fs::create_dir_all(&root)?;
        let begun = Instant::now();
        let each = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..self.threads).map(|thread| (thread, &root)).map(|it| scope.spawn(move || self.make(it))).collect();
            let ended = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
            ended.collect::<Result<Vec<_>>>()
        })?;
        let whole = begun.elapsed();
        std::fs::remove_dir_all(&root)?;
        Ok(Timed { whole, each: each.concat() }.figures())
    }

    fn make(&self, (thread, root): (u64, &PathBuf)) -> Result<Vec<Duration>> {
        let content = vec![7; self.bytes];
        let mut each = Vec::new();
        for number in (thread..self.count).step_by(usize::try_from(self.threads)?) {
            let begun = Instant::now();
            // As many folders as the first byte of a digest makes.
            let folder = root.join(format!("{:02x}", number % 256));
            std::fs::create_dir_all(&folder)?;
            durable(&folder, &numbered(number), &content)?;
            each.push(begun.elapsed());
        }
        Ok(each)
    }
}

fn durable(folder: &Path, name: &str, content: &[u8]) -> Result<()> {
    let draft = folder.join(format!("{name}.draft"));
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    file.sync_data()?;
    std::fs::rename(&draft, folder.join(name))?;
    File::open(folder)?.sync_all()?;
    Ok(())
}
