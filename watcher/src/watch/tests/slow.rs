//! Keys whose reading may block: they are read on a thread of their own, and one that blocks holds up nothing.

use std::fs;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::host::{Host, NOTHING, SWAPPINESS, THP, captures, expects};
use crate::{model::Phase, watch::Input};

const NEVER: &str = "always madvise [never]";
const ALWAYS: &str = "[always] madvise never";

#[test]
fn a_sweep_ends_and_a_verdict_is_given_when_slow_keys_are_read() {
    let rules = [expects(THP, "never"), expects(SWAPPINESS, "60")];
    let mut host = Host::new(&rules, &[(THP, NEVER), (SWAPPINESS, "60")]);
    host.sweeps();
    host.by_hand = true;
    host.set(THP, ALWAYS);
    assert_eq!(host.announce(Phase::Finished, "aaaaaa"), ["finished aaaaaa"]);
    assert_eq!(host.pass(1_000), NOTHING);
    assert_eq!(host.sweeps(), NOTHING);
    assert_eq!(
        host.answer(),
        [
            format!("change {THP} never -> always (nobody, sweep) under aaaaaa"),
            format!("opened equal: {THP} always not never (nobody, sweep) changed after the deploy"),
            format!("verdict aaaaaa OUT_OF_SYNC {THP}")
        ]
    );
    assert_eq!(host.sweeps(), ["deployment 1/2"]);
}

#[test]
fn a_slow_key_is_captured_when_it_is_read() {
    let mut host = Host::new(&[captures(THP)], &[(THP, NEVER)]);
    host.by_hand = true;
    assert_eq!(host.announce(Phase::Finished, "aaaaaa"), ["finished aaaaaa"]);
    assert_eq!(host.answer(), ["verdict aaaaaa SYNCED"]);
    host.by_hand = false;
    host.set(THP, ALWAYS);
    assert_eq!(
        host.pass(60_000)[1..],
        [format!("opened short: {THP} always not never (nobody, sweep) changed after the deploy")]
    );
}

#[test]
fn a_key_that_blocks_is_told_and_holds_up_no_sweep_and_no_verdict() {
    let rules = [expects(THP, "never"), expects(SWAPPINESS, "60")];
    let mut host = Host::unwatched(&rules, &[(SWAPPINESS, "60")]);
    let path = host.path(THP);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Opening it blocks until somebody writes.
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    host.by_hand = true;
    assert_eq!(host.handle(Input::Tick), ["start"]);
    assert_eq!(host.announce(Phase::Finished, "aaaaaa"), ["finished aaaaaa"]);
    assert_eq!(host.pass(4_999), NOTHING);
    assert_eq!(
        host.pass(1),
        [format!("loss: reading `{THP}` has blocked for 5 s"), "verdict aaaaaa OUT_OF_SYNC".into()]
    );
    assert_eq!(host.announce(Phase::Finished, "bbbbbb"), ["finished bbbbbb", "verdict bbbbbb OUT_OF_SYNC"]);
    assert_eq!(host.pass(600_000), NOTHING, "told once");
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100).len(), 1, "the others are watched");
    // It answers in the end, and is read like any other from then on. Opening meets the one who waits for it.
    drop(fs::OpenOptions::new().write(true).open(&path).unwrap());
    host.remove(THP);
    host.set(THP, ALWAYS);
    assert_eq!(host.answer(), NOTHING, "it answers for the time before the deployments, and is asked again");
    assert_eq!(host.answer(), [format!("opened equal: {THP} always not never (nobody, sweep) unknown")]);
}
