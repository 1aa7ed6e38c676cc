//! Judges a vector as a reader would: only from what the file gives.
//!
//! The names of refusals are those of the error types; other implementations may call them
//! otherwise, but must refuse at the same layer.

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind, Envelope};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::members::{NameOf, open_name};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::codec::{self, CodecError};
use parsec_protocol::ids::{DeviceId, Email, IdError, Label, NameError, OrganisationId, UserId};
use parsec_protocol::keys::{DeviceSeed, DirectoryKey, KitSeed, ManifestKey, UserSeed};
use parsec_protocol::manifest::{self, ManifestError};
use parsec_protocol::p2p::Hints;
use parsec_protocol::public_keys::{Context, Hash, Signature, VerifyKey};
use parsec_protocol::recovery::WordsFault;
use parsec_protocol::relay::{AttemptView, NewInvitation, RequestToSign};
use parsec_protocol::sealing::{EncryptionKey, KeyHash, Randomness, Suite, UnsoundKey, seal};
use parsec_protocol::share_plan::{Plan, PlanFault};
use parsec_protocol::shares::{CombineFault, Share, combine};
use parsec_protocol::user_key::UserKey;
use serde_json::{Value, json};

/// Prefixes of the files' names.
pub(crate) const LAYERS: &[&str] = &[
    "codec",
    "certificate",
    "log",
    "name",
    "label",
    "email",
    "hints",
    "manifest",
    "request",
    "receipt",
    "key",
    "box",
    "user-key",
    "kit",
    "directory",
    "plan",
    "share",
];

/// What the file gives if it is accepted, or the refusal.
pub(crate) type Judgement = Result<Value, Value>;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    digits.chunks(2).map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap()).collect()
}

pub(crate) fn text<'a>(given: &'a Value, name: &str) -> &'a str {
    given[name].as_str().unwrap_or_else(|| panic!("the file lacks {name}"))
}

pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(given: &Value, name: &str) -> T {
    text(given, name).parse().unwrap()
}

pub(crate) fn secret(given: &Value, name: &str) -> [u8; 32] {
    unhex(&given[name]).try_into().unwrap()
}

/// Judges by layer.
pub(crate) fn judge(layer: &str, given: &Value) -> Judgement {
    match layer {
        "codec" => codec(given),
        "certificate" => certificate(given),
        "log" => log(given),
        "name" => name(given),
        "label" => label(given),
        "email" => email(given),
        "hints" => hints(given),
        "manifest" => manifest(given),
        "request" => request(given),
        "receipt" => receipt(given),
        "key" => key(given),
        "box" => sealed_box(given),
        "user-key" => user_key(given),
        "kit" => kit(given),
        "directory" => crate::directory::judge(given),
        "plan" => plan(given),
        "share" => share(given),
        other => panic!("unknown layer {other}"),
    }
}

fn codec(given: &Value) -> Judgement {
    let bytes = unhex(&given["bytes"]);
    let max = 4_096;
    let again = match text(given, "record") {
        "head" => codec::decode::<Head>(&bytes, max).map(|value| codec::encode(&value)),
        "attempt" => codec::decode::<AttemptView>(&bytes, max).map(|value| codec::encode(&value)),
        "new invitation" => codec::decode::<NewInvitation>(&bytes, max).map(|value| codec::encode(&value)),
        other => panic!("unknown record {other}"),
    };
    again.map(|bytes| json!(hex(&bytes))).map_err(|error| {
        let name = match error {
            CodecError::TooLong { .. } => "TooLong",
            CodecError::TooDeep => "TooDeep",
            CodecError::Truncated => "Truncated",
            CodecError::Trailing => "Trailing",
            CodecError::NotCanonical => "NotCanonical",
            CodecError::Unexpected => "Unexpected",
        };
        json!(name)
    })
}

fn certificate(given: &Value) -> Judgement {
    let malformed = |_| json!("Malformed");
    let envelope = Envelope::decode(&unhex(&given["envelope"])).map_err(malformed)?;
    let payload = envelope.payload().map_err(malformed)?;
    envelope.verify(&parsed(given, "author key")).map_err(|_| json!("BadSignature"))?;
    Ok(json!({
        "organisation": payload.organisation, "time": payload.time,
        "seen": [payload.seen.count, payload.seen.hash], "body": hex(&codec::encode(&payload.body)),
    }))
}

