//! An archive judged: its framing, the organisation's log, the safe's two logs, each object's hash;
//! and then the tree that its journal makes.
//!
//! Decides that all of it is read to its end and digest before any of it is believed, and read
//! again for the fold, judged again: a file may change in between. Refuses whatever a member's
//! device would not have taken from a server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;

use parsec_protocol::archive::{self, About, Boxed, Kind, OBJECT_PREFIX_BYTES};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::ids::{DeviceId, ObjectId, OrganisationId, UserId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::state::State;

use super::refusals::Refused;
use super::source::{Frame, Frames};
use crate::contents::stop::Stop;
use crate::safes::folding::{self, Found, Oddity, Stop as FoldStop};
use crate::store::StoredRecord;

/// Bytes of rings that one archive has: the present key's ring of a thousand members has a
/// megabyte and a half, all blocks of earlier keys three.
const RINGS_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Boxes that one archive has: some of each member.
const BOXES_MAX: usize = 8_192;

/// What is known of whose archive it may be.
pub(super) struct Own<'a> {
    pub(super) organisation: &'a OrganisationId,
    pub(super) root: &'a VerifyKey,
    /// The organisation's log as this device has verified it.
    pub(super) log: &'a VerifiedLog,
    /// User of the device: others' boxes are not kept.
    pub(super) user: UserId,
}

/// Where an object is in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located {
    pub(super) at: u64,
    pub(super) length: usize,
    pub(super) hash: ObjectHash,
}

/// An archive of which everything was judged that can be without a key.
pub(super) struct Judged {
    pub(super) about: About,
    pub(super) members: VerifiedLog,
    pub(super) safe: VerifiedSafe,
    pub(super) rings: BTreeMap<Hash, Vec<u8>>,
    /// Those for the device's user.
    pub(super) boxes: Vec<Boxed>,
    pub(super) objects: HashMap<ObjectId, Located>,
    /// How many records each member wrote.
    pub(super) wrote: BTreeMap<UserId, u64>,
}

impl Judged {
    /// Where an object is, as one of these bytes.
    pub(super) fn place(&self, object: ObjectId, hash: &ObjectHash) -> Option<Located> {
        self.objects.get(&object).copied().filter(|place| place.hash == *hash)
    }
}

/// The safe's two logs, item by item.
struct Items {
    safe: VerifiedSafe,
    /// Device that founded it, by the archive's word.
    founder: DeviceId,
    /// Where the logs end that this device has verified of the same safe.
    known: Option<[Head; 2]>,
}

impl Items {
    fn counts(&self) -> [u64; 2] {
        self.safe.present().map_or([0, 0], |now| [now.log.count, now.journal.count])
    }

    fn certificate(&mut self, bytes: &[u8], members: &VerifiedLog) -> Result<(), Refused> {
        let number = self.counts()[0];
        let by = match self.safe.push_certificate(bytes, members) {
            Ok(judged) => judged.effects().by.device,
            Err(why) => return Err(Refused::Item { what: "certificate", number, why: why.to_string() }),
        };
        if number == 0 && by != self.founder {
            return Err(Refused::OtherFounder);
        }
        self.is_known()
    }

    /// Refuses logs that part from those that this device has itself: whoever held a member's key
    /// can sign another end of a journal, and no server was there to refuse it. A shorter archive
    /// says nothing: heads in between are not kept.
    fn is_known(&self) -> Result<(), Refused> {
        let (Some([log, journal]), Some(now)) = (self.known, self.safe.present()) else { return Ok(()) };
        let parts = |here: Head, known: Head| here.count == known.count && here != known;
        if parts(now.log, log) || parts(now.journal, journal) { Err(Refused::OtherItems) } else { Ok(()) }
    }

    fn record(&mut self, bytes: &[u8], members: &VerifiedLog) -> Result<StoredRecord, Refused> {
        let number = self.counts()[1].saturating_add(1);
        let by = match self.safe.push_record(bytes, members) {
            Ok(judged) => judged.effects().by,
            Err(why) => return Err(Refused::Item { what: "record", number, why: why.to_string() }),
        };
        self.is_known()?;
        Ok(StoredRecord { author: by.user, role: by.role, envelope: bytes.to_vec() })
    }

    /// Whether both logs end where the archive says.
    fn ends(&self, about: &About) -> Result<(), Refused> {
        let now = self.safe.present().ok_or(Refused::Missing("the safe's log"))?;
        if now.log != about.log {
            return Err(Refused::Missing("the safe's log"));
        }
        if now.journal != about.journal {
            return Err(Refused::Missing("the journal"));
        }
        Ok(())
    }
}

/// What the first frame says, where it is of the device's organisation.
fn about(first: Option<Frame>, own: &Own<'_>) -> Result<About, Refused> {
    let frame = first.ok_or(archive::ArchiveFault::Truncated)?;
    let about: About = archive::read(frame.number, &frame.bytes)?;
    if about.version != archive::VERSION {
        return Err(archive::ArchiveFault::NoArchive.into());
    }
    if about.organisation != *own.organisation || about.root != *own.root {
        return Err(Refused::OtherOrganisation(about.organisation));
    }
    Ok(about)
}

