//! The boxes that lead from each key of the user back to the one before.
//!
//! Decides that one is missing or wrong where this device holds both seeds and the server gives
//! none that opens: then a right one goes there. Refuses to fetch a seed for it, and to look twice
//! while the device is unlocked: each is a question to the server.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::Problem;
use parsec_protocol::keys::UserSeed;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{ErrorCode, KeyBoxUpload};
use parsec_protocol::sealing::KeyHash;

use super::Session;
use super::user_keys::own;
use crate::os::{blocking_in, entropy};
use crate::problems;
use crate::transport::retry::answered;

impl Session {
    /// Puts the past boxes there that the server lacks and this device can make.
    ///
    /// # Errors
    /// The server's refusal; the store's.
    pub(super) async fn keep_past_boxes(&self, log: &VerifiedLog) -> Result<(), Problem> {
        for pair in own(self, log)?.keys.windows(2) {
            let [before, after] = pair else { continue };
            if self.user_keys.lead_back.keys().contains(&after.key) {
                continue;
            }
            let previous = self.kept_seed(before.key).await?;
            let Some((previous, seed)) = previous.zip(self.kept_seed(after.key).await?) else { continue };
            self.keep_past_box(after.key, previous, seed).await?;
            self.user_keys.lead_back.keys().insert(after.key);
        }
        Ok(())
    }

    /// The same for a server that may have lost what was there.
    ///
    /// # Errors
    /// As `Self::keep_past_boxes`.
    pub async fn put_past_boxes_back(&self, log: &VerifiedLog) -> Result<(), Problem> {
        self.user_keys.lead_back.keys().clear();
        self.user_keys.boxed.clear();
        self.keep_past_boxes(log).await?;
        self.give_boxes(log).await
    }

    async fn keep_past_box(
        &self,
        key: KeyHash,
        previous: Arc<UserSeed>,
        seed: Arc<UserSeed>,
    ) -> Result<(), Problem> {
        let there = self.fetch_box(key).await?.and_then(|found| found.past);
        let of = self.user_key(key);
        let upload = blocking_in(&self.tasks, move || {
            let before = previous.encryption_key().hash();
            if there.as_ref().is_some_and(|past| of.open_past(past, before, &seed).is_ok()) {
                return Ok(None);
            }
            let replaces = there.map(|past| Hash::of(&[&past]));
            let sealed = of
                .seal_past(&previous, &seed.encryption_key(), &mut entropy::System)
                .map_err(problems::no_entropy)?;
            Ok::<_, Problem>(Some(KeyBoxUpload { replaces, sealed: sealed.into() }))
        })
        .await?;
        let Some(upload) = upload else { return Ok(()) };
        let user = self.open.summary.user;
        match answered(|| self.member.put_past_box(user, &key, &upload)).await {
            Ok(()) => {
                tracing::info!(device = %self.open.summary.device, "the box with an earlier key was put there");
                Ok(())
            }
            // Another device of the user was faster.
            Err(error) if matches!(error.code(), Some(ErrorCode::BoxConflict | ErrorCode::BoxUnknown)) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
