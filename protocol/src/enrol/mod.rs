//! The ceremony that lets a newcomer in (docs/protocol.md, *The link* and *The ceremony*). Start reading here.
//!
//! Decides what claimer and greeter say, in which order, and what must have been checked before. Refuses to do I/O:
//! `step(input, now, entropy)` takes what happened and returns what to do. Time and randomness are arguments, so every run
//! can be repeated in a test, and the whole ceremony fits into one function call after another.
//!
//! ```text
//!   claimer                                          greeter
//!   AwaitsAnswer        0  ephemeral key ->           AwaitsOpening
//!                       <- ephemeral key  1           AwaitsCommitment
//!   AwaitsGreeterTurn   2  commitment ->
//!                       <- nonce, root commitment  3  AwaitsNonce
//!   AwaitsRecognised    4  nonce ->                   (commitment opens)  CommitmentOpened
//!     reads out its code ......... on the phone ....  AwaitsCode          CodeRecognised
//!   PeerConfirmed       <- "recognised"  5            AwaitsClaim
//!   AwaitsCode .................. on the phone .......  reads out its code
//!   CodeRecognised         says aloud: found
//!   AwaitsIdentity      6  claim, possession ->       PossessionProved
//!   AwaitsHandover                                    AwaitsApproval      HeardConfirmation
//!                                                     signs, Persist
//!   RootCovered         <- handover  7                AwaitsReceipt
//!   AwaitsLog           (verified up to the root)
//!   AwaitsSaved         (keys durable)
//!                       8  receipt ->                 Publish
//! ```
//!
//! Names with a capital in the outer columns are types. The states are structs, consumed by their transitions; the names on the
//! right of a state are proofs of checks (`evidence`), and a state or signature that depends on a check takes its proof as an
//! argument.
//!
//! | file | what it decides |
//! |---|---|
//! | `io` | what goes into the machines and what comes out |
//! | `link` | which text is an invitation link |
//! | `channel` | how Noise is driven; which keys are refused |
//! | `sas` | the codes, their decoys, when one is recognised |
//! | `messages` | the records inside the channel |
//! | `evidence` | the checks, each with its proof |
//! | `turn` | refusing, failing, running out of patience: alike for both |
//! | `claimer`, `greeter` | the two machines: `mod` which input goes where, `states` what it does there |
//! | `claimer/handover` | the checks of message 7 |
//! | `greeter/approval` | who may be certified, and the bytes that are signed |
//! | `greeter/receipt` | the check of message 8 |
//! | `dishonest` | in the lab and the tests alone: an end that says what it likes |

pub mod channel;
pub mod claimer;
#[cfg(any(test, feature = "lab"))]
pub(crate) mod dishonest;
pub mod evidence;
pub mod greeter;
pub mod io;
pub mod link;
mod messages;
pub mod sas;
mod turn;

#[cfg(test)]
mod tests;
