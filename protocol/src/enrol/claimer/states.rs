//! What the claimer can be waiting for, and what it does when that comes.
//!
//! Each state is named after what it awaits and holds what is needed from there on; a transition
//! consumes it. A state that needs a check to have passed takes the proof of it as an argument.
//! Refuses by returning the state unchanged; fails by not returning it.

use super::handover::{self, KeysOfClaim, Named, Received};
use super::share::{self, Given};
use crate::codec;
use crate::enrol::channel::{Channel, Handshake};
use crate::enrol::io::{ClaimerOutput, Closed, CodeAnswer, Prologue, Refused};
use crate::enrol::messages::{
    self, ClaimRecord, Commit, GreeterReply, Handover, Introduction, Nonce, Reveal, ShareHandover,
};
use crate::enrol::proofs::{self, PeerConfirmed, RootCovered};
use crate::enrol::sas::{CodeRecognised, CodeScreen, Codes, Decoys, SasInputs};
use crate::enrol::transition::{Deadline, Transition};
use crate::ids::{Invited, Label, Timestamp};
use crate::keys::{
    DeviceSeed, DeviceSigningKey, Entropy, LinkSecret, LocalStoreKey, NoEntropy, UserSeed, random,
};
use crate::public_keys::{Context, Hash};
use crate::sealing::EncryptionKey;

/// What a message does to a state.
type Taken = Result<(State, Vec<ClaimerOutput>), Closed>;

/// Where the claimer stands.
pub(super) enum State {
    AwaitsAnswer(AwaitsAnswer),
    AwaitsGreeterReply(AwaitsGreeterReply),
    AwaitsRecognised(AwaitsRecognised),
    AwaitsCode(AwaitsCode),
    AwaitsIdentity(AwaitsIdentity),
    AwaitsHandover(AwaitsHandover),
    AwaitsLog(Box<AwaitsLog>),
    AwaitsShareLog(Box<AwaitsShareLog>),
    AwaitsSaved(AwaitsSaved),
    Over,
}

impl State {
    /// For `Debug`.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::AwaitsAnswer(_) => "answer",
            Self::AwaitsGreeterReply(_) => "greeter's reply",
            Self::AwaitsRecognised(_) => "recognised",
            Self::AwaitsCode(_) => "code",
            Self::AwaitsIdentity(_) => "identity",
            Self::AwaitsHandover(_) => "handover",
            Self::AwaitsLog(_) => "log",
            Self::AwaitsShareLog(_) => "log of a share",
            Self::AwaitsSaved(_) => "saved",
            Self::Over => "nothing: it is over",
        }
    }

    /// Whether a message was taken before this state was reached: the relay may hand it out again.
    pub(super) const fn has_taken(&self, step: u8) -> bool {
        let next = match self {
            Self::AwaitsAnswer(_) => 1,
            Self::AwaitsGreeterReply(_) => 3,
            Self::AwaitsRecognised(_) => 5,
            Self::AwaitsCode(_) | Self::AwaitsIdentity(_) | Self::AwaitsHandover(_) => 7,
            Self::AwaitsLog(_) | Self::AwaitsShareLog(_) | Self::AwaitsSaved(_) | Self::Over => 9,
        };
        // Even steps are this side's own: one that comes back is a reflection and no duplicate.
        !step.is_multiple_of(2) && step < next
    }

    /// After message 7 nobody waits for a message any more: the greeter's part is done and durable,
    /// and choosing a password or fetching the log may take as long as it takes.
    pub(super) const fn deadline(&self, now: Timestamp) -> Deadline {
        match self {
            Self::AwaitsAnswer(_)
            | Self::AwaitsGreeterReply(_)
            | Self::AwaitsRecognised(_)
            | Self::AwaitsCode(_)
            | Self::AwaitsIdentity(_)
            | Self::AwaitsHandover(_) => Deadline::from(now),
            Self::AwaitsLog(_) | Self::AwaitsShareLog(_) | Self::AwaitsSaved(_) | Self::Over => {
                Deadline::Never
            }
        }
    }
}

impl From<NoEntropy> for Refused {
    fn from(NoEntropy: NoEntropy) -> Self {
        Self::NoEntropy
    }
}

/// Message 1.
pub(super) struct AwaitsAnswer {
    handshake: Handshake,
    nonce: Nonce,
    decoys: Decoys,
}

impl AwaitsAnswer {
    /// Draws everything random up to the codes: later steps can't fail half-way for want of it.
    pub(super) fn begin(
        prologue: &Prologue,
        secret: &LinkSecret,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, Vec<u8>), Refused> {
        let mut handshake = Handshake::new(true, prologue, secret, entropy)?;
        let nonce = Nonce(random(entropy)?);
        let decoys = Decoys::draw(entropy)?;
        // Writing the first half involves no key of the other side; the ephemeral key's bytes are
        // there already.
        let message = handshake.write().map_err(|_| Refused::NoEntropy)?;
        Ok((Self { handshake, nonce, decoys }, message))
    }

