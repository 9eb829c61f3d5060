//! What must hold whatever the bytes are: no panic, what was read is written
//! back as it was, and every bound is kept. Shared by the fuzz targets and by
//! `tests/corpus.rs`. Inputs of several parts have them on lines of their own.

use http::Method;
use tidegate::clock::Timestamp;
use tidegate::http::{Query, Route};
use tidegate::json::{self, Field, Shape};
use tidegate::limits;
use tidegate::oci::path::V2Path;
use tidegate::oci::range::{Chunk, Download, download};
use tidegate::oci::{Condition, Digest, Manifest, Reference, RepoName, Tag, index, warning};
use tidegate::policy::{Schedule, Template};
use tidegate::remote::challenge::{self, Challenge};

/// What is done with some bytes; it panics when that is wrong.
pub(crate) type Target = fn(&[u8]);

/// Every target, by name.
pub(crate) const ALL: &[(&str, Target)] = &[
    ("challenge", challenge),
    ("condition", condition),
    ("digest", digest),
    ("json", json),
    ("manifest", manifest),
    ("names", names),
    ("range", range),
    ("route", route),
    ("schedule", schedule),
    ("template", template),
];

/// Holds the target `name` against `bytes`.
pub(crate) fn run(name: &str, bytes: &[u8]) {
    let found = ALL.iter().find(|(known, _)| *known == name);
    let (_, target) = found.unwrap_or_else(|| panic!("there is no target {name}"));
    target(bytes);
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The first line, and all after it.
fn first_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// Method, path and query, a line each.
fn route(bytes: &[u8]) {
    let (method, rest) = first_line(text(bytes));
    let (path, query) = first_line(rest);
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let query = Query::parse(Some(query));
    let route = Route::parse(&method, path, &query);
    assert!(!route.name().is_empty());
    for (_, value) in query.pairs() {
        // What is escaped is read back.
        let escaped = format!("a={}", tidegate::http::query::escape(value));
        assert_eq!(Query::parse(Some(&escaped)).first("a"), Some(value));
    }
    let Some(after) = path.strip_prefix("/v2") else { return };
    if let Ok(read) = V2Path::parse(after) {
        let written = match &read {
            V2Path::Base => "/".to_owned(),
            V2Path::Catalog => "/_catalog".to_owned(),
            V2Path::Tags(name) => format!("/{name}/tags/list"),
            V2Path::Manifest(name, reference) => format!("/{name}/manifests/{reference}"),
            V2Path::Blob(name, digest) => format!("/{name}/blobs/{digest}"),
            V2Path::Uploads(name) => format!("/{name}/blobs/uploads/"),
            V2Path::Upload(name, session) => format!("/{name}/blobs/uploads/{session}"),
            V2Path::Referrers(name, digest) => format!("/{name}/referrers/{digest}"),
        };
        assert_eq!(V2Path::parse(&written), Ok(read), "{written}");
    }
}

/// A length, then `Range` or `Content-Range`.
fn range(bytes: &[u8]) {
    let (length, header) = first_line(text(bytes));
    let length: u64 = length.parse().unwrap_or(bytes.len() as u64);
    match download(Some(header), length) {
        Download::Part { first, last } => assert!(first <= last && last < length, "{first}-{last}/{length}"),
        Download::Whole | Download::Unsatisfiable => {}
    }
    if let Ok(chunk) = Chunk::parse(header) {
        assert!(chunk.start <= chunk.end && chunk.bytes() > 0);
        assert_eq!(Chunk::parse(&format!("{}-{}", chunk.start, chunk.end)), Ok(chunk));
    }
}

fn digest(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
        let key = digest.key();
        assert_eq!(Digest::from_key(&key), Some((digest, &[][..])));
        assert_eq!(digest.hex().len(), digest.hash().len() * 2);
    }
    if let Some((digest, rest)) = Digest::from_key(bytes) {
        assert_eq!([&digest.key(), rest].concat(), bytes);
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
    assert_eq!(Digest::sha256_of(bytes).to_string().parse(), Ok(Digest::sha256_of(bytes)));
}

/// A name, a tag, a reference: each of them if it is one.
fn names(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(name) = text.parse::<RepoName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= limits::REPOSITORY_NAME_BYTES && !text.contains("..") && !text.contains("//"));
        assert_eq!(format!("{}/{}", name.namespace(), name.rest()), text);
    }
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(tag.as_str(), text);
        assert!(!text.is_empty() && text.len() <= limits::TAG_BYTES && !text.contains(['/', ':']));
    }
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string(), text);
    }
    let words = warning::text(&warning::header(text)).expect("what we write is a warning");
    assert!(words.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    // Whatever somebody else sends.
    let _ = warning::text(text);
}

