//! Repositories, tags, manifests.

use serde_json::{Value, json};

use super::{at, send};
use crate::http::harness::{Ask, Site};

#[tokio::test]
async fn a_repository_is_made_changed_and_removed() {
    let site = Site::open().await;
    let made = send(&site, 201, "root", Ask::post("/api/v0/repositories/dev"), json!({ "name": "web/site" })).await;
    let made = made.json();
    for field in [
        "id",
        "namespace",
        "namespaceType",
        "name",
        "shortDescription",
        "visibility",
        "scanOnPush",
        "immutableTags",
        "enableManifestLists",
        "pulls",
        "pushes",
        "tagLimit",
    ] {
        assert!(!made[field].is_null(), "{field}");
    }
    assert_eq!((&made["namespace"], &made["name"]), (&json!("dev"), &json!("web/site")));
    assert_eq!((&made["namespaceType"], &made["visibility"]), (&json!("organization"), &json!("private")));
    let path = "/api/v0/repositories/dev/web%2Fsite";
    let change = json!({ "visibility": "public", "immutableTags": true, "shortDescription": null, "pulls": 7 });
    let changed = send(&site, 200, "root", Ask::patch(path), change).await.json();
    assert_eq!((&changed["visibility"], &changed["immutableTags"]), (&json!("public"), &json!(true)));
    assert_eq!(site.expect(200, Ask::get(path).user("ann")).await.json(), changed);
    assert_eq!(site.expect(403, Ask::delete(path).user("ann")).await.code(), "NOT_AUTHORIZED");
    site.expect(204, Ask::delete(path).user("root")).await;
    site.expect(404, Ask::get(path).user("root")).await;
    // Gone is gone, for whoever could have removed it.
    site.expect(204, Ask::delete(path).user("root")).await;
    assert_eq!(site.expect(404, Ask::delete(path).user("ann")).await.code(), "NO_SUCH_REPOSITORY");
    site.close().await;
}

/// Both were 0 for ever.
#[tokio::test]
async fn pulls_and_pushes_are_counted() {
    let site = Site::open().await;
    let counts = async || {
        let shown = site.expect(200, Ask::get(&at("ann/app", "")).user("ann")).await.json();
        let listed = site.expect(200, Ask::get("/api/v0/repositories/ann").user("ann")).await.json();
        let listed =
            listed["repositories"].as_array().unwrap().iter().find(|one| one["name"] == "app").unwrap().clone();
        assert_eq!((&shown["pulls"], &shown["pushes"]), (&listed["pulls"], &listed["pushes"]));
        (shown["pulls"].as_u64().unwrap(), shown["pushes"].as_u64().unwrap())
    };
    assert_eq!(counts().await, (0, 0));
    let digest = site.push_image("ann", "ann/app", "1", b"layer").await;
    let commits = *site.state.registry().store().writer().commits().borrow();
    for reference in ["1", &digest.to_string()] {
        site.expect(200, Ask::get(&format!("/v2/ann/app/manifests/{reference}")).user("ann")).await;
        site.expect(200, Ask::head(&format!("/v2/ann/app/manifests/{reference}")).user("ann")).await;
    }
    assert_eq!(counts().await, (2, 1));
    let store = site.state.registry().store();
    assert_eq!(*store.writer().commits().borrow(), commits, "a pull wrote");
    crate::registry::count::write_pulls(store).await.unwrap();
    assert_eq!(*store.writer().commits().borrow(), commits + 1);
    assert_eq!(counts().await, (2, 1));
    crate::registry::count::write_pulls(store).await.unwrap();
    assert_eq!(*store.writer().commits().borrow(), commits + 1, "nothing to write wrote");
    site.close().await;
}

#[tokio::test]
async fn a_listed_repository_can_be_posted_back_as_a_copy() {
    let site = Site::open().await;
    let mut object = site.expect(200, Ask::get(&at("ann/app", "")).user("ann")).await.json();
    object.as_object_mut().unwrap().remove("id");
    object["name"] = json!("copy");
    let copy = send(&site, 201, "ann", Ask::post("/api/v0/repositories/ann/"), object).await.json();
    assert_eq!((&copy["name"], &copy["namespaceType"]), (&json!("copy"), &json!("user")));
    site.close().await;
}

