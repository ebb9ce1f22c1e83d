//! One target under libFuzzer, which has `main`: the target is named by `DRIFTD_FUZZ`, all else is libFuzzer's to say.
//! `cargo xtask fuzz` builds and starts it.
#![no_main]
#![expect(clippy::expect_used, reason = "`cargo xtask fuzz` names a target that there is")]

use std::{env, sync::LazyLock};

use driftd_fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = env::var("DRIFTD_FUZZ").expect("`DRIFTD_FUZZ` names the target");
    name.parse().expect("`DRIFTD_FUZZ` names a target that there is")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET.feed(bytes));
