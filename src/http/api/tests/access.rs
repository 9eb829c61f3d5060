//! What teams and accounts may do, as DTR's calls show and change it; the
//! settings; and namespaces that go.

use serde_json::json;

use super::{at, send};
use crate::http::harness::{Ask, Site};

/// `dev/app`, and a team `web` of `dev` with `ann` in it.
async fn site() -> Site {
    let site = Site::open().await;
    send(&site, 201, "root", Ask::post("/api/v0/repositories/dev"), json!({ "name": "app" })).await;
    send(&site, 201, "root", Ask::post("/enzi/v0/accounts/dev/teams"), json!({ "name": "web" })).await;
    send(&site, 200, "root", Ask::put("/enzi/v0/accounts/dev/teams/web/members/ann"), json!({})).await;
    site
}

#[tokio::test]
async fn a_team_is_granted_levels_on_a_repository() {
    let site = site().await;
    let one = at("dev/app", "/teamAccess/web");
    site.expect(404, Ask::get(&at("dev/app", "")).user("ann")).await;
    for level in ["read-only", "read-write", "admin"] {
        let given = send(&site, 200, "root", Ask::put(&one), json!({ "accessLevel": level })).await.json();
        assert_eq!(given["teamAccessList"][0]["accessLevel"], level);
        assert_eq!(given["repository"]["name"], "app");
        let path = "/api/v0/accounts/ann/repositoryAccess/dev/app";
        let has = site.expect(200, Ask::get(path).user("ann")).await.json();
        assert_eq!((&has["accessLevel"], &has["user"]["name"]), (&json!(level), &json!("ann")));
    }
    let listed = site.expect(200, Ask::get(&at("dev/app", "/teamAccess?count=true")).user("ann")).await;
    assert_eq!(listed.header("x-resource-count"), "1");
    let team = &listed.json()["teamAccessList"][0]["team"];
    assert_eq!((&team["name"], &team["clientUserIsMember"]), (&json!("web"), &json!(true)));
    let of_team = "/api/v0/accounts/dev/teams/web/repositoryAccess";
    let of = site.expect(200, Ask::get(of_team).user("ann")).await.json();
    assert_eq!(of["repositoryAccessList"][0]["repository"]["name"], "app");
    for (path, body, code) in [
        (one.as_str(), json!({ "accessLevel": "owner" }), "INVALID_ACCESS_LEVEL"),
        (one.as_str(), json!({}), "INVALID_JSON"),
        (&at("bob/app", "/teamAccess/web"), json!({ "accessLevel": "admin" }), "NOT_AN_ORGANIZATION"),
    ] {
        assert_eq!(send(&site, 400, "root", Ask::put(path), body).await.code(), code);
    }
    let missing = at("dev/app", "/teamAccess/none");
    let answer = send(&site, 404, "root", Ask::put(&missing), json!({ "accessLevel": "admin" })).await;
    assert_eq!(answer.code(), "NO_SUCH_TEAM");
    // Taken away: it is as if it were not there, for the next request.
    site.expect(204, Ask::delete(&one).user("ann")).await;
    site.expect(404, Ask::get(&at("dev/app", "")).user("ann")).await;
    site.expect(204, Ask::delete(&one).user("root")).await;
    site.expect(204, Ask::delete(&missing).user("root")).await;
    site.close().await;
}

