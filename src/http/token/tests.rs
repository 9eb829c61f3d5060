//! The token service as clients meet it: from a challenge to a request that is
//! answered, and what ends a token.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::http::failures;
use crate::http::harness::{Answer, Ask, PASSWORD, Site, basic};
use crate::identity::{Bearer, Guesses, Proof};
use crate::limits;
use crate::registry::Options;
use crate::secret::Secret;
use crate::store::record::Account;
use crate::store::{Change, Lane, Operation, StoreError, account};

const HOST: &str = "registry.example";

/// Changes an account's record, as calls elsewhere do.
struct Edit(&'static str, fn(&mut Account));

impl Operation for Edit {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "edit an account";
    const AUDIT: crate::audit::Audit = crate::audit::Audit::Nothing("a test's");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        let mut record = account::get(tables, self.0)?.expect("is there");
        (self.1)(&mut record);
        account::put(tables, self.0, &record)
    }
}

async fn edit(site: &Site, name: &'static str, change: fn(&mut Account)) {
    site.state.registry().store().submit(Lane::Foreground, Edit(name, change)).await.unwrap().unwrap();
}

fn text(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("{field}: {}", answer.text())).to_owned()
}

fn bearer(ask: Ask, token: &str) -> Ask {
    ask.header("authorization", &format!("Bearer {token}"))
}

async fn status(site: &Site, token: &str) -> u16 {
    site.send(bearer(Ask::get("/v2/"), token)).await.status.as_u16()
}

/// A token of the token service for a password.
async fn token_of(site: &Site, name: &str) -> String {
    text(&site.expect(200, Ask::get("/auth/token").user(name)).await, "token")
}

/// An access token that `name` makes.
async fn access_token(site: &Site, name: &str, form: Value) -> (String, String) {
    let answer = site.expect(200, Ask::post("/api/v0/api_tokens").user(name).body(form.to_string())).await;
    (text(&answer, "token"), text(&answer, "hashedToken"))
}

