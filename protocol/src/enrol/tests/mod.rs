//! The ceremony under test: two machines, an organisation to join, a clock and randomness made of a
//! seed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod attacks;
mod bound;
mod boxes;
mod codes;
mod forks;
mod handovers;
mod links;
mod middle;
mod model;
mod network;
mod peers;
mod robots;
mod shares;
mod steps;
mod vouching;

use super::claimer::Claimer;
use super::greeter::Greeter;
use super::io::{
    Approval, ClaimerInput, ClaimerOutput, Closed, CodeAnswer, CodeQuestion, GreeterInput, GreeterOutput,
    NewDevice, Prologue, Publication, ReceivedShare, Refused, SealedEnrolment, TransportKind,
};
use super::sas::SasCode;
use crate::chain::organisation::certificate::Profile;
use crate::chain::organisation::log::VerifiedLog;
use crate::claim_receipt::ClaimReceipt;
use crate::ids::{Invited, Label, Timestamp, Token};
use crate::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, Entropy, LinkSecret, NoEntropy, UserSeed};
pub(super) use crate::lab::tests::runs;
pub(super) use crate::lab::{Organisation, START, SeededRng};

/// A source that has run dry.
pub(super) struct Dry;

impl Entropy for Dry {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), NoEntropy> {
        Err(NoEntropy)
    }
}

pub(super) fn label(text: &str) -> Label {
    text.parse().unwrap()
}

/// The organisation of every ceremony.
pub(super) fn acme() -> Organisation {
    Organisation::of_seed(u64::MAX).unwrap()
}

/// What one side's driver has seen so far. The two sides' outputs differ in type only; here they
/// meet.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) sent: Vec<(u8, Vec<u8>)>,
    pub(super) shown: Option<SasCode>,
    pub(super) asked: Option<CodeQuestion>,
    pub(super) closed: Option<Closed>,
    pub(super) wake_at: Option<Timestamp>,
    /// Claimer only.
    pub(super) asked_identity: bool,
    pub(super) need_log: Option<u64>,
    pub(super) kept: Option<Box<NewDevice>>,
    pub(super) done: bool,
    /// Greeter only.
    pub(super) asked_approval: bool,
    pub(super) persisted: Option<Box<SealedEnrolment>>,
    pub(super) published: Option<Box<Publication>>,
    /// Of a share: nothing is certified, so nothing is made durable before message 7.
    pub(super) gives_share: bool,
    pub(super) given: Option<Box<ClaimReceipt>>,
    pub(super) kept_share: Option<Box<ReceivedShare>>,
}

impl Seen {
    pub(super) fn claimer(&mut self, outputs: Vec<ClaimerOutput>) {
        for output in outputs {
            assert!(self.closed.is_none(), "an output after the end");
            match output {
                ClaimerOutput::Send { step, bytes } => self.sent.push((step, bytes)),
                ClaimerOutput::Show(code) => self.shown = Some(code),
                ClaimerOutput::AskCode(question) => self.asked = Some(question),
                ClaimerOutput::AskIdentity => self.asked_identity = true,
                ClaimerOutput::NeedLog { count } => self.need_log = Some(count),
                ClaimerOutput::Keep(device) => self.kept = Some(device),
                ClaimerOutput::KeepShare(share) => self.kept_share = Some(share),
                ClaimerOutput::WakeAt(moment) => self.wake_at = Some(moment),
                ClaimerOutput::Done => self.done = true,
                ClaimerOutput::Closed(why) => self.closed = Some(why),
            }
        }
    }

    pub(super) fn greeter(&mut self, outputs: Vec<GreeterOutput>) {
        for output in outputs {
            assert!(self.closed.is_none(), "an output after the end");
            match output {
                GreeterOutput::Send { step, bytes } => {
                    let durable = self.persisted.is_some() || self.gives_share;
                    assert!(step != 7 || durable, "7 went out before it was durable");
                    self.sent.push((step, bytes));
                }
                GreeterOutput::AskCode(question) => self.asked = Some(question),
                GreeterOutput::Show(code) => {
                    assert!(self.sent.iter().any(|(step, _)| *step == 5), "shown before 5");
                    self.shown = Some(code);
                }
                GreeterOutput::AskApproval(_) => self.asked_approval = true,
                GreeterOutput::Persist(record) => self.persisted = Some(record),
                GreeterOutput::Publish(publication) => self.published = Some(publication),
                GreeterOutput::Given(receipt) => self.given = Some(receipt),
                GreeterOutput::WakeAt(moment) => self.wake_at = Some(moment),
                GreeterOutput::Closed(why) => self.closed = Some(why),
            }
        }
    }

    pub(super) fn message(&self, step: u8) -> Vec<u8> {
        self.sent
            .iter()
            .find(|(sent, _)| *sent == step)
            .unwrap_or_else(|| panic!("no message {step}"))
            .1
            .clone()
    }
}

