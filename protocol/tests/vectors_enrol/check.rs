//! Judges a vector as a reader would: only from what the file gives.
//!
//! The names of refusals are those of the error types; other implementations may call them
//! otherwise, but must refuse at the same layer.

use parsec_protocol::enrol::channel;
use parsec_protocol::enrol::io::{Prologue, TransportKind};
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::enrol::proofs;
use parsec_protocol::enrol::sas::{Codes, SasCode, SasInputs};
use parsec_protocol::ids::Invited;
use parsec_protocol::keys::LinkSecret;
use serde_json::{Value, json};

use crate::ceremony;

/// Prefixes of the files' names.
pub(crate) const LAYERS: &[&str] = &["link", "code", "sas", "commitment", "channel", "ceremony"];

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

pub(crate) fn bytes<const N: usize>(given: &Value, name: &str) -> [u8; N] {
    unhex(&given[name]).try_into().unwrap()
}

/// The prologue that a file describes.
pub(crate) fn prologue(given: &Value) -> Prologue {
    Prologue {
        organisation: parsed(given, "organisation"),
        token: parsed(given, "token"),
        invited: match text(given, "invited kind") {
            "user" => Invited::User(parsed(given, "invited")),
            "device" => Invited::Device(parsed(given, "invited")),
            "share" => Invited::Share(parsed(given, "invited"), parsed(given, "kit's device id")),
            other => panic!("unknown kind {other}"),
        },
        greeter_user: parsed(given, "greeter user id"),
        greeter_device: parsed(given, "greeter device id"),
        transport: match text(given, "transport") {
            "relay" => TransportKind::Relay,
            "peer to peer" => TransportKind::PeerToPeer { peer: parsed(given, "peer key") },
            other => panic!("unknown transport {other}"),
        },
    }
}

/// Judges by layer.
pub(crate) fn judge(layer: &str, given: &Value) -> Judgement {
    match layer {
        "link" => link(given),
        "code" => code(given),
        "sas" => Ok(sas(given)),
        "commitment" => commitment(given),
        "channel" if given["message"].is_string() => ceremony::first_message(given),
        "channel" => Ok(json!({
            "prologue": hex(&channel::prologue_bytes(&prologue(&given["prologue"]))),
            "psk": hex(channel::pre_shared_key(&LinkSecret::from_bytes(&mut bytes(given, "link secret"))).as_slice()),
        })),
        "ceremony" => ceremony::run(given),
        other => panic!("unknown layer {other}"),
    }
}

fn link(given: &Value) -> Judgement {
    let link: Link = text(given, "text").parse().map_err(|error| json!(format!("{error:?}")))?;
    Ok(json!({
        "server": link.server.as_str(),
        "organisation": link.organisation.as_str(),
        "kind": match link.kind { LinkKind::User => "user", LinkKind::Device => "device", LinkKind::Share => "share" },
        "token": link.token.to_string(),
        "link secret": hex(link.secret.expose()),
        "hints": link.hints,
        "written": link.to_url().as_str(),
    }))
}

fn code(given: &Value) -> Judgement {
    let code: SasCode = text(given, "typed").parse().map_err(|error| json!(format!("{error:?}")))?;
    Ok(json!({"code": code.to_string(), "spelled": code.spelled()}))
}

fn sas(given: &Value) -> Value {
    let mut split_keys = zeroize::Zeroizing::new([0; 64]);
    split_keys[..32].copy_from_slice(&bytes::<32>(given, "k1"));
    split_keys[32..].copy_from_slice(&bytes::<32>(given, "k2"));
    let codes = Codes::derive(&SasInputs {
        split_keys: &split_keys,
        handshake: &parsed(given, "h"),
        claimer_nonce: &bytes(given, "claimer nonce"),
        greeter_nonce: &bytes(given, "greeter nonce"),
        root_commitment: &parsed(given, "root commitment"),
        typing_required: given["typing required"].as_bool().unwrap(),
    });
    json!({"claimer's code": codes.claimer.to_string(), "greeter's code": codes.greeter.to_string()})
}

fn commitment(given: &Value) -> Judgement {
    let handshake = parsed(given, "h");
    let made = match given["root verify key"].as_str() {
        None => proofs::commitment(&bytes(given, "claimer nonce"), &handshake),
        Some(root) => {
            proofs::root_commitment(&bytes(given, "greeter nonce"), &handshake, &root.parse().unwrap())
        }
    };
    match given["received"].as_str() {
        Some(received) if received != made.to_string() => Err(json!("CommitmentBroken")),
        _ => Ok(json!({"commitment": made.to_string()})),
    }
}
