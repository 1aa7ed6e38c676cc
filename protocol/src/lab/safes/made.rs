//! The one made-up safe, in Alice's organisation: Dana owns it, Bob writes in it, Carol reads; with
//! everything that their devices and an honest server hold.
//!
//! Decides nothing about validity: what it appends, the shipped rules have taken, or it says that
//! there is no lab. What an attacker signs is made here and appended by nobody. Refuses to hold a
//! real key, as all of the lab.

use std::collections::BTreeMap;
use std::convert::Infallible;

use crate::chain::organisation::certificate::{Body as Statement, DeviceKind, Profile};
use crate::chain::organisation::members::{NameOf, seal_name};
use crate::ids::{DeviceId, EntryId, Label, ObjectId, SafeId, Timestamp, UserId};
use crate::keys::{DeviceSeed, DeviceSigningKey, UserSeed, random};
use crate::lab::organisation::{EMAIL, NoLab, Organisation, START};
use crate::lab::seeded_rng::SeededRng;
use crate::public_keys::Hash;
use crate::safe_log::certificate::{Body, Change as RoleChange, Key};
use crate::safe_log::record::{Payload, RECORD_NONCE_BYTES};
use crate::safe_log::ring::{BoxFor, Recipient, boxes_hash};
use crate::safe_log::roles::Role;
use crate::safe_log::rules;
use crate::safe_log::safe::VerifiedSafe;
use crate::safe_log::{FORMAT, SUITE};
use crate::safes::boxes::make_box;
use crate::safes::change::{Change, Inside, Kind, RULES_VERSION};
use crate::safes::content::{Keep, Sealing};
use crate::safes::content_ref::{Content, Reference};
use crate::safes::fold::{Outer, fold};
use crate::safes::keys::{EpochKey, SafeKeys};
use crate::safes::name::EntryName;
use crate::safes::ring_making::{Before, MadeRing, SealTo, make_ring};
use crate::safes::seal::seal_record;
use crate::safes::state::State;

/// Seconds between two things that happen.
const STEP_SECONDS: u64 = 60;

/// Somebody with one device, and all that it holds.
#[derive(Debug)]
pub struct Person {
    /// What the lab calls them.
    pub name: &'static str,
    /// Id of the user.
    pub user: UserId,
    /// Id of the device.
    pub device: DeviceId,
    /// Key that the device signs with.
    pub signing_key: DeviceSigningKey,
    /// Opens what is sealed to the user.
    pub user_seed: UserSeed,
}

/// The owner; all by their place in [`LabSafe::people`].
pub const DANA: usize = 0;
/// The contributor: writes, and shares with nobody.
pub const BOB: usize = 1;
/// The reader: reads everything, and writes nothing.
pub const CAROL: usize = 2;
/// A member of the organisation whom nobody has let into the safe.
pub const MALLORY: usize = 3;

/// A certificate or a record of the safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A certificate of the safe log.
    Certificate(Vec<u8>),
    /// A record of the journal.
    Record(Vec<u8>),
}

/// Organisation, people, the safe as an honest server has it.
#[derive(Debug)]
pub struct LabSafe {
    /// The organisation, with its log.
    pub organisation: Organisation,
    /// Everybody in it and Mallory, Dana first.
    pub people: Vec<Person>,
    /// Id of the safe.
    pub safe: SafeId,
    /// The safe behind its last item.
    pub verified: VerifiedSafe,
    /// The tree behind that item.
    pub state: State,
    /// All of its keys.
    pub keys: SafeKeys,
    /// The keys that there were before each further one.
    pub(super) former: Vec<SafeKeys>,
    /// All items, in order.
    pub items: Vec<Item>,
    /// Sealed objects, by id.
    pub objects: BTreeMap<ObjectId, Vec<u8>>,
    /// The ring of each epoch, in order.
    pub rings: Vec<MadeRing>,
    /// Boxes that came beside a ring, of the last who were let in.
    pub boxes: Vec<BoxFor>,
    pub(super) rng: SeededRng,
    pub(super) now: Timestamp,
}

/// Sealed objects on their way.
struct Kept<'a>(&'a mut BTreeMap<ObjectId, Vec<u8>>, Vec<ObjectId>);

