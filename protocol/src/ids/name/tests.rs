//! Names that people have, and texts that only look like them.

use proptest::prelude::*;

use super::super::joiners::INVISIBLE;
use super::super::{IdError, Label};
use super::*;

/// Names as people in many places write them, and labels of devices.
const ORDINARY: &[&str] = &[
    "Bob",
    "Zoë O’Neill-李",
    "R2-D2 🤖",
    "Александра Константиновна Преображенская",
    "नरेन्द्र दामोदरदास शर्मा",
    // Persian: U+200C parts two letters of one word.
    "مهدی\u{200c}زاده",
    "علی\u{200c}اکبر هاشمی\u{200c}نژاد",
    // Sinhala: U+200D makes one sign of two letters; touching letters have it before the virama.
    "ශ\u{dca}\u{200d}රී ජයවර්ධන",
    "ක\u{dca}\u{200d}ෂණික",
    "ත\u{200d}\u{dca}ථ",
    // Kannada and Telugu part letters behind a virama, Malayalam and Bengali join them.
    "ರಾಜ\u{ccd}\u{200c}ಕುಮಾರ\u{ccd}",
    "రాజ\u{c4d}\u{200c}కుమార\u{c4d}",
    "മോഹന\u{d4d}\u{200d}",
    "র\u{200d}\u{9cd}যাচেল",
    "র\u{9cd}\u{200d}যাব",
    // Japanese and Chinese variants of a character.
    "葛\u{e0100}城市",
    "神\u{fe00}谷 直樹",
    "邊\u{e0101}",
    // Mongolian.
    "ᠮᠣᠩᠭ\u{180b}ᠣᠯ",
    "ᠠᠴ\u{180e}ᠠ",
    "Ana ❤\u{fe0f}",
    "👩\u{200d}💻 Ada",
    "👩🏽\u{200d}🚀",
    "👨\u{200d}👩\u{200d}👧\u{200d}👦",
    "❤\u{fe0f}\u{200d}🔥",
    "🏳\u{fe0f}\u{200d}🌈",
    "🏴\u{200d}☠\u{fe0f}",
    "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} Fergus",
    "🇫🇷 poste 1\u{fe0f}\u{20e3}",
    "☎\u{fe0e} desk",
    "Nguyễn Thị Ánh",
    "שָׁלוֹם",
    "مُحَمَّد",
    "น้ำฝน",
    "བསྒྲུབས",
    "မြန်မာ",
    "ខ្មែរ",
    "홍길동",
    "Ōe Kenzaburō",
    "laptop (home) \\ 2",
];

