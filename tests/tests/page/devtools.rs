//! A browser without a window, driven over the DevTools protocol: JSON through two pipes, each message ended by a NUL.

use libtest_mimic::Failed;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

/// Nothing is judged by its time; this only turns a hang into a failure.
const BOUND: Duration = Duration::from_secs(60);
/// The names under which the browser is installed.
const PROGRAMS: [&str; 2] = ["chromium", "chromium-browser"];

/// The browser's program, or how to get it.
pub(crate) fn program() -> Result<&'static str, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &&str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    PROGRAMS.into_iter().find(there).ok_or_else(|| "chromium is not on PATH; `scripts/setup page` installs it".to_owned())
}

/// A browser with one page. Gone when it is dropped, and when this process is: it ends when its pipe does.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    last: u64,
    session: Option<String>,
    /// What happened while answers were waited for.
    pub(crate) events: Vec<Value>,
    profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it, with a page of this size.
    pub(crate) fn start(width: u32, height: u32) -> Result<Self, Failed> {
        let profile = tempfile::tempdir()?;
        // The protocol is spoken on descriptors 3 and 4: a shell puts the pipes there.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", program()?]);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-breakpad"]);
        command.args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-pipe",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let to = child.stdin.take().ok_or("no pipe to the browser")?;
        let output = child.stdout.take().ok_or("no pipe from the browser")?;
        let (tell, from) = mpsc::channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                if serde_json::from_slice(&message).is_ok_and(|message: Value| tell.send(message).is_err()) {
                    break;
                }
            }
        });
        let mut browser = Self { child, to, from, last: 0, session: None, events: Vec::new(), profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))?["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }))?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        browser.size(width, height)?;
        Ok(browser)
    }

    /// The page's size.
    pub(crate) fn size(&mut self, width: u32, height: u32) -> Result<(), Failed> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).map(drop)
    }

    /// Opens a file, and waits until it is loaded.
    pub(crate) fn open(&mut self, file: &Path) -> Result<(), Failed> {
        self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }))?;
        let begin = Instant::now();
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.receive(begin)?;
            self.events.push(event);
        }
        Ok(())
    }

    /// Calls a method of the protocol and returns what it answers.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Result<Value, Failed> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(message.to_string().as_bytes())?;
        self.to.write_all(&[0])?;
        let begin = Instant::now();
        loop {
            let mut answer = self.receive(begin)?;
            match answer.get("id").and_then(Value::as_u64) {
                Some(id) if id == self.last => {
                    return match answer.get("error") {
                        Some(error) => Err(format!("{method}: {error}").into()),
                        None => Ok(answer["result"].take()),
                    };
                }
                _ => self.events.push(answer),
            }
        }
    }

    fn receive(&self, begin: Instant) -> Result<Value, Failed> {
        let left = BOUND.saturating_sub(begin.elapsed());
        self.from.recv_timeout(left).map_err(|error| format!("the browser does not answer: {error}").into())
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Result<Value, Failed> {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", asked)?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(format!("{expression}: {details}").into()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// The text of the first element that a selector finds.
    pub(crate) fn text(&mut self, selector: &str) -> Result<String, Failed> {
        let text = self.value(&format!("document.querySelector({selector:?})?.innerText ?? null"))?;
        text.as_str().map(str::to_owned).ok_or_else(|| format!("there is no {selector}").into())
    }

    /// How many elements a selector finds that can be seen.
    pub(crate) fn seen(&mut self, selector: &str) -> Result<u64, Failed> {
        let seen = format!("[...document.querySelectorAll({selector:?})].filter((one) => one.checkVisibility()).length");
        self.value(&seen)?.as_u64().ok_or_else(|| format!("{selector} cannot be counted").into())
    }

    /// Scrolls to an element and returns its middle.
    pub(crate) fn middle(&mut self, selector: &str) -> Result<(f64, f64), Failed> {
        let place = self.value(&format!(
            "(() => {{ const one = document.querySelector({selector:?}); one?.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const box = one?.getBoundingClientRect(); return box ? [box.x + box.width / 2, box.y + box.height / 2] : null; }})()"
        ))?;
        match (place[0].as_f64(), place[1].as_f64()) {
            (Some(x), Some(y)) => Ok((x, y)),
            _ => Err(format!("there is no {selector} to point at").into()),
        }
    }

    /// Presses and releases the mouse on the middle of an element.
    pub(crate) fn click(&mut self, selector: &str) -> Result<(), Failed> {
        let (x, y) = self.middle(selector)?;
        self.mouse("mouseMoved", x, y)?;
        self.mouse("mousePressed", x, y)?;
        self.mouse("mouseReleased", x, y)
    }

    /// One event of the mouse.
    pub(crate) fn mouse(&mut self, kind: &str, x: f64, y: f64) -> Result<(), Failed> {
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let event = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", event).map(drop)
    }

    /// Presses and releases a key; `text` is what it writes, if it does.
    pub(crate) fn key(&mut self, key: &str, text: Option<&str>) -> Result<(), Failed> {
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if let Some(text) = text {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", down)?;
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code })).map(drop)
    }

    /// Whatever the page has complained of, and every request that is no file's.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let wrong = |event: &&Value| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Log.entryAdded" => true,
            "Runtime.consoleAPICalled" => event["params"]["type"] == "error" || event["params"]["type"] == "warning",
            "Network.requestWillBeSent" => {
                let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
                !url.starts_with("file://") && !url.starts_with("data:")
            }
            "Page.javascriptDialogOpening" => true,
            _ => false,
        };
        self.events.iter().filter(wrong).map(Value::to_string).collect()
    }

    /// Processes that are still there of browsers with this profile.
    pub(crate) fn left(profile: &Path) -> Vec<u32> {
        let name = profile.to_string_lossy().into_owned();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
        let ours = |id: &u32| {
            std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&name))
        };
        numbers.filter(ours).collect()
    }

    /// Where it keeps what it writes.
    pub(crate) fn profile(&self) -> &Path {
        self.profile.path()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // All of its processes are in one group, except those that watch over crashes, which end with it.
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}
