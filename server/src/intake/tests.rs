//! Both views of one log answer alike: a server's tables, and a log in memory as every member has
//! it.
//!
//! The rules are one function, `rules::accept`; what could part a server from its members is a
//! look-up that answers differently. A certificate that the server let in and readers refuse would
//! end the log for everybody, and nobody could take it back. So hostile members make all sorts of
//! certificates here, good but for one thing or none. Each is judged over both views, and brought
//! to the server's calls as well.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../../protocol/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::candidate::Candidate;
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind, Envelope, Payload, Profile};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::rules::{Fault, accept};
use parsec_protocol::chain::organisation::view::MembersView;
use parsec_protocol::chain::view::{LogView, NotAccepted};
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::ids::{DeviceId, Invited, Timestamp, UserId};
use parsec_protocol::limits::{ABANDONED_MAX, DEVICES_PER_USER_MAX, KEY_CHANGES_MAX, LOG_MAX_CERTIFICATES};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::sealing::KeyHash;
use support::{
    BEGINNING, By, Org, device, device_body, device_encryption_key, email, encryption_key, envelope,
    foreign_head, organisation, root_key, signing_key, user, user_body, weak_verify_key,
};

use super::{Change, Enrolment, IntakeFault, incoming, pieces, read_founding};
use crate::errors::Refusal;
use crate::repair::put_back;
use crate::store::log::{self, NotAppended, OpenLog, StoredView};
use crate::store::rows::LogEnd;
use crate::store::{Standalone, StoreError, Tx};

/// Enrolments tried.
const ENROLMENTS: u64 = 1_500;
/// Logs grown, and statements tried in each.
const LOGS: u64 = 12;
const STATEMENTS: usize = 600;
/// People and devices there can be: few, so that they meet often, and ids and keys are often taken.
const CAST: u64 = 40;
/// After how many certificates everything that can be asked is asked.
const LOOKS: u64 = 8;

/// A number below `end`, another for every `purpose` and `round`.
fn draw(round: u64, purpose: &str, end: u64) -> u64 {
    let hash = Hash::of(&[purpose.as_bytes(), &round.to_be_bytes()]);
    u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap()) % end
}

/// Numbers that look random, and are the same each time.
struct Seed(u64);

impl Seed {
    fn draw(&mut self, end: u64) -> u64 {
        self.0 += 1;
        draw(self.0, "changes", end)
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.draw(all.len() as u64)).unwrap()]
    }
}

/// One thing that is wrong, or nothing.
fn spoil(round: u64, org: &Org, payloads: &mut [Payload]) {
    let last = payloads.len() - 1;
    let at = usize::try_from(draw(round, "which", payloads.len() as u64)).unwrap();
    match draw(round, "spoil", 40) {
        0 => payloads[at].organisation = "other".parse().unwrap(),
        1 => payloads[at].seen = foreign_head(payloads[at].seen.count),
        2 => payloads[at].seen.count += 1,
        3 => payloads[at].seen = org.log.head_at(0).unwrap(),
        4 => payloads[at].seen = org.log.head_at(draw(round, "seen", org.log.count())).unwrap(),
        5 => payloads[at].author = By::Root.author(),
        6 => payloads[at].author = By::Device(draw(round, "author", CAST)).author(),
        7 => payloads[at].time = Timestamp(draw(round, "time", u64::MAX)),
        8 => payloads.swap(0, last),
        9 => payloads[at].body = Body::UserRevoked { user: user(1) },
        10 => payloads[at].body = Body::ProfileChange { user: user(1), profile: Profile::Outsider },
        spoil => match &mut payloads[at].body {
            Body::User { user: id, email: address, sealed_name, encryption_key: key, .. } => match spoil {
                11 => *sealed_name = vec![0; 104].into(),
                12 => *key = KeyHash::from_bytes([0; 32]),
                13 => *key = device_encryption_key(draw(round, "key", CAST)),
                14 => *key = encryption_key(draw(round, "key", CAST)),
                15 => *address = email(draw(round, "email", CAST)),
                16 => *id = user(draw(round, "user", CAST)),
                _ => {}
            },
            Body::Device {
                device: id,
                user: owner,
                sealed_label,
                verify_key: key,
                encryption_key: box_key,
                kind,
            } => match spoil {
                11 => *sealed_label = vec![0; 106].into(),
                12 => *key = weak_verify_key(),
                13 => *key = root_key(0).verify_key(),
                14 => *key = signing_key(draw(round, "key", CAST)).verify_key(),
                15 => *id = device(draw(round, "device", CAST)),
                16 => *owner = user(draw(round, "owner", CAST)),
                17 => *box_key = encryption_key(draw(round, "key", CAST)),
                18 => *box_key = device_encryption_key(draw(round, "key", CAST)),
                19 | 20 => *kind = DeviceKind::Recovery,
                _ => {}
            },
            Body::ProfileChange { .. }
            | Body::UserRevoked { .. }
            | Body::DeviceRevoked { .. }
            | Body::UserKeyChanged { .. }
            | Body::DirectoryKeyChanged { .. } => {}
        },
    }
}

