//! Requests that are wrong, to a daemon that runs: each gets the protocol's or
//! DTR's status and code, and words that say what was wrong and what is
//! allowed; and nothing that can be read afterwards has changed.

use serde_json::{Value, json};

use crate::support::{Client, Daemon, Image, PASSWORD, measured, turn};

/// A request and the answer it gets.
struct Case {
    method: &'static str,
    path: String,
    headers: Vec<String>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    /// What the message says, besides anything else.
    words: &'static [&'static str],
}

/// Stands in a password's place in what is sent; no answer and no log may
/// repeat it.
const SECRET: &str = "hunter2-not-to-be-repeated";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn call(
    method: &'static str,
    path: impl Into<String>,
    status: u16,
    code: &'static str,
    words: &'static [&str],
) -> Case {
    Case { method, path: path.into(), headers: Vec::new(), body: Vec::new(), status, code, words }
}

impl Case {
    fn header(mut self, header: impl Into<String>) -> Self {
        self.headers.push(header.into());
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and holds the answer against what is expected.
    fn wrong(&self, client: &Client) -> Option<String> {
        let headers: Vec<&str> = self.headers.iter().map(String::as_str).collect();
        let answer = client.send(self.method, &self.path, &headers, &self.body);
        let told = answer.json();
        let error = &told["errors"][0];
        let (code, message) = (error["code"].as_str().unwrap_or("-"), error["message"].as_str().unwrap_or("-"));
        let is_right = answer.status == self.status
            && code == self.code
            && self.words.iter().all(|words| message.contains(words))
            && told["errors"].as_array().is_some_and(|errors| errors.len() == 1)
            && !answer.text().contains(SECRET);
        let shown: String = self.path.chars().take(100).collect();
        let body: String = String::from_utf8_lossy(&self.body).chars().take(120).collect();
        (!is_right).then(|| format!("{} {shown} {body}\n    {} {code} {message}", self.method, answer.status))
    }
}

#[tokio::test]
async fn wrong_requests_are_told_so_and_change_nothing() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    daemon.cli(&["repository", "create", "dev/website"]).good();
    daemon.cli(&["repository", "create", "qa/website"]).good();
    let image = push(&daemon);
    let client = daemon.admin();
    daemon.cli(&["promotion", "create", "dev/website", "qa/website", "--rule", "tag ew -stable"]).good();
    let kept = client.get("/api/v0/repositories/dev/website/promotionPolicies").is(200).json();
    let kept = kept[0]["id"].as_str().unwrap().to_owned();
    let before = seen(&daemon);
    let cases = [names(), blobs(), manifests(&image), pages(), policies(&kept), management(), accounts()].concat_all();
    let wrong: Vec<String> = cases.iter().filter_map(|case| case.wrong(&client)).collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    measured(&format!("{} wrong requests", cases.len()));
    assert_eq!(seen(&daemon), before, "nothing was written");
    ranges(&client, &image);
    upload_in_disorder(&client);
    assert_eq!(seen(&daemon), before, "nothing was written");
    let said = daemon.said();
    assert!(said.contains("refused") && !said.contains(SECRET), "what is secret is in no log, however wrong it is");
    daemon.stop().await;
}

/// A client that is still sending its two bytes when the refusal comes has to
/// hear it over HTTP/2 as well; curl once lost some of the answers.
#[tokio::test]
async fn a_refusal_of_a_body_that_is_not_read_is_heard_over_http2() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    for _ in 0..50 {
        daemon.admin().send("PUT", "/v2/dev/website/manifests/-beta", &[], b"{}").is(400);
    }
    daemon.stop().await;
}

