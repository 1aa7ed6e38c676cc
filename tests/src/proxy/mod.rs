//! A relay under a test's control: stands before the real server and may look at, hold back, change
//! or lose any request or answer.
//!
//! Understands just enough HTTP/1.1: one request on a connection, bodies by `content-length`, event
//! streams passed through as they come, the steps that they tell aside.

mod events;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use parsec_protocol::ids::DeviceId;
use parsec_protocol::relay::HEADER_DEVICE;

/// Heads larger than this are no client of ours.
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// A request on its way to the server.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `PUT`, `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// All header lines, without the request line.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The number of the ceremony step that is deposited, if that is what the request does.
    #[must_use]
    pub fn deposits(&self) -> Option<u8> {
        (self.method == "PUT").then(|| self.step()).flatten()
    }

    /// The number of the ceremony step that is asked for, if that is what the request does.
    #[must_use]
    pub fn fetches(&self) -> Option<u8> {
        (self.method == "GET").then(|| self.step()).flatten()
    }

    fn step(&self) -> Option<u8> {
        let (before, number) = self.target.rsplit_once('/')?;
        before.ends_with("/steps").then(|| number.parse().ok()).flatten()
    }

    /// Whether it is signed with this device's key, by its own words.
    #[must_use]
    pub fn is_by(&self, device: DeviceId) -> bool {
        let named = |header: &String| {
            let (name, value) = header.split_once(':')?;
            name.eq_ignore_ascii_case(HEADER_DEVICE).then(|| value.trim() == device.to_string())
        };
        self.headers.iter().find_map(named).unwrap_or(false)
    }

    fn streams(&self) -> bool {
        self.target.split('?').next().is_some_and(|path| path.ends_with("/events"))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for header in &self.headers {
            let name = header.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !matches!(name.as_str(), "content-length" | "connection") {
                bytes.extend_from_slice(format!("{header}\r\n").as_bytes());
            }
        }
        bytes.extend_from_slice(
            format!("content-length: {}\r\nconnection: close\r\n\r\n", self.body.len()).as_bytes(),
        );
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// An answer on its way back; not an event stream.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// All header lines, without the status line.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} x\r\n", self.status).into_bytes();
        for header in &self.headers {
            let name = header.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !matches!(name.as_str(), "content-length" | "connection" | "transfer-encoding") {
                bytes.extend_from_slice(format!("{header}\r\n").as_bytes());
            }
        }
        if self.status != 204 {
            bytes.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"connection: close\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// What becomes of a request or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on, as it now is.
    Pass,
    /// The connection is cut.
    Lose,
}

/// What a test does to the traffic. May block, and may kill things: that is what it is for.
pub trait Meddler: Send + Sync {
    /// A request came; nothing has been passed on.
    fn request(&self, request: &mut Request) -> Fate {
        let _ = request;
        Fate::Pass
    }

    /// An event stream is asked for: whether all of it is collected here, and nothing handed on, as
    /// proxies do that wait for an answer's end.
    fn holds_back(&self, request: &Request) -> bool {
        let _ = request;
        false
    }

    /// The server has answered; the client has nothing yet.
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        let _ = (request, answer);
        Fate::Pass
    }

    /// A step is told on an event stream: as if it were the answer to this fetch of it. What is
    /// lost here is not told, and the client fetches it.
    fn told(&self, fetch: &Request, answer: &mut Answer) -> Fate {
        self.answer(fetch, answer)
    }
}

/// Passes everything on.
#[derive(Debug)]
pub struct Honest;

impl Meddler for Honest {}

/// The server does what a POST asks for, and nobody hears of it.
#[derive(Debug)]
pub struct NoAnswer;

impl Meddler for NoAnswer {
    fn answer(&self, request: &Request, _: &mut Answer) -> Fate {
        if request.method == "POST" { Fate::Lose } else { Fate::Pass }
    }
}

