//! Listings and their pages.

use serde_json::{Value, json};

use crate::http::harness::{Answer, Ask, Site, image};
use crate::oci::{Digest, MediaType};

/// The path in an answer's `Link`.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.headers.get("link")?.to_str().unwrap();
    let (path, relation) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(relation, "; rel=\"next\"");
    Some(path.to_owned())
}

/// Follows the pages from `path` on; how many there were, and what `field` held.
async fn pages(site: &Site, user: &str, path: &str, field: &str) -> (usize, Vec<Value>) {
    let (mut path, mut count, mut found) = (Some(path.to_owned()), 0, Vec::new());
    while let Some(here) = path {
        let answer = site.expect(200, Ask::get(&here).user(user)).await;
        found.extend(answer.json()[field].as_array().unwrap().clone());
        (path, count) = (next(&answer), count + 1);
    }
    (count, found)
}

#[tokio::test]
async fn tags_come_in_byte_order_and_in_pages() {
    let site = Site::open().await;
    let empty = site.expect(200, Ask::get("/v2/ann/app/tags/list").user("ann")).await;
    assert_eq!(empty.json(), json!({ "name": "ann/app", "tags": [] }));
    for tag in ["b", "a", "B", "10", "9"] {
        site.push_image("ann", "ann/app", tag, b"layer").await;
    }
    let all = json!(["10", "9", "B", "a", "b"]);
    for (query, count) in [("", 1), ("?n=5", 1), ("?n=2", 3), ("?n=1", 5), ("?n=99999999999999999999", 1)] {
        let (pages, tags) = pages(&site, "ann", &format!("/v2/ann/app/tags/list{query}"), "tags").await;
        assert_eq!((pages, json!(tags)), (count, all.clone()), "{query}");
    }
    let none = site.expect(200, Ask::get("/v2/ann/app/tags/list?n=0").user("ann")).await;
    assert_eq!((none.json()["tags"].clone(), next(&none)), (json!([]), None));
    // It need not be a tag that exists.
    let after = site.expect(200, Ask::get("/v2/ann/app/tags/list?n=1&last=AAA").user("ann")).await;
    assert_eq!(after.json()["tags"], json!(["B"]));
    site.close().await;
}

#[tokio::test]
async fn the_catalog_shows_what_the_caller_may_see() {
    let site = Site::open().await;
    for (user, expected) in
        [("root", json!(["ann/app", "ann/other", "bob/app", "bob/other"])), ("bob", json!(["bob/app", "bob/other"]))]
    {
        for query in ["", "?n=1"] {
            let (_, names) = pages(&site, user, &format!("/v2/_catalog{query}"), "repositories").await;
            assert_eq!(json!(names), expected, "{user} {query}");
        }
    }
    // A page that ends where the caller's sight does has no next one.
    let first = site.expect(200, Ask::get("/v2/_catalog?n=2").user("bob")).await;
    assert_eq!(next(&first), None);
    site.close().await;
}

