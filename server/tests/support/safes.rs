//! Safes as members' devices have them: read from the server, verified by the rules, and written to
//! with boxes and ciphertexts of random bytes, which is all that the server can tell of them.

use minicbor::bytes::{ByteArray, ByteVec};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::ids::{ObjectId, SafeId, UserId};
use parsec_protocol::limits::RING_PART_BOXES;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    JournalPage, Least, NewRecord, NewSafe, ObjectHead, ObjectHeads, ObjectIds, RecordAnswer,
    SafeCertificate, SafeLogPage, SafeLogged, path,
};
use parsec_protocol::safe_log::certificate::{self, Body, Change, Key, first_journal_head, first_log_head};
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::ring::{BoxFor, RingHead, RingList, RingPart, boxes_hash};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules::ring_list;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safe_log::{FORMAT, SUITE};

use super::{Answer, Bench, Member, drawn, sealed};
use parsec_protocol::ids::Token;

/// What one device knows when it writes: the organisation's log and the safe, both verified.
pub struct View {
    pub log: VerifiedLog,
    pub safe: VerifiedSafe,
}

/// A ring that fits a key, with boxes of random bytes.
pub struct Ring {
    pub key: Key,
    pub head: ByteVec,
    pub parts: Vec<ByteVec>,
}

pub fn change(user: UserId, role: Option<Role>) -> Change {
    Change { user, role }
}

impl Member {
    /// Reads a safe as a member does: every item stands by the rules, or this fails.
    pub async fn view(&self, bench: &Bench, safe: &SafeId) -> View {
        let log = self.verified(bench).await;
        let org = &self.organisation;
        let certificates: SafeLogPage =
            self.get(bench, &path::safe_log_page(org, safe, 0, Least::NOTHING)).await.record();
        let journal: JournalPage =
            self.get(bench, &path::safe_journal_page(org, safe, 0, Least::NOTHING)).await.record();
        assert_eq!(journal.seq, journal.records.len() as u64, "the tests' journals fit one page");
        let mut view = VerifiedSafe::empty(org.clone(), *safe);
        let mut records = journal.records.iter();
        for envelope in &certificates.certificates {
            let payload = certificate::Envelope::decode(envelope).unwrap().payload().unwrap();
            while view.present().is_some_and(|present| present.journal.count < payload.place.count) {
                view.push_record(records.next().unwrap(), &log).unwrap();
            }
            view.push_certificate(envelope, &log).unwrap();
        }
        for envelope in records {
            view.push_record(envelope, &log).unwrap();
        }
        let count = view.present().map_or(0, |present| present.log.count);
        assert_eq!((certificates.count, certificates.count), (count, certificates.certificates.len() as u64));
        View { log, safe: view }
    }

    /// A ring for these, of this epoch, by this device.
    pub fn ring(&self, safe: &SafeId, list: RingList, epoch: u64, lost: u64) -> Ring {
        let boxes: Vec<_> = list.0.iter().map(|_| Some(sealed())).collect();
        let parts: Vec<_> =
            boxes.chunks(RING_PART_BOXES).map(|boxes| RingPart(boxes.to_vec()).encode()).collect();
        let head = RingHead {
            organisation: self.organisation.clone(),
            safe: *safe,
            epoch,
            author: self.device,
            list,
            parts: parts.iter().map(|part| Hash::of(&[part])).collect(),
            past: (epoch > 0).then(|| vec![9; 60].into()),
        };
        let key = Key {
            epoch,
            key_check: Hash::from_bytes(drawn()),
            list: head.list.hash(),
            ring: head.hash(),
            lost,
        };
        Ring { key, head: head.encode().into(), parts: parts.into_iter().map(ByteVec::from).collect() }
    }

