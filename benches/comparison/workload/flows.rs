//! Whole pushes and pulls of images of 1 MB at four connections and 10 MB at
//! two: the flows of zot's `zb`.

use anyhow::Result;

use crate::bench::Bench;
use crate::goal::{Case, Unit};
use crate::row::Row;
use crate::transport::Transport;

const REPOSITORY: &str = "bench/flows";

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    for at in 0..bench.registries().count() {
        bench.servers[at].make(REPOSITORY)?;
    }
    let [small, large] = bench.sizes.flows;
    for transport in bench.options.speak(&[Transport::Plain]) {
        for (megabytes, count, connections) in [(1, small, "4"), (10, large, "2")] {
            for flow in ["push", "push-streamed", "pull", "mixed"] {
                let case = Case { name: format!("images of {megabytes} MB, {flow}, c{connections}"), transport };
                let (bytes, count) = ((megabytes * 1_000_000).to_string(), count.to_string());
                bench.measure(&case, |bench, _| {
                    let words = ["flows", "--repository", REPOSITORY, "--flow", flow, "--bytes", &bytes];
                    let words = [&words[..], &["--count", &count, "--connections", connections]].concat();
                    let lane = |server| bench.lane(server, bench.load_at(server, transport, &words));
                    Ok(bench.registries().map(lane).collect())
                })?;
                bench.rows([Row::new(&case, "perSecond", Unit::PerSecond), Row::new(&case, "p99", Unit::Millis)]);
            }
        }
    }
    Ok(())
}
