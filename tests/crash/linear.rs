//! Tags are linearizable: every answer that clients got fits one order in which
//! each operation happened at one moment between its request and its answer,
//! through every `kill -9` and start of the daemon.
//!
//! Clients read, set and remove a few tags, with and without conditions, and
//! write down what they asked and heard. What had no answer when the daemon
//! died was done before it was gone, or never. `register` looks for the order.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::{Request, StatusCode};
use serde_json::Value as Json;
use tidegate::oci::Digest;
use tokio::sync::{RwLock, Semaphore};
use tokio::time::Instant;

use crate::client::{Answer, Broken, Client};
use crate::daemon::Daemon;
use crate::dice::{self, Dice};
use crate::image::{Image, Way, send_blob};
use crate::register::{self, Act, Entry, Heard, If, Value};

const CLIENTS: usize = 12;
const TAGS: [&str; 4] = ["one", "two", "three", "four"];
/// Operations between two kills, at most.
const LIFE: usize = 2_000;

/// What all clients write into.
struct Recorder {
    begun: Instant,
    image: Image,
    /// Values and the manifests that they stand for.
    digests: RefCell<HashMap<String, u32>>,
    written: Cell<u32>,
    histories: [RefCell<Vec<Entry>>; TAGS.len()],
    /// Held for reading by whoever asks, so that who holds it for writing knows
    /// that nobody does.
    asking: RwLock<()>,
    /// One permit for each operation that was answered.
    answered: Semaphore,
    is_over: Cell<bool>,
}

/// A time that is not known yet.
const LATER: u64 = u64::MAX;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_see_of_a_tag_fits_one_order() {
    let (seed, operations) = (dice::seed(), dice::count("TIDEGATE_OPERATIONS", 20_000));
    println!("{}={seed} TIDEGATE_OPERATIONS={operations}", dice::SEED);
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::new(&folder.path().join("data"));
    daemon.start_well().await;
    daemon.make(&["dev/app"]).await;
    let image = Image::new("raced", Bytes::from_static(b"a layer"), 0);
    for blob in image.blobs() {
        send_blob(&daemon.client(), "dev/app", blob, Way::Whole).await.expect("is taken");
    }
    let recorder = Recorder {
        begun: Instant::now(),
        image,
        digests: RefCell::default(),
        written: Cell::new(0),
        histories: Default::default(),
        asking: RwLock::new(()),
        answered: Semaphore::new(0),
        is_over: Cell::new(false),
    };
    let client = daemon.client();
    let clients = join_all((0..CLIENTS).map(|number| {
        let dice = Dice::new(seed.wrapping_add(1 + number as u64));
        run(&recorder, &client, dice)
    }));
    let (kills, _) = tokio::join!(kill_again_and_again(&recorder, &mut daemon, Dice::new(seed), operations), clients);
    let recorded = recorder.begun.elapsed();
    for tag in 0..TAGS.len() {
        recorder.ask(&client, tag, Act::Get).await.expect("it runs");
    }
    client.verify("names").await.unwrap_or_else(|why| panic!("{}={seed}: {why}", dice::SEED));
    daemon.stop().await;
    let checking = Instant::now();
    let mut counts = Counts::default();
    for (tag, history) in TAGS.iter().zip(&recorder.histories) {
        let history = history.borrow();
        if let Err(why) = register::check(None, &history) {
            panic!("{}={seed}: {tag}: {why}", dice::SEED);
        }
        history.iter().for_each(|entry| counts.add(entry));
    }
    println!(
        "seed {seed}: {} operations of {CLIENTS} clients in {:.1} s, {kills} kills: {counts:?}; 0 violations, found in {:.1} s",
        counts.all,
        recorded.as_secs_f32(),
        checking.elapsed().as_secs_f32()
    );
    assert!(counts.all >= operations && kills + 1 >= operations / LIFE, "hardly anything happened");
    // An answer of each kind, or less was looked at than it seems.
    let often = operations / 200;
    assert!(counts.met > often && counts.unmet > often && counts.nothing > 0, "{counts:?}");
    assert!(counts.silence > 0 || kills == 0, "{counts:?}");
}

/// What was heard.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    reads: usize,
    /// Conditions that held.
    met: usize,
    unmet: usize,
    nothing: usize,
    silence: usize,
}

impl Counts {
    fn add(&mut self, entry: &Entry) {
        self.all += 1;
        match (entry.act, entry.heard) {
            (Act::Get, _) => self.reads += 1,
            (Act::Put(_, If::Is(_) | If::Absent) | Act::Delete(If::Is(_)), Heard::Done) => self.met += 1,
            (_, Heard::Unmet(_)) => self.unmet += 1,
            (_, Heard::Nothing) => self.nothing += 1,
            (_, Heard::Silence) => self.silence += 1,
            (_, Heard::Done | Heard::Value(_)) => {}
        }
    }
}

