//! Secrets never leave: one of its own kind goes down every way that takes one,
//! with the daemon saying all it can say; then none of them is found in its log,
//! its answers, its metrics, its files or its backup, in any form.
//!
//! What may hold a secret, and why:
//!
//! - the answer that makes a token, a robot or a session: it is shown once;
//! - `sealing.key`, `sealing.added.key`, `token.key` and `tls/ca.key`: they are
//!   the keys, and are looked at for canaries all the same;
//! - the answer that refuses a *name* in a path: it repeats the name to whoever
//!   sent it, and nobody else reads it.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};
use tidegate::chance::Chance;
use tidegate::oci::Digest;

use crate::support::{
    ADMIN, Answer, Client, Daemon, PASSWORD, Parrot, ParrotSecrets, Ran, Run as _, TIDEGATE, bounded, turn, until,
};

/// How many bytes of a form it is found by.
const START: usize = 8;
/// How long mirrors may take to fail.
const PATIENCE: Duration = Duration::from_secs(60);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The secrets, each with the way that it goes.
#[derive(Default)]
struct Canaries(Vec<(String, String)>);

/// Texts and files that are looked through, each with where it is from.
#[derive(Default)]
struct Haystack(Vec<(String, Vec<u8>)>);

impl Canaries {
    /// A new one.
    fn make(&mut self, way: &str) -> String {
        let random = Chance::system().id().to_string().replace('-', "");
        let secret = format!("Cn{:02}/{}+z", self.0.len(), &random[..20]);
        self.know(way, &secret);
        secret
    }

    /// One that was made elsewhere.
    fn know(&mut self, way: &str, secret: &str) {
        self.0.push((way.to_owned(), secret.to_owned()));
    }
}

impl Haystack {
    fn add(&mut self, from: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((from.into(), bytes.into()));
    }

    fn answer(&mut self, from: &str, answer: &Answer) {
        let headers: Vec<String> = answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        self.add(format!("{from} (headers)"), headers.join("\n"));
        self.add(from, answer.body.clone());
    }

    fn ran(&mut self, from: &str, ran: &Ran) {
        self.add(from, format!("{}\n{}", ran.out, ran.err));
    }

    /// Every file below `folder`.
    fn folder(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.folder(&path);
            } else if path.is_file() {
                self.add(path.display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }

    /// What is found of `canaries`: where, and by which way it came.
    fn find(&self, canaries: &Canaries) -> Vec<String> {
        let needles = Needles::of(canaries);
        let mut found = Vec::new();
        for (from, hay) in &self.0 {
            for (at, needle) in needles.all_in(hay) {
                found.push(format!("{}: {} in {from}{}", needle.way, needle.form, around(hay, at, needle.bytes.len())));
            }
        }
        found
    }
}

/// One form of one secret.
struct Needle {
    way: String,
    form: &'static str,
    bytes: Vec<u8>,
}

/// All of them, by how they begin: what is looked through is large.
struct Needles {
    all: Vec<Needle>,
    /// Whether any begins with these two bytes.
    pairs: Vec<bool>,
    /// Which ones begin with these.
    starts: HashMap<[u8; START], Vec<usize>>,
}

impl Needles {
    fn of(canaries: &Canaries) -> Self {
        let mut found = Self { all: Vec::new(), pairs: vec![false; 1 << 16], starts: HashMap::new() };
        for (way, secret) in &canaries.0 {
            for (form, bytes) in forms(secret) {
                found.pairs[usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))] = true;
                let start = *bytes.first_chunk().expect("longer than that");
                found.starts.entry(start).or_default().push(found.all.len());
                found.all.push(Needle { way: way.clone(), form, bytes });
            }
        }
        found
    }

    /// The first place of each that is in `hay`.
    fn all_in<'a>(&'a self, hay: &[u8]) -> Vec<(usize, &'a Needle)> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for (at, window) in hay.windows(START).enumerate() {
            if !self.pairs[usize::from(u16::from_be_bytes([window[0], window[1]]))] {
                continue;
            }
            let Some(start) = window.first_chunk::<START>().and_then(|start| self.starts.get(start)) else { continue };
            for index in start {
                let needle = &self.all[*index];
                if hay[at..].starts_with(&needle.bytes) && seen.insert(*index) {
                    found.push((at, needle));
                }
            }
        }
        found
    }
}

