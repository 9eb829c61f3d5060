//! Promotion policies, decisions, promotion by hand.

use serde_json::{Value, json};

use super::{at, send};
use crate::http::harness::{Ask, Site};
use crate::reactor;

fn policy(target: &str) -> Value {
    json!({
        "enabled": true,
        "rules": [{ "field": "tag", "operator": "ew", "values": ["-stable"], "more": 1 }],
        "tagTemplate": "%n",
        "targetRepository": target,
        "sourceRepository": "ann/app",
    })
}

async fn settle(site: &Site) {
    let store = site.state.registry().store();
    reactor::react::catch_up(store).await.unwrap();
    reactor::evaluate::walk_all(store).await.unwrap();
}

#[tokio::test]
async fn a_policy_promotes_and_why_says_so_on_both_ends() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.4-stable", b"layer").await.to_string();
    site.push_image("ann", "ann/app", "1.4-rc", b"layer").await;
    let policies = at("ann/app", "/promotionPolicies");
    let made = send(&site, 201, "ann", Ask::post(&policies), policy("ann/other")).await;
    assert!(!made.headers.contains_key("warning"));
    let made = made.json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["lastPromotedAt"], "0001-01-01T00:00:00Z");
    assert_eq!((&made["sourceRepository"], &made["targetRepository"]), (&json!("ann/app"), &json!("ann/other")));
    settle(&site).await;

    let why = async |repository: &str, tag: &str| {
        site.expect(200, Ask::get(&at(repository, &format!("/tags/{tag}/decisions"))).user("ann")).await.json()
    };
    let source = why("ann/app", "1.4-stable").await;
    assert_eq!((&source["digest"], &source["origin"], &source["plan"]), (&json!(digest), &json!(null), &json!([])));
    let decision = &source["decisions"][0];
    assert_eq!((&decision["policyID"], &decision["outcome"]), (&json!(id), &json!("allow")));
    assert_eq!((&decision["targetRepository"], &decision["targetTag"]), (&json!("ann/other"), &json!("1.4-stable")));
    assert_eq!(
        decision["rule"],
        json!({
            "index": 0, "field": "tag", "operator": "ew", "values": ["-stable"], "moreValues": 0,
            "saw": "1.4-stable",
        })
    );
    let left = why("ann/app", "1.4-rc").await;
    assert_eq!(left["decisions"][0]["outcome"], "deny");
    assert_eq!(left["decisions"][0]["rule"]["saw"], "1.4-rc");
    assert!(left["decisions"][0]["reason"].as_str().unwrap().contains("does not hold"));
    let target = why("ann/other", "1.4-stable").await;
    assert_eq!(target["decisions"], json!([]));
    assert_eq!(
        (&target["origin"]["kind"], &target["origin"]["policyID"], &target["origin"]["repository"]),
        (&json!("promotion"), &json!(id), &json!("ann/app"))
    );
    assert_eq!(target["origin"]["tag"], "1.4-stable");

    let shown = site.expect(200, Ask::get(&format!("{policies}/{id}")).user("ann")).await.json();
    assert_ne!(shown["lastPromotedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(shown["lastStatus"]["code"], "SUCCESS");
    // Seen from the target too.
    let into = site.expect(200, Ask::get(&at("ann/other", "/promotionPolicies?source=false")).user("ann")).await;
    assert_eq!(into.json()[0]["id"], json!(id));
    let from = site.expect(200, Ask::get(&at("ann/other", "/promotionPolicies")).user("ann")).await;
    assert_eq!(from.json(), json!([]));
    site.close().await;
}

#[tokio::test]
async fn a_changed_policy_shows_a_plan_until_it_is_decided() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1.4-rc", b"layer").await;
    let policies = at("ann/app", "/promotionPolicies");
    let made = send(&site, 201, "ann", Ask::post(&policies), policy("ann/other")).await.json();
    settle(&site).await;
    let one = format!("{policies}/{}", made["id"].as_str().unwrap());
    let change = json!({ "rules": [{ "field": "tag", "operator": "ew", "values": ["-rc"] }] });
    let changed = send(&site, 200, "ann", Ask::put(&one), change).await.json();
    assert_eq!((&changed["version"], &changed["targetRepository"]), (&json!(2), &json!("ann/other")));
    let why = Ask::get(&at("ann/app", "/tags/1.4-rc/decisions")).user("ann");
    let before = site.expect(200, why.clone()).await.json();
    assert_eq!((&before["decisions"][0]["outcome"], &before["plan"][0]["outcome"]), (&json!("deny"), &json!("allow")));
    assert_eq!(before["plan"][0]["at"], json!(null));
    settle(&site).await;
    let after = site.expect(200, why).await.json();
    assert_eq!((&after["decisions"][0]["outcome"], &after["plan"]), (&json!("allow"), &json!([])));
    // Enabled alone is a change that keeps the rest.
    let off = send(&site, 200, "ann", Ask::put(&one), json!({ "enabled": false })).await.json();
    assert_eq!((&off["enabled"], &off["version"]), (&json!(false), &json!(2)));
    site.close().await;
}

