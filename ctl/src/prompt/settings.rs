//! A terminal's settings while somebody is asked, and job control.
//!
//! Decides that the settings from before stand whenever this program does not run in the
//! foreground: at its end, when a signal ends it, and while it is stopped; and that its own stand
//! again as soon as it goes on, before anything can be typed into a hidden prompt. Refuses to touch
//! a terminal from the background: it is somebody else's then.

use std::io::{self, stdin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcgetpgrp,
    tcsetattr,
};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::{emulate_default_handler, raise};

use crate::output::Output;

/// What Ctrl-C sends.
pub(super) const CTRL_C: u8 = 3;
/// What Ctrl-Z sends.
pub(super) const CTRL_Z: u8 = 26;

/// What shall be set, and what is being asked.
struct Wanted {
    before: Termios,
    now: Termios,
    question: Option<String>,
}

/// Holds the settings until it is dropped.
pub(super) struct Settings {
    wanted: Arc<Mutex<Wanted>>,
    /// Ends the watch, and the thread that keeps it.
    watch: Option<(Handle, JoinHandle<()>)>,
}

fn lock(wanted: &Mutex<Wanted>) -> MutexGuard<'_, Wanted> {
    // Nothing below can stop half-way, so a poisoned lock still guards sound settings.
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the terminal is this program's at the moment. In the background a change of settings
/// would stop the program.
fn in_foreground() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

fn apply(modes: &Termios) -> io::Result<()> {
    if in_foreground() {
        tcsetattr(stdin(), OptionalActions::Now, modes)?;
    }
    Ok(())
}

impl Settings {
    /// Notes the present settings, and watches for signals.
    pub(super) fn take(output: Output) -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let wanted = Wanted { now: before.clone(), before, question: None };
        let wanted = Arc::new(Mutex::new(wanted));
        let watch = Some(watch(Arc::clone(&wanted), output)?);
        Ok(Self { wanted, watch })
    }

    /// Line editing by the kernel, Ctrl-C and Ctrl-Z as a line's end, echo as asked for.
    pub(super) fn set(&self, echo: bool, question: Option<&str>) -> io::Result<()> {
        // Held while the program is stopped: nothing is set between giving the terminal back and
        // standing still.
        let mut wanted = lock(&self.wanted);
        let mut modes = wanted.before.clone();
        // The second end of line is one only with IEXTEN.
        modes.local_modes.insert(LocalModes::ICANON | LocalModes::IEXTEN);
        modes.local_modes.remove(LocalModes::ISIG);
        modes.local_modes.set(LocalModes::ECHO, echo);
        modes.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        modes.special_codes[SpecialCodeIndex::VEOL2] = CTRL_Z;
        wanted.now = modes;
        wanted.question = question.map(ToOwned::to_owned);
        apply(&wanted.now)
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.watch.take() {
            handle.close();
            // It ends with its handle; if it panicked, the settings are restored here all the same.
            let _ended = thread.join();
        }
        // If even this fails, the terminal is gone.
        let _restored = apply(&lock(&self.wanted).before);
    }
}

/// Follows the signals that end, stop and continue this program.
fn watch(wanted: Arc<Mutex<Wanted>>, output: Output) -> io::Result<(Handle, JoinHandle<()>)> {
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGQUIT, SIGINT, SIGTSTP, SIGCONT])?;
    let handle = signals.handle();
    let thread = std::thread::Builder::new().spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGTSTP => stop(&wanted),
                SIGCONT => go_on(&wanted, output),
                _ => {
                    // If these fail, the terminal is gone, or the signal comes again and ends the
                    // program by itself.
                    let _restored = apply(&lock(&wanted).before);
                    let _ended = emulate_default_handler(signal);
                }
            }
        }
    })?;
    Ok((handle, thread))
}

/// Gives the terminal back and stands still until somebody continues the program.
fn stop(wanted: &Mutex<Wanted>) {
    let wanted = lock(wanted);
    // If these fail, the terminal is gone, or the program goes on: there is nothing else to give
    // back.
    let _restored = apply(&wanted.before);
    // Not SIGSTOP: this one the kernel leaves out where there is no shell that could continue the
    // program.
    let _stopped = raise(SIGTTIN);
    let _set = apply(&wanted.now);
}

/// Takes the terminal again: a shell has set its own, with echo. What was typed meanwhile is no
/// answer, and the question is on the screen above.
fn go_on(wanted: &Mutex<Wanted>, output: Output) {
    let wanted = lock(wanted);
    if !in_foreground() {
        return;
    }
    let _set = apply(&wanted.now);
    let _flushed = tcflush(stdin(), QueueSelector::IFlush);
    if let Some(question) = &wanted.question {
        output.ask(question);
    }
}
