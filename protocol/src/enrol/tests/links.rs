//! Links: one spelling each, and nothing that leads elsewhere than it looks.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::super::link::{Link, LinkError, LinkKind};
use super::*;
use crate::codec;

fn link(server: &str) -> Link {
    Link {
        server: server.parse().unwrap(),
        organisation: "acme".parse().unwrap(),
        kind: LinkKind::Device,
        token: Token::from_bytes([3; 16]),
        secret: Organisation::link_secret(),
        hints: vec!["/ip6/::1/udp/4001/quic-v1".to_owned()],
    }
}

/// A payload with what it should not have; `None` where codec refuses to write it.
fn payload(version: u64, kind: u64, token: &[u8], secret: &[u8], hints: &[&str]) -> String {
    let mut out = Vec::new();
    let mut e = minicbor::Encoder::new(&mut out);
    e.array(5).unwrap().u64(version).unwrap().u64(kind).unwrap().bytes(token).unwrap().bytes(secret).unwrap();
    e.array(hints.len() as u64).unwrap();
    for hint in hints {
        e.str(hint).unwrap();
    }
    Base64UrlUnpadded::encode_string(&out)
}

fn good() -> String {
    payload(1, 0, &[1; 16], &[2; 32], &[])
}

fn read(text: &str) -> Result<Link, LinkError> {
    text.parse()
}

#[test]
fn what_is_written_is_read() {
    for server in [
        "https://parsec.example.org",
        "https://parsec.example.org:8443",
        "https://192.0.2.7",
        "https://[2001:db8::1]:6770",
        "http://localhost:6770",
        "http://127.0.0.1:6770",
        "http://127.9.9.9",
        "http://[::1]:6770",
    ] {
        let made = link(server);
        let url = made.to_url();
        // Its room was known: a string that grows leaves copies of the secret behind.
        assert_eq!(url.capacity(), url.len());
        let again = read(&format!(" \t{}\r\n", url.as_str())).unwrap();
        assert_eq!(again.server.as_str(), server);
        assert_eq!(again.to_url(), url);
        assert_eq!((again.kind, again.token, again.hints.len()), (LinkKind::Device, made.token, 1));
        assert_eq!(again.secret.expose(), made.secret.expose());
        match made.to_alias() {
            Some(alias) => assert_eq!(read(&alias).unwrap().to_url(), url),
            None => assert!(server.starts_with("http://")),
        }
    }
}

#[test]
fn an_address_has_one_spelling() {
    for other in [
        "https://Parsec.Example.ORG",
        "HTTPS://parsec.example.org",
        "https://parsec.example.org:443",
        "http://localhost:80",
        "http://LOCALHOST",
        "https://[2001:DB8::1]",
        "https://[2001:db8:0::1]",
        "https://[::ffff:192.0.2.7]",
    ] {
        let text = format!("{other}/join/acme#{}", good());
        assert_eq!(read(&text).unwrap_err(), LinkError::Malformed, "{other}");
    }
    let mapped = format!("https://[::ffff:c000:207]/join/acme#{}", good());
    assert_eq!(read(&mapped).unwrap().server.as_str(), "https://[::ffff:c000:207]");
}

#[test]
fn a_newer_version_is_told_wherever_it_leads() {
    let later = payload(2, 0, &[1; 16], &[2; 32], &[]);
    for address in ["https://new.example./join/acme", "http://a.example/join/acme", "other://x", ""] {
        assert_eq!(read(&format!("{address}#{later}")).unwrap_err(), LinkError::TooNew, "{address}");
    }
    // Heads that are not the shortest are no version.
    for bytes in [&[0x82, 0x18, 2, 0][..], &[0x98, 2, 2, 0], &[0x9f, 2, 0xff], &[0x80], &[0x82, 0x22, 0]] {
        let text = format!("https://a/join/acme#{}", Base64UrlUnpadded::encode_string(bytes));
        assert_eq!(read(&text).unwrap_err(), LinkError::Malformed, "{bytes:02x?}");
    }
}

#[test]
fn a_cut_is_told_from_damage() {
    let whole = format!("https://a.example/join/acme#{}", good());
    let begins = whole.find('#').unwrap() + 5;
    for end in begins..whole.len() {
        assert_eq!(read(&whole[..end]).unwrap_err(), LinkError::CutOff, "{end}");
    }
}

