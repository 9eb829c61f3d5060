//! What goes wrong with another registry, whose fault it is, and when to try
//! again.
//!
//! Texts of the other side are cut, cleaned of control characters, and freed of
//! our own credentials before they get in here.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::{ConnectError, Origin, Refusal};
use crate::backoff::{Fault, Retry};
use crate::limits;
use crate::oci::Digest;

/// Why a request to another registry failed.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// There is no connection, or there must not be one.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer in time.
    #[error("{origin} did not answer within {} s", .after.as_secs_f32())]
    Timeout {
        /// Who was asked.
        origin: Origin,
        /// How long was waited.
        after: Duration,
    },
    /// A transfer stopped moving.
    #[error("the transfer with {origin} moved no byte for {} s", .after.as_secs_f32())]
    Stalled {
        /// With whom.
        origin: Origin,
        /// How long was waited.
        after: Duration,
    },
    /// A transfer trickles.
    #[error("{origin} moves {rate:.1} bytes a second (over {} s); a transfer has to keep {slowest} a second", .over.as_secs_f32())]
    Slow {
        /// With whom.
        origin: Origin,
        /// Bytes a second that moved.
        rate: f64,
        /// Bytes a second that have to.
        slowest: u64,
        /// Over what time.
        over: Duration,
    },
    /// The connection broke.
    #[error("the connection to {origin} broke")]
    Broken {
        /// To whom.
        origin: Origin,
        /// What happened to it.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A blob ended early.
    #[error("{origin} ended the blob {missing} bytes early")]
    Truncated {
        /// Who did.
        origin: Origin,
        /// How many bytes are missing.
        missing: u64,
    },
    /// 401 in spite of the credentials, or for want of any.
    #[error("{origin} {}{}", refused(*.anonymous), said(.message))]
    Unauthorized {
        /// Who refused.
        origin: Origin,
        /// Whether no credentials were configured.
        anonymous: bool,
        /// What it said.
        message: String,
    },
    /// 403.
    #[error("{origin} denies this{}", said(.message))]
    Forbidden {
        /// Who refused.
        origin: Origin,
        /// What it said.
        message: String,
    },
    /// 404 where something has to be there.
    #[error("{origin} does not know this{}", said(.message))]
    NotFound {
        /// Who was asked.
        origin: Origin,
        /// What it said.
        message: String,
    },
    /// 429.
    #[error("{origin} asks for fewer requests{}", said(.message))]
    TooManyRequests {
        /// Who asks.
        origin: Origin,
        /// The wait it named.
        retry_after: Option<Duration>,
        /// What it said.
        message: String,
    },
    /// Any other answer that is no success.
    #[error("{origin} answered {status}{}", said(.message))]
    Server {
        /// Who answered.
        origin: Origin,
        /// The status.
        status: u16,
        /// The wait it named, with 503.
        retry_after: Option<Duration>,
        /// What it said.
        message: String,
    },
    /// It said something that is not true or makes no sense.
    #[error("{origin} broke the protocol: {breach}")]
    Protocol {
        /// Who did.
        origin: Origin,
        /// How.
        breach: Box<Breach>,
    },
    /// More than is taken from another registry.
    #[error("{origin} sent more than {limit} {unit}")]
    TooLarge {
        /// Who did.
        origin: Origin,
        /// The limit that was passed.
        limit: usize,
        /// What is counted: `bytes of a manifest`, `tags`.
        unit: &'static str,
    },
    /// A redirect, an upload's location or a token realm that is not followed.
    #[error("{origin} leads to {to}, {reason}")]
    Redirect {
        /// Who does.
        origin: Origin,
        /// Where to.
        to: Origin,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The token realm is another origin, and the credentials stay here.
    #[error(
        "{origin} asks to send its credentials to {realm}, which is not known to belong to it; if it does, name {realm} as a token realm of this remote"
    )]
    Realm {
        /// The registry.
        origin: Origin,
        /// The realm it named.
        realm: Origin,
    },
    /// The bytes to send could not be read.
    #[error("the blob to send could not be read")]
    Source(#[source] io::Error),
}

