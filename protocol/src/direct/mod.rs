//! What two devices of one safe say to each other without a server (docs/protocol.md, *Direct
//! exchange*): how each shows the other who it is, questions and answers.
//!
//! Decides shapes and sizes. Knows no network and no log: who is at the other end of a connection,
//! and whether a device may be answered, are arguments or the caller's.

mod heads;
mod hello;

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use crate::ids::{ObjectId, SafeId};
use crate::limits::BODY_MAX_BYTES;
use crate::object_hash::ObjectHash;

pub use heads::{SignedSafeHeads, Word};
pub use hello::{
    ENTRY_BYTES, Ends, HELLO_BYTES, Hello, MEETING_NONCE_BYTES, Meeting, Side, Tag, random_entry, read_entry,
};

/// The name under which both sides speak.
pub const PROTOCOL: &str = "/parsec/direct/1";
/// Entries of a knock are filled up to a multiple of this with random ones: how many safes a device
/// has is nobody's business.
pub const KNOCK_STEP: usize = 16;
/// Entries of a knock at most: each costs the other side a look-up, and one that fits a signature's
/// check.
pub const KNOCK_MAX: usize = 256;
/// Largest encoding of a knock, and of the answer to it.
pub const KNOCK_MAX_BYTES: usize = 8 + MEETING_NONCE_BYTES + KNOCK_MAX * (ENTRY_BYTES + 8);
/// Epochs whose keys still open a knock: as many as a device may have slept through. Who has such
/// a key and no role any more is answered like a stranger.
pub const EPOCHS_KNOWN: u64 = 16;
/// Objects in one question.
pub const OBJECTS_ASKED_MAX: usize = 64;
/// Largest question: the ends of as many safes as a knock has.
pub const QUESTION_MAX_BYTES: usize = 64 + KNOCK_MAX * 64;
/// Largest answer: objects of as many bytes as the server gives in one.
pub const ANSWER_MAX_BYTES: usize = BODY_MAX_BYTES;
/// Questions on one stream; who has more opens another one, and shows anew who it is.
pub const QUESTIONS_MAX: u32 = 10_000;

/// The first frame of who opens a stream: for each of its safes an entry that only members can
/// read, among random ones.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Knock {
    /// Drawn for this knock: no two have the same tags.
    #[n(0)]
    pub nonce: ByteArray<MEETING_NONCE_BYTES>,
    /// Each of [`ENTRY_BYTES`] bytes.
    #[n(1)]
    pub entries: Vec<ByteVec>,
}

impl Knock {
    /// Whether it has the shape that every knock has.
    #[must_use]
    pub fn is_shaped(&self) -> bool {
        let count = self.entries.len();
        count > 0
            && count <= KNOCK_MAX
            && count.is_multiple_of(KNOCK_STEP)
            && self.entries.iter().all(|entry| entry.len() == ENTRY_BYTES)
    }
}

/// The answer to a knock: for each entry that is known here its number, and who answers, sealed
/// under the same key. Empty to everybody else, whatever the reason.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Met(#[n(0)] pub Vec<MetSafe>);

/// A safe that both have.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MetSafe {
    /// Number of the entry in the knock, from 0.
    #[n(0)]
    pub entry: u32,
    /// The hello of who answers, of [`HELLO_BYTES`] bytes.
    #[n(1)]
    pub hello: ByteVec,
}

/// An object by its id, and the hash that it must have: only who knows the record that names it
/// knows both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct AskedObject {
    /// Id of the object.
    #[n(0)]
    pub object: ObjectId,
    /// BLAKE3-256 of its sealed bytes.
    #[n(1)]
    pub blake3: ObjectHash,
}

/// An object that is given.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct GivenObject {
    /// Id of the object.
    #[n(0)]
    pub object: ObjectId,
    /// Its sealed bytes, which the asker compares with the hash.
    #[n(1)]
    pub sealed: ByteVec,
}

