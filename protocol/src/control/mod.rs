//! What the daemon and local programs say to each other: JSON-RPC 2.0, one object a line
//! (docs/local-api.md).
//!
//! Decides method names, the shapes of their parameters and results, and every error's name, fault,
//! hint and exit code. Refuses to hold keys: a code or a password passes through, nothing else
//! secret does.

mod archiving;
mod ceremony;
mod deciding;
mod events;
mod evidence;
mod files;
mod fm;
mod hello;
mod history;
mod keeping;
mod members;
pub mod method;
mod methods;
mod mounts;
mod net;
mod overview;
pub mod paths;
mod problem;
mod pruning;
mod recovery;
mod safes;
#[cfg(feature = "schema")]
pub mod schema;
mod secret;
mod tokens;
mod truth;

pub use archiving::{ARCHIVE_NAMED_MAX, ArchiveWriter, SafeExport, SafeExported, SafeImport, SafeImported};
pub use ceremony::{Action, CeremonyId, CeremonyView, Choice, ClaimerInfo, Outcome, Role, Stage, Subject};
pub use deciding::*;
pub use events::*;
pub use evidence::*;
pub use files::*;
pub use fm::*;
pub use hello::*;
pub use history::*;
pub use keeping::*;
pub use members::*;
pub use methods::*;
pub use mounts::*;
pub use net::*;
pub use overview::{ENDED_CEREMONIES_MAX, Overview};
pub use problem::{Fault, Problem, ProblemKind};
pub use pruning::*;
pub use recovery::*;
pub use safes::*;
pub use secret::SecretText;
pub use tokens::*;
pub use truth::*;

pub use crate::recovery::{KIT_WORDS, WordsFault, check_words, is_word};

/// Version of this API. The major number changes when a client written for it would break.
pub const API_VERSION: &str = "2.0";
/// The oldest version whose clients still work: a client of this one finds all that it knows.
pub const API_OLDEST: &str = "2.0";
/// Longest line either side accepts, in bytes: the largest result is a list of some thousand
/// members.
pub const LINE_MAX_BYTES: usize = 1024 * 1024;
/// The socket's place under `$XDG_RUNTIME_DIR`.
pub const SOCKET_DIRECTORY: &str = "parsecd";
/// The file name of the user's own socket.
pub const SOCKET_NAME: &str = "parsecd.sock";
/// The file name of the socket for plug-ins.
pub const PLUGIN_SOCKET_NAME: &str = "plugin.sock";
