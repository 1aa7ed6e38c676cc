//! Names of people and devices: sealed against the server, opened for members (docs/protocol.md,
//! *Sealed names*).
//!
//! Decides how a name is padded, bound to its place and encrypted. Refuses, with one silent `None`,
//! everything that is not a name sealed for exactly this place: only members could tell, so the log
//! stays valid either way.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use minicbor::Encode;
use zeroize::Zeroizing;

use super::certificate::SEALED_NAME_BYTES;
use crate::codec;
use crate::ids::{DeviceId, Label, OrganisationId, UserId};
use crate::keys::{Entropy, NoEntropy, random, then_wipe_stack};
use crate::limits::NAME_MAX_BYTES;
use crate::name_keys::NameKeys;

/// Bytes of the number in front: of the directory key that a name is sealed with.
const NUMBER_BYTES: usize = 4;
/// Bytes of the nonce behind it: random, 24 bytes, so that no counter has to be agreed on between
/// members.
const NONCE_BYTES: usize = 24;
/// Two bytes that say the length, and the longest name.
const PADDED_BYTES: usize = 2 + NAME_MAX_BYTES;
/// Keeps sealed names apart from every other use of a key.
const CONTEXT: &[u8] = b"parsec-name-v1\0";

/// Whose name it is; part of the associated data, so that a sealed name can't be moved to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOf {
    /// The name of a person.
    User(UserId),
    /// The label of a device.
    Device(DeviceId),
}

/// What a name is bound to: an id is not enough, since a user and a device could be given the same
/// one.
#[derive(Encode)]
struct NameBinding<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    kind: u8,
    #[n(2)]
    id: UserId,
    /// Number of the directory key.
    #[n(3)]
    key: u32,
}

/// The associated data of a name.
fn associated_data(organisation: &OrganisationId, whose: NameOf, key: u32) -> Vec<u8> {
    let (kind, id) = match whose {
        NameOf::User(user) => (0, *user.as_bytes()),
        NameOf::Device(device) => (1, *device.as_bytes()),
    };
    let binding = codec::encode(&NameBinding { organisation, kind, id: UserId::from_bytes(id), key });
    [CONTEXT, &binding].concat()
}

