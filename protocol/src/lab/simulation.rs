//! Two shipped machines, their drivers, and a network that belongs to the adversary.
//!
//! Decides in which order things happen: messages first, then people, then the adversary's own
//! ideas, then time. Refuses to let the adversary touch anything but the network, the server's
//! answers and the clock of what arrives when: it has no hand in the machines or the voices, but
//! for one strategy that is granted a guess and says so.

use std::collections::VecDeque;

use super::Lab;
use super::organisation::{Organisation, START};
use super::people::{self, People};
use super::seeded_rng::SeededRng;
use super::strategies::{Adversary, Interception};
use super::transcript::{Event, Newcomer, Side, Told, Verdict, Who, told};
use crate::enrol::claimer::Claimer;
use crate::enrol::greeter::Greeter;
use crate::enrol::io::{
    Approval, ClaimerInput, ClaimerOutput, Closed, CodeQuestion, GreeterInput, GreeterOutput, NewDevice,
    Prologue, Publication, Refused, SealedEnrolment,
};
use crate::enrol::sas::SasCode;
use crate::ids::{Label, Timestamp};
use crate::keys::LinkSecret;
use crate::limits::MESSAGE_WAIT_SECONDS;
use crate::public_keys::VerifyKey;

/// Things that may happen in one attempt. An honest one has about 25; what needs more than this
/// goes round in circles.
const MOVES_MAX: usize = 400;

/// What a device and its driver have come to.
#[derive(Default)]
pub(super) struct End {
    /// The code that its person reads out.
    pub(super) shown: Option<SasCode>,
    /// The code that its person is asked for.
    pub(super) asked: Option<CodeQuestion>,
    pub(super) closed: Option<Closed>,
}

/// One invitation, and everything that happens to it.
pub(super) struct Simulation<'a> {
    lab: &'a Lab,
    people: People,
    newcomer: Newcomer,
    claimer: Claimer,
    greeter: Greeter,
    claimer_end: End,
    greeter_end: End,
    asked_identity: bool,
    asked_approval: bool,
    need_log: bool,
    found_aloud: bool,
    kept: Option<Box<NewDevice>>,
    done: bool,
    sealed: Option<Box<SealedEnrolment>>,
    published: Option<Box<Publication>>,
    queue: VecDeque<(Side, u8, Vec<u8>)>,
    now: Timestamp,
    entropy: SeededRng,
    rng: SeededRng,
    attempt: u32,
    events: Vec<Event>,
    told: Vec<Told>,
    fooled: Vec<Side>,
    /// Keys that the adversary made: no certificate may name one.
    false_keys: Vec<VerifyKey>,
    certificates: usize,
    /// A code that the adversary is granted: the greeter's person hears this one.
    luck: Option<SasCode>,
    /// Which sides talk to the adversary rather than to each other.
    intercepted: bool,
    /// Steps that each device has sent in this attempt: one that comes twice is a ceremony that
    /// began anew by itself.
    sent: Vec<u8>,
    silent_restarts: u32,
}

type Machines = (Claimer, Greeter, Vec<ClaimerOutput>, Vec<GreeterOutput>);

fn machines(
    root: VerifyKey,
    settings: (Prologue, Prologue),
    typed: bool,
    now: Timestamp,
    entropy: &mut SeededRng,
) -> Result<Machines, Refused> {
    let (claims, greets) = settings;
    let (claimer, first) = Claimer::start(claims, &Organisation::link_secret(), now, entropy)?;
    let (greeter, second) = Greeter::start(greets, &Organisation::link_secret(), root, typed, now, entropy)?;
    Ok((claimer, greeter, first, second))
}

