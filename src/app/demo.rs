//! Two registries in one process, for a first look.
//!
//! `here` promotes and mirrors out, `there` is the other registry. Everything
//! lies in a temporary folder and goes with it. What the demonstration does it
//! does as a client would, over TLS and the management API; what it shows it
//! reads back.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::{Config, Environment, Listener, Overrides};
use crate::lifecycle::Scope;
use crate::oci::{Digest, MediaType};

use super::demo_client::DemoClient;
use super::{AppError, Stop, build, run};

/// The account that the demonstration signs in with, on both registries.
const ACCOUNT: &str = "demo";
/// How long one step may take before the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demonstration, then waits for a signal.
///
/// # Errors
/// When a registry does not start, or a step does not happen.
pub async fn demo() -> Result<(), AppError> {
    crate::telemetry::start("warn", crate::telemetry::Form::Text);
    let folder = Folder::new()?;
    let stop = Stop::new();
    let running = Scope::new();
    let told = show(&folder.0, &stop, &running).await;
    if told.is_ok() {
        wait_for_signal().await;
        println!("\nStopping; nothing is left behind.");
    }
    stop.ask();
    running.drain(crate::limits::DRAIN).await;
    told
}

/// A folder of its own, removed when the demonstration ends.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Result<Self, AppError> {
        let path = std::env::temp_dir().join(format!("tidegate-demo-{}", Chance::system().id()));
        std::fs::create_dir(&path).map_err(|source| AppError::File { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
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
    let app = build(&config, Clock::system(), Chance::system()).await?;
    let address = app.bound.iter().find_map(crate::http::Bound::local_addr);
    let address = address.ok_or_else(|| AppError::Demo("no listener was bound".to_owned()))?;
    let ca = app.state.ca_pem().to_owned();
    let stop = stop.clone();
    running.spawn(async move {
        if let Err(error) = run(app, stop).await {
            eprintln!("a registry of the demonstration stopped: {error}");
        }
    });
    let client = DemoClient::new(config.admin_socket.clone(), address, &ca, ACCOUNT, password)?;
    Ok(Side { client, address, data })
}

async fn show(folder: &Path, stop: &Stop, running: &Scope) -> Result<(), AppError> {
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
    println!("{}", hints(&here, &password));
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
    let layer = format!("what {repository}:{tag} is made of\n").into_bytes();
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
            println!("           why {tag}: {}: {}", text("outcome"), text("reason"));
        }
        if !decisions.is_empty() || Instant::now() > until {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn step(begun: Instant, text: &str) {
    println!("[{:7.3} s] {text}", begun.elapsed().as_secs_f64());
    // A pipe that is gone is no reason to stop showing.
    let _ = std::io::stdout().flush();
}

fn hints(here: &Side, password: &str) -> String {
    let (at, socket) = (here.address, here.data.join("admin.sock"));
    let mut text = String::from("\nBoth registries run until Ctrl-C. Try in another terminal:\n\n");
    let mut line = |words: String| {
        let _ = writeln!(text, "  {words}");
    };
    line(format!("docker login -u {ACCOUNT} -p {password} {at}"));
    line(format!("docker tag debian:12 {at}/dev/website:2.0-stable && docker push {at}/dev/website:2.0-stable"));
    line(format!("export TIDEGATE_SOCKET={}", socket.display()));
    line("tidegate why dev/website:2.0-stable".to_owned());
    line("tidegate job list".to_owned());
    line("tidegate promotion list dev/website".to_owned());
    text
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
