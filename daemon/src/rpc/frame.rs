//! Lines: one JSON object each, capped while they are read, wiped after use.
//!
//! Decides from the first byte of a line whether it can be a request at all. Refuses HTTP (a
//! browser can be made to talk to many things), everything else that doesn't start with `{`,
//! batches, lines over the limit, and what is not UTF-8; after the first four the connection is of
//! no more use, because where the next line starts is unknown or the other side speaks another
//! protocol.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::passing::{Mailbox, Passed};

/// Bytes asked for at once. Nearly every request fits.
const READ_BYTES: usize = 8 * 1024;

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The line is longer than allowed.
    #[error("a line has more than {0} bytes")]
    TooLong(usize),
    /// It does not come to its end.
    #[error("the line was begun and not ended")]
    TooSlow,
    /// It starts like an HTTP request.
    #[error("this is Parsec's local API, one JSON object a line: it does not speak HTTP")]
    Http,
    /// It starts with `[`.
    #[error("batches are not taken: send one JSON object a line")]
    Batch,
    /// It starts like no JSON object.
    #[error("not a JSON object")]
    NotJson,
    /// Not UTF-8. The next line may be better.
    #[error("not UTF-8")]
    NotUtf8,
    /// Open files came otherwise than one with the end of a line.
    #[error("one open file comes with the end of a request's line, and none otherwise")]
    Misplaced,
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A line, and the open file that came with its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: Zeroizing<String>,
    pub(super) file: Option<OwnedFd>,
}

/// What one look at the connection brought.
#[derive(Debug)]
pub(super) enum Step {
    /// A line.
    Line(Line),
    /// Some bytes, and no whole line yet.
    More,
    /// The client will send nothing more.
    End,
}

/// Reads lines. Its calls may be dropped at any await: nothing read is lost.
pub(super) struct LineReader<R> {
    reader: R,
    max: usize,
    buffer: Zeroizing<Vec<u8>>,
    /// How many bytes of the buffer have been searched for the line's end.
    searched: usize,
    /// Whether the line at the start of the buffer has been seen to begin like an object.
    begun: bool,
    /// Where the reader puts open files.
    mailbox: Mailbox,
    /// An open file, and how many bytes of the buffer had come with it and before: the last of them
    /// is a line feed.
    passed: Option<(usize, OwnedFd)>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of at most `max` bytes, the line feed not counted.
    #[cfg(test)]
    pub(super) fn new(reader: R, max: usize) -> Self {
        Self::with_files(reader, max, Mailbox::default())
    }

    /// The same from a reader that puts open files into `mailbox`.
    pub(super) fn with_files(reader: R, max: usize, mailbox: Mailbox) -> Self {
        let buffer = Zeroizing::new(Vec::new());
        Self { reader, max, buffer, searched: 0, begun: false, mailbox, passed: None }
    }

    /// The next line that is not empty, the end, or that more has come. Half a line before the end
    /// is dropped: whoever sent it is gone.
    pub(super) async fn step(&mut self) -> Result<Step, FrameError> {
        if let Some(line) = self.take_line()? {
            return Ok(Step::Line(line));
        }
        self.make_room();
        // One byte more than a longest line and its end is never needed.
        let room = self.max.saturating_add(2).saturating_sub(self.buffer.len()).min(READ_BYTES);
        let mut limited = (&mut self.reader).take(room as u64);
        let read = limited.read_buf(&mut *self.buffer).await?;
        self.take_passed()?;
        if read == 0 {
            return Ok(Step::End);
        }
        Ok(self.take_line()?.map_or(Step::More, Step::Line))
    }

    /// Notes to which line an open file belongs. The kernel ends what it hands out at once with the
    /// message that a file came with: where that message ends a line, the line's feed is the last
    /// byte.
    fn take_passed(&mut self) -> Result<(), FrameError> {
        match (self.mailbox.take(), &self.passed) {
            (Passed::Nothing, _) => Ok(()),
            (Passed::One(file), None) if self.buffer.last() == Some(&b'\n') => {
                self.passed = Some((self.buffer.len(), file));
                Ok(())
            }
            (Passed::One(_) | Passed::TooMany, _) => Err(FrameError::Misplaced),
        }
    }

    /// Whether a line has begun and not ended.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next line; `None` at the end.
    #[cfg(test)]
    async fn next(&mut self) -> Result<Option<Zeroizing<String>>, FrameError> {
        loop {
            match self.step().await? {
                Step::Line(line) => return Ok(Some(line.text)),
                Step::End => return Ok(None),
                Step::More => {}
            }
        }
    }

