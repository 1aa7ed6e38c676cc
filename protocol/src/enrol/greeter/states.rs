//! What the greeter can be waiting for, and what it does when that comes.
//!
//! Each state is named after what it awaits and holds what is needed from there on; a transition
//! consumes it. A state that needs a check to have passed takes the proof of it as an argument.
//! Refuses by returning the state unchanged; fails by not returning it.

use super::approval::{self, Basis};
use super::share::{self, GivenShare};
use crate::enrol::channel::{Channel, Handshake};
use crate::enrol::io::{Approval, Closed, CodeAnswer, GreeterOutput, Prologue, Refused, SealedEnrolment};
use crate::enrol::messages::{
    self, ClaimRecord, Commit, GreeterReply, Nonce, RECOGNISED, Recognised, Reveal,
};
use crate::enrol::proofs::{self, CommitmentOpened, HeardConfirmation, PossessionProved};
use crate::enrol::sas::{CodeRecognised, CodeScreen, Codes, Decoys, SasCode, SasInputs};
use crate::enrol::transition::{Deadline, Transition};
use crate::ids::{Invited, Timestamp};
use crate::keys::{Entropy, LinkSecret, NoEntropy, random};
use crate::public_keys::{Hash, VerifyKey};

/// What a message does to a state.
type Taken = Result<(State, Vec<GreeterOutput>), Closed>;

/// Where the greeter stands.
pub(super) enum State {
    AwaitsOpening(AwaitsOpening),
    AwaitsCommitment(AwaitsCommitment),
    AwaitsNonce(AwaitsNonce),
    AwaitsCode(AwaitsCode),
    AwaitsClaim(AwaitsClaim),
    AwaitsApproval(Box<AwaitsApproval>),
    AwaitsReceipt(AwaitsReceipt),
    AwaitsShareReceipt(AwaitsShareReceipt),
    Over,
}

impl State {
    /// For `Debug`.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::AwaitsOpening(_) => "opening",
            Self::AwaitsCommitment(_) => "commitment",
            Self::AwaitsNonce(_) => "nonce",
            Self::AwaitsCode(_) => "code",
            Self::AwaitsClaim(_) => "claim",
            Self::AwaitsApproval(_) => "approval",
            Self::AwaitsReceipt(_) => "receipt",
            Self::AwaitsShareReceipt(_) => "receipt of a share",
            Self::Over => "nothing: it is over",
        }
    }

    /// Whether a message was taken before this state was reached: the relay may hand it out again.
    pub(super) const fn has_taken(&self, step: u8) -> bool {
        let next = match self {
            Self::AwaitsOpening(_) => 0,
            Self::AwaitsCommitment(_) => 2,
            Self::AwaitsNonce(_) => 4,
            Self::AwaitsCode(_) | Self::AwaitsClaim(_) => 6,
            Self::AwaitsApproval(_) | Self::AwaitsReceipt(_) | Self::AwaitsShareReceipt(_) => 8,
            Self::Over => 10,
        };
        // Odd steps are this side's own: one that comes back is a reflection and no duplicate.
        step.is_multiple_of(2) && step < next
    }

    /// Message 8 may come at any later time: the claimer's person may choose a password tomorrow.
    pub(super) const fn deadline(&self, now: Timestamp) -> Deadline {
        match self {
            Self::AwaitsOpening(_)
            | Self::AwaitsCommitment(_)
            | Self::AwaitsNonce(_)
            | Self::AwaitsCode(_)
            | Self::AwaitsClaim(_)
            | Self::AwaitsApproval(_) => Deadline::from(now),
            Self::AwaitsReceipt(_) | Self::AwaitsShareReceipt(_) | Self::Over => Deadline::Never,
        }
    }
}

/// Message 0.
pub(super) struct AwaitsOpening {
    handshake: Handshake,
    nonce: Nonce,
    decoys: Decoys,
    root: VerifyKey,
    typed_codes: bool,
}

