//! Reads a server-sent event stream (WHATWG HTML, *Server-sent events*) as far as the protocol uses
//! it.
//!
//! Decides where an event ends, its name and what its data are. Refuses lines longer than any state
//! can be, before they are collected: the server must not be able to fill our memory.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::TransportError;

/// An event: its name and its decoded data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What the line `event:` says.
    pub name: String,
    /// The bytes that the line `data:` has in base64url.
    pub data: Vec<u8>,
}

/// Longest line: a step that is told has 4,096 bytes and its framing before base64, an invitation
/// with its attempt under 600.
const LINE_MAX_BYTES: usize = 8 * 1024;

/// Cuts a stream of bytes into its events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    name: String,
    data: Option<Vec<u8>>,
}

impl Parser {
    /// Takes the next bytes; returns every event they complete that has data.
    ///
    /// # Errors
    /// [`TransportError::Misbehaved`] for a line that is too long or data that is not base64url.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TransportError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let newline = match byte {
                b'\n' if self.after_cr => {
                    self.after_cr = false;
                    continue;
                }
                b'\n' | b'\r' => true,
                _ => false,
            };
            self.after_cr = byte == b'\r';
            if newline {
                let line = std::mem::take(&mut self.line);
                events.extend(self.line(&line)?);
            } else if self.line.len() < LINE_MAX_BYTES {
                self.line.push(byte);
            } else {
                return Err(TransportError::Misbehaved("an event's line is too long"));
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Event>, TransportError> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            return Ok(self.data.take().map(|data| Event { name, data }));
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, rest) = line.split_at(colon);
        let value = rest.strip_prefix(b": ").or_else(|| rest.strip_prefix(b":")).unwrap_or(rest);
        match field {
            b"event" => text(value)?.clone_into(&mut self.name),
            b"data" => {
                let text = text(value)?;
                let data = Base64UrlUnpadded::decode_vec(text)
                    .map_err(|_| TransportError::Misbehaved("an event is not base64url"))?;
                if self.data.replace(data).is_some() {
                    return Err(TransportError::Misbehaved("an event has two data lines"));
                }
            }
            // Comments keep the connection; other fields have no meaning here.
            _ => {}
        }
        Ok(None)
    }
}

fn text(value: &[u8]) -> Result<&str, TransportError> {
    std::str::from_utf8(value).map_err(|_| TransportError::Misbehaved("an event is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let stream = b": hello\n\nevent: state\ndata: AQI\n\nevent: other\ndata: AQ\n\r\nevent:state\r\ndata:Aw\r\n\r\n";
        for cut in 0..stream.len() {
            let mut parser = Parser::default();
            let mut events = parser.push(&stream[..cut]).unwrap();
            events.extend(parser.push(&stream[cut..]).unwrap());
            let events: Vec<_> = events.iter().map(|it| (it.name.as_str(), it.data.as_slice())).collect();
            let expected = [("state", [1, 2].as_slice()), ("other", &[1]), ("state", &[3])];
            assert_eq!(events, expected, "cut at {cut}");
        }
    }

    #[test]
    fn junk_is_refused_and_never_collected() {
        assert!(Parser::default().push(b"event: state\ndata: !!\n\n").is_err());
        assert!(Parser::default().push(b"event: state\ndata: AQ==\n\n").is_err());
        assert!(Parser::default().push(b"data: AQ\ndata: AQ\n\n").is_err());
        assert!(Parser::default().push(&vec![b'x'; LINE_MAX_BYTES + 1]).is_err());
    }
}
