//! A closed loop: some connections, each of which takes the next piece of work
//! when it is done with the last.
//!
//! All of them share one thread, as wrk's do with `-t1`: the machine's other
//! core is the server's. The connections are open before the clock runs.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::TryStreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::client::{Connection, Place};
use crate::figures::Timed;

/// When it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// After this many pieces.
    Count(u64),
    /// After this long.
    After(Duration),
}

/// Has `connections` workers do the pieces of `work`, numbered from 0.
pub(crate) async fn closed_loop(
    place: &Place,
    connections: usize,
    end: End,
    work: impl AsyncFn(&mut Connection, u64) -> Result<()>,
) -> Result<Timed> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(place.connect().await?);
    }
    let next = Cell::new(0);
    let begun = Instant::now();
    let take = || {
        let number = next.get();
        let goes_on = match end {
            End::Count(count) => number < count,
            End::After(time) => begun.elapsed() < time,
        };
        next.set(number + 1);
        goes_on.then_some(number)
    };
    let worker = async |mut connection: Connection| {
        let mut each = Vec::new();
        while let Some(number) = take() {
            let begun = Instant::now();
            work(&mut connection, number).await?;
            each.push(begun.elapsed());
        }
        anyhow::Ok(each)
    };
    let workers: FuturesUnordered<_> = open.into_iter().map(worker).collect();
    let each: Vec<Vec<Duration>> = workers.try_collect().await?;
    Ok(Timed { whole: begun.elapsed(), each: each.concat() })
}
