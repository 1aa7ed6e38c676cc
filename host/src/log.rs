//! A program's log: its format, and the thread by which it leaves.
//!
//! Decides that nobody waits for the log's reader, and that stderr which leads into the journal
//! gets there with its fields. Refuses to end a program whose log can't be had as asked: it falls
//! back to text on stderr, and says so.

use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::journal::{self, Entries, Journal};
use crate::log_writer::LogWriter;

/// Where log lines go, and how they look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// To stderr, for people.
    Text,
    /// To stderr, one JSON object a line.
    Json,
    /// To the journal, with its fields.
    Journal,
}

/// What a program decides about its log.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    /// The program's name, as the journal shows it.
    pub program: &'static str,
    /// Which lines there are, as `tracing_subscriber::EnvFilter` reads it. Of the libraries only
    /// what went wrong: their finer levels may show what passes through them, passwords included.
    pub filter: &'a str,
    /// What the person asked for; as stderr suggests, if they didn't.
    pub format: Option<LogFormat>,
    /// Whether a line of text names the module it comes from.
    pub targets: bool,
}

impl Log<'_> {
    /// Starts the log. Returns what must outlive every line of it.
    pub fn start(self) -> Option<LogWriter> {
        let suggested = if journal::is_stderr() { LogFormat::Journal } else { LogFormat::Text };
        let format = self.format.unwrap_or(suggested);
        let log = tracing_subscriber::registry().with(EnvFilter::new(self.filter));
        let (journal, missing) = match format {
            LogFormat::Journal => {
                Journal::open().map_or_else(|error| (None, Some(error)), |it| (Some(it), None))
            }
            LogFormat::Text | LogFormat::Json => (None, None),
        };
        let to_journal = journal.is_some();
        let writer = match journal {
            Some(journal) => LogWriter::start(journal),
            None => LogWriter::start(std::io::stderr()),
        };
        let (writer, unthreaded) = match writer {
            Ok(writer) => (Some(writer), None),
            Err(error) => (None, Some(error)),
        };
        let out = match &writer {
            Some(writer) => {
                let lines = writer.lines();
                BoxMakeWriter::new(move || lines.clone())
            }
            // A program that can't have a second thread is about to end: its reason is worth
            // waiting for a reader.
            None => BoxMakeWriter::new(std::io::stderr),
        };
        match (&writer, format) {
            (Some(writer), LogFormat::Journal) if to_journal => {
                log.with(Entries::new(self.program, writer.lines())).init();
            }
            (_, LogFormat::Json) => log.with(layer().with_writer(out).json()).init(),
            (_, LogFormat::Text | LogFormat::Journal) => {
                log.with(layer().with_writer(out).with_ansi(false).with_target(self.targets)).init();
            }
        }
        if let Some(error) = missing {
            tracing::warn!(%error, "there is no journal to log to");
        }
        if let Some(error) = unthreaded {
            tracing::warn!(%error, "the log has no thread of its own");
        }
        writer
    }
}
