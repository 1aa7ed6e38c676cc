//! The machine of the one who vouches.

use super::io::{Closed, GreeterInput, GreeterOutput, Publication, Refused, SealedEnrolment, Setting};
use crate::ids::Timestamp;
use crate::keys::{Entropy, LinkSecret};
use crate::public::VerifyKey;

/// The greeter's side of one attempt.
#[derive(Debug)]
pub struct Greeter {}

impl Greeter {
    /// Begins: awaits message 0.
    ///
    /// # Errors
    /// [`Refused::NoEntropy`].
    pub fn start(
        setting: Setting,
        link_secret: &LinkSecret,
        root: VerifyKey,
        typed_codes: bool,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, Vec<GreeterOutput>), Refused> {
        todo!("{setting:?} {link_secret:?} {root:?} {typed_codes} {now:?} {:p}", entropy)
    }

    /// Takes what happened; returns what to do, in order.
    ///
    /// # Errors
    /// [`Refused`] changes nothing. What closes the machine is an output, [`GreeterOutput::Closed`].
    pub fn step(
        &mut self,
        input: GreeterInput<'_>,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<GreeterOutput>, Refused> {
        todo!("{input:?} {now:?} {:p}", entropy)
    }
}

impl SealedEnrolment {
    /// Checks message 8 against this record alone, as a restarted greeter must.
    ///
    /// # Errors
    /// [`Closed::BadReceipt`] if it isn't the new device's receipt over exactly these certificates and this root.
    pub fn open_receipt(&self, message: &[u8]) -> Result<Publication, Closed> {
        todo!("{message:?}")
    }
}
