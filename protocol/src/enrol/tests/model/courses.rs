//! Everything that was ever asked of the machines: a tree of courses, in which each branch is what
//! may happen next.
//!
//! Decides when two courses are the same. A machine that is over is known by why, and by what it
//! has given out: nothing can happen to it any more, which is tried for each. Refuses to guess what
//! a machine does: every branch is played from the start, once.

use std::collections::HashMap;

use super::play::{Happened, Mangled, Play, Side};
use crate::enrol::io::{Closed, CodeQuestion, Prologue};
use crate::enrol::sas::SasCode;
use crate::enrol::tests::{Organisation, Pair, Point, SeededRng};
use crate::public_keys::{Hash, VerifyKey};

/// A place in the tree.
pub(super) type Course = usize;
/// A message that was sent, by its number.
pub(super) type Word = usize;

/// Nonces that the relay tries to make codes fit. Where the commitment binds, none helps; where it
/// doesn't, `cargo xtask sabotage` puts a number that finds one all but always.
const SEARCH: u32 = 16;
/// The seed of another attempt, whose messages the relay has kept.
const EARLIER: u64 = 1_000;

/// Whose key was certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Certified {
    Newcomer,
    Relay,
}

/// What a machine has given out that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Lasting {
    /// The code that its person reads out.
    pub(super) shown: Option<SasCode>,
    /// Greeter: for whom it signed, and a hash of the certificates.
    pub(super) signed: Option<(Certified, Hash)>,
    pub(super) published: bool,
    /// Claimer: whether it would pin the right root key, and a hash of the certificates.
    pub(super) kept: Option<(bool, Hash)>,
    pub(super) saved: bool,
    pub(super) done: bool,
    /// The greeter's person said that it heard the claimer.
    pub(super) stated: bool,
    /// The claimer's name went to the relay.
    pub(super) named_to_relay: bool,
}

/// What is known of a machine at some place.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) side: Side,
    /// The step that would come next.
    pub(super) awaited: u8,
    pub(super) sent: Vec<(u8, Word)>,
    pub(super) asked: Option<CodeQuestion>,
    pub(super) asked_identity: bool,
    pub(super) asked_log: bool,
    pub(super) asked_approval: bool,
    pub(super) closed: Option<Closed>,
    pub(super) lasting: Lasting,
    pub(super) relay: Relay,
}

/// What the relay's own end has heard on its channel with this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Relay {
    pub(super) connected: bool,
    pub(super) commitment: Option<[u8; 32]>,
    /// Nonce, root commitment, whether codes are typed.
    pub(super) reply: Option<([u8; 32], [u8; 32], bool)>,
    pub(super) nonce: Option<[u8; 32]>,
    /// Messages 6 and 7, opened.
    pub(super) words: Option<Vec<u8>>,
    /// The codes that this machine goes by, if the relay can know them: the claimer's, the
    /// greeter's.
    pub(super) codes: Option<(SasCode, SasCode)>,
}

/// All that there is to know of a machine that is over.
type Ended = (Side, Lasting, Relay, Vec<(u8, Word)>);

impl Facts {
    /// Nothing happens to it any more.
    pub(super) const fn over(&self) -> bool {
        self.closed.is_some() || self.lasting.done || self.lasting.published
    }
}

struct Node {
    facts: Facts,
    /// How it came here, from the start.
    path: Vec<Happened>,
    next: HashMap<Happened, Option<Course>>,
}

/// The tree, for one organisation, one invitation, one kind of newcomer.
pub(super) struct Courses {
    org: Organisation,
    prologue: Prologue,
    typed: bool,
    nodes: Vec<Node>,
    ended: HashMap<Ended, Course>,
    words: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, Word>,
    /// The step under which each was sent.
    steps: Vec<u8>,
    fitting: HashMap<(Course, (SasCode, SasCode)), [u8; 32]>,
    /// Messages of an earlier attempt by the same link.
    earlier: Vec<Word>,
}

impl Courses {
    pub(super) const CLAIMER: Course = 0;
    pub(super) const GREETER: Course = 1;

