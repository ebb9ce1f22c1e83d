//! What the hub takes of a status is fit to be shown, and comes back from its file as it was.

use watcher::http::Report;

use crate::door::now;

pub fn feed(bytes: &[u8]) {
    let report = match Report::read(bytes, now()) {
        Ok(report) => report,
        Err(wrong) => {
            let told = wrong.to_string();
            assert!(!told.contains(char::is_control), "{told:?}");
            return;
        }
    };
    let names = report.files.iter().map(|file| &file.name).chain([&report.server, &report.repo]);
    for name in names {
        assert!(!name.contains(char::is_control), "{name:?}");
    }
    let kept = serde_json::to_vec(&report).expect("what was read can be written");
    let again: Report = serde_json::from_slice(&kept).expect("what was written can be read");
    assert_eq!(again, report);
}