/// Who is not signed in learns how to, reads the authority's certificate and
/// whether the daemon is well, and nothing else.
#[tokio::test]
async fn strangers_are_served_nothing() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    daemon.cli(&["repository", "create", "dev/website"]).good();
    push(&daemon);
    let nobody = daemon.stranger();
    let wrong = [nobody.signed_in("admin", "not the password"), nobody.signed_in("carol", PASSWORD)];
    for (client, most) in [(&nobody, usize::MAX), (&wrong[0], 4), (&wrong[1], 4)] {
        // Whoever was wrong too often is not told any more.
        for (path, code) in [
            ("/v2/", "UNAUTHORIZED"),
            ("/v2/dev/website/manifests/1.0", "UNAUTHORIZED"),
            ("/api/v0/repositories/dev/website", "NOT_AUTHENTICATED"),
            ("/enzi/v0/accounts", "NOT_AUTHENTICATED"),
            ("/v2/_catalog", "UNAUTHORIZED"),
            ("/v2/Bad//Name/tags/list", "UNAUTHORIZED"),
            ("/v2/dev/nowhere/tags/list", "UNAUTHORIZED"),
        ]
        .into_iter()
        .take(most)
        {
            let answer = client.get(path).is(401);
            assert_eq!(answer.json()["errors"][0]["code"], code, "{path}");
            let way = if path.starts_with("/v2/") { "Bearer realm=\"https://" } else { "Basic " };
            assert!(answer.header("www-authenticate").is_some_and(|said| said.starts_with(way)), "{path}");
        }
    }
    for open in ["/_ping", "/health"] {
        nobody.get(open).is(200);
    }
    assert_eq!(nobody.get("/ca").is(200).body, std::fs::read(daemon.ca()).unwrap());
    daemon.stop().await;
}

trait ConcatAll {
    fn concat_all(self) -> Vec<Case>;
}