#[tokio::test]
async fn a_team_is_granted_a_level_on_the_namespace() {
    let site = site().await;
    let all = "/api/v0/repositoryNamespaces/dev/teamAccess";
    let one = format!("{all}/web");
    let missing = site.expect(404, Ask::get(&one).user("root")).await;
    assert_eq!(missing.code(), "NO_SUCH_NAMESPACE_TEAM_ACCESS");
    let given = send(&site, 200, "root", Ask::put(&one), json!({ "accessLevel": "read-only" })).await.json();
    assert_eq!((&given["accessLevel"], &given["namespace"]), (&json!("read-only"), &json!("dev")));
    site.expect(200, Ask::get(&at("dev/app", "")).user("ann")).await;
    let page = site.expect(200, Ask::get("/api/v0/repositories?pageSize=100").user("ann")).await.json();
    assert_eq!(page["repositories"].as_array().unwrap().len(), 3);
    site.expect(403, Ask::put(&one).user("ann").body(r#"{"accessLevel":"admin"}"#)).await;
    assert_eq!(site.expect(200, Ask::get(all).user("ann")).await.json()["teamAccessList"][0]["team"]["name"], "web");
    site.expect(403, Ask::get(all).user("bob")).await;
    // Who has admin on the namespace may make repositories in it.
    let new = || Ask::post("/api/v0/repositories/dev");
    send(&site, 403, "ann", new(), json!({ "name": "new" })).await;
    send(&site, 200, "root", Ask::put(&one), json!({ "accessLevel": "admin" })).await;
    send(&site, 201, "ann", new(), json!({ "name": "new" })).await;
    site.expect(204, Ask::delete(&one).user("ann")).await;
    site.expect(404, Ask::get(&at("dev/new", "")).user("ann")).await;
    let user = "/api/v0/repositoryNamespaces/bob/teamAccess/web";
    assert_eq!(
        send(&site, 400, "bob", Ask::put(user), json!({ "accessLevel": "admin" })).await.code(),
        "NOT_AN_ORGANIZATION"
    );
    site.close().await;
}

/// A member in no team once read, by the list of a team's repositories, the
/// descriptions and figures of what it may not see.
#[tokio::test]
async fn a_team_s_repositories_are_shown_to_those_who_may_see_them() {
    let site = site().await;
    for name in ["open", "shut"] {
        send(&site, 201, "root", Ask::post("/api/v0/repositories/dev"), json!({ "name": name })).await;
    }
    for name in ["dev/app", "dev/open", "dev/shut"] {
        let grant = Ask::put(&at(name, "/teamAccess/web"));
        send(&site, 200, "root", grant, json!({ "accessLevel": "read-write" })).await;
    }
    send(&site, 200, "root", Ask::patch(&at("dev/open", "")), json!({ "visibility": "public" })).await;
    send(&site, 200, "root", Ask::put("/enzi/v0/accounts/dev/members/bob"), json!({})).await;
    let path = "/api/v0/accounts/dev/teams/web/repositoryAccess";
    for (user, seen) in [("root", &["app", "open", "shut"][..]), ("ann", &["app", "open", "shut"]), ("bob", &["open"])]
    {
        let page = site.expect(200, Ask::get(&format!("{path}?pageSize=1")).user(user)).await;
        let is_all = page.headers.get("x-next-page-start").is_none();
        assert_eq!(is_all, seen.len() == 1, "{user}: what is not shown is no page either");
        let shown = site.expect(200, Ask::get(path).user(user)).await.json();
        let shown = shown["repositoryAccessList"].as_array().unwrap().iter();
        let names: Vec<_> = shown.map(|entry| entry["repository"]["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names, seen, "{user}");
    }
    site.close().await;
}

#[tokio::test]
async fn what_anybody_may_do_is_asked_by_those_who_may_know() {
    let site = site().await;
    let access = |user: &str, repository: &str| format!("/api/v0/accounts/{user}/repositoryAccess/{repository}");
    let own = site.expect(200, Ask::get(&access("ann", "ann/app")).user("ann")).await.json();
    assert_eq!(own["accessLevel"], "admin");
    assert_eq!(
        site.expect(200, Ask::get(&access("root", "ann/app")).user("root")).await.json()["accessLevel"],
        "admin"
    );
    assert_eq!(
        site.expect(404, Ask::get(&access("bob", "ann/app")).user("ann")).await.code(),
        "NO_SUCH_REPOSITORY_ACCESS"
    );
    // A stranger is not told that there is one; one who may see it is not told
    // about others.
    let unseen = site.expect(404, Ask::get(&access("bob", "ann/app")).user("bob")).await;
    let missing = site.expect(404, Ask::get(&access("bob", "ann/xyz")).user("bob")).await;
    assert_eq!(unseen.text().replace("ann/app", "ann/xyz"), missing.text());
    send(&site, 200, "ann", Ask::patch(&at("ann/app", "")), json!({ "visibility": "public" })).await;
    assert_eq!(
        site.expect(200, Ask::get(&access("bob", "ann/app")).user("bob")).await.json()["accessLevel"],
        "read-only"
    );
    site.expect(403, Ask::get(&access("ann", "ann/app")).user("bob")).await;
    site.close().await;
}

#[tokio::test]
async fn settings_are_shown_whole_and_only_what_can_be_set_is_set() {
    let site = site().await;
    let path = "/api/v0/meta/settings";
    let shown = site.expect(200, Ask::get(path).user("root")).await.json();
    assert!(shown.as_object().unwrap().len() >= 33);
    assert_eq!(shown["createRepositoryOnPush"], false);
    // All of it, as tools send it back.
    let mut changed = shown.clone();
    changed["createRepositoryOnPush"] = json!(true);
    changed["webTLSKey"] = json!("");
    send(&site, 202, "root", Ask::post(path), changed).await;
    assert_eq!(site.expect(200, Ask::get(path).user("root")).await.json()["createRepositoryOnPush"], true);
    for body in
        [json!({ "readOnlyRegistry": true }), json!({ "createRepositoryOnPush": "yes" }), json!({ "webTLSKey": "x" })]
    {
        assert_eq!(send(&site, 400, "root", Ask::post(path), body).await.code(), "INVALID_SETTINGS");
    }
    send(&site, 202, "root", Ask::post(path), json!({ "createRepositoryOnPush": false, "other": 1 })).await;
    assert_eq!(site.expect(200, Ask::get(path).user("root")).await.json()["createRepositoryOnPush"], false);
    let own = "/api/v0/accounts/ann/settings";
    assert_eq!(site.expect(200, Ask::get(own).user("ann")).await.json(), json!({ "ContentCacheUUID": "" }));
    send(&site, 200, "ann", Ask::patch(own), json!({ "contentCacheUUID": "" })).await;
    assert_eq!(
        send(&site, 400, "ann", Ask::patch(own), json!({ "contentCacheUUID": "x" })).await.code(),
        "INVALID_USER_SETTINGS"
    );
    assert_eq!(
        site.expect(200, Ask::get("/api/v0/accounts/language").user("ann")).await.json(),
        json!({ "language": "en" })
    );
    site.close().await;
}

#[tokio::test]
async fn a_namespace_goes_with_its_repositories_by_its_own_call_alone() {
    let site = site().await;
    site.push_image("bob", "bob/app", "1.0", b"layer").await;
    for name in ["one", "two", "deep/er"] {
        send(&site, 201, "root", Ask::post("/api/v0/repositories/dev"), json!({ "name": name })).await;
    }
    site.expect(403, Ask::delete("/api/v0/accounts/dev/repositories").user("ann")).await;
    site.expect(204, Ask::delete("/api/v0/accounts/dev/repositories").user("root")).await;
    let left = site.expect(200, Ask::get("/api/v0/repositories/dev").user("root")).await.json();
    assert_eq!(left, json!({ "repositories": [] }));
    site.expect(204, Ask::delete("/api/v0/accounts/bob").user("root")).await;
    site.expect(404, Ask::get(&at("bob/app", "")).user("root")).await;
    assert_eq!(site.expect(404, Ask::get("/enzi/v0/accounts/bob").user("root")).await.code(), "NO_SUCH_ACCOUNT");
    // What a deleted account has left goes by the same call.
    site.expect(204, Ask::delete("/enzi/v0/accounts/ann").user("root")).await;
    let left = site.expect(200, Ask::get("/api/v0/repositories/ann").user("root")).await.json();
    assert_eq!(left["repositories"].as_array().unwrap().len(), 2);
    site.expect(204, Ask::delete("/api/v0/accounts/ann").user("root")).await;
    site.expect(204, Ask::delete("/api/v0/accounts/ann").user("root")).await;
    assert_eq!(site.expect(404, Ask::get("/api/v0/repositories/ann").user("root")).await.code(), "NO_SUCH_ACCOUNT");
    site.expect(403, Ask::delete("/api/v0/accounts/docker-datacenter").user("root")).await;
    site.close().await;
}
