//! A fork: two signed words for two logs that can't both be the one.
//!
//! Decides when two branches show that somebody was shown, or made, a forked log. Refuses branches
//! for which nobody gave their word beyond what both have in common: two honest certificates may
//! have been put in either order by a server that told nobody. What a file of such a proof looks
//! like, each kind of log says.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::envelope::Envelope;
use super::export::SignedHead;
use super::head::Head;
use super::log::{Log, LogError};
use super::rules::Rules;
use crate::codec::CodecError;
use crate::ids::Timestamp;

/// Whose word a branch rests on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Witness<S> {
    /// A certificate of the branch: its author has seen the branch.
    #[n(0)]
    Certificate {
        /// Index among the branch's own certificates, from 0.
        #[n(0)]
        index: u64,
    },
    /// A signed head of the branch.
    #[n(1)]
    Head(#[n(0)] S),
    /// A certificate that has seen a log which is not shown, and which the other branch is not.
    #[n(2)]
    ForeignView {
        /// The envelope of the certificate.
        #[n(0)]
        envelope: ByteVec,
    },
}

/// How one log goes on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Branch<S> {
    /// The envelopes after the common ones.
    #[n(0)]
    pub certificates: Vec<ByteVec>,
    /// The word that vouches for it.
    #[n(1)]
    pub witness: Witness<S>,
}

/// In what form a word was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As what a certificate of the branch has seen.
    Certificate,
    /// As a signed head.
    Head,
    /// As what a certificate has seen whose log is not shown.
    ForeignView,
}

/// One author's word for one branch, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<A> {
    /// The author who gave it.
    pub author: A,
    /// Time of signing, by the author's clock.
    pub time: Timestamp,
    /// Head through which the log goes, by this word.
    pub head: Head,
    /// In what form it was given.
    pub form: Form,
}

/// What two branches show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork<A> {
    /// How many certificates the two logs have in common.
    pub common: u64,
    /// A word for each branch.
    pub words: [Word<A>; 2],
}

/// Why two branches show no fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkFault<F, H> {
    /// The encoding of a certificate that is looked at by itself.
    Malformed(CodecError),
    /// A certificate that fails verification.
    Log {
        /// Position of the certificate; 0 is the first.
        position: u64,
        /// The rule that it breaks.
        fault: F,
    },
    /// A signed head that is not worth anything.
    Head(H),
    /// The two branches are no fork, for the reason given.
    None(&'static str),
}

impl<F, H> From<LogError<F>> for ForkFault<F, H> {
    fn from(LogError { position, fault }: LogError<F>) -> Self {
        Self::Log { position, fault }
    }
}

impl<F, H> From<CodecError> for ForkFault<F, H> {
    fn from(error: CodecError) -> Self {
        Self::Malformed(error)
    }
}

type Checked<R, S, T> = Result<T, ForkFault<<R as Rules>::Fault, <S as SignedHead<R>>::Fault>>;

/// What the certificates in common say, and what is around them.
struct Proof<'a, R: Rules> {
    base: Log<R>,
    around: &'a R::Around,
}

/// Checks both logs up to their origin, that they part, and whose word each branch is. `describe`
/// says who an author is, by the log that knows them: the branch's own, or the other one where that
/// alone is shown.
///
/// # Errors
/// [`ForkFault`].
pub fn verify<R: Rules, S: SignedHead<R>, A>(
    origin: R::Origin,
    around: &R::Around,
    common: &[ByteVec],
    [one, other]: &[Branch<S>; 2],
    describe: impl Fn(&Log<R>, R::Author) -> A,
) -> Checked<R, S, Fork<A>> {
    let mut base = Log::begin(origin);
    common.iter().try_for_each(|envelope| base.push_within(envelope, around))?;
    let common = base.count();
    let proof = Proof { base, around };
    let describe = &describe;
    let words = match (&one.witness, &other.witness) {
        (Witness::ForeignView { .. }, Witness::ForeignView { .. }) => {
            return Err(ForkFault::None("neither log is shown"));
        }
        (Witness::ForeignView { envelope }, _) => {
            let (foreign, shown) = proof.foreign_view(one, envelope, other, describe)?;
            [foreign, shown]
        }
        (_, Witness::ForeignView { envelope }) => {
            let (foreign, shown) = proof.foreign_view(other, envelope, one, describe)?;
            [shown, foreign]
        }
        (_, _) => {
            part(one, other).map_err(ForkFault::None)?;
            let least = common.saturating_add(1);
            [proof.word(one, least, describe)?.0, proof.word(other, least, describe)?.0]
        }
    };
    Ok(Fork { common, words })
}

/// Two branches have to begin differently.
fn part<S>(one: &Branch<S>, other: &Branch<S>) -> Result<(), &'static str> {
    match (one.certificates.first(), other.certificates.first()) {
        (Some(one), Some(other)) if one != other => Ok(()),
        (Some(_), Some(_)) => Err("both logs go on with the same certificate"),
        (None, _) | (_, None) => Err("one log is the beginning of the other"),
    }
}