impl<const N: usize> ConcatAll for [Vec<Case>; N] {
    fn concat_all(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

/// All that a client can read that a wrong request could have changed, and
/// every blob in the folder.
fn seen(daemon: &Daemon) -> Vec<Value> {
    let client = daemon.admin();
    let mut seen: Vec<Value> = [
        "/v2/_catalog",
        "/v2/dev/website/tags/list",
        "/v2/qa/website/tags/list",
        "/api/v0/repositories",
        "/enzi/v0/accounts",
        "/api/v0/repositories/dev/website/promotionPolicies",
        "/api/v0/repositories/dev/website/pushMirroringPolicies",
        "/api/v0/repositories/dev/website/pollMirroringPolicies",
        "/api/v0/repositories/dev/website/manifests",
        "/api/v0/jobs",
    ]
    .iter()
    .map(|path| client.get(path).is(200).json())
    .collect();
    let verified = daemon.cli(&["--json", "verify"]).good();
    seen.push(serde_json::from_str::<Value>(&verified).unwrap()["checked"].take());
    seen
}

/// Pushes a small image to `dev/website:1.0`.
fn push(daemon: &Daemon) -> Image {
    let (client, image) = (daemon.admin(), Image::new("amd64", "what is there"));
    for blob in &image.blobs {
        let digest = tidegate::oci::Digest::sha256_of(blob);
        client.send("POST", &format!("/v2/dev/website/blobs/uploads/?digest={digest}"), &[], blob).is(201);
    }
    let content_type = format!("Content-Type: {IMAGE}");
    client.send("PUT", "/v2/dev/website/manifests/1.0", &[&content_type], &image.manifest).is(201);
    image
}

fn names() -> Vec<Case> {
    let grammar: &[&str] = &["lower-case", "letters"];
    let uploads = |name: &str| format!("/v2/{name}/blobs/uploads/");
    vec![
        call("POST", uploads("Dev/website"), 400, "NAME_INVALID", grammar),
        call("POST", uploads("dev/web site".replace(' ', "%20").as_str()), 400, "NAME_INVALID", grammar),
        call("POST", uploads("dev/../website"), 400, "NAME_INVALID", grammar),
        call("POST", uploads("dev//website"), 400, "NAME_INVALID", grammar),
        call("POST", uploads("dev/-website"), 400, "NAME_INVALID", grammar),
        call("POST", uploads("website"), 400, "NAME_INVALID", &["namespace/name", "dev/website"]),
        call("POST", uploads(&format!("dev/{}", "x".repeat(300))), 400, "NAME_INVALID", &["at most", "characters"]),
        call("POST", uploads("dev/nowhere"), 404, "NAME_UNKNOWN", &["tidegate repository create dev/nowhere"]),
        call("GET", "/v2/dev/website/manifests/.hidden", 400, "TAG_INVALID", &["1 to 128", "does not begin with"]),
        call("GET", "/v2/dev/website/manifests/a%2Fb", 400, "TAG_INVALID", &["1 to 128"]),
        call("GET", format!("/v2/dev/website/manifests/{}", "x".repeat(129)), 400, "TAG_INVALID", &["1 to 128"]),
        call("GET", "/v2/dev/website/manifests/sha256:abc", 400, "DIGEST_INVALID", &["64", "lower-case hexadecimal"]),
        call("GET", format!("/v2/dev/website/blobs/{}", EMPTY.to_uppercase()), 400, "DIGEST_INVALID", &["sha256"]),
        call(
            "GET",
            "/v2/dev/website/blobs/md5:d41d8cd98f00b204e9800998ecf8427e",
            400,
            "DIGEST_INVALID",
            &["sha256 or sha512"],
        ),
        call("GET", "/v2/dev/website/blobs/nothing", 400, "DIGEST_INVALID", &["<algorithm>:<hex>"]),
        call("PATCH", "/v2/dev/website/manifests/1.0", 405, "UNSUPPORTED", &["GET", "PUT"]),
        call("POST", "/api/v0/repositories/dev", 400, "INVALID_REPOSITORY_NAME", &["Bad Name"])
            .body(r#"{"name":"Bad Name"}"#),
        call("POST", "/api/v0/repositories/dev", 400, "REPOSITORY_EXISTS", &["dev/website"])
            .body(r#"{"name":"website"}"#),
    ]
}

fn blobs() -> Vec<Case> {
    let post = |query: &str| format!("/v2/dev/website/blobs/uploads/?digest={query}");
    vec![
        call(
            "PUT",
            "/v2/dev/website/blobs/uploads/0123456789abcdef0123456789abcdef",
            400,
            "DIGEST_INVALID",
            &["?digest=sha256:"],
        ),
        // A digest that does not match stores nothing.
        call("POST", post(OTHER), 400, "DIGEST_INVALID", &["hashes to sha256:", OTHER]).body("content"),
        call("POST", post("sha256:abc"), 400, "DIGEST_INVALID", &["64"]).body("content"),
        call("POST", "/v2/dev/website/blobs/uploads/?digest-algorithm=md5", 400, "DIGEST_INVALID", &["sha256"]),
        call(
            "PUT",
            format!("/v2/dev/website/blobs/uploads/0123456789abcdef0123456789abcdef?digest={EMPTY}"),
            404,
            "BLOB_UPLOAD_UNKNOWN",
            &["POST"],
        )
        .body("content"),
        call("GET", format!("/v2/dev/website/blobs/{OTHER}"), 404, "BLOB_UNKNOWN", &[OTHER, "dev/website"]),
        call("DELETE", format!("/v2/dev/website/blobs/{OTHER}"), 404, "BLOB_UNKNOWN", &[OTHER]),
    ]
}

fn manifests(image: &Image) -> Vec<Case> {
    let good: Value = serde_json::from_slice(&image.manifest).unwrap();
    let with = |change: fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        manifest.to_string()
    };
    let put = |media_type: &str, body: String, status, code, words| {
        let case = call("PUT", "/v2/dev/website/manifests/bad", status, code, words);
        case.header(format!("Content-Type: {media_type}")).body(body)
    };
    let twice = |field: &str| good.to_string().replacen('{', &format!("{{{field}"), 1);
    const INVALID: &str = "MANIFEST_INVALID";
    vec![
        put(IMAGE, "{".to_owned(), 400, INVALID, &["not valid"]),
        put(IMAGE, "[]".to_owned(), 400, INVALID, &["a manifest is a JSON object"]),
        put(IMAGE, twice(r#""schemaVersion":2,"#), 400, INVALID, &["comes twice"]),
        put(IMAGE, twice(r#""layers":[],"#), 400, INVALID, &["comes twice"]),
        put(IMAGE, r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), 400, INVALID, &["schema 1 is not supported"]),
        put(IMAGE, with(|m| m["manifests"] = json!([])), 400, INVALID, &["`layers`", "`manifests`", "never both"]),
        put(INDEX, with(|_| ()), 400, INVALID, &[IMAGE, INDEX]),
        put(IMAGE, with(|m| m["mediaType"] = json!(INDEX)), 400, INVALID, &[IMAGE, INDEX]),
        put("text/plain", with(|_| ()), 400, INVALID, &["text/plain"]),
        put(IMAGE, with(|m| m["schemaVersion"] = json!(1)), 400, INVALID, &["schemaVersion must be 2"]),
        put(
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "{\"schemaVersion\":1}".to_owned(),
            400,
            INVALID,
            &["schema 1 is not supported"],
        ),
        put(IMAGE, with(|m| drop(m.as_object_mut().unwrap().remove("config"))), 400, INVALID, &["config"]),
        put(IMAGE, with(|m| m["layers"][0]["digest"] = json!("sha256:abc")), 400, INVALID, &["64"]),
        put(
            IMAGE,
            with(|m| m["layers"][0]["digest"] = json!(EMPTY)),
            404,
            "MANIFEST_BLOB_UNKNOWN",
            &[EMPTY, "push or mount"],
        ),
        put(IMAGE, format!("{{\"x\":\"{}\"}}", "x".repeat(4 << 20)), 413, INVALID, &["4194304"]),
        call("PUT", format!("/v2/dev/website/manifests/{EMPTY}"), 400, "DIGEST_INVALID", &["hashes to", EMPTY])
            .header(format!("Content-Type: {IMAGE}"))
            .body(good.to_string()),
        call("PUT", "/v2/dev/website/manifests/-bad", 400, "TAG_INVALID", &["1 to 128"])
            .header(format!("Content-Type: {IMAGE}"))
            .body(good.to_string()),
        call("GET", "/v2/dev/website/manifests/absent", 404, "MANIFEST_UNKNOWN", &["absent", "dev/website"]),
        call("DELETE", "/v2/dev/website/manifests/absent", 404, "MANIFEST_UNKNOWN", &["absent"]),
    ]
}

fn pages() -> Vec<Case> {
    vec![
        call("GET", "/v2/_catalog?n=many", 400, "UNSUPPORTED", &["`n`", "whole number"]),
        call("GET", "/v2/dev/website/tags/list?n=-1", 400, "UNSUPPORTED", &["`n`", "whole number"]),
        call("GET", "/api/v0/jobs?limit=some", 400, "INVALID_PARAMETERS", &["limit", "some"]),
        call("GET", "/api/v0/nothing", 404, "NOT_FOUND", &[]),
    ]
}

/// Policies that make no sense: a promotion in each of the three ways it is
/// sent (to be saved, to be tried, in place of the one that is `kept`), a
/// mirror in both directions.
fn policies(kept: &str) -> Vec<Case> {
    let here = "/api/v0/repositories/dev/website";
    let rule = |field: &str, operator: &str, values: Value| json!({"rules": [{"field": field, "operator": operator, "values": values}]});
    let many_rules = json!({"rules": vec![json!({"field": "tag", "operator": "eq", "values": ["x"]}); 65]});
    let of_all: [(Value, &'static [&'static str]); 8] = [
        (rule("tga", "eq", json!(["x"])), &["\"tga\" is no field", "\"tag\""]),
        (rule("license.name", "eq", json!(["x"])), &["\"tag\""]),
        (rule("tag", "like", json!(["x"])), &["rule 1", "\"like\" is no operator", "eq (equals)", "noo (not one of)"]),
        (rule("tag", "eq", json!([])), &["\"values\" is empty"]),
        (rule("tag", "eq", json!([""])), &["value 1 is empty"]),
        (rule("tag", "eq", json!(["x".repeat(513)])), &["at most 512"]),
        (json!({"tagTemplate": "%q"}), &["%q", "character 1"]),
        (json!({"timeZone": "Mars/Olympus"}), &["Mars/Olympus", "IANA"]),
    ];
    let of_promotions: [(Value, &'static [&'static str]); 8] = [
        (rule("tag", "oo", json!(vec!["x"; 257])), &["at most 256"]),
        (many_rules, &["at most 64 rules"]),
        (json!({"tagTemplate": "100%"}), &["single %"]),
        (json!({"tagTemplate": "x".repeat(300)}), &["at most 256"]),
        (json!({"tagTemplate": "a/b"}), &["may not stand in a tag"]),
        (json!({"tagTemplate": "-%n"}), &["begins with"]),
        (json!({"targetRepository": "Bad/website"}), &["Bad", "lower-case"]),
        (json!({"targetRepository": "website"}), &["at least two parts"]),
    ];
    let of_mirrors: [(Value, &'static [&'static str]); 11] = [
        (json!({"remoteHost": "ftp://example.invalid"}), &["ftp", "https"]),
        (
            json!({"remoteHost": format!("https://edge:{SECRET}@example.invalid")}),
            &["remoteHost", "in their own fields"],
        ),
        (json!({"remoteHost": "https://example.invalid/v2"}), &["only the scheme, the host and the port"]),
        (json!({"remoteHost": "example.invalid:99999"}), &["from 1 to 65535"]),
        (json!({"remoteHost": "regi stry"}), &["is no host"]),
        (json!({"remoteHost": ""}), &["remoteHost"]),
        (json!({"remoteRepository": "Bad Name"}), &["remoteRepository"]),
        (json!({"remoteRepository": "dev/website:1.0"}), &["without host, tag or digest"]),
        (json!({"remoteRepository": "x".repeat(300)}), &["at most 200"]),
        (json!({"remoteCA": "no certificate"}), &["remoteCA", "PEM certificates"]),
        (json!({"remoteCA": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}), &["not a valid X.509"]),
    ];
    let of_pulls: [(Value, &'static [&'static str]); 10] = [
        (json!({"schedule": "every day"}), &["schedule"]),
        (json!({"schedule": "whenever"}), &["five (minute, hour"]),
        (json!({"schedule": "* * * * * * *"}), &["7 fields; a schedule has five"]),
        (json!({"schedule": "61 * * * *"}), &["schedule", "61", "0 to 59"]),
        (json!({"schedule": "0 0 30 2 *"}), &["schedule", "never fires"]),
        (json!({"schedule": "@fortnightly"}), &["use @hourly"]),
        (json!({"schedule": "@every 0s"}), &["schedule", "from 1s to", "@every 1h30m"]),
        (json!({"schedule": "x".repeat(600)}), &["at most 512"]),
        (json!({"tagTemplate": "latest"}), &["holds %n"]),
        (json!({"tagTemplate": "%n-%Y"}), &["only %n and text"]),
    ];
    let mut cases = Vec::new();
    for (change, words) in of_all.iter().chain(&of_promotions) {
        let mut body = json!({"targetRepository": "qa/website"});
        merge(&mut body, change.clone());
        for (method, tail) in [("POST", String::new()), ("POST", "/test".to_owned()), ("PUT", format!("/{kept}"))] {
            let path = format!("{here}/promotionPolicies{tail}");
            cases.push(call(method, path, 400, "INVALID_PROMOTION_POLICY", words).body(body.to_string()));
        }
    }
    let mirror = |kind: &str, code: &'static str, (change, words): &(Value, &'static [&'static str])| {
        let mut body = json!({"remoteHost": "https://127.0.0.1:1", "remoteRepository": "a/b", "password": SECRET});
        merge(&mut body, change.clone());
        call("POST", format!("{here}/{kind}"), 404, code, words).body(body.to_string())
    };
    for wrong in of_all.iter().chain(&of_mirrors) {
        cases.push(mirror("pushMirroringPolicies", "INVALID_PUSH_MIRRORING_POLICY", wrong));
    }
    for wrong in of_all.iter().chain(&of_mirrors).chain(&of_pulls) {
        cases.push(mirror("pollMirroringPolicies", "INVALID_POLL_MIRRORING_POLICY", wrong));
    }
    cases
}

/// Calls of the management API around the policies.
fn management() -> Vec<Case> {
    let at = |tail: &str| format!("/api/v0/repositories/dev/website{tail}");
    let promotions = at("/promotionPolicies");
    let target = r#"{"rules":[],"targetRepository":"qa/website"}"#;
    let post = |path: &str, status, code, words, body: &str| call("POST", path, status, code, words).body(body);
    let make = |status, code, words, body: &str| post("/api/v0/repositories/dev", status, code, words, body);
    vec![
        make(400, "INVALID_REPOSITORY_NAME", &["lower-case"], r#"{"name":"a//b"}"#),
        make(400, "INVALID_REPOSITORY_NAME", &["at most 200"], &format!(r#"{{"name":"{}"}}"#, "x".repeat(300))),
        make(400, "INVALID_JSON", &["`name` is missing"], "{}"),
        make(400, "INVALID_JSON", &["`name` takes a text"], r#"{"name":7}"#),
        make(400, "INVALID_REPOSITORY_VISIBILITY", &["\"public\" or \"private\""], r#"{"name":"n","visibility":"x"}"#),
        post("/api/v0/repositories/nobody", 404, "NO_SUCH_ACCOUNT", &["nobody"], r#"{"name":"new"}"#),
        post("/api/v0/repositories/dev/none/promotionPolicies", 404, "NO_SUCH_REPOSITORY", &["dev/none"], target),
        post(&promotions, 404, "NO_SUCH_REPOSITORY", &["qa/none"], r#"{"rules":[],"targetRepository":"qa/none"}"#),
        post(&promotions, 400, "INVALID_PROMOTION_POLICY", &["give the repository to promote to"], "{}"),
        post(
            &promotions,
            400,
            "INVALID_PROMOTION_POLICY",
            &["`rules` is missing"],
            r#"{"targetRepository":"qa/website"}"#,
        ),
        post(&promotions, 400, "INVALID_JSON", &["not what this call takes"], "{"),
        post(&promotions, 400, "INVALID_JSON", &["expected"], "not json"),
        post(&promotions, 413, "INVALID_JSON", &["1048576"], &" ".repeat(1_048_577)),
        post(&at("/promotionPolicies?initialEvaluation=maybe"), 400, "INVALID_PARAMETERS", &["true nor false"], target),
        post(&at("/tags/1.0/promotion"), 400, "INVALID_JSON", &["`targetRepository` is missing"], "{}"),
        post(
            &at("/tags/1.0/promotion"),
            400,
            "INVALID_PARAMETERS",
            &["two parts"],
            r#"{"targetRepository":"website"}"#,
        ),
        post(
            &at("/tags/1.0/promotion"),
            400,
            "INVALID_TAG_NAME",
            &["1 to 128"],
            r#"{"targetRepository":"qa/website","targetTag":"-x"}"#,
        ),
        post(&at("/tags/none/promotion"), 404, "NO_SUCH_TAG", &["none"], target),
        post("/api/v0/jobs", 400, "INVALID_PARAMETERS", &["nothing_known"], r#"{"action":"nothing_known"}"#),
        call("GET", "/api/v0/jobs/nonsense", 404, "NO_SUCH_JOB", &["no such job"]),
        call("GET", "/api/v0/repositories/dev/WEB", 404, "NO_SUCH_REPOSITORY", &["lower-case"]),
        call("DELETE", at("/manifests/md5:00"), 400, "INVALID_DIGEST", &["sha256 or sha512"]),
        call("GET", at("/promotionPolicies/nonsense"), 404, "NO_SUCH_PROMOTION_POLICY", &["dev/website"]),
        call("GET", "/api/v0/nothing", 404, "NOT_FOUND", &["nothing at this path"]),
        call("PATCH", promotions.as_str(), 405, "NOT_ALLOWED", &["GET, POST"]).body("{}"),
    ]
}

fn merge(body: &mut Value, change: Value) {
    if let (Value::Object(body), Value::Object(change)) = (body, change) {
        body.extend(change);
    }
}

fn accounts() -> Vec<Case> {
    let make =
        |body: &'static str, status, code, words| call("POST", "/enzi/v0/accounts", status, code, words).body(body);
    vec![
        make("{}", 400, "INVALID_JSON", &["`name` is missing"]),
        make(r#"{"name":"carol"}"#, 400, "INVALID_PASSWORD", &["needs a password"]),
        make(r#"{"name":"carol","password":"short"}"#, 400, "INVALID_PASSWORD", &["at least"]),
        make(r#"{"name":"Carol!","password":"a long password"}"#, 400, "INVALID_ACCOUNT_NAME", &["lower-case"]),
        make(r#"{"name":"admin","password":"a long password"}"#, 400, "ACCOUNT_EXISTS", &["admin"]),
    ]
}

/// A range beyond the blob is 416 with its size; one that is no range is none.
fn ranges(client: &Client, image: &Image) {
    let path = format!("/v2/dev/website/blobs/{}", image.config_digest());
    let size = image.blobs[0].len();
    // The conformance program wants the second refused as well.
    for beyond in [format!("bytes={size}-"), "bytes=9-1".to_owned()] {
        let answer = client.send("GET", &path, &[&format!("Range: {beyond}")], b"").is(416);
        assert_eq!(answer.header("content-range"), Some(&*format!("bytes */{size}")));
        assert!(answer.text().contains(&format!("{size} bytes")), "{}", answer.text());
    }
    for none in ["bytes=x-y", "lines=1-2", "bytes="] {
        let whole = client.send("GET", &path, &[&format!("Range: {none}")], b"").is(200);
        assert_eq!(whole.body, image.blobs[0], "{none}");
    }
}

/// Chunks that are not what they say: 416, and the session goes on from where
/// it stands; a digest that does not match ends it.
fn upload_in_disorder(client: &Client) {
    let begun = client.send("POST", "/v2/dev/website/blobs/uploads/", &[], b"").is(202);
    let at = begun.header("location").unwrap().to_owned();
    for (range, words) in
        [("5-9", "begins at 0"), ("0-3", "says it has 4"), ("4-0", "<start>-<end>"), ("x", "<start>-<end>")]
    {
        let answer = client.send("PATCH", &at, &[&format!("Content-Range: {range}")], b"chunk").is(416);
        assert_eq!(answer.json()["errors"][0]["code"], "RANGE_INVALID");
        assert!(answer.text().contains(words), "{range}: {}", answer.text());
        assert_eq!(client.get(&at).is(204).header("range"), Some("0-0"), "{range}");
    }
    client.send("PATCH", &at, &["Content-Range: 0-4"], b"chunk").is(202);
    for (range, words) in [("7-11", "begins at 5"), ("0-4", "begins at 5"), ("5-100", "says it has 96 bytes and has 5")]
    {
        let answer = client.send("PATCH", &at, &[&format!("Content-Range: {range}")], b"later").is(416);
        assert!(answer.text().contains(words), "{range}: {}", answer.text());
        assert_eq!((answer.header("range"), answer.header("location")), (Some("0-4"), Some(&*at)), "{range}");
    }
    let went_on = client.send("PATCH", &at, &["Content-Range: 5-9"], b"later").is(202);
    assert_eq!(went_on.header("range"), Some("0-9"), "a refused chunk leaves the session where it stood");
    let wrong = client.send("PUT", &format!("{at}?digest={EMPTY}"), &[], b"").is(400);
    assert_eq!(wrong.json()["errors"][0]["code"], "DIGEST_INVALID");
    client.send("DELETE", &at, &[], b"");
    client.get(&at).is(404);
    client.get(&format!("/v2/dev/website/blobs/{EMPTY}")).is(404);
}
