//! Recovery kits: a device on paper, all of whose keys come out of 24 words (docs/protocol.md,
//! *Recovery kit*).
//!
//! Decides what the words say, and that they name the organisation beside the secret: a server that
//! shows another organisation's log, made up for this, has another root key. Refuses words that are
//! not in the list, and says which; whether a kit is in the log, the log says.

use bip39::{Language, Mnemonic};
use hkdf::Hkdf;
use minicbor::Encode;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::codec;
use crate::ids::{DeviceId, OrganisationId};
use crate::keys::{DeviceSeed, DeviceSigningKey, Entropy, KitSeed, NoEntropy, then_wipe_stack};
use crate::public_keys::VerifyKey;

/// Words of a kit: 32 bytes and their checksum, 11 bits each (BIP-39).
pub const KIT_WORDS: usize = 24;
/// Random bytes of a kit. 160 bits: with one kit in a thousand million to find, 130 are left.
const SECRET_BYTES: usize = 20;
/// Bytes of the root key's hash. 96 bits: whoever makes up an organisation has to find a root key
/// that fits, not two that fit each other.
const ROOT_CHECK_BYTES: usize = 32 - SECRET_BYTES;
/// Letters that tell each word of the list from all others (BIP-39).
const TELLING_LETTERS: usize = 4;
/// Longest text that is read: 24 words of at most 8 letters, their numbers and what stands between.
pub const WORDS_MAX_BYTES: usize = 1_024;

const ROOT_CONTEXT: &[u8] = b"parsec-recovery-root-v1\0";
const KEY_CONTEXT: &[u8] = b"parsec-recovery-v1 ";

/// What a root key and its organisation are hashed as.
#[derive(Encode)]
struct RootOf<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    root: &'a VerifyKey,
}

fn root_check(organisation: &OrganisationId, root: &VerifyKey) -> [u8; ROOT_CHECK_BYTES] {
    let hash = Sha256::new()
        .chain_update(ROOT_CONTEXT)
        .chain_update(codec::encode(&RootOf { organisation, root }))
        .finalize();
    let mut check = [0; ROOT_CHECK_BYTES];
    check.iter_mut().zip(hash).for_each(|(to, byte)| *to = byte);
    check
}

impl KitSeed {
    /// Draws a kit for the organisation with this root key.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn draw(
        organisation: &OrganisationId,
        root: &VerifyKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, NoEntropy> {
        let mut bytes = Zeroizing::new([0; 32]);
        let (secret, check) = bytes.split_at_mut(SECRET_BYTES);
        entropy.fill(secret)?;
        check.copy_from_slice(&root_check(organisation, root));
        Ok(Self::from_bytes(&mut bytes))
    }

    /// Whether the kit was made for the organisation with this root key.
    #[must_use]
    pub fn is_for(&self, organisation: &OrganisationId, root: &VerifyKey) -> bool {
        let (_, check) = self.expose().split_at(SECRET_BYTES);
        check.ct_eq(&root_check(organisation, root)).into()
    }

    /// The words, with one space between two.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        // Long enough from the beginning: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(WORDS_MAX_BYTES));
        #[expect(
            clippy::expect_used,
            reason = "fails for other lengths than those of BIP-39; 32 bytes are one"
        )]
        let mnemonic = then_wipe_stack(|| Mnemonic::from_entropy(self.expose())).expect("32 bytes");
        for word in mnemonic.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// Reads words as people type them: in lines, in capitals, with the numbers that stand before
    /// them on the page, and each with four letters at least.
    ///
    /// # Errors
    /// [`WordsFault`], with the place of the first wrong word.
    pub fn from_words(text: &str) -> Result<Self, WordsFault> {
        if text.len() > WORDS_MAX_BYTES {
            return Err(WordsFault::Count(usize::MAX));
        }
        let mut whole = Zeroizing::new(String::with_capacity(WORDS_MAX_BYTES));
        let mut count = 0_usize;
        for given in text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
            count = count.saturating_add(1);
            let word = whole_word(given).ok_or(WordsFault::Unknown(count))?;
            if count <= KIT_WORDS {
                if count > 1 {
                    whole.push(' ');
                }
                whole.push_str(word);
            }
        }
        if count != KIT_WORDS {
            return Err(WordsFault::Count(count));
        }
        then_wipe_stack(|| {
            let read = Mnemonic::parse_in_normalized(Language::English, &whole);
            let mnemonic = read.map_err(|_| WordsFault::Checksum)?;
            let (mut entropy, length) = mnemonic.to_entropy_array();
            let seed = entropy.get(..length).and_then(Self::from_slice);
            entropy.zeroize();
            seed.ok_or(WordsFault::Checksum)
        })
    }

    /// The keys of the kit.
    #[must_use]
    pub fn keys(&self, organisation: &OrganisationId) -> KitKeys {
        let mut device = [0; 16];
        self.derive(b"device id", organisation, &mut device);
        let mut signing = Zeroizing::new([0; 32]);
        self.derive(b"signing key", organisation, signing.as_mut_slice());
        let mut encryption = Zeroizing::new([0; 32]);
        self.derive(b"encryption key", organisation, encryption.as_mut_slice());
        KitKeys {
            device: DeviceId::from_bytes(device),
            signing_key: DeviceSigningKey::from_bytes(&mut signing),
            device_seed: DeviceSeed::from_bytes(&mut encryption),
        }
    }

    fn derive(&self, purpose: &[u8], organisation: &OrganisationId, out: &mut [u8]) {
        let of = codec::encode(organisation);
        let info = [KEY_CONTEXT, purpose, b"\0", &of];
        let derived =
            then_wipe_stack(|| Hkdf::<Sha256>::new(None, self.expose()).expand_multi_info(&info, out));
        #[expect(clippy::expect_used, reason = "fails only above 255 blocks; this is one")]
        derived.expect("HKDF gives up to 32 bytes");
    }
}

