//! Loading many rules: `driftd config check` from its start to its end, which is all that a start does with rules but for
//! reading the keys; beside the same with one rule, in turns.

use std::fmt::Write;

use crate::{
    Asked,
    daemon::Home,
    figures::{median, tell},
    store::ask,
};

/// How many rules are many.
const RULES: usize = 10_000;

/// Measures.
pub fn measure(asked: &Asked) {
    let (many, one) = (home(RULES), home(1));
    let (mut with_many, mut with_one) = (Vec::new(), Vec::new());
    for _ in 0..asked.times(21, 5) {
        with_many.push(ask(&many, &["config", "check"]));
        with_one.push(ask(&one, &["config", "check"]));
    }
    tell("load.rules", RULES as f64);
    tell("load.many_ns", median(with_many));
    tell("load.one_ns", median(with_one));
}

/// A configuration of so many rules, each of a key of its own.
fn home(rules: usize) -> Home {
    let mut text = String::new();
    for n in 0..rules {
        let _ = writeln!(text, "  r{n}: {{ keys: net.ipv4.conf.eth{n}.rp_filter, expect: 1 }}");
    }
    Home::new("none", &text)
}
