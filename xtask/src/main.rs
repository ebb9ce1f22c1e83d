//! What a developer of driftd runs.

fn main() {}