impl AwaitsOpening {
    /// Draws everything random up to the codes: later steps can't fail half-way for want of it.
    pub(super) fn begin(
        prologue: &Prologue,
        secret: &LinkSecret,
        root: VerifyKey,
        typed_codes: bool,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, NoEntropy> {
        let handshake = Handshake::new(false, prologue, secret, entropy)?;
        let nonce = Nonce(random(entropy)?);
        let decoys = Decoys::draw(entropy)?;
        Ok(Self { handshake, nonce, decoys, root, typed_codes })
    }

    pub(super) fn take(self, message: &[u8]) -> Taken {
        let Self { mut handshake, nonce, decoys, root, typed_codes } = self;
        handshake.read(0, message)?;
        let bytes = handshake.write()?;
        let channel = handshake.finish();
        let next = AwaitsCommitment { channel, nonce, decoys, root, typed_codes };
        Ok((State::AwaitsCommitment(next), vec![GreeterOutput::Send { step: 1, bytes }]))
    }
}

/// Message 2.
pub(super) struct AwaitsCommitment {
    channel: Channel,
    nonce: Nonce,
    decoys: Decoys,
    root: VerifyKey,
    typed_codes: bool,
}

impl AwaitsCommitment {
    /// Only now does the greeter's nonce leave: the claimer is bound to its own.
    pub(super) fn take(self, message: &[u8]) -> Taken {
        let Self { mut channel, nonce, decoys, root, typed_codes } = self;
        let Commit { commitment } = messages::open(&mut channel, 2, message)?;
        let root_commitment = proofs::root_commitment(&nonce.0, channel.handshake(), &root);
        let reply = GreeterReply { nonce, root_commitment, typing_required: typed_codes };
        let bytes = messages::seal(&mut channel, &reply);
        let next = AwaitsNonce { channel, reply, commitment, decoys, root };
        Ok((State::AwaitsNonce(next), vec![GreeterOutput::Send { step: 3, bytes }]))
    }
}

/// Message 4.
pub(super) struct AwaitsNonce {
    channel: Channel,
    reply: GreeterReply,
    commitment: Hash,
    decoys: Decoys,
    root: VerifyKey,
}

impl AwaitsNonce {
    pub(super) fn take(self, message: &[u8]) -> Taken {
        let Self { mut channel, reply, commitment, decoys, root } = self;
        let Reveal { nonce } = messages::open(&mut channel, 4, message)?;
        let opened = CommitmentOpened::check(&commitment, &nonce.0, channel.handshake())?;
        let codes = Codes::derive(&SasInputs {
            split_keys: channel.split_keys(),
            handshake: channel.handshake(),
            claimer_nonce: &nonce.0,
            greeter_nonce: &reply.nonce.0,
            root_commitment: &reply.root_commitment,
            typing_required: reply.typing_required,
        });
        let screen = CodeScreen::new(codes.claimer, codes.greeter, reply.typing_required, &decoys);
        Ok(AwaitsCode::enter(channel, codes.greeter, screen, root, opened))
    }
}

/// The person's answer: which code does the claimer read out?
pub(super) struct AwaitsCode {
    channel: Channel,
    own: SasCode,
    screen: CodeScreen,
    root: VerifyKey,
}

impl AwaitsCode {
    /// Codes mean nothing before the commitment has opened.
    fn enter(
        channel: Channel,
        own: SasCode,
        screen: CodeScreen,
        root: VerifyKey,
        _: CommitmentOpened,
    ) -> (State, Vec<GreeterOutput>) {
        let ask = GreeterOutput::AskCode(screen.question());
        (State::AwaitsCode(Self { channel, own, screen, root }), vec![ask])
    }

    pub(super) fn take(self, answer: CodeAnswer) -> Transition<State, GreeterOutput> {
        match self.screen.judge(answer) {
            Err(refused) => Transition::Reject(State::AwaitsCode(self), refused),
            Ok(None) => Transition::Close(Closed::CodeMismatch),
            Ok(Some(recognised)) => {
                let Self { channel, own, screen: _, root } = self;
                let (state, outputs) = AwaitsClaim::enter(channel, own, root, recognised);
                Transition::Next(state, outputs)
            }
        }
    }
}

/// Message 6.
pub(super) struct AwaitsClaim {
    channel: Channel,
    root: VerifyKey,
    recognised: CodeRecognised,
}

impl AwaitsClaim {
    /// Says "recognised", then shows the greeter's own code; never earlier, or both codes could be
    /// had without a check.
    fn enter(
        mut channel: Channel,
        own: SasCode,
        root: VerifyKey,
        recognised: CodeRecognised,
    ) -> (State, Vec<GreeterOutput>) {
        let bytes = messages::seal(&mut channel, &Recognised { word: RECOGNISED });
        let outputs = vec![GreeterOutput::Send { step: 5, bytes }, GreeterOutput::Show(own)];
        (State::AwaitsClaim(Self { channel, root, recognised }), outputs)
    }

