//! Quotas: set, shown, and by whom.

use serde_json::json;

use super::{at, send};
use crate::http::harness::{Ask, Site};
use crate::limits;

#[tokio::test]
async fn quotas_are_set_by_admins_and_seen_by_whom_they_bind() {
    let site = Site::open().await;
    site.push_blob("ann", "ann/app", &[1; 100]).await;
    let bytes = |bytes: u64| json!({ "quotaBytes": bytes });
    let set = send(&site, 200, "root", Ask::put("/api/v0/quotas/ann"), bytes(1_000)).await.json();
    assert_eq!(set, json!({ "kind": "namespace", "name": "ann", "usedBytes": 100, "quotaBytes": 1_000 }));
    let low = send(&site, 200, "root", Ask::put("/api/v0/quotas"), bytes(99)).await;
    assert!(low.json()["warnings"][0].as_str().unwrap().contains("nothing more goes in"), "{low:?}");
    assert!(low.header("warning").contains("the whole registry holds 100 B"));
    for (status, user, path, body, code) in [
        (403, "ann", "/api/v0/quotas/ann", bytes(1), "NOT_AUTHORIZED"),
        (403, "ann", "/api/v0/quotas", bytes(1), "NOT_AUTHORIZED"),
        (404, "root", "/api/v0/quotas/nobody", bytes(1), "NO_SUCH_ACCOUNT"),
        (400, "root", "/api/v0/quotas/ann", json!({}), "INVALID_JSON"),
        (400, "root", "/api/v0/quotas/ann", bytes(limits::QUOTA_BYTES + 1), "INVALID_PARAMETERS"),
    ] {
        assert_eq!(send(&site, status, user, Ask::put(path), body).await.code(), code, "{user} {path}");
    }
    let all = site.expect(200, Ask::get("/api/v0/quotas?pageSize=100").user("root")).await.json();
    assert_eq!(all["all"], json!({ "kind": "all", "name": "", "usedBytes": 100, "quotaBytes": 99 }));
    assert_eq!(all["counting"], json!(false));
    assert!(all["namespaces"].as_array().unwrap().contains(&set), "{all}");
    site.expect(403, Ask::get("/api/v0/quotas").user("ann")).await;
    let mine = site.expect(200, Ask::get("/api/v0/quotas/ann").user("ann")).await.json();
    assert_eq!(mine["namespace"], set);
    let row = |name: &str, used: u64| json!({ "kind": "repository", "name": name, "usedBytes": used, "quotaBytes": 0 });
    assert_eq!(mine["repositories"], json!([row("ann/app", 100), row("ann/other", 0)]));
    site.expect(403, Ask::get("/api/v0/quotas/ann").user("bob")).await;
    // Page by page.
    let first = site.expect(200, Ask::get("/api/v0/quotas/ann?pageSize=1").user("ann")).await;
    assert_eq!(
        (first.header("x-next-page-start"), &first.json()["repositories"]),
        ("ann/other", &json!([row("ann/app", 100)]))
    );
    let last = site.expect(200, Ask::get("/api/v0/quotas/ann?pageSize=1&pageStart=ann%2Fother").user("ann")).await;
    assert_eq!(last.json()["repositories"], json!([row("ann/other", 0)]));
    assert!(!last.headers.contains_key("x-next-page-start"));
    // 0 takes it away.
    send(&site, 200, "root", Ask::put("/api/v0/quotas"), bytes(0)).await;
    site.push_blob("ann", "ann/app", &[2; 100]).await;
    site.close().await;
}

#[tokio::test]
async fn the_quota_of_a_repository_is_one_of_its_settings() {
    let site = Site::open().await;
    let made = json!({ "name": "new", "quotaBytes": 500 });
    let made = send(&site, 201, "ann", Ask::post("/api/v0/repositories/ann"), made).await.json();
    assert_eq!((&made["quotaBytes"], &made["usedBytes"]), (&json!(500), &json!(0)));
    let other = send(&site, 200, "ann", Ask::patch(&at("ann/new", "")), json!({ "tagLimit": 3 })).await;
    assert_eq!(other.json()["quotaBytes"], json!(500), "what is not said stays");
    send(&site, 404, "bob", Ask::patch(&at("ann/new", "")), json!({ "visibility": "public" })).await;
    let slip = json!({ "quotaBytes": limits::QUOTA_BYTES + 1 });
    assert_eq!(send(&site, 400, "ann", Ask::patch(&at("ann/new", "")), slip).await.code(), "INVALID_PARAMETERS");
    // A repository that is made again begins without.
    site.expect(204, Ask::delete(&at("ann/new", "")).user("ann")).await;
    let again = send(&site, 201, "ann", Ask::post("/api/v0/repositories/ann"), json!({ "name": "new" })).await.json();
    assert_eq!(again["quotaBytes"], json!(0));
    site.close().await;
}

#[tokio::test]
async fn a_promotion_by_hand_hears_of_a_quota() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1", &[1; 500]).await;
    send(&site, 200, "ann", Ask::patch(&at("ann/other", "")), json!({ "quotaBytes": 400 })).await;
    let body = json!({ "targetRepository": "ann/other", "targetTag": "1" });
    let refused = send(&site, 403, "ann", Ask::post(&at("ann/app", "/tags/1/promotion")), body.clone()).await;
    assert_eq!(
        (refused.code().as_str(), &refused.json()["errors"][0]["detail"]["name"]),
        ("QUOTA_EXCEEDED", &json!("ann/other"))
    );
    send(&site, 200, "ann", Ask::patch(&at("ann/other", "")), json!({ "quotaBytes": 4_000 })).await;
    let answer = site.send(Ask::post(&at("ann/app", "/tags/1/promotion")).user("ann").body(body.to_string())).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    site.close().await;
}