    /// The call that makes a safe of this id.
    pub async fn new_safe(&self, bench: &Bench, safe: SafeId) -> NewSafe {
        let log = self.verified(bench).await;
        let empty = VerifiedSafe::empty(self.organisation.clone(), safe);
        let me = [change(self.user, Some(Role::Owner))];
        let list = ring_list(&empty, &log, log.count(), &me).unwrap();
        let Ring { key, head, parts } = self.ring(&safe, list, 0, 0);
        let payload = certificate::Payload {
            organisation: self.organisation.clone(),
            safe,
            previous: first_log_head(&self.organisation, &safe, &self.device),
            place: first_journal_head(&self.organisation, &safe, &self.device),
            seen: log.head(),
            author: self.device,
            time: bench.now(),
            body: Body::Created {
                suite: SUITE,
                format: FORMAT,
                key_check: key.key_check,
                list: key.list,
                ring: key.ring,
            },
        };
        let certificate = payload.sign_with(|context, bytes| self.key.sign(context, bytes)).into();
        NewSafe { certificate, ring: head, parts }
    }

    /// Makes a safe.
    pub async fn safe(&self, bench: &Bench) -> SafeId {
        let safe = SafeId::from_bytes(drawn());
        let asked = self.new_safe(bench, safe).await;
        let answer = self.post(bench, &path::safes(&self.organisation), &asked).await;
        assert_eq!(answer.record::<SafeLogged>().count, 1);
        safe
    }

    pub fn safe_certificate(&self, bench: &Bench, view: &View, body: Body) -> certificate::Payload {
        let present = view.safe.present().unwrap();
        certificate::Payload {
            organisation: self.organisation.clone(),
            safe: *view.safe.id(),
            previous: present.log,
            place: present.journal,
            seen: view.log.head(),
            author: self.device,
            time: bench.now(),
            body,
        }
    }

    pub fn signed_certificate(&self, payload: &certificate::Payload) -> ByteVec {
        payload.sign_with(|context, bytes| self.key.sign(context, bytes)).into()
    }

    /// Gives roles to those who have none, with boxes of the present key.
    pub fn sharing(&self, bench: &Bench, view: &View, mut changes: Vec<Change>) -> SafeCertificate {
        changes.sort_unstable_by_key(|change| change.user);
        let boxes: Vec<_> =
            changes.iter().map(|change| BoxFor { user: change.user, sealed: sealed() }).collect();
        let body = Body::Changed { changes, key: None, boxes: Some(boxes_hash(&boxes)) };
        let payload = self.safe_certificate(bench, view, body);
        SafeCertificate { certificate: self.signed_certificate(&payload), ring: None, boxes }
    }

    pub async fn append(&self, bench: &Bench, safe: &SafeId, asked: &SafeCertificate) -> Answer {
        self.post(bench, &path::safe_log(&self.organisation, safe), asked).await
    }

    /// Shares a safe with somebody.
    pub async fn share(&self, bench: &Bench, safe: &SafeId, with: &Member, role: Role) {
        let view = self.view(bench, safe).await;
        let asked = self.sharing(bench, &view, vec![change(with.user, Some(role))]);
        self.append(bench, safe, &asked).await.record::<SafeLogged>();
    }

    /// A new key after these changes; its parts aren't put yet.
    pub fn rekey(&self, bench: &Bench, view: &View, changes: Vec<Change>) -> (SafeCertificate, Ring) {
        let list = ring_list(&view.safe, &view.log, view.log.count(), &changes).unwrap();
        let epoch = view.safe.present().unwrap().key.epoch + 1;
        let ring = self.ring(view.safe.id(), list, epoch, 0);
        let body = Body::Changed { changes, key: Some(ring.key), boxes: None };
        let payload = self.safe_certificate(bench, view, body);
        let certificate = self.signed_certificate(&payload);
        (SafeCertificate { certificate, ring: Some(ring.head.clone()), boxes: Vec::new() }, ring)
    }

    pub async fn put_parts(&self, bench: &Bench, safe: &SafeId, ring: &Ring) {
        for part in &ring.parts {
            let target = path::safe_part(&self.organisation, safe, &Hash::of(&[part]));
            self.call(bench, "PUT", &target, part).await.done();
        }
    }

