//! The Open Container Initiative's conformance program, pinned, in its strict
//! form: the version under development, with sparse indexes.

use crate::support::{ADMIN, Daemon, PASSWORD, Run as _, bounded, go_program, measured, turn};

#[tokio::test]
async fn the_conformance_program_finds_no_failure() {
    let _turn = turn().await;
    let program = go_program("conformance");
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    for name in ["conformance/repo1", "conformance/repo2"] {
        daemon.cli(&["repository", "create", name]).good();
    }
    let results = folder.path().join("results");
    let ran = bounded(&program)
        .current_dir(folder.path())
        .env("OCI_REGISTRY", daemon.address())
        // Go reads what to trust from here.
        .env("SSL_CERT_FILE", daemon.ca())
        .env("SSL_CERT_DIR", folder.path().join("nothing"))
        .env("OCI_USERNAME", ADMIN)
        .env("OCI_PASSWORD", PASSWORD)
        .env("OCI_REPO1", "conformance/repo1")
        .env("OCI_REPO2", "conformance/repo2")
        .env("OCI_VERSION", "dev")
        .env("OCI_DATA_SPARSE", "true")
        .env("OCI_RESULTS_DIR", &results)
        .run();
    let junit = std::fs::read_to_string(results.join("junit.xml")).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let told = Told::read(&junit);
    measured(&format!("conformance: {} tests, {} failures", told.tests, told.failures));
    assert!(told.failed.is_empty(), "{}", told.failed.join("\n"));
    assert_eq!(told.failures, 0);
    assert!(told.tests > 500, "the program ran few tests: {}", told.tests);
    assert_eq!(ran.code, 0, "{ran:?}");
    daemon.stop().await;
}

/// What the program's report says.
struct Told {
    tests: u32,
    failures: u32,
    /// What failed, and why.
    failed: Vec<String>,
}

impl Told {
    fn read(junit: &str) -> Self {
        let root = between(junit, "<testsuites", ">").expect("a report has a root");
        let count = |name: &str| between(root, &format!(" {name}=\""), "\"").and_then(|value| value.parse().ok());
        let cases = junit.split("<testcase").skip(1);
        let failed = cases.filter(|case| !between(case, " status=\"", "\"").is_some_and(is_fine));
        Self {
            tests: count("tests").expect("the root counts"),
            // Left out where there are none.
            failures: count("failures").unwrap_or(0),
            failed: failed.map(str::to_owned).collect(),
        }
    }
}

/// Passed, not supported in an allowed way, or turned off by the version.
fn is_fine(status: &str) -> bool {
    ["passed", "skipped", "disabled"].contains(&status)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}
