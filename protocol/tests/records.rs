//! Every record that travels has exactly one spelling (docs/assurance.md, B3; docs/protocol.md,
//! *Encoding*).
//!
//! Random values go out and come back; then their bytes are damaged in every way we could think of,
//! and whatever is still accepted must be spelt as we would spell it. `PARSEC_RECORD_ROUNDS` sets
//! the number of values of each record (300 unless set; a long run takes 100,000).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fmt::Debug;
use std::sync::LazyLock;

use minicbor::{Decode, Encode};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{
    Author, Body, DeviceKind, Envelope, ManifestMark, Payload, Profile,
};
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::codec::{self, CodecError};
use parsec_protocol::ids::{AttemptId, DeviceId, Email, Invited, ObjectId, SafeId, Timestamp, Token, UserId};
use parsec_protocol::keys::{Entropy as _, UserSeed};
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::manifest::ManifestHeader;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::{Hash, Signature, VerifyKey};
use parsec_protocol::relay;
use parsec_protocol::safe_log::ring::{BoxFor, Recipient, RingHead, RingList, RingPart};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::{certificate, record};
use parsec_protocol::sealing::{EncryptionKey, KeyHash, SECRET_BOX_BYTES};
use support::Seed;

/// Values of each record, drawn from a seed.
struct Draw(Seed);

