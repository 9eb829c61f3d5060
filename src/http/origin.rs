//! Where a request came from, as the audit log tells it.

use http::{HeaderMap, header};

use super::connection::Peer;
use super::request_id::RequestId;
use crate::audit::{self, Origin, cut};

/// The far end, the request's id, and what the client calls itself: a claim,
/// cut to a bound, of which nothing is believed.
pub(super) fn of(headers: &HeaderMap, id: &RequestId, peer: Peer) -> Origin {
    let agent = headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Origin::Request(audit::Request {
        peer: far_end(peer),
        agent: agent.map(|agent| cut(&agent)).unwrap_or_default(),
        id: id.to_string(),
        credential: None,
    })
}

fn far_end(peer: Peer) -> audit::Peer {
    match peer.addr {
        Some(address) => audit::Peer::Network(address),
        None => audit::Peer::Local { uid: peer.uid },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::limits;

    #[test]
    fn what_a_client_calls_itself_is_bounded_text() {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, http::HeaderValue::from_bytes(&[b'x', 0xff].repeat(4_000)).unwrap());
        let id = RequestId::of(&headers, &Chance::seeded(1));
        let peer = Peer { addr: None, local: true, uid: Some(7), tls: false, listener: 0 };
        let Origin::Request(request) = of(&headers, &id, peer) else { panic!("a request") };
        assert!(request.agent.starts_with("x\u{fffd}") && request.agent.len() <= limits::AUDIT_TEXT_BYTES);
        assert_eq!((request.peer, request.id), (audit::Peer::Local { uid: Some(7) }, id.to_string()));
    }
}
