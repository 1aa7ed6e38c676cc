//! The objects that a tree names: whether each is here, whether the server has it, and what each
//! side has for it.
//!
//! Decides that bytes count by their hash alone, wherever they are, and are opened as well: what an
//! author sealed wrongly is the author's fault and nobody else's. What one side lost is taken from
//! the other, where that is wanted. Holds no more than some pieces at a time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parsec_protocol::control::{FindingKind, FindingState, Problem};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safe_log::record;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;
use zeroize::Zeroizing;

use super::findings::{AddedBy, Counts, Findings, Owner, Verdict};
use super::pieces::{self, PageRead, Part, Piece};
use super::progress::Progress;
use super::server;
use crate::os::blocking_in;
use crate::session::Session;
use crate::store::{OpenDevice, PieceHere, StoreError};

/// Objects that are looked at together: one question to the server for all of them.
const TOGETHER: usize = 512;
/// Pieces that are read in one go: some megabytes, and locking waits for no more.
const READ_TOGETHER: usize = 8;
/// Contents in a row that name what is being looked at already: their copies.
const AGAIN_MAX: usize = 4_096;
/// Records that are looked through in one go for who added something.
const STEP_RECORDS: u64 = 64;

/// What this device has of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here {
    Absent,
    Right,
    Damaged,
    /// Its very bytes, which are no piece of the file.
    Unreadable,
}

/// What the server has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    /// It says that it has it.
    Said,
    Right,
    Unreadable,
    Missing,
    Withheld,
    Others,
}

impl There {
    const fn fault(self) -> Option<FindingKind> {
        match self {
            Self::Said | Self::Right | Self::Unreadable => None,
            Self::Missing => Some(FindingKind::MissingThere),
            Self::Withheld => Some(FindingKind::Withheld),
            Self::Others => Some(FindingKind::OtherBytes),
        }
    }
}

/// Looks at objects, some at a time.
pub(super) struct Looking<'a> {
    pub(super) session: &'a Session,
    pub(super) safe: SafeId,
    pub(super) keys: Arc<SafeKeys>,
    pub(super) repair: bool,
    pub(super) fetch: bool,
    pub(super) findings: &'a mut Findings,
    /// Records that are in the tree.
    to: u64,
    /// Objects that were met, with what was wrong with each: as many as the tree knows by itself.
    met: HashMap<ObjectId, Option<Verdict>>,
    together: Vec<(Owner, Piece)>,
    again: Vec<(Owner, ObjectId)>,
}

impl<'a> Looking<'a> {
    /// At objects of a safe.
    pub(super) fn new(
        session: &'a Session,
        safe: SafeId,
        keys: Arc<SafeKeys>,
        (repair, fetch): (bool, bool),
        findings: &'a mut Findings,
    ) -> Self {
        let met = HashMap::new();
        let (together, again) = (Vec::new(), Vec::new());
        Self { session, safe, keys, repair, fetch, findings, to: 0, met, together, again }
    }

    /// Looks at all that a tree names, and then at what waits here.
    pub(super) async fn all(&mut self, state: &State, progress: &mut Progress) -> Result<(), Problem> {
        self.to = state.seq();
        for held in state.contents() {
            let owner =
                Owner { class: Counts::Named(held.class), entry: held.entry.id, version: held.version };
            let sums = self.findings.sums(owner.class);
            sums.contents = sums.contents.saturating_add(1);
            for piece in pieces::named(held.content) {
                self.take(owner, piece).await?;
                let Part::Page(number) = piece.part else { continue };
                // One that nobody has is found where it is looked at itself.
                if let PageRead::Names(names, _) =
                    pieces::page(self.session, self.safe, &self.keys, piece).await?
                {
                    for piece in pieces::of_page(held.content.size, number, names) {
                        self.take(owner, piece).await?;
                    }
                }
            }
            progress.did(held.content.size);
        }
        self.look().await
    }

    async fn take(&mut self, owner: Owner, piece: Piece) -> Result<(), Problem> {
        let object = piece.reference.object;
        if let Entry::Vacant(new) = self.met.entry(object) {
            new.insert(None);
            let sums = self.findings.sums(owner.class);
            sums.objects = sums.objects.saturating_add(1);
            self.together.push((owner, piece));
        } else {
            self.again.push((owner, object));
        }
        if self.together.len() >= TOGETHER || self.again.len() >= AGAIN_MAX {
            self.look().await?;
        }
        Ok(())
    }