impl Keep for Kept<'_> {
    type Error = Infallible;

    fn keep(&mut self, reference: &Reference, sealed: &[u8]) -> Result<(), Infallible> {
        self.0.insert(reference.object, sealed.to_vec());
        self.1.push(reference.object);
        Ok(())
    }
}

fn bad<T>(_: T) -> NoLab {
    NoLab::BadSafe
}

impl LabSafe {
    /// The safe of a seed, with two files in it.
    ///
    /// # Errors
    /// [`NoLab`], which no seed comes to.
    pub fn of_seed(seed: u64) -> Result<Self, NoLab> {
        let mut rng = SeededRng::new(seed.rotate_left(16) ^ 0x5afe);
        let mut organisation = Organisation::of_seed(seed)?;
        let mut people = Vec::new();
        for name in ["Dana", "Bob", "Carol", "Mallory"] {
            people.push(enrolled(&mut organisation, name, &mut rng)?);
        }
        let safe = SafeId::from_bytes(random(&mut rng)?);
        let acme = organisation.log.organisation().clone();
        let mut world = Self {
            verified: VerifiedSafe::empty(acme.clone(), safe),
            state: State::new(safe),
            keys: SafeKeys::new(acme, safe),
            former: Vec::new(),
            items: Vec::new(),
            objects: BTreeMap::new(),
            rings: Vec::new(),
            boxes: Vec::new(),
            now: START,
            organisation,
            people,
            safe,
            rng,
        };
        world.create()?;
        world.share(BOB, Role::Contributor)?;
        world.share(CAROL, Role::Reader)?;
        world.put(DANA, "plans.odt", b"Dana's plans")?;
        world.put(BOB, "notes.txt", b"Bob's notes")?;
        Ok(world)
    }

    /// Somebody by their place.
    ///
    /// # Errors
    /// [`NoLab::BadSafe`], for a place that is none.
    pub fn person(&self, who: usize) -> Result<&Person, NoLab> {
        self.people.get(who).ok_or(NoLab::BadSafe)
    }

    /// Lets a minute go by.
    pub const fn wait(&mut self) {
        self.now = self.now.plus_seconds(STEP_SECONDS);
    }

    fn create(&mut self) -> Result<(), NoLab> {
        let owner = self.person(DANA)?.user;
        let (key, made) = self.key(&[owner], 0)?;
        let (list, ring, key_check) = (made.list, made.ring, made.key_check);
        let body = Body::Created { suite: SUITE, format: FORMAT, key_check, list, ring };
        let certificate = self.certificate(DANA, body)?;
        self.append(Item::Certificate(certificate))?;
        self.keys.insert(0, key, &key_check).map_err(bad)?;
        self.rings.push(made);
        Ok(())
    }

    /// A new key and its ring, for these users.
    fn key(&mut self, users: &[UserId], epoch: u64) -> Result<(crate::keys::SafeKey, MadeRing), NoLab> {
        let key = SafeKeys::draw(&mut self.rng)?;
        let made = self.ring_of(&key, users, epoch)?;
        Ok((key, made))
    }

    /// The ring that seals a key to these users, by Dana's device.
    pub(super) fn ring_of(
        &mut self,
        key: &crate::keys::SafeKey,
        users: &[UserId],
        epoch: u64,
    ) -> Result<MadeRing, NoLab> {
        let mut to = Vec::new();
        for user in users {
            let person = self.people.iter().find(|person| person.user == *user).ok_or(NoLab::BadSafe)?;
            to.push((*user, person.user_seed.encryption_key()));
        }
        to.sort_unstable_by_key(|(user, _)| *user);
        let list: Vec<SealTo<'_>> = to
            .iter()
            .map(|(user, key)| SealTo {
                recipient: Recipient { user: *user, key: key.hash() },
                key: Some(key),
            })
            .collect();
        let organisation = self.organisation.log.organisation().clone();
        let of = EpochKey::new(&organisation, &self.safe, epoch, key);
        let author = self.person(DANA)?.device;
        let before = Before { keys: &self.keys, past: None };
        make_ring(&of, author, &list, before, &mut self.rng).map_err(bad)
    }

