//! The accounts API as scripts and tools call it, byte for byte, with a plain
//! `curl`; and a member of a team with a Docker engine, before and after it is
//! taken out of the organization.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Answer, Client, Daemon, Engine, Image, Layout, Namespace, Run as _, debian_tar, program, turn};

const MEMBER: &str = "jane";
const MEMBER_PASSWORD: &str = "Zx9!a#Q$";

/// What curl says of a body that is given with `-d` and nothing else.
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
/// What other tools say.
const JSON: &str = "Content-Type: application/json;charset=utf-8";

fn call(client: &Client, method: &str, path: &str, kind: &str, body: &str) -> Answer {
    client.send(method, &format!("/enzi/v0{path}"), &[kind], body.as_bytes())
}

/// The column of a list.
fn column(list: &Value, pointer: &str) -> Vec<String> {
    let entries = list.as_array().expect("a list").iter();
    let mut column: Vec<String> =
        entries.map(|entry| entry.pointer(pointer).and_then(Value::as_str).expect("a text").to_owned()).collect();
    column.sort();
    column
}

#[tokio::test]
async fn the_calls_of_real_tools_do_what_they_did_at_dtr() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    let admin = daemon.admin();

    accounts(&admin);
    teams(&admin);
    lists(&admin);
    terraform(&admin);
    without_a_directory(&admin);
    deletions(&admin);

    assert!(daemon.cli(&["verify"]).good().starts_with("clean"));
    daemon.stop().await;
}

