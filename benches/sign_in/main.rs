//! Whether the time of a refusal tells who has an account: wrong passwords for a
//! user that is there and for one that is not, in turn, over HTTP on loopback.
//!
//! `cargo bench --bench sign_in [-- SAMPLES]`, 10,000 of each when nothing is
//! said. It reports; nothing fails here, because what else a machine does is in
//! every time. |t| below 4.5 is no difference that could be told (the bound that
//! is usual for leaks in timing, of Welch's test).

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::chance::Chance;
use tidegate::clock::Clock;
use tidegate::http::{Options, Parts, Spec, State, bind, handle, serve};
use tidegate::identity::token::TOKEN_KEY;
use tidegate::identity::{Guesses, Passwords, SealingKeys, Signer};
use tidegate::jobs::Remotes;
use tidegate::lifecycle::Scope;
use tidegate::registry::account::NewAccount;
use tidegate::registry::{Caller, Registry};
use tidegate::remote::{Names, Outbound, OutboundOptions, Timing};
use tidegate::secret::Secret;
use tidegate::store::Store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

type Any = Box<dyn Error + Send + Sync>;

const SAMPLES: usize = 10_000;
/// Turns that are not counted: caches fill, the processor finds its pace.
const WARM_UP: usize = 50;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Any> {
    let samples = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(SAMPLES);
    let folder = tempfile::tempdir()?;
    let (clock, chance, scope) = (Clock::system(), Chance::system(), Scope::new());
    let store = Store::open(folder.path(), clock.clone(), chance.clone())?;
    let registry = Registry::new(store.clone())?;
    let passwords = Passwords::new(&chance);
    let password_hash = Some(passwords.hash(&Secret::new("correct horse battery")).await?);
    let (name, full_name) = ("there".to_owned(), String::new());
    let new = NewAccount { name, full_name, is_org: false, is_admin: false, is_active: true, password_hash };
    registry.create_account(&Caller::System, new).await?;
    let outbound = Outbound::new(OutboundOptions {
        scope: scope.child(),
        clock: clock.clone(),
        own: Vec::new(),
        allow: Vec::new(),
        user_agent: "tidegate/bench".to_owned(),
        timing: Timing::default(),
        names: Names::System,
    });
    let keys = SealingKeys::of_file(&folder.path().join("sealing.key"), &chance)?;
    let state = State::new(Parts {
        registry,
        passwords,
        signer: Signer::open_or_create(&folder.path().join(TOKEN_KEY), store.instance(), &chance)?,
        // What waits is not measured.
        guesses: Guesses::allowing(u32::MAX, Duration::ZERO),
        ca_pem: None,
        remotes: Remotes::new(outbound, keys),
        key_files: Vec::new(),
        scrub: tidegate::jobs::scrub::Settings::default(),
        rate: tidegate::http::rate::Rate::new(0),
        tally: std::sync::Arc::default(),
    });
    let bound = bind(Spec::Tcp { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls: None }, 1).await?;
    let address = bound.local_addr().ok_or("no address")?;
    let handler = move |request, peer| handle(state.clone(), request, peer);
    scope.spawn(serve(bound, scope.clone(), Options::default(), handler));

    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut there, mut absent) = (Vec::new(), Vec::new());
    for turn in 0..samples + WARM_UP {
        // Who goes first changes, so that what drifts is in both.
        for known in [turn % 2 == 0, turn % 2 != 0] {
            let name = if known { "there" } else { "gonee" };
            let taken = refused(&mut stream, &clock, name, turn).await?;
            if turn >= WARM_UP {
                if known { there.push(taken) } else { absent.push(taken) }
            }
        }
    }
    drop(stream);
    scope.drain(Duration::from_secs(10)).await;
    let (one, other) = (Figures::of(there), Figures::of(absent));
    println!("{:>9} {:>9} {:>9} {:>9} {:>9}", "ms", "mean", "sd", "median", "p99");
    println!("{:>9} {one}", "there");
    println!("{:>9} {other}", "absent");
    let t = (one.mean - other.mean) / (one.variance / one.count + other.variance / other.count).sqrt();
    println!("difference of means {:.3} ms, Welch's t {t:.2} (below 4.5: nothing to be told)", one.mean - other.mean);
    Ok(())
}

/// How long a wrong password takes to be refused, in milliseconds.
async fn refused(stream: &mut TcpStream, clock: &Clock, name: &str, turn: usize) -> Result<f64, Any> {
    let credentials = STANDARD.encode(format!("{name}:wrong horse {turn:08}"));
    let request = format!("GET /auth/token HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\r\n");
    let begun = clock.monotonic();
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece).await?;
        answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            length.is_some_and(|length: usize| body.len() >= length)
        });
        if whole || read == 0 {
            let taken = begun.elapsed();
            if !text.starts_with("HTTP/1.1 401") {
                return Err(format!("not refused: {text}").into());
            }
            return Ok(taken.as_secs_f64() * 1_000.0);
        }
    }
}

struct Figures {
    count: f64,
    mean: f64,
    variance: f64,
    median: f64,
    p99: f64,
}

impl Figures {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        let at = |part: f64| times.get((count * part) as usize).copied().unwrap_or(mean);
        Self { count, mean, variance, median: at(0.5), p99: at(0.99) }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>9.3} {:>9.3} {:>9.3} {:>9.3}", self.mean, self.variance.sqrt(), self.median, self.p99)
    }
}
