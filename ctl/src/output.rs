//! The one mouth: everything this program says leaves here.
//!
//! Rules: results go to stdout, talk to stderr; with `--json` stdout carries one JSON object a line
//! and nothing else; with `--plain` no meaning is carried by columns or indentation; there are no
//! colours; no text from outside steers the terminal; a reader that went away ends a command that
//! only looks quietly; of one that has changed something it is said what was done and how to see it
//! again, whatever stdout does.

use std::io::{self, IsTerminal as _};

use parsec_protocol::control::ProblemKind;
use serde::Serialize;
use serde_json::{Map, Value};
use unicode_width::UnicodeWidthStr as _;

use crate::descriptor;
use crate::failure::{Done, Failure};
use crate::plain;
use crate::schema::{self, Change, Schema};
use crate::text::{escaped, escaped_json, escaped_lines};

/// Cursor to the corner, everything behind it cleared (ECMA-48). With the next and `take_back`, all
/// here that steers a terminal.
const HOME_AND_CLEAR: &str = "\x1b[H\x1b[J";
/// Cursor to the line's beginning, and the line cleared.
const AGAIN: &str = "\r\x1b[K";

/// Where to speak, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Output {
    /// stdout is for programs.
    pub(crate) json: bool,
    /// No talk; results, questions and failures stay.
    pub(crate) quiet: bool,
    /// For ears and for one line at a time: see [`crate::plain`].
    pub(crate) plain: bool,
}

impl Output {
    /// Whether stdout is for programs. No person reads along then, so there is no talk either.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a screen reader reads along.
    pub(crate) const fn is_plain(&self) -> bool {
        self.plain
    }

    /// Text as this run shows it: hostile characters neutralised, and layout taken out if it is to
    /// be plain.
    fn fit(&self, text: &str) -> String {
        if self.plain { plain::flat(&escaped_lines(text)) } else { escaped_lines(text) }
    }

    /// A result: `schema` and the fields of `result` as one JSON line, or `text` for people.
    ///
    /// # Errors
    /// stdout is closed or can't be written.
    pub(crate) fn result(
        &self,
        schema: Schema,
        result: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json { self.object(schema, &[], result) } else { self.line(&text()) }
    }

    /// The result of a command that has changed something: as [`Self::result`], and if stdout
    /// fails, `done` is said on stderr.
    ///
    /// # Errors
    /// stdout is closed or can't be written.
    pub(crate) fn changed(
        &self,
        schema: Change,
        result: &impl Serialize,
        text: impl FnOnce() -> String,
        done: Done,
    ) -> Result<(), Failure> {
        self.result(schema.0, result, text).map_err(|failure| failure.after(done))
    }

    /// A file for the reader of stdout, as it is. Not for a screen, which it could steer.
    ///
    /// # Errors
    /// stdout is a terminal, is closed or can't be written.
    pub(crate) fn file(&self, bytes: &[u8]) -> Result<(), Failure> {
        if self.json {
            return Err(Failure::usage(
                "Standard output can't carry both the file and --json",
                "Name a file, or leave --json out.",
            ));
        }
        if io::stdout().is_terminal() {
            return Err(Failure::usage(
                "The file is not for a terminal's screen",
                "Name a file, or send the output to a program or a file.",
            ));
        }
        descriptor::write(io::stdout(), bytes).map_err(unwritten)
    }

    /// One JSON line: the schema's name, `head`, then the fields of `body`.
    ///
    /// # Errors
    /// stdout is closed or can't be written.
    pub(crate) fn object(
        &self,
        schema: Schema,
        head: &[(&str, &str)],
        body: &impl Serialize,
    ) -> Result<(), Failure> {
        let mut object: Map<String, Value> = std::iter::once(&("schema", schema.name()))
            .chain(head)
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect();
        match serde_json::to_value(body) {
            Ok(Value::Object(fields)) => object.extend(fields),
            Ok(other) => drop(object.insert("value".to_owned(), other)),
            Err(error) => return Err(Failure::OutputFailed(error.to_string())),
        }
        write_stdout(&escaped_json(&Value::Object(object).to_string()))
    }