#[test]
fn what_leads_elsewhere_is_refused() {
    let good = good();
    for address in [
        "",
        "https:/example.org/join/acme",
        "HTTPS://example.org/join/acme",
        "ftp://example.org/join/acme",
        "https://example.org/join/",
        "https://example.org/join/acme/",
        "https://example.org/join/acme?x=1",
        "https://example.org/join/../acme",
        "https://example.org/join/ACME",
        "https://example.org/join//acme",
        "https://example.org//join/acme",
        "https://example.org/acme",
        "https://example.org\\@evil.test/join/acme",
        "https://example.org@evil.test/join/acme",
        "https://a:b@evil.test/join/acme",
        "https://example.org:/join/acme",
        "https://example.org:0/join/acme",
        "https://example.org:080/join/acme",
        "https://example.org:+80/join/acme",
        "https://example.org:65536/join/acme",
        "https://example.org:80:81/join/acme",
        "https:///join/acme",
        "https://example..org/join/acme",
        "https://example.org./join/acme",
        "https://-example.org/join/acme",
        "https://exa mple.org/join/acme",
        "https://ex%61mple.org/join/acme",
        "https://exämple.org/join/acme",
        "https://127.1/join/acme",
        "https://0x7f.0.0.1/join/acme",
        "https://127.0.0.0x1/join/acme",
        "https://2130706433/join/acme",
        "https://127.0.0.01/join/acme",
        "https://[::1/join/acme",
        "https://[::1]x/join/acme",
        "https://[fe80::1%25eth0]/join/acme",
        "https://::1/join/acme",
        "parsec://example.org/join/acme",
        "parsec://example.org",
        "http://127.1/join/acme",
    ] {
        assert_eq!(read(&format!("{address}#{good}")).unwrap_err(), LinkError::Malformed, "{address}");
    }
    for host in ["example.org", "localhost.example.org", "128.0.0.1", "[::2]", "[::ffff:7f00:1]", "0.0.0.0"] {
        let text = format!("http://{host}/join/acme#{good}");
        assert_eq!(read(&text).unwrap_err(), LinkError::PlainHttp, "{host}");
    }
}

#[test]
fn payloads_have_one_spelling() {
    let read = |payload: &str| read(&format!("https://example.org/join/acme#{payload}")).map(|_| ());
    let good = good();
    assert_eq!(read(&good), Ok(()));
    for version in [2, 300, u64::MAX] {
        assert_eq!(read(&payload(version, 9, &[], &[], &[])), Err(LinkError::TooNew));
    }
    // Too new in a form that this version doesn't even have.
    let later = Base64UrlUnpadded::encode_string(&[0x82, 0x02, 0xa1, 0x01, 0x02]);
    assert_eq!(read(&later), Err(LinkError::TooNew));
    let long = "h".repeat(129);
    let standard_alphabet = good.replace(['-', '_'], "+");
    let trailing_bits = {
        let mut bytes = Base64UrlUnpadded::decode_vec(&good).unwrap();
        bytes.truncate(bytes.len() - bytes.len() % 3 - 2);
        let mut text = Base64UrlUnpadded::encode_string(&bytes);
        let last = text.pop().unwrap();
        text.push(char::from(last as u8 + 1));
        text
    };
    for (what, bad) in [
        ("nothing", String::new()),
        ("padding", format!("{good}=")),
        ("a second fragment", format!("{good}#")),
        ("white space inside", format!("{} {}", &good[..9], &good[9..])),
        ("version 0", payload(0, 0, &[1; 16], &[2; 32], &[])),
        ("kind 3", payload(1, 3, &[1; 16], &[2; 32], &[])),
        ("a short token", payload(1, 0, &[1; 15], &[2; 32], &[])),
        ("a short secret", payload(1, 0, &[1; 16], &[2; 31], &[])),
        ("a long secret", payload(1, 0, &[1; 16], &[2; 33], &[])),
        ("9 hints", payload(1, 0, &[1; 16], &[2; 32], &["h"; 9])),
        ("a long hint", payload(1, 0, &[1; 16], &[2; 32], &[&long])),
        ("a byte after", {
            let mut bytes = Base64UrlUnpadded::decode_vec(&good).unwrap();
            bytes.push(0);
            Base64UrlUnpadded::encode_string(&bytes)
        }),
        ("no array", Base64UrlUnpadded::encode_string(&codec::encode(&1u64))),
        ("trailing bits", trailing_bits),
    ] {
        // Nothing, and bits left over at the end, are what a cut leaves.
        assert!(matches!(read(&bad), Err(LinkError::Malformed | LinkError::CutOff)), "{what}");
    }
    if standard_alphabet != good {
        assert_eq!(read(&standard_alphabet), Err(LinkError::Malformed));
    }
}

#[test]
fn a_link_is_2048_characters_at_most() {
    let payload = payload(1, 0, &[1; 16], &[2; 32], &["h".repeat(128).as_str(); 8]);
    let fits = format!("https://{}/join/acme#{payload}", ["a".repeat(63).as_str(); 3].join("."));
    assert!(fits.len() < 2_048 && read(&fits).is_ok());
    let long = format!("https://example.org/join/acme#{}", "A".repeat(2_019));
    assert_eq!(long.len(), 2_049);
    assert_eq!(read(&long).unwrap_err(), LinkError::Malformed);
}

#[test]
fn a_link_is_silent() {
    let shown = format!("{:?}", link("https://example.org"));
    assert!(shown.contains("LinkSecret(..)") && shown.contains("Token(..)"), "{shown}");
}

proptest::proptest! {
    #[test]
    fn any_accepted_text_is_written_the_same(text in "(https|http|parsec)://[a-z0-9.:\\[\\]]{1,12}(/join)?/[a-z]{1,4}") {
        let payload = good();
        if let Ok(link) = read(&format!("{text}#{payload}")) {
            let url = link.to_url();
            proptest::prop_assert_eq!(read(&url).unwrap().to_url(), url);
        }
    }
}