/// Whether the organisation's log of an archive and the one of this device are one: the shorter of
/// them is the beginning of the longer.
fn is_one(of_archive: &VerifiedLog, known: &VerifiedLog) -> bool {
    let at = |log: &VerifiedLog, head: Head| log.head_at(head.count) == Some(head);
    if of_archive.count() <= known.count() {
        at(known, of_archive.head())
    } else {
        at(of_archive, known.head())
    }
}

/// The objects that a record adds.
pub(super) fn adds(envelope: &[u8]) -> Vec<ObjectId> {
    let payload = record::Envelope::decode(envelope).and_then(|envelope| envelope.payload());
    payload.map_or_else(|_| Vec::new(), |payload| payload.adds)
}

/// Judges all of a file.
pub(super) fn judge(file: &File, stop: &Stop, own: &Own<'_>) -> Result<Judged, Refused> {
    let mut frames = Frames::begin(file, stop)?;
    let about = about(frames.next()?, own)?;
    let mut members = VerifiedLog::empty(about.organisation.clone(), about.root);
    let safe = VerifiedSafe::empty(about.organisation.clone(), about.safe);
    let mut items = Items { safe, founder: about.founder, known: None };
    let (mut rings, mut boxes, mut ring_bytes) = (BTreeMap::new(), Vec::new(), 0_usize);
    let mut box_count = 0_usize;
    let (mut objects, mut added) = (HashMap::new(), HashSet::new());
    let mut wrote: BTreeMap<UserId, u64> = BTreeMap::new();
    while let Some(Frame { number, kind, at, bytes }) = frames.next()? {
        match kind {
            Kind::About | Kind::End => {}
            Kind::Certificate => {
                let number = members.count();
                let pushed = members.push(&bytes);
                pushed.map_err(|error| Refused::Members { number, why: error.to_string() })?;
            }
            Kind::Ring => {
                ring_bytes = ring_bytes.saturating_add(bytes.len());
                if ring_bytes > RINGS_MAX_BYTES {
                    return Err(Refused::TooManyKeys);
                }
                rings.insert(Hash::of(&[&bytes]), bytes);
            }
            Kind::Box => {
                box_count = box_count.saturating_add(1);
                if box_count > BOXES_MAX {
                    return Err(Refused::TooManyKeys);
                }
                let found: Boxed = archive::read(number, &bytes)?;
                if found.user == own.user {
                    boxes.push(found);
                }
            }
            Kind::SafeCertificate => items.certificate(&bytes, &members)?,
            Kind::Record => {
                let record = items.record(&bytes, &members)?;
                added.extend(adds(&bytes));
                let count = wrote.entry(record.author).or_default();
                *count = count.saturating_add(1);
            }
            Kind::Object => {
                let (object, hash, sealed) = archive::object(&bytes)?;
                if ObjectHash::of(sealed) != hash {
                    return Err(Refused::OtherBytes(number));
                }
                // Records were signed by members: what they have added is no hostile number.
                let at = at.saturating_add(OBJECT_PREFIX_BYTES as u64);
                let place = Located { at, length: sealed.len(), hash };
                // Each goes once, and only what one of them has added.
                if !added.remove(&object) || objects.insert(object, place).is_some() {
                    return Err(Refused::NotAdded(number));
                }
            }
        }
    }
    if members.head() != about.members {
        return Err(Refused::Missing("the organisation's log"));
    }
    if !is_one(&members, own.log) {
        return Err(Refused::OtherLog);
    }
    items.ends(&about)?;
    Ok(Judged { about, members, safe: items.safe, rings, boxes, objects, wrote })
}

/// The tree of an archive.
pub(super) struct Tree {
    pub(super) state: State,
    pub(super) void: u64,
    pub(super) other_roots: u64,
    /// Why it goes no further.
    pub(super) stop: Option<FoldStop>,
}

/// Folds the journal of an archive that was judged: each item is judged again. `known`: where the
/// logs of the same safe end that this device has verified, where it has it.
pub(super) fn fold(
    file: &File,
    stop: &Stop,
    judged: &Judged,
    keys: &SafeKeys,
    known: Option<[Head; 2]>,
) -> Result<Tree, Refused> {
    let mut frames = Frames::begin(file, stop)?;
    let about = &judged.about;
    let safe = VerifiedSafe::empty(about.organisation.clone(), about.safe);
    let mut items = Items { safe, founder: about.founder, known };
    let mut state = State::new(about.safe);
    let mut found = Found::default();
    while let Some(Frame { kind, bytes, .. }) = frames.next()? {
        match kind {
            Kind::About | Kind::Certificate | Kind::Ring | Kind::Box => {}
            Kind::SafeCertificate => items.certificate(&bytes, &judged.members)?,
            Kind::Record => {
                let record = items.record(&bytes, &judged.members)?;
                if found.stop.is_none() {
                    // By the logs' end: which keys were declared lost is known there.
                    folding::one(&judged.safe, keys, &mut state, &record, &mut found)?;
                }
            }
            Kind::Object | Kind::End => break,
        }
    }
    items.ends(about)?;
    let count = |which: fn(&Oddity) -> bool| found.oddities.iter().filter(|odd| which(odd)).count() as u64;
    let void = count(|oddity| matches!(oddity, Oddity::Void(..)));
    let other_roots = count(|oddity| matches!(oddity, Oddity::OtherRoot(..)));
    Ok(Tree { state, void, other_roots, stop: found.stop })
}
