//! What this device gives to others of the same safe.
//!
//! Decides that contents of accepted records are given, of the safes that both have shown to have,
//! and a word for where their logs end, never an item of a log; and that whoever is no member's
//! device any more is told nothing from the next question on. Refuses what is asked too slowly, too
//! often or in another shape.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::Problem;
use parsec_protocol::direct::{
    Answer, AskedObject, GivenObject, KNOCK_MAX, KNOCK_MAX_BYTES, Knock, KnownEnds, OBJECTS_ASKED_MAX,
    QUESTION_MAX_BYTES, QUESTIONS_MAX, Question, SignedSafeHeads, Word,
};
use parsec_protocol::ids::SafeId;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::PeerKey;
use parsec_protocol::relay::OBJECTS_MAX_BYTES;
use tokio::task::JoinSet;

use super::who::{self, Member};
use crate::os::{blocking_in, clock};
use crate::p2p::{Knocks, Lan, Talk, TalkError};
use crate::session::Session;
use crate::session::forks;
use crate::session::open_safes::OpenSafe;
use crate::store::{Store, StoreError};

/// Streams of one peer that are answered at once: one that follows, one for contents, and as many
/// that replace dead ones.
const ANSWERING_PER_PEER_MAX: usize = 4;
/// Streams answered at once: each holds an answer, one megabyte, so 32 MiB.
const ANSWERING_MAX: usize = 32;
/// Knocks on a connection that nobody has proven anything on: each is looked for under all keys of
/// all safes. A device that has newer keys each time needs fewer in the time that it may stay.
const KNOCKS_UNPROVEN_MAX: u32 = 8;
/// How long a knock may take to begin.
const KNOCK_WAIT: Duration = Duration::from_secs(10);
/// How long a stream may be silent.
const QUESTION_WAIT: Duration = Duration::from_secs(120);
/// How long it is waited for logs that go on, before it is said that they don't.
const ENDS_WAIT: Duration = Duration::from_secs(30);

/// Answers whoever opens a stream, for as long as the node is there.
pub(super) async fn serve(session: Arc<Session>, lan: Lan, mut knocks: Knocks) {
    let mut answering = JoinSet::new();
    let mut by_peer: BTreeMap<PeerKey, usize> = BTreeMap::new();
    let mut unproven: BTreeMap<PeerKey, u32> = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = answering.join_next() => {
                // One that panicked is counted until its peer is gone: too careful.
                if let Ok(peer) = done
                    && let Some(count) = by_peer.get_mut(&peer)
                {
                    *count -= 1;
                    by_peer.retain(|_, count| *count > 0);
                }
            }
            next = lan.next(&mut knocks), if answering.len() < ANSWERING_MAX => {
                let Some(talk) = next else { return };
                let peer = talk.peer();
                if !may_knock(&lan, &mut unproven, peer) {
                    continue;
                }
                let count = by_peer.entry(peer).or_default();
                if *count < ANSWERING_PER_PEER_MAX {
                    *count += 1;
                    let (session, lan) = (Arc::clone(&session), lan.clone());
                    answering.spawn(async move {
                        if let Err(error) = answer(&session, &lan, talk).await {
                            tracing::debug!(%error, "a stream of another device ends");
                            if matches!(error, TalkError::Misbehaved(_)) {
                                lan.dismiss(peer);
                            }
                        }
                        peer
                    });
                }
            }
        }
    }
}

/// Whether somebody may knock once more: a member's device always, others a few times.
fn may_knock(lan: &Lan, unproven: &mut BTreeMap<PeerKey, u32>, peer: PeerKey) -> bool {
    let peers = lan.status().borrow().peers.clone();
    // Who is gone, or has proven what it is, begins anew.
    unproven.retain(|key, _| peers.iter().any(|there| there.peer == *key && !there.proven));
    if peers.iter().any(|there| there.peer == peer && there.proven) {
        return true;
    }
    let knocks = unproven.entry(peer).or_default();
    *knocks = knocks.saturating_add(1);
    *knocks <= KNOCKS_UNPROVEN_MAX
}

/// One stream, from its knock to its end.
async fn answer(session: &Session, lan: &Lan, mut talk: Talk) -> Result<(), TalkError> {
    let knock: Knock = talk.hear(KNOCK_MAX_BYTES, KNOCK_WAIT).await?;
    if !knock.is_shaped() {
        return Err(TalkError::Misbehaved("a knock has another shape".to_owned()));
    }
    let answered = who::answer(session, talk.ends(), &knock).await;
    let (met, member) = answered.map_err(|error| TalkError::Broken(error.to_string()))?;
    talk.say(&met).await?;
    // A stranger's connection ends by itself, soon.
    let Some(member) = member else { return Ok(()) };
    lan.proven(talk.peer());
    for _ in 0..QUESTIONS_MAX {
        let question: Question = talk.hear(QUESTION_MAX_BYTES, QUESTION_WAIT).await?;
        let given = given(session, &member, question).await;
        talk.say(&given).await?;
        // Who was taken out of all is a stranger from here on, and may not stay.
        if given == (Answer::Nothing {}) && !who::is_member_still(session, &member).await {
            lan.unproven(talk.peer());
            return Ok(());
        }
    }
    Ok(())
}

