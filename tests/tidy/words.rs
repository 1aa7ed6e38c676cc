//! Words that are gone stay gone: in documents and schemas, and in the names and comments of code.
//!
//! Decides by exact lists, each word with what to say instead. Whoever renames something adds a
//! line here. Refuses an old name beside the new one: two words for one thing cost every reader the
//! question whether they are two things.

use super::Finding;
use super::documents::described;
use super::source::Source;

const REASON: &str = "two words for one thing look like two things";

/// Words that are gone from what people read. A word matches whole and in any case; code in
/// backticks and in fenced blocks counts as code, not as prose.
const GONE: &[Gone] = &[
    Gone { word: "direct road", instead: "peer-to-peer transport, or connection", at: PROSE, but: &[] },
    Gone { word: "road", instead: "transport", at: PROSE, but: &[] },
    Gone { word: "roads", instead: "transports", at: PROSE, but: &[] },
    Gone { word: "terminal", instead: "device, where a machine is meant", at: PROSE, but: TTY },
    Gone { word: "terminals", instead: "devices, where machines are meant", at: PROSE, but: TTY },
    Gone { word: "terminal", instead: "device, where a machine is meant", at: MACHINES, but: TTY_OF_CODE },
    Gone { word: "terminals", instead: "devices, where machines are meant", at: MACHINES, but: TTY_OF_CODE },
    Gone { word: "another past", instead: "fork, or rollback", at: PROSE, but: &[] },
    Gone { word: "another past", instead: "fork, or rollback", at: MACHINES, but: &[] },
    Gone { word: "does not check", instead: "fails verification", at: PROSE, but: &[] },
    Gone { word: "does not check", instead: "fails verification", at: MACHINES, but: &[] },
    Gone { word: "door", instead: "socket", at: PROSE, but: &[] },
    Gone { word: "doors", instead: "sockets", at: PROSE, but: &[] },
    Gone { word: "stray", instead: "foreign view", at: PROSE, but: &[] },
    Gone { word: "road_changed", instead: "transport_changed", at: &[""], but: HERE },
    Gone { word: "x-plugin-door", instead: "x-plugin-socket", at: &[""], but: HERE },
    Gone { word: "x-right", instead: "x-permission", at: &[""], but: HERE },
    Gone { word: "evidence.md", instead: "assurance.md", at: &[""], but: HERE },
    Gone { word: "direct-road.md", instead: "peer-to-peer.md", at: &[""], but: HERE },
];

/// Words that are gone from names in the code, as a part of a name counts, too, and from its
/// comments.
const GONE_FROM_CODE: &[(&str, &str)] = &[
    ("road", "transport"),
    ("roads", "transports"),
    ("patience", "deadline, or timeout"),
    ("scene", "fixture"),
    ("scenes", "fixtures"),
    ("crew", "executor"),
    ("crowd", "connection limits, or load"),
    ("gate", "authorizer"),
    ("door", "socket"),
    ("doors", "sockets"),
    ("seat", "slot"),
    ("heart", "watchdog"),
    ("shelf", "registry"),
    ("shelves", "registries"),
    ("board", "publisher"),
    ("keeper", "holder, or actor"),
    ("keepers", "holders"),
    ("clerk", "store"),
    ("postman", "mail queue"),
    ("strayed", "foreign view"),
];

/// Names that no type has any more: each was several types' at once.
const GONE_FROM_TYPES: &[(&str, &str)] = &[
    ("Place", "the noun of what is there: cursor, namespace, header"),
    ("Places", "the noun of what is there"),
    ("Turn", "Transition, or the message's name"),
    ("Turns", "FairQueue"),
    ("Row", "the noun of what is in it: check, figure, columns"),
    ("Setting", "Prologue, or Options"),
    ("World", "organisation, or model"),
    ("Desk", "the context's or handle's name"),
    ("Book", "table"),
    ("Letter", "OutgoingMail"),
    ("Picture", "QrOption"),
    ("Receipt", "ClaimReceipt, or EnrolmentReceipt"),
];

