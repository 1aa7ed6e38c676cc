//! A daemon that a test plays for the real parsecctl: answers by a script, and remembers what it was asked.
//!
//! For what a real daemon does not do at will: go away between two events, be older or newer, refuse once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use parsec_protocol::control::{Problem, ProblemKind, SOCKET_DIRECTORY, SOCKET_NAME, method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ctl::{self, Said};
use crate::terminal::private_folder;

/// What the played daemon does with one request.
#[derive(Debug)]
pub struct Reply {
    answer: Result<Value, Value>,
    told: Vec<(&'static str, Value)>,
    hangs_up: bool,
}

impl Reply {
    /// A result.
    #[must_use]
    pub const fn result(result: Value) -> Self {
        Self { answer: Ok(result), told: Vec::new(), hangs_up: false }
    }

    /// A problem.
    #[must_use]
    pub fn problem(kind: ProblemKind, message: &str) -> Self {
        let problem = Problem::new(kind, message);
        let code = if kind == ProblemKind::UnknownMethod { -32_601 } else { -32_000 };
        let error = json!({ "code": code, "message": message, "data": problem });
        Self { answer: Err(error), told: Vec::new(), hangs_up: false }
    }

    /// And then this notification.
    #[must_use]
    pub fn then(mut self, method: &'static str, item: Value) -> Self {
        self.told.push((method, item));
        self
    }

    /// And then the connection ends.
    #[must_use]
    pub const fn hang_up(mut self) -> Self {
        self.hangs_up = true;
        self
    }
}

/// Method and parameters.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// The played daemon. Ends with the value.
#[derive(Debug)]
pub struct Played {
    asked: Asked,
    ends: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
    folder: TempDir,
}

impl Played {
    /// Listens. The script gets the method, its parameters, and how often that method was asked before.
    ///
    /// # Panics
    /// If the system refuses a socket.
    #[must_use]
    pub fn start(script: impl Fn(&str, &Value, usize) -> Reply + Send + Sync + 'static) -> Self {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
        let place = folder.path().join(SOCKET_DIRECTORY);
        private_folder(&place);
        let path = place.join(SOCKET_NAME);
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (asked, ends) = (Asked::default(), Arc::new(AtomicBool::new(false)));
        let (heard, over) = (Arc::clone(&asked), Arc::clone(&ends));
        let accepting = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (script, heard) = (&script, &heard);
                    scope.spawn(move || serve(&stream.unwrap(), script, heard));
                }
            });
        });
        Self { asked, ends, accepting: Some(accepting), folder }
    }

    /// `$XDG_RUNTIME_DIR`.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        self.folder.path()
    }

    /// A place for a file of the test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs parsecctl to its end.
    #[must_use]
    pub fn ctl(&self, arguments: &[&str]) -> Said {
        ctl::run(self.runtime(), arguments, "")
    }

    /// The parameters of every call of this method, in order.
    #[must_use]
    pub fn asked(&self, method: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(name, _)| name == method).map(|(_, params)| params.clone()).collect()
    }
}

fn serve(stream: &UnixStream, script: &impl Fn(&str, &Value, usize) -> Reply, asked: &Asked) {
    // A client that hangs up with something unread resets the connection.
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).unwrap();
        let name = request["method"].as_str().unwrap().to_owned();
        let before = {
            let mut asked = asked.lock().unwrap();
            let before = asked.iter().filter(|(known, _)| *known == name).count();
            asked.push((name.clone(), request["params"].clone()));
            before
        };
        let reply = script(&name, &request["params"], before);
        let mut lines = vec![match reply.answer {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }),
            Err(error) => json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }),
        }];
        lines.extend(reply.told.into_iter().map(|(name, item)| {
            json!({ "jsonrpc": "2.0", "method": name, "params": { "subscription": 1, "result": item } })
        }));
        for line in lines {
            if writeln!(&mut &*stream, "{line}").is_err() {
                return;
            }
        }
        if reply.hangs_up {
            return;
        }
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the one that accepts; if nobody does any more, so much the better.
        let _ = UnixStream::connect(self.folder.path().join(SOCKET_DIRECTORY).join(SOCKET_NAME));
        if let Some(accepting) = self.accepting.take() {
            let ended = accepting.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the played daemon failed");
        }
    }
}

/// What a daemon of this version says first.
#[must_use]
pub fn hello() -> Reply {
    Reply::result(json!({
        "version": env!("CARGO_PKG_VERSION"), "api_version": parsec_protocol::control::API_VERSION,
        "api_oldest": "1.0", "door": "own", "token": null, "methods": []
    }))
}

/// A script's answer to what it has nothing to say about.
#[must_use]
pub fn otherwise(name: &str) -> Reply {
    if name == method::HELLO { hello() } else { Reply::problem(ProblemKind::UnknownMethod, "no such method") }
}
