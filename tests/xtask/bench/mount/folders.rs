//! Whose folders there are: a mounted safe, gocryptfs, rclone's crypt, and a bare folder.
//!
//! Decides how each is mounted, and what "cold" is for it: taken away and mounted again. Takes its
//! mounts away whatever happens. A mount is there when the kernel says so, which is waited for.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parsec_protocol::control::SafeView;
use parsec_tests::device::private_folder;
use parsec_tests::fixture::{Fixture, FixtureOptions};
use parsec_tests::installed;
use parsec_tests::mounted::{self, Mounted};
use parsec_tests::process::{Daemon, Process};
use parsec_tests::safes::create;
use parsec_tests::server::NO_LIMITS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Plan;
use crate::bench::said;

/// Whom the others stand beside.
pub(super) const PARSEC: &str = "parsec";
/// The mount that most goals name.
pub(super) const GOCRYPTFS: &str = "gocryptfs";
/// The floor: no encryption, no mount of its own.
pub(super) const BARE: &str = "bare";
/// What the safe is called.
pub(super) const SAFE: &str = "Mount";
/// Looks at the kernel's list, a tenth of a second each at most, before a mount is given up.
const LOOKS: u32 = 300;

/// What is behind a folder.
enum Behind {
    Nothing,
    /// Held: it is taken away with it.
    Safe {
        _mounted: Mounted,
    },
    Program {
        process: Option<Process>,
        words: Vec<String>,
        environment: Vec<(String, String)>,
    },
}

/// One folder, and how it is shown anew.
pub(super) struct Folder {
    pub(super) who: String,
    pub(super) path: PathBuf,
    behind: Behind,
}

/// Who takes part, besides the other programs.
pub(super) struct Office {
    pub(super) fixture: Fixture,
    pub(super) safe: SafeView,
    _others: tempfile::TempDir,
}

/// All folders that can be had here; what can't, is added to `absent` with the reason.
pub(super) fn all(
    plan: &Plan,
    alone: bool,
    absent: &mut Vec<(String, String)>,
) -> Result<(Vec<Folder>, Office), String> {
    if !mounted::is_possible("bench mount") {
        return Err("safes can't be mounted on this machine: it said why above".to_owned());
    }
    let fixture = Fixture::found(FixtureOptions {
        direct: true,
        daemon: Daemon::Shipped,
        server_options: NO_LIMITS,
        within: plan.within,
        ..FixtureOptions::default()
    });
    let safe = create(&fixture.alice, SAFE);
    let ours = Mounted::new(&fixture.alice, SAFE);
    let mut folders = vec![Folder {
        who: PARSEC.to_owned(),
        path: ours.folder().to_owned(),
        behind: Behind::Safe { _mounted: ours },
    }];
    let others = tempfile::Builder::new().prefix("mounts").tempdir_in(plan.within).map_err(said)?;
    if !alone {
        let bare = others.path().join(BARE);
        private_folder(&bare);
        folders.push(Folder { who: format!("{BARE} folder"), path: bare, behind: Behind::Nothing });
        for (program, mount) in [
            (GOCRYPTFS, gocryptfs as fn(&Path) -> Result<Folder, String>),
            ("rclone", rclone as fn(&Path) -> Result<Folder, String>),
        ] {
            if !installed(program) {
                absent.push((program.to_owned(), format!("not on this machine (apt-get install {program})")));
                continue;
            }
            match mount(others.path()) {
                Ok(folder) => folders.push(folder),
                Err(why) => absent.push((program.to_owned(), why)),
            }
        }
    }
    Ok((folders, Office { fixture, safe, _others: others }))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// The first word that a program says of its version which begins with a digit.
fn version(program: &str, asked: &str) -> String {
    let said = Command::new(program).arg(asked).output().map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let mut all = said.split([' ', '\n', ';']).map(|word| word.trim_start_matches('v'));
    let found = all.find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    found.and_then(|word| word.split(['-', '+']).next()).unwrap_or_default().to_owned()
}

fn gocryptfs(within: &Path) -> Result<Folder, String> {
    let [cipher, path, password] = ["cipher", "plain", "password"].map(|name| within.join(name));
    private_folder(&cipher);
    private_folder(&path);
    std::fs::write(&password, "correct horse battery\n").map_err(said)?;
    let [password, cipher] = [&password, &cipher].map(|path| path.to_string_lossy().into_owned());
    run(Command::new(GOCRYPTFS).args(["-init", "-q", "-passfile", &password, &cipher]))?;
    let words = words(&[GOCRYPTFS, "-fg", "-q", "-passfile", &password, &cipher, &path.to_string_lossy()]);
    let who = format!("{GOCRYPTFS} {}", version(GOCRYPTFS, "-version"));
    let behind = Behind::Program { process: None, words, environment: Vec::new() };
    let mut folder = Folder { who, path, behind };
    folder.mount()?;
    Ok(folder)
}

/// Over a folder of its own, without its cache: what was closed is written, as with the others.
fn rclone(within: &Path) -> Result<Folder, String> {
    let [store, path, config] = ["store", "crypt", "rclone.conf"].map(|name| within.join(name));
    private_folder(&store);
    private_folder(&path);
    std::fs::write(&config, "").map_err(said)?;
    let obscured = Command::new("rclone").args(["obscure", "correct horse"]).output().map_err(said)?;
    let password = String::from_utf8(obscured.stdout).map_err(said)?.trim().to_owned();
    let environment = [
        ("RCLONE_CONFIG", config.to_string_lossy().into_owned()),
        ("RCLONE_CONFIG_SAFE_TYPE", "crypt".to_owned()),
        ("RCLONE_CONFIG_SAFE_REMOTE", store.to_string_lossy().into_owned()),
        ("RCLONE_CONFIG_SAFE_PASSWORD", password),
    ];
    let environment = environment.map(|(key, value)| (key.to_owned(), value)).to_vec();
    let words = words(&["rclone", "mount", "safe:", &path.to_string_lossy(), "--vfs-cache-mode", "off"]);
    let who = format!("rclone crypt {}", version("rclone", "version"));
    let mut folder = Folder { who, path, behind: Behind::Program { process: None, words, environment } };
    folder.mount()?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(said)?;
    let failed = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(failed()) }
}