#[tokio::test]
async fn saved_without_an_evaluation_it_takes_only_what_comes() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1-stable", b"layer").await;
    let path = at("ann/app", "/promotionPolicies?initialEvaluation=false");
    send(&site, 201, "ann", Ask::post(&path), policy("ann/other")).await;
    settle(&site).await;
    site.push_image("ann", "ann/app", "2-stable", b"layer").await;
    settle(&site).await;
    let tags = site.expect(200, Ask::get(&at("ann/other", "/tags")).user("ann")).await.json();
    let names: Vec<&str> = tags.as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["2-stable"]);
    site.close().await;
}

#[tokio::test]
async fn a_preview_decides_about_what_is_there_and_saves_nothing() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1-rc", b"layer").await;
    let digest = site.push_image("ann", "ann/app", "1-stable", b"layer").await.to_string();
    let path = at("ann/app", "/promotionPolicies/test");
    let preview =
        async |query: &str| send(&site, 200, "ann", Ask::post(&format!("{path}{query}")), policy("ann/other")).await;
    let all = preview("").await.json();
    let decisions = all["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 2);
    assert_eq!((&decisions[0]["tag"], &decisions[0]["outcome"]), (&json!("1-rc"), &json!("deny")));
    assert_eq!(
        (&decisions[1]["outcome"], &decisions[1]["targetTag"], &decisions[1]["digest"]),
        (&json!("allow"), &json!("1-stable"), &json!(digest))
    );
    let page = preview("?pageSize=1").await;
    assert_eq!((page.json()["decisions"].as_array().unwrap().len(), page.header("x-next-page-start")), (1, "1-stable"));
    // What the target would refuse is told, too.
    site.push_image("ann", "ann/other", "1-stable", b"another layer").await;
    send(&site, 200, "ann", Ask::patch(&at("ann/other", "")), json!({ "immutableTags": true })).await;
    let blocked = preview("").await.json();
    assert_eq!(blocked["decisions"][1]["outcome"], "blocked");
    assert!(blocked["decisions"][1]["reason"].as_str().unwrap().contains("immutable"));
    let saved = site.expect(200, Ask::get(&at("ann/app", "/promotionPolicies")).user("ann")).await;
    assert_eq!(saved.json(), json!([]));
    site.close().await;
}

#[tokio::test]
async fn a_loop_is_saved_with_a_warning() {
    let site = Site::open().await;
    send(&site, 201, "ann", Ask::post(&at("ann/app", "/promotionPolicies")), policy("ann/other")).await;
    let back = send(&site, 201, "ann", Ask::post(&at("ann/other", "/promotionPolicies")), policy("ann/app")).await;
    let warning = back.header("warning");
    assert!(warning.starts_with("299 - \"") && warning.contains("ann/other -> ann/app -> ann/other"), "{warning}");
    assert_eq!(back.json()["warnings"].as_array().unwrap().len(), 1);
    // Repositories that the caller may not see are not named.
    send(&site, 201, "root", Ask::post(&at("bob/app", "/promotionPolicies")), policy("ann/app")).await;
    let hidden = policy("bob/app");
    let hidden = send(&site, 201, "root", Ask::post(&at("ann/app", "/promotionPolicies")), hidden).await.json();
    assert!(hidden["warnings"][0].as_str().unwrap().contains("bob/app"));
    site.close().await;
}

#[tokio::test]
async fn a_warning_names_no_repository_that_is_hidden() {
    let site = Site::open().await;
    // ann may promote ann/app to ann/other; somebody leads that on, and back,
    // through bob's.
    send(&site, 201, "root", Ask::post(&at("ann/other", "/promotionPolicies")), policy("bob/app")).await;
    send(&site, 201, "root", Ask::post(&at("bob/app", "/promotionPolicies")), policy("ann/app")).await;
    let made = send(&site, 201, "ann", Ask::post(&at("ann/app", "/promotionPolicies")), policy("ann/other")).await;
    let warning = made.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("you may not see") && !warning.contains("bob"), "{warning}");
    site.close().await;
}

