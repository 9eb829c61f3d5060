//! One request and its answer over a connection that stays open.

use std::net::SocketAddr;

use tidegate::clock::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Any;

/// A connection to the daemon.
pub(crate) struct Exchange {
    stream: TcpStream,
    clock: Clock,
}

impl Exchange {
    pub(crate) async fn open(address: SocketAddr, clock: Clock) -> Result<Self, Any> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, clock })
    }

    /// How long a GET takes to be answered with `status`, in milliseconds.
    pub(crate) async fn timed(&mut self, path: &str, authorization: &str, status: u16) -> Result<f64, Any> {
        let authorization = match authorization {
            "" => String::new(),
            shown => format!("Authorization: {shown}\r\n"),
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n");
        let begun = self.clock.monotonic();
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = self.stream.read(&mut piece).await?;
            answer.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&answer);
            if is_whole(&text) || read == 0 {
                let taken = begun.elapsed();
                if !text.starts_with(&format!("HTTP/1.1 {status}")) {
                    return Err(format!("not {status}: {text}").into());
                }
                return Ok(taken.as_secs_f64() * 1_000.0);
            }
        }
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}
