//! The walks: who is in each, what they want, what happens around them, and how far it goes.
//!
//! Decides the races: each walk has one that somebody could lose. Refuses size for its own sake.

use super::devices::{Act, Person, Wish};
use super::organisation::{CONTRIBUTOR, Event, OWNER, THIRD, THIRD_OTHER};
use super::space::{
    BEHIND, CALM, Cast, DRAINS, DUE, ENDED, FOOLED, MENDED, PLACE, ROLE, SAVED, SHARED, TREES,
};
use super::weak::Weak;
use crate::safe_log::roles::Role;

const fn person(device: u64, acts: &'static [Act], wishes: &'static [Wish]) -> Person {
    Person { device, acts, wishes }
}

const TWO: &[(u64, Role)] = &[(CONTRIBUTOR, Role::Contributor), (THIRD, Role::Contributor)];

const BASE: Cast = Cast {
    name: "",
    people: &[],
    roles: TWO,
    boxed: false,
    events: &[],
    hostile: &[],
    items: 0,
    forged: 0,
    posts: 2,
};

/// Somebody is removed while others write.
const REMOVING: Cast = Cast {
    name: "removed",
    people: &[
        person(OWNER, &[Act::Remove], &[Wish::Role(THIRD, None)]),
        person(CONTRIBUTOR, &[Act::Write], &[]),
        person(THIRD, &[Act::Write], &[]),
    ],
    ..BASE
};

/// Two write the same file, and two make one name.
const WRITING: Cast = Cast {
    name: "writing",
    people: &[person(OWNER, &[Act::Write, Act::Add], &[]), person(CONTRIBUTOR, &[Act::Write, Act::Add], &[])],
    posts: 3,
    ..BASE
};

/// The same, once and no more.
const WRITING_ONCE: Cast = Cast {
    name: "writing once",
    people: &[person(OWNER, &[Act::Write], &[]), person(CONTRIBUTOR, &[Act::Write], &[])],
    posts: 2,
    ..WRITING
};

/// A member is revoked: two keys are made at once.
const REKEYING: Cast = Cast {
    name: "two keys at once",
    people: &[person(OWNER, &[Act::Write], &[]), person(CONTRIBUTOR, &[Act::Write], &[])],
    events: &[Event::Revoked(THIRD)],
    boxed: true,
    ..BASE
};

/// The owner is revoked, and a contributor is all there is.
const OWNER_GONE: Cast = Cast {
    name: "owner revoked",
    people: &[person(OWNER, &[], &[]), person(CONTRIBUTOR, &[], &[])],
    events: &[Event::Revoked(OWNER)],
    posts: 2,
    ..BASE
};

/// A member leaves by themselves while another writes.
const LEAVING: Cast = Cast {
    name: "leaving",
    people: &[
        person(OWNER, &[], &[]),
        person(CONTRIBUTOR, &[Act::Write], &[]),
        person(THIRD, &[], &[Wish::Role(THIRD, None)]),
    ],
    ..BASE
};

/// A device is lost, and its user's key changes later.
const SUSPENDED: Cast = Cast {
    name: "suspended",
    people: &[person(CONTRIBUTOR, &[Act::Write], &[]), person(THIRD, &[Act::Write], &[])],
    events: &[Event::Lost(THIRD_OTHER), Event::Changed(THIRD, THIRD)],
    ..BASE
};

/// Nobody but readers knows: they bear witness.
const WITNESS: Cast = Cast {
    name: "witness",
    people: &[person(CONTRIBUTOR, &[], &[]), person(OWNER, &[Act::Write], &[])],
    roles: &[(CONTRIBUTOR, Role::Reader), (THIRD, Role::Contributor)],
    events: &[Event::Newcomer, Event::Revoked(THIRD)],
    ..BASE
};

/// With a server that orders, and a network that loses, repeats and delays.
pub(super) const HONEST: &[Cast] =
    &[WRITING, WRITING_ONCE, REMOVING, REKEYING, OWNER_GONE, LEAVING, SUSPENDED, WITNESS];

/// The server gives what it likes, and one member helps it.
const GIVEN: Cast = Cast { hostile: &[THIRD], items: 3, forged: 2, posts: 1, ..BASE };

/// The member is being removed.
const HOSTILE_REMOVED: Cast = Cast {
    name: "hostile, removed",
    people: &[person(OWNER, &[], &[Wish::Role(THIRD, None)]), person(CONTRIBUTOR, &[Act::Write], &[])],
    ..GIVEN
};

