//! The way to the daemon: one JSON object a line over its Unix socket, one call at a time, and what
//! it tells by itself.
//!
//! Decides framing and how answers and notifications are told apart. Refuses a line longer than the
//! contract allows while it is being read, an answer to something else than was asked, a socket
//! that another user answers, and to wait for a daemon that is stopped or hangs (`alive`): work may
//! take long, a sign of life may not.

mod alive;
mod passing;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parsec_protocol::control::{
    API_VERSION, CeremonyId, CeremonySelector, CeremonyView, EventPosition, EventsWatch, Hello, HelloResult,
    LINE_MAX_BYTES, Problem, ProblemKind, SOCKET_DIRECTORY, SOCKET_NAME, method,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

pub(crate) use alive::QUIET;

use crate::failure::{Failure, Report};

/// Bytes asked of the socket at once; most lines fit.
const READ_BYTES: usize = 16 * 1024;
/// Ceremony states kept until they are asked for. A ceremony has some twenty; if more pile up, the
/// oldest can go, because each is the whole state.
const CHANGES_MAX: usize = 256;
/// Events kept until they are asked for: twice what the daemon itself keeps for a reader that comes
/// back. If more pile up, the oldest go, and the ids of the others show it.
const ITEMS_MAX: usize = 2_048;
/// JSON-RPC 2.0: the daemon doesn't know the method.
const METHOD_NOT_FOUND: i64 = -32_601;
/// JSON-RPC 2.0: it knows the method and not these parameters, or can't read the request.
const INVALID: [i64; 3] = [-32_602, -32_600, -32_700];

/// A connection to the daemon.
pub(crate) struct Connection {
    stream: UnixStream,
    /// Where it was opened: to ask there, on another connection, whether the daemon still lives.
    place: Option<PathBuf>,
    /// The answer itself is bounded, too: see [`Self::timeout`].
    bounded: bool,
    /// Received and not yet read as lines. Answers can hold links, so it is wiped.
    received: Zeroizing<Vec<u8>>,
    last_id: u64,
    changes: VecDeque<CeremonyView>,
    items: VecDeque<Value>,
}

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a P,
}

/// Whatever the daemon sends: an answer if it has an `id`, else a notification.
#[derive(Deserialize)]
struct Incoming<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<RpcError>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    message: String,
    data: Option<Value>,
}

#[derive(Deserialize)]
struct Notified<T> {
    result: T,
}

/// Where the daemon listens unless told otherwise.
///
/// # Errors
/// `$XDG_RUNTIME_DIR` is unset, as in a session that is none.
pub(crate) fn default_socket() -> Result<PathBuf, Failure> {
    let variable = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let why = match variable {
        Some(dir) if Path::new(&dir).is_absolute() => {
            return Ok(PathBuf::from(dir).join(SOCKET_DIRECTORY).join(SOCKET_NAME));
        }
        Some(dir) => format!("XDG_RUNTIME_DIR is {}, which is no absolute path", Path::new(&dir).display()),
        None => "XDG_RUNTIME_DIR is not set".to_owned(),
    };
    let text = format!("{why}, so the daemon's socket can't be found");
    Err(Failure::Report(
        Report::from(Problem::new(ProblemKind::DaemonUnreachable, text))
            .with_hint("Log in to a proper session, or name the daemon's socket with --socket PATH."),
    ))
}