#[tokio::test]
async fn referrers_are_an_index_filtered_and_in_pages() {
    let site = Site::open().await;
    let subject = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let mut attached = Vec::new();
    for (n, kind) in ["application/spdx+json", "application/x.sig", "application/spdx+json"].into_iter().enumerate() {
        let mut manifest = image(&config, 2, &[], Some(&subject));
        manifest["artifactType"] = kind.into();
        manifest["annotations"] = json!({ "n": n.to_string() });
        let digest = Digest::sha256_of(manifest.to_string().as_bytes());
        attached.push((digest.to_string(), n, kind));
        site.push_manifest("ann", "ann/app", &digest.to_string(), &manifest).await;
    }
    attached.sort();
    let path = format!("/v2/ann/app/referrers/{subject}");
    let answer = site.expect(200, Ask::get(&path).user("ann")).await;
    assert_eq!(answer.header("content-type"), MediaType::OciIndex.as_str());
    assert!(!answer.headers.contains_key("oci-filters-applied"));
    assert_eq!(answer.json()["schemaVersion"], 2);
    assert_eq!(answer.json()["mediaType"], MediaType::OciIndex.as_str());
    let listed: Vec<_> = answer.json()["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let n: usize = row["annotations"]["n"].as_str().unwrap().parse().unwrap();
            (row["digest"].as_str().unwrap().to_owned(), n, row["artifactType"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(listed, attached.iter().map(|(d, n, k)| (d.clone(), *n, (*k).to_owned())).collect::<Vec<_>>());
    let (count, found) = pages(&site, "ann", &format!("{path}?n=1"), "manifests").await;
    assert_eq!((count, found), (3, answer.json()["manifests"].as_array().unwrap().clone()));
    // Both spellings of a plus.
    for kind in ["application/spdx+json", "application/spdx%2Bjson"] {
        let filtered = format!("{path}?artifactType={kind}");
        let answer = site.expect(200, Ask::get(&filtered).user("ann")).await;
        assert_eq!(answer.header("oci-filters-applied"), "artifactType");
        assert_eq!(pages(&site, "ann", &format!("{filtered}&n=1"), "manifests").await.1.len(), 2);
    }
    site.close().await;
}

/// Clients take a 404 here for a registry without the listing, and would write
/// fallback tags into it.
#[tokio::test]
async fn referrers_of_what_is_not_there_are_none() {
    let site = Site::open().await;
    let digest = Digest::sha256_of(b"x");
    for repository in ["ann/app", "ann/missing", "bob/app"] {
        let answer = site.expect(200, Ask::get(&format!("/v2/{repository}/referrers/{digest}")).user("ann")).await;
        assert_eq!(answer.json()["manifests"], json!([]), "{repository}");
    }
    site.close().await;
}

#[tokio::test]
async fn what_was_attached_by_a_tag_and_by_its_subject_is_one_list() {
    let site = Site::open().await;
    let subject = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let mut by_subject = Vec::new();
    let mut by_tag = Vec::new();
    for number in 0..6_u8 {
        let layer = site.push_blob("ann", "ann/app", &[number]).await;
        // Half of them name their subject; one of those is in the index too.
        let names = (number % 2 == 0).then_some(&subject);
        let mut artifact = image(&config, 2, &[(layer, 1)], names);
        artifact["artifactType"] = format!("type/{}", number % 3).into();
        let pushed = site.push_manifest("ann", "ann/app", &format!("a{number}"), &artifact).await;
        if names.is_some() {
            by_subject.push(pushed);
        }
        if names.is_none() || number == 0 {
            by_tag.push((pushed, artifact.to_string().len()));
        }
    }
    let entries: Vec<_> = by_tag
        .iter()
        .map(|(digest, size)| serde_json::json!({ "mediaType": MediaType::OciManifest.as_str(), "digest": digest, "size": size,
            "annotations": { "by": "tag" } }))
        .chain([serde_json::json!({ "mediaType": MediaType::OciManifest.as_str(), "digest": Digest::sha256_of(b"absent"), "size": 1 })])
        .collect();
    let index =
        serde_json::json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": entries });
    site.push_manifest("ann", "ann/app", &format!("sha256-{}", subject.hex()), &index).await;

    let path = format!("/v2/ann/app/referrers/{subject}");
    let all = site.expect(200, Ask::get(&path).user("ann")).await.json();
    let listed: Vec<String> =
        all["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect();
    let mut wanted: Vec<String> =
        by_subject.iter().chain(by_tag.iter().map(|(digest, _)| digest)).map(ToString::to_string).collect();
    wanted.sort();
    wanted.dedup();
    assert_eq!((listed.len(), &listed), (6, &wanted));
    // Pages of every size give the same list, each once.
    for entries in 1..=6 {
        let mut page = Some(format!("{path}?n={entries}"));
        let mut paged = Vec::new();
        while let Some(asked) = page {
            let answer = site.expect(200, Ask::get(&asked).user("ann")).await;
            let found = answer.json();
            let digests = found["manifests"].as_array().unwrap().iter();
            paged.extend(digests.map(|entry| entry["digest"].as_str().unwrap().to_owned()));
            page = next(&answer);
        }
        assert_eq!(paged, wanted, "n={entries}");
    }
    let some = site.expect(200, Ask::get(&format!("{path}?artifactType=type/0")).user("ann")).await.json();
    assert_eq!(some["manifests"].as_array().unwrap().len(), 2);
    site.close().await;
}

#[tokio::test]
async fn a_caller_sees_its_own_and_what_is_public_in_order_and_in_pages() {
    use crate::registry::Caller;
    use crate::registry::repository::Settings;
    let site = Site::open().await;
    let registry = site.state.registry();
    for number in 0..60 {
        for (namespace, public) in [("ann", false), ("bob", number % 10 == 0), ("dev", number % 15 == 0)] {
            let name = format!("{namespace}/r{number:02}").parse().unwrap();
            let settings = Settings { is_public: Some(public), ..Settings::default() };
            registry.create_repository(&Caller::System, &name, settings).await.unwrap();
        }
    }
    // One that is public no more, and one that is gone.
    let hide = Settings { is_public: Some(false), ..Settings::default() };
    registry.update_repository(&Caller::System, &"bob/r10".parse().unwrap(), hide).await.unwrap();
    registry.delete_repository(&Caller::System, &"bob/r20".parse().unwrap()).await.unwrap();
    let mut all = Vec::new();
    let mut page = Some("/v2/_catalog?n=7".to_owned());
    while let Some(asked) = page {
        let answer = site.expect(200, Ask::get(&asked).user("ann")).await;
        let found = answer.json();
        let names = found["repositories"].as_array().unwrap().iter();
        all.extend(names.map(|name| name.as_str().unwrap().to_owned()));
        page = next(&answer);
    }
    let seen =
        |namespace: &str| all.iter().filter(|name| name.starts_with(namespace)).map(String::as_str).collect::<Vec<_>>();
    assert!(all.is_sorted() && seen("ann/r").len() == 60, "{all:?}");
    assert_eq!(seen("bob/r"), ["bob/r00", "bob/r30", "bob/r40", "bob/r50"]);
    assert_eq!(seen("dev/r"), ["dev/r00", "dev/r15", "dev/r30", "dev/r45"]);
    site.close().await;
}
