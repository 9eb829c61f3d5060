//! Who did what: every changing call leaves its rows, and who may read them.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use http::Method;
use serde_json::{Value, json};

use super::super::route::ApiRoute;
use super::mirror::mirror;
use super::route::calls;
use super::{at, json as with_json};
use crate::audit::Class;
use crate::http::failures;
use crate::http::harness::{Answer, Ask, PASSWORD, Site, basic, image};
use crate::oci::Digest;
use crate::store::{self, Order, Read as _, Span, Table};

const AUDIT: &str = "/api/v0/audit";
const ACCOUNTS: &str = "/enzi/v0/accounts";

/// Changing calls that leave no row, and why.
const SILENT: [(&str, &str); 1] = [("api.backup.end", "that it began was told")];

/// Calls one after the other, and the rows that each leaves.
struct Walk<'a> {
    site: &'a Site,
    last: u64,
    done: BTreeSet<&'static str>,
}

impl Walk<'_> {
    /// What was written since the last look, the oldest first.
    async fn new_rows(&mut self) -> Vec<Value> {
        let path = format!("{AUDIT}?after={}&pageSize=100", self.last);
        let mut rows = self.site.expect(200, Ask::get(&path).user("root")).await.json().as_array().unwrap().clone();
        rows.reverse();
        self.last = rows.last().map_or(self.last, |row| row["number"].as_u64().unwrap());
        rows
    }

    /// Sends a request as `user` (`system`: over the local socket), and checks
    /// that it left these rows and no others.
    async fn step(&mut self, user: &str, method: Method, path: &str, body: Value, rows: &[(&str, &str)]) -> Answer {
        let bare = path.split('?').next().unwrap();
        let ask = with_json(Ask::new(method.clone(), path), body).header("user-agent", "walk/1");
        let ask = if user == "system" { ask.local() } else { ask.user(user) };
        if let Ok(route) = ApiRoute::parse(&method, bare) {
            self.done.insert(route.name());
        }
        self.sent(user, ask, rows).await
    }

    async fn sent(&mut self, user: &str, ask: Ask, rows: &[(&str, &str)]) -> Answer {
        let told = format!("{ask:?}");
        let answer = self.site.send(ask).await;
        assert!(answer.status.is_success(), "{told}: {} {}", answer.status, answer.text());
        let found = self.new_rows().await;
        let words: Vec<(&str, &str)> = found
            .iter()
            .map(|row| (row["action"].as_str().unwrap(), row["object"]["name"].as_str().unwrap()))
            .collect();
        assert_eq!(words, rows, "{told}");
        for row in &found {
            assert_eq!(row["actor"]["name"], user, "{row}");
            assert_eq!(row["from"]["requestID"], answer.header("x-request-id"), "{row}");
            assert_eq!(row["from"]["kind"], if user == "system" { "socket" } else { "network" }, "{row}");
        }
        answer
    }
}

