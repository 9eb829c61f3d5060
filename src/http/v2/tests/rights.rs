//! Who may do what, and what the others are told: nothing that a repository
//! which is not there would not tell.

use crate::access::Level;
use crate::http::harness::{Ask, Site};
use crate::oci::Digest;
use crate::registry::Caller;
use crate::registry::grant::Place;
use crate::registry::repository::Settings;
use crate::registry::settings::SettingsChange;

#[tokio::test]
async fn a_strangers_repository_and_a_missing_one_answer_alike() {
    let site = Site::open().await;
    let manifest = site.push_image("bob", "bob/app", "1.0", b"layer").await;
    let blob = Digest::sha256_of(b"layer");
    let session = site.expect(202, Ask::post("/v2/bob/app/blobs/uploads/").user("bob")).await;
    let session = session.header("docker-upload-uuid").to_owned();
    let asks = |repository: &str| {
        let path = |rest: &str| format!("/v2/{repository}/{rest}");
        [
            Ask::get(&path("tags/list")),
            Ask::get(&path("manifests/1.0")),
            Ask::head(&path("manifests/1.0")),
            Ask::get(&path(&format!("manifests/{manifest}"))),
            Ask::put(&path("manifests/1.0")).body("{"),
            Ask::delete(&path("manifests/1.0")),
            Ask::delete(&path(&format!("manifests/{manifest}"))),
            Ask::get(&path(&format!("blobs/{blob}"))),
            Ask::head(&path(&format!("blobs/{blob}"))),
            Ask::get(&path(&format!("blobs/{blob}"))).header("if-none-match", "*"),
            Ask::get(&path("manifests/1.0")).header("if-none-match", "*"),
            Ask::delete(&path(&format!("blobs/{blob}"))),
            Ask::get(&path(&format!("referrers/{manifest}"))),
            Ask::post(&path("blobs/uploads/")),
            Ask::post(&path(&format!("blobs/uploads/?digest={blob}"))).body("layer"),
            Ask::post(&path(&format!("blobs/uploads/?mount={blob}&from=ann/app"))),
            Ask::get(&path(&format!("blobs/uploads/{session}"))),
            Ask::patch(&path(&format!("blobs/uploads/{session}"))).body("x"),
            Ask::put(&path(&format!("blobs/uploads/{session}?digest={blob}"))).body("layer"),
            Ask::delete(&path(&format!("blobs/uploads/{session}"))),
        ]
    };
    for (theirs, missing) in asks("bob/app").into_iter().zip(asks("bob/xyz")) {
        let told = format!("{theirs:?}");
        let (theirs, missing) = (site.send(theirs.user("ann")).await, site.send(missing.user("ann")).await);
        assert_eq!(theirs.status, missing.status, "{told}");
        assert_eq!(theirs.text(), missing.text().replace("bob/xyz", "bob/app"), "{told}");
        let headers = |answer: &crate::http::harness::Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("x-request-id");
            headers.remove("date");
            headers
        };
        assert_eq!(headers(&theirs), headers(&missing), "{told}");
    }
    site.expect(200, Ask::get("/v2/bob/app/manifests/1.0").user("root")).await;
    site.expect(204, Ask::get(&format!("/v2/bob/app/blobs/uploads/{session}")).user("bob")).await;
    site.close().await;
}

#[tokio::test]
async fn a_public_repository_is_read_by_everyone_and_written_by_its_own() {
    let site = Site::open().await;
    site.push_image("bob", "bob/app", "1.0", b"layer").await;
    let public = Settings { is_public: Some(true), ..Settings::default() };
    let name = "bob/app".parse().unwrap();
    site.state.registry().update_repository(&Caller::System, &name, public).await.unwrap();
    site.expect(200, Ask::get("/v2/bob/app/manifests/1.0").user("ann")).await;
    for ask in [
        Ask::post("/v2/bob/app/blobs/uploads/"),
        Ask::put("/v2/bob/app/manifests/1.0").body("{"),
        Ask::delete("/v2/bob/app/manifests/1.0"),
    ] {
        let answer = site.expect(403, ask.user("ann")).await;
        assert_eq!(
            (answer.code().as_str(), answer.message().as_str()),
            ("DENIED", "you need read-write access to bob/app")
        );
    }
    site.close().await;
}

