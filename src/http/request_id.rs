//! The name of one request, in the answer and in every line of the log.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::chance::Chance;
use crate::limits;

/// The header that carries it, both ways.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id: the client's own, where it sent a usable one. Handlers find
/// it in the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The client's, or a new one. A client's is taken when it is short and has
    /// nothing that could forge a line of the log.
    pub fn of(headers: &HeaderMap, chance: &Chance) -> Self {
        let given = headers.get(HEADER).filter(|value| {
            let bytes = value.as_bytes();
            (1..=limits::REQUEST_ID_BYTES).contains(&bytes.len())
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
        });
        Self(given.cloned().unwrap_or_else(|| {
            HeaderValue::from_str(&chance.id().to_string()).expect("an id is hexadecimal digits and hyphens")
        }))
    }

    /// As the value of [`HEADER`].
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_kept_when_it_is_harmless() {
        let chance = Chance::seeded(1);
        let ask = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            RequestId::of(&headers, &chance).to_string()
        };
        assert_eq!(ask("build-17.4:a_b"), "build-17.4:a_b");
        let long = "x".repeat(limits::REQUEST_ID_BYTES + 1);
        for bad in ["", "a b", "a\tb", "é", "a\"b", long.as_str()] {
            assert_ne!(ask(bad), bad);
            assert_eq!(ask(bad).len(), 36);
        }
        assert_eq!(RequestId::of(&HeaderMap::new(), &chance).to_string().len(), 36);
    }
}
