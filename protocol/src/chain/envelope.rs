//! The envelope of every certificate: `[payload, signature]` (docs/protocol.md, *Certificates*).
//!
//! Decides the bytes around a payload. Refuses to re-encode: what was signed is kept, hashed and
//! passed on as it came.

use std::marker::PhantomData;

use minicbor::bytes::ByteVec;
use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

use super::rules::Signed;
use crate::codec::{self, CodecError};
use crate::public_keys::{BadSignature, Context, PreparedKey, Signature, VerifyKey};

/// Bytes of a payload with the signature over them. The rule set `R` says what a payload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<R> {
    /// Canonical encoding of the payload.
    pub payload: ByteVec,
    /// Signature under the rule set's context.
    pub signature: Signature,
    rules: PhantomData<fn() -> R>,
}

impl<R> Envelope<R> {
    /// Puts payload and signature together.
    #[must_use]
    pub const fn new(payload: ByteVec, signature: Signature) -> Self {
        Self { payload, signature, rules: PhantomData }
    }
}

impl<C, R> Encode<C> for Envelope<R> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?;
        self.payload.encode(e, ctx)?;
        self.signature.encode(e, ctx)
    }
}

impl<'b, C, R> Decode<'b, C> for Envelope<R> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let fields = d.array()?.unwrap_or_default();
        if fields < 2 {
            return Err(decode::Error::message("an envelope has two fields"));
        }
        let envelope = Self::new(Decode::decode(d, ctx)?, Decode::decode(d, ctx)?);
        // As every record of this encoding: `codec` refuses what would not be written again.
        (2..fields).try_for_each(|_| d.skip())?;
        Ok(envelope)
    }
}

impl<R: Signed> Envelope<R> {
    /// Reads an envelope, not yet what is inside.
    ///
    /// # Errors
    /// [`CodecError`]; more than [`Signed::ENVELOPE_MAX_BYTES`] are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, R::ENVELOPE_MAX_BYTES)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, author: &VerifyKey) -> Result<(), BadSignature> {
        author.verify(R::CONTEXT, &self.payload, &self.signature)
    }

    /// Checks the signature under a key that was read as a point before.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify_prepared(&self, author: &PreparedKey) -> Result<(), BadSignature> {
        author.verify(R::CONTEXT, &self.payload, &self.signature)
    }

    /// Reads the payload. To know the author's key one has to look inside first; nothing of the
    /// body may be acted on before [`Self::verify`].
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn payload(&self) -> Result<R::Payload, CodecError> {
        codec::decode(&self.payload, R::ENVELOPE_MAX_BYTES)
    }

    /// Signs a payload with `sign`, which applies [`Signed::CONTEXT`], and returns the envelope's
    /// bytes.
    #[must_use]
    pub fn sign(payload: &R::Payload, sign: impl FnOnce(Context, &[u8]) -> Signature) -> Vec<u8> {
        let payload = codec::encode(payload);
        let signature = sign(R::CONTEXT, &payload);
        codec::encode(&Self::new(payload.into(), signature))
    }
}
