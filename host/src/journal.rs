//! The log's way into the journal, with its fields (systemd's native protocol), where stderr leads
//! there anyhow.
//!
//! Decides an entry's form: the message with its fields behind it, as on a terminal, and each field
//! by itself as `PARSEC_NAME`. Refuses to send more of a value than somebody would read. Adds
//! nothing to what a log line says: what may not stand in a line doesn't reach a field either.

use std::fmt::{Debug, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::log_writer::Lines;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Longest value: enough for a path and an error, and an entry with all its fields stays far below
/// the 200 KB of a datagram.
const VALUE_MAX_BYTES: usize = 2 * 1024;
/// A journal that doesn't read loses lines rather than hold the log's thread up for good.
const SEND_WAIT: Duration = Duration::from_millis(500);

/// Whether stderr is the journal: the service manager tells its device and inode.
#[must_use]
pub fn is_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// The journal: takes an entry at a time.
#[derive(Debug)]
pub struct Journal(UnixDatagram);

impl Journal {
    /// Opens the way there.
    ///
    /// # Errors
    /// The system's: there is no journal.
    pub fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        socket.set_write_timeout(Some(SEND_WAIT))?;
        Ok(Self(socket))
    }
}

impl io::Write for Journal {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.0.send(entry)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes an entry of each event.
#[derive(Debug)]
pub struct Entries {
    lines: Lines,
    identifier: &'static str,
}

impl Entries {
    /// `identifier` is the program's name.
    #[must_use]
    pub const fn new(identifier: &'static str, lines: Lines) -> Self {
        Self { lines, identifier }
    }
}

impl<S: Subscriber> Layer<S> for Entries {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut entry = Entry::default();
        event.record(&mut entry);
        entry.message.push_str(&entry.behind);
        // syslog's numbers: err, warning, info, debug.
        let priority = match *metadata.level() {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            Level::DEBUG | Level::TRACE => "7",
        };
        put(&mut entry.fields, "MESSAGE", &entry.message);
        put(&mut entry.fields, "PRIORITY", priority);
        put(&mut entry.fields, "SYSLOG_IDENTIFIER", self.identifier);
        put(&mut entry.fields, "PARSEC_TARGET", metadata.target());
        self.lines.put(entry.fields);
    }
}

/// An entry being put together.
#[derive(Debug, Default)]
struct Entry {
    message: String,
    behind: String,
    fields: Vec<u8>,
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = format!("{value:?}");
        text.truncate(text.floor_char_boundary(VALUE_MAX_BYTES));
        if field.name() == "message" {
            self.message = text;
            return;
        }
        let name = field.name().replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_uppercase();
        put(&mut self.fields, &format!("PARSEC_{name}"), &text);
        let _ = write!(self.behind, " {}={text}", field.name());
    }
}

/// A field by the form that allows every byte in its value: name, line feed, length, value, line
/// feed.
fn put(fields: &mut Vec<u8>, name: &str, value: &str) {
    fields.extend_from_slice(name.as_bytes());
    fields.push(b'\n');
    fields.extend_from_slice(&(value.len() as u64).to_le_bytes());
    fields.extend_from_slice(value.as_bytes());
    fields.push(b'\n');
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::log_writer::LogWriter;

    /// The fields of an entry, by the protocol's description and not by `put`.
    fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        while let Some(at) = entry.iter().position(|byte| *byte == b'\n') {
            let name = String::from_utf8(entry[..at].to_vec()).unwrap();
            let length = u64::from_le_bytes(entry[at + 1..at + 9].try_into().unwrap());
            let end = at + 9 + usize::try_from(length).unwrap();
            found.push((name, String::from_utf8(entry[at + 9..end].to_vec()).unwrap()));
            assert_eq!(entry[end], b'\n');
            entry = &entry[end + 1..];
        }
        found
    }

    #[test]
    fn an_entry_has_its_fields_its_priority_and_a_message_that_says_it_all() {
        let (ours, journal) = UnixDatagram::pair().unwrap();
        let writer = LogWriter::start(Journal(ours)).unwrap();
        let layer = Entries::new("parsecd", writer.lines());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(device = %"6fa1", tries = 3, why = "two\nlines", "refused");
            tracing::info!(long = "x".repeat(100_000), "cut");
        });
        let mut buffer = vec![0; 200_000];
        let length = journal.recv(&mut buffer).unwrap();
        let entry = fields(&buffer[..length]);
        let value = |name: &str| entry.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
        assert_eq!(value("MESSAGE"), Some("refused device=6fa1 tries=3 why=two\nlines"));
        assert_eq!(value("PRIORITY"), Some("4"));
        assert_eq!(value("SYSLOG_IDENTIFIER"), Some("parsecd"));
        assert_eq!((value("PARSEC_DEVICE"), value("PARSEC_TRIES")), (Some("6fa1"), Some("3")));
        // A line feed in a value begins no field of its own.
        assert_eq!(value("PARSEC_WHY"), Some("two\nlines"));
        let length = journal.recv(&mut buffer).unwrap();
        let entry = fields(&buffer[..length]);
        assert!(entry.iter().any(|(name, value)| name == "PARSEC_LONG" && value.len() == VALUE_MAX_BYTES));
    }
}
