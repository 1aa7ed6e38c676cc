//! The methods about safes and their files: which safe is meant, and what is answered.
//!
//! Decides that a safe is named by its name exactly or by the start of its id, and that two which
//! fit are no answer. What is done in it, the room `safes` decides.

pub mod archiving;
mod as_it_was;
mod blame;
mod brought;
pub mod confirm;
pub mod files;
mod here;
pub mod journal;
pub mod keeping;
pub mod membership;
pub mod mounts;
pub mod past;
pub mod pruning;
pub mod status;
pub mod truth;

use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};

use crate::safes::{loading, views};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;

/// Fewest digits of an id: fewer are too easily another safe's.
const PREFIX_MIN_DIGITS: usize = 4;

/// The one safe that is meant.
///
/// # Errors
/// `safe_unknown`, `safe_ambiguous`; the store's.
async fn choose(session: &Session, text: &str) -> Result<Arc<OpenSafe>, Problem> {
    let mut named = Vec::new();
    let mut begun = Vec::new();
    let is_prefix = text.len() >= PREFIX_MIN_DIGITS;
    for safe in loading::open_all(session).await? {
        let called = views::name(&*safe.memory().await);
        if called.is_some_and(|name| name.as_str() == text) {
            named.push(safe);
        } else if is_prefix && safe.id.to_string().starts_with(text) {
            begun.push(safe);
        }
    }
    let mut found = if named.is_empty() { begun } else { named };
    match (found.pop(), found.len()) {
        (Some(safe), 0) => Ok(safe),
        (Some(_), _) => Err(Problem::new(ProblemKind::SafeAmbiguous, "More than one safe is called so.")),
        (None, _) => {
            let unknown = Problem::new(ProblemKind::SafeUnknown, "This device has no such safe.");
            let path = "Name the safe alone, without a path: `parsecctl safe list` shows them.";
            Err(if text.contains(":/") { Problem { hint: path.to_owned(), ..unknown } } else { unknown })
        }
    }
}