impl Connection {
    /// Connects to the daemon at `path`.
    ///
    /// # Errors
    /// `daemon_unreachable`; `access_denied` if the one that answers is another user: a password
    /// must not go there.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let place = path.display();
        let stream = alive::connect(path).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "it is not running (there is no socket)".to_owned(),
                io::ErrorKind::ConnectionRefused => {
                    "it is not running (nobody answers at the socket)".to_owned()
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    "it takes no connection: it is stopped, or hangs".to_owned()
                }
                io::ErrorKind::PermissionDenied => "the socket belongs to another user".to_owned(),
                _ => error.to_string(),
            };
            let message = format!("The daemon can't be reached at {place}: {why}");
            let failure = Failure::new(ProblemKind::DaemonUnreachable, message);
            match alive::remedy(path, &error) {
                Some(remedy) => failure.advised(&remedy),
                None => failure,
            }
        })?;
        let peer = rustix::net::sockopt::socket_peercred(&stream)
            .map_err(|error| Failure::new(ProblemKind::DaemonUnreachable, error.to_string()))?;
        if peer.uid == rustix::process::geteuid() {
            alive::bound(&stream).map_err(|error| gone(&error.to_string()))?;
            Ok(Self { place: Some(path.to_owned()), ..Self::over(stream) })
        } else {
            let failure = Failure::new(
                ProblemKind::AccessDenied,
                format!("The program that answers at {place} runs as another user ({})", peer.uid.as_raw()),
            );
            Err(match alive::foreign_runtime(path) {
                Some(remedy) => failure.advised(&remedy),
                None => failure,
            })
        }
    }

    /// Speaks over an open stream.
    pub(crate) fn over(stream: UnixStream) -> Self {
        Self {
            stream,
            place: None,
            bounded: false,
            received: Zeroizing::default(),
            last_id: 0,
            changes: VecDeque::new(),
            items: VecDeque::new(),
        }
    }

    /// Waits for answers no longer than this. A daemon that hangs must not hang who examines it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn timeout(&mut self, wait: Duration) -> Result<(), Failure> {
        self.bounded = true;
        self.stream.set_read_timeout(Some(wait)).map_err(|error| gone(&error.to_string()))
    }

    /// The socket, to wait on together with a terminal.
    pub(crate) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Asks and waits for the answer. Ceremony changes that come in between are kept for
    /// [`Self::change`].
    ///
    /// # Errors
    /// The daemon's problem; `daemon_unreachable` if it goes away; `internal` if its answer is not
    /// one.
    pub(crate) fn call<P: Serialize, R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &P,
    ) -> Result<R, Failure> {
        let asked = self.write(method, params)?;
        self.send(b"\n")?;
        self.answer(method, asked)
    }

    /// Writes a request without the end of its line; its number.
    fn write<P: Serialize>(&mut self, method: &str, params: &P) -> Result<u64, Failure> {
        self.last_id += 1;
        let asked = self.last_id;
        let mut line = Zeroizing::new(Vec::new());
        serde_json::to_writer(&mut *line, &Request { jsonrpc: "2.0", id: asked, method, params })
            .map_err(|error| Failure::new(ProblemKind::Internal, error.to_string()))?;
        self.send(&line)?;
        Ok(asked)
    }

    /// Waits for the answer to a request.
    fn answer<R: DeserializeOwned>(&mut self, method: &str, asked: u64) -> Result<R, Failure> {
        loop {
            while let Some(line) = self.line() {
                if let Some(answer) = self.take(&line, asked)? {
                    return serde_json::from_str(answer.get())
                        .map_err(|error| nonsense(&format!("{method}: {error}")));
                }
            }
            self.receive()?;
        }
    }

    /// Writes a whole line. A daemon that reads nothing for a while is asked whether it lives.
    fn send(&mut self, line: &[u8]) -> Result<(), Failure> {
        let mut rest = line;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(gone("it takes nothing more")),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.check_alive()?,
                Err(error) => return Err(gone(&error.to_string())),
            }
        }
        Ok(())
    }

    /// Asks, on a connection of its own, whether the daemon still answers anybody. For whoever
    /// waits long.
    ///
    /// # Errors
    /// `daemon_unreachable`, with the process and what to do about it.
    pub(crate) fn check_alive(&self) -> Result<(), Failure> {
        match &self.place {
            Some(place) => alive::check(place, &self.stream),
            None => Ok(()),
        }
    }

    /// Says who asks, and hears what the daemon is. `None`: an older one, which has no such call
    /// and works with this program all the same.
    ///
    /// # Errors
    /// `api_mismatch` if either side is of another generation; as [`Self::call`].
    pub(crate) fn greet(&mut self) -> Result<Option<HelloResult>, Failure> {
        let hello = Hello {
            client: Some(concat!("parsecctl/", env!("CARGO_PKG_VERSION")).to_owned()),
            api: Some(API_VERSION.to_owned()),
            token: None,
        };
        // Whatever the daemon is busy with, this it answers at once.
        let answer = self.call::<_, HelloResult>(method::HELLO, &hello);
        match answer {
            Ok(result) if major(&result.api_version) == major(API_VERSION) => Ok(Some(result)),
            Ok(result) => Err(Failure::new(
                ProblemKind::ApiMismatch,
                format!(
                    "The daemon speaks version {} of the local interface, this program {API_VERSION}",
                    result.api_version
                ),
            )),
            Err(Failure::Report(report)) if report.is(ProblemKind::UnknownMethod) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Follows what happens in the daemon, from `after` on or from now on.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) fn follow(&mut self, after: Option<EventPosition>) -> Result<(), Failure> {
        self.call::<_, Value>(method::EVENTS_WATCH, &EventsWatch { after }).map(drop)
    }

    /// The next event already received, if any, as the daemon wrote it: a newer one may have kinds
    /// unknown here.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) fn item(&mut self) -> Result<Option<Value>, Failure> {
        self.sort()?;
        Ok(self.items.pop_front())
    }

    /// Follows a ceremony from its present state on.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) fn watch(&mut self, ceremony: CeremonyId) -> Result<(), Failure> {
        // The subscription's id is of no use to a connection that has one subscription and ends
        // with it.
        self.call::<_, Value>(method::CEREMONY_WATCH, &CeremonySelector { ceremony }).map(drop)
    }

    /// The next change already received, if any.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) fn change(&mut self) -> Result<Option<CeremonyView>, Failure> {
        self.sort()?;
        Ok(self.changes.pop_front())
    }

    /// The next change already received that is newer than `revision`, if any. Older ones are gone
    /// then: whoever waits for the socket because there is nothing new must not leave anything new
    /// behind.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) fn newer(&mut self, revision: u64) -> Result<Option<CeremonyView>, Failure> {
        while let Some(view) = self.change()? {
            if view.revision > revision {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    /// Sorts all lines that are there; none can be an answer.
    fn sort(&mut self) -> Result<(), Failure> {
        while let Some(line) = self.line() {
            if self.take(&line, 0)?.is_some() {
                return Err(nonsense("an answer that was not asked for"));
            }
        }
        Ok(())
    }

    /// Reads what is there, waiting if there is nothing.
    ///
    /// # Errors
    /// `daemon_unreachable`, `too_large`.
    pub(crate) fn receive(&mut self) -> Result<(), Failure> {
        let mut chunk = Zeroizing::new([0; READ_BYTES]);
        let count = loop {
            match self.stream.read(&mut *chunk) {
                Ok(0) => return Err(gone("it closed the connection")),
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.bounded => {
                    return Err(gone("it did not answer in time"));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.check_alive()?,
                Err(error) => return Err(gone(&error.to_string())),
            }
        };
        self.received.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if self.received.len() > LINE_MAX_BYTES && !self.received.contains(&b'\n') {
            return Err(Failure::new(
                ProblemKind::TooLarge,
                format!("The daemon sent a line of more than {LINE_MAX_BYTES} bytes"),
            ));
        }
        Ok(())
    }

    /// Takes one whole line out of what was received.
    fn line(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let end = self.received.iter().position(|byte| *byte == b'\n')?;
        let line = Zeroizing::new(self.received.get(..end)?.to_vec());
        self.received.drain(..=end);
        Some(line)
    }

    /// Sorts one line: the answer to `asked`, or a change to keep.
    fn take(&mut self, line: &[u8], asked: u64) -> Result<Option<Box<RawValue>>, Failure> {
        let text = std::str::from_utf8(line).map_err(|_| nonsense("a line that is not UTF-8"))?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let incoming: Incoming<'_> =
            serde_json::from_str(text).map_err(|error| nonsense(&error.to_string()))?;
        if let Some(error) = incoming.error {
            return Err(Failure::Report(report(error)));
        }
        match (incoming.id, incoming.method) {
            (Some(id), None) if id == asked => {
                Ok(Some(incoming.result.map_or_else(|| RawValue::NULL.to_owned(), ToOwned::to_owned)))
            }
            (None, Some(method)) if method == method::CEREMONY_CHANGED => {
                keep(&mut self.changes, CHANGES_MAX, incoming.params, &method)?;
                Ok(None)
            }
            (None, Some(method)) if method == method::EVENTS_ITEM => {
                keep(&mut self.items, ITEMS_MAX, incoming.params, &method)?;
                Ok(None)
            }
            // A newer daemon may notify of things this program doesn't know.
            (None, Some(_)) => Ok(None),
            _ => Err(nonsense("an answer to another question")),
        }
    }
}

/// Keeps what a subscription tells; the oldest makes room for the newest.
fn keep<T: DeserializeOwned>(
    kept: &mut VecDeque<T>,
    most: usize,
    params: Option<&RawValue>,
    method: &str,
) -> Result<(), Failure> {
    let params = params.map_or("null", RawValue::get);
    let notified: Notified<T> =
        serde_json::from_str(params).map_err(|error| nonsense(&format!("{method}: {error}")))?;
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(notified.result);
    Ok(())
}

/// `1` of `1.4`.
fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

/// The problem in an error's `data`; without one, what the code says.
fn report(error: RpcError) -> Report {
    let kind = match error.code {
        METHOD_NOT_FOUND => ProblemKind::UnknownMethod,
        code if INVALID.contains(&code) => ProblemKind::InvalidRequest,
        _ => ProblemKind::Internal,
    };
    error
        .data
        .and_then(|data| serde_json::from_value(data).ok())
        .unwrap_or_else(|| Problem::new(kind, error.message).into())
}

fn gone(why: &str) -> Failure {
    Failure::new(ProblemKind::DaemonUnreachable, format!("The daemon went away: {why}"))
}

fn nonsense(what: &str) -> Failure {
    Failure::new(ProblemKind::Internal, format!("The daemon sent something unexpected: {what}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::{BufRead as _, BufReader};

    use parsec_protocol::control::{Action, Empty, Stage, StatusResult, StreamId};

    use super::*;

    const VIEW: &str = r#"{"id":7,"revision":REV,"role":"greeter","organisation":"acme","subject":null,"token":null,
        "invited_by":null,"attempt":null,"stage":"connecting","allowed":["cancel"],"say":null,"choices":[],
        "typed_required":false,"claimer":null,"outcome":null,"note":null}"#;

    fn changed(revision: u64) -> String {
        let view = VIEW.replace("REV", &revision.to_string()).replace('\n', "");
        format!(
            r#"{{"jsonrpc":"2.0","method":"ceremony.changed","params":{{"subscription":1,"result":{view}}}}}"#
        )
    }

    /// Runs `ask` against a daemon that reads one request and then sends `reply`, in pieces of
    /// `piece` bytes.
    fn against<T: Send>(
        reply: &str,
        piece: usize,
        ask: impl FnOnce(&mut Connection) -> T + Send,
    ) -> (String, T) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            let daemon = scope.spawn(move || {
                let mut request = String::new();
                BufReader::new(&theirs).read_line(&mut request).unwrap();
                for bytes in reply.as_bytes().chunks(piece) {
                    // The client may have refused and hung up already.
                    let _sent = (&theirs).write_all(bytes);
                }
                request
            });
            let mut connection = Connection::over(ours);
            let answer = ask(&mut connection);
            drop(connection);
            (daemon.join().unwrap(), answer)
        })
    }

    fn status(connection: &mut Connection) -> Result<StatusResult, Failure> {
        connection.call(method::STATUS, &Empty {})
    }

    #[test]
    fn a_descriptor_comes_with_the_end_of_its_request_and_with_nothing_else() {
        use std::mem::MaybeUninit;
        use std::os::fd::{AsFd as _, OwnedFd};

        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

        /// Reads a byte; the descriptor that came with it.
        fn byte(stream: &UnixStream) -> (u8, Option<OwnedFd>) {
            let (mut byte, mut space) = ([0], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))]);
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let into = &mut [io::IoSliceMut::new(&mut byte)];
            let received = recvmsg(stream, into, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
            assert_eq!(received.bytes, 1);
            let passed = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut descriptors) => {
                    let first = descriptors.next();
                    assert!(descriptors.next().is_none(), "one and no more");
                    first
                }
                _ => None,
            });
            (byte[0], passed)
        }

        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut line = Vec::new();
                let passed = loop {
                    let (read, passed) = byte(&theirs);
                    line.push(read);
                    if read == b'\n' {
                        break passed.unwrap();
                    }
                    assert!(passed.is_none(), "before the line's end");
                };
                let request: Value = serde_json::from_slice(&line).unwrap();
                assert_eq!(request["method"], method::FILE_GET);
                std::fs::File::from(passed).write_all(b"contents").unwrap();
                (&theirs).write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7}\n").unwrap();
            });
            let mut connection = Connection::over(ours);
            let answer = connection.call_with::<_, u8>(method::FILE_GET, &Empty {}, writer.as_fd());
            assert_eq!(answer, Ok(7));
            drop(writer);
            let mut contents = String::new();
            BufReader::new(reader).read_to_string(&mut contents).unwrap();
            assert_eq!(contents, "contents");
        });
    }

    fn name_of(failure: Failure) -> String {
        match failure {
            Failure::Report(report) => report.name,
            other => panic!("{other:?}"),
        }
    }

    const STATUS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"version":"1","api_version":"2.0","pid":2,"devices":[],"ceremonies":[]}}"#;

    /// The first change of a subscription is what is known already, and the next may come with it.
    #[test]
    fn what_is_known_already_does_not_hide_what_is_new() {
        let reply = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}}\n{}\n{}\n{}\n",
            changed(3),
            changed(4),
            changed(5)
        );
        let (_, (first, second, third)) = against(&reply, reply.len(), |connection| {
            connection.watch(CeremonyId(7)).unwrap();
            let mut next = |known| connection.newer(known).unwrap().map(|view| view.revision);
            (next(3), next(4), next(5))
        });
        assert_eq!((first, second, third), (Some(4), Some(5), None));
    }

    #[test]
    fn a_call_is_one_line_and_its_answer_may_come_in_pieces() {
        for piece in [1, 2, 7, 100_000] {
            let (request, answer) = against(&format!("\n{STATUS}\n"), piece, status);
            assert_eq!(request, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status.show\",\"params\":{}}\n");
            assert_eq!(answer.unwrap().pid, 2);
        }
    }

    #[test]
    fn changes_that_come_before_the_answer_are_kept_in_order() {
        let reply = format!(
            "{}\n{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"sub-1\"}}\n{}\n{{\"jsonrpc\":\"2.0\",\"method\":\"x.new\",\"params\":1}}\n{}\n",
            changed(1),
            changed(2),
            changed(3)
        );
        let (_, revisions) = against(&reply, 50, |connection| {
            connection.watch(CeremonyId(7)).unwrap();
            let mut seen = Vec::new();
            while seen.len() < 3 {
                match connection.change().unwrap() {
                    Some(view) => seen.push(view.revision),
                    None => connection.receive().unwrap(),
                }
            }
            seen
        });
        assert_eq!(revisions, [1, 2, 3]);
    }

    fn greeting(api: &str) -> Result<bool, u8> {
        let reply = format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"version":"9.9.9","api_version":"{api}","api_oldest":"2.0","socket":"user","token":null,"methods":[],"moon":1}}}}"#
        );
        let (request, answer) = against(&(reply + "\n"), 1000, Connection::greet);
        assert!(request.contains(r#""method":"rpc.hello""#) && request.contains(API_VERSION), "{request}");
        answer.map(|hello| hello.is_some()).map_err(|failure| failure.exit_code())
    }

    #[test]
    fn a_daemon_of_another_generation_is_not_spoken_to() {
        assert_eq!(greeting("2.0"), Ok(true));
        assert_eq!(greeting("2.99"), Ok(true));
        for other in ["1.3", "3.0", "0.9", "12.0", ""] {
            assert_eq!(greeting(other), Err(64), "{other:?}");
        }
    }

    #[test]
    fn a_daemon_that_is_older_than_the_greeting_is_spoken_to_all_the_same() {
        let reply = "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"m\"}}\n";
        assert!(against(reply, 1000, Connection::greet).1.unwrap().is_none());
    }

    #[test]
    fn events_are_kept_as_they_came_and_in_order() {
        let item = |id: u64| {
            format!(
                r#"{{"jsonrpc":"2.0","method":"events.item","params":{{"subscription":1,"result":{{"kind":"rain","id":{id}}}}}}}"#
            )
        };
        let reply = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}}\n{}\n{}\n", item(4), item(5));
        let (request, items) = against(&reply, 30, |connection| {
            connection.follow(Some(EventPosition { stream: StreamId("ab".into()), id: 3 })).unwrap();
            let mut seen = Vec::new();
            while seen.len() < 2 {
                match connection.item().unwrap() {
                    Some(item) => seen.push(item),
                    None => connection.receive().unwrap(),
                }
            }
            seen
        });
        assert!(request.contains(r#""params":{"after":{"stream":"ab","id":3}}"#), "{request}");
        assert_eq!(items, [4, 5].map(|id| serde_json::json!({ "kind": "rain", "id": id })));
    }

    #[test]
    fn a_daemon_that_hangs_is_not_waited_for_without_end() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::over(ours);
        connection.timeout(Duration::from_millis(1)).unwrap();
        assert_eq!(name_of(status(&mut connection).unwrap_err()), "daemon_unreachable");
    }

    #[test]
    fn a_problem_of_the_future_ends_with_the_exit_code_it_came_with() {
        let reply = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"m","data":{"name":"moon_too_full","message":"m","fault":"moon","hint":"h.","retryable":true,"exit_code":75}}}"#;
        let failure = against(&format!("{reply}\n"), 1000, status).1.unwrap_err();
        assert_eq!(failure.exit_code(), 75);
        assert_eq!(name_of(failure), "moon_too_full");
    }

    #[test]
    fn a_stage_of_the_future_does_not_end_a_ceremony() {
        let reply = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}}\n{}\n",
            changed(1).replace("connecting", "dancing").replace("\"cancel\"", "\"dance\",\"cancel\"")
        );
        let (_, view) = against(&reply, 1000, |connection| {
            connection.watch(CeremonyId(7)).unwrap();
            loop {
                match connection.change().unwrap() {
                    Some(view) => break view,
                    None => connection.receive().unwrap(),
                }
            }
        });
        assert_eq!(view.stage, Stage::Unknown);
        assert_eq!(view.allowed, [Action::Unknown, Action::Cancel]);
    }

    #[test]
    fn a_problem_keeps_its_name_and_exit_code() {
        let problem = Problem::new(ProblemKind::CodeMismatch, "m");
        let reply = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{{\"code\":-32000,\"message\":\"m\",\"data\":{}}}}}\n",
            serde_json::to_string(&problem).unwrap()
        );
        let failure = against(&reply, 1000, status).1.unwrap_err();
        assert_eq!(failure, Failure::Report(problem.into()));
        assert_eq!(failure.exit_code(), 76);
    }

    #[test]
    fn an_error_without_a_problem_is_told_by_its_code() {
        for (code, name) in [(-32_601, "unknown_method"), (-32_602, "invalid_request"), (-1, "internal")] {
            let reply =
                format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{{\"code\":{code},\"message\":\"m\"}}}}\n");
            assert_eq!(name_of(against(&reply, 1000, status).1.unwrap_err()), name);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for (reply, name) in [
            ("", "daemon_unreachable"),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,\"resu", "daemon_unreachable"),
            ("hello\n", "internal"),
            ("\u{fffd}\n", "internal"),
            ("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n", "internal"),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n", "internal"),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}\n", "internal"),
            ("[]\n", "internal"),
        ] {
            assert_eq!(name_of(against(reply, 1000, status).1.unwrap_err()), name, "{reply:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut_at_the_cap() {
        let endless = "x".repeat(LINE_MAX_BYTES + 2 * READ_BYTES);
        assert_eq!(name_of(against(&endless, 65_536, status).1.unwrap_err()), "too_large");
    }

    #[test]
    fn a_flood_of_changes_keeps_the_newest() {
        let flood: String =
            (1..=(CHANGES_MAX as u64 + 10)).map(|revision| changed(revision) + "\n").collect();
        let (_, first) = against(&(flood + STATUS + "\n"), 100_000, |connection| {
            status(connection).unwrap();
            connection.change().unwrap().unwrap().revision
        });
        assert_eq!(first, 11);
    }

    #[test]
    fn no_daemon_says_so_with_a_remedy() {
        let failure = Connection::open(Path::new("/nonexistent/parsecd.sock")).err().unwrap();
        assert_eq!(failure.exit_code(), 69);
    }
}
