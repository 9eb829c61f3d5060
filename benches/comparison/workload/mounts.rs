//! The same image of twenty layers into many repositories: each layer asked
//! for and mounted, none sent.

use anyhow::Result;

use super::counted;
use crate::bench::Bench;
use crate::goal::{Case, Unit};
use crate::row::Row;
use crate::software::Role;
use crate::transport::Transport;

const SOURCE: &str = "bench/mounts";

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    for at in 0..bench.registries().count() {
        bench.servers[at].make(SOURCE)?;
    }
    let count = bench.sizes.mounts.to_string();
    for transport in bench.options.speak(&[Transport::Plain]) {
        let targets = |number: usize| format!("bench/m{number}-");
        // Where pushing does not make them.
        for number in 0..=bench.sizes.runs {
            let words = format!("repositories-only --repository {} --count {count}", targets(number));
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            bench.fill(SOURCE, |server| (server.role() == Role::Ours).then(|| words.clone()))?;
        }
        let repositories = counted(bench.sizes.mounts);
        let case = Case { name: format!("a 20-layer image mounted in {repositories} repositories, c4"), transport };
        bench.measure(&case, |bench, pass| {
            let target = targets(pass.number);
            let words = ["push", "mounts", "--repository", &target, "--from", SOURCE, "--count", &count];
            let words = [&words[..], &["--connections", "4"]].concat();
            let lane = |server| bench.lane(server, bench.load_at(server, transport, &words));
            Ok(bench.registries().map(lane).collect())
        })?;
        bench.rows([Row::new(&case, "perSecond", Unit::PerSecond)]);
    }
    Ok(())
}
