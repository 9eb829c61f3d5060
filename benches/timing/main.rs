//! Whether the time of a refusal tells what its words do not, over HTTP on
//! loopback: who has an account (`sign-in`: wrong passwords for a user that is
//! there and for one that is not), and which repositories there are (`hidden`:
//! one that may not be seen and one that is not there, in both APIs, asked by a
//! stranger, by a member of its organization, and by who says no name).
//!
//! `cargo bench --bench timing [-- sign-in|hidden] [SAMPLES]`; both, with 10,000
//! samples of each, when nothing is said. The two that are compared are asked in
//! turn. It reports; nothing fails here, because what else a machine does is in
//! every time. |t| below 4.5 is no difference that could be told (the bound that
//! is usual for leaks in timing, of Welch's test).

mod daemon;
mod exchange;
mod figures;

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use daemon::Daemon;
use exchange::Exchange;
use figures::{Times, compare};

type Any = Box<dyn Error + Send + Sync>;

const SAMPLES: usize = 10_000;
/// Turns that are not counted: caches fill, the processor finds its pace.
const WARM_UP: usize = 50;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Any> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let samples = words.iter().find_map(|word| word.parse().ok()).unwrap_or(SAMPLES);
    let wanted = |what: &str| words.iter().all(|word| word.parse::<usize>().is_ok() || word == what);
    let daemon = Daemon::start().await?;
    if wanted("hidden") {
        hidden(&daemon, samples).await?;
    }
    if wanted("sign-in") {
        sign_in(&daemon, samples).await?;
    }
    daemon.stop().await;
    Ok(())
}

/// Forbidden against missing. The names are as long as each other.
async fn hidden(daemon: &Daemon, samples: usize) -> Result<(), Any> {
    let (stranger, member) = (format!("Bearer {}", daemon.stranger), format!("Bearer {}", daemon.member));
    for (who, shown, status) in
        [("a stranger", stranger.as_str(), 404), ("a member", &member, 404), ("nobody", "", 401)]
    {
        for (what, before, after) in
            [("manifest GET", "/v2/dev/", "/manifests/1.0"), ("repository GET", "/api/v0/repositories/dev/", "")]
        {
            let paths = ["hidden", "absent"].map(|name| format!("{before}{name}{after}"));
            let asked = |known: bool, _| (paths[usize::from(!known)].clone(), shown.to_owned());
            let (there, absent) = in_turn(daemon, samples, status, asked).await?;
            compare(&format!("{what} by {who}"), ("forbidden", &there), ("missing", &absent));
        }
    }
    Ok(())
}

/// Wrong passwords of a user that is there against those of one that is not.
async fn sign_in(daemon: &Daemon, samples: usize) -> Result<(), Any> {
    let asked = |known: bool, turn: usize| {
        let name = if known { "there" } else { "gonee" };
        let credentials = STANDARD.encode(format!("{name}:wrong horse {turn:08}"));
        ("/auth/token".to_owned(), format!("Basic {credentials}"))
    };
    let (there, absent) = in_turn(daemon, samples, 401, asked).await?;
    compare("wrong password", ("known user", &there), ("unknown user", &absent));
    Ok(())
}

/// Asks for what is there and what is not in turn; how long each took.
async fn in_turn(
    daemon: &Daemon,
    samples: usize,
    status: u16,
    asked: impl Fn(bool, usize) -> (String, String),
) -> Result<(Times, Times), Any> {
    let mut exchange = Exchange::open(daemon.address, daemon.clock.clone()).await?;
    let (mut there, mut absent) = (Times::default(), Times::default());
    for turn in 0..samples + WARM_UP {
        // Who goes first changes, so that what drifts is in both.
        for known in [turn % 2 == 0, turn % 2 != 0] {
            let (path, shown) = asked(known, turn);
            let taken = exchange.timed(&path, &shown, status).await?;
            if turn >= WARM_UP {
                if known { there.0.push(taken) } else { absent.0.push(taken) }
            }
        }
    }
    Ok((there, absent))
}
