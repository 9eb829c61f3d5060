//! Tidegate: as it is shipped. It serves nobody who has not signed in, so
//! every request to it carries a name and a password, which no peer checks.

use std::process::Command;

use anyhow::Result;

use super::Site;

/// The account that signs in.
pub(crate) const USER: &str = "bench";
/// Its password.
pub(crate) const PASSWORD: &str = "a password for benchmarks";

pub(super) fn command(site: &Site<'_>) -> Result<Command> {
    let config = site.folder.join("tidegate.toml");
    let (data, ground) = (site.data(), site.ground);
    let text = format!(
        "data = {data:?}\nlog = \"warn\"\n\
         [[listener]]\naddress = \"{}\"\ntls = false\n\
         [[listener]]\naddress = \"{}\"\n\
         [tls]\ncertificate = {:?}\nkey = {:?}\n\
         [gc]\nschedule = \"never\"\n",
        site.plain,
        site.tls,
        ground.certificate(),
        ground.key(),
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new(site.program);
    command.arg("serve").arg("--config").arg(config);
    Ok(command)
}