/// Seals a name with the newest of the keys: [`SEALED_NAME_BYTES`].
///
/// # Errors
/// [`NoEntropy`].
pub fn seal_name(
    keys: &impl NameKeys,
    organisation: &OrganisationId,
    whose: NameOf,
    name: &Label,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, NoEntropy> {
    let nonce: [u8; NONCE_BYTES] = random(entropy)?;
    let text = name.as_str().as_bytes();
    let mut padded = Zeroizing::new([0; PADDED_BYTES]);
    // A label is 1 to 512 bytes by its type, so its length fits two bytes and its text the padding.
    let length = u16::try_from(text.len()).unwrap_or_default().to_be_bytes();
    for (slot, byte) in padded.iter_mut().zip(length.iter().chain(text)) {
        *slot = *byte;
    }
    let (number, key) = keys.sealing();
    let aad = associated_data(organisation, whose, number);
    let payload = Payload { msg: padded.as_slice(), aad: &aad };
    #[expect(clippy::expect_used, reason = "fails only above 256 GiB; this plaintext has 514 bytes")]
    let ciphertext = then_wipe_stack(|| {
        XChaCha20Poly1305::new(<&Key>::from(key.expose())).encrypt(&XNonce::from(nonce), payload)
    })
    .expect("514 bytes can be sealed");
    Ok([number.to_be_bytes().as_slice(), &nonce, &ciphertext].concat())
}

/// Number of the directory key that a name says to be sealed with; none if it is too short.
#[must_use]
pub fn sealed_with(sealed: &[u8]) -> Option<u32> {
    sealed.first_chunk::<NUMBER_BYTES>().map(|number| u32::from_be_bytes(*number))
}

/// Opens a name; `None` if it isn't one sealed for this place with one of these keys.
#[must_use]
pub fn open_name(
    keys: &impl NameKeys,
    organisation: &OrganisationId,
    whose: NameOf,
    sealed: &[u8],
) -> Option<Label> {
    if sealed.len() != SEALED_NAME_BYTES {
        return None;
    }
    let (number, rest) = sealed.split_first_chunk::<NUMBER_BYTES>()?;
    let number = u32::from_be_bytes(*number);
    let key = keys.opening(number)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let aad = associated_data(organisation, whose, number);
    let payload = Payload { msg: ciphertext, aad: &aad };
    let padded = then_wipe_stack(|| {
        XChaCha20Poly1305::new(<&Key>::from(key.expose())).decrypt(&XNonce::from(*nonce), payload)
    })
    .ok()
    .map(Zeroizing::new)?;
    let (length, rest) = padded.split_first_chunk()?;
    let (text, padding) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    // One spelling for a name: padding that says something would be a channel beside the name.
    if padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    // Another form of the same name would be a second spelling, too.
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().filter(|name: &Label| name.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::DirectoryKey;
    use crate::name_keys::DirectoryKeys;

    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(self.0);
            Ok(())
        }
    }
    struct Dry;
    impl Entropy for Dry {
        fn fill(&mut self, _: &mut [u8]) -> Result<(), NoEntropy> {
            Err(NoEntropy)
        }
    }

    const ALICE: NameOf = NameOf::User(UserId::from_bytes([3; 16]));

    fn key(byte: u8) -> DirectoryKey {
        DirectoryKey::from_bytes(&mut [byte; 32])
    }

    fn organisation() -> OrganisationId {
        "acme".parse().unwrap()
    }

    fn seal(name: &str) -> Vec<u8> {
        seal_name(&key(1), &organisation(), ALICE, &name.parse().unwrap(), &mut Fixed(2)).unwrap()
    }

    /// Seals any plaintext, as a hostile member could.
    fn seal_raw(plaintext: &[u8]) -> Vec<u8> {
        let aad = associated_data(&organisation(), ALICE, 1);
        let ciphertext = XChaCha20Poly1305::new(<&Key>::from(key(1).expose()))
            .encrypt(&XNonce::from([2; 24]), Payload { msg: plaintext, aad: &aad })
            .unwrap();
        [&[0, 0, 0, 1][..], &[2; 24], &ciphertext].concat()
    }

    fn open(sealed: &[u8]) -> Option<Label> {
        open_name(&key(1), &organisation(), ALICE, sealed)
    }

    #[test]
    fn names_of_every_length_come_back_and_look_alike() {
        for name in ["a".to_owned(), "Zoë O’Neill".to_owned(), "x".repeat(64), "\u{1f1e6}".repeat(128)] {
            let sealed = seal(&name);
            assert_eq!(sealed.len(), SEALED_NAME_BYTES);
            assert_eq!(open(&sealed).unwrap().as_str(), name);
        }
    }

    #[test]
    fn the_newest_key_seals_and_its_number_says_which_opens() {
        let mut both = DirectoryKeys::first(key(1));
        assert!(both.insert(2, key(2)));
        let sealed =
            seal_name(&both, &organisation(), ALICE, &"Alice".parse().unwrap(), &mut Fixed(2)).unwrap();
        let open = |keys: &DirectoryKeys, sealed: &[u8]| open_name(keys, &organisation(), ALICE, sealed);
        assert_eq!(sealed[..4], [0, 0, 0, 2]);
        assert_eq!(open(&both, &sealed).unwrap().as_str(), "Alice");
        assert_eq!(open(&DirectoryKeys::first(key(1)), &sealed), None, "who left has the first alone");
        assert_eq!(open(&DirectoryKeys::first(key(2)), &sealed), None, "the same key as the first one");
        assert_eq!(open(&both, &seal("Alice")).unwrap().as_str(), "Alice", "older names stay open");
        let mut moved = sealed;
        moved[3] = 1;
        assert_eq!(open(&DirectoryKeys::first(key(2)), &moved), None, "the number is under the seal");
    }

    #[test]
    fn a_name_opens_in_its_place_only() {
        let sealed = seal("Alice");
        assert!(open(&sealed).is_some());
        let device = NameOf::Device(DeviceId::from_bytes([3; 16]));
        let bob = NameOf::User(UserId::from_bytes([4; 16]));
        assert_eq!(open_name(&key(2), &organisation(), ALICE, &sealed), None, "another key");
        assert_eq!(
            open_name(&key(1), &"acme2".parse().unwrap(), ALICE, &sealed),
            None,
            "another organisation"
        );
        assert_eq!(open_name(&key(1), &organisation(), bob, &sealed), None, "another person");
        assert_eq!(open_name(&key(1), &organisation(), device, &sealed), None, "a device with the same id");
    }

    #[test]
    fn no_byte_can_be_changed_added_or_cut() {
        let sealed = seal("Alice");
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(open(&bad), None, "byte {at}");
            assert_eq!(open(&sealed[..at]), None, "cut at {at}");
        }
        assert_eq!(open(&[sealed.as_slice(), &[0]].concat()), None);
    }

    #[test]
    fn what_a_member_seals_badly_is_unreadable() {
        let mut plaintext = [0; PADDED_BYTES];
        plaintext[..7].copy_from_slice(b"\0\x05Alice");
        assert_eq!(open(&seal_raw(&plaintext)).unwrap().as_str(), "Alice");
        assert_eq!(seal_raw(&plaintext), seal("Alice"), "the layout is the specification's");
        let with = |at: usize, byte: u8| {
            let mut changed = plaintext;
            changed[at] = byte;
            seal_raw(&changed)
        };
        assert_eq!(open(&with(513, 1)), None, "padding that says something");
        assert_eq!(open(&with(1, 0)), None, "no text, and then padding that isn't zero");
        assert_eq!(open(&with(1, 6)), None, "a zero byte in the name");
        assert_eq!(open(&with(0, 2)), None, "longer than there is");
        assert_eq!(open(&with(0, 255)), None, "longer than there is");
        assert_eq!(open(&with(4, 0xff)), None, "not UTF-8");
        assert_eq!(open(&with(4, 0x1b)), None, "an escape sequence for the terminal");
        assert_eq!(open(&seal_raw(&plaintext[..513])), None, "shorter than all others");
        plaintext[..8].copy_from_slice(b"\0\x06Ange\xcc\x81");
        assert_eq!(open(&seal_raw(&plaintext)), None, "not in form C");
    }

    #[test]
    fn no_entropy_no_name() {
        let name = "Alice".parse().unwrap();
        assert_eq!(seal_name(&key(1), &organisation(), ALICE, &name, &mut Dry), Err(NoEntropy));
    }
}
