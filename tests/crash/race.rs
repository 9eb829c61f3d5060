//! Many clients change one tag at once, each on the condition that it is what
//! they know; one of them has its way, and the others hear what it has become.

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::{Request, StatusCode};
use serde_json::Value as Json;
use tidegate::oci::Digest;
use tokio::time::Instant;

use crate::client::{Answer, Client};
use crate::daemon::Daemon;
use crate::dice;
use crate::image::{Image, Way, send_blob};

const RACERS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_sixty_four_wins() {
    let rounds = dice::count("TIDEGATE_ROUNDS", 100);
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::new(&folder.path().join("data"));
    daemon.start_well().await;
    daemon.make(&["dev/app"]).await;
    let (client, begun) = (daemon.client(), Instant::now());
    let image = Image::new("raced", Bytes::from_static(b"a layer"), 0);
    for blob in image.blobs() {
        send_blob(&client, "dev/app", blob, Way::Whole).await.expect("is taken");
    }
    let text = String::from_utf8(image.manifest.to_vec()).expect("JSON is text");
    let mut stands: Option<String> = None;
    for round in 0..rounds {
        let manifest = |racer: usize| text.replace(r#""padding":"""#, &format!(r#""racer":"{round} {racer}""#));
        // Every third round half of them remove what the others would move.
        let removes = |racer: usize| stands.is_some() && round % 3 == 2 && racer.is_multiple_of(2);
        let answers = join_all((0..RACERS).map(|racer| {
            let body = if removes(racer) { None } else { Some(manifest(racer)) };
            change(&client, stands.as_deref(), body)
        }))
        .await;
        let won: Vec<usize> = (0..RACERS).filter(|racer| answers[*racer].status.is_success()).collect();
        assert_eq!(won.len(), 1, "round {round}: {won:?} won");
        let winner = won[0];
        let became = (!removes(winner)).then(|| Digest::sha256_of(manifest(winner).as_bytes()).to_string());
        for (racer, answer) in answers.iter().enumerate().filter(|(racer, _)| *racer != winner) {
            let told: Json = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "round {round}, {racer}: {told}");
            let heard = told.pointer("/errors/0/detail/digest").expect("says what stands");
            assert_eq!(heard.as_str(), became.as_deref(), "round {round}, {racer}: {told}");
        }
        stands = client.tag("dev/app", "raced").await.expect("an answer");
        assert_eq!(stands, became, "round {round}");
    }
    client.verify("names").await.expect("is whole");
    daemon.stop().await;
    println!("{rounds} races of {RACERS} in {:.1} s, one winner each", begun.elapsed().as_secs_f32());
}

/// Sets the tag, or removes it, if it is what it was.
async fn change(client: &Client, stands: Option<&str>, body: Option<String>) -> Answer {
    let request = Request::builder().method(if body.is_some() { "PUT" } else { "DELETE" });
    let request = match stands {
        None => request.header("if-none-match", "*"),
        Some(digest) => request.header("if-match", format!("\"{digest}\"")),
    };
    let request = request.uri("/v2/dev/app/manifests/raced");
    let request = request.header("content-type", "application/vnd.oci.image.manifest.v1+json");
    client.ask(request, Bytes::from(body.unwrap_or_default())).await.expect("an answer")
}