#[tokio::test]
async fn bad_repositories_are_refused_in_dtrs_words() {
    let site = Site::open().await;
    for (namespace, body, status, code) in [
        ("ann", json!({ "name": "app" }), 400, "REPOSITORY_EXISTS"),
        ("ann", json!({ "name": "App" }), 400, "INVALID_REPOSITORY_NAME"),
        ("ann", json!({}), 400, "INVALID_JSON"),
        ("ann", json!({ "name": "x", "visibility": "hidden" }), 400, "INVALID_REPOSITORY_VISIBILITY"),
        ("nobody", json!({ "name": "x" }), 404, "NO_SUCH_ACCOUNT"),
    ] {
        let answer =
            send(&site, status, "root", Ask::post(&format!("/api/v0/repositories/{namespace}")), body.clone()).await;
        assert_eq!(answer.code(), code, "{namespace} {body}");
    }
    let listed = site.expect(404, Ask::get("/api/v0/repositories/nobody").user("root")).await;
    assert_eq!(listed.code(), "NO_SUCH_ACCOUNT");
    let shape = site.expect(404, Ask::get("/api/v0/repositories/Ann/app").user("root")).await;
    assert!(shape.message().contains("lower-case"), "{}", shape.message());
    let method = site.expect(405, Ask::put("/api/v0/repositories/ann").user("root")).await;
    assert_eq!((method.code().as_str(), method.header("allow")), ("NOT_ALLOWED", "GET, POST, HEAD"));
    site.close().await;
}

#[tokio::test]
async fn repositories_are_listed_in_pages_of_what_one_may_see() {
    let site = Site::open().await;
    let list = async |user: &str, path: &str| {
        let answer = site.expect(200, Ask::get(&format!("/api/v0/repositories{path}")).user(user)).await;
        let json = answer.json();
        let names: Vec<String> = json["repositories"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one: &Value| format!("{}/{}", one["namespace"].as_str().unwrap(), one["name"].as_str().unwrap()))
            .collect();
        let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        (names.join(" "), header("x-next-page-start"), header("x-resource-count"))
    };
    let row = |names: &str, next: &str, count: &str| (names.to_owned(), next.to_owned(), count.to_owned());
    assert_eq!(list("root", "/").await, row("ann/app ann/other bob/app bob/other", "", ""));
    assert_eq!(list("ann", "?count=true").await, row("ann/app ann/other", "", "2"));
    assert_eq!(list("ann", "/bob").await, row("", "", ""));
    assert_eq!(list("root", "?pageSize=3&count=true").await, row("ann/app ann/other bob/app", "bob/other", "4"));
    assert_eq!(list("root", "?pageSize=3&pageStart=bob%2Fother").await, row("bob/other", "", ""));
    assert_eq!(list("root", "?limit=1&pageStart=ann/b").await, row("ann/other", "bob/app", ""));
    assert_eq!(list("root", "/bob?pageSize=1").await, row("bob/app", "bob/other", ""));
    assert_eq!(list("root", "?namespace=bob&pageSize=100000").await, row("bob/app bob/other", "", ""));
    site.close().await;
}

#[tokio::test]
async fn tags_say_where_they_came_from() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await.to_string();
    site.push_image("ann", "ann/app", "1.1", b"other layer").await;
    let by_hand = json!({ "targetRepository": "ann/other", "targetTag": "stable" });
    send(&site, 201, "ann", Ask::post(&at("ann/app", "/tags/1.0/promotion")), by_hand).await;
    let first = site.expect(200, Ask::get(&at("ann/app", "/tags?pageSize=1&count=true")).user("ann")).await;
    assert_eq!((first.header("x-next-page-start"), first.header("x-resource-count")), ("1.1", "2"));
    let tag = &first.json()[0];
    assert_eq!((&tag["name"], &tag["digest"], &tag["author"]), (&json!("1.0"), &json!(digest), &json!("ann")));
    assert_eq!(tag["manifest"]["digest"], json!(digest));
    for field in ["updatedAt", "createdAt", "hashMismatch", "inNotary"] {
        assert!(!tag[field].is_null(), "{field}");
    }
    assert_eq!((tag.get("promotion"), tag.get("mirroring")), (None, None));
    let rest = site.expect(200, Ask::get(&at("ann/app", "/tags?pageStart=1.1")).user("ann")).await.json();
    assert_eq!((rest.as_array().unwrap().len(), &rest[0]["name"]), (1, &json!("1.1")));
    let promoted = site.expect(200, Ask::get(&at("ann/other", "/tags/stable")).user("ann")).await.json();
    assert_eq!(
        promoted[0]["promotion"],
        json!({
            "promotionPolicyID": "MANUAL_PROMOTION", "string": "",
            "sourceRepository": "ann/app", "sourceTag": "1.0",
        })
    );
    assert_eq!(site.expect(404, Ask::get(&at("ann/app", "/tags/2.0")).user("ann")).await.code(), "NO_SUCH_TAG");
    site.expect(204, Ask::delete(&at("ann/app", "/tags/1.1")).user("ann")).await;
    assert_eq!(site.expect(404, Ask::delete(&at("ann/app", "/tags/1.1")).user("ann")).await.code(), "NO_SUCH_TAG");
    site.close().await;
}

