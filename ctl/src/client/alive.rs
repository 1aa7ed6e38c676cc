//! Whether the daemon lives: it takes connections, and says hello.
//!
//! Decides how long a sign of life may take, and what is said about a process that gives none: its
//! number, whether it is stopped, and how to go on. Refuses to bound the work itself: a ceremony
//! waits for people, scrypt for memory.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use parsec_protocol::control::ProblemKind;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use crate::failure::Failure;

/// Longest wait for a place in the daemon's queue. With the two below no command is silent for 10
/// seconds about a daemon that is stopped.
const CONNECT: Duration = Duration::from_secs(3);
/// Silence after which it is asked for a sign of life. Most answers take milliseconds, the slowest
/// some seconds.
pub(crate) const QUIET: Duration = Duration::from_secs(4);
/// Longest wait for that sign. The daemon answers from memory.
const SIGN: Duration = Duration::from_secs(2);
/// The question: the one call that every session may make, and that waits for nothing.
const QUESTION: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.hello\",\"params\":{}}\n";
/// What `/proc/PID/stat` says of a process that SIGSTOP or a debugger holds.
const STOPPED: [&str; 2] = ["T", "t"];

/// Connects, and gives up where the queue stays full: that of a daemon that takes nobody in.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    let made = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&made, Timeout::Send, Some(CONNECT))?;
    rustix::net::connect(&made, &SocketAddrUnix::new(path)?)?;
    Ok(made.into())
}

/// Bounds how long one read or write is waited for before the daemon is asked whether it lives.
pub(super) fn bound(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(QUIET))?;
    stream.set_write_timeout(Some(QUIET))
}

/// Asks the daemon at `place` for a sign of life; `stream` is the connection that waits.
pub(super) fn check(place: &Path, stream: &UnixStream) -> Result<(), Failure> {
    let asked = connect(place).and_then(|mut other| {
        other.set_read_timeout(Some(SIGN))?;
        other.set_write_timeout(Some(SIGN))?;
        other.write_all(QUESTION)?;
        // Whatever it says, a refusal included, it lives.
        other.read(&mut [0; 1])
    });
    match asked {
        // A socket that is gone, or of another daemon, says nothing about the one that was asked.
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(silent(stream))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A daemon that took the connection and gives no sign of life.
fn silent(stream: &UnixStream) -> Failure {
    let failure = |who: String, hint: String| {
        Failure::new(ProblemKind::DaemonUnreachable, format!("{who} does not answer")).advised(&hint)
    };
    let Some(pid) = socket_peercred(stream).ok().map(|peer| peer.pid.as_raw_nonzero().get()) else {
        return failure("The daemon".to_owned(), "Stop it and start it again.".to_owned());
    };
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let name = read("comm").trim().to_owned();
    // The kernel names who made the socket: where that was systemd, the daemon is another process.
    if name.starts_with("systemd") {
        return failure(
            "The daemon that systemd starts".to_owned(),
            "Look at it with `systemctl --user status parsecd`, then `systemctl --user restart parsecd`."
                .to_owned(),
        );
    }
    // `PID (NAME) STATE ...`; the name may have spaces and brackets.
    let stat = read("stat");
    let state = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    if STOPPED.contains(&state) {
        failure(
            format!("The daemon (process {pid}) is stopped, so it"),
            format!("Let it go on with `kill -CONT {pid}`; if a debugger holds it, there."),
        )
    } else {
        failure(
            format!("The daemon (process {pid}) hangs: it"),
            format!(
                "Stop it with `kill {pid}` (`kill -KILL {pid}` if it stays) and start it again; please report it."
            ),
        )
    }
}

/// What gets a person out where there is nothing to connect to; `None`: what is said of every such
/// failure will do.
pub(super) fn remedy(path: &Path, error: &io::Error) -> Option<String> {
    let removed = || {
        let general = ProblemKind::DaemonUnreachable.hint();
        format!("{general} If it runs already, its socket was removed: it makes it again within seconds.")
    };
    foreign_runtime(path).or_else(|| (error.kind() == io::ErrorKind::NotFound).then(removed))
}

/// A runtime folder of somebody else's, as `su` leaves it in the environment: nothing that is found
/// or missing there says anything about a daemon of one's own.
pub(super) fn foreign_runtime(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let me = rustix::process::geteuid().as_raw();
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|it| !it.is_empty() && path.starts_with(it))?;
    let owner = std::fs::metadata(&folder).ok()?.uid();
    (owner != me).then(|| {
        format!(
            "XDG_RUNTIME_DIR is {}, which belongs to user {owner}; you are user {me}. After `su`, log in properly (`su -`, `machinectl shell`, ssh), or set XDG_RUNTIME_DIR to /run/user/{me}.",
            Path::new(&folder).display()
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn who_takes_connections_and_says_nothing_is_named() {
        let folder = std::env::temp_dir().join(format!("parsecctl-alive-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let place = folder.join("silent.sock");
        let listener = UnixListener::bind(&place).unwrap();
        let stream = connect(&place).unwrap();
        let Err(Failure::Report(report)) = check(&place, &stream) else { panic!("it lives") };
        let pid = std::process::id().to_string();
        assert!(report.message.contains(&pid) && report.hint.contains(&pid), "{report:?}");
        assert_eq!(report.exit_code, 69);
        drop(listener);
        assert!(check(&place, &stream).is_ok(), "of a socket that is gone nothing is said");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
