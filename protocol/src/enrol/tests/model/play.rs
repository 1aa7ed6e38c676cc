//! One shipped machine, and the end that the relay holds towards it.
//!
//! Decides how something that happens reaches the machine, and what the relay's end hears of the
//! answer. Refuses to look into the machine: what is known of it is what it put out.

use crate::codec;
use crate::enrol::claimer::Claimer;
use crate::enrol::dishonest::{Calling, FalseEnd, FalseKeys, Reply, Zeros};
use crate::enrol::greeter::Greeter;
use crate::enrol::io::{Approval, ClaimerInput, CodeAnswer, GreeterInput, Prologue, Refused};
use crate::enrol::messages::Handover;
use crate::enrol::sas::{Codes, SasCode};
use crate::enrol::tests::{Organisation, START, SeededRng, Seen, label};
use crate::ids::Invited;
use crate::keys::{DeviceSigningKey, Entropy};
use crate::limits::{MESSAGE_WAIT_SECONDS, STEP_MAX_BYTES};
use crate::public_keys::{Hash, VerifyKey};

/// Whose machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Claimer,
    Greeter,
}

/// Seeds: each machine and each end of the relay's draws from its own, so that what one does never
/// depends on when another did.
const CLAIMER_SEED: u64 = 11;
const GREETER_SEED: u64 = 12;
const RELAY_SEED: u64 = 13;

/// A root key as the relay names it in message 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RootSaid {
    /// The one of an organisation of its own.
    Own,
    /// The right one.
    True,
    /// The commitment that the greeter said, word for word.
    As([u8; 32]),
}

/// What the relay says on a channel of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Words {
    /// Messages 1 and 0, with a sound key or with the point zero.
    Connect { zero: bool },
    /// Message 2 for a nonce, as the protocol wants it.
    Commit([u8; 32]),
    /// Message 2 with these 32 bytes.
    CommitTo([u8; 32]),
    /// Message 2 with a commitment that is too short.
    CommitShort,
    /// Message 3.
    Reply { nonce: [u8; 32], root: RootSaid, typed: bool },
    /// Message 4.
    Reveal([u8; 32]),
    /// Message 5.
    Recognised,
    /// Message 6 with keys of its own.
    Introduce,
    /// Messages 6 and 7, as they were opened on the other channel.
    PassOn(Vec<u8>),
    /// Message 8 for what it was handed.
    Receipt,
}

/// What the relay does to a message that it can't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mangled {
    No,
    /// The lowest bit of the first byte.
    First,
    /// The highest bit of the last one.
    Last,
    Cut,
    Longer,
}

/// The log that the server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Log {
    True,
    Short,
    Empty,
}

/// What can happen to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Happened {
    /// The relay gives it a message that it has, under some step.
    Given {
        step: u8,
        word: usize,
        mangled: Mangled,
    },
    /// The relay says something.
    Said(Words),
    /// The person answers: a code of those on the screen, one that was heard, or none.
    Picked(SasCode),
    Typed(SasCode),
    NoneFits,
    /// The claimer's person has found the code, says so aloud, and gives a name.
    Identity,
    /// The server shows a log.
    Shown(Log),
    /// The claimer's keys are durable.
    Saved,
    /// The greeter's person vouches, and says whether it heard that the code was found.
    Approved(bool),
    /// Nothing came for as long as the machine waits.
    Late,
    /// The person stops.
    Cancelled,
}

enum Machine {
    Claimer(Box<Claimer>),
    Greeter(Box<Greeter>),
}

/// What the relay's end has heard on its channel.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) commitment: Option<Hash>,
    pub(super) reply: Option<Reply>,
    pub(super) nonce: Option<[u8; 32]>,
    /// Messages 6 and 7, opened.
    pub(super) words: Option<Vec<u8>>,
}

/// A machine, what it put out, and the relay's end of a channel with it, if there is one.
pub(super) struct Play<'w> {
    org: &'w Organisation,
    prologue: Prologue,
    machine: Machine,
    pub(super) seen: Seen,
    entropy: SeededRng,
    relay: SeededRng,
    calling: Option<Calling>,
    end: Option<FalseEnd>,
    pub(super) heard: Heard,
    /// What has been looked at of what was sent.
    listened: usize,
}

/// The relay's keys, for which nothing may be certified.
pub(super) fn relay_keys() -> FalseKeys {
    FalseKeys::random(&mut SeededRng::new(RELAY_SEED + 1)).unwrap()
}

/// The nonce that the relay would show if it had no better idea.
pub(super) fn relay_nonce() -> [u8; 32] {
    SeededRng::new(RELAY_SEED + 2).block()
}

fn relay_root() -> VerifyKey {
    DeviceSigningKey::random(&mut SeededRng::new(RELAY_SEED + 3)).unwrap().verify_key()
}