    pub fn record(&self, bench: &Bench, view: &View, adds: &[ObjectId]) -> record::Payload {
        let present = view.safe.present().unwrap();
        record::Payload {
            organisation: self.organisation.clone(),
            safe: *view.safe.id(),
            seq: present.journal.count + 1,
            previous: present.journal.hash,
            epoch: present.key.epoch,
            seen: view.log.head(),
            log: present.log,
            author: self.device,
            time: bench.now(),
            adds: adds.to_vec(),
            drops: Vec::new(),
            keeps: Vec::new(),
            nonce: ByteArray::from(drawn::<24>()),
            ciphertext: drawn::<64>().to_vec().into(),
        }
    }

    pub fn signed_record(&self, payload: &record::Payload) -> NewRecord {
        let record = payload.sign_with(|context, bytes| self.key.sign(context, bytes)).into();
        NewRecord { record }
    }

    pub async fn post_record(&self, bench: &Bench, safe: &SafeId, asked: &NewRecord) -> Answer {
        self.post(bench, &path::safe_journal(&self.organisation, safe), asked).await
    }

    /// Writes a record as the next one.
    pub async fn write(&self, bench: &Bench, safe: &SafeId, adds: &[ObjectId]) -> u64 {
        let view = self.view(bench, safe).await;
        let asked = self.signed_record(&self.record(bench, &view, adds));
        match self.post_record(bench, safe, &asked).await.record() {
            RecordAnswer::Accepted { seq } => seq,
            RecordAnswer::MovedOn { .. } => panic!("nobody else writes"),
        }
    }

    /// Puts a body under the signature over these heads.
    pub async fn put_body(&self, bench: &Bench, safe: &SafeId, heads: &ObjectHeads, body: &[u8]) -> Answer {
        let target = path::safe_objects(&self.organisation, safe);
        let nonce = Token::from_bytes(drawn());
        let headers = self.sign_hash("PUT", &target, heads.signed_hash(), bench.now(), nonce);
        bench.call("PUT", &target, &headers, body).await
    }

    pub async fn put_objects(&self, bench: &Bench, safe: &SafeId, objects: &[Object]) -> Answer {
        let heads = heads(objects);
        self.put_body(bench, safe, &heads, &body(&heads, objects)).await
    }

    pub async fn missing(&self, bench: &Bench, safe: &SafeId, objects: &[ObjectId]) -> Vec<ObjectId> {
        let asked = ObjectIds { objects: objects.to_vec() };
        let target = path::safe_objects_missing(&self.organisation, safe);
        self.post(bench, &target, &asked).await.record::<ObjectIds>().objects
    }

    /// The objects that come in one answer.
    pub async fn fetch(&self, bench: &Bench, safe: &SafeId, objects: &[ObjectId]) -> Vec<Object> {
        let asked = ObjectIds { objects: objects.to_vec() };
        let target = path::safe_objects_fetch(&self.organisation, safe);
        let answer = self.post(bench, &target, &asked).await;
        assert_eq!(answer.status, 200);
        let (length, rest) = answer.body.split_at(4);
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let (heads, mut rest) = rest.split_at(length);
        let heads: ObjectHeads = codec::decode(heads, heads.len()).unwrap();
        let mut fetched = Vec::new();
        for head in heads.0 {
            let (bytes, behind) = rest.split_at(head.length as usize);
            assert_eq!(ObjectHash::of(bytes), head.hash);
            fetched.push(Object { id: head.object, bytes: bytes.to_vec() });
            rest = behind;
        }
        assert!(rest.is_empty());
        fetched
    }
}

/// Sealed bytes under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub id: ObjectId,
    pub bytes: Vec<u8>,
}

impl Object {
    pub fn of(length: usize) -> Self {
        let [first] = drawn::<1>();
        Self { id: ObjectId::from_bytes(drawn()), bytes: vec![first; length] }
    }

    pub fn head(&self) -> ObjectHead {
        let length = u32::try_from(self.bytes.len()).unwrap();
        ObjectHead { object: self.id, hash: ObjectHash::of(&self.bytes), length }
    }
}

pub fn heads(objects: &[Object]) -> ObjectHeads {
    ObjectHeads(objects.iter().map(Object::head).collect())
}

pub fn body(heads: &ObjectHeads, objects: &[Object]) -> Vec<u8> {
    let bytes: Vec<u8> = objects.iter().flat_map(|object| object.bytes.clone()).collect();
    [heads.before(), bytes].concat()
}
