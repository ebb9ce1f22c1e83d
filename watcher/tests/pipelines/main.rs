//! What pipelines run, run for real: the scripts and templates of docs/integrations and the step of docs/webhooks.md,
//! with a shell, curl and openssl, against a driftd that speaks TLS. Not among the scenarios, because the VM has none of
//! the three; and here, because cargo builds driftd for the tests of its own package.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and stops"
)]

mod crowd;
mod git;
mod host;
mod init;
mod script;
mod templates;
mod values;
