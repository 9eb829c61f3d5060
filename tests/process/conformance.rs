//! The Open Container Initiative's conformance program, pinned, in its strict
//! form: the version under development, with sparse indexes.

use std::path::PathBuf;

use crate::support::{ADMIN, Daemon, PASSWORD, Run as _, bounded, program, scratch, turn};

const MODULE: &str = "github.com/opencontainers/distribution-spec/conformance";
const VERSION: &str = "v0.0.0-20260831232431-97274622c111";

/// The program, built from Go's module proxy when it is not there yet.
fn conformance() -> PathBuf {
    let folder = scratch().join("conformance").join(VERSION);
    let path = folder.join("conformance");
    if !path.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        let wanted = format!("{MODULE}@{VERSION}");
        program("go").args(["install", &wanted]).env("GOBIN", &folder).env_remove("GOFLAGS").run().good();
    }
    path
}

#[tokio::test]
async fn the_conformance_program_finds_no_failure() {
    let _turn = turn();
    let program = conformance();
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
    std::fs::write("/tmp/e2e-junit.xml", &junit).unwrap();
    let told = Told::read(&junit);
    println!("conformance: {} tests, {} failures", told.tests, told.failures);
    assert!(told.failures == 0 && told.failed.is_empty(), "{}", told.failed.join("\n"));
    assert!(told.tests > 500, "the program ran few tests: {}", told.tests);
    ran.good();
    daemon.stop().await;
}

/// What the program's report says.
struct Told {
    tests: u32,
    failures: u32,
    failed: Vec<String>,
}

impl Told {
    fn read(junit: &str) -> Self {
        let root = junit.split("<testsuites").nth(1).and_then(|rest| rest.split('>').next()).unwrap_or_default();
        let count = |name: &str| {
            let value = root.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
            value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {root:?}"))
        };
        let failed = junit.split("<testcase").filter(|case| case.contains("<failure") || case.contains("<error"));
        Self { tests: count("tests"), failures: count("failures"), failed: failed.map(str::to_owned).collect() }
    }
}