    /// A line, if a whole one has been read.
    fn take_line(&mut self) -> Result<Option<Line>, FrameError> {
        loop {
            self.check_start()?;
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(found) = fresh.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                if self.searched > self.max {
                    return Err(FrameError::TooLong(self.max));
                }
                return Ok(None);
            };
            let end = self.searched + found;
            if end > self.max {
                return Err(FrameError::TooLong(self.max));
            }
            let line = self.buffer.get(..end).unwrap_or_default();
            let blank = line.iter().all(u8::is_ascii_whitespace);
            let line = std::str::from_utf8(line).map(|line| Zeroizing::new(line.to_owned()));
            self.consume(end + 1);
            let file = self.passed.take_if(|(at, _)| *at == end + 1).map(|(_, file)| file);
            if let Some((at, _)) = &mut self.passed {
                *at = at.saturating_sub(end + 1);
            }
            match line {
                Ok(_) if blank && file.is_some() => return Err(FrameError::Misplaced),
                Ok(_) if blank => {}
                Ok(text) => return Ok(Some(Line { text, file })),
                Err(_) => return Err(FrameError::NotUtf8),
            }
        }
    }

    /// Looks at the first byte that says something, as soon as it is there.
    fn check_start(&mut self) -> Result<(), FrameError> {
        if self.begun {
            return Ok(());
        }
        match self.buffer.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r')) {
            None | Some(b'\n') => Ok(()),
            Some(b'{') => {
                self.begun = true;
                Ok(())
            }
            Some(b'[') => Err(FrameError::Batch),
            // Every HTTP method, and the preface of HTTP/2, starts with one of these; JSON never
            // does.
            Some(b'A'..=b'Z') => Err(FrameError::Http),
            Some(_) => Err(FrameError::NotJson),
        }
    }

    /// Removes what has been used from the start of the buffer, and wipes where it was.
    fn consume(&mut self, count: usize) {
        let left = self.buffer.len().saturating_sub(count);
        self.buffer.copy_within(count.., 0);
        if let Some(used) = self.buffer.get_mut(left..) {
            used.zeroize();
        }
        self.buffer.truncate(left);
        self.searched = 0;
        self.begun = false;
        // A large line must not keep its room for as long as the connection lasts.
        if left == 0 {
            *self.buffer = Vec::new();
        }
    }

    /// Grows by copying and wiping: `Vec` would leave the old bytes behind.
    fn make_room(&mut self) {
        if self.buffer.capacity() - self.buffer.len() >= READ_BYTES {
            return;
        }
        let wanted = (self.buffer.len() * 2).clamp(2 * READ_BYTES, self.max.saturating_add(2 * READ_BYTES));
        let mut larger = Zeroizing::new(Vec::with_capacity(wanted.max(self.buffer.len() + READ_BYTES)));
        larger.extend_from_slice(&self.buffer);
        self.buffer = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1_000;

    /// All lines of `input`, and how it ended.
    async fn lines(input: &[u8]) -> (Vec<String>, Option<FrameError>) {
        let mut reader = LineReader::new(input, MAX);
        let mut found = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(line)) => found.push(line.to_string()),
                Ok(None) => return (found, None),
                Err(error) => return (found, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn lines_come_one_by_one() {
        let (found, end) = lines(b"{\"a\":1}\n\n \r\n  {\"b\":2}\r\n{half").await;
        assert_eq!(found, ["{\"a\":1}", "  {\"b\":2}\r"]);
        assert!(end.is_none());
        assert!(lines(b"").await.0.is_empty());
    }

    #[tokio::test]
    async fn the_limit_holds_while_reading() {
        let fits = format!("{{{}\n", "x".repeat(MAX - 1));
        assert_eq!(lines(fits.as_bytes()).await.0.len(), 1);
        let over = format!("{{{}\n", "x".repeat(MAX));
        assert!(
            matches!(lines(over.as_bytes()).await, (found, Some(FrameError::TooLong(MAX))) if found.is_empty())
        );
        // An endless line stops at the limit, not at the end of memory.
        let endless = tokio::io::AsyncReadExt::chain(&b"{"[..], tokio::io::repeat(b'x'));
        let mut reader = LineReader::new(endless, MAX);
        assert!(matches!(reader.next().await, Err(FrameError::TooLong(MAX))));
        assert!(reader.buffer.capacity() <= MAX + 3 * READ_BYTES);
        let spaces = tokio::io::repeat(b' ');
        assert!(matches!(LineReader::new(spaces, MAX).next().await, Err(FrameError::TooLong(MAX))));
    }

    #[tokio::test]
    async fn what_is_no_object_is_refused_at_its_first_byte() {
        for start in ["GET / HTTP/1.1\r\n", "POST", "P", "PRI * HTTP/2.0", "{\"a\":1}\nDELETE /"] {
            assert!(matches!(lines(start.as_bytes()).await.1, Some(FrameError::Http)), "{start}");
        }
        assert!(matches!(lines(b" [").await.1, Some(FrameError::Batch)));
        for start in [&b"\x16\x03\x01"[..], b"null", b"1", b"\"x", b"\0", b"\xff\n", b"\xef\xbb\xbf{}"] {
            assert!(matches!(lines(start).await.1, Some(FrameError::NotJson)), "{start:?}");
        }
        assert!(matches!(lines(b"{\"\xff\"}\n").await.1, Some(FrameError::NotUtf8)));
    }

    #[tokio::test]
    async fn a_bad_line_does_not_take_the_next_with_it() {
        let mut reader = LineReader::new(&b"{\xff}\n{\"ok\":1}\n"[..], MAX);
        assert!(matches!(reader.next().await, Err(FrameError::NotUtf8)));
        assert_eq!(reader.next().await.unwrap().unwrap().as_str(), "{\"ok\":1}");
    }

    /// A hundred thousand beginnings made by a counter: no panic, no line that was not sent, an end
    /// every time.
    #[tokio::test]
    async fn any_bytes_come_to_an_end() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for round in 0..100_000u64 {
            let mut input = Vec::new();
            for _ in 0..round % 24 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Half of the bytes from those that mean something here.
                let pick = (state >> 32) as u8;
                input.push(if state & 1 == 0 { pick } else { b"{}[]\n\r \"GP"[usize::from(pick) % 10] });
            }
            let (found, _) = lines(&input).await;
            for line in found {
                assert!(line.trim_start_matches([' ', '\t', '\r']).starts_with('{'), "{input:?}");
            }
        }
    }
}
