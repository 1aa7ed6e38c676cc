//! Passwords: asked twice and not shown, or read from a file or descriptor; their strength in
//! words.
//!
//! Decides what is too weak for a new key file, and what the first line of a file is, however an
//! editor wrote it. Refuses passwords as arguments or in the environment (there is no option for
//! either), shorter than 8 characters, or among the first million an attacker would try; there is
//! no override.

use std::path::{Path, PathBuf};

use parsec_protocol::control::{Problem, ProblemKind, SecretText};
use parsec_protocol::paste::PASTE_MAX_BYTES;
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

use crate::descriptor;
use crate::failure::{Failure, Report};
use crate::output::Output;
use crate::prompt::Terminal;

/// Fewest characters.
const PASSWORD_MIN_CHARS: usize = 8;
/// Longest secret read from a file or terminal, in bytes: no person types more, and /dev/zero must
/// end somewhere.
const SECRET_MAX_BYTES: usize = 1024;
/// The byte-order mark, as UTF-8 has it.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// Characters looked at for the strength; the time it takes grows with their square.
const ESTIMATED_CHARS: usize = 72;

/// Where a password comes from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct PasswordSource {
    /// Read the password from the first line of FILE instead of asking (`-` is stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "password_fd")]
    password_file: Option<PathBuf>,
    /// Read the password from the open descriptor N instead of asking
    #[arg(long, value_name = "N")]
    password_fd: Option<u32>,
}

/// Where the password comes from that takes another's place.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct NewPasswordSource {
    /// Read the new password from the first line of FILE instead of asking (`-` is stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_fd")]
    new_password_file: Option<PathBuf>,
    /// Read the new password from the open descriptor N instead of asking
    #[arg(long, value_name = "N")]
    new_password_fd: Option<u32>,
}

impl From<NewPasswordSource> for PasswordSource {
    fn from(source: NewPasswordSource) -> Self {
        Self { password_file: source.new_password_file, password_fd: source.new_password_fd }
    }
}

impl PasswordSource {
    /// Whether it is standard input, which ends with its first reader.
    pub(crate) fn is_stdin(&self) -> bool {
        let named = self.password_file.as_deref().and_then(descriptor::named);
        named.or(self.password_fd) == Some(0)
    }

