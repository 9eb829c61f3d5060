//! CNCF distribution, version 2.8 (Debian's docker-registry) and 3. It syncs
//! what it writes and has no switch for that. With the cache of descriptors in
//! memory, as Debian ships it.

use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::Site;

pub(super) fn command(site: &Site<'_>) -> Result<Command> {
    let mut http = json!({ "addr": site.address().to_string(), "secret": "for benchmarks" });
    if site.over_tls {
        http["tls"] = json!({ "certificate": site.ground.certificate(), "key": site.ground.key() });
    }
    // YAML takes JSON.
    let config = json!({
        "version": "0.1",
        "log": { "level": "error", "accesslog": { "disabled": true } },
        "storage": {
            "filesystem": { "rootdirectory": site.data() },
            "cache": { "blobdescriptor": "inmemory" },
            "delete": { "enabled": true },
            "maintenance": { "uploadpurging": { "enabled": false } },
        },
        "http": http,
    });
    let path = site.folder.join("config.yml");
    std::fs::write(&path, config.to_string().replace("\"0.1\"", "0.1"))?;
    let mut command = Command::new(site.program);
    // Version 3 would send traces to a collector that is not there.
    command.arg("serve").arg(path).env("OTEL_TRACES_EXPORTER", "none");
    Ok(command)
}
