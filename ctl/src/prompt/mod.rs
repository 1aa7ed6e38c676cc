//! The two ears: reading what a person types, from a terminal only.
//!
//! Decides whether there is anybody to ask, and how Ctrl-C and hidden typing work. Refuses to ask
//! where nobody is (the failure names the option to give instead), to take an answer that was typed
//! before its question, to leave anything of a secret that was pasted to the shell, and to leave a
//! terminal without echo: the old settings come back on every way out (`settings`), a panic, a
//! killing signal and Ctrl-Z included.
//!
//! Ctrl-C and Ctrl-Z arrive as characters that end the line rather than as signals, so that a
//! ceremony can be cancelled in order and a hidden prompt can't leave the terminal dumb.

mod settings;

use std::io::{self, IsTerminal as _, stderr, stdin};
use std::time::Duration;

use parsec_protocol::control::ProblemKind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{QueueSelector, tcflush, tcgetwinsize};
use settings::{CTRL_C, CTRL_Z, Settings};
use unicode_width::UnicodeWidthStr as _;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::Output;

/// Longest line a terminal hands over (`N_TTY_BUF_SIZE`).
const LINE_BYTES: usize = 4096;
/// What was pasted has come to its end when nothing more comes for this long: terminals hand a
/// paste over in pieces, as fast as they are read.
const PASTE_QUIET: Duration = Duration::from_millis(150);
/// Most lines that one paste is read for: who pastes a book shall not have to wait for its end.
const PASTE_MAX_LINES: usize = 256;

/// A terminal with a person at it, and the settings it had.
pub(crate) struct Terminal {
    settings: Settings,
    output: Output,
}

/// What came from the person.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line, without its end. May be a secret, so it is wiped.
    Line(Zeroizing<String>),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z, and the person is back: the question stands again.
    Suspended,
    /// Ctrl-D, or the terminal is gone.
    End,
}

impl Terminal {
    /// Whether a person can be asked: stdin and stderr are terminals, and neither `--json` nor
    /// `--no-input` forbids it.
    pub(crate) fn present(no_input: bool, output: &Output) -> bool {
        !no_input && !output.is_json() && stdin().is_terminal() && stderr().is_terminal()
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// Nobody can be asked; the hint is `instead`, the option that gives the answer.
    pub(crate) fn open(no_input: bool, output: &Output, what: &str, instead: &str) -> Result<Self, Failure> {
        if !Self::present(no_input, output) {
            let why = if no_input || output.is_json() {
                "asking was forbidden (--no-input or --json)"
            } else {
                "there is no terminal to ask on"
            };
            return Err(Failure::usage(format!("{what} is needed, and {why}"), instead));
        }
        let settings = Settings::take(*output).map_err(|error| terminal_failed(&error))?;
        settings.set(false, None).map_err(|error| terminal_failed(&error))?;
        Ok(Self { settings, output: *output })
    }

    /// Asks a question in one line. What was typed before it is thrown away.
    ///
    /// # Errors
    /// The terminal failed.
    pub(crate) fn ask(&self, question: &str, hidden: bool) -> Result<(), Failure> {
        self.settings.set(!hidden, Some(question)).map_err(|error| terminal_failed(&error))?;
        flush()?;
        self.output.ask(question);
        Ok(())
    }

    /// Nothing is being asked: typing is not shown.
    ///
    /// # Errors
    /// The terminal failed.
    pub(crate) fn rest(&self) -> Result<(), Failure> {
        self.settings.set(false, None).map_err(|error| terminal_failed(&error))
    }

    /// The question is answered: the line ends, which hidden typing did not show.
    ///
    /// # Errors
    /// The terminal failed.
    pub(crate) fn answered(&self, hidden: bool) -> Result<(), Failure> {
        if hidden {
            self.output.screen("");
        }
        self.rest()
    }

    /// Waits for one line.
    ///
    /// # Errors
    /// The terminal failed.
    pub(crate) fn read(&self) -> Result<Typed, Failure> {
        let mut line = Zeroizing::new([0; LINE_BYTES]);
        let count = loop {
            match rustix::io::read(stdin(), &mut *line) {
                Ok(count) => break count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => drop(more_within(None)?),
                // The terminal was closed.
                Err(rustix::io::Errno::IO) => break 0,
                Err(error) => return Err(terminal_failed(&error.into())),
            }
        };
        let typed = typed(line.get(..count).unwrap_or_default());
        if typed == Typed::Suspended {
            // This program, and whatever shares its pipeline. `settings` does what belongs to it.
            kill_current_process_group(Signal::TSTP)
                .map_err(|error| terminal_failed(&io::Error::from(error)))?;
        }
        Ok(typed)
    }

    /// Reads on behind a line that was pasted, to the end of the paste: nothing of it may be left
    /// for the shell.
    ///
    /// # Errors
    /// The terminal failed.
    fn rest_of_paste(&self, first: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
        let mut all = first;
        for _ in 0..PASTE_MAX_LINES {
            if !more_within(Some(PASTE_QUIET))? {
                return Ok(all);
            }
            match self.read()? {
                Typed::Line(line) => {
                    let mut longer = Zeroizing::new(String::with_capacity(all.len() + line.len() + 1));
                    longer.push_str(&all);
                    longer.push('\n');
                    longer.push_str(&line);
                    all = longer;
                }
                Typed::Interrupt | Typed::Suspended | Typed::End => break,
            }
        }
        flush()?;
        Ok(all)
    }

    /// Asks and waits for something that may have more than one line, because it was pasted; not
    /// shown.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub(crate) fn pasted(&self, question: &str) -> Result<Zeroizing<String>, Failure> {
        self.first_line(question, true).and_then(|line| {
            let all = self.rest_of_paste(line)?;
            self.answered(true)?;
            Ok(all)
        })
    }

