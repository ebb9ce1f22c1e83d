//! The store when it goes wrong: a disk that is full, a file that is damaged. The daemon goes on.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use driftd_tests::{
    daemon::Home,
    host::{SmallDisk, Sysctl},
    mode::Mode,
};
use serde_json::Value;

use crate::{Needs, Scenario, sysctls::home};

const KEY: &str = "vm.swappiness";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "a_full_disk_keeps_it_neither_from_watching_nor_from_saying_so",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Root,
        run: full_disk,
    },
    Scenario {
        claim: "a_damaged_store_is_moved_aside_and_a_new_one_begun",
        modes: &[Mode::None],
        needs: Needs::Root,
        run: damaged,
    },
];

fn full_disk(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    let _disk = SmallDisk::mount(&home.state(), 1 << 20);
    let mut driftd = home.start();
    let filler = home.state().join("filler");
    fill(&filler);
    // What the log of the database has room for already may still be written.
    let limit = Instant::now() + Duration::from_secs(60);
    let status = loop {
        assert!(Instant::now() < limit, "the disk is not found to be full");
        swappiness.restore();
        swappiness.write(swappiness.other());
        let status = status(&home);
        if status["unrecorded"].is_string() && is_open(&status) {
            break status;
        }
    };
    assert!(status["unrecorded"].as_str().is_some_and(|why| why.contains("full")), "{status}");
    let refused = driftd.post("", r#"{"commit":"a1b2c3","app":"web"}"#);
    assert_eq!(refused.status, 503, "{refused:?}");
    driftd.mark();

    fs::remove_file(filler).expect("it can be deleted");
    driftd.wait_for("the word that it can be written again", |line| {
        line["kind"] == "loss"
            && line["what"].as_str().is_some_and(|what| what.contains("can be written again"))
    });
    swappiness.restore();
    driftd.wait_for_healed(KEY);
    assert!(self::status(&home)["unrecorded"].is_null());
    let (ended, _) = driftd.terminate();
    assert!(ended.success(), "{ended}");
}

/// Takes all the room there is.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("there is room for a name");
    // The last bytes too: by one at a time.
    for piece in [4096, 1] {
        let full = loop {
            if let Err(error) = file.write_all(&vec![0; piece]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
    }
}

#[track_caller]
fn status(home: &Home) -> Value {
    let said = home.command(&["status", "--format", "json"]);
    serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("no status: {error}: {said:?}"))
}

fn is_open(status: &Value) -> bool {
    status["findings"].as_array().is_some_and(|findings| findings.iter().any(|finding| finding["key"] == KEY))
}

fn damaged(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let home = home(mode, &swappiness);
    home.start().terminate();
    let file = home.state().join("driftd.db");
    fs::write(&file, "no database\n".repeat(1000)).expect("the store can be damaged");

    let mut driftd = home.start();
    let told = driftd.wait_from_the_start("the word that it was damaged", |line| {
        line["kind"] == "loss" && line["what"].as_str().is_some_and(|what| what.contains("was damaged"))
    });
    let moved = fs::read_dir(home.state()).expect("it is there").flatten();
    let moved = moved.map(|file| file.path()).find(|path| path.display().to_string().contains(".damaged-"));
    let moved = moved.unwrap_or_else(|| panic!("nothing was moved aside: {told}"));
    assert!(fs::read(moved).is_ok_and(|bytes| bytes.starts_with(b"no database")));
    swappiness.write(swappiness.other());
    driftd.wait_for_opened(KEY, swappiness.other());
}