/// CVE-2024-39897: another registry let anyone read any blob by its digest.
#[tokio::test]
async fn a_blob_is_mounted_only_from_where_the_caller_may_read() {
    let site = Site::open().await;
    let theirs = site.push_blob("bob", "bob/app", b"secret").await;
    let mine = site.push_blob("ann", "ann/other", b"mine").await;
    let mount = |query: String| Ask::post(&format!("/v2/ann/app/blobs/uploads/?{query}")).user("ann");
    let absent = Digest::sha256_of(b"nowhere");
    for query in [
        format!("mount={theirs}&from=bob/app"),
        format!("mount={theirs}"),
        format!("mount={absent}&from=ann/other"),
        format!("mount={absent}&from=bob/missing"),
        format!("mount={mine}&from=library"),
    ] {
        let answer = site.expect(202, mount(query)).await;
        assert!(answer.header("location").starts_with("/v2/ann/app/blobs/uploads/"));
    }
    site.expect(404, Ask::head(&format!("/v2/ann/app/blobs/{theirs}")).user("ann")).await;
    site.expect(404, Ask::head(&format!("/v2/ann/app/blobs/{mine}")).user("ann")).await;
    let answer = site.expect(201, mount(format!("mount={mine}&from=ann/other"))).await;
    assert_eq!(answer.header("location"), format!("/v2/ann/app/blobs/{mine}"));
    site.expect(202, Ask::delete(&format!("/v2/ann/app/blobs/{mine}")).user("ann")).await;
    // Without `from` it is looked for wherever the caller may read.
    site.expect(201, mount(format!("mount={mine}"))).await;
    site.expect(200, Ask::get(&format!("/v2/ann/app/blobs/{mine}")).user("ann")).await;
    site.close().await;
}

/// CVE-2026-32589: an upload session belongs to who opened it, where it was
/// opened.
#[tokio::test]
async fn an_upload_session_is_nobody_elses() {
    let site = Site::open().await;
    let answer = site.expect(202, Ask::post("/v2/ann/app/blobs/uploads/").user("ann")).await;
    let id = answer.header("docker-upload-uuid").to_owned();
    for (user, repository) in [("ann", "ann/other"), ("root", "ann/app")] {
        let answer = site.expect(404, Ask::get(&format!("/v2/{repository}/blobs/uploads/{id}")).user(user)).await;
        assert_eq!(answer.code(), "BLOB_UPLOAD_UNKNOWN");
    }
    site.expect(204, Ask::get(&format!("/v2/ann/app/blobs/uploads/{id}")).user("ann")).await;
    site.close().await;
}

#[tokio::test]
async fn an_immutable_tag_is_refused_in_dtrs_words() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let immutable = Settings { immutable_tags: Some(true), ..Settings::default() };
    let name = "ann/app".parse().unwrap();
    site.state.registry().update_repository(&Caller::System, &name, immutable).await.unwrap();
    let other = site.push_image("ann", "ann/app", "2.0", b"another").await;
    let bytes = site.expect(200, Ask::get(&format!("/v2/ann/app/manifests/{other}")).user("ann")).await.body;
    let expected = "tag=1.0 cannot be overwritten because ann/app is an immutable repository";
    for ask in [
        Ask::put("/v2/ann/app/manifests/1.0").body(&bytes),
        Ask::put(&format!("/v2/ann/app/manifests/{other}?tag=new&tag=1.0")).body(&bytes),
        Ask::delete("/v2/ann/app/manifests/1.0"),
        Ask::delete(&format!("/v2/ann/app/manifests/{digest}")),
    ] {
        let answer = site.expect(409, ask.user("ann")).await;
        assert_eq!((answer.code().as_str(), answer.message().as_str()), ("UNKNOWN", expected));
    }
    site.expect(404, Ask::head("/v2/ann/app/manifests/new").user("ann")).await;
    site.close().await;
}

