//! Two registries in one process, for a first look.
//!
//! `here` promotes and mirrors out, `there` is the other registry. Everything
//! lies in a temporary folder and goes with it. What the demonstration does it
//! does as a client would, over TLS and the management API; what it shows it
//! reads back.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::{Config, Environment, Listener, Overrides};
use crate::lifecycle::Scope;
use crate::limits;
use crate::oci::{Digest, MediaType};

use super::demo_client::DemoClient;
use super::signal::Signals;
use super::welcome::quoted;
use super::{AppError, Stop, build, run};

/// The account that the demonstration signs in with, on both registries.
const ACCOUNT: &str = "demo";
/// How long one step may take before the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demonstration, then waits for a signal.
///
/// # Errors
/// When a registry does not start, or a step does not happen.
pub async fn demo(environment: &Environment) -> Result<(), AppError> {
    crate::telemetry::start("warn", crate::telemetry::Form::Text);
    let unwatched = |source| AppError::Demo(format!("signals cannot be watched: {source}"));
    // Before there is anything to leave behind.
    let mut signals = Signals::watch().map_err(unwatched)?;
    let folder = Folder::new()?;
    let stop = Stop::new();
    let running = Scope::new();
    // What it has begun in the scope goes on to a point where it can stop.
    let told = tokio::select! {
        told = show(&folder.0, &environment.program, &stop, &running) => Some(told),
        _ = signals.next() => None,
    };
    if matches!(told, Some(Ok(()))) {
        signals.next().await;
    }
    stop.ask();
    if !matches!(told, Some(Err(_))) {
        say("\nStopping; nothing is left behind. A second Ctrl-C skips waiting for requests.");
    }
    tokio::select! {
        _ = running.drain(limits::DRAIN_REQUESTS + limits::DRAIN) => {}
        _ = signals.next() => {
            // A request that waits for its client would not end.
            drop(folder);
            std::process::exit(1);
        }
    }
    told.unwrap_or(Ok(()))
}