/// The invitation under which such an enrolment would come: the best one its maker could have got.
fn invitation(payloads: &[Payload]) -> Invited {
    match &payloads[0].body {
        Body::User { email, .. } => Invited::User(email.clone()),
        Body::Device { user, .. }
        | Body::ProfileChange { user, .. }
        | Body::UserRevoked { user }
        | Body::UserKeyChanged { user, .. } => Invited::Device(*user),
        Body::DeviceRevoked { .. } | Body::DirectoryKeyChanged { .. } => Invited::Device(user(0)),
    }
}

/// People and devices of the logs that grow by changes.
const PEOPLE: u64 = 30;

fn profile(seed: &mut Seed) -> Profile {
    use Profile::{Administrator, Outsider, Standard};
    seed.pick(&[Administrator, Administrator, Standard, Outsider])
}

/// Numbers of keys that changes of users' keys name.
const KEYS: u64 = 160;

/// Another key of the author's user, or of somebody, in place of the present one, or of some.
fn key_change(seed: &mut Seed, org: &Org, by: u64) -> Body {
    let own = org.log.device(&device(by)).unwrap().user;
    let whose = if seed.draw(12) == 0 { user(seed.draw(PEOPLE)) } else { own };
    let present = org.log.user(&whose).map(|record| record.encryption_key);
    let previous = present.filter(|_| seed.draw(12) > 0).unwrap_or_else(|| encryption_key(seed.draw(KEYS)));
    let encryption_key = match seed.draw(16) {
        0 => device_encryption_key(seed.draw(PEOPLE)),
        1 => previous,
        _ => encryption_key(PEOPLE + seed.draw(KEYS - PEOPLE)),
    };
    let most = if seed.draw(12) == 0 { ABANDONED_MAX as u64 + 2 } else { 3 };
    let count = seed.draw(3).min(1) * seed.draw(most);
    let mut abandoned: Vec<DeviceId> = (0..count).map(|_| device(seed.draw(CAST))).collect();
    if seed.draw(8) > 0 {
        abandoned.sort_unstable();
    }
    Body::UserKeyChanged { user: whose, previous, encryption_key, manifest: None, abandoned }
}

/// A user with a device, a device, or a change.
fn bodies(seed: &mut Seed, org: &Org, by: u64) -> Vec<Body> {
    let profile = profile(seed);
    let (one, other) = (seed.draw(PEOPLE), seed.draw(PEOPLE));
    match seed.draw(29) {
        26..=28 => {
            let present = org.log.directory_keys().last().map_or(1, |key| key.number);
            let number = present + u32::from(seed.draw(4) > 0);
            let hash = Hash::of(&[&number.to_be_bytes()]);
            vec![Body::DirectoryKeyChanged { number, key_check: hash, ring: hash }]
        }
        22 => {
            // A recovery device of the author's own user, or of anybody.
            let own = org.log.device(&device(by)).unwrap().user;
            let owner = (0..PEOPLE).find(|n| user(*n) == own).filter(|_| seed.draw(4) > 0);
            let mut body = device_body(one, owner.unwrap_or(other));
            if let Body::Device { kind, .. } = &mut body {
                *kind = DeviceKind::Recovery;
            }
            vec![body]
        }
        23..=25 => vec![key_change(seed, org, by)],
        0..=3 => vec![user_body(one, profile), device_body(one, one)],
        4..=7 => vec![device_body(one, other)],
        8..=13 => vec![Body::ProfileChange { user: user(one), profile }],
        14..=17 => vec![Body::UserRevoked { user: user(one) }],
        _ => vec![Body::DeviceRevoked { device: device(one) }],
    }
}

/// One thing that is wrong, or unusual, or nothing.
fn misdate(seed: &mut Seed, org: &Org, payload: &mut Payload) {
    let count = org.log.count();
    match seed.draw(40) {
        0 => payload.organisation = "other".parse().unwrap(),
        1 => payload.seen = foreign_head(payload.seen.count),
        2 => payload.seen.count += 1,
        3 => payload.seen.count = u64::MAX,
        4..=6 => payload.seen = org.log.head_at(seed.draw(count)).unwrap(),
        // A view that is a little old: often below the author's last one, or the profile's.
        7..=12 => payload.seen = org.log.head_at(count - seed.draw(12.min(count))).unwrap(),
        13 => payload.author = By::Root.author(),
        14 => payload.author = By::Device(seed.draw(PEOPLE)).author(),
        15..=18 => payload.time = Timestamp(payload.time.0 - seed.draw(30)),
        // As large as times can be: after one of these, the author has little left to say.
        19 => payload.time = Timestamp(u64::MAX - seed.draw(3)),
        20 => payload.time = Timestamp((1 << 63) - 1 + seed.draw(3)),
        _ => {}
    }
}

