//! Boxes: the key of an epoch, sealed to one member.
//!
//! Decides what a box is: a function of the key and of whom it is for, so that every holder can
//! make the very same one, find a wrong one, and post the right one for whoever lacks it. Refuses a
//! box whose key is not the one that the safe log names.

use minicbor::Encode;

use super::keys::EpochKey;
use crate::codec;
use crate::ids::{OrganisationId, SafeId, UserId};
use crate::keys::{SafeKey, UserSeed};
use crate::public_keys::Hash;
use crate::sealing::{EncryptionKey, KeyHash, SECRET_BOX_BYTES, seal};

/// Keeps these boxes apart from every other use of a user's key.
const BOX_USE: &str = "parsec-box-v1";

/// The `info` of a box.
#[derive(Encode)]
struct BoxUse<'a> {
    #[n(0)]
    name: &'static str,
    #[n(1)]
    organisation: &'a OrganisationId,
    #[n(2)]
    safe: &'a SafeId,
    #[n(3)]
    epoch: u64,
    #[n(4)]
    user: UserId,
    #[n(5)]
    key: KeyHash,
}

/// The box does not give the epoch's key: it is for somebody else, damaged, or its maker put
/// another key into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the box does not give the safe's key")]
pub struct WrongBox;

/// Whose box it is: everything that it is bound to but the key in it.
#[derive(Debug, Clone, Copy)]
pub struct BoxOf<'a> {
    /// The organisation that the safe is one of.
    pub organisation: &'a OrganisationId,
    /// The safe whose key is in the box.
    pub safe: &'a SafeId,
    /// Number of the key's epoch.
    pub epoch: u64,
    /// The member whom it is for.
    pub user: UserId,
}

impl BoxOf<'_> {
    fn info(&self, key: KeyHash) -> Vec<u8> {
        let Self { organisation, safe, epoch, user } = *self;
        codec::encode(&BoxUse { name: BOX_USE, organisation, safe, epoch, user, key })
    }
}

/// The box with `key` for a member whose encryption key is `to`: always the same bytes.
#[must_use]
pub fn make_box(key: &EpochKey<'_>, user: UserId, to: &EncryptionKey) -> Vec<u8> {
    let of = key.epoch();
    let of = BoxOf { organisation: &of.organisation, safe: &of.safe, epoch: of.number, user };
    let named = to.hash();
    let randomness = key.box_randomness(user, named);
    let sealed = seal(to, &of.info(named), &[], key.key().expose(), randomness);
    #[expect(clippy::expect_used, reason = "fails only for a use of over 1,024 bytes; this has under 200")]
    let sealed = sealed.expect("a key can be sealed");
    debug_assert_eq!(sealed.len(), SECRET_BOX_BYTES);
    sealed
}

/// Whether `sealed` is the box that this member should have.
#[must_use]
pub fn is_right(key: &EpochKey<'_>, user: UserId, to: &EncryptionKey, sealed: &[u8]) -> bool {
    make_box(key, user, to) == sealed
}

/// Opens one's own box; `check` is what the safe log says of the epoch's key. One whose key is
/// right and whose randomness is not opens too: it serves, and others find it.
///
/// # Errors
/// [`WrongBox`].
pub fn open_box(of: &BoxOf<'_>, check: &Hash, sealed: &[u8], seed: &UserSeed) -> Result<SafeKey, WrongBox> {
    let info = of.info(seed.encryption_key().hash());
    let opened = seed.open(sealed, &info, &[]).map_err(|_| WrongBox)?;
    let key = SafeKey::from_slice(opened.expose()).ok_or(WrongBox)?;
    let found = EpochKey::new(of.organisation, of.safe, of.epoch, &key).check();
    if found == *check { Ok(key) } else { Err(WrongBox) }
}
