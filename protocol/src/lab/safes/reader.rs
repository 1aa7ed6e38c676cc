//! A member's device that reads the safe: it takes what a server answers, item by item, by the
//! shipped rules, and says what it noticed.
//!
//! Decides as every device does: what breaks a rule ends what is taken there; what is void changes
//! nothing and names a device; what is shown shorter than it was is an alarm; contents are let out
//! after their hash was compared. Refuses to notice by any other means: what a strategy is, it
//! can't know.

use crate::chain::organisation::log::VerifiedLog;
use crate::ids::ObjectId;
use crate::lab::organisation::NoLab;
use crate::lab::safes::made::{Item, LabSafe, Person};
use crate::public_keys::Hash;
use crate::safe_log::ring::{Expected, RingHead, RingPart};
use crate::safe_log::roles::Role;
use crate::safe_log::safe::{NotTaken, VerifiedSafe};
use crate::safes::boxes::{BoxOf, open_box};
use crate::safes::content::open_chunk;
use crate::safes::content_ref::{Content, References};
use crate::safes::fold::{Outer, fold};
use crate::safes::keys::SafeKeys;
use crate::safes::name::EntryName;
use crate::safes::seal::open_record;
use crate::safes::state::State;
use crate::safes::tree::Tree as _;

/// What a server answers to somebody who asks what came behind their last item.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// How many items there are, by the server's word.
    pub(super) count: usize,
    /// Those behind the reader's last one.
    pub(super) items: Vec<Item>,
}

/// One device and what it has of the safe.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) name: &'static str,
    /// What it knows of the organisation.
    members: VerifiedLog,
    verified: VerifiedSafe,
    pub(super) state: State,
    keys: SafeKeys,
    /// Items that it has taken.
    pub(super) count: usize,
    /// What its person was told, in order.
    pub(super) noticed: Vec<String>,
}

impl Reader {
    /// A member's device that has read all there is, with all keys.
    pub(super) fn of(world: &LabSafe, who: usize) -> Result<Self, NoLab> {
        let mut reader = Self::new(world, who)?;
        reader.asks(world, &Answer { count: world.items.len(), items: world.items.clone() });
        if reader.noticed.is_empty() { Ok(reader) } else { Err(NoLab::BadSafe) }
    }

    /// One that has nothing yet but the keys.
    pub(super) fn new(world: &LabSafe, who: usize) -> Result<Self, NoLab> {
        let acme = world.organisation.log.organisation().clone();
        Ok(Self {
            name: world.person(who)?.name,
            members: world.organisation.log.clone(),
            verified: VerifiedSafe::empty(acme, world.safe),
            state: State::new(world.safe),
            keys: world.keys.copied(),
            count: 0,
            noticed: Vec::new(),
        })
    }

    fn notices(&mut self, what: impl Into<String>) {
        self.noticed.push(what.into());
    }

    /// It hears of what is new in the organisation.
    pub(super) fn learns(&mut self, world: &LabSafe) {
        self.members = world.organisation.log.clone();
    }

    /// It takes what a server answers; everything that was asked for with all it knows is judged by
    /// that from then on.
    pub(super) fn asks(&mut self, world: &LabSafe, answer: &Answer) {
        if answer.count < self.count {
            let (less, had) = (answer.count, self.count);
            self.notices(format!("the server shows {less} items of a safe that had {had}: rolled back"));
            return;
        }
        for item in &answer.items {
            if !self.takes(world, item) {
                return;
            }
        }
        if self.count < answer.count {
            let (promised, has) = (answer.count, self.count);
            self.notices(format!("the server promises {promised} items and gives {has}"));
            return;
        }
        self.verified.raise_floor(self.members.count());
    }

    /// Takes one item; whether it stands.
    fn takes(&mut self, world: &LabSafe, item: &Item) -> bool {
        let number = self.count + 1;
        let refused = |what: &str, why: NotTaken| match why {
            NotTaken::Fault(fault) => format!("{what} {number} is refused: {fault}"),
            NotTaken::BelowFloor(fault) => {
                format!("{what} {number} halts the safe: by what is known here, {fault}")
            }
        };
        let taken = match item {
            Item::Certificate(bytes) => {
                let pushed = self.verified.push_certificate(bytes, &self.members).map(drop);
                pushed.map_err(|why| refused("certificate", why))
            }
            Item::Record(bytes) => self.takes_record(world, bytes).map_err(|why| refused("record", why)),
        };
        match taken {
            Ok(()) => self.count += 1,
            Err(why) => {
                self.notices(why);
                return false;
            }
        }
        true
    }

