//! A stream whose peer must keep reading.
//!
//! A client that asks for a large blob and then reads nothing would hold its
//! connection, its descriptor and a buffer for ever: neither HTTP nor TCP ends
//! it while the peer's system acknowledges probes. Here a write that makes no
//! progress for the whole deadline fails, and so does one to a client that takes
//! a little before each deadline: over the time that writes wait, it has to keep
//! a rate. What this cannot see is a stream of HTTP/2 whose window is shut while
//! its connection lives; see [`super::taken`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits;

/// Wraps a stream.
#[derive(Debug)]
pub(super) struct Stall<S> {
    stream: S,
    within: Duration,
    /// Runs while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Since when it waits.
    waits_since: Option<Instant>,
    /// Bytes that the client took in the window that runs, and the time that
    /// writes waited for it.
    taken: u64,
    waited: Duration,
}

impl<S> Stall<S> {
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self { stream, within, deadline: None, waits_since: None, taken: 0, waited: Duration::ZERO }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            // Asks for the time only after a wait: who keeps up costs nothing.
            if let Some(since) = self.waits_since.take() {
                self.waited += since.elapsed();
                self.keep_pace()?;
            }
            return written;
        }
        let deadline = self.deadline.get_or_insert_with(|| {
            self.waits_since = Some(Instant::now());
            Box::pin(tokio::time::sleep(self.within))
        });
        std::task::ready!(deadline.as_mut().poll(cx));
        let reason = format!("the client took no byte for {} s", self.within.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.taken = self.taken.saturating_add(*bytes as u64);
        }
        self.watch(cx, written)
    }

    /// An error when a whole window of waiting moved less than it has to.
    fn keep_pace(&mut self) -> io::Result<()> {
        if self.waited < limits::RESPONSE_SLOWEST_OVER {
            return Ok(());
        }
        let (taken, over) = (std::mem::take(&mut self.taken), std::mem::take(&mut self.waited));
        if taken as f64 >= limits::RESPONSE_SLOWEST as f64 * over.as_secs_f64() {
            return Ok(());
        }
        let reason = format!("the client took {taken} bytes in {} s", over.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stall<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_reading_is_left_at_the_deadline() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut near = Stall::new(near, WITHIN);
        near.write_all(b"1234").await.unwrap();
        let begun = tokio::time::Instant::now();
        assert_eq!(near.write_all(b"5").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), WITHIN);
        let mut read = [0; 4];
        far.read_exact(&mut read).await.unwrap();
    }

    /// Writes until a client that takes `bytes` every `every` is left, or `most`
    /// bytes were written.
    async fn write_to(bytes: usize, every: Duration, most: usize) -> (usize, io::Result<()>) {
        let (near, mut far) = tokio::io::duplex(bytes);
        let mut near = Stall::new(near, WITHIN);
        let reader = async {
            let mut read = vec![0; bytes];
            loop {
                tokio::time::sleep(every).await;
                far.read_exact(&mut read).await.unwrap();
            }
        };
        let writer = async {
            let mut written = 0;
            while written < most {
                match near.write(&vec![0; bytes]).await {
                    Ok(more) => written += more,
                    Err(error) => return (written, Err(error)),
                }
            }
            (written, Ok(()))
        };
        tokio::select! {
            ended = writer => ended,
            () = reader => unreachable!("it reads for ever"),
        }
    }

    /// A byte before each deadline held a connection and a buffer for as long as
    /// the client liked.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_a_minute_is_left_and_a_slow_link_is_not() {
        let begun = Instant::now();
        let (written, ended) = write_to(1, WITHIN - Duration::from_secs(1), 1_000).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(written < 5 && begun.elapsed() < 3 * limits::RESPONSE_SLOWEST_OVER, "{written}");
        // 16 KiB a second, which comes in lumps as a system's buffers make them.
        let begun = Instant::now();
        let (_, ended) = write_to(320 * 1024, Duration::from_secs(20), 8 << 20).await;
        ended.unwrap();
        assert!(begun.elapsed() > 5 * limits::RESPONSE_SLOWEST_OVER);
        // Just enough.
        let rate = usize::try_from(limits::RESPONSE_SLOWEST).unwrap();
        write_to(10 * rate, Duration::from_secs(10), 600 * rate).await.1.unwrap();
        write_to(9 * rate, Duration::from_secs(10), 600 * rate).await.1.unwrap_err();
    }
}
