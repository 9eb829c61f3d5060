//! Who may do what, and what the others are told: nothing that a repository
//! which is not there would not tell.

use crate::http::harness::{Ask, Site};
use crate::oci::Digest;
use crate::registry::Caller;
use crate::registry::repository::Settings;

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