async fn accounts(walk: &mut Walk<'_>) {
    let (post, patch, put, delete) = (Method::POST, Method::PATCH, Method::PUT, Method::DELETE);
    let of = |rest: &str| format!("{ACCOUNTS}{rest}");
    let new = json!({ "name": "eve", "password": "canary-first" });
    walk.step("root", post.clone(), ACCOUNTS, new, &[("account.create", "eve")]).await;
    walk.step(
        "system",
        post.clone(),
        ACCOUNTS,
        json!({ "name": "qa", "isOrg": true }),
        &[("organization.create", "qa")],
    )
    .await;
    let import = json!({ "accounts": [{ "name": "tom" }, { "name": "tim" }] });
    let both = [("account.create", "tom"), ("account.create", "tim")];
    walk.step("root", post.clone(), "/enzi/v0/admin/importAccounts", import, &both).await;
    let change = |body: Value| (patch.clone(), of("/eve"), body);
    for (body, action) in [
        (json!({ "fullName": "Eve" }), Some("account.update")),
        (json!({ "fullName": "Eve" }), None),
        (json!({ "isAdmin": true }), Some("account.admin")),
        (json!({ "isActive": false, "isAdmin": false }), Some("account.deactivate")),
        (json!({ "isActive": true }), Some("account.activate")),
    ] {
        let (method, path, body) = change(body);
        let rows: Vec<_> = action.into_iter().map(|action| (action, "eve")).collect();
        walk.step("root", method, &path, body, &rows).await;
    }
    walk.step("root", patch.clone(), &of("/qa"), json!({ "fullName": "QA" }), &[("organization.update", "qa")]).await;
    let password = json!({ "newPassword": "canary-second" });
    walk.step("root", post.clone(), &of("/eve/changePassword"), password, &[("account.password", "eve")]).await;
    let (member, none) = (of("/qa/members/ann"), json!({}));
    walk.step("root", put.clone(), &member, json!({ "isAdmin": true }), &[("member.add", "qa")]).await;
    walk.step("root", put.clone(), &member, none.clone(), &[]).await;
    walk.step("ann", patch.clone(), &member, json!({ "isAdmin": true }), &[]).await;
    walk.step("root", patch.clone(), &member, json!({ "isAdmin": false }), &[("member.update", "qa")]).await;
    walk.step("root", delete.clone(), &member, none.clone(), &[("member.remove", "qa")]).await;
    walk.step("root", delete.clone(), &member, none.clone(), &[]).await;
    let team = of("/qa/teams/web");
    walk.step("root", post.clone(), &of("/qa/teams"), json!({ "name": "web" }), &[("team.create", "qa/web")]).await;
    walk.step("root", patch.clone(), &team, json!({ "description": "all" }), &[("team.update", "qa/web")]).await;
    let member = format!("{team}/members/bob");
    walk.step("root", put.clone(), &member, none.clone(), &[("team.member.add", "qa/web")]).await;
    walk.step("root", put.clone(), &member, json!({ "isAdmin": true }), &[("team.member.update", "qa/web")]).await;
    let level = json!({ "accessLevel": "read-write" });
    let grant = "/api/v0/repositoryNamespaces/qa/teamAccess/web";
    walk.step("root", put.clone(), grant, level.clone(), &[("grant.set", "qa")]).await;
    walk.step("root", put.clone(), grant, level.clone(), &[]).await;
    walk.step("root", delete.clone(), grant, none.clone(), &[("grant.remove", "qa")]).await;
    let new = json!({ "name": "app" });
    walk.step("root", post.clone(), "/api/v0/repositories/qa", new, &[("repository.create", "qa/app")]).await;
    let grant = at("qa/app", "/teamAccess/web");
    walk.step("root", put, &grant, level, &[("grant.set", "qa/app")]).await;
    walk.step("root", delete.clone(), &grant, none.clone(), &[("grant.remove", "qa/app")]).await;
    walk.step("root", delete.clone(), &member, none.clone(), &[("team.member.remove", "qa/web")]).await;
    walk.step("root", delete.clone(), &team, none.clone(), &[("team.delete", "qa/web")]).await;
    walk.step("root", delete.clone(), &of("/tim"), none.clone(), &[("account.delete", "tim")]).await;
    let many = json!({ "operations": [{ "op": "delete", "ref": "tom" }, { "op": "delete", "ref": "tom" }] });
    walk.step("root", patch, ACCOUNTS, many, &[("account.delete", "tom")]).await;
    walk.step(
        "root",
        delete.clone(),
        "/api/v0/accounts/qa/repositories",
        none.clone(),
        &[("repository.delete", "qa/app")],
    )
    .await;
    walk.step("root", delete, "/api/v0/accounts/qa", none, &[("organization.delete", "qa")]).await;
}

