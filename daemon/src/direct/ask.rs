//! What this device asks of others of the same safe that the local network has.
//!
//! Decides when it asks: whoever is connected is knocked at, and a member's device is followed for
//! as long as it is there; contents are asked for when somebody wants them. Refuses an object that
//! isn't the one with the hash, and hangs up on who sends it: another device is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Carrier, Direction, PeerView};
use parsec_protocol::direct::{
    ANSWER_MAX_BYTES, Answer, AskedObject, GivenObject, KNOCK_MAX_BYTES, KnownEnds, Met, QUESTIONS_MAX,
    Question, Word,
};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::PeerKey;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::comparing;
use super::who::{self, Knocking, Member};
use crate::network::Guard;
use crate::os::clock;
use crate::p2p::{Lan, Link, Peer, Talk, TalkError, peer_id};
use crate::safes::views;
use crate::session::Session;
use crate::session::direct::{Objects, Wanted};

/// How long an answer may take to begin.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// How long the answer to *ends* may take: the other side waits half a minute for news.
const ENDS_WAIT: Duration = Duration::from_secs(60);
/// When somebody who is connected is knocked at again who knew no knock: they may have been told of
/// a newer key meanwhile, or this device.
const AGAIN: Duration = Duration::from_secs(30);
/// The least time between two looks at one device: who names other ends all the time is asked no
/// oftener.
const LOOK_LEAST: Duration = Duration::from_millis(200);
/// When it is compared again what goes further than this device has: the server may have shown as
/// much meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long a stream for contents may be idle and be used again: half of what the other side waits
/// for a question.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Wishes for contents that may wait for one device.
const WANTED_MAX: usize = 16;

/// Knocks at everybody who is connected, once at a time, for as long as the node is there.
pub(super) async fn meet(session: Arc<Session>, lan: Lan) {
    let mut status = lan.status();
    let mut asking = JoinSet::new();
    let mut busy: BTreeSet<PeerKey> = BTreeSet::new();
    let mut shown: BTreeMap<PeerKey, Option<Guard<PeerView>>> = BTreeMap::new();
    loop {
        let peers = status.borrow_and_update().peers.clone();
        shown.retain(|key, _| peers.iter().any(|peer| peer.peer == *key));
        for peer in peers {
            let view = shown.entry(peer.peer);
            let view = view.or_insert_with(|| session.net.peer(shown_as(&peer)).ok());
            if let Some(view) = view {
                view.change(|view| view.proven |= peer.proven);
            }
            if busy.insert(peer.peer) {
                let (session, lan) = (Arc::clone(&session), lan.clone());
                asking.spawn(async move {
                    ask(&session, &lan, peer.peer).await;
                    peer.peer
                });
            }
        }
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            Some(done) = asking.join_next() => {
                if let Ok(peer) = done {
                    busy.remove(&peer);
                }
            }
        }
    }
}

/// A connection, as the local API shows it.
fn shown_as(peer: &Peer) -> PeerView {
    let carrier = match peer.link {
        Link::Quic => Carrier::Quic,
        Link::Tcp => Carrier::Tcp,
        Link::Relay => Carrier::Relay,
    };
    PeerView {
        token: None,
        ceremony: None,
        peer: peer_id(&peer.peer),
        address: peer.address.clone(),
        direction: if peer.inbound { Direction::In } else { Direction::Out },
        carrier,
        proven: peer.proven,
        since: clock::now(),
    }
}

fn is_connected(lan: &Lan, peer: PeerKey) -> bool {
    lan.status().borrow().peers.iter().any(|there| there.peer == peer)
}

