//! How a command fails: the daemon's problem, this program's own, or a person who stopped.
//!
//! Decides exit codes. Refuses to lose a problem whose name this version does not know yet: it is passed on as it came.

use parsec_protocol::control::{Fault, Problem, ProblemKind};
use serde::{Deserialize, Serialize};

/// Wrong usage, by sysexits.
pub(crate) const USAGE: u8 = 64;
/// Reading or writing failed, by sysexits.
const IO: u8 = 74;
/// Ctrl-C, as a shell reports it: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;
/// The reader of our output went away, as a shell reports SIGPIPE.
const OUTPUT_CLOSED: u8 = 141;

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
            other @ (Self::Interrupted(_) | Self::OutputClosed | Self::OutputFailed(_) | Self::Told(_)) => {
                other
            }
        }
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            // A daemon that sent 0 would turn a failure into a success.
            Self::Report(report) if report.exit_code == 0 => ProblemKind::Internal.exit_code(),
            Self::Report(report) => report.exit_code,
            Self::Interrupted(_) => INTERRUPTED,
            Self::OutputClosed => OUTPUT_CLOSED,
            Self::OutputFailed(_) => IO,
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
    }

    #[test]
    fn a_name_from_the_future_survives() {
        let text = r#"{"name":"moon_too_full","message":"m","fault":"moon","hint":"h.","retryable":false,"exit_code":75}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&report).unwrap(), text);
    }
}
