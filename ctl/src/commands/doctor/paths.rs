//! The paths on disk: the runtime folder, the socket's folder, the socket, and room for what is
//! kept.
//!
//! Decides what is unsafe about a path. Refuses to follow a link where the daemon would not.

use std::ffi::OsStr;
use std::fs::{Metadata, symlink_metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use parsec_protocol::control::{Check, ProblemKind};

use super::{failed, ok, skipped, warning};

/// Bits that decide who may enter or read.
const MODE_BITS: u32 = 0o7777;
/// A folder of one's own.
const FOLDER_MODE: u32 = 0o700;
/// A socket of one's own.
const SOCKET_MODE: u32 = 0o600;
/// Less than this, and the next thing that is to be kept may fail: a store with some thousand
/// certificates and its log.
const SPACE_LOW_BYTES: u64 = 64 * 1024 * 1024;
/// Less than this is no room for the smallest change: SQLite rewrites its log in pieces of up to 4
/// MiB.
const SPACE_GONE_BYTES: u64 = 4 * 1024 * 1024;

/// `$XDG_RUNTIME_DIR`: set, there, and one's own.
pub(super) fn runtime_folder(variable: Option<&OsStr>) -> Check {
    const NAME: &str = "runtime_folder";
    const REMEDY: &str = "Log in through a session that sets XDG_RUNTIME_DIR (a console, a display manager, ssh), or give --socket PATH.";
    let Some(path) = variable.map(Path::new).filter(|path| path.is_absolute()) else {
        return failed(
            NAME,
            "XDG_RUNTIME_DIR is not set to an absolute path".to_owned(),
            REMEDY,
            ProblemKind::UnsafePath,
        );
    };
    own_folder(NAME, path, REMEDY)
}

/// The socket's folder and the socket.
pub(super) fn socket(path: &Path) -> Vec<Check> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut checks = vec![own_folder(
        "socket_folder",
        folder,
        "The daemon makes it when it starts. If it is another's, remove it; its mode must be 0700.",
    )];
    if checks.iter().all(|check| check.exit_code == 0) {
        checks.push(own_socket(path));
    } else {
        checks.push(skipped("socket", "its folder is not in order".to_owned()));
    }
    checks
}

fn own_folder(name: &str, path: &Path, remedy: &str) -> Check {
    match look(path) {
        Ok(found) if !found.is_dir() => {
            failed(name, format!("{} is not a folder", path.display()), remedy, ProblemKind::UnsafePath)
        }
        Ok(found) => own(name, path, &found, FOLDER_MODE, remedy),
        Err(why) => failed(name, why, remedy, ProblemKind::DaemonUnreachable),
    }
}

fn own_socket(path: &Path) -> Check {
    const NAME: &str = "socket";
    const REMEDY: &str =
        "Start the daemon: `systemctl --user start parsecd.socket`, or `parsecd` in a terminal.";
    match look(path) {
        Ok(found) if !found.file_type().is_socket() => failed(
            NAME,
            format!("{} is not a socket", path.display()),
            "Remove what is there, and start the daemon again.",
            ProblemKind::UnsafePath,
        ),
        Ok(found) => own(
            NAME,
            path,
            &found,
            SOCKET_MODE,
            "Stop the daemon and start it again: it makes its socket anew.",
        ),
        Err(why) => failed(NAME, why, REMEDY, ProblemKind::DaemonUnreachable),
    }
}

/// Whether a place belongs to this user alone.
fn own(name: &str, path: &Path, found: &Metadata, mode: u32, remedy: &str) -> Check {
    let place = path.display();
    let me = rustix::process::geteuid().as_raw();
    let has = found.mode() & MODE_BITS;
    if found.uid() != me {
        // By whatever variable somebody got there: the value and the owner are what tells.
        let text = format!("{place} belongs to user {}, not to you ({me})", found.uid());
        return failed(name, text, remedy, ProblemKind::UnsafePath);
    }
    if has != mode {
        let text = format!("{place} has mode {has:04o} instead of {mode:04o}");
        return failed(name, text, remedy, ProblemKind::UnsafePath);
    }
    ok(name, format!("{place} is yours alone (mode {has:04o})"))
}

/// What is there, a link as a link.
fn look(path: &Path) -> Result<Metadata, String> {
    symlink_metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{} does not exist", path.display()),
        _ => format!("{} can't be looked at: {error}", path.display()),
    })
}

/// Room where keys are kept by default. Only asked while no daemon does: it knows where its data
/// really is.
pub(super) fn disk_space() -> Check {
    const NAME: &str = "disk_space";
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    let there = data.as_deref().and_then(|path| path.ancestors().find(|path| path.is_dir()));
    let Some(there) = there else { return skipped(NAME, "there is no home folder".to_owned()) };
    match rustix::fs::statvfs(there) {
        Ok(system) => room(NAME, there, system.f_bavail.saturating_mul(system.f_frsize)),
        Err(error) => skipped(NAME, format!("{}: {error}", there.display())),
    }
}

fn room(name: &str, place: &Path, free: u64) -> Check {
    let text = format!("{} MiB are free at {}", free / (1024 * 1024), place.display());
    if free < SPACE_GONE_BYTES {
        return failed(name, text, ProblemKind::DiskFull.hint(), ProblemKind::DiskFull);
    }
    if free < SPACE_LOW_BYTES {
        return warning(name, text, "Free some space: what can't be kept fails.");
    }
    ok(name, text)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use parsec_protocol::control::Health;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("parsecctl-doctor-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn a_runtime_folder_is_set_there_and_ones_own() {
        let path = folder("runtime");
        let judge = |path: Option<&OsStr>| runtime_folder(path).health;
        assert_eq!(judge(Some(path.as_os_str())), Health::Ok);
        assert_eq!(judge(None), Health::Failed);
        assert_eq!(judge(Some("".as_ref())), Health::Failed);
        assert_eq!(judge(Some("relative".as_ref())), Health::Failed);
        assert_eq!(judge(Some("/nonexistent".as_ref())), Health::Failed);
        std::fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        assert_eq!(judge(Some(path.as_os_str())), Health::Failed);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_is_wrong_with_a_socket_is_named() {
        let path = folder("socket");
        let at = path.join("s");
        let found = |at: &Path| {
            let checks = socket(at);
            (checks[0].health, checks[1].health, checks[1].found.clone())
        };
        assert!(found(&at).2.contains("does not exist"));
        std::fs::write(&at, "").unwrap();
        assert!(found(&at).2.contains("not a socket"));
        std::fs::remove_file(&at).unwrap();
        let real = path.join("real");
        let _listener = UnixListener::bind(&real).unwrap();
        symlink(&real, &at).unwrap();
        assert!(found(&at).2.contains("not a socket"), "a link is not followed");
        std::fs::set_permissions(&real, Permissions::from_mode(0o666)).unwrap();
        assert!(found(&real).2.contains("0666"));
        std::fs::set_permissions(&real, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(found(&real).1, Health::Ok);
        std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        assert_eq!((found(&real).0, found(&real).1), (Health::Failed, Health::Skipped));
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_full_disk_fails_and_a_nearly_full_one_warns() {
        let judge = |free| room("x", Path::new("/"), free).health;
        assert_eq!(judge(0), Health::Failed);
        assert_eq!(judge(SPACE_GONE_BYTES), Health::Warning);
        assert_eq!(judge(SPACE_LOW_BYTES), Health::Ok);
    }
}
