//! A safe's verified log and the ends of its journal, in memory: the type that only the rules can
//! make.
//!
//! Decides what stays as it was when an item fails: everything. Refuses what the rules refuse, and
//! what fails where this reader knows more of the organisation than the item's author
//! (docs/protocol.md, *Reader's floor*).

use std::collections::BTreeMap;
use std::convert::Infallible;

use minicbor::{Decode, Encode};

use super::certificate::{self, Body, Key, SafeCertificate, first_journal_head, first_log_head};
use super::effects::{Effects, Holders, Judged};
use super::record::JournalRecord;
use super::roles::Role;
use super::rules::{self, Fault};
use super::view::{Present, SafeView};
use crate::chain::candidate::Candidate;
use crate::chain::head::Head;
use crate::chain::organisation::at::MembersAt;
use crate::chain::view::NotAccepted;
use crate::codec;
use crate::ids::{DeviceId, OrganisationId, SafeId, Timestamp, UserId};
use crate::sealing::KeyHash;

/// Why an item was not taken. The safe is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It breaks a rule at its place, for everybody.
    #[error("{0}")]
    Fault(Fault),
    /// It breaks a rule by what this reader knew of the organisation before: an alarm, and the
    /// safe is read-only here until a person has looked.
    #[error("by what is known here, {0}")]
    BelowFloor(Fault),
}

/// A key of a safe, by what its log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct EpochRecord {
    /// The key, by the certificate that brought it.
    #[n(0)]
    pub key: Key,
    /// Device that made it.
    #[n(1)]
    pub author: DeviceId,
    /// Position of the certificate in the safe's log; 0 is the first.
    #[n(2)]
    pub position: u64,
    /// Whether a later certificate declared it lost: its records are void for everybody.
    #[n(3)]
    pub lost: bool,
}

/// A safe whose items verified from its first certificate on. Its encoding is for this device's own
/// store, which nobody else can write.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct VerifiedSafe {
    #[n(0)]
    organisation: OrganisationId,
    #[n(1)]
    safe: SafeId,
    #[n(2)]
    present: Option<Present>,
    #[cbor(n(3), with = "codec::pairs")]
    roles: BTreeMap<UserId, Role>,
    #[cbor(n(4), with = "codec::pairs")]
    holders: BTreeMap<UserId, KeyHash>,
    #[n(5)]
    epochs: Vec<EpochRecord>,
    #[n(6)]
    floor: u64,
}

impl VerifiedSafe {
    /// The safe before its first certificate.
    #[must_use]
    pub const fn empty(organisation: OrganisationId, safe: SafeId) -> Self {
        Self {
            organisation,
            safe,
            present: None,
            roles: BTreeMap::new(),
            holders: BTreeMap::new(),
            epochs: Vec::new(),
            floor: 0,
        }
    }

    /// Id of the safe, and of its root folder.
    #[must_use]
    pub const fn id(&self) -> &SafeId {
        &self.safe
    }

    /// What it is after its last item; none before its first.
    #[must_use]
    pub const fn present(&self) -> Option<&Present> {
        self.present.as_ref()
    }

    /// The role that the safe's log gives a user, whatever the organisation's log says.
    #[must_use]
    pub fn role(&self, user: &UserId) -> Option<Role> {
        self.roles.get(user).copied()
    }

    /// All roles that the safe's log gives, ascending by user id.
    pub fn roles(&self) -> impl Iterator<Item = (&UserId, Role)> {
        self.roles.iter().map(|(user, role)| (user, *role))
    }

    /// All who have the present key, or may have, and the encryption key that counts for each.
    pub fn holders(&self) -> impl Iterator<Item = (&UserId, &KeyHash)> {
        self.holders.iter()
    }

    /// A key by its number.
    #[must_use]
    pub fn epoch(&self, epoch: u64) -> Option<&EpochRecord> {
        self.epochs.get(usize::try_from(epoch).ok()?)
    }

    /// All keys, the present one last.
    #[must_use]
    pub fn epochs(&self) -> &[EpochRecord] {
        &self.epochs
    }

    /// How much of the organisation's log was known here when the server last said where the safe
    /// ends.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// The payload of a certificate that would stand next, where the organisation's log ends at
    /// `seen`; of the first one, too. Whether it may, [`Self::judge_certificate`] says.
    #[must_use]
    pub fn next_certificate(
        &self,
        seen: Head,
        author: DeviceId,
        time: Timestamp,
        body: Body,
    ) -> certificate::Payload {
        let (organisation, safe) = (self.organisation.clone(), self.safe);
        let first = || {
            let log = first_log_head(&organisation, &safe, &author);
            (log, first_journal_head(&organisation, &safe, &author))
        };
        let ends = self.present.map(|present| (present.log, present.journal));
        let (previous, place) = ends.unwrap_or_else(first);
        certificate::Payload { organisation, safe, previous, place, seen, author, time, body }
    }

    /// Judges all further items at `m` or later. To be called where the safe is here as far as the
    /// server said it is, in an answer to a question asked with at least `m`.
    pub fn raise_floor(&mut self, m: u64) {
        self.floor = self.floor.max(m);
    }