/// Files in which a type may be called so all the same: a command of that name, and what it prints.
const TYPES_KEPT: &[(&str, &str)] =
    &[("ctl/src/args/evidence.rs", "Receipt"), ("tests/src/json_output/mod.rs", "Receipt")];

/// A word that is gone.
struct Gone {
    word: &'static str,
    instead: &'static str,
    /// Beginnings of the paths where it is refused; `""` is everywhere.
    at: &'static [&'static str],
    /// Paths, or parts of a line, in which it is right all the same.
    but: &'static [&'static str],
}

/// This file, which names what it refuses.
const HERE: &[&str] = &["tests/tidy/words.rs"];

/// What people read.
const PROSE: &[&str] = &[
    "docs/",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "RELEASING.md",
    "packaging/README.md",
    "systemd/",
];

/// Code that speaks of people's machines, and whose words go out to people.
const MACHINES: &[&str] = &["daemon/src/", "server/src/", "protocol/src/"];

/// Lines in which a terminal is one with a keyboard, and documents that show what programs print.
const TTY: &[&str] = &[
    "docs/man/",
    "terminal emulator",
    "two real terminals",
    "Two terminals side by side",
    "real enrolment in two terminals",
    "(a TTY)",
    "on a terminal",
    "terminal window",
    "Terminal 1",
    "Terminal 2",
    "terminal 1",
    "in two terminals",
    "both terminals find",
    "steer the terminal",
    "terminal's echo",
    "the shell has the terminal",
    "at this terminal",
    "there is a terminal",
    "terminal, it says why",
    "in this terminal",
    "terminal's font",
    "in a terminal",
    "its terminal",
    "the terminal's own",
    "terminal that is stopped with SIGSTOP",
    "(a terminal,",
    "when this terminal is gone",
    "wider than the terminal",
    "terminal is closed",
    "opens a terminal",
];

/// The same in code: files about a terminal, and parts of lines.
const TTY_OF_CODE: &[&str] = &[
    "daemon/src/program.rs",
    "daemon/src/os/caller.rs",
    "daemon/src/rpc/connection.rs",
    "daemon/src/rpc/connection_limits.rs",
    "daemon/src/service/credentials.rs",
    "daemon/src/store/tests/key_file.rs",
    "server/src/main.rs",
    "terminal session",
    "in a terminal",
    "in this terminal",
    "escape sequence for the terminal",
];

/// The words that are gone and are in a text all the same.
pub(crate) fn gone(path: &str, text: &str) -> Vec<Finding> {
    let schema = path.starts_with("docs/") && path.ends_with(".json");
    let read = path.ends_with(".md") || path.starts_with("systemd/") || schema || path.ends_with(".rs");
    let rules: Vec<&Gone> = GONE
        .iter()
        .filter(|gone| read || gone.at == [""])
        .filter(|gone| gone.at.iter().any(|at| path.starts_with(at)))
        .filter(|gone| !gone.but.iter().any(|but| but.contains('/') && path.starts_with(but)))
        .collect();
    if rules.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        for gone in &rules {
            // A name in the code is gone from code, too.
            let name = gone.word.contains(['.', '_', '-']);
            if schema && described(line).is_none() && !name {
                continue;
            }
            if fenced && !name || gone.but.iter().any(|but| line.contains(but)) {
                continue;
            }
            let prose =
                if name { line.to_owned() } else { line.split('`').step_by(2).collect::<Vec<_>>().join("`") };
            if has_word(&prose.to_lowercase(), gone.word) {
                let what = format!("says `{}`: say {}", gone.word, gone.instead);
                findings.push(Finding::new(path, number + 1, what, REASON));
            }
        }
    }
    findings
}

