//! How many tags there may be, by an operator's limit and by ours.

use serde_json::json;

use crate::audit::Audit;
use crate::http::harness::{Answer, Ask, Site};
use crate::limits;
use crate::oci::MediaType;
use crate::store::record::Counts;
use crate::store::{Change, Key, Lane, Operation, StoreError, Table, repo};

/// Writes down how many tags a repository is said to have.
struct Say(Counts);

impl Operation for Say {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "say";
    const AUDIT: Audit = Audit::Nothing("a test's");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        let number = repo::get(tables, &"ann/app".parse().unwrap())?.unwrap().number;
        tables.put(Table::RepositoryCounts, &Key::new().repo(number), &self.0)
    }
}

async fn say(site: &Site, tags: Option<u64>) {
    let operation = Say(Counts { tags, ..Counts::default() });
    site.state.registry().store().submit(Lane::Foreground, operation).await.unwrap().unwrap();
}

fn counted(site: &Site) -> Option<u64> {
    let read = site.state.registry().store().snapshot().unwrap();
    let number = repo::get(&read, &"ann/app".parse().unwrap()).unwrap().unwrap().number;
    repo::counts(&read, number).unwrap().tags
}

/// Puts the image that is `ann/app:first` under others, `a?tag=b`.
async fn put(site: &Site, tags: &str) -> Answer {
    let path = "/v2/ann/app/manifests/";
    let image = site.expect(200, Ask::get(&format!("{path}first")).user("ann")).await;
    let ask = Ask::put(&format!("{path}{tags}")).user("ann").body(&image.body);
    site.send(ask.header("content-type", MediaType::OciManifest.as_str())).await
}

async fn listed(site: &Site) -> serde_json::Value {
    site.expect(200, Ask::get("/v2/ann/app/tags/list").user("ann")).await.json()["tags"].clone()
}

async fn keep(site: &Site, tags: u64) {
    let body = json!({ "tagLimit": tags }).to_string();
    site.expect(200, Ask::patch("/api/v0/repositories/ann/app").user("ann").body(body)).await;
}

/// One manifest of a few bytes could be given tags without end: 256,000 took
/// half a gigabyte of the database, and no quota counted them.
#[tokio::test]
async fn a_repository_has_so_many_tags_and_no_more() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "first", b"layer").await;
    assert_eq!(put(&site, "second?tag=third").await.status, 201);
    assert_eq!(counted(&site), Some(3));
    say(&site, Some(limits::TAGS_PER_REPOSITORY - 1)).await;
    let refused = put(&site, "a?tag=b").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "DENIED"));
    assert!(refused.message().contains("1000000"), "{}", refused.message());
    assert_eq!(put(&site, "a?tag=third").await.status, 201);
    assert_eq!(put(&site, "b").await.status, 409);
    // What is there may be moved, and what is removed makes room.
    assert_eq!(put(&site, "third").await.status, 201);
    site.expect(202, Ask::delete("/v2/ann/app/manifests/second").user("ann")).await;
    assert_eq!(put(&site, "b").await.status, 201);
    assert_eq!(listed(&site).await, json!(["a", "b", "first", "third"]));
    // A database from before has not counted them.
    say(&site, None).await;
    site.expect(202, Ask::delete("/v2/ann/app/manifests/third").user("ann")).await;
    assert_eq!(counted(&site), None);
    assert_eq!(put(&site, "c").await.status, 201);
    assert_eq!(counted(&site), Some(4));
    site.close().await;
}

/// It was answered with 201, and of the three only the last was there.
#[tokio::test]
async fn more_tags_at_once_than_are_kept_are_refused() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "first", b"layer").await;
    keep(&site, 2).await;
    let refused = put(&site, "a?tag=b&tag=c").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "DENIED"));
    let words = refused.message();
    assert!(words.contains("3 tags at once") && words.contains("no more than 2"), "{words}");
    assert_eq!(listed(&site).await, json!(["first"]));
    // What is attached is not counted, nor is one that is named twice.
    let signature = format!("sha256-{}.sig", digest.hex());
    assert_eq!(put(&site, &format!("a?tag=b&tag=a&tag={signature}")).await.status, 201);
    assert_eq!(listed(&site).await, json!(["a", "b", signature]));
    site.close().await;
}

/// Each new tag had all others read in the commit that everybody waits for: two
/// dozen pushes to one repository held a stranger's up for seconds.
#[tokio::test]
async fn the_oldest_go_in_a_commit_of_their_own() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "first", b"layer").await;
    let many: Vec<String> = (0..30).map(|at| format!("tag=t{at:02}")).collect();
    assert_eq!(put(&site, &format!("t?{}", many.join("&"))).await.status, 201);
    keep(&site, 3).await;
    let commits = || *site.state.registry().store().writer().commits().borrow();
    let before = commits();
    assert_eq!(put(&site, "x?tag=y").await.status, 201);
    assert_eq!((listed(&site).await, commits() - before), (json!(["t29", "x", "y"]), 2));
    // One that is pushed again is young again, and nothing new pushes nothing out.
    site.push_image("ann", "ann/app", "t29", b"layer").await;
    site.push_image("ann", "ann/app", "z", b"layer").await;
    assert_eq!(listed(&site).await, json!(["t29", "y", "z"]));
    site.close().await;
}