/// A content type (or none), then the manifest.
fn manifest(bytes: &[u8]) {
    let split = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (kind, body) = bytes.split_at(split);
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let kind = Some(text(kind)).filter(|kind| !kind.is_empty());
    if let Ok(read) = Manifest::parse(body, kind) {
        let links = &read.links;
        assert!(links.layers.len() + links.foreign.len() <= limits::MANIFEST_ENTRIES);
        assert!(links.children.len() <= limits::MANIFEST_ENTRIES);
        let again = Manifest::parse(body, Some(read.kind.as_str())).expect("it is of the kind that it is of");
        assert_eq!((again.kind, &again.links), (read.kind, links));
        let descriptor = read.descriptor(Digest::sha256_of(body), body.len() as u64);
        assert_eq!(descriptor.size, body.len() as u64);
        assert!(index::entries(body).len() <= limits::MANIFEST_ENTRIES);
    }
    let _ = index::entries(body);
}

/// `WWW-Authenticate`.
fn challenge(bytes: &[u8]) {
    let header = text(bytes);
    let read = challenge::parse(header);
    assert!(read.len() <= header.len());
    for one in &read {
        if let Challenge::Bearer { realm, service, scope } = one {
            assert!(!realm.is_empty() && realm.len() <= header.len());
            // Written with quotes, it is read the same.
            let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let mut written = format!("Bearer realm={}", quoted(realm));
            for (name, value) in [("service", service), ("scope", scope)] {
                if let Some(value) = value {
                    written.push_str(&format!(",{name}={}", quoted(value)));
                }
            }
            if written.len() <= limits::REMOTE_CHALLENGE_BYTES {
                assert_eq!(challenge::parse(&written), std::slice::from_ref(one), "{written}");
            }
        }
    }
}

/// `If-Match`, then `If-None-Match`; an empty line is no header.
fn condition(bytes: &[u8]) {
    let split = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (first, second) = bytes.split_at(split);
    let second = second.strip_prefix(b"\n").unwrap_or(second);
    let header = |line: &'_ [u8]| (!line.is_empty()).then(|| line.to_vec());
    let (first, second) = (header(first), header(second));
    let (some, none) = (Digest::sha256_of(b""), None);
    match Condition::parse(first.as_deref(), second.as_deref()) {
        Ok(condition) => {
            assert_eq!(condition.asks(), first.is_some() || second.is_some());
            if !condition.asks() {
                assert_eq!((condition.unmet(Some(&some)), condition.unmet(none)), (None, None));
            }
            // Nothing is there: only `If-Match` can fail.
            assert_eq!(condition.unmet(none).is_some(), first.is_some());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A schedule, then a time zone.
fn schedule(bytes: &[u8]) {
    let (schedule, zone) = first_line(text(bytes));
    let zone = zone.trim().parse().unwrap_or(chrono_tz::UTC);
    let Ok(read) = Schedule::parse(schedule, zone) else { return };
    assert!(read.as_str().len() <= limits::SCHEDULE_BYTES);
    let again = Schedule::parse(read.as_str(), zone).expect("its own text");
    let mut at = Timestamp::from_micros(1_700_000_000_000_000);
    for _ in 0..3 {
        let Some(next) = read.next_after(at) else { return };
        assert!(next > at && next.micros() % 1_000_000 == 0, "{schedule:?} goes back");
        assert_eq!(again.next_after(at), Some(next));
        at = next;
    }
}

/// A template, then a tag.
fn template(bytes: &[u8]) {
    let (template, tag) = first_line(text(bytes));
    let Ok(read) = template.parse::<Template>() else { return };
    assert!(read.as_str().len() <= limits::TEMPLATE_BYTES);
    assert_eq!(read.as_str().parse::<Template>().as_ref(), Ok(&read));
    let tag: Tag = tag.parse().unwrap_or_else(|_| "1.0".parse().expect("it is a tag"));
    if let Ok(made) = read.expand(&tag, Timestamp::from_micros(1_700_000_000_000_000), chrono_tz::UTC) {
        assert_eq!(made.as_str().parse(), Ok(made.clone()));
        assert!(!read.keeps_name() || made == tag);
    }
}

/// JSON with one reading: nothing in it can be read two ways.
fn json(bytes: &[u8]) {
    const SHAPE: Shape = Shape::Object(&[
        Field("layers", Shape::List(&Shape::Texts)),
        Field("mediaType", Shape::Text),
        Field("size", Shape::Size),
        Field("data", Shape::Base64),
    ]);
    let text = text(bytes);
    if json::check(text, SHAPE).is_err() {
        return;
    }
    assert!(json::check(text, Shape::Any).is_ok(), "any shape is one");
    let mut first = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let Some(Ok(serde_json::Value::Object(members))) = first.next() else { return };
    for (name, value) in &members {
        let known = ["layers", "mediaType", "size", "data"].into_iter().find(|known| known.eq_ignore_ascii_case(name));
        assert!(known.is_none_or(|known| known == name), "{name:?} is another spelling");
        let is_fine = match name.as_str() {
            "layers" => value.is_array(),
            "mediaType" | "data" => value.is_string(),
            "size" => value.as_i64().is_some_and(|size| size >= 0),
            _ => true,
        };
        assert!(is_fine || value.is_null(), "{name}: {value}");
    }
}
