//! zot. It syncs with `storage.commit`, which is off as it is shipped.

use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::Site;

pub(super) fn command(site: &Site<'_>, durable: bool) -> Result<Command> {
    let address = site.address();
    let mut http = json!({ "address": address.ip().to_string(), "port": address.port().to_string() });
    if site.over_tls {
        http["tls"] = json!({ "cert": site.ground.certificate(), "key": site.ground.key() });
    }
    let config = json!({
        "distSpecVersion": "1.1.1",
        "storage": { "rootDirectory": site.data(), "commit": durable, "gc": false },
        "http": http,
        "log": { "level": "error" },
    });
    let path = site.folder.join("config.json");
    std::fs::write(&path, config.to_string())?;
    let mut command = Command::new(site.program);
    command.arg("serve").arg(path);
    Ok(command)
}