impl Draw {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes).unwrap();
        bytes
    }

    /// Often small, often at an edge of a length of heads, sometimes anything.
    fn number(&mut self) -> u64 {
        let [kind, shift] = self.bytes();
        match kind % 3 {
            0 => u64::from(shift % 30),
            1 => {
                let edge = [1u64 << 8, 1 << 16, 1 << 32, 24, u64::MAX][usize::from(shift) % 5];
                edge.wrapping_add(u64::from(shift >> 4) % 3).wrapping_sub(1)
            }
            _ => u64::from_be_bytes(self.bytes()),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(u64::from_be_bytes(self.bytes()) % end as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn blob(&mut self) -> Vec<u8> {
        let length = self.pick(&[0, 1, 23, 24, 105, 255, 256, 700]);
        let mut bytes = vec![0; length];
        self.0.fill(&mut bytes).unwrap();
        bytes
    }

    fn text(&mut self) -> String {
        let letters = ['a', 'é', '李', '\u{10ffff}', '\0', ' '];
        (0..self.below(40)).map(|_| self.pick(&letters)).collect()
    }

    fn many<T>(&mut self, draw: fn(&mut Self) -> T) -> Vec<T> {
        (0..self.pick(&[0, 1, 2, 3, 30])).map(|_| draw(self)).collect()
    }

    fn maybe<T>(&mut self, draw: fn(&mut Self) -> T) -> Option<T> {
        let [coin] = self.bytes();
        (coin % 2 == 0).then(|| draw(self))
    }

    fn time(&mut self) -> Timestamp {
        Timestamp(self.number())
    }

    fn hash(&mut self) -> Hash {
        Hash::from_bytes(self.bytes())
    }

    fn user(&mut self) -> UserId {
        UserId::from_bytes(self.bytes())
    }

    fn device(&mut self) -> DeviceId {
        DeviceId::from_bytes(self.bytes())
    }

    fn email(&mut self) -> Email {
        format!("m{}@acme.test", self.number()).parse().unwrap()
    }

    fn key(&mut self) -> VerifyKey {
        VerifyKey::from_bytes(self.bytes())
    }

    fn key_hash(&mut self) -> KeyHash {
        KeyHash::from_bytes(self.bytes())
    }

    fn safe(&mut self) -> SafeId {
        SafeId::from_bytes(self.bytes())
    }

    fn object(&mut self) -> ObjectId {
        ObjectId::from_bytes(self.bytes())
    }

    fn change(&mut self) -> certificate::Change {
        let role =
            |draw: &mut Self| draw.pick(&[Role::Owner, Role::Manager, Role::Contributor, Role::Reader]);
        certificate::Change { user: self.user(), role: self.maybe(role) }
    }

    fn safe_key(&mut self) -> certificate::Key {
        certificate::Key {
            epoch: self.number(),
            key_check: self.hash(),
            list: self.hash(),
            ring: self.hash(),
            lost: self.number(),
        }
    }

    fn safe_body(&mut self) -> certificate::Body {
        let [suite, format] = self.bytes::<2>().map(u32::from);
        match self.below(3) {
            0 => certificate::Body::Created {
                suite,
                format,
                key_check: self.hash(),
                list: self.hash(),
                ring: self.hash(),
            },
            1 => certificate::Body::Changed {
                changes: self.many(Self::change),
                key: self.maybe(Self::safe_key),
                boxes: self.maybe(Self::hash),
            },
            _ => {
                let deleted = certificate::State::Deleted(self.time());
                let state = self.pick(&[certificate::State::Open, certificate::State::ReadOnly, deleted]);
                certificate::Body::State { state, format, suite }
            }
        }
    }

    fn safe_certificate(&mut self) -> certificate::Payload {
        certificate::Payload {
            organisation: "acme".parse().unwrap(),
            safe: self.safe(),
            previous: self.head(),
            place: self.head(),
            seen: self.head(),
            author: self.device(),
            time: self.time(),
            body: self.safe_body(),
        }
    }

    fn safe_record(&mut self) -> record::Payload {
        record::Payload {
            organisation: "acme".parse().unwrap(),
            safe: self.safe(),
            seq: self.number(),
            previous: self.hash(),
            epoch: self.number(),
            seen: self.head(),
            log: self.head(),
            author: self.device(),
            time: self.time(),
            adds: self.many(Self::object),
            drops: self.few(Self::object),
            keeps: self.few(Self::object),
            nonce: self.bytes::<24>().into(),
            ciphertext: self.blob().into(),
        }
    }

    fn recipient(&mut self) -> Recipient {
        Recipient { user: self.user(), key: self.key_hash() }
    }

    fn ring_head(&mut self) -> RingHead {
        RingHead {
            organisation: "acme".parse().unwrap(),
            safe: self.safe(),
            epoch: self.number(),
            author: self.device(),
            list: RingList(self.many(Self::recipient)),
            parts: self.few(Self::hash),
            past: self.maybe(|draw| draw.blob().into()),
        }
    }

    fn ring_part(&mut self) -> RingPart {
        RingPart(self.many(|draw| draw.maybe(|draw| draw.blob().into())))
    }

    fn mark(&mut self) -> ManifestMark {
        ManifestMark { version: self.number(), hash: self.hash() }
    }

    /// One of a few: making one takes as long as a hundred values of anything else.
    fn encryption_key(&mut self) -> EncryptionKey {
        static KEYS: LazyLock<[EncryptionKey; 4]> =
            LazyLock::new(|| [1, 2, 3, 4].map(|seed| UserSeed::from_bytes(&mut [seed; 32]).encryption_key()));
        KEYS[self.below(KEYS.len())].clone()
    }

    fn sealed(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; SECRET_BOX_BYTES];
        self.0.fill(&mut bytes).unwrap();
        bytes
    }

    fn few<T>(&mut self, draw: fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(3)).map(|_| draw(self)).collect()
    }

    fn author(&mut self) -> Author {
        self.maybe(Self::device).map_or(Author::Root, Author::Device)
    }

    fn head(&mut self) -> Head {
        Head { count: self.number(), hash: self.hash() }
    }

    fn profile(&mut self) -> Profile {
        self.pick(&[Profile::Administrator, Profile::Standard, Profile::Outsider])
    }

    fn body(&mut self) -> Body {
        match self.below(7) {
            0 => Body::User {
                user: self.user(),
                email: self.email(),
                sealed_name: self.blob().into(),
                encryption_key: self.key_hash(),
                profile: self.profile(),
            },
            1 => Body::Device {
                device: self.device(),
                user: self.user(),
                sealed_label: self.blob().into(),
                verify_key: self.key(),
                encryption_key: self.key_hash(),
                kind: self.pick(&[DeviceKind::Device, DeviceKind::Recovery]),
            },
            2 => Body::ProfileChange { user: self.user(), profile: self.profile() },
            3 => Body::UserRevoked { user: self.user() },
            4 => Body::DeviceRevoked { device: self.device() },
            5 => Body::DirectoryKeyChanged {
                number: u32::try_from(self.below(9)).unwrap(),
                key_check: self.hash(),
                ring: self.hash(),
            },
            _ => Body::UserKeyChanged {
                user: self.user(),
                previous: self.key_hash(),
                encryption_key: self.key_hash(),
                manifest: self.maybe(Self::mark),
                abandoned: self.many(Self::device),
            },
        }
    }

    fn payload(&mut self) -> Payload {
        Payload {
            organisation: support::organisation(),
            author: self.author(),
            time: self.time(),
            seen: self.head(),
            body: self.body(),
        }
    }

    fn envelope(&mut self) -> Envelope {
        Envelope::new(self.blob().into(), Signature::from_bytes(self.bytes()))
    }

    fn receipt(&mut self) -> ClaimReceipt {
        ClaimReceipt {
            handshake: self.hash(),
            certificates: self.many(Self::hash),
            root: self.key(),
            opened: self.hash(),
            signature: Signature::from_bytes(self.bytes()),
        }
    }

    fn place(&mut self) -> ManifestHeader {
        ManifestHeader {
            organisation: support::organisation(),
            user: self.user(),
            version: self.number(),
            author: self.device(),
            time: self.time(),
            key: self.key_hash(),
        }
    }

    fn request(&mut self) -> relay::RequestToSign {
        relay::RequestToSign {
            organisation: support::organisation(),
            device: self.device(),
            method: self.text(),
            target: self.text(),
            time: self.time(),
            nonce: Token::from_bytes(self.bytes()),
            body: self.hash(),
        }
    }

    fn bootstrap(&mut self) -> relay::BootstrapRequest {
        relay::BootstrapRequest {
            root: self.key(),
            certificates: self.many(|draw| draw.blob().into()),
            keys: self.few(Self::encryption_key),
        }
    }

    fn invited(&mut self) -> Invited {
        if self.below(2) == 0 { Invited::User(self.email()) } else { Invited::Device(self.user()) }
    }

    fn status(&mut self) -> relay::InvitationStatus {
        use relay::InvitationStatus::{Cancelled, Completed, Exhausted, Expired, InUse, Pending};
        self.pick(&[Pending, InUse, Completed, Cancelled, Expired, Exhausted])
    }

    fn invited_info(&mut self) -> relay::InvitedInfo {
        relay::InvitedInfo {
            invited: self.invited(),
            invited_by: self.email(),
            expires: self.time(),
            status: self.status(),
        }
    }

    fn start(&mut self) -> relay::StartAttempt {
        relay::StartAttempt { attempt: AttemptId::from_bytes(self.bytes()), secret_hash: self.hash() }
    }

    fn reason(&mut self) -> relay::EndReason {
        use relay::EndReason::{
            Abandoned, BadMessage, Cancelled, CodeMismatch, Completed, InvitationEnded, TimedOut,
        };
        self.pick(&[CodeMismatch, Cancelled, BadMessage, TimedOut, InvitationEnded, Completed, Abandoned])
    }

    fn greeter(&mut self) -> relay::GreeterIds {
        relay::GreeterIds { user: self.user(), device: self.device() }
    }

    fn attempt(&mut self) -> relay::AttemptView {
        relay::AttemptView {
            attempt: AttemptId::from_bytes(self.bytes()),
            steps: u16::from_be_bytes(self.bytes()),
            greeter: self.maybe(Self::greeter),
            ended: self.maybe(Self::reason),
        }
    }

    fn invitation(&mut self) -> relay::InvitationView {
        relay::InvitationView {
            token: Token::from_bytes(self.bytes()),
            invited: self.invited(),
            created_by: self.user(),
            created: self.time(),
            expires: self.time(),
            status: self.status(),
            mismatches: u32::from_be_bytes(self.bytes()),
            attempts: u32::from_be_bytes(self.bytes()),
            attempt: self.maybe(Self::attempt),
        }
    }

    fn list(&mut self) -> relay::InvitationList {
        relay::InvitationList { invitations: self.many(Self::invitation), next: self.maybe(Self::number) }
    }

    fn new_invitation(&mut self) -> relay::NewInvitation {
        relay::NewInvitation {
            token: Token::from_bytes(self.bytes()),
            invited: self.invited(),
            expires: self.time(),
            mail_link: self.maybe(Self::text),
        }
    }

    fn made(&mut self) -> relay::InvitationMade {
        use relay::MailOutcome::{AddressRefused, Failed, NotAsked, NotConfigured, Sent, Waiting, Written};
        let all = [NotAsked, Sent, Written, Failed, NotConfigured, AddressRefused, Waiting];
        relay::InvitationMade { mail: self.pick(&all) }
    }

    fn cancel(&mut self) -> relay::CancelAttempt {
        relay::CancelAttempt { reason: self.reason() }
    }

    fn page(&mut self) -> relay::LogPage {
        relay::LogPage { count: self.number(), certificates: self.many(|draw| draw.blob().into()) }
    }

    fn completion(&mut self) -> relay::Completion {
        relay::Completion {
            certificates: self.many(|draw| draw.blob().into()),
            receipt: self.receipt(),
            keys: self.few(Self::encryption_key),
        }
    }

    fn completed(&mut self) -> relay::Completed {
        relay::Completed { position: self.number() }
    }

    fn direct_enrolment(&mut self) -> relay::DirectEnrolment {
        relay::DirectEnrolment {
            token: Token::from_bytes(self.bytes()),
            invited: self.invited(),
            created: self.time(),
            expires: self.time(),
            certificates: self.many(|draw| draw.blob().into()),
            receipt: self.receipt(),
            keys: self.few(Self::encryption_key),
        }
    }

    fn standing_question(&mut self) -> relay::StandingQuestion {
        relay::StandingQuestion { greeter: self.device(), certificate: self.hash() }
    }

    fn new_certificate(&mut self) -> relay::NewCertificate {
        relay::NewCertificate { certificates: self.many(|draw| draw.blob().into()) }
    }

    fn repair(&mut self) -> relay::LogRepair {
        relay::LogRepair {
            from: self.head(),
            certificates: self.many(|draw| draw.blob().into()),
            keys: self.few(|draw| draw.maybe(Self::encryption_key)),
        }
    }

    fn user_key_change(&mut self) -> relay::UserKeyChange {
        relay::UserKeyChange {
            certificate: self.blob().into(),
            key: self.encryption_key(),
            boxes: self.few(Self::device_box),
            past: self.maybe(|draw| draw.sealed().into()),
        }
    }

    fn device_box(&mut self) -> relay::DeviceBox {
        relay::DeviceBox { device: self.device(), sealed: self.sealed().into() }
    }

    fn key_box(&mut self) -> relay::KeyBox {
        relay::KeyBox {
            sealed: self.maybe(|draw| draw.sealed().into()),
            past: self.maybe(|draw| draw.sealed().into()),
        }
    }

    fn key_box_upload(&mut self) -> relay::KeyBoxUpload {
        relay::KeyBoxUpload { replaces: self.maybe(Self::hash), sealed: self.sealed().into() }
    }

    fn manifest_view(&mut self) -> relay::ManifestView {
        relay::ManifestView { version: self.number(), envelope: self.maybe(|draw| draw.blob().into()) }
    }

    fn manifest_upload(&mut self) -> relay::ManifestUpload {
        relay::ManifestUpload { version: self.number(), envelope: self.blob().into() }
    }

    fn error(&mut self) -> relay::ErrorBody {
        relay::ErrorBody {
            code: self.pick(relay::ErrorCode::ALL),
            server_time: self.time(),
            retry_after: u32::from_be_bytes(self.bytes()),
        }
    }

    fn safe_entry(&mut self) -> relay::SafeEntry {
        relay::SafeEntry {
            safe: self.safe(),
            founder: self.device(),
            role: self.change().role,
            log: self.head(),
            journal: self.head(),
        }
    }

    fn safe_list(&mut self) -> relay::SafeList {
        relay::SafeList { safes: self.many(Self::safe_entry), next: self.maybe(Self::safe) }
    }

    fn new_safe(&mut self) -> relay::NewSafe {
        let parts = self.many(|draw| draw.blob().into());
        relay::NewSafe { certificate: self.blob().into(), ring: self.blob().into(), parts }
    }

    fn safe_call(&mut self) -> relay::SafeCertificate {
        let boxes = self.many(|draw| BoxFor { user: draw.user(), sealed: draw.blob().into() });
        let ring = self.maybe(Self::blob).map(Into::into);
        relay::SafeCertificate { certificate: self.blob().into(), ring, boxes }
    }

    fn posted(&mut self) -> relay::PostedBoxes {
        let one = |draw: &mut Self| relay::PostedBox { author: draw.user(), sealed: draw.blob().into() };
        relay::PostedBoxes { boxes: self.many(one) }
    }

    fn record_answer(&mut self) -> relay::RecordAnswer {
        let (log, seq) = (self.number(), self.number());
        match self.below(2) {
            0 => relay::RecordAnswer::Accepted { seq },
            _ => relay::RecordAnswer::MovedOn { log, seq, records: self.many(|draw| draw.blob().into()) },
        }
    }

    fn object_heads(&mut self) -> relay::ObjectHeads {
        relay::ObjectHeads(self.many(|draw| relay::ObjectHead {
            object: draw.object(),
            hash: ObjectHash::from_bytes(draw.bytes()),
            length: u32::from_be_bytes(draw.bytes()),
        }))
    }

    fn object_ids(&mut self) -> relay::ObjectIds {
        relay::ObjectIds { objects: self.many(Self::object) }
    }

    fn safe_hint(&mut self) -> relay::SafeHint {
        relay::SafeHint { safe: self.safe(), log: self.number(), seq: self.number() }
    }

    /// Other bytes, close to these.
    fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let at = self.below(out.len().max(1));
        let any = self.pick(&[
            0x00, 0x01, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x20, 0x40, 0x58, 0x5f, 0x60, 0x78, 0x7f, 0x80, 0x81,
            0x82, 0x98, 0x9f, 0xa0, 0xc1, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfb, 0xff,
        ]);
        match self.below(10) {
            0 => out[at] ^= 1 << self.below(8),
            1 => out[at] = any,
            2 => out.insert(at, any),
            3 => drop(out.remove(at)),
            4 => out.truncate(at),
            5 => out.push(any),
            // One field more, or less, than the first array says; absent, empty or zero.
            6 => {
                out[0] = out[0].wrapping_add(1);
                out.push(self.pick(&[0xf6, 0x00, 0x80, 0x40]));
            }
            7 => out[0] = out[0].wrapping_sub(1),
            // A head spelt longer than it must be.
            8 => {
                let (major, short) = (out[at] & 0xe0, out[at] & 0x1f);
                if short < 24 {
                    out[at] = major | 24;
                    out.insert(at + 1, short);
                }
            }
            _ => {
                let to = self.below(out.len());
                out.copy_within(at.min(to)..at.max(to), 0);
            }
        }
        out
    }
}