fn kind(body: &Body) -> usize {
    match body {
        Body::User { .. } => 0,
        Body::Device { .. } => 1,
        Body::ProfileChange { .. } => 2,
        Body::UserRevoked { .. } => 3,
        Body::DeviceRevoked { .. } => 4,
        Body::UserKeyChanged { .. } => 5,
        Body::DirectoryKeyChanged { .. } => 6,
    }
}

/// The same log at a server and at a reader.
struct Both {
    store: Standalone,
    org: Org,
    /// What broke each rule, by name.
    refused: BTreeMap<String, u32>,
    /// How often both have grown.
    taken: u64,
}

/// Envelopes as a call brings them.
fn brought(envelopes: &[Vec<u8>]) -> Vec<ByteVec> {
    envelopes.iter().map(|envelope| envelope.clone().into()).collect()
}

fn said<T>(result: Result<T, NotAppended>) -> Result<T, Fault> {
    result.map_err(|error| match error {
        NotAccepted::Fault(fault) => fault,
        NotAccepted::View(error) => panic!("the database failed: {error:?}"),
    })
}

/// Why a transaction is taken back.
struct Back;

impl From<StoreError> for Back {
    fn from(error: StoreError) -> Self {
        panic!("the database failed: {error:?}")
    }
}

/// What the transaction's log is, whether it has certificates yet or not.
fn open(tx: &mut dyn Tx, root: &VerifyKey) -> OpenLog {
    match tx.lock_log(&organisation()).unwrap() {
        Some(end) => OpenLog::new(&organisation(), end),
        None => OpenLog::empty(&organisation(), *root),
    }
}

impl Both {
    /// No certificate yet.
    fn empty(dir: &tempfile::TempDir) -> Self {
        let both = Self {
            store: Standalone::for_test(&dir.path().join("db")),
            org: Org::empty(),
            refused: BTreeMap::new(),
            taken: 0,
        };
        both.kept(|tx| {
            assert!(tx.reserve(&organisation(), Hash::of(&[]), Timestamp(0)).unwrap());
            tx.set_founded(&organisation(), both.org.log.root(), Hash::of(&[])).unwrap();
        });
        both
    }

    /// A founded organisation.
    fn founded(dir: &tempfile::TempDir) -> Self {
        let mut both = Self::empty(dir);
        both.org = Org::founded();
        let founding = read_founding(&brought(&both.org.envelopes), both.org.log.root()).unwrap();
        both.kept(|tx| {
            let mut log = OpenLog::empty(&organisation(), *both.org.log.root());
            for certificate in founding {
                log.append(tx, certificate).unwrap();
            }
        });
        both.look_alike("founded");
        both
    }

    /// Does it, for good.
    fn kept<T>(&self, work: impl FnOnce(&mut dyn Tx) -> T) -> T {
        self.store.change(|tx| Ok::<_, StoreError>(work(tx))).unwrap()
    }

    /// Does it, for good if it worked.
    fn done<T, E>(&self, work: impl FnOnce(&mut dyn Tx) -> Result<T, E>) -> Result<T, E> {
        let mut result = None;
        let _ = self.store.change(|tx| {
            let done = work(tx);
            let fate = if done.is_ok() { Ok(()) } else { Err(Back) };
            result = Some(done);
            fate
        });
        result.unwrap()
    }

    /// Does it, and takes it back again.
    fn tried<T>(&self, work: impl FnOnce(&mut dyn Tx) -> T) -> T {
        let mut result = None;
        let taken_back = self.store.change(|tx| {
            result = Some(work(tx));
            Err::<(), _>(Back)
        });
        assert!(taken_back.is_err());
        result.unwrap()
    }

    /// Where the log ends, as the store says by itself.
    fn stored_head(&self) -> Head {
        let end: LogEnd = self.store.read(|tx| log::end(tx, &organisation())).unwrap_or_else(|refusal| {
            let refusal: Refusal = refusal;
            panic!("{refusal:?}")
        });
        end.head
    }

    /// Whatever the rules can ask, both answer alike.
    fn look_alike(&self, place: &str) {
        assert_eq!(self.stored_head(), self.org.log.head(), "{place}");
        self.tried(|tx| {
            let log = open(tx, self.org.log.root());
            self.compare(&log.view(tx), place);
        });
    }

