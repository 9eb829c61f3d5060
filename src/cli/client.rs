//! Requests and answers in JSON.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, IF_MATCH};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::dial::Target;
use super::error::{ApiError, CliError, UsageError};
use super::terminal::{cell, rows};
use crate::lifecycle::Scope;
use crate::limits;
use crate::oci::{Digest, RepoName};

/// Everything but RFC 3986's unreserved characters: a slash inside a name is
/// no separator.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Speaks to one daemon, one connection a request.
pub struct Client {
    target: Target,
}

/// The names of a listing's paging parameters, which differ between the two
/// APIs.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    /// How many entries a page has.
    pub size: &'static str,
    /// Where the page starts.
    pub start: &'static str,
}

/// `/api/v0`'s parameters.
pub const API_PAGING: Paging = Paging { size: "pageSize", start: "pageStart" };
/// `/enzi/v0`'s parameters.
pub const ACCOUNTS_PAGING: Paging = Paging { size: "limit", start: "start" };

struct Answer {
    body: Value,
    next: Option<String>,
}

impl Client {
    /// A client of the daemon at `target`.
    pub const fn new(target: Target) -> Self {
        Self { target }
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// [`CliError`]: not reached, or refused.
    pub async fn get(&self, path: &str) -> Result<Value, CliError> {
        Ok(self.call(self.request(Method::GET, path, None)?, limits::COMMAND_ANSWER).await?.body)
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        Ok(self.call(self.request(Method::POST, path, Some(body))?, limits::COMMAND_ANSWER).await?.body)
    }

    /// Has the daemon do the work behind `path`, and gives it `patience`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_patiently(&self, path: &str, patience: Duration) -> Result<Value, CliError> {
        let nothing = Value::Object(serde_json::Map::new());
        Ok(self.call(self.request(Method::POST, path, Some(&nothing))?, patience).await?.body)
    }

    /// Changes what is at `path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        Ok(self.call(self.request(Method::PUT, path, Some(body))?, limits::COMMAND_ANSWER).await?.body)
    }

    /// Removes what is at `path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, path: &str) -> Result<Value, CliError> {
        self.change(Method::DELETE, path, None, None).await
    }

    /// Changes what is at `path`, as long as its digest is the one expected.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        expected: Option<&Digest>,
    ) -> Result<Value, CliError> {
        let mut request = self.request(method, path, body)?;
        if let Some(digest) = expected {
            let tag = HeaderValue::from_str(&format!("\"{digest}\"")).expect("a digest is a header value");
            request.headers_mut().insert(IF_MATCH, tag);
        }
        Ok(self.call(request, limits::COMMAND_ANSWER).await?.body)
    }

    /// One page of a listing, and where the next begins.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn page(&self, path: &str) -> Result<(Value, Option<String>), CliError> {
        let answer = self.call(self.request(Method::GET, path, None)?, limits::COMMAND_ANSWER).await?;
        Ok((answer.body, answer.next))
    }

    /// All pages of the listing at `path` in one answer: the first page's,
    /// with the others' entries added to its list `key`; without a key the
    /// answer is the list. The path may have a query.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn list(&self, path: &str, key: &str, paging: Paging) -> Result<Value, CliError> {
        let joined = if path.contains('?') { '&' } else { '?' };
        let sized = format!("{path}{joined}{}={}", paging.size, limits::PAGE_DEFAULT_ENTRIES);
        let first = self.call(self.request(Method::GET, &sized, None)?, limits::COMMAND_ANSWER).await?;
        let (mut whole, mut next) = (first.body, first.next);
        let pointer = if key.is_empty() { String::new() } else { format!("/{key}") };
        while let Some(start) = next {
            let page = format!("{sized}&{}={}", paging.start, segment(&start));
            let answer = self.call(self.request(Method::GET, &page, None)?, limits::COMMAND_ANSWER).await?;
            if let Some(list) = whole.pointer_mut(&pointer).and_then(Value::as_array_mut) {
                list.extend_from_slice(rows(&answer.body, &pointer));
            }
            // A page that starts where it ends would never end.
            next = answer.next.filter(|next| *next != start);
        }
        if let Some(object) = whole.as_object_mut() {
            object.remove("nextPageStart");
        }
        Ok(whole)
    }

    async fn call(&self, request: Request<Full<Bytes>>, patience: Duration) -> Result<Answer, CliError> {
        let (sender, scope) = self.connect().await?;
        let exchanged = self.in_time(patience, self.exchange(sender, request)).await;
        scope.stop();
        exchanged?
    }

    /// A connection, and the scope that drives it.
    pub(super) async fn connect(&self) -> Result<(http1::SendRequest<Full<Bytes>>, Scope), CliError> {
        let stream = self.in_time(limits::COMMAND_CONNECT, self.target.dial()).await?;
        let stream = stream.map_err(|source| CliError::Connect { at: self.shown(), source })?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(&e))?;
        let scope = Scope::new();
        let driver = scope.clone();
        // Its failure is the request's failure, which is reported there.
        scope.spawn(async move { driver.until_stopped(connection).await });
        Ok((sender, scope))
    }

    /// How the daemon is called in messages.
    pub(super) fn shown(&self) -> String {
        self.target.shown()
    }

    async fn exchange(
        &self,
        mut sender: http1::SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, CliError> {
        let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, limits::COMMAND_BODY_BYTES).collect().await;
        let body = body.map_err(|error| self.broken(error.as_ref()))?.to_bytes();
        let parsed = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
        if !head.status.is_success() {
            return Err(self.refused(head.status, parsed.ok()));
        }
        let body = parsed.map_err(|_| self.not_json(head.status))?;
        let header = head.headers.get("x-next-page-start").and_then(|value| value.to_str().ok());
        let next = header.map(str::to_owned).or_else(|| Some(cell(&body, "/nextPageStart")));
        Ok(Answer { next: next.filter(|next| !next.is_empty()), body })
    }

    /// A refusal in the daemon's words, or another program's.
    pub(super) fn refused(&self, status: StatusCode, body: Option<Value>) -> CliError {
        refusal(status, body).map_or_else(|| self.not_json(status), CliError::Api)
    }

    fn not_json(&self, status: StatusCode) -> CliError {
        CliError::NotJson { at: self.shown(), status: status.as_u16() }
    }

    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, CliError> {
        let mut request = Request::new(Full::new(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()))));
        *request.method_mut() = method;
        // Made of encoded segments, so only its length can be wrong.
        *request.uri_mut() = path.parse().map_err(|_| CliError::Usage(UsageError::TooLong { bytes: path.len() }))?;
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(self.target.host()).expect("an authority is a header value");
        headers.insert(HOST, host);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(secret) = self.target.authorization() {
            let mut value = HeaderValue::from_str(secret.expose()).expect("base64 is a header value");
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    pub(super) async fn in_time<T>(&self, within: Duration, work: impl Future<Output = T>) -> Result<T, CliError> {
        let slow = |_| CliError::Slow { at: self.target.shown(), within };
        tokio::time::timeout(within, work).await.map_err(slow)
    }

    pub(super) fn broken(&self, error: &(dyn std::error::Error + 'static)) -> CliError {
        CliError::Broken { at: self.target.shown(), reason: error.to_string() }
    }
}

/// `/api/v0/repositories/{namespace}/{name}`, slashes in the name as `%2F`.
pub fn repository_path(name: &RepoName) -> String {
    format!("/api/v0/repositories/{}/{}", segment(name.namespace()), segment(name.rest()))
}

/// `text` as one segment of a path, or one value of a query.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, &SEGMENT).to_string()
}

