//! A clean Debian, as a folder: made once by mmdebstrap and kept in the target folder, unpacked
//! anew for each test.
//!
//! Decides what is in it: the smallest Debian that boots systemd, of the release this machine runs,
//! because the programs need its libraries. Refuses, with a reason to skip the test, where that
//! can't be had.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::MutexGuard;

use tempfile::TempDir;

use crate::process::binary;
use crate::{alone, installed};

/// What the tree has beyond the packages dpkg cannot do without: a service manager with users' own
/// ones, what ours depend on and what mounts, and Python for the scripts inside.
const PACKAGES: &str =
    "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,ca-certificates,fuse3,python3";
/// Left out of the tree: nobody reads there, and half of the files are such.
const LEFT_OUT: &[&str] =
    &["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];
/// A tree is 200 MB, and what is done in it is little more.
const ROOM_BYTES: u64 = 600 * 1024 * 1024;
/// Memory as a file system, where there is enough of it: dpkg syncs every file it writes.
const MEMORY: &str = "/dev/shm";
/// A tree takes 20 seconds here; a slow mirror is no reason to wait for ever.
const MAKING_SECONDS: &str = "600";
/// What is done in a tree takes half a minute here; a machine ten times as slow is none to test on.
const RUN_SECONDS: &str = "300";

/// A Debian of a test's own, removed with it.
#[derive(Debug)]
pub struct Debian {
    folder: TempDir,
    /// Two containers in one control group are in each other's way.
    _machine: MutexGuard<'static, ()>,
}

impl Debian {
    /// Unpacks one.
    ///
    /// # Errors
    /// Why this machine can't have one: a reason to skip.
    pub fn unpack() -> Result<Self, String> {
        let machine = alone::on_the_machine();
        let base = base()?;
        let folder = tempfile::Builder::new().prefix("parsec-debian").tempdir_in(room()).unwrap();
        let debian = Self { folder, _machine: machine };
        fs::create_dir(debian.root()).unwrap();
        let unpacked = Command::new("tar")
            .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xf"])
            .arg(&base)
            .arg("-C")
            .arg(debian.root())
            .output()
            .unwrap();
        assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
        // The packages of a test may put their documentation in.
        let settings = debian.root().join("etc/dpkg/dpkg.cfg.d");
        for entry in fs::read_dir(settings).into_iter().flatten().map(Result::unwrap) {
            let text = fs::read_to_string(entry.path()).unwrap();
            let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("path-exclude")).collect();
            fs::write(entry.path(), format!("{}\n", kept.join("\n"))).unwrap();
        }
        // What nspawn may not do here it says at once.
        let tried = debian.inside("true", &[]).output().unwrap();
        match tried.status.success() {
            true => Ok(debian),
            false => {
                Err(format!("systemd-nspawn refuses: {}", String::from_utf8_lossy(&tried.stderr).trim()))
            }
        }
    }

    /// The folder that is its `/`.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Copies files into a folder inside; returns where that is for whoever is inside.
    pub fn bring(&self, to: &str, files: &[PathBuf]) {
        let folder = self.root().join(to.trim_start_matches('/'));
        fs::create_dir_all(&folder).unwrap();
        for file in files {
            fs::copy(file, folder.join(file.file_name().unwrap())).unwrap();
        }
    }

    /// A command run as root inside, without a service manager, with a network of its own. Whatever
    /// it starts ends with it.
    #[must_use]
    pub fn inside(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.container(&["--pipe", "--as-pid2", "--setenv=DEBIAN_FRONTEND=noninteractive"]);
        command.arg(program).args(arguments);
        command
    }

    /// The whole of it, booted by its own systemd until that powers off.
    #[must_use]
    pub fn boot(&self) -> Command {
        // What mounts safes, where this machine has it.
        let fuse = Path::new("/dev/fuse").exists().then_some("--bind=/dev/fuse");
        let options: Vec<_> = ["--console=read-only", "--boot"].into_iter().chain(fuse).collect();
        self.container(&options)
    }

    fn container(&self, options: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", RUN_SECONDS]);
        // Processes and mounts of its own for nspawn itself, too: nothing of it is left on this
        // machine, however the test ends.
        command.args(["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
        command.args(["--mount-proc", "sh", "-eu", "-c", NSPAWN, "sh", "--private-network"]);
        command.arg("--directory").arg(self.root()).args(options);
        command.stdin(Stdio::null());
        command
    }
}

/// nspawn keeps its sockets in /run, and refuses a second start where that is no tmpfs. It
/// registers nothing: there may be no systemd here to register with.
const NSPAWN: &str = "\
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --register=no --keep-unit --machine=parsec \"$@\"";

/// The packages of the programs that were built with this test: made anew, into a folder.
///
/// # Errors
/// Why this machine can't make them: a reason to skip.
///
/// # Panics
/// If they could not be made although the tools are there.
pub fn packages(output: &Path) -> Result<Vec<PathBuf>, String> {
    lacking(&["dpkg-deb", "dpkg-shlibdeps", "dpkg-gencontrol", "strip"])?;
    let made = Command::new(binary("xtask"))
        .args(["deb", "--profile", "dev", "--binaries"])
        .arg(binary("parsecd").parent().unwrap())
        .arg("--output")
        .arg(output)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let said = String::from_utf8(made.stdout).unwrap();
    Ok(said.lines().map(PathBuf::from).collect())
}

/// Which of these programs this machine doesn't have.
///
/// # Errors
/// Their names.
pub fn lacking(programs: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> = programs.iter().filter(|program| !installed(program)).copied().collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("this machine has no {}", missing.join(", no "))) }
}