impl<'a> Simulation<'a> {
    pub(super) fn new(
        lab: &'a Lab,
        people: People,
        newcomer: Newcomer,
        settings: (Prologue, Prologue),
        seed: u64,
    ) -> Result<Self, Refused> {
        let mut entropy = SeededRng::new(seed);
        // Some organisations want codes typed; a blind pick would have no chance there, so that the
        // lab always lets people pick.
        let (claimer, greeter, first, second) =
            machines(lab.organisation.root, settings, false, START, &mut entropy)?;
        let mut simulation = Self {
            lab,
            people,
            newcomer,
            claimer,
            greeter,
            claimer_end: End::default(),
            greeter_end: End::default(),
            asked_identity: false,
            asked_approval: false,
            need_log: false,
            found_aloud: false,
            kept: None,
            done: false,
            sealed: None,
            published: None,
            queue: VecDeque::new(),
            now: START,
            entropy,
            rng: SeededRng::new(!seed),
            attempt: 1,
            events: Vec::new(),
            told: Vec::new(),
            fooled: Vec::new(),
            false_keys: Vec::new(),
            certificates: 0,
            luck: None,
            intercepted: false,
            sent: Vec::new(),
            silent_restarts: 0,
        };
        simulation.note(Who::GreeterPerson, "starts to greet");
        simulation.note(Who::ClaimerPerson, "starts to claim");
        simulation.take_claimer(first);
        simulation.take_greeter(second);
        Ok(simulation)
    }

    /// Both people begin again by hand, having been told that the last attempt is over.
    pub(super) fn begin_again(&mut self, settings: (Prologue, Prologue)) -> Result<(), Refused> {
        let (claimer, greeter, first, second) =
            machines(self.lab.organisation.root, settings, false, self.now, &mut self.entropy)?;
        (self.claimer, self.greeter) = (claimer, greeter);
        (self.claimer_end, self.greeter_end) = (End::default(), End::default());
        (self.asked_identity, self.asked_approval, self.need_log, self.found_aloud) =
            (false, false, false, false);
        (self.luck, self.intercepted) = (None, false);
        // Certificates that were signed for the newcomer's key in an attempt that was broken off
        // are of no use without its receipt.
        (self.kept, self.sealed, self.published, self.done) = (None, None, None, false);
        self.queue.clear();
        self.sent.clear();
        self.attempt += 1;
        self.note(Who::GreeterPerson, "starts to greet again");
        self.note(Who::ClaimerPerson, "starts to claim again");
        self.take_claimer(first);
        self.take_greeter(second);
        Ok(())
    }

    /// One attempt to its end.
    pub(super) fn play(&mut self, adversary: &mut dyn Adversary) {
        for _ in 0..MOVES_MAX {
            if self.over() && self.queue.is_empty() {
                break;
            }
            if let Some((from, step, bytes)) = self.queue.pop_front() {
                adversary.carry(self, from, step, bytes);
            } else if self.need_log {
                self.need_log = false;
                let log = adversary.log(self);
                self.tell_claimer(ClaimerInput::Log(log));
            } else if people::act(self) || adversary.idle(self) || people::give_up(self) {
                // The next round sees what came of it.
            } else if !self.wait(MESSAGE_WAIT_SECONDS) {
                break;
            }
        }
    }

    /// Time passes at both ends; whether anything came of it.
    pub(super) fn wait(&mut self, seconds: u64) -> bool {
        self.now = self.now.plus_seconds(seconds);
        let before = self.told.len();
        self.tell_claimer(ClaimerInput::Tick);
        self.tell_greeter(GreeterInput::Tick);
        self.told.len() > before
    }

    fn over(&self) -> bool {
        let claimer = self.done || self.claimer_end.closed.is_some();
        claimer && (self.published.is_some() || self.greeter_end.closed.is_some())
    }

    // --- for the adversary

