//! What can be typed after `parsecctl`, and the help that explains it: the options of every
//! command, and the nouns.
//!
//! Decides names and shapes of commands and options; each file beside this one has the verbs of its
//! nouns. Refuses, by leaving it out, any option that carries a password or a bootstrap token, and
//! any that confirms a code by itself.

mod as_of;
mod ceremony;
mod daemon;
mod device;
mod enrolment;
mod evidence;
mod keeping;
mod lab;
mod members;
mod mounts;
mod net;
mod recovery;
mod safe;
mod safe_path;
mod token;
mod whole;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use parsec_protocol::control::DeviceSelector;
use parsec_protocol::ids::OrganisationId;

pub(crate) use as_of::AsOf;
pub(crate) use ceremony::Ceremony;
pub(crate) use daemon::{Events, Rpc, Status};
pub(crate) use device::Device;
pub(crate) use enrolment::{Bootstrap, Claim, Greet, Invite, Org};
pub(crate) use evidence::Receipt;
pub(crate) use keeping::{Cache, Keeping, Limit, Unpin};
pub(crate) use lab::{Lab, Listeners};
pub(crate) use members::{Profile, Sure, Trust, User};
pub(crate) use mounts::{Attend, Mount, Mounts};
pub(crate) use net::{Net, TransportOption};
pub(crate) use recovery::{CollectShares, GiveShare, NewKit, Page as KitPage, Recovery, ShareKit, UseKit};
pub(crate) use safe::{Confirm, Get, Moving, Put, Restore, Role, Safe, Sharing};
pub(crate) use safe_path::{SafePath, Target};
pub(crate) use token::{NewToken, Token};
pub(crate) use whole::{Export, Import, Whole};

const EXIT_CODES: &str = "\
Results go to stdout, talk to stderr. With --json, stdout has one JSON object a line, each naming its schema.

Exit codes: 0 done, 64 wrong usage, 65 bad data, 66 no such file, 68 not found, 69 not available, 70 bug, 73 it is there already, 74 disk, 75 try again or resume, \
76 codes differ or a signature is wrong, 77 not permitted, 78 configuration, 130 stopped with Ctrl-C.";

/// Enrols people and devices in a Parsec organisation, by asking the daemon parsecd
///
/// The usual way in: an administrator runs `parsecctl invite user bob@example.org` and calls Bob.
/// Then the administrator runs `parsecctl greet` and Bob `parsecctl claim`. Both follow what they
/// see on the screen.
#[derive(Debug, Parser)]
#[command(name = "parsecctl", version, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Print results as JSON, one object a line; ask nothing
    #[arg(long, global = true, display_order = 90)]
    pub(crate) json: bool,
    /// The daemon's socket [default: $XDG_RUNTIME_DIR/parsecd/parsecd.sock]
    #[arg(long, global = true, value_name = "PATH", display_order = 91)]
    pub(crate) socket: Option<PathBuf>,
    /// Act as this device of this machine: the start of its id
    #[arg(long, global = true, value_name = "ID", display_order = 92)]
    pub(crate) device: Option<String>,
    /// Act in this organisation
    #[arg(long, global = true, value_name = "ORG", display_order = 93)]
    pub(crate) organisation: Option<OrganisationId>,
    /// Ask nothing: fail and name the option that is missing
    #[arg(long, global = true, display_order = 94)]
    pub(crate) no_input: bool,
    /// Say nothing but results, questions and failures
    #[arg(long, global = true, display_order = 95)]
    pub(crate) quiet: bool,
    /// For screen readers: no columns, one fact a line, codes spelled out
    #[arg(long, global = true, conflicts_with = "json", display_order = 96)]
    pub(crate) plain: bool,
}

impl Global {
    /// As which device to act.
    pub(crate) fn select(&self) -> DeviceSelector {
        DeviceSelector { device: self.device.clone(), organisation: self.organisation.clone() }
    }
}

