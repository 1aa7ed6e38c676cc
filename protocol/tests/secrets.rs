//! Nothing that holds a secret says it when it is printed for a log (`Debug`, plain and pretty).
//!
//! Every secret in here consists of one byte again and again; the texts are searched for it in each
//! form that `Debug` has for bytes. A derived `Debug` on a plain array is shown to be caught.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fmt::Debug;

use parsec_protocol::chain::organisation::bootstrap::Founder;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::enrol::io::{Approval, ClaimerOutput, NewDevice};
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::ids::{Invited, Label, Timestamp, Token};
use parsec_protocol::keys::{
    DeviceSeed, DeviceSigningKey, DirectoryKey, LinkSecret, LocalStoreKey, UserSeed,
};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::public_keys::{Hash, Signature};
use parsec_protocol::relay::NewInvitation;
use parsec_protocol::sealing::{RANDOMNESS_BYTES, Randomness, seal};
use support::{Org, device, email, organisation, root_key, user};

/// The byte of which every secret consists: 171, 0xab.
const BYTE: u8 = 0xab;

/// The secret, in one of the forms in which bytes are printed.
fn leak(value: &dyn Debug) -> Option<String> {
    let plain = format!("{value:?}");
    let pretty: String = format!("{value:#?}").split_whitespace().collect();
    let forms = ["171, 171", "171,171", "abababab", "ABABABAB", "\\xab\\xab", "q6urq6ur"];
    let found = forms.iter().any(|form| plain.contains(form) || pretty.contains(form));
    found.then_some(plain)
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

macro_rules! secret {
    ($name:ident) => {
        $name::from_bytes(&mut [BYTE; 32])
    };
}

#[test]
fn a_careless_debug_is_caught() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "only printed")]
    struct Careless([u8; 32]);
    assert!(leak(&Careless([BYTE; 32])).is_some());
    assert!(leak(&Hash::from_bytes([BYTE; 32])).is_some());
    // Many derived `Debug`s lean on this.
    assert_eq!(leak(&zeroize::Zeroizing::new([BYTE; 32])), None);
}

#[test]
fn a_founder() {
    let (organisation, email, name) = (organisation(), email(0), label("Alice"));
    let founder = Founder {
        organisation: &organisation,
        email: &email,
        name: &name,
        device_label: &name,
        user_seed: &secret!(UserSeed),
        device_seed: &secret!(DeviceSeed),
        signing_key: &secret!(DeviceSigningKey),
        directory_key: &secret!(DirectoryKey),
    };
    assert_eq!(leak(&founder), None);
    let silent = "user_seed: UserSeed(..), device_seed: DeviceSeed(..), signing_key: DeviceSigningKey(..), \
                  directory_key: DirectoryKey(..)";
    assert!(format!("{founder:?}").contains(silent));
}

#[test]
fn a_new_device() {
    let root = root_key(0).verify_key();
    let device = NewDevice {
        organisation: organisation(),
        user: user(1),
        device: device(1),
        email: email(1),
        name: label("Bob"),
        device_label: label("laptop"),
        profile: Profile::Standard,
        root,
        typed_codes: false,
        user_seed: secret!(UserSeed),
        device_seed: secret!(DeviceSeed),
        manifest: None,
        signing_key: secret!(DeviceSigningKey),
        store_key: secret!(LocalStoreKey),
        directory_keys: DirectoryKeys::first(secret!(DirectoryKey)),
        seen: Org::founded().log.head(),
        log: Vec::new(),
        certificates: Vec::new(),
        receipt: ClaimReceipt {
            handshake: Hash::of(&[]),
            certificates: Vec::new(),
            root,
            opened: Hash::of(&[]),
            signature: Signature::from_bytes([0; 64]),
        },
        first_device: true,
    };
    assert_eq!(leak(&device), None);
    let silent = "user_seed: UserSeed(..), device_seed: DeviceSeed(..), manifest: None, \
                  signing_key: DeviceSigningKey(..), store_key: LocalStoreKey(..), \
                  directory_keys: DirectoryKeys { first: DirectoryKey(..), later: {} }";
    assert!(format!("{device:?}").contains(silent));
    assert_eq!(leak(&ClaimerOutput::Keep(Box::new(device))), None);
}

#[test]
fn an_approval() {
    let org = Org::founded();
    let approval = Approval {
        claimer_confirmed: true,
        name: None,
        device_label: None,
        profile: Profile::Standard,
        signing_key: &secret!(DeviceSigningKey),
        directory_keys: &DirectoryKeys::first(secret!(DirectoryKey)),
        user_seed: &secret!(UserSeed),
        manifest: None,
        log: &org.log,
        attempts: 1,
        share: None,
    };
    assert_eq!(leak(&approval), None);
}

#[test]
fn a_link_and_the_request_that_mails_it() {
    let link = Link {
        server: "https://parsec.test".parse().unwrap(),
        organisation: organisation(),
        kind: LinkKind::User,
        token: Token::from_bytes([BYTE; 16]),
        secret: secret!(LinkSecret),
        hints: Vec::new(),
    };
    assert_eq!(leak(&link), None);
    let url = link.to_url().to_string();
    assert!(leak(&url).is_some(), "the secret is in the link");
    let request = NewInvitation {
        token: Token::from_bytes([BYTE; 16]),
        invited: Invited::User(email(1)),
        expires: Timestamp(1),
        mail_link: Some(url),
    };
    assert_eq!(leak(&request), None);
    assert!(format!("{request:?}").contains("mail_link: Some(\"..\")"));
}

#[test]
fn what_a_box_is_made_of_and_what_was_in_it() {
    let seed = secret!(UserSeed);
    let drawn = || Randomness::from_slice(&[BYTE; RANDOMNESS_BYTES]).unwrap();
    assert_eq!(leak(&drawn()), None);
    let sealed = seal(&seed.encryption_key(), b"", b"", &[BYTE; 32], drawn()).unwrap();
    let opened = seed.open(&sealed, b"", b"").unwrap();
    assert_eq!(opened.expose(), [BYTE; 32]);
    assert_eq!((leak(&seed), leak(&opened)), (None, None));
}