    pub(super) const fn lab(&self) -> &'a Lab {
        self.lab
    }

    pub(super) fn rng(&mut self) -> &mut SeededRng {
        &mut self.rng
    }

    /// A message as it was sent.
    pub(super) fn pass_on(&mut self, from: Side, step: u8, bytes: Vec<u8>) {
        self.deliver(from.other(), step, bytes);
    }

    /// A message that nobody sent like this.
    pub(super) fn slip(&mut self, to: Side, step: u8, bytes: Vec<u8>, what: &str) {
        let seconds = self.seconds();
        self.events.push(Event {
            attempt: self.attempt,
            seconds,
            who: Who::Adversary,
            what: what.to_owned(),
            step: Some(step),
            bytes: Some(bytes.len()),
        });
        self.deliver(to, step, bytes);
    }

    /// The server says that the attempt is over; a driver believes that, and its person reads it.
    pub(super) fn cut(&mut self) {
        self.note(Who::Adversary, "says to both that the attempt is over");
        self.tell_claimer(ClaimerInput::Cancel);
        self.tell_greeter(GreeterInput::Cancel);
    }

    // --- for the people

    pub(super) const fn people(&self) -> People {
        self.people
    }

    pub(super) const fn end(&self, side: Side) -> &End {
        match side {
            Side::Claimer => &self.claimer_end,
            Side::Greeter => &self.greeter_end,
        }
    }

    pub(super) const fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Claimer => &mut self.claimer_end,
            Side::Greeter => &mut self.greeter_end,
        }
    }

    /// What a person hears the other read out. Voices are true.
    pub(super) fn voice(&self, listener: Side) -> Option<SasCode> {
        match (listener, self.luck) {
            (Side::Greeter, Some(granted)) => Some(granted),
            (listener, _) => self.end(listener.other()).shown,
        }
    }

    pub(super) const fn claimer_asked_identity(&self) -> bool {
        self.asked_identity
    }

    pub(super) const fn greeter_asked_approval(&self) -> bool {
        self.asked_approval
    }

    pub(super) const fn heard_found(&self) -> bool {
        self.found_aloud
    }

    pub(super) fn claimer_says_found(&mut self) {
        self.found_aloud = true;
        self.asked_identity = false;
        let (name, device_label) = self.lab.names(self.newcomer);
        self.tell_claimer(ClaimerInput::Identity { name, device_label });
    }

    pub(super) fn approve(&mut self, heard: bool) {
        self.asked_approval = false;
        let approval = Approval { claimer_confirmed: heard, ..self.lab.organisation.approval() };
        self.tell_greeter(GreeterInput::Approve(approval));
    }

    pub(super) fn note(&mut self, who: Who, what: &str) {
        self.event(who, what, None, None);
    }

    // --- the drivers

    pub(super) fn tell_claimer(&mut self, input: ClaimerInput) {
        // A refusal changes nothing, and a person who is refused tries what fits.
        if let Ok(outputs) = self.claimer.step(input, self.now, &mut self.entropy) {
            self.take_claimer(outputs);
        }
    }

    pub(super) fn tell_greeter(&mut self, input: GreeterInput<'_>) {
        if let Ok(outputs) = self.greeter.step(input, self.now, &mut self.entropy) {
            self.take_greeter(outputs);
        }
    }

    fn deliver(&mut self, to: Side, step: u8, bytes: Vec<u8>) {
        match to {
            Side::Claimer => self.tell_claimer(ClaimerInput::Message { step, bytes }),
            Side::Greeter => self.tell_greeter(GreeterInput::Message { step, bytes }),
        }
    }

    fn take_claimer(&mut self, outputs: Vec<ClaimerOutput>) {
        for output in outputs {
            match output {
                ClaimerOutput::Send { step, bytes } => self.send(Side::Claimer, step, bytes),
                ClaimerOutput::Show(code) => {
                    self.claimer_end.shown = Some(code);
                    self.note(Who::ClaimerPerson, &format!("reads out {code}"));
                }
                ClaimerOutput::AskCode(question) => self.claimer_end.asked = Some(question),
                ClaimerOutput::AskIdentity => {
                    self.asked_identity = true;
                    self.recognised(Side::Claimer);
                }
                ClaimerOutput::NeedLog { .. } => self.need_log = true,
                ClaimerOutput::Keep(device) => {
                    self.note(
                        Who::ClaimerDevice,
                        "has checked everything up to the root key and keeps its keys",
                    );
                    self.kept = Some(device);
                    self.tell_claimer(ClaimerInput::Saved);
                }
                // Nobody is given a share in the lab.
                ClaimerOutput::KeepShare(_) | ClaimerOutput::WakeAt(_) => {}
                ClaimerOutput::Done => self.done = true,
                ClaimerOutput::Closed(why) => self.close(Side::Claimer, why),
            }
        }
    }

    fn take_greeter(&mut self, outputs: Vec<GreeterOutput>) {
        for output in outputs {
            match output {
                GreeterOutput::Send { step, bytes } => self.send(Side::Greeter, step, bytes),
                GreeterOutput::AskCode(question) => self.greeter_end.asked = Some(question),
                GreeterOutput::Show(code) => {
                    self.greeter_end.shown = Some(code);
                    self.recognised(Side::Greeter);
                    self.note(Who::GreeterPerson, &format!("reads out {code}"));
                }
                GreeterOutput::AskApproval(_) => self.asked_approval = true,
                GreeterOutput::Persist(sealed) => {
                    if self.false_keys.contains(&sealed.verify_key) {
                        self.certificates += sealed.certificates.len();
                        self.note(Who::GreeterDevice, "SIGNS CERTIFICATES FOR A KEY OF THE ADVERSARY'S");
                    } else {
                        self.note(Who::GreeterDevice, "signs certificates for the newcomer's key");
                    }
                    self.sealed = Some(sealed);
                }
                GreeterOutput::Publish(publication) => {
                    self.note(Who::GreeterDevice, "has the receipt and publishes");
                    self.published = Some(publication);
                }
                GreeterOutput::Given(_) | GreeterOutput::WakeAt(_) => {}
                GreeterOutput::Closed(why) => self.close(Side::Greeter, why),
            }
        }
    }

    fn send(&mut self, from: Side, step: u8, bytes: Vec<u8>) {
        self.event(device(from), "sends", Some(step), Some(bytes.len()));
        self.silent_restarts += u32::from(self.sent.contains(&step));
        self.sent.push(step);
        self.queue.push_back((from, step, bytes));
    }

    fn recognised(&mut self, side: Side) {
        if self.intercepted {
            self.fooled.push(side);
        }
    }

    fn close(&mut self, side: Side, why: Closed) {
        self.end_mut(side).closed = Some(why);
        self.end_mut(side).asked = None;
        match side {
            Side::Claimer => self.asked_identity = false,
            Side::Greeter => self.asked_approval = false,
        }
        let why = told(why);
        self.event(device(side), &format!("tells its person that it is over: {why}"), None, None);
        self.told.push(Told { attempt: self.attempt, side, why });
    }

    fn event(&mut self, who: Who, what: &str, step: Option<u8>, bytes: Option<usize>) {
        let (attempt, seconds) = (self.attempt, self.seconds());
        self.events.push(Event { attempt, seconds, who, what: what.to_owned(), step, bytes });
    }

    const fn seconds(&self) -> u64 {
        self.now.0.saturating_sub(START.0) / Timestamp::SECOND
    }

    // --- the judgement

    /// What this run came to.
    pub(super) fn judged(self) -> (Vec<Event>, Verdict) {
        let genuine = |device: &NewDevice| {
            device.root == self.lab.organisation.root
                && self.sealed.as_ref().is_some_and(|sealed| {
                    sealed
                        .certificates
                        .iter()
                        .map(|envelope| envelope.as_slice())
                        .eq(device.certificates.iter().map(Vec::as_slice))
                })
        };
        let enrolled = self.published.is_some() && self.kept.as_ref().is_some_and(|device| genuine(device));
        let mut verdict = Verdict {
            held: false,
            certificates: self.certificates,
            captured: self.kept.as_ref().is_some_and(|device| !genuine(device)),
            enrolled,
            waiting: self.sealed.is_some() && self.published.is_none() && self.greeter_end.closed.is_none(),
            fooled: self.fooled,
            told: self.told,
            attempts: self.attempt,
            silent_restarts: self.silent_restarts,
        };
        verdict.judge();
        (self.events, verdict)
    }
}

impl Interception for Simulation<'_> {
    fn prologue(&self) -> Prologue {
        self.lab.prologue(self.newcomer)
    }

    fn link(&self) -> LinkSecret {
        Organisation::link_secret()
    }

    fn false_root(&self) -> VerifyKey {
        self.lab.impostor.root
    }

    fn names(&self) -> (Option<Label>, Label) {
        self.lab.names(self.newcomer)
    }

    fn slip(&mut self, to: Side, step: u8, bytes: Vec<u8>, what: &str) {
        Simulation::slip(self, to, step, bytes, what);
    }

    fn watch_key(&mut self, key: VerifyKey) {
        self.false_keys.push(key);
    }

    fn intercept(&mut self) {
        self.intercepted = true;
    }

    fn grant(&mut self, code: SasCode) {
        self.luck = Some(code);
        self.note(Who::Adversary, "is granted the guess that comes true once in 1,048,576");
    }
}

const fn device(side: Side) -> Who {
    match side {
        Side::Claimer => Who::ClaimerDevice,
        Side::Greeter => Who::GreeterDevice,
    }
}