    /// JSON on stdout, over as many lines as it has, for a result whose shape is the daemon's
    /// business.
    ///
    /// # Errors
    /// stdout is closed or can't be written.
    pub(crate) fn json(&self, json: &str) -> Result<(), Failure> {
        let lines: Vec<String> = json.split('\n').map(escaped_json).collect();
        write_stdout(&lines.join("\n"))
    }

    /// A whole screen in the place of the one before. Only for a terminal.
    ///
    /// # Errors
    /// stdout is closed or can't be written.
    pub(crate) fn redraw(&self, text: &str) -> Result<(), Failure> {
        write_stdout(&format!("{HOME_AND_CLEAR}{}", escaped_lines(text)))
    }

    /// Text on stdout.
    ///
    /// # Errors
    /// stdout is closed or can't be written.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        write_stdout(&self.fit(text))
    }

    /// Two fields on stdout with a tab between them, which neither can contain then. For the
    /// completion scripts.
    ///
    /// # Errors
    /// stdout is closed or can't be written.
    pub(crate) fn pair(&self, value: &str, about: &str) -> Result<(), Failure> {
        write_stdout(&format!("{}\t{}", escaped(value), escaped(about)))
    }

    /// Talk: what happens and what to do, on stderr.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet && !self.json {
            write_stderr(&format!("{}\n", self.fit(text)));
        }
    }

    /// A line about work that is under way, drawn over the one before. Only for a terminal.
    pub(crate) fn progress(&self, text: &str) {
        write_stderr(&format!("{AGAIN}{}", escaped(text)));
    }

    /// Takes such a line away.
    pub(crate) fn progress_ends(&self) {
        write_stderr(AGAIN);
    }

    /// Takes the last rows of the screen away, which the cursor stands below: a secret that was
    /// typed with its characters shown is not left in the window. Nothing with `--plain`, where the
    /// cursor is not moved.
    pub(crate) fn take_back(&self, rows: usize) {
        if !self.plain && rows > 0 {
            write_stderr(&format!("\x1b[{rows}A\r\x1b[J"));
        }
    }

    /// What a person must have seen to answer: a screen of the ceremony, why an answer can't be
    /// taken. Even when quiet.
    pub(crate) fn screen(&self, text: &str) {
        write_stderr(&format!("{}\n", self.fit(text)));
    }

    /// A question; the answer is typed behind it. Even when quiet.
    pub(crate) fn ask(&self, text: &str) {
        let question = self.fit(text);
        // The space between question and answer is the only one that ends a line.
        write_stderr(if text.ends_with(' ') { format!("{question} ") } else { question }.as_str());
    }

    /// Rows under headings: columns padded to the widest, or with `--plain` one fact a line.
    pub(crate) fn table(&self, headings: &[&str], rows: &[Vec<String>]) -> String {
        if self.plain { plain::records(headings, rows) } else { table(headings, rows) }
    }

    /// A picture on stderr, drawn in half blocks: with `coloured` in black on white, whatever the
    /// terminal's own colours are. Refuses rows with anything else in them, so that no text gets
    /// past the net by this way.
    ///
    /// # Errors
    /// A row is no picture.
    pub(crate) fn qr_code(&self, rows: &[String], coloured: bool) -> Result<(), Failure> {
        if rows.iter().flat_map(|row| row.chars()).any(|c| !HALF_BLOCKS.contains(&c)) {
            return Err(Failure::new(
                ProblemKind::Internal,
                "The picture has something else than blocks in it",
            ));
        }
        let (start, end) = if coloured { ("\x1b[38;5;16;48;5;231m", "\x1b[0m") } else { ("", "") };
        let drawn: String = rows.iter().map(|row| format!("{start}{row}{end}\n")).collect();
        write_stderr(&drawn);
        Ok(())
    }

    /// Help and version on stdout, or what is wrong with the arguments on stderr. They can hold
    /// anything, too.
    ///
    /// # Errors
    /// stdout is closed or can't be written.
    pub(crate) fn grammar(text: &str, answer: bool) -> Result<(), Failure> {
        let text = escaped_lines(text.trim_end());
        if answer {
            return write_stdout(&text);
        }
        write_stderr(&format!("{text}\n"));
        Ok(())
    }

    /// The end of a command that failed: what happened, and the remedy.
    pub(crate) fn failure(&self, failure: &Failure) {
        match failure {
            Failure::Report(report) if self.json => {
                let body = serde_json::json!({ "problem": report });
                // If stdout is gone too, the exit code still says it.
                let _told = self.object(schema::ERROR, &[("event", "error")], &body);
            }
            Failure::Report(report) => self.screen(&format!(
                "parsecctl: {}\n  What to do: {}\n  ({})",
                escaped(&report.message),
                escaped(&report.hint),
                escaped(&report.name)
            )),
            Failure::Interrupted(what) => self.screen(what),
            Failure::OutputClosed | Failure::Told(_) => {}
            // With --json, too: stdout takes nothing.
            Failure::Unshown(unshown) => self.screen(&unshown.in_words()),
            Failure::OutputFailed(why) => {
                write_stderr(&format!("parsecctl: can't write the result: {}\n", escaped(why)))
            }
        }
    }
}

