//! What two daemons say to each other on the peer-to-peer transport (docs/protocol.md, *Peer to
//! peer*): questions, answers, and the proof that whoever asks holds the link.
//!
//! Decides shapes and sizes. Knows no network: who is at the other end of a connection is an
//! argument.

mod hints;
mod proof;

use std::fmt;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::ids::{AttemptId, Email, Invited, Timestamp};
use crate::keys::LinkSecret;
use crate::limits::{BODY_MAX_BYTES, STEP_MAX_BYTES};
use crate::public_keys::{Hash, Proof};
use crate::relay::{AttemptView, EndReason, ErrorCode, LogPage};

pub use hints::{ADDRESSES_MAX, Hints, HintsError, PORT_MIN, Relay, may_be_met_at};
pub use proof::{Occasion, Proven};

/// The name under which both sides speak.
pub const PROTOCOL: &str = "/parsec/greet/1";
/// Largest question: a step of the largest size, its ids and framing.
pub const QUESTION_MAX_BYTES: usize = STEP_MAX_BYTES + 256;
/// Largest answer: a page of the log.
pub const ANSWER_MAX_BYTES: usize = BODY_MAX_BYTES;
/// Bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// The secret of an attempt: 32 bytes that only the claimer's daemon and its record hold. As silent
/// and as wiped as a link secret, and of its type.
pub type AttemptSecret = LinkSecret;

/// What a claimer's daemon asks.
#[derive(Encode, Decode)]
pub enum Question {
    /// Is the greeter there? Starts nothing.
    #[n(0)]
    Meet {
        /// By whoever holds the link.
        #[n(0)]
        proof: Proof,
    },
    /// Starts an attempt; asked again with the same values, it answers as before.
    #[n(1)]
    Start {
        /// Id that the claimer gives the attempt.
        #[n(0)]
        attempt: AttemptId,
        /// SHA-256 of the attempt's secret.
        #[n(1)]
        secret_hash: Hash,
        /// By whoever holds the link.
        #[n(2)]
        proof: Proof,
    },
    /// Every state from now on, the present one first.
    #[n(2)]
    Follow {
        /// Id of the attempt.
        #[n(0)]
        attempt: AttemptId,
        /// Secret that shows whose attempt it is.
        #[n(1)]
        secret: AttemptSecret,
    },
    /// Deposits a step of the claimer.
    #[n(3)]
    Deposit {
        /// Id of the attempt.
        #[n(0)]
        attempt: AttemptId,
        /// Secret that shows whose attempt it is.
        #[n(1)]
        secret: AttemptSecret,
        /// Number of the step: even, a claimer's.
        #[n(2)]
        step: u8,
        /// At most [`STEP_MAX_BYTES`].
        #[n(3)]
        bytes: ByteVec,
    },
    /// A step of the greeter.
    #[n(4)]
    Fetch {
        /// Id of the attempt.
        #[n(0)]
        attempt: AttemptId,
        /// Secret that shows whose attempt it is.
        #[n(1)]
        secret: AttemptSecret,
        /// Number of the step: odd, a greeter's.
        #[n(2)]
        step: u8,
    },
    /// Ends the attempt on both sides.
    #[n(5)]
    Cancel {
        /// Id of the attempt.
        #[n(0)]
        attempt: AttemptId,
        /// Secret that shows whose attempt it is.
        #[n(1)]
        secret: AttemptSecret,
        /// Why the claimer's side ends it.
        #[n(2)]
        reason: EndReason,
    },
    /// A page of the log, once step 7 is there.
    #[n(6)]
    Log {
        /// Id of the attempt.
        #[n(0)]
        attempt: AttemptId,
        /// Secret that shows whose attempt it is.
        #[n(1)]
        secret: AttemptSecret,
        /// Position of the first certificate wanted.
        #[n(2)]
        from: u64,
    },
}

impl fmt::Debug for Question {
    /// The kind alone: nearly all else is a secret or a proof of one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Meet { .. } => "Meet",
            Self::Start { .. } => "Start",
            Self::Follow { .. } => "Follow",
            Self::Deposit { .. } => "Deposit",
            Self::Fetch { .. } => "Fetch",
            Self::Cancel { .. } => "Cancel",
            Self::Log { .. } => "Log",
        })
    }
}

