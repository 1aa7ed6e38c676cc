//! What this device signed as a greeter and has not yet seen in the log.

use parsec_protocol::enrol::io::SealedEnrolment;
use parsec_protocol::ids::{AttemptId, Token};

use super::{Store, StoreError};

#[expect(clippy::todo, unused_variables, clippy::missing_errors_doc, reason = "signatures first; bodies follow")]
impl Store {
    /// Keeps an enrolment; durable when it returns. The same again changes nothing.
    pub fn put_sealed(&self, attempt: AttemptId, token: Token, sealed: &SealedEnrolment) -> Result<(), StoreError> {
        todo!()
    }

    /// All of them, oldest first.
    pub fn sealed(&self) -> Result<Vec<(AttemptId, Token, SealedEnrolment)>, StoreError> {
        todo!()
    }

    /// Forgets one: it is in the log, or void.
    pub fn drop_sealed(&self, attempt: AttemptId) -> Result<(), StoreError> {
        todo!()
    }
}