/// The tree as an archive, made if there is none for exactly what is asked.
fn base() -> Result<PathBuf, String> {
    lacking(&["mmdebstrap", "systemd-nspawn", "unshare", "timeout", "tar"])?;
    if rustix::process::geteuid().as_raw() != 0 {
        return Err("only root can make a Debian tree and go into it".to_owned());
    }
    let release = release()?;
    let mut options: Vec<String> =
        ["--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io"].map(str::to_owned).into();
    options.extend(LEFT_OUT.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
    options.push(format!("--include={PACKAGES}"));
    options.push(release.clone());

    let target = binary("xtask").ancestors().nth(2).unwrap().join("debian");
    fs::create_dir_all(&target).unwrap();
    let mut key = DefaultHasher::new();
    options.hash(&mut key);
    let path = target.join(format!("{release}-{:016x}.tar", key.finish()));
    // One makes it, the others wait.
    let lock = File::create(target.join("lock")).unwrap();
    lock.lock().unwrap();
    if path.exists() {
        return Ok(path);
    }
    let unfinished = target.join("unfinished.tar");
    let made = Command::new("timeout")
        .arg(MAKING_SECONDS)
        .arg("mmdebstrap")
        .args(&options)
        .arg(&unfinished)
        .env("TMPDIR", room())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        let why = said.lines().rfind(|line| line.starts_with("E:")).unwrap_or("it says nothing").to_owned();
        return Err(format!("mmdebstrap made no Debian tree ({why})"));
    }
    fs::rename(&unfinished, &path).unwrap();
    Ok(path)
}

/// The name of the Debian this machine runs.
fn release() -> Result<String, String> {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    match (field("ID").as_str(), field("VERSION_CODENAME")) {
        ("debian", name) if !name.is_empty() => Ok(name),
        (other, _) => {
            Err(format!("the programs were built on {other:?}, and need its libraries, not Debian's"))
        }
    }
}

/// A folder with room for a tree.
fn room() -> PathBuf {
    let enough = rustix::fs::statvfs(MEMORY).is_ok_and(|room| room.f_bavail * room.f_frsize >= ROOM_BYTES);
    let folder = Path::new(MEMORY);
    let ours = folder.metadata().is_ok_and(|data| data.is_dir() && data.uid() == 0);
    if enough && ours { folder.to_path_buf() } else { std::env::temp_dir() }
}

/// Those of packages that have programs: what plug-ins need is in no minimal Debian.
#[must_use]
pub fn of_programs(packages: Vec<PathBuf>) -> Vec<PathBuf> {
    let has_programs = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("parsec_") || name.starts_with("parsec-metadata_")
    };
    packages.into_iter().filter(has_programs).collect()
}