#[tokio::test]
async fn bad_policies_are_refused_with_what_is_allowed_and_nothing_is_saved() {
    let site = Site::open().await;
    let with = |field: &str, value: Value| {
        let mut body = policy("ann/other");
        body[field] = value;
        body
    };
    let rule = |field: &str, operator: &str, values: Value| {
        with("rules", json!([{ "field": field, "operator": operator, "values": values }]))
    };
    for (body, status, code, words) in [
        (rule("tog", "eq", json!(["x"])), 400, "INVALID_PROMOTION_POLICY", "\"tog\" is no field"),
        (rule("tag", "is", json!(["x"])), 400, "INVALID_PROMOTION_POLICY", "use one of eq"),
        (rule("tag", "eq", json!([])), 400, "INVALID_PROMOTION_POLICY", "\"values\" is empty"),
        (rule("tag", "eq", json!(null)), 400, "INVALID_PROMOTION_POLICY", "rule 1: `values` is missing"),
        (
            with("rules", json!([{ "operator": "eq", "values": ["x"] }])),
            400,
            "INVALID_PROMOTION_POLICY",
            "`field` is missing",
        ),
        (
            with("rules", json!([{ "field": "tag", "values": ["x"] }])),
            400,
            "INVALID_PROMOTION_POLICY",
            "`operator` is missing",
        ),
        (with("rules", json!(null)), 400, "INVALID_PROMOTION_POLICY", "`rules` is missing"),
        (with("rules", json!([["tag", "eq", ["a"]]])), 400, "INVALID_JSON", "`rules` takes an object, not a list"),
        (with("enabled", json!("yes")), 400, "INVALID_JSON", "`enabled` takes true or false, not a text"),
        (json!([true]), 400, "INVALID_JSON", "it takes an object, not a list"),
        (json!([]), 400, "INVALID_JSON", "it takes an object, not a list"),
        (rule("license.name", "oo", json!(["MIT"])), 400, "INVALID_PROMOTION_POLICY", "needs image scanning"),
        (with("tagTemplate", json!("%q")), 400, "INVALID_PROMOTION_POLICY", "the variables are %n"),
        (with("timeZone", json!("Mars/Olympus")), 400, "INVALID_PROMOTION_POLICY", "timeZone"),
        (with("targetRepository", json!(null)), 400, "INVALID_PROMOTION_POLICY", "targetRepository: missing"),
        (with("targetRepository", json!("other")), 400, "INVALID_PROMOTION_POLICY", "at least two parts"),
        (with("targetRepository", json!("ann/none")), 404, "NO_SUCH_REPOSITORY", "ann/none does not exist"),
        (with("targetRepository", json!("bob/app")), 404, "NO_SUCH_REPOSITORY", "bob/app does not exist"),
        (with("rules", json!("tag")), 400, "INVALID_JSON", "`rules` takes a list, not a text"),
    ] {
        for path in ["/promotionPolicies", "/promotionPolicies/test"] {
            let answer = send(&site, status, "ann", Ask::post(&at("ann/app", path)), body.clone()).await;
            assert_eq!(answer.code(), code, "{body}");
            assert!(answer.message().contains(words), "{body}: {}", answer.message());
        }
    }
    for flag in ["perhaps", "any", "yes", "tRUE", "2"] {
        let flag = at("ann/app", &format!("/promotionPolicies?initialEvaluation={flag}"));
        let refused = send(&site, 400, "ann", Ask::post(&flag), policy("ann/other")).await;
        assert_eq!(refused.code(), "INVALID_PARAMETERS");
        assert!(refused.message().contains("neither true nor false"), "{}", refused.message());
    }
    let path = at("ann/app", "/promotionPolicies");
    for body in [
        br#"{"enabled":true,"enabled":false}"#.as_slice(),
        br#"{"x":{"a":1,"a":2}}"#,
        b"{\"x\":\"\xff\"}",
        b"{\"rules\":[]} \xff",
    ] {
        let refused = site.expect(400, Ask::post(&path).user("ann").body(body)).await;
        assert_eq!(refused.code(), "INVALID_JSON");
    }
    let list = site.expect(200, Ask::get(&at("ann/app", "/promotionPolicies/")).user("ann")).await;
    assert_eq!(list.json(), json!([]));
    for id in ["x", "6ca8bea5-0993-48f2-b279-9b3cbe3da042"] {
        let one = at("ann/app", &format!("/promotionPolicies/{id}"));
        assert_eq!(site.expect(404, Ask::get(&one).user("ann")).await.code(), "NO_SUCH_PROMOTION_POLICY");
        let put = send(&site, 404, "ann", Ask::put(&one), json!({})).await;
        assert_eq!(put.code(), "NO_SUCH_PROMOTION_POLICY");
        site.expect(204, Ask::delete(&one).user("ann")).await;
    }
    site.close().await;
}

