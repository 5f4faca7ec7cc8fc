//! A real headless Chromium, controlled by chromedriver (W3C WebDriver).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::caller::send;
use crate::folder::Folder;
use crate::{FAILSAFE, failsafe};

/// The browser, with one page open; dropping this value ends it.
#[derive(Debug)]
pub struct Browser {
    driver: SocketAddr,
    session: String,
    _driver: Child,
    /// All files that they write.
    _folder: Folder,
}

impl Browser {
    /// Starts chromedriver on a free port, and the browser.
    ///
    /// # Panics
    ///
    /// When one of the programs is not installed.
    pub async fn start() -> Self {
        let folder = Folder::new();
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver, as Debian's package chromium-driver has it");
        let mut printed = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let port = loop {
            let line = failsafe("chromedriver to listen", printed.next_line()).await;
            let line = line.expect("text").expect("a line that says its port");
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').parse().expect("a port");
            }
        };
        let mut browser = Self {
            driver: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            _driver: process,
            _folder: folder,
        };
        // The browser ends with its driver, at the other end of its pipe. Run by root it has no sandbox.
        let args = [
            "--headless",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--force-device-scale-factor=1",
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "script": millis(FAILSAFE) },
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.ask(Method::POST, "", &wanted).await;
        browser.session = format!("/{}", session["sessionId"].as_str().expect("a session"));
        browser
    }

    /// Opens this URL and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", &json!({ "url": url })).await;
    }

    /// The value of `expression`, in JavaScript, in the page.
    pub async fn value(&self, expression: &str) -> Value {
        let script = json!({ "script": format!("return {expression}"), "args": [] });
        self.ask(Method::POST, "/execute/sync", &script).await
    }

    /// Waits until `expression` has this value. The page checks by itself, so that waiting costs little.
    ///
    /// # Panics
    ///
    /// When it has another value until the failsafe.
    pub async fn shows(&self, expression: &str, value: impl Into<Value>) {
        let value = value.into();
        let script = format!(
            "const [wanted, patience, done] = arguments; \
             const end = Date.now() + patience; \
             const look = () => {{ \
               const value = {expression}; \
               if (JSON.stringify(value) === wanted || Date.now() > end) done(value); \
               else setTimeout(look, 20); \
             }}; \
             look();"
        );
        let patience = millis(FAILSAFE - Duration::from_secs(1));
        let arguments = json!([value.to_string(), patience]);
        let script = json!({ "script": script, "args": arguments });
        let shown = self.ask(Method::POST, "/execute/async", &script).await;
        assert_eq!(shown, value, "{expression}");
    }

    /// Sends a command of Chromium's DevTools protocol.
    pub async fn command(&self, name: &str, parameters: Value) -> Value {
        let command = json!({ "cmd": name, "params": parameters });
        self.ask(Method::POST, "/goog/cdp/execute", &command).await
    }

    /// Sets the size of the viewport, in pixels.
    pub async fn resize(&self, width: usize, height: usize) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", size)
            .await;
    }

    /// Presses and releases a key, which WebDriver names by one character.
    pub async fn press(&self, key: char) {
        let actions = [
            json!({ "type": "keyDown", "value": key }),
            json!({ "type": "keyUp", "value": key }),
        ];
        let keyboard =
            json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.ask(Method::POST, "/actions", &keyboard).await;
    }

    /// The console messages since the last call.
    ///
    /// # Panics
    ///
    /// When chromedriver returns no list.
    pub async fn console(&self) -> Vec<Value> {
        let log = self
            .ask(Method::POST, "/se/log", &json!({ "type": "browser" }))
            .await;
        log.as_array().expect("a list").clone()
    }

    /// A screenshot of the whole page (PNG), with this width.
    ///
    /// # Panics
    ///
    /// When chromedriver returns no image.
    pub async fn picture(&self, width: usize) -> Vec<u8> {
        self.resize(width, 800).await;
        let height = self.value("document.documentElement.scrollHeight").await;
        self.resize(
            width,
            usize::try_from(height.as_u64().expect("pixels")).expect("few"),
        )
        .await;
        let picture = self.command("Page.captureScreenshot", json!({})).await;
        let text = picture["data"].as_str().expect("a picture");
        BASE64_STANDARD.decode(text).expect("base64")
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(format!("/session{}{path}", self.session))
            .header("host", self.driver.to_string())
            .body(Full::<Bytes>::from(body.to_string()))
            .expect("a request");
        let answer = failsafe("chromedriver to answer", send(self.driver, request)).await;
        let mut document: Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert!(answer.status().is_success(), "{path}: {document}");
        document["value"].take()
    }
}

impl Drop for Browser {
    /// Ends the browser through its driver, so that neither writes to their folder when it is removed. A driver
    /// that has ended already needs nothing.
    fn drop(&mut self) {
        let ended = TcpStream::connect(self.driver).and_then(|mut stream| {
            stream.set_read_timeout(Some(FAILSAFE))?;
            let (session, host) = (&self.session, self.driver);
            write!(
                stream,
                "DELETE /session{session} HTTP/1.1\r\nhost: {host}\r\n\r\n"
            )?;
            stream.read(&mut [0])
        });
        drop(ended);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("no more than seconds")
}
