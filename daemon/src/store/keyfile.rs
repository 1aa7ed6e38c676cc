//! The key file: an age file under the user's password, holding one canonical record.
//!
//! Decides its work factor, pinned so that a file made on any machine opens on any other and costs
//! a thief the same. Refuses files that ask for more work than this program writes plus room to
//! grow, before doing any of it; records that are not canonical; and a signing seed that does not
//! belong to the certified key, because signing with a mismatched pair gives the seed away. `age
//! -d` with the password opens the file without this program.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use age::secrecy::{ExposeSecret as _, SecretString};
use minicbor::{Decode, Encode};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::codec;
use parsec_protocol::control::SecretText;
use parsec_protocol::enrol::io::NewDevice;
use parsec_protocol::ids::{DeviceId, Email, Label, OrganisationId, UserId};
use parsec_protocol::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, LocalStoreKey, UserSeed};
use parsec_protocol::public_keys::VerifyKey;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation as _;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::{DeviceKeys, PASSWORD_MIN_CHARACTERS, StoreError, memory};

/// Largest key file. A record has under 1,200 bytes, age adds under 300; the rest is room for later
/// keys.
pub(super) const KEY_FILE_MAX_BYTES: usize = 16 * 1024;
/// Most work a key file may ask for: 2^20 KiB = 1 GiB, two steps above [`WorkFactor::PINNED`], for
/// files of a later version. age itself would decide by how fast this machine is just now.
const READ_MAX: u8 = 20;
/// The record's version. What a version 1 held was never released: it had no key of the device.
const FORMAT: u32 = 2;

/// How much work scrypt does to turn a password into a key: 2^n rounds of 1 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkFactor(u8);

impl WorkFactor {
    /// What every key file is written with: 256 MiB and about a second, on any machine, however
    /// busy it is.
    pub const PINNED: Self = Self(18);

    /// Next to no work. Takes effect through [`super::Devices::open_with`] only.
    #[doc(hidden)]
    #[must_use]
    pub const fn for_tests() -> Self {
        Self(2)
    }

    /// Memory that it takes: blocks of 1 KiB (RFC 7914 with r = 8).
    const fn bytes(self) -> u64 {
        1 << (10 + self.0)
    }
}

/// What the file holds. Its order is its format: version 2 never changes, a version 3 would be
/// another struct.
#[derive(Encode, Decode)]
struct Record {
    #[n(0)]
    format: u32,
    #[n(1)]
    organisation: OrganisationId,
    #[n(2)]
    user: UserId,
    #[n(3)]
    device: DeviceId,
    #[n(4)]
    email: Email,
    #[n(5)]
    name: Label,
    #[n(6)]
    device_label: Label,
    #[n(7)]
    profile: Profile,
    #[n(8)]
    typed_codes: bool,
    #[n(9)]
    server: String,
    #[n(10)]
    root: VerifyKey,
    #[n(11)]
    head: Head,
    /// The public half as certified: what the seed must belong to.
    #[n(12)]
    verify_key: VerifyKey,
    #[n(13)]
    user_seed: UserSeed,
    #[n(14)]
    device_seed: DeviceSeed,
    #[n(15)]
    signing_key: DeviceSigningKey,
    #[n(16)]
    store_key: LocalStoreKey,
    #[n(17)]
    directory_key: DirectoryKey,
}

/// [`Record`] without owning the keys, which can't be copied. The same order.
#[derive(Encode)]
struct RecordOf<'a> {
    #[n(0)]
    format: u32,
    #[n(1)]
    organisation: &'a OrganisationId,
    #[n(2)]
    user: UserId,
    #[n(3)]
    device: DeviceId,
    #[n(4)]
    email: &'a Email,
    #[n(5)]
    name: &'a Label,
    #[n(6)]
    device_label: &'a Label,
    #[n(7)]
    profile: Profile,
    #[n(8)]
    typed_codes: bool,
    #[n(9)]
    server: &'a str,
    #[n(10)]
    root: VerifyKey,
    #[n(11)]
    head: Head,
    #[n(12)]
    verify_key: VerifyKey,
    #[n(13)]
    user_seed: &'a UserSeed,
    #[n(14)]
    device_seed: &'a DeviceSeed,
    #[n(15)]
    signing_key: &'a DeviceSigningKey,
    #[n(16)]
    store_key: &'a LocalStoreKey,
    #[n(17)]
    directory_key: &'a DirectoryKey,
}

