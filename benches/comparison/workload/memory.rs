//! Memory of the servers: when they have just started, and at the end of all
//! that came before. Tidegate runs through the whole comparison; peers start
//! anew where the transport changes.

use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::figures::Figures;
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::transport::Transport;

const MIB: f64 = 1024.0 * 1024.0;

/// When they have just started.
pub(crate) fn idle(bench: &mut Bench) -> Result<()> {
    std::thread::sleep(Duration::from_secs(bench.sizes.seconds.min(5)));
    look(bench, "memory, idle", 20.0 * MIB)
}

/// At the end.
pub(super) fn at_the_end(bench: &mut Bench) -> Result<()> {
    look(bench, "memory, at the end", 128.0 * MIB)
}

fn look(bench: &mut Bench, name: &str, most: f64) -> Result<()> {
    let case = Case { name: name.to_owned(), transport: Transport::Plain };
    for at in 0..bench.registries().count() {
        let server = &bench.servers[at];
        let (memory, lane, role) = (server.memory()?, server.name.clone(), server.role());
        let figures = [("resident", memory.resident), ("anonymous", memory.anonymous), ("peak", memory.peak)];
        let figures: Figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        bench.keep(&case, &lane, role, 1, "/proc/PID/status", figures)?;
    }
    bench.rows([
        Row::new(&case, "resident", Unit::Bytes).goal(Goal::AtMost(most)),
        Row::new(&case, "peak", Unit::Bytes),
    ]);
    Ok(())
}