impl Folder {
    /// Taken away and mounted again: what the kernel and the program had in memory is gone.
    pub(super) fn anew(&mut self, office: &Office) -> Result<(), String> {
        match &self.behind {
            Behind::Nothing => return Ok(()),
            Behind::Safe { .. } => {
                let _ = office.fixture.alice.ctl(&["safe", "unmount", SAFE]).well();
                let path = self.path.to_string_lossy();
                let _ = office.fixture.alice.ctl(&["safe", "mount", SAFE, &path]).well();
                return Ok(());
            }
            Behind::Program { .. } => {}
        }
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<(), String> {
        let Behind::Program { process, words, environment } = &mut self.behind else { return Ok(()) };
        let Some((program, rest)) = words.split_first() else { return Ok(()) };
        let list = std::fs::File::open("/proc/self/mountinfo").map_err(said)?;
        let mut command = Command::new(program);
        command.args(rest).envs(environment.iter().cloned());
        let log = self.path.with_extension("log");
        let mut started = Process::start(program, command, &log);
        for _ in 0..LOOKS {
            if is_mounted(&self.path) {
                *process = Some(started);
                return Ok(());
            }
            if !started.runs() {
                return Err(format!("it ended: {}", started.log()));
            }
            // The kernel tells of each change of the list.
            let mut polled = [PollFd::from_borrowed_fd(list.as_fd(), PollFlags::PRI)];
            let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            poll(&mut polled, Some(&wait)).map_err(said)?;
        }
        Err("it has not mounted anything within half a minute".to_owned())
    }

    fn unmount(&mut self) -> Result<(), String> {
        let Behind::Program { process, .. } = &mut self.behind else { return Ok(()) };
        if let Some(mut process) = process.take() {
            run(Command::new("fusermount3").arg("-u").arg(&self.path))?;
            // It ends by itself once nothing is mounted; asked to, it does so at once.
            let _ = process.stop();
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if matches!(self.behind, Behind::Program { .. }) && is_mounted(&self.path) {
            let _ = run(Command::new("fusermount3").arg("-uz").arg(&self.path));
        }
    }
}

fn is_mounted(path: &Path) -> bool {
    let list = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = path.to_string_lossy();
    list.lines().any(|line| line.split(' ').nth(4) == Some(&*path))
}
