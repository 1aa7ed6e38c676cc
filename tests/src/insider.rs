//! A member who means harm: all that the folder of a stopped device and its password give, and a
//! hand that signs whatever a test wants.
//!
//! Decides nothing about validity: what it makes goes to the real server, which judges it, or into
//! the answers of a lying one, so that members' devices do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use chacha20poly1305::aead::{Aead as _, Payload as Sealed};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use minicbor::{Decode, Encode};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, EntryId, ObjectId, OrganisationId, SafeId, Token, UserId};
use parsec_protocol::keys::{SafeKey, random};
use parsec_protocol::public_keys::{Context, Hash};
use parsec_protocol::relay::{
    self, ErrorBody, ErrorCode, JournalPage, Least, LogPage, NewRecord, ObjectHead, ObjectHeads,
    RecordAnswer, RequestToSign, SafeCertificate, SafeLogPage, SafeLogged, path,
};
use parsec_protocol::safe_log::certificate::{self, Body};
use parsec_protocol::safe_log::effects::By;
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::ring::RingHead;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::change::{Change, Inside, Kind, RULES_VERSION};
use parsec_protocol::safes::content::{Keep, Sealing, padme};
use parsec_protocol::safes::content_ref::{Content, Reference};
use parsec_protocol::safes::fold::{Outer, fold};
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::seal::{open_record, seal_record};
use parsec_protocol::safes::state::State;
use parsec_protocol::sealing::{EncryptionKey, KeyHash};
use parsecd::os::clock;
use parsecd::os::entropy::System;
use parsecd::store::OpenDevice;

use crate::device::Device;
use crate::own_devices::{log_of, only, opened};
use crate::server::Server;

/// Largest answer that is read.
const ANSWER_MAX_BYTES: usize = 4_000_000;

/// A member's device in a test's hands.
pub struct Insider {
    /// Everything that the device had.
    pub open: OpenDevice,
    /// The organisation's log, as far as it was fetched.
    pub log: VerifiedLog,
    server: SocketAddr,
}

/// A safe, as an insider has read it: every item stands by the rules, or reading fails.
pub struct View {
    /// What the rules go on from.
    pub verified: VerifiedSafe,
    /// The keys that the device had, of epochs that the log names.
    pub keys: SafeKeys,
    /// What the records make of the tree.
    pub state: State,
    /// The safe log.
    pub certificates: Vec<Vec<u8>>,
    /// The journal.
    pub records: Vec<Vec<u8>>,
}

/// What a file is sealed into: its entry's words, and the objects.
pub struct SealedFile {
    /// What its entry says.
    pub content: Content,
    /// References and sealed bytes.
    pub objects: Vec<(Reference, Vec<u8>)>,
}

/// What a sealing keeps, in memory.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) Vec<(Reference, Vec<u8>)>);

impl Keep for Kept {
    type Error = std::convert::Infallible;

    fn keep(&mut self, reference: &Reference, sealed: &[u8]) -> Result<(), Self::Error> {
        self.0.push((*reference, sealed.to_vec()));
        Ok(())
    }
}

/// Random bytes of the system's.
#[must_use]
pub fn drawn<const N: usize>() -> [u8; N] {
    random(&mut System).unwrap()
}

/// A name of a tree.
#[must_use]
pub fn entry_name(text: &str) -> EntryName {
    EntryName::new(text.as_bytes()).unwrap()
}

/// A folder below the root of a safe.
#[must_use]
pub fn folder(safe: SafeId, name: &str) -> Change {
    Change::Add {
        operation: None,
        entry: EntryId::from_bytes(drawn()),
        parent: EntryId::from_bytes(*safe.as_bytes()),
        name: entry_name(name),
        kind: Kind::Folder,
        mtime: 0,
        executable: false,
        conflict_of: None,
    }
}

/// A file below the root of a safe.
#[must_use]
pub fn file(safe: SafeId, name: &str, content: Content) -> Change {
    let mut change = folder(safe, name);
    if let Change::Add { kind, .. } = &mut change {
        *kind = Kind::File(content);
    }
    change
}

impl Insider {
    /// Ends the daemon of a device with one member, and takes over.
    #[must_use]
    pub fn of(device: &mut Device, password: &str, server: &Server) -> Self {
        let id = only(device);
        device.kill();
        let open = opened(&device.data(), id, password);
        let log = log_of(&open);
        let mut insider = Self { open, log, server: server.address() };
        insider.refresh();
        insider
    }