#[tokio::test]
async fn from_the_challenge_to_a_push() {
    let site = Site::open().await;
    let refused = site.expect(401, Ask::get("/v2/")).await;
    let challenge = refused.header("www-authenticate");
    assert_eq!(challenge, r#"Bearer realm="https://registry.example/auth/token",service="registry.example""#);
    let refused = site.expect(401, Ask::post("/v2/ann/app/blobs/uploads/")).await;
    assert!(refused.header("www-authenticate").ends_with(r#",scope="repository:ann/app:pull,push""#));
    let path = "/auth/token?service=registry.example&scope=repository:ann/app:pull,push&account=ann";
    let answer = site.expect(200, Ask::get(path).user("ann")).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let shape = answer.json();
    assert_eq!((&shape["token"], shape["expires_in"].as_u64()), (&shape["access_token"], Some(300)));
    assert!(shape["issued_at"].as_str().is_some_and(|at| at.ends_with('Z')) && shape.get("refresh_token").is_none());
    let token = text(&answer, "token");
    site.expect(202, bearer(Ask::post("/v2/ann/app/blobs/uploads/"), &token)).await;
    // Whatever was asked for, it says who: rights are the account's.
    site.expect(202, bearer(Ask::post("/v2/ann/other/blobs/uploads/"), &token)).await;
    site.expect(404, bearer(Ask::get("/v2/bob/app/tags/list"), &token)).await;
    let own = site.expect(200, bearer(Ask::get("/api/v0/repositories"), &token)).await.json();
    assert_eq!(own["repositories"].as_array().map(Vec::len), Some(2));
    assert_eq!(site.expect(200, bearer(Ask::get("/enzi/v0/id/"), &token)).await.json()["name"], "ann");
    site.close().await;
}

#[tokio::test]
async fn wrong_passwords_and_no_passwords_get_no_token() {
    let site = Site::open().await;
    for ask in [
        Ask::get("/auth/token").user("gone"),
        Ask::get("/auth/token").user("dev"),
        Ask::get("/auth/token").header("authorization", &basic("ann", "wrong horse")),
        Ask::post("/auth/token").body("grant_type=password&username=ann&password=wrong"),
        Ask::post("/auth/token").body("grant_type=refresh_token&refresh_token=tgp_x"),
        Ask::post("/auth/login").body(r#"{"username":"ann","password":"wrong horse"}"#),
        Ask::post("/auth/login").body("{}"),
        Ask::post("/enzi/v0/id/login").body(r#"{"username":"gone","password":"correct horse"}"#),
    ] {
        let answer = site.expect(401, ask).await;
        assert!(answer.header("www-authenticate").starts_with("Basic "));
        assert!(["NOT_AUTHENTICATED", "UNAUTHORIZED"].contains(&answer.code().as_str()));
        assert_eq!(
            (&answer.json()["error"], &answer.json()["message"]),
            (&json!("invalid_grant"), &json!("unauthorized"))
        );
    }
    for body in ["", "grant_type=client_credentials", "grant_type=password&username=ann", "grant_type=refresh_token"] {
        site.expect(400, Ask::post("/auth/token").body(body)).await;
    }
    assert_eq!(site.expect(405, Ask::delete("/auth/token")).await.header("allow"), "GET, HEAD, POST");
    assert_eq!(site.expect(405, Ask::get("/auth/login")).await.header("allow"), "POST");
    site.expect(400, Ask::post("/auth/login").body("[]")).await;
    site.expect(400, Ask::get("/auth/token").local()).await;
    site.close().await;
}

#[tokio::test]
async fn who_says_no_name_gets_a_token_for_what_everyone_may_read() {
    let site = Site::open().await;
    site.expect(200, Ask::patch("/api/v0/repositories/ann/app").user("ann").body(r#"{"visibility":"public"}"#)).await;
    let token = text(&site.expect(200, Ask::get("/auth/token?scope=repository:ann/app:pull")).await, "token");
    site.expect(200, bearer(Ask::get("/v2/ann/app/tags/list"), &token)).await;
    for asked in ["/v2/", "/v2/_catalog", "/v2/ann/other/tags/list", "/v2/ann/missing/tags/list"] {
        let answer = site.expect(401, bearer(Ask::get(asked), &token)).await;
        assert!(answer.header("www-authenticate").starts_with("Bearer "));
    }
    site.expect(401, bearer(Ask::post("/v2/ann/app/blobs/uploads/"), &token)).await;
    site.expect(401, bearer(Ask::get("/api/v0/api_tokens"), &token)).await;
    site.close().await;
    // Where everyone has to say a name there is none.
    let site = Site::open_with(Options { signed_in_only: true, ..Default::default() }).await;
    site.expect(401, Ask::get("/auth/token")).await;
    site.close().await;
}

#[tokio::test]
async fn what_docker_keeps_stands_for_the_password() {
    let site = Site::open().await;
    let answer = site.expect(200, Ask::get("/auth/token?offline_token=true&client_id=docker").user("ann")).await;
    let kept = text(&answer, "refresh_token");
    let form = format!(
        "grant_type=refresh_token&refresh_token={kept}&service=registry.example&client_id=docker&scope=a%3Ab&scope=c"
    );
    let answer = site.expect(200, Ask::post("/auth/token").body(&form)).await;
    assert_eq!((text(&answer, "refresh_token"), text(&answer, "scope")), (kept.clone(), "a:b c".to_owned()));
    assert_eq!(status(&site, &text(&answer, "access_token")).await, 200);
    // As a password, alone in a query of the management API, and as it is.
    site.expect(200, Ask::get("/v2/").header("authorization", &basic("ann", &kept))).await;
    site.expect(401, Ask::get("/v2/").header("authorization", &basic("bob", &kept))).await;
    site.expect(200, Ask::get(&format!("/enzi/v0/accounts?refresh_token={kept}"))).await;
    site.expect(200, Ask::get(&format!("/api/v0/repositories?refresh_token={kept}"))).await;
    site.expect(401, Ask::get(&format!("/api/v0/repositories?refresh_token={}x", &kept[..75]))).await;
    site.expect(401, Ask::get(&format!("/v2/?refresh_token={kept}"))).await;
    assert_eq!(status(&site, &kept).await, 200);
    let listed = site.expect(200, Ask::get("/api/v0/api_tokens").user("ann")).await.json();
    assert_eq!((&listed[0]["generatedBy"], &listed[0]["tokenLabel"]), (&json!("auto"), &json!("docker")));
    // With a form, and a plus that is meant.
    let form = format!("grant_type=password&username=ann&password={}&access_type=offline", PASSWORD.replace(' ', "+"));
    let again = text(&site.expect(200, Ask::post("/auth/token").body(&form)).await, "refresh_token");
    assert_ne!(again, kept);
    // DTR's clean-up takes back what signing in made.
    site.expect(200, Ask::delete("/api/v0/api_tokens").user("ann")).await;
    assert_eq!((status(&site, &kept).await, status(&site, &again).await), (401, 401));
    site.close().await;
}

#[tokio::test]
async fn sessions_begin_with_json_of_whatever_type_and_end_with_logout() {
    let site = Site::open().await;
    let body = format!(r#"{{"username":"ann","password":"{PASSWORD}","token":null,"other":1}},"#);
    for (path, field) in
        [("/auth/login", "auth_token"), ("/id/login", "sessionToken"), ("/enzi/v0/id/login/", "sessionToken")]
    {
        for kind in ["application/json", "application/x-www-form-urlencoded"] {
            let answer = site.expect(200, Ask::post(path).header("content-type", kind).body(&body)).await;
            let session = text(&answer, field);
            for own in ["/id/", "/enzi/v0/id/", "/enzi/v0/id"] {
                assert_eq!(site.expect(200, bearer(Ask::get(own), &session)).await.json()["name"], "ann");
            }
            site.expect(200, bearer(Ask::get("/api/v0/repositories"), &session)).await;
            site.expect(204, bearer(Ask::post("/enzi/v0/id/logout"), &session)).await;
            assert_eq!(status(&site, &session).await, 401);
        }
    }
    // Who signed in otherwise has nothing to take back.
    site.expect(204, Ask::post("/id/logout").user("ann")).await;
    let (token, _) = access_token(&site, "ann", json!({})).await;
    site.expect(204, bearer(Ask::post("/id/logout"), &token)).await;
    assert_eq!(status(&site, &token).await, 200);
    assert_eq!(site.expect(200, Ask::get("/id/").local()).await.json()["name"], "system");
    site.close().await;
}

#[tokio::test]
async fn who_signs_in_again_and_again_keeps_the_newest() {
    let site = Site::open().await;
    let body = format!(r#"{{"username":"ann","password":"{PASSWORD}"}}"#);
    let mut sessions = Vec::new();
    for _ in 0..limits::SIGN_IN_TOKENS + 3 {
        sessions.push(text(&site.expect(200, Ask::post("/auth/login").body(&body)).await, "auth_token"));
    }
    assert_eq!((status(&site, &sessions[2]).await, status(&site, &sessions[3]).await), (401, 200));
    let listed = site.expect(200, Ask::get("/api/v0/api_tokens?pageSize=1000").user("ann")).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(limits::SIGN_IN_TOKENS));
    site.close().await;
}

/// Changes an account's record under what was signed in with it.
#[tokio::test]
async fn what_ends_a_credential_ends_its_tokens_at_once() {
    let site = Site::open().await;
    let login = || async {
        let answer = site.expect(200, Ask::get("/auth/token?offline_token=true").user("ann")).await;
        (text(&answer, "token"), text(&answer, "refresh_token"))
    };
    let (made, hash) = access_token(&site, "ann", json!({ "tokenLabel": "ci" })).await;
    let of_made = site.expect(200, Ask::get("/auth/token").header("authorization", &basic("ann", &made))).await;
    let of_made = text(&of_made, "token");

    let (short, kept) = login().await;
    edit(&site, "ann", |account| account.is_active = false).await;
    for token in [&short, &kept, &made, &of_made] {
        assert_eq!(status(&site, token).await, 401, "the account is not active");
    }
    edit(&site, "ann", |account| account.is_active = true).await;
    assert_eq!(status(&site, &short).await, 200);

    // Another hash, of the same password even.
    let other = site.state.passwords().hash(&Secret::new(PASSWORD)).await.unwrap();
    static OTHER: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    OTHER.set(other).unwrap();
    edit(&site, "ann", |account| account.password_hash = OTHER.get().cloned()).await;
    assert_eq!((status(&site, &short).await, status(&site, &kept).await), (401, 401), "the password was changed");
    assert_eq!((status(&site, &made).await, status(&site, &of_made).await), (200, 200), "those were made for good");

    let patch = |body: &str| Ask::patch(&format!("/api/v0/api_tokens/{hash}")).user("ann").body(body);
    site.expect(200, patch(r#"{"isActive":false}"#)).await;
    assert_eq!((status(&site, &made).await, status(&site, &of_made).await), (401, 401));
    site.expect(200, patch(r#"{"isActive":true}"#)).await;
    assert_eq!((status(&site, &made).await, status(&site, &of_made).await), (200, 200));
    site.expect(200, Ask::delete(&format!("/api/v0/api_tokens/{hash}")).user("ann")).await;
    assert_eq!((status(&site, &made).await, status(&site, &of_made).await), (401, 401));

    let (short, _) = login().await;
    site.state.registry().store().clock().advance(limits::BEARER_TOKEN);
    assert_eq!(status(&site, &short).await, 401, "its time is over");
    site.close().await;
}

#[tokio::test]
async fn tokens_of_others_and_for_others_are_refused_with_a_reason_that_clients_know() {
    let site = Site::open().await;
    let good = token_of(&site, "ann").await;
    assert_eq!(status(&site, &good).await, 200);
    let (signer, store) = (site.state.signer(), site.state.registry().store());
    let id = |name: &str| account::get(&store.snapshot().unwrap(), name).unwrap().unwrap().id;
    let sign = |subject, proof, host: &str| signer.sign(&Bearer { subject, proof }, host, store.now(), store.chance());
    let (made, _) = access_token(&site, "bob", json!({})).await;
    let hash = crate::identity::token::access::hash(&made).unwrap();
    for token in [
        sign(id("ann"), Proof::Password([0; 16]), HOST),
        sign(id("ann"), Proof::Token(hash), HOST),
        sign(id("ann"), Proof::Token([0; 32]), HOST),
        sign(id("ann"), Proof::Certificate("cn:ann".into()), HOST),
        sign(id("ann"), Proof::Nothing, HOST),
        sign(crate::chance::Id::from_bytes([0; 16]), Proof::Token(hash), HOST),
        sign(id("bob"), Proof::Token(hash), "other.example"),
        format!("{good}x"),
        "x".repeat(10_000),
    ] {
        let answer = site.expect(401, bearer(Ask::get("/v2/ann/app/tags/list"), &token)).await;
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer ") && challenge.ends_with(r#",error="invalid_token""#), "{challenge}");
        assert_eq!(answer.code(), "UNAUTHORIZED");
        site.expect(401, bearer(Ask::get("/api/v0/repositories"), &token)).await;
    }
    assert_eq!(status(&site, &sign(id("bob"), Proof::Token(hash), HOST)).await, 200);
    site.close().await;
}

#[tokio::test]
async fn access_tokens_are_dtrs() {
    let site = Site::open().await;
    let agent = Ask::post("/api/v0/api_tokens").user("ann").header("user-agent", "curl/7.88.1");
    let made = site.expect(200, agent.body(r#"{"tokenLabel":"ci","creatorUa":""}"#)).await.json();
    let hash = made["hashedToken"].as_str().unwrap();
    for field in ["token", "createdAt"] {
        assert!(made[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    let shown = site.expect(200, Ask::get(&format!("/api/v0/api_tokens/{hash}")).user("ann")).await.json();
    let expected = json!({
        "hashedToken": hash, "tokenLabel": "ci", "isActive": true, "lastUsed": "0001-01-01T00:00:00Z",
        "createdAt": made["createdAt"], "generatedBy": "user", "creatorUa": "curl/7.88.1",
    });
    assert_eq!(shown, expected);
    // A use shows before it is written down, and after.
    let token = made["token"].as_str().unwrap();
    assert_eq!(status(&site, token).await, 200);
    let used = || async {
        site.expect(200, Ask::get(&format!("/api/v0/api_tokens/{hash}")).user("ann")).await.json()["lastUsed"].clone()
    };
    let before = used().await;
    assert_ne!(before, "0001-01-01T00:00:00Z");
    crate::registry::access_token::write_uses(site.state.registry().store()).await.unwrap();
    assert_eq!(used().await, before);
    // Of others: not there. A system admin sees and changes them.
    for ask in [Ask::get(&format!("/api/v0/api_tokens/{hash}")), Ask::delete(&format!("/api/v0/api_tokens/{hash}"))] {
        assert_eq!(site.expect(404, ask.user("bob")).await.code(), "NO_SUCH_API_TOKEN");
    }
    site.expect(403, Ask::get("/api/v0/api_tokens?username=ann").user("bob")).await;
    site.expect(403, Ask::get("/api/v0/api_tokens?username=nobody").user("bob")).await;
    site.expect(404, Ask::get("/api/v0/api_tokens?username=nobody").user("root")).await;
    site.expect(404, Ask::get("/api/v0/api_tokens?username=dev").user("root")).await;
    site.expect(400, Ask::get("/api/v0/api_tokens").local()).await;
    let listed = site.expect(200, Ask::get("/api/v0/api_tokens?username=ann").user("root")).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let by_admin = Ask::post("/api/v0/api_tokens?username=bob").user("root").body("{}");
    let for_bob = text(&site.expect(200, by_admin).await, "token");
    assert_eq!(site.expect(200, bearer(Ask::get("/id/"), &for_bob)).await.json()["name"], "bob");
    // Paging.
    for _ in 0..4 {
        access_token(&site, "ann", json!({})).await;
    }
    let first = site.expect(200, Ask::get("/api/v0/api_tokens?pageSize=3&count=true").user("ann")).await;
    assert_eq!((first.json().as_array().map(Vec::len), first.header("x-resource-count")), (Some(3), "5"));
    let next = format!("/api/v0/api_tokens?pageSize=3&pageStart={}", first.header("x-next-page-start"));
    let second = site.expect(200, Ask::get(&next).user("ann")).await;
    assert_eq!(second.json().as_array().map(Vec::len), Some(2));
    assert!(second.headers.get("x-next-page-start").is_none());
    // The clean-up by kind and by time: the one that was used stays.
    let long_ago = "/api/v0/api_tokens?generatedby=user&usedbefore=2000-01-01T00:00:00Z";
    site.expect(200, Ask::delete(long_ago).user("ann")).await;
    site.state.registry().store().clock().advance(Duration::from_secs(60));
    assert_eq!(status(&site, token).await, 200);
    let since = site.state.registry().store().now().before(Duration::from_secs(30)).rfc3339();
    let recent = format!("/api/v0/api_tokens?generatedby=user&usedbefore={since}");
    site.expect(200, Ask::delete(&recent).user("ann")).await;
    let left = site.expect(200, Ask::get("/api/v0/api_tokens").user("ann")).await.json();
    assert_eq!((left.as_array().map(Vec::len), left[0]["hashedToken"].as_str()), (Some(1), Some(hash)));
    site.close().await;
}

#[tokio::test]
async fn scopes_narrow_what_the_account_may_on_every_way_in() {
    let site = Site::open().await;
    let manifest = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    site.push_image("ann", "ann/other", "1.0", b"other layer").await;
    let blob = crate::oci::Digest::sha256_of(b"layer");
    let v2 = |rest: &str| format!("/v2/ann/app/{rest}");
    let api = |rest: &str| format!("/api/v0/repositories/ann/app{rest}");
    let asks = [
        ("pull", Ask::get(&v2("tags/list"))),
        ("pull", Ask::get(&v2("manifests/1.0"))),
        ("pull", Ask::head(&v2(&format!("blobs/{blob}")))),
        ("pull", Ask::get(&api("/tags"))),
        ("push", Ask::post(&v2("blobs/uploads/"))),
        ("push", Ask::post(&v2(&format!("blobs/uploads/?digest={blob}"))).body("layer")),
        ("push", Ask::post(&v2(&format!("blobs/uploads/?mount={blob}&from=ann/app")))),
        ("delete", Ask::delete(&v2("manifests/2.0"))),
        ("delete", Ask::delete(&v2(&format!("blobs/{blob}")))),
        ("delete", Ask::delete(&api("/tags/2.0"))),
        ("admin", Ask::patch(&api("")).body("{}")),
        ("admin", Ask::post(&api("/promotionPolicies")).body("{}")),
    ];
    for (scopes, allowed) in [
        (json!(["ann/app:pull"]), vec!["pull"]),
        (json!(["ann/*:push"]), vec!["pull", "push"]),
        (json!(["ann/app:delete"]), vec!["pull", "delete"]),
        (json!(["**:admin"]), vec!["pull", "push", "delete", "admin"]),
        (json!(["bob/**:admin", "ann/other:admin"]), vec![]),
        (json!([]), vec![]),
    ] {
        let (token, _) = access_token(&site, "ann", json!({ "scopes": scopes })).await;
        let short = site.expect(200, Ask::get("/auth/token").header("authorization", &basic("ann", &token))).await;
        let short = text(&short, "token");
        for (action, ask) in &asks {
            for ask in [
                bearer(ask.clone(), &short),
                bearer(ask.clone(), &token),
                ask.clone().header("authorization", &basic("ann", &token)),
            ] {
                let answer = site.send(ask.clone()).await;
                let is_refused = match answer.status.as_u16() {
                    403 => true,
                    404 => allowed.is_empty(),
                    _ => false,
                };
                assert_eq!(is_refused, !allowed.contains(action), "{scopes} {ask:?}: {}", answer.text());
            }
        }
        // What is of no repository is of none that is named: credentials, the whole system.
        assert_eq!(site.expect(403, bearer(Ask::post("/api/v0/api_tokens"), &token)).await.code(), "NOT_AUTHORIZED");
        site.expect(403, bearer(Ask::get("/api/v0/api_tokens"), &token)).await;
    }
    let (token, _) = access_token(&site, "ann", json!({ "scopes": ["ann/app:push"] })).await;
    // A mount needs pull on its source.
    let other = crate::oci::Digest::sha256_of(b"other layer");
    let mount = format!("/v2/ann/app/blobs/uploads/?mount={other}&from=ann/other");
    site.expect(202, bearer(Ask::post(&mount), &token)).await;
    site.expect(202, bearer(Ask::post(&format!("/v2/ann/app/blobs/uploads/?mount={other}")), &token)).await;
    let seen = site.expect(200, bearer(Ask::get("/v2/_catalog"), &token)).await.json();
    assert_eq!(seen, json!({ "repositories": ["ann/app"] }));
    assert_eq!(
        site.expect(403, bearer(Ask::delete(&v2(&format!("manifests/{manifest}"))), &token)).await.code(),
        "DENIED"
    );
    // A system admin with scopes is none, and sees no more than they name.
    let (token, _) = access_token(&site, "root", json!({ "scopes": ["bob/app:pull"] })).await;
    site.expect(403, bearer(Ask::get("/api/v0/jobs"), &token)).await;
    let seen = site.expect(200, bearer(Ask::get("/v2/_catalog"), &token)).await.json();
    assert_eq!(seen, json!({ "repositories": ["bob/app"] }));
    site.expect(400, Ask::post("/api/v0/api_tokens").user("ann").body(r#"{"scopes":["ann/app"]}"#)).await;
    site.close().await;
}

#[tokio::test]
async fn a_token_with_an_end_ends_and_makes_no_others() {
    let site = Site::open().await;
    let end = site.state.registry().store().now().after(Duration::from_secs(3_600)).rfc3339();
    let (token, _) = access_token(&site, "ann", json!({ "expiresAt": end })).await;
    let short = site.expect(200, Ask::get("/auth/token").header("authorization", &basic("ann", &token))).await;
    assert_eq!(status(&site, &token).await, 200);
    site.expect(403, bearer(Ask::post("/api/v0/api_tokens"), &token)).await;
    let robot = Ask::post("/api/v0/robots/ann").body(r#"{"name":"ci","scopes":["ann/app:pull"]}"#);
    site.expect(403, bearer(robot, &token)).await;
    // The store's time is a little ahead: no two commits have the same.
    site.state.registry().store().clock().advance(Duration::from_secs(3_601));
    assert_eq!((status(&site, &token).await, status(&site, &text(&short, "token")).await), (401, 401));
    for bad in ["2000-01-01T00:00:00Z", "tomorrow"] {
        let body = json!({ "expiresAt": bad }).to_string();
        site.expect(400, Ask::post("/api/v0/api_tokens").user("ann").body(body)).await;
    }
    site.close().await;
}

#[tokio::test]
async fn a_robot_belongs_to_a_namespace_and_has_what_its_scopes_name_of_it() {
    let site = Site::open().await;
    site.push_image("bob", "bob/app", "1.0", b"layer").await;
    let form = json!({ "name": "ci", "description": "the build", "scopes": ["bob/app:push"] }).to_string();
    let create = |user: &str, body: &str| Ask::post("/api/v0/robots/bob").user(user).body(body);
    site.expect(403, create("ann", &form)).await;
    let made = site.expect(201, create("bob", &form)).await.json();
    assert_eq!((&made["username"], &made["scopes"]), (&json!("bob+ci"), &json!(["bob/app:push"])));
    assert_eq!(site.expect(400, create("bob", &form)).await.code(), "ROBOT_EXISTS");
    for (bad, code) in [
        (json!({ "name": "x", "scopes": [] }), "INVALID_SCOPE"),
        (json!({ "name": "x", "scopes": ["**:pull"] }), "INVALID_SCOPE"),
        (json!({ "name": "x", "scopes": ["ann/app:pull"] }), "INVALID_SCOPE"),
        (json!({ "name": "a+b", "scopes": ["bob/app:pull"] }), "INVALID_ROBOT_NAME"),
        (json!({ "name": "x", "scopes": ["bob/app:pull"], "unknown": 1 }), "INVALID_JSON"),
        (json!({ "name": "x" }), "INVALID_JSON"),
    ] {
        assert_eq!(site.expect(400, create("bob", &bad.to_string())).await.code(), code, "{bad}");
    }
    let token = made["token"].as_str().unwrap();
    let robot = |ask: Ask| ask.header("authorization", &basic("bob+ci", token));
    site.expect(200, robot(Ask::get("/v2/"))).await;
    site.expect(401, Ask::get("/v2/").header("authorization", &basic("bob", token))).await;
    site.expect(401, Ask::get("/v2/").header("authorization", &basic("bob+ci", PASSWORD))).await;
    site.expect(200, robot(Ask::get("/v2/bob/app/manifests/1.0"))).await;
    site.expect(202, robot(Ask::post("/v2/bob/app/blobs/uploads/"))).await;
    site.expect(403, robot(Ask::delete("/v2/bob/app/manifests/1.0"))).await;
    site.expect(404, robot(Ask::get("/v2/bob/other/tags/list"))).await;
    site.expect(404, robot(Ask::get("/v2/ann/app/tags/list"))).await;
    let seen = site.expect(200, robot(Ask::get("/v2/_catalog"))).await.json();
    assert_eq!(seen, json!({ "repositories": ["bob/app"] }));
    site.expect(403, robot(Ask::get("/api/v0/robots/bob"))).await;
    site.expect(403, robot(Ask::post("/api/v0/api_tokens"))).await;
    let short = text(&site.expect(200, robot(Ask::get("/auth/token"))).await, "token");
    site.expect(200, bearer(Ask::get("/v2/bob/app/manifests/1.0"), &short)).await;
    // More scopes at once, by the token it has; and another token beside it.
    let more = json!({ "scopes": ["bob/**:admin"] }).to_string();
    site.expect(200, Ask::patch("/api/v0/robots/bob/ci").user("bob").body(more)).await;
    site.expect(200, bearer(Ask::get("/v2/bob/other/tags/list"), &short)).await;
    let policy = json!({ "rules": [], "targetRepository": "bob/other", "tagTemplate": "%n", "enabled": true });
    let save = Ask::post("/api/v0/repositories/bob/app/promotionPolicies").body(policy.to_string());
    site.expect(201, robot(save)).await;
    let second = site.expect(201, Ask::post("/api/v0/robots/bob/ci/tokens").user("bob").body("{}")).await;
    assert_eq!(status(&site, &text(&second, "token")).await, 200);
    let listed = site.expect(200, Ask::get("/api/v0/robots/bob/ci/tokens").user("bob")).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let revoke = format!("/api/v0/api_tokens/{}", made["hashedToken"].as_str().unwrap());
    site.expect(200, Ask::delete(&revoke).user("bob")).await;
    assert_eq!((status(&site, token).await, status(&site, &short).await), (401, 401));
    site.expect(204, Ask::delete("/api/v0/robots/bob/ci").user("bob")).await;
    assert_eq!(status(&site, &text(&second, "token")).await, 401);
    assert_eq!(site.expect(404, Ask::get("/api/v0/robots/bob/ci").user("bob")).await.code(), "NO_SUCH_ROBOT");
    site.close().await;
}

#[tokio::test]
async fn whoever_guesses_waits_and_the_owner_does_not() {
    let site = Site::open_counting(Options::default(), Guesses::allowing(3, limits::GUESS_WAIT)).await;
    let guess = |name: &str| Ask::get("/v2/").header("authorization", &basic(name, "wrong horse"));
    for name in ["ann", "nobody"] {
        for _ in 0..3 {
            site.expect(401, guess(name)).await;
        }
        let answer = site.expect(429, guess(name)).await;
        assert_eq!(answer.code(), "TOOMANYREQUESTS");
        assert!(matches!(answer.header("retry-after").parse(), Ok(20..=30)), "{answer:?}");
        let managed = site.expect(429, Ask::get("/id/").header("authorization", &basic(name, "wrong horse"))).await;
        assert_eq!(managed.code(), "TOO_MANY_REQUESTS");
        assert!(managed.headers.contains_key("retry-after"));
    }
    let login = Ask::post("/auth/login").body(r#"{"username":"ann","password":"wrong horse"}"#);
    site.expect(429, login).await;
    // Not even the right one is looked at, for whom is not known.
    site.expect(429, Ask::get("/v2/").user("ann")).await;
    // Who was right before goes on, whatever it is that others do.
    site.expect(200, Ask::get("/v2/").user("bob")).await;
    for _ in 0..5 {
        site.send(guess("bob")).await;
    }
    site.expect(200, Ask::get("/v2/").user("bob")).await;
    site.expect(200, Ask::new(Method::GET, "/v2/").local()).await;
    let computed = site.state.passwords().computed();
    for _ in 0..20 {
        site.expect(429, guess("ann")).await;
    }
    assert_eq!(site.state.passwords().computed(), computed, "what is turned away costs no hash");
    site.close().await;
}

/// A session that somebody left open was once enough to try passwords, as many
/// as one liked and without a trace.
#[tokio::test]
async fn old_passwords_are_guessed_no_faster_than_others() {
    let site = Site::open_counting(Options::default(), Guesses::allowing(3, limits::GUESS_WAIT)).await;
    let (token, _) = access_token(&site, "ann", json!({})).await;
    let change = |old: &str| {
        let body = json!({ "oldPassword": old, "newPassword": "another horse" }).to_string();
        bearer(Ask::post("/enzi/v0/accounts/ann/changePassword"), &token).body(body)
    };
    for _ in 0..3 {
        assert_eq!(site.expect(400, change("wrong horse")).await.code(), "PASSWORD_INCORRECT");
    }
    let computed = site.state.passwords().computed();
    let refused = site.expect(429, change("wrong horse")).await;
    assert_eq!(refused.code(), "TOO_MANY_REQUESTS");
    assert!(matches!(refused.header("retry-after").parse(), Ok(20..=30)), "{refused:?}");
    assert_eq!(site.state.passwords().computed(), computed, "what is turned away costs no hash");
    failures::write(&site.state).await.unwrap();
    let rows = site.expect(200, Ask::get("/api/v0/audit?action=signin.fail").user("root")).await.json();
    assert_eq!((&rows[0]["object"]["name"], &rows[0]["count"]), (&json!("ann"), &json!(3)));
    site.state.registry().store().clock().advance(limits::GUESS_WAIT);
    site.expect(200, change(PASSWORD)).await;
    site.close().await;
}

/// A token that was to end with the week once made a system admin that did not.
#[tokio::test]
async fn an_admins_token_with_an_end_makes_nothing_that_outlives_it() {
    let site = Site::open().await;
    let end = site.state.registry().store().now().after(Duration::from_secs(3_600)).rfc3339();
    let (token, _) = access_token(&site, "root", json!({ "expiresAt": end })).await;
    let accounts = "/enzi/v0/accounts";
    for (method, path, body) in [
        (Method::POST, accounts, json!({ "name": "eve", "password": PASSWORD, "isAdmin": true })),
        (Method::POST, accounts, json!({ "name": "eve", "password": PASSWORD })),
        (Method::POST, "/enzi/v0/admin/importAccounts", json!({ "accounts": [{ "name": "eve", "isAdmin": true }] })),
        (Method::PATCH, "/enzi/v0/accounts/ann", json!({ "isAdmin": true })),
        (Method::PATCH, "/enzi/v0/accounts/gone", json!({ "isActive": true })),
        (Method::POST, "/enzi/v0/accounts/ann/changePassword", json!({ "newPassword": "another horse" })),
        (Method::POST, "/api/v0/backups", json!({})),
        (Method::POST, "/api/v0/admin/sealingKeys", json!({})),
        (Method::DELETE, "/api/v0/admin/sealingKeys/ab", json!({})),
    ] {
        let refused = site.expect(403, bearer(Ask::new(method, path), &token).body(body.to_string())).await;
        assert_eq!(refused.code(), "NOT_AUTHORIZED", "{path}");
        assert!(refused.message().contains("sign in with the password"), "{path}: {}", refused.message());
    }
    site.expect(404, Ask::get("/enzi/v0/accounts/eve").user("root")).await;
    // What gives nobody more than there is, it does as ever.
    for (method, path, status, body) in [
        (Method::POST, accounts, 201, json!({ "name": "ops", "isOrg": true })),
        (Method::PATCH, "/enzi/v0/accounts/root", 200, json!({ "fullName": "R", "isAdmin": true, "isActive": true })),
        (Method::PATCH, "/enzi/v0/accounts/ann", 200, json!({ "isActive": false })),
    ] {
        site.expect(status, bearer(Ask::new(method, path), &token).body(body.to_string())).await;
    }
    site.close().await;
}

/// Of two changes at once, one of the description and one of the scopes, the
/// later once wrote back the wide scopes that the earlier had narrowed.
#[tokio::test]
async fn changes_of_a_robot_at_once_lose_nothing_of_each_other() {
    let site = Site::open().await;
    let robot = "/api/v0/robots/bob/ci";
    let form = json!({ "name": "ci", "scopes": ["bob/**:admin"] }).to_string();
    site.expect(201, Ask::post("/api/v0/robots/bob").user("bob").body(form)).await;
    for round in 0..16 {
        let scope = ["bob/app:pull", "bob/**:admin"][round % 2];
        let patch = |body: Value| site.expect(200, Ask::patch(robot).user("bob").body(body.to_string()));
        let description = format!("round {round}");
        tokio::join!(patch(json!({ "description": description })), patch(json!({ "scopes": [scope] })));
        let now = site.expect(200, Ask::get(robot).user("bob")).await.json();
        assert_eq!((&now["description"], &now["scopes"]), (&json!(description), &json!([scope])));
    }
    site.close().await;
}

/// Narrowing that was asked for and not understood was once passed over: the
/// answer was 200, and the token had no scopes and no end.
#[tokio::test]
async fn what_would_narrow_a_credential_is_taken_or_refused_and_never_passed_over() {
    let site = Site::open().await;
    let (tokens, end) = ("/api/v0/api_tokens", "2030-01-01T00:00:00Z");
    for body in [json!({ "scope": ["ann/app:pull"] }), json!({ "expires": end }), json!({ "expires_at": end })] {
        let refused = site.expect(400, Ask::post(tokens).user("ann").body(body.to_string())).await;
        assert_eq!(refused.code(), "INVALID_JSON", "{body}");
    }
    assert_eq!(site.expect(200, Ask::get(tokens).user("ann")).await.json(), json!([]));
    // DTR's tools send back what they were shown.
    let (_, hash) = access_token(&site, "ann", json!({ "tokenLabel": "x", "isActive": true })).await;
    let one = format!("{tokens}/{hash}");
    let shown = site.expect(200, Ask::get(&one).user("ann")).await.text();
    site.expect(200, Ask::post(tokens).user("ann").body(&shown)).await;
    site.expect(200, Ask::patch(&one).user("ann").body(&shown)).await;
    site.expect(200, Ask::patch(&one).user("ann").body(r#"{"tokenLabel":"y","scopes":null,"expiresAt":null}"#)).await;
    for body in [json!({ "scopes": ["ann/app:pull"] }), json!({ "tokenLabel": "z", "expiresAt": end })] {
        let refused = site.expect(400, Ask::patch(&one).user("ann").body(body.to_string())).await;
        assert_eq!(refused.code(), "INVALID_PARAMETERS", "{body}");
    }
    assert_eq!(site.expect(200, Ask::get(&one).user("ann")).await.json()["tokenLabel"], "y");
    let robot = json!({ "name": "ci", "scopes": ["ann/app:pull"] }).to_string();
    site.expect(201, Ask::post("/api/v0/robots/ann").user("ann").body(robot)).await;
    for body in [json!({ "expiresAt": end }), json!({ "name": "other" }), json!({ "description": "x", "scope": [] })] {
        let refused = site.expect(400, Ask::patch("/api/v0/robots/ann/ci").user("ann").body(body.to_string())).await;
        assert_eq!(refused.code(), "INVALID_JSON", "{body}");
    }
    site.close().await;
}

/// From this host, where a proxy may stand, names without end could once wait
/// for a hash, and everybody behind them.
#[tokio::test]
async fn who_was_right_before_does_not_stand_in_line_with_strangers() {
    let site = Site::open_counting(Options::default(), Guesses::default()).await;
    site.expect(200, Ask::get("/v2/").user("bob")).await;
    let passwords = site.state.passwords().clone();
    let taken: Vec<_> = std::iter::from_fn(|| passwords.place()).collect();
    assert_eq!(taken.len(), limits::PASSWORDS_WAITING);
    let wrong = |name: &str| Ask::get("/v2/").header("authorization", &basic(name, "wrong horse"));
    for ask in [wrong("nobody"), wrong("ann"), Ask::get("/v2/").user("ann")] {
        let computed = passwords.computed();
        let refused = site.expect(429, ask).await;
        assert_eq!((refused.code(), refused.header("retry-after")), ("TOOMANYREQUESTS".to_owned(), "1"));
        assert_eq!(passwords.computed(), computed);
    }
    site.expect(401, wrong("bob")).await;
    site.expect(200, Ask::get("/v2/").user("bob")).await;
    drop(taken);
    site.expect(200, Ask::get("/v2/").user("ann")).await;
    site.expect(401, wrong("nobody")).await;
    site.close().await;
}

#[tokio::test]
async fn with_an_account_go_its_credentials_and_robots() {
    let site = Site::open().await;
    let (made, _) = access_token(&site, "ann", json!({})).await;
    let robot = Ask::post("/api/v0/robots/ann").user("ann").body(r#"{"name":"ci","scopes":["ann/app:pull"]}"#);
    site.expect(201, robot).await;
    let of_robot =
        text(&site.expect(201, Ask::post("/api/v0/robots/ann/ci/tokens").user("ann").body("{}")).await, "token");
    let certified = json!({ "name": "cn:ann", "account": "ann" }).to_string();
    site.expect(201, Ask::post("/api/v0/clientCertificates").user("root").body(certified)).await;
    let reads = async |token: &str| site.send(bearer(Ask::get("/v2/ann/app/tags/list"), token)).await.status.as_u16();
    assert_eq!((reads(&made).await, reads(&of_robot).await), (200, 200));
    site.expect(204, Ask::delete("/enzi/v0/accounts/ann").user("root")).await;
    assert_eq!((reads(&made).await, reads(&of_robot).await), (401, 401));
    // Whoever gets the name next gets none of it.
    let body = json!({ "name": "ann", "password": PASSWORD }).to_string();
    site.expect(201, Ask::post("/enzi/v0/accounts").user("root").body(body)).await;
    assert_eq!((reads(&made).await, reads(&of_robot).await), (401, 401));
    assert_eq!(site.expect(200, Ask::get("/api/v0/robots/ann").user("ann")).await.json()["robots"], json!([]));
    let mapped = site.expect(200, Ask::get("/api/v0/clientCertificates").user("root")).await.json();
    assert!(!mapped.to_string().contains("cn:ann"), "{mapped}");
    site.close().await;
}

#[tokio::test]
async fn scopes_and_robots_are_nothing_in_organizations() {
    let site = Site::open().await;
    let put = |path: &str, body: &str| Ask::put(path).user("root").body(body);
    site.expect(200, put("/enzi/v0/accounts/dev/members/ann", r#"{"isAdmin":true}"#)).await;
    let (scoped, _) = access_token(&site, "ann", json!({ "scopes": ["dev/*:admin"] })).await;
    let (whole, _) = access_token(&site, "ann", json!({})).await;
    let robot = Ask::post("/api/v0/robots/dev").user("ann").body(r#"{"name":"ci","scopes":["dev/*:admin"]}"#);
    site.expect(201, robot).await;
    let of_robot =
        text(&site.expect(201, Ask::post("/api/v0/robots/dev/ci/tokens").user("ann").body("{}")).await, "token");
    let calls = || {
        [
            Ask::get("/enzi/v0/accounts/dev/members"),
            Ask::post("/enzi/v0/accounts/dev/teams").body(r#"{"name":"web"}"#),
            Ask::put("/enzi/v0/accounts/dev/members/bob").body("{}"),
        ]
    };
    for token in [&scoped, &of_robot] {
        for call in calls() {
            site.expect(403, bearer(call, token)).await;
        }
    }
    for (call, status) in calls().into_iter().zip([200, 201, 200]) {
        site.expect(status, bearer(call, &whole)).await;
    }
    // What they name, they may.
    for token in [&scoped, &of_robot] {
        site.expect(200, bearer(Ask::get("/api/v0/repositories/dev"), token)).await;
        let body = r#"{"oldPassword":"correct horse","newPassword":"another horse"}"#;
        site.expect(403, bearer(Ask::post("/enzi/v0/accounts/ann/changePassword").body(body), token)).await;
    }
    site.close().await;
}