    /// Dana lets somebody in.
    ///
    /// # Errors
    /// [`NoLab::BadSafe`], where the rules refuse it.
    pub fn share(&mut self, who: usize, role: Role) -> Result<(), NoLab> {
        let (user, to) = {
            let person = self.person(who)?;
            (person.user, person.user_seed.encryption_key())
        };
        let key = self.keys.newest().ok_or(NoLab::BadSafe)?;
        let boxes = vec![BoxFor { user, sealed: make_box(&key, user, &to).into() }];
        let changes = vec![RoleChange { user, role: Some(role) }];
        let body = Body::Changed { changes, key: None, boxes: Some(boxes_hash(&boxes)) };
        let certificate = self.certificate(DANA, body)?;
        self.append(Item::Certificate(certificate))?;
        self.boxes.extend(boxes);
        Ok(())
    }

    /// Dana changes roles, and makes the next key for whoever counts then.
    ///
    /// # Errors
    /// [`NoLab::BadSafe`], where the rules refuse it.
    pub fn rekey(&mut self, changes: &[(usize, Option<Role>)]) -> Result<(), NoLab> {
        self.rekey_with(changes, |_, made| Ok(made))
    }

    /// The same by a program that does something else to the ring before it signs for it.
    pub(super) fn rekey_with(
        &mut self,
        changes: &[(usize, Option<Role>)],
        bend: impl FnOnce(&mut Self, MadeRing) -> Result<MadeRing, NoLab>,
    ) -> Result<(), NoLab> {
        let mut list = Vec::new();
        for (who, role) in changes {
            list.push(RoleChange { user: self.person(*who)?.user, role: *role });
        }
        list.sort_unstable_by_key(|change| change.user);
        let (log, count) = (&self.organisation.log, self.organisation.log.count());
        let users = match rules::ring_list(&self.verified, log, count, &list) {
            Ok(counts) => counts.0.iter().map(|one| one.user).collect::<Vec<_>>(),
            Err(never) => match never {},
        };
        let epoch = self.verified.present().map_or(0, |now| now.key.epoch) + 1;
        let (key, made) = self.key(&users, epoch)?;
        let made = bend(self, made)?;
        let check = made.key_check;
        let named = Key { epoch, key_check: check, list: made.list, ring: made.ring, lost: 0 };
        let body = Body::Changed { changes: list, key: Some(named), boxes: None };
        let certificate = self.certificate(DANA, body)?;
        self.append(Item::Certificate(certificate))?;
        self.former.push(self.keys.copied());
        self.keys.insert(epoch, key, &check).map_err(bad)?;
        self.rings.push(made);
        Ok(())
    }