    /// Judges further items by what their authors had seen alone: a person has looked at them. To
    /// be followed by [`Self::raise_floor`] behind the last of them.
    pub const fn forget_floor(&mut self) {
        self.floor = 0;
    }

    /// Whether a certificate may stand next, without taking it in.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn judge_certificate<'a, M: MembersAt<Error = Infallible>>(
        &self,
        envelope: &'a [u8],
        members: &M,
    ) -> Result<Judged<'a, SafeCertificate>, NotTaken> {
        let read = || Candidate::read(envelope);
        let judged = rules::judge_certificate(self, members, read).map_err(by_rule)?;
        rules::certificate_holds_at(self, members, judged.item().payload(), self.floor).map_err(by_floor)?;
        Ok(judged)
    }

    /// Whether a record may stand next, without taking it in.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn judge_record<'a, M: MembersAt<Error = Infallible>>(
        &self,
        envelope: &'a [u8],
        members: &M,
    ) -> Result<Judged<'a, JournalRecord>, NotTaken> {
        let read = || Candidate::read(envelope);
        let judged = rules::judge_record(self, members, read).map_err(by_rule)?;
        rules::record_holds_at(self, members, judged.item().payload(), self.floor).map_err(by_floor)?;
        Ok(judged)
    }

    /// Takes in the next certificate, and says what it changed.
    ///
    /// # Errors
    /// [`NotTaken`]; the safe is as it was.
    pub fn push_certificate<'a, M: MembersAt<Error = Infallible>>(
        &mut self,
        envelope: &'a [u8],
        members: &M,
    ) -> Result<Judged<'a, SafeCertificate>, NotTaken> {
        let judged = self.judge_certificate(envelope, members)?;
        self.apply(judged.effects());
        Ok(judged)
    }

    /// Takes in the next record, and says whose it is.
    ///
    /// # Errors
    /// [`NotTaken`]; the safe is as it was.
    pub fn push_record<'a, M: MembersAt<Error = Infallible>>(
        &mut self,
        envelope: &'a [u8],
        members: &M,
    ) -> Result<Judged<'a, JournalRecord>, NotTaken> {
        let judged = self.judge_record(envelope, members)?;
        self.apply(judged.effects());
        Ok(judged)
    }

    /// Whether a new key is due at `n` certificates of the organisation's log. False before the
    /// first certificate.
    #[must_use]
    pub fn is_due<M: MembersAt<Error = Infallible>>(&self, members: &M, n: u64) -> bool {
        match rules::is_due(self, members, n) {
            Ok(due) => due,
            Err(never) => match never {},
        }
    }

    /// Who may take the safe over, at `n` certificates of the organisation's log. None while
    /// somebody counts as its owner, and before the first certificate.
    #[must_use]
    pub fn successors<M: MembersAt<Error = Infallible>>(&self, members: &M, n: u64) -> Option<Vec<UserId>> {
        self.present?;
        match rules::successors(self, members, n) {
            Ok(successors) => successors,
            Err(never) => match never {},
        }
    }

    /// Takes in what rules with a defence less have accepted: to see what that leads to.
    #[cfg(test)]
    pub(crate) fn apply_of_weak_rules(&mut self, effects: &Effects) {
        self.apply(effects);
    }

    fn apply(&mut self, effects: &Effects) {
        for change in &effects.roles {
            match change.role {
                Some(role) => self.roles.insert(change.user, role),
                None => self.roles.remove(&change.user),
            };
        }
        let joined = match &effects.holders {
            Holders::Joined(joined) => joined,
            Holders::Replaced(ring) => {
                self.holders.clear();
                ring
            }
        };
        self.holders.extend(joined.0.iter().map(|recipient| (recipient.user, recipient.key)));
        if let Some(key) = effects.key {
            let lost = usize::try_from(key.lost).unwrap_or(usize::MAX);
            self.epochs.iter_mut().rev().take(lost).for_each(|epoch| epoch.lost = true);
            let position = effects.present.log.count.saturating_sub(1);
            let author = effects.by.device;
            self.epochs.push(EpochRecord { key, author, position, lost: false });
        }
        self.present = Some(effects.present);
    }
}

fn by_rule(refused: NotAccepted<Fault, Infallible>) -> NotTaken {
    NotTaken::Fault(refused.fault())
}

fn by_floor(refused: NotAccepted<Fault, Infallible>) -> NotTaken {
    NotTaken::BelowFloor(refused.fault())
}

impl SafeView for VerifiedSafe {
    type Error = Infallible;

    fn organisation(&self) -> &OrganisationId {
        &self.organisation
    }

    fn safe(&self) -> &SafeId {
        &self.safe
    }

    fn present(&self) -> Result<Option<Present>, Infallible> {
        Ok(self.present)
    }

    fn role(&self, user: &UserId) -> Result<Option<Role>, Infallible> {
        Ok(self.roles.get(user).copied())
    }

    fn roles(&self) -> Result<BTreeMap<UserId, Role>, Infallible> {
        Ok(self.roles.clone())
    }

    fn holders(&self) -> Result<BTreeMap<UserId, KeyHash>, Infallible> {
        Ok(self.holders.clone())
    }
}
