//! A daemon that a test plays for the real parsecctl: answers by a script, and remembers what it
//! was asked.
//!
//! For what a real daemon refuses to send or does not do at will: hostile text in every field, half
//! a line, another protocol; to go away between two events, to be older or newer, to refuse once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, IoSliceMut, Read, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use parsec_protocol::control::{Problem, ProblemKind, SOCKET_DIRECTORY, SOCKET_NAME, method};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ctl::{self, Said};
use crate::device::private_folder;

/// What the fake daemon does with one request.
#[derive(Debug, Clone)]
pub struct Reply {
    answer: Answer,
    /// Whole notifications, sent after the answer.
    told: Vec<Value>,
    hangs_up: bool,
    /// What goes into the descriptor that came with the request; read to its end otherwise.
    contents: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Answer {
    Result(Value),
    Error(Value),
    /// Bytes that need not be an answer at all.
    Raw(Vec<u8>),
}

impl Reply {
    const fn with(answer: Answer) -> Self {
        Self { answer, told: Vec::new(), hangs_up: false, contents: None }
    }

    /// A result.
    #[must_use]
    pub const fn result(result: Value) -> Self {
        Self::with(Answer::Result(result))
    }

    /// A problem of the local API.
    #[must_use]
    pub fn problem(kind: ProblemKind, message: &str) -> Self {
        let problem = Problem::new(kind, message);
        let code = if kind == ProblemKind::UnknownMethod { -32_601 } else { -32_000 };
        Self::with(Answer::Error(json!({ "code": code, "message": message, "data": problem })))
    }

    /// A problem as it stands in an error's `data`, whatever that is.
    #[must_use]
    pub fn problem_data(data: Value) -> Self {
        Self::with(Answer::Error(json!({ "code": -32_000, "message": data["message"], "data": data })))
    }

    /// That there is no such method, as a daemon says that knows no problems either.
    #[must_use]
    pub fn unknown() -> Self {
        Self::with(Answer::Error(json!({ "code": -32_601, "message": "Method not found" })))
    }

    /// These bytes, and the connection's end.
    #[must_use]
    pub const fn raw(bytes: Vec<u8>) -> Self {
        Self { answer: Answer::Raw(bytes), told: Vec::new(), hangs_up: true, contents: None }
    }

    /// And then this notification of the first subscription.
    #[must_use]
    pub fn then(self, method: &str, item: Value) -> Self {
        let params = json!({ "subscription": 1, "result": item });
        self.then_line(json!({ "jsonrpc": "2.0", "method": method, "params": params }))
    }

    /// And then this notification as it stands.
    #[must_use]
    pub fn then_line(mut self, notification: Value) -> Self {
        self.told.push(notification);
        self
    }

    /// After these bytes were written to the descriptor that came with the request.
    #[must_use]
    pub fn writing(mut self, contents: &[u8]) -> Self {
        self.contents = Some(contents.to_vec());
        self
    }

    /// And then the connection ends.
    #[must_use]
    pub const fn hang_up(mut self) -> Self {
        self.hangs_up = true;
        self
    }
}

/// One call.
#[derive(Debug)]
struct Call {
    method: String,
    parameters: Value,
    /// What was read from the descriptor that came with it.
    contents: Option<Vec<u8>>,
}

/// All calls, in order.
type Asked = Arc<Mutex<Vec<Call>>>;

/// The fake daemon. Ends with the value.
#[derive(Debug)]
pub struct FakeDaemon {
    asked: Asked,
    ends: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
    runtime: PathBuf,
    /// Removed with it, unless the test has the folder.
    folder: Option<TempDir>,
}

impl FakeDaemon {
    /// Listens in a runtime folder of its own. The script gets the method, its parameters, and how
    /// often that method was asked before.
    ///
    /// # Panics
    /// If the system refuses a socket.
    #[must_use]
    pub fn start(script: impl Fn(&str, &Value, usize) -> Reply + Send + Sync + 'static) -> Self {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
        let runtime = folder.path().to_owned();
        let mut daemon = Self::start_in(&runtime, script);
        daemon.folder = Some(folder);
        daemon
    }