/// Values of each kind: as usual, and in a full run, where all 35 kinds together come to a million.
fn rounds() -> usize {
    usize::try_from(support::runs(300, 36_000)).unwrap()
}

/// How many damaged inputs each value gives.
const DAMAGES: usize = 30;

/// What became of the damaged inputs.
#[derive(Default, Debug)]
struct Seen {
    accepted: usize,
    refused: usize,
    /// A decoder without our checks would have taken them for the value of other bytes.
    only_refused_by_us: usize,
}

/// Values come back; damaged bytes are refused, or are the one spelling of another value.
fn round_trips<T>(draw: fn(&mut Draw) -> T, seed: u64) -> Seen
where
    T: Debug + PartialEq + Encode<()> + for<'b> Decode<'b, ()>,
{
    let mut seen = Seen::default();
    let mut source = Draw(Seed(seed << 32));
    for _ in 0..rounds() {
        let value = draw(&mut source);
        let bytes = codec::encode(&value);
        assert!(!bytes.is_empty());
        assert_eq!(codec::decode::<T>(&bytes, BODY_MAX_BYTES).as_ref(), Ok(&value));
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(codec::decode::<T>(&longer, BODY_MAX_BYTES), Err(CodecError::Trailing));
        for _ in 0..DAMAGES {
            let damaged = source.damaged(&bytes);
            match codec::decode::<T>(&damaged, BODY_MAX_BYTES) {
                Ok(other) => {
                    assert_eq!(codec::encode(&other), damaged, "accepted in a second spelling: {other:?}");
                    seen.accepted += 1;
                }
                Err(_) => {
                    seen.refused += 1;
                    seen.only_refused_by_us += usize::from(minicbor::decode::<T>(&damaged).is_ok());
                }
            }
        }
    }
    assert!(seen.refused > 0, "the damage does nothing");
    seen
}

