//! Vectors of texts that people give: names, e-mail addresses; and of a link's hints.

use serde_json::json;

use crate::check;
use crate::make::Set;

/// Adds one that gives or refuses what the present code says, which `taken` expects.
fn put(set: &mut Set, layer: &str, name: &str, about: &str, given: &serde_json::Value, taken: bool) {
    let verdict = check::judge(layer, given);
    assert_eq!(verdict.is_ok(), taken, "{layer}-{name}: {verdict:?}");
    set.put(layer, name, about, given, verdict);
}

pub(crate) fn labels(set: &mut Set) {
    let mut put = |name: &str, about: &str, text: &str, taken: bool| {
        put(set, "label", name, about, &json!({"text": text}), taken);
    };
    for (name, about, text) in [
        ("latin", "a name", "Zoë O’Neill"),
        ("cyrillic", "76 bytes, 40 characters", "Александра Константиновна Преображенская"),
        ("devanagari", "conjuncts are one character each", "नरेन्द्र दामोदरदास शर्मा"),
        ("persian", "U+200C between letters that would join", "مهدی\u{200c}زاده"),
        ("persian-marks", "the same with a mark on each side", "مهدیّ\u{200c}زاده"),
        ("sinhala", "U+200D behind a virama", "ශ\u{dca}\u{200d}රී"),
        ("sinhala-touching", "U+200D between a letter and a virama", "ත\u{200d}\u{dca}ථ"),
        ("kannada", "U+200C behind a virama and before a letter", "ರಾಜ\u{ccd}\u{200c}ಕುಮಾರ"),
        ("malayalam", "U+200D behind a virama at the end", "മോഹന\u{d4d}\u{200d}"),
        ("mongolian", "a selector behind a Mongolian letter", "ᠮᠣᠩᠭ\u{180b}ᠣᠯ"),
        ("mongolian-vowel", "U+180E before a last vowel", "ᠠᠴ\u{180e}ᠠ"),
        ("ideograph", "a selector behind an ideograph", "葛\u{e0100}城市"),
        ("heart", "a selector behind a pictograph", "Ana ❤\u{fe0f}"),
        ("family", "pictographs joined to one", "👨\u{200d}👩\u{200d}👧\u{200d}👦"),
        ("astronaut", "joined behind a skin", "👩🏽\u{200d}🚀"),
        ("rainbow", "joined behind a selector", "🏳\u{fe0f}\u{200d}🌈"),
        ("keycap", "a digit as a key", "desk 1\u{fe0f}\u{20e3}"),
        ("scotland", "a flag of tags", "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}"),
        ("four-marks", "four marks on one letter", "x\u{301}\u{302}\u{303}\u{304}"),
        ("hangul", "syllables", "홍길동"),
    ] {
        put(name, about, text, true);
    }
    put("longest", "64 characters", &"x".repeat(64), true);
    put("longest-flags", "64 characters of two code points each, 512 bytes", &"🇫🇷".repeat(64), true);
    put("too-long", "65 characters", &"x".repeat(65), false);
    put("too-many-bytes", "21 families of 25 bytes", &"👨\u{200d}👩\u{200d}👧\u{200d}👦".repeat(21), false);
    for (name, about, text) in [
        ("empty", "nothing", ""),
        ("decomposed", "not in form C", "Zoe\u{308}"),
        ("singleton", "a character that form C writes otherwise", "5 \u{2126}"),
        ("space-first", "a space at the beginning", " Bob"),
        ("space-last", "a space at the end", "Bob "),
        ("space-twice", "two spaces", "Bob  Ray"),
        ("no-break-space", "another space", "Bob\u{a0}Ray"),
        ("ideographic-space", "another space", "山田\u{3000}太郎"),
        ("tab", "a tab", "Bob\tRay"),
        ("line-end", "a line end", "Bob\nRay"),
        ("line-separator", "a line separator", "Bob\u{2028}Ray"),
        ("escape", "an escape", "Bob\u{1b}[2J"),
        ("next-line", "a control of the second set", "Bob\u{85}"),
        ("right-to-left", "an override of direction", "Bob\u{202e}yaR"),
        ("isolate", "an isolate", "\u{2067}Bob\u{2069}"),
        ("direction-mark", "a mark of direction", "Bob\u{200f}"),
        ("zero-width-space", "a space of no width", "Bob\u{200b}Ray"),
        ("byte-order-mark", "a byte-order mark", "\u{feff}Bob"),
        ("filler", "a letter that shows nothing", "\u{3164}"),
        ("soft-hyphen", "a soft hyphen", "Bob\u{ad}Ray"),
        ("joiner-latin", "U+200D between letters that it doesn't join", "Bo\u{200d}b"),
        ("joiner-at-end", "U+200D behind a pictograph, with none behind it", "👩\u{200d}"),
        ("joiner-twice", "U+200D twice", "ක\u{dca}\u{200d}\u{200d}ෂ"),
        ("non-joiner-latin", "U+200C between letters that don't join", "Bo\u{200c}b"),
        ("non-joiner-at-end", "U+200C at the end", "مهدی\u{200c}"),
        (
            "non-joiner-behind-right-joining",
            "U+200C behind a letter that joins nothing there",
            "زاد\u{200c}ه",
        ),
        (
            "non-joiner-behind-virama",
            "U+200C behind a virama, with no letter behind it",
            "ರಾಜ\u{ccd}\u{200c}",
        ),
        ("selector-latin", "a selector behind a letter", "Bob\u{fe0f}"),
        ("selector-digit", "a selector behind a digit that is no key", "1\u{fe0f}"),
        ("selector-twice", "a selector behind a selector", "❤\u{fe0f}\u{fe0f}"),
        ("selector-text-on-ideograph", "a pictograph's selector on an ideograph", "葛\u{fe0f}"),
        ("tags", "tags that are no flag", "🏴\u{e0067}\u{e0062}\u{e007f}"),
        ("tag-alone", "a tag without a flag", "Bob\u{e0067}"),
        ("private", "a private character", "Bob\u{e000}"),
        ("noncharacter", "a noncharacter", "Bob\u{ffff}"),
        ("mark-first", "a mark on nothing", "\u{338}Bob"),
        ("mark-on-space", "a mark on a space", "Bob \u{301}"),
        ("five-marks", "five marks on one letter", "x\u{301}\u{302}\u{303}\u{304}\u{30c}"),
        ("mark-twice", "the same mark twice", "x\u{301}\u{301}"),
        (
            "marks-around-a-joiner",
            "five marks, parted by a joiner",
            "ی\u{651}\u{64e}\u{200c}\u{64b}\u{64c}\u{64d}ز",
        ),
    ] {
        put(name, about, text, false);
    }
}