/// An opened key file: whose it is, the keys that stay in memory, and the one that opens the store.
pub(super) struct Opened {
    pub(super) organisation: OrganisationId,
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) keys: DeviceKeys,
    pub(super) store_key: LocalStoreKey,
}

/// The record of a new device, to be sealed.
pub(super) fn record(new: &NewDevice, server: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let record = RecordOf {
        format: FORMAT,
        organisation: &new.organisation,
        user: new.user,
        device: new.device,
        email: &new.email,
        name: &new.name,
        device_label: &new.device_label,
        profile: new.profile,
        typed_codes: new.typed_codes,
        server,
        root: new.root,
        head: new.seen,
        verify_key: new.signing_key.verify_key(),
        user_seed: &new.user_seed,
        device_seed: &new.device_seed,
        signing_key: &new.signing_key,
        store_key: &new.store_key,
        directory_key: &new.directory_keys.copy_of_first(),
    };
    // All room at once: growing would leave unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_MAX_BYTES));
    let bounded: &mut Vec<u8> = &mut bytes;
    minicbor::encode(&record, bounded).map_err(|_| StoreError::TooLarge("the key file"))?;
    if bytes.len() > KEY_FILE_MAX_BYTES / 2 { Err(StoreError::TooLarge("the key file")) } else { Ok(bytes) }
}

/// Reads a record that came out of a key file whose password was right.
pub(super) fn parse(bytes: &[u8]) -> Result<Opened, StoreError> {
    let mut head = minicbor::Decoder::new(bytes);
    let format =
        head.array().and_then(|_| head.u32()).map_err(|_| StoreError::KeyFileDamaged("no record in it"))?;
    if format > FORMAT {
        return Err(StoreError::TooNew { found: format, known: FORMAT });
    }
    if (1..FORMAT).contains(&format) {
        return Err(StoreError::TooOld { found: format, oldest: FORMAT });
    }
    let record: Record = codec::decode(bytes, KEY_FILE_MAX_BYTES)
        .map_err(|_| StoreError::KeyFileDamaged("its record is malformed"))?;
    if record.format != FORMAT {
        return Err(StoreError::KeyFileDamaged("its record has no version"));
    }
    if record.signing_key.verify_key() != record.verify_key {
        return Err(StoreError::KeyFileDamaged("the signing key is not the certified one"));
    }
    Ok(Opened {
        organisation: record.organisation,
        user: record.user,
        device: record.device,
        keys: DeviceKeys {
            user_seed: Arc::new(record.user_seed),
            device_seed: record.device_seed,
            signing_key: record.signing_key,
            directory_key: record.directory_key,
            root: record.root,
            email: record.email,
            name: record.name,
            device_label: record.device_label,
            profile: record.profile,
            typed_codes: record.typed_codes,
            server: record.server,
            head: record.head,
        },
        store_key: record.store_key,
    })
}

/// Whether a password may protect a key file.
///
/// # Errors
/// [`StoreError::WeakPassword`], [`StoreError::UnfitPassword`].
pub fn check_strength(password: &SecretText) -> Result<(), StoreError> {
    let password = one_spelling(password).ok_or(StoreError::UnfitPassword)?;
    if password.expose_secret().chars().count() < PASSWORD_MIN_CHARACTERS {
        Err(StoreError::WeakPassword)
    } else {
        Ok(())
    }
}

/// The one spelling of a password, the same from every keyboard and editor: OpaqueString (RFC
/// 8265), after form C, because that profile would refuse the pieces that some systems take a
/// Korean syllable apart into. `None`: it holds what no keyboard types, or nothing.
fn one_spelling(password: &SecretText) -> Option<SecretString> {
    // Every copy is wiped by the allocator when it is freed.
    let composed: String = password.expose().nfc().collect();
    OpaqueString::enforce(composed).ok().map(|text| SecretString::from(text.into_owned()))
}

