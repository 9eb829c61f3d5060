//! Answers that are bytes, taken as they come.

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::client::Client;
use super::error::CliError;
use crate::lifecycle::Scope;
use crate::limits;

/// A body on its way. Dropped, it is given up.
#[derive(Debug)]
pub struct Download {
    body: Incoming,
    connection: Scope,
    at: String,
}

impl Client {
    /// Asks for bytes.
    ///
    /// # Errors
    /// [`CliError`]: not reached, or refused.
    pub async fn download(&self, method: Method, path: &str) -> Result<Download, CliError> {
        let request = self.request(method, path, None)?;
        let (mut sender, connection) = self.connect().await?;
        let asked = async {
            let answer = sender.send_request(request).await;
            let (head, body) = answer.map_err(|error| self.broken(&error))?.into_parts();
            if head.status.is_success() {
                return Ok(body);
            }
            let words = Limited::new(body, limits::COMMAND_BODY_BYTES).collect().await;
            let words = words.map_err(|error| self.broken(error.as_ref()))?.to_bytes();
            Err(self.refused(head.status, serde_json::from_slice(&words).ok()))
        };
        let asked = self.in_time(limits::COMMAND_ANSWER, asked).await.and_then(|asked| asked);
        if asked.is_err() {
            connection.stop();
        }
        Ok(Download { body: asked?, connection, at: self.shown() })
    }
}

impl Download {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the answer broke off, or nothing came for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CliError> {
        let within = limits::COMMAND_STALL;
        loop {
            let frame = tokio::time::timeout(within, self.body.frame()).await;
            let frame = frame.map_err(|_| CliError::Slow { at: self.at.clone(), within })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(CliError::Broken { at: self.at.clone(), reason: error.to_string() });
                }
                Some(Ok(frame)) => {
                    // Trailers mean nothing here.
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.connection.stop();
    }
}
