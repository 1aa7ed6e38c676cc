//! The ceremony that lets a newcomer in (docs/protocol.md, *The link* and *The ceremony*). Start
//! reading here.
//!
//! Decides what claimer and greeter say, in which order, and what must have been checked before.
//! Refuses to do I/O: `step(input, now, entropy)` takes what happened and returns what to do. Time
//! and randomness are arguments, so every run can be repeated in a test, and the whole ceremony
//! fits into one function call after another.
//!
//! ```text
//!   claimer                                          greeter
//!   AwaitsAnswer        0  ephemeral key ->           AwaitsOpening
//!                       <- ephemeral key  1           AwaitsCommitment
//!   AwaitsGreeterReply   2  commitment ->
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
//! Names with a capital in the outer columns are types. The states are structs, consumed by their
//! transitions; the names on the right of a state are proofs of checks (`proofs`), and a state or
//! signature that depends on a check takes its proof as an argument.
//!
//! | file | what it decides |
//! |---|---|
//! | `io` | what goes into the machines and what comes out |
//! | `link` | which text is an invitation link |
//! | `channel` | how Noise is driven; which keys are refused |
//! | `sas` | the codes, their decoys, when one is recognised |
//! | `messages` | the records inside the channel |
//! | `boxes` | what message 7 seals to the claimer's keys, and what message 8 answers |
//! | `proofs` | the checks, each with its proof |
//! | `transition` | the outcome of one input, and its deadline: alike for both |
//! | `claimer`, `greeter` | the two machines: `mod` sorts the input, `states` says what it does |
//! | `claimer/handover`, `claimer/share` | the checks of message 7: of an enrolment, of a share |
//! | `greeter/approval` | who may be certified, and the bytes that are signed |
//! | `greeter/share` | which share of a kit is given |
//! | `greeter/receipt` | the check of message 8 |
//! | `dishonest` | in the lab and the tests alone: an end that says what it likes |
//!
//! # Example
//!
//! Both machines, from the link to what is published. A driver carries messages, and asks the two
//! persons.
//!
//! ```
//! use std::collections::VecDeque;
//!
//! # use parsec_protocol::chain::organisation::bootstrap::{Founder, found};
//! # use parsec_protocol::chain::organisation::certificate::Profile;
//! # use parsec_protocol::chain::organisation::log::VerifiedLog;
//! use parsec_protocol::enrol::claimer::Claimer;
//! use parsec_protocol::enrol::greeter::Greeter;
//! use parsec_protocol::enrol::io::{
//!     Approval, ClaimerInput, ClaimerOutput, CodeAnswer, GreeterInput, GreeterOutput, Prologue, TransportKind,
//! };
//! # use parsec_protocol::ids::{Invited, OrganisationId, Timestamp, Token};
//! # use parsec_protocol::keys::{
//! #     DeviceSeed, DeviceSigningKey, DirectoryKey, Entropy, LinkSecret, NoEntropy, UserSeed,
//! # };
//!
//! # // Not random: an example's keys are worth nothing.
//! # struct Counter(u8);
//! # impl Entropy for Counter {
//! #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
//! #         for byte in bytes {
//! #             self.0 = self.0.wrapping_mul(5).wrapping_add(113);
//! #             *byte = self.0;
//! #         }
//! #         Ok(())
//! #     }
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let entropy = &mut Counter(1);
//! # let now = Timestamp(1_800_000_000_000_000);
//! # let organisation: OrganisationId = "acme".parse()?;
//! # let (signing_key, directory_key) = (DeviceSigningKey::random(entropy)?, DirectoryKey::random(entropy)?);
//! # let directory_keys = parsec_protocol::name_keys::DirectoryKeys::first(DirectoryKey::from_bytes(&mut { *directory_key.expose() }));
//! # let (user_seed, device_seed) = (UserSeed::random(entropy)?, DeviceSeed::random(entropy)?);
//! # let founder = Founder {
//! #     organisation: &organisation,
//! #     email: &"alice@acme.example".parse()?,
//! #     name: &"Alice".parse()?,
//! #     device_label: &"laptop".parse()?,
//! #     user_seed: &user_seed,
//! #     device_seed: &device_seed,
//! #     signing_key: &signing_key,
//! #     directory_key: &directory_key,
//! # };
//! # let founded = found(&founder, now, entropy)?;
//! # let empty = VerifiedLog::empty(organisation.clone(), founded.root);
//! # let log = empty.extended(founded.certificates.iter().map(Vec::as_slice))?;
//! # let link = LinkSecret::from_bytes(&mut [9; 32]);
//! let prologue = Prologue {
//!     organisation,
//!     token: Token::from_bytes([7; 16]),
//!     invited: Invited::User("bob@acme.example".parse()?),
//!     greeter_user: founded.user,
//!     greeter_device: founded.device,
//!     transport: TransportKind::Relay,
//! };
//! let (mut claimer, begin) = Claimer::start(prologue.clone(), &link, now, entropy)?;
//! let mut at_claimer = VecDeque::from(begin);
//! let (mut greeter, begin) = Greeter::start(prologue, &link, founded.root, false, now, entropy)?;
//! let mut at_greeter = VecDeque::from(begin);
//! let (mut bob_reads_out, mut alice_reads_out) = (None, None);
//! let published = loop {
//!     while let Some(output) = at_claimer.pop_front() {
//!         let input = match output {
//!             ClaimerOutput::Send { step, bytes } => {
//!                 at_greeter.extend(greeter.step(GreeterInput::Message { step, bytes }, now, entropy)?);
//!                 continue;
//!             }
//!             ClaimerOutput::Show(code) => {
//!                 bob_reads_out = Some(code);
//!                 continue;
//!             }
//!             ClaimerOutput::AskCode(_) => {
//!                 ClaimerInput::Code(CodeAnswer::Typed(alice_reads_out.ok_or("Alice is silent")?))
//!             }
//!             ClaimerOutput::AskIdentity => {
//!                 ClaimerInput::Identity { name: Some("Bob".parse()?), device_label: "desk".parse()? }
//!             }
//!             ClaimerOutput::NeedLog { .. } => ClaimerInput::Log(founded.certificates.clone()),
//!             ClaimerOutput::Keep(_) | ClaimerOutput::KeepShare(_) => ClaimerInput::Saved,
//!             ClaimerOutput::WakeAt(_) | ClaimerOutput::Done => continue,
//!             ClaimerOutput::Closed(why) => return Err(why.into()),
//!         };
//!         at_claimer.extend(claimer.step(input, now, entropy)?);
//!     }
//!     let output = at_greeter.pop_front().ok_or("nobody has anything to do")?;
//!     let input = match output {
//!         GreeterOutput::Send { step, bytes } => {
//!             at_claimer.extend(claimer.step(ClaimerInput::Message { step, bytes }, now, entropy)?);
//!             // What the same answer shows comes before anything that the claimer is asked.
//!             if let Some(GreeterOutput::Show(code)) = at_greeter.front() {
//!                 alice_reads_out = Some(*code);
//!             }
//!             continue;
//!         }
//!         GreeterOutput::AskCode(_) => {
//!             GreeterInput::Code(CodeAnswer::Typed(bob_reads_out.ok_or("Bob is silent")?))
//!         }
//!         GreeterOutput::AskApproval(_claim) => GreeterInput::Approve(Approval {
//!             claimer_confirmed: true,
//!             name: None,
//!             device_label: None,
//!             profile: Profile::Standard,
//!             signing_key: &signing_key,
//!             directory_keys: &directory_keys,
//!             user_seed: &user_seed,
//!             manifest: None,
//!             log: &log,
//!             attempts: 1,
//!             share: None,
//!         }),
//!         GreeterOutput::Publish(publication) => break publication,
//!         GreeterOutput::Show(_) | GreeterOutput::Persist(_) | GreeterOutput::WakeAt(_) => continue,
//!         GreeterOutput::Given(_) => return Err("nobody asked for a share".into()),
//!         GreeterOutput::Closed(why) => return Err(why.into()),
//!     };
//!     at_greeter.extend(greeter.step(input, now, entropy)?);
//! };
//! // Bob and his device are members by the log as soon as these stand in it.
//! let log = log.extended(published.certificates.iter().map(Vec::as_slice))?;
//! assert_eq!((log.users().count(), log.devices().count()), (2, 2));
//! # Ok(())
//! # }
//! ```

mod boxes;
pub mod channel;
pub mod claimer;
#[cfg(any(test, feature = "lab"))]
pub(crate) mod dishonest;
pub mod greeter;
pub mod io;
pub mod link;
mod messages;
pub mod proofs;
pub mod sas;
mod transition;

#[cfg(test)]
mod tests;