async fn contents(walk: &mut Walk<'_>) {
    let (post, put, delete) = (Method::POST, Method::PUT, Method::DELETE);
    let (site, none) = (walk.site, json!({}));
    let tag = |tag: &str| format!("ann/app:{tag}");
    // Blobs mean nothing, and so does a manifest without a tag.
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let layer = site.push_blob("ann", "ann/app", b"layer").await;
    let push = |reference: &str, layers: &[(Digest, usize)]| {
        let manifest = image(&config, 2, layers, None);
        let digest = Digest::sha256_of(manifest.to_string().as_bytes());
        let reference = if reference.is_empty() { digest.to_string() } else { reference.to_owned() };
        let ask = Ask::put(&format!("/v2/ann/app/manifests/{reference}")).body(manifest.to_string());
        (digest, ask.header("content-type", manifest["mediaType"].as_str().unwrap()).user("ann"))
    };
    assert_eq!(walk.new_rows().await, Vec::<Value>::new());
    let (first, ask) = push("1.0", &[(layer, 5)]);
    walk.sent("ann", ask, &[("tag.push", &tag("1.0"))]).await;
    let (second, ask) = push("1.0", &[(layer, 5), (layer, 5)]);
    walk.sent("ann", ask, &[("tag.push", &tag("1.0"))]).await;
    let (third, ask) = push("", &[(layer, 5), (layer, 5), (layer, 5)]);
    walk.sent("ann", ask, &[]).await;
    walk.step("ann", put, &at("ann/app", "/tags/1.0"), json!({ "digest": first }), &[("tag.restore", &tag("1.0"))])
        .await;
    let promote = json!({ "targetRepository": "ann/other", "targetTag": "stable" });
    let path = at("ann/app", "/tags/1.0/promotion");
    walk.step("ann", post.clone(), &path, promote, &[("tag.promote", "ann/other:stable")]).await;
    let there = Site::open().await;
    let path = at("ann/app", "/tags/1.0/pushMirroring");
    walk.step("root", post, &path, mirror(&there, "bob/app"), &[("tag.send", &tag("1.0"))]).await;
    there.close().await;
    walk.step(
        "ann",
        delete.clone(),
        &at("ann/other", "/tags/stable"),
        none.clone(),
        &[("tag.delete", "ann/other:stable")],
    )
    .await;
    let named = |digest: &Digest| format!("ann/app@{digest}");
    let rows = [("tag.delete", &*tag("1.0")), ("manifest.delete", &named(&first))];
    walk.step("ann", delete.clone(), &at("ann/app", &format!("/manifests/{first}")), none, &rows).await;
    for digest in [second, third] {
        let ask = Ask::delete(&format!("/v2/ann/app/manifests/{digest}")).user("ann");
        walk.sent("ann", ask, &[("manifest.delete", &named(&digest))]).await;
    }
    let ask = Ask::delete(&format!("/v2/ann/app/blobs/{layer}")).user("ann");
    walk.sent("ann", ask, &[("blob.delete", &named(&layer))]).await;
}

/// Access tokens, robots, client certificates; and what is done with a token.
async fn credentials(walk: &mut Walk<'_>) {
    let (post, patch, delete) = (Method::POST, Method::PATCH, Method::DELETE);
    let (site, none) = (walk.site, json!({}));
    let tokens = "/api/v0/api_tokens";
    let label = json!({ "tokenLabel": "laptop" });
    let made = walk.step("ann", post.clone(), tokens, label.clone(), &[("token.create", "ann")]).await.json();
    let one = format!("{tokens}/{}", made["hashedToken"].as_str().unwrap());
    walk.step("ann", patch.clone(), &one, json!({ "isActive": false }), &[("token.update", "ann")]).await;
    walk.step("ann", patch.clone(), &one, json!({ "isActive": false }), &[]).await;
    walk.step("ann", delete.clone(), &one, none.clone(), &[("token.delete", "ann")]).await;
    walk.step("ann", post.clone(), tokens, label, &[("token.create", "ann")]).await;
    let path = format!("{tokens}?generatedby=any");
    walk.step("ann", delete.clone(), &path, none.clone(), &[("token.delete", "ann")]).await;

    let robot = json!({ "name": "ci", "description": "builds", "scopes": ["bob/*:pull,push"] });
    // A robot comes with its first token.
    let both = [("robot.create", "bob+ci"), ("token.create", "bob+ci")];
    walk.step("bob", post.clone(), "/api/v0/robots/bob", robot, &both).await;
    let of = "/api/v0/robots/bob/ci";
    let change = json!({ "description": "all builds", "scopes": ["bob/*:pull,push"] });
    walk.step("bob", patch, of, change, &[("robot.update", "bob+ci")]).await;
    let path = format!("{of}/tokens");
    let made = walk.step("bob", post.clone(), &path, none.clone(), &[("token.create", "bob+ci")]).await.json();
    let config = site.push_blob("bob", "bob/app", b"{}").await;
    let manifest = image(&config, 2, &[], None);
    let ask = Ask::put("/v2/bob/app/manifests/1.0").body(manifest.to_string());
    let ask = ask.header("content-type", manifest["mediaType"].as_str().unwrap());
    let token = made["token"].as_str().unwrap();
    walk.sent("bob+ci", ask.header("authorization", &basic("bob+ci", token)), &[("tag.push", "bob/app:1.0")]).await;
    let rows = site.expect(200, Ask::get(&format!("{AUDIT}?object=bob/app:1.0")).user("root")).await;
    let shown = rows.json()[0]["from"]["credential"].as_str().unwrap().to_owned();
    let id = made["hashedToken"].as_str().unwrap();
    assert!(shown.strip_prefix("token ").is_some_and(|shown| id.starts_with(shown)), "{shown}");
    assert!(!rows.text().contains(token), "{}", rows.text());
    walk.step("bob", delete.clone(), of, none.clone(), &[("robot.delete", "bob+ci")]).await;

    let map = json!({ "name": "cn:press-7", "account": "bob" });
    let path = "/api/v0/clientCertificates";
    walk.step("root", post, path, map, &[("certificate.map", "cn:press-7")]).await;
    let path = format!("{path}?name=cn%3Apress-7");
    walk.step("root", delete, &path, none, &[("certificate.unmap", "cn:press-7")]).await;
}