/// Asks one peer until it is gone.
async fn ask(session: &Arc<Session>, lan: &Lan, peer: PeerKey) {
    while is_connected(lan, peer) {
        match round(session, lan, peer).await {
            Ok(Round::Changed) => continue,
            Ok(Round::Over) => {}
            Err(TalkError::Broken(why)) => tracing::debug!(why, "another device is not there"),
            Err(TalkError::Misbehaved(why)) => {
                tracing::info!(why, "another device is hung up on");
                lan.dismiss(peer);
            }
        }
        let (mut news, mut status) = (session.news(), lan.status());
        let gone = status.wait_for(|now| !now.peers.iter().any(|there| there.peer == peer));
        tokio::select! {
            _ = gone => return,
            _ = news.changed() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Knocks; returns when nobody is there who knows it.
async fn knocked(
    session: &Session,
    lan: &Lan,
    peer: PeerKey,
) -> Result<(Talk, Knocking, Option<Member>), TalkError> {
    let mut talk = lan.talk(peer).await.map_err(|error| TalkError::Broken(error.to_string()))?;
    let knocking = who::knock(session, talk.ends()).await;
    let knocking = knocking.map_err(|error| TalkError::Broken(error.to_string()))?;
    talk.say(&knocking.knock).await?;
    let met: Met = talk.hear(KNOCK_MAX_BYTES, ANSWER_WAIT).await?;
    let member = who::met(session, &knocking, &met).await;
    Ok((talk, knocking, member))
}

/// How a meeting ended.
enum Round {
    /// This device has other safes, or newer keys, than it knocked with: it knocks anew at once.
    Changed,
    /// Nobody is there, or no member's device.
    Over,
}

/// One meeting with a peer.
async fn round(session: &Arc<Session>, lan: &Lan, peer: PeerKey) -> Result<Round, TalkError> {
    let (mut talk, knocking, member) = knocked(session, lan, peer).await?;
    let Some(member) = member else { return Ok(Round::Over) };
    lan.proven(peer);
    let (wanted, mut wishes) = mpsc::channel(WANTED_MAX);
    let there = session.direct.join(member.device, member.safes.clone(), wanted);
    tracing::info!(device = %member.device, safes = member.safes.len(), "a device of one's safes is met");
    tell(session, &member).await;
    let done = tokio::select! {
        done = follow(session, lan, &mut talk, &knocking, &member) => done,
        done = contents(session, lan, peer, &member, &mut wishes) => done,
    };
    drop(there);
    tell(session, &member).await;
    done
}

/// Tells that somebody is there for these safes, or is there no more.
async fn tell(session: &Session, member: &Member) {
    for id in &member.safes {
        if let Some(safe) = session.safes.get(*id) {
            views::tell(session, &safe, "direct").await;
        }
    }
}

/// Follows where the other device's logs end, and compares them with what is here.
async fn follow(
    session: &Arc<Session>,
    lan: &Lan,
    talk: &mut Talk,
    knocking: &Knocking,
    member: &Member,
) -> Result<Round, TalkError> {
    let mut known: BTreeMap<SafeId, [u64; 3]> = member.safes.iter().map(|safe| (*safe, [0; 3])).collect();
    // What goes further than this device has: once it has as much, that is compared.
    let mut ahead: BTreeMap<SafeId, Word> = BTreeMap::new();
    let mut looked = Instant::now();
    for _ in 0..QUESTIONS_MAX {
        let ends = known.iter().map(|(safe, counts)| KnownEnds { safe: *safe, counts: *counts });
        talk.say(&Question::Ends { known: ends.collect() }).await?;
        match talk.hear(ANSWER_MAX_BYTES, ENDS_WAIT).await? {
            Answer::Ends { safe, word } if known.contains_key(&safe) => {
                known.insert(safe, word.counts());
                if comparing::look(session, member, safe, &word).await? {
                    ahead.remove(&safe);
                } else {
                    ahead.insert(safe, word);
                }
            }
            Answer::Nothing {} => {}
            _ => return Err(TalkError::Misbehaved("an answer is to another question".to_owned())),
        }
        if looked.elapsed() >= LOOK_AGAIN {
            looked = Instant::now();
            for (safe, word) in std::mem::take(&mut ahead) {
                if !comparing::look(session, member, safe, &word).await? {
                    ahead.insert(safe, word);
                }
            }
        }
        if !who::is_member_still(session, member).await {
            lan.unproven(talk.peer());
            return Ok(Round::Over);
        }
        // A safe that was shared since, or a key that came, is shown with a new knock.
        let now = who::knock(session, talk.ends()).await;
        if now.is_ok_and(|now| now.sealed() != knocking.sealed()) {
            return Ok(Round::Changed);
        }
        tokio::time::sleep(LOOK_LEAST).await;
    }
    Ok(Round::Changed)
}

async fn asked_on(talk: &mut Talk, question: &Question) -> Result<Answer, TalkError> {
    talk.say(question).await?;
    talk.hear(ANSWER_MAX_BYTES, ANSWER_WAIT).await
}

/// Asks for contents that somebody here wants, on a stream of its own.
async fn contents(
    session: &Session,
    lan: &Lan,
    peer: PeerKey,
    member: &Member,
    wishes: &mut mpsc::Receiver<Wanted>,
) -> Result<Round, TalkError> {
    let mut stream: Option<(Talk, Instant)> = None;
    while let Some(Wanted { safe, objects, answer }) = wishes.recv().await {
        // Whoever wanted them waits no more: nothing is loaded for nobody.
        if answer.is_closed() {
            continue;
        }
        let asked = objects.iter().map(|(object, blake3)| AskedObject { object: *object, blake3: *blake3 });
        let question = Question::Objects { safe, objects: asked.collect() };
        // The other side ends what is silent for long: a stream that was used may be gone, and is
        // no reason to fail.
        let mut again = None;
        if let Some((mut talk, used)) = stream.take()
            && used.elapsed() < IDLE_MAX
        {
            match asked_on(&mut talk, &question).await {
                Ok(answer) => again = Some((talk, answer)),
                Err(TalkError::Broken(why)) => tracing::debug!(why, "a stream is opened anew"),
                Err(error) => return Err(error),
            }
        }
        let (talk, answered) = match again {
            Some(done) => done,
            None => match knocked(session, lan, peer).await? {
                (mut talk, _, Some(same)) if same.device == member.device => {
                    let answer = asked_on(&mut talk, &question).await?;
                    (talk, answer)
                }
                _ => return Ok(Round::Over),
            },
        };
        let given = match answered {
            Answer::Objects { objects: given } => right(&objects, given)?,
            Answer::Nothing {} => Objects::new(),
            _ => return Err(TalkError::Misbehaved("an answer is to another question".to_owned())),
        };
        let bytes: u64 = given.iter().map(|(_, sealed)| sealed.len() as u64).sum();
        if bytes > 0 {
            session.direct.came(safe, member.device, bytes);
        }
        // Whoever wanted them may have gone.
        let _ = answer.send(given);
        stream = Some((talk, Instant::now()));
    }
    Ok(Round::Over)
}

/// The objects that were asked for, each the one with its hash.
///
/// # Errors
/// Another one is no mistake that an honest device makes: it compares before it gives.
pub(super) fn right(asked: &[(ObjectId, ObjectHash)], given: Vec<GivenObject>) -> Result<Objects, TalkError> {
    let mut wanted: BTreeMap<_, _> = asked.iter().copied().collect();
    let mut objects = Objects::new();
    for GivenObject { object, sealed } in given {
        let hash = wanted.remove(&object);
        if hash != Some(ObjectHash::of(&sealed)) {
            return Err(TalkError::Misbehaved("an object is not the one that was asked for".to_owned()));
        }
        objects.push((object, sealed.into()));
    }
    Ok(objects)
}