    /// Looks at what has come together.
    async fn look(&mut self) -> Result<(), Problem> {
        let together = std::mem::take(&mut self.together);
        if !together.is_empty() {
            let here = self.here(&together).await?;
            let there = self.there(&together, &here).await?;
            self.judge(&together, &here, &there).await?;
        }
        for (owner, object) in std::mem::take(&mut self.again) {
            if let Some(Some(verdict)) = self.met.get(&object) {
                self.findings.object(owner, object, *verdict);
            }
        }
        Ok(())
    }

    async fn here(&self, together: &[(Owner, Piece)]) -> Result<BTreeMap<ObjectId, Here>, Problem> {
        let mut all = BTreeMap::new();
        for some in together.chunks(READ_TOGETHER) {
            let (open, safe, keys) = (Arc::clone(&self.session.open), self.safe, Arc::clone(&self.keys));
            let some: Vec<Piece> = some.iter().map(|(_, piece)| *piece).collect();
            let found = blocking_in(&self.session.tasks, move || {
                let look = |piece: Piece| Ok((piece.reference.object, look_here(&open, safe, &keys, piece)?));
                some.into_iter().map(look).collect::<Result<Vec<_>, StoreError>>()
            });
            all.extend(found.await?);
        }
        Ok(all)
    }

    /// What the server has: by its word; and by what it gives, where that is asked for, or what is
    /// here is damaged.
    async fn there(
        &self,
        together: &[(Owner, Piece)],
        here: &BTreeMap<ObjectId, Here>,
    ) -> Result<BTreeMap<ObjectId, There>, Problem> {
        let ids: Vec<_> = together.iter().map(|(_, piece)| piece.reference.object).collect();
        let missing = server::missing(self.session, self.safe, ids).await?;
        let said = |object: &ObjectId| if missing.contains(object) { There::Missing } else { There::Said };
        let by_id: BTreeMap<ObjectId, Piece> =
            together.iter().map(|(_, piece)| (piece.reference.object, *piece)).collect();
        let mut there: BTreeMap<_, _> = by_id.keys().map(|object| (*object, said(object))).collect();
        let damaged = |object: &ObjectId| here.get(object) == Some(&Here::Damaged);
        let fetched = |object: &&ObjectId| !missing.contains(object) && (self.fetch || damaged(object));
        let mut left: BTreeSet<ObjectId> = by_id.keys().filter(fetched).copied().collect();
        there.extend(left.iter().map(|object| (*object, There::Withheld)));
        while !left.is_empty() {
            let brought = server::next(self.session, self.safe, &mut left).await?;
            there.extend(brought.garbled.iter().map(|object| (*object, There::Others)));
            let (keys, pieces) = (Arc::clone(&self.keys), by_id.clone());
            let (open, safe, repair) = (Arc::clone(&self.session.open), self.safe, self.repair);
            let damaged: BTreeSet<ObjectId> =
                brought.came.iter().map(|came| came.object).filter(damaged).collect();
            let found = blocking_in(&self.session.tasks, move || {
                let mut found = Vec::new();
                for came in brought.came {
                    let Some(piece) = pieces.get(&came.object) else { continue };
                    let (object, hash) = (came.object, piece.reference.blake3);
                    if ObjectHash::of(&came.bytes) != hash {
                        found.push((object, There::Others));
                        continue;
                    }
                    if repair && damaged.contains(&object) {
                        open.store.give_up_piece(safe, object);
                        open.store.keep_pieces(safe, &[(object, hash, came.bytes.as_slice())])?;
                    }
                    let mut bytes = Zeroizing::new(came.bytes);
                    let opens = piece.opens(&keys, &mut bytes);
                    found.push((object, if opens { There::Right } else { There::Unreadable }));
                }
                Ok::<_, StoreError>(found)
            });
            there.extend(found.await?);
        }
        Ok(there)
    }