async fn the_rest(walk: &mut Walk<'_>) {
    let (post, patch, put, delete) = (Method::POST, Method::PATCH, Method::PUT, Method::DELETE);
    let none = json!({});
    let update = json!({ "visibility": "public", "longDescription": "a page" });
    walk.step("ann", patch, &at("ann/app", ""), update, &[("repository.update", "ann/app")]).await;
    walk.step("root", put.clone(), "/api/v0/quotas/ann", json!({ "quotaBytes": 1 << 30 }), &[("quota.set", "ann")])
        .await;
    let settings = json!({ "createRepositoryOnPush": true });
    let path = "/api/v0/meta/settings";
    walk.step("root", post.clone(), path, settings, &[("settings.update", "settings")]).await;
    let promotion = json!({ "targetRepository": "ann/other", "tagTemplate": "%n", "enabled": true,
        "rules": [{ "field": "tag", "operator": "ew", "values": ["-stable"] }] });
    let list = at("ann/app", "/promotionPolicies");
    let made = walk.step("ann", post.clone(), &list, promotion.clone(), &[("policy.create", "ann/app")]).await.json();
    let one = format!("{list}/{}", made["id"].as_str().unwrap());
    walk.step("ann", put, &one, promotion, &[("policy.update", "ann/app")]).await;
    walk.step("ann", delete.clone(), &one, none.clone(), &[("policy.delete", "ann/app")]).await;
    let far = json!({ "enabled": true, "remoteHost": "http://127.0.0.1:9", "remoteRepository": "bob/app",
        "username": "bob", "password": "canary-third" });
    let list = at("ann/app", "/pollMirroringPolicies");
    let path = format!("{list}?check=false");
    let made = walk.step("ann", post.clone(), &path, far, &[("policy.create", "ann/app")]).await.json();
    let id = made["id"].as_str().unwrap();
    let path = format!("{list}/{id}/run");
    let job = walk.step("ann", post.clone(), &path, none.clone(), &[("mirror.run", "ann/app")]).await.json();
    let path = format!("/api/v0/jobs/{}/cancel", job["id"].as_str().unwrap());
    walk.step("root", post.clone(), &path, none.clone(), &[("job.cancel", "poll_mirror ann/app")]).await;
    let path = format!("/api/v0/jobs/{}", job["id"].as_str().unwrap());
    walk.step("root", delete.clone(), &path, none.clone(), &[("job.delete", "poll_mirror ann/app")]).await;
    let path = at("ann/app", "/mirroringPolicies");
    walk.step("ann", delete.clone(), &path, json!([{ "id": id }]), &[("policy.delete", "ann/app")]).await;
    for (action, rows) in [
        ("onlinegc", ("collection.start", "all")),
        ("scrub", ("scrub.start", "all")),
        ("heal", ("heal.start", "quarantine")),
        ("rekey", ("rekey.start", "all")),
    ] {
        walk.step("root", post.clone(), "/api/v0/jobs", json!({ "action": action }), &[rows]).await;
    }
    let begun =
        walk.step("system", post.clone(), "/api/v0/backups?folder=x", none.clone(), &[("backup.begin", "rows")]).await;
    // The head of the stream names the backup.
    let head = begun.text();
    let lease = head.split("\"lease\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a lease").to_owned();
    let path = format!("/api/v0/backups/{lease}");
    walk.step("system", Method::GET, &format!("{path}/keys"), none.clone(), &[("backup.keys", "keys")]).await;
    walk.step("system", delete.clone(), &path, none.clone(), &[]).await;
    let path = "/api/v0/admin/sealingKeys";
    let made = walk.step("root", post, path, none.clone(), &[("key.add", "new")]).await.json();
    let old = made["keys"].as_array().unwrap().iter().find(|key| key["seals"] == false).unwrap();
    let id = old["id"].as_str().unwrap();
    walk.step("root", delete.clone(), &format!("{path}/{id}"), none.clone(), &[("key.retire", id)]).await;
    let path = at("ann/other", "");
    walk.step("root", delete, &path, none, &[("repository.delete", "ann/other")]).await;
}

