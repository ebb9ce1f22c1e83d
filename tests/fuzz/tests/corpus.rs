//! The committed corpus through every target, without libFuzzer: what once broke one is in it, and breaks none again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and stops")]

use std::{collections::BTreeSet, fs, path::PathBuf};

use driftd_fuzz::Target;
use strum::VariantArray;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The names in a directory, in order.
fn names(directory: &PathBuf) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|why| panic!("{}: {why}", directory.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let targets = Target::VARIANTS.iter().map(|target| target.name().to_owned()).collect();
    assert_eq!(names(&corpus()), targets);
}

#[test]
fn the_whole_corpus_holds() {
    for target in Target::VARIANTS {
        let directory = corpus().join(target.name());
        let files = names(&directory);
        assert!(!files.is_empty(), "{}", directory.display());
        for file in files {
            println!("{}/{file}", target.name());
            target.feed(&fs::read(directory.join(&file)).unwrap());
        }
    }
}