    pub(super) fn new(org: Organisation, prologue: Prologue, typed: bool) -> Self {
        let mut courses = Self {
            org,
            prologue,
            typed,
            nodes: Vec::new(),
            ended: HashMap::new(),
            words: Vec::new(),
            numbers: HashMap::new(),
            steps: Vec::new(),
            fitting: HashMap::new(),
            earlier: Vec::new(),
        };
        for side in [Side::Claimer, Side::Greeter] {
            let facts = {
                let play = Play::start(&courses.org, &courses.prologue, side, typed);
                Known::of(&play, &[])
            };
            let facts = courses.interned(facts, side);
            courses.nodes.push(Node { facts, path: Vec::new(), next: HashMap::new() });
        }
        courses.remember_an_earlier_attempt();
        courses
    }

    pub(super) const fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn facts(&self, at: Course) -> &Facts {
        &self.nodes[at].facts
    }

    pub(super) fn step_of(&self, word: Word) -> u8 {
        self.steps[word]
    }

    pub(super) fn earlier(&self) -> &[Word] {
        &self.earlier
    }

    /// What comes of it; nothing where the machine stays as it is.
    pub(super) fn after(&mut self, at: Course, what: &Happened) -> Option<Course> {
        if let Some(known) = self.nodes[at].next.get(what) {
            return *known;
        }
        let next = self.play_on(at, what);
        self.nodes[at].next.insert(what.clone(), next);
        next
    }

    fn play_on(&mut self, at: Course, what: &Happened) -> Option<Course> {
        let side = self.nodes[at].facts.side;
        let mut path = self.nodes[at].path.clone();
        let known = {
            let mut play = self.played(side, &path);
            let before = (play.state(), play.seen.sent.len());
            let taken = play.happen(what, &self.words);
            if taken.is_err() || (play.state(), play.seen.sent.len()) == before {
                assert_eq!((play.state(), play.seen.sent.len()), before, "refused, and yet changed");
                return None;
            }
            path.push(what.clone());
            let known = Known::of(&play, &path);
            if known.facts.over() {
                stays_over(&mut play, &self.words);
            }
            known
        };
        let facts = self.interned(known, side);
        let ended = |facts: &Facts| (side, facts.lasting.clone(), facts.relay.clone(), facts.sent.clone());
        let end = facts.closed.is_some().then(|| ended(&facts));
        if let Some(known) = end.as_ref().and_then(|end| self.ended.get(end)) {
            return Some(*known);
        }
        let course = self.nodes.len();
        self.nodes.push(Node { facts, path, next: HashMap::new() });
        if let Some(end) = end {
            self.ended.insert(end, course);
        }
        Some(course)
    }

    fn played(&self, side: Side, path: &[Happened]) -> Play<'_> {
        let mut play = Play::start(&self.org, &self.prologue, side, self.typed);
        for happened in path {
            play.happen(happened, &self.words).expect("it happened before");
        }
        play
    }

    /// A nonce by which the greeter's machine comes to these codes, if the relay finds one;
    /// otherwise one that is as good as any other.
    pub(super) fn fitting(&mut self, greeter: Course, wanted: (SasCode, SasCode)) -> [u8; 32] {
        let key = (greeter, wanted);
        if let Some(known) = self.fitting.get(&key) {
            return *known;
        }
        let found = {
            let play = self.played(Side::Greeter, &self.nodes[greeter].path);
            let mut rng = SeededRng::new(EARLIER);
            let mut tries = std::iter::repeat_with(|| rng.block()).take(SEARCH as usize);
            tries.find(|nonce| play.codes(nonce) == Some(wanted)).unwrap_or_else(|| rng.block())
        };
        self.fitting.insert(key, found);
        found
    }

    fn interned(&mut self, known: Known, side: Side) -> Facts {
        let Known { mut facts, sent } = known;
        facts.side = side;
        facts.sent = sent.into_iter().map(|(step, bytes)| (step, self.number(step, bytes))).collect();
        facts
    }

    fn number(&mut self, step: u8, bytes: Vec<u8>) -> Word {
        if let Some(known) = self.numbers.get(&bytes) {
            return *known;
        }
        let word = self.words.len();
        self.numbers.insert(bytes.clone(), word);
        self.words.push(bytes);
        self.steps.push(step);
        word
    }

    /// An honest ceremony by the same link, with other numbers: what the relay has of it.
    fn remember_an_earlier_attempt(&mut self) {
        let sent = {
            let mut pair = Pair::fair(&self.org, &self.prologue, self.typed, EARLIER);
            pair.run_to(&self.org, Point::End);
            pair.c.sent.into_iter().chain(pair.g.sent).collect::<Vec<_>>()
        };
        self.earlier = sent.into_iter().map(|(step, bytes)| self.number(step, bytes)).collect();
    }
}