    fn takes_record(&mut self, world: &LabSafe, bytes: &[u8]) -> Result<(), NotTaken> {
        let judged = self.verified.push_record(bytes, &self.members)?;
        let by = judged.effects().by;
        let payload = judged.item().payload();
        let outer = Outer::of(payload, by.user, by.role);
        let author = world.people.iter().find(|person| person.user == by.user);
        let author = author.map_or("somebody", |person| person.name);
        match open_record(&self.keys, payload) {
            Ok(inside) => {
                if inside.root != self.state.state_root() {
                    self.noticed.push(format!(
                        "{author}'s device says that there was another tree before its record"
                    ));
                }
                if let Err(void) = fold(&mut self.state, &inside, &outer) {
                    self.noticed.push(format!("a record of {author}'s device is void: {void}"));
                }
            }
            Err(void) => {
                self.state.pass_over(&outer);
                self.noticed.push(format!("a record of {author}'s device is void: {void}"));
            }
        }
        Ok(())
    }

    /// It opens its box in the ring of an epoch that the safe log names; whether it has the key.
    pub(super) fn opens_ring(&mut self, person: &Person, epoch: u64, head: &[u8], part: &[u8]) -> bool {
        let (organisation, safe) = (self.keys.organisation().clone(), *self.verified.id());
        let Some(record) = self.verified.epoch(epoch).copied() else { return false };
        let expected =
            Expected { organisation: &organisation, safe: &safe, author: &record.author, key: &record.key };
        let (Ok(head), Ok(part)) = (RingHead::decode(head), RingPart::decode(part)) else {
            self.notices("a ring can't be read");
            return false;
        };
        if let Err(fault) = head.fits(&expected).and_then(|()| head.part_fits(0, &part)) {
            self.notices(format!("the server's ring is refused: {fault}"));
            return false;
        }
        let place = head.list.place_of(&person.user).and_then(|(_, at)| part.0.get(at));
        let of = BoxOf { organisation: &organisation, safe: &safe, epoch, user: person.user };
        let Some(Some(sealed)) = place else {
            self.notices("the maker of the key left this member out");
            return false;
        };
        let Ok(key) = open_box(&of, &record.key.key_check, sealed, &person.user_seed) else {
            self.notices("the maker of the key gave this member a wrong box");
            return false;
        };
        self.keys.insert(epoch, key, &record.key.key_check).is_ok()
    }

    /// It opens a box that somebody gave beside the ring.
    pub(super) fn opens_box(&mut self, person: &Person, epoch: u64, sealed: &[u8]) -> bool {
        let (organisation, safe) = (self.keys.organisation().clone(), *self.verified.id());
        let Some(check) = self.verified.epoch(epoch).map(|record| record.key.key_check) else { return false };
        let of = BoxOf { organisation: &organisation, safe: &safe, epoch, user: person.user };
        let Ok(key) = open_box(&of, &check, sealed, &person.user_seed) else {
            self.notices("a box that somebody gave is a wrong one");
            return false;
        };
        self.keys.insert(epoch, key, &check).is_ok()
    }

    /// The same device before it was given the newest key.
    pub(super) fn without_the_newest_key(mut self, world: &LabSafe) -> Self {
        if let Some(keys) = world.former.last() {
            self.keys = keys.copied();
        }
        self
    }

    /// It lets a file out of what a server gives for each object; nothing, where it noticed
    /// something.
    pub(super) fn lets_out(&mut self, name: &str, fetch: impl Fn(ObjectId) -> Vec<u8>) -> Option<Vec<u8>> {
        let content = self.content(name)?;
        let References::Direct(references) = &content.references else { return None };
        let mut out = Vec::new();
        for (number, reference) in (0_u64..).zip(references) {
            let reference = (*reference)?;
            let mut buffer = fetch(reference.object);
            if let Err(why) = open_chunk(&self.keys, content.size, number, &reference, &mut buffer) {
                self.notices(format!("{name} is not let out: {why}"));
                return None;
            }
            out.extend_from_slice(&buffer);
        }
        Some(out)
    }

    /// What the tree says of a file below the root.
    fn content(&self, name: &str) -> Option<Content> {
        let name = EntryName::new(name.as_bytes()).ok()?;
        let root = crate::ids::EntryId::from_bytes(*self.verified.id().as_bytes());
        let entry = self.state.child(root, &name)?;
        self.state.entry(entry)?.content().cloned()
    }

    /// Whether a name is in the tree.
    pub(super) fn has(&self, name: &str) -> bool {
        self.content(name).is_some()
    }

    /// The role that it knows of a member.
    pub(super) fn role_of(&self, person: &Person) -> Option<Role> {
        self.verified.role(&person.user)
    }

    /// The root of its tree.
    pub(super) fn root(&mut self) -> Hash {
        self.state.state_root()
    }
}
