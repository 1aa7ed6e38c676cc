//! What the daemon and local programs say to each other: JSON-RPC 2.0, one object a line (docs/local-api.md).
//!
//! Decides method names, the shapes of their parameters and results, and every error's name, fault, hint and
//! exit code. Refuses to hold keys: a code or a password passes through, nothing else secret does.

mod ceremony;
mod methods;
mod problem;
mod secret;

pub use ceremony::{Action, CeremonyId, CeremonyView, Choice, ClaimerInfo, Outcome, Role, Stage, Subject};
pub use methods::*;
pub use problem::{Fault, Problem, ProblemKind};
pub use secret::SecretText;

/// Version of this API. The major number changes when a client written for it would break.
pub const API_VERSION: &str = "1.0";
/// Longest line either side accepts, in bytes: the largest result is a list of some thousand members.
pub const LINE_MAX_BYTES: usize = 1024 * 1024;
/// The socket's place under `$XDG_RUNTIME_DIR`.
pub const SOCKET_DIRECTORY: &str = "parsecd";
/// The socket's file name.
pub const SOCKET_NAME: &str = "parsecd.sock";
