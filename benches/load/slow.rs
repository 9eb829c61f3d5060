//! Many clients that read one blob slowly, to see what they cost the server.

use std::convert::Infallible;
use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Place, PlaceArgs, Stream};

/// Which blob, by how many, how slowly.
#[derive(clap::Args, Debug)]
pub(crate) struct SlowReaders {
    #[command(flatten)]
    place: PlaceArgs,
    #[arg(long)]
    path: String,
    #[arg(long, default_value_t = 1000)]
    readers: usize,
    /// Bytes a second that each reads
    #[arg(long, default_value_t = 16 * 1024)]
    rate: usize,
}

/// Reads of each a second.
const READS: u32 = 4;

impl SlowReaders {
    /// Prints a line when all of them have begun, and reads on until standard
    /// input ends.
    pub(crate) async fn run(&self) -> Result<()> {
        let place = self.place.place()?;
        let mut open = Vec::new();
        for _ in 0..self.readers {
            open.push(begin(&place, &self.path).await?);
        }
        println!("{{\"readers\":{}}}", open.len());
        let (closed, wait) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            let _ = closed.send(());
        });
        let step = self.rate / READS as usize;
        let reading = try_join_all(open.into_iter().map(|stream| drip(stream, step)));
        tokio::select! {
            ended = reading => ended.map(drop),
            _ = wait => Ok(()),
        }
    }
}

/// Reads `step` bytes at a time, slowly, for ever.
async fn drip(mut stream: Box<dyn Stream>, step: usize) -> Result<Infallible> {
    let mut buffer = vec![0; step];
    loop {
        stream.read_exact(&mut buffer).await.context("a reader was cut off")?;
        tokio::time::sleep(Duration::from_secs(1) / READS).await;
    }
}

/// Asks for the blob and reads its answer's first bytes.
async fn begin(place: &Place, path: &str) -> Result<Box<dyn Stream>> {
    let mut stream = place.stream().await?;
    stream.write_all(&place.get_head(path)).await?;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await?;
    anyhow::ensure!(&first == b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&first));
    Ok(stream)
}
