//! The two ears: reading what a person types, from a terminal only.
//!
//! Decides whether there is anybody to ask, and how Ctrl-C and hidden typing work. Refuses to ask where nobody is
//! (the failure names the option to give instead), to take an answer that was typed before its question, and to
//! leave a terminal without echo: the old settings come back on every way out, a panic and a killing signal included.
//!
//! Ctrl-C arrives as a character that ends the line rather than as a signal, so that a ceremony can be cancelled in
//! order and a hidden prompt can't leave the terminal dumb.

use std::io::{self, IsTerminal as _, stderr, stdin};
use std::thread::JoinHandle;

use parsec_protocol::control::ProblemKind;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::Output;

/// Longest line a terminal hands over (`N_TTY_BUF_SIZE`).
const LINE_BYTES: usize = 4096;
/// What Ctrl-C sends.
const CTRL_C: u8 = 3;

/// A terminal with a person at it, and the settings it had.
pub(crate) struct Terminal {
    before: Termios,
    output: Output,
    /// Ends the watch, and the thread that keeps it.
    watch: Option<(Handle, JoinHandle<()>)>,
}

/// What came from the person.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line, without its end. May be a secret, so it is wiped.
    Line(Zeroizing<String>),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D, or the terminal is gone.
    End,
}

impl Terminal {
    /// Whether a person can be asked: stdin and stderr are terminals, and neither `--json` nor `--no-input` forbids it.
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
        let before = tcgetattr(stdin()).map_err(|error| terminal_failed(&error))?;
        let watch = Some(watch(before.clone()).map_err(|error| {
            Failure::new(ProblemKind::Internal, format!("Signals can't be watched: {error}"))
        })?);
        let terminal = Self { before, output: *output, watch };
        terminal.set(false)?;
        Ok(terminal)
    }

    /// Asks a question in one line. What was typed before it is thrown away.
    ///
    /// # Errors
    /// The terminal failed.
    pub(crate) fn ask(&self, question: &str, hidden: bool) -> Result<(), Failure> {
        self.set(!hidden)?;
        tcflush(stdin(), QueueSelector::IFlush).map_err(|error| terminal_failed(&error))?;
        self.output.ask(question);
        Ok(())
    }

    /// Nothing is being asked: typing is not shown.
    ///
    /// # Errors
    /// The terminal failed.
    pub(crate) fn rest(&self) -> Result<(), Failure> {
        self.set(false)
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
                // The terminal was closed.
                Err(rustix::io::Errno::IO) => break 0,
                Err(error) => return Err(terminal_failed(&error)),
            }
        };
        Ok(typed(line.get(..count).unwrap_or_default()))
    }

    /// Asks and waits, for prompts with nothing else going on.
    ///
    /// # Errors
    /// Ctrl-C and Ctrl-D end the command; the terminal failed.
    pub(crate) fn answer(&self, question: &str, hidden: bool) -> Result<Zeroizing<String>, Failure> {
        self.ask(question, hidden)?;
        match self.read()? {
            Typed::Line(line) => {
                self.answered(hidden)?;
                Ok(line)
            }
            Typed::Interrupt | Typed::End => {
                Err(Failure::Interrupted("\nStopped; nothing was done.".to_owned()))
            }
        }
    }

    /// Line editing by the kernel, Ctrl-C as a line's end, echo as asked for.
    fn set(&self, echo: bool) -> Result<(), Failure> {
        let mut modes = self.before.clone();
        modes.local_modes.insert(LocalModes::ICANON);
        modes.local_modes.remove(LocalModes::ISIG);
        modes.local_modes.set(LocalModes::ECHO, echo);
        modes.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(stdin(), OptionalActions::Now, &modes).map_err(|error| terminal_failed(&error))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.watch.take() {
            handle.close();
            // It ends with its handle; if it panicked, the settings are restored here all the same.
            let _ended = thread.join();
        }
        // If even this fails, the terminal is gone.
        let _restored = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Restores the terminal when a signal is about to end the program, then lets it end as it would have.
fn watch(before: Termios) -> io::Result<(Handle, JoinHandle<()>)> {
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGQUIT, SIGINT])?;
    let handle = signals.handle();
    let thread = std::thread::Builder::new().spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // If these fail, the terminal is gone, or the signal comes again and ends the program by itself.
            let _restored = tcsetattr(stdin(), OptionalActions::Now, &before);
            let _ended = emulate_default_handler(signal);
        }
    })?;
    Ok((handle, thread))
}

/// Reads one line as the terminal hands it over.
fn typed(bytes: &[u8]) -> Typed {
    match bytes {
        [] => Typed::End,
        [.., CTRL_C] => Typed::Interrupt,
        [line @ .., b'\n'] | line => Typed::Line(Zeroizing::new(String::from_utf8_lossy(line).into_owned())),
    }
}

fn terminal_failed(error: &rustix::io::Errno) -> Failure {
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
        assert_eq!(typed(b"\xff\n"), line("\u{fffd}"));
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