/// The words that are gone and are in names or comments of the code all the same. What stands in a
/// string is data, or text for people, which has a rule of its own.
pub(crate) fn gone_from_code(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("tests/tidy/")) {
        let mut find = |number: usize, what: String| {
            findings.push(Finding::new(&source.path, number + 1, what, REASON));
        };
        for (number, (text, code)) in source.text.lines().zip(source.code.lines()).enumerate() {
            for name in names(code) {
                let parts = parts(name);
                for (word, instead) in GONE_FROM_CODE {
                    if parts.iter().any(|part| part == word) {
                        find(number, format!("has the name `{name}`: `{word}` is {instead}"));
                    }
                }
            }
            if let Some((_, instead)) = declared(code)
                .and_then(|name| GONE_FROM_TYPES.iter().find(|(gone, _)| *gone == name))
                .filter(|(gone, _)| !TYPES_KEPT.contains(&(source.path.as_str(), gone)))
            {
                find(number, format!("declares such a type: say {instead}"));
            }
            let comment = code.trim().is_empty() && text.trim_start().starts_with("//");
            for (word, instead) in GONE_FROM_CODE.iter().filter(|_| comment) {
                if has_word(&text.to_lowercase(), word) {
                    find(number, format!("says `{word}`: say {instead}"));
                }
            }
        }
    }
    findings
}

/// The names in a line of code.
fn names(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

/// The words that a name is made of, in small letters.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        if c == '_' || c.is_uppercase() && before.is_lowercase() {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| c != '_') {
            part.extend(c.to_lowercase());
        }
        before = c;
    }
    parts
}

/// The type that a line declares.
fn declared(code: &str) -> Option<&str> {
    let mut names =
        names(code).skip_while(|name| !["struct", "enum", "trait", "type", "union"].contains(name));
    names.next()?;
    names.next()
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        let before = line.get(..at).unwrap_or_default().chars().next_back();
        let after = line.get(at + word.len()..).unwrap_or_default().chars().next();
        !before.is_some_and(letter) && !after.is_some_and(letter)
    })
}

/// The rules can fail.
#[cfg(test)]
mod tests {
    use crate::source::Source;

    #[test]
    fn words_that_are_gone() {
        let gone = |path: &str, text: &str| super::gone(path, text).len();
        assert_eq!(gone("docs/a.md", "over the road"), 1);
        assert_eq!(gone("docs/a.md", "the direct road"), 2, "both words");
        assert_eq!(gone("docs/a.md", "a broad `road`"), 0, "names in code, and parts of words");
        assert_eq!(gone("docs/a.md", "```\nthe road\n```\nthe road"), 1, "what a program prints");
        assert_eq!(gone("docs/a.md", "the event `road_changed`"), 1, "a name that is gone");
        assert_eq!(gone("docs/openrpc.json", "  \"x-plugin-door\": true,"), 1, "and in a document");
        assert_eq!(gone("docs/a.md", "Bob's terminal"), 1);
        assert_eq!(gone("docs/a.md", "in a terminal window"), 0);
        assert_eq!(gone("daemon/src/a.rs", "// the other terminal"), 1);
        assert_eq!(gone("daemon/src/a.rs", "let text = \"Run `parsecd` in a terminal.\";"), 0);
        assert_eq!(gone("ctl/src/a.rs", "// the terminal's width"), 0, "ctl speaks at one");
        assert_eq!(gone("daemon/src/a.rs", concat!("// docs/evi", "dence.md")), 1, "everywhere");
    }

    #[test]
    fn words_that_are_gone_from_code() {
        let gone = |text: &str| super::gone_from_code(&[Source::new("daemon/src/a.rs", text)]).len();
        for old in [
            "struct MemoryRoad;",
            "let other_road = 1;",
            "const BOTH_ROADS: u8 = 2;",
            "// over the road",
            "    /// The door it came through.",
            "struct Place<'a> {",
            "pub(crate) enum Turn<S, O> {",
            "type Row = (u8, u8);",
        ] {
            assert_eq!(gone(old), 1, "{old}");
        }
        for fine in [
            "let broadcast = 1;",
            "fn abroad() {}",
            "let text = \"the road\";",
            "let place = Placement::Turned;",
            "// in its turn, at this place",
        ] {
            assert_eq!(gone(fine), 0, "{fine}");
        }
    }
}
