//! Vectors of signed requests and receipts.

use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::codec;
use parsec_protocol::ids::{Timestamp, Token};
use parsec_protocol::public_keys::{Context, Hash};
use parsec_protocol::relay::RequestToSign;
use serde_json::json;

use crate::check::hex;
use crate::support::{BEGINNING, ORGANISATION, device, organisation, root_key, signing_key};

use crate::make::Set;

pub(crate) fn requests(set: &mut Set) {
    let body = b"body";
    let request = RequestToSign {
        organisation: organisation(),
        device: device(1),
        method: "POST".into(),
        target: "/v1/organisations/acme/invitations".into(),
        time: Timestamp(BEGINNING),
        nonce: Token::from_bytes([5; 16]),
        body: Hash::of(&[body]),
    };
    let sign = |context| signing_key(1).sign(context, &request.bytes());
    let good = json!({
        "organisation": ORGANISATION, "device": device(1), "method": request.method, "target": request.target,
        "time": request.time, "nonce": request.nonce, "body": hex(body), "key": signing_key(1).verify_key(),
        "signature": sign(Context::Request),
    });
    set.put(
        "request",
        "signed",
        "a signed request, and the bytes that were signed after the context",
        &good,
        Ok(json!(hex(&request.bytes()))),
    );
    for (name, about, field, value) in [
        ("organisation", "sent to another organisation", "organisation", json!("other")),
        ("device", "in another device's name", "device", json!(device(2))),
        ("method", "with another method", "method", json!("PUT")),
        ("target", "with a query added", "target", json!("/v1/organisations/acme/invitations?x=1")),
        ("time", "at another time", "time", json!(BEGINNING + 1)),
        ("nonce", "with another nonce", "nonce", json!(Token::from_bytes([6; 16]))),
        ("body", "with another body", "body", json!(hex(b"bodY"))),
        ("key", "under another key", "key", json!(signing_key(2).verify_key())),
        ("context", "signed as a receipt", "signature", json!(sign(Context::Receipt))),
    ] {
        let mut given = good.clone();
        given[field] = value;
        set.put("request", &format!("another-{name}"), about, &given, Err(json!("BadSignature")));
    }
}

pub(crate) fn receipts(set: &mut Set) {
    let (handshake, root) = (Hash::of(&[b"handshake"]), root_key(0).verify_key());
    let hashes = vec![Hash::of(&[b"user"]), Hash::of(&[b"device"])];
    let opened = Hash::of(&[b"opened"]);
    let receipt = ClaimReceipt::sign(&signing_key(1), handshake, hashes.clone(), root, opened);
    let given = |receipt: &ClaimReceipt| json!({"device key": signing_key(1).verify_key(), "receipt": hex(&codec::encode(receipt))});
    set.put(
        "receipt",
        "user",
        "for a new user and device",
        &given(&receipt),
        Ok(json!({"handshake": handshake, "certificates": hashes, "root": root, "opened": opened})),
    );
    let no = || Err(json!("BadSignature"));
    let changed = ClaimReceipt { handshake: Hash::of(&[]), ..receipt.clone() };
    set.put("receipt", "another-handshake", "of another ceremony", &given(&changed), no());
    let changed = ClaimReceipt { certificates: hashes[..1].to_vec(), ..receipt.clone() };
    set.put("receipt", "certificate-left-out", "names one certificate less", &given(&changed), no());
    let changed = ClaimReceipt { certificates: vec![hashes[1], hashes[0]], ..receipt.clone() };
    set.put("receipt", "another-order", "names the certificates in another order", &given(&changed), no());
    let changed = ClaimReceipt { root: root_key(1).verify_key(), ..receipt.clone() };
    set.put("receipt", "another-root", "names another root key", &given(&changed), no());
    let changed = ClaimReceipt { opened: Hash::of(&[]), ..receipt.clone() };
    set.put("receipt", "another-opened", "says that something else was opened", &given(&changed), no());
    let changed = ClaimReceipt::sign(&signing_key(2), handshake, hashes, root, opened);
    set.put("receipt", "another-key", "signed by another device", &given(&changed), no());
    let mut given = given(&receipt);
    given["receipt"] = json!(format!("{}00", given["receipt"].as_str().unwrap()));
    set.put("receipt", "trailing", "a byte after the receipt", &given, Err(json!("Malformed")));
}