    /// Reads on in the organisation's log.
    pub fn refresh(&mut self) {
        let target = path::log(self.organisation(), self.log.count(), Least::NOTHING);
        let page: LogPage = self.ask("GET", &target, &[]).unwrap();
        self.log = self.log.extended(page.certificates.iter().map(|bytes| bytes.as_slice())).unwrap();
    }

    /// The organisation.
    #[must_use]
    pub fn organisation(&self) -> &OrganisationId {
        &self.open.summary.organisation
    }

    /// The member.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.open.summary.user
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.open.summary.device
    }

    /// One signed call: status and body.
    #[must_use]
    pub fn call(&self, method: &str, target: &str, body: &[u8], signed: Hash) -> (u16, Vec<u8>) {
        let request = RequestToSign {
            organisation: self.organisation().clone(),
            device: self.device(),
            method: method.to_owned(),
            target: target.to_owned(),
            time: clock::now(),
            nonce: Token::from_bytes(drawn()),
            body: signed,
        };
        let signature = self.open.keys.signing_key.sign(Context::Request, &request.bytes());
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{}: {}\r\n{}: {}\r\n{}: {}\r\n\
             {}: {}\r\n{}: {}\r\ncontent-length: {}\r\n\r\n",
            relay::HEADER_DEVICE,
            request.device,
            relay::HEADER_TIME,
            request.time.0,
            relay::HEADER_NONCE,
            request.nonce,
            relay::HEADER_BODY_HASH,
            request.body,
            relay::HEADER_SIGNATURE,
            signature,
            body.len(),
        );
        let mut stream = TcpStream::connect(self.server).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // The server may answer and close before it has read all of it.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer's head");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), bytes[end + 4..].to_vec())
    }

    /// One signed call: what the server answers, or why it doesn't.
    ///
    /// # Errors
    /// The server's.
    pub fn ask<T>(&self, method: &str, target: &str, body: &[u8]) -> Result<T, ErrorCode>
    where
        T: for<'b> Decode<'b, ()> + Encode<()>,
    {
        let (status, answer) = self.call(method, target, body, Hash::of(&[body]));
        if status == 200 {
            return Ok(codec::decode(&answer, ANSWER_MAX_BYTES).unwrap());
        }
        Err(codec::decode::<ErrorBody>(&answer, 100).unwrap().code)
    }

    fn tell(&self, method: &str, target: &str, body: &[u8], signed: Hash) -> Result<(), ErrorCode> {
        match self.call(method, target, body, signed) {
            (204, _) => Ok(()),
            (_, answer) => Err(codec::decode::<ErrorBody>(&answer, 100).unwrap().code),
        }
    }

    /// Reads a safe from its beginning.
    #[must_use]
    pub fn view(&self, safe: SafeId) -> View {
        let log = path::safe_log_page(self.organisation(), &safe, 0, Least::NOTHING);
        let log: SafeLogPage = self.ask("GET", &log, &[]).unwrap();
        let mut records = Vec::new();
        loop {
            let from = records.len() as u64;
            let target = path::safe_journal_page(self.organisation(), &safe, from, Least::NOTHING);
            let page: JournalPage = self.ask("GET", &target, &[]).unwrap();
            records.extend(page.records.into_iter().map(Vec::from));
            if records.len() as u64 >= page.seq {
                break;
            }
        }
        let certificates = log.certificates.into_iter().map(Vec::from).collect();
        self.read(safe, certificates, records)
    }

    /// Reads a safe from given items.
    #[must_use]
    pub fn read(&self, safe: SafeId, certificates: Vec<Vec<u8>>, records: Vec<Vec<u8>>) -> View {
        let mut verified = VerifiedSafe::empty(self.organisation().clone(), safe);
        let mut outers = Vec::new();
        let mut next = records.iter();
        let mut push = |verified: &mut VerifiedSafe, bytes: &Vec<u8>| {
            outers.push(verified.push_record(bytes, &self.log).unwrap().effects().by);
        };
        for envelope in &certificates {
            let payload = certificate::Envelope::decode(envelope).unwrap().payload().unwrap();
            while verified.present().is_some_and(|now| now.journal.count < payload.place.count) {
                push(&mut verified, next.next().unwrap());
            }
            verified.push_certificate(envelope, &self.log).unwrap();
        }
        next.for_each(|bytes| push(&mut verified, bytes));
        let mut keys = SafeKeys::new(self.organisation().clone(), safe);
        for (epoch, key) in self.open.store.safe_keys(safe).unwrap() {
            if let Some(record) = verified.epoch(epoch) {
                let _ = keys.insert(epoch, key, &record.key.key_check);
            }
        }
        let mut state = State::new(safe);
        for (bytes, by) in records.iter().zip(outers) {
            folded(&mut state, &keys, bytes, by);
        }
        View { verified, keys, state, certificates, records }
    }

    /// Goes on with a record that the server has taken.
    pub fn take(&self, view: &mut View, record: Vec<u8>) {
        let by = view.verified.push_record(&record, &self.log).unwrap().effects().by;
        folded(&mut view.state, &view.keys, &record, by);
        view.records.push(record);
    }

    /// The outside of a record that would stand next.
    #[must_use]
    pub fn next_record(&self, view: &View) -> record::Payload {
        let present = view.verified.present().unwrap();
        record::Payload {
            organisation: self.organisation().clone(),
            safe: *view.verified.id(),
            seq: present.journal.count + 1,
            previous: present.journal.hash,
            epoch: present.key.epoch,
            seen: self.log.head(),
            log: present.log,
            author: self.device(),
            time: clock::now(),
            adds: Vec::new(),
            drops: Vec::new(),
            keeps: Vec::new(),
            nonce: [0; record::RECORD_NONCE_BYTES].into(),
            ciphertext: Vec::new().into(),
        }
    }

    /// A record of these changes, right but for what the test made of its outside.
    #[must_use]
    pub fn write(&self, view: &mut View, payload: record::Payload, changes: Vec<Change>) -> Vec<u8> {
        let inside = Inside { rules: RULES_VERSION, root: view.state.state_root(), changes };
        self.seal(view, payload, &inside)
    }

    /// A record with this inside.
    #[must_use]
    pub fn seal(&self, view: &View, payload: record::Payload, inside: &Inside) -> Vec<u8> {
        let key = view.keys.at(payload.epoch).unwrap();
        seal_record(&key, payload, inside, &self.open.keys.signing_key, &mut System).unwrap()
    }

    /// A record whose plaintext is exactly this: nothing a program of ours would seal.
    #[must_use]
    pub fn seal_bytes(&self, view: &View, mut payload: record::Payload, plaintext: &[u8]) -> Vec<u8> {
        let key = view.keys.at(payload.epoch).unwrap().record_key();
        payload.nonce = drawn::<{ record::RECORD_NONCE_BYTES }>().into();
        let ad = payload.associated_data();
        let sealed = XChaCha20Poly1305::new(<&Key>::from(key.expose()))
            .encrypt(&XNonce::from(*payload.nonce), Sealed { msg: plaintext, aad: &ad })
            .unwrap();
        payload.ciphertext = sealed.into();
        self.signed(&payload)
    }

    /// A record as it is, signed.
    #[must_use]
    pub fn signed(&self, payload: &record::Payload) -> Vec<u8> {
        payload.sign_with(|context, message| self.open.keys.signing_key.sign(context, message))
    }

    /// A certificate that would stand next.
    #[must_use]
    pub fn certificate(&self, view: &View, body: Body) -> Vec<u8> {
        let payload = view.verified.next_certificate(self.log.head(), self.device(), clock::now(), body);
        payload.sign_with(|context, message| self.open.keys.signing_key.sign(context, message))
    }

    /// Seals contents under the present key of a safe.
    #[must_use]
    pub fn sealed(&self, view: &View, contents: &[u8]) -> SealedFile {
        let epoch = view.verified.present().unwrap().key.epoch;
        let mut sealing = Sealing::new(view.keys.at(epoch).unwrap(), view.keys.at(0));
        let mut kept = Kept(Vec::new());
        for piece in contents.chunks(parsec_protocol::safes::content::CHUNK_LENGTH) {
            sealing.piece(&mut piece.to_vec(), &mut System, &mut kept).unwrap();
        }
        SealedFile { content: sealing.finish(&mut System, &mut kept).unwrap(), objects: kept.0 }
    }

    /// Puts objects to the server.
    ///
    /// # Errors
    /// The server's.
    pub fn put_objects(&self, safe: SafeId, objects: &[(Reference, Vec<u8>)]) -> Result<(), ErrorCode> {
        for few in objects.chunks(1) {
            let head = |(reference, sealed): &(Reference, Vec<u8>)| ObjectHead {
                object: reference.object,
                hash: reference.blake3,
                length: u32::try_from(sealed.len()).unwrap(),
            };
            let heads = ObjectHeads(few.iter().map(head).collect());
            let mut body = heads.before();
            few.iter().for_each(|(_, sealed)| body.extend_from_slice(sealed));
            let target = path::safe_objects(self.organisation(), &safe);
            self.tell("PUT", &target, &body, heads.signed_hash())?;
        }
        Ok(())
    }

    /// Puts a part of a ring to the server.
    ///
    /// # Errors
    /// The server's.
    pub fn put_part(&self, safe: SafeId, part: &[u8]) -> Result<(), ErrorCode> {
        let hash = Hash::of(&[part]);
        self.tell("PUT", &path::safe_part(self.organisation(), &safe, &hash), part, hash)
    }

    /// Posts a box for a member.
    ///
    /// # Errors
    /// The server's.
    pub fn put_box(&self, safe: SafeId, epoch: u64, user: &UserId, sealed: &[u8]) -> Result<(), ErrorCode> {
        let target = path::safe_box(self.organisation(), &safe, epoch, user);
        self.tell("PUT", &target, sealed, Hash::of(&[sealed]))
    }

    /// Posts a record.
    ///
    /// # Errors
    /// The server's.
    pub fn post_record(&self, safe: SafeId, record: &[u8]) -> Result<RecordAnswer, ErrorCode> {
        let body = codec::encode(&NewRecord { record: record.to_vec().into() });
        self.ask("POST", &path::safe_journal(self.organisation(), &safe), &body)
    }

    /// Posts a record that the server must take.
    ///
    /// # Panics
    /// If it doesn't.
    pub fn posted(&self, safe: SafeId, record: &[u8]) -> u64 {
        match self.post_record(safe, record) {
            Ok(RecordAnswer::Accepted { seq }) => seq,
            other => panic!("not taken: {other:?}"),
        }
    }

    /// Posts a certificate.
    ///
    /// # Errors
    /// The server's.
    pub fn post_certificate(&self, safe: SafeId, new: &SafeCertificate) -> Result<SafeLogged, ErrorCode> {
        self.ask("POST", &path::safe_log(self.organisation(), &safe), &codec::encode(new))
    }

    /// A member's key, by its hash.
    #[must_use]
    pub fn key(&self, hash: KeyHash) -> EncryptionKey {
        self.ask("GET", &path::key(self.organisation(), &hash), &[]).unwrap()
    }

    /// The key of an epoch, with whom it is for.
    #[must_use]
    pub fn epoch_key<'a>(&'a self, safe: &'a SafeId, epoch: u64, key: &'a SafeKey) -> EpochKey<'a> {
        EpochKey::new(self.organisation(), safe, epoch, key)
    }

    /// The head of a ring, by its hash.
    #[must_use]
    pub fn ring(&self, safe: SafeId, ring: &Hash) -> RingHead {
        let target = path::safe_ring(self.organisation(), &safe, ring);
        let (status, bytes) = self.call("GET", &target, &[], Hash::of(&[]));
        assert_eq!(status, 200);
        RingHead::decode(&bytes).unwrap()
    }

    /// Objects that a record adds.
    #[must_use]
    pub fn ids(sealed: &SealedFile) -> Vec<ObjectId> {
        sealed.objects.iter().map(|(reference, _)| reference.object).collect()
    }
}

/// What every reader makes of a record whose outside stands.
fn folded(state: &mut State, keys: &SafeKeys, bytes: &[u8], by: By) {
    let payload = record::Envelope::decode(bytes).unwrap().payload().unwrap();
    let outer = Outer {
        seq: payload.seq,
        epoch: payload.epoch,
        user: by.user,
        device: payload.author,
        role: by.role,
        time: payload.time,
        adds: &payload.adds,
        drops: &payload.drops,
        keeps: &payload.keeps,
    };
    match open_record(keys, &payload) {
        // What is void is passed over.
        Ok(inside) => drop(fold(state, &inside, &outer)),
        Err(_) => state.pass_over(&outer),
    }
}

/// A plaintext of a record around this encoding: its length, and zeros to where they end.
#[must_use]
pub fn padded(inside: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(inside.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(inside);
    let whole = padme(out.len() as u64);
    out.resize(usize::try_from(whole).unwrap(), 0);
    out
}
