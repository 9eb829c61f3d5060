//! Who did what, as an operator asks: with curl and on the command line, over a
//! restart, a backup and a restore.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Client, Daemon, Run as _, TIDEGATE, bounded, turn};

const JSON: &str = "Content-Type: application/json";

fn send(client: &Client, method: &str, path: &str, body: &str) -> Value {
    let answer = client.send(method, path, &[JSON, "User-Agent: audit-test/1"], body.as_bytes());
    assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.text());
    answer.json()
}

#[tokio::test]
async fn who_did_what_is_told_by_curl_and_on_the_command_line() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    let admin = daemon.admin();
    send(&admin, "POST", "/enzi/v0/accounts", r#"{"name":"jane","password":"canary-password"}"#);
    send(&admin, "POST", "/api/v0/repositories/jane", r#"{"name":"web","visibility":"private"}"#);
    let jane = daemon.stranger().signed_in("jane", "canary-password");
    send(&jane, "PATCH", "/api/v0/repositories/jane/web", r#"{"visibility":"public"}"#);
    daemon.stranger().signed_in("jane", "canary-wrong").get("/v2/").is(401);
    daemon.cli(&["repository", "create", "jane/cli"]).good();

    let rows = admin.get("/api/v0/audit?namespace=jane").is(200).json();
    let told: Vec<[&str; 4]> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            ["/action", "/actor/name", "/from/kind", "/object/name"]
                .map(|pointer| row.pointer(pointer).and_then(Value::as_str).unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ["repository.create", "system", "socket", "jane/cli"],
            ["repository.update", "jane", "network", "jane/web"],
            ["repository.create", "admin", "network", "jane/web"],
            ["account.create", "admin", "network", "jane"],
        ]
    );
    assert_eq!(rows[1]["changes"], json!([{ "field": "visibility", "before": "private", "after": "public" }]));
    assert_eq!(rows[1]["from"]["userAgent"], "audit-test/1");
    assert!(rows[1]["from"]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(rows[0]["from"]["uid"], rustix::process::getuid().as_raw());
    // Its owner sees the same, and no more.
    assert_eq!(jane.get("/api/v0/audit?namespace=jane").is(200).json(), rows);
    jane.get("/api/v0/audit").is(403);

    let table = daemon.cli(&["audit", "--action", "repository.*", "--object", "jane/web"]).good();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("TIME") && lines.len() == 3, "{table}");
    assert!(lines[1].contains("jane") && lines[1].contains("visibility private -> public"), "{table}");
    let printed = daemon.cli(&["audit", "--json", "--actor", "jane", "--since", "1h"]).good();
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap().as_array().unwrap().len(), 1);
    assert!(daemon.cli(&["audit", "--until", "1h"]).good().lines().count() == 1, "nothing is that old");
    assert!(!daemon.cli(&["audit", "--json", "--limit", "1000"]).good().contains("canary"));
    follow(&daemon);

    // What was there is there after a restart, in a backup and after a restore,
    // where failed sign-ins of the last minute are told too.
    let before = daemon.cli(&["audit", "--json", "--limit", "1000"]).good();
    let copy = folder.path().join("copy");
    daemon.cli(&["backup", &copy.display().to_string()]).good();
    daemon.stop().await;
    let daemon = Daemon::start_on(folder.path(), None).await;
    let after = daemon.cli(&["audit", "--json", "--limit", "1000"]).good();
    let (before, after): (Value, Value) =
        (serde_json::from_str(&before).unwrap(), serde_json::from_str(&after).unwrap());
    let (before, after) = (before.as_array().unwrap(), after.as_array().unwrap());
    assert!(after.ends_with(before), "{after:#?}");
    let newer: Vec<&str> =
        after[..after.len() - before.len()].iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(newer, ["signin.fail", "backup.begin"]);
    assert_eq!((&after[0]["object"]["name"], &after[0]["count"]), (&json!("jane"), &json!(1)));
    daemon.stop().await;
    let restored = folder.path().join("restored");
    let mut restore = bounded(Path::new(TIDEGATE));
    restore.arg("restore").arg(&copy).arg(&restored).run().good();
    let verified = bounded(Path::new(TIDEGATE)).args(["verify", "--data"]).arg(&restored).run().good();
    assert!(verified.starts_with("clean"), "{verified}");
}

/// What is done from now on, a line each.
fn follow(daemon: &Daemon) {
    let words = ["audit", "--follow", "--limit", "1", "--json", "--action", "repository.create"];
    let mut command = daemon.command(&words);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap()["object"]["name"].clone();
    assert_eq!(next(), "jane/cli");
    daemon.cli(&["repository", "create", "jane/later"]).good();
    assert_eq!(next(), "jane/later");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
}