impl<'w> Play<'w> {
    pub(super) fn start(org: &'w Organisation, prologue: &Prologue, side: Side, typed: bool) -> Self {
        let mut seen = Seen::default();
        let (machine, entropy) = match side {
            Side::Claimer => {
                let mut entropy = SeededRng::new(CLAIMER_SEED);
                let (machine, outputs) =
                    Claimer::start(prologue.clone(), &Organisation::link_secret(), START, &mut entropy)
                        .unwrap();
                seen.claimer(outputs);
                (Machine::Claimer(Box::new(machine)), entropy)
            }
            Side::Greeter => {
                let mut entropy = SeededRng::new(GREETER_SEED);
                let root = org.root;
                let (machine, outputs) = Greeter::start(
                    prologue.clone(),
                    &Organisation::link_secret(),
                    root,
                    typed,
                    START,
                    &mut entropy,
                )
                .unwrap();
                seen.greeter(outputs);
                (Machine::Greeter(Box::new(machine)), entropy)
            }
        };
        let relay = SeededRng::new(RELAY_SEED);
        Self {
            org,
            prologue: prologue.clone(),
            machine,
            seen,
            entropy,
            relay,
            calling: None,
            end: None,
            heard: Heard::default(),
            listened: 0,
        }
    }

    /// What the machine says of itself.
    pub(super) fn state(&self) -> String {
        match &self.machine {
            Machine::Claimer(machine) => format!("{machine:?}"),
            Machine::Greeter(machine) => format!("{machine:?}"),
        }
    }

    pub(super) const fn true_root(&self) -> VerifyKey {
        self.org.root
    }

    /// The step that would come next.
    pub(super) fn awaited(&self) -> u8 {
        self.seen.sent.last().map_or(0, |(step, _)| step + 1)
    }

    /// Whether the relay has a channel with this machine, or is waiting for the answer to its call.
    pub(super) const fn connected(&self) -> bool {
        self.end.is_some()
    }

    /// The codes on the relay's own channel.
    pub(super) fn codes(&self, nonce: &[u8; 32]) -> Option<(SasCode, SasCode)> {
        let Codes { claimer, greeter } = self.end.as_ref()?.codes(nonce, self.heard.reply.as_ref()?);
        Some((claimer, greeter))
    }

    /// Something happens; whether the machine took it. What the relay can't say it doesn't say.
    pub(super) fn happen(&mut self, what: &Happened, words: &[Vec<u8>]) -> Result<(), Refused> {
        match what {
            Happened::Given { step, word, mangled } => {
                let mut bytes = words[*word].clone();
                match mangled {
                    Mangled::No => {}
                    Mangled::First => bytes[0] ^= 1,
                    Mangled::Last => *bytes.last_mut().unwrap() ^= 0x80,
                    Mangled::Cut => drop(bytes.pop()),
                    Mangled::Longer => bytes.push(0),
                }
                self.message(*step, bytes)?;
            }
            Happened::Said(said) => {
                let step = self.awaited();
                match self.say(said) {
                    Some(bytes) => self.message(step, bytes)?,
                    None => return Err(Refused::NotNow),
                }
            }
            Happened::Picked(code) => self.answer(CodeAnswer::Picked(*code))?,
            Happened::Typed(code) => self.answer(CodeAnswer::Typed(*code))?,
            Happened::NoneFits => self.answer(CodeAnswer::NoneFits)?,
            Happened::Identity => {
                let name = matches!(self.prologue.invited, Invited::User(_)).then(|| label("Bob"));
                self.claimer(ClaimerInput::Identity { name, device_label: label("desk") })?;
            }
            Happened::Shown(log) => {
                let mut envelopes = self.org.envelopes.clone();
                match log {
                    Log::True => {}
                    Log::Short => drop(envelopes.pop()),
                    Log::Empty => envelopes.clear(),
                }
                self.claimer(ClaimerInput::Log(envelopes))?;
            }
            Happened::Saved => self.claimer(ClaimerInput::Saved)?,
            Happened::Approved(heard) => {
                let org = self.org;
                let approval = Approval { claimer_confirmed: *heard, ..org.approval() };
                self.greeter(GreeterInput::Approve(approval))?;
            }
            Happened::Late => match self.machine {
                Machine::Claimer(_) => self.claimer(ClaimerInput::Tick)?,
                Machine::Greeter(_) => self.greeter(GreeterInput::Tick)?,
            },
            Happened::Cancelled => match self.machine {
                Machine::Claimer(_) => self.claimer(ClaimerInput::Cancel)?,
                Machine::Greeter(_) => self.greeter(GreeterInput::Cancel)?,
            },
        }
        self.listen();
        Ok(())
    }

    fn message(&mut self, step: u8, bytes: Vec<u8>) -> Result<(), Refused> {
        match self.machine {
            Machine::Claimer(_) => self.claimer(ClaimerInput::Message { step, bytes }),
            Machine::Greeter(_) => self.greeter(GreeterInput::Message { step, bytes }),
        }
    }

