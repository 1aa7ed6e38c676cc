//! A second rule set, so small that it fits one screen: the chain knows nothing of organisations.
//!
//! A toy log counts: its certificates add a number, or pass the pen to another writer. Who the
//! writers are it does not say; their keys stand beside it, as the devices of an organisation will
//! stand beside the log of anything that its members share. Shown on it: appending, verifying in
//! batches, checkpoints and fork proofs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use minicbor::{Decode, Encode};
use parsec_protocol::chain::batch::Sequential;
use parsec_protocol::chain::candidate::Candidate;
use parsec_protocol::chain::checkpoint::{Checkpoint, CheckpointKey};
use parsec_protocol::chain::envelope::Envelope;
use parsec_protocol::chain::export::{self, ExportFault, SignedHead};
use parsec_protocol::chain::fork::{self, ForkFault, Form, Witness};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::log::{Log, LogError};
use parsec_protocol::chain::rules::{Rules, Signed};
use parsec_protocol::codec;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::keys::LocalStoreKey;
use parsec_protocol::public_keys::{Context, Hash, Signature, VerifyKey};
use support::signing_key;

/// The rule set of a toy log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toy {}

/// What a toy certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
enum Body {
    /// Adds to the sum.
    #[n(0)]
    Add(#[n(0)] u64),
    /// Lets another writer go on.
    #[n(1)]
    Pass(#[n(0)] u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct Payload {
    #[n(0)]
    log: u64,
    #[n(1)]
    writer: u64,
    #[n(2)]
    previous: Head,
    #[n(3)]
    body: Body,
}

/// Sum, and whose turn it is; writer 0 begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    sum: u64,
    writer: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it is malformed")]
    Malformed,
    #[error("the log is full")]
    Full,
    #[error("it belongs to another log")]
    WrongLog,
    #[error("its writer is unknown")]
    Unknown,
    #[error("its signature fails verification")]
    BadSignature,
    #[error("it does not follow the newest certificate")]
    Elsewhere,
    #[error("it is another writer's turn")]
    NotYourTurn,
    #[error("the sum is too large")]
    TooLarge,
}

/// Most that a toy log adds up to.
const SUM_MAX: u64 = 1_000;

impl Signed for Toy {
    type Payload = Payload;
    type Findings = ();

    const CONTEXT: Context = Context::Certificate;
    const ENVELOPE_MAX_BYTES: usize = 256;

    fn inspect(_: &Payload) {}
}

impl Rules for Toy {
    type Origin = u64;
    type Author = u64;
    type State = State;
    /// The writers' keys.
    type Around = [VerifyKey];
    type Fault = Fault;

    const LOG_MAX_CERTIFICATES: u64 = 40;

    fn first_hash(origin: &u64) -> Hash {
        Hash::of(&[b"toy", &origin.to_be_bytes()])
    }

    fn statement(origin: &u64, head: &Head) -> Vec<u8> {
        codec::encode(&("toy", origin, head))
    }

    fn belongs(payload: &Payload, origin: &u64) -> bool {
        payload.log == *origin
    }

    fn author(payload: &Payload) -> u64 {
        payload.writer
    }

    fn time(payload: &Payload) -> Timestamp {
        Timestamp(payload.previous.count)
    }

    fn seen(payload: &Payload) -> Head {
        payload.previous
    }

    fn key_of(_: &Log<Self>, keys: &[VerifyKey], writer: &u64) -> Option<VerifyKey> {
        keys.get(usize::try_from(*writer).ok()?).copied()
    }

    fn is_witness(_: &u64) -> bool {
        true
    }

    fn names(_: &Payload) -> Option<(u64, VerifyKey)> {
        None
    }

    fn judge<'a>(
        log: &Log<Self>,
        keys: &[VerifyKey],
        read: impl FnOnce() -> Option<Candidate<'a, Self>>,
    ) -> Result<Candidate<'a, Self>, Fault> {
        if log.count() >= Self::LOG_MAX_CERTIFICATES {
            return Err(Fault::Full);
        }
        let candidate = read().ok_or(Fault::Malformed)?;
        let Payload { writer, previous, body, .. } = *candidate.payload();
        if !Self::belongs(candidate.payload(), log.origin()) {
            return Err(Fault::WrongLog);
        }
        let key = Self::key_of(log, keys, &writer).ok_or(Fault::Unknown)?;
        if !candidate.is_signed_by(&key) {
            return Err(Fault::BadSignature);
        }
        if previous != log.head() {
            return Err(Fault::Elsewhere);
        }
        if writer != log.state().writer {
            return Err(Fault::NotYourTurn);
        }
        match body {
            Body::Add(number) if log.state().sum.saturating_add(number) > SUM_MAX => Err(Fault::TooLarge),
            Body::Add(_) | Body::Pass(_) => Ok(candidate),
        }
    }

    fn apply(state: &mut State, payload: Payload, _: u64) {
        match payload.body {
            Body::Add(number) => state.sum += number,
            Body::Pass(writer) => state.writer = writer,
        }
    }
}