/// What the greeter's daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// The question is refused, with the server's codes.
    #[n(0)]
    Refused {
        /// Why, by the server's table.
        #[n(0)]
        code: ErrorCode,
        /// Seconds after which to try again; 0: no use.
        #[n(1)]
        retry_after: u32,
    },
    /// The greeter's daemon is there, and the proof holds.
    #[n(1)]
    Met {},
    /// The attempt is open.
    #[n(2)]
    Started {
        /// For whom the invitation is; the prologue binds it.
        #[n(0)]
        invited: Invited,
        /// E-mail of the inviting member: hearsay, until the log is there.
        #[n(1)]
        invited_by: Email,
        /// End of the invitation.
        #[n(2)]
        expires: Timestamp,
        /// The attempt as it is now.
        #[n(3)]
        attempt: AttemptView,
    },
    /// The attempt as it is now.
    #[n(3)]
    State {
        /// The attempt as it is now.
        #[n(0)]
        attempt: AttemptView,
    },
    /// Done, and durable where that matters.
    #[n(4)]
    Done {},
    /// The bytes of a step of the greeter's.
    #[n(5)]
    Step {
        /// At most [`STEP_MAX_BYTES`].
        #[n(0)]
        bytes: ByteVec,
    },
    /// A page of the log.
    #[n(6)]
    Log {
        /// From the position that was asked for.
        #[n(0)]
        page: LogPage,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::ids::DeviceId;
    use crate::ids::UserId;
    use crate::relay::GreeterIds;

    fn secret() -> AttemptSecret {
        AttemptSecret::from_bytes(&mut [7; 32])
    }

    #[test]
    fn the_largest_question_is_within_its_limit_and_every_kind_comes_back() {
        let attempt = AttemptId::from_bytes([1; 16]);
        let largest =
            Question::Deposit { attempt, secret: secret(), step: 8, bytes: vec![0; STEP_MAX_BYTES].into() };
        let questions = [
            Question::Start { attempt, secret_hash: Hash::of(&[b"x"]), proof: Proof::from_bytes([2; 32]) },
            Question::Meet { proof: Proof::from_bytes([2; 32]) },
            Question::Follow { attempt, secret: secret() },
            Question::Fetch { attempt, secret: secret(), step: 7 },
            Question::Cancel { attempt, secret: secret(), reason: EndReason::Cancelled },
            Question::Log { attempt, secret: secret(), from: 9 },
            largest,
        ];
        for question in questions {
            let bytes = codec::encode(&question);
            let back: Question = codec::decode(&bytes, QUESTION_MAX_BYTES).unwrap();
            assert_eq!(codec::encode(&back), bytes);
            // Nothing of a question may reach a log.
            assert!(format!("{question:?}").bytes().all(|byte| byte.is_ascii_alphabetic()));
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(codec::decode::<Question>(&longer, 2 * QUESTION_MAX_BYTES).is_err());
        }
    }

    #[test]
    fn answers_come_back() {
        let greeter = GreeterIds { user: UserId::from_bytes([1; 16]), device: DeviceId::from_bytes([2; 16]) };
        let attempt = AttemptView {
            attempt: AttemptId::from_bytes([3; 16]),
            steps: 0,
            greeter: Some(greeter),
            ended: None,
        };
        let answers = [
            Answer::Refused { code: ErrorCode::InvitationInUse, retry_after: 0 },
            Answer::Met {},
            Answer::Started {
                invited: Invited::Device(UserId::from_bytes([4; 16])),
                invited_by: "alice@x.test".parse().unwrap(),
                expires: Timestamp(5),
                attempt: attempt.clone(),
            },
            Answer::State { attempt },
            Answer::Done {},
            Answer::Step { bytes: vec![1].into() },
            Answer::Log { page: LogPage { count: 2, certificates: vec![vec![1].into()] } },
        ];
        for answer in answers {
            assert_eq!(codec::decode::<Answer>(&codec::encode(&answer), ANSWER_MAX_BYTES), Ok(answer));
        }
    }
}
