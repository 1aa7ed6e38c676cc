//! The calls about safes: their lists, logs and journals, rings and boxes, and their objects.
//!
//! Decides nothing: each is one try, and idempotent. Whether a certificate, a record or a box is
//! right, whoever asked judges. What is asked for by a hash is compared with it here.

use parsec_protocol::ids::{OrganisationId, SafeId, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    AddedBy, JournalPage, LogPage, NewRecord, NewSafe, ObjectHeads, ObjectIds, ObjectLengths, PostedBoxes,
    RecordAnswer, RoomWanted, SafeCertificate, SafeEntry, SafeList, SafeLogged, SafeRepair, SafeRepaired,
    SafeRoom, SafeTotals, path,
};
use parsec_protocol::relay::{Least, MEDIA_TYPE};
use reqwest::Method;

use super::Member;
use super::objects::{Arriving, Objects};
use crate::transport::TransportError;
use crate::transport::behind::{LagRetry, Seen};
use crate::transport::http::Call;

/// Pages of safes read for one list: as many as a member can have, and some more.
const LIST_PAGES_MAX: usize = 16;

impl Member {
    pub(super) fn organisation(&self) -> &OrganisationId {
        &self.organisation
    }

    /// The safes whose logs give the member a role, or gave one.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn safes(&self) -> Result<Vec<SafeEntry>, TransportError> {
        let mut safes: Vec<SafeEntry> = Vec::new();
        let mut target = path::safes(self.organisation());
        for _ in 0..LIST_PAGES_MAX {
            let page: SafeList = self.ask(Call::new(Method::GET, target)).await?;
            safes.extend(page.safes);
            match page.next {
                Some(next) => target = path::safes_after(self.organisation(), &next),
                None => return Ok(safes),
            }
        }
        Err(TransportError::Misbehaved("its list of safes has no end"))
    }

    /// Makes a safe.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn found_safe(&self, new: &NewSafe) -> Result<SafeLogged, TransportError> {
        self.ask(Call::new(Method::POST, path::safes(self.organisation())).with(new)).await
    }

    /// Certificates of a safe from a position on, of which so many are known.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn safe_log(&self, safe: SafeId, from: u64, least: Least) -> Result<LogPage, TransportError> {
        let page = |least| {
            self.ask(Call::new(Method::GET, path::safe_log_page(self.organisation(), &safe, from, least)))
        };
        LagRetry::default().read(Seen::up_to(least), page).await
    }

    /// Puts a certificate at the end of a safe's log.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn certify_safe(
        &self,
        safe: SafeId,
        new: &SafeCertificate,
    ) -> Result<SafeLogged, TransportError> {
        self.ask(Call::new(Method::POST, path::safe_log(self.organisation(), &safe)).with(new)).await
    }

    /// The encoded head of a ring.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn safe_ring(&self, safe: SafeId, ring: &Hash) -> Result<Vec<u8>, TransportError> {
        self.named(path::safe_ring(self.organisation(), &safe, ring), ring).await
    }

    /// An encoded part of a ring, or a block of past keys.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn safe_part(&self, safe: SafeId, part: &Hash) -> Result<Vec<u8>, TransportError> {
        self.named(path::safe_part(self.organisation(), &safe, part), part).await
    }

    /// Bytes that were asked for by their hash.
    pub(super) async fn named(&self, target: String, hash: &Hash) -> Result<Vec<u8>, TransportError> {
        let bytes = self.server.call(self.signed(Call::new(Method::GET, target))?).await?;
        if Hash::of(&[&bytes]) == *hash {
            Ok(bytes)
        } else {
            Err(TransportError::Misbehaved("bytes are others than their hash names"))
        }
    }

    /// Puts an encoded part of a ring, or a block of past keys.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_safe_part(&self, safe: SafeId, part: Vec<u8>) -> Result<(), TransportError> {
        let target = path::safe_part(self.organisation(), &safe, &Hash::of(&[&part]));
        self.tell(Call { body: Some((MEDIA_TYPE, part)), ..Call::new(Method::PUT, target) }).await
    }

    /// The boxes that were posted for a member beside the ring's own.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn safe_boxes(
        &self,
        safe: SafeId,
        epoch: u64,
        user: UserId,
    ) -> Result<PostedBoxes, TransportError> {
        self.ask(Call::new(Method::GET, path::safe_box(self.organisation(), &safe, epoch, &user))).await
    }

    /// Posts a box for a member who lacks one.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_safe_box(
        &self,
        safe: SafeId,
        epoch: u64,
        user: UserId,
        sealed: Vec<u8>,
    ) -> Result<(), TransportError> {
        let target = path::safe_box(self.organisation(), &safe, epoch, &user);
        self.tell(Call { body: Some((MEDIA_TYPE, sealed)), ..Call::new(Method::PUT, target) }).await
    }

    /// Records of a safe behind so many, of which so many are known.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn safe_journal(
        &self,
        safe: SafeId,
        from: u64,
        least: Least,
    ) -> Result<JournalPage, TransportError> {
        let page = |least| {
            let target = path::safe_journal_page(self.organisation(), &safe, from, least);
            self.ask(Call::new(Method::GET, target))
        };
        LagRetry::default().read(Seen::up_to(least), page).await
    }

    /// Puts a record at the end of a safe's journal, if it stands next there.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn post_record(&self, safe: SafeId, new: &NewRecord) -> Result<RecordAnswer, TransportError> {
        self.ask(Call::new(Method::POST, path::safe_journal(self.organisation(), &safe)).with(new)).await
    }

    /// Gives back items that the server has lost.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn repair_safe(
        &self,
        safe: SafeId,
        repair: &SafeRepair,
    ) -> Result<SafeRepaired, TransportError> {
        self.ask(Call::new(Method::POST, path::safe_repair(self.organisation(), &safe)).with(repair)).await
    }

    /// Puts objects: `sealed` is the bytes of each, in the order of their heads.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_objects(
        &self,
        safe: SafeId,
        heads: &ObjectHeads,
        sealed: &[Vec<u8>],
    ) -> Result<(), TransportError> {
        let mut body = Vec::with_capacity(heads.body_bytes());
        body.extend_from_slice(&heads.before());
        sealed.iter().for_each(|object| body.extend_from_slice(object));
        let call = Call::new(Method::PUT, path::safe_objects(self.organisation(), &safe));
        let call = Call { body: Some((MEDIA_TYPE, body)), ..call };
        self.server.call(self.signed_over(call, heads.signed_hash())?).await.map(|_| ())
    }

    /// Those of some objects that the server does not have.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn missing_objects(
        &self,
        safe: SafeId,
        objects: &ObjectIds,
    ) -> Result<ObjectIds, TransportError> {
        let target = path::safe_objects_missing(self.organisation(), &safe);
        self.ask(Call::new(Method::POST, target).with(objects)).await
    }

    /// How long some objects are there, in their order; 0 for those that are not.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn object_lengths(
        &self,
        safe: SafeId,
        objects: &ObjectIds,
    ) -> Result<Vec<u32>, TransportError> {
        let target = path::safe_objects_lengths(self.organisation(), &safe);
        let found: ObjectLengths = self.ask(Call::new(Method::POST, target).with(objects)).await?;
        if found.lengths.len() == objects.objects.len() {
            Ok(found.lengths)
        } else {
            Err(TransportError::Misbehaved("it was asked about other objects"))
        }
    }

    /// The server counts what a record has added as added, where it was put again.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn objects_added(&self, safe: SafeId, seq: u64) -> Result<(), TransportError> {
        let target = path::safe_objects_added(self.organisation(), &safe);
        self.tell(Call::new(Method::POST, target).with(&AddedBy { seq })).await
    }

    /// How many bytes a safe takes, and by what.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn safe_totals(&self, safe: SafeId) -> Result<SafeTotals, TransportError> {
        self.ask(Call::new(Method::GET, path::safe_usage(self.organisation(), &safe))).await
    }

    /// Whether so many bytes have room.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn safe_room(&self, safe: SafeId, bytes: u64) -> Result<SafeRoom, TransportError> {
        let target = path::safe_room(self.organisation(), &safe);
        self.ask(Call::new(Method::POST, target).with(&RoomWanted { bytes })).await
    }

    /// Some of the objects that are asked for, in their order, as many as one answer takes: each
    /// with its sealed bytes, which nobody has compared with anything yet.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn fetch_objects(&self, safe: SafeId, objects: &ObjectIds) -> Result<Objects, TransportError> {
        let target = path::safe_objects_fetch(self.organisation(), &safe);
        let call = self.signed(Call::new(Method::POST, target).with(objects))?;
        let wrong = || TransportError::Misbehaved("objects are not what their heads say");
        let mut arriving = Arriving::default();
        self.server.call_into(call, |bytes| arriving.take(bytes).ok_or_else(wrong)).await?;
        arriving.finish().ok_or_else(wrong)
    }
}
