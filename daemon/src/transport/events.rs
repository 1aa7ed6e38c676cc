//! Reads a server-sent event stream (WHATWG HTML, *Server-sent events*) as far as the protocol uses it.
//!
//! Decides where an event ends and what its data are. Refuses lines longer than any state can be, before they are
//! collected: the server must not be able to fill our memory.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::RoadError;

/// Longest line. An invitation with its attempt is under 600 bytes before base64.
const LINE_MAX_BYTES: usize = 8 * 1024;

/// Cuts a stream of bytes into the data of its `state` events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    is_state: bool,
    data: Option<Vec<u8>>,
}

impl Parser {
    /// Takes the next bytes; returns the decoded data of every event they complete.
    ///
    /// # Errors
    /// [`RoadError::Misbehaved`] for a line that is too long or data that is not base64url.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RoadError> {
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
                return Err(RoadError::Misbehaved("an event's line is too long"));
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Vec<u8>>, RoadError> {
        if line.is_empty() {
            let data = self.data.take();
            return Ok(if std::mem::take(&mut self.is_state) { data } else { None });
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, rest) = line.split_at(colon);
        let value = rest.strip_prefix(b": ").or_else(|| rest.strip_prefix(b":")).unwrap_or(rest);
        match field {
            b"event" => self.is_state = value == b"state",
            b"data" => {
                let text =
                    std::str::from_utf8(value).map_err(|_| RoadError::Misbehaved("an event is not text"))?;
                let data = Base64UrlUnpadded::decode_vec(text)
                    .map_err(|_| RoadError::Misbehaved("an event is not base64url"))?;
                if self.data.replace(data).is_some() {
                    return Err(RoadError::Misbehaved("an event has two data lines"));
                }
            }
            // Comments keep the connection; other fields have no meaning here.
            _ => {}
        }
        Ok(None)
    }
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
            assert_eq!(events, [vec![1, 2], vec![3]], "cut at {cut}");
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