#[tokio::test]
async fn every_changing_call_leaves_its_rows_with_who_and_from_where() {
    let site = Site::open().await;
    let mut walk = Walk { site: &site, last: 0, done: BTreeSet::new() };
    assert!(!walk.new_rows().await.is_empty(), "the accounts of the site were made by the daemon");
    accounts(&mut walk).await;
    contents(&mut walk).await;
    credentials(&mut walk).await;
    the_rest(&mut walk).await;
    let done = walk.done;
    for (method, path, route, _) in calls() {
        let is_known = done.contains(route.name()) || SILENT.iter().any(|(name, _)| *name == route.name());
        assert!(!route.changes() || is_known, "{method} {path}: what does {} leave in the audit log?", route.name());
    }
    // Nothing of what was sent to be kept secret stands in any row.
    let read = site.state.registry().store().snapshot().unwrap();
    let mut rows = 0;
    read.walk(Table::Audit, &Span::all(), Order::Forward, |_, value| {
        rows += 1;
        let text = String::from_utf8_lossy(value).into_owned();
        for secret in [PASSWORD, "canary", "$argon2", "BEGIN", "Basic ", "tgp_"] {
            assert!(!text.contains(secret), "{text}");
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
    assert!(rows > 60, "{rows}");
    drop(read);
    site.close().await;
}

#[tokio::test]
async fn the_log_is_read_by_filter_and_in_pages() {
    let site = Site::open().await;
    for tag in ["1", "2", "3"] {
        site.push_image("ann", "ann/app", tag, b"layer").await;
    }
    site.push_image("bob", "bob/app", "1", b"layer").await;
    let rows = async |query: &str| {
        let answer = site.expect(200, Ask::get(&format!("{AUDIT}?{query}")).user("root")).await;
        let rows = answer.json().as_array().unwrap().clone();
        let names: Vec<String> = rows.iter().map(|row| row["object"]["name"].as_str().unwrap().to_owned()).collect();
        (names, answer.headers.get("x-next-page-start").map(|next| next.to_str().unwrap().to_owned()), rows)
    };
    let pushes = rows("action=tag.push").await.0;
    assert_eq!(pushes, ["bob/app:1", "ann/app:3", "ann/app:2", "ann/app:1"], "newest first");
    assert_eq!(rows("action=tag.*&actor=ann&object=ann/app:2").await.0, ["ann/app:2"]);
    assert_eq!(rows("namespace=bob&action=tag.*").await.0, ["bob/app:1"]);
    assert_eq!(rows("objectKind=tag&object=ann/*&pageSize=2").await.0, ["ann/app:3", "ann/app:2"]);
    assert_eq!(rows("objectKind=organization").await.0, ["dev"]);
    let (_, _, all) = rows("pageSize=1000").await;
    let ann = all.iter().find(|row| row["object"]["name"] == "ann").unwrap();
    assert_eq!(rows(&format!("object={}", ann["object"]["id"].as_str().unwrap())).await.0, ["ann"]);
    // In pages of two, across the classes, nothing is missed or told twice.
    let (mut joined, mut next) = (Vec::new(), Some(String::new()));
    while let Some(start) = next {
        let (_, following, page) = rows(&format!("pageSize=2&pageStart={start}")).await;
        assert!(page.len() <= 2);
        (joined, next) = ([joined, page].concat(), following);
    }
    assert_eq!(joined, all);
    let numbers: Vec<u64> = all.iter().map(|row| row["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, other| one > other), "{numbers:?}");
    let (third, time) = (numbers[2], all[2]["time"].as_str().unwrap());
    assert_eq!(rows(&format!("after={third}")).await.2.len(), 2);
    assert_eq!(rows(&format!("since={time}")).await.2.len(), 3);
    assert_eq!(rows(&format!("until={time}&pageSize=1000")).await.2.len(), all.len() - 2);
    for (query, name) in [
        ("action=tag.psh", "action"),
        ("objectKind=thing", "objectKind"),
        ("since=monday", "since"),
        ("after=x", "after"),
        ("pageStart=x", "pageStart"),
    ] {
        let refused = site.expect(400, Ask::get(&format!("{AUDIT}?{query}")).user("root")).await;
        assert!(refused.message().contains(name), "{}", refused.message());
    }
    site.close().await;
}

#[tokio::test]
async fn owners_read_their_own_namespace_and_nobody_reads_more() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1", b"layer").await;
    let ask = |query: &str| Ask::get(&format!("{AUDIT}{query}"));
    site.expect(401, ask("")).await;
    for (user, query) in
        [("ann", ""), ("ann", "?namespace=bob"), ("bob", "?namespace=ann"), ("ann", "?namespace=nobody")]
    {
        assert_eq!(site.expect(403, ask(query).user(user)).await.code(), "NOT_AUTHORIZED", "{user} {query}");
    }
    let own = site.expect(200, ask("?namespace=ann").user("ann")).await.json();
    let names: Vec<&str> = own.as_array().unwrap().iter().map(|row| row["object"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann/app:1", "ann/other", "ann/app", "ann"]);
    // An owner of an organization is an admin of its namespace, a member is not.
    let member =
        |is_admin: bool| Ask::put(&format!("{ACCOUNTS}/dev/members/bob")).body(format!("{{\"isAdmin\":{is_admin}}}"));
    site.expect(200, member(false).user("root")).await;
    site.expect(403, ask("?namespace=dev").user("bob")).await;
    site.expect(200, member(true).user("root")).await;
    let rows = site.expect(200, ask("?namespace=dev").user("bob")).await.json();
    let change = &rows[0]["changes"];
    assert_eq!(change[1], json!({ "field": "isAdmin", "before": "false", "after": "true" }), "{change}");
    site.close().await;
}

#[tokio::test]
async fn failed_sign_ins_are_told_together() {
    let site = Site::open().await;
    let ask = |name: &str| Ask::get("/v2/").header("authorization", &basic(name, "canary wrong"));
    for _ in 0..5 {
        site.expect(401, ask("ann")).await;
    }
    for name in ["canary-typed-into-the-name", "canary-again", "gone"] {
        site.expect(401, ask(name)).await;
    }
    let path = format!("{AUDIT}?action=signin.fail");
    let none = site.expect(200, Ask::get(&path).user("root")).await.json();
    assert_eq!(none, json!([]), "no guess is a write");
    failures::write(&site.state).await.unwrap();
    failures::write(&site.state).await.unwrap();
    let rows = site.expect(200, Ask::get(&path).user("root")).await;
    assert!(!rows.text().contains("canary"), "{}", rows.text());
    let told: Vec<(String, u64)> = rows
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert_eq!(row["from"]["address"], "127.0.0.1", "{row}");
            assert_eq!(row["actor"]["name"], "anonymous", "{row}");
            (row["object"]["name"].as_str().unwrap().to_owned(), row["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(told, [("gone".to_owned(), 1), ("ann".to_owned(), 5), (String::new(), 2)]);
    site.close().await;
}

#[tokio::test]
async fn a_robot_that_fails_is_told_by_its_name_and_a_deleted_account_with_its_certificates() {
    let site = Site::open().await;
    let robot = json!({ "name": "ci", "scopes": ["bob/app:pull"] }).to_string();
    site.expect(201, Ask::post("/api/v0/robots/bob").user("bob").body(robot)).await;
    for name in ["bob+ci", "bob+canary"] {
        site.expect(401, Ask::get("/v2/").header("authorization", &basic(name, "wrong horse"))).await;
    }
    failures::write(&site.state).await.unwrap();
    let rows = site.expect(200, Ask::get(&format!("{AUDIT}?action=signin.fail")).user("root")).await.json();
    let told: Vec<_> =
        rows.as_array().unwrap().iter().map(|row| (&row["object"]["name"], &row["object"]["kind"])).collect();
    assert_eq!(told, [(&json!("bob+ci"), &json!("robot")), (&json!(""), &json!("account"))]);
    let map = json!({ "name": "cn:press-7", "account": "bob" }).to_string();
    site.expect(201, Ask::post("/api/v0/clientCertificates").user("root").body(map)).await;
    site.expect(204, Ask::delete(&format!("{ACCOUNTS}/bob")).user("root")).await;
    let rows = site.expect(200, Ask::get(&format!("{AUDIT}?action=certificate.unmap")).user("root")).await.json();
    assert_eq!((&rows[0]["object"]["name"], &rows[0]["actor"]["name"]), (&json!("cn:press-7"), &json!("root")));
    site.close().await;
}

/// A user that changed itself without end once pushed out of the log who gave
/// whom which rights.
#[tokio::test]
async fn what_users_do_to_themselves_pushes_out_nothing_that_owners_did() {
    let site = Site::open().await;
    let kept = |class: Class| store::audit::kept(&site.state.registry().store().snapshot().unwrap(), class).unwrap();
    let robot = json!({ "name": "ci", "scopes": ["ann/**:admin"] }).to_string();
    let robot = site.expect(201, Ask::post("/api/v0/robots/ann").user("ann").body(robot)).await.json();
    let by_robot = basic("ann+ci", robot["token"].as_str().unwrap());
    let (of_owners, own) = (kept(Class::Namespace), kept(Class::Own));
    let rename = Ask::patch(&format!("{ACCOUNTS}/ann")).body(r#"{"fullName":"Ann"}"#).user("ann");
    site.expect(200, rename).await;
    let password = json!({ "oldPassword": PASSWORD, "newPassword": PASSWORD }).to_string();
    site.expect(200, Ask::post(&format!("{ACCOUNTS}/ann/changePassword")).body(password).user("ann")).await;
    site.expect(200, Ask::post("/api/v0/api_tokens").body("{}").user("ann")).await;
    let change = || Ask::patch(&at("ann/app", "")).body(r#"{"shortDescription":"x"}"#);
    site.expect(200, change().user("ann")).await;
    site.expect(200, Ask::patch(&at("ann/app", "")).body(r#"{"tagLimit":7}"#).header("authorization", &by_robot)).await;
    assert_eq!((kept(Class::Namespace), kept(Class::Own)), (of_owners, own + 5));
    // What others do to it is theirs, and either is found by what it is.
    site.expect(200, Ask::patch(&format!("{ACCOUNTS}/ann")).body(r#"{"fullName":"A"}"#).user("root")).await;
    assert_eq!((kept(Class::Namespace), kept(Class::Own)), (of_owners + 1, own + 5));
    let rows = site.expect(200, Ask::get(&format!("{AUDIT}?action=account.update")).user("root")).await.json();
    let by: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["actor"]["name"]).collect();
    assert_eq!(by, ["root", "ann"]);
    site.close().await;
}

#[tokio::test]
async fn the_local_socket_says_which_user_sits_there() {
    let site = Site::open().await;
    site.expect(201, Ask::post(ACCOUNTS).body(r#"{"name":"eve","password":"long enough"}"#).local()).await;
    let rows = site.expect(200, Ask::get(&format!("{AUDIT}?object=eve")).user("root")).await.json();
    let own = std::fs::metadata(site.folder()).unwrap().uid();
    assert_eq!((&rows[0]["from"]["kind"], &rows[0]["from"]["uid"]), (&json!("socket"), &json!(own)));
    site.close().await;
}