    pub(super) fn take(self, prologue: &Prologue, message: &[u8]) -> Taken {
        let Self { mut channel, root, recognised } = self;
        let (proved, claim) = PossessionProved::check(&mut channel, message)?;
        check_claim(prologue, &claim)?;
        let shown = claim.clone().into();
        let next = AwaitsApproval { channel, root, claim, recognised, proved };
        Ok((State::AwaitsApproval(Box::new(next)), vec![GreeterOutput::AskApproval(shown)]))
    }
}

/// A new user brings a name and a key, a new device neither. Keys are sound by their type.
fn check_claim(prologue: &Prologue, claim: &ClaimRecord) -> Result<(), Closed> {
    match (&prologue.invited, &claim.name, &claim.encryption_key) {
        (Invited::User(_), Some(_), Some(_)) | (Invited::Device(_) | Invited::Share(..), None, None) => {
            Ok(())
        }
        (Invited::User(_) | Invited::Device(_) | Invited::Share(..), _, _) => {
            Err(Closed::BadMessage { step: 6 })
        }
    }
}

/// The person's word. What gets certified is the claim held here, whose keys came out of the
/// channel in message 6; an approval can replace names, and has no field for a key.
pub(super) struct AwaitsApproval {
    channel: Channel,
    root: VerifyKey,
    claim: ClaimRecord,
    recognised: CodeRecognised,
    proved: PossessionProved,
}

impl AwaitsApproval {
    /// What a program sends that looks at nothing.
    #[cfg(test)]
    pub(super) fn give_anything(
        &mut self,
        approval: &Approval<'_>,
        entropy: &mut dyn Entropy,
    ) -> Option<Vec<u8>> {
        let held = approval.share?;
        let handshake = *self.channel.handshake();
        let share = held.share.seal_to_claimer(&handshake, &self.claim.device_key, entropy).ok()?;
        let (root, seen, plan) = (self.root, approval.log.head(), held.plan.clone().into());
        let handover = messages::ShareHandover { root, seen, plan, share: share.into() };
        Some(messages::seal(&mut self.channel, &handover))
    }

    pub(super) fn take(
        mut self: Box<Self>,
        prologue: &Prologue,
        approval: &Approval<'_>,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Transition<State, GreeterOutput> {
        let Some(heard) = HeardConfirmation::check(approval.claimer_confirmed) else {
            return Transition::Reject(State::AwaitsApproval(self), Refused::NotConfirmed);
        };
        let basis = Basis {
            prologue,
            root: &self.root,
            claim: &self.claim,
            approval,
            handshake: self.channel.handshake(),
        };
        let proofs = (&self.recognised, &heard, &self.proved);
        if let Invited::Share(..) = &prologue.invited {
            return match share::give(&basis, proofs, entropy) {
                Err(refused) => Transition::Reject(State::AwaitsApproval(self), refused),
                Ok((given, handover)) => {
                    let bytes = messages::seal(&mut self.channel, &handover);
                    let next = State::AwaitsShareReceipt(AwaitsShareReceipt { given });
                    Transition::Next(next, vec![GreeterOutput::Send { step: 7, bytes }])
                }
            };
        }
        match approval::sign(&basis, proofs, now, entropy) {
            Err(refused) => Transition::Reject(State::AwaitsApproval(self), refused),
            Ok((sealed, handover)) => {
                let bytes = messages::seal(&mut self.channel, &handover);
                let outputs = vec![
                    GreeterOutput::Persist(Box::new(sealed.clone())),
                    GreeterOutput::Send { step: 7, bytes },
                ];
                Transition::Next(State::AwaitsReceipt(AwaitsReceipt { sealed }), outputs)
            }
        }
    }
}

/// Message 8. No secret is left: the record is what the outbox has.
pub(super) struct AwaitsReceipt {
    sealed: SealedEnrolment,
}

impl AwaitsReceipt {
    pub(super) fn take(self, message: &[u8]) -> Taken {
        let publication = self.sealed.open_receipt(message)?;
        Ok((State::Over, vec![GreeterOutput::Publish(Box::new(publication))]))
    }
}

/// Message 8 of a share. No secret is left here either.
pub(super) struct AwaitsShareReceipt {
    given: GivenShare,
}

impl AwaitsShareReceipt {
    pub(super) fn take(self, message: &[u8]) -> Taken {
        let receipt = self.given.open_receipt(message)?;
        Ok((State::Over, vec![GreeterOutput::Given(Box::new(receipt))]))
    }
}
