//! Who asks: what the kernel knows of the process at the other end of a connection, noted once,
//! when it is accepted.
//!
//! Decides which session a caller belongs to. Refuses to take anything about a caller from what the
//! caller sends, from the address its socket is bound to, or from a process that merely has the
//! same number by now.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{getsockopt, sockopt};
use parsec_protocol::control::Socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Largest `/proc/PID/stat`: 52 numbers of at most 20 digits and a name of 64 bytes.
const STAT_MAX_BYTES: u64 = 2 * 1024;

/// A session of the system, as `setsid` makes them: a terminal window, a login, a service. Known by
/// its leader: the process that began it, by number and time of birth, and held, so that its end is
/// seen.
#[derive(Debug, Clone)]
pub struct CallerSession {
    id: i32,
    born: u64,
    leader: Arc<OwnedFd>,
}

impl PartialEq for CallerSession {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.born) == (other.id, other.born)
    }
}

impl Eq for CallerSession {}

impl CallerSession {
    /// The session with this leader; nothing where the leader is gone or hidden. A session without
    /// its leader has no identity that could not come again: its number is free once the last
    /// process in it has ended.
    fn of_leader(id: i32) -> Option<Self> {
        let leader = hold(id)?;
        let stat = Stat::read(id)?;
        // Still there after the reading, so the reading was about the one that is held.
        (stat.session == id && !has_ended(&leader)).then(|| Self {
            id,
            born: stat.born,
            leader: Arc::new(leader),
        })
    }

    /// Whether the process that began it has ended: the window was closed, the person logged out.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        has_ended(&self.leader)
    }

    /// The leader's process number, for a log.
    #[must_use]
    pub const fn id(&self) -> i32 {
        self.id
    }
}

/// The process that asks. Made once for each connection.
#[derive(Debug)]
pub struct Caller {
    /// The user, as the kernel noted when they connected.
    pub uid: u32,
    /// The process, likewise; none if it is in a world this daemon can't see into.
    pub pid: Option<i32>,
    /// Its session; none if it can't be told for sure.
    pub session: Option<CallerSession>,
    /// The socket that the caller connected to.
    pub socket: Socket,
}

impl Caller {
    /// The process at the other end of a connection that was just accepted.
    ///
    /// # Errors
    /// The kernel says nothing about it.
    pub fn of(connection: impl AsFd, socket: Socket) -> std::io::Result<Self> {
        // Not rustix's call of the same purpose: it can't say 0, which is a process of a world we
        // don't see.
        let peer = getsockopt(&connection, sockopt::PeerCredentials)?;
        let number = Some(peer.pid()).filter(|number| *number > 0);
        // The kernel's hold on the process that connected. Before Linux 6.5 it must be taken by
        // number, and a process that ended in between could have been followed by another of the
        // same number (docs/known-limits.md).
        let held = getsockopt(&connection, sockopt::PeerPidfd).ok();
        let held = held.or_else(|| number.and_then(hold));
        let session = match (number, held) {
            (Some(number), Some(held)) => {
                let session = Stat::read(number).and_then(|stat| CallerSession::of_leader(stat.session));
                // As above: what was read under its number was about it if it is still there.
                session.filter(|_| !has_ended(&held))
            }
            _ => None,
        };
        Ok(Self { uid: peer.uid(), pid: number, session, socket })
    }
}

impl Caller {
    /// The daemon itself, for what it was told to do at its start. It belongs to no session, so
    /// nothing that it does counts as a person's confirmation.
    #[must_use]
    pub fn itself() -> Self {
        let (uid, pid) = (rustix::process::geteuid().as_raw(), i32::try_from(std::process::id()).ok());
        Self { uid, pid, session: None, socket: Socket::User }
    }
}

#[cfg(test)]
impl Caller {
    /// This process, as if it had come through a socket.
    pub(crate) fn pretended(socket: Socket) -> Self {
        Self { socket, ..Self::itself() }
    }
}

fn hold(number: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(number)?, PidfdFlags::empty()).ok()
}

