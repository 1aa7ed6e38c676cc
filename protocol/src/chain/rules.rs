//! What a kind of log has to say for itself: the rule set.
//!
//! Decides the seam between the chain, which is the same for every log, and the certificates of one
//! kind. Refuses nothing: each rule set does.

use std::fmt::Debug;

use minicbor::{Decode, Encode};

use super::candidate::Candidate;
use super::head::Head;
use super::log::Log;
use crate::ids::Timestamp;
use crate::public_keys::{Context, Hash, VerifyKey};

/// One kind of what is signed and hangs in a chain: its payload, its bounds, its context.
pub trait Signed: Debug + Clone + Copy + PartialEq + Eq + Sized + 'static {
    /// What is signed.
    type Payload: Debug + Send + Encode<()> + for<'b> Decode<'b, ()>;
    /// What a payload shows by itself and is slow to find out; it is found where several threads
    /// work.
    type Findings: Debug + Send;

    /// What every signature of this kind is made under.
    const CONTEXT: Context;
    /// Largest envelope, in bytes.
    const ENVELOPE_MAX_BYTES: usize;

    /// Finds out what the payload shows by itself.
    fn inspect(payload: &Self::Payload) -> Self::Findings;
}

/// The certificates and rules of one kind of log.
pub trait Rules: Signed {
    /// What names one log of this kind, and is fixed before its first certificate.
    type Origin: Debug + Clone + PartialEq + Eq + Send + Sync;
    /// Who signs, by the payload.
    type Author: Debug + Clone + Copy + PartialEq + Eq + Ord + Send;
    /// What the accepted certificates say together.
    type State: Debug + Clone + Default;
    /// What the rules ask of beside the log itself, such as another log; `()` if nothing.
    type Around: ?Sized;
    /// What can be wrong with a certificate at its place: one for each rule.
    type Fault: Debug + Clone + Copy + PartialEq + Eq + std::error::Error + Send + Sync;

    /// Most certificates of one log. A full log looks at no further bytes.
    const LOG_MAX_CERTIFICATES: u64;

    /// The running hash before the first certificate.
    fn first_hash(origin: &Self::Origin) -> Hash;

    /// That the log of this origin passes through `head`, in its one encoding: what a checkpoint's
    /// MAC is over. No two kinds of log give the same bytes.
    fn statement(origin: &Self::Origin, head: &Head) -> Vec<u8>;

    /// Whether the payload was made for the log of this origin.
    fn belongs(payload: &Self::Payload, origin: &Self::Origin) -> bool;

    /// Who signed.
    fn author(payload: &Self::Payload) -> Self::Author;

    /// Time of signing, by the author's clock.
    fn time(payload: &Self::Payload) -> Timestamp;

    /// The author's view of this log: a place that it must pass through.
    fn seen(payload: &Self::Payload) -> Head;

    /// Whether an author's word for a head can be held against them: not that of a key which is
    /// destroyed.
    fn is_witness(author: &Self::Author) -> bool;

    /// The key of an author, as the log and what is around it have it now. A guess where
    /// certificates are read ahead: it decides nothing but which signature is checked early.
    fn key_of(log: &Log<Self>, around: &Self::Around, author: &Self::Author) -> Option<VerifyKey>;

    /// The author that a payload names with a key, for certificates of the same batch; none if it
    /// names none.
    fn names(payload: &Self::Payload) -> Option<(Self::Author, VerifyKey)>;

    /// Judges what `read` gives as the next certificate of `log`, and hands it back if it may stand
    /// there.
    ///
    /// # Errors
    /// The rule that it breaks; a full log is one, and `read` is not called then.
    fn judge<'a>(
        log: &Log<Self>,
        around: &Self::Around,
        read: impl FnOnce() -> Option<Candidate<'a, Self>>,
    ) -> Result<Candidate<'a, Self>, Self::Fault>;

    /// Takes in what an accepted certificate says. Cannot fail: the rules looked at everything.
    fn apply(state: &mut Self::State, payload: Self::Payload, position: u64);
}