/// What to look for: the secret as it is, escaped, in hexadecimal digits, and in
/// base64 wherever it stands in what was encoded.
fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let json = Value::from(secret).to_string();
    let mut forms = vec![
        ("itself", secret.to_owned()),
        ("itself in lower case", secret.to_ascii_lowercase()),
        ("JSON", json[1..json.len() - 1].to_owned()),
        ("escaped", percent_encode(bytes, NON_ALPHANUMERIC).to_string()),
        ("hexadecimal", hex::encode(bytes)),
        ("HEXADECIMAL", hex::encode_upper(bytes)),
    ];
    for before in 0..3 {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(bytes);
        let encoded = STANDARD_NO_PAD.encode(&shifted);
        // Letters that hold bits of a neighbour say nothing.
        let (from, to) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
        let inner = &encoded[from..to];
        forms.push(("base64", inner.to_owned()));
        forms.push(("base64url", inner.replace('+', "-").replace('/', "_")));
    }
    forms.into_iter().map(|(form, text)| (form, text.into_bytes())).collect()
}

/// A little of what stands around it, without it.
fn around(hay: &[u8], at: usize, length: usize) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(|letter: char| letter.is_control(), " ");
    let (before, after) = (&hay[at.saturating_sub(120)..at], &hay[at + length..]);
    format!(" [… {} (here) {} …]", text(before), text(&after[..after.len().min(60)]))
}

/// The test itself can tell: each form is found where it stands.
#[test]
fn a_secret_is_found_in_every_form() {
    let mut canaries = Canaries::default();
    let secret = canaries.make("a test");
    let pair = format!("ann:{secret}");
    for said in [
        format!("password={secret:?}"),
        json!({ "sent": secret }).to_string(),
        STANDARD.encode(&pair),
        STANDARD.encode(format!("a:{secret}:x")),
        STANDARD.encode(&secret),
        base64::engine::general_purpose::URL_SAFE.encode(format!("xy{secret}")),
        hex::encode(&pair),
        percent_encode(pair.as_bytes(), NON_ALPHANUMERIC).to_string(),
    ] {
        let mut hay = Haystack::default();
        hay.add("a line", format!("a line with {said} in it"));
        assert!(!hay.find(&canaries).is_empty(), "{said}");
    }
    let mut hay = Haystack::default();
    hay.add("a line", "Cn00/ is the start of all of them");
    assert!(hay.find(&canaries).is_empty());
}

/// Everything that plays a part.
struct Stage<'a> {
    daemon: &'a Daemon,
    canaries: Canaries,
    hay: Haystack,
}

#[tokio::test]
async fn no_secret_leaves() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_tracing(folder.path()).await;
    let mut stage = Stage { daemon: &daemon, canaries: Canaries::default(), hay: Haystack::default() };
    for repository in ["dev/app", "dev/pulled"] {
        daemon.cli(&["repository", "create", repository]).good();
    }
    push(&daemon.admin());

    stage.passwords();
    stage.wrong_passwords();
    stage.tokens();
    stage.malformed_headers();
    stage.malformed_bodies();
    let parrot = stage.mirrors().await;
    stage.addresses(&parrot);
    stage.command_line();
    let heard = parrot.heard();
    assert!(heard.len() >= 3, "the other side was signed in at: {}", heard.len());

    stage.look_everywhere(folder.path());
    let log = daemon.said();
    assert!(log.contains("TRACE") && log.len() > 100_000, "the log says all it can: {} bytes", log.len());
    stage.hay.add("the log", log);
    let Stage { canaries, hay, .. } = stage;
    assert!(canaries.0.len() >= 40, "{}", canaries.0.len());
    let found = hay.find(&canaries);
    let pieces = hay.0.len();
    assert!(found.is_empty(), "{} leaks in {pieces} places:\n{}", found.len(), found.join("\n"));
    println!("{} secrets, {pieces} places, no leak", canaries.0.len());
    daemon.stop().await;
    // What a clean stop writes.
    let mut rest = Haystack::default();
    rest.folder(&folder.path().join("tidegate"));
    assert_eq!(rest.find(&canaries), Vec::<String>::new());
}

