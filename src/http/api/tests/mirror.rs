//! Mirror policies. The other registry is a second site.

use serde_json::{Value, json};

use super::{at, send};
use crate::http::harness::{Ask, PASSWORD, Site};
use crate::store::policy;
use crate::store::record::Policy;

const PUSH: &str = "/pushMirroringPolicies";
const POLL: &str = "/pollMirroringPolicies";

/// What a script sends: the whole set of fields, some of them empty.
pub(super) fn mirror(to: &Site, repository: &str) -> Value {
    json!({
        "enabled": true,
        "rules": [],
        "tagTemplate": "%n",
        "localRepository": "ann/app",
        "remoteHost": format!("http://{}", to.address),
        "remoteRepository": repository,
        "username": "bob",
        "password": PASSWORD,
        "authToken": "",
        "remoteCA": "",
        "skipTLSVerification": false,
    })
}

fn stored(site: &Site, made: &Value) -> Policy {
    let id = made["id"].as_str().unwrap().parse().unwrap();
    policy::get(&site.state.registry().store().snapshot().unwrap(), &id).unwrap().unwrap()
}

/// The password a stored policy would use.
fn opened(site: &Site, made: &Value) -> String {
    let policy = stored(site, made);
    site.state.remotes().unseal(&policy.id, policy.remote().unwrap()).unwrap().password.expose().to_owned()
}

/// Basic ends the name at its colon, and a line end ends the header: another
/// name, or another header, would have been sent than what was saved.
#[tokio::test]
async fn user_names_that_no_header_can_carry_are_refused() {
    let site = Site::open().await;
    for path in ["/pushMirroringPolicies?check=false", "/pollMirroringPolicies?check=false"] {
        for username in ["a:b", "a\r\nX: y", "a\nb", "a\0"] {
            let body = json!({ "remoteHost": "https://far.example", "remoteRepository": "a/b", "username": username });
            let refused = send(&site, 404, "ann", Ask::post(&at("ann/app", path)), body).await;
            assert!(refused.message().contains("a user name has no"), "{}", refused.message());
        }
    }
    let odd = json!({ "remoteHost": "javascript:x", "remoteRepository": "a/b" });
    let refused = send(&site, 404, "ann", Ask::post(&at("ann/app", "/pushMirroringPolicies?check=false")), odd).await;
    assert!(refused.message().contains("`javascript:` is no scheme"), "{}", refused.message());
    site.close().await;
}