/// The errors in a refusal; `None` when it is not in Tidegate's form.
fn refusal(status: StatusCode, body: Option<Value>) -> Option<ApiError> {
    let body = body?;
    body.pointer("/errors")?.as_array()?;
    let errors = rows(&body, "/errors").iter().map(|error| (cell(error, "/code"), cell(error, "/message")));
    Some(ApiError { status: status.as_u16(), errors: errors.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Fake, reply};
    use serde_json::json;

    #[test]
    fn slashes_in_a_repositorys_name_are_no_separators() {
        assert_eq!(repository_path(&"dev/web/site".parse().unwrap()), "/api/v0/repositories/dev/web%2Fsite");
        assert_eq!(segment("a b?&é"), "a%20b%3F%26%C3%A9");
    }

    #[tokio::test]
    async fn pages_are_joined_by_header_and_by_body() {
        let fake = Fake::new(vec![
            reply("GET /l?pageSize=1000", 200, json!({"list": [1], "count": 2})).next("a/b"),
            reply("GET /l?pageSize=1000&pageStart=a%2Fb", 200, json!({"list": [2], "nextPageStart": "c"})),
            reply("GET /l?pageSize=1000&pageStart=c", 200, json!({"list": [3], "nextPageStart": ""})),
        ]);
        let client = Client::new(fake.target());
        let whole = client.list("/l", "list", API_PAGING).await.unwrap();
        assert_eq!(whole, json!({"list": [1, 2, 3], "count": 2}));
    }

    /// A word of 66000 letters was once a panic.
    #[tokio::test]
    async fn a_word_that_no_path_can_hold_is_wrong_usage() {
        let fake = Fake::new(Vec::new());
        let ran = fake.run(&["job", "show", &"x".repeat(66_000)], "").await;
        assert_eq!((ran.exit, ran.err.lines().count()), (crate::cli::Exit::Usage, 1), "{}", ran.err);
    }

    #[tokio::test]
    async fn a_page_that_leads_to_itself_ends() {
        let again = || reply("GET /l?limit=1000&start=x", 200, json!({"list": [2]})).next("x");
        let fake = Fake::new(vec![reply("GET /l?limit=1000", 200, json!({"list": [1]})).next("x"), again()]);
        let whole = Client::new(fake.target()).list("/l", "list", ACCOUNTS_PAGING).await.unwrap();
        assert_eq!(whole, json!({"list": [1, 2]}));
    }

    #[tokio::test]
    async fn refusals_keep_the_daemons_words() {
        let errors = json!({"errors": [{"code": "A", "message": "first\u{7}"}, {"code": "B", "message": "second"}]});
        let fake = Fake::new(vec![reply("GET /x", 400, errors), reply("GET /x", 502, json!("gateway"))]);
        let client = Client::new(fake.target());
        let told = client.get("/x").await.unwrap_err().to_string();
        assert_eq!(told, "first\\u{7} (A)\nerror: second (B)");
        assert!(matches!(client.get("/x").await, Err(CliError::NotJson { status: 502, .. })));
    }
}
