//! An event stream on its way through the proxy.
//!
//! Decides that a step which is told passes the meddler as the answer to the fetch it stands for.
//! One that is lost there, refused, or too long to be told is taken out: the client asks for it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use minicbor::bytes::ByteVec;
use parsec_protocol::codec;
use parsec_protocol::relay::{EVENT_STEP, STEP_TOLD_MAX_BYTES, StepTold};

use super::{Answer, Fate, Meddler, Request};

/// Longer than any event.
const EVENT_MAX_BYTES: usize = 16 * 1024;

/// Hands on all that comes, until one of the two is gone.
pub(super) fn hand_on(
    server: &TcpStream,
    client: &mut TcpStream,
    request: &Request,
    meddler: &dyn Meddler,
) -> std::io::Result<()> {
    let mut server = BufReader::new(server);
    let mut chunked = false;
    loop {
        let mut line = String::new();
        if server.read_line(&mut line)? == 0 {
            return Ok(());
        }
        chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
        client.write_all(line.as_bytes())?;
        if line == "\r\n" {
            break;
        }
    }
    if !chunked {
        return std::io::copy(&mut server, client).map(drop);
    }
    let mut collected = Vec::new();
    loop {
        let mut size = String::new();
        server.read_line(&mut size)?;
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { return Ok(()) };
        let mut chunk = vec![0; size + 2];
        server.read_exact(&mut chunk)?;
        if size == 0 {
            return client.write_all(b"0\r\n\r\n");
        }
        collected.extend_from_slice(&chunk[..size]);
        while let Some(end) = super::find(&collected, b"\n\n") {
            let event: Vec<u8> = collected.drain(..end + 2).collect();
            if let Some(event) = passed(event, request, meddler) {
                client.write_all(&[format!("{:x}\r\n", event.len()).as_bytes(), &event, b"\r\n"].concat())?;
            }
        }
    }
}

/// An event as the meddler lets it through.
fn passed(event: Vec<u8>, stream: &Request, meddler: &dyn Meddler) -> Option<Vec<u8>> {
    let named = format!("event: {EVENT_STEP}\ndata: ");
    let Some(data) = event.strip_prefix(named.as_bytes()) else { return Some(event) };
    let data = std::str::from_utf8(data).unwrap().trim_end();
    let told: StepTold =
        codec::decode(&Base64UrlUnpadded::decode_vec(data).unwrap(), EVENT_MAX_BYTES).unwrap();
    let mut fetch = Request {
        method: "GET".into(),
        target: format!("{}/steps/{}", stream.target, told.step),
        headers: stream.headers.clone(),
        body: Vec::new(),
    };
    let mut answer = Answer { status: 200, headers: Vec::new(), body: told.bytes.to_vec() };
    if meddler.request(&mut fetch) == Fate::Lose || meddler.told(&fetch, &mut answer) == Fate::Lose {
        return None;
    }
    // With headers it is an answer in the server's place, as a network's log-in page: no stream
    // tells one, and its words are no step.
    if answer.status != 200 || !answer.headers.is_empty() || answer.body.len() > STEP_TOLD_MAX_BYTES {
        return None;
    }
    let record = codec::encode(&StepTold { bytes: ByteVec::from(answer.body), ..told });
    Some(format!("{named}{}\n\n", Base64UrlUnpadded::encode_string(&record)).into_bytes())
}