    fn compare(&self, stored: &StoredView<'_>, place: &str) {
        let log = &self.org.log;
        assert_eq!(LogView::head(stored).unwrap(), log.head(), "{place}");
        let count = log.count();
        for at in [0, 1, 2, count / 2, count.saturating_sub(1), count, count + 1, u64::MAX] {
            assert_eq!(LogView::head_at(stored, at).unwrap(), log.head_at(at), "{place}: {at}");
        }
        assert_eq!(stored.origin(), log.origin(), "{place}");
        assert_eq!(stored.author_state(&By::Root.author()).unwrap(), None, "{place}");
        for n in 0..=CAST {
            let (one, other) = (MembersView::user(stored, &user(n)), MembersView::user(log, &user(n)));
            assert_eq!(one.unwrap(), other.unwrap(), "{place}: user {n}");
            let (one, other) = (stored.certifier(&user(n)), log.certifier(&user(n)));
            assert_eq!(one.unwrap(), other.unwrap(), "{place}: certifier of {n}");
            let (one, other) =
                (MembersView::device(stored, &device(n)), MembersView::device(log, &device(n)));
            assert_eq!(one.unwrap(), other.unwrap(), "{place}: device {n}");
            let author = By::Device(n).author();
            let (one, other) = (stored.author_state(&author), log.author_state(&author));
            assert_eq!(one.unwrap(), other.unwrap(), "{place}: author {n}");
            let (one, other) = (stored.email_in_use(&email(n)), log.email_in_use(&email(n)));
            assert_eq!(one.unwrap(), other.unwrap(), "{place}: e-mail {n}");
            let (one, other) = (stored.abandoned_by(&device(n)), log.abandoned_by(&device(n)));
            assert_eq!(one.unwrap(), other.unwrap(), "{place}: abandoned {n}");
            let key = signing_key(n).verify_key();
            let (one, other) = (stored.verify_key_used(&key), log.verify_key_used(&key));
            assert_eq!(one.unwrap(), other.unwrap(), "{place}: verify key {n}");
        }
        for n in 0..KEYS {
            for key in [encryption_key(n), device_encryption_key(n)] {
                let (one, other) = (stored.encryption_key_used(&key), log.encryption_key_used(&key));
                assert_eq!(one.unwrap(), other.unwrap(), "{place}: encryption key {n}");
            }
        }
    }

    /// What both say of certificates that come one after the other, which is the same. Changes
    /// nothing.
    fn judge(&mut self, envelopes: &[Vec<u8>], place: &str) -> Result<VerifiedLog, Fault> {
        let by_tables = self.tried(|tx| {
            let mut log = open(tx, self.org.log.root());
            envelopes.iter().try_for_each(|envelope| {
                let candidate = Candidate::read(envelope.as_slice()).ok_or(Fault::Malformed)?;
                said(log.append(tx, candidate)).map(drop)
            })
        });
        let in_memory =
            self.org.log.extended(envelopes.iter().map(Vec::as_slice)).map_err(|error| error.fault);
        assert_eq!(by_tables, in_memory.as_ref().map(|_| ()).map_err(|fault| *fault), "{place}");
        if let Err(fault) = by_tables {
            *self.refused.entry(format!("{fault:?}")).or_default() += 1;
        }
        in_memory
    }

    /// Takes in what both accept, one by one.
    fn grow(&mut self, envelopes: &[Vec<u8>], place: &str) -> bool {
        let Ok(log) = self.judge(envelopes, place) else { return false };
        self.append(envelopes);
        self.took(log, envelopes, place);
        true
    }

    /// Puts into the tables what has been judged.
    fn append(&self, envelopes: &[Vec<u8>]) {
        self.kept(|tx| {
            let mut log = open(tx, self.org.log.root());
            for envelope in envelopes {
                log.append(tx, Candidate::read(envelope.as_slice()).unwrap()).unwrap();
            }
        });
    }

    fn took(&mut self, log: VerifiedLog, envelopes: &[Vec<u8>], place: &str) {
        self.org.log = log;
        self.org.envelopes.extend(envelopes.iter().cloned());
        // What a certificate changed wrongly stays wrong: now and then is often enough.
        self.taken += 1;
        if self.taken.is_multiple_of(LOOKS) {
            self.look_alike(place);
        }
    }

