//! 10,000 addresses of servers, spelt as people might: each is refused at founding with a reason,
//! or it is the one address that the link which is printed leads to, for `claim`, for `net ping`
//! and for the server itself.
//!
//! Decides by the functions that the parts call where an address enters them; `links.rs` shows the
//! same with the programs, for a few.

use std::net::{Ipv4Addr, Ipv6Addr};

use parsec_metadata::ServeOptions;
use parsec_protocol::control::{ProblemKind, SecretText};
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::ids::Token;
use parsec_protocol::keys::LinkSecret;
use parsecd::problems::link_in;
use parsecd::transport::http::{Client, Server};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Addresses in one run.
const ADDRESSES: u32 = 10_000;
/// Fewest that are taken, and fewest that are refused: a generator that makes only the one or the
/// other shows nothing.
const OF_EACH_MIN: u32 = 1_000;

fn hosts() -> impl Strategy<Value = String> {
    let number = |value: u8, form: u8| match form % 4 {
        0 => format!("{value}"),
        1 => format!("0x{value:x}"),
        2 => format!("0{value:o}"),
        _ => format!("0X{value:02X}"),
    };
    prop_oneof![
        4 => "[a-zA-Z0-9-]{1,12}(\\.[a-zA-Z0-9-]{1,12}){0,3}\\.?",
        2 => "(localhost|LocalHost|example\\.org|bücher\\.example|xn--bcher-kva\\.example|例え\\.jp)\\.?",
        1 => "[a-zß中％。_%!~\u{ad}\u{200d}]{1,8}\\.(example|ORG)",
        1 => "(%[0-9a-fA-F]{2}|[a-z.]){1,8}",
        1 => any::<[(u8, u8); 4]>().prop_map(move |parts| parts.map(|(value, form)| number(value, form)).join(".")),
        1 => any::<u32>().prop_map(|number| number.to_string()),
        1 => any::<u8>().prop_map(|low| format!("127.{low}")),
        1 => any::<u128>().prop_map(|bits| format!("[{}]", Ipv6Addr::from_bits(bits))),
        1 => any::<u16>().prop_map(|bits| format!("[2001:DB8:0:0:0::{bits:X}]")),
        1 => any::<u32>().prop_map(|bits| format!("[::ffff:{}]", Ipv4Addr::from_bits(bits))),
        1 => "(\\[::1\\]|\\[0:0:0:0:0:0:0:1\\]|\\[fe80::1%25eth0\\]|)",
    ]
}

fn addresses() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![8 => "(https|HTTPS|Https)", 3 => "(http|HTTP)", 1 => "(parsec|ftp|)"];
    let slashes = prop_oneof![9 => Just("://".to_owned()), 1 => "(:|:/|:\\\\\\\\|:///)"];
    let user = prop_oneof![19 => Just(String::new()), 1 => "(me@|me:word@|@)"];
    let port =
        prop_oneof![3 => Just(String::new()), 3 => "(:|:443|:0443|:80|:080|:8443)", 1 => "(:0|:[0-9]{1,6})"];
    let rest = prop_oneof![9 => "(|/)", 1 => "(\\\\|//|/\\.|/x|\\?|\\?q|#|#f| |\t|\n|/join/acme)"];
    (scheme, slashes, user, hosts(), port, rest).prop_map(|(scheme, slashes, user, host, port, rest)| {
        format!("{scheme}{slashes}{user}{host}{port}{rest}")
    })
}

/// What `parsec-metadata serve --public-url` makes of an address.
fn public_url(address: &str) -> Result<String, String> {
    // A string of JSON is one of TOML.
    let quoted = serde_json::to_string(address).unwrap();
    let options: ServeOptions = toml::from_str(&format!("database = 'x'\npublic-url = {quoted}\n")).unwrap();
    options.check().map(|config| config.public_url.unwrap()).map_err(|error| error.to_string())
}

#[test]
fn what_founding_takes_every_part_takes() {
    let client = Client::new(None).unwrap();
    let mut runner = TestRunner::new_with_rng(
        Config { cases: ADDRESSES, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let (taken_, refused_) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    runner
        .run(&addresses(), |text| {
            // `org.bootstrap`.
            let server = match Server::new(client.clone(), &text) {
                Ok(server) => server,
                Err(error) => {
                    refused_.set(refused_.get() + 1);
                    prop_assert!(error.to_string().len() > text.len(), "no reason: {error}");
                    // The server would not call itself so either.
                    prop_assert!(public_url(&text).is_err(), "{text:?}");
                    return Ok(());
                }
            };
            taken_.set(taken_.get() + 1);
            let kept = server.address().to_owned();
            prop_assert_eq!(public_url(&text), Ok(kept.clone()));
            // What `invite` prints.
            let link = Link {
                server: kept.parse().unwrap(),
                organisation: "acme".parse().unwrap(),
                kind: LinkKind::User,
                token: Token::from_bytes([1; 16]),
                secret: LinkSecret::from_bytes(&mut [2; 32]),
                hints: Vec::new(),
            };
            for printed in [Some(link.to_url()), link.to_alias()].into_iter().flatten() {
                // `claim.start` and `net.ping`.
                let read = link_in(&SecretText::new(printed));
                let read =
                    read.map_err(|problem| TestCaseError::fail(format!("{}: {}", text, problem.message)))?;
                prop_assert_eq!(read.server.as_str(), &kept);
                let there = Server::new(client.clone(), read.server.as_str());
                prop_assert_eq!(there.map(|there| there.address().to_owned()).ok(), Some(kept.clone()));
            }
            // A link with the address as it was typed leads there, too, or says what is wrong.
            let (_, payload) =
                link.to_url().split_once('#').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            match link_in(&SecretText::new(
                format!("{}/join/acme#{payload}", text.trim_end_matches('/')).into(),
            )) {
                Ok(read) => prop_assert_eq!(read.server.as_str(), &kept),
                Err(problem) => prop_assert!(
                    matches!(problem.name, ProblemKind::LinkMalformed | ProblemKind::PlainHttpRefused),
                    "{}",
                    problem.message
                ),
            }
            Ok(())
        })
        .unwrap();
    let (taken, refused) = (taken_.get(), refused_.get());
    println!("{ADDRESSES} addresses: {taken} taken everywhere, {refused} refused with a reason");
    assert!(taken >= OF_EACH_MIN && refused >= OF_EACH_MIN, "{taken} taken, {refused} refused");
}
