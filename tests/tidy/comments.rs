//! The rules about comments: how wide they are, and that a doc comment says something.
//!
//! Decides what a doc comment says too little with: a pronoun alone, or fewer than four words on
//! something public. Those of `protocol::control` go out to others as docs/openrpc.json. Excuses
//! nothing: a comment is cheap to write again.

use super::Finding;
use super::source::{Source, is_test_path};

/// Widest comment, in characters: what two files beside each other leave on a screen. rustfmt
/// doesn't look at comments.
const WIDTH_MAX: usize = 100;
/// Fewest words of a doc comment on something public.
const WORDS_MIN: usize = 4;

/// Words that stand for something else: alone, they leave the reader to find out for what.
const PRONOUNS: &[&str] = &[
    "it", "its", "which", "where", "who", "whom", "whose", "what", "when", "why", "how", "this", "that",
    "these", "those", "them", "they", "one", "both", "all", "none", "so",
];
/// Words before a pronoun that don't make it say more.
const PREPOSITIONS: &[&str] =
    &["as", "at", "by", "for", "from", "in", "into", "of", "on", "over", "since", "to", "until", "with"];

/// Checks all files.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(|source| wide(source).into_iter().chain(short(source))).collect()
}

/// Comment lines that are too wide. One long word, such as an address, can't be broken.
pub(crate) fn wide(source: &Source) -> Vec<Finding> {
    let mut example = false;
    let lines = source.text.lines().zip(source.code.lines()).enumerate();
    let wide = lines.filter(|(_, (text, code))| {
        let comment = text.trim_start().starts_with("//") && code.trim().is_empty();
        // An example is code, as wide as rustfmt makes code.
        let fence = comment && text.trim_start_matches([' ', '/', '!']).starts_with("```");
        example = comment && example != fence;
        let words = text.split_whitespace().count();
        comment && !example && words > 2 && text.chars().count() > WIDTH_MAX
    });
    wide.map(|(number, (text, _))| {
        let what = format!("has a comment of {} characters", text.chars().count());
        Finding::new(
            &source.path,
            number + 1,
            what,
            "a comment over 100 characters is read by scrolling, or not at all",
        )
    })
    .collect()
}

/// Doc comments that say too little.
pub(crate) fn short(source: &Source) -> Vec<Finding> {
    let lines: Vec<&str> = source.text.lines().collect();
    let code: Vec<&str> = source.code.lines().collect();
    let mut findings = Vec::new();
    let mut public_enum = None;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let Some(first) = line.trim_start().strip_prefix("///").filter(|_| blank(&code, at)) else {
            public_enum = enclosing(public_enum, code.get(at).copied().unwrap_or_default());
            at += 1;
            continue;
        };
        let begin = at;
        let mut said = first.to_owned();
        at += 1;
        while let Some(more) = lines.get(at).and_then(|line| line.trim_start().strip_prefix("///")) {
            said.push_str(more);
            at += 1;
        }
        let item = item(&code, at);
        let public = item.trim_start().starts_with("pub ")
            || public_enum.is_some_and(|indent| indentation(item) > indent && !item.trim().is_empty());
        if let Some(what) = too_little(&said, public && !is_test_path(&source.path)) {
            let reason = "a doc comment is read without the line below it: noun, unit, bound, error";
            findings.push(Finding::new(&source.path, begin + 1, what, reason));
        }
    }
    findings
}

fn blank(code: &[&str], at: usize) -> bool {
    code.get(at).is_some_and(|line| line.trim().is_empty())
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The indentation of the public enum that a line is in, if it is in one: its variants and their
/// fields are as public as it is.
fn enclosing(before: Option<usize>, code: &str) -> Option<usize> {
    let text = code.trim_start();
    if text.starts_with("pub enum ") && text.ends_with('{') {
        return Some(indentation(code));
    }
    before.filter(|indent| text.is_empty() || indentation(code) > *indent)
}

/// The line that a doc comment is about: the next that is code and no attribute.
fn item<'a>(code: &[&'a str], from: usize) -> &'a str {
    let mut depth = 0_usize;
    for line in code.iter().skip(from) {
        let text = line.trim();
        if depth == 0 && !text.is_empty() && !text.starts_with("#[") {
            return line;
        }
        depth += text.matches('[').count();
        depth = depth.saturating_sub(text.matches(']').count());
    }
    ""
}

/// What is wrong with a doc comment, if anything is.
pub(crate) fn too_little(said: &str, public: bool) -> Option<String> {
    // A link says what it leads to; a list or a heading is more than a sentence.
    if said.contains('[') {
        return None;
    }
    let words: Vec<String> = said
        .split(|c: char| c.is_whitespace() || c == '/')
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    let alone = match words.as_slice() {
        [one] => PRONOUNS.contains(&one.as_str()),
        [first, second] => PREPOSITIONS.contains(&first.as_str()) && PRONOUNS.contains(&second.as_str()),
        _ => false,
    };
    let said = said.trim();
    if alone {
        return Some(format!("has a doc comment that is a pronoun: `{said}`"));
    }
    // A name of the code says as much as two words.
    let words = words.len() + said.matches('`').count() / 2;
    (public && words < WORDS_MIN).then(|| format!("has a doc comment of {words} words: `{said}`"))
}

/// The rules can fail.
#[cfg(test)]
mod tests {
    use crate::source::Source;

    const FINE: &str = "//! Decides nothing at all.\n";

    #[test]
    fn doc_comments() {
        let short = |text: &str| super::short(&Source::new("ctl/src/a.rs", &format!("{FINE}{text}\n"))).len();
        for little in ["/// Which.\nfn f() {}", "    /// For whom.\n    a: u8,", "/// It.\nstruct A;"] {
            assert_eq!(short(little), 1, "{little}");
        }
        for little in
            ["/// The ceremony.\npub struct A;", "/// Ends it.\n#[derive(\n    Debug,\n)]\npub fn f() {}"]
        {
            assert_eq!(short(little), 1, "{little}");
        }
        assert_eq!(
            short("pub enum A {\n    /// Joins.\n    B,\n}\n/// Ends it.\nfn f() {}"),
            1,
            "a public variant"
        );
        for fine in [
            "/// Ends it.\nfn f() {}",
            "/// See [`A`].\npub fn f() {}",
            "/// Id of the member.\npub fn f() {}",
            "/// Ends the attempt\n/// on both sides.\npub fn f() {}",
        ] {
            assert_eq!(short(fine), 0, "{fine}");
        }
    }

    #[test]
    fn wide_comments() {
        let wide = |line: &str| super::wide(&Source::new("ctl/src/a.rs", &format!("{FINE}{line}\n"))).len();
        assert_eq!(wide(&format!("    /// {}", "word ".repeat(20))), 1);
        assert_eq!(wide(&format!("// {}", "word ".repeat(19))), 0);
        assert_eq!(wide(&format!("// https://{}", "a".repeat(120))), 0, "one word can't be broken");
        assert_eq!(wide(&format!("const A: &str = \"{}\";", "word ".repeat(30))), 0, "no comment");
    }
}
