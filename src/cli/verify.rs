//! `verify`: 0 clean, 1 could not check, 2 findings.
//!
//! A daemon that runs holds its folder for itself, so it is asked; a folder
//! that no daemon runs on is opened, and left as it is. Either way every byte
//! is hashed, unless `--quick` asks for less, and the report says which.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::backup::bar;
use super::client::{Client, segment};
use super::daemon;
use super::dial::Target;
use super::error::{CliError, UsageError};
use super::job::spinner;
use super::locate::{DATA_DIR, SOCKET_NAME, answers, locate, named};
use super::terminal::{Exit, Terminal, cell, rows};
use crate::config::Environment;
use crate::limits;
use crate::store::verify::{Depth, FilesFrom};

/// `verify`'s flags.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The data folder; asks the daemon that runs on it, or opens it when none does
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Only names and lengths: do not read and hash what is in the files
    #[arg(long)]
    pub quick: bool,
}

/// Asks the daemon, or opens the folder.
///
/// # Errors
/// [`CliError`]: it could not be checked.
pub async fn run(
    wanted: &VerifyArgs,
    arguments: &Arguments,
    environment: &Environment,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, CliError> {
    let depth = if wanted.quick { Depth::Names } else { Depth::Bytes };
    let report = match place(wanted, arguments, environment).await? {
        Place::Folder(folder) => {
            let progress = spinner(terminal.interactive, "verifying");
            progress.enable_steady_tick(limits::JOB_POLL);
            let report = daemon::verify_folder(&folder, depth).await;
            progress.finish_and_clear();
            serde_json::to_value(report?).unwrap_or_default()
        }
        Place::Daemon(client) => ask(&client, depth, terminal.interactive).await?,
    };
    if arguments.json {
        terminal.json(&report)?;
    } else {
        tell(&report, terminal)?;
    }
    // An answer that does not say it is clean is not.
    let clean = report.pointer("/clean").and_then(Value::as_bool) == Some(true);
    Ok(if clean && rows(&report, "/findings").is_empty() { Exit::Success } else { Exit::Findings })
}

/// What the daemon says of itself: all names first, then the files, slice by
/// slice.
async fn ask(client: &Client, depth: Depth, interactive: bool) -> Result<Value, CliError> {
    let progress = spinner(interactive, "verifying names");
    progress.enable_steady_tick(limits::JOB_POLL);
    let path = "/api/v0/admin/verify";
    let report = client.post_patiently(&format!("{path}?depth=names"), limits::VERIFY_ANSWER).await;
    progress.finish_and_clear();
    let mut report = report?;
    if depth == Depth::Names {
        return Ok(report);
    }
    let progress = bar(interactive, report.pointer("/fileBytes").and_then(Value::as_u64), "verifying files");
    let mut from = Some(FilesFrom::START.to_string());
    while let Some(place) = from {
        let slice = client.post_patiently(&format!("{path}?files={}", segment(&place)), limits::VERIFY_ANSWER).await?;
        progress.inc(slice.pointer("/bytes").and_then(Value::as_u64).unwrap_or(0));
        add(&mut report, &slice);
        // A place that leads to itself would never end.
        from = slice.pointer("/next").and_then(Value::as_str).map(str::to_owned).filter(|next| *next != place);
    }
    progress.finish_and_clear();
    report["depth"] = json!(depth.as_str());
    Ok(report)
}

/// Adds what a slice found to the report; what the names had shown already is
/// told once.
fn add(report: &mut Value, slice: &Value) {
    for finding in rows(slice, "/findings") {
        if rows(report, "/findings").contains(finding) {
            continue;
        }
        report["clean"] = json!(false);
        if let Some(list) = report.pointer_mut("/findings").and_then(Value::as_array_mut) {
            list.push(finding.clone());
        }
    }
    // An answer that does not say it is clean is not.
    if slice.pointer("/clean").and_then(Value::as_bool).is_none() {
        report["clean"] = json!(false);
    }
}

enum Place {
    Daemon(Client),
    Folder(PathBuf),
}

async fn place(wanted: &VerifyArgs, arguments: &Arguments, environment: &Environment) -> Result<Place, CliError> {
    let flagged = arguments.socket.is_some() || arguments.url.is_some();
    let named = named(arguments, environment)?;
    if let Some(folder) = &wanted.data {
        if flagged {
            return Err(CliError::Usage(UsageError::FolderAndDaemon));
        }
        let folder = environment.absolute(folder);
        let socket = folder.join(SOCKET_NAME);
        return Ok(match answers(&socket).await {
            Ok(()) => Place::Daemon(Client::new(Target::Socket(socket))),
            Err(_) => Place::Folder(folder),
        });
    }
    match locate(arguments, environment).await {
        Err(CliError::NoDaemon(looked)) if !named => {
            let folder = environment.current_dir.join(DATA_DIR);
            if folder.is_dir() { Ok(Place::Folder(folder)) } else { Err(CliError::NoDaemon(looked)) }
        }
        found => found.map(Place::Daemon),
    }
}

fn tell(report: &Value, terminal: &mut Terminal<'_>) -> Result<(), CliError> {
    let findings = rows(report, "/findings");
    let counts = report.pointer("/checked").and_then(Value::as_object);
    let counts = counts.into_iter().flatten().map(|(what, count)| format!("{} {what}", cell(count, "")));
    let checked = counts.collect::<Vec<_>>().join(", ");
    if !findings.is_empty() {
        let row = |finding: &Value| vec![cell(finding, "/kind"), cell(finding, "/detail")];
        terminal.table(&["FINDING", "DETAIL"], findings.iter().map(row).collect())?;
    }
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let clean = report.pointer("/clean").and_then(Value::as_bool) == Some(true);
    let mut words = vec![match findings.len() as u64 + number("/moreFindings") {
        0 if clean => "clean".to_owned(),
        0 => "the answer does not say that it is clean".to_owned(),
        1 => "1 finding".to_owned(),
        several => format!("{several} findings"),
    }];
    match number("/moreFindings") {
        0 => {}
        more => words.push(format!("{more} of them not listed")),
    }
    if !checked.is_empty() {
        words.push(format!("checked {checked}"));
    }
    words.push(match cell(report, "/depth").as_str() {
        "bytes" => format!("every byte of the files was hashed ({})", bytesize::ByteSize(number("/fileBytes"))),
        _ => "names and lengths alone: no file was hashed".to_owned(),
    });
    match number("/orphans") {
        0 => {}
        1 => words.push("1 file that nothing names, which is removed by itself".to_owned()),
        several => words.push(format!("{several} files that nothing names, which are removed by themselves")),
    }
    terminal.line(&words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Fake, Reply, reply};
    use serde_json::json;

    const NAMES: &str = "POST /api/v0/admin/verify?depth=names";

    fn report(clean: bool, findings: Value) -> Value {
        json!({"clean": clean, "depth": "names", "findings": findings, "moreFindings": 0,
            "checked": {"blobs": 3, "tags": 2}, "fileBytes": 3_000, "orphans": 0})
    }

    fn slice(files: &str, findings: Value, next: Value) -> Reply {
        let request = format!("POST /api/v0/admin/verify?files={files}");
        let clean = findings.as_array().unwrap().is_empty();
        reply(&request, 200, json!({"clean": clean, "findings": findings, "bytes": 1_500, "next": next}))
    }

    #[tokio::test]
    async fn the_exit_code_tells_clean_findings_and_unchecked_apart() {
        let failed = json!({"errors": [{"code": "INTERNAL_ERROR", "message": "the database is busy"}]});
        let dirty = report(false, json!([{"kind": "missing file", "detail": "sha256/aa"}]));
        let fake = Fake::new(vec![
            reply(NAMES, 200, report(true, json!([]))),
            reply(NAMES, 200, dirty),
            reply(NAMES, 500, failed),
            reply(NAMES, 200, json!({})),
        ]);
        let ran = fake.run(&["verify", "--quick"], "").await;
        let said = "clean; checked 3 blobs, 2 tags; names and lengths alone: no file was hashed\n";
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, said));
        let ran = fake.run(&["verify", "--quick"], "").await;
        let said = "FINDING       DETAIL\nmissing file  sha256/aa\n1 finding; checked 3 blobs, 2 tags; \
                    names and lengths alone: no file was hashed\n";
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Findings, said));
        assert_eq!(fake.run(&["verify", "--quick"], "").await.exit, Exit::Failure);
        assert_eq!(fake.run(&["verify", "--quick"], "").await.exit, Exit::Findings, "silence is not clean");
    }

    /// A running daemon was once asked for names alone, and said "clean" over a
    /// blob of which a bit had flipped.
    #[tokio::test]
    async fn a_daemon_hashes_its_files_slice_by_slice() {
        let wrong = json!([{"kind": "wrong bytes", "detail": "sha256/aa"}]);
        let missing = json!([{"kind": "missing file", "detail": "sha256/bb"}]);
        let fake = Fake::new(vec![
            reply(NAMES, 200, report(true, json!([]))),
            slice("blobs%3A", json!([]), json!("blobs:sha256:aa")),
            slice("blobs%3Asha256%3Aaa", wrong.clone(), Value::Null),
            reply(NAMES, 200, report(false, missing.clone())),
            slice("blobs%3A", missing.clone(), Value::Null),
            reply(NAMES, 200, report(true, json!([]))),
            slice("blobs%3A", json!([]), Value::Null),
        ]);
        let ran = fake.run(&["verify", "--json"], "").await;
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.exit, &told["clean"], &told["findings"]), (Exit::Findings, &json!(false), &wrong));
        assert_eq!(told["depth"], "bytes");
        let told: Value = serde_json::from_str(&fake.run(&["verify", "--json"], "").await.out).unwrap();
        assert_eq!(told["findings"], missing, "told once");
        let said = "clean; checked 3 blobs, 2 tags; every byte of the files was hashed (2.9 KiB)\n";
        assert_eq!(fake.run(&["verify"], "").await.done(), said);
    }

    #[tokio::test]
    async fn a_folder_is_asked_for_where_a_daemon_runs_on_it() {
        let fake = Fake::new(vec![reply(NAMES, 200, report(true, json!([])))]);
        let folder = fake.environment().current_dir.join("d");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(fake.socket(), folder.join(SOCKET_NAME)).unwrap();
        assert_eq!(fake.run(&["verify", "--quick", "--data", "d"], "").await.exit, Exit::Success);
        let both = ["verify", "--data", "d", "--url", "https://x"];
        assert_eq!(fake.run(&both, "").await.exit, Exit::Usage);
    }

    #[tokio::test]
    async fn a_folder_without_a_daemon_is_read_and_reported_in_the_same_form() {
        use crate::{chance::Chance, clock::Clock, store::Store};
        let fake = Fake::new(Vec::new());
        let folder = fake.environment().current_dir.join("d");
        let store = Store::open(&folder, Clock::system(), Chance::seeded(1)).unwrap();
        let bytes = b"some bytes that nothing names";
        let upload = crate::store::file::UploadId::new(&Chance::seeded(1));
        store.files().write_small(&crate::oci::Digest::sha256_of(bytes), bytes, upload).unwrap();
        drop(store);
        for (words, depth) in
            [(&["verify", "--data", "d"][..], "bytes"), (&["verify", "--data", "d", "--quick"], "names")]
        {
            let out = fake.run(words, "").await.done();
            assert!(
                out.starts_with("clean; ")
                    && out.ends_with("; 1 file that nothing names, which is removed by itself\n"),
                "{out}"
            );
            let told = fake.run(&[words, &["--json"]].concat(), "").await.done();
            let told: Value = serde_json::from_str(&told).unwrap();
            let fields: Vec<&String> = told.as_object().unwrap().keys().collect();
            assert_eq!(fields, ["checked", "clean", "depth", "fileBytes", "findings", "moreFindings", "orphans"]);
            assert_eq!((&told["depth"], &told["orphans"]), (&json!(depth), &json!(1)));
        }
        let ran = fake.run(&["verify", "--data", "none"], "").await;
        assert_eq!(ran.exit, Exit::Failure);
        assert!(ran.err.contains("there is no database in it"), "{}", ran.err);
    }

    #[tokio::test]
    async fn without_daemon_and_folder_it_could_not_be_checked() {
        let fake = Fake::new(Vec::new());
        let mut environment = fake.environment();
        environment.socket = None;
        let ran = fake.run_in(&environment, &["verify"], "").await;
        assert_eq!(ran.exit, Exit::Failure);
        assert!(ran.err.contains("no daemon found"), "{}", ran.err);
    }
}
