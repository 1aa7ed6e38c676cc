//! A safe and its organisation's log as the rows hold them: the views that the rules ask.
//!
//! Decides nothing: the protocol's rules do, over these, exactly as every member asks them over a
//! safe in memory.

use std::collections::BTreeMap;

use parsec_protocol::chain::organisation::at::{DeviceAt, MembersAt, UserAt};
use parsec_protocol::ids::{DeviceId, OrganisationId, SafeId, UserId};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::view::{Present, SafeView};
use parsec_protocol::sealing::KeyHash;

use crate::store::log::StoredView;
use crate::store::safes::{SafeKey, SafeRow};
use crate::store::{StoreError, Tx};

/// A safe in one transaction.
pub(crate) struct StoredSafe<'a> {
    pub(crate) tx: &'a dyn Tx,
    pub(crate) of: SafeKey<'a>,
    /// The safe after its last item; none before its first.
    pub(crate) row: Option<&'a SafeRow>,
}

impl SafeView for StoredSafe<'_> {
    type Error = StoreError;

    fn organisation(&self) -> &OrganisationId {
        self.of.organisation
    }

    fn safe(&self) -> &SafeId {
        self.of.safe
    }

    fn present(&self) -> Result<Option<Present>, StoreError> {
        Ok(self.row.map(|row| row.present))
    }

    fn role(&self, user: &UserId) -> Result<Option<Role>, StoreError> {
        self.tx.role(self.of, user)
    }

    fn roles(&self) -> Result<BTreeMap<UserId, Role>, StoreError> {
        Ok(self.tx.roles(self.of)?.into_iter().collect())
    }

    fn holders(&self) -> Result<BTreeMap<UserId, KeyHash>, StoreError> {
        Ok(self.tx.holders(self.of)?.into_iter().collect())
    }
}

/// The organisation's log at any place from its newest certificate on that is no enrolment. No
/// other place is asked about: who has not seen that far is refused as `behind` first, so that no
/// moment is left in which somebody who is revoked can still write. Therefore the present rows
/// suffice: behind such a place there are enrolments alone, and rows know their positions.
impl MembersAt for StoredView<'_> {
    fn organisation(&self) -> &OrganisationId {
        StoredView::organisation(self)
    }

    fn user_at(&self, user: &UserId, n: u64) -> Result<Option<UserAt>, StoreError> {
        self.tx().user_at(StoredView::organisation(self), user, n)
    }

    fn device_at(&self, device: &DeviceId, n: u64) -> Result<Option<DeviceAt>, StoreError> {
        self.tx().device_at(StoredView::organisation(self), device, n)
    }

    fn changed_before(&self, n: u64) -> Result<Option<u64>, StoreError> {
        let changed = self.tx().changed_up_to(StoredView::organisation(self))?;
        Ok(changed.checked_sub(1).filter(|position| *position < n))
    }
}
