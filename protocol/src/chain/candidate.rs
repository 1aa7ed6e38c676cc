//! One certificate on its way into a log: read, its signature checked, accepted.
//!
//! Decides what can be found out of a certificate alone, without the log and outside of any
//! transaction. Refuses to let any of it count by itself: the rules look at it again beside the
//! log, and only they make an [`Accepted`].

use std::borrow::Cow;

use super::envelope::Envelope;
use super::head::Head;
use super::rules::Signed;
use crate::public_keys::{PreparedKey, VerifyKey};

/// A certificate that was read. Nothing of it is believed.
#[derive(Debug)]
pub struct Candidate<'a, R: Signed> {
    bytes: Cow<'a, [u8]>,
    envelope: Envelope<R>,
    payload: R::Payload,
    findings: R::Findings,
    /// A signature check that was made ahead: under which key, and whether it passed.
    checked: Option<(VerifyKey, bool)>,
}

impl<'a, R: Signed> Candidate<'a, R> {
    /// Reads envelope and payload, and inspects the payload by itself; nothing if either is
    /// malformed.
    #[must_use]
    pub fn read(bytes: impl Into<Cow<'a, [u8]>>) -> Option<Self> {
        let bytes = bytes.into();
        let envelope = Envelope::decode(&bytes).ok()?;
        let payload = envelope.payload().ok()?;
        let findings = R::inspect(&payload);
        Some(Self { bytes, envelope, payload, findings, checked: None })
    }

    /// Checks the signature ahead, under the key that the author is expected to have. Whether that
    /// is the right key, the rules find out beside the log; where it isn't, they check again.
    pub fn verify(&mut self, key: &VerifyKey) {
        self.checked = Some((*key, self.envelope.verify(key).is_ok()));
    }

    /// The same under a key that was read as a point before; a key that is no point has no
    /// signatures.
    pub(super) fn verify_prepared(&mut self, key: VerifyKey, prepared: Option<&PreparedKey>) {
        let holds = prepared.is_some_and(|prepared| self.envelope.verify_prepared(prepared).is_ok());
        self.checked = Some((key, holds));
    }

    /// With any claim about a check that was made ahead.
    #[cfg(test)]
    pub(super) const fn claiming(mut self, checked: Option<(VerifyKey, bool)>) -> Self {
        self.checked = checked;
        self
    }

    /// Whether the signature is by `key`: as it was found ahead under this very key, or as it is
    /// found now.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifyKey) -> bool {
        match &self.checked {
            Some((ahead, holds)) if ahead == key => *holds,
            Some(_) | None => self.envelope.verify(key).is_ok(),
        }
    }

    /// The envelope's bytes, as they came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the certificate says.
    #[must_use]
    pub const fn payload(&self) -> &R::Payload {
        &self.payload
    }

    /// What the rule set found in the payload by itself.
    #[must_use]
    pub const fn findings(&self) -> &R::Findings {
        &self.findings
    }

    /// Makes it the one that follows `before`. Called where the rules have judged so, and nowhere
    /// else.
    pub(crate) fn accept(self, before: Head) -> Accepted<'a, R> {
        Accepted { bytes: self.bytes, payload: self.payload, before }
    }
}

/// A certificate that the rules have accepted as the next one of a log. Nothing else makes one.
#[derive(Debug)]
pub struct Accepted<'a, R: Signed> {
    bytes: Cow<'a, [u8]>,
    payload: R::Payload,
    before: Head,
}

impl<R: Signed> Accepted<'_, R> {
    /// Where the log ends without it.
    #[must_use]
    pub const fn before(&self) -> Head {
        self.before
    }

    /// Where the log ends with it.
    #[must_use]
    pub fn after(&self) -> Head {
        self.before.after(&self.bytes)
    }

    /// Position of the certificate in the log; 0 is the first.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.before.count
    }

    /// The envelope's bytes, as they came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the certificate says.
    #[must_use]
    pub const fn payload(&self) -> &R::Payload {
        &self.payload
    }

    /// The same with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Accepted<'static, R> {
        Accepted { bytes: Cow::Owned(self.bytes.into_owned()), payload: self.payload, before: self.before }
    }

    /// The parts, for the log that takes it in.
    pub(crate) fn into_payload(self) -> R::Payload {
        self.payload
    }
}