    /// A certificate by somebody, right but for what it says: nobody has it yet.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn certificate(&self, by: usize, body: Body) -> Result<Vec<u8>, NoLab> {
        let person = self.person(by)?;
        let seen = self.organisation.log.head();
        let payload = self.verified.next_certificate(seen, person.device, self.now, body);
        Ok(payload.sign_with(|context, message| person.signing_key.sign(context, message)))
    }

    /// Contents, sealed under the present key; the server has the objects.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn seal(&mut self, contents: &[u8]) -> Result<(Content, Vec<ObjectId>), NoLab> {
        let key = self.keys.newest().ok_or(NoLab::BadSafe)?;
        let mut sealing = Sealing::new(key, self.keys.at(0));
        let mut kept = Kept(&mut self.objects, Vec::new());
        sealing.piece(&mut contents.to_vec(), &mut self.rng, &mut kept).map_err(bad)?;
        let content = sealing.finish(&mut self.rng, &mut kept).map_err(bad)?;
        Ok((content, kept.1))
    }

    /// A file below the root.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn file(&mut self, name: &str, content: Content) -> Result<Change, NoLab> {
        Ok(Change::Add {
            operation: None,
            entry: EntryId::from_bytes(random(&mut self.rng)?),
            parent: EntryId::from_bytes(*self.safe.as_bytes()),
            name: EntryName::new(name.as_bytes()).map_err(bad)?,
            kind: Kind::File(content),
            mtime: 0,
            executable: false,
            conflict_of: None,
        })
    }

    /// The outside of a record by somebody, right at this moment.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn outside(&self, by: usize, adds: Vec<ObjectId>) -> Result<Payload, NoLab> {
        let present = self.verified.present().ok_or(NoLab::BadSafe)?;
        Ok(Payload {
            organisation: self.organisation.log.organisation().clone(),
            safe: self.safe,
            seq: present.journal.count + 1,
            previous: present.journal.hash,
            epoch: present.key.epoch,
            seen: self.organisation.log.head(),
            log: present.log,
            author: self.person(by)?.device,
            time: self.now,
            adds,
            drops: Vec::new(),
            keeps: Vec::new(),
            nonce: [0; RECORD_NONCE_BYTES].into(),
            ciphertext: Vec::new().into(),
        })
    }

    /// A record by somebody: nobody has it yet.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn record(&mut self, by: usize, outside: Payload, changes: Vec<Change>) -> Result<Vec<u8>, NoLab> {
        let root = self.state.state_root();
        self.record_of(by, outside, &Inside { rules: RULES_VERSION, root, changes })
    }

    /// The same with any inside.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn record_of(&mut self, by: usize, outside: Payload, inside: &Inside) -> Result<Vec<u8>, NoLab> {
        let key = self.keys.at(outside.epoch).ok_or(NoLab::BadSafe)?;
        let person = self.people.get(by).ok_or(NoLab::BadSafe)?;
        seal_record(&key, outside, inside, &person.signing_key, &mut self.rng).map_err(bad)
    }

    /// Somebody puts a file into the safe.
    ///
    /// # Errors
    /// [`NoLab::BadSafe`], where the rules refuse it.
    pub fn put(&mut self, by: usize, name: &str, contents: &[u8]) -> Result<(), NoLab> {
        let (content, adds) = self.seal(contents)?;
        let change = self.file(name, content)?;
        let outside = self.outside(by, adds)?;
        let record = self.record(by, outside, vec![change])?;
        self.append(Item::Record(record))
    }

    /// The server takes an item, as the rules do.
    ///
    /// # Errors
    /// [`NoLab::BadSafe`], where they don't.
    pub fn append(&mut self, item: Item) -> Result<(), NoLab> {
        match &item {
            Item::Certificate(bytes) => {
                let _ = self.verified.push_certificate(bytes, &self.organisation.log).map_err(bad)?;
            }
            Item::Record(bytes) => {
                let judged = self.verified.push_record(bytes, &self.organisation.log).map_err(bad)?;
                let by = judged.effects().by;
                let payload = judged.item().payload();
                let inside = crate::safes::seal::open_record(&self.keys, payload).map_err(bad)?;
                fold(&mut self.state, &inside, &Outer::of(payload, by.user, by.role)).map_err(bad)?;
            }
        }
        self.items.push(item);
        self.wait();
        Ok(())
    }

    /// Alice revokes somebody in the organisation.
    ///
    /// # Errors
    /// [`NoLab::BadLog`].
    pub fn revoke(&mut self, who: usize) -> Result<(), NoLab> {
        let user = self.person(who)?.user;
        self.organisation.state(Statement::UserRevoked { user })
    }

    /// Some hash that is nothing's.
    #[must_use]
    pub fn nothing() -> Hash {
        Hash::of(&[b"nothing of this safe"])
    }
}

/// Alice lets somebody into the organisation.
fn enrolled(
    organisation: &mut Organisation,
    name: &'static str,
    rng: &mut SeededRng,
) -> Result<Person, NoLab> {
    let (user, device) = (UserId::from_bytes(random(rng)?), DeviceId::from_bytes(random(rng)?));
    let (user_seed, device_seed) = (UserSeed::random(rng)?, DeviceSeed::random(rng)?);
    let signing_key = DeviceSigningKey::random(rng)?;
    let acme = organisation.log.organisation().clone();
    let label: Label = name.parse()?;
    let mut sealed = |of| seal_name(&organisation.directory_keys, &acme, of, &label, rng);
    let (sealed_name, sealed_label) = (sealed(NameOf::User(user))?, sealed(NameOf::Device(device))?);
    let email = EMAIL.replace("alice", &name.to_lowercase()).parse()?;
    let statements = [
        Statement::User {
            user,
            email,
            sealed_name: sealed_name.into(),
            encryption_key: user_seed.encryption_key().hash(),
            profile: Profile::Standard,
        },
        Statement::Device {
            device,
            user,
            sealed_label: sealed_label.into(),
            verify_key: signing_key.verify_key(),
            encryption_key: device_seed.encryption_key().hash(),
            kind: DeviceKind::Device,
        },
    ];
    statements.into_iter().try_for_each(|statement| organisation.state(statement))?;
    Ok(Person { name, user, device, signing_key, user_seed })
}
