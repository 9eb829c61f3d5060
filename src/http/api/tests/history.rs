//! What tags were, and the way back.

use serde_json::{Value, json};

use super::{at, send};
use crate::http::harness::{Ask, Site};
use crate::registry::Caller;
use crate::registry::repository::Settings;

const TAG: &str = "/tags/1.0";

async fn history(site: &Site, repository: &str, query: &str) -> Vec<Value> {
    let path = at(repository, &format!("{TAG}/history{query}"));
    site.expect(200, Ask::get(&path).user("ann")).await.json().as_array().unwrap().clone()
}

/// The causes, digests and digests before, newest first.
fn told(history: &[Value]) -> Vec<(&str, Value, Value)> {
    let one = |change: &'_ Value| (change["digest"].clone(), change["previousDigest"].clone());
    history
        .iter()
        .map(|change| {
            let (digest, previous) = one(change);
            (change["cause"].as_str().unwrap(), digest, previous)
        })
        .collect()
}

#[tokio::test]
async fn a_history_says_who_when_from_what_to_what_and_why() {
    let site = Site::open().await;
    let first = json!(site.push_image("ann", "ann/app", "1.0", b"one").await);
    let second = json!(site.push_image("root", "ann/app", "1.0", b"two").await);
    site.expect(204, Ask::delete(&at("ann/app", TAG)).user("root")).await;
    // A tag that is gone has a history, and its end is in it.
    let gone = history(&site, "ann/app", "").await;
    let (push, nothing) = ("push", Value::Null);
    let expected = [
        ("delete", nothing.clone(), second.clone()),
        (push, second.clone(), first.clone()),
        (push, first.clone(), nothing.clone()),
    ];
    assert_eq!(told(&gone), expected);
    let authors: Vec<&Value> = gone.iter().map(|change| &change["author"]).collect();
    assert_eq!(authors, ["root", "root", "ann"]);
    let states: Vec<(&Value, &Value)> = gone.iter().map(|change| (&change["current"], &change["available"])).collect();
    let (yes, no) = (&json!(true), &json!(false));
    assert_eq!(states, [(no, no), (no, yes), (no, yes)]);
    assert!(gone.windows(2).all(|pair| pair[0]["at"].as_str() > pair[1]["at"].as_str()));
    assert_eq!(gone[1]["manifest"]["digest"], second);
    assert_eq!(gone[0].get("manifest"), None);
    // Set back, by hand promoted over, and removed with its manifest.
    send(&site, 200, "ann", Ask::put(&at("ann/app", TAG)), json!({ "digest": first })).await;
    let promotion = json!({ "targetRepository": "ann/app", "targetTag": "1.0" });
    site.push_image("ann", "ann/other", "rc", b"two").await;
    send(&site, 201, "ann", Ask::post(&at("ann/other", "/tags/rc/promotion")), promotion).await;
    let path = at("ann/app", &format!("/manifests/{}", second.as_str().unwrap()));
    site.expect(204, Ask::delete(&path).user("ann")).await;
    let whole = history(&site, "ann/app", "").await;
    let newest = [
        ("manifest_delete", nothing.clone(), second.clone()),
        ("promotion", second.clone(), first.clone()),
        ("restore", first.clone(), nothing),
    ];
    assert_eq!(told(&whole)[..3], newest);
    assert_eq!(told(&whole)[3..], expected);
    assert_eq!(
        whole[1]["promotion"],
        json!({ "promotionPolicyID": "MANUAL_PROMOTION", "string": "", "sourceRepository": "ann/other", "sourceTag": "rc" })
    );
    assert_eq!((&whole[1]["available"], &whole[2]["available"]), (no, yes));
    // In pages, each beginning with the first change it has.
    let mut paged = Vec::new();
    let mut query = "?pageSize=2&count=true".to_owned();
    loop {
        let answer = site.expect(200, Ask::get(&at("ann/app", &format!("{TAG}/history{query}"))).user("ann")).await;
        assert_eq!(answer.header("x-resource-count"), "6");
        paged.extend(answer.json().as_array().unwrap().clone());
        let Some(next) = answer.headers.get("x-next-page-start") else { break };
        query = format!("?pageSize=2&count=true&pageStart={}", next.to_str().unwrap());
    }
    assert_eq!(paged, whole);
    site.close().await;
}