macro_rules! records {
    ($($name:ident: $draw:ident = $seed:literal;)+) => {
        $(#[test] fn $name() {
            let seen = round_trips(Draw::$draw, $seed);
            assert!(seen.accepted + seen.refused == rounds() * DAMAGES, "{seen:?}");
        })+

        #[test]
        fn the_checks_are_needed() {
            // Were `codec::decode` no more than the library's decoder, the tests above would find
            // second spellings.
            let found = [$(round_trips(Draw::$draw, $seed).only_refused_by_us),+];
            assert!(found.iter().all(|found| *found > 0), "{found:?}");
            println!(
                "figure B3: {} values of {} kinds read back alike, byte after the end refused; {} damaged inputs had one spelling or none, {} of \
                 which the library alone would have taken",
                rounds() * found.len(),
                found.len(),
                rounds() * found.len() * DAMAGES,
                found.iter().sum::<usize>()
            );
        }
    };
}

records! {
    certificate_author: author = 1;
    certificate_head: head = 2;
    certificate_body: body = 3;
    certificate_payload: payload = 4;
    certificate_envelope: envelope = 5;
    receipt: receipt = 6;
    manifest_place: place = 7;
    request_to_sign: request = 8;
    relay_bootstrap: bootstrap = 9;
    relay_invited: invited = 10;
    relay_invited_info: invited_info = 11;
    relay_start_attempt: start = 12;
    relay_greeter_ids: greeter = 13;
    relay_attempt_view: attempt = 14;
    relay_invitation_view: invitation = 15;
    relay_invitation_list: list = 16;
    relay_new_invitation: new_invitation = 17;
    relay_invitation_made: made = 18;
    relay_cancel_attempt: cancel = 19;
    relay_log_page: page = 20;
    relay_completion: completion = 21;
    relay_completed: completed = 22;
    relay_manifest_view: manifest_view = 23;
    relay_manifest_upload: manifest_upload = 24;
    relay_error_body: error = 25;
    relay_direct_enrolment: direct_enrolment = 26;
    relay_standing_question: standing_question = 27;
    relay_new_certificate: new_certificate = 28;
    manifest_mark: mark = 29;
    encryption_key: encryption_key = 30;
    relay_log_repair: repair = 31;
    relay_user_key_change: user_key_change = 32;
    relay_device_box: device_box = 33;
    relay_key_box: key_box = 34;
    relay_key_box_upload: key_box_upload = 35;
    relay_safe_list: safe_list = 50;
    relay_new_safe: new_safe = 51;
    relay_safe_certificate: safe_call = 52;
    relay_posted_boxes: posted = 53;
    relay_record_answer: record_answer = 54;
    relay_object_heads: object_heads = 55;
    relay_object_ids: object_ids = 56;
    relay_safe_hint: safe_hint = 57;
    safe_certificate: safe_certificate = 60;
    safe_record: safe_record = 61;
    safe_ring_head: ring_head = 62;
    safe_ring_part: ring_part = 63;
}