/// Where the logs of a safe end, as far as somebody was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct KnownEnds {
    /// Id of the safe.
    #[n(0)]
    pub safe: SafeId,
    /// Certificates of the organisation's log, of the safe's, records of its journal.
    #[n(1)]
    pub counts: [u64; 3],
}

/// What is asked, each of safes that both have shown to have.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Question {
    /// Where logs end; answered for the first safe whose are at another place than the asker names,
    /// or after some time with nothing.
    #[n(0)]
    Ends {
        /// Safes, each with what the asker was told last: at most [`KNOCK_MAX`].
        #[n(0)]
        known: Vec<KnownEnds>,
    },
    /// Objects of accepted records.
    #[n(1)]
    Objects {
        /// Id of the safe.
        #[n(0)]
        safe: SafeId,
        /// At most [`OBJECTS_ASKED_MAX`].
        #[n(1)]
        objects: Vec<AskedObject>,
    },
}

/// What is answered to a question.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[expect(clippy::large_enum_variant, reason = "one is made for each answer, and none is kept")]
pub enum Answer {
    /// Nothing: it isn't here, or isn't for who asks. Which, is told to nobody.
    #[n(0)]
    Nothing {},
    /// Where the logs of a safe end, signed.
    #[n(1)]
    Ends {
        /// Id of the safe.
        #[n(0)]
        safe: SafeId,
        /// The organisation's log, and the safe's.
        #[n(1)]
        word: Word,
    },
    /// Those of the objects that are here, as many as one answer takes.
    #[n(2)]
    Objects {
        /// In the order of the question.
        #[n(0)]
        objects: Vec<GivenObject>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn questions_and_answers_come_back_and_are_within_their_limits() {
        let safe = SafeId::from_bytes([1; 16]);
        let asked = AskedObject { object: ObjectId::from_bytes([2; 16]), blake3: ObjectHash::of(b"sealed") };
        let questions = [
            Question::Ends { known: vec![KnownEnds { safe, counts: [u64::MAX; 3] }; KNOCK_MAX] },
            Question::Objects { safe, objects: vec![asked; OBJECTS_ASKED_MAX] },
        ];
        for question in questions {
            let bytes = codec::encode(&question);
            assert_eq!(codec::decode(&bytes, QUESTION_MAX_BYTES), Ok(question));
        }
        let given = GivenObject { object: asked.object, sealed: b"sealed".to_vec().into() };
        let answers = [Answer::Nothing {}, Answer::Objects { objects: vec![given] }];
        for answer in answers {
            assert_eq!(codec::decode(&codec::encode(&answer), ANSWER_MAX_BYTES), Ok(answer));
        }
    }

    #[test]
    fn a_knock_of_another_shape_is_none() {
        let entry = || ByteVec::from(vec![0; ENTRY_BYTES]);
        let knock = |entries| Knock { nonce: [7_u8; MEETING_NONCE_BYTES].into(), entries };
        assert!(knock(vec![entry(); KNOCK_STEP]).is_shaped());
        let largest = knock(vec![entry(); KNOCK_MAX]);
        assert!(largest.is_shaped());
        assert_eq!(codec::decode(&codec::encode(&largest), KNOCK_MAX_BYTES), Ok(largest));
        assert!(!knock(Vec::new()).is_shaped());
        assert!(!knock(vec![entry(); KNOCK_STEP - 1]).is_shaped());
        assert!(!knock(vec![entry(); KNOCK_MAX + KNOCK_STEP]).is_shaped());
        assert!(!knock(vec![vec![0; ENTRY_BYTES + 1].into(); KNOCK_STEP]).is_shaped());
        let met = Met(vec![MetSafe { entry: 255, hello: vec![0; HELLO_BYTES].into() }; KNOCK_MAX]);
        assert!(codec::encode(&met).len() <= KNOCK_MAX_BYTES);
    }
}