    /// The server's judgement of an enrolment that `by` brings, under the best invitation that its
    /// maker could have got; what it accepts is in the tables afterwards.
    fn enrol(
        &self,
        by: u64,
        new: u64,
        payloads: &[Payload],
        envelopes: &[Vec<u8>],
    ) -> Result<(), IntakeFault> {
        let root = *self.org.log.root();
        // Nothing is behind the hashes here: what keys a call brings, other tests try.
        let enrolment = Enrolment::of_certificates(&brought(envelopes), &signing_key(by).verify_key())?;
        // The receipt's key is the certified one where anybody holds it.
        let certified = match &payloads[payloads.len() - 1].body {
            Body::Device { verify_key, .. } => Some(*verify_key),
            _ => None,
        };
        let holder =
            [new].into_iter().chain(0..CAST).find(|n| Some(signing_key(*n).verify_key()) == certified);
        let hashes = envelopes.iter().map(|envelope| Hash::of(&[envelope])).collect();
        let receipt = ClaimReceipt::sign(
            &signing_key(holder.unwrap_or(new)),
            Hash::of(&[]),
            hashes,
            root,
            Hash::of(&[]),
        );
        enrolment.check_call(device(by), &invitation(payloads))?;
        enrolment.check_receipt(&receipt, &root)?;
        let done = self.done(|tx| {
            let mut log = open(tx, &root);
            said(enrolment.append(tx, &mut log))
        });
        done.map(drop).map_err(IntakeFault::Log)
    }

    /// The server's judgement of a change that `by` brings.
    fn change(&self, by: u64, envelope: &[u8]) -> Result<(), IntakeFault> {
        let read = incoming(envelope, Some(&signing_key(by).verify_key()));
        let change = match read {
            Ok(certificate)
                if matches!(
                    certificate.payload().body,
                    Body::UserKeyChanged { .. } | Body::DirectoryKeyChanged { .. }
                ) =>
            {
                Change(certificate)
            }
            _ => Change::read(&brought(&[envelope.to_vec()]), &signing_key(by).verify_key())?,
        };
        change.check_call(device(by))?;
        let root = *self.org.log.root();
        let done = self.done(|tx| {
            let mut log = open(tx, &root);
            said(change.append(tx, &mut log))
        });
        done.map(drop).map_err(IntakeFault::Log)
    }

    /// A repair is judged as readers judge, whoever brings it. A user without a device alone is
    /// more than a server takes.
    fn check_repair(&self, read: bool, envelopes: &[Vec<u8>], place: &str) {
        let certificates = brought(envelopes);
        let head = self.org.log.head();
        let back = self.tried(|tx| {
            put_back(tx, &organisation(), head, &certificates, Ok(Vec::new()), Timestamp(1)).is_ok()
        });
        assert!(read || !back, "the server would put back what readers refuse, {place}");
        let whole = pieces(&certificates);
        assert!(back || !read || whole.is_err(), "the server would not put back what readers take, {place}");
    }

    /// Devices that can still say something.
    fn able(&self) -> Vec<u64> {
        let is_able = |n: &u64| self.org.log.device(&device(*n)).is_some_and(|known| known.revoked.is_none());
        (0..CAST).filter(is_able).collect()
    }

    /// Those of them that are no recovery devices.
    fn ordinary(&self) -> Vec<u64> {
        let is_ordinary =
            |n: &u64| self.org.log.device(&device(*n)).is_some_and(|known| known.kind == DeviceKind::Device);
        self.able().into_iter().filter(is_ordinary).collect()
    }

    /// Brings certificates to the server's call, as `by`, and takes in what is accepted. Whether
    /// they were.
    fn call(&mut self, by: u64, new: u64, payloads: &[Payload], envelopes: &[Vec<u8>], place: &str) -> bool {
        let judged = self.judge(envelopes, place);
        self.check_repair(judged.is_ok(), envelopes, place);
        let said = if payloads[0].body.is_enrolment() {
            self.enrol(by, new, payloads, envelopes)
        } else {
            self.change(by, &envelopes[0])
        };
        match (said, judged) {
            (Ok(()), Ok(log)) => {
                self.took(log, envelopes, place);
                return true;
            }
            (Ok(()), Err(fault)) => panic!("the server took what readers refuse, {fault}, {place}"),
            // The server takes what the caller signed alone, whole, under an invitation.
            (Err(fault), Ok(_)) => {
                let own = payloads.iter().all(|payload| payload.author == By::Device(by).author());
                let about_the_call = match fault {
                    IntakeFault::WrongAuthor => !own,
                    IntakeFault::WrongKinds | IntakeFault::BadReceipt | IntakeFault::NotInvited => true,
                    IntakeFault::Log(_) | IntakeFault::WrongKeys => false,
                };
                assert!(about_the_call, "the server refused what readers take, {fault}, {place}");
            }
            // Where only the log is in the way, both name the same rule.
            (Err(IntakeFault::Log(fault)), Err(broken)) => assert_eq!(fault, broken, "{place}"),
            (Err(_), Err(_)) => {}
        }
        assert_eq!(self.stored_head(), self.org.log.head(), "{place}");
        false
    }

    fn refused_often(&self, faults: &[Fault]) {
        for fault in faults {
            let count = self.refused.get(&format!("{fault:?}"));
            assert!(count.is_some_and(|count| *count >= 10), "{fault}: {:?}", self.refused);
        }
    }
}

