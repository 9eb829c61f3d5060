//! Angos. It syncs with `sync_to_disk`, which is off as it is shipped.

use std::process::Command;

use anyhow::Result;

use super::Site;

pub(super) fn command(site: &Site<'_>, durable: bool) -> Result<Command> {
    let (address, data) = (site.address(), site.data());
    std::fs::create_dir_all(&data)?;
    let tls = if site.over_tls {
        let ground = site.ground;
        format!(
            "[server.tls]\nserver_certificate_bundle = {:?}\nserver_private_key = {:?}\n",
            ground.certificate(),
            ground.key()
        )
    } else {
        String::new()
    };
    let text = format!(
        "[server]\nbind_address = \"{}\"\nport = {}\n{tls}\
         [blob_store.fs]\nroot_dir = {data:?}\nsync_to_disk = {durable}\n\
         [metadata_store.fs]\nroot_dir = {data:?}\nsync_to_disk = {durable}\n\
         [global.access_policy]\ndefault = \"allow\"\n\
         [repository.\"bench\"]\n",
        address.ip(),
        address.port(),
    );
    let path = site.folder.join("config.toml");
    std::fs::write(&path, text)?;
    let mut command = Command::new(site.program);
    command.arg("-c").arg(path).arg("server").env("RUST_LOG", "error");
    Ok(command)
}
