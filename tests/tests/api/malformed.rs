//! What no honest program sends to the local socket: malformed JSON and JSON-RPC, HTTP, and honest
//! requests with random damage.
//!
//! Every answer is a refusal by its name, nothing of what was refused is done, and the next honest
//! call works. The seed is printed; `PARSEC_SEED` repeats a run and `PARSEC_MUTATIONS` sets how
//! many damaged requests there are.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use parsec_protocol::control::{LINE_MAX_BYTES, Problem};
use parsec_tests::device::Device;
use parsec_tests::{installed, skip};
use serde_json::Value;

/// Damaged requests in the usual run.
const MUTATIONS: usize = 10_000;
/// Damaged requests on one connection: more than may be under way, so that reading pauses, too.
const ON_ONE_CONNECTION: usize = 50;
/// Lines that are no requests, after which the daemon reads no more (docs/local-api.md, *Limits*).
const MISTAKES_MAX: usize = 16;
/// What the daemon says to HTTP: words for a person, because JSON would be none to a browser.
const NO_HTTP: &str = "it does not speak HTTP";

/// Sends bytes, says that there are no more, and reads all that comes back.
fn send(socket: &Path, bytes: &[u8]) -> Vec<String> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let answers = std::thread::spawn(move || {
        let mut text = Vec::new();
        // A connection that was cut because of what came in is an answer, too.
        let _ = reader.read_to_end(&mut text);
        text
    });
    // The daemon may have had enough before all is said.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    String::from_utf8(answers.join().unwrap()).unwrap().lines().map(str::to_owned).collect()
}

fn read(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer:.200}"))
}

/// The name of the refusal in an answer; nothing if it is a result.
fn refusal(answer: &str) -> Option<String> {
    if answer.contains(NO_HTTP) {
        return Some("http".into());
    }
    let value = read(answer);
    let error = value.get("error")?;
    let problem: Problem = serde_json::from_value(error["data"].clone())
        .unwrap_or_else(|why| panic!("an error without a problem: {why}: {answer:.200}"));
    Some(problem.name.name().to_owned())
}

fn call(id: &str, method: &str, params: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#).into_bytes()
}

fn show(params: &str) -> Vec<u8> {
    call("1", "ceremony.show", params)
}