// --- how the library spells what the specification leaves to it

#[derive(Debug, PartialEq, Encode, Decode)]
struct Gaps {
    #[n(0)]
    first: Option<u8>,
    #[n(1)]
    second: u8,
    #[n(2)]
    third: Option<u8>,
    #[n(3)]
    fourth: Option<u8>,
}

fn gaps(first: Option<u8>, third: Option<u8>, fourth: Option<u8>) -> Vec<u8> {
    codec::encode(&Gaps { first, second: 7, third, fourth })
}

#[test]
fn absent_fields_are_null_inside_and_left_off_at_the_end() {
    assert_eq!(gaps(Some(1), Some(2), Some(3)), [0x84, 1, 7, 2, 3]);
    assert_eq!(gaps(None, Some(2), Some(3)), [0x84, 0xf6, 7, 2, 3]);
    assert_eq!(gaps(None, None, Some(3)), [0x84, 0xf6, 7, 0xf6, 3]);
    assert_eq!(gaps(None, Some(2), None), [0x83, 0xf6, 7, 2]);
    assert_eq!(gaps(None, None, None), [0x82, 0xf6, 7]);
    // The other way to write the last two is refused.
    assert_eq!(codec::decode::<Gaps>(&[0x84, 0xf6, 7, 2, 0xf6], 9), Err(CodecError::NotCanonical));
    assert_eq!(codec::decode::<Gaps>(&[0x83, 0xf6, 7, 0xf6], 9), Err(CodecError::NotCanonical));
    assert_eq!(codec::decode::<Gaps>(&[0x81, 0xf6], 9), Err(CodecError::Unexpected));
}

