//! The manual pages in docs/man are what the programs say of themselves. `PARSEC_MAN=write` writes
//! them anew.

#[path = "../../../ctl/src/man.rs"]
mod layout;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use layout::{Chapter, Entry, page};
use parsec_tests::process::binary;
use parsec_tests::{installed, skip};

const PARSECD: &[Chapter<'_>] = &[
    Chapter {
        title: "EXIT STATUS",
        entries: &[
            Entry::Item(
                "0",
                "Stopped in order, by SIGTERM or SIGINT, or because the terminal it was started in is gone. Any other SIGHUP is ignored.",
            ),
            Entry::Item("64", "Wrong usage."),
            Entry::Item("74, 141", "`--help` or `--version` could not be written; nobody reads it any more."),
            Entry::Item(
                "69 to 78",
                "The daemon could not start; the last line on standard error says why. 75: another one runs.",
            ),
        ],
    },
    Chapter {
        title: "FILES",
        entries: &[
            Entry::Item(
                "$XDG_DATA_HOME/parsec",
                "Keys and stores, or `~/.local/share/parsec`. Nobody else may enter it.",
            ),
            Entry::Item(
                "$XDG_CONFIG_HOME/parsec/parsecd.toml",
                "The long options without their dashes, with _ for -, one `name = value` a line. An entry that there isn't is refused.",
            ),
            Entry::Item("$XDG_RUNTIME_DIR/parsecd/parsecd.sock", "Where it answers its own user."),
        ],
    },
    Chapter {
        title: "ENVIRONMENT",
        entries: &[
            Entry::Item("XDG_DATA_HOME, XDG_CONFIG_HOME, XDG_RUNTIME_DIR, HOME", "Where the files are."),
            Entry::Item(
                "LISTEN_FDS, LISTEN_PID, NOTIFY_SOCKET, WATCHDOG_USEC",
                "What systemd sets: sockets it hands over, and where it is told that the daemon is ready and alive.",
            ),
            Entry::Text("No secret is read from the environment, and no proxy is taken from it."),
        ],
    },
    Chapter {
        title: "EXAMPLES",
        entries: &[
            Entry::Text("With systemd, from the first call on:"),
            Entry::Shown("systemctl --user enable --now parsecd.socket"),
            Entry::Text("By hand, beside another one, for a try:"),
            Entry::Shown(
                "mkdir -m 700 /tmp/try\nparsecd --data-dir /tmp/try/data --socket /tmp/try/parsecd.sock",
            ),
        ],
    },
    Chapter { title: "SEE ALSO", entries: &[Entry::Text("`parsecctl`(1), `parsec-metadata`(8)")] },
];

const METADATA: &[Chapter<'_>] = &[
    Chapter {
        title: "EXIT STATUS",
        entries: &[
            Entry::Item(
                "0",
                "Done; of `serve`, stopped in order by SIGTERM or SIGINT, or because the terminal it was started in is gone.",
            ),
            Entry::Item("1", "There is no database of that name."),
            Entry::Item("64", "Wrong usage."),
            Entry::Item("65", "What was given is no sound backup, or the database is damaged."),
            Entry::Item("68", "There is no such name, or nothing to do with it."),
            Entry::Item("69", "Another server uses the database, or the address is taken."),
            Entry::Item("71", "The system refuses."),
            Entry::Item("73", "It exists already; nothing is overwritten."),
            Entry::Item("74", "The disk, or the output can't be written."),
            Entry::Item("78", "The settings must be changed; of `serve`, also where there is no database."),
            Entry::Item("141", "Nobody reads the output any more."),
        ],
    },
    Chapter {
        title: "FILES",
        entries: &[Entry::Text(
            "The database and the files that the options name; nothing else is read or written. The options of `serve` may stand in the file given with `--config`, by the same names.",
        )],
    },
    Chapter {
        title: "EXAMPLES",
        entries: &[Entry::Shown(
            "parsec-metadata organisation create acme --create --database /var/lib/parsec-metadata/db.sqlite\nparsec-metadata serve --config /etc/parsec/metadata.toml --database /var/lib/parsec-metadata/db.sqlite\nparsec-metadata backup /backup/parsec.sqlite --database /var/lib/parsec-metadata/db.sqlite",
        )],
    },
    Chapter { title: "SEE ALSO", entries: &[Entry::Text("`parsecd`(1), `parsecctl`(1)")] },
];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man")
}

/// Every page, made now.
fn pages() -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    let wrote = Command::new(binary("parsecctl")).arg("man").arg(folder.path()).output().unwrap();
    assert!(wrote.status.success(), "{wrote:?}");
    vec![
        ("parsecctl.1", std::fs::read_to_string(folder.path().join("parsecctl.1")).unwrap()),
        ("parsecd.1", page(&parsecd::config::Arguments::command(), 1, PARSECD)),
        ("parsec-metadata.8", page(&parsec_metadata::command_line::CommandLine::command(), 8, METADATA)),
    ]
}

#[test]
fn the_pages_say_what_the_programs_say() {
    for (name, wanted) in pages() {
        let path = docs().join(name);
        if std::env::var_os("PARSEC_MAN").is_some_and(|what| what == "write") {
            std::fs::write(&path, &wanted).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = written.lines().zip(wanted.lines()).find(|(written, wanted)| written != wanted);
        assert_eq!(differs, None, "{name} is old: PARSEC_MAN=write cargo xtask test man");
        assert_eq!(written, wanted, "{name} is old: PARSEC_MAN=write cargo xtask test man");
    }
}

#[test]
fn every_command_and_every_exit_code_is_in_the_page() {
    let (_, text) = pages().swap_remove(0);
    for chapter in
        ["NAME", "SYNOPSIS", "COMMANDS", "OPTIONS", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"]
    {
        assert!(text.contains(&format!(".SH {chapter}\n")), "{chapter}");
    }
    for command in
        ["org bootstrap", "invite user", "ceremony wait", "trust verify", "device password", "status"]
    {
        assert!(text.contains(&format!(".SS \"{command}\"\n")), "{command}");
    }
    assert!(!text.contains("__complete"), "what is hidden stays so");
}

/// Readers of man pages are strict in different ways; both known ones are asked.
#[test]
fn the_pages_are_right_for_man_and_mandoc() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in pages() {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        if installed("mandoc") {
            let told =
                Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&path).output().unwrap();
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            // A date would make the page another one on every day it is made.
            let wrong: Vec<_> = told.lines().filter(|line| !line.contains("missing date")).collect();
            assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        } else {
            skip("the_pages_are_right_for_man_and_mandoc", "mandoc is not installed");
        }
        if installed("groff") {
            let told =
                Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8"]).arg(&path).output().unwrap();
            assert!(told.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&told.stderr));
        } else {
            skip("the_pages_are_right_for_man_and_mandoc", "groff is not installed");
        }
    }
}

/// The renderer itself: what would be a request or an escape in roff is text again.
#[test]
fn nothing_in_a_text_is_taken_for_roff() {
    let command =
        clap::Command::new("x").about("a\\b 'c' -d `e`").arg(clap::Arg::new("f").long("f").help(".SH g"));
    let text = page(&command, 1, &[]);
    assert!(text.contains("a\\eb \\(aqc\\(aq \\-d \\fBe\\fR"), "{text}");
    assert!(text.contains("\n\\&.SH g\n"), "{text}");
}
