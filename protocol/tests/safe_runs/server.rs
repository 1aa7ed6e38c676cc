//! A server in memory: what the real one decides about a safe, by the same rules
//! (`server/src/safes`: `certificates::append`, `records::post`, `rings::keep_ring`, `check_seen`).
//!
//! Decides who is heard, what stands next, and who gets what. Times and quotas are left out.

use std::collections::BTreeMap;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::ids::{DeviceId, ObjectId, UserId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::certificate::Envelope as Certificate;
use parsec_protocol::safe_log::record::Envelope as Record;
use parsec_protocol::safe_log::ring::{BoxFor, Expected, RingHead, RingPart, boxes_hash};
use parsec_protocol::safe_log::rules::Fault;
use parsec_protocol::safe_log::safe::{NotTaken, VerifiedSafe};

use crate::safes::sure;
use crate::support::organisation;

/// A sealed object, and whether a record has added it.
pub struct Object {
    pub hash: ObjectHash,
    pub sealed: Vec<u8>,
    pub added: bool,
}

/// What became of a record.
pub enum Answer {
    Accepted,
    MovedOn { log: u64, records: Vec<Vec<u8>> },
}

/// What comes with a certificate.
#[derive(Clone, Default)]
pub struct Comes {
    pub ring: Option<Vec<u8>>,
    pub boxes: Vec<BoxFor>,
    /// Epochs whose keys the maker of the ring had: what the ring must open.
    pub had: Vec<u64>,
}

/// All that it keeps of the one safe.
pub struct Server {
    pub safe: VerifiedSafe,
    pub certificates: Vec<Vec<u8>>,
    pub records: Vec<Vec<u8>>,
    pub objects: BTreeMap<ObjectId, Object>,
    rings: BTreeMap<Hash, Vec<u8>>,
    /// Of each ring, the epochs whose keys its maker had.
    pub had: BTreeMap<Hash, Vec<u64>>,
    parts: BTreeMap<Hash, Vec<u8>>,
    boxes: BTreeMap<(u64, UserId), BTreeMap<UserId, Vec<u8>>>,
    /// The newest epoch whose key a user was ever meant to have.
    pub meant: BTreeMap<UserId, u64>,
    /// Takes records without looking at whether a key is due: for a twin.
    pub takes_due: bool,
}

/// The code of a rule (`server/src/safes/faults.rs`), as far as devices tell them apart.
fn refused(why: NotTaken) -> ErrorCode {
    let NotTaken::Fault(fault) = why else { return ErrorCode::Internal };
    match fault {
        Fault::NotNext | Fault::OtherPlace => ErrorCode::SafeConflict,
        Fault::SeenAhead | Fault::SeenWentBack => ErrorCode::Behind,
        Fault::Due => ErrorCode::RekeyNeeded,
        Fault::NoRole
        | Fault::Suspended
        | Fault::NotOwner
        | Fault::NotManager
        | Fault::NotWriter
        | Fault::OwnRole
        | Fault::TakeOver
        | Fault::OutsiderCreates => ErrorCode::NotAllowed,
        _ => ErrorCode::CertificateRefused,
    }
}

impl Server {
    pub fn new(safe: VerifiedSafe) -> Self {
        Self {
            safe,
            certificates: Vec::new(),
            records: Vec::new(),
            objects: BTreeMap::new(),
            rings: BTreeMap::new(),
            had: BTreeMap::new(),
            parts: BTreeMap::new(),
            boxes: BTreeMap::new(),
            meant: BTreeMap::new(),
            takes_due: false,
        }
    }

    /// The caller's user: `server/src/http/authenticated.rs`.
    fn caller(log: &VerifiedLog, device: &DeviceId) -> Result<UserId, ErrorCode> {
        let found = log.device(device).ok_or(ErrorCode::NotAuthenticated)?;
        let user = log.user(&found.user).ok_or(ErrorCode::NotAuthenticated)?;
        let revoked = found.revoked.is_some() || user.revoked.is_some();
        if revoked { Err(ErrorCode::Revoked) } else { Ok(found.user) }
    }

    /// `access::reader`.
    pub fn reader(&self, log: &VerifiedLog, device: &DeviceId) -> Result<UserId, ErrorCode> {
        let user = Self::caller(log, device)?;
        self.safe.role(&user).map(|_| user).ok_or(ErrorCode::SafeUnknown)
    }

    /// `access::may_bring_keys`.
    fn writer(&self, log: &VerifiedLog, device: &DeviceId) -> Result<UserId, ErrorCode> {
        let user = self.reader(log, device)?;
        let at = sure(log.user_at(&user, log.count())).ok_or(ErrorCode::NotAllowed)?;
        let role = self.safe.role(&user).and_then(|role| role.at(&at));
        let writes = role.is_some_and(|role| role.writes()) && !at.suspended;
        if writes { Ok(user) } else { Err(ErrorCode::NotAllowed) }
    }

    fn check_seen(log: &VerifiedLog, seen: u64) -> Result<(), ErrorCode> {
        let newest = sure(log.changed_before(u64::MAX)).map_or(0, |at| at + 1);
        if (newest..=log.count()).contains(&seen) { Ok(()) } else { Err(ErrorCode::Behind) }
    }

    pub fn put_part(&mut self, log: &VerifiedLog, by: &DeviceId, part: &[u8]) -> Result<(), ErrorCode> {
        self.writer(log, by)?;
        self.parts.insert(Hash::of(&[part]), part.to_vec());
        Ok(())
    }

    /// The first certificate, with the parts of its ring.
    pub fn found(
        &mut self,
        log: &VerifiedLog,
        by: &DeviceId,
        (certificate, ring, parts): (&[u8], &[u8], &[Vec<u8>]),
    ) -> Result<(), ErrorCode> {
        Self::caller(log, by)?;
        if let Some(first) = self.certificates.first() {
            return if first == certificate { Ok(()) } else { Err(ErrorCode::SafeConflict) };
        }
        for part in parts {
            self.parts.insert(Hash::of(&[part]), part.clone());
        }
        let comes = Comes { ring: Some(ring.to_vec()), ..Comes::default() };
        self.take_in(log, by, certificate, &comes)
    }

    /// `certificates::append`.
    pub fn certify(
        &mut self,
        log: &VerifiedLog,
        by: &DeviceId,
        certificate: &[u8],
        comes: &Comes,
    ) -> Result<(), ErrorCode> {
        let user = Self::caller(log, by)?;
        let payload = Certificate::decode(certificate).unwrap().payload().unwrap();
        let there = self.certificates.get(usize::try_from(payload.previous.count).unwrap());
        if there.is_some_and(|there| there == certificate) {
            return Ok(());
        }
        self.safe.role(&user).ok_or(ErrorCode::SafeUnknown)?;
        let present = self.safe.present().unwrap();
        if (payload.previous, payload.place) != (present.log, present.journal) {
            return Err(ErrorCode::SafeConflict);
        }
        self.take_in(log, by, certificate, comes)
    }

    fn take_in(
        &mut self,
        log: &VerifiedLog,
        by: &DeviceId,
        certificate: &[u8],
        comes: &Comes,
    ) -> Result<(), ErrorCode> {
        let payload = Certificate::decode(certificate).unwrap().payload().unwrap();
        if payload.author != *by {
            return Err(ErrorCode::CertificateRefused);
        }
        Self::check_seen(log, payload.seen.count)?;
        let judged = self.safe.judge_certificate(certificate, log).map_err(refused)?;
        let effects = judged.into_parts().1;
        match (&effects.key, &comes.ring) {
            (Some(key), Some(ring)) => self.check_ring(by, key, ring)?,
            (None, None) => {}
            _ => return Err(ErrorCode::RingRefused),
        }
        let fits = comes.boxes.iter().map(|given| &given.user).eq(&effects.boxes_for);
        let named = match payload.body {
            parsec_protocol::safe_log::certificate::Body::Changed { boxes, .. } => boxes,
            _ => None,
        };
        if !fits || named.is_some_and(|named| boxes_hash(&comes.boxes) != named) {
            return Err(ErrorCode::BoxesRefused);
        }
        self.safe.push_certificate(certificate, log).unwrap();
        self.certificates.push(certificate.to_vec());
        if let (Some(key), Some(ring)) = (&effects.key, &comes.ring) {
            self.rings.insert(key.ring, ring.clone());
            self.had.insert(key.ring, comes.had.clone());
        }
        for given in &comes.boxes {
            self.keep_box(effects.by.user, effects.present.key.epoch, given.user, given.sealed.to_vec());
        }
        self.note(log);
        Ok(())
    }

    fn check_ring(
        &self,
        by: &DeviceId,
        key: &parsec_protocol::safe_log::certificate::Key,
        ring: &[u8],
    ) -> Result<(), ErrorCode> {
        let head = RingHead::decode(ring).map_err(|_| ErrorCode::RingRefused)?;
        let expected = Expected { organisation: &organisation(), safe: self.safe.id(), author: by, key };
        head.fits(&expected).map_err(|_| ErrorCode::RingRefused)?;
        for (number, hash) in head.parts.iter().enumerate() {
            let part = self.parts.get(hash).ok_or(ErrorCode::RingMissing)?;
            let part = RingPart::decode(part).map_err(|_| ErrorCode::RingRefused)?;
            head.part_fits(number, &part).map_err(|_| ErrorCode::RingRefused)?;
        }
        Ok(())
    }

    /// Who is meant to have the present key: by roles and the whole of the organisation's log, and
    /// not by the rules' own list of holders. Whoever has no device yet has a box waiting.
    fn note(&mut self, log: &VerifiedLog) {
        let Some(present) = self.safe.present() else { return };
        for (user, _) in self.safe.roles() {
            let at = sure(log.user_at(user, log.count()));
            if at.is_some_and(|at| !at.revoked && !at.suspended) {
                self.meant.insert(*user, present.key.epoch);
            }
        }
    }

    fn keep_box(&mut self, author: UserId, epoch: u64, user: UserId, sealed: Vec<u8>) {
        self.boxes.entry((epoch, user)).or_default().insert(author, sealed);
    }

    pub fn post_box(
        &mut self,
        log: &VerifiedLog,
        by: &DeviceId,
        (epoch, user): (u64, UserId),
        sealed: &[u8],
    ) -> Result<(), ErrorCode> {
        let author = self.writer(log, by)?;
        if self.safe.present().is_none_or(|now| now.key.epoch != epoch) {
            return Err(ErrorCode::SafeConflict);
        }
        self.safe.role(&user).ok_or(ErrorCode::BoxesRefused)?;
        self.keep_box(author, epoch, user, sealed.to_vec());
        self.note(log);
        Ok(())
    }

    /// `records::post`.
    pub fn post(&mut self, log: &VerifiedLog, by: &DeviceId, record: &[u8]) -> Result<Answer, ErrorCode> {
        let user = Self::caller(log, by)?;
        self.safe.role(&user).ok_or(ErrorCode::SafeUnknown)?;
        let payload = Record::decode(record).unwrap().payload().unwrap();
        if payload.author != *by {
            return Err(ErrorCode::RecordRefused);
        }
        let at = usize::try_from(payload.seq).unwrap() - 1;
        if self.records.get(at).is_some_and(|there| there == record) {
            return Ok(Answer::Accepted);
        }
        let present = *self.safe.present().unwrap();
        let next = (present.journal.count + 1, present.journal.hash, present.log);
        if (payload.seq, payload.previous, payload.log) != next {
            let records = self.records.get(at..).unwrap_or_default().to_vec();
            return Ok(Answer::MovedOn { log: present.log.count, records });
        }
        let seen = Self::check_seen(log, payload.seen.count);
        let judged = self.safe.judge_record(record, log).map(|_| ()).map_err(refused);
        let due = matches!(seen, Err(ErrorCode::Behind)) || matches!(judged, Err(ErrorCode::RekeyNeeded));
        if !(due && self.takes_due) {
            seen?;
            judged?;
        }
        for object in &payload.adds {
            self.objects.get_mut(object).ok_or(ErrorCode::ObjectMissing)?.added = true;
        }
        if self.safe.push_record(record, log).is_ok() || self.takes_due {
            self.records.push(record.to_vec());
            self.note(log);
        }
        Ok(Answer::Accepted)
    }

    pub fn put_object(
        &mut self,
        log: &VerifiedLog,
        by: &DeviceId,
        (object, hash, sealed): (ObjectId, ObjectHash, &[u8]),
    ) -> Result<(), ErrorCode> {
        self.writer(log, by)?;
        if ObjectHash::of(sealed) != hash {
            return Err(ErrorCode::BadRequest);
        }
        let there = self.objects.entry(object).or_insert_with(|| Object {
            hash,
            sealed: sealed.to_vec(),
            added: false,
        });
        if there.hash == hash { Ok(()) } else { Err(ErrorCode::ObjectConflict) }
    }

    /// What of a safe's two logs comes behind these.
    #[expect(clippy::type_complexity, reason = "the two logs, and how long they are")]
    pub fn items(
        &self,
        log: &VerifiedLog,
        by: &DeviceId,
        (certificates, records): (u64, u64),
    ) -> Result<([Vec<Vec<u8>>; 2], [u64; 2]), ErrorCode> {
        self.reader(log, by)?;
        let behind = |all: &[Vec<u8>], from: u64| {
            all.get(usize::try_from(from).unwrap()..).unwrap_or_default().to_vec()
        };
        let counts = [self.certificates.len() as u64, self.records.len() as u64];
        Ok(([behind(&self.certificates, certificates), behind(&self.records, records)], counts))
    }

    pub fn ring(&self, log: &VerifiedLog, by: &DeviceId, hash: &Hash) -> Result<Vec<u8>, ErrorCode> {
        self.reader(log, by)?;
        self.rings.get(hash).cloned().ok_or(ErrorCode::RingMissing)
    }

    pub fn part(&self, log: &VerifiedLog, by: &DeviceId, hash: &Hash) -> Result<Vec<u8>, ErrorCode> {
        self.reader(log, by)?;
        self.parts.get(hash).cloned().ok_or(ErrorCode::RingMissing)
    }

    pub fn boxes(
        &self,
        log: &VerifiedLog,
        by: &DeviceId,
        (epoch, user): (u64, UserId),
    ) -> Result<Vec<ByteVec>, ErrorCode> {
        self.reader(log, by)?;
        let found = self.boxes.get(&(epoch, user)).ok_or(ErrorCode::BoxUnknown)?;
        Ok(found.values().cloned().map(ByteVec::from).collect())
    }
}
