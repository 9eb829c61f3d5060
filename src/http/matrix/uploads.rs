//! Sessions of uploads belong to who opened them, and a mount needs its source
//! read: by everyone who might push to the repository as well.

use std::sync::{Arc, Condvar, Mutex};

use serde_json::json;

use crate::audit::Audit;
use crate::http::harness::{Answer, Ask, PASSWORD, Site, basic};
use crate::oci::Digest;
use crate::registry::Caller;
use crate::store::{Change, Lane, Operation, StoreError};

fn text(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("{field}: {}", answer.text())).to_owned()
}

/// `dev/app`, which ann and bob may push to; `dev/secret`, which neither may
/// read, and holds a blob; `dev/open`, which both may.
async fn ground() -> (Site, Digest) {
    let site = Site::open().await;
    let local = |ask: Ask, form: serde_json::Value| ask.local().body(form.to_string());
    for name in ["app", "secret", "open"] {
        site.expect(201, local(Ask::post("/api/v0/repositories/dev"), json!({ "name": name }))).await;
    }
    for (team, repository, level) in [("web", "app", "read-write"), ("readers", "open", "read-only")] {
        site.expect(201, local(Ask::post("/enzi/v0/accounts/dev/teams"), json!({ "name": team }))).await;
        for user in ["ann", "bob"] {
            let member = format!("/enzi/v0/accounts/dev/teams/{team}/members/{user}");
            site.expect(200, local(Ask::put(&member), json!({}))).await;
        }
        let grant = format!("/api/v0/repositories/dev/{repository}/teamAccess/{team}");
        site.expect(200, local(Ask::put(&grant), json!({ "accessLevel": level }))).await;
    }
    let secret = site.push_blob("root", "dev/secret", b"secret").await;
    site.push_blob("root", "dev/open", b"open").await;
    (site, secret)
}

/// What an answer says of itself, without what is each request's own.
fn shape(answer: &Answer) -> (u16, Vec<String>, String) {
    let own = ["x-request-id", "date", "location", "docker-upload-uuid"];
    let names = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let mut headers: Vec<String> = names.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    (answer.status.as_u16(), headers, answer.text())
}

#[tokio::test]
async fn a_mount_from_where_one_may_not_read_is_as_one_from_nowhere() {
    let (site, secret) = ground().await;
    let mount = |digest: &Digest, from: &str| {
        Ask::post(&format!("/v2/dev/app/blobs/uploads/?mount={digest}&from={from}")).user("ann")
    };
    let hidden = site.expect(202, mount(&secret, "dev/secret")).await;
    let missing = site.expect(202, mount(&secret, "dev/nosuch")).await;
    let unheard = site.expect(202, mount(&Digest::sha256_of(b"unheard of"), "dev/secret")).await;
    let anywhere = Ask::post(&format!("/v2/dev/app/blobs/uploads/?mount={secret}")).user("ann");
    let anywhere = site.expect(202, anywhere).await;
    for other in [missing, unheard, anywhere] {
        assert_eq!(shape(&hidden), shape(&other));
    }
    assert!(hidden.header("location").starts_with("/v2/dev/app/blobs/uploads/"));
    site.expect(404, Ask::head(&format!("/v2/dev/app/blobs/{secret}")).user("ann")).await;
    let open = Digest::sha256_of(b"open");
    site.expect(201, mount(&open, "dev/open")).await;
    // The session that it became goes on as any other.
    let finish = format!("{}?digest={secret}", hidden.header("location"));
    site.expect(201, Ask::put(&finish).user("ann").body("secret")).await;
    site.expect(200, Ask::head(&format!("/v2/dev/app/blobs/{secret}")).user("ann")).await;
    site.close().await;
}

/// Keeps the writer busy until it is let go.
struct Hold(Arc<(Mutex<(bool, bool)>, Condvar)>);

