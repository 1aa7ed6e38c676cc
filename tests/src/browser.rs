//! A real browser: Chromium without a window, told what to do over a pipe of its own.
//!
//! Decides what a test can ask of it: open, look, click, take a picture. Refuses to guess what the
//! browser asked of the network: it tells each request itself, and a proxy sees what really went.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};

use crate::process::Process;

/// The program, and the Debian package that has it.
pub const CHROMIUM: &str = "chromium";
/// Longest wait for an answer or an event: a first start on a busy machine takes half of it.
const WAIT: Duration = Duration::from_secs(60);

/// A window that nobody sees, for pictures and measures.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Width in points.
    pub width: u32,
    /// Height in points.
    pub height: u32,
    /// Whether its person prefers light letters on dark ground.
    pub dark: bool,
}

/// A running browser with one page.
#[derive(Debug)]
pub struct Browser {
    process: Process,
    commands: File,
    heard: Receiver<Value>,
    /// What it told besides answers, in order.
    told: Vec<Value>,
    next: u64,
    session: Option<String>,
}

impl Browser {
    /// Starts it with a profile of its own in `folder`. Whatever it asks of the network goes to
    /// `proxy`, where one is given, its own machine's addresses too.
    ///
    /// # Panics
    /// If it doesn't start.
    #[must_use]
    pub fn start(folder: &Path, proxy: Option<&str>) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let [to, from] = ["commands", "answers"].map(|name| pipe(folder, name));
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec chromium "$@" 3<"$COMMANDS" 4>"$ANSWERS""#, "sh"]);
        command.env("COMMANDS", &to.0).env("ANSWERS", &from.0).env("HOME", folder);
        command.args([
            "--headless",
            // The page is our own, and the tests may run as root.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-extensions",
            "--disable-sync",
            "--no-first-run",
            "--no-default-browser-check",
            "--ignore-certificate-errors",
            "--remote-debugging-pipe",
        ]);
        command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
        if let Some(proxy) = proxy {
            command.arg(format!("--proxy-server={proxy}")).arg("--proxy-bypass-list=<-loopback>");
        }
        command.arg("about:blank");
        let process = Process::start(CHROMIUM, command, &folder.join("chromium.log"));
        let heard = listen(from.1);
        let mut this = Self { process, commands: to.1, heard, told: Vec::new(), next: 0, session: None };
        let target = this.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            this.ask("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        this.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Network", "Runtime", "Accessibility"] {
            this.ask(&format!("{domain}.enable"), json!({}));
        }
        this
    }

    /// One command of its protocol; returns the answer.
    ///
    /// # Panics
    /// If it refuses, or doesn't answer within a minute.
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        loop {
            let heard = self.hear(method);
            if heard["id"] == self.next {
                assert!(heard.get("error").is_none(), "{method}: {heard}");
                return heard["result"].clone();
            }
            self.told.push(heard);
        }
    }

    /// Waits for an event that it has not told yet, or has told since `from`.
    fn event(&mut self, method: &str, from: usize) -> Value {
        let mut at = from;
        loop {
            while let Some(event) = self.told.get(at) {
                if event["method"] == method {
                    return event["params"].clone();
                }
                at += 1;
            }
            let heard = self.hear(method);
            self.told.push(heard);
        }
    }

    fn hear(&mut self, wanted: &str) -> Value {
        match self.heard.recv_timeout(WAIT) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("the browser says nothing more ({wanted}):\n{}", self.process.log())
            }
        }
    }

    /// Opens an address and waits until all of it is there.
    pub fn open(&mut self, url: &str) {
        // Whatever was open: an address that differs behind the `#` alone would not be loaded anew.
        for url in ["about:blank", url] {
            let from = self.told.len();
            let answer = self.ask("Page.navigate", json!({"url": url}));
            assert!(answer.get("errorText").is_none(), "{url}: {answer}");
            let _ = self.event("Page.loadEventFired", from);
        }
    }

    /// What an expression is in the page, promises awaited.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true});
        let answer = self.ask("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Clicks into the middle of an element, as a mouse does.
    pub fn click(&mut self, selector: &str) {
        let middle = self.evaluate(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center'}}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            self.ask(
                "Input.dispatchMouseEvent",
                json!({"type": kind, "x": middle[0], "y": middle[1], "button": "left", "clickCount": 1}),
            );
        }
    }

    /// Clicks a link, and returns where the page then wanted to go.
    pub fn follow(&mut self, selector: &str) -> String {
        let from = self.told.len();
        self.click(selector);
        let wanted = self.event("Page.frameRequestedNavigation", from);
        wanted["url"].as_str().unwrap().to_owned()
    }

    /// Clicks a link, and waits until the page behind it is there.
    pub fn go(&mut self, selector: &str) {
        let from = self.told.len();
        self.click(selector);
        let _ = self.event("Page.loadEventFired", from);
    }

    /// Waits until an expression is true: the page says so itself, whenever it changes.
    pub fn until(&mut self, expression: &str) {
        let waits = format!(
            "new Promise((done) => {{ const look = () => {{ if ({expression}) {{ done(true); return true; }} }}; \
             if (!look()) new MutationObserver(look).observe(document, {{subtree: true, childList: true, \
             characterData: true, attributes: true}}); }})"
        );
        assert_eq!(self.evaluate(&waits), json!(true));
    }

    /// Every address that pages have asked for, in order, without what stands behind a `#`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let sent = self.told.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Names of the elements of a role that a screen reader would say.
    pub fn named(&mut self, role: &str) -> Vec<String> {
        let tree = self.ask("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().unwrap();
        let shown = nodes.iter().filter(|node| node["ignored"] == false && node["role"]["value"] == role);
        shown.map(|node| node["name"]["value"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Lets the page of an origin use the clipboard, as a person who is asked would.
    pub fn permit_clipboard(&mut self, origin: &str) {
        let permissions = json!(["clipboardReadWrite", "clipboardSanitizedWrite"]);
        self.ask("Browser.grantPermissions", json!({"permissions": permissions, "origin": origin}));
    }

    /// Turns scripts off or on for the pages that come.
    pub fn forbid_scripts(&mut self, forbidden: bool) {
        self.ask("Emulation.setScriptExecutionDisabled", json!({"value": forbidden}));
    }

    /// Shows the page in a window like this.
    pub fn resize(&mut self, window: Window) {
        let Window { width, height, dark } = window;
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}),
        );
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Whether everything fits the window's width.
    pub fn fits(&mut self) -> bool {
        let page = self.ask("Page.getLayoutMetrics", json!({}));
        page["cssContentSize"]["width"].as_f64() <= page["cssLayoutViewport"]["clientWidth"].as_f64()
    }

    /// Takes a picture of the whole page.
    pub fn picture(&mut self, path: &Path) {
        let parameters = json!({"format": "png", "captureBeyondViewport": true});
        let taken = self.ask("Page.captureScreenshot", parameters);
        std::fs::write(path, Base64::decode_vec(taken["data"].as_str().unwrap()).unwrap()).unwrap();
    }
}

/// A pipe with a name, open here in both directions, so that neither end waits for the other.
fn pipe(folder: &Path, name: &str) -> (PathBuf, File) {
    let path = folder.join(name);
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    (path, file)
}

/// Its messages, each ended by a zero. The thread ends with the test's process.
fn listen(mut answers: File) -> Receiver<Value> {
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        let (mut buffer, mut read) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(count @ 1..) = answers.read(&mut read) {
            buffer.extend_from_slice(&read[..count]);
            while let Some(end) = buffer.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = buffer.drain(..=end).collect();
                let message = serde_json::from_slice(&message[..end]).unwrap_or(Value::Null);
                if tell.send(message).is_err() {
                    return;
                }
            }
        }
    });
    heard
}
