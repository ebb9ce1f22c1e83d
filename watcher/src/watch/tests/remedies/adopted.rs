//! A live value that is taken as expected.

use super::{OPENED, at_most, departed};
use crate::{
    model::{Act, Phase::Finished, Remedy, Rule},
    watch::{
        Input,
        tests::host::{Host, MTU, NOTHING, SWAPPINESS, captures, expects},
    },
};

#[test]
fn an_adopted_value_is_expected_until_the_next_deployment() {
    let mut host = departed();
    let (lines, told) = host.ask(Act::Adopt, SWAPPINESS, false);
    assert_eq!(lines, ["adopt vm.swappiness 61: done", "healed equal: vm.swappiness 61"]);
    assert!(told.is_ok());
    assert_eq!(host.pass(120_000), NOTHING);
    assert_eq!(host.restart(), NOTHING, "it is remembered");
    host.write(7, SWAPPINESS, "62");
    assert_eq!(host.pass(100), ["opened equal: vm.swappiness 62 not 61, adopted (7, kprobe) unknown"]);
    host.write(7, SWAPPINESS, "61");
    host.pass(1000);
    assert_eq!(
        host.announce(Finished, "aaaaaa"),
        ["finished aaaaaa", OPENED, "verdict aaaaaa OUT_OF_SYNC vm.swappiness",]
    );
}

#[test]
fn what_is_adopted_of_a_captured_value_is_captured() {
    let mut host = Host::new(&[captures(MTU)], &[(MTU, "1500")]);
    host.announce(Finished, "aaaaaa");
    host.write(7, MTU, "9000");
    host.pass(100);
    assert!(host.ask(Act::Adopt, MTU, false).1.is_ok());
    assert_eq!(host.announce(Finished, "bbbbbb"), ["finished bbbbbb", "verdict bbbbbb SYNCED"]);
    assert_eq!(host.restart(), NOTHING);
}

#[test]
fn a_rule_may_adopt_by_itself() {
    let rules = [Rule { remedy: Remedy::Adopt, ..expects(SWAPPINESS, "10") }];
    let mut host = Host::new(&rules, &[(SWAPPINESS, "10")]);
    host.write(7, SWAPPINESS, "61");
    assert_eq!(host.pass(100), [OPENED, "adopt vm.swappiness 61: done", "healed equal: vm.swappiness 61"]);
}

#[test]
fn an_adopted_value_is_over_where_something_else_is_declared() {
    let mut host = departed();
    assert!(host.ask(Act::Adopt, SWAPPINESS, false).1.is_ok());
    let same = host.declares(&host.rules.clone(), &[]);
    assert_eq!(host.handle(Input::Reread(same)), NOTHING, "the same is declared");
    assert_eq!(host.past().adopted.len(), 1);
    host.rules = vec![expects(SWAPPINESS, "20")];
    let other = host.declares(&host.rules.clone(), &[]);
    // Whoever wrote it did so while something else was expected.
    let opened = "opened equal: vm.swappiness 61 not 20 (nobody, sweep) unknown";
    assert_eq!(host.handle(Input::Reread(other)), [opened]);
    assert_eq!(host.past().adopted, []);
    assert_eq!(host.restart(), NOTHING, "it is forgotten");
    assert_eq!(host.status().findings[0].expected, "20");
}

#[test]
fn a_finding_says_what_is_expected_around_an_adoption() {
    let mut host = departed();
    assert!(host.ask(Act::Adopt, SWAPPINESS, false).1.is_ok());
    host.write(7, SWAPPINESS, "62");
    host.pass(100);
    let said = |host: &mut Host| host.status().findings[0].expected.clone();
    assert_eq!(said(&mut host), "61, adopted");
    host.restart();
    assert_eq!(said(&mut host), "61, adopted");
    host.announce(Finished, "aaaaaa");
    assert_eq!(said(&mut host), "10");
    assert_eq!(host.past().findings[0].expected, "10");
}

#[test]
fn what_moves_by_itself_is_not_adopted() {
    let key = "fs.file-nr:allocated";
    let rules = [Rule { remedy: Remedy::Adopt, ..at_most(key, "100") }];
    let mut host = Host::unwatched(&rules, &[("fs.file-nr", "150 0 1000")]);
    let refused = format!("adopt {key} absent: refused");
    assert_eq!(host.pass(0).last(), Some(&refused));
    host.set("fs.file-nr", "160 0 1000");
    assert_eq!(host.pass(120_000), NOTHING, "once");
    let why = host.ask(Act::Adopt, key, false).1.unwrap_err();
    insta::assert_snapshot!(why, @r"
    fs.file-nr:allocated moves by itself, and no value of it stays as it is
    hint: declare bounds that hold
    ");
}

#[test]
fn beside_an_adopted_value_bounds_hold_as_before() {
    let mut host = Host::new(&[at_most(SWAPPINESS, "60")], &[(SWAPPINESS, "10")]);
    host.write(7, SWAPPINESS, "80");
    host.pass(100);
    assert!(host.ask(Act::Adopt, SWAPPINESS, false).1.is_ok());
    host.write(7, SWAPPINESS, "20");
    assert_eq!(host.pass(120_000), NOTHING, "what was right before is right");
    host.write(7, SWAPPINESS, "90");
    assert_eq!(
        host.pass(100),
        ["opened most: vm.swappiness 90 not 80, adopted, or at most 60 (7, kprobe) unknown"]
    );
}
