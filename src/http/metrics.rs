//! `/metrics`: what is counted and what is so, in OpenMetrics' text (1.0), which
//! Prometheus reads.
//!
//! Requests are counted as they are answered. All else is looked up when it is
//! asked for, so that nothing has to be kept in step. It is told over the local
//! socket, and to system admins: names of repositories are in it.

use http::{HeaderValue, Response, StatusCode, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Page;

use super::{Body, State};
use crate::lifecycle;
use crate::registry::RegistryError;

/// What is looked up when somebody asks.
mod gather;

/// The content type of OpenMetrics 1.0.
const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Seconds up to which answers are counted together.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0];

/// What was asked for, and the answer's status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: &'static str,
    status: u32,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Routed {
    route: &'static str,
}

/// What is counted while requests are answered. Both labels have few values:
/// names of routes, never paths.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    answered: Family<Answered, Counter>,
    seconds: Family<Routed, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        Self { answered: Family::default(), seconds }
    }
}

impl Metrics {
    /// Counts a request that was answered: its status, and the time until its
    /// head was ready.
    pub(super) fn answered(&self, route: &'static str, status: StatusCode, took: std::time::Duration) {
        self.answered.get_or_create(&Answered { route, status: u32::from(status.as_u16()) }).inc();
        self.seconds.get_or_create(&Routed { route }).observe(took.as_secs_f64());
    }

    fn page(&self) -> Page {
        let mut page = Page::with_prefix("tidegate");
        page.register("http_requests", "Requests that were answered", self.answered.clone());
        page.register(
            "http_request_duration_seconds",
            "Seconds from the end of a request's head to the head of its answer",
            self.seconds.clone(),
        );
        page
    }
}

/// Tells all of it.
pub(super) async fn tell(state: &State) -> Result<Response<Body>, RegistryError> {
    let counted = state.metrics().page();
    let state = state.clone();
    let text = lifecycle::blocking(move || {
        let found = gather::gather(&state)?;
        let mut text = String::new();
        // Writing into a string does not fail.
        let written = encode_registry(&mut text, &counted)
            .and_then(|()| encode_registry(&mut text, &found))
            .and_then(|()| encode_eof(&mut text));
        debug_assert!(written.is_ok(), "{written:?}");
        Ok::<_, RegistryError>(text)
    })
    .await?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_status() {
        let metrics = Metrics::default();
        let took = std::time::Duration::from_micros(700);
        metrics.answered("v2.manifest.get", StatusCode::OK, took);
        metrics.answered("v2.manifest.get", StatusCode::OK, took);
        metrics.answered("v2.manifest.get", StatusCode::NOT_FOUND, took);
        let mut text = String::new();
        encode_registry(&mut text, &metrics.page()).expect("is written");
        for line in [
            "tidegate_http_requests_total{route=\"v2.manifest.get\",status=\"200\"} 2",
            "tidegate_http_requests_total{route=\"v2.manifest.get\",status=\"404\"} 1",
            "tidegate_http_request_duration_seconds_bucket{le=\"0.0005\",route=\"v2.manifest.get\"} 0",
            "tidegate_http_request_duration_seconds_bucket{le=\"0.001\",route=\"v2.manifest.get\"} 3",
            "tidegate_http_request_duration_seconds_count{route=\"v2.manifest.get\"} 3",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