/// Kills and starts it until enough was done; how often.
async fn kill_again_and_again(recorder: &Recorder, daemon: &mut Daemon, dice: Dice, operations: usize) -> usize {
    let (mut kills, mut left) = (0, operations);
    loop {
        let life = (1 + dice.below(LIFE)).min(left);
        left -= life;
        let life = u32::try_from(life).expect("a small count");
        recorder.answered.acquire_many(life).await.expect("is never closed").forget();
        if left == 0 {
            recorder.is_over.set(true);
            return kills;
        }
        daemon.kill();
        kills += 1;
        let _nobody_asks = recorder.asking.write().await;
        // What was silent so far was done before this moment, or never.
        let now = recorder.now();
        for history in &recorder.histories {
            history.borrow_mut().iter_mut().filter(|entry| entry.ended == LATER).for_each(|entry| entry.ended = now);
        }
        daemon.start_well().await;
    }
}

/// One client.
async fn run(recorder: &Recorder, client: &Client, dice: Dice) {
    // What each tag was when this client heard of it last.
    let mut known: [Value; TAGS.len()] = Default::default();
    while !recorder.is_over.get() {
        let tag = dice.below(TAGS.len());
        let stands = known[tag].map_or(If::Absent, If::Is);
        let act = match dice.below(20) {
            0..8 => Act::Get,
            8..12 => Act::Put(recorder.new_value(), If::Always),
            12..14 => Act::Put(recorder.new_value(), If::Absent),
            14..17 => Act::Put(recorder.new_value(), stands),
            17..18 => Act::Delete(If::Always),
            _ => Act::Delete(stands),
        };
        let _asks = recorder.asking.read().await;
        // Without an answer nothing was learnt.
        if let Ok(heard) = recorder.ask(client, tag, act).await {
            known[tag] = match (act, heard) {
                (_, Heard::Value(value) | Heard::Unmet(value)) => value,
                (Act::Put(value, _), _) => Some(value),
                (Act::Get | Act::Delete(_), _) => None,
            };
            recorder.answered.add_permits(1);
        }
    }
}

impl Recorder {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).expect("no test lasts 500 years")
    }

    /// A value that nobody has written.
    fn new_value(&self) -> u32 {
        self.written.set(self.written.get() + 1);
        let value = self.written.get();
        self.digests.borrow_mut().insert(Digest::sha256_of(&self.manifest(value)).to_string(), value);
        value
    }

    /// The manifest that a value stands for.
    fn manifest(&self, value: u32) -> Bytes {
        let text = String::from_utf8(self.image.manifest.to_vec()).expect("JSON is text");
        Bytes::from(text.replace(r#""padding":"""#, &format!(r#""value":"{value}""#)))
    }

    fn digest(&self, value: u32) -> String {
        Digest::sha256_of(&self.manifest(value)).to_string()
    }

    /// The value that a digest stands for.
    fn value(&self, digest: &str) -> u32 {
        *self.digests.borrow().get(digest).unwrap_or_else(|| panic!("a tag is {digest}, which nobody wrote"))
    }

    /// One operation, written down.
    async fn ask(&self, client: &Client, tag: usize, act: Act) -> Result<Heard, Broken> {
        let begun = self.now();
        let answer = self.send(client, TAGS[tag], act).await;
        let ended = self.now();
        let heard = answer.map(|answer| self.heard(act, &answer));
        let mut history = self.histories[tag].borrow_mut();
        match &heard {
            Ok(heard) => history.push(Entry { begun, ended, act, heard: *heard }),
            // A read that was not answered tells nothing.
            Err(Broken) if act == Act::Get => {}
            Err(Broken) => history.push(Entry { begun, ended: LATER, act, heard: Heard::Silence }),
        }
        heard
    }

    async fn send(&self, client: &Client, tag: &str, act: Act) -> Result<Answer, Broken> {
        let request = Request::builder().uri(format!("/v2/dev/app/manifests/{tag}"));
        let (request, condition, body) = match act {
            Act::Get => (request.method("GET"), If::Always, Bytes::new()),
            Act::Put(value, condition) => (request.method("PUT"), condition, self.manifest(value)),
            Act::Delete(condition) => (request.method("DELETE"), condition, Bytes::new()),
        };
        let request = match condition {
            If::Always => request,
            If::Absent => request.header("if-none-match", "*"),
            If::Is(value) => request.header("if-match", format!("\"{}\"", self.digest(value))),
        };
        client.ask(request.header("content-type", "application/vnd.oci.image.manifest.v1+json"), body).await
    }

    fn heard(&self, act: Act, answer: &Answer) -> Heard {
        match (act, answer.status) {
            (Act::Get, StatusCode::OK) => {
                let found = Digest::sha256_of(&answer.body).to_string();
                assert_eq!(found, answer.digest, "the bytes are another manifest's");
                Heard::Value(Some(self.value(&found)))
            }
            (Act::Get, StatusCode::NOT_FOUND) => Heard::Value(None),
            (Act::Put(..), StatusCode::CREATED) | (Act::Delete(_), StatusCode::ACCEPTED) => Heard::Done,
            (Act::Delete(_), StatusCode::NOT_FOUND) => Heard::Nothing,
            (Act::Put(..) | Act::Delete(_), StatusCode::PRECONDITION_FAILED) => {
                let told: Json = serde_json::from_slice(&answer.body).expect("JSON");
                let stands = told.pointer("/errors/0/detail/digest").expect("says what stands");
                Heard::Unmet(stands.as_str().map(|digest| self.value(digest)))
            }
            (act, status) => panic!("{act:?}: {status} {}", String::from_utf8_lossy(&answer.body)),
        }
    }
}