/// The member may write no more.
const HOSTILE_LOWERED: Cast = Cast {
    name: "hostile, lowered",
    people: &[
        person(OWNER, &[], &[Wish::Role(THIRD, Some(Role::Reader))]),
        person(CONTRIBUTOR, &[Act::Write], &[]),
    ],
    ..GIVEN
};

/// A key comes without any need.
const HOSTILE_KEY: Cast = Cast {
    name: "hostile, another key",
    people: &[person(OWNER, &[], &[Wish::Key]), person(CONTRIBUTOR, &[Act::Write], &[])],
    ..GIVEN
};

/// The member is revoked, and the server doesn't show it to everybody.
const HOSTILE_REVOKED: Cast = Cast {
    name: "hostile, revoked",
    people: &[person(OWNER, &[Act::Write], &[]), person(CONTRIBUTOR, &[], &[])],
    events: &[Event::Revoked(THIRD)],
    ..GIVEN
};

/// The same of one who was given boxes.
const HOSTILE_BOXED: Cast = Cast { name: "hostile, revoked with a box", boxed: true, ..HOSTILE_REVOKED };

/// An owner is revoked who means harm.
const HOSTILE_OWNER: Cast = Cast {
    name: "hostile, an owner",
    people: &[person(OWNER, &[], &[]), person(CONTRIBUTOR, &[Act::Write], &[])],
    roles: &[(CONTRIBUTOR, Role::Contributor), (THIRD, Role::Owner)],
    events: &[Event::Revoked(THIRD)],
    forged: 1,
    ..GIVEN
};

/// A lost device and the other one of its user, of whom nobody knows who has it.
const HOSTILE_DEVICE: Cast = Cast {
    name: "hostile, a lost device",
    people: &[person(OWNER, &[], &[]), person(CONTRIBUTOR, &[Act::Write], &[])],
    hostile: &[THIRD, THIRD_OTHER],
    events: &[Event::Lost(THIRD_OTHER), Event::Changed(THIRD, THIRD)],
    forged: 1,
    ..GIVEN
};

/// An owner becomes an outsider, and what only owners do is read by others before and after.
const HOSTILE_OUTSIDER: Cast = Cast {
    name: "hostile, an outsider",
    people: &[person(OWNER, &[Act::Name], &[]), person(CONTRIBUTOR, &[], &[]), person(THIRD, &[], &[])],
    hostile: &[THIRD_OTHER],
    forged: 0,
    events: &[Event::Outsider(OWNER)],
    ..GIVEN
};

/// With a server that gives anybody anything.
pub(super) const HOSTILE: &[Cast] = &[
    HOSTILE_REMOVED,
    HOSTILE_LOWERED,
    HOSTILE_KEY,
    HOSTILE_REVOKED,
    HOSTILE_BOXED,
    HOSTILE_OWNER,
    HOSTILE_DEVICE,
    HOSTILE_OUTSIDER,
];

/// Which promise is broken where which defence is out: and the walk in which that is looked for.
pub(super) const WEAKENED: &[(Cast, Weak, &str)] = &[
    (HOSTILE_KEY, Weak::OldEpoch, ENDED),
    (HOSTILE_BOXED, Weak::RingOnly, DUE),
    (HOSTILE_LOWERED, Weak::RoleOnce, ROLE),
    (HOSTILE_LOWERED, Weak::AnyPrevious, PLACE),
    (HOSTILE_LOWERED, Weak::AnyPlace, PLACE),
    (HOSTILE_LOWERED, Weak::AnyCertificate, PLACE),
    (HOSTILE_REVOKED, Weak::SeenFalls, BEHIND),
    (HOSTILE_REVOKED, Weak::NoFloor, FOOLED),
    (HOSTILE_OUTSIDER, Weak::OwnView, TREES),
    (WRITING_ONCE, Weak::NoCompare, SHARED),
    (WRITING, Weak::NoRebase, DRAINS),
    (WRITING_ONCE, Weak::Forgets, SAVED),
    (REKEYING, Weak::Behind, CALM),
    (OWNER_GONE, Weak::OwnersOnly, MENDED),
];

impl Cast {
    /// The same with more of what can be had for time.
    pub(super) const fn deeper(self) -> Self {
        Self { items: if self.items == 0 { 0 } else { self.items + 1 }, posts: self.posts + 1, ..self }
    }
}