/// Whether a held process has ended. One that can't be asked counts as ended.
fn has_ended(held: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(held, PollFlags::IN)];
    !matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
}

/// What the kernel tells of a process.
struct Stat {
    session: i32,
    /// Clock ticks after the machine's start.
    born: u64,
}

impl Stat {
    fn read(number: i32) -> Option<Self> {
        let mut text = Vec::new();
        let file = std::fs::File::open(format!("/proc/{number}/stat")).ok()?;
        file.take(STAT_MAX_BYTES).read_to_end(&mut text).ok()?;
        Self::parse(&text)
    }

    /// The second field is a name that the process chooses, in brackets, and may hold brackets,
    /// spaces and numbers of its own. After the last closing bracket only the kernel writes.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        // Field 3 is the first of the rest: 6 is the session, 22 the start.
        let mut fields = rest.split_ascii_whitespace();
        let session = fields.nth(3)?.parse().ok()?;
        let born = fields.nth(15)?.parse().ok()?;
        Some(Self { session, born })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_number() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_name_of_the_process_own_making_changes_nothing() {
        let plain = Stat::parse(b"7 (sh) S 1 7 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99887 0").unwrap();
        assert_eq!((plain.session, plain.born), (42, 99_887));
        for name in ["a) S 1 1 1 1", ") ) )", "x (y", ") S 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2", "\n"] {
            let text = format!("7 ({name}) S 1 7 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99887 0");
            let stat = Stat::parse(text.as_bytes()).unwrap();
            assert_eq!((stat.session, stat.born), (42, 99_887), "{name}");
        }
        for cut in ["", "7 (sh", "7 (sh)", "7 (sh) S 1 7", "7 (sh) S 1 7 x 0 -1 0"] {
            assert!(Stat::parse(cut.as_bytes()).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_session_is_known_by_its_living_leader() {
        use std::os::unix::process::CommandExt as _;
        // A leader that ends when its input does.
        let start = || {
            let mut command = std::process::Command::new("setsid");
            command.args(["cat"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
            // Not a group leader, so that setsid need not fork; and told to be ready by an echo.
            command.process_group(rustix::process::getpgrp().as_raw_nonzero().get());
            let mut child = command.spawn().unwrap();
            use std::io::Write as _;
            child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            child
        };
        let mut child = start();
        let number = i32::try_from(child.id()).unwrap();
        let session = CallerSession::of_leader(number).unwrap();
        assert_eq!(session, CallerSession::of_leader(number).unwrap());
        assert!(!session.has_ended());
        let mut other = start();
        assert_ne!(session, CallerSession::of_leader(i32::try_from(other.id()).unwrap()).unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(session.has_ended());
        assert!(CallerSession::of_leader(number).is_none(), "a leader that is gone");
        drop(other.stdin.take());
        other.wait().unwrap();
        // A process that leads no session is none.
        if Stat::read(own_number()).unwrap().session != own_number() {
            assert!(CallerSession::of_leader(own_number()).is_none());
        }
    }

    /// Whatever a peer's socket is bound to, the kernel's word is what counts.
    #[tokio::test]
    async fn the_name_of_a_peers_socket_changes_nothing() {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let names: [&[u8]; 4] = [b"pid=1;uid=0;", b"0;root\n", b"\xff\xfe)(", &[0x1b; 100]];
        for (number, name) in names.iter().enumerate() {
            let peer = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
            let unique = format!("{number}-{}", own_number());
            let abstract_name = SocketAddrUnix::new_abstract_name(&[*name, unique.as_bytes()].concat());
            rustix::net::bind(&peer, &abstract_name.unwrap()).unwrap();
            rustix::net::connect(&peer, &SocketAddrUnix::new(&path).unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let caller = Caller::of(&accepted, Socket::User).unwrap();
            assert_eq!(caller.uid, rustix::process::geteuid().as_raw());
            assert_eq!(caller.pid, Some(own_number()));
        }
    }
}