    pub(super) fn take(self, message: &[u8]) -> Taken {
        let Self { mut handshake, nonce, decoys } = self;
        handshake.read(1, message)?;
        let mut channel = handshake.finish();
        let commitment = proofs::commitment(&nonce.0, channel.handshake());
        let bytes = messages::seal(&mut channel, &Commit { commitment });
        let next = AwaitsGreeterReply { channel, nonce, decoys };
        Ok((State::AwaitsGreeterReply(next), vec![ClaimerOutput::Send { step: 2, bytes }]))
    }
}

/// Message 3.
pub(super) struct AwaitsGreeterReply {
    channel: Channel,
    nonce: Nonce,
    decoys: Decoys,
}

impl AwaitsGreeterReply {
    pub(super) fn take(self, message: &[u8]) -> Taken {
        let Self { mut channel, nonce, decoys } = self;
        let reply: GreeterReply = messages::open(&mut channel, 3, message)?;
        let codes = Codes::derive(&SasInputs {
            split_keys: channel.split_keys(),
            handshake: channel.handshake(),
            claimer_nonce: &nonce.0,
            greeter_nonce: &reply.nonce.0,
            root_commitment: &reply.root_commitment,
            typing_required: reply.typing_required,
        });
        let screen = CodeScreen::new(codes.greeter, codes.claimer, reply.typing_required, &decoys);
        let bytes = messages::seal(&mut channel, &Reveal { nonce });
        let outputs = vec![ClaimerOutput::Send { step: 4, bytes }, ClaimerOutput::Show(codes.claimer)];
        Ok((State::AwaitsRecognised(AwaitsRecognised { channel, reply, screen }), outputs))
    }
}

/// Message 5. The claimer's code is shown.
pub(super) struct AwaitsRecognised {
    channel: Channel,
    reply: GreeterReply,
    screen: CodeScreen,
}

impl AwaitsRecognised {
    pub(super) fn take(self, message: &[u8]) -> Taken {
        let Self { mut channel, reply, screen } = self;
        let confirmed = PeerConfirmed::check(&mut channel, message)?;
        Ok(AwaitsCode::enter(channel, reply, screen, confirmed))
    }
}

/// The person's answer: which code does the greeter read out?
pub(super) struct AwaitsCode {
    channel: Channel,
    reply: GreeterReply,
    screen: CodeScreen,
}

impl AwaitsCode {
    /// Asked only now: who could see the claimer look for a code before the greeter had found the
    /// other one would learn whether to go on.
    fn enter(
        channel: Channel,
        reply: GreeterReply,
        screen: CodeScreen,
        _: PeerConfirmed,
    ) -> (State, Vec<ClaimerOutput>) {
        let ask = ClaimerOutput::AskCode(screen.question());
        (State::AwaitsCode(Self { channel, reply, screen }), vec![ask])
    }

    pub(super) fn take(self, answer: CodeAnswer) -> Transition<State, ClaimerOutput> {
        match self.screen.judge(answer) {
            Err(refused) => Transition::Reject(State::AwaitsCode(self), refused),
            Ok(None) => Transition::Close(Closed::CodeMismatch),
            Ok(Some(recognised)) => {
                let Self { channel, reply, screen: _ } = self;
                let next = State::AwaitsIdentity(AwaitsIdentity { channel, reply, recognised });
                Transition::Next(next, vec![ClaimerOutput::AskIdentity])
            }
        }
    }
}

/// Who the person is. The first state that knows whom it is talking to.
pub(super) struct AwaitsIdentity {
    channel: Channel,
    reply: GreeterReply,
    recognised: CodeRecognised,
}

impl AwaitsIdentity {
    pub(super) fn take(
        self,
        prologue: &Prologue,
        name: Option<Label>,
        device_label: Label,
        entropy: &mut dyn Entropy,
    ) -> Transition<State, ClaimerOutput> {
        let new_user = match (&prologue.invited, &name) {
            (Invited::User(_), Some(_)) => true,
            (Invited::Device(_) | Invited::Share(..), None) => false,
            (Invited::User(_), None) | (Invited::Device(_) | Invited::Share(..), Some(_)) => {
                return Transition::Reject(State::AwaitsIdentity(self), Refused::WrongIdentity);
            }
        };
        let Ok((keys, device_key, user_key)) = draw_keys(new_user, entropy) else {
            return Transition::Reject(State::AwaitsIdentity(self), Refused::NoEntropy);
        };
        let Self { mut channel, reply, recognised } = self;
        let called = device_label.clone();
        let claim = ClaimRecord {
            name,
            device_label,
            encryption_key: user_key,
            verify_key: keys.signing.verify_key(),
            device_key,
        };
        let bytes = introduce(&mut channel, &keys.signing, claim, &recognised);
        let next = AwaitsHandover { channel, reply, keys, called };
        Transition::Next(State::AwaitsHandover(next), vec![ClaimerOutput::Send { step: 6, bytes }])
    }
}

