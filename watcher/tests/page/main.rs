//! The page as people meet it: a real driftd, a real browser (Debian's `chromium`), and what it
//! shows. Also what others read of the same listener: Prometheus, by its own `promtool`.
//!
//! Each test has a daemon of its own, without probes, in a UTS namespace of its own: the one key that is written,
//! `kernel.domainname`, is then nobody else's. That needs root.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, what is not there is a failure"
)]

mod chromium;
mod daemon;
mod grafana;
mod prometheus;

use serde_json::{Value, json};

use self::{chromium::Chromium, daemon::Daemon};

/// Of each browser's window, as wide as on a desk.
const DESK: (u32, u32) = (1280, 900);

/// A daemon and a browser that shows its page.
fn page(events: usize) -> (Daemon, Chromium) {
    let (daemon, mut browser) = (Daemon::start(events), Chromium::start(DESK));
    browser.open(&daemon.url(""));
    browser.wait("the page is live", "document.getElementById('live').textContent === 'live'");
    (daemon, browser)
}

#[test]
fn the_page_shows_the_state_and_a_change_in_the_kernel_without_reload() {
    let (daemon, mut browser) = page(0);
    browser.wait("the verdict", "document.getElementById('verdict').textContent === 'SYNCED'");
    browser.wait("no finding", "!document.getElementById('no-findings').hidden");
    browser.run("window.sameDocument = true");

    daemon.deliver(r#"{"commit":"a1b2c3d4e5f6","app":"web-backend","id":"1"}"#);
    browser.wait("the deployment", "document.getElementById('facts').textContent.includes('a1b2c3d4e5f6')");

    daemon.write_domain("<img src=x onerror='document.title=1'>");
    browser.wait("the new verdict", "document.getElementById('verdict').textContent === 'OUT OF SYNC'");
    let sentence = browser.run("document.querySelector('#finding-list .what').textContent");
    assert_eq!(
        sentence,
        "criticalkernel.domainname is <img src=x onerror='document.title=1'>, expected good.example, was good.example."
    );
    let why = browser.run("document.querySelector('#finding-list .why').textContent");
    let why = why.as_str().unwrap_or_default();
    assert!(why.starts_with("Changed after the deploy, under a1b2c3d4e5f6, unattributed."), "{why}");
    browser.wait(
        "the change in the list of events",
        "[...document.querySelectorAll('#event-rows tr.change')].some((row) => \
         row.textContent.includes('kernel.domainname good.example → <img'))",
    );
    assert_eq!(browser.run("document.images.length"), 0, "what came from outside is text");

    daemon.write_domain("good.example");
    browser.wait("that it healed", "document.getElementById('verdict').textContent === 'SYNCED'");
    assert_eq!(browser.run("window.sameDocument"), true, "nothing was loaded again");
    browser.assert_quiet(&daemon.url(""));
}

#[test]
fn why_what_is_declared_stays_as_it_was_is_on_the_page_as_long_as_that_is_so() {
    let (daemon, mut browser) = page(0);
    browser.wait("the verdict", "document.getElementById('verdict').textContent === 'SYNCED'");
    daemon.configure("severity: critical", "severity: grave");
    browser
        .wait("that it is out of sync", "document.getElementById('verdict').textContent === 'OUT OF SYNC'");
    let said = browser.run("document.getElementById('blind').textContent");
    let said = said.as_str().unwrap_or_default();
    assert!(said.starts_with("What is declared stays as it was: ") && said.contains("grave"), "{said}");
    assert!(daemon.get("status.json").contains("grave"));
    assert!(daemon.get("metrics").contains("\ndriftd_baseline_broken 1\n"));
    daemon.configure("severity: grave", "severity: critical");
    browser.wait("that it is in sync", "document.getElementById('verdict').textContent === 'SYNCED'");
    browser.wait("that nothing is said", "document.getElementById('blind').hidden");
    browser.assert_quiet(&daemon.url(""));
}

#[test]
fn a_key_is_chosen_on_the_timeline_by_keyboard_and_its_history_is_a_plot_and_a_table() {
    let (daemon, mut browser) = page(0);
    daemon.deliver(r#"{"commit":"a1b2c3d4e5f6","app":"web-backend","id":"1"}"#);
    daemon.write_domain("bad.example");
    browser.wait("the finding", "document.querySelectorAll('#finding-list li').length === 1");

    browser.run("document.getElementById('plot').focus()");
    browser.press("End");
    let said = browser.run("document.getElementById('timeline-at').textContent");
    let said = said.as_str().unwrap_or_default();
    assert!(said.contains("finding: critical: kernel.domainname is bad.example"), "{said}");
    browser.press("Enter");
    browser.wait(
        "the history",
        "document.getElementById('history-title').textContent === 'History of kernel.domainname'",
    );
    assert_eq!(browser.run("document.activeElement.id"), "history-title", "the focus follows");
    assert_eq!(
        browser.run("document.getElementById('history-now').textContent"),
        "Now: bad.example. Expected: good.example (rule domain). 1 changes on record."
    );
    assert_eq!(browser.run("document.querySelectorAll('#history-plot svg .deployed').length"), 1);
    assert_eq!(browser.run("document.querySelectorAll('#history-plot svg .dot').length"), 1);
    let row = browser.run("document.querySelector('#history-table tbody').textContent");
    let row = row.as_str().unwrap_or_default();
    assert!(row.contains("good.example → bad.example") && row.contains("a1b2c3d4e5f6"), "{row}");

    // A history can be linked to.
    browser.open(&daemon.url("#key=kernel.domainname"));
    browser.wait("the history again", "document.querySelectorAll('#history-plot svg').length === 1");
    browser.assert_quiet(&daemon.url(""));
}

#[test]
fn of_ten_thousand_events_only_what_can_be_looked_at_is_in_the_document() {
    let (daemon, mut browser) = page(10_000);
    browser.wait(
        "all events",
        "parseInt(document.getElementById('counted').textContent.replaceAll(/\\D/g, '')) >= 10000",
    );
    let count = |browser: &mut Chromium, of: &str| {
        let count = browser.run(&format!("document.querySelectorAll('{of}').length"));
        count.as_u64().unwrap_or(u64::MAX)
    };
    assert_eq!(count(&mut browser, "#event-rows tr"), 100);
    for zoom in ["in", "out", "out"] {
        browser.run(&format!("document.querySelector('[data-zoom={zoom}]').click()"));
        let elements = count(&mut browser, "*");
        assert!(elements < 5_000, "{elements} elements");
    }
    browser.assert_quiet(&daemon.url(""));
}

#[test]
fn it_is_named_for_a_screen_reader_and_never_wider_than_the_window() {
    let (daemon, mut browser) = page(0);
    daemon.write_domain("bad.example");
    browser.wait("the finding", "document.querySelectorAll('#finding-list li').length === 1");
    let nodes = browser.call("Accessibility.getFullAXTree", &json!({}));
    let nodes = nodes["nodes"].as_array().cloned().unwrap_or_default();
    let named = |role: &str| -> Vec<String> {
        let of_role =
            nodes.iter().filter(|node| node["role"]["value"] == role && node["ignored"] != Value::Bool(true));
        of_role.map(|node| node["name"]["value"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let roles = ["heading", "button", "combobox", "searchbox", "link"];
    let all = roles.map(|role| format!("{role}: {}", named(role).join(" | "))).join("\n");
    insta::assert_snapshot!(all.replace(&daemon.server(), "HOST"), @r"
    heading: driftd on HOST | Open findings | Timeline | History of a key | Events
    button: 1 h | 1 d | 7 d | all | closer | further away | kernel.domainname
    combobox: Key
    searchbox: Only with
    link: Skip to the findings | status.json | metrics | api/v1
    ");
    for width in [320, 390, 800, 1280] {
        browser.resize(width, 700);
        let beyond = browser.run("document.documentElement.scrollWidth - innerWidth");
        assert!(beyond.as_i64().is_some_and(|beyond| beyond <= 0), "{beyond} px beyond a width of {width}");
    }
}