#[test]
fn a_choice_is_its_number_and_its_fields() {
    let id = DeviceId::from_bytes([9; 16]);
    assert_eq!(codec::encode(&Author::Root), [0x82, 0, 0x80]);
    assert_eq!(codec::encode(&Author::Device(id))[..4], [0x82, 1, 0x81, 0x50]);
    assert_eq!(codec::encode(&Profile::Outsider), [2]);
    let standings = [relay::Standing::Waiting, relay::Standing::Registered, relay::Standing::Void];
    assert_eq!(standings.map(|standing| codec::encode(&standing)), [[0], [1], [2]]);
    assert_eq!(codec::decode::<relay::Standing>(&[3], 9), Err(CodecError::Unexpected), "no such case");
    assert_eq!(codec::decode::<Author>(&[0], 9), Err(CodecError::Unexpected), "the number alone");
    assert_eq!(codec::decode::<Author>(&[0x81, 0], 9), Err(CodecError::Unexpected));
    assert_eq!(
        codec::decode::<Author>(&[0x82, 0, 0x81, 0], 9),
        Err(CodecError::NotCanonical),
        "a field too many"
    );
    assert_eq!(codec::decode::<Author>(&[0x82, 2, 0x80], 9), Err(CodecError::Unexpected), "no such case");
    assert_eq!(codec::decode::<Profile>(&[3], 9), Err(CodecError::Unexpected), "no such case");
    assert_eq!(codec::decode::<Profile>(&[0x82, 2, 0x80], 9), Err(CodecError::Unexpected));
}