fn keys() -> Vec<VerifyKey> {
    (0..3).map(|number| signing_key(number).verify_key()).collect()
}

fn sign(payload: &Payload, by: u64) -> Vec<u8> {
    Envelope::<Toy>::sign(payload, |context, message| signing_key(by).sign(context, message))
}

/// The next certificate of a log, by the writer whose turn it is.
fn next(log: &Log<Toy>, body: Body) -> Vec<u8> {
    let writer = log.state().writer;
    sign(&Payload { log: *log.origin(), writer, previous: log.head(), body }, writer)
}

/// A log of 30 certificates, by three writers.
fn grown() -> (Log<Toy>, Vec<Vec<u8>>) {
    let (mut log, mut envelopes) = (Log::begin(7), Vec::new());
    for number in 0..10 {
        for body in [Body::Add(number), Body::Add(1), Body::Pass((number + 1) % 3)] {
            let envelope = next(&log, body);
            log.push_within(&envelope, &keys()).unwrap();
            envelopes.push(envelope);
        }
    }
    (log, envelopes)
}

#[test]
fn a_log_grows_by_what_its_rules_accept() {
    let (log, envelopes) = grown();
    assert_eq!((log.count(), *log.state()), (30, State { sum: 55, writer: 1 }));
    let head = log.head();
    let good = Payload { log: 7, writer: 1, previous: head, body: Body::Add(5) };
    for (payload, by, fault) in [
        (Payload { log: 8, ..good }, 1, Fault::WrongLog),
        (Payload { writer: 3, ..good }, 3, Fault::Unknown),
        (good, 2, Fault::BadSignature),
        (Payload { previous: log.head_at(29).unwrap(), ..good }, 1, Fault::Elsewhere),
        (Payload { writer: 2, ..good }, 2, Fault::NotYourTurn),
        (Payload { body: Body::Add(SUM_MAX), ..good }, 1, Fault::TooLarge),
    ] {
        let error = log.judge_within(&sign(&payload, by), &keys()).unwrap_err();
        assert_eq!(error, LogError { position: 30, fault }, "{payload:?}");
    }
    assert_eq!(log.judge_within(b"junk", &keys()).unwrap_err().fault, Fault::Malformed);
    // What was judged is taken in once, by this very log.
    let mut longer = log.clone();
    let envelope = sign(&good, 1);
    let (judged, again) =
        (log.judge_within(&envelope, &keys()).unwrap(), log.judge_within(&envelope, &keys()).unwrap());
    assert!(longer.follow(judged) && !longer.follow(again));
    assert_eq!(longer.head(), head.after(&envelope));
    // A full one looks at nothing more.
    let mut full = longer;
    while full.count() < Toy::LOG_MAX_CERTIFICATES {
        full.push_within(&next(&full, Body::Add(0)), &keys()).unwrap();
    }
    assert_eq!(full.push_within(b"junk", &keys()).unwrap_err().fault, Fault::Full);
    assert_eq!(envelopes.len(), 30);
}

#[test]
fn batches_find_what_one_after_the_other_finds() {
    let (log, envelopes) = grown();
    for at in 0..envelopes.len() {
        for change in [0, 1] {
            let mut bad = envelopes.clone();
            let last = bad[at].len() - 1;
            bad[at][last] ^= change;
            let (mut one, mut batch) = (Log::<Toy>::begin(7), Log::<Toy>::begin(7));
            let said = bad.iter().try_for_each(|envelope| one.push_within(envelope, &keys()));
            assert_eq!(batch.extend_within(&bad, &Sequential, &keys()), said);
            assert_eq!((batch.head(), said.is_ok()), (one.head(), change == 0));
            assert!(change == 1 || batch.head() == log.head());
        }
    }
}

#[test]
fn a_checkpoint_is_taken_for_the_very_log() {
    let (log, envelopes) = grown();
    let key = CheckpointKey::of(&LocalStoreKey::from_bytes(&mut [1; 32]));
    let note = Checkpoint::of(&log, &key).encode();
    let resume = |origin: u64, envelopes: &[Vec<u8>]| {
        Log::<Toy>::resume_within(origin, envelopes, Some((&note, &key)), &Sequential, &keys())
    };
    let resumed = resume(7, &envelopes).unwrap();
    assert_eq!((resumed.head(), *resumed.state()), (log.head(), *log.state()));
    assert_eq!(resumed.freshly_verified(), 0);
    // Another log's: everything is verified, and is not its.
    assert_eq!(resume(8, &envelopes).unwrap_err(), LogError { position: 0, fault: Fault::WrongLog });
    let mut bad = envelopes;
    bad[3][40] ^= 1;
    assert_eq!(resume(7, &bad).unwrap_err().position, 3);
}