fn log(given: &Value) -> Judgement {
    let envelopes: Vec<_> = given["envelopes"].as_array().unwrap().iter().map(unhex).collect();
    let log = VerifiedLog::empty(parsed(given, "organisation"), parsed(given, "root"));
    let log = log
        .extended(envelopes.iter().map(Vec::as_slice))
        .map_err(|error| json!({"position": error.position, "fault": fault_name(error.fault)}))?;
    Ok(json!({
        "head": [log.head().count, log.head().hash],
        "members": log.users().filter(|user| user.revoked.is_none()).map(|user| &user.email).collect::<Vec<_>>(),
        "keys": log.users().map(|user| user.encryption_key).collect::<Vec<_>>(),
        "suspended": log.users().filter(|user| log.is_suspended(&user.user)).map(|user| user.user).collect::<Vec<_>>(),
        "devices": log.devices().filter(|device| device.revoked.is_none()).map(|device| device.device).collect::<Vec<_>>(),
    }))
}

fn name(given: &Value) -> Judgement {
    let whose = match text(given, "kind") {
        "user" => NameOf::User(parsed::<UserId>(given, "id")),
        "device" => NameOf::Device(parsed::<DeviceId>(given, "id")),
        other => panic!("unknown kind {other}"),
    };
    let key = DirectoryKey::from_bytes(&mut secret(given, "directory key"));
    let organisation: OrganisationId = parsed(given, "organisation");
    open_name(&key, &organisation, whose, &unhex(&given["sealed"]))
        .map(|name| json!(name))
        .ok_or_else(|| json!("Unreadable"))
}

/// As a message has it.
fn label(given: &Value) -> Judgement {
    let text = text(given, "text");
    let name: Label = text.parse().map_err(|error| match error {
        IdError::Name(NameError::Empty) => json!("Empty"),
        IdError::Name(NameError::TooLong { .. }) => json!("TooLong"),
        IdError::Name(NameError::TooManyBytes { .. }) => json!("TooManyBytes"),
        IdError::Name(NameError::Character { character, fault, .. }) => {
            json!({"character": format!("U+{:04X}", u32::from(character)), "fault": format!("{fault:?}")})
        }
        other => panic!("{other}"),
    })?;
    if name.as_str() == text { Ok(json!(name)) } else { Err(json!("NotFormC")) }
}

fn email(given: &Value) -> Judgement {
    let text = text(given, "text");
    let email = text.parse::<Email>().map_err(|_| json!("Email"))?;
    if email.as_str() == text { Ok(json!(email)) } else { Err(json!("NotLowerCase")) }
}