pub(super) fn to_greeter(step: u8, bytes: &[u8]) -> GreeterInput<'static> {
    GreeterInput::Message { step, bytes: bytes.to_vec() }
}

pub(super) fn to_claimer(step: u8, bytes: &[u8]) -> ClaimerInput {
    ClaimerInput::Message { step, bytes: bytes.to_vec() }
}

/// Whether the greeter has given anything out that a certificate could be made of.
pub(super) fn nothing_was_signed(g: &Seen) -> bool {
    g.persisted.is_none() && g.published.is_none() && !g.sent.iter().any(|(step, _)| *step == 7)
}

/// Both sides of a ceremony, with what each has seen.
pub(super) struct Pair {
    pub(super) claimer: Claimer,
    pub(super) greeter: Greeter,
    pub(super) c: Seen,
    pub(super) g: Seen,
    pub(super) entropy: SeededRng,
    pub(super) now: Timestamp,
    pub(super) new_user: bool,
}

impl Pair {
    pub(super) fn start(
        org: &Organisation,
        claims: Prologue,
        greets: Prologue,
        typed: bool,
        seed: u64,
    ) -> Self {
        let mut entropy = SeededRng::new(seed);
        let new_user = matches!(claims.invited, Invited::User(_));
        let (claimer, first) =
            Claimer::start(claims, &Organisation::link_secret(), START, &mut entropy).unwrap();
        let (greeter, second) =
            Greeter::start(greets, &Organisation::link_secret(), org.root, typed, START, &mut entropy)
                .unwrap();
        let (mut c, mut g) = (Seen::default(), Seen::default());
        c.claimer(first);
        g.greeter(second);
        Self { claimer, greeter, c, g, entropy, now: START, new_user }
    }

    pub(super) fn fair(org: &Organisation, prologue: &Prologue, typed: bool, seed: u64) -> Self {
        Self::start(org, prologue.clone(), prologue.clone(), typed, seed)
    }

    pub(super) fn tell_claimer(&mut self, input: ClaimerInput) -> Result<(), Refused> {
        let outputs = self.claimer.step(input, self.now, &mut self.entropy)?;
        self.c.claimer(outputs);
        Ok(())
    }

    pub(super) fn tell_greeter(&mut self, input: GreeterInput<'_>) -> Result<(), Refused> {
        let outputs = self.greeter.step(input, self.now, &mut self.entropy)?;
        self.g.greeter(outputs);
        Ok(())
    }

    /// What the greeter awaits, as its `Debug` says it.
    pub(super) fn g_state(&self) -> String {
        format!("{:?}", self.greeter)
    }

    /// Hands the other side a message as it was sent.
    pub(super) fn deliver(&mut self, step: u8) {
        if step.is_multiple_of(2) {
            let bytes = self.c.message(step);
            self.tell_greeter(GreeterInput::Message { step, bytes }).unwrap();
        } else {
            let bytes = self.g.message(step);
            self.tell_claimer(ClaimerInput::Message { step, bytes }).unwrap();
        }
    }

    /// Runs honestly until `stop` is the next thing to be handed over or answered.
    pub(super) fn run_to(&mut self, org: &Organisation, stop: Point) {
        for point in POINTS {
            if *point == stop {
                return;
            }
            self.pass(org, *point);
        }
    }

    pub(super) fn pass(&mut self, org: &Organisation, point: Point) {
        match point {
            Point::Message(step) => self.deliver(step),
            Point::GreeterCode => {
                let heard = self.c.shown.expect("the claimer shows its code");
                self.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(heard))).unwrap();
            }
            Point::ClaimerCode => {
                let heard = self.g.shown.expect("the greeter shows its code");
                self.tell_claimer(ClaimerInput::Code(CodeAnswer::Typed(heard))).unwrap();
            }
            Point::Identity => {
                let name = self.new_user.then(|| label("Bob"));
                self.tell_claimer(ClaimerInput::Identity { name, device_label: label("desk") }).unwrap();
            }
            Point::Approval => self.tell_greeter(GreeterInput::Approve(org.approval())).unwrap(),
            Point::Log => self.tell_claimer(ClaimerInput::Log(org.envelopes.clone())).unwrap(),
            Point::Saved => self.tell_claimer(ClaimerInput::Saved).unwrap(),
            Point::End => {}
        }
    }
}

/// Where an honest ceremony can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    Message(u8),
    GreeterCode,
    ClaimerCode,
    Identity,
    Approval,
    Log,
    Saved,
    End,
}

/// The honest order.
pub(super) const POINTS: &[Point] = &[
    Point::Message(0),
    Point::Message(1),
    Point::Message(2),
    Point::Message(3),
    Point::Message(4),
    Point::GreeterCode,
    Point::Message(5),
    Point::ClaimerCode,
    Point::Identity,
    Point::Message(6),
    Point::Approval,
    Point::Message(7),
    Point::Log,
    Point::Saved,
    Point::Message(8),
    Point::End,
];
