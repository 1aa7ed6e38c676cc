//! A daemon that is none: answers every call with what a test wants to see handled, truth or nonsense.
//!
//! For what a real daemon refuses to send: hostile text in every field, half a line, another protocol.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parsec_protocol::control::{SOCKET_DIRECTORY, SOCKET_NAME};
use serde_json::{Value, json};

use crate::terminal::private_folder;

/// What comes back for a call.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A result.
    Result(Value),
    /// A problem, as it stands in an error's `data`.
    Problem(Value),
    /// These bytes, and the connection's end.
    Raw(Vec<u8>),
    /// A result, then notifications, then the connection's end.
    Then(Value, Vec<Value>),
    /// That there is no such method, as an older daemon says.
    Unknown,
}

/// The results that docs/local-api.md shows, by method: what a real daemon answers.
#[must_use]
pub fn documented() -> BTreeMap<String, Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/local-api.md");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .filter(|line| line.starts_with(r#"{"jsonrpc""#))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let result_of = |id: &Value| lines.iter().find(|line| line["id"] == *id && line.get("result").is_some());
    lines
        .iter()
        .filter(|line| line.get("params").is_some() && line.get("id").is_some())
        .filter_map(|line| {
            Some((line["method"].as_str()?.to_owned(), result_of(&line["id"])?["result"].clone()))
        })
        .collect()
}

/// The listening impostor; ends when dropped.
#[derive(Debug)]
pub struct Impostor {
    runtime: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    /// Listens where the daemon of a runtime folder would. One connection after the other: that is how parsecctl asks.
    #[must_use]
    pub fn start(runtime: &Path, answer: impl Fn(&str) -> Reply + Send + 'static) -> Self {
        private_folder(&runtime.join(SOCKET_DIRECTORY));
        let listener = UnixListener::bind(runtime.join(SOCKET_DIRECTORY).join(SOCKET_NAME)).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if until.load(Ordering::SeqCst) {
                    return;
                }
                // The client may hang up in the middle; that is its right.
                let _ = serve(&stream, &answer);
            }
        });
        Self { runtime: runtime.to_owned(), ended, thread: Some(thread) }
    }

    /// `$XDG_RUNTIME_DIR` for its clients.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes it up. Where its socket was removed under it, it can't be woken, and a test must not wait for it.
        let woken = UnixStream::connect(self.runtime.join(SOCKET_DIRECTORY).join(SOCKET_NAME)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn serve(stream: &UnixStream, answer: &impl Fn(&str) -> Reply) -> std::io::Result<()> {
    let mut writer = stream;
    for line in BufReader::new(stream).lines() {
        let request: Value = serde_json::from_str(&line?).unwrap_or_default();
        let id = request["id"].clone();
        let reply = match answer(request["method"].as_str().unwrap_or_default()) {
            Reply::Result(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Reply::Problem(data) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": data["message"], "data": data}})
            }
            Reply::Raw(bytes) => return writer.write_all(&bytes),
            Reply::Then(result, notifications) => {
                writeln!(writer, "{}", json!({"jsonrpc": "2.0", "id": id, "result": result}))?;
                let told: String = notifications.iter().map(|told| format!("{told}\n")).collect();
                return writer.write_all(told.as_bytes());
            }
            Reply::Unknown => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}})
            }
        };
        writeln!(writer, "{reply}")?;
    }
    Ok(())
}