/// Whether it is a word of the list, or four letters of one at least.
#[must_use]
pub fn is_word(text: &str) -> bool {
    whole_word(text).is_some()
}

fn whole_word(given: &str) -> Option<&'static str> {
    let given = Zeroizing::new(given.to_ascii_lowercase());
    let fits = |word: &&&str| {
        **word == given.as_str() || given.len() >= TELLING_LETTERS && word.starts_with(given.as_str())
    };
    Language::English.word_list().iter().find(fits).copied()
}

/// Whether a text has the words of a kit, of whatever organisation: before a person is asked for
/// more.
///
/// # Errors
/// As [`KitSeed::from_words`].
pub fn check_words(text: &str) -> Result<(), WordsFault> {
    KitSeed::from_words(text).map(drop)
}

/// What a kit is in the log: a device of kind 1.
#[derive(Debug)]
pub struct KitKeys {
    /// Id of the kit.
    pub device: DeviceId,
    /// Signs as the kit.
    pub signing_key: DeviceSigningKey,
    /// Opens what is sealed to the kit.
    pub device_seed: DeviceSeed,
}

/// Why words are none of a kit. Their reader's fault, who looks at the page once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsFault {
    /// Too few words, or too many: so many.
    #[error("a recovery kit has {KIT_WORDS} words")]
    Count(usize),
    /// The word at this place, from 1.
    #[error("word {0} is not in the list")]
    Unknown(usize),
    /// Each is a word of the list, and together they are not a kit's.
    #[error("the words are in another order, or one of them is another word of the list")]
    Checksum,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::NoEntropy;

    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    fn acme() -> OrganisationId {
        "acme".parse().unwrap()
    }

    fn root(n: u8) -> VerifyKey {
        VerifyKey::from_bytes([n; 32])
    }

    fn kit() -> KitSeed {
        KitSeed::draw(&acme(), &root(1), &mut Fixed(7)).unwrap()
    }

    #[test]
    fn words_say_the_seed_and_come_back_however_they_are_typed() {
        let words = kit().words();
        assert_eq!(words.split(' ').count(), KIT_WORDS);
        let numbered: Vec<_> =
            words.split(' ').zip(1..).map(|(word, n)| format!("{n:2}. {}\n", word.to_uppercase())).collect();
        let short: Vec<_> = words.split(' ').map(|word| &word[..word.len().min(4)]).collect();
        for typed in [words.to_string(), numbered.concat(), short.join("  "), format!("\t{}\n", *words)] {
            assert!(KitSeed::from_words(&typed).unwrap().is_same(&kit()), "{typed}");
        }
    }

    /// Which word, or that the order is wrong: whoever copied 24 words by hand needs to know.
    #[test]
    fn wrong_words_are_named_by_their_place() {
        let words = kit().words();
        let mut each: Vec<&str> = words.split(' ').collect();
        let of = |each: &[&str]| KitSeed::from_words(&each.join(" ")).unwrap_err();
        assert_eq!(of(&each[1..]), WordsFault::Count(23));
        assert_eq!(KitSeed::from_words("").unwrap_err(), WordsFault::Count(0));
        let kept = std::mem::replace(&mut each[16], "parsec");
        assert_eq!(of(&each), WordsFault::Unknown(17));
        each[16] = kept;
        each.reverse();
        assert_eq!(of(&each), WordsFault::Checksum);
        assert!(KitSeed::from_words(&"abandon ".repeat(10_000)).is_err());
    }

    /// An organisation that is made up for this has another root key, and another name is another
    /// organisation, too.
    #[test]
    fn a_kit_is_for_one_organisation() {
        assert!(kit().is_for(&acme(), &root(1)));
        assert!(!kit().is_for(&acme(), &root(2)));
        assert!(!kit().is_for(&"acme2".parse().unwrap(), &root(1)));
        let [mine, other] = [acme(), "acme2".parse().unwrap()].map(|organisation| kit().keys(&organisation));
        assert_ne!(mine.device, other.device);
        assert!(
            !mine.signing_key.is_same(&other.signing_key) && !mine.device_seed.is_same(&other.device_seed)
        );
        assert_ne!(mine.signing_key.expose(), mine.device_seed.expose());
    }

    /// docs/protocol.md, *Recovery kit*: what another implementation must come to.
    #[test]
    fn the_example_of_the_document() {
        let (seed, keys) = (kit(), kit().keys(&acme()));
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let said = [
            hex(seed.expose()),
            seed.words().to_string(),
            keys.device.to_string(),
            keys.signing_key.verify_key().to_string(),
            keys.device_seed.encryption_key().hash().to_string(),
        ];
        let document = include_str!("../../docs/protocol.md");
        let missing: Vec<_> = said.iter().filter(|line| !document.contains(line.as_str())).collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }
}
