//! Reading an unfinished command line: which command it is, and what its last word is to be.
//!
//! Decides by the same definitions that parse the finished line. Refuses to offer what is hidden,
//! what was given already, and, behind `--`, options.

use clap::{Arg, Command, ValueHint};

use super::values::Wanted;
use super::{Candidate, Offer};

/// What fits in the place of the last word. `ask` finds values that only the daemon knows, given
/// the words so far.
pub(super) fn offer(
    root: &Command,
    words: &[&str],
    ask: impl FnOnce(Wanted, &[&str]) -> Vec<Candidate>,
) -> Offer {
    let Some((last, before)) = words.split_last() else { return Offer::These(Vec::new()) };
    let cursor = Cursor::after(root, before.get(1..).unwrap_or_default());
    if let Some(argument) = cursor.value_of {
        return cursor.value(argument, "", last, words, ask);
    }
    if !cursor.options_ended && last.starts_with("--") {
        if let Some((name, value)) = last.split_once('=') {
            return match cursor.option(name) {
                Some(argument) => cursor.value(argument, &format!("{name}="), value, words, ask),
                None => Offer::These(Vec::new()),
            };
        }
        return Offer::These(cursor.options(last, before));
    }
    if !cursor.options_ended && last.starts_with('-') {
        return Offer::These(cursor.options(last, before));
    }
    if cursor.command.has_subcommands() {
        return Offer::These(cursor.commands(last));
    }
    match cursor.command.get_positionals().nth(cursor.positionals) {
        Some(argument) => cursor.value(argument, "", last, words, ask),
        None => Offer::These(cursor.options(last, before)),
    }
}

/// Where the cursor is.
struct Cursor<'a> {
    command: &'a Command,
    /// Names of the commands entered, without the program's.
    path: Vec<&'a str>,
    /// Arguments without a name, so far.
    positionals: usize,
    /// The option whose value comes next.
    value_of: Option<&'a Arg>,
    /// `--` was typed.
    options_ended: bool,
}

impl<'a> Cursor<'a> {
    fn after(root: &'a Command, words: &[&str]) -> Self {
        let mut cursor =
            Self { command: root, path: Vec::new(), positionals: 0, value_of: None, options_ended: false };
        for word in words {
            cursor.step(word);
        }
        cursor
    }

    fn step(&mut self, word: &str) {
        if self.value_of.take().is_some() {
            return;
        }
        if !self.options_ended && word == "--" {
            self.options_ended = true;
        } else if !self.options_ended && word.starts_with("--") {
            self.value_of = self.option(word).filter(|argument| argument.get_action().takes_values());
        } else if !self.options_ended && word.starts_with('-') && word.len() > 1 {
            // Short options: none of them takes anything.
        } else if let Some(inner) = self.command.find_subcommand(word) {
            self.command = inner;
            self.path.push(inner.get_name());
            self.positionals = 0;
        } else {
            self.positionals += 1;
        }
    }

