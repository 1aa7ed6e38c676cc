//! Reading a safe: what is new in its two logs comes from the server, is verified, and is kept.
//!
//! Decides that nothing is taken but what goes on from what this device has verified, judged by an
//! organisation's log that reaches as far as its authors' did. Refuses a server that shows less
//! than this device, or another one of its user, has seen: an alarm. What fails by what was known
//! here before alone halts the safe until a person has looked. An owner's word that the safe is of
//! a later format stops this program, and is nobody's fault.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{SafeId, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{ErrorCode, Least};
use parsec_protocol::safe_log::certificate;
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::rules::Fault;
use parsec_protocol::safe_log::safe::{NotTaken, VerifiedSafe};

use super::repairing::{self, Less};
use super::takeovers;
use crate::os::{blocking_in, clock};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::session::safe_items::{Batch, Refused, TakenOver, Verified, ends, verify};
use crate::store::{Halt, Standing, StoreError, StoredSafe, TakenItems};
use crate::transport::TransportError;
use crate::transport::retry::answered;

/// Takes in all that the server has. The caller holds the safe's turn.
///
/// # Errors
/// What the server and the store say; `chain_invalid` and `rolled_back`, each with its alarm.
pub(super) async fn read(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    // How many certificates the server has shown that there are, and how many of the organisation's
    // were known before it was asked. It is not asked with each page of a long journal.
    let mut shown: Option<(u64, u64)> = None;
    let mut given_back = false;
    loop {
        let before = session.log().count();
        let stored = marked(session, safe).await?;
        let verified = safe.memory().await.verified.clone();
        let [log, journal] = ends(safe, &verified);
        let [least_log, least_journal] = stored.unwrap_or([log, journal]);
        let least = [log.count.max(least_log.count), journal.count.max(least_journal.count)].map(Least);
        // Another device of the user may have told of more meanwhile.
        let asked = shown.is_none_or(|(count, _)| log.count < count || count < least[0].0);
        let mut certificates = Vec::new();
        let (count, known) = match shown.filter(|_| !asked) {
            Some(shown) => shown,
            None => {
                let page = match answered(|| session.member.safe_log(safe.id, log.count, least[0])).await {
                    Err(error) if error.code() == Some(ErrorCode::SafeUnknown) && !given_back => {
                        let has =
                            repairing::unknown(session, safe).await?.ok_or_else(|| Problem::from(error))?;
                        let known = least.map(|least| least.0);
                        repairing::give_back(session, safe, Less { shown: has, known }).await?;
                        given_back = true;
                        continue;
                    }
                    page => page?,
                };
                certificates = page.certificates;
                (page.count, before)
            }
        };
        let records = answered(|| session.member.safe_journal(safe.id, journal.count, least[1])).await?;
        if count < least[0].0 || records.seq < least[1].0 {
            let less = Less { shown: [count, records.seq], known: least.map(|least| least.0) };
            // Given back, and it shows no more: it never lacked anything.
            if given_back {
                return Err(repairing::rolled_back(session, less).await);
            }
            repairing::give_back(session, safe, less).await?;
            given_back = true;
            continue;
        }
        let batch = Batch {
            certificates: certificates.into_iter().map(Vec::from).collect(),
            records: records.records.into_iter().map(Vec::from).collect(),
        };
        let all = batch.certificates.len() + batch.records.len();
        let taken = take(session, safe, batch).await?;
        let now = {
            let mut memory = safe.memory().await;
            memory.heard = Some(clock::now());
            ends(safe, &memory.verified)
        };
        if now[0].count >= count && now[1].count >= records.seq {
            repairing::settle(session, safe).await?;
            return raise_floor(session, safe, known).await;
        }
        if asked && taken == 0 {
            return Err(TransportError::Misbehaved("its items of a safe don't go on").into());
        }
        // What was not taken stands behind a certificate that has come since.
        shown = Some((count, known)).filter(|_| taken == all && taken > 0);
    }
}

/// What is kept of it.
async fn stored(session: &Session, safe: &OpenSafe) -> Result<Option<StoredSafe>, Problem> {
    let id = safe.id;
    session.store(move |store| store.safe(id)).await
}

/// The heads that another device of the user has verified. Nothing more is read of a safe that is
/// halted.
async fn marked(session: &Session, safe: &OpenSafe) -> Result<Option<[Head; 2]>, Problem> {
    let Some(stored) = stored(session, safe).await? else { return Ok(None) };
    match stored.halt {
        Some(halt) => Err(halted(&halt)),
        None => Ok(stored.marked),
    }
}