/// What a picture is made of: two squares above each other in one cell.
pub(crate) const HALF_BLOCKS: [char; 4] = [' ', '\u{2580}', '\u{2584}', '\u{2588}'];

/// One line to stdout, at once: a script may be waiting for it.
fn write_stdout(line: &str) -> Result<(), Failure> {
    descriptor::write(io::stdout(), format!("{line}\n").as_bytes()).map_err(unwritten)
}

fn unwritten(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::OutputFailed(error.to_string()),
    }
}

/// To stderr. If nobody listens there, there is nobody to tell.
fn write_stderr(text: &str) {
    let _told = descriptor::write(io::stderr(), text.as_bytes());
}

/// A cell wider than this pushes what stands behind it in its own row, and widens no other: one
/// long name must not send every row over the edge of the screen.
const PADDED_MAX: usize = 32;

/// Rows under headings, columns padded to the widest of usual width, by what they take on a screen.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let all: Vec<Vec<String>> = std::iter::once(headings.iter().map(|h| (*h).to_owned()).collect())
        .chain(rows.iter().map(|row| row.iter().map(escaped).collect()))
        .collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            let cells = all.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
            cells.filter(|width| *width <= PADDED_MAX).max().unwrap_or(0)
        })
        .collect();
    let padded = |(cell, width): (&String, &usize)| {
        let missing = width.saturating_sub(cell.width());
        format!("{cell}{}", " ".repeat(missing))
    };
    all.iter()
        .map(|row| row.iter().zip(&widths).map(padded).collect::<Vec<_>>().join("  ").trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_cell_cannot_forge_a_row() {
        let text = table(&["A", "B"], &[vec!["x\ny\x1b[2J".into(), "z".into()]]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn columns_line_up() {
        assert_eq!(table(&["A", "LONG"], &[vec!["abc".into(), "d".into()]]), "A    LONG\nabc  d");
        assert_eq!(table(&["A", "B"], &[vec!["李".into(), "d".into()]]), "A   B\n李  d", "two cells wide");
        let long = "x".repeat(PADDED_MAX + 1);
        let rows = [vec!["ab".into(), "d".into()], vec![long.clone(), "e".into()]];
        assert_eq!(
            table(&["A", "B"], &rows),
            format!("A   B\nab  d\n{long}  e"),
            "a wide cell widens its own row"
        );
    }

    #[test]
    fn plain_output_has_no_table() {
        let output = Output { plain: true, ..Output::default() };
        assert_eq!(output.table(&["A", "B"], &[vec!["x".into(), "y".into()]]), "A: x\nB: y");
        assert_eq!(output.fit("  Root key:   ab\n    |\nend"), "Root key: ab\nend");
    }
}