    async fn judge(
        &mut self,
        together: &[(Owner, Piece)],
        here: &BTreeMap<ObjectId, Here>,
        there: &BTreeMap<ObjectId, There>,
    ) -> Result<(), Problem> {
        let mut back = BTreeMap::new();
        let is_right = |object: &ObjectId| matches!(here.get(object), Some(Here::Right | Here::Unreadable));
        for (_, piece) in together {
            let object = piece.reference.object;
            let lost = there.get(&object).and_then(|there| there.fault());
            if self.repair && lost.is_some() && is_right(&object) {
                let _ = back.insert(object, piece.reference.blake3);
            }
        }
        let missing = |object: &ObjectId| there.get(object) == Some(&There::Missing);
        let lost = back.keys().copied().filter(missing).collect();
        let adding = added(self.session, self.safe, self.to, lost).await?;
        let records = adding.values().map(|by| by.seq).collect();
        let back = server::put_back(self.session, self.safe, back, records).await?;
        for (owner, piece) in together {
            let object = piece.reference.object;
            let (here, there) = (here.get(&object).copied(), there.get(&object).copied());
            let sums = self.findings.sums(owner.class);
            sums.here = sums.here.saturating_add(u64::from(is_right(&object)));
            let fault = there.and_then(There::fault);
            sums.there = sums.there.saturating_add(u64::from(fault.is_none()));
            let verdict = match (fault, here) {
                (Some(what), Some(Here::Right | Here::Unreadable)) => {
                    let repaired = back.contains(&object);
                    let state = if repaired { FindingState::Repaired } else { FindingState::Repairable };
                    Some(Verdict { what, state })
                }
                (Some(what), Some(Here::Absent | Here::Damaged) | None) => {
                    Some(Verdict { what, state: FindingState::Lost })
                }
                (None, Some(Here::Damaged)) => {
                    let state = if self.repair { FindingState::Repaired } else { FindingState::Repairable };
                    Some(Verdict { what: FindingKind::DamagedHere, state })
                }
                (None, Some(Here::Unreadable)) => {
                    Some(Verdict { what: FindingKind::Unreadable, state: FindingState::Standing })
                }
                (None, Some(Here::Absent | Here::Right) | None) if there == Some(There::Unreadable) => {
                    Some(Verdict { what: FindingKind::Unreadable, state: FindingState::Standing })
                }
                (None, Some(Here::Absent | Here::Right) | None) => None,
            };
            let Some(verdict) = verdict else { continue };
            if verdict.state != FindingState::Standing {
                sums.damaged = sums.damaged.saturating_add(1);
            }
            match verdict.state {
                FindingState::Repaired => sums.repaired = sums.repaired.saturating_add(1),
                FindingState::Lost => sums.lost = sums.lost.saturating_add(1),
                FindingState::Repairable | FindingState::Standing | FindingState::Unknown => {}
            }
            self.met.insert(object, Some(verdict));
            self.findings.object(*owner, object, verdict);
        }
        Ok(())
    }
}

fn look_here(open: &OpenDevice, safe: SafeId, keys: &SafeKeys, piece: Piece) -> Result<Here, StoreError> {
    let reference = piece.reference;
    Ok(match open.store.look_at_piece(safe, reference.object, &reference.blake3)? {
        PieceHere::Absent => Here::Absent,
        PieceHere::Damaged => Here::Damaged,
        PieceHere::Right(mut bytes) => {
            if piece.opens(keys, &mut bytes) {
                Here::Right
            } else {
                Here::Unreadable
            }
        }
    })
}

/// Which record added each of some objects: the first that names it.
async fn added(
    session: &Session,
    safe: SafeId,
    to: u64,
    mut wanted: BTreeSet<ObjectId>,
) -> Result<BTreeMap<ObjectId, AddedBy>, Problem> {
    let (mut after, mut found) = (0, BTreeMap::new());
    while after < to && !wanted.is_empty() {
        let open = Arc::clone(&session.open);
        let asked = wanted.clone();
        let (read, some) = blocking_in(&session.tasks, move || {
            let records = open.store.safe_records(safe, after, STEP_RECORDS)?;
            let read = records.len() as u64;
            let mut some = Vec::new();
            for stored in records {
                let payload =
                    record::Envelope::decode(&stored.envelope).and_then(|envelope| envelope.payload());
                let Ok(payload) = payload else { continue };
                let (user, device) = (stored.author, payload.author);
                let by = AddedBy { user, device, time: payload.time, seq: payload.seq };
                let adds = payload.adds.iter().filter(|object| asked.contains(object));
                some.extend(adds.map(|object| (*object, by)));
            }
            Ok::<_, StoreError>((read, some))
        })
        .await?;
        if read == 0 {
            break;
        }
        after = after.saturating_add(read);
        for (object, by) in some {
            wanted.remove(&object);
            found.entry(object).or_insert(by);
        }
    }
    Ok(found)
}

/// Looks up who added the contents about which something was found, by one object of each.
pub(super) async fn who_added(
    session: &Session,
    safe: SafeId,
    to: u64,
    findings: &mut Findings,
) -> Result<(), Problem> {
    let wanted = findings.of_contents().map(|of| of.first).collect();
    let found = added(session, safe, to, wanted).await?;
    for of in findings.of_contents() {
        of.by = found.get(&of.first).copied();
    }
    Ok(())
}