    /// The password of an option, if one was given.
    ///
    /// # Errors
    /// It can't be read, is empty, too long, or not text.
    pub(crate) fn given(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        match (&self.password_file, self.password_fd) {
            (Some(path), _) => read_secret(path, "password").map(Some),
            (None, Some(fd)) => read_secret(Path::new(&format!("/dev/fd/{fd}")), "password").map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// The first line of a file, `-` being stdin: a password, a link, a token.
///
/// # Errors
/// It can't be read, is empty, too long, or not text.
pub(crate) fn read_secret(path: &Path, what: &str) -> Result<Zeroizing<String>, Failure> {
    read_text(path, what, SECRET_MAX_BYTES, true)
}

/// The text of a file that has a link in it: perhaps a whole mail, or a link broken over lines.
/// Which link it is, the daemon decides.
///
/// # Errors
/// As [`read_secret`].
pub(crate) fn read_link(path: &Path) -> Result<Zeroizing<String>, Failure> {
    read_text(path, "link", PASTE_MAX_BYTES, false)
}

/// The text of a file with the page of a recovery kit, or its words alone.
///
/// # Errors
/// As [`read_secret`].
pub(crate) fn read_page(path: &Path) -> Result<Zeroizing<String>, Failure> {
    read_text(path, "page of the recovery kit", PASTE_MAX_BYTES, false)
}

/// Reads a file, or its first line alone.
fn read_text(path: &Path, what: &str, max: usize, first_line: bool) -> Result<Zeroizing<String>, Failure> {
    let failed = |why: String| {
        Failure::usage(
            format!("The {what} can't be read from {}: {why}", path.display()),
            "Give a readable file with one line of text.",
        )
    };
    let bytes = descriptor::open(path)
        .and_then(|file| descriptor::read(file, BOM.len() + max + 1, first_line))
        .map_err(|error| failed(error.to_string()))?;
    // Editors of some systems begin a file with a mark and end its lines with two characters or
    // with the other one.
    let text = bytes.strip_prefix(BOM).unwrap_or(&bytes);
    let ends = |byte: &u8| first_line && matches!(byte, b'\n' | b'\r');
    let line = text.split(ends).next().unwrap_or_default();
    if line.is_empty() {
        return Err(failed("its first line is empty".to_owned()));
    }
    if line.len() > max {
        return Err(failed(format!("it is longer than {max} bytes")));
    }
    match std::str::from_utf8(line) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(failed("it is not UTF-8 text".to_owned())),
    }
}

/// What is known of a password's strength.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Strength {
    /// In words.
    pub(crate) words: &'static str,
    /// What would make it better.
    pub(crate) advice: Option<String>,
    /// Why it can't be taken.
    pub(crate) refused: Option<String>,
}

/// Judges a new password. `known` are things an attacker knows: names, addresses.
pub(crate) fn strength(password: &str, known: &[&str]) -> Strength {
    let looked_at: Zeroizing<String> = Zeroizing::new(password.chars().take(ESTIMATED_CHARS).collect());
    let estimate = zxcvbn(&looked_at, known);
    let (words, weak) = match estimate.score() {
        Score::Zero => ("very weak: among the first thousand guesses", true),
        Score::One => ("weak: among the first million guesses", true),
        Score::Two => ("fair: stands up to casual guessing, not to somebody who stole this disk", false),
        Score::Three => ("good", false),
        // `Score` may grow; more is better.
        _ => ("strong", false),
    };
    let advice = estimate.feedback().map(|feedback| {
        let warning = feedback.warning().map(|warning| warning.to_string());
        let suggestions = feedback.suggestions().iter().map(ToString::to_string);
        warning.into_iter().chain(suggestions).collect::<Vec<_>>().join(" ")
    });
    let refused = if password.chars().count() < PASSWORD_MIN_CHARS {
        Some(format!("The password has fewer than {PASSWORD_MIN_CHARS} characters"))
    } else if password.len() > SECRET_MAX_BYTES {
        Some(format!("The password is longer than {SECRET_MAX_BYTES} bytes"))
    } else if weak {
        Some(format!("The password is {words}"))
    } else {
        None
    };
    Strength { words, advice: advice.filter(|advice| !advice.is_empty()), refused }
}

/// Judges a password given by an option; there is nobody to ask for another.
///
/// # Errors
/// `weak_password`.
pub(crate) fn accept(password: Zeroizing<String>, known: &[&str]) -> Result<SecretText, Failure> {
    let judged = strength(&password, known);
    match judged.refused {
        None => Ok(SecretText::new(password)),
        Some(why) => {
            let report = Report::from(Problem::new(ProblemKind::WeakPassword, why));
            let hint = judged
                .advice
                .map_or_else(|| report.hint.clone(), |advice| format!("{} {advice}", report.hint));
            Err(Failure::Report(report.with_hint(hint)))
        }
    }
}

/// Judges two typed passwords in front of the person. `None`: they were told why, and it is asked
/// again.
pub(crate) fn judge_typed(
    first: Zeroizing<String>,
    second: &str,
    known: &[&str],
    output: &Output,
) -> Option<SecretText> {
    if *first != *second {
        output.screen("  The two are not the same. Try again.");
        return None;
    }
    accept(first, known).ok()
}

/// What to say about a password just typed, before it is asked for again. `None`: it can't be
/// taken.
pub(crate) fn comment(password: &str, known: &[&str]) -> (String, bool) {
    let judged = strength(password, known);
    if password.contains('\u{fffd}') {
        return ("  The terminal sent something that is not text. Try again.".to_owned(), false);
    }
    let advice = judged.advice.map(|advice| format!("\n  {advice}")).unwrap_or_default();
    match judged.refused {
        Some(why) => (
            format!(
                "  {why}.{advice}\n  Four random words are easy to remember and hard to guess. Try again."
            ),
            false,
        ),
        None => (format!("  Strength: {}.{advice}", judged.words), true),
    }
}

/// A new password for a command that has nothing else going on: by option, or asked twice.
///
/// # Errors
/// `weak_password` by option; nobody to ask; Ctrl-C.
pub(crate) fn choose(
    source: &PasswordSource,
    no_input: bool,
    output: &Output,
    known: &[&str],
) -> Result<SecretText, Failure> {
    if let Some(password) = source.given()? {
        return accept(password, known);
    }
    let terminal = Terminal::open(no_input, output, "A password", INSTEAD)?;
    output.say("Choose a password for this device. It protects the keys on its disk and can't be recovered.");
    loop {
        let first = terminal.answer("  Password (not shown): ", true)?;
        let (words, usable) = comment(&first, known);
        output.screen(&words);
        if !usable {
            continue;
        }
        let second = terminal.answer("  The same again: ", true)?;
        if let Some(password) = judge_typed(first, &second, known, output) {
            return Ok(password);
        }
    }
}

/// The password of an existing key file: by option, or asked once.
///
/// # Errors
/// Nobody to ask; Ctrl-C.
pub(crate) fn enter(source: &PasswordSource, no_input: bool, output: &Output) -> Result<SecretText, Failure> {
    if let Some(password) = source.given()? {
        return Ok(SecretText::new(password));
    }
    let terminal = Terminal::open(no_input, output, "The password", INSTEAD)?;
    terminal.answer("Password of this device's keys (not shown): ", true).map(SecretText::new)
}

/// What to do where nobody can be asked.
pub(crate) const INSTEAD: &str = "Give it with --password-file FILE or --password-fd N.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_refused_with_words() {
        for bad in ["", "short", "1234567", "password", "12345678", "qwertyuiop", "aaaaaaaaaaaa"] {
            let judged = strength(bad, &[]);
            assert!(judged.refused.is_some(), "{bad}");
            assert!(
                matches!(accept(Zeroizing::new(bad.to_owned()), &[]), Err(failure) if failure.exit_code() == 65)
            );
            assert!(!comment(bad, &[]).1);
        }
    }

    #[test]
    fn good_passwords_pass_with_words() {
        for good in
            ["correct horse battery staple", "parsley-Anvil-47-tundra", "жёлтый трактор едет медленно"]
        {
            let judged = strength(good, &[]);
            assert_eq!(judged.refused, None, "{good}");
            assert!(!judged.words.is_empty());
            assert!(accept(Zeroizing::new(good.to_owned()), &[]).is_ok());
        }
    }

    #[test]
    fn what_the_attacker_knows_counts() {
        assert!(strength("bob@example.org", &["bob@example.org"]).refused.is_some());
    }

    #[test]
    fn a_long_password_is_judged_quickly_and_kept_whole() {
        let long = "correct horse battery staple ".repeat(30);
        assert!(strength(&long, &[]).refused.is_none());
        let kept = accept(Zeroizing::new(long.clone()), &[]).unwrap();
        assert_eq!(kept.expose(), long);
        assert!(strength(&"x1Y ".repeat(500), &[]).refused.is_some(), "over the cap");
    }

    #[test]
    fn two_that_differ_are_not_taken() {
        let (output, first) = (Output::default(), Zeroizing::new("correct horse battery staple".to_owned()));
        assert!(judge_typed(first.clone(), "correct horse battery stapl", &[], &output).is_none());
        assert!(judge_typed(first, "correct horse battery staple", &[], &output).is_some());
    }

    #[test]
    fn a_secret_is_the_first_line_and_bounded() {
        let directory = std::env::temp_dir().join(format!("parsecctl-secret-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let write = |bytes: &[u8]| {
            let path = directory.join("secret");
            std::fs::write(&path, bytes).unwrap();
            read_secret(&path, "password").map(|secret| secret.to_string())
        };
        assert_eq!(write(b"one\ntwo\n"), Ok("one".to_owned()));
        assert_eq!(write(b"one\r\n"), Ok("one".to_owned()));
        assert_eq!(write(b"one\rtwo\r"), Ok("one".to_owned()));
        assert_eq!(write(b"\xef\xbb\xbfone\r\n"), Ok("one".to_owned()));
        assert!(write(b"\xef\xbb\xbf\r\n").is_err());
        assert!(write(&[BOM, &[b'x'; SECRET_MAX_BYTES]].concat()).is_ok());
        assert_eq!(write(b" spaces stay "), Ok(" spaces stay ".to_owned()));
        assert!(write(b"").is_err());
        assert!(write(b"\nsecond").is_err());
        assert!(write(b"\xff\xfe").is_err());
        assert!(write(&[b'x'; SECRET_MAX_BYTES]).is_ok());
        assert!(write(&[b'x'; SECRET_MAX_BYTES + 1]).is_err());
        assert!(read_secret(Path::new("/dev/zero"), "password").is_err());
        let link = |length: usize| {
            let path = directory.join("link");
            std::fs::write(&path, "x".repeat(length)).unwrap();
            read_link(&path).map(|link| link.len())
        };
        assert_eq!(link(PASTE_MAX_BYTES), Ok(PASTE_MAX_BYTES));
        assert!(link(PASTE_MAX_BYTES + 1).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