/// Shells that can be told what fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Found an organisation, or follow its server to another address
    #[command(subcommand)]
    Org(Org),
    /// Invite a person or a device of your own
    #[command(subcommand)]
    Invite(Invite),
    /// Vouch for the person you invited: the ceremony, on your side
    Greet(Greet),
    /// Join with the link you received: the ceremony, on the newcomer's side
    Claim(Claim),
    /// Steps of a running ceremony, one by one, for scripts
    #[command(subcommand)]
    Ceremony(Ceremony),
    /// The devices on this machine
    #[command(subcommand)]
    Device(Device),
    /// The members of an organisation
    #[command(subcommand)]
    User(User),
    /// Safes: shared folders that the server can't read, who is in them, and their files
    #[command(subcommand)]
    Safe(Safe),
    /// Check the organisation's log, and who vouched for whom
    #[command(subcommand)]
    Trust(Trust),
    /// How somebody was let in, as files that anybody can check
    #[command(subcommand)]
    Receipt(Receipt),
    /// Recovery kits: pages that bring you back when all your devices are gone
    #[command(subcommand)]
    Recovery(Recovery),
    /// Access for plug-ins: programs that look on at the daemon's second socket
    #[command(subcommand)]
    Token(Token),
    /// The network: servers, other devices, and the ways to them
    #[command(subcommand)]
    Net(Net),
    /// What the daemon is doing
    Status(Status),
    /// What happens in the daemon, as it happens, one line for each event
    Events(Events),
    /// Look for what is wrong: the daemon, its socket, its keys, the clock, the servers
    ///
    /// Works without a daemon, too. Changes nothing. Ends with 0 if nothing failed, else with the
    /// exit code of the worst.
    Doctor,
    /// See the ceremony attacked: strategies against the two machines, in this program alone
    ///
    /// Plays an adversary against the claimer's and the greeter's machine as parsecd has them, with
    /// an organisation, people and keys that are made up for it. Asks no daemon, opens no
    /// connection, touches no file. The same seed is the same run. Ends with 0 if the design held,
    /// with 70 if it fell: people who don't listen (`--people inattentive`) make it fall once in
    /// sixteen times.
    Lab(Lab),
    /// The daemon's local interface itself, for what has no command here
    #[command(subcommand)]
    Rpc(Rpc),
    /// Print a script that completes commands, options and names in a shell
    #[command(
        after_long_help = "Example:\n  source <(parsecctl completion bash)      # in ~/.bashrc; zsh likewise\n  parsecctl completion fish | source       # in ~/.config/fish/config.fish"
    )]
    Completion {
        /// Which shell
        shell: Shell,
    },
    /// What such a script asks
    #[command(name = "__complete", hide = true)]
    Complete,
    /// Wait beside a mount until it has ended
    #[command(name = "__attend", hide = true)]
    Attend(Attend),
    /// Write the manual page into a folder
    #[command(hide = true)]
    Man {
        /// Folder that the pages are written to
        folder: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("parsecctl").chain(line.split_whitespace()))
    }

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_people_type_is_understood() {
        for good in [
            "status",
            "status --json --quiet --no-input --socket /run/x.sock",
            "status --watch",
            "events --after 00112233445566778899aabbccddeeff:41 --follow-restarts --json",
            "doctor --json",
            "rpc hello",
            "rpc discover",
            "rpc call status.show",
            "rpc call status.show {}",
            "rpc call device.unlock -",
            "token create files --method status.show --method events.watch --days 30 --rate 60 --output /t",
            "recovery create --label vault --page kit.txt --svg kit.svg",
            "recovery use --server https://x --organisation acme --device-label laptop --password-fd 3",
            "recovery use --page kit.txt --device-label laptop",
            "recovery list",
            "recovery drill --page -",
            "recovery share --threshold 2 bob@example.org carol@example.org --label team --yes",
            "recovery give alice@example.org --days 3 --detach",
            "recovery collect --link-file - --device-label laptop --password-fd 3",
            "recovery collect --finish --device-label laptop",
            "recovery revoke a0b1c2d3 --yes",
            "token list",
            "token revoke 0011223344556677",
            "token uses",
            "token uses 0011223344556677 --limit 5",
            "device password --password-file a --new-password-file b",
            "device forget a0b1c2d3e4f5061728394a5b6c7d8e9f",
            "device forget a0b1c2d3e4f5061728394a5b6c7d8e9f --confirm a0b1c2d3e4f5061728394a5b6c7d8e9f --force",
            "user show",
            "user show bob@example.org",
            "--json device list",
            "device list --set-aside",
            "device restore a0b1",
            "device unlock --device 12ab --organisation acme --password-file -",
            "device lock",
            "org bootstrap --server https://x --organisation acme --email a@b --name A --device-label L --typed-codes --token-file - --password-fd 3",
            "org server https://parsec.example.net --organisation acme",
            "invite user bob@example.org",
            "invite user bob@example.org --days 3 --no-mail",
            "invite device --mail",
            "invite user bob@example.org --transport server",
            "invite device --transport p2p",
            "greet bob@example.org --transport p2p --detach",
            "claim --link-file - --transport auto",
            "net status",
            "net peers --json",
            "net ping",
            "net ping --link-file -",
            "invite list",
            "invite cancel 12ab",
            "greet",
            "greet bob@example.org --profile administrator",
            "greet --ceremony 4",
            "greet --detach --json",
            "claim",
            "claim https://h/join/acme#x",
            "claim --link-file - --name Bob --device-label laptop --password-file /p --json",
            "claim --ceremony 4",
            "ceremony list",
            "ceremony show 1",
            "ceremony wait 1 --until say-code,choose-code --timeout 5",
            "ceremony wait 1 --until say_code",
            "ceremony choose 1 --code K7EM",
            "ceremony choose 1 --none",
            "ceremony identify 1 --name Bob --device-label laptop",
            "ceremony approve 1 --claimer-confirmed --profile outsider",
            "ceremony finish 1 --password-fd 3",
            "ceremony cancel 1",
            "user list",
            "trust verify",
            "trust show bob@example.org",
            "trust log --from 5 --json",
            "trust export acme.parsec-log",
            "trust fork proof",
            "trust fork proof --alarm 3",
            "trust import acme.parsec-log --yes",
            "trust check-fork proof",
            "receipt list",
            "receipt export 12ab file",
            "receipt verify file --log acme.parsec-log",
            "lab",
            "lab --list --json",
            "safe create Plans",
            "safe list --json",
            "safe share Plans bob@example.org --role reader --yes",
            "safe unshare a0b1 bob@example.org",
            "safe accept Plans",
            "safe leave Plans --yes",
            "safe takeover Plans --yes",
            "safe rename Plans Designs --saved",
            "safe members Plans",
            "safe status",
            "safe status Plans",
            "safe sync Plans --wait 600",
            "safe ls -l -R Plans:/2027",
            "safe put report.odt Plans:/2027/ --wait 5",
            "safe put - Plans:/x --saved --force",
            "safe put -r photos Plans:/photos",
            "safe get Plans:/x",
            "safe get -r --force Plans:/photos /tmp/photos",
            "safe get Plans:/x -",
            "safe cat Plans:/x",
            "safe mkdir -p Plans:/a/b",
            "safe mv Plans:/a /b",
            "safe cp Plans:/a Plans:/b --force",
            "safe rm -r Plans:/a",
            "safe stat Plans:/a",
            "safe conflicts Plans",
            "safe ls -R Plans:/ --at 2h",
            "safe cat Plans:/x --record 7",
            "safe get -r Plans:/ /tmp/x --at '2026-11-23'",
            "safe export Plans /tmp/x --record 7 --force",
            "safe export --sealed --partial Plans x.parsec-safe",
            "safe import /tmp/x Plans:/ --saved",
            "safe import --sealed --partial x.parsec-safe New",
            "safe retention Plans 365 --saved",
            "safe prune Plans --trash --dry-run",
            "safe purge Plans:/a --entry 5afe0001 --yes",
            "safe mount Plans /tmp/plans --read-only",
            "safe mount Plans --always",
            "safe mount Plans /tmp/plans --at 2h",
            "safe mount --marked --follow",
            "safe unmount Plans --lazy --always",
            "lab --adversary two-handshakes --runs 100 --seed 7 --people inattentive",
        ] {
            assert!(parse(good).is_ok(), "{good}: {}", parse(good).unwrap_err());
        }
    }

    #[test]
    fn what_is_wrong_or_unsafe_is_refused() {
        for bad in [
            "",
            "nonsense",
            "help nonsense",
            "org bootstrap --organisation acme",
            "org server",
            "org bootstrap --server https://x --organisation acme --email a@b --name A --device-label L --token abc",
            "org bootstrap --server https://x --organisation acme --email a@b --name A --device-label L --password abc",
            "invite user not-an-address",
            "invite user a@b --days -1",
            "invite cancel",
            "invite user a@b --transport pigeon",
            "invite user a@b --transport",
            "invite list --transport server",
            "greet --ceremony 4 --transport p2p",
            "claim --ceremony 4 --transport p2p",
            "net",
            "net ping https://h/join/acme#x",
            "net ping --link https://h/join/acme#x",
            "greet --ceremony 4 bob@example.org",
            "greet --yes",
            "greet --code K7EM",
            "greet --claimer-confirmed",
            "greet --profile king",
            "claim --password hunter2",
            "claim x --link-file y",
            "ceremony choose 1",
            "ceremony choose 1 --code K7EM --none",
            "ceremony approve 1",
            "ceremony identify 1 --name Bob",
            "ceremony wait 1",
            "ceremony wait 1 --until noon",
            "ceremony finish 1 --password hunter2",
            "device unlock --password hunter2",
            "device unlock --password-file a --password-fd 3",
            "device password --password hunter2",
            "device password --new-password hunter2",
            "device forget",
            "device forget a0b1",
            "device restore",
            "device forget a0b1c2d3e4f5061728394a5b6c7d8e9f --yes",
            "events --after 41",
            "events --after :41",
            "events --after x:-1",
            "token create files",
            "token create --method status.show",
            "token revoke",
            "rpc call",
            "doctor now",
            "lab --adversary nobody-knows",
            "lab --runs 0",
            "lab --runs 1000001",
            "lab --list --adversary two-handshakes",
            "lab --people asleep",
            "safe create",
            "safe share Plans",
            "safe share Plans bob@example.org --role king",
            "safe share Plans bob@example.org --password hunter2",
            "safe sync Plans --wait 601",
            "safe ls",
            "safe ls /x",
            "safe ls Plans:/../x",
            "safe put x",
            "safe put x Plans",
            "safe put x Plans:/x --wait 5 --saved",
            "safe get x",
            "safe get Plans:/x --at 2h --record 7",
            "safe get Plans:/x --version 5afe0001 --record 7",
            "safe export --partial Plans /tmp/x",
            "safe export --sealed Plans x --at 2h",
            "safe import --sealed --force x New",
            "safe mv Plans:/a b",
            "safe rm -f Plans:/a",
            "status --organisation ../..",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Arguments::try_parse_from(["parsecctl", "claim", "--name", "a\u{202e}b"]).is_err());
    }

    #[test]
    fn no_option_takes_a_secret_or_confirms_by_itself() {
        fn walk(command: &clap::Command, seen: &mut Vec<String>) {
            // What is forced there is a loss that was told; the device is named and confirmed all
            // the same. And what takes rights away, or changes them in one's own name, is no code
            // of a ceremony: a script names whom, and says so.
            let known = |long: &&str| match command.get_name() {
                "forget" => *long == "force",
                // The daemon takes the device's password for it as well, once in a session.
                "confirm" | "prune" | "purge" | "retention" => *long == "yes",
                "revoke" | "rekey" | "profile" | "acknowledge" | "share" | "unshare" | "leave"
                | "takeover" => *long == "yes",
                // A file that is written over; the safe keeps what was there.
                "put" | "get" | "mv" | "cp" | "export" => *long == "force",
                // Of a log or of a safe.
                "import" => matches!(*long, "yes" | "force"),
                _ => false,
            };
            let longs = command.get_arguments().filter_map(|a| a.get_long());
            seen.extend(longs.filter(|long| !known(long)).map(ToOwned::to_owned));
            command.get_subcommands().for_each(|sub| walk(sub, seen));
        }
        let mut seen = Vec::new();
        walk(&Arguments::command(), &mut seen);
        for forbidden in
            ["password", "token", "yes", "force", "assume-yes", "auto-confirm", "weak-password", "first"]
        {
            assert!(!seen.iter().any(|long| long == forbidden), "{forbidden}");
        }
    }
}
