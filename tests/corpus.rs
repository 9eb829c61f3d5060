//! The fuzz targets over their corpora: what a fuzzer found worth keeping is
//! asked again on every run, without one.

use std::path::{Path, PathBuf};

#[path = "../fuzz/targets.rs"]
mod targets;

/// What all corpora together may weigh.
const MOST_BYTES: u64 = 300 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn what_must_hold_holds_for_every_seed() {
    let mut weight = 0;
    for (name, _) in targets::ALL {
        let seeds = std::fs::read_dir(corpus().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut count = 0;
        for seed in seeds {
            let path = seed.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            weight += bytes.len() as u64;
            let held = std::panic::catch_unwind(|| targets::run(name, &bytes));
            assert!(held.is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count >= 5, "{name} has {count} seeds");
    }
    assert!(weight < MOST_BYTES, "the corpora have {weight} bytes");
}

#[test]
fn every_corpus_has_its_target() {
    for folder in std::fs::read_dir(corpus()).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(targets::ALL.iter().any(|(known, _)| *known == name), "{name}");
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(binary.exists(), "{name} is fuzzed by nothing");
    }
}