    fn option(&self, word: &str) -> Option<&'a Arg> {
        let name = word.strip_prefix("--")?;
        self.command.get_arguments().find(|argument| argument.get_long() == Some(name))
    }

    fn options(&self, start: &str, given: &[&str]) -> Vec<Candidate> {
        self.command
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
            .filter_map(|argument| {
                let name = format!("--{}", argument.get_long()?);
                let about = argument.get_help().map(ToString::to_string).unwrap_or_default();
                (name.starts_with(start) && !given.contains(&name.as_str()))
                    .then(|| Candidate::new(name, &about))
                    .flatten()
            })
            .collect()
    }

    fn commands(&self, start: &str) -> Vec<Candidate> {
        self.command
            .get_subcommands()
            .filter(|command| !command.is_hide_set() && command.get_name().starts_with(start))
            .filter_map(|command| {
                let about = command.get_about().map(ToString::to_string).unwrap_or_default();
                Candidate::new(command.get_name(), &about)
            })
            .collect()
    }

    /// Values of one argument that begin with `start`. `prefix` stands before them in the same
    /// word.
    fn value(
        &self,
        argument: &Arg,
        prefix: &str,
        start: &str,
        words: &[&str],
        ask: impl FnOnce(Wanted, &[&str]) -> Vec<Candidate>,
    ) -> Offer {
        if matches!(
            argument.get_value_hint(),
            ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath | ValueHint::ExecutablePath
        ) {
            return Offer::Files;
        }
        // Of a list, the last entry is completed.
        let (done, start) = match argument.get_value_delimiter().and_then(|mark| start.rfind(mark)) {
            Some(at) => start.split_at(at + 1),
            None => ("", start),
        };
        let possible = argument.get_possible_values();
        let candidates = if possible.is_empty() {
            let path: Vec<&str> = self.path.clone();
            match Wanted::by(&path, argument.get_id().as_str()) {
                Some(wanted) => ask(wanted, words),
                None => Vec::new(),
            }
        } else {
            possible
                .iter()
                .filter(|value| !value.is_hide_set())
                .filter_map(|value| {
                    let about = value.get_help().map(ToString::to_string).unwrap_or_default();
                    Candidate::new(value.get_name(), &about)
                })
                .collect()
        };
        let prefix = format!("{prefix}{done}");
        Offer::These(
            candidates
                .into_iter()
                .filter(|candidate| candidate.value.starts_with(start))
                .map(|candidate| candidate.behind(&prefix))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Arguments;

    /// What is offered for a line; `^` stands for an empty last word. The daemon knows one value of
    /// each kind.
    fn offered(line: &str) -> Vec<String> {
        let mut root = Arguments::command();
        root.build();
        let line = line.replace('^', "");
        let words: Vec<&str> = line.split(' ').collect();
        let known = |wanted: Wanted, _: &[&str]| {
            Candidate::new(format!("{wanted:?}").to_lowercase(), "x").into_iter().collect()
        };
        match offer(&root, &words, known) {
            Offer::These(candidates) => candidates.into_iter().map(|candidate| candidate.value).collect(),
            Offer::Files => vec![":files".to_owned()],
        }
    }

    #[test]
    fn commands_and_options_come_from_the_definitions() {
        assert_eq!(offered("parsecctl gre"), ["greet"]);
        assert_eq!(offered("parsecctl trust ver"), ["verify"]);
        assert_eq!(offered("parsecctl --json --device ab trust ver"), ["verify"]);
        assert_eq!(offered("parsecctl greet --prof"), ["--profile"]);
        assert_eq!(offered("parsecctl greet --profile s"), ["standard"]);
        assert_eq!(offered("parsecctl greet --profile=s"), ["--profile=standard"]);
        assert_eq!(offered("parsecctl claim --transport ^"), ["auto", "server", "p2p"]);
        assert_eq!(offered("parsecctl net p"), ["peers", "ping"]);
        assert_eq!(offered("parsecctl lab --adversary two"), ["two-handshakes"]);
        assert_eq!(offered("parsecctl lab --people in"), ["inattentive"]);
        assert_eq!(
            offered("parsecctl ceremony wait 1 --until say-code,done,appr"),
            ["say-code,done,approve"]
        );
        assert!(offered("parsecctl ^").contains(&"invite".to_owned()));
        assert!(offered("parsecctl status ^").contains(&"--json".to_owned()));
        assert!(!offered("parsecctl status --json ^").contains(&"--json".to_owned()), "given already");
        assert!(!offered("parsecctl ^").iter().any(|name| name.starts_with("__")), "hidden");
    }

    #[test]
    fn what_the_daemon_knows_is_asked_for() {
        for (line, value) in [
            ("parsecctl greet ^", "greetable"),
            ("parsecctl invite cancel ^", "invitations"),
            ("parsecctl ceremony show ^", "ceremonies"),
            ("parsecctl greet --ceremony ^", "ceremonies"),
            ("parsecctl trust show ^", "users"),
            ("parsecctl safe members ^", "safes"),
            ("parsecctl safe share Plans ^", "users"),
            ("parsecctl status --device ^", "devices"),
            ("parsecctl status --organisation ^", "organisations"),
        ] {
            assert_eq!(offered(line), [value], "{line}");
        }
        assert_eq!(offered("parsecctl status --organisation=org"), ["--organisation=organisations"]);
        assert!(offered("parsecctl greet x ^").iter().all(|offer| offer.starts_with("--")), "one is enough");
    }

    #[test]
    fn paths_are_left_to_the_shell_and_secrets_to_nobody() {
        for line in [
            "parsecctl status --socket ^",
            "parsecctl device unlock --password-file ^",
            "parsecctl net ping --link-file ^",
        ] {
            assert_eq!(offered(line), [":files"], "{line}");
        }
        for line in [
            "parsecctl claim h",
            "parsecctl net ping h",
            "parsecctl greet -- --prof",
            "parsecctl ceremony choose 1 --code ^",
        ] {
            assert!(offered(line).is_empty(), "{line}: {:?}", offered(line));
        }
    }
}