pub(crate) fn emails(set: &mut Set) {
    let mut put = |name: &str, about: &str, text: &str, taken: bool| {
        put(set, "email", name, about, &json!({"text": text}), taken);
    };
    put("usual", "an address", "bob.ray+x@mail.example.org", true);
    put("every-sign", "every sign that may stand before the @", "!#$%&'*+-/=?^_`{|}~@x", true);
    put("longest-local", "64 bytes before the @", &format!("{}@x.org", "a".repeat(64)), true);
    let domain = [["a"; 63].concat(), ["b"; 63].concat(), ["c"; 63].concat(), ["d"; 59].concat()].join(".");
    put("longest", "254 bytes", &format!("a@{domain}{}", "d".repeat(254 - 2 - domain.len())), true);
    for (name, about, text) in [
        ("empty", "nothing", ""),
        ("no-at", "no @", "bob"),
        ("two-ats", "two @", "a@b@c"),
        ("no-local", "nothing before the @", "@x.org"),
        ("no-domain", "nothing behind the @", "bob@"),
        ("comma", "a comma", "a,b@x.org"),
        ("semicolon", "a semicolon", "a;b@x.org"),
        ("colon", "a colon", "a:b@x.org"),
        ("quotes", "a quoted part", "\"a b\"@x.org"),
        ("comment", "a comment", "a(b)@x.org"),
        ("brackets", "in brackets", "<a@x.org>"),
        ("space", "a space", "a b@x.org"),
        ("line-end", "a line end", "a@x.org\r\nbcc: b@x.org"),
        ("not-ascii", "a letter outside ASCII", "é@x.org"),
        ("upper-case", "not in lower case", "Bob@x.org"),
        ("dot-first", "a dot at the beginning", ".a@x.org"),
        ("dot-last", "a dot before the @", "a.@x.org"),
        ("two-dots", "two dots", "a..b@x.org"),
        ("domain-dot-first", "a dot behind the @", "a@.x.org"),
        ("domain-dot-last", "a dot at the end", "a@x.org."),
        ("domain-two-dots", "two dots in the domain", "a@x..org"),
        ("domain-hyphen-first", "a part that begins with a hyphen", "a@-x.org"),
        ("domain-hyphen-last", "a part that ends with a hyphen", "a@x-.org"),
        ("domain-underscore", "an underscore in the domain", "a@x_y.org"),
        ("literal", "an address literal", "a@[192.0.2.1]"),
    ] {
        put(name, about, text, false);
    }
    put("long-local", "65 bytes before the @", &format!("{}@x.org", "a".repeat(65)), false);
    put("long-part", "a part of 64 bytes", &format!("a@{}.org", "x".repeat(64)), false);
    put("too-long", "255 bytes", &format!("a@{domain}{}", "d".repeat(255 - 2 - domain.len())), false);
}