/// A writer's signed word for a head.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Word {
    #[n(0)]
    writer: u64,
    #[n(1)]
    head: Head,
    #[n(2)]
    signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WordFault {
    Signature,
    Elsewhere,
}

impl SignedHead<Toy> for Word {
    type Fault = WordFault;

    fn word(&self) -> (u64, Timestamp, Head) {
        (self.writer, Timestamp(0), self.head)
    }

    fn check(&self, log: &Log<Toy>, keys: &[VerifyKey]) -> Result<(), WordFault> {
        let message = Toy::statement(log.origin(), &self.head);
        let key = Toy::key_of(log, keys, &self.writer).ok_or(WordFault::Signature)?;
        key.verify(Context::Head, &message, &self.signature).map_err(|_| WordFault::Signature)?;
        if log.extends(&self.head) { Ok(()) } else { Err(WordFault::Elsewhere) }
    }
}

fn word(log: &Log<Toy>, writer: u64) -> Word {
    let message = Toy::statement(log.origin(), &log.head());
    Word { writer, head: log.head(), signature: signing_key(writer).sign(Context::Head, &message) }
}

#[test]
fn an_exported_log_ends_where_its_signer_says() {
    let (log, envelopes) = grown();
    let verify = |certificates: &[Vec<u8>], word: Option<&Word>| {
        export::verify::<Toy, Word>(7, &keys(), &fork::envelopes(certificates), word).map(|log| log.head())
    };
    let end = word(&log, 0);
    assert_eq!(verify(&envelopes, Some(&end)), Ok(log.head()));
    assert_eq!(verify(&envelopes, None::<&Word>), Ok(log.head()));
    assert_eq!(verify(&envelopes[..29], Some(&end)), Err(ExportFault::Head(WordFault::Elsewhere)));
    let mut shorter = Log::<Toy>::begin(7);
    shorter.extend_within(&envelopes[..29], &Sequential, &keys()).unwrap();
    assert_eq!(verify(&envelopes, Some(&word(&shorter, 0))), Err(ExportFault::NotTheEnd));
}

/// The grown log with two certificates more.
fn branch(numbers: [u64; 2]) -> (Log<Toy>, Vec<Vec<u8>>) {
    let (mut log, mut envelopes) = grown();
    for number in numbers {
        let envelope = next(&log, Body::Add(number));
        log.push_within(&envelope, &keys()).unwrap();
        envelopes.push(envelope);
    }
    (log, envelopes)
}

#[test]
fn two_words_for_two_logs_are_a_fork() {
    let ((one, its), (other, others)) = (branch([1, 2]), branch([3, 4]));
    let verify = |common: &[_], branches: &_| {
        fork::verify::<Toy, Word, _>(7, &keys(), common, branches, |_, writer| writer)
    };
    let (common, branches) =
        fork::branches::<Toy, _>([(its.as_slice(), Some(word(&one, 2))), (&others, None)]).unwrap();
    let shown = verify(&common, &branches).unwrap();
    assert_eq!(shown.common, 30);
    // The second certificate of the other branch has seen the first: its author vouches for the
    // branch.
    assert_eq!(shown.words.map(|word| (word.author, word.form)), [(2, Form::Head), (1, Form::Certificate)]);
    assert_eq!(shown.words.map(|word| word.head), [one.head(), other.head_at(31).unwrap()]);
    // A certificate alone, whose log is not shown.
    let branches = fork::beside_foreign_view(word(&one, 2), &others[31]);
    let shown = verify(&fork::envelopes(&its), &branches).unwrap();
    assert_eq!(shown.words.map(|word| (word.author, word.form)), [(2, Form::Head), (1, Form::ForeignView)]);

    // One log twice, a word that is not its writer's, and a certificate of the very log are no
    // fork.
    let (common, branches) =
        fork::branches::<Toy, _>([(its.as_slice(), Some(word(&one, 2))), (&its, Some(word(&one, 0)))])
            .unwrap();
    assert!(matches!(verify(&common, &branches), Err(ForkFault::None(_))));
    let forged = Word { writer: 0, ..word(&one, 2) };
    let branches = fork::beside_foreign_view(forged, &others[31]);
    assert_eq!(verify(&fork::envelopes(&its), &branches), Err(ForkFault::Head(WordFault::Signature)));
    let branches = fork::beside_foreign_view(word(&one, 2), &its[31]);
    assert!(matches!(verify(&fork::envelopes(&its), &branches), Err(ForkFault::None(_))));
    let mut foreign = fork::beside_foreign_view(word(&one, 2), &others[31]);
    foreign[0].witness = Witness::Head(word(&other, 2));
    assert_eq!(verify(&fork::envelopes(&its), &foreign), Err(ForkFault::Head(WordFault::Elsewhere)));
}
