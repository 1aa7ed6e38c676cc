//! 676 names that did harm elsewhere: to terminals, logs, tables and readers. Nothing in them may
//! have an effect here.

/// Every C0 and C1 control character, and DEL.
fn controls() -> impl Iterator<Item = char> {
    ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}')
}

/// Characters that show nothing, or turn the direction of what stands beside them.
const INVISIBLE: [char; 28] = [
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
    '\u{2069}', '\u{200e}', '\u{200f}', '\u{61c}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}',
    '\u{feff}', '\u{ad}', '\u{180e}', '\u{34f}', '\u{2800}', '\u{3164}', '\u{115f}', '\u{ffa0}', '\u{2028}',
    '\u{2029}', '\u{fff9}', '\u{fffb}',
];

/// Operating system commands that terminals know: titles, colours, links, the clipboard,
/// notifications, pictures.
const COMMANDS: [u32; 23] =
    [0, 1, 2, 4, 7, 8, 9, 10, 11, 12, 17, 19, 50, 52, 66, 99, 104, 110, 133, 176, 633, 777, 1337];

/// Lines that try to look like ours, or to be run by whoever pastes them.
const FORGED: [&str; 20] = [
    "Bob\nDEVICE    ORGANISATION  USER",
    "Bob\r\nparsecctl: done",
    "Bob\n  3)  K7EM     Kilo Seven Echo Mike",
    "Bob\n\nDone: you are a member of acme",
    "Bob\n{\"schema\":\"parsec.error/1\"}",
    "\",\"schema\":\"parsec.ceremony.done/1\",\"x\":\"",
    "\\u001b[2J",
    "\\x1b[31m",
    "Bob\u{b}Alice",
    "Bob\u{c}Alice",
    "Bob\u{85}Alice",
    "Bob\u{8}\u{8}\u{8}Eve",
    "Bob\rEve",
    "Bob\x1b[1A\x1b[2KEve",
    "Bob\x1b[8mhidden\x1b[28m",
    "Bob\x1b7\x1b[1;1HEve\x1b8",
    "$(touch x)",
    "`touch x`",
    "'; touch x; '",
    "\"; touch x; \"",
];

/// Honest names that look dangerous: they stay as they are, in columns that still line up.
const HONEST: [&str; 16] = [
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
    "\u{645}\u{62d}\u{645}\u{62f}",
    "\u{5d3}\u{5df} 5 \u{5d0}",
    "\u{641}\u{627}\u{637}\u{645}\u{629} 2026",
    "\u{633}\u{627}\u{631}\u{627}",
    "\u{5e0}\u{5d5}\u{5e2}\u{5d4}-\u{5dc}\u{5d9}",
    "\u{631}\u{636}\u{627}",
    "\u{5de}\u{5d9}\u{5db}\u{5dc} (bob)",
    "\u{674e}\u{5c0f}\u{9f99}",
    "\u{1f600}\u{1f600}\u{1f600}",
    "\u{1f9d1} Bob",
    "\u{ff22}\u{ff4f}\u{ff42}",
    "\u{d64d}\u{ae38}\u{b3d9}",
    "\u{305f}\u{306a}\u{304b}",
    "\u{1f1eb}\u{1f1f7}",
    "\u{20000}\u{20001}",
];

/// All of them.
#[must_use]
pub fn names() -> Vec<String> {
    let mut all = Vec::new();
    let everywhere = |c: char| [format!("{c}Bob"), format!("Bo{c}b"), format!("Bob{c}")];
    all.extend(controls().flat_map(everywhere));
    all.extend(INVISIBLE.into_iter().flat_map(everywhere));
    all.extend((' '..='~').map(|c| format!("Bo\x1b{c}b")));
    for last in '@'..='~' {
        all.push(format!("Bo\x1b[1;2{last}b"));
        all.push(format!("Bo\u{9b}1;2{last}b"));
    }
    for number in COMMANDS {
        all.extend(["\x07", "\x1b\\", "\u{9c}", ""].map(|end| format!("Bo\x1b]{number};c;ZXZpbA=={end}b")));
    }
    // Device control, application, privacy, start of string; with seven bits and with eight.
    for start in ["\x1bP", "\x1b_", "\x1b^", "\x1bX", "\u{90}", "\u{9f}", "\u{9e}", "\u{98}"] {
        all.extend(["\x1b\\", ""].map(|end| format!("Bo{start}$q\"p{end}b")));
    }
    let marks = [
        '\u{300}', '\u{301}', '\u{308}', '\u{30a}', '\u{315}', '\u{31b}', '\u{321}', '\u{327}', '\u{334}',
        '\u{338}', '\u{33f}', '\u{346}', '\u{35c}', '\u{361}', '\u{489}', '\u{20dd}',
    ];
    all.extend(marks.into_iter().map(|mark| format!("B{}ob", mark.to_string().repeat(60))));
    all.extend(('\u{e0041}'..='\u{e0048}').map(|tag| format!("Bob{tag}")));
    all.extend(('\u{1f468}'..='\u{1f46f}').map(|face| format!("{face}\u{200d}{face}\u{fe0f}")));
    all.extend(FORGED.map(str::to_owned));
    all.extend(HONEST.map(str::to_owned));
    all
}

/// The first character of a text that could, line ends aside. A joiner or a selector behind a
/// picture only makes another picture of it.
#[must_use]
pub fn effect_in(text: &str) -> Option<char> {
    let mut before = ' ';
    text.chars().find(|c| {
        let picture =
            ('\u{1f300}'..='\u{1faff}').contains(&before) || ('\u{2600}'..='\u{27bf}').contains(&before);
        let of_picture = matches!(c, '\u{200d}' | '\u{fe0f}') && picture;
        before = *c;
        *c != '\n' && has_effect(*c) && !of_picture
    })
}

/// Whether a character could steer a terminal or hide something. Independent of the list in the
/// product, so that each can find the other's gaps.
#[must_use]
pub fn has_effect(c: char) -> bool {
    let code = u32::from(c);
    controls().any(|control| control == c)
        || INVISIBLE.contains(&c)
        || (0x2028..=0x202f).contains(&code) && code != 0x202f
        || (0x2060..=0x206f).contains(&code)
        || (0xe0000..=0xe007f).contains(&code)
        || (0xfe00..=0xfe0f).contains(&code)
}