/// How a registry broke the protocol.
#[derive(Debug, thiserror::Error)]
pub enum Breach {
    /// Content is not what its digest says.
    #[error("the content hashes to {got} but was to be {want}")]
    Digest {
        /// What was asked for or promised.
        want: Digest,
        /// What it is.
        got: Digest,
    },
    /// A digest that is none.
    #[error("its Docker-Content-Digest is no digest")]
    DigestHeader,
    /// A length that is not the content's.
    #[error("it announces {got} bytes where {want} are to be")]
    Length {
        /// The length that is known.
        want: u64,
        /// The length it named.
        got: u64,
    },
    /// More bytes than the content has.
    #[error("it sent more than the {want} bytes that are to be")]
    TooLong {
        /// The length that is known.
        want: u64,
    },
    /// Another range than was asked for.
    #[error("it was asked for the bytes from {want} on and sent `{got}`")]
    Range {
        /// Where it was to start.
        want: u64,
        /// Its Content-Range.
        got: String,
    },
    /// Content that was encoded though nobody asked for it.
    #[error("it encoded the content as `{0}`")]
    Encoding(String),
    /// JSON that is none, or of another shape.
    #[error("its {what} is not the expected JSON: {why}")]
    Json {
        /// What was to be read.
        what: &'static str,
        /// What is wrong, and where. Never a value: it may be one of our own
        /// secrets, sent back.
        why: String,
    },
    /// An answer without a header it needs, or with a useless one.
    #[error("its answer has no usable {0}")]
    Header(&'static str),
    /// A token that cannot be sent.
    #[error("its token service gave no usable token")]
    Token,
    /// Pages that never end.
    #[error("its pages of tags lead back to one that was read")]
    Loop,
    /// A page somewhere else.
    #[error("its next page of tags is at {0}, which is another origin")]
    ForeignPage(Origin),
    /// A success that is none of the expected ones.
    #[error("it answered {0}, which means nothing here")]
    Status(u16),
    /// Not HTTP.
    #[error("what it speaks is not HTTP")]
    Http(#[source] hyper_util::client::legacy::Error),
}

impl Breach {
    /// Of JSON that could not be read.
    pub(super) fn json(what: &'static str, error: &serde_json::Error) -> Self {
        let why = match error.classify() {
            serde_json::error::Category::Data => {
                format!("a value of another type at line {} column {}", error.line(), error.column())
            }
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => error.to_string(),
        };
        Self::Json { what, why }
    }
}

impl RemoteError {
    /// When trying again may help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Connect(error) => match error {
                ConnectError::Resolve { .. } | ConnectError::Dial { .. } | ConnectError::Timeout { .. } => Retry::Soon,
                ConnectError::Address { .. } | ConnectError::Tls { .. } | ConnectError::Target => Retry::Slowly,
            },
            Self::Timeout { .. }
            | Self::Stalled { .. }
            | Self::Slow { .. }
            | Self::Broken { .. }
            | Self::Truncated { .. }
            | Self::Source(_) => Retry::Soon,
            Self::TooManyRequests { retry_after, .. } => retry_after.map_or(Retry::Soon, Retry::After),
            Self::Server { status, retry_after, .. } => match status {
                507 => Retry::Slowly,
                408 | 425 | 500.. => retry_after.map_or(Retry::Soon, Retry::After),
                _ => Retry::Slowly,
            },
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Protocol { .. }
            | Self::TooLarge { .. }
            | Self::Redirect { .. }
            | Self::Realm { .. } => Retry::Slowly,
        }
    }

    /// Whose fault it was; what is configured here is ours.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Connect(ConnectError::Address { refusal: Refusal::Own | Refusal::NotAllowed(_), .. })
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Realm { .. }
            | Self::Source(_) => Fault::Ours,
            Self::TooManyRequests { .. } | Self::TooLarge { .. } => Fault::Limit,
            Self::Connect(_)
            | Self::Timeout { .. }
            | Self::Stalled { .. }
            | Self::Slow { .. }
            | Self::Broken { .. }
            | Self::Truncated { .. }
            | Self::NotFound { .. }
            | Self::Server { .. }
            | Self::Protocol { .. }
            | Self::Redirect { .. } => Fault::Theirs,
        }
    }

    /// The error and its causes in one line, for a policy's status.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    pub(super) fn protocol(origin: &Origin, breach: Breach) -> Self {
        Self::Protocol { origin: origin.clone(), breach: Box::new(breach) }
    }

    /// Sorts what the connection pool says.
    pub(super) fn of_client(origin: Origin, error: hyper_util::client::legacy::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(inner) = cause {
            if let Some(connect) = inner.downcast_ref::<ConnectError>() {
                return Self::Connect(connect.clone());
            }
            if inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                return Self::Protocol { origin, breach: Box::new(Breach::Http(error)) };
            }
            cause = inner.source();
        }
        Self::Broken { origin, source: Box::new(error) }
    }

    /// Sorts what a body says while it is read.
    pub(super) fn of_body(origin: &Origin, error: hyper::Error) -> Self {
        Self::Broken { origin: origin.clone(), source: Box::new(error) }
    }
}