/// Whatever comes after the end, nothing is put out any more.
fn stays_over(play: &mut Play<'_>, words: &[Vec<u8>]) {
    let before = (play.state(), play.seen.sent.len(), play.seen.closed);
    for what in (0..10)
        .map(|step| Happened::Given { step, word: 0, mangled: Mangled::No })
        .chain([Happened::Late, Happened::Cancelled, Happened::NoneFits])
        .chain([Happened::Identity, Happened::Approved(true), Happened::Saved])
    {
        let _refused = play.happen(&what, words);
        assert_eq!((play.state(), play.seen.sent.len(), play.seen.closed), before, "{what:?} after the end");
    }
}

/// [`Facts`] before messages have numbers.
struct Known {
    facts: Facts,
    sent: Vec<(u8, Vec<u8>)>,
}

impl Known {
    fn of(play: &Play<'_>, path: &[Happened]) -> Self {
        let (seen, heard) = (&play.seen, &play.heard);
        let steps: Vec<u8> = seen.sent.iter().map(|(step, _)| *step).collect();
        assert!(steps.is_sorted_by(|a, b| a < b), "a step was said twice, or out of order: {steps:?}");
        let relay = super::play::relay_keys().signing.verify_key();
        let certified = |key: VerifyKey| if key == relay { Certified::Relay } else { Certified::Newcomer };
        let hash = |parts: &mut dyn Iterator<Item = &[u8]>| Hash::of(&parts.collect::<Vec<_>>());
        let lasting = Lasting {
            shown: seen.shown,
            signed: seen.persisted.as_ref().map(|sealed| {
                let all = &mut sealed.certificates.iter().map(|bytes| bytes.as_slice());
                (certified(sealed.verify_key), hash(all))
            }),
            published: seen.published.is_some(),
            kept: seen.kept.as_ref().map(|device| {
                let all = &mut device.certificates.iter().map(Vec::as_slice);
                (device.root == play.true_root(), hash(all))
            }),
            saved: path.contains(&Happened::Saved),
            done: seen.done,
            stated: path.contains(&Happened::Approved(true)),
            named_to_relay: heard.words.is_some() && steps.contains(&6),
        };
        assert_eq!(lasting.signed.is_some(), steps.contains(&7), "message 7 goes with certificates");
        assert!(
            lasting.shown.is_none() || !steps.contains(&1) || steps.contains(&5),
            "the greeter's code before the claimer's was recognised"
        );
        let open = seen.closed.is_none();
        // A question stands until its answer: the machine's own name of what it awaits says when.
        let awaits = |what: &str| open && play.state().contains(&format!("\"{what}\""));
        let facts = Facts {
            side: Side::Claimer,
            awaited: play.awaited(),
            sent: Vec::new(),
            asked: if awaits("code") { seen.asked } else { None },
            asked_identity: awaits("identity"),
            asked_log: awaits("log"),
            asked_approval: awaits("approval"),
            closed: seen.closed,
            lasting,
            relay: Relay {
                connected: play.connected(),
                commitment: heard.commitment.map(|hash| *hash.as_bytes()),
                reply: heard
                    .reply
                    .map(|reply| (reply.nonce, *reply.root_commitment.as_bytes(), reply.typing_required)),
                nonce: heard.nonce,
                words: heard.words.clone(),
                codes: heard.nonce.as_ref().and_then(|nonce| play.codes(nonce)),
            },
        };
        Self { facts, sent: seen.sent.clone() }
    }
}
