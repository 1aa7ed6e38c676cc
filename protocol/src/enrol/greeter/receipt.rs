//! Message 8: the new device says that it holds its keys.
//!
//! Decides from the greeter's durable record alone, since the greeter's daemon may have been
//! restarted and locked in between. Refuses a receipt over other certificates, another root,
//! another ceremony, by another key, or without proof that the boxes of message 7 were opened: a
//! certificate must not name an encryption key that somebody else holds, or nobody.

use crate::claim_receipt::ClaimReceipt;
use crate::codec;
use crate::enrol::io::{Closed, Publication, SealedEnrolment};
use crate::enrol::messages::RECEIPT_MAX_BYTES;
use crate::public_keys::Hash;

impl SealedEnrolment {
    /// Checks message 8 against this record alone, as a restarted greeter must.
    ///
    /// # Errors
    /// [`Closed::BadReceipt`] if it isn't the new device's receipt over exactly these certificates
    /// and this root.
    pub fn open_receipt(&self, message: &[u8]) -> Result<Publication, Closed> {
        let receipt: ClaimReceipt =
            codec::decode(message, RECEIPT_MAX_BYTES).map_err(|_| Closed::BadReceipt)?;
        let certificates: Vec<Hash> =
            self.certificates.iter().map(|envelope| Hash::of(&[envelope])).collect();
        let fits = receipt.handshake == self.handshake
            && receipt.root == self.root
            && receipt.opened == self.opened
            && receipt.certificates == certificates
            && receipt.verify(&self.verify_key).is_ok();
        if !fits {
            return Err(Closed::BadReceipt);
        }
        let certificates = self.certificates.iter().map(|envelope| envelope.to_vec()).collect();
        Ok(Publication { certificates, receipt, keys: self.keys.clone() })
    }
}