/// A text of the other side, fit to be repeated: no control characters, runs
/// of white space as one space, cut at [`limits::REMOTE_MESSAGE_CHARS`].
pub(super) fn clean(text: &str) -> String {
    let printable: String = text.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c }).collect();
    let mut words = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = words.char_indices().nth(limits::REMOTE_MESSAGE_CHARS) {
        words.truncate(cut);
    }
    words
}

/// Characters that change how the text around them is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn refused(anonymous: bool) -> &'static str {
    if anonymous { "needs credentials" } else { "refuses the credentials" }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" (it says: {message})") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::remote::Class;

    #[test]
    fn a_foreign_text_is_cut_and_cleaned() {
        assert_eq!(clean(" a\r\n\x1b[31mb\u{202e}\u{0}c  d "), "a [31mb c d");
        assert_eq!(clean(&"é".repeat(1_000)).chars().count(), limits::REMOTE_MESSAGE_CHARS);
    }

    #[test]
    fn every_case_says_when_and_whose() {
        let origin: Origin = "https://r.example".parse().expect("an origin");
        let server = |status, retry_after| RemoteError::Server {
            origin: origin.clone(),
            status,
            retry_after,
            message: String::new(),
        };
        let connect = |error| RemoteError::Connect(error);
        let address = |refusal| {
            connect(ConnectError::Address { origin: origin.clone(), address: [127, 0, 0, 1].into(), refusal })
        };
        let io = || Arc::new(io::Error::other("x"));
        let (o, m, minute) = (|| origin.clone(), String::new, Duration::from_secs(60));
        let many = |retry_after| RemoteError::TooManyRequests { origin: o(), retry_after, message: m() };
        for (error, retry, fault) in [
            (address(Refusal::Own), Retry::Slowly, Fault::Ours),
            (address(Refusal::NotAllowed(Class::Private)), Retry::Slowly, Fault::Ours),
            (address(Refusal::Never(Class::Metadata)), Retry::Slowly, Fault::Theirs),
            (connect(ConnectError::Resolve { origin: o(), source: io() }), Retry::Soon, Fault::Theirs),
            (connect(ConnectError::Dial { origin: o(), source: io() }), Retry::Soon, Fault::Theirs),
            (connect(ConnectError::Timeout { origin: o(), after: minute }), Retry::Soon, Fault::Theirs),
            (connect(ConnectError::Target), Retry::Slowly, Fault::Theirs),
            (
                connect(ConnectError::Tls { origin: o(), source: rustls::Error::DecryptError }),
                Retry::Slowly,
                Fault::Theirs,
            ),
            (RemoteError::Timeout { origin: o(), after: minute }, Retry::Soon, Fault::Theirs),
            (RemoteError::Stalled { origin: o(), after: minute }, Retry::Soon, Fault::Theirs),
            (RemoteError::Broken { origin: o(), source: "x".into() }, Retry::Soon, Fault::Theirs),
            (RemoteError::Truncated { origin: o(), missing: 1 }, Retry::Soon, Fault::Theirs),
            (RemoteError::Unauthorized { origin: o(), anonymous: true, message: m() }, Retry::Slowly, Fault::Ours),
            (RemoteError::Forbidden { origin: o(), message: m() }, Retry::Slowly, Fault::Ours),
            (RemoteError::NotFound { origin: o(), message: m() }, Retry::Slowly, Fault::Theirs),
            (many(Some(minute)), Retry::After(minute), Fault::Limit),
            (many(None), Retry::Soon, Fault::Limit),
            (server(500, None), Retry::Soon, Fault::Theirs),
            (server(503, Some(minute)), Retry::After(minute), Fault::Theirs),
            (server(507, None), Retry::Slowly, Fault::Theirs),
            (server(400, None), Retry::Slowly, Fault::Theirs),
            (server(408, None), Retry::Soon, Fault::Theirs),
            (RemoteError::protocol(&o(), Breach::Loop), Retry::Slowly, Fault::Theirs),
            (RemoteError::TooLarge { origin: o(), limit: 1, unit: "tags" }, Retry::Slowly, Fault::Limit),
            (RemoteError::Redirect { origin: o(), to: o(), reason: "no" }, Retry::Slowly, Fault::Theirs),
            (RemoteError::Realm { origin: o(), realm: o() }, Retry::Slowly, Fault::Ours),
            (RemoteError::Source(io::Error::other("x")), Retry::Soon, Fault::Ours),
        ] {
            assert_eq!((error.retry(), error.fault()), (retry, fault), "{error:?}");
            assert!(!error.to_string().contains('\n') && !error.chain().is_empty());
        }
    }
}