#[test]
fn an_attempt_nobody_joined_has_two_fields() {
    let attempt = AttemptId::from_bytes([0; 16]);
    let view = relay::AttemptView { attempt, steps: 1, greeter: None, ended: None };
    assert_eq!(codec::encode(&view)[0], 0x82);
    let ended = relay::AttemptView { ended: Some(relay::EndReason::Cancelled), ..view };
    let bytes = codec::encode(&ended);
    assert_eq!((bytes[0], &bytes[bytes.len() - 2..]), (0x84, &[0xf6, 1][..]));
}

#[test]
fn numbers_and_texts_that_no_record_has() {
    let big = [0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(codec::decode::<u32>(&big, 9), Err(CodecError::Unexpected));
    assert_eq!(codec::decode::<u64>(&big, 9), Ok(u64::MAX));
    assert_eq!(
        codec::decode::<u64>(&[0x3b, 0, 0, 0, 0, 0, 0, 0, 0], 9),
        Err(CodecError::NotCanonical),
        "negative"
    );
    assert_eq!(codec::decode::<u64>(&[0xc2, 0x41, 1], 9), Err(CodecError::NotCanonical), "big number");
    assert_eq!(
        codec::decode::<UserId>(&[[0x4f].as_slice(), &[0; 15]].concat(), 99),
        Err(CodecError::Unexpected)
    );
    assert_eq!(codec::decode::<Email>(b"\x65A@b.c", 99), Err(CodecError::Unexpected), "upper case");
}

#[test]
fn the_bounds_hold_together() {
    use parsec_protocol::chain::organisation::certificate::SEALED_NAME_BYTES;
    use parsec_protocol::limits::{
        ABANDONED_MAX, CERTIFICATE_MAX_BYTES, CODEC_MAX_DEPTH, DEVICES_PER_USER_MAX, INVITATION_PAGE_MAX,
        LOG_PAGE_MAX_CERTIFICATES, MANIFEST_MAX_BYTES, ORGANISATION_ID_MAX_BYTES,
    };
    // The largest certificate there can be: longest address, longest organisation id, largest
    // numbers.
    let payload = Payload {
        organisation: "o".repeat(ORGANISATION_ID_MAX_BYTES).parse().unwrap(),
        author: Author::Device(DeviceId::from_bytes([1; 16])),
        time: Timestamp(u64::MAX),
        seen: Head { count: u64::MAX, hash: Hash::of(&[]) },
        body: Body::User {
            user: UserId::from_bytes([1; 16]),
            email: longest_email(),
            sealed_name: vec![0; SEALED_NAME_BYTES].into(),
            encryption_key: KeyHash::from_bytes([1; 32]),
            profile: Profile::Outsider,
        },
    };
    let largest = payload.sign_with(|_, _| Signature::from_bytes([1; 64]));
    assert!(largest.len() < 1_200 && largest.len() < CERTIFICATE_MAX_BYTES, "{}", largest.len());
    // And the largest change of a key.
    let mut draw = Draw(Seed(3));
    let change = Payload {
        time: Timestamp(u64::MAX),
        author: Author::Device(draw.device()),
        seen: Head { count: u64::MAX, hash: draw.hash() },
        body: Body::UserKeyChanged {
            user: draw.user(),
            previous: draw.key_hash(),
            encryption_key: draw.key_hash(),
            manifest: Some(ManifestMark { version: u64::MAX, hash: draw.hash() }),
            abandoned: (0..ABANDONED_MAX).map(|_| draw.device()).collect(),
        },
        ..payload
    };
    let change = change.sign_with(|_, _| Signature::from_bytes([1; 64]));
    assert!(change.len() < 700, "{}", change.len());
    // With a box for every device that a user may have.
    let call = relay::UserKeyChange {
        certificate: vec![0; CERTIFICATE_MAX_BYTES].into(),
        key: draw.encryption_key(),
        boxes: (0..DEVICES_PER_USER_MAX).map(|_| draw.device_box()).collect(),
        past: Some(draw.sealed().into()),
    };
    let call = codec::encode(&call).len();
    // Far below the largest body.
    assert!(call < 250_000, "{call}");
    // A repair of as many certificates as there may be, each with a key.
    let repair = relay::LogRepair {
        from: Head { count: u64::MAX, hash: draw.hash() },
        certificates: vec![vec![0; CERTIFICATE_MAX_BYTES].into(); LOG_PAGE_MAX_CERTIFICATES],
        keys: vec![Some(draw.encryption_key()); LOG_PAGE_MAX_CERTIFICATES],
    };
    let repair = codec::encode(&repair).len();
    assert!(repair <= relay::REPAIR_MAX_BYTES, "{repair}");
    println!(
        "sizes: largest user certificate {}, key change {}, call for it {call}, repair {repair}",
        largest.len(),
        change.len()
    );
    // A page and a manifest fit the largest body even if each envelope is as large as it may be.
    let certificates = vec![vec![0; CERTIFICATE_MAX_BYTES].into(); LOG_PAGE_MAX_CERTIFICATES];
    assert!(codec::encode(&relay::LogPage { count: u64::MAX, certificates }).len() <= BODY_MAX_BYTES);
    let upload = relay::ManifestUpload { version: u64::MAX, envelope: vec![0; MANIFEST_MAX_BYTES].into() };
    assert!(codec::encode(&upload).len() <= BODY_MAX_BYTES);
    let email = longest_email();
    let widest = relay::InvitationView { invited: Invited::User(email), ..Draw(Seed(2)).invitation() };
    let invitations = vec![widest; INVITATION_PAGE_MAX];
    let list = relay::InvitationList { invitations, next: Some(u64::MAX) };
    assert!(codec::encode(&list).len() <= BODY_MAX_BYTES / 8);
    // The deepest record: a list of invitations, with an attempt that somebody joined.
    let mut draw = Draw(Seed(1));
    let attempt = relay::AttemptView { greeter: Some(draw.greeter()), ..draw.attempt() };
    let invitation = relay::InvitationView { attempt: Some(attempt), ..draw.invitation() };
    let deepest = codec::encode(&relay::InvitationList { invitations: vec![invitation], next: None });
    assert!(depth(&deepest) <= 6 && depth(&deepest) < CODEC_MAX_DEPTH, "{}", depth(&deepest));
}

/// An address of as many bytes as there can be.
fn longest_email() -> Email {
    let email = format!("{}@{1}.{1}.{2}", "l".repeat(64), "d".repeat(63), "d".repeat(61));
    assert_eq!(email.len(), parsec_protocol::limits::EMAIL_MAX_BYTES);
    email.parse().unwrap()
}

/// Arrays inside each other.
fn depth(bytes: &[u8]) -> usize {
    fn walk(decoder: &mut minicbor::Decoder<'_>) -> usize {
        if decoder.datatype().unwrap() != minicbor::data::Type::Array {
            decoder.skip().unwrap();
            return 0;
        }
        let length = decoder.array().unwrap().unwrap();
        (0..length).map(|_| walk(decoder)).max().unwrap_or(0) + 1
    }
    walk(&mut minicbor::Decoder::new(bytes))
}