fn hints(given: &Value) -> Judgement {
    let texts: Vec<String> = serde_json::from_value(given["hints"].clone()).unwrap();
    let hints =
        Hints::read(&texts, given["here"].as_bool().unwrap()).map_err(|error| json!(format!("{error:?}")))?;
    Ok(json!({
        "peer": hex(hints.peer.as_bytes()),
        "addresses": hints.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "relays": hints.relays.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn manifest(given: &Value) -> Judgement {
    let seed = UserSeed::from_bytes(&mut secret(given, "user's seed"));
    let key: ManifestKey = seed.manifest_key(&parsed(given, "organisation"), &parsed(given, "user"));
    let device: DeviceId = parsed(given, "author");
    let author_key: VerifyKey = parsed(given, "author key");
    let of: KeyHash = parsed(given, "key");
    let manifest::Opened { header, anchor, safes, directory_keys: _ } = manifest::open(
        &unhex(&given["envelope"]),
        &parsed(given, "organisation"),
        &parsed(given, "user"),
        |author| (*author == device).then_some(author_key),
        |named| (*named == of).then_some(key),
    )
    .map_err(|error| match error {
        ManifestError::Codec(_) => json!("Codec"),
        ManifestError::WrongHeader => json!("WrongHeader"),
        ManifestError::Forged => json!("Forged"),
        ManifestError::UnknownKey => json!("UnknownKey"),
    })?;
    Ok(json!({
        "version": header.version, "time": header.time, "anchor": [anchor.count, anchor.hash], "safes": safes.len(),
    }))
}

fn request(given: &Value) -> Judgement {
    let request = RequestToSign {
        organisation: parsed(given, "organisation"),
        device: parsed(given, "device"),
        method: text(given, "method").to_owned(),
        target: text(given, "target").to_owned(),
        time: serde_json::from_value(given["time"].clone()).unwrap(),
        nonce: parsed(given, "nonce"),
        body: Hash::of(&[&unhex(&given["body"])]),
    };
    let (key, signature): (VerifyKey, Signature) = (parsed(given, "key"), parsed(given, "signature"));
    key.verify(Context::Request, &request.bytes(), &signature).map_err(|_| json!("BadSignature"))?;
    Ok(json!(hex(&request.bytes())))
}

fn receipt(given: &Value) -> Judgement {
    let receipt: ClaimReceipt =
        codec::decode(&unhex(&given["receipt"]), 1_024).map_err(|_| json!("Malformed"))?;
    receipt.verify(&parsed(given, "device key")).map_err(|_| json!("BadSignature"))?;
    Ok(json!({
        "handshake": receipt.handshake, "certificates": receipt.certificates, "root": receipt.root,
        "opened": receipt.opened,
    }))
}

/// Names every fault once; a new one doesn't compile until it is listed.
macro_rules! faults {
    ($($name:ident $(as $in_files:ident)?),+ $(,)?) => {
        /// All faults of the log.
        pub(crate) const FAULTS: &[&str] = &[$(name!($name $(as $in_files)?)),+];

        /// The name that stands in files.
        pub(crate) fn fault_name(fault: Fault) -> &'static str {
            match fault { $(Fault::$name => name!($name $(as $in_files)?)),+ }
        }
    };
}

/// A fault's name in files: its own, or another where files are older than the name.
macro_rules! name {
    ($name:ident) => {
        stringify!($name)
    };
    ($name:ident as $in_files:ident) => {
        stringify!($in_files)
    };
}

faults! {
    Malformed, LogFull, WrongOrganisation, NotByRoot, RootTooLate, AuthorUnknown, AuthorRevoked, BadSignature,
    SeenAhead, ForkedView as SeenOther, SeenWentBack, TimeWentBack, NotAFounding, NotAdministrator, UserIdTaken, EmailTaken,
    EncryptionKeyTaken, SealedNameLength, DeviceIdTaken, VerifyKeyTaken, WeakVerifyKey, NotOwnUser,
    TooManyDevices, SubjectUnknown, SubjectRevoked, AboutOneself, SameProfile, StaleProfile, OwnDevice,
    RecoveryDevice, AnothersKey, StaleKey, TooManyKeyChanges, Abandoned,
    NotNext, StaleDirectoryKey, NobodyLeft,
}

fn key(given: &Value) -> Judgement {
    // The number of a suite is its encoding.
    let suite = codec::encode(&given["suite"].as_u64().unwrap());
    if codec::decode::<Suite>(&suite, 16).is_err() {
        return Err(json!("Suite"));
    }
    let key = EncryptionKey::from_bytes(&unhex(&given["key"])).map_err(|error| {
        json!(match error {
            UnsoundKey::Length(_) => "Length",
            UnsoundKey::NotReduced => "NotReduced",
            UnsoundKey::X25519 => "X25519",
        })
    })?;
    Ok(json!({"hash": key.hash()}))
}

fn sealed_box(given: &Value) -> Judgement {
    let seed = UserSeed::from_bytes(&mut secret(given, "seed"));
    let [info, associated, sealed] = ["info", "associated", "box"].map(|name| unhex(&given[name]));
    let opened = seed.open(&sealed, &info, &associated).map_err(|_| json!("OpenError"))?;
    if !given["randomness"].is_null() {
        let drawn = Randomness::from_slice(&unhex(&given["randomness"])).unwrap();
        let again = seal(&seed.encryption_key(), &info, &associated, opened.expose(), drawn);
        if again.as_ref() != Ok(&sealed) {
            return Err(json!("OtherBox"));
        }
    }
    Ok(json!({"plaintext": hex(opened.expose())}))
}

/// A box of a user's key for a device, or of the key before.
fn user_key(given: &Value) -> Judgement {
    let key = UserKey {
        organisation: parsed(given, "organisation"),
        user: parsed(given, "user"),
        key: parsed(given, "key"),
    };
    let sealed = unhex(&given["box"]);
    let opened = match text(given, "kind") {
        "device" => {
            let seed = DeviceSeed::from_bytes(&mut secret(given, "seed"));
            key.open_at_device(&sealed, parsed(given, "device"), &seed)
        }
        "past" => {
            let seed = UserSeed::from_bytes(&mut secret(given, "seed"));
            key.open_past(&sealed, parsed(given, "previous key"), &seed)
        }
        other => panic!("unknown kind {other}"),
    };
    opened.map(|seed| json!({"seed": hex(seed.expose())})).map_err(|_| json!("WrongBox"))
}

/// Words on paper, and the certificate that must be theirs.
fn kit(given: &Value) -> Judgement {
    let kit = KitSeed::from_words(text(given, "words")).map_err(|fault| {
        json!(match fault {
            WordsFault::Count(_) => "Count",
            WordsFault::Unknown(_) => "Unknown",
            WordsFault::Checksum => "Checksum",
        })
    })?;
    let organisation: OrganisationId = parsed(given, "organisation");
    if !kit.is_for(&organisation, &parsed(given, "root")) {
        return Err(json!("OtherOrganisation"));
    }
    let keys = kit.keys(&organisation);
    let (verify_key, hash) = (keys.signing_key.verify_key(), keys.device_seed.encryption_key().hash());
    let envelope = Envelope::decode(&unhex(&given["certificate"])).map_err(|_| json!("Malformed"))?;
    envelope.verify(&parsed(given, "author key")).map_err(|_| json!("BadSignature"))?;
    let said = envelope.payload().map_err(|_| json!("Malformed"))?;
    let its_own = match said.body {
        Body::Device { device, verify_key: key, encryption_key, kind, .. } => {
            (device, key, encryption_key, kind) == (keys.device, verify_key, hash, DeviceKind::Recovery)
        }
        _ => false,
    };
    if !its_own || said.organisation != organisation {
        return Err(json!("OtherCertificate"));
    }
    Ok(json!({
        "bytes": hex(kit.expose()), "device": keys.device, "verify key": verify_key, "key hash": hash,
    }))
}

fn plan(given: &Value) -> Judgement {
    let key = parsed(given, "kit's verify key");
    let plan = Plan::read(&unhex(&given["plan"]), |_| Ok(key)).map_err(|fault| {
        json!(match fault {
            PlanFault::Malformed => "Malformed",
            PlanFault::Members => "Members",
            PlanFault::BadSignature => "BadSignature",
            PlanFault::NoKit | PlanFault::Revoked => "NoKit",
        })
    })?;
    Ok(json!({
        "organisation": plan.organisation, "user id": plan.user, "device id": plan.kit,
        "threshold": plan.threshold,
        "members": plan.members.iter().map(|it| json!([it.user, it.commitment])).collect::<Vec<_>>(),
    }))
}

fn share(given: &Value) -> Judgement {
    let plan = Plan::unverified(&unhex(&given["plan"])).map_err(|_| json!("Malformed"))?;
    let mut opened = Vec::new();
    for one in given["shares"].as_array().unwrap() {
        let user: UserId = parsed(one, "user id");
        let seed = UserSeed::from_bytes(&mut secret(one, "seed"));
        let share = Share::open_of_member(&unhex(&one["box"]), &plan, user, &seed);
        opened.push((user, share.map_err(|_| json!("WrongBox"))?));
    }
    let shares: Vec<(UserId, &Share)> = opened.iter().map(|(user, share)| (*user, share)).collect();
    let kit = combine(&plan, &shares).map_err(|fault| match fault {
        CombineFault::TooFew => json!("TooFew"),
        CombineFault::FalseShare(user) => json!({"FalseShare": user}),
        CombineFault::OtherKit => json!("OtherKit"),
    })?;
    Ok(json!({"bytes": hex(kit.expose())}))
}
