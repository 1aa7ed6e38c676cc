//! What a newcomer is told before they have the programs: in the invitation's mail, and on the page
//! behind its link.
//!
//! Decides the words once, for all three: mail as text, mail as HTML, and page. Nothing of it is
//! markup; `markup.rs` and `wording.rs` put it into their form, and escape it.

mod markup;
mod page;
mod wording;

use crate::install::Offers;

pub(crate) use page::{files, landing, no_such_file};
pub(crate) use wording::{Whom, Wording};

/// One piece of what is told, from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    /// One paragraph.
    Text(String),
    /// Commands to paste, one a line.
    Commands(Vec<String>),
    /// An address to open.
    Address(String),
}

/// One way to come by the programs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    title: String,
    blocks: Vec<Block>,
}

/// What has to be there before a build from source.
const BUILD_NEEDS: &str = "It takes Rust 1.95 or later (https://rustup.rs), a C compiler and Perl.";
/// From a source archive, unpacked in the present folder, to a daemon that starts by itself.
const BUILD: [&str; 5] = [
    "cargo build --release -p parsecd -p parsecctl",
    "sudo install -m 755 target/release/parsecd target/release/parsecctl /usr/bin/",
    "sudo install -D -m 644 -t /usr/lib/systemd/user systemd/parsecd.socket systemd/parsecd.service",
    "systemctl --user daemon-reload",
    "systemctl --user enable --now parsecd.socket",
];
/// Where Debian's own word for a machine is had.
const WHICH_MACHINE: &str = "dpkg --print-architecture";

/// What a newcomer runs. The link is pasted when it is asked for: other users of the machine can
/// read a program's arguments.
const CLAIM: &str = "parsecctl claim";

fn text(words: impl Into<String>) -> Block {
    Block::Text(words.into())
}

fn commands<const N: usize>(lines: [String; N]) -> Block {
    Block::Commands(lines.into())
}

/// How the programs are had. `base` is this server's address without a slash at its end.
fn ways(offers: &Offers, base: &str) -> Vec<Way> {
    match offers {
        Offers::Unknown => unknown(None),
        Offers::Files { packages, source: None } if packages.is_empty() => {
            unknown(Some(format!("{base}/install/")))
        }
        Offers::Files { packages, source } => {
            let mut ways: Vec<_> = packages
                .iter()
                .map(|package| Way {
                    title: format!("Debian or Ubuntu, {}", machine(&package.architecture)),
                    blocks: vec![commands([
                        format!("wget {base}/install/{}", package.name),
                        format!("sudo apt install ./{}", package.name),
                    ])],
                })
                .collect();
            if packages.len() > 1
                && let Some(first) = ways.first_mut()
            {
                first
                    .blocks
                    .insert(0, text(format!("To see which one your machine is, run {WHICH_MACHINE}.")));
            }
            ways.extend(source.as_ref().map(|source| Way {
                title: "Another Linux, from source".to_owned(),
                blocks: vec![
                    text(BUILD_NEEDS),
                    from_archive(vec![format!("wget {base}/install/{source}")], source.as_str()),
                ],
            }));
            ways
        }
        Offers::Address(address) => vec![
            Way {
                title: "Debian or Ubuntu".to_owned(),
                blocks: vec![
                    text("Open this address, and download parsec_VERSION_ARCH.deb from there:"),
                    Block::Address(address.clone()),
                    text(format!(
                        "To see your machine's ARCH, run {WHICH_MACHINE}. Then, in the folder of your downloads:"
                    )),
                    commands(["sudo apt install ./parsec_*.deb".to_owned()]),
                ],
            },
            Way {
                title: "Another Linux, from source".to_owned(),
                blocks: vec![
                    text(format!("{BUILD_NEEDS} Download the source from the same address, then:")),
                    from_archive(Vec::new(), "parsec-*.tar.gz"),
                ],
            },
        ],
    }
}