impl<R: Rules> Proof<'_, R> {
    /// Checks a certificate that has seen another log than the branch that is shown: its word, and
    /// that branch's.
    fn foreign_view<S: SignedHead<R>, A>(
        &self,
        hidden: &Branch<S>,
        envelope: &[u8],
        shown: &Branch<S>,
        describe: &impl Fn(&Log<R>, R::Author) -> A,
    ) -> Checked<R, S, (Word<A>, Word<A>)> {
        if !hidden.certificates.is_empty() {
            return Err(ForkFault::None("a certificate with a foreign view stands beside a log"));
        }
        let envelope = Envelope::<R>::decode(envelope)?;
        let payload = envelope.payload()?;
        let (seen, author) = (R::seen(&payload), R::author(&payload));
        let (word, log) = self.word(shown, seen.count, describe)?;
        if !R::is_witness(&author) {
            return Err(ForkFault::None("a witness is no device"));
        }
        let key = R::key_of(&log, self.around, &author).ok_or(ForkFault::None("a witness is unknown"))?;
        if !R::belongs(&payload, log.origin()) || envelope.verify(&key).is_err() {
            return Err(ForkFault::None("a certificate with a foreign view is not by its author"));
        }
        let differs = log.head_at(seen.count).is_some_and(|here| here != seen);
        if seen.count == 0 || !differs {
            return Err(ForkFault::None("a certificate with a foreign view has seen nothing else"));
        }
        let (author, time) = (describe(&log, author), R::time(&payload));
        Ok((Word { author, time, head: seen, form: Form::ForeignView }, word))
    }

    /// Checks one branch, and that its witness vouches for `least` certificates of it.
    fn word<S: SignedHead<R>, A>(
        &self,
        branch: &Branch<S>,
        least: u64,
        describe: &impl Fn(&Log<R>, R::Author) -> A,
    ) -> Checked<R, S, (Word<A>, Log<R>)> {
        let mut log = self.base.clone();
        branch.certificates.iter().try_for_each(|envelope| log.push_within(envelope, self.around))?;
        let (author, time, head, form) = match &branch.witness {
            Witness::Certificate { index } => {
                let missing = ForkFault::None("a witness is not there");
                let at = usize::try_from(*index).ok();
                let envelope = at.and_then(|at| branch.certificates.get(at)).ok_or(missing)?;
                let payload = Envelope::<R>::decode(envelope)?.payload()?;
                // The log's rules have compared its view with the branch.
                let author = R::author(&payload);
                if !R::is_witness(&author) {
                    return Err(ForkFault::None("a witness is no device"));
                }
                (author, R::time(&payload), R::seen(&payload), Form::Certificate)
            }
            Witness::Head(signed) => {
                signed.check(&log, self.around).map_err(ForkFault::Head)?;
                let (author, time, head) = signed.word();
                (author, time, head, Form::Head)
            }
            Witness::ForeignView { .. } => return Err(ForkFault::None("neither log is shown")),
        };
        if head.count < least {
            return Err(ForkFault::None("a witness vouches for nothing but what both logs have"));
        }
        Ok((Word { author: describe(&log, author), time, head, form }, log))
    }
}

/// Common envelopes, and the two branches after them, each vouched for by its signed head or by the
/// first of its certificates whose author has seen more than what is common; nothing if one of the
/// two has neither. Whether they part, [`verify`] says.
#[must_use]
pub fn branches<R: Rules, S>(
    [one, other]: [(&[Vec<u8>], Option<S>); 2],
) -> Option<(Vec<ByteVec>, [Branch<S>; 2])> {
    let common = one.0.iter().zip(other.0.iter()).take_while(|(one, other)| one == other).count();
    let branch = |(log, signed): (&[Vec<u8>], Option<S>)| {
        let certificates = log.get(common..).unwrap_or_default();
        let witness = match signed {
            Some(signed) => Witness::Head(signed),
            None => Witness::Certificate { index: vouching::<R>(certificates, common as u64)? },
        };
        Some(Branch { certificates: envelopes(certificates), witness })
    };
    let shared = envelopes(one.0.get(..common).unwrap_or_default());
    Some((shared, [branch(one)?, branch(other)?]))
}

/// Two branches without certificates after a log: its signed head, and a certificate that has seen
/// another log.
#[must_use]
pub fn beside_foreign_view<S>(signed: S, envelope: &[u8]) -> [Branch<S>; 2] {
    let branch = |witness| Branch { certificates: Vec::new(), witness };
    [branch(Witness::Head(signed)), branch(Witness::ForeignView { envelope: envelope.to_vec().into() })]
}

/// Envelopes as a file holds them.
#[must_use]
pub fn envelopes(bytes: &[Vec<u8>]) -> Vec<ByteVec> {
    bytes.iter().cloned().map(ByteVec::from).collect()
}

/// The first certificate whose author has seen more than what is common.
fn vouching<R: Rules>(branch: &[Vec<u8>], common: u64) -> Option<u64> {
    let seen =
        |envelope: &Vec<u8>| Some(R::seen(&Envelope::<R>::decode(envelope).ok()?.payload().ok()?).count);
    branch.iter().position(|envelope| seen(envelope).is_some_and(|seen| seen > common)).map(|at| at as u64)
}
