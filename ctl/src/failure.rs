//! How a command fails: the daemon's problem, this program's own, or a person who stopped.
//!
//! Decides exit codes. Refuses to lose a problem whose name this version does not know yet: it is
//! passed on as it came.

use parsec_host::exit;
use parsec_protocol::control::{Fault, Problem, ProblemKind};
use serde::{Deserialize, Serialize};

use crate::text::escaped;

/// Nothing was made, because what would be shown once would be lost: no failure of anything but the
/// call.
const NOT_MADE: u8 = 1;

/// A problem as received: like [`Problem`], with a name that a newer daemon may have invented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The stable name.
    pub(crate) name: String,
    /// What happened, in a sentence.
    pub(crate) message: String,
    /// Whose fault it is; text for the same reason as the name.
    pub(crate) fault: String,
    /// What to do.
    pub(crate) hint: String,
    /// Whether the same request may work later.
    pub(crate) retryable: bool,
    /// 64 to 78.
    pub(crate) exit_code: u8,
}

impl Report {
    /// Whether it is this one.
    pub(crate) fn is(&self, kind: ProblemKind) -> bool {
        self.name == kind.name()
    }

    /// Puts another remedy in the place of the general one.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl From<Problem> for Report {
    fn from(problem: Problem) -> Self {
        let fault = match problem.fault {
            Fault::Caller => "caller",
            Fault::Peer => "peer",
            Fault::Server => "server",
            Fault::Machine => "machine",
            Fault::Daemon => "daemon",
            Fault::Interference => "interference",
        };
        Self {
            name: problem.name.name().to_owned(),
            message: problem.message,
            fault: fault.to_owned(),
            hint: problem.hint,
            retryable: problem.retryable,
            exit_code: problem.exit_code,
        }
    }
}

/// What was done although its result could not be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unshown {
    /// Why it could not.
    why: String,
    /// Whether the reader went away.
    closed: bool,
    /// What has happened, and how to see it again.
    done: Done,
}

/// What a command has done, for whoever can't be shown its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// In a sentence.
    what: String,
    /// How to see it again, or to undo it.
    again: String,
}

impl Done {
    /// `what` and `again` are sentences.
    pub(crate) fn new(what: impl Into<String>, again: impl Into<String>) -> Self {
        Self { what: what.into(), again: again.into() }
    }
}

impl Unshown {
    /// In the form of every failure.
    pub(crate) fn in_words(&self) -> String {
        format!(
            "parsecctl: The result can't be written: {}\n  What was done: {}\n  What to do: {}",
            escaped(&self.why),
            escaped(&self.done.what),
            escaped(&self.done.again)
        )
    }
}

/// Why a command did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Something went wrong.
    Report(Report),
    /// The person pressed Ctrl-C; a sentence on what became of it.
    Interrupted(String),
    /// Nobody reads stdout any more. Not worth a word.
    OutputClosed,
    /// stdout can't be written: a full disk.
    OutputFailed(String),
    /// Something was done, and its result can't be written.
    Unshown(Unshown),
    /// The result, already on stdout, says what is wrong; only the exit code is left to give.
    Told(u8),
}

impl Failure {
    /// A problem of this program's own.
    pub(crate) fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self::Report(Problem::new(kind, message).into())
    }

    /// A wrong call, with the remedy for this case.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Report(Report::from(Problem::new(ProblemKind::InvalidRequest, message)).with_hint(hint))
    }

    /// The same failure with a remedy for this case.
    #[must_use]
    pub(crate) fn advised(self, hint: &str) -> Self {
        match self {
            Self::Report(report) => Self::Report(report.with_hint(hint)),
            other @ (Self::Interrupted(_)
            | Self::OutputClosed
            | Self::OutputFailed(_)
            | Self::Unshown(_)
            | Self::Told(_)) => other,
        }
    }

    /// The same failure, with what it is about before its words: one of many files, by its path.
    #[must_use]
    pub(crate) fn about(self, what: &str) -> Self {
        match self {
            Self::Report(report) => {
                Self::Report(Report { message: format!("{what}: {}", report.message), ..report })
            }
            other @ (Self::Interrupted(_)
            | Self::OutputClosed
            | Self::OutputFailed(_)
            | Self::Unshown(_)
            | Self::Told(_)) => other,
        }
    }

    /// The same failure, of a command that has done something by then: if stdout failed, that is
    /// said.
    #[must_use]
    pub(crate) fn after(self, done: Done) -> Self {
        match self {
            Self::OutputClosed => {
                Self::Unshown(Unshown { why: "nobody reads it any more".to_owned(), closed: true, done })
            }
            Self::OutputFailed(why) => Self::Unshown(Unshown { why, closed: false, done }),
            other @ (Self::Report(_) | Self::Interrupted(_) | Self::Unshown(_) | Self::Told(_)) => other,
        }
    }

    /// stdout leads nowhere, and what would be written there could not be seen again.
    pub(crate) fn nowhere(done: Done) -> Self {
        Self::OutputFailed("standard output is closed, or leads nowhere".to_owned()).after(done)
    }

    /// stdout leads nowhere, so what would be shown there once was not made at all. `why` completes
    /// a sentence.
    pub(crate) fn not_made(why: &str, hint: &str) -> Self {
        let text = format!("Standard output is closed, or leads nowhere: {why}.");
        let report = Report::from(Problem::new(ProblemKind::InvalidRequest, text)).with_hint(hint);
        Self::Report(Report { exit_code: NOT_MADE, ..report })
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            // A daemon that sent 0 would turn a failure into a success.
            Self::Report(report) if report.exit_code == 0 => ProblemKind::Internal.exit_code(),
            Self::Report(report) => report.exit_code,
            Self::Interrupted(_) => exit::INTERRUPTED,
            Self::OutputClosed | Self::Unshown(Unshown { closed: true, .. }) => exit::OUTPUT_CLOSED,
            Self::OutputFailed(_) | Self::Unshown(Unshown { closed: false, .. }) => exit::IO,
            Self::Told(code) => *code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_keeps_its_exit_code_and_none_is_success() {
        for kind in ProblemKind::ALL {
            assert_eq!(Failure::new(*kind, "x").exit_code(), kind.exit_code(), "{}", kind.name());
        }
        let mut zero = Report::from(Problem::new(ProblemKind::CodeMismatch, "x"));
        zero.exit_code = 0;
        assert_ne!(Failure::Report(zero).exit_code(), 0);
        assert_eq!(Failure::Interrupted(String::new()).exit_code(), 130);
        assert_eq!(Failure::OutputClosed.exit_code(), 141);
        assert_eq!(Failure::OutputFailed(String::new()).exit_code(), 74);
        let done = || Done::new("a", "b");
        assert_eq!(Failure::OutputClosed.after(done()).exit_code(), 141);
        assert_eq!(Failure::OutputFailed(String::new()).after(done()).exit_code(), 74);
        assert_eq!(
            Failure::Told(70).after(done()),
            Failure::Told(70),
            "only what failed at stdout is another's"
        );
    }

    #[test]
    fn a_failure_is_about_a_file() {
        let failure = Failure::new(ProblemKind::PathNotFound, "gone");
        assert_eq!(failure.about("/a"), Failure::new(ProblemKind::PathNotFound, "/a: gone"));
        assert_eq!(Failure::Told(70).about("/a"), Failure::Told(70));
    }

    #[test]
    fn a_name_from_the_future_survives() {
        let text = r#"{"name":"moon_too_full","message":"m","fault":"moon","hint":"h.","retryable":false,"exit_code":75}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&report).unwrap(), text);
    }
}