#[test]
fn both_views_answer_alike_on_every_enrolment() {
    let dir = tempfile::tempdir().unwrap();
    let mut both = Both::founded(&dir);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..ENROLMENTS {
        let devices: Vec<_> = both.org.log.devices().map(|record| record.device).collect();
        let at = usize::try_from(draw(round, "by", devices.len() as u64)).unwrap();
        let by = (0..CAST).find(|n| device(*n) == devices[at]).unwrap();
        let new = draw(round, "new", CAST);
        let profiles = [Profile::Administrator, Profile::Standard, Profile::Outsider];
        let own = both.org.log.device(&device(by)).unwrap().user;
        let own = (0..CAST).find(|n| user(*n) == own).unwrap();
        let bodies = if draw(round, "kind", 2) == 0 {
            vec![
                user_body(new, profiles[usize::try_from(draw(round, "profile", 3)).unwrap()]),
                device_body(new, new),
            ]
        } else {
            let owner = if draw(round, "whose", 4) == 0 { draw(round, "owner", CAST) } else { own };
            vec![device_body(new, owner)]
        };
        let mut payloads: Vec<_> =
            bodies.into_iter().map(|body| both.org.payload(By::Device(by), body)).collect();
        spoil(round, &both.org, &mut payloads);
        let mut envelopes: Vec<_> =
            payloads.iter().map(|payload| envelope(By::Device(by), payload)).collect();
        if draw(round, "forge", 30) == 0 {
            envelopes[0] = envelope(By::Device(draw(round, "forger", CAST)), &payloads[0]);
        }
        let place = format!("round {round}: {payloads:?}");
        if both.call(by, new, &payloads, &envelopes, &place) { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted > 20 && refused > 500, "{accepted} accepted, {refused} refused");
    both.refused_often(&[
        Fault::WrongOrganisation,
        Fault::RootTooLate,
        Fault::BadSignature,
        Fault::ForkedView,
        Fault::NotAdministrator,
        Fault::EmailTaken,
        Fault::DeviceIdTaken,
        Fault::NotOwnUser,
        Fault::SubjectUnknown,
    ]);
    both.look_alike("in the end");
}

#[test]
fn both_views_answer_alike_on_every_change() {
    let (mut accepted, mut refused, mut replayed) = ([0; 7], BTreeMap::<String, u32>::new(), 0);
    for number in 0..LOGS {
        let dir = tempfile::tempdir().unwrap();
        let mut both = Both::founded(&dir);
        let mut seed = Seed(number << 32);
        // Every other log takes certificates as they come, one by one, as no call of the server
        // does: users stay without a device for a while, and what is said of them meanwhile counts.
        let by_calls = number % 2 == 0;
        // Whose profile was given where, newest last.
        let mut given: Vec<(UserId, u64)> = Vec::new();
        for round in 0..STATEMENTS {
            // Recovery devices may say next to nothing: one author in eight may be one.
            let ordinary = if seed.draw(8) > 0 { both.ordinary() } else { Vec::new() };
            let by = seed.pick(&if ordinary.is_empty() { both.able() } else { ordinary });
            let mut payloads: Vec<_> = bodies(&mut seed, &both.org, by)
                .into_iter()
                .map(|body| both.org.payload(By::Device(by), body))
                .collect();
            for payload in &mut payloads {
                payload.time = Timestamp(BEGINNING + round as u64);
                misdate(&mut seed, &both.org, payload);
            }
            if !by_calls && seed.draw(2) == 0 {
                payloads.truncate(1);
            }
            let back = usize::try_from(seed.draw(3)).unwrap();
            if seed.draw(5) == 0
                && let Some((user, position)) = given.iter().rev().nth(back)
            {
                // From a view at the very edge of what the newest word about somebody allows.
                let body = Body::ProfileChange { user: *user, profile: profile(&mut seed) };
                let mut payload = both.org.payload(By::Device(by), body);
                let seen = (position + seed.draw(3)).min(both.org.log.count());
                payload.seen = both.org.log.head_at(seen).unwrap();
                payloads = vec![payload];
            }
            let mut envelopes: Vec<_> =
                payloads.iter().map(|payload| envelope(By::Device(by), payload)).collect();
            match seed.draw(30) {
                0 => envelopes[0] = envelope(By::Device(seed.draw(PEOPLE)), &payloads[0]),
                // What somebody said before, once more.
                1 | 2 => {
                    let all: Vec<_> = both.org.envelopes.iter().collect();
                    envelopes = vec![seed.pick(&all).clone()];
                    payloads = vec![Envelope::decode(&envelopes[0]).unwrap().payload().unwrap()];
                    replayed += 1;
                }
                3 => envelopes[0].truncate(100),
                _ => {}
            }
            let place = format!("log {number}, round {round}: {payloads:?}");
            let taken = if by_calls {
                let new = seed.draw(PEOPLE);
                both.call(by, new, &payloads, &envelopes, &place)
            } else {
                both.check_repair(
                    both.org.log.extended(envelopes.iter().map(Vec::as_slice)).is_ok(),
                    &envelopes,
                    &place,
                );
                both.grow(&envelopes, &place)
            };
            if taken {
                for (position, payload) in (both.org.log.count() - payloads.len() as u64..).zip(&payloads) {
                    accepted[kind(&payload.body)] += 1;
                    if let Body::User { user, .. } | Body::ProfileChange { user, .. } = payload.body {
                        given.push((user, position));
                    }
                }
            }
        }
        both.look_alike(&format!("log {number}, in the end"));
        same_signers(&both);
        for (fault, count) in both.refused {
            *refused.entry(fault).or_default() += count;
        }
    }
    assert!(accepted.iter().all(|count| *count >= 30) && replayed > 100, "{accepted:?}, {replayed}");
    // Each rule was tried alone, often.
    for fault in [
        Fault::Malformed,
        Fault::WrongOrganisation,
        Fault::RootTooLate,
        Fault::AuthorUnknown,
        Fault::AuthorRevoked,
        Fault::BadSignature,
        Fault::SeenAhead,
        Fault::ForkedView,
        Fault::SeenWentBack,
        Fault::TimeWentBack,
        Fault::NotAdministrator,
        Fault::UserIdTaken,
        Fault::EmailTaken,
        Fault::DeviceIdTaken,
        Fault::NotOwnUser,
        Fault::SubjectUnknown,
        Fault::SubjectRevoked,
        Fault::AboutOneself,
        Fault::SameProfile,
        Fault::StaleProfile,
        Fault::OwnDevice,
        Fault::EncryptionKeyTaken,
        Fault::RecoveryDevice,
        Fault::AnothersKey,
        Fault::StaleKey,
        Fault::Abandoned,
    ] {
        assert!(refused.get(&format!("{fault:?}")).is_some_and(|count| *count >= 10), "{fault}: {refused:?}");
    }
}

/// Those by whom the server judges calls, it has as the readers have them.
fn same_signers(both: &Both) {
    for record in both.org.log.devices() {
        let signer = both.store.read(|tx| tx.signer(&organisation(), &record.device)).unwrap().unwrap();
        let owner = both.org.log.user(&record.user).unwrap();
        assert_eq!(signer.revoked, record.revoked.is_some());
        assert_eq!((signer.member.user, signer.member.profile), (record.user, owner.profile));
    }
}

#[test]
fn both_views_answer_alike_before_the_second_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let mut both = Both::empty(&dir);
    both.look_alike("empty");
    let standing = [user_body(0, Profile::Administrator), device_body(0, 0)];
    for (number, good) in standing.into_iter().enumerate() {
        for (by, body, fault) in [
            (By::Root, user_body(1, Profile::Standard), Fault::NotAFounding),
            (By::Root, device_body(1, 1), Fault::NotAFounding),
            (By::Root, Body::UserRevoked { user: user(0) }, Fault::NotAFounding),
            (By::Device(0), user_body(1, Profile::Administrator), Fault::NotByRoot),
            (By::Device(0), device_body(0, 0), Fault::NotByRoot),
        ] {
            let bad = envelope(by, &both.org.payload(by, body));
            let place = format!("certificate {number}");
            assert_eq!(both.judge(&[bad], &place).map(drop), Err(fault), "{place}");
        }
        let good = envelope(By::Root, &both.org.payload(By::Root, good));
        assert!(both.grow(&[good], "the founding"));
    }
}