impl Operation for Hold {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "hold";
    const AUDIT: Audit = Audit::Nothing("a test's");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        let (lock, signal) = &*self.0;
        let mut state = lock.lock().unwrap();
        state.0 = true;
        signal.notify_all();
        while !state.1 {
            state = signal.wait(state).unwrap();
        }
        Ok(Ok(()))
    }

    fn apply(&self, (): (), _tables: &mut Change<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Who loses the right on the source while a mount waits for its turn has lost
/// it: the right is looked up in the transaction that links.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_right_that_goes_before_the_link_is_gone_for_the_mount() {
    let (site, _) = ground().await;
    let open = Digest::sha256_of(b"open");
    let registry = site.state.registry().clone();
    let ann = registry.account("ann").unwrap().1.id;
    let caller = Caller::account_of(ann, "ann".to_owned());
    let (app, source) = ("dev/app".parse().unwrap(), "dev/open".parse().unwrap());
    let gate = Arc::new((Mutex::new((false, false)), Condvar::new()));
    let store = registry.store().clone();
    let mut held = Box::pin(store.submit(Lane::Foreground, Hold(Arc::clone(&gate))));
    assert!(futures_util::poll!(&mut held).is_pending());
    {
        let (lock, signal) = &*gate;
        let mut state = lock.lock().unwrap();
        while !state.0 {
            state = signal.wait(state).unwrap();
        }
    }
    // In the order of the inbox: the grant goes, then the blob is linked.
    let place = crate::registry::grant::Place::Repository("dev/open".parse().unwrap());
    let mut revoked = Box::pin(registry.revoke(&Caller::System, place, "readers"));
    assert!(futures_util::poll!(&mut revoked).is_pending());
    assert!(registry.blob_size(&caller, &source, &open).is_ok(), "ann still reads the source as she asks");
    let mut mounted = Box::pin(registry.mount(&caller, Some(&source), &app, &open));
    assert!(futures_util::poll!(&mut mounted).is_pending());
    {
        let (lock, signal) = &*gate;
        lock.lock().unwrap().1 = true;
        signal.notify_all();
    }
    held.await.unwrap().unwrap();
    revoked.await.unwrap();
    assert!(!mounted.await.unwrap(), "mounted what she may not read any more");
    assert!(registry.blob_size(&caller, &app, &open).is_err());
    site.close().await;
}

#[tokio::test]
async fn a_session_is_for_who_opened_it_by_whatever_it_is_known() {
    let (site, _) = ground().await;
    let robot = |name: &str| json!({ "name": name, "scopes": ["dev/app:push"] }).to_string();
    let mut robots = Vec::new();
    for name in ["ci", "cd"] {
        let made = site.expect(201, Ask::post("/api/v0/robots/dev").local().body(robot(name))).await;
        robots.push(basic(&format!("dev+{name}"), &text(&made, "token")));
    }
    let made = site.expect(200, Ask::post("/api/v0/api_tokens").user("ann").body("{}")).await;
    let short = text(&site.expect(200, Ask::get("/auth/token").user("ann")).await, "token");
    let of_ann = [
        basic("ann", PASSWORD),
        basic("ann", &text(&made, "token")),
        format!("Bearer {}", text(&made, "token")),
        format!("Bearer {short}"),
    ];
    let others = [basic("bob", PASSWORD), basic("root", PASSWORD), robots[0].clone(), robots[1].clone()];
    let digest = Digest::sha256_of(b"bytes");
    let opened = site.expect(202, Ask::post("/v2/dev/app/blobs/uploads/").user("ann")).await;
    let location = opened.header("location").to_owned();
    let unheard = location.replace(opened.header("docker-upload-uuid"), &"0".repeat(32));
    let calls = |location: &str| {
        [
            Ask::get(location),
            Ask::head(location),
            Ask::patch(location).body("x"),
            Ask::put(&format!("{location}?digest={digest}")).body("bytes"),
            Ask::delete(location),
        ]
    };
    for other in &others {
        for (theirs, nobodys) in calls(&location).into_iter().zip(calls(&unheard)) {
            let theirs = site.expect(404, theirs.header("authorization", other)).await;
            let nobodys = site.expect(404, nobodys.header("authorization", other)).await;
            let renamed = nobodys.text().replace(&"0".repeat(32), opened.header("docker-upload-uuid"));
            assert_eq!(theirs.text(), renamed);
            assert_eq!(shape(&theirs).1, shape(&nobodys).1);
        }
    }
    // Nor does the right path with another repository in it, for who opened it.
    let elsewhere = location.replace("/dev/app/", "/ann/app/");
    site.expect(404, Ask::get(&elsewhere).user("ann")).await;
    // The account is who opened it, whatever it shows.
    for (piece, credential) in ["by", "t", "e", "s"].into_iter().zip(&of_ann) {
        site.expect(202, Ask::patch(&location).body(piece).header("authorization", credential)).await;
    }
    let finish = Ask::put(&format!("{location}?digest={digest}"));
    site.expect(201, finish.header("authorization", &of_ann[3])).await;
    // A robot's is the robot's, not its owner's and not the other robot's.
    let begin = Ask::post("/v2/dev/app/blobs/uploads/").header("authorization", &robots[0]);
    let location = site.expect(202, begin).await.header("location").to_owned();
    for other in [&robots[1], &of_ann[0], &others[1]] {
        site.expect(404, Ask::patch(&location).body("x").header("authorization", other)).await;
    }
    site.expect(202, Ask::patch(&location).body("x").header("authorization", &robots[0])).await;
    // A token that may only pull does not go on with what its account began.
    let pull = json!({ "scopes": ["dev/app:pull"] }).to_string();
    let pull = site.expect(200, Ask::post("/api/v0/api_tokens").user("ann").body(pull)).await;
    let location = site.expect(202, Ask::post("/v2/dev/app/blobs/uploads/").user("ann")).await;
    let location = location.header("location").to_owned();
    let bearer = format!("Bearer {}", text(&pull, "token"));
    site.expect(403, Ask::patch(&location).body("x").header("authorization", &bearer)).await;
    site.close().await;
}
