//! Vectors of recovery kits: words, the keys that come out of them, and the certificate by which
//! the kit stands in its organisation's log.

use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind};
use parsec_protocol::ids::{DeviceId, OrganisationId};
use parsec_protocol::keys::KitSeed;
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::sealing::KeyHash;
use serde_json::{Value, json};

use crate::check::hex;
use crate::make::Set;
use crate::support::{
    By, ORGANISATION, Org, Seed, device, device_encryption_key, envelope, organisation, recovery_body,
    root_key, signing_key, user,
};

/// The English list of BIP-39, a word in each line.
const WORDS: &str = include_str!("../../../tests/vectors/published/bip39-english.txt");

/// What a certificate says of a kit.
#[derive(Clone, Copy)]
struct Named {
    device: DeviceId,
    verify_key: VerifyKey,
    key: KeyHash,
    kind: DeviceKind,
}

/// The certificate, by the one device that there is.
fn certificate(named: Named) -> Vec<u8> {
    let mut body = recovery_body(1, 0);
    if let Body::Device { device, user: owner, verify_key, encryption_key, kind, .. } = &mut body {
        (*device, *owner) = (named.device, user(0));
        (*verify_key, *encryption_key, *kind) = (named.verify_key, named.key, named.kind);
    }
    envelope(By::Device(0), &Org::founded().payload(By::Device(0), body))
}

pub(crate) fn kits(set: &mut Set) {
    let root = root_key(0).verify_key();
    let kit = KitSeed::draw(&organisation(), &root, &mut Seed(31)).unwrap();
    let keys = kit.keys(&organisation());
    let named = Named {
        device: keys.device,
        verify_key: keys.signing_key.verify_key(),
        key: keys.device_seed.encryption_key().hash(),
        kind: DeviceKind::Recovery,
    };
    let words = kit.words().to_string();
    let given = json!({
        "words": words, "organisation": ORGANISATION, "root": root,
        "author key": signing_key(0).verify_key(), "certificate": hex(&certificate(named)),
    });
    let gives = json!({
        "bytes": hex(kit.expose()), "device": named.device, "verify key": named.verify_key, "key hash": named.key,
    });
    set.put("kit", "words", "words, what comes out of them, and the kit's certificate", &given, Ok(gives));
    let with = |name: &str, value: Value| {
        let mut given = given.clone();
        given[name] = value;
        given
    };
    let mut refuse = |name: &str, about: &str, given: &Value, why: Value| {
        set.put("kit", name, about, given, Err(why));
    };
    let each: Vec<&str> = words.split(' ').collect();
    let swapped = [&[each[1], each[0]], &each[2..]].concat().join(" ");
    refuse(
        "order",
        "two words exchanged: the checksum is another",
        &with("words", json!(swapped)),
        json!("Checksum"),
    );
    // The last word ends with the checksum: with its lowest bit turned, all else is as it was.
    let list: Vec<&str> = WORDS.lines().collect();
    let last = list.iter().position(|word| Some(word) == each.last()).unwrap();
    let changed = json!([&each[..23], &[list[last ^ 1]]].concat().join(" "));
    refuse("checksum", "the checksum alone is another", &with("words", changed), json!("Checksum"));
    let short = json!(each[1..].join(" "));
    refuse("short", "one word too few", &with("words", short), json!("Count"));
    let long = json!([&each[..], &each[..1]].concat().join(" "));
    refuse("long", "one word too many", &with("words", long), json!("Count"));
    let unknown = json!([&["parsec"], &each[1..]].concat().join(" "));
    refuse("unknown-word", "a word that is not in the list", &with("words", unknown), json!("Unknown"));
    let other_root = with("root", json!(root_key(1).verify_key()));
    refuse(
        "another-root",
        "shown an organisation with another root key",
        &other_root,
        json!("OtherOrganisation"),
    );
    let other: OrganisationId = "other".parse().unwrap();
    let other = with("organisation", json!(other));
    refuse("another-organisation", "shown another organisation", &other, json!("OtherOrganisation"));
    for (name, about, bend) in [
        (
            "certificate-of-another-device",
            "the certificate names another id",
            Named { device: device(9), ..named },
        ),
        (
            "certificate-of-another-key",
            "the certificate names another verify key",
            Named { verify_key: signing_key(9).verify_key(), ..named },
        ),
        (
            "certificate-of-another-hash",
            "the certificate names another encryption key",
            Named { key: device_encryption_key(9), ..named },
        ),
        (
            "certificate-of-no-kit",
            "the certificate is of an ordinary device",
            Named { kind: DeviceKind::Device, ..named },
        ),
    ] {
        let bent = with("certificate", json!(hex(&certificate(bend))));
        refuse(name, about, &bent, json!("OtherCertificate"));
    }
    let by_another = with("author key", json!(signing_key(1).verify_key()));
    refuse(
        "certificate-by-another",
        "the certificate is signed by another key",
        &by_another,
        json!("BadSignature"),
    );
}