pub(crate) fn hints(set: &mut Set) {
    const PEER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    const ID: &str = "12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust";
    let given = |here: bool, hints: &[&str]| json!({"here": here, "hints": hints});
    let quic = format!("/ip4/198.51.100.7/udp/443/quic-v1/p2p/{ID}");
    let tcp = format!("/ip6/2001:db8::7/tcp/4001/p2p/{ID}");
    let all = given(false, &[PEER, &quic, "192.168.7.5:40000", &tcp, "[2001:db8::1]:1024"]);
    put(set, "hints", "all", "addresses and relays of both families", &all, true);
    put(set, "hints", "peer", "the peer key alone", &given(false, &[PEER]), true);
    let here = given(true, &[PEER, "127.0.0.1:40000", "[::1]:40000"]);
    put(set, "hints", "here", "loopback, for a server on this machine", &here, true);
    put(set, "hints", "none", "none", &given(false, &[]), false);
    let eight = [&[PEER][..], &["192.168.7.5:40000"; 8]].concat();
    put(set, "hints", "eight-addresses", "eight beside the peer key", &given(false, &eight), false);
    let long = format!("{PEER}A");
    let last = format!("{}9", &PEER[..42]);
    for (name, about, peer) in [
        ("peer-short", "a peer key of 42 characters", &PEER[1..]),
        ("peer-long", "a peer key of 44 characters", &long),
        ("peer-unused-bits", "a peer key with unused bits that are not zero", &last),
        ("peer-address", "an address in place of the peer key", "192.168.7.5:40000"),
    ] {
        put(set, "hints", name, about, &given(false, &[peer]), false);
    }
    let no_id = "/ip4/198.51.100.7/tcp/4001/p2p/".to_owned();
    for (name, about, hint) in [
        ("loopback", "loopback, for a server elsewhere", "127.0.0.1:40000"),
        ("loopback-6", "the same in IPv6", "[::1]:40000"),
        ("this-network", "an address that begins with 0", "0.1.2.3:40000"),
        ("multicast", "a multicast address", "224.0.0.251:5353"),
        ("class-e", "an address that is nobody's", "240.0.0.1:40000"),
        ("link-local", "an address of one cable", "169.254.169.254:8080"),
        ("link-local-6", "the same in IPv6", "[fe80::1]:40000"),
        ("multicast-6", "a multicast address in IPv6", "[ff02::fb]:5353"),
        ("unspecified-6", "no address in IPv6", "[::]:40000"),
        ("mapped", "an IPv4 address in IPv6", "[::ffff:c000:207]:40000"),
        ("mapped-mixed", "the same with dots", "[::ffff:192.0.2.7]:40000"),
        ("zone", "a network card", "[2001:db8::1%2]:40000"),
        ("system-port", "a port below 1024", "192.168.7.5:1023"),
        ("port-443", "a relay's port without a relay", "192.168.7.5:443"),
        ("port-zero", "port 0", "192.168.7.5:0"),
        ("port-large", "port 65536", "192.168.7.5:65536"),
        ("port-leading-zero", "a leading zero", "192.168.7.5:040000"),
        ("no-port", "no port", "192.168.7.5"),
        ("name", "a name", "host.example.org:40000"),
        ("number", "an address as one number", "3232237317:40000"),
        ("leading-zero", "a leading zero", "192.168.007.5:40000"),
        ("upper-case", "upper case", "[2001:DB8::1]:40000"),
        ("long-6", "groups that :: stands for", "[2001:db8:0:0:0:0:0:1]:40000"),
        ("space", "a space behind", "192.168.7.5:40000 "),
        ("empty", "nothing", ""),
        ("relay-no-id", "a relay without its id", &no_id),
        ("relay-no-p2p", "a relay without its id and the word for it", "/ip4/10.0.0.1/tcp/4000"),
        ("relay-not-base58", "an id that is none", "/ip4/10.0.0.1/tcp/4000/p2p/l"),
        ("relay-udp", "UDP without QUIC", "/ip4/10.0.0.1/udp/4000/p2p/x"),
        ("relay-family", "an address of another family", "/ip6/10.0.0.1/tcp/4000/p2p/x"),
        ("relay-name", "a name", "/dns4/r/tcp/4000/p2p/x"),
        ("relay-port", "a system's port", "/ip4/10.0.0.1/tcp/22/p2p/x"),
        ("relay-behind", "more behind it", "/ip4/10.0.0.1/tcp/4000/p2p/x/p2p-circuit"),
    ] {
        put(set, "hints", name, about, &given(false, &[PEER, hint]), false);
    }
}