#[tokio::test]
async fn a_history_is_read_by_who_may_read_and_of_what_there_is() {
    let site = Site::open().await;
    site.push_image("bob", "bob/app", "1.0", b"one").await;
    let path = at("bob/app", &format!("{TAG}/history"));
    assert_eq!(site.expect(404, Ask::get(&path).user("ann")).await.code(), "NO_SUCH_REPOSITORY");
    let none = at("bob/app", "/tags/none/history");
    assert_eq!(site.expect(404, Ask::get(&none).user("bob")).await.code(), "NO_SUCH_TAG");
    let bad = site.expect(400, Ask::get(&format!("{path}?pageStart=x")).user("bob")).await;
    assert_eq!(bad.code(), "INVALID_PARAMETERS");
    assert!(bad.message().contains("sequence number"), "{}", bad.message());
    // A page behind the last change is empty.
    assert_eq!(site.expect(200, Ask::get(&format!("{path}?pageStart=1")).user("bob")).await.json(), json!([]));
    // With its repository a history goes, and is not the next one's.
    site.expect(204, Ask::delete(&at("bob/app", "")).user("bob")).await;
    let again = Ask::post("/api/v0/repositories/bob");
    send(&site, 201, "bob", again, json!({ "name": "app" })).await;
    assert_eq!(site.expect(404, Ask::get(&path).user("bob")).await.code(), "NO_SUCH_TAG");
    site.close().await;
}

#[tokio::test]
async fn a_tag_is_set_back_only_to_what_it_was_and_what_is_here() {
    let site = Site::open().await;
    let first = json!(site.push_image("ann", "ann/app", "1.0", b"one").await);
    let second = json!(site.push_image("ann", "ann/app", "1.0", b"two").await);
    let other = json!(site.push_image("ann", "ann/app", "2.0", b"three").await);
    let put = async |status: u16, user: &str, tag: &str, body: Value| {
        send(&site, status, user, Ask::put(&at("ann/app", tag)), body).await
    };
    assert_eq!(put(404, "ann", "/tags/none", json!({ "digest": first })).await.code(), "NO_SUCH_TAG");
    let never = put(404, "ann", TAG, json!({ "digest": other })).await;
    assert_eq!(never.code(), "NO_SUCH_REF");
    assert!(never.message().contains("`tidegate tag history ann/app:1.0`"), "{}", never.message());
    assert_eq!(put(400, "ann", TAG, json!({})).await.code(), "INVALID_JSON");
    assert_eq!(put(400, "ann", TAG, json!({ "digest": "1.0" })).await.code(), "INVALID_DIGEST");
    let conditional = |if_match: &Value, digest: &Value| {
        let ask = Ask::put(&at("ann/app", TAG)).header("if-match", &format!("\"{}\"", if_match.as_str().unwrap()));
        ask.user("ann").body(json!({ "digest": digest }).to_string())
    };
    let lost = site.expect(412, conditional(&first, &first)).await;
    assert_eq!(lost.code(), "PRECONDITION_FAILED");
    assert_eq!(lost.json()["errors"][0]["detail"], json!({ "tag": "1.0", "digest": second }));
    let back = site.expect(200, conditional(&second, &first)).await.json();
    assert_eq!((&back[0]["digest"], &back[0]["cause"]), (&first, &json!("restore")));
    assert_eq!(back[0]["manifest"]["imageSize"], json!(2 + 3));
    // What it is already is no change.
    put(200, "ann", TAG, json!({ "digest": first })).await;
    assert_eq!(history(&site, "ann/app", "").await.len(), 3);
    // Immutability holds here as everywhere.
    let immutable = |on| Settings { immutable_tags: Some(on), ..Settings::default() };
    let name = "ann/app".parse().unwrap();
    site.state.registry().update_repository(&Caller::System, &name, immutable(true)).await.unwrap();
    assert_eq!(put(409, "ann", TAG, json!({ "digest": second })).await.code(), "IMMUTABLE_TAG");
    site.state.registry().update_repository(&Caller::System, &name, immutable(false)).await.unwrap();
    // What was removed does not come back by itself.
    let path = at("ann/app", &format!("/manifests/{}", second.as_str().unwrap()));
    site.expect(204, Ask::delete(&path).user("ann")).await;
    let gone = put(404, "ann", TAG, json!({ "digest": second })).await;
    assert_eq!(gone.code(), "NO_SUCH_REF");
    assert!(gone.message().contains("is not in ann/app"), "{}", gone.message());
    // A tag that is gone comes back.
    let delete = |tag: &Value| {
        let ask = Ask::delete(&at("ann/app", TAG)).user("ann");
        ask.header("if-match", &format!("\"{}\"", tag.as_str().unwrap()))
    };
    site.expect(412, delete(&second)).await;
    site.expect(204, delete(&first)).await;
    put(200, "ann", TAG, json!({ "digest": first })).await;
    assert_eq!(site.expect(200, Ask::get(&at("ann/app", TAG)).user("ann")).await.json()[0]["digest"], first);
    site.expect(400, Ask::delete(&at("ann/app", TAG)).user("ann").header("if-match", "1.0")).await;
    site.close().await;
}
