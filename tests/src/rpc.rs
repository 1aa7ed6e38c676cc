//! A small JSON-RPC client over the daemon's socket, one object a line. Independent of the one in
//! parsecctl, so that each can find the other's mistakes.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A call that takes longer than this has hung. Unlocking needs about a second; the rest is for a
/// busy machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Why there was no result.
#[derive(Debug)]
pub enum Failed {
    /// The daemon said why.
    Problem(Box<Problem>),
    /// The daemon went away.
    Gone,
}

impl Failed {
    /// The stable name, if the daemon gave one.
    #[must_use]
    pub fn name(&self) -> Option<ProblemKind> {
        match self {
            Self::Problem(problem) => Some(problem.name),
            Self::Gone => None,
        }
    }
}

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    next: u64,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`Failed::Gone`] if nobody listens.
    pub fn connect(socket: &Path) -> Result<Self, Failed> {
        let writer = UnixStream::connect(socket).map_err(|_| Failed::Gone)?;
        writer.set_read_timeout(Some(DEADLINE)).unwrap();
        Ok(Self { reader: BufReader::new(writer.try_clone().unwrap()), writer, next: 1 })
    }

    /// Calls a method. Parameters are an object; `()` stands for none.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn call<R: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: impl Serialize,
    ) -> Result<R, Failed> {
        let id = self.send(method, parameters)?;
        self.answer(method, id)
    }

    /// Waits for the answer to a request.
    fn answer<R: DeserializeOwned>(&mut self, method: &str, id: u64) -> Result<R, Failed> {
        loop {
            let answer = self.line()?;
            if answer.get("id").and_then(Value::as_u64) != Some(id) {
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(Failed::Problem(Box::new(problem(error)))),
                None => Ok(serde_json::from_value(answer["result"].clone())
                    .unwrap_or_else(|error| panic!("{method} answered {answer}: {error}"))),
            };
        }
    }

    /// Calls a method with an open file, which comes in the message that ends the request's line.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn call_with<R: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: impl Serialize,
        file: BorrowedFd<'_>,
    ) -> Result<R, Failed> {
        let id = self.next;
        self.next += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": parameters});
        self.writer.write_all(request.to_string().as_bytes()).map_err(|_| Failed::Gone)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let files = [file];
        assert!(beside.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(&self.writer, &[IoSlice::new(b"\n")], &mut beside, SendFlags::NOSIGNAL)
            .map_err(|_| Failed::Gone)?;
        self.answer(method, id)
    }

    /// Sends a request; returns its id.
    fn send(&mut self, method: &str, parameters: impl Serialize) -> Result<u64, Failed> {
        let id = self.next;
        self.next += 1;
        let mut parameters = serde_json::to_value(parameters).unwrap();
        if parameters.is_null() {
            parameters = json!({});
        }
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": parameters});
        writeln!(self.writer, "{request}").map_err(|_| Failed::Gone)?;
        Ok(id)
    }

    /// The next object the daemon sends, whatever it is.
    ///
    /// # Errors
    /// [`Failed::Gone`] when the daemon has closed the connection.
    pub fn line(&mut self) -> Result<Value, Failed> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err(Failed::Gone),
            Ok(_) => Ok(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the daemon said nothing for {DEADLINE:?}")
            }
            Err(_) => Err(Failed::Gone),
        }
    }

    /// Something cuts this connection from outside: for the thread that reads it to notice that
    /// nobody listens any more.
    #[must_use]
    pub fn handle(&self) -> UnixStream {
        self.writer.try_clone().unwrap()
    }

    /// Waits for lines without a deadline: for subscriptions, where silence is no fault.
    pub fn patient(&self) {
        self.writer.set_read_timeout(None).unwrap();
    }
}

fn problem(error: &Value) -> Problem {
    match serde_json::from_value(error["data"].clone()) {
        Ok(problem) => problem,
        Err(why) => panic!("an error without a problem: {error}: {why}"),
    }
}
