//! Values that only the daemon knows: devices, organisations, invitations, ceremonies, members.
//!
//! Decides which argument takes which of them. Refuses to keep a person waiting at their prompt:
//! the daemon has a moment, and no answer means no candidates, without a word.

use std::sync::mpsc;
use std::time::Duration;

use parsec_protocol::control::{
    CeremonyListResult, DeviceListResult, DeviceSelector, Empty, InviteListResult, Role, SafeListResult,
    SafeView, Subject, TokenListResult, UserListResult, method,
};

use super::Candidate;
use crate::client::{Connection, default_socket};
use crate::commands::invite::is_open;
use crate::commands::short;
use crate::failure::Failure;

/// How long the daemon may take. Beyond this a person takes the terminal for stuck.
const TIMEOUT: Duration = Duration::from_millis(800);

/// The kind of values that an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Devices of this machine.
    Devices,
    Organisations,
    Invitations,
    /// Invitations that can be greeted here.
    Greetable,
    Ceremonies,
    Users,
    /// Devices of all members.
    MemberDevices,
    Tokens,
    /// Safes of a device.
    Safes,
}

impl Wanted {
    /// What an argument takes: by its name in `args`, and the commands it stands behind.
    pub(super) fn by(path: &[&str], argument: &str) -> Option<Self> {
        match (path.first().copied(), argument) {
            (_, "device") => Some(Self::Devices),
            (Some("device" | "receipt"), "member_device") => Some(Self::MemberDevices),
            (_, "organisation") => Some(Self::Organisations),
            (Some("greet"), "invitation") => Some(Self::Greetable),
            (Some("invite"), "invitation") => Some(Self::Invitations),
            (Some("ceremony"), "id") | (_, "ceremony") => Some(Self::Ceremonies),
            (Some("user" | "trust" | "safe"), "user") => Some(Self::Users),
            (Some("token"), "id") => Some(Self::Tokens),
            (Some("safe"), "safe") => Some(Self::Safes),
            _ => None,
        }
    }
}