type Streams = Arc<Mutex<Vec<TcpStream>>>;

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    upstream: Arc<Mutex<SocketAddr>>,
    meddler: Arc<Mutex<Arc<dyn Meddler>>>,
    streams: Streams,
    ended: Arc<AtomicBool>,
    listener: Option<std::thread::JoinHandle<()>>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Stands before a server on this machine.
    #[must_use]
    pub fn start(upstream: SocketAddr) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let upstream = Arc::new(Mutex::new(upstream));
        let meddler: Arc<Mutex<Arc<dyn Meddler>>> = Arc::new(Mutex::new(Arc::new(Honest)));
        let streams = Streams::default();
        let ended = Arc::new(AtomicBool::new(false));
        let shared = (Arc::clone(&upstream), Arc::clone(&meddler), Arc::clone(&streams), Arc::clone(&ended));
        let listener = std::thread::spawn(move || {
            let (upstream, meddler, streams, ended) = shared;
            let mut connections = Vec::new();
            for client in socket.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(client) = client else { continue };
                let upstream = *upstream.lock().unwrap();
                let meddler = Arc::clone(&meddler.lock().unwrap());
                let streams = Arc::clone(&streams);
                connections.push(std::thread::spawn(move || {
                    let end = client.try_clone();
                    // A cut connection is what half of the tests are about. It must be seen as one:
                    // another handle of it is kept.
                    let _ = serve(client, upstream, &*meddler, &streams);
                    let _ = end.map(|end| end.shutdown(Shutdown::Both));
                }));
                connections.retain(|connection| !connection.is_finished());
            }
            cut(&streams);
            for connection in connections {
                let _ = connection.join();
            }
        });
        Self { address, upstream, meddler, streams, ended, listener: Some(listener) }
    }

    /// The address that clients are to use: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, does this to the traffic.
    pub fn meddle(&self, meddler: Arc<dyn Meddler>) {
        *self.meddler.lock().unwrap() = meddler;
    }

    /// The server moved.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        *self.upstream.lock().unwrap() = upstream;
    }

    /// Cuts every connection there is.
    pub fn cut(&self) {
        cut(&self.streams);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        cut(&self.streams);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn cut(streams: &Streams) {
    for stream in streams.lock().unwrap().drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn serve(
    mut client: TcpStream,
    upstream: SocketAddr,
    meddler: &dyn Meddler,
    streams: &Streams,
) -> std::io::Result<()> {
    keep(&client, streams)?;
    let Some(mut request) = read_request(&mut client)? else { return Ok(()) };
    if meddler.request(&mut request) == Fate::Lose {
        return client.shutdown(Shutdown::Both);
    }
    let Ok(mut server) = TcpStream::connect(upstream) else { return client.shutdown(Shutdown::Both) };
    keep(&server, streams)?;
    server.write_all(&request.bytes())?;
    if request.streams() {
        let watched = (client.try_clone()?, server.try_clone()?);
        let gone = std::thread::spawn(move || {
            // The client sends nothing more: the end of its side means that it is gone, and the
            // server shall know.
            let (mut client, server) = watched;
            let _ = client.read(&mut [0]);
            let _ = server.shutdown(Shutdown::Both);
        });
        let copied = if meddler.holds_back(&request) {
            std::io::copy(&mut server, &mut std::io::sink()).map(drop)
        } else {
            events::hand_on(&server, &mut client, &request, meddler)
        };
        let _ = client.shutdown(Shutdown::Both);
        let _ = gone.join();
        return copied;
    }
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes)?;
    let Some(mut answer) = parse_answer(&bytes) else { return client.shutdown(Shutdown::Both) };
    if meddler.answer(&request, &mut answer) == Fate::Lose {
        return client.shutdown(Shutdown::Both);
    }
    client.write_all(&answer.bytes())?;
    client.shutdown(Shutdown::Both)
}

fn keep(stream: &TcpStream, streams: &Streams) -> std::io::Result<()> {
    let mut streams = streams.lock().unwrap();
    streams.retain(|stream| stream.peer_addr().is_ok());
    streams.push(stream.try_clone()?);
    Ok(())
}

fn read_request(client: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    let head_end = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        let read = client.read(&mut chunk)?;
        if read == 0 || bytes.len() > HEAD_MAX_BYTES {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk[..read]);
    };
    let mut body = bytes.split_off(head_end + 4);
    let (first, headers) = head(&bytes);
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let length = header(&headers, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    while body.len() < length {
        let read = client.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&chunk[..read]);
    }
    Ok(Some(Request { method, target, headers, body }))
}

fn parse_answer(bytes: &[u8]) -> Option<Answer> {
    let end = find(bytes, b"\r\n\r\n")?;
    let (first, headers) = head(&bytes[..end + 2]);
    let status = first.split(' ').nth(1)?.parse().ok()?;
    let mut body = bytes[end + 4..].to_vec();
    if header(&headers, "transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        body = unchunked(&body)?;
    }
    let length = header(&headers, "content-length").and_then(|value| value.parse::<usize>().ok());
    // A server killed while it answered: the client sees a cut connection, not a short body.
    if length.is_some_and(|length| length != body.len()) {
        return None;
    }
    Some(Answer { status, headers, body })
}

fn head(bytes: &[u8]) -> (String, Vec<String>) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty()).map(str::to_owned);
    (lines.next().unwrap_or_default(), lines.collect())
}

fn header<'a>(headers: &'a [String], name: &str) -> Option<&'a str> {
    headers.iter().find_map(|header| {
        let (key, value) = header.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = find(bytes, b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size + 2..)?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each request with its own bytes.
    fn echo() -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in socket.incoming() {
                let mut client = client.unwrap();
                let Some(request) = read_request(&mut client).unwrap() else { continue };
                let body = format!("{} {} {}", request.method, request.target, request.body.len());
                let answer = Answer { status: 200, headers: vec!["x-y: z".into()], body: body.into_bytes() };
                client.write_all(&answer.bytes()).unwrap();
            }
        });
        address
    }

    fn ask(proxy: &Proxy, request: &str) -> String {
        let mut stream = TcpStream::connect(proxy.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    struct Changes;
    impl Meddler for Changes {
        fn request(&self, request: &mut Request) -> Fate {
            if request.deposits() == Some(4) {
                return Fate::Lose;
            }
            request.body.extend_from_slice(b"more");
            Fate::Pass
        }
        fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
            if request.fetches() == Some(3) {
                answer.body = b"changed".to_vec();
            }
            Fate::Pass
        }
    }

    #[test]
    fn passes_changes_and_loses() {
        let proxy = Proxy::start(echo());
        let put = |step: u8| format!("PUT /a/steps/{step} HTTP/1.1\r\nContent-Length: 2\r\n\r\nab");
        assert!(ask(&proxy, &put(4)).ends_with("PUT /a/steps/4 2"));
        proxy.meddle(Arc::new(Changes));
        assert!(ask(&proxy, &put(2)).ends_with("PUT /a/steps/2 6"));
        assert_eq!(ask(&proxy, &put(4)), "");
        assert!(ask(&proxy, "GET /a/steps/3 HTTP/1.1\r\n\r\n").ends_with("\r\n\r\nchanged"));
    }

    #[test]
    fn chunked_bodies_are_put_together() {
        assert_eq!(unchunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap(), b"abcde");
        assert_eq!(unchunked(b"3\r\nab"), None);
    }
}