/// What a person is told of a safe that is halted: nothing but their word lets it go on.
fn halted(halt: &Halt) -> Problem {
    let hint = "Files that are here can be read. Look what was found (`parsecctl safe status`), ask the members whose \
                devices it names, and tell an administrator; `parsecctl safe confirm SAFE --accept` takes it in after all.";
    Problem { hint: hint.to_owned(), ..Problem::new(ProblemKind::RolledBack, halt.found.clone()) }
}

/// From here on what comes is judged by at least what was known when the server was asked.
async fn raise_floor(session: &Session, safe: &OpenSafe, known: u64) -> Result<(), Problem> {
    let mut memory = safe.memory().await;
    if memory.verified.present().is_none() || memory.verified.floor() >= known {
        return Ok(());
    }
    memory.verified.raise_floor(known);
    let [log, journal] = ends(safe, &memory.verified);
    let taken =
        taken(session, &memory.verified, [log, journal], [log.count, journal.count], Verified::default());
    let id = safe.id;
    session.store(move |store| store.take_safe_items(id, &taken)).await
}

/// What goes into the store with items that were verified.
fn taken(
    session: &Session,
    safe: &VerifiedSafe,
    heads: [Head; 2],
    from: [u64; 2],
    verified: Verified,
) -> TakenItems {
    TakenItems {
        log_from: from[0],
        certificates: verified.certificates,
        journal_from: from[1],
        records: verified.records,
        verified: codec::encode(safe),
        floor: safe.floor(),
        heads,
        role: safe.role(&session.open.summary.user),
        founded: safe.present().is_some(),
    }
}

/// Verifies items and keeps those that stand; how many. The caller holds the safe's turn.
///
/// # Errors
/// As [`read`]; what stood before the item that was refused is kept all the same.
pub(super) async fn take(session: &Session, safe: &OpenSafe, batch: Batch) -> Result<usize, Problem> {
    if batch.is_empty() {
        return Ok(0);
    }
    let mut members = session.log();
    if batch.seen() > members.count() {
        members = session.sync().await?;
    }
    let (before, was_known) = {
        let memory = safe.memory().await;
        let known = memory.standing == Standing::Accepted && memory.verified.present().is_some();
        (memory.verified.clone(), known)
    };
    let from = ends(safe, &before);
    let kept = stored(session, safe).await?;
    if let Some(halt) = kept.as_ref().and_then(|stored| stored.halt.as_ref()) {
        return Err(halted(halt));
    }
    let seen = kept.as_ref().and_then(|stored| stored.marked).map(|heads| heads[0].count);
    let word = kept.as_ref().and_then(|stored| stored.accepted);
    let by_word = word.and_then(|heads| batch.ends_at(from, heads));
    let own = session.open.summary.user;
    let id = safe.id;
    let is_by_word = by_word.is_some();
    let judging = Arc::clone(&members);
    let judged = blocking_in(&session.tasks, move || {
        Ok::<_, StoreError>(judge(before, &judging, own, batch, by_word))
    })
    .await?;
    let Judged { after, verified, refused } = judged;
    let now = ends(safe, &after);
    let count = verified.certificates.len() + verified.records.len();
    if count > 0 {
        let lost = verified.lost;
        let counts = from.map(|head| head.count);
        let gave = verified.gave_role;
        let marked = kept.and_then(|stored| stored.marked).filter(|_| !is_by_word);
        if !meets(marked, from, &verified) {
            let found = "The server shows another safe here than it showed to another device of yours.";
            let halt = Halt { found: found.to_owned(), heads: now, ..of_items(&verified) };
            return Err(halt_for(session, safe.id, halt).await);
        }
        // What was done before any device of the user knew the safe is history: `safe show` has it.
        // What came behind the mark of an earlier device is told on the new one: a takeover while
        // its user had no device would be told to nobody.
        let is_news = |it: &TakenOver| was_known || seen.is_some_and(|seen| it.certificate > seen);
        let news: Vec<TakenOver> = verified.taken_over.iter().copied().filter(is_news).collect();
        let told = !news.is_empty();
        if told {
            takeovers::alarm(session, id, &news).await;
        }
        let taken = taken(session, &after, now, counts, verified);
        session
            .store(move |store| {
                store.take_safe_items(id, &taken)?;
                if word.is_some() {
                    store.use_up_accepted(id, is_by_word)?;
                }
                if lost { store.drop_safe_state(id) } else { Ok(()) }
            })
            .await?;
        let mut memory = safe.memory().await;
        memory.verified = after.clone();
        memory.founded = true;
        memory.refold |= lost;
        if gave.is_some() {
            memory.gave_role = gave;
        }
        memory.taken_over |= told;
    }
    match refused {
        None => Ok(count),
        Some(Refused { why: NotTaken::Fault(Fault::UnknownFormat), .. }) => {
            let text = "An owner of the safe has raised it to a format that this Parsec does not know.";
            Err(Problem::new(ProblemKind::SafeTooNew, text))
        }
        Some(Refused { why: why @ NotTaken::Fault(_), .. }) => {
            let text = format!("What the server shows of safe {id} is not valid: {why}.");
            let problem = Problem::new(ProblemKind::ChainInvalid, text);
            session.alarm(&problem).await;
            Err(problem)
        }
        Some(Refused { why: why @ NotTaken::BelowFloor(_), rest }) => {
            let (heads, items) = blocking_in(&session.tasks, move || {
                let mut beyond = after;
                beyond.forget_floor();
                let (verified, _) = verify(&mut beyond, &members, own, rest);
                Ok::<_, StoreError>((beyond.present().map(|now| [now.log, now.journal]), verified))
            })
            .await?;
            let found = format!("What the server shows of safe {id} is not valid: {why}.");
            let halt = Halt { found, heads: heads.unwrap_or(now), ..of_items(&items) };
            Err(halt_for(session, id, halt).await)
        }
    }
}

