//! The event that carries a step of the other side (docs/protocol.md, *Event streams*).
//!
//! Decides how long a step may be to be told. Says no more than the read it stands for: whoever
//! gets one judges it as if it had been fetched.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::ids::{AttemptId, Token};

/// Name of the event that carries a step: a [`StepTold`].
pub const EVENT_STEP: &str = "step";
/// Longest step that is told; a longer one is fetched. Those of a ceremony have 48 to some 2,600
/// bytes. It fits a line of 8 KiB in base64, and is little for a server to keep for a slow reader.
pub const STEP_TOLD_MAX_BYTES: usize = 4_096;

/// A step that was deposited, for the side that reads it: as `GET …/steps/N` would be answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StepTold {
    /// Token of the invitation.
    #[n(0)]
    pub token: Token,
    /// The attempt it was deposited in.
    #[n(1)]
    pub attempt: AttemptId,
    /// Number of the step, 0 to 8.
    #[n(2)]
    pub step: u8,
    /// The step itself, at most [`STEP_TOLD_MAX_BYTES`].
    #[n(3)]
    pub bytes: ByteVec,
}
