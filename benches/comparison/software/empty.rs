//! The load generator's own server with empty answers.

use std::process::Command;

use super::Site;

pub(super) fn command(site: &Site<'_>) -> Command {
    let mut command = Command::new(site.program);
    command.args(["limit", "empty", "--plain", &site.plain.to_string(), "--tls", &site.tls.to_string()]);
    command.arg("--certificate").arg(site.ground.certificate()).arg("--key").arg(site.ground.key());
    command
}