/// What must be refused, and what it is.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>| all.push((what.to_owned(), bytes));
    let text = |text: &str| text.as_bytes().to_vec();
    add("unknown field", show(r#"{"ceremony":1,"more":2}"#));
    add("unknown method", call("1", "ceremony.shew", "{}"));
    add("a method like a path", call("1", "../../etc/passwd", "{}"));
    add("an empty method", call("1", "", "{}"));
    add("a method of 1,000,000 letters", call("1", &"m".repeat(1_000_000), "{}"));
    for version in [r#""1.0""#, r#""2""#, r#""3.0""#, "2.0", "2", "null", r#""2.0 ""#] {
        let line = format!(r#"{{"jsonrpc":{version},"id":1,"method":"status.show","params":{{}}}}"#);
        add(&format!("version {version}"), line.into_bytes());
    }
    add("no version", text(r#"{"id":1,"method":"status.show"}"#));
    add("no method", text(r#"{"jsonrpc":"2.0","id":1,"params":{}}"#));
    add("a number as method", text(r#"{"jsonrpc":"2.0","id":1,"method":7,"params":{}}"#));
    add("two methods", text(r#"{"jsonrpc":"2.0","id":1,"method":"status.show","method":"device.lock"}"#));
    add("two ids", text(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"status.show"}"#));
    add("two parameters of one name", show(r#"{"ceremony":1,"ceremony":2}"#));
    add(
        "two parameter objects",
        text(
            r#"{"jsonrpc":"2.0","id":1,"method":"ceremony.show","params":{"ceremony":1},"params":{"ceremony":2}}"#,
        ),
    );
    add("unknown kind", call("1", "ceremony.choose", r#"{"ceremony":1,"code":"K7EM","mode":"guessed"}"#));
    for number in [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1",
        "1.5",
        "0x10",
        "01",
        "+1",
        "18446744073709551616",
        "true",
        "null",
        "\"1\"",
        "[]",
        "{}",
    ] {
        add(&format!("number {number}"), show(&format!(r#"{{"ceremony":{number}}}"#)));
    }
    add("a number of 1,000 digits", show(&format!(r#"{{"ceremony":{}}}"#, "9".repeat(1_000))));
    add("a fraction of 100,000 digits", show(&format!(r#"{{"ceremony":0.{}}}"#, "1".repeat(100_000))));
    for id in ["9".repeat(1_000).as_str(), "-1", "1.5", "true", "[1]", "{}", "NaN"] {
        add(&format!("id {id:.20}"), call(id, "status.show", "{}"));
    }
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    add("100,000 nested lists", show(&format!(r#"{{"ceremony":{}}}"#, deep("[", "]"))));
    add(
        "100,000 nested objects",
        show(&format!(r#"{{"ceremony":{}1{}}}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000))),
    );
    add(
        "100,000 nested objects as a request",
        format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000)).into_bytes(),
    );
    add("100,000 nested lists as id", call(&deep("[", "]"), "status.show", "{}"));
    add("100,000 open lists", show(&format!(r#"{{"ceremony":{}"#, "[".repeat(100_000))));
    add("a byte order mark", [b"\xef\xbb\xbf".to_vec(), call("1", "status.show", "{}")].concat());
    add("a byte order mark inside", show("{\u{feff}\"ceremony\":1}"));
    add("UTF-16", call("1", "status.show", "{}").into_iter().flat_map(|byte| [byte, 0]).collect());
    for half in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\uZZZZ", r"\x41", "\\"] {
        let params = format!(r#"{{"select":{{}},"user":"{half}"}}"#);
        add(&format!("escape {half}"), call("1", "trust.show", &params));
    }
    for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x00", b"\x1b[2J"] {
        let line = [
            &b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status.show\",\"params\":{\"a\":\""[..],
            bytes,
            b"\"}}",
        ];
        add(&format!("bytes {bytes:x?} in a text"), line.concat());
    }
    add("NUL before", [b"\0".to_vec(), call("1", "status.show", "{}")].concat());
    add("NUL after", [call("1", "status.show", "{}"), b"\0".to_vec()].concat());
    add("something after", [call("1", "status.show", "{}"), b" x".to_vec()].concat());
    add(
        "a text of 1 MiB",
        call("1", "trust.show", &format!(r#"{{"user":"{}"}}"#, "u".repeat(LINE_MAX_BYTES))),
    );
    add(
        "a text just below 1 MiB",
        call("1", "trust.show", &format!(r#"{{"user":"{}"}}"#, "u".repeat(LINE_MAX_BYTES - 100))),
    );
    add("8 MiB without a line's end", vec![b'{'; 8 << 20]);
    add("parameters by place", call("1", "ceremony.show", "[1]"));
    add("parameters as text", call("1", "ceremony.show", r#""1""#));
    add("a batch", [b"[".to_vec(), call("1", "status.show", "{}"), b"]".to_vec()].concat());
    add(
        "a batch of 100,000",
        [b"[".to_vec(), call("1", "status.show", "{}").repeat(100_000), b"]".to_vec()].concat(),
    );
    add("an empty object", text("{}"));
    add("a list", text("[]"));
    add("nothing but null", text("null"));
    add("an answer", text(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
    add("a notification", text(r#"{"jsonrpc":"2.0","method":"status.show","params":{}}"#));
    add(
        "a notification with a password",
        text(r#"{"jsonrpc":"2.0","method":"device.unlock","params":{"password":"SECRET-hunter2"}}"#),
    );
    add("a password in the wrong field", call("1", "device.unlock", r#"{"passwort":"SECRET-hunter2"}"#));
    add("a password as a number", call("1", "device.unlock", r#"{"password":["SECRET-hunter2"]}"#));
    add(
        "a password before a mistake",
        call("1", "device.unlock", r#"{"password":"SECRET-hunter2","selekt":1}"#),
    );
    add("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec());
    all
}

fn start(folder: &Path) -> Device {
    Device::start("malformed", &folder.join("t"))
}

fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap()
}

#[test]
fn every_malformed_request_is_refused_by_name() {
    let folder = scratch();
    let mut device = start(folder.path());
    let mut slowest = (Duration::ZERO, String::new());
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let corpus = corpus();
    for (what, mut bytes) in corpus.clone() {
        bytes.push(b'\n');
        let started = Instant::now();
        let answers = send(&device.socket(), &bytes);
        let took = started.elapsed();
        if took > slowest.0 {
            slowest = (took, what.clone());
        }
        let refused: Vec<_> = answers.iter().map(|answer| refusal(answer)).collect();
        assert!(!refused.is_empty() && refused.iter().all(Option::is_some), "{what}: {answers:.300?}");
        assert!(!answers.iter().any(|answer| answer.contains("SECRET")), "{what}: repeated what it was told");
        *names.entry(refused.into_iter().flatten().next().unwrap()).or_default() += 1;
        assert!(!device.status().version.is_empty(), "{what}: the next honest call");
        assert!(device.process().runs(), "{what}");
    }
    println!(
        "figure B4: {} malformed requests refused as {names:?}; the slowest took {:?}: {}",
        corpus.len(),
        slowest.0,
        slowest.1
    );
    assert!(!device.log().contains("SECRET"), "the log has what was refused");
    assert!(device.status().ceremonies.is_empty());
}

/// Ids of every type that JSON-RPC allows come back as they were; the daemon computes nothing with
/// them.
#[test]
fn ids_come_back_as_they_were() {
    let folder = scratch();
    let device = start(folder.path());
    for id in ["0", "18446744073709551615", r#""""#, r#""a \"b\" é""#, r#""\u0000""#] {
        let answers = send(&device.socket(), &[call(id, "status.show", "{}"), b"\n".to_vec()].concat());
        let answer: Value = serde_json::from_str(&answers[0]).unwrap();
        let sent: Value = serde_json::from_str(id).unwrap();
        assert!(answer["id"] == sent && answer["result"]["version"].is_string(), "{id}: {answer}");
    }
}

#[test]
fn http_is_refused_and_nothing_in_it_is_done() {
    let folder = scratch();
    let device = start(folder.path());
    // Would be seen afterwards, if it were done: a ceremony that nobody asked for.
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"claim.start","params":{"link":"http://127.0.0.1:9/join/acme#AAAA"}}"#;
    let headers = "Host: localhost\r\nOrigin: https://evil.example\r\nReferer: https://evil.example/x\r\nContent-Type: text/plain\r\n";
    let mut requests: Vec<(String, Vec<u8>)> =
        ["GET", "POST", "OPTIONS", "PUT", "HEAD", "CONNECT", "M-SEARCH"]
            .into_iter()
            .map(|verb| {
                let length = body.len() + 1;
                let text = format!("{verb} / HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}\n");
                (verb.to_owned(), text.into_bytes())
            })
            .collect();
    requests.push(("HTTP/2".into(), format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n{body}\n").into_bytes()));
    requests.push(("WebSocket".into(), format!("GET / HTTP/1.1\r\n{headers}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n{body}\n").into_bytes()));
    for (what, bytes) in requests {
        let answers = send(&device.socket(), &bytes);
        assert!(answers.len() == 1 && answers[0].contains(NO_HTTP), "{what}: {answers:?}");
        assert!(device.status().ceremonies.is_empty(), "{what} was carried out");
    }
    if !installed("curl") {
        return skip("http_is_refused_and_nothing_in_it_is_done, curl", "curl is not installed");
    }
    for more in
        [&["--http1.1"][..], &["--http1.0"], &["--http2-prior-knowledge"], &["--http0.9"], &["-X", "OPTIONS"]]
    {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--unix-socket"])
            .arg(device.socket())
            .args([
                "-H",
                "Origin: https://evil.example",
                "-H",
                "Content-Type: application/json",
                "--data",
                body,
            ])
            .args(more)
            .arg("http://localhost/")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        // Only where it is told to take anything for an answer does curl show the daemon's words.
        assert!(!output.status.success() || said.contains(NO_HTTP), "{more:?}: {said}");
        assert!(!said.contains("jsonrpc"), "{more:?}: {said}");
        assert!(device.status().ceremonies.is_empty(), "curl {more:?} was carried out");
    }
}

/// Small, and enough to damage requests with: the numbers of Steele, Lea and Flood's SplitMix.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

/// Honest requests that a daemon without devices answers without work.
fn honest() -> Vec<Vec<u8>> {
    vec![
        call("1", "status.show", "{}"),
        call("\"two\"", "device.list", "{}"),
        call("3", "ceremony.show", r#"{"ceremony":1}"#),
        call(
            "4",
            "device.unlock",
            r#"{"select":{"organisation":"acme"},"password":"correct horse battery staple"}"#,
        ),
        call("5", "invite.user", r#"{"email":"bob@example.org","days":7,"mail":true}"#),
        call("6", "ceremony.choose", r#"{"ceremony":1,"code":"K7EM","mode":"picked"}"#),
        call("7", "ceremony.approve", r#"{"ceremony":1,"claimer_confirmed":true,"profile":"standard"}"#),
        call("8", "trust.show", r#"{"select":{"device":"a0b1"},"user":"bob@example.org"}"#),
        call("9", "greet.start", r#"{"token":"00112233445566778899aabbccddeeff"}"#),
        call("10", "device.lock", r#"{"device":"a0b1"}"#),
    ]
}

/// One to four damages.
fn damage(dice: &mut Dice, mut line: Vec<u8>) -> Vec<u8> {
    const MEANT: &[u8] = b"{}[]\":,\\0919eE+-.untf \t\r\x00\xff\xc3";
    for _ in 0..=dice.below(4) {
        let at = dice.below(line.len());
        match dice.below(7) {
            0 if !line.is_empty() => line[at] ^= 1 << dice.below(8),
            1 if !line.is_empty() => drop(line.remove(at)),
            2 => line.insert(at.min(line.len()), MEANT[dice.below(MEANT.len())]),
            3 => line.truncate(at),
            4 => {
                let piece = line[at..(at + dice.below(30)).min(line.len())].to_vec();
                let to = dice.below(line.len());
                line.splice(to..to, piece);
            }
            5 => {
                let end = (at + dice.below(12)).min(line.len());
                drop(line.drain(at..end));
            }
            _ => {
                let (last, other) = (line.len() - 1, dice.below(line.len()));
                line.swap(at.min(last), other.min(last));
            }
        }
        if line.is_empty() {
            line.push(b'{');
        }
    }
    line
}

#[test]
fn requests_with_random_damage_are_answered_one_by_one() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("PARSEC_SEED").unwrap_or(0x5eed_0001);
    let wanted = number("PARSEC_MUTATIONS").map_or(MUTATIONS, |count| usize::try_from(count).unwrap());
    println!("seed {seed}, {wanted} damaged requests");
    let folder = scratch();
    let mut device = start(folder.path());
    let mut dice = Dice(seed);
    let honest = honest();
    let (mut names, mut results, mut sent) = (BTreeMap::<String, usize>::new(), 0, 0);
    let mut slowest = Duration::ZERO;
    while sent < wanted {
        let mut bytes = Vec::new();
        for _ in 0..ON_ONE_CONNECTION {
            let line = honest[dice.below(honest.len())].clone();
            bytes.extend(damage(&mut dice, line));
            bytes.push(b'\n');
        }
        sent += ON_ONE_CONNECTION;
        let started = Instant::now();
        let answers = send(&device.socket(), &bytes);
        slowest = slowest.max(started.elapsed());
        // A line that can't be a request ends the connection, because where the next one starts is
        // unknown.
        let mut due = 0;
        for line in
            bytes.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace))
        {
            due += 1;
            if line.iter().find(|byte| !b" \t\r".contains(byte)) != Some(&b'{') {
                break;
            }
        }
        // So does the seventeenth line that is no request; some that were read before it was
        // understood are still answered.
        let to_none = |answer: &&String| answer.contains(NO_HTTP) || read(answer)["id"].is_null();
        let strangers = answers.iter().filter(to_none).count();
        let cut_off = strangers > MISTAKES_MAX && answers.len() < due;
        assert!(
            answers.len() == due || cut_off,
            "seed {seed}: {} answers, {strangers} to no request, {due} due: {}",
            answers.len(),
            String::from_utf8_lossy(&bytes)
        );
        for answer in answers {
            match refusal(&answer) {
                Some(name) => *names.entry(name).or_default() += 1,
                None => results += 1,
            }
        }
    }
    assert!(!names.contains_key("internal"), "{names:?}");
    assert!(device.process().runs() && device.status().ceremonies.is_empty());
    println!(
        "refused as {names:?}; {results} were still honest; {ON_ONE_CONNECTION} took {slowest:?} at most"
    );
    assert!(!device.log().contains("correct horse"), "a password is in the log");
}
