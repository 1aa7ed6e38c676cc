//! What is true of a history, kept without the rules' own means and short-cuts.
//!
//! Decides who has which role, who may have the present key, what was due when an item was made,
//! and so which items stand where none of their kind may. Refuses nothing: it tells, and the walks
//! hold it against what was taken.

use std::collections::BTreeMap;

use super::organisation::{Organisation, PEOPLE};
use crate::safe_log::roles::Role;

/// What must not be, as bits: each stands for a promise that an item in the history has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Wrong(u8);

impl Wrong {
    /// A record of an epoch that had ended.
    pub(super) const ENDED: Self = Self(1);
    /// Written in an epoch that was due by what its author had seen.
    pub(super) const DUE: Self = Self(2);
    /// By somebody whose role doesn't allow it.
    pub(super) const ROLE: Self = Self(4);
    /// At another place than it was made for.
    pub(super) const PLACE: Self = Self(8);
    /// By somebody revoked, behind an item whose author had seen the revocation.
    pub(super) const BEHIND: Self = Self(16);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn and(self, other: Self, is: bool) -> Self {
        if is { Self(self.0 | other.0) } else { self }
    }
}

/// What an item says, as far as this accounts for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Said {
    Record {
        epoch: u64,
    },
    /// A safe begins.
    Created,
    /// Roles of some, a key or none.
    Changed {
        roles: Vec<(u64, Option<Role>)>,
        key: bool,
    },
}

/// The history so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub(super) roles: BTreeMap<u64, Role>,
    /// Who may have the present key, and which of their own keys counts for each.
    holders: BTreeMap<u64, u8>,
    left: bool,
    pub(super) epoch: u64,
    /// The most that an author had seen.
    seen: u8,
}

impl Account {
    /// What remains of a role in the organisation.
    pub(super) fn role(&self, of: &Organisation, number: u64, seen: u8) -> Option<Role> {
        let role = *self.roles.get(&number)?;
        if !of.counts(number, seen) {
            return None;
        }
        Some(if of.is_outsider(number, seen) { role.max(Role::Contributor) } else { role })
    }

    /// Who may do something now.
    pub(super) fn able(&self, of: &Organisation, number: u64, seen: u8) -> Option<Role> {
        self.role(of, number, seen).filter(|_| !of.is_suspended(number, seen))
    }

    /// Whether somebody has the key who must not, looking at everybody.
    pub(super) fn due(&self, of: &Organisation, seen: u8) -> bool {
        self.left
            || self
                .holders
                .iter()
                .any(|(number, key)| self.able(of, *number, seen).is_none() || of.key(*number, seen) != *key)
    }

    /// Whether nobody is an owner, and nobody but outsiders above this role.
    fn may_take_over(&self, of: &Organisation, mine: Role, seen: u8) -> bool {
        PEOPLE.iter().all(|number| {
            let role = self.role(of, *number, seen);
            let outsider = of.is_outsider(*number, seen);
            role != Some(Role::Owner) && (outsider || role.is_none_or(|role| role >= mine))
        })
    }

    /// The history with one item more, and what is wrong with that item.
    pub(super) fn after(
        &self,
        of: &Organisation,
        by: (u64, u64),
        seen: u8,
        said: &Said,
        stands: bool,
    ) -> (Self, Wrong) {
        let (device, number) = by;
        let role = self.able(of, number, seen).filter(|_| !of.is_revoked(device, seen));
        let due = self.due(of, seen);
        let mut after = self.clone();
        after.seen = self.seen.max(seen);
        let behind = of.is_revoked(device, self.seen);
        let mut wrong = Wrong::default().and(Wrong::PLACE, !stands).and(Wrong::BEHIND, behind);
        let mut keyed = false;
        match said {
            Said::Record { epoch } => {
                wrong = wrong
                    .and(Wrong::ENDED, *epoch != self.epoch)
                    .and(Wrong::DUE, due)
                    .and(Wrong::ROLE, !role.is_some_and(Role::writes));
            }
            Said::Created => {
                after.roles.insert(number, Role::Owner);
                keyed = true;
            }
            Said::Changed { roles, key } => {
                let raises = roles.iter().any(|(subject, new)| {
                    let old = self.roles.get(subject).copied();
                    *subject == number && new.is_some_and(|new| old.is_none_or(|old| new < old))
                });
                let may_raise = role.is_some_and(|role| self.may_take_over(of, role, seen));
                let others = roles.iter().any(|(subject, _)| *subject != number);
                let manages = role.is_some_and(Role::manages);
                let may_key = manages || (due && (role.is_some_and(Role::writes) || (raises && may_raise)));
                wrong = wrong
                    .and(Wrong::ROLE, role.is_none() && (others || *key || roles.is_empty()))
                    .and(Wrong::ROLE, (others && !manages) || (*key && !may_key))
                    .and(Wrong::ROLE, raises && !may_raise);
                for (subject, role) in roles {
                    match role {
                        Some(role) => after.roles.insert(*subject, *role),
                        None => after.roles.remove(subject),
                    };
                    after.left |= *subject == number && role.is_none();
                }
                keyed = *key;
                after.epoch += u64::from(*key);
            }
        }
        if keyed {
            after.holders.clear();
            after.left = false;
        }
        for number in PEOPLE {
            if after.able(of, number, seen).is_some() {
                after.holders.entry(number).or_insert_with(|| of.key(number, seen));
            }
        }
        (after, wrong)
    }
}
