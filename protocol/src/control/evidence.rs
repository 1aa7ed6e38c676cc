//! What the methods about evidence take and give: the log certificate by certificate, exports and
//! imports, fork proofs, receipts.
//!
//! Decides how bytes of files travel: in parts, each small enough for a line. Refuses a part that
//! is not base64url.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::methods::{DeviceSelector, ProfileName};
use crate::ids::{DeviceId, OrganisationId, Timestamp};
use crate::public_keys::VerifyKey;

/// Most bytes of files in one answer or request: with base64's third more, half a line.
pub const PART_MAX_BYTES: usize = 384 * 1024;
/// Most certificates in one answer or request.
pub const PART_MAX_CERTIFICATES: usize = 500;
/// Most entries of `trust.log` in one answer: each is under a kilobyte.
pub const LOG_ENTRIES_MAX: usize = 500;

/// Bytes of a file: base64url without padding in JSON (RFC 4648 section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBytes(pub Vec<u8>);

impl Serialize for FileBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Base64UrlUnpadded::encode_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for FileBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = Base64UrlUnpadded::decode_vec(&text);
        bytes.map(Self).map_err(|_| serde::de::Error::custom("not base64url"))
    }
}

/// `trust.log`: what was certified, from a position on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustLog {
    /// The device that answers, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The first position; 0 if absent.
    #[serde(default)]
    pub from: u64,
}

/// What a certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A new member was certified.
    User,
    /// A member's new device was certified.
    Device,
    /// A member may do something else.
    Profile,
    /// A member is none any more.
    UserRevoked,
    /// A device is not trusted any more.
    DeviceRevoked,
    /// A member is sealed to with another key.
    UserKey,
    /// Names are sealed with another key.
    DirectoryKey,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// One certificate of the log, as `trust.log` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogEntry {
    /// Where in the log; 0 is the first.
    pub position: u64,
    /// The kind of statement that it makes.
    pub kind: EntryKind,
    /// Of whom or what, in words: name, address, label.
    pub subject: String,
    /// What the member may do from here on; absent where it is about a device, or an end.
    pub profile: Option<ProfileName>,
    /// Who signed, in words; `root` for the first two.
    pub signed_by: String,
    /// When, by the signer's clock.
    pub time: Timestamp,
}

/// Result of `trust.log`: one page of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustLogResult {
    /// How many certificates the log has.
    pub count: u64,
    /// The log's head, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub head: String,
    /// [`LOG_ENTRIES_MAX`] at most, in the log's order.
    pub entries: Vec<LogEntry>,
}

/// `trust.export`: the certificates from a position on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustExport {
    /// The device that exports, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The first position; 0 if absent.
    #[serde(default)]
    pub from: u64,
}

/// `trust.export`: one part of docs/protocol.md's exported log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustExported {
    /// The organisation whose log this is.
    pub organisation: OrganisationId,
    /// What it hangs from, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$")))]
    pub root: VerifyKey,
    /// Envelopes in order, [`PART_MAX_CERTIFICATES`] and [`PART_MAX_BYTES`] at most.
    pub certificates: Vec<FileBytes>,
    /// Where the log ends, signed by this device; in the part with which it ends.
    pub head: Option<FileBytes>,
}

/// `trust.import`: certificates of an exported log, from a position on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustImport {
    /// The device that checks the log and takes it in.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Whose log the file says it is.
    pub organisation: OrganisationId,
    /// And what it hangs from.
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$")))]
    pub root: VerifyKey,
    /// The position of the first.
    pub from: u64,
    /// Envelopes in order, [`PART_MAX_CERTIFICATES`] and [`PART_MAX_BYTES`] at most.
    pub certificates: Vec<FileBytes>,
    /// The file's signed head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<FileBytes>,
}

/// Result of `trust.import`: what the part added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustImported {
    /// How many certificates this device's log has now.
    pub count: u64,
    /// How many of them came with this part.
    pub added: u64,
}

/// `trust.fork`: the proof that goes with an alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustFork {
    /// The device that noticed it.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The alarm's number among that device's.
    pub alarm: u64,
    /// From which byte on; 0 if absent.
    #[serde(default)]
    pub offset: u64,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FilePart {
    /// How many bytes the whole file has.
    pub length: u64,
    /// [`PART_MAX_BYTES`] at most; none behind the end.
    pub bytes: FileBytes,
}

/// An enrolment that this device certified, and has the receipt of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReceiptItem {
    /// The device that was let in.
    pub device: DeviceId,
    /// What it is called, of whom, in words.
    pub subject: String,
    /// When it was certified.
    pub time: Timestamp,
}

/// Result of `receipt.list`: the enrolments that this device signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReceiptListResult {
    /// Enrolments that this device made, newest first.
    pub receipts: Vec<ReceiptItem>,
}

/// `receipt.export`: one receipt as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReceiptExport {
    /// The device that certified.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The device that was let in: the whole id.
    pub device: DeviceId,
}