#[test]
fn both_views_count_devices_and_weigh_keys_alike() {
    let dir = tempfile::tempdir().unwrap();
    let mut both = Both::founded(&dir);
    let say = |both: &Both, body| envelope(By::Device(0), &both.org.payload(By::Device(0), body));
    let mut taken_user = user_body(1, Profile::Standard);
    let mut devices_key = taken_user.clone();
    let mut short_name = taken_user.clone();
    if let Body::User { encryption_key, .. } = &mut devices_key {
        *encryption_key = device_encryption_key(0);
    }
    if let Body::User { encryption_key: key, .. } = &mut taken_user {
        *key = encryption_key(0);
    }
    if let Body::User { sealed_name, .. } = &mut short_name {
        sealed_name.pop();
    }
    let with_key = |key: VerifyKey| {
        let mut body = device_body(1, 0);
        if let Body::Device { verify_key, .. } = &mut body {
            *verify_key = key;
        }
        body
    };
    for (body, fault) in [
        (devices_key, Fault::EncryptionKeyTaken),
        (taken_user, Fault::EncryptionKeyTaken),
        (short_name, Fault::SealedNameLength),
        (with_key(weak_verify_key()), Fault::WeakVerifyKey),
        (with_key(root_key(0).verify_key()), Fault::VerifyKeyTaken),
        (with_key(signing_key(0).verify_key()), Fault::VerifyKeyTaken),
    ] {
        let bad = say(&both, body);
        assert_eq!(both.judge(&[bad], "a key").map(drop), Err(fault));
    }
    // One device is there; the revoked count as well.
    for number in 1..=DEVICES_PER_USER_MAX as u64 {
        let next = say(&both, device_body(1_000 + number, 0));
        let room = number < DEVICES_PER_USER_MAX as u64;
        let expected = if room { Ok(()) } else { Err(Fault::TooManyDevices) };
        assert_eq!(both.judge(std::slice::from_ref(&next), "a device").map(drop), expected, "{number}");
        if room {
            both.append(std::slice::from_ref(&next));
            both.org.log.push(&next).unwrap();
            let gone = say(&both, Body::DeviceRevoked { device: device(1_000 + number) });
            both.append(std::slice::from_ref(&gone));
            both.org.log.push(&gone).unwrap();
        }
    }
    both.look_alike("many devices");
}

