//! `man FOLDER`, hidden: writes parsecctl.1, for those who make packages and for the test that
//! compares.
//!
//! Decides the chapters that the options don't have. Refuses nothing.

use std::path::Path;

use clap::CommandFactory as _;
use parsec_protocol::control::ProblemKind;

use super::Context;
use crate::args::Arguments;
use crate::failure::{Done, Failure};
use crate::man::{Chapter, Entry, page};

const EXIT_STATUS: &[Entry<'_>] = &[
    Entry::Item("0", "Done."),
    Entry::Item("64", "Wrong usage, or a question would have been needed that could not be asked."),
    Entry::Item("65", "Bad data: a link, a code or a password that can't be taken."),
    Entry::Item("66", "No such file or folder, here or in the safe."),
    Entry::Item("68", "Not found: no such invitation, ceremony, device, member or safe."),
    Entry::Item("69", "Not available: the daemon or the server can't be reached."),
    Entry::Item("70", "A bug, on this side or the other."),
    Entry::Item("73", "Can't be made: there is one already, or the place is taken."),
    Entry::Item("74", "The disk is full or failed, or the result could not be written."),
    Entry::Item(
        "75",
        "Not now: try again, or resume what was begun. Of a change in a safe: saved, not shared yet.",
    ),
    Entry::Item(
        "76",
        "The codes differ, or a signature is wrong: somebody may be in between. Talk to each other.",
    ),
    Entry::Item("77", "Not permitted: a locked device, a wrong password, a profile that may not."),
    Entry::Item("78", "The configuration is wrong."),
    Entry::Item("130", "Stopped with Ctrl\u{2011}C or Ctrl\u{2011}D by the person at the terminal."),
    Entry::Item("141", "Nobody read the output to its end."),
];

const FILES: &[Entry<'_>] = &[Entry::Item(
    "$XDG_RUNTIME_DIR/parsecd/parsecd.sock",
    "The daemon's socket. It answers its own user only. parsecctl itself keeps no file, and has no configuration.",
)];

const ENVIRONMENT: &[Entry<'_>] = &[
    Entry::Item("XDG_RUNTIME_DIR", "Where the socket is, unless `--socket` says otherwise."),
    Entry::Item(
        "NO_COLOR",
        "If set and not empty, nothing is coloured; of what parsecctl prints, only `--qr` is.",
    ),
    Entry::Item("TERM", "`dumb` does the same."),
    Entry::Text("No secret is read from the environment: others may see it."),
];

const EXAMPLES: &[Entry<'_>] = &[
    Entry::Text("Alice, an administrator, lets Bob in. She runs, and calls him:"),
    Entry::Shown("parsecctl invite user bob@example.org\nparsecctl greet bob@example.org"),
    Entry::Text("Bob pastes the link when he is asked for it:"),
    Entry::Shown("parsecctl claim"),
    Entry::Text("A second device of one's own; the link is photographed from the screen:"),
    Entry::Shown("parsecctl invite device --qr"),
    Entry::Text("Who is a member, and is the log sound?"),
    Entry::Shown("parsecctl user list\nparsecctl trust verify"),
    Entry::Text("A safe, shared with Bob, and a file in it:"),
    Entry::Shown(
        "parsecctl safe create Plans\nparsecctl safe share Plans bob@example.org\nparsecctl safe put report.odt Plans:/report.odt",
    ),
    Entry::Text("The same for a script, and for a screen reader:"),
    Entry::Shown("parsecctl user list --json\nparsecctl user list --plain"),
    Entry::Text("Commands, options and names complete themselves in bash, zsh and fish:"),
    Entry::Shown(
        "source <(parsecctl completion bash)\nsource <(parsecctl completion zsh)\nparsecctl completion fish | source",
    ),
];

const SEE_ALSO: &[Entry<'_>] = &[Entry::Text("`parsecd`(1), `parsec-metadata`(8)")];

const OUTPUT: &[Entry<'_>] = &[
    Entry::Text(
        "Results go to standard output, talk and questions to standard error. Text from outside can't steer the terminal: what could is shown as `\\u{1b}`.",
    ),
    Entry::Item(
        "--json",
        "One object a line, each naming its schema. Nothing is asked. A failure is an object too, with the schema parsec.error/1.",
    ),
    Entry::Item(
        "--plain",
        "The words of the normal output without its layout: no columns, one fact a line as Name: value, an empty line between two records, codes letter by letter (K for Kilo, 7 for Seven). No line is drawn over.",
    ),
    Entry::Item("--quiet", "Results, questions and failures only."),
];

pub(super) fn run(context: &Context<'_>, folder: &Path) -> Result<(), Failure> {
    let chapters = [
        Chapter { title: "OUTPUT", entries: OUTPUT },
        Chapter { title: "EXIT STATUS", entries: EXIT_STATUS },
        Chapter { title: "FILES", entries: FILES },
        Chapter { title: "ENVIRONMENT", entries: ENVIRONMENT },
        Chapter { title: "EXAMPLES", entries: EXAMPLES },
        Chapter { title: "SEE ALSO", entries: SEE_ALSO },
    ];
    let path = folder.join("parsecctl.1");
    std::fs::write(&path, page(&Arguments::command(), 1, &chapters)).map_err(|error| {
        Failure::new(ProblemKind::DiskFailed, format!("{} can't be written: {error}", path.display()))
    })?;
    let done = Done::new(format!("{} was written.", path.display()), "It is there, and whole.");
    context.output.line(&path.display().to_string()).map_err(|failure| failure.after(done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_in_the_page() {
        let codes = ProblemKind::ALL.iter().map(|kind| kind.exit_code()).chain([0, 64, 74, 130, 141]);
        for code in codes {
            let written =
                |entry: &&Entry<'_>| matches!(entry, Entry::Item(name, _) if *name == code.to_string());
            assert!(EXIT_STATUS.iter().any(|entry| written(&entry)), "{code}");
        }
    }
}