/// A folder of its own, removed when the demonstration ends.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Result<Self, AppError> {
        let path = std::env::temp_dir().join(format!("tidegate-demo-{}", Chance::system().id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| AppError::File { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What still runs may write a file while the others go.
        for is_last in [false, false, true] {
            match std::fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
                Err(error) if is_last => {
                    let _ = writeln!(std::io::stderr(), "{} could not be removed: {error}", self.0.display());
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// One of the two registries.
struct Side {
    client: DemoClient,
    address: SocketAddr,
    data: std::path::PathBuf,
}

async fn start(name: &str, folder: &Path, password: &str, stop: &Stop, running: &Scope) -> Result<Side, AppError> {
    let data = folder.join(name);
    let free = Listener::tls(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let overrides = Overrides { data: Some(data.clone()), listeners: vec![free] };
    let config = Config::embedded(&overrides, &Environment::bare(folder.to_owned()))
        .map_err(|error| AppError::Demo(error.to_string()))?;
    let (stop, socket) = (stop.clone(), config.admin_socket.clone());
    let (tell, told) = tokio::sync::oneshot::channel();
    // In the scope from the first file on: whoever stops while it is made waits
    // until it can be stopped.
    running.spawn(async move {
        let app = match build(&config, Clock::system(), Chance::system()).await {
            Ok(app) => app,
            Err(error) => {
                let _ = tell.send(Err(error));
                return;
            }
        };
        let address = app.bound.iter().find_map(crate::http::Bound::local_addr);
        let _ = tell.send(Ok((address, app.state.ca_pem().unwrap_or_default().to_owned())));
        if let Err(error) = run(app, stop).await {
            let _ = writeln!(std::io::stderr(), "a registry of the demonstration stopped: {error}");
        }
    });
    let gone = |_| AppError::Demo("a registry did not start".to_owned());
    let (address, ca) = told.await.map_err(gone)??;
    let address = address.ok_or_else(|| AppError::Demo("no listener was bound".to_owned()))?;
    let client = DemoClient::new(socket, address, &ca, ACCOUNT, password)?;
    Ok(Side { client, address, data })
}

async fn show(folder: &Path, program: &str, stop: &Stop, running: &Scope) -> Result<(), AppError> {
    let begun = Instant::now();
    let mut password = [0_u8; 9];
    Chance::system().fill(&mut password);
    let password = hex::encode(password);
    step(begun, "Starting two registries, `here` and `there`, with data in a temporary folder.");
    let here = start("here", folder, &password, stop, running).await?;
    let there = start("there", folder, &password, stop, running).await?;
    step(begun, &format!("`here` is https://{}, `there` is https://{}", here.address, there.address));
    for (side, repositories) in
        [(&here, ["dev/website", "qa/website", "back/website"].as_slice()), (&there, &["edge/website"])]
    {
        let account = json!({"name": ACCOUNT, "password": password, "isAdmin": true});
        side.client.local("POST", "/enzi/v0/accounts", &account).await?;
        for repository in repositories {
            let (namespace, name) = repository.split_once('/').unwrap_or((repository, ""));
            let organization = json!({"name": namespace, "isOrg": true});
            side.client.local("POST", "/enzi/v0/accounts", &organization).await?;
            side.client.local("POST", &format!("/api/v0/repositories/{namespace}"), &json!({"name": name})).await?;
        }
    }
    step(begun, "Repositories: dev/website, qa/website and back/website here, edge/website there.");
    policies(&here, &there, &password).await?;
    step(begun, "Policies here: tags that end in -stable go from dev/website to qa/website, dated;");
    step(begun, "  what arrives in qa/website is pushed to edge/website there;");
    step(begun, "  back/website is filled from edge/website there, which is looked at every 5 seconds.");

    let digest = push(&here, "dev/website", "1.4-stable").await?;
    step(begun, &format!("Pushed dev/website:1.4-stable, {digest}"));
    push(&here, "dev/website", "1.5-beta").await?;
    step(begun, "Pushed dev/website:1.5-beta");
    let promoted = wait_for(&here, "qa/website", &digest).await?;
    step(begun, &format!("Promoted: qa/website:{promoted} has the same digest"));
    why(&here, "dev/website", "1.4-stable").await?;
    why(&here, "dev/website", "1.5-beta").await?;
    let mirrored = wait_for(&there, "edge/website", &digest).await?;
    step(begun, &format!("Mirrored out: edge/website:{mirrored} is there"));
    let pulled = wait_for(&here, "back/website", &digest).await?;
    step(begun, &format!("Pulled back on schedule: back/website:{pulled} is here again"));
    say(&hints(&here, program, &password));
    Ok(())
}

async fn policies(here: &Side, there: &Side, password: &str) -> Result<(), AppError> {
    let promotion = json!({
        "enabled": true, "targetRepository": "qa/website", "tagTemplate": "%n-%Y%m%d",
        "rules": [{"field": "tag", "operator": "ew", "values": ["-stable"]}],
    });
    here.client.local("POST", "/api/v0/repositories/dev/website/promotionPolicies", &promotion).await?;
    let remote = |extra: Value| {
        let mut policy = json!({
            "enabled": true, "remoteHost": format!("https://{}", there.address), "remoteRepository": "edge/website",
            "username": ACCOUNT, "password": password, "remoteCA": there.client.ca(), "skipTLSVerification": false,
        });
        if let (Value::Object(policy), Value::Object(extra)) = (&mut policy, extra) {
            policy.extend(extra);
        }
        policy
    };
    let push = remote(json!({"tagTemplate": "%n", "rules": []}));
    here.client.local("POST", "/api/v0/repositories/qa/website/pushMirroringPolicies", &push).await?;
    let pull = remote(json!({"schedule": "*/5 * * * * *"}));
    here.client.local("POST", "/api/v0/repositories/back/website/pollMirroringPolicies", &pull).await?;
    Ok(())
}

/// Pushes an image of one small layer, as a client would.
async fn push(side: &Side, repository: &str, tag: &str) -> Result<Digest, AppError> {
    let layer = tar("etc/tidegate-demo", format!("what {repository}:{tag} is made of\n").as_bytes());
    let config = serde_json::to_vec(&json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256_of(&layer).to_string()]},
    }))
    .unwrap_or_default();
    for blob in [&layer, &config] {
        let digest = Digest::sha256_of(blob);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        side.client.remote("POST", &path, "application/octet-stream", Bytes::copy_from_slice(blob)).await?;
    }
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest.as_str(),
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": Digest::sha256_of(&config).to_string(), "size": config.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": Digest::sha256_of(&layer).to_string(), "size": layer.len()}],
    }))
    .unwrap_or_default();
    let digest = Digest::sha256_of(&manifest);
    let path = format!("/v2/{repository}/manifests/{tag}");
    side.client.remote("PUT", &path, MediaType::OciManifest.as_str(), Bytes::from(manifest)).await?;
    Ok(digest)
}