/// Asks the daemon that the line so far points at.
pub(super) fn ask(wanted: Wanted, words: &[&str]) -> Vec<Candidate> {
    let socket = option(words, "--socket").map(std::path::PathBuf::from);
    let select = DeviceSelector {
        device: option(words, "--device").map(ToOwned::to_owned),
        organisation: option(words, "--organisation").and_then(|name| name.parse().ok()),
    };
    let (done, answer) = mpsc::sync_channel(1);
    // Not waited for when it is late: the process ends with its answer, whatever the socket does.
    let asking = std::thread::Builder::new().spawn(move || {
        let found = connect(socket).and_then(|mut daemon| find(wanted, select, &mut daemon));
        let _heard = done.send(found.unwrap_or_default());
    });
    match asking {
        Ok(_) => answer.recv_timeout(TIMEOUT).unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

fn connect(socket: Option<std::path::PathBuf>) -> Result<Connection, Failure> {
    Connection::open(&match socket {
        Some(path) => path,
        None => default_socket()?,
    })
}

/// The value of an option on the line, other than in its last word.
fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let (_, before) = words.split_last()?;
    before.iter().zip(words.iter().skip(1)).find_map(|(word, next)| {
        if *word == name { Some(*next) } else { word.strip_prefix(name)?.strip_prefix('=') }
    })
}

fn find(wanted: Wanted, select: DeviceSelector, daemon: &mut Connection) -> Result<Vec<Candidate>, Failure> {
    let mut found: Vec<Candidate> = match wanted {
        Wanted::Devices => {
            let all: DeviceListResult = daemon.call(method::DEVICE_LIST, &Empty {})?;
            all.devices
                .iter()
                .filter_map(|device| {
                    let label = device.label.as_ref().map(|label| format!("{label}, ")).unwrap_or_default();
                    Candidate::new(short(device.device), &format!("{label}{}", device.organisation))
                })
                .collect()
        }
        Wanted::Organisations => {
            let all: DeviceListResult = daemon.call(method::DEVICE_LIST, &Empty {})?;
            let names = all.devices.iter().map(|device| (device.organisation.to_string(), &device.server));
            names.filter_map(|(name, server)| Candidate::new(name, server)).collect()
        }
        Wanted::Invitations | Wanted::Greetable => {
            let all: InviteListResult = daemon.call(method::INVITE_LIST, &select)?;
            let here = |item: &&_| is_open(item) && (wanted == Wanted::Invitations || item.can_greet);
            all.invitations.iter().filter(here).flat_map(invitation).flatten().collect()
        }
        Wanted::Ceremonies => {
            let all: CeremonyListResult = daemon.call(method::CEREMONY_LIST, &Empty {})?;
            all.ceremonies
                .iter()
                .filter_map(|view| {
                    let role = match view.role {
                        Role::Greeter => "greeter",
                        Role::Claimer => "claimer",
                    };
                    Candidate::new(view.id.0.to_string(), &format!("{role} in {}", view.organisation))
                })
                .collect()
        }
        Wanted::Users => {
            let all: UserListResult = daemon.call(method::USER_LIST, &select)?;
            all.users
                .iter()
                .filter_map(|member| {
                    let name = member.name.as_ref().map(ToString::to_string).unwrap_or_default();
                    Candidate::new(member.email.as_str(), &name)
                })
                .collect()
        }
        Wanted::MemberDevices => {
            let all: UserListResult = daemon.call(method::USER_LIST, &select)?;
            let devices = all.users.iter().flat_map(|user| user.devices.iter().map(move |it| (user, it)));
            devices
                .filter(|(_, device)| !device.revoked)
                .filter_map(|(user, device)| {
                    let label = device.label.as_ref().map(|label| format!("{label}, ")).unwrap_or_default();
                    Candidate::new(short(device.device), &format!("{label}{}", user.email))
                })
                .collect()
        }
        Wanted::Safes => {
            let all: SafeListResult = daemon.call(method::SAFE_LIST, &select)?;
            // By its name where a shell can't take that for more than a word, else by its id.
            let candidate = |safe: &SafeView| {
                let id = short(safe.safe);
                let Some(name) = safe.name.as_ref().map(ToString::to_string) else {
                    return Candidate::new(id, "offered to you");
                };
                Candidate::new(name.as_str(), &id).or_else(|| Candidate::new(id, &name))
            };
            all.safes.iter().filter_map(candidate).collect()
        }
        Wanted::Tokens => {
            let all: TokenListResult = daemon.call(method::TOKEN_LIST, &Empty {})?;
            all.tokens.iter().filter_map(|token| Candidate::new(token.id.0.as_str(), &token.name)).collect()
        }
    };
    found.sort();
    found.dedup();
    Ok(found)
}

/// An invitation by its token, and by the address if that fits on a command line.
fn invitation(item: &parsec_protocol::control::InvitationItem) -> [Option<Candidate>; 2] {
    let token = short(item.token);
    match &item.subject {
        Subject::User { email } => [
            Candidate::new(token.as_str(), &format!("for {email}")),
            Candidate::new(email.as_str(), &format!("invitation {token}")),
        ],
        Subject::Device { .. } => [Candidate::new(token, "for a device of your own"), None],
        Subject::Share { .. } => [Candidate::new(token, "gives a share of a recovery kit"), None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_on_the_line_say_whom_to_ask() {
        let words = ["parsecctl", "--socket", "/a b/s", "status", "--organisation=acme", "--device", "ab"];
        assert_eq!(option(&words, "--socket"), Some("/a b/s"));
        assert_eq!(option(&words, "--organisation"), Some("acme"));
        assert_eq!(option(&words, "--device"), Some("ab"));
        assert_eq!(option(&words, "--json"), None);
        assert_eq!(option(&["parsecctl", "--socket"], "--socket"), None, "not typed yet");
        assert_eq!(option(&[], "--socket"), None);
    }

    #[test]
    fn without_a_daemon_nothing_is_offered() {
        assert!(ask(Wanted::Devices, &["parsecctl", "--socket", "/nonexistent/s", "status"]).is_empty());
    }

    /// A socket that takes the call and never answers must not hang the prompt. Waits for real, as
    /// its user would.
    #[test]
    fn a_daemon_that_hangs_is_given_up() {
        let path = std::env::temp_dir().join(format!("parsecctl-hangs-{}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let words = ["parsecctl", "--socket", path.to_str().unwrap(), "status", "--device", ""];
        assert!(ask(Wanted::Devices, &words).is_empty());
        drop(listener);
        std::fs::remove_file(path).unwrap();
    }
}