#[test]
fn both_views_count_key_changes_and_what_was_abandoned_alike() {
    let dir = tempfile::tempdir().unwrap();
    let mut both = Both::founded(&dir);
    let mut next = 100;
    let mut change = |both: &mut Both, abandoned: Vec<DeviceId>, expected: Result<(), Fault>| {
        next += 1;
        let body = Body::UserKeyChanged {
            user: user(0),
            previous: both.org.log.user(&user(0)).unwrap().encryption_key,
            encryption_key: encryption_key(next),
            manifest: None,
            abandoned,
        };
        let said = envelope(By::Device(0), &both.org.payload(By::Device(0), body));
        let place = format!("change {next}");
        assert_eq!(both.judge(std::slice::from_ref(&said), &place).map(drop), expected, "{place}");
        if expected.is_ok() {
            assert!(both.grow(&[said], &place));
        }
    };
    let say = |both: &mut Both, body: Body| {
        let said = envelope(By::Device(0), &both.org.payload(By::Device(0), body));
        assert!(both.grow(&[said], "another"));
    };
    for _ in 0..KEY_CHANGES_MAX {
        change(&mut both, Vec::new(), Ok(()));
    }
    change(&mut both, Vec::new(), Err(Fault::TooManyKeyChanges));
    both.look_alike("twenty changes");
    // One more for a device that was revoked, and as many as there are devices that were given up.
    say(&mut both, device_body(1, 0));
    say(&mut both, Body::DeviceRevoked { device: device(1) });
    change(&mut both, Vec::new(), Ok(()));
    change(&mut both, Vec::new(), Err(Fault::TooManyKeyChanges));
    change(&mut both, vec![device(2)], Ok(()));
    change(&mut both, vec![device(2)], Err(Fault::Abandoned));
    change(&mut both, vec![device(1)], Err(Fault::Abandoned));
    both.look_alike("one abandoned");
    // It comes all the same, and counts once.
    say(&mut both, device_body(2, 0));
    both.look_alike("it came");
    assert_eq!(MembersView::user(&both.org.log, &user(0)).unwrap().unwrap().devices, 3);
    // Another's, of the same id: the room that it took stays taken.
    change(&mut both, vec![device(3)], Ok(()));
    say(&mut both, user_body(39, Profile::Standard));
    let mut same_id = device_body(39, 39);
    if let Body::Device { device: id, .. } = &mut same_id {
        *id = device(3);
    }
    say(&mut both, same_id);
    both.look_alike("another's");
    say(&mut both, Body::UserRevoked { user: user(39) });
    both.look_alike("revoked");
}

/// Readers refuse a full log before they look at a byte (`chain::log`); so do the tables.
#[test]
fn full_tables_take_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let both = Both::founded(&dir);
    let next = envelope(By::Device(0), &both.org.payload(By::Device(0), user_body(1, Profile::Standard)));
    let full =
        |count: u64| LogEnd { root: *both.org.log.root(), head: Head { count, ..both.org.log.head() } };
    both.tried(|tx| {
        let room = OpenLog::new(&organisation(), full(LOG_MAX_CERTIFICATES - 1));
        let judged = said(accept(&room.view(tx), || Candidate::read(next.as_slice())));
        assert_eq!(judged.map(drop), Ok(()));
        let none = OpenLog::new(&organisation(), full(LOG_MAX_CERTIFICATES));
        let unread = accept(&none.view(tx), || panic!("a full log looks at no bytes"));
        assert_eq!(said(unread).map(drop), Err(Fault::LogFull));
    });
}