/// Waits until some tag of `repository` has `digest`, and gives it.
async fn wait_for(side: &Side, repository: &str, digest: &Digest) -> Result<String, AppError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let tags = side.client.local("GET", &format!("/api/v0/repositories/{repository}/tags"), &Value::Null).await?;
        let found = tags.as_array().into_iter().flatten().find(|tag| tag["digest"] == digest.to_string());
        if let Some(name) = found.and_then(|tag| tag["name"].as_str()) {
            return Ok(name.to_owned());
        }
        if Instant::now() > until {
            return Err(AppError::Demo(format!("{digest} did not arrive in {repository} in time")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Prints the stored decisions about a tag.
async fn why(side: &Side, repository: &str, tag: &str) -> Result<(), AppError> {
    let path = format!("/api/v0/repositories/{repository}/tags/{tag}/decisions");
    let until = Instant::now() + PATIENCE;
    loop {
        let verdict = side.client.local("GET", &path, &Value::Null).await?;
        let decisions = verdict["decisions"].as_array().cloned().unwrap_or_default();
        for decision in &decisions {
            let text = |key: &str| decision[key].as_str().unwrap_or_default().to_owned();
            say(&format!("           why {tag}: {}: {}", text("outcome"), text("reason")));
        }
        if !decisions.is_empty() || Instant::now() > until {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn step(begun: Instant, text: &str) {
    say(&format!("[{:7.3} s] {text}", begun.elapsed().as_secs_f64()));
}

/// Says a line. A pipe that is gone is no reason to stop showing.
fn say(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A layer with one file in it: an archive in the `ustar` form (POSIX.1-1988),
/// which every client unpacks.
fn tar(path: &str, bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut head = [0_u8; BLOCK];
    let mut put = |at: usize, field: &[u8]| head[at..at + field.len()].copy_from_slice(field);
    put(0, path.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", bytes.len()).as_bytes());
    put(136, b"00000000000\0");
    // The sum counts itself as blanks.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = head.to_vec();
    archive.extend_from_slice(bytes);
    // Whole blocks, and two empty ones for the end.
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

fn hints(here: &Side, program: &str, password: &str) -> String {
    let program = quoted(program);
    let (at, socket) = (here.address, here.data.join("admin.sock"));
    let mut text = String::from("\nBoth registries run until Ctrl-C. Try in another terminal:\n\n");
    let mut line = |words: String| {
        let _ = writeln!(text, "  {words}");
    };
    line(format!("docker login -u {ACCOUNT} -p {password} {at}"));
    line(format!("docker tag debian:12 {at}/dev/website:2.0-stable && docker push {at}/dev/website:2.0-stable"));
    line(format!("export TIDEGATE_SOCKET={}", socket.display()));
    line(format!("{program} why dev/website:2.0-stable"));
    line(format!("{program} job list"));
    line(format!("{program} promotion list dev/website"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its images once had a text for a layer, which no client could unpack.
    #[test]
    fn a_layer_is_an_archive_that_tar_unpacks() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"what it is made of\n", &[7; 512]] {
            let path = folder.path().join("layer.tar");
            std::fs::write(&path, tar("etc/tidegate-demo", bytes)).unwrap();
            let ran = std::process::Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(folder.path()).output();
            let ran = ran.unwrap();
            assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
            assert_eq!(std::fs::read(folder.path().join("etc/tidegate-demo")).unwrap(), bytes);
        }
    }
}
