//! Users and organizations.

use serde_json::{Value, json};

use super::send;
use crate::http::harness::{Ask, PASSWORD, Site, basic};

const ACCOUNTS: &str = "/enzi/v0/accounts";

#[tokio::test]
async fn users_and_organizations_are_made_and_sign_in() {
    let site = Site::open().await;
    // With a trailing slash, fields of no meaning, null for nothing, and a
    // stray comma behind it, as scripts send it.
    let body = r#"{"name":"cleo","fullName":null,"id":"","isAdmin":false,"password":"correct horse","type":"user"},"#;
    let made = site.expect(201, Ask::post("/enzi/v0/accounts/").body(body).user("root")).await.json();
    let id = made["id"].as_str().unwrap();
    let expected = json!({
        "name": "cleo", "id": id, "fullName": "", "isOrg": false, "isAdmin": false, "isActive": true,
        "isImported": false, "onDemand": false, "otpEnabled": false, "locked": false,
    });
    assert_eq!(made, expected);
    for key in ["cleo", id] {
        let found = site.expect(200, Ask::get(&format!("{ACCOUNTS}/{key}")).user("cleo")).await;
        assert_eq!(found.json(), expected);
    }
    let org = json!({ "name": "ops", "isOrg": true, "password": "", "fullName": "Operations" });
    let made = site.expect(201, Ask::post(ACCOUNTS).body(org.to_string()).local()).await.json();
    assert_eq!((&made["isOrg"], &made["membersCount"], &made["teamsCount"]), (&json!(true), &json!(0), &json!(0)));
    assert_eq!(made.get("isAdmin"), None);
    // Nobody signs in as an organization, or as one that is switched off.
    site.expect(401, Ask::get(ACCOUNTS).user("ops")).await;
    let off = json!({ "name": "off", "isActive": false, "password": PASSWORD });
    send(&site, 201, "root", Ask::post(ACCOUNTS), off).await;
    site.expect(401, Ask::get(ACCOUNTS).user("off")).await;
    site.close().await;
}

#[tokio::test]
async fn bad_accounts_are_refused_with_what_is_allowed() {
    let site = Site::open().await;
    for (body, code, words) in [
        ("{", "INVALID_JSON", "the body is not what this call takes"),
        (r#"{"name":7}"#, "INVALID_JSON", "`name` takes a text, not a number"),
        ("", "INVALID_JSON", "`name` is missing"),
        (r#"{"name":"ann","password":"correct horse"}"#, "ACCOUNT_EXISTS", "ann exists already"),
        (r#"{"name":"Ann","password":"correct horse"}"#, "INVALID_ACCOUNT_NAME", "lower-case letters"),
        (r#"{"name":"a/b","password":"correct horse"}"#, "INVALID_ACCOUNT_NAME", "lower-case letters"),
        (r#"{"name":"dora"}"#, "INVALID_PASSWORD", "needs a password"),
        (r#"{"name":"dora","password":"short"}"#, "INVALID_PASSWORD", "at least 8 characters"),
    ] {
        let answer = site.expect(400, Ask::post(ACCOUNTS).body(body).user("root")).await;
        assert_eq!(answer.code(), code, "{body}");
        assert!(answer.message().contains(words), "{body}: {}", answer.message());
    }
    let large = vec![b' '; crate::limits::API_BODY_BYTES + 1];
    site.expect(413, Ask::post(ACCOUNTS).body(large).user("root")).await;
    assert_eq!(site.expect(404, Ask::get("/enzi/v0/accounts/dora").user("ann")).await.code(), "NO_SUCH_ACCOUNT");
    site.close().await;
}

#[tokio::test]
async fn accounts_are_listed_in_pages_and_by_kind() {
    let site = Site::open().await;
    let list = async |query: &str| {
        let answer = site.expect(200, Ask::get(&format!("{ACCOUNTS}{query}")).user("ann")).await;
        let json = answer.json();
        let names: Vec<String> = json["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|account: &Value| account["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!((&json["usersCount"], &json["orgsCount"]), (&json!(4), &json!(2)), "counts ignore the filter");
        let next = answer.headers.get("x-next-page-start").map_or("", |value| value.to_str().unwrap());
        assert_eq!(json["nextPageStart"], next);
        (names.join(" "), next.to_owned(), json["resourceCount"].as_u64().unwrap())
    };
    let row = |names: &str, next: &str, count| (names.to_owned(), next.to_owned(), count);
    assert_eq!(list("").await, row("ann bob dev docker-datacenter gone root", "", 6));
    assert_eq!(list("?limit=2").await, row("ann bob", "dev", 6));
    assert_eq!(list("?pageSize=2&start=dev").await, row("dev docker-datacenter", "gone", 6));
    assert_eq!(list("?limit=100000&start=gone&order=%2Bname").await, row("gone root", "", 6));
    for (filter, names, count) in [
        ("users", "ann bob gone root", 4),
        ("orgs", "dev docker-datacenter", 2),
        ("admins", "gone root", 2),
        ("non-admins", "ann bob", 2),
        ("active-users", "ann bob root", 3),
        ("inactive-users", "gone", 1),
        ("inactive", "ann bob dev docker-datacenter gone root", 6),
    ] {
        assert_eq!(list(&format!("?filter={filter}")).await, row(names, "", count), "{filter}");
    }
    assert_eq!(list("?contains=O").await, row("bob docker-datacenter gone root", "", 4));
    assert_eq!(
        site.expect(400, Ask::get(&format!("{ACCOUNTS}?limit=ten")).user("ann")).await.code(),
        "INVALID_PARAMETERS"
    );
    let header = basic("ann", PASSWORD);
    let answer = site.expect(200, Ask::get(ACCOUNTS).header("authorization", &header)).await;
    assert!(!answer.text().contains("argon2"), "a hash is nobody's to read");
    site.close().await;
}