fn unknown(listed: Option<String>) -> Vec<Way> {
    let words =
        "You need the programs parsecd and parsecctl. Whoever invited you can tell you where to get them.";
    let mut blocks = vec![text(words)];
    if let Some(address) = listed {
        blocks.extend([text("What this server has of them:"), Block::Address(address)]);
    }
    vec![Way { title: "Debian, Ubuntu or another Linux".to_owned(), blocks }]
}

/// Unpacks into a folder of a known name, whatever the archive calls its own.
fn from_archive(mut lines: Vec<String>, archive: &str) -> Block {
    lines.push("mkdir parsec-source".to_owned());
    lines.push(format!("tar -xf {archive} -C parsec-source --strip-components=1"));
    lines.push("cd parsec-source".to_owned());
    lines.extend(BUILD.map(str::to_owned));
    Block::Commands(lines)
}

/// What people call the machine that Debian means.
fn machine(architecture: &str) -> String {
    match architecture {
        "amd64" => "PC (amd64)".to_owned(),
        "arm64" => "64-bit ARM (arm64)".to_owned(),
        "all" => "every machine".to_owned(),
        other => other.to_owned(),
    }
}

/// What will happen on the telephone, one after the other. `who` is who invites.
fn phone(who: &str) -> [String; 5] {
    [
        format!("You both start, you here, {who} there, and stay on the line. From then on the screens lead you."),
        format!("Your screen shows four characters. Read them out loud; {who} looks for them among four proposals."),
        format!("Then {who} reads out four characters, and you look for them on your screen."),
        "If the ones you hear are not there, say so and stop: somebody may be in between. Nobody has been let in then."
            .to_owned(),
        format!("You say who you are, {who} approves, and you choose a password for this computer. It stays yours alone."),
    ]
}

/// What nobody may be talked into.
const BEWARE: &str = "Codes are spoken and never written. A page, mail or chat that asks you for a code or a password is not part of this.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::Package;

    fn offers(packages: &[(&str, &str)], source: Option<&str>) -> Offers {
        let package = |(name, architecture): &(&str, &str)| Package {
            name: name.parse().unwrap(),
            architecture: (*architecture).to_owned(),
        };
        Offers::Files {
            packages: packages.iter().map(package).collect(),
            source: source.map(|name| name.parse().unwrap()),
        }
    }

    fn lines(ways: &[Way]) -> Vec<String> {
        let blocks = ways.iter().flat_map(|way| &way.blocks);
        blocks
            .flat_map(|block| match block {
                Block::Commands(lines) => lines.clone(),
                Block::Text(text) | Block::Address(text) => vec![text.clone()],
            })
            .collect()
    }

    #[test]
    fn files_are_named_in_commands_that_can_be_pasted() {
        let offers = offers(&[("parsec_1_amd64.deb", "amd64")], Some("parsec-1.tar.gz"));
        let ways = ways(&offers, "https://parsec.example.org");
        let lines = lines(&ways);
        for line in [
            "wget https://parsec.example.org/install/parsec_1_amd64.deb",
            "sudo apt install ./parsec_1_amd64.deb",
            "wget https://parsec.example.org/install/parsec-1.tar.gz",
            "tar -xf parsec-1.tar.gz -C parsec-source --strip-components=1",
            "cargo build --release -p parsecd -p parsecctl",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
        }
    }

    #[test]
    fn where_nothing_is_known_the_inviter_is_named() {
        for offers in [Offers::Unknown, offers(&[], None)] {
            let said = lines(&ways(&offers, "https://parsec.example.org")).join("\n");
            assert!(said.contains("Whoever invited you can tell you where to get them"), "{said}");
            let served = matches!(offers, Offers::Files { .. });
            assert_eq!(said.contains("https://parsec.example.org/install/"), served, "{said}");
        }
        let elsewhere = Offers::Address("https://downloads.example.org/parsec/".to_owned());
        assert!(lines(&ways(&elsewhere, "x")).contains(&"https://downloads.example.org/parsec/".to_owned()));
    }
}