    fn answer(&mut self, answer: CodeAnswer) -> Result<(), Refused> {
        match self.machine {
            Machine::Claimer(_) => self.claimer(ClaimerInput::Code(answer)),
            Machine::Greeter(_) => self.greeter(GreeterInput::Code(answer)),
        }
    }

    /// What only one kind of machine takes is not given to the other.
    fn claimer(&mut self, input: ClaimerInput) -> Result<(), Refused> {
        let Machine::Claimer(machine) = &mut self.machine else { return Err(Refused::NotNow) };
        let waited = if matches!(input, ClaimerInput::Tick) { MESSAGE_WAIT_SECONDS } else { 0 };
        let outputs = machine.step(input, START.plus_seconds(waited), &mut self.entropy)?;
        self.seen.claimer(outputs);
        Ok(())
    }

    fn greeter(&mut self, input: GreeterInput<'_>) -> Result<(), Refused> {
        let Machine::Greeter(machine) = &mut self.machine else { return Err(Refused::NotNow) };
        let waited = if matches!(input, GreeterInput::Tick) { MESSAGE_WAIT_SECONDS } else { 0 };
        let outputs = machine.step(input, START.plus_seconds(waited), &mut self.entropy)?;
        self.seen.greeter(outputs);
        Ok(())
    }

    /// Seals the relay's words on its own channel.
    fn say(&mut self, words: &Words) -> Option<Vec<u8>> {
        if let Words::Connect { zero } = words {
            return self.connect(*zero);
        }
        let end = self.end.as_mut()?;
        Some(match words {
            Words::Connect { .. } => return None,
            Words::Commit(nonce) => end.commit(nonce),
            Words::CommitTo(bytes) => end.commit_to(Hash::from_bytes(*bytes)),
            Words::CommitShort => {
                let mut short = Vec::new();
                minicbor::Encoder::new(&mut short).array(1).ok()?.bytes(&[1; 31]).ok()?;
                end.say(&short)
            }
            Words::Reply { nonce, root, typed } => {
                let root_commitment = match root {
                    RootSaid::Own => end.root_commitment(nonce, &relay_root()),
                    RootSaid::True => end.root_commitment(nonce, &self.org.root),
                    RootSaid::As(bytes) => Hash::from_bytes(*bytes),
                };
                let reply = Reply { nonce: *nonce, root_commitment, typing_required: *typed };
                self.heard.reply = Some(reply);
                end.reply(&reply)
            }
            Words::Reveal(nonce) => end.reveal(nonce),
            Words::Recognised => end.recognised(),
            Words::Introduce => {
                let name = matches!(self.prologue.invited, Invited::User(_)).then(|| label("Bob"));
                end.introduce(name, label("desk"), &relay_keys())
            }
            Words::PassOn(plain) => end.say(plain),
            Words::Receipt => {
                let handover: Handover = codec::decode(self.heard.words.as_ref()?, STEP_MAX_BYTES).ok()?;
                let keys = relay_keys();
                end.receipt(&end.booty(handover, &keys), &keys.signing)
            }
        })
    }

    fn connect(&mut self, zero: bool) -> Option<Vec<u8>> {
        let (prologue, link) = (self.prologue.clone(), Organisation::link_secret());
        let mut zeros = Zeros;
        let entropy: &mut dyn Entropy = if zero { &mut zeros } else { &mut self.relay };
        let mut bytes = match self.machine {
            Machine::Claimer(_) => {
                let (end, bytes) = FalseEnd::answer(&prologue, &link, &self.seen.message(0), entropy)?;
                self.end = Some(end);
                bytes
            }
            Machine::Greeter(_) => {
                let (calling, bytes) = Calling::out(&prologue, &link, entropy)?;
                self.calling = Some(calling);
                bytes
            }
        };
        if zero {
            // A sound build makes no such key even here: it is written into the message.
            bytes.iter_mut().take(32).for_each(|byte| *byte = 0);
        }
        Some(bytes)
    }

    /// The relay's end hears what the machine sent, if it is on its channel.
    fn listen(&mut self) {
        for (step, bytes) in self.seen.sent.iter().skip(self.listened) {
            if *step == 1
                && let Some(calling) = self.calling.take()
            {
                self.end = calling.connected(bytes);
            }
            let Some(end) = self.end.as_mut() else { continue };
            match step {
                2 => self.heard.commitment = end.hear_commitment(bytes),
                3 => self.heard.reply = end.hear_reply(bytes),
                4 => self.heard.nonce = end.hear_nonce(bytes),
                5 => {
                    // Read, so that the next one can be.
                    let _word = end.hear_recognised(bytes);
                }
                6 | 7 => self.heard.words = end.channel.open(*step, bytes).ok().map(|words| words.to_vec()),
                _ => {}
            }
        }
        self.listened = self.seen.sent.len();
    }
}