/// Draws them, and makes the public keys of the device and of a new user, once.
fn draw_keys(
    new_user: bool,
    entropy: &mut dyn Entropy,
) -> Result<(KeysOfClaim, EncryptionKey, Option<EncryptionKey>), NoEntropy> {
    let signing = DeviceSigningKey::random(entropy)?;
    let store = LocalStoreKey::random(entropy)?;
    let device = DeviceSeed::random(entropy)?;
    let user = if new_user { Some(UserSeed::random(entropy)?) } else { None };
    let (device_key, user_key) = (device.encryption_key(), user.as_ref().map(UserSeed::encryption_key));
    let named = Named { device: device_key.hash(), user: user_key.as_ref().map(EncryptionKey::hash) };
    Ok((KeysOfClaim { signing, store, device, user, named }, device_key, user_key))
}

/// Message 6. Sent to a recognised greeter only: it carries the person's name.
fn introduce(
    channel: &mut Channel,
    signing_key: &DeviceSigningKey,
    claim: ClaimRecord,
    _: &CodeRecognised,
) -> Vec<u8> {
    let signed = messages::possession_message(channel.handshake(), &claim);
    let possession = signing_key.sign(Context::Possession, &signed);
    messages::seal(channel, &Introduction { claim, possession })
}

/// Message 7.
pub(super) struct AwaitsHandover {
    channel: Channel,
    reply: GreeterReply,
    keys: KeysOfClaim,
    /// What the device is called in the claim.
    called: Label,
}

impl AwaitsHandover {
    pub(super) fn take(self, prologue: &Prologue, message: &[u8]) -> Taken {
        let Self { mut channel, reply, keys, called } = self;
        if let Invited::Share(..) = &prologue.invited {
            let handover: ShareHandover = messages::open(&mut channel, 7, message)?;
            let handshake = *channel.handshake();
            let (commitment, nonce) = (&reply.root_commitment, &reply.nonce.0);
            let covered = RootCovered::check(commitment, nonce, &handshake, &handover.root)?;
            let given = share::read(handover, keys, handshake, called, covered)?;
            let count = given.seen_count();
            let next = State::AwaitsShareLog(Box::new(AwaitsShareLog { given }));
            return Ok((next, vec![ClaimerOutput::NeedLog { count }]));
        }
        let handover: Handover = messages::open(&mut channel, 7, message)?;
        let handshake = *channel.handshake();
        let covered = RootCovered::check(&reply.root_commitment, &reply.nonce.0, &handshake, &handover.root)?;
        let received = handover::read(prologue, keys, handover, &handshake, covered)?;
        let count = received.seen_count();
        let next = AwaitsLog { received, handshake, typed_codes: reply.typing_required };
        Ok((State::AwaitsLog(Box::new(next)), vec![ClaimerOutput::NeedLog { count }]))
    }
}

/// The log up to what the greeter had seen.
pub(super) struct AwaitsLog {
    received: Received,
    handshake: Hash,
    typed_codes: bool,
}

impl AwaitsLog {
    pub(super) fn take(self, prologue: &Prologue, log: Vec<Vec<u8>>) -> Taken {
        let Self { received, handshake, typed_codes } = self;
        let device = received.verify(prologue, log)?.into_device(prologue, handshake, typed_codes);
        let message = codec::encode(&device.receipt);
        Ok((State::AwaitsSaved(AwaitsSaved { message }), vec![ClaimerOutput::Keep(Box::new(device))]))
    }
}

/// The log up to what the giver of a share had seen.
pub(super) struct AwaitsShareLog {
    given: Given,
}

impl AwaitsShareLog {
    pub(super) fn take(self, prologue: &Prologue, log: &[Vec<u8>]) -> Taken {
        let (received, receipt) = self.given.verify(prologue, log)?;
        let message = codec::encode(&receipt);
        let keep = ClaimerOutput::KeepShare(Box::new(received));
        Ok((State::AwaitsSaved(AwaitsSaved { message }), vec![keep]))
    }
}

/// That the keys are durable.
pub(super) struct AwaitsSaved {
    message: Vec<u8>,
}

impl AwaitsSaved {
    pub(super) fn take(self) -> Transition<State, ClaimerOutput> {
        let send = ClaimerOutput::Send { step: 8, bytes: self.message };
        Transition::Next(State::Over, vec![send, ClaimerOutput::Done])
    }
}