/// What was made of a batch.
struct Judged {
    after: VerifiedSafe,
    verified: Verified,
    refused: Option<Refused>,
}

/// Judges items: those that a person has accepted by what their authors had seen, all others also
/// by what was known here before.
fn judge(
    mut safe: VerifiedSafe,
    members: &VerifiedLog,
    own: UserId,
    mut batch: Batch,
    by_word: Option<[usize; 2]>,
) -> Judged {
    let mut verified = Verified::default();
    if let Some(counts) = by_word {
        let rest = batch.split_off(counts);
        let floor = safe.floor();
        safe.forget_floor();
        let (accepted, refused) = verify(&mut safe, members, own, batch);
        safe.raise_floor(floor);
        verified = accepted;
        if refused.is_some() {
            return Judged { after: safe, verified, refused };
        }
        batch = rest;
    }
    let (more, refused) = verify(&mut safe, members, own, batch);
    verified.extend(more);
    Judged { after: safe, verified, refused }
}

/// How many items there are, and whose.
fn of_items(verified: &Verified) -> Halt {
    let certificates = verified.certificates.iter().filter_map(|bytes| {
        certificate::Envelope::decode(bytes).and_then(|envelope| envelope.payload()).ok()
    });
    let records = verified.records.iter().filter_map(|record| {
        record::Envelope::decode(&record.envelope).and_then(|envelope| envelope.payload()).ok()
    });
    let authors: BTreeSet<_> =
        certificates.map(|payload| payload.author).chain(records.map(|payload| payload.author)).collect();
    Halt {
        found: String::new(),
        heads: [Head { count: 0, hash: Hash::of(&[]) }; 2],
        items: [verified.certificates.len() as u64, verified.records.len() as u64],
        authors: authors.into_iter().collect(),
    }
}

/// Nothing more is taken until a person has looked.
async fn halt_for(session: &Session, safe: SafeId, halt: Halt) -> Problem {
    let problem = halted(&halt);
    if let Err(error) = session.store(move |store| store.halt_safe(safe, &halt)).await {
        tracing::warn!(%error, "that a safe is halted could not be noted");
    }
    session.alarm(&problem).await;
    problem
}

/// Whether what another device of the user has verified is what this one takes in.
fn meets(marked: Option<[Head; 2]>, from: [Head; 2], verified: &Verified) -> bool {
    let Some(marked) = marked else { return true };
    let records = verified.records.iter().map(|record| record.envelope.as_slice());
    let certificates = verified.certificates.iter().map(Vec::as_slice);
    passes(from[0], certificates, marked[0]) && passes(from[1], records, marked[1])
}

/// Whether a log passes through a head, as far as it is looked at here.
fn passes<'a>(from: Head, items: impl Iterator<Item = &'a [u8]>, through: Head) -> bool {
    let mut head = from;
    for item in items {
        head = head.after(item);
        if head.count == through.count {
            return head == through;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use parsec_protocol::public_keys::Hash;

    use super::*;

    #[test]
    fn a_log_that_misses_the_head_of_another_device_is_found() {
        let start = Head { count: 4, hash: Hash::of(&[b"start"]) };
        let items: [&[u8]; 3] = [b"five", b"six", b"seven"];
        let at = |count: usize| items.iter().take(count).fold(start, |head, item| head.after(item));
        for through in [at(1), at(2), at(3)] {
            assert!(passes(start, items.into_iter(), through), "{through:?}");
            let other = Head { hash: Hash::of(&[b"other"]), ..through };
            assert!(!passes(start, items.into_iter(), other), "{other:?}");
        }
        // What is not looked at here says nothing.
        let beyond = Head { count: 8, hash: Hash::of(&[b"beyond"]) };
        assert!(passes(start, items.into_iter(), beyond));
    }
}