    /// Listens where the daemon of this runtime folder would.
    ///
    /// # Panics
    /// If the system refuses a socket.
    #[must_use]
    pub fn start_in(
        runtime: &Path,
        script: impl Fn(&str, &Value, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let path = socket(runtime);
        private_folder(&runtime.join(SOCKET_DIRECTORY));
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
        Self { asked, ends, accepting: Some(accepting), runtime: runtime.to_owned(), folder: None }
    }

    /// `$XDG_RUNTIME_DIR` for its clients.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// A place for a file of the test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.runtime.join(name)
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
        asked.iter().filter(|call| call.method == method).map(|call| call.parameters.clone()).collect()
    }

    /// What was read from the descriptors that came with requests, in order.
    #[must_use]
    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.asked.lock().unwrap().iter().filter_map(|call| call.contents.clone()).collect()
    }
}

fn socket(runtime: &Path) -> PathBuf {
    runtime.join(SOCKET_DIRECTORY).join(SOCKET_NAME)
}

/// A connection, and the descriptor that came with what was read last.
struct Passed<'a> {
    stream: &'a UnixStream,
    descriptor: Option<OwnedFd>,
}

impl Read for Passed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(buffer)];
        let received = recvmsg(self.stream, into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptor = descriptors.last();
            }
        }
        Ok(received.bytes)
    }
}

fn serve(stream: &UnixStream, script: &impl Fn(&str, &Value, usize) -> Reply, asked: &Asked) {
    let mut writer = stream;
    let mut reader = BufReader::new(Passed { stream, descriptor: None });
    loop {
        let mut line = String::new();
        // A client that hangs up with something unread resets the connection.
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let descriptor = reader.get_mut().descriptor.take();
        let request: Value = serde_json::from_str(&line).unwrap();
        let name = request["method"].as_str().unwrap().to_owned();
        let before = {
            let mut asked = asked.lock().unwrap();
            let before = asked.iter().filter(|call| call.method == name).count();
            let parameters = request["params"].clone();
            asked.push(Call { method: name.clone(), parameters, contents: None });
            before
        };
        let reply = script(&name, &request["params"], before);
        if let Some(mut file) = descriptor.map(File::from) {
            match &reply.contents {
                // Who reads may have gone away.
                Some(contents) => drop(file.write_all(contents)),
                None => {
                    let mut contents = Vec::new();
                    file.read_to_end(&mut contents).unwrap();
                    asked.lock().unwrap().last_mut().unwrap().contents = Some(contents);
                }
            }
        }
        let mut bytes = match reply.answer {
            Answer::Result(result) => {
                format!("{}\n", json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
                    .into_bytes()
            }
            Answer::Error(error) => {
                format!("{}\n", json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })).into_bytes()
            }
            Answer::Raw(bytes) => bytes,
        };
        for told in &reply.told {
            bytes.extend(format!("{told}\n").into_bytes());
        }
        // The client may hang up in the middle; that is its right.
        if writer.write_all(&bytes).is_err() || reply.hangs_up {
            return;
        }
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the one that accepts. Where its socket was removed under it, it can't be woken, and
        // a test must not wait for it.
        let woken = UnixStream::connect(socket(&self.runtime)).is_ok();
        if let Some(accepting) = self.accepting.take().filter(|_| woken) {
            let ended = accepting.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the fake daemon failed");
        }
    }
}

/// What a daemon of this version says first.
#[must_use]
pub fn hello() -> Reply {
    Reply::result(json!({
        "version": env!("CARGO_PKG_VERSION"), "api_version": parsec_protocol::control::API_VERSION,
        "api_oldest": "2.0", "socket": "user", "token": null, "methods": []
    }))
}

/// A script's answer to what it has nothing to say about.
#[must_use]
pub fn otherwise(name: &str) -> Reply {
    if name == method::HELLO { hello() } else { Reply::problem(ProblemKind::UnknownMethod, "no such method") }
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