/// Puts an image into `dev/app`.
fn push(client: &Client) {
    for blob in [&b"{}"[..], b"layer"] {
        let digest = Digest::sha256_of(blob);
        client.send("POST", &format!("/v2/dev/app/blobs/uploads/?digest={digest}"), &[], blob).is(201);
    }
    let link =
        |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": Digest::sha256_of(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": link("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [link("application/vnd.oci.image.layer.v1.tar", b"layer")],
    });
    let kind = format!("Content-Type: {MANIFEST}");
    client.send("PUT", "/v2/dev/app/manifests/1.0", &[&kind], manifest.to_string().as_bytes()).is(201);
}

impl Stage<'_> {
    /// Sends something, and keeps the answer to be looked through.
    fn send(&mut self, client: &Client, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let answer = client.send(method, path, headers, body.as_bytes());
        self.hay.answer(&format!("the answer to {method} {}", path.split('?').next().unwrap_or_default()), &answer);
        answer
    }

    fn passwords(&mut self) {
        let admin = self.daemon.admin();
        let amy = self.canaries.make("account create --password-stdin");
        let ran = self.daemon.cli_with(&["account", "create", "amy", "--password-stdin"], &amy);
        self.hay.ran("account create", &ran);
        ran.good();
        let ben = self.canaries.make("POST accounts");
        let form = json!({"name": "ben", "password": ben}).to_string();
        self.send(&admin, "POST", "/enzi/v0/accounts", &[], &form).is(201);
        let (newer, wrong) = (self.canaries.make("changePassword"), self.canaries.make("a wrong old password"));
        let client = self.daemon.stranger().signed_in("ben", &ben);
        let change = |old: &str, new: &str| json!({"oldPassword": old, "newPassword": new}).to_string();
        self.send(&client, "POST", "/enzi/v0/accounts/ben/changePassword", &[], &change(&wrong, &newer)).is(400);
        self.send(&client, "POST", "/enzi/v0/accounts/ben/changePassword", &[], &change(&ben, &newer)).is(200);
        let ben = newer;
        let client = self.daemon.stranger().signed_in("ben", &ben);
        self.send(&client, "GET", "/enzi/v0/id", &[], "").is(200);
        let (imported, hash) = (self.canaries.make("importAccounts"), self.canaries.make("a password's hash"));
        let form = json!({"accounts": [{"name": "cid", "password": imported}]}).to_string();
        self.send(&admin, "POST", "/enzi/v0/admin/importAccounts", &[], &form);
        let form = json!({"accounts": [{"name": "dee", "passwordHash": format!("$2a$10${hash}")}]}).to_string();
        self.send(&admin, "POST", "/enzi/v0/admin/importAccounts", &[], &form);
        let short = self.canaries.make("a password that is too long");
        let form = json!({"name": "eve", "password": short.repeat(400)}).to_string();
        self.send(&admin, "POST", "/enzi/v0/accounts", &[], &form).is(400);
    }

    fn wrong_passwords(&mut self) {
        let stranger = self.daemon.stranger();
        let basic = self.canaries.make("a wrong password by Basic");
        self.send(&stranger.signed_in("amy", &basic), "GET", "/v2/", &[], "").is(401);
        let nobody = self.canaries.make("a password of nobody");
        self.send(&stranger.signed_in("nobody", &nobody), "GET", "/api/v0/repositories", &[], "").is(401);
        let name = self.canaries.make("a password where the name belongs");
        self.send(&stranger.signed_in(&name, "x"), "GET", "/v2/", &[], "").is(401);
        self.send(&stranger.signed_in(&name, "x"), "GET", "/auth/token", &[], "").is(401);
        for (way, path) in [("/auth/login", "/auth/login"), ("/enzi/v0/id/login", "/enzi/v0/id/login")] {
            let wrong = self.canaries.make(way);
            let form = json!({"username": "amy", "password": wrong}).to_string();
            self.send(&stranger, "POST", path, &[], &form).is(401);
        }
        let wrong = self.canaries.make("a wrong password in the form of /auth/token");
        let form = format!("grant_type=password&username=amy&password={}", escaped(&wrong));
        let kind = ["Content-Type: application/x-www-form-urlencoded"];
        self.send(&stranger, "POST", "/auth/token", &kind, &form).is(401);
        let wrong = self.canaries.make("a refresh token that is none");
        let form = format!("grant_type=refresh_token&refresh_token={}", escaped(&wrong));
        self.send(&stranger, "POST", "/auth/token", &kind, &form).is(401);
        let wrong = self.canaries.make("a form with a password and no grant");
        self.send(&stranger, "POST", "/auth/token", &kind, &format!("password={}", escaped(&wrong)));
    }

    /// Tokens that the daemon makes: their answers are not looked through.
    fn tokens(&mut self) {
        let (admin, stranger) = (self.daemon.admin(), self.daemon.stranger());
        let text = |answer: &Answer, field: &str| answer.json()[field].as_str().expect(field).to_owned();
        let access = self.daemon.cli(&["token", "create", "--user", "amy"]).good().trim().to_owned();
        self.canaries.know("an access token", &access);
        self.send(&stranger.signed_in("amy", &access), "GET", "/enzi/v0/id", &[], "").is(200);
        self.send(&stranger.signed_in(&access, "x"), "GET", "/enzi/v0/id", &[], "").is(401);
        self.send(&stranger, "GET", "/enzi/v0/id", &[&format!("Authorization: Bearer {access}")], "").is(200);
        self.send(&stranger, "GET", &format!("/enzi/v0/id?refresh_token={access}"), &[], "").is(200);
        let made = self.daemon.cli(&["robot", "create", "dev+ci", "--scope", "dev/*:push"]).good().trim().to_owned();
        self.canaries.know("a robot's token", &made);
        self.send(&stranger.signed_in("dev+ci", &made), "GET", "/v2/dev/app/tags/list", &[], "").is(200);
        let login = json!({"username": ADMIN, "password": PASSWORD}).to_string();
        let session = stranger.send("POST", "/auth/login", &[], login.as_bytes()).is(200);
        let session = text(&session, "auth_token");
        self.canaries.know("a session", &session);
        self.send(&stranger, "GET", &format!("/enzi/v0/accounts?refresh_token={session}"), &[], "").is(200);
        let kept = admin.get("/auth/token?offline_token=true&client_id=docker").is(200);
        let (refresh, bearer) = (text(&kept, "refresh_token"), text(&kept, "token"));
        self.canaries.know("a refresh token", &refresh);
        self.canaries.know("a bearer token", &bearer);
        let form = format!("grant_type=refresh_token&refresh_token={refresh}");
        let kind = ["Content-Type: application/x-www-form-urlencoded"];
        let again = stranger.send("POST", "/auth/token", &kind, form.as_bytes()).is(200);
        self.canaries.know("another bearer token", &text(&again, "access_token"));
        self.send(&stranger, "GET", "/v2/_catalog", &[&format!("Authorization: Bearer {bearer}")], "").is(200);
        let forged = format!("{}x", &bearer[..bearer.len() - 9]);
        self.send(&stranger, "GET", "/v2/_catalog", &[&format!("Authorization: Bearer {forged}")], "").is(401);
        // A token's text where its hash belongs.
        self.send(&admin, "GET", &format!("/api/v0/api_tokens/{access}"), &[], "").is(404);
    }

    fn malformed_headers(&mut self) {
        let stranger = self.daemon.stranger();
        for (way, header) in [
            ("Basic that is no base64", "Authorization: Basic *"),
            ("Basic without a colon", "Authorization: Basic @"),
            ("Bearer that is none", "Authorization: Bearer *"),
            ("another scheme", "Authorization: Token *"),
            ("no scheme", "Authorization: *"),
            ("a cookie", "Cookie: session=*"),
            ("a header of another registry", "X-Registry-Auth: *"),
            ("a proxy's header", "Proxy-Authorization: Basic @"),
        ] {
            let secret = self.canaries.make(way);
            let header = header.replace('*', &secret).replace('@', &STANDARD.encode(&secret));
            for path in ["/v2/", "/api/v0/repositories", "/auth/token", "/health"] {
                self.send(&stranger, "GET", path, &[&header], "");
            }
        }
        let secrets = [self.canaries.make("the first of two headers"), self.canaries.make("the second of two")];
        let two = secrets.map(|secret| format!("Authorization: Bearer {secret}"));
        self.send(&stranger, "GET", "/v2/", &[&two[0], &two[1]], "").is(401);
        let long = self.canaries.make("a token that is too long").repeat(300);
        self.send(&stranger, "GET", "/v2/", &[&format!("Authorization: Bearer {long}")], "");
        for name in ["password", "token", "access_token", "refresh_token", "auth", "limit%20"] {
            let secret = self.canaries.make(&format!("?{name}="));
            for path in ["/v2/_catalog", "/api/v0/repositories", "/auth/token", "/nothing"] {
                self.send(&stranger, "GET", &format!("{path}?{name}={}", escaped(&secret)), &[], "");
            }
        }
    }

    fn malformed_bodies(&mut self) {
        let admin = self.daemon.admin();
        let mirrors = "/api/v0/repositories/dev/app/pushMirroringPolicies";
        for path in ["/enzi/v0/accounts", "/auth/login", mirrors, "/api/v0/remote/registry"] {
            for (way, body) in [
                ("a password that is an object", r#"{"name":"fay","password":{"value":"*"}}"#),
                ("a password that is a list", r#"{"name":"fay","password":["*"]}"#),
                ("a flag that is a secret", r#"{"name":"fay","isAdmin":"*","enabled":"*","rules":"*"}"#),
                ("a wrong name beside it", r#"{"name":5,"username":5,"remoteHost":5,"password":"*"}"#),
                ("a body that is cut", r#"{"name":"fay","password":"*"#),
                ("a password twice", r#"{"password":"*","password":"*"}"#),
                ("a body that is the secret", r#""*""#),
                ("a body that is no JSON", "*"),
                ("fields that nobody knows", r#"{"name":"-","remoteHost":"","passwd":"*","pass":"*","secret":"*"}"#),
            ] {
                let secret = self.canaries.make(&format!("{path}: {way}"));
                self.send(&admin, "POST", path, &[], &body.replace('*', &secret));
            }
            let secret = self.canaries.make(&format!("{path}: a body that is too large"));
            let body = json!({"name": "fay", "password": secret, "more": "x".repeat(3_000_000)}).to_string();
            self.send(&admin, "POST", path, &[], &body);
        }
    }

    /// Mirrors with credentials to a registry that repeats all it is sent.
    async fn mirrors(&mut self) -> Parrot {
        let own = ParrotSecrets {
            token: self.canaries.make("the other side's token").replace(['/', '+'], "-"),
            refresh: self.canaries.make("the other side's refresh token"),
            userinfo: self.canaries.make("a password in a redirect").replace('/', "-"),
            signature: self.canaries.make("a signature in a redirect"),
        };
        for (way, secret) in [("the other side's token", &own.token), ("a password in a redirect", &own.userinfo)] {
            self.canaries.know(way, secret);
        }
        let parrot = Parrot::start(own);
        let admin = self.daemon.admin();
        let mut made = 0;
        for (repository, kind) in [("dev/app", "pushMirroringPolicies"), ("dev/pulled", "pollMirroringPolicies")] {
            for there in ["error", "json", "names", "type", "redirect", "signed"] {
                for field in ["password", "authToken"] {
                    let secret = self.canaries.make(&format!("{kind} {there} {field}"));
                    let form = json!({
                        "remoteHost": parrot.url(), "remoteRepository": format!("parrot/{there}"),
                        "username": "ann", field: secret,
                    });
                    self.send(&admin, "POST", "/api/v0/remote/registry", &[], &form.to_string());
                    let path = format!("/api/v0/repositories/{repository}/{kind}");
                    self.send(&admin, "POST", &path, &[], &form.to_string());
                    let path = format!("{path}?check=false");
                    self.send(&admin, "POST", &path, &[], &form.to_string()).is(201);
                    made += 1;
                }
            }
        }
        let by_hand = self.canaries.make("a tag by hand");
        let form = json!({
            "remoteHost": parrot.url(), "remoteRepository": "parrot/error", "username": "ann", "password": by_hand,
        });
        let path = "/api/v0/repositories/dev/app/tags/1.0/pushMirroring";
        self.send(&admin, "POST", path, &[], &form.to_string());
        let tried = || {
            let failed = |repository: &str| {
                let list = admin.get(&format!("/api/v0/repositories/{repository}/mirroringPolicies?limit=100"));
                let all = list.is(200).json();
                all.as_array().expect("a list").iter().filter(|one| one["lastStatus"]["code"] != "").count()
            };
            failed("dev/app") + failed("dev/pulled") >= made
        };
        until("every mirror has tried", PATIENCE, tried).await;
        parrot
    }

    /// Passwords in addresses, and keys among certificates.
    fn addresses(&mut self, parrot: &Parrot) {
        let admin = self.daemon.admin();
        let at = parrot.url().trim_start_matches("http://").to_owned();
        for (way, host) in [
            ("https://user:password@host", "https://bob:*@registry.example"),
            ("user:password@host", "bob:*@registry.example"),
            ("a password that begins like a port", "https://bob:1*@registry.example"),
            ("http with a password", &format!("http://bob:*@{at}")),
            ("a password behind the host", "https://registry.example/x?password=*@y"),
        ] {
            let secret = self.canaries.make(way);
            let form = json!({"remoteHost": host.replace('*', &secret), "remoteRepository": "a/b"}).to_string();
            for path in [
                "/api/v0/remote/registry",
                "/api/v0/repositories/dev/app/pushMirroringPolicies",
                "/api/v0/repositories/dev/pulled/pollMirroringPolicies?check=false",
            ] {
                let answer = self.send(&admin, "POST", path, &[], &form);
                assert!(answer.status >= 400, "{way}: {}", answer.text());
            }
        }
        let secret = self.canaries.make("a private key beside a certificate");
        let certificate = std::fs::read_to_string(self.daemon.ca()).unwrap();
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&secret));
        for ca in [format!("{certificate}{key}"), key.clone(), format!("-----BEGIN {secret}\n{certificate}")] {
            let form = json!({"remoteHost": parrot.url(), "remoteRepository": "a/b", "remoteCA": ca}).to_string();
            let path = "/api/v0/repositories/dev/app/pushMirroringPolicies?check=false";
            let answer = self.send(&admin, "POST", path, &[], &form);
            assert!(answer.status >= 400, "{}", answer.text());
        }
    }

    fn command_line(&mut self) {
        let url = format!("https://{}", self.daemon.address());
        let ca = self.daemon.ca().display().to_string();
        let wrong = self.canaries.make("TIDEGATE_PASSWORD");
        let mut command = bounded(Path::new(TIDEGATE));
        command.args(["--url", &url, "--ca", &ca, "--username", "amy", "repository", "list"]);
        let ran = command.env("TIDEGATE_PASSWORD", &wrong).run();
        self.hay.ran("a wrong TIDEGATE_PASSWORD", &ran);
        ran.refused();
        for (way, words) in [
            ("--url with a password", vec!["--url", "https://bob:*@registry.example", "job", "list"]),
            ("--password=", vec!["account", "create", "gil", "--password=*"]),
            (
                "--remote with a password",
                vec![
                    "push-mirror",
                    "create",
                    "dev/app",
                    "--remote",
                    "https://bob:*@r.example",
                    "--remote-repository",
                    "a/b",
                ],
            ),
        ] {
            let secret = self.canaries.make(way);
            let words: Vec<String> = words.into_iter().map(|word| word.replace('*', &secret)).collect();
            let ran = self.daemon.cli(&words.iter().map(String::as_str).collect::<Vec<_>>());
            self.hay.ran(way, &ran);
            ran.refused();
        }
        let far = ["push-mirror", "create", "dev/app", "--remote", "http://127.0.0.1:9", "--remote-repository", "a/b"];
        for flag in ["--password-stdin", "--token-stdin"] {
            let secret = self.canaries.make(&format!("push-mirror create {flag}"));
            let words = [&far[..], &["--username", "ann", flag]].concat();
            let ran = self.daemon.cli_with(&words, &secret);
            self.hay.ran(flag, &ran);
            ran.refused();
        }
    }

    /// All that can be asked for, and all that lies on the disk.
    fn look_everywhere(&mut self, folder: &Path) {
        let admin = self.daemon.admin();
        let mut paths: Vec<String> = [
            "/health",
            "/_ping",
            "/metrics",
            "/v2/_catalog",
            "/v2/dev/app/tags/list",
            "/api/v0/repositories",
            "/api/v0/repositories/dev/app",
            "/api/v0/repositories/dev/app/mirroringPolicies?limit=100",
            "/api/v0/repositories/dev/app/pushMirroringPolicies",
            "/api/v0/repositories/dev/app/tags/1.0/history",
            "/api/v0/repositories/dev/app/tags/1.0/decisions",
            "/api/v0/repositories/dev/pulled/pollMirroringPolicies",
            "/api/v0/repositories/dev/pulled/mirroringPolicies?limit=100",
            "/api/v0/meta/settings",
            "/api/v0/meta/features",
            "/api/v0/admin/version",
            "/api/v0/admin/scrub",
            "/api/v0/admin/quarantine",
            "/api/v0/admin/sealingKeys",
            "/api/v0/api_tokens",
            "/api/v0/robots/dev",
            "/api/v0/robots/dev/ci/tokens",
            "/api/v0/clientCertificates",
            "/api/v0/quotas",
            "/enzi/v0/accounts?limit=100",
            "/enzi/v0/accounts/amy",
            "/enzi/v0/config/auth",
            "/enzi/v0/jobs",
            "/enzi/v0/id",
        ]
        .map(str::to_owned)
        .to_vec();
        let jobs = admin.get("/api/v0/jobs?limit=1000").is(200);
        for job in jobs.json()["jobs"].as_array().expect("jobs") {
            paths.push(format!("/api/v0/jobs/{}/logs?limit=1000", job["id"].as_str().unwrap()));
        }
        self.hay.answer("jobs", &jobs);
        assert!(paths.len() > 40, "jobs have logs: {}", paths.len());
        for path in paths {
            let answer = self.send(&admin, "GET", &path, &[], "");
            assert!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
        }
        let backup = folder.join("backup");
        for words in [
            vec!["verify"],
            vec!["--json", "verify"],
            vec!["--json", "token", "list", "--user", "amy"],
            vec!["push-mirror", "list"],
            vec!["pull-mirror", "list"],
            vec!["job", "list"],
            vec!["backup", backup.to_str().unwrap(), "--with-keys"],
        ] {
            let ran = self.daemon.cli(&words);
            self.hay.ran(words[0], &ran);
            ran.good();
        }
        self.hay.folder(&backup);
        self.hay.folder(&self.daemon.data());
    }
}

fn escaped(text: &str) -> String {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}