/// An anonymous one reads what is public and is told to sign in for anything
/// else, whatever it is: programs wait for that before they say who they are.
#[tokio::test]
async fn who_says_no_name_reads_what_is_public_and_is_told_to_sign_in_for_the_rest() {
    let site = Site::open().await;
    let manifest = site.push_image("bob", "bob/app", "1.0", b"layer").await;
    let blob = Digest::sha256_of(b"layer");
    let public = |is_public| {
        let settings = Settings { is_public: Some(is_public), ..Settings::default() };
        let registry = site.state.registry().clone();
        async move { registry.update_repository(&Caller::System, &"bob/app".parse().unwrap(), settings).await.unwrap() }
    };
    let reads = |repository: &str| {
        let path = |rest: &str| format!("/v2/{repository}/{rest}");
        [
            Ask::get(&path("tags/list")),
            Ask::get(&path("manifests/1.0")),
            Ask::head(&path(&format!("manifests/{manifest}"))),
            Ask::get(&path(&format!("blobs/{blob}"))),
            Ask::get(&path(&format!("referrers/{manifest}"))),
        ]
    };
    for ask in reads("bob/app").into_iter().chain(reads("bob/xyz")) {
        let answer = site.expect(401, ask).await;
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    public(true).await;
    for ask in reads("bob/app") {
        site.expect(200, ask.clone()).await;
        // What programs send that were given nothing to send.
        site.expect(200, ask.clone().header("authorization", "Basic Og==")).await;
        // A name that is wrong is not as good as none.
        site.expect(401, ask.header("authorization", &crate::http::harness::basic("ann", "wrong horse"))).await;
    }
    let listed = site.expect(200, Ask::get("/api/v0/repositories")).await.json();
    assert_eq!(listed["repositories"][0]["name"], "app");
    assert_eq!(listed["repositories"].as_array().unwrap().len(), 1);
    site.expect(200, Ask::get("/api/v0/repositories/bob/app/tags")).await;
    for ask in [
        Ask::get("/v2/"),
        Ask::get("/v2/_catalog"),
        Ask::post("/v2/bob/app/blobs/uploads/"),
        Ask::put("/v2/bob/app/manifests/1.0").body("{"),
        Ask::delete("/v2/bob/app/manifests/1.0"),
        Ask::get("/api/v0/repositories/bob/app/promotionPolicies"),
        Ask::delete("/api/v0/repositories/bob/app"),
        Ask::get("/api/v0/repositories/bob/other"),
    ] {
        site.expect(401, ask).await;
    }
    public(false).await;
    for ask in reads("bob/app") {
        site.expect(401, ask).await;
    }
    site.close().await;
}

#[tokio::test]
async fn an_operator_may_want_everyone_to_sign_in() {
    let options = crate::registry::Options { signed_in_only: true, ..Default::default() };
    let site = Site::open_with(options).await;
    site.push_image("bob", "bob/app", "1.0", b"layer").await;
    let public = Settings { is_public: Some(true), ..Settings::default() };
    site.state.registry().update_repository(&Caller::System, &"bob/app".parse().unwrap(), public).await.unwrap();
    for path in ["/v2/bob/app/manifests/1.0", "/api/v0/repositories"] {
        site.expect(401, Ask::get(path)).await;
        site.expect(401, Ask::get(path).header("authorization", "Basic Og==")).await;
        site.expect(200, Ask::get(path).user("ann")).await;
    }
    site.close().await;
}

/// A member of a team pushes and pulls as its grant says, and no longer from
/// the request on that comes after it was taken out.
#[tokio::test]
async fn a_teams_grant_holds_while_one_is_in_the_team() {
    let site = Site::open().await;
    let registry = site.state.registry().clone();
    let system = &Caller::System;
    registry.create_repository(system, &"dev/app".parse().unwrap(), Settings::default()).await.unwrap();
    registry.create_team(system, "dev", ("web".into(), String::new())).await.unwrap();
    let place = || Place::Repository("dev/app".parse().unwrap());
    let read = || Ask::get("/v2/dev/app/tags/list").user("ann");
    registry.grant(system, place(), "web", Level::ReadOnly).await.unwrap();
    site.expect(404, read()).await;
    registry.put_team_member(system, ("dev", "web"), "ann", None).await.unwrap();
    site.expect(200, read()).await;
    site.expect(403, Ask::post("/v2/dev/app/blobs/uploads/").user("ann")).await;
    registry.grant(system, place(), "web", Level::ReadWrite).await.unwrap();
    site.push_image("ann", "dev/app", "1.0", b"layer").await;
    let catalog = site.expect(200, Ask::get("/v2/_catalog").user("ann")).await.json();
    assert_eq!(catalog, serde_json::json!({ "repositories": ["ann/app", "ann/other", "dev/app"] }));
    let session = site.expect(202, Ask::post("/v2/dev/app/blobs/uploads/").user("ann")).await;
    registry.remove_member(system, "dev", "ann").await.unwrap();
    site.expect(404, read()).await;
    site.expect(404, Ask::patch(session.header("location")).user("ann").body("x")).await;
    let catalog = site.expect(200, Ask::get("/v2/_catalog").user("ann")).await.json();
    assert_eq!(catalog, serde_json::json!({ "repositories": ["ann/app", "ann/other"] }));
    site.close().await;
}

#[tokio::test]
async fn a_push_makes_a_repository_where_that_is_allowed_and_nowhere_else() {
    let site = Site::open().await;
    let registry = site.state.registry().clone();
    let begin = |repository: &str, user: &str| Ask::post(&format!("/v2/{repository}/blobs/uploads/")).user(user);
    site.expect(404, begin("ann/new", "ann")).await;
    let change = SettingsChange { create_on_push: Some(true) };
    assert!(registry.update_settings(&Caller::System, change).await.unwrap().create_on_push);
    // A layer, the whole image, and a manifest alone.
    site.push_image("ann", "ann/new/deep", "1.0", b"layer").await;
    let made = registry.repository(&Caller::System, &"ann/new/deep".parse().unwrap()).unwrap().0;
    assert!(!made.is_public);
    let empty = Digest::sha256_of(b"mounted");
    site.expect(202, Ask::post(&format!("/v2/ann/mount/blobs/uploads/?mount={empty}&from=ann/app")).user("ann")).await;
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": crate::oci::MediaType::OciIndex.as_str(), "manifests": [] });
    site.push_manifest("ann", "ann/index", "1.0", &index).await;
    // Not for others, not where there is nobody, not by reading.
    site.expect(404, begin("ann/eves", "bob")).await;
    site.expect(404, begin("dev/app", "ann")).await;
    site.expect(404, begin("nobody/app", "root")).await;
    site.expect(404, Ask::get("/v2/ann/read/tags/list").user("ann")).await;
    for name in ["ann/eves", "dev/app", "nobody/app", "ann/read"] {
        assert!(registry.repository(&Caller::System, &name.parse().unwrap()).is_err(), "{name}");
    }
    // An owner of the organization may; a member may not.
    registry.put_member(&Caller::System, "dev", "ann", None).await.unwrap();
    site.expect(404, begin("dev/app", "ann")).await;
    registry.put_member(&Caller::System, "dev", "ann", Some(true)).await.unwrap();
    site.expect(202, begin("dev/app", "ann")).await;
    site.close().await;
}