#[tokio::test]
async fn manifests_are_listed_and_removed() {
    let site = Site::open().await;
    let first = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    site.push_image("ann", "ann/app", "1.1", b"other layer").await;
    let list = async |query: &str| site.expect(200, Ask::get(&at("ann/app", query)).user("ann")).await;
    let page = list("/manifests?pageSize=1").await;
    let next = page.header("x-next-page-start").to_owned();
    assert_eq!(page.json()[0]["digest"], json!(next), "the next page begins after it");
    let rest = list(&format!("/manifests?pageStart={next}")).await.json();
    assert_eq!(rest.as_array().unwrap().len(), 1);
    assert_eq!(rest[0]["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    site.expect(204, Ask::delete(&at("ann/app", &format!("/manifests/{first}"))).user("ann")).await;
    assert_eq!(list("/tags").await.json().as_array().unwrap().len(), 1);
    let again = site.expect(404, Ask::delete(&at("ann/app", &format!("/manifests/{first}"))).user("ann")).await;
    assert_eq!(again.code(), "NO_SUCH_REF");
    site.close().await;
}

#[tokio::test]
async fn a_digest_in_the_place_of_a_tag_gives_the_tags_of_the_manifest() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    site.push_image("ann", "ann/app", "1.1", b"layer").await;
    site.push_image("ann", "ann/app", "2.0", b"another").await;
    let one = site.expect(200, Ask::get(&at("ann/app", "/tags/1.0")).user("ann")).await.json();
    for path in [format!("/tags/{digest}"), format!("/tags/{}", digest.to_string().replace(':', "%3A"))] {
        let tags = site.expect(200, Ask::get(&at("ann/app", &path)).user("ann")).await.json();
        assert_eq!((tags.as_array().unwrap().len(), &tags[0]), (2, &one[0]));
        assert_eq!(tags[1]["name"], "1.1");
    }
    let absent = at("ann/app", &format!("/tags/{}", crate::oci::Digest::sha256_of(b"x")));
    assert_eq!(site.expect(404, Ask::get(&absent).user("ann")).await.code(), "NO_SUCH_REF");
    let bad = site.expect(400, Ask::get(&at("ann/app", "/tags/sha256:x")).user("ann")).await;
    assert_eq!(bad.code(), "INVALID_DIGEST");
    site.close().await;
}

#[tokio::test]
async fn a_tag_limit_pushes_out_what_was_set_longest_ago() {
    // It was stored and shown, and four tags beyond it were taken.
    let site = Site::open().await;
    let app = at("ann/app", "");
    let tags = async || site.expect(200, Ask::get("/v2/ann/app/tags/list").user("ann")).await.json()["tags"].clone();
    let too_high = send(&site, 400, "ann", Ask::new(http::Method::PATCH, &app), json!({ "tagLimit": 10_001 })).await;
    assert!(too_high.message().contains("10000"), "{}", too_high.message());
    send(&site, 200, "ann", Ask::new(http::Method::PATCH, &app), json!({ "tagLimit": 3 })).await;
    for tag in ["a", "b", "c"] {
        site.push_image("ann", "ann/app", tag, tag.as_bytes()).await;
    }
    // Pushed again, it is young again; the same value is no new tag.
    site.push_image("ann", "ann/app", "a", b"again").await;
    site.push_image("ann", "ann/app", "d", b"d").await;
    assert_eq!(tags().await, json!(["a", "c", "d"]));
    // What is attached does not count.
    let subject = site.push_image("ann", "ann/app", "d", b"d").await;
    site.push_image("ann", "ann/app", &format!("sha256-{}.sig", subject.hex()), b"sig").await;
    assert_eq!(tags().await.as_array().unwrap().len(), 4);
    // Lowered, it takes effect with the next tag; by hand as well.
    send(&site, 200, "ann", Ask::new(http::Method::PATCH, &app), json!({ "tagLimit": 1 })).await;
    site.push_image("ann", "ann/app", "e", b"e").await;
    let left = tags().await;
    assert_eq!((left.as_array().unwrap().len(), &left[0]), (2, &json!("e")));
    // While tags are immutable nothing is pushed out.
    let frozen = json!({ "immutableTags": true });
    send(&site, 200, "ann", Ask::new(http::Method::PATCH, &app), frozen).await;
    site.push_image("ann", "ann/app", "f", b"f").await;
    assert_eq!(tags().await.as_array().unwrap().len(), 3);
    site.close().await;
}