#[tokio::test]
async fn a_push_mirror_is_checked_sealed_and_shown_without_its_secrets() {
    let (here, there) = (Site::open().await, Site::open().await);
    let made = send(&here, 201, "root", Ask::post(&at("ann/app", PUSH)), mirror(&there, "bob/app")).await;
    assert!(!made.text().contains(PASSWORD) && !made.text().contains("password"), "{}", made.text());
    let made = made.json();
    for (field, value) in [
        ("enabled", json!(true)),
        ("localRepository", json!("ann/app")),
        ("remoteRepository", json!("bob/app")),
        ("remoteCA", json!("")),
        ("skipTLSVerification", json!(false)),
        ("username", json!("bob")),
        ("rules", json!([])),
        ("tagTemplate", json!("%n")),
        ("lastMirroredAt", json!("0001-01-01T00:00:00Z")),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert_eq!(made["lastStatus"], json!({ "code": "", "detail": "", "timestamp": "0001-01-01T00:00:00Z" }));
    assert_eq!(made.get("schedule"), None);
    let sealed = stored(&here, &made).remote().unwrap().password.clone().unwrap();
    assert!(!sealed.contains(PASSWORD));
    assert_eq!(opened(&here, &made), PASSWORD);
    for path in [at("ann/app", PUSH), at("ann/app", "/mirroringPolicies")] {
        let listed = here.expect(200, Ask::get(&path).user("ann")).await;
        assert_eq!(listed.json()[0]["id"], made["id"]);
        for secret in [PASSWORD, &sealed, "authToken", "password"] {
            assert!(!listed.text().contains(secret), "{path}: {}", listed.text());
        }
    }
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn a_remote_that_does_not_let_us_in_is_refused_and_nothing_is_saved() {
    let (here, there) = (Site::open().await, Site::open().await);
    let with = |field: &str, value: Value| {
        let mut body = mirror(&there, "bob/app");
        body[field] = value;
        body
    };
    for (path, body, words) in [
        (PUSH, with("password", json!("wrong horse")), "refuses the credentials"),
        (PUSH, with("remoteRepository", json!("ann/app")), "may not write to ann/app"),
        (POLL, with("remoteRepository", json!("bob/none")), "has no repository bob/none"),
        (POLL, with("username", json!("")), "credentials"),
        (POLL, with("remoteHost", json!("http://127.0.0.1:9")), "127.0.0.1:9"),
    ] {
        let answer = send(&here, 400, "root", Ask::post(&at("ann/app", path)), body.clone()).await;
        assert_eq!(answer.code(), "REMOTE_REGISTRY_INVALID_PERMISSIONS", "{body}");
        assert!(answer.message().contains(words), "{words}: {}", answer.message());
        assert!(!answer.text().contains(PASSWORD));
    }
    // Someone who is no system admin has no private address dialled.
    let answer = send(&here, 400, "ann", Ask::post(&at("ann/app", PUSH)), mirror(&there, "bob/app")).await;
    assert!(answer.message().contains("a system admin may save the policy"), "{}", answer.message());
    let listed = here.expect(200, Ask::get(&at("ann/app", "/mirroringPolicies")).user("ann")).await;
    assert_eq!(listed.json(), json!([]));
    // Unless it is wanted so: the far side may be down today.
    let path = at("ann/app", &format!("{POLL}?check=false"));
    send(&here, 201, "root", Ask::post(&path), with("remoteHost", json!("http://127.0.0.1:9"))).await;
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn malformed_mirrors_get_dtrs_404_with_what_is_allowed() {
    let (here, there) = (Site::open().await, Site::open().await);
    let with = |field: &str, value: Value| {
        let mut body = mirror(&there, "bob/app");
        body[field] = value;
        body
    };
    for (path, body, code, words) in [
        (PUSH, with("remoteHost", json!("ftp://x")), "INVALID_PUSH_MIRRORING_POLICY", "remoteHost"),
        (PUSH, with("remoteHost", json!(null)), "INVALID_PUSH_MIRRORING_POLICY", "remoteHost"),
        (PUSH, with("remoteRepository", json!("A B")), "INVALID_PUSH_MIRRORING_POLICY", "remoteRepository"),
        (PUSH, with("remoteCA", json!("no pem")), "INVALID_PUSH_MIRRORING_POLICY", "remoteCA"),
        (PUSH, with("tagTemplate", json!("%")), "INVALID_PUSH_MIRRORING_POLICY", "tagTemplate"),
        (POLL, with("tagTemplate", json!("latest")), "INVALID_POLL_MIRRORING_POLICY", "holds %n"),
        (POLL, with("schedule", json!("61 * * * *")), "INVALID_POLL_MIRRORING_POLICY", "schedule"),
        (POLL, with("timeZone", json!("Mars/Olympus")), "INVALID_POLL_MIRRORING_POLICY", "timeZone"),
        (POLL, with("rules", json!([{ "field": "tag" }])), "INVALID_POLL_MIRRORING_POLICY", "rule 1"),
    ] {
        let answer = send(&here, 404, "root", Ask::post(&at("ann/app", path)), body.clone()).await;
        assert_eq!(answer.code(), code, "{body}");
        assert!(answer.message().contains(words), "{words}: {}", answer.message());
    }
    for (path, code) in [(PUSH, "NO_SUCH_PUSH_MIRRORING_POLICY"), (POLL, "NO_SUCH_POLL_MIRRORING_POLICY")] {
        let one = at("ann/app", &format!("{path}/6ca8bea5-0993-48f2-b279-9b3cbe3da042"));
        assert_eq!(here.expect(404, Ask::get(&one).user("ann")).await.code(), code);
        assert_eq!(send(&here, 404, "ann", Ask::put(&one), json!({})).await.code(), code);
        here.expect(204, Ask::delete(&one).user("ann")).await;
    }
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn credentials_stay_with_the_origin() {
    let (here, there, elsewhere) = (Site::open().await, Site::open().await, Site::open().await);
    let made = send(&here, 201, "root", Ask::post(&at("ann/app", PUSH)), mirror(&there, "bob/app")).await.json();
    let one = at("ann/app", &format!("{PUSH}/{}", made["id"].as_str().unwrap()));
    let put = async |status, body: Value| send(&here, status, "root", Ask::put(&one), body).await;
    // What a client read and sends back keeps everything.
    let shown = here.expect(200, Ask::get(&one).user("root")).await.json();
    put(200, shown).await;
    assert_eq!(opened(&here, &made), PASSWORD);
    put(200, json!({ "enabled": false, "password": null })).await;
    put(200, json!({ "remoteRepository": "bob/other", "password": "" })).await;
    assert_eq!(opened(&here, &made), PASSWORD);
    // Rotated: the old one is gone, and the new one is checked.
    put(400, json!({ "username": "bob", "password": "wrong horse" })).await;
    assert_eq!(opened(&here, &made), PASSWORD);
    put(200, json!({ "authToken": PASSWORD })).await;
    assert_eq!(stored(&here, &made).remote().unwrap().password, None);
    assert!(stored(&here, &made).remote().unwrap().token.is_some());
    // Another origin: nothing goes along, not even to the check.
    let moved = json!({ "remoteHost": format!("http://{}", elsewhere.address) });
    let refused = put(400, moved.clone()).await;
    assert_eq!(refused.code(), "REMOTE_REGISTRY_INVALID_PERMISSIONS");
    assert!(stored(&here, &made).remote().unwrap().token.is_some(), "refused is not saved");
    send(&here, 200, "root", Ask::put(&format!("{one}?check=false")), moved).await;
    let remote = stored(&here, &made).remote().unwrap().clone();
    assert_eq!((remote.password, remote.token), (None, None));
    for site in [here, there, elsewhere] {
        site.close().await;
    }
}

#[tokio::test]
async fn signing_out_drops_the_credentials() {
    let (here, there) = (Site::open().await, Site::open().await);
    let made = send(&here, 201, "root", Ask::post(&at("ann/app", PUSH)), mirror(&there, "bob/app")).await.json();
    let one = at("ann/app", &format!("{PUSH}/{}?check=false", made["id"].as_str().unwrap()));
    send(&here, 200, "root", Ask::put(&one), json!({ "username": "" })).await;
    let remote = stored(&here, &made).remote().unwrap().clone();
    assert_eq!((remote.username.as_str(), remote.password, remote.token), ("", None, None));
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn a_pull_mirror_looks_at_once_and_when_it_is_told() {
    let (here, there) = (Site::open().await, Site::open().await);
    let mut body = mirror(&there, "bob/app");
    body["tagTemplate"] = json!("");
    let made = send(&here, 201, "root", Ask::post(&at("ann/app", POLL)), body).await.json();
    assert_eq!(
        (&made["schedule"], &made["timeZone"], &made["tagTemplate"]),
        (&json!("@every 30m"), &json!("UTC"), &json!("%n"))
    );
    let jobs = here.expect(200, Ask::get("/api/v0/jobs?action=poll_mirror").user("root")).await.json();
    assert_eq!((jobs["jobs"].as_array().unwrap().len(), &jobs["jobs"][0]["status"]), (1, &json!("waiting")));
    assert_eq!(jobs["jobs"][0]["parameters"]["policyID"], made["id"]);
    let run = at("ann/app", &format!("{POLL}/{}/run", made["id"].as_str().unwrap()));
    let job = here.expect(202, Ask::post(&run).user("ann")).await.json();
    assert_eq!(job["id"], jobs["jobs"][0]["id"], "one that waits already is the one that will look");
    let one = at("ann/app", &format!("{POLL}/{}", made["id"].as_str().unwrap()));
    let changed = send(&here, 200, "root", Ask::put(&one), json!({ "schedule": "0 3 * * *", "enabled": false })).await;
    assert_eq!(changed.json()["schedule"], "0 3 * * *");
    assert_eq!(here.expect(400, Ask::post(&run).user("ann")).await.code(), "INVALID_PARAMETERS");
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn both_kinds_are_listed_together_and_removed_in_bulk() {
    let (here, there) = (Site::open().await, Site::open().await);
    for path in [PUSH, POLL] {
        send(&here, 201, "root", Ask::post(&at("ann/app", path)), mirror(&there, "bob/app")).await;
    }
    let promotion = json!({ "enabled": true, "rules": [], "tagTemplate": "%n", "targetRepository": "ann/other" });
    let promotion = send(&here, 201, "ann", Ask::post(&at("ann/app", "/promotionPolicies")), promotion).await.json();
    let both = at("ann/app", "/mirroringPolicies");
    let listed = here.expect(200, Ask::get(&both).user("ann")).await.json();
    let mut kinds: Vec<&str> =
        listed.as_array().unwrap().iter().map(|one| one["mirroringType"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["poll", "push"]);
    let page = here.expect(200, Ask::get(&format!("{both}?pageSize=1&count=true")).user("ann")).await;
    assert_eq!((page.json().as_array().unwrap().len(), page.header("x-resource-count")), (1, "2"));
    let next = page.header("x-next-page-start");
    let rest = here.expect(200, Ask::get(&format!("{both}?pageStart={next}")).user("ann")).await.json();
    assert_eq!(rest[0]["id"], json!(next));
    // Of one kind only its own is found, or removed.
    let push = here.expect(200, Ask::get(&at("ann/app", PUSH)).user("ann")).await.json()[0].clone();
    let other = at("ann/app", &format!("{POLL}/{}", push["id"].as_str().unwrap()));
    here.expect(404, Ask::get(&other).user("ann")).await;
    here.expect(204, Ask::delete(&other).user("ann")).await;
    let ids: Vec<Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!({ "id": one["id"] }))
        .chain([json!({ "id": promotion["id"] }), json!({ "id": "x" }), json!({})])
        .collect();
    send(&here, 204, "ann", Ask::delete(&both), json!(ids)).await;
    assert_eq!(here.expect(200, Ask::get(&both).user("ann")).await.json(), json!([]));
    let kept = here.expect(200, Ask::get(&at("ann/app", "/promotionPolicies")).user("ann")).await.json();
    assert_eq!(kept[0]["id"], promotion["id"], "a promotion is no mirror");
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn a_remote_is_checked_by_itself() {
    let (here, there) = (Site::open().await, Site::open().await);
    let path = "/api/v0/remote/registry";
    let found = send(&here, 201, "root", Ask::post(path), mirror(&there, "bob/app")).await.json();
    assert_eq!(found, json!({ "registryType": "registry", "permissions": { "read": true, "write": true } }));
    let mut wrong = mirror(&there, "bob/app");
    wrong["password"] = json!("wrong horse");
    let answer = send(&here, 400, "root", Ask::post(path), wrong).await;
    assert_eq!(answer.code(), "REMOTE_REGISTRY_INVALID_PERMISSIONS");
    assert!(!answer.text().contains("wrong horse"));
    let nothing = send(&here, 400, "root", Ask::post(path), json!({})).await;
    assert!(nothing.message().contains("remoteHost"), "{}", nothing.message());
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn one_tag_is_sent_by_hand() {
    let (here, there) = (Site::open().await, Site::open().await);
    here.push_image("ann", "ann/app", "1.0", b"layer").await;
    let path = at("ann/app", "/tags/1.0/pushMirroring");
    let mut body = mirror(&there, "bob/app");
    body["remoteTag"] = json!("sent");
    let sent = send(&here, 201, "root", Ask::post(&path), body.clone()).await.json();
    assert_eq!((&sent["remoteRepository"], &sent["remoteTag"]), (&json!("bob/app"), &json!("sent")));
    let tag = |site: &Site, repository: &str, tag: &str| {
        let (read, name) = (site.state.registry().store().snapshot().unwrap(), repository.parse().unwrap());
        let number = crate::store::repo::get(&read, &name).unwrap().unwrap().number;
        crate::store::tag::get(&read, number, &tag.parse().unwrap()).unwrap().map(|value| value.digest)
    };
    let digest = tag(&here, "ann/app", "1.0").unwrap();
    assert_eq!(tag(&there, "bob/app", "sent"), Some(digest));
    assert_eq!(sent["digest"], json!(digest.to_string()));
    // Nothing of it stays here.
    let left = here.expect(200, Ask::get(&at("ann/app", "/mirroringPolicies")).user("ann")).await.json();
    assert_eq!(left, json!([]));
    body["remoteTag"] = json!("no/tag");
    assert_eq!(send(&here, 400, "root", Ask::post(&path), body.clone()).await.code(), "INVALID_TAG_NAME");
    body["remoteTag"] = json!("");
    let nothing = at("ann/app", "/tags/9.9/pushMirroring");
    assert_eq!(send(&here, 404, "root", Ask::post(&nothing), body.clone()).await.code(), "NO_SUCH_TAG");
    body["password"] = json!("wrong horse");
    let refused = send(&here, 400, "root", Ask::post(&path), body).await;
    assert_eq!(refused.code(), "REMOTE_REGISTRY_INVALID_PERMISSIONS");
    assert_eq!(tag(&there, "bob/app", "1.0"), None);
    here.close().await;
    there.close().await;
}