/// `True` is what scripts in Python send. Taken for a mistake or, worse, passed
/// over, it made a policy walk over every tag that was there.
#[tokio::test]
async fn flags_are_read_as_dtr_reads_them() {
    let site = Site::open().await;
    send(&site, 201, "ann", Ask::post(&at("ann/app", "/promotionPolicies")), policy("ann/other")).await;
    for (value, of_source) in
        [("1", 1), ("t", 1), ("T", 1), ("TRUE", 1), ("true", 1), ("True", 1), ("", 1), ("0", 0), ("f", 0), ("F", 0)]
            .into_iter()
            .chain([("FALSE", 0), ("false", 0), ("False", 0)])
    {
        let path = at("ann/app", &format!("/promotionPolicies?source={value}"));
        let list = site.expect(200, Ask::get(&path).user("ann")).await.json();
        assert_eq!(list.as_array().unwrap().len(), of_source, "{value}");
    }
    site.close().await;
}

#[tokio::test]
async fn either_end_sees_a_policy_and_either_ends_admin_removes_it() {
    let site = Site::open().await;
    let made = send(&site, 201, "root", Ask::post(&at("ann/app", "/promotionPolicies")), policy("bob/app")).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let one = |repository: &str| at(repository, &format!("/promotionPolicies/{id}"));
    for (user, repository) in [("ann", "ann/app"), ("bob", "bob/app"), ("bob", "ann/app"), ("ann", "bob/app")] {
        let shown = site.expect(200, Ask::get(&one(repository)).user(user)).await.json();
        assert_eq!(shown["sourceRepository"], "ann/app", "{user} {repository}");
    }
    // It is at neither end here.
    site.expect(404, Ask::get(&one("ann/other")).user("ann")).await;
    site.expect(204, Ask::delete(&one("ann/other")).user("ann")).await;
    site.expect(200, Ask::get(&one("ann/app")).user("ann")).await;
    site.expect(204, Ask::delete(&one("bob/app")).user("bob")).await;
    site.expect(404, Ask::get(&one("ann/app")).user("ann")).await;
    site.close().await;
}

#[tokio::test]
async fn promotion_by_hand_needs_read_here_and_write_there() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await.to_string();
    let path = at("ann/app", "/tags/1.0/promotion");
    let to = |repository: &str, tag: &str| json!({ "targetRepository": repository, "targetTag": tag });
    let made = send(&site, 201, "ann", Ask::post(&path), to("ann/other", "")).await.json();
    assert_eq!((&made["targetTag"], &made["digest"]), (&json!("1.0"), &json!(digest)));
    assert_eq!((&made["sourceRepository"], &made["sourceTag"]), (&json!("ann/app"), &json!("1.0")));
    site.expect(200, Ask::get("/v2/ann/other/manifests/1.0").user("ann")).await;
    for (path, body, status, code) in [
        (&path, to("ann/other", "-x"), 400, "INVALID_TAG_NAME"),
        (&path, to("other", "x"), 400, "INVALID_PARAMETERS"),
        (&path, json!({}), 400, "INVALID_JSON"),
        (&path, to("bob/app", "x"), 404, "NO_SUCH_REPOSITORY"),
        (&at("ann/app", "/tags/2.0/promotion"), to("ann/other", "x"), 404, "NO_SUCH_TAG"),
    ] {
        assert_eq!(send(&site, status, "ann", Ask::post(path), body.clone()).await.code(), code, "{body}");
    }
    send(&site, 200, "ann", Ask::patch(&at("ann/other", "")), json!({ "immutableTags": true })).await;
    site.push_image("ann", "ann/app", "1.0", b"another layer").await;
    assert_eq!(send(&site, 409, "ann", Ask::post(&path), to("ann/other", "1.0")).await.code(), "IMMUTABLE_TAG");
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_made_at_once_all_go_through_from_either_end() {
    // A quarter of ten writers' changes was once refused with 400.
    let site = Site::open().await;
    let made = send(&site, 201, "ann", Ask::post(&at("ann/app", "/promotionPolicies")), policy("ann/other")).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let change = async |number: usize| {
        let end = if number.is_multiple_of(2) { "ann/app" } else { "ann/other" };
        let path = at(end, &format!("/promotionPolicies/{id}"));
        send(&site, 200, "ann", Ask::put(&path), json!({ "tagTemplate": format!("v{number}") })).await;
    };
    futures_util::future::join_all((0..24).map(change)).await;
    site.close().await;
}
