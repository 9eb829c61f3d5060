//! Members, teams, and answers of a system without a directory.

use serde_json::{Value, json};

use super::send;
use crate::audit::Audit;
use crate::chance::Id;
use crate::http::harness::{Answer, Ask, PASSWORD, Site, basic};
use crate::store::record::Team;
use crate::store::{Change, Lane, Operation, StoreError, account, team};

const ACCOUNTS: &str = "/enzi/v0/accounts";

/// What `root` is answered.
async fn root(site: &Site, status: u16, ask: Ask, body: &str) -> Answer {
    site.expect(status, ask.body(body).user("root")).await
}

fn names(list: &Value, pointer: &str) -> Vec<String> {
    let mut names: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry.pointer(pointer).unwrap().as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn members_are_let_in_listed_and_taken_out() {
    let site = Site::open().await;
    let members = format!("{ACCOUNTS}/dev/members");
    let one = |user: &str| format!("{members}/{user}");
    // Empty bodies, null, a name that repeats the path's, and again.
    let put = root(&site, 200, Ask::put(&one("ann")), "").await.json();
    assert_eq!((&put["isAdmin"], &put["member"]["name"]), (&json!(false), &json!("ann")));
    root(&site, 200, Ask::put(&one("ann")), r#"{"isAdmin":null,"isPublic":null,"name":"ann"}"#).await;
    let put = root(&site, 200, Ask::put(&one("ann")), r#"{"isAdmin":true}"#).await.json();
    assert_eq!(put["isAdmin"], true);
    assert_eq!(root(&site, 200, Ask::put(&one("ann")), "{}").await.json()["isAdmin"], true, "it stays as it was");
    let bob = root(&site, 200, Ask::get(&format!("{ACCOUNTS}/bob")), "").await.json();
    let by_id = one(bob["id"].as_str().unwrap());
    // `ann` owns the organization by now, and ids do as well as names.
    site.expect(200, Ask::put(&by_id).user("ann")).await;
    let listed = site.expect(200, Ask::get(&format!("{members}?pageSize=1000&count=true")).user("bob")).await;
    assert_eq!(names(&listed.json()["members"], "/member/name"), ["ann", "bob"]);
    assert_eq!((&listed.json()["resourceCount"], &listed.json()["nextPageStart"]), (&json!(2), &json!("")));
    let admins = site.expect(200, Ask::get(&format!("{members}?filter=admins")).user("bob")).await.json();
    assert_eq!(names(&admins["members"], "/member/name"), ["ann"]);
    // In pages, by id.
    let (mut all, mut next) = (Vec::new(), String::new());
    for _ in 0..2 {
        let page = site.expect(200, Ask::get(&format!("{members}?limit=1&start={next}")).user("root")).await;
        all.extend(names(&page.json()["members"], "/member/name"));
        page.json()["nextPageStart"].as_str().unwrap().clone_into(&mut next);
        let header = page.headers.get("x-next-page-start").map_or("", |value| value.to_str().unwrap());
        assert_eq!(header, next);
    }
    all.sort();
    assert_eq!((all, next.as_str()), (vec!["ann".to_owned(), "bob".to_owned()], ""));
    let of = site.expect(200, Ask::get(&format!("{ACCOUNTS}/bob/organizations")).user("bob")).await.json();
    assert_eq!((&of["memberOrgs"][0]["org"]["name"], &of["memberOrgs"][0]["isAdmin"]), (&json!("dev"), &json!(false)));
    let org = site.expect(200, Ask::get(&format!("{ACCOUNTS}/dev")).user("bob")).await.json();
    assert_eq!(org["membersCount"], 2);
    // A member may see, and no more; who is none may not even that.
    site.expect(403, Ask::put(&one("gone")).user("bob")).await;
    site.expect(204, Ask::delete(&by_id).user("ann")).await;
    site.expect(403, Ask::get(&members).user("bob")).await;
    assert_eq!(site.expect(404, Ask::get(&one("bob")).user("bob")).await.code(), "NO_SUCH_MEMBER");
    root(&site, 204, Ask::delete(&one("bob")), "").await;
    root(&site, 204, Ask::delete(&one("nobody")), "").await;
    for (path, code) in [("nobody/members", "NO_SUCH_ACCOUNT"), ("ann/members", "NO_SUCH_ACCOUNT")] {
        assert_eq!(root(&site, 404, Ask::get(&format!("{ACCOUNTS}/{path}")), "").await.code(), code);
    }
    assert_eq!(
        root(&site, 404, Ask::put(&one("dev")), "").await.code(),
        "NO_SUCH_ACCOUNT",
        "no organization is a user"
    );
    site.close().await;
}

#[tokio::test]
async fn teams_are_made_changed_led_and_removed() {
    let site = Site::open().await;
    let teams = format!("{ACCOUNTS}/dev/teams");
    let made = root(
        &site,
        201,
        Ask::post(&teams),
        r#"{"description":"","id":"","membersCount":0,"name":"Web 1","orgID":"x"}"#,
    );
    let made = made.await.json();
    let id = made["id"].as_str().unwrap().to_owned();
    let org = root(&site, 200, Ask::get(&format!("{ACCOUNTS}/dev")), "").await.json()["id"].clone();
    assert_eq!(made, json!({ "orgID": org, "name": "Web 1", "id": id, "description": "", "membersCount": 0 }));
    for body in [r#"{"name":"Web 1"}"#, r#"{"name":" x"}"#, r#"{"name":"a/b"}"#, "{}"] {
        root(&site, 400, Ask::post(&teams), body).await;
    }
    let by_name = format!("{teams}/Web%201");
    assert_eq!(root(&site, 200, Ask::get(&by_name), "").await.json()["id"], id);
    let changed = root(
        &site,
        200,
        Ask::patch(&format!("{teams}/{id}")),
        r#"{"name":"web","description":"all of it","orgID":""}"#,
    );
    assert_eq!(changed.await.json()["description"], "all of it");
    assert_eq!(root(&site, 404, Ask::get(&by_name), "").await.code(), "NO_SUCH_TEAM");
    let team = format!("{teams}/web");
    // Joining a team is joining the organization; its admin member leads it.
    root(&site, 200, Ask::put(&format!("{team}/members/ann")), r#"{"isAdmin":true}"#).await;
    site.expect(200, Ask::put(&format!("{team}/members/bob")).user("ann")).await;
    site.expect(403, Ask::delete(&format!("{team}/members/ann")).user("bob")).await;
    site.expect(403, Ask::delete(&team).user("ann")).await;
    site.expect(200, Ask::patch(&team).body(r#"{"description":"ours"}"#).user("ann")).await;
    let listed = site.expect(200, Ask::get(&format!("{team}/members/?limit=10000&order=member.id")).user("bob")).await;
    assert_eq!(names(&listed.json()["members"], "/member/name"), ["ann", "bob"]);
    assert_eq!(site.expect(200, Ask::get(&format!("{team}/members/bob")).user("bob")).await.json()["isAdmin"], false);
    let of = site.expect(200, Ask::get(&format!("{ACCOUNTS}/dev/members/ann/teams")).user("bob")).await.json();
    assert_eq!(
        (&of["memberTeams"][0]["team"]["name"], &of["memberTeams"][0]["isAdmin"]),
        (&json!("web"), &json!(true))
    );
    for name in ["api", "zoo"] {
        root(&site, 201, Ask::post(&teams), &json!({ "name": name }).to_string()).await;
    }
    let page = site.expect(200, Ask::get(&format!("{teams}/?limit=2&order=name&filter=orgs")).user("bob")).await.json();
    assert_eq!(names(&page["teams"], "/name"), ["api", "web"]);
    assert_eq!((&page["nextPageStart"], &page["resourceCount"]), (&json!("zoo"), &json!(3)));
    site.expect(204, Ask::delete(&format!("{team}/members/bob")).user("ann")).await;
    assert_eq!(root(&site, 200, Ask::get(&team), "").await.json()["membersCount"], 1);
    site.expect(200, Ask::get(&format!("{ACCOUNTS}/dev/members/bob")).user("bob")).await;
    root(&site, 204, Ask::delete(&team), "").await;
    root(&site, 204, Ask::delete(&team), "").await;
    assert_eq!(root(&site, 404, Ask::put(&format!("{team}/members/ann")), "").await.code(), "NO_SUCH_TEAM");
    assert_eq!(root(&site, 200, Ask::get(&format!("{ACCOUNTS}/dev")), "").await.json()["teamsCount"], 2);
    site.close().await;
}

/// An admin of one team once called it by another team's id; then the owner's
/// grant to that other team, by its id, was theirs.
#[tokio::test]
async fn an_id_means_what_has_it_whatever_others_are_called() {
    let site = Site::open().await;
    let teams = format!("{ACCOUNTS}/dev/teams");
    let [web, core] = ["web", "core"].map(|name| (name, json!({ "name": name }).to_string()));
    root(&site, 201, Ask::post(&teams), &web.1).await;
    let core = root(&site, 201, Ask::post(&teams), &core.1).await.json()["id"].as_str().unwrap().to_owned();
    root(&site, 200, Ask::put(&format!("{teams}/web/members/ann")), r#"{"isAdmin":true}"#).await;
    for name in [core.clone(), core.to_uppercase()] {
        let rename = json!({ "name": name });
        let refused = send(&site, 400, "ann", Ask::patch(&format!("{teams}/web")), rename.clone()).await;
        assert_eq!(refused.code(), "INVALID_TEAM_NAME");
        send(&site, 400, "root", Ask::post(&teams), rename).await;
    }
    let account = json!({ "name": core, "password": PASSWORD });
    assert_eq!(send(&site, 400, "root", Ask::post(ACCOUNTS), account).await.code(), "INVALID_ACCOUNT_NAME");
    let robot = json!({ "name": core, "scopes": ["ann/app:pull"] });
    assert_eq!(send(&site, 400, "ann", Ask::post("/api/v0/robots/ann"), robot).await.code(), "INVALID_ROBOT_NAME");
    // One from before that is called so works on by its own id, and takes
    // nothing that is meant for the other.
    let old = Id::from_bytes([7; 16]);
    let store = site.state.registry().store();
    store.submit(Lane::Foreground, OldTeam { id: old, name: core.clone() }).await.unwrap().unwrap();
    assert_eq!(root(&site, 200, Ask::get(&format!("{teams}/{core}")), "").await.json()["name"], "core");
    let path = format!("{teams}/{old}");
    let same = json!({ "name": core, "description": "from before" }).to_string();
    assert_eq!(root(&site, 200, Ask::patch(&path), &same).await.json()["name"], json!(core));
    root(&site, 200, Ask::put(&format!("{path}/members/ann")), "{}").await;
    root(&site, 200, Ask::patch(&path), r#"{"name":"old"}"#).await;
    site.close().await;
}

/// A team as an earlier version made it.
struct OldTeam {
    id: Id,
    name: String,
}

impl Operation for OldTeam {
    type Plan = Id;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "make an old team";
    const AUDIT: Audit = Audit::Nothing("a test's");

    fn check(&self, tables: &Change<'_>) -> Result<Result<Id, Self::Refusal>, StoreError> {
        Ok(Ok(account::get(tables, "dev")?.expect("is there").id))
    }

    fn apply(&self, dev: Id, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let (name, created_at) = (self.name.clone(), tables.now());
        let made = Team { id: self.id, name, description: String::new(), members: 0, created_at };
        team::put(tables, &dev, &made, None)
    }
}

#[tokio::test]
async fn accounts_are_changed_by_those_who_may_and_deleted_with_all_but_their_images() {
    let site = Site::open().await;
    let at = |name: &str| format!("{ACCOUNTS}/{name}");
    root(&site, 200, Ask::put(&at("dev/members/ann")), r#"{"isAdmin":true}"#).await;
    let named = send(&site, 200, "ann", Ask::patch(&at("ann")), json!({ "fullName": "Ann", "isAdmin": false })).await;
    assert_eq!(named.json()["fullName"], "Ann");
    send(&site, 200, "ann", Ask::patch(&at("dev")), json!({ "fullName": "Development" })).await;
    for (path, body) in [("ann", json!({ "isAdmin": true })), ("bob", json!({ "fullName": "B" })), ("bob", json!({}))] {
        assert_eq!(send(&site, 403, "ann", Ask::patch(&at(path)), body).await.code(), "NOT_AUTHORIZED");
    }
    assert_eq!(
        send(&site, 200, "root", Ask::patch(&at("ann")), json!({ "isAdmin": true })).await.json()["isAdmin"],
        true
    );
    send(&site, 200, "root", Ask::patch(&at("ann")), json!({ "isAdmin": false })).await;
    // Passwords: one's own by the old one, another's by a system admin.
    let change = |user: &str| Ask::post(&at(&format!("{user}/changePassword")));
    let (old, new) = (PASSWORD, "another horse");
    let wrong =
        send(&site, 400, "ann", change("ann"), json!({ "oldPassword": "wrong horse", "newPassword": new })).await;
    assert_eq!(wrong.code(), "PASSWORD_INCORRECT");
    send(&site, 400, "ann", change("ann"), json!({ "oldPassword": old, "newPassword": "short" })).await;
    send(&site, 403, "ann", change("bob"), json!({ "newPassword": new })).await;
    send(&site, 400, "root", change("root"), json!({ "newPassword": new })).await;
    send(&site, 200, "ann", change("ann"), json!({ "oldPassword": old, "newPassword": new })).await;
    site.expect(401, Ask::get(&at("ann")).user("ann")).await;
    site.expect(200, Ask::get(&at("ann")).header("authorization", &basic("ann", new))).await;
    send(&site, 200, "root", change("ann"), json!({ "newPassword": old })).await;
    let me = site.expect(200, Ask::get("/enzi/v0/id/").user("ann")).await.json();
    assert_eq!(me["name"], "ann");
    assert_eq!(site.expect(200, Ask::get("/enzi/v0/id").local()).await.json()["name"], "system");
    // Deleted: it cannot sign in, is nowhere a member, and its images are there.
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let gone = root(&site, 204, Ask::delete(&at("ann")), "").await;
    assert!(gone.header("warning").contains("the repositories and images of ann stay"), "{}", gone.header("warning"));
    root(&site, 204, Ask::delete(&at("ann")), "").await;
    site.expect(401, Ask::get(&at("root")).user("ann")).await;
    assert_eq!(root(&site, 200, Ask::get(&at("dev/members")), "").await.json()["members"], json!([]));
    assert_eq!(root(&site, 200, Ask::get(&at("dev")), "").await.json()["membersCount"], 0);
    root(&site, 200, Ask::get("/v2/ann/app/manifests/1.0"), "").await;
    let again = json!({ "name": "ann", "password": PASSWORD, "id": "" });
    send(&site, 201, "root", Ask::post(ACCOUNTS), again).await;
    let seen = site.expect(200, Ask::get("/v2/ann/app/manifests/1.0").user("ann")).await;
    assert_eq!(seen.header("docker-content-digest"), digest.to_string());
    let stays = root(&site, 403, Ask::delete(&at("docker-datacenter")), "").await;
    assert_eq!(stays.code(), "NOT_AUTHORIZED");
    // Many at once.
    let body = json!({ "operations": [
        { "op": "delete", "ref": "bob", "value": null }, { "op": "delete", "ref": "docker-datacenter" }, { "op": "x" },
    ] });
    let results = send(&site, 200, "root", Ask::patch(&format!("{ACCOUNTS}/")), body).await.json()["results"].clone();
    assert_eq!((&results[0]["success"], &results[0]["ref"]), (&json!(true), &json!("bob")));
    assert_eq!((&results[1]["success"], &results[2]["success"]), (&json!(false), &json!(false)));
    site.expect(401, Ask::get(&at("root")).user("bob")).await;
    site.close().await;
}

#[tokio::test]
async fn without_a_directory_the_answers_say_so_and_are_taken_back() {
    let site = Site::open().await;
    root(&site, 201, Ask::post(&format!("{ACCOUNTS}/dev/teams")), r#"{"name":"web"}"#).await;
    for path in [
        "/enzi/v0/accounts/dev/teams/web/memberSyncConfig",
        "/enzi/v0/accounts/dev/adminMemberSyncConfig",
        "/enzi/v0/accounts/dev/teams/web/groupLinkConfig",
        "/enzi/v0/config/auth",
        "/enzi/v0/config/auth/ldap",
    ] {
        let told = root(&site, 200, Ask::get(path), "").await.text();
        assert_eq!(root(&site, 200, Ask::put(path), &told).await.text(), told, "{path}");
    }
    let sync = root(&site, 200, Ask::get("/enzi/v0/accounts/dev/adminMemberSyncConfig"), "").await.json();
    assert_eq!(sync.as_object().unwrap().len(), 7);
    for (path, body) in [
        ("accounts/dev/teams/web/memberSyncConfig", json!({ "enableSync": true })),
        ("accounts/dev/teams/web/groupLinkConfig", json!({ "enableLink": true })),
        ("config/auth", json!({ "backend": "ldap" })),
        ("config/auth/ldap", json!({ "serverURL": "ldap://x" })),
    ] {
        let path = format!("/enzi/v0/{path}");
        assert_eq!(send(&site, 400, "root", Ask::put(&path), body).await.code(), "LDAP_NOT_CONFIGURED");
    }
    let ldap = json!({ "name": "x", "searchLDAP": true });
    assert_eq!(send(&site, 400, "root", Ask::post(ACCOUNTS), ldap).await.code(), "LDAP_NOT_CONFIGURED");
    let job = send(&site, 202, "root", Ask::post("/enzi/v0/jobs"), json!({ "action": "ldap-sync" })).await.json();
    assert_eq!((&job["status"], &job["action"]), (&json!("done"), &json!("ldap-sync")));
    let id = job["id"].as_str().unwrap();
    let listed = root(&site, 200, Ask::get("/enzi/v0/jobs?action=ldap-sync&limit=1"), "").await.json();
    assert_eq!(listed["jobs"][0]["id"], id);
    let log = root(&site, 200, Ask::get(&format!("/enzi/v0/jobs/{id}/logs")), "").await.text();
    assert!(log.contains("no directory"), "{log}");
    let workers = root(&site, 200, Ask::get("/enzi/v0/workers"), "").await.json();
    let worker = workers["workers"][0]["id"].as_str().unwrap().to_owned();
    root(&site, 204, Ask::get(&format!("/enzi/v0/workers/{worker}/ping")), "").await;
    let config = root(&site, 200, Ask::get("/enzi/v0/config/accounts"), "").await.json();
    assert_eq!(config, json!({ "systemAccounts": ["docker-datacenter"], "usersCount": 4, "orgsCount": 2 }));
    // Imported without what another system made of their passwords.
    let import = |hash: &str| {
        json!({ "accounts": [
            { "name": "ops", "isOrg": true, "fullName": "", "passwordHash": "" },
            { "name": "cleo", "isOrg": false, "isActive": true, "passwordHash": hash },
        ] })
    };
    let import_path = "/enzi/v0/admin/importAccounts";
    let refused = send(&site, 400, "root", Ask::post(import_path), import("$2a$10$x")).await;
    assert!(refused.message().contains("bcrypt"), "{}", refused.message());
    root(&site, 404, Ask::get("/enzi/v0/accounts/ops"), "").await;
    let made = send(&site, 201, "root", Ask::post(import_path), import("")).await.json();
    assert_eq!(names(&made["accounts"], "/name"), ["cleo", "ops"]);
    site.expect(401, Ask::get(ACCOUNTS).user("cleo")).await;
    site.close().await;
}