/// `POST /accounts[/]`, `GET`, `PATCH`.
fn accounts(admin: &Client) {
    // The organization that is there from the start, which scripts abort without.
    call(admin, "GET", "/accounts/docker-datacenter", JSON, "").is(200);
    let user = format!(
        r#"{{"type":"user","isAdmin":false,"isActive":true,"fullName":"Jane Doe","username":"{MEMBER}","name":"{MEMBER}","password":"{MEMBER_PASSWORD}","searchLDAP":false}}"#
    );
    let made = call(admin, "POST", "/accounts/", FORM, &user).is(201).json();
    assert_eq!((&made["isActive"], &made["isOrg"]), (&json!(true), &json!(false)));
    let again = call(admin, "POST", "/accounts", JSON, &user).is(400).json();
    assert_eq!(again["errors"][0]["code"], "ACCOUNT_EXISTS");
    // A stray comma, as three scripts send it; a department for a name.
    let org = r#"{"name":"Engineering","isOrg":true,"fullName":null},"#;
    let made = call(admin, "POST", "/accounts", FORM, org).is(201).json();
    assert_eq!((&made["name"], &made["membersCount"]), (&json!("engineering"), &json!(0)));
    // It can sign in at once, and anybody who can may look.
    let short = call(admin, "POST", "/accounts", JSON, r#"{"name":"x","password":"short"}"#).is(400);
    assert!(!short.json()["errors"][0]["message"].as_str().unwrap().is_empty());
    let nobody = call(admin, "GET", "/accounts/nobody", JSON, "").is(404).json();
    assert_eq!(nobody["errors"][0]["code"], "NO_SUCH_ACCOUNT");
    let id = made["id"].as_str().unwrap();
    assert_eq!(call(admin, "GET", &format!("/accounts/{id}"), JSON, "").is(200).json(), made);
    call(admin, "PATCH", &format!("/accounts/{id}"), JSON, "{}").is(200);
    call(admin, "PATCH", "/accounts/engineering", JSON, r#"{"fullName":"Engineering"}"#).is(200);
}

/// `POST …/teams`, memberships.
fn teams(admin: &Client) {
    let teams = "/accounts/engineering/teams";
    let made = call(admin, "POST", teams, FORM, r#"{"name":"Back End","description":"a team","type":"managed"}"#);
    let made = made.is(201).json();
    assert_eq!(made.as_object().unwrap().len(), 5);
    let id = made["id"].as_str().unwrap();
    for team in [id, "Back%20End"] {
        assert_eq!(call(admin, "GET", &format!("{teams}/{team}"), JSON, "").is(200).json()["name"], "Back End");
    }
    // None, `{}`, and what was read at a server of another version.
    let member = format!("{teams}/{id}/members/{MEMBER}");
    for body in ["", "{}", r#"{"isAdmin":false}"#, r#"{"isAdmin":null,"isPublic":null}"#] {
        call(admin, "PUT", &member, JSON, body).is(200);
    }
    call(admin, "PATCH", &member, JSON, r#"{"isAdmin":true}"#).is(200);
    let shown = call(admin, "GET", &member, JSON, "").is(200).json();
    assert_eq!((&shown["member"]["name"], &shown["isAdmin"]), (&json!(MEMBER), &json!(true)));
    call(admin, "PUT", "/accounts/engineering/members/admin", JSON, r#"{"isAdmin":true,"isPublic":false}"#).is(200);
    call(admin, "POST", "/accounts/docker-datacenter/teams", JSON, r#"{"name":"ops"}"#).is(201);
    let missing = call(admin, "PUT", &format!("{teams}/none/members/{MEMBER}"), JSON, "").is(404).json();
    assert_eq!(missing["errors"][0]["code"], "NO_SUCH_TEAM");
}

/// Lists with the parameters of both APIs, and walks over their pages.
fn lists(admin: &Client) {
    let orgs = call(admin, "GET", "/accounts?filter=orgs&limit=10000", JSON, "").is(200).json();
    assert_eq!(column(&orgs["accounts"], "/name"), ["docker-datacenter", "engineering"]);
    let all = call(admin, "GET", "/accounts/?pageSize=1000&order=name", JSON, "").is(200).json();
    assert_eq!(column(&all["accounts"], "/name"), ["admin", "docker-datacenter", "engineering", MEMBER]);
    let (mut seen, mut start) = (Vec::new(), String::new());
    for _ in 0..4 {
        let page = call(admin, "GET", &format!("/accounts?limit=1&start={start}"), JSON, "").is(200);
        seen.extend(column(&page.json()["accounts"], "/name"));
        start = page.header("x-next-page-start").unwrap_or_default().to_owned();
        assert_eq!(page.json()["nextPageStart"], start);
    }
    assert_eq!((seen.len(), start.as_str()), (4, ""));
    let teams = call(admin, "GET", "/accounts/engineering/teams/?limit=100&order=name&filter=orgs", JSON, "");
    assert_eq!(column(&teams.is(200).json()["teams"], "/name"), ["Back End"]);
    let of = call(admin, "GET", "/accounts/engineering/teams/Back%20End/members/?order=member.id", JSON, "").is(200);
    assert_eq!(column(&of.json()["members"], "/member/name"), [MEMBER]);
    let members = call(admin, "GET", "/accounts/engineering/members?pageSize=1000&count=true", JSON, "").is(200);
    assert_eq!(column(&members.json()["members"], "/member/name"), ["admin", MEMBER]);
    assert_eq!(call(admin, "GET", "/id/", JSON, "").is(200).json()["name"], "admin");
}

/// The provider for Terraform: its bodies, whole.
fn terraform(admin: &Client) {
    let made = call(admin, "POST", "/accounts", JSON, r#"{"name":"tf","id":"","password":"aB3!$#xy"}"#).is(201).json();
    assert_eq!(made["isActive"], true, "it sends no isActive, and its users sign in");
    let id = made["id"].as_str().unwrap();
    call(admin, "PATCH", &format!("/accounts/{id}"), JSON, r#"{"fullName":"T F","isAdmin":true}"#).is(200);
    call(admin, "POST", "/accounts", JSON, r#"{"name":"tforg","id":"","password":"","isOrg":true}"#).is(201);
    let body = r#"{"description":"","id":"","membersCount":0,"name":"team","orgID":"tforg"}"#;
    let team = call(admin, "POST", "/accounts/tforg/teams", JSON, body).is(201).json();
    let team = team["id"].as_str().unwrap();
    let body = format!(r#"{{"description":"d","id":"{team}","membersCount":0,"name":"team","orgID":""}}"#);
    call(admin, "PATCH", &format!("/accounts/tforg/teams/{team}"), JSON, &body).is(200);
    call(admin, "PUT", &format!("/accounts/tforg/teams/{team}/members/{id}"), JSON, r#"{"isAdmin":false}"#).is(200);
    call(admin, "DELETE", &format!("/accounts/tforg/teams/{team}/members/{id}"), JSON, "").is(204);
    call(admin, "DELETE", &format!("/accounts/tforg/teams/{team}"), JSON, "").is(204);
    call(admin, "DELETE", &format!("/accounts/{id}"), JSON, "").is(204);
    call(admin, "DELETE", "/accounts/tforg", JSON, "").is(204);
}

fn without_a_directory(admin: &Client) {
    assert_eq!(call(admin, "GET", "/config/auth", JSON, "").is(200).json()["backend"], "managed");
    let sync = "/accounts/engineering/teams/Back%20End/memberSyncConfig";
    let told = call(admin, "GET", sync, JSON, "").is(200);
    assert_eq!(told.json()["enableSync"], false);
    call(admin, "PUT", sync, JSON, &told.text()).is(200);
    call(admin, "GET", "/accounts/engineering/adminMemberSyncConfig", JSON, "").is(200);
    call(admin, "GET", "/config/auth/ldap", JSON, "").is(200);
    let job = call(admin, "POST", "/jobs", JSON, r#"{"action":"ldap-sync"}"#).is(202).json();
    let listed = call(admin, "GET", "/jobs?action=ldap-sync&limit=1", JSON, "").is(200).json();
    assert_eq!(listed["jobs"][0]["id"], job["id"]);
    let id = job["id"].as_str().unwrap();
    assert_eq!(call(admin, "GET", &format!("/jobs/{id}"), JSON, "").is(200).json()["status"], "done");
    call(admin, "GET", &format!("/jobs/{id}/logs"), JSON, "").is(200);
}

/// Scripts delete an organization and make it again in one run.
fn deletions(admin: &Client) {
    let post = |path: &str, body: &str| admin.send("POST", path, &[JSON], body.as_bytes());
    post("/api/v0/repositories/engineering", r#"{"name":"app"}"#).is(201);
    let body = r#"{"operations":[{"op":"delete","ref":"engineering","value":null}]}"#;
    let results = call(admin, "PATCH", "/accounts/", JSON, body).is(200).json();
    assert_eq!(results["results"][0]["success"], true);
    call(admin, "DELETE", "/accounts/engineering", JSON, "").is(204);
    call(admin, "POST", "/accounts", JSON, r#"{"name":"engineering","isOrg":true}"#).is(201);
    admin.get("/api/v0/repositories/engineering/app").is(200);
    let teams = call(admin, "GET", "/accounts/engineering/teams", JSON, "").is(200).json();
    assert_eq!(teams["teams"], json!([]), "its teams were those of another");
    call(admin, "DELETE", "/accounts/docker-datacenter", JSON, "").is(403);
}

#[tokio::test]
async fn a_member_of_a_team_pushes_and_pulls_until_it_is_taken_out() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new();
    let daemon = Daemon::start(folder.path(), Some(&namespace)).await;
    let engine = Engine::start(folder.path(), &namespace).await;
    let host = daemon.address();
    engine.trust(host, &daemon.ca());
    daemon.cli_with(&["account", "create", MEMBER, "--password-stdin"], MEMBER_PASSWORD).good();
    daemon.cli(&["repository", "create", "dev/site"]).good();
    daemon.cli(&["team", "create", "dev", "web"]).good();
    daemon.cli(&["team", "member", "add", "dev", "web", MEMBER]).good();
    let name = format!("{host}/dev/site:1.0");
    engine.run(&["import", debian_tar().to_str().unwrap(), &name]).good();

    engine.login(host, MEMBER, MEMBER_PASSWORD).good();
    let refused = engine.run(&["push", &name]).refused();
    assert!(refused.contains("does not exist, or you may not see it"), "{refused}");
    daemon.cli(&["team", "grant", "dev", "web", "read-only", "--on", "dev/site"]).good();
    let refused = engine.run(&["push", &name]).refused();
    assert!(refused.contains("you need read-write access to dev/site"), "{refused}");
    daemon.cli(&["team", "grant", "dev", "web", "read-write", "--on", "dev/site"]).good();
    assert_eq!(daemon.cli(&["access", MEMBER, "dev/site"]).good(), "jane has read-write access to dev/site\n");
    engine.run(&["push", &name]).good();
    engine.forget_images();
    engine.run(&["pull", &name]).good();

    daemon.cli(&["org", "member", "remove", "dev", MEMBER]).good();
    engine.forget_images();
    let refused = engine.run(&["pull", &name]).refused();
    assert!(refused.contains("does not exist"), "{refused}");
    assert_eq!(daemon.cli(&["access", MEMBER, "dev/site"]).good(), "jane has no access to dev/site\n");

    everyone_pulls_what_is_public(&daemon, &engine, &name);
    engine.stop().await;
    daemon.stop().await;
}

/// By whoever sends no credentials.
fn everyone_pulls_what_is_public(daemon: &Daemon, engine: &Engine<'_>, name: &str) {
    engine.run(&["logout", daemon.address()]).good();
    let refused = engine.run(&["pull", name]).refused();
    assert!(refused.contains("unauthorized") || refused.contains("denied"), "{refused}");
    daemon.cli(&["repository", "update", "dev/site", "--visibility", "public"]).good();
    engine.run(&["pull", name]).good();
    let refused = engine.run(&["push", name]).refused();
    assert!(refused.contains("unauthorized") || refused.contains("denied"), "{refused}");
    let nobody = daemon.stranger();
    nobody.get("/v2/dev/site/manifests/1.0").is(200);
    nobody.get("/v2/").is(401);
    nobody.send("POST", "/v2/dev/site/blobs/uploads/", &[], b"").is(401);
}

#[tokio::test]
async fn skopeo_without_a_name_reads_what_is_public_and_a_push_makes_a_repository() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    daemon.cli_with(&["account", "create", MEMBER, "--password-stdin"], MEMBER_PASSWORD).good();
    let layout = folder.path().join("image");
    Layout(&layout).write_image(&Image::new("amd64", "made by a push"));
    let push = |to: &str| {
        let (from, to) = (format!("oci:{}", layout.display()), format!("docker://{}/{to}", daemon.address()));
        let flags = [
            format!("--dest-cert-dir={}", daemon.trust().display()),
            format!("--dest-creds={MEMBER}:{MEMBER_PASSWORD}"),
        ];
        program("skopeo").args(["copy", "--preserve-digests"]).args(flags).args([from, to]).run()
    };
    assert!(push("jane/new:1.0").refused().contains("does not exist"));
    let settings = br#"{"createRepositoryOnPush":true}"#;
    daemon.admin().send("POST", "/api/v0/meta/settings", &[JSON], settings).is(202);
    push("jane/new:1.0").good();
    assert!(push("other/new:1.0").refused().contains("does not exist"));
    let made = daemon.admin().get("/api/v0/repositories/jane/new").is(200).json();
    assert_eq!(made["visibility"], "private");

    let pull = |to: &Path| {
        let from = format!("docker://{}/jane/new:1.0", daemon.address());
        let trust = format!("--src-cert-dir={}", daemon.trust().display());
        program("skopeo").args(["copy", "--src-no-creds", &trust, &from]).arg(format!("oci:{}", to.display())).run()
    };
    let refused = pull(&folder.path().join("refused")).refused();
    assert!(refused.contains("unauthorized") || refused.contains("authentication required"), "{refused}");
    daemon.cli(&["repository", "update", "jane/new", "--visibility", "public"]).good();
    pull(&folder.path().join("read")).good();
    daemon.stop().await;
}
