//! Makes the vectors, from seeds: the same bytes each time. Each has one fault, or none.

use std::collections::BTreeMap;

use parsec_protocol::chain::organisation::bootstrap::{Founder, found};
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::enrol::sas::ALPHABET;
use parsec_protocol::ids::{Timestamp, Token};
use parsec_protocol::keys::{
    DeviceSeed, DeviceSigningKey, DirectoryKey, Entropy, LinkSecret, NoEntropy, UserSeed,
};
use parsec_protocol::public_keys::Hash;
use serde_json::{Value, json};

use crate::ceremony::{self, Recorder};
use crate::check::{self, hex, unhex};

/// SHA-256 of the seed and a counter: as good as random, and the same each time.
struct Seed(u64);

impl Entropy for Seed {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            let block = Hash::of(&[b"parsec enrolment vectors", &self.0.to_be_bytes()]);
            chunk.copy_from_slice(&block.as_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// The vectors so far, by file name without its end.
struct Set(BTreeMap<String, Value>);

impl Set {
    /// Adds one that is accepted; what it gives is what the present code makes of it.
    fn good(&mut self, layer: &str, name: &str, about: &str, given: &Value) -> Value {
        let gives = check::judge(layer, given).unwrap_or_else(|refuse| panic!("{layer}-{name}: {refuse}"));
        self.put(
            layer,
            name,
            json!({"layer": layer, "about": about, "given": given, "gives": gives, "refuse": null}),
        );
        gives
    }

    /// Adds one that is refused, with this word.
    fn bad(&mut self, layer: &str, name: &str, about: &str, given: &Value, refuse: Value) {
        self.put(
            layer,
            name,
            json!({"layer": layer, "about": about, "given": given, "gives": null, "refuse": refuse}),
        );
    }

    fn put(&mut self, layer: &str, name: &str, vector: Value) {
        assert!(self.0.insert(format!("{layer}-{name}"), vector).is_none(), "{name} twice");
    }
}

/// All of them.
pub(crate) fn all() -> BTreeMap<String, Value> {
    let mut set = Set(BTreeMap::new());
    links(&mut set);
    codes(&mut set);
    sas(&mut set);
    commitments(&mut set);
    ceremonies(&mut set);
    set.0
}

fn link(server: &str, kind: LinkKind) -> Link {
    Link {
        server: server.parse().unwrap(),
        organisation: "acme".parse().unwrap(),
        kind,
        token: Token::from_bytes(std::array::from_fn(|at| at as u8)),
        secret: LinkSecret::from_bytes(&mut std::array::from_fn(|at| 0x20 + at as u8)),
        hints: Vec::new(),
    }
}

fn links(set: &mut Set) {
    let text = |text: &str| json!({"text": text});
    let user = link("https://parsec.example.org", LinkKind::User);
    let url = user.to_url().to_string();
    let payload = url.split_once('#').unwrap().1.to_owned();
    set.good("link", "user", "a new user", &text(&url));
    set.good("link", "alias", "the same under the alias", &text(&user.to_alias().unwrap()));
    set.good("link", "spaces", "white space around", &text(&format!(" \t{url}\r\n")));
    let device = link("https://[2001:db8::1]:8443", LinkKind::Device);
    set.good("link", "device", "a new device, an IPv6 address and a port", &text(&device.to_url()));
    let hints =
        Link { hints: vec!["/dns/a.example/udp/4001".into()], ..link("https://a.example", LinkKind::User) };
    set.good("link", "hint", "with a hint", &text(&hints.to_url()));
    let local = link("http://127.0.0.1:6770", LinkKind::User);
    set.good("link", "loopback", "plain http to this machine", &text(&local.to_url()));
    let mapped = link("https://[::ffff:c000:207]", LinkKind::User);
    set.good(
        "link",
        "mapped-address",
        "an IPv4 address in an IPv6 one, in hexadecimal",
        &text(&mapped.to_url()),
    );
    let punycode = link("https://xn--bcher-kva.example:8443", LinkKind::User);
    set.good("link", "punycode", "a host name outside ASCII, as ASCII writes it", &text(&punycode.to_url()));

    let changed = |from: &str, to: &str| text(&url.replacen(from, to, 1));
    let at = |address: &str| text(&format!("{address}#{payload}"));
    for (name, about, given) in [
        ("no-fragment", "no payload", text(url.split_once('#').unwrap().0)),
        ("upper-case-host", "a host name in upper case", changed("parsec.e", "Parsec.E")),
        ("own-port", "the scheme's own port", changed(".org", ".org:443")),
        ("own-port-http", "the port of plain http", at("http://localhost:80/join/acme")),
        ("own-port-alias", "the port of https under the alias", at("parsec://example.org:443/acme")),
        (
            "long-host",
            "a host name of 254 characters",
            at(&format!("https://{}aa/join/acme", "a.".repeat(126))),
        ),
        ("long-part", "a part of 64 characters", at(&format!("https://{}/join/acme", "a".repeat(64)))),
        ("hyphen", "a part that begins with a hyphen", at("https://-a.example.org/join/acme")),
        ("underscore", "an underscore in the host", at("https://a_b.example.org/join/acme")),
        ("ends-in-a-number", "a name whose last part is a number", at("https://example.1/join/acme")),
        ("ends-in-0x", "a name whose last part begins with 0x", at("https://example.0xz/join/acme")),
        ("upper-case-address", "an IPv6 address in upper case", at("https://[2001:DB8::1]/join/acme")),
        ("long-ipv6", "an IPv6 address that could be shorter", at("https://[2001:db8:0::1]/join/acme")),
        (
            "mixed-ipv6",
            "an IPv6 address that ends in an IPv4 one",
            at("https://[::ffff:192.0.2.7]/join/acme"),
        ),
        ("no-path", "no /join/", changed("/join/", "/")),
        ("upper-case-scheme", "the scheme in upper case", changed("https", "HTTPS")),
        ("other-scheme", "another scheme", changed("https", "ftp")),
        ("user-name", "a user name", changed("//", "//parsec.example.org@")),
        ("query", "a query", changed("#", "?x=1#")),
        ("slash", "a slash after the organisation", changed("#", "/#")),
        ("bad-organisation", "an organisation in upper case", changed("acme", "ACME")),
        ("backslash", "a backslash in the host", changed("example", "\\example")),
        ("percent", "an escaped character in the host", changed("example", "ex%61mple")),
        ("not-ascii", "a host name outside ASCII", changed("example", "exämple")),
        ("dot-at-end", "a host name that ends in a dot", changed(".org", ".org.")),
        ("short-address", "an IPv4 address in short form", at("https://127.1/join/acme")),
        ("number-address", "an IPv4 address as one number", at("https://2130706433/join/acme")),
        ("hexadecimal-address", "an IPv4 address in hexadecimal", at("https://0x7f.0.0.1/join/acme")),
        ("octal-address", "an IPv4 address with a leading zero", at("https://127.0.0.01/join/acme")),
        ("zone", "an IPv6 address with a zone", at("https://[fe80::1%25eth0]/join/acme")),
        ("port-zero", "port 0", at("https://example.org:0/join/acme")),
        ("port-leading-zero", "a port with a leading zero", at("https://example.org:0443/join/acme")),
        ("port-too-large", "port 65536", at("https://example.org:65536/join/acme")),
        ("padding", "base64 with padding", text(&format!("{url}="))),
        ("standard-alphabet", "base64 of the other alphabet", text(&format!("{}+", &url[..url.len() - 1]))),
        ("inside-space", "white space inside", text(&format!("{} {}", &url[..60], &url[60..]))),
        ("something-behind", "a word behind it", text(&format!("{url} please"))),
        ("too-long", "2,049 characters", text(&format!("{url}{}", "A".repeat(2_049 - url.len())))),
    ] {
        set.bad("link", name, about, &given, json!("Malformed"));
    }
    let cut = text(&url[..url.len() - 1]);
    set.bad("link", "cut", "one character of the payload cut off", &cut, json!("CutOff"));
    set.bad(
        "link",
        "plain-http",
        "plain http to another machine",
        &changed("https", "http"),
        json!("PlainHttp"),
    );
    let mapped = at("http://[::ffff:7f00:1]/join/acme");
    set.bad("link", "plain-http-mapped", "plain http to a mapped address", &mapped, json!("PlainHttp"));
    payloads(set, &payload);
}

/// Payloads that are no payloads, each by one change of the bytes.
fn payloads(set: &mut Set, good: &str) {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    let good = Base64UrlUnpadded::decode_vec(good).unwrap();
    // 85, 01, 00, 50 and 16 bytes, 58 20 and 32 bytes, 80.
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let payload = Base64UrlUnpadded::encode_string(&bytes);
        json!({"text": format!("https://parsec.example.org/join/acme#{payload}")})
    };
    let malformed = json!("Malformed");
    set.bad("link", "version-0", "version 0", &with(&|b| b[1] = 0), malformed.clone());
    set.bad("link", "version-2", "version 2", &with(&|b| b[1] = 2), json!("TooNew"));
    let later = with(&|b| *b = vec![0x82, 0x02, 0xa1, 0x01, 0x02]);
    set.bad(
        "link",
        "version-2-other-form",
        "version 2 in a form that version 1 doesn't know",
        &later,
        json!("TooNew"),
    );
    let elsewhere = Base64UrlUnpadded::encode_string(&[0x82, 0x02, 0xa1, 0x01, 0x02]);
    let elsewhere = json!({"text": format!("https://new.example.:99999/somewhere?else#{elsewhere}")});
    let about = "version 2 behind an address that version 1 doesn't know";
    set.bad("link", "version-2-other-address", about, &elsewhere, json!("TooNew"));
    let long = with(&|b| *b = vec![0x82, 0x18, 0x02, 0x00]);
    set.bad("link", "version-2-long", "a 2 that is not in its shortest form", &long, malformed.clone());
    set.bad("link", "kind-3", "an unknown kind", &with(&|b| b[2] = 3), malformed.clone());
    set.good("link", "share", "brings a share of a recovery kit", &with(&|b| b[2] = 2));
    let short = with(&|b| {
        b[3] = 0x4f;
        b.remove(4);
    });
    set.bad("link", "short-token", "a token of 15 bytes", &short, malformed.clone());
    let short = with(&|b| {
        b[21] = 0x1f;
        b.remove(22);
    });
    set.bad("link", "short-secret", "a secret of 31 bytes", &short, malformed.clone());
    set.bad(
        "link",
        "no-hints",
        "without the array of hints",
        &with(&|b| {
            b[0] = 0x84;
            b.pop();
        }),
        malformed.clone(),
    );
    set.bad(
        "link",
        "nine-hints",
        "nine hints",
        &with(&|b| {
            b.pop();
            b.push(0x89);
            b.extend([0x61, b'h'].repeat(9));
        }),
        malformed.clone(),
    );
    set.bad(
        "link",
        "long-hint",
        "a hint of 129 bytes",
        &with(&|b| {
            b.pop();
            b.extend([0x81, 0x78, 129]);
            b.extend([b'h'; 129]);
        }),
        malformed.clone(),
    );
    set.bad("link", "trailing", "a byte after the payload", &with(&|b| b.push(0)), malformed);
}

fn codes(set: &mut Set) {
    for four in ALPHABET.chunks(4) {
        let typed = String::from_utf8(four.to_vec()).unwrap();
        let name = format!("symbols-{}", typed.to_lowercase());
        set.good("code", &name, "four symbols of the alphabet in its order", &json!({"typed": typed}));
    }
    set.good("code", "lower-case", "typed in lower case with spaces around", &json!({"typed": " k7m2 "}));
    set.good(
        "code",
        "white-space",
        "with white space of other kinds around",
        &json!({"typed": "\u{3000}K7M2\u{a0}\u{85}"}),
    );
    for (name, about, typed) in [
        ("control", "a control character behind, which is no white space", "K7M2\u{1c}"),
        ("byte-order-mark", "a byte-order mark before", "\u{feff}K7M2"),
        ("dotless", "a letter that upper case turns into one of the alphabet", "\u{17f}7M2"),
        ("empty", "nothing", ""),
        ("short", "3 characters", "K7M"),
        ("long", "5 characters", "K7M2A"),
        ("letter-i", "the letter I", "KIM2"),
        ("letter-o", "the letter O", "KOM2"),
        ("digit-0", "the digit 0", "K0M2"),
        ("digit-1", "the digit 1", "K1M2"),
        ("inside-space", "a space inside", "K7 M2"),
        ("hyphen", "a hyphen inside", "K7-M2"),
        ("fullwidth", "a letter that only looks like one", "Ｋ7M2"),
    ] {
        set.bad("code", name, about, &json!({"typed": typed}), json!("NotACode"));
    }
}

fn sas(set: &mut Set) {
    let fill = |byte: u8| hex(&[byte; 32]);
    let base = json!({
        "k1": fill(1), "k2": fill(2), "h": fill(3), "claimer nonce": fill(4), "greeter nonce": fill(5),
        "root commitment": fill(6), "typing required": false,
    });
    set.good("sas", "base", "all fields filled", &base);
    for (name, field) in [
        ("k1", "k1"),
        ("k2", "k2"),
        ("h", "h"),
        ("claimer-nonce", "claimer nonce"),
        ("greeter-nonce", "greeter nonce"),
        ("root-commitment", "root commitment"),
    ] {
        let mut given = base.clone();
        let mut bytes = unhex(&given[field]);
        bytes[31] ^= 1;
        given[field] = json!(hex(&bytes));
        set.good("sas", name, &format!("the lowest bit of {field} differs from sas-base"), &given);
    }
    let mut given = base;
    given["typing required"] = json!(true);
    set.good("sas", "typing", "typing is required, else as sas-base", &given);
}

fn commitments(set: &mut Set) {
    let fill = |byte: u8| hex(&[byte; 32]);
    let claimers = json!({"claimer nonce": fill(4), "h": fill(3)});
    let made = set.good("commitment", "claimer", "the claimer's, to its nonce", &claimers);
    let greeters = json!({"greeter nonce": fill(5), "h": fill(3), "root verify key": fill(7)});
    let root = set.good("commitment", "root", "the greeter's, to the root key", &greeters);
    let broken = json!("CommitmentBroken");
    let with = |given: &Value, received: &Value, field: &str, value: Value| {
        let mut given = given.clone();
        given["received"] = received["commitment"].clone();
        given[field] = value;
        given
    };
    let nonce = with(&claimers, &made, "claimer nonce", json!(fill(8)));
    set.bad("commitment", "other-nonce", "opened with another nonce", &nonce, broken.clone());
    let other = with(&claimers, &made, "h", json!(fill(8)));
    set.bad("commitment", "other-ceremony", "made in another ceremony", &other, broken.clone());
    let other = with(&greeters, &root, "root verify key", json!(fill(8)));
    set.bad("commitment", "other-root", "another root key is handed over", &other, broken.clone());
    let swapped = with(&claimers, &root, "h", json!(fill(3)));
    set.bad("commitment", "of-the-other-side", "the greeter's in place of the claimer's", &swapped, broken);
}

/// The part of a file that describes organisation, greeter and prologue.
fn fixture(kind: &str) -> Value {
    let entropy = &mut Seed(0x1000);
    let signing_key = DeviceSigningKey::random(entropy).unwrap();
    let directory_key = DirectoryKey::random(entropy).unwrap();
    let user_seed = UserSeed::random(entropy).unwrap();
    let device_seed = DeviceSeed::random(entropy).unwrap();
    let time = 1_800_000_000_000_000;
    let founder = Founder {
        organisation: &"acme".parse().unwrap(),
        email: &"alice@acme.test".parse().unwrap(),
        name: &"Alice".parse().unwrap(),
        device_label: &"laptop".parse().unwrap(),
        user_seed: &user_seed,
        device_seed: &device_seed,
        signing_key: &signing_key,
        directory_key: &directory_key,
    };
    let founded = found(&founder, Timestamp(time), entropy).unwrap();
    let invited = if kind == "user" { "bob@acme.test".to_owned() } else { founded.user.to_string() };
    json!({
        "prologue": {
            "organisation": "acme", "token": "000102030405060708090a0b0c0d0e0f", "invited kind": kind,
            "invited": invited, "greeter user id": founded.user.to_string(),
            "greeter device id": founded.device.to_string(), "transport": "relay",
        },
        "link secret": hex(&[9; 32]),
        "root verify key": founded.root.to_string(),
        "typing required": kind == "device",
        "time": time,
        "name": "Bob",
        "label": "desk",
        "log": founded.certificates.iter().map(|one| hex(one)).collect::<Vec<_>>(),
        "greeter's keys": {
            "device signing key": hex(signing_key.expose()), "directory key": hex(directory_key.expose()),
            "user's seed": hex(user_seed.expose()),
        },
        "manifest": if kind == "device" { json!({"version": 3, "hash": hex(&[0x33; 32])}) } else { Value::Null },
    })
}

fn ceremonies(set: &mut Set) {
    for kind in ["user", "device"] {
        let mut given = fixture(kind);
        let (seeds, others) = (&mut Seed(0x2000), &mut Seed(0x3000));
        let mut claimers = Recorder { source: seeds, draws: Vec::new() };
        let mut greeters = Recorder { source: others, draws: Vec::new() };
        ceremony::play(&given, &mut claimers, &mut greeters).unwrap();
        given["claimer's draws"] = json!(claimers.draws);
        given["greeter's draws"] = json!(greeters.draws);
        let channel = json!({"prologue": given["prologue"], "link secret": given["link secret"]});
        set.good("channel", &format!("inputs-{kind}"), &format!("prologue and psk, a new {kind}"), &channel);
        let about = format!("a whole ceremony, a new {kind}");
        let gives = set.good("ceremony", kind, &about, &given);
        for (step, message) in gives["messages"].as_array().unwrap().iter().enumerate().skip(2) {
            let mut bytes = unhex(message);
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            given["replaced"] = json!({"step": step, "message": hex(&bytes)});
            let by = if step % 2 == 0 { "greeter" } else { "claimer" };
            let why =
                if step == 8 { "BadReceipt".to_owned() } else { format!("BadMessage {{ step: {step} }}") };
            let name = format!("{kind}-message-{step}-changed");
            let about = format!("the last bit of message {step} is changed on its way");
            set.bad("ceremony", &name, &about, &given, json!({"by": by, "why": why}));
        }
        given["replaced"] = Value::Null;
        if kind == "user" {
            handshakes(set, &given, &gives["messages"]);
        }
    }
}

/// First messages that end it.
fn handshakes(set: &mut Set, fixture: &Value, messages: &Value) {
    for (by, draws, step) in [("greeter", "greeter's draws", 0), ("claimer", "claimer's draws", 1)] {
        let sent = unhex(&messages[step]);
        let given = |message: &[u8]| {
            json!({
                "by": by, "prologue": fixture["prologue"], "link secret": fixture["link secret"],
                "root verify key": fixture["root verify key"], "draws": fixture[draws], "message": hex(message),
            })
        };
        let refuse = |why: &str| json!({"by": by, "why": why});
        set.good(
            "channel",
            &format!("message-{step}"),
            &format!("message {step} to the {by}"),
            &given(&sent),
        );
        let with_key = |key: [u8; 32]| [&key[..], &sent[32..]].concat();
        let number = |low: u8, middle: u8, high: u8| {
            let mut key = [middle; 32];
            key[0] = low;
            key[31] = high;
            key
        };
        let mut top_bit: [u8; 32] = sent[..32].try_into().unwrap();
        top_bit[31] |= 0x80;
        let order_8: [u8; 32] =
            unhex(&json!("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"))
                .try_into()
                .unwrap();
        for (name, about, key) in [
            ("key-0", "a key that is 0: order 4", number(0, 0, 0)),
            ("key-1", "a key that is 1: order 1", number(1, 0, 0)),
            ("key-order-8", "a key of order 8", order_8),
            ("key-p-minus-1", "a key that is p - 1: order 2", number(0xec, 0xff, 0x7f)),
            ("key-p", "a key that is p: a second spelling of 0", number(0xed, 0xff, 0x7f)),
            (
                "key-p-plus-9",
                "a key that is p + 9: a second spelling of a sound one",
                number(0xf6, 0xff, 0x7f),
            ),
            ("key-top-bit", "the sender's key with its top bit set", top_bit),
        ] {
            let name = format!("message-{step}-{name}");
            set.bad("channel", &name, about, &given(&with_key(key)), refuse("BadKey"));
        }
        let short = &sent[..47];
        let length = refuse(&format!("BadMessage {{ step: {step} }}"));
        set.bad(
            "channel",
            &format!("message-{step}-short"),
            "one byte cut off",
            &given(short),
            length.clone(),
        );
        let long = [&sent[..], &[0]].concat();
        set.bad("channel", &format!("message-{step}-long"), "one byte more", &given(&long), length);
        let mut other = given(&sent);
        other["link secret"] = json!(hex(&[8; 32]));
        set.bad(
            "channel",
            &format!("message-{step}-other-link"),
            "another link secret",
            &other,
            refuse("WrongLink"),
        );
        let mut other = given(&sent);
        other["prologue"]["transport"] = json!("peer to peer");
        other["prologue"]["peer key"] = json!("07".repeat(32));
        set.bad(
            "channel",
            &format!("message-{step}-other-transport"),
            "another transport",
            &other,
            refuse("WrongLink"),
        );
        let reflected = unhex(&messages[1 - step]);
        let about = "the receiver's own message";
        set.bad(
            "channel",
            &format!("message-{step}-reflected"),
            about,
            &given(&reflected),
            refuse("WrongLink"),
        );
    }
}
