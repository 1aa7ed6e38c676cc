//! `completion SHELL` prints a script; the script asks `__complete` what fits, so it never ages.
//!
//! Decides what is offered and how long the daemon may take. Refuses to offer anything that a shell
//! could take for more than a word: an invited address may be `` `reboot`@example.org ``, and
//! whoever completes it has it on their command line, one Enter away. What is typed so far comes in
//! on standard input, not as arguments: it may hold a link.

mod values;
mod words;

use std::io::Read as _;

use clap::CommandFactory as _;

use crate::args::{Arguments, Shell};
use crate::failure::Failure;
use crate::output::Output;
use crate::text::escaped;

/// Longest command line that is completed; a person types less.
const TYPED_MAX_BYTES: u64 = 64 * 1024;
/// Longest description beside a candidate: three on a line of a terminal.
const ABOUT_MAX_CHARS: usize = 60;

/// What could stand next, and a word about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    value: String,
    about: String,
}

impl Candidate {
    /// A candidate, if every character of it is one that no shell gives a meaning.
    fn new(value: impl Into<String>, about: &str) -> Option<Self> {
        let value = value.into();
        let harmless = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
        if value.is_empty() || !value.chars().all(harmless) {
            return None;
        }
        let line = about.lines().next().unwrap_or_default();
        Some(Self { value, about: escaped(line).chars().take(ABOUT_MAX_CHARS).collect() })
    }

    /// The same behind what is typed already, such as `--profile=`.
    fn behind(self, prefix: &str) -> Self {
        Self { value: format!("{prefix}{}", self.value), about: self.about }
    }
}

/// What a shell is to do.
#[derive(Debug, PartialEq, Eq)]
enum Offer {
    /// Offer these.
    These(Vec<Candidate>),
    /// Offer files, as it does elsewhere. Shells quote their names better than anybody else could.
    Files,
}

/// Prints the script for a shell.
///
/// # Errors
/// stdout can't be written.
pub(crate) fn script(shell: Shell, output: &Output) -> Result<(), Failure> {
    output.line(match shell {
        Shell::Bash => include_str!("parsecctl.bash").trim_end(),
        Shell::Zsh => include_str!("parsecctl.zsh").trim_end(),
        Shell::Fish => include_str!("parsecctl.fish").trim_end(),
    })
}

/// Answers a script: the words up to the cursor, each ended by a NUL, come on stdin; out go lines
/// of value, tab, description. Silent about everything that fails: there is nobody to read it in
/// the middle of a command line.
///
/// # Errors
/// stdout can't be written.
pub(crate) fn answer(output: &Output) -> Result<(), Failure> {
    let mut typed = Vec::new();
    if std::io::stdin().take(TYPED_MAX_BYTES).read_to_end(&mut typed).is_err() {
        return Ok(());
    }
    let typed = String::from_utf8_lossy(&typed);
    let mut words: Vec<&str> = typed.split('\0').collect();
    // Behind the last NUL is nothing.
    words.pop();
    let mut root = Arguments::command();
    root.build();
    match words::offer(&root, &words, values::ask) {
        Offer::Files => output.line(":files"),
        Offer::These(candidates) => {
            candidates.iter().try_for_each(|found| output.pair(&found.value, &found.about))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_could_run_is_not_offered() {
        for bad in [
            "",
            "$(touch x)@example.org",
            "`reboot`@example.org",
            "$HOME@x.org",
            "a b",
            "a'b@x.org",
            "a\"b",
            "a;b",
            "a&b@x.org",
            "a|b@x.org",
            "a*b@x.org",
            "a?b@x.org",
            "!!@x.org",
            "{a,b}@x.org",
            "~root@x.org",
            "#@x.org",
            "a\nb",
            "a\tb",
            "a\x1b[2J",
            "a\\b",
            "a/b@x.org",
            "a=b@x.org",
            "a^b@x.org",
            "a%b@x.org",
            "é@x.org",
        ] {
            assert_eq!(Candidate::new(bad, "x"), None, "{bad:?}");
        }
        assert!(Candidate::new("bob+work@mail-1.example.org", "x").is_some());
    }

    #[test]
    fn descriptions_stay_on_their_line() {
        let about = |text: &str| Candidate::new("x", text).unwrap().about;
        assert_eq!(about("for Bob\nforged\tline"), "for Bob");
        assert!(!about("a\tb\x1b]0;x\x07").contains(['\t', '\x1b', '\x07']));
        assert_eq!(about(&"x".repeat(500)).len(), ABOUT_MAX_CHARS);
    }
}
