//! Conditional requests (RFC 9110 §13): a change happens only to what the
//! client knows, and of many who try exactly one succeeds.

use futures_util::future::join_all;
use serde_json::json;

use crate::http::harness::{Answer, Ask, Site, image};
use crate::oci::{Algorithm, Digest};
use crate::registry::Caller;
use crate::registry::repository::Settings;

const PATH: &str = "/v2/ann/app/manifests/";

/// Two manifests whose blobs are there, and a third that came under sha512.
async fn manifests(site: &Site) -> (Vec<String>, Vec<Digest>) {
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let mut bytes = Vec::new();
    for layer in [b"one", b"two"] {
        let digest = site.push_blob("ann", "ann/app", layer).await;
        bytes.push(image(&config, 2, &[(digest, 3)], None).to_string());
    }
    let digests = bytes.iter().map(|bytes| Digest::sha256_of(bytes.as_bytes())).collect();
    (bytes, digests)
}

fn quoted(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

fn put(reference: &str, bytes: &str) -> Ask {
    Ask::put(&format!("{PATH}{reference}")).user("ann").body(bytes)
}

fn get(reference: &str) -> Ask {
    Ask::get(&format!("{PATH}{reference}")).user("ann")
}

fn delete(reference: &str) -> Ask {
    Ask::delete(&format!("{PATH}{reference}")).user("ann")
}

fn etag(answer: &Answer) -> &str {
    answer.header("etag")
}

#[tokio::test]
async fn the_entity_tag_is_the_digest_wherever_a_manifest_is_named() {
    let site = Site::open().await;
    let (bytes, digests) = manifests(&site).await;
    let first = quoted(&digests[0]);
    assert_eq!(etag(&site.expect(201, put("1.0", &bytes[0])).await), first);
    for reference in ["1.0", &digests[0].to_string()] {
        assert_eq!(etag(&site.expect(200, get(reference)).await), first);
        assert_eq!(etag(&site.expect(200, Ask::head(&format!("{PATH}{reference}")).user("ann")).await), first);
    }
    // Under the digest that the client chose, it is that one.
    let other = Digest::of(Algorithm::Sha512, bytes[1].as_bytes());
    let path = format!("{other}?tag=2.0");
    assert_eq!(etag(&site.expect(201, put(&path, &bytes[1])).await), quoted(&other));
    assert_eq!(etag(&site.expect(200, get("2.0")).await), quoted(&other));
    site.expect(201, put("2.0", &bytes[0]).header("if-match", &quoted(&other))).await;
    site.close().await;
}

#[tokio::test]
async fn a_tag_is_made_moved_and_removed_only_from_what_the_client_knows() {
    let site = Site::open().await;
    let (bytes, digests) = manifests(&site).await;
    let [first, second] = [quoted(&digests[0]), quoted(&digests[1])];
    let if_match = |ask: Ask, tags: &str| ask.header("if-match", tags);
    let absent = |ask: Ask| ask.header("if-none-match", "*");
    // Nothing is there to match.
    for ask in [put("1.0", &bytes[0]), delete("1.0")] {
        for tags in ["*", &first] {
            let answer = site.expect(412, if_match(ask.clone(), tags)).await;
            assert_eq!(answer.code(), "UNKNOWN");
            let words = "If-Match does not hold: the tag \"1.0\" is not in ann/app, or you may not see it";
            assert_eq!(answer.message(), words);
            assert_eq!(answer.json()["errors"][0]["detail"], json!({ "tag": "1.0", "digest": null }));
        }
    }
    site.expect(404, get("1.0")).await;
    site.expect(201, absent(put("1.0", &bytes[0]))).await;
    let answer = site.expect(412, absent(put("1.0", &bytes[1]))).await;
    assert_eq!(
        answer.message(),
        format!("If-None-Match does not hold: the tag \"1.0\" of ann/app is {} now", digests[0])
    );
    assert_eq!(answer.json()["errors"][0]["detail"], json!({ "tag": "1.0", "digest": digests[0] }));
    // The same bytes again are a change too, and one that was ruled out.
    site.expect(412, absent(put("1.0", &bytes[0]))).await;
    let weak = format!("W/{first}");
    for tags in [&second, "\"x\"", &weak] {
        site.expect(412, if_match(put("1.0", &bytes[1]), tags)).await;
        site.expect(412, if_match(delete("1.0"), tags)).await;
    }
    site.expect(412, put("1.0", &bytes[1]).header("if-none-match", &weak)).await;
    assert_eq!(etag(&site.expect(200, get("1.0")).await), first, "nothing has moved it");
    let moved = site.expect(201, if_match(put("1.0", &bytes[1]), &format!("\"x\", {first}"))).await;
    site.expect(412, if_match(delete("1.0"), &first)).await;
    site.expect(202, if_match(delete("1.0"), etag(&moved))).await;
    site.expect(404, delete("1.0")).await;
    site.expect(201, absent(put("1.0", &bytes[0]))).await;
    // Lines are one list, and both headers must hold.
    let both = put("1.0", &bytes[1]).header("if-match", "\"x\"").header("if-match", &first);
    site.expect(412, both.clone().header("if-none-match", &first)).await;
    site.expect(201, both.header("if-none-match", &second)).await;
    site.close().await;
}

#[tokio::test]
async fn of_several_tags_all_are_set_or_none() {
    let site = Site::open().await;
    let (bytes, digests) = manifests(&site).await;
    let [first, second] = [quoted(&digests[0]), quoted(&digests[1])];
    let digest = digests[0];
    site.expect(201, put("old", &bytes[1])).await;
    let absent = |path: &str| put(path, &bytes[0]).header("if-none-match", "*");
    for path in ["new?tag=old", "old?tag=new", &format!("{digest}?tag=new&tag=old")] {
        let answer = site.expect(412, absent(path)).await;
        assert_eq!(answer.json()["errors"][0]["detail"], json!({ "tag": "old", "digest": digests[1] }), "{path}");
        site.expect(404, get("new")).await;
    }
    site.expect(412, put("old?tag=new", &bytes[0]).header("if-match", &second)).await;
    site.expect(201, absent("new?tag=newer")).await;
    site.expect(412, put("new?tag=old", &bytes[0]).header("if-match", &first)).await;
    site.expect(201, put("new?tag=old", &bytes[0]).header("if-match", &format!("{first},{second}"))).await;
    site.expect(201, put(&format!("{digest}?tag=old&tag=new"), &bytes[0]).header("if-match", &first)).await;
    site.close().await;
}

#[tokio::test]
async fn by_digest_and_without_a_tag_the_manifest_is_meant() {
    let site = Site::open().await;
    let (bytes, digests) = manifests(&site).await;
    let (reference, tag) = (digests[0].to_string(), quoted(&digests[0]));
    let answer = site.expect(412, put(&reference, &bytes[0]).header("if-match", "*")).await;
    assert_eq!(answer.json()["errors"][0]["detail"], json!({ "reference": reference, "digest": null }));
    site.expect(412, delete(&reference).header("if-match", &tag)).await;
    site.expect(201, put(&reference, &bytes[0]).header("if-none-match", "*")).await;
    let answer = site.expect(412, put(&reference, &bytes[0]).header("if-none-match", "*")).await;
    assert!(answer.message().ends_with(&format!("the manifest {reference} is in ann/app")), "{}", answer.message());
    site.expect(201, put(&reference, &bytes[0]).header("if-match", &tag)).await;
    site.expect(412, delete(&reference).header("if-match", &quoted(&digests[1]))).await;
    site.expect(202, delete(&reference).header("if-match", &tag)).await;
    // Blobs too: nobody removes what he did not mean.
    let blob = Digest::sha256_of(b"one");
    let path = format!("/v2/ann/app/blobs/{blob}");
    let ask = |ask: Ask, tag: &str| ask.user("ann").header("if-match", tag);
    for one in [Ask::delete(&path), Ask::get(&path), Ask::head(&path)] {
        site.expect(412, ask(one, &tag)).await;
    }
    site.expect(200, ask(Ask::get(&path), &quoted(&blob))).await;
    site.expect(202, ask(Ask::delete(&path), "*")).await;
    site.expect(404, ask(Ask::get(&path), "*")).await;
    site.close().await;
}

#[tokio::test]
async fn reads_are_conditional_and_a_bad_header_is_refused_where_it_matters() {
    let site = Site::open().await;
    let (bytes, digests) = manifests(&site).await;
    let [first, second] = [quoted(&digests[0]), quoted(&digests[1])];
    site.expect(201, put("1.0", &bytes[0])).await;
    for reference in ["1.0", &digests[0].to_string()] {
        for ask in [get(reference), Ask::head(&format!("{PATH}{reference}")).user("ann")] {
            site.expect(200, ask.clone().header("if-match", &first)).await;
            site.expect(200, ask.clone().header("if-match", "*").header("if-none-match", &second)).await;
            site.expect(412, ask.clone().header("if-match", &second)).await;
            // If-Match speaks first.
            site.expect(412, ask.clone().header("if-match", &second).header("if-none-match", "*")).await;
            let known = site.expect(304, ask.header("if-match", &first).header("if-none-match", "*")).await;
            assert_eq!((etag(&known), known.body.len()), (first.as_str(), 0));
        }
    }
    // RFC 9110 §13.2.1: what is not there is not there.
    site.expect(404, get("none").header("if-match", "*")).await;
    for bad in ["", "x", &digests[0].to_string(), "\"x", "*, \"x\""] {
        for name in ["if-match", "if-none-match"] {
            for ask in [put("1.0", &bytes[1]), delete("1.0")] {
                let answer = site.expect(400, ask.header(name, bad)).await;
                assert_eq!(answer.code(), "UNSUPPORTED");
                assert!(answer.message().to_lowercase().starts_with(name), "{}", answer.message());
            }
        }
        site.expect(400, get("1.0").header("if-match", bad)).await;
        // A client that leaves out the quotes reads it once more.
        site.expect(200, get("1.0").header("if-none-match", bad)).await;
    }
    assert_eq!(etag(&site.expect(200, get("1.0")).await), first);
    site.close().await;
}

/// A condition must not tell a stranger what is in a repository that he may
/// not see, nor let him past a right.
#[tokio::test]
async fn a_condition_tells_a_stranger_nothing() {
    let site = Site::open().await;
    let digest = site.push_image("bob", "bob/app", "1.0", b"layer").await;
    let asks = |repository: &str| {
        let path = |reference: &str| format!("/v2/{repository}/manifests/{reference}");
        let by_digest = path(&digest.to_string());
        let asks = [
            Ask::put(&path("1.0")).body("{}"),
            Ask::delete(&path("1.0")),
            Ask::delete(&by_digest),
            Ask::get(&path("1.0")),
        ];
        let conditions =
            [("if-match", "*".to_owned()), ("if-match", quoted(&digest)), ("if-none-match", "*".to_owned())];
        let every = asks
            .into_iter()
            .flat_map(move |ask| conditions.clone().map(|(name, value)| ask.clone().user("ann").header(name, &value)));
        every.collect::<Vec<_>>()
    };
    for (index, (theirs, missing)) in asks("bob/app").into_iter().zip(asks("bob/xyz")).enumerate() {
        let (theirs, missing) = (site.send(theirs).await, site.send(missing).await);
        assert_eq!(theirs.status, missing.status, "{index}");
        assert_eq!(theirs.text(), missing.text().replace("bob/xyz", "bob/app"), "{index}");
        // Where something had to be there the condition does not hold.
        let is_write_if_match = index < 9 && index % 3 != 2;
        assert_eq!(theirs.status, if is_write_if_match { 412 } else { 404 }, "{index}: {}", theirs.text());
    }
    // Who may read and no more is told that, whatever the condition.
    let public = Settings { is_public: Some(true), ..Settings::default() };
    let name = "bob/app".parse().unwrap();
    site.state.registry().update_repository(&Caller::System, &name, public).await.unwrap();
    for value in ["*", "\"x\""] {
        site.expect(403, Ask::delete("/v2/bob/app/manifests/1.0").user("ann").header("if-match", value)).await;
    }
    site.expect(200, Ask::get("/v2/bob/app/manifests/1.0").user("bob")).await;
    site.close().await;
}

/// The decision is made in the transaction that writes: a check before it lets
/// two writers pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_race_one_wins() {
    const RACERS: usize = 8;
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let mut standing: Option<Digest> = None;
    for round in 0..10 {
        let manifest = |racer: usize| {
            let mut manifest = image(&config, 2, &[], None);
            manifest["annotations"] = json!({ "racer": format!("{round} {racer}") });
            manifest.to_string()
        };
        let race = (0..RACERS).map(|racer| {
            let ask = put("raced", &manifest(racer));
            site.send(match &standing {
                None => ask.header("if-none-match", "*"),
                Some(digest) => ask.header("if-match", &quoted(digest)),
            })
        });
        let answers = join_all(race).await;
        let won: Vec<usize> = (0..RACERS).filter(|racer| answers[*racer].status == 201).collect();
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        assert!(answers.iter().enumerate().all(|(racer, answer)| answer.status == 412 || racer == won[0]), "{round}");
        standing = Some(Digest::sha256_of(manifest(won[0]).as_bytes()));
        assert_eq!(etag(&site.expect(200, get("raced")).await), quoted(&standing.unwrap()), "round {round}");
    }
    site.close().await;
}
