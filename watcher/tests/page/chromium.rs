//! A browser, driven over its pipe (Chrome DevTools Protocol, `--remote-debugging-pipe`): JSON in, JSON out, each ended
//! by a zero byte. What is waited for is waited for inside the page, frame by frame.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a browser may take for an answer. On a busy machine all is slow: this only ends what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A browser with one page. It ends with the value.
pub struct Chromium {
    child: Child,
    pipe: ChildStdin,
    answers: Receiver<Value>,
    session: Option<String>,
    number: u64,
    /// What the page asked for and complained of.
    events: Vec<Value>,
    _profile: TempDir,
}

impl Chromium {
    /// Starts Debian's chromium with a window of this size.
    #[track_caller]
    pub fn start((width, height): (u32, u32)) -> Chromium {
        let found = Command::new("chromium").arg("--version").output();
        found.expect("there is a chromium; hint: `cargo xtask test` installs it");
        let profile = tempfile::tempdir().expect("there is room for a profile");
        // It speaks on the descriptors 3 and 4; a shell puts the pipes there.
        let mut child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "chromium"])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let pipe = child.stdin.take().expect("it has an input");
        let answers = child.stdout.take().expect("it has an output");
        let (send, received) = mpsc::channel();
        thread::spawn(move || {
            for answer in BufReader::new(answers).split(0).map_while(Result::ok) {
                let Ok(answer) = serde_json::from_slice(&answer) else { continue };
                if send.send(answer).is_err() {
                    break;
                }
            }
        });
        let mut browser = Chromium {
            child,
            pipe,
            answers: received,
            session: None,
            number: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session =
            browser.call("Target.attachToTarget", &attach)["sessionId"].as_str().map(Into::into);
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.resize(width, height);
        browser
    }

    /// The size of the window.
    #[track_caller]
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Loads a page from its beginning.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({ "url": "about:blank" }));
        let gone = self.call("Page.navigate", &json!({ "url": url }));
        assert_eq!(gone["errorText"], Value::Null, "{url} is not shown");
    }

    /// The value of an expression in the page; of a promise, what it came to.
    #[track_caller]
    pub fn run(&mut self, script: &str) -> Value {
        let asked = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &asked);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{script}");
        answer["result"]["value"].clone()
    }

    /// Waits until a condition holds in the page.
    #[track_caller]
    pub fn wait(&mut self, what: &str, condition: &str) {
        let script = format!(
            "new Promise((done) => {{ const end = Date.now() + 30000; const look = () => {{ \
             if (document.getElementById('live') && ({condition})) done('yes'); \
             else if (Date.now() > end) done(document.body.innerText); \
             else requestAnimationFrame(look); }}; look(); }})"
        );
        let seen = self.run(&script);
        assert_eq!(seen, "yes", "waited in vain for {what}");
    }

    /// Presses a key.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", &json!({ "type": kind, "key": key }));
        }
    }

    /// Fails if the page asked anyone but this for anything, or if the browser complained of it.
    #[track_caller]
    pub fn assert_quiet(&mut self, url: &str) {
        for event in &self.events {
            let asked = event["params"]["request"]["url"].as_str();
            if event["method"] == "Network.requestWillBeSent" {
                assert!(asked.is_some_and(|asked| asked.starts_with(url)), "{asked:?} was asked for");
            } else {
                assert!(
                    event["method"] != "Log.entryAdded" && event["method"] != "Runtime.exceptionThrown",
                    "{event}"
                );
            }
        }
    }

    /// Calls a method of the protocol.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.pipe.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let mut answer = self.answers.recv_timeout(LIMIT).expect("the browser answers");
            if answer["id"] == self.number {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
