//! What people read of a state, in a column and in a menu.
//!
//! Decides every word that a plug-in shows: a fixed list, into which no name of a safe, a person or
//! a file ever comes.

use parsec_protocol::control::{FmAct, FmMark, FmState};

const fn state(state: FmState) -> &'static str {
    match state {
        FmState::Untrusted => "Not trusted",
        FmState::Locked => "Locked",
        FmState::Conflict => "Conflict copy",
        FmState::Pending => "Waiting to be shared",
        FmState::Syncing => "Syncing",
        FmState::Saved => "Saved, not shared yet",
        FmState::Synced => "Synced",
        FmState::Unknown => "",
    }
}

const fn mark(mark: FmMark) -> &'static str {
    match mark {
        FmMark::ReadOnly => "read-only",
        FmMark::OnlineOnly => "online only",
        FmMark::PartlyHere => "partly on this device",
        FmMark::Pinned => "pinned",
        FmMark::Unknown => "",
    }
}

/// A state and what else is true, in words.
pub(super) fn words(stands: FmState, marks: &[FmMark]) -> String {
    let marks = marks.iter().map(|one| mark(*one));
    std::iter::once(state(stands)).chain(marks).collect::<Vec<_>>().join(", ")
}

/// A line of a menu.
pub(super) const fn label(act: FmAct) -> &'static str {
    match act {
        FmAct::Share => "Who is in this safe",
        FmAct::History => "Earlier versions",
        FmAct::Conflicts => "Conflicts in this safe",
        FmAct::Pin => "Keep on this device",
        FmAct::Unpin => "Keep on this device no longer",
        FmAct::CopyPath => "Copy path in the safe",
        FmAct::Unknown => "",
    }
}