/// Encrypts a record under a password.
///
/// # Errors
/// [`StoreError::WeakPassword`], [`StoreError::NoMemory`]; nothing else in practice.
pub(super) fn seal(record: &[u8], password: &SecretText, work: WorkFactor) -> Result<Vec<u8>, StoreError> {
    check_strength(password)?;
    memory::check(work.bytes())?;
    let failed = |_| StoreError::KeyFileDamaged("it can't be encrypted");
    let password = one_spelling(password).ok_or(StoreError::UnfitPassword)?;
    let mut recipient = age::scrypt::Recipient::new(password);
    recipient.set_work_factor(work.0);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .map_err(|_| StoreError::KeyFileDamaged("it can't be encrypted"))?;
    let mut sealed = Vec::with_capacity(KEY_FILE_MAX_BYTES);
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(failed)?;
    writer.write_all(record).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(sealed)
}

/// Decrypts a key file.
///
/// # Errors
/// [`StoreError::TooMuchWork`] and [`StoreError::NoMemory`] at once; [`StoreError::WrongPassword`],
/// also where the password's own part of the file is damaged, which age can't tell apart;
/// [`StoreError::KeyFileDamaged`].
pub(super) fn unseal(sealed: &[u8], password: &SecretText) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let decryptor = age::Decryptor::new_buffered(sealed).map_err(refusal)?;
    if !decryptor.is_scrypt() {
        return Err(StoreError::KeyFileDamaged("it is not under a password"));
    }
    // More than may be asked for is refused below, with its own error.
    memory::check(work_of(sealed).filter(|work| work.0 <= READ_MAX).unwrap_or(WorkFactor::PINNED).bytes())?;
    // What can't be a password is not this file's.
    let password = one_spelling(password).ok_or(StoreError::WrongPassword)?;
    let mut identity = age::scrypt::Identity::new(password);
    identity.set_max_work_factor(READ_MAX);
    let mut reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(refusal)?;
    let mut record = Zeroizing::new(Vec::with_capacity(KEY_FILE_MAX_BYTES));
    reader
        .read_to_end(&mut record)
        .map_err(|_| StoreError::KeyFileDamaged("its contents do not authenticate"))?;
    Ok(record)
}

/// The work that a key file asks for: the last word of its second line (`-> scrypt SALT WORK`).
/// Only for knowing what it will take; age reads and checks it itself.
fn work_of(sealed: &[u8]) -> Option<WorkFactor> {
    let line = sealed.split(|byte| *byte == b'\n').nth(1)?;
    let line = std::str::from_utf8(line).ok()?.strip_prefix("-> scrypt ")?;
    line.rsplit(' ').next()?.parse().ok().map(WorkFactor)
}

/// Whose keys a key file holds, if the password opens it. For whoever has a file and no folder.
///
/// # Errors
/// As unlocking.
pub fn opens(sealed: &[u8], password: &SecretText) -> Result<DeviceId, StoreError> {
    if sealed.len() > KEY_FILE_MAX_BYTES {
        return Err(StoreError::TooLarge("the key file"));
    }
    Ok(parse(&unseal(sealed, password)?)?.device)
}

fn refusal(error: age::DecryptError) -> StoreError {
    use age::DecryptError as E;
    match error {
        // Only the password's own part fails in these two ways.
        E::DecryptionFailed | E::KeyDecryptionFailed => StoreError::WrongPassword,
        E::ExcessiveWork { required, .. } => StoreError::TooMuchWork(required),
        E::InvalidHeader | E::InvalidMac => StoreError::KeyFileDamaged("its header fails verification"),
        E::NoMatchingKeys => StoreError::KeyFileDamaged("it is not under a password"),
        E::Io(_) => StoreError::KeyFileDamaged("it ends too early"),
        E::UnknownFormat => StoreError::KeyFileDamaged("it is not an age file"),
        // The type is open to later additions; none of them is a key file that opens.
        _ => StoreError::KeyFileDamaged("age refuses it"),
    }
}
