//! Requests at a fixed rate, whatever the answers do.
//!
//! A closed loop asks less when a server is slow and so hides what its clients
//! would feel (coordinated omission). Here every request has a moment at which
//! it is due, and its time counts from that moment, also when its connection
//! was still busy with the one before. Each connection has a thread of its own
//! that sleeps until then: the runtime's timers are too coarse for a rate of
//! thousands.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use http::Method;

use crate::client::{Ask, Connection, Place, PlaceArgs};
use crate::figures::{Figures, Timed, millis};
use crate::fill::numbered;
use crate::image::Image;
use crate::push::{self, Form};

/// What is asked, how often, until when.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Paced {
    #[command(flatten)]
    place: PlaceArgs,
    /// What is read
    #[arg(long)]
    path: String,
    /// Reads a second
    #[arg(long, default_value_t = 5000.0)]
    gets: f64,
    /// Connections that read
    #[arg(long, default_value_t = 16)]
    getters: usize,
    /// Where images are pushed to
    #[arg(long)]
    repository: String,
    /// New two-blob images a second
    #[arg(long, default_value_t = 20.0)]
    pushes: f64,
    /// Connections that push
    #[arg(long, default_value_t = 8)]
    pushers: usize,
    /// The longest it lasts
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// What the pushed tags begin with
    #[arg(long, default_value = "p")]
    prefix: String,
    /// End when standard input does
    #[arg(long)]
    until_closed: bool,
}

/// One kind of request: so many a second, over so many connections.
struct Stream {
    rate: f64,
    connections: usize,
}

impl Paced {
    /// Does it and measures it.
    pub(crate) fn run(&self) -> Result<Figures> {
        let place = self.place.place()?;
        let over = Arc::new(AtomicBool::new(false));
        if self.until_closed {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let _ = std::io::stdin().read_to_end(&mut Vec::new());
                over.store(true, Ordering::Relaxed);
            });
        }
        let until = Instant::now() + Duration::from_secs_f64(self.seconds);
        let goes_on = move || !over.load(Ordering::Relaxed) && Instant::now() < until;
        let gets = Stream { rate: self.gets, connections: self.getters };
        let pushes = Stream { rate: self.pushes, connections: self.pushers };
        let get = async |connection: &mut Connection, _| {
            connection.expect(Ask::new(Method::GET, &self.path), &[200]).await.map(drop)
        };
        let push = async |connection: &mut Connection, number: u64| {
            let tag = format!("{}{}", self.prefix, numbered(number));
            push::image(connection, &self.repository, &tag, &Image::new(1, 1024), Form::Whole).await
        };
        let (gets, pushes) = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| pushes.run(&place, &goes_on, push));
            let gets = gets.run(&place, &goes_on, get);
            (gets, pushing.join())
        });
        let pushes = pushes.map_err(|_| anyhow!("the pushing thread panicked"))??;
        let gets = gets?;
        let pushed = shares(pushes.each);
        let figures = gets.figures();
        Ok(figures.with("pushes", pushed.0).with("pushP50", pushed.1).with("pushP99", pushed.2))
    }
}

impl Stream {
    fn run(
        &self,
        place: &Place,
        goes_on: &(impl Fn() -> bool + Sync),
        work: impl AsyncFn(&mut Connection, u64) -> Result<()> + Copy + Send + Sync,
    ) -> Result<Timed> {
        let begun = Instant::now() + Duration::from_millis(50);
        let one = |lane: usize| -> Result<Vec<Duration>> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let mut connection = runtime.block_on(place.connect())?;
            let mut each = Vec::new();
            for number in (lane as u64..).step_by(self.connections) {
                let due = begun + Duration::from_secs_f64(number as f64 / self.rate);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if !goes_on() {
                    break;
                }
                runtime.block_on(work(&mut connection, number))?;
                each.push(due.elapsed());
            }
            Ok(each)
        };
        let each = std::thread::scope(|scope| {
            let one = &one;
            let lanes: Vec<_> = (0..self.connections).map(|lane| scope.spawn(move || one(lane))).collect();
            let ended = lanes.into_iter().map(|lane| lane.join().map_err(|_| anyhow!("a lane panicked"))?);
            ended.collect::<Result<Vec<_>>>()
        })?;
        Ok(Timed { whole: begun.elapsed(), each: each.concat() })
    }
}

fn shares(mut each: Vec<Duration>) -> (f64, f64, f64) {
    each.sort_unstable();
    let at = |share: f64| {
        let rank = (each.len() as f64 * share).ceil() as usize;
        each.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    (each.len() as f64, millis(at(0.5)), millis(at(0.99)))
}