/// What this device has of what is asked; nothing where it has none, where it is not for this
/// member, and where the store fails.
async fn given(session: &Session, member: &Member, question: Question) -> Answer {
    let (id, asked) = match question {
        Question::Ends { known } => return gone_on(session, member, known).await,
        Question::Objects { safe, objects } => (safe, objects),
    };
    let Some(safe) = session.safes.get(id).filter(|_| member.safes.contains(&id)) else {
        return Answer::Nothing {};
    };
    if !who::may_still(session, &safe, &member.device).await {
        return Answer::Nothing {};
    }
    match objects(session, &safe, asked).await {
        Ok(objects) => Answer::Objects { objects },
        Err(error) => {
            tracing::warn!(safe = %id, %error, "another device can't be answered");
            Answer::Nothing {}
        }
    }
}

async fn objects(
    session: &Session,
    safe: &OpenSafe,
    asked: Vec<AskedObject>,
) -> Result<Vec<GivenObject>, Problem> {
    let (id, base) = (safe.id, safe.memory().await.base.clone());
    let open = Arc::clone(&session.open);
    blocking_in(&session.tasks, move || {
        // What no accepted record has added is this device's own business.
        let asked = asked.into_iter().take(OBJECTS_ASKED_MAX);
        let asked: Vec<_> = asked.filter(|asked| base.has_object(asked.object)).collect();
        objects_here(&open.store, id, &asked)
    })
    .await
}

fn objects_here(store: &Store, safe: SafeId, asked: &[AskedObject]) -> Result<Vec<GivenObject>, StoreError> {
    let (mut given, mut bytes) = (Vec::new(), 0_usize);
    for AskedObject { object, blake3 } in asked {
        let mut sealed = Vec::new();
        let here = store.read_piece(safe, *object, blake3, &mut sealed)?;
        if !here || ObjectHash::of(&sealed) != *blake3 {
            continue;
        }
        bytes = bytes.saturating_add(sealed.len());
        if bytes > OBJECTS_MAX_BYTES && !given.is_empty() {
            break;
        }
        given.push(GivenObject { object: *object, sealed: sealed.into() });
    }
    Ok(given)
}

/// This device's word for where the logs of a safe end; none where it has no safe log yet.
async fn word(session: &Session, safe: &OpenSafe) -> Option<Word> {
    let log = session.log();
    let present = safe.memory().await.verified.present().copied()?;
    let (open, heads) = (&session.open, [present.log, present.journal]);
    let sign = |context, message: &[u8]| open.keys.signing_key.sign(context, message);
    let of = (&safe.organisation, &safe.id);
    let safe = SignedSafeHeads::of(of, heads, open.summary.device, clock::now(), sign);
    Some(Word { organisation: forks::word(open, &log), safe })
}

/// The first safe of a member's whose logs end elsewhere than the member knows: now, or once one
/// goes on.
async fn gone_on(session: &Session, member: &Member, known: Vec<KnownEnds>) -> Answer {
    let mut news = session.news();
    let wait = tokio::time::sleep(ENDS_WAIT);
    tokio::pin!(wait);
    let known: Vec<_> =
        known.into_iter().take(KNOCK_MAX).filter(|known| member.safes.contains(&known.safe)).collect();
    loop {
        news.mark_unchanged();
        let mut changes = JoinSet::new();
        for known in &known {
            let Some(safe) = session.safes.get(known.safe) else { continue };
            // Before the look, so that what comes between is not missed.
            let mut progress = safe.progress();
            let end = safe.memory().await.verified.present().map(|now| [now.log.count, now.journal.count]);
            let goes_on =
                end.is_some_and(|[log, journal]| [session.log().count(), log, journal] != known.counts);
            if goes_on
                && who::may_still(session, &safe, &member.device).await
                && let Some(word) = word(session, &safe).await
            {
                return Answer::Ends { safe: safe.id, word };
            }
            changes.spawn(async move {
                // Its sender is the safe's own.
                let _ = progress.changed().await;
            });
        }
        tokio::select! {
            () = &mut wait => return Answer::Nothing {},
            _ = news.changed() => {}
            Some(_) = changes.join_next() => {}
        }
    }
}