    fn first_line(&self, question: &str, hidden: bool) -> Result<Zeroizing<String>, Failure> {
        self.ask(question, hidden)?;
        loop {
            match self.read()? {
                Typed::Line(line) => return Ok(line),
                Typed::Suspended => {}
                Typed::Interrupt | Typed::End => {
                    return Err(Failure::Interrupted("\nStopped; nothing was done.".to_owned()));
                }
            }
        }
    }

    /// Asks and waits, for prompts with nothing else going on.
    ///
    /// # Errors
    /// Ctrl-C and Ctrl-D end the command; the terminal failed.
    pub(crate) fn answer(&self, question: &str, hidden: bool) -> Result<Zeroizing<String>, Failure> {
        let line = self.first_line(question, hidden)?;
        if hidden {
            // Only the first line of a secret counts, as in a file.
            let _rest = self.rest_of_paste(Zeroizing::default())?;
        }
        self.answered(hidden)?;
        Ok(line)
    }

    /// Asks for a secret that nobody can type unseen: it is shown while it is typed, and taken off
    /// the screen once it is read.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub(crate) fn shown_while_typed(&self, question: &str) -> Result<Zeroizing<String>, Failure> {
        let line = self.answer(question, false)?;
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
        if let Some(columns) = tcgetwinsize(stdin()).ok().map(|size| usize::from(size.ws_col))
            && !dumb
        {
            self.output.take_back(rows(question.width() + line.width(), columns));
        }
        Ok(line)
    }
}

/// Rows that a line of such a width takes on a screen; none on one without columns.
fn rows(width: usize, columns: usize) -> usize {
    if columns == 0 { 0 } else { width.div_ceil(columns).max(1) }
}

/// Whether more was typed, now or within a while.
fn more_within(wait: Option<Duration>) -> Result<bool, Failure> {
    let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
    let stdin = stdin();
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], wait.as_ref()) {
        Ok(count) => Ok(count > 0),
        // A signal that changes nothing; what is there is found at the next look.
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(terminal_failed(&error.into())),
    }
}

/// Throws away what was typed and not read.
fn flush() -> Result<(), Failure> {
    tcflush(stdin(), QueueSelector::IFlush).map_err(|error| terminal_failed(&error.into()))
}

/// Reads one line as the terminal hands it over.
fn typed(bytes: &[u8]) -> Typed {
    match bytes {
        [] => Typed::End,
        [.., CTRL_C] => Typed::Interrupt,
        [.., CTRL_Z] => Typed::Suspended,
        [line @ .., b'\n'] | line => Typed::Line(Zeroizing::new(String::from_utf8_lossy(line).into_owned())),
    }
}

fn terminal_failed(error: &io::Error) -> Failure {
    Failure::new(ProblemKind::DaemonUnreachable, format!("The terminal failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Typed {
        Typed::Line(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn lines_ends_and_interrupts_are_told_apart() {
        assert_eq!(typed(b"K7EM\n"), line("K7EM"));
        assert_eq!(typed(b"\n"), line(""));
        assert_eq!(typed(b""), Typed::End);
        assert_eq!(typed(b"\x03"), Typed::Interrupt);
        assert_eq!(typed(b"half a passw\x03"), Typed::Interrupt);
        assert_eq!(typed(b"ended by ctrl-d"), line("ended by ctrl-d"));
        assert_eq!(typed(b"half a passw\x1a"), Typed::Suspended);
        assert_eq!(typed(b"\xff\n"), line("\u{fffd}"));
    }

    #[test]
    fn a_line_takes_the_rows_that_it_fills() {
        let counts = [(0, 80), (80, 80), (81, 80), (160, 80), (161, 80), (12, 0)].map(|(w, c)| rows(w, c));
        assert_eq!(counts, [1, 1, 2, 2, 3, 0]);
    }

    #[test]
    fn without_a_terminal_the_failure_names_the_option() {
        let output = Output { json: true, ..Output::default() };
        let failure =
            Terminal::open(false, &output, "A password", "Give it with --password-file FILE.").err();
        let Some(Failure::Report(report)) = failure else { panic!("{failure:?}") };
        assert_eq!(report.exit_code, 64);
        assert!(report.hint.contains("--password-file"));
    }
}