fn fault(text: &str) -> Option<(u32, usize, NameFault)> {
    match text.parse::<Label>() {
        Err(IdError::Name(NameError::Character { character, place, fault })) => {
            Some((u32::from(character), place, fault))
        }
        Err(IdError::Name(_)) | Ok(_) => None,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn ordinary_names_are_taken() {
    for name in ORDINARY {
        let read: Label = name.parse().unwrap_or_else(|why| panic!("{name:?}: {why}"));
        assert_eq!(read.as_str(), name.nfc().collect::<String>());
    }
}

#[test]
fn every_form_of_a_name_is_one_name() {
    for name in ORDINARY {
        let one: Label = name.parse().unwrap();
        let other: Label = name.nfd().collect::<String>().parse().unwrap();
        assert_eq!(one, other);
    }
    // The wire has the one form only.
    let decomposed: String = "Zoë".nfd().collect();
    assert!(minicbor::decode::<Label>(&minicbor::to_vec(decomposed.as_str()).unwrap()).is_err());
    assert!(minicbor::decode::<Label>(&minicbor::to_vec("Zoë").unwrap()).is_ok());
    assert_eq!(serde_json::from_value::<Label>(decomposed.into()).unwrap().as_str(), "Zoë");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    use NameFault as Fault;
    for (text, character, place, expected) in [
        (" bob", ' ', 1, Fault::SpaceAtEnd),
        ("bob ", ' ', 4, Fault::SpaceAtEnd),
        ("bo  b", ' ', 4, Fault::SpaceTwice),
        ("bo\u{a0}b", '\u{a0}', 3, Fault::OtherSpace),
        ("山田\u{3000}太郎", '\u{3000}', 3, Fault::OtherSpace),
        ("a\u{2009}b", '\u{2009}', 2, Fault::OtherSpace),
        ("a\tb", '\t', 2, Fault::Control),
        ("a\nb", '\n', 2, Fault::Control),
        ("a\x1b[2J", '\x1b', 2, Fault::Control),
        ("a\u{85}b", '\u{85}', 2, Fault::Control),
        ("नरे\u{202e}b", '\u{202e}', 3, Fault::Direction),
        ("a\u{200f}", '\u{200f}', 2, Fault::Direction),
        ("a\u{2066}b", '\u{2066}', 2, Fault::Direction),
        ("\u{feff}a", '\u{feff}', 1, Fault::Invisible),
        ("a\u{200b}b", '\u{200b}', 2, Fault::Invisible),
        ("a\u{2028}b", '\u{2028}', 2, Fault::Invisible),
        ("\u{3164}", '\u{3164}', 1, Fault::Invisible),
        // In the cluster of the letter before it.
        ("bo\u{200d}b", '\u{200d}', 2, Fault::Joiner),
        ("bo\u{200c}b", '\u{200c}', 2, Fault::Joiner),
        ("مهدی\u{200c}", '\u{200c}', 4, Fault::Joiner),
        // A letter that joins nothing behind it needs nothing that parts it.
        ("زاد\u{200c}ه", '\u{200c}', 3, Fault::Joiner),
        ("क\u{94d}\u{200c}", '\u{200c}', 1, Fault::Joiner),
        ("क\u{94d}\u{200d}\u{200d}", '\u{200d}', 1, Fault::Joiner),
        ("👩\u{200d}x", '\u{200d}', 1, Fault::Joiner),
        ("bob\u{fe0f}", '\u{fe0f}', 3, Fault::Selector),
        ("1\u{fe0f}", '\u{fe0f}', 1, Fault::Selector),
        ("❤\u{fe0f}\u{fe0f}", '\u{fe0f}', 1, Fault::Selector),
        ("b\u{e0100}", '\u{e0100}', 1, Fault::Selector),
        ("葛\u{e0100}\u{e0101}", '\u{e0101}', 1, Fault::Selector),
        ("bob\u{e0041}", '\u{e0041}', 3, Fault::Invisible),
        ("🏴\u{e0067}\u{e0062}\u{e007f}", '\u{e0067}', 1, Fault::Invisible),
        (
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}\u{e007f}",
            '\u{e007f}',
            1,
            Fault::Invisible,
        ),
        ("a\u{e000}", '\u{e000}', 2, Fault::Meaningless),
        ("a\u{ffff}", '\u{ffff}', 2, Fault::Meaningless),
        ("\u{338}b", '\u{338}', 1, Fault::MarkAlone),
        ("a \u{301}b", '\u{301}', 2, Fault::MarkAlone),
        ("a \u{903}b", '\u{903}', 2, Fault::MarkAlone),
        ("x\u{301}\u{302}\u{303}\u{304}\u{30c}", '\u{30c}', 1, Fault::MarksTooMany),
        ("ax\u{301}\u{301}", '\u{301}', 2, Fault::MarkTwice),
    ] {
        assert_eq!(fault(text), Some((character.into(), place, expected)), "{text:?}");
    }
    let said = |text: &str| text.parse::<Label>().unwrap_err().to_string();
    assert_eq!(said(""), "a name has 1 to 64 characters; this one is empty");
    assert_eq!(said(&"x".repeat(65)), "the name is 1 character too long: it may have 64");
    assert_eq!(said(&"ж".repeat(70)), "the name is 6 characters too long: it may have 64");
    assert_eq!(
        said("bo\u{202e}b"),
        "a name can't have U+202E there (in its character 3): it turns the direction of text"
    );
}

#[test]
fn people_and_their_characters_are_counted() {
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    for one in ["x", "ж", "न्दे", "❤\u{fe0f}", "🇫🇷", "ශ\u{dca}\u{200d}රී", "각"] {
        let count = one.graphemes(true).count();
        let most = one.repeat(NAME_MAX_CHARACTERS / count);
        if most.len() > NAME_MAX_BYTES {
            continue;
        }
        assert!(most.parse::<Label>().is_ok(), "{one}");
        let more = format!("{most}{}", "x".repeat(NAME_MAX_CHARACTERS % count + 1));
        assert_eq!(more.parse::<Label>(), Err(IdError::Name(NameError::TooLong { over: 1 })), "{one}");
    }
    assert!(family.repeat(20).parse::<Label>().is_ok());
    assert_eq!(
        family.repeat(21).parse::<Label>(),
        Err(IdError::Name(NameError::TooManyBytes { over: 21 * family.len() - NAME_MAX_BYTES }))
    );
    for length in [TEXT_MAX_BYTES + 1, 1 << 20] {
        let long = "x".repeat(length).parse::<Label>();
        assert_eq!(long, Err(IdError::Name(NameError::TooManyBytes { over: length - NAME_MAX_BYTES })));
    }
}

#[test]
fn no_invisible_character_stands_between_latin_letters() {
    for range in INVISIBLE {
        for c in range.clone() {
            for text in [format!("a{c}b"), format!("{c}b"), format!("a{c}")] {
                assert!(fault(&text).is_some(), "{text:?}");
            }
        }
    }
}

/// Text made of what matters here.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        3 => proptest::sample::select(ORDINARY).prop_map(str::to_owned),
        2 => "[a-z عسرکषනශරක葛ᠠ❤👩🏴1]",
        2 => "[\u{200c}\u{200d}\u{fe0f}\u{fe00}\u{e0100}\u{180b}\u{180e}\u{94d}\u{dca}\u{20e3}\u{301}\u{64e}]",
        1 => proptest::char::any().prop_map(String::from),
    ];
    proptest::collection::vec(pieces, 1..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    /// A name that is taken is in form C, within both bounds, and read again it is itself: from a
    /// text, from the wire and from JSON.
    #[test]
    fn a_name_that_is_taken_has_one_spelling(text in texts()) {
        if let Ok(name) = text.parse::<Label>() {
            let kept = name.as_str();
            prop_assert!(unicode_normalization::is_nfc(kept));
            prop_assert!(kept.len() <= NAME_MAX_BYTES && kept.graphemes(true).count() <= NAME_MAX_CHARACTERS);
            prop_assert!(!kept.starts_with(char::is_whitespace) && !kept.ends_with(char::is_whitespace));
            prop_assert_eq!(kept.parse::<Label>(), Ok(name.clone()));
            prop_assert_eq!(text.nfd().collect::<String>().parse::<Label>(), Ok(name.clone()));
            let bytes = minicbor::to_vec(&name).unwrap();
            prop_assert_eq!(&minicbor::decode::<Label>(&bytes).unwrap(), &name);
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(serde_json::from_str::<Label>(&json).unwrap(), name);
        }
    }

    #[test]
    fn nothing_that_is_typed_ends_the_program(text in "\\PC{0,200}") {
        let _ = text.parse::<Label>();
    }
}
