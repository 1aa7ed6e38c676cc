//! How another program is run and looked at: a folder for all of them, commands with their time and
//! peak, servers that end with their owner, and a relay that counts bytes.
//!
//! Decides what they work on: one large file and one tree of small ones, made once.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::{MIB, Plan, office};
use crate::bench::said;

/// How often a command's peak, or whether a server is up, is looked at.
const LOOK: Duration = Duration::from_millis(4);
/// A server that isn't up by then does not come up; a file that isn't there by then doesn't come.
const PEER_MAX: Duration = Duration::from_secs(300);

/// Settings that a program takes from its environment.
pub(super) type Environment = BTreeMap<&'static str, String>;

/// Where the other programs work.
pub(super) struct Workspace {
    pub(super) plan: Plan,
    folder: TempDir,
}

impl Workspace {
    /// With the files that all of them are given; the large one where some row is about it.
    pub(super) fn new(plan: &Plan, large: bool) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("peers").tempdir_in(plan.within).map_err(said)?;
        let workspace = Self { plan: *plan, folder };
        std::fs::create_dir(workspace.path("large")).map_err(said)?;
        std::fs::create_dir(workspace.path("home")).map_err(said)?;
        if large {
            let _ = office::random_file(&workspace.large(), workspace.bytes())?;
        }
        Ok(workspace)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as an argument.
    pub(super) fn word(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// The large file, alone in its folder.
    pub(super) fn large(&self) -> PathBuf {
        self.path("large").join("file")
    }

    /// Bytes of the large file.
    pub(super) const fn bytes(&self) -> u64 {
        self.plan.large_mib * MIB
    }

    /// MB a second, where the large file took so many seconds.
    pub(super) fn rate(&self, seconds: f64) -> f64 {
        self.bytes() as f64 / seconds / 1e6
    }

    /// Changes 4 KiB of the large file.
    pub(super) fn edit(&self) -> Result<(), String> {
        use std::os::unix::fs::FileExt as _;
        let mut contents = [0; super::super::SMALL_BYTES];
        getrandom::fill(&mut contents).map_err(said)?;
        let file = std::fs::File::options().write(true).open(self.large()).map_err(said)?;
        file.write_all_at(&contents, self.bytes() / 2).map_err(said)
    }

    /// A tree of so many small files, as a folder of this name.
    pub(super) fn tree(&self, name: &str, files: usize) -> Result<PathBuf, String> {
        let path = self.path(name);
        office::tree(&path, files)?;
        Ok(path)
    }

    /// An empty folder of this name, whatever was there.
    pub(super) fn empty(&self, name: &str) -> Result<PathBuf, String> {
        self.remove(name);
        let path = self.path(name);
        std::fs::create_dir_all(&path).map_err(said)?;
        Ok(path)
    }

    pub(super) fn remove(&self, name: &str) {
        // It may not be there; what stays goes with the workspace.
        let _ = std::fs::remove_dir_all(self.path(name));
    }

    fn command(&self, words: &[&str], environment: &Environment) -> Result<Command, String> {
        let (program, rest) = words.split_first().ok_or("no program")?;
        let mut command = Command::new(program);
        command.args(rest).envs(environment).env("HOME", self.path("home")).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a command to its end: seconds, and the most memory it was seen with, in MiB.
    pub(super) fn run(&self, words: &[&str], environment: &Environment) -> Result<(f64, f64), String> {
        let log = std::fs::File::create(self.path("said")).map_err(said)?;
        let mut command = self.command(words, environment)?;
        command.stdout(Stdio::null()).stderr(log).current_dir(self.folder.path());
        let begun = Instant::now();
        let mut child = command.spawn().map_err(said)?;
        let mut peak = 0.0_f64;
        loop {
            peak = peak.max(peak_mib(child.id()));
            if let Some(status) = child.try_wait().map_err(said)? {
                let lasted = begun.elapsed().as_secs_f64();
                if status.success() {
                    return Ok((lasted, peak));
                }
                let text = std::fs::read_to_string(self.path("said")).unwrap_or_default();
                return Err(format!(
                    "{} {status}: {}",
                    words.join(" "),
                    text.lines().last().unwrap_or_default()
                ));
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// What a command says.
    pub(super) fn told(&self, words: &[&str], environment: &Environment) -> Result<String, String> {
        let output = self.command(words, environment)?.output().map_err(said)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts a server, and waits until it is up.
    pub(super) fn serve(
        &self,
        words: &[&str],
        environment: &Environment,
        port: u16,
    ) -> Result<Serving, String> {
        let log = std::fs::File::create(self.path("served")).map_err(said)?;
        let mut command = self.command(words, environment)?;
        command.stdout(Stdio::null()).stderr(log);
        let serving = Serving(command.spawn().map_err(said)?);
        until(|| TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(serving)
    }
}

/// A server of another program; killed when dropped.
pub(super) struct Serving(Child);

impl Serving {
    /// The most memory that it had, in MiB.
    pub(super) fn peak_mib(&self) -> f64 {
        peak_mib(self.0.id())
    }

    /// What it has in memory, in MiB.
    pub(super) fn resident_mib(&self) -> f64 {
        field_mib(self.0.id(), "VmRSS:")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn peak_mib(process: u32) -> f64 {
    field_mib(process, "VmHWM:")
}

fn field_mib(process: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|size| size.parse::<f64>().ok()).unwrap_or_default() / 1_024.0
}

/// A port that nobody has.
pub(super) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(said)?;
    listener.local_addr().map(|address| address.port()).map_err(said)
}

/// Waits until something is so: another program's files tell nobody.
pub(super) fn until(mut done: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + PEER_MAX;
    while !done() {
        if Instant::now() > end {
            return Err("it did not come in time".to_owned());
        }
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}

/// A port to another one of this machine on which bytes are counted.
pub(super) struct CountedPort {
    port: u16,
    bytes: Arc<AtomicU64>,
}

impl CountedPort {
    /// To a server's port.
    pub(super) fn to(server: u16) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(said)?;
        let port = listener.local_addr().map_err(said)?.port();
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        // It ends with the process; whoever measures has no use for its end.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                for (from, to) in [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))] {
                    let counted = Arc::clone(&counted);
                    if let (Ok(from), Ok(to)) = (from, to) {
                        std::thread::spawn(move || carry(from, to, &counted));
                    }
                }
            }
        });
        Ok(Self { port, bytes })
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// KiB so far, both ways.
    pub(super) fn kib(&self) -> f64 {
        self.bytes.load(Ordering::SeqCst) as f64 / 1_024.0
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, counted: &AtomicU64) {
    let mut piece = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        counted.fetch_add(read as u64, Ordering::SeqCst);
        let Some(came) = piece.get(..read) else { break };
        if to.write_all(came).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Bytes that a folder takes beyond these, in hundredths of them.
pub(super) fn over(folder: &Path, plain: u64) -> f64 {
    (office::stored(folder) as f64 / plain as f64 - 1.0) * 100.0
}
