//! Vectors of the encoding.

use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::ids::{AttemptId, Invited, Timestamp, Token};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{AttemptView, EndReason, NewInvitation};
use serde_json::json;

use crate::check::hex;
use crate::support::email;

use crate::make::Set;

pub(crate) fn codec_vectors(set: &mut Set) {
    let head = codec::encode(&Head { count: 500, hash: Hash::of(&[]) });
    let hash = &head[4..];
    let mut put = |name: &str, about: &str, record: &str, bytes: &[u8], refuse: Option<&str>| {
        let verdict = refuse.map_or_else(|| Ok(json!(hex(bytes))), |refuse| Err(json!(refuse)));
        set.put("codec", name, about, &json!({"record": record, "bytes": hex(bytes)}), verdict);
    };
    put("head", "a record of a number and a byte string", "head", &head, None);
    let join = |start: &[u8]| [start, hash].concat();
    for (name, about, start, refuse) in [
        (
            "long-integer",
            "a number not in its shortest form",
            &[0x82, 0x1a, 0, 0, 1, 0xf4][..],
            "NotCanonical",
        ),
        ("negative", "a negative number", &[0x82, 0x39, 1, 0xf4], "NotCanonical"),
        ("float", "a floating point number", &[0x82, 0xf9, 0x5f, 0xd0], "NotCanonical"),
        ("nan", "not a number", &[0x82, 0xf9, 0x7e, 0], "NotCanonical"),
        ("big-number", "a tagged big number", &[0x82, 0xc2, 0x42, 1, 0xf4], "NotCanonical"),
        ("undefined", "a simple value that isn't allowed", &[0x82, 0xf7], "NotCanonical"),
        ("map", "a map where the record should be", &[0xa1, 0x19, 1, 0xf4], "NotCanonical"),
        ("null-field", "null for a field that must be there", &[0x82, 0xf6], "Unexpected"),
        ("text-for-number", "another type than the field has", &[0x82, 0x61, b'5'], "Unexpected"),
        ("not-utf8", "a text that is not UTF-8", &[0x82, 0x61, 0xff], "NotCanonical"),
        ("reserved-head", "a reserved form of a head", &[0x82, 0x1c, 1, 0xf4], "NotCanonical"),
    ] {
        put(name, about, "head", &join(start), Some(refuse));
    }
    let trailing = [&head[..], &[0]].concat();
    put("trailing", "a byte after the value", "head", &trailing, Some("Trailing"));
    put(
        "extra-field",
        "a field more than the record has",
        "head",
        &{
            let mut bytes = trailing.clone();
            bytes[0] = 0x83;
            bytes
        },
        Some("NotCanonical"),
    );
    put(
        "missing-field",
        "a field less than the record has",
        "head",
        &[0x81, 0x19, 1, 0xf4],
        Some("Unexpected"),
    );
    put("truncated", "ends inside the last field", "head", &head[..head.len() - 1], Some("Truncated"));
    put(
        "short-hash",
        "a hash of 31 bytes",
        "head",
        &{
            let mut bytes = head[..head.len() - 1].to_vec();
            bytes[5] = 31;
            bytes
        },
        Some("Unexpected"),
    );
    put(
        "indefinite-array",
        "an array of indefinite length",
        "head",
        &[&[0x9f], &head[1..], &[0xff]].concat(),
        Some("NotCanonical"),
    );
    put(
        "indefinite-bytes",
        "a byte string of indefinite length",
        "head",
        &[&head[..4], &[0x5f], &head[4..], &[0xff]].concat(),
        Some("NotCanonical"),
    );
    put(
        "huge-length",
        "promises more bytes than there are",
        "head",
        &[0x82, 0x19, 1, 0xf4, 0x5b, 255, 255, 255, 255, 255, 255, 255, 255],
        Some("Truncated"),
    );
    put(
        "huge-array",
        "promises more fields than there are bytes",
        "head",
        &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
        Some("Truncated"),
    );
    put("empty", "nothing", "head", &[], Some("Truncated"));
    put(
        "too-deep",
        "13 arrays inside each other",
        "head",
        &[[0x81; 13].as_slice(), &[0]].concat(),
        Some("TooDeep"),
    );
    put(
        "deepest",
        "12 arrays inside each other, the last empty",
        "head",
        &[[0x81; 11].as_slice(), &[0x80]].concat(),
        Some("Unexpected"),
    );
    put(
        "too-deep-empty",
        "13 arrays inside each other, the last empty",
        "head",
        &[[0x81; 12].as_slice(), &[0x80]].concat(),
        Some("TooDeep"),
    );
    put("too-long", "4,097 bytes where 4,096 are allowed", "head", &[0; 4_097], Some("TooLong"));

    let attempt = AttemptId::from_bytes([1; 16]);
    let view = AttemptView { attempt, steps: 1, greeter: None, ended: None };
    let short = codec::encode(&view);
    put("absent-at-end", "absent fields at the end are left off", "attempt", &short, None);
    put(
        "null-at-end",
        "an absent field at the end, spelt as null",
        "attempt",
        &{
            let mut bytes = [short.as_slice(), &[0xf6]].concat();
            bytes[0] = 0x83;
            bytes
        },
        Some("NotCanonical"),
    );
    let ended = codec::encode(&AttemptView { ended: Some(EndReason::Cancelled), ..view });
    put("absent-inside", "an absent field before one that is there is null", "attempt", &ended, None);
    put(
        "unknown-reason",
        "a case that doesn't exist",
        "attempt",
        &{
            let mut bytes = ended.clone();
            *bytes.last_mut().unwrap() = 23;
            bytes
        },
        Some("Unexpected"),
    );

    let invitation = NewInvitation {
        token: Token::from_bytes([2; 16]),
        invited: Invited::User(email(1)),
        expires: Timestamp(3),
        mail_link: None,
    };
    let bytes = codec::encode(&invitation);
    put("choice", "a choice is its number and its fields", "new invitation", &bytes, None);
    let at = bytes.windows(6).position(|window| window == b"member").unwrap();
    put(
        "upper-case-email",
        "an address not in its normal form",
        "new invitation",
        &{
            let mut bytes = bytes.clone();
            bytes[at] = b'M';
            bytes
        },
        Some("Unexpected"),
    );
}
