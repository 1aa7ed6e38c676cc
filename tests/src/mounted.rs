//! A safe that a test has mounted, by parsecctl as people do.
//!
//! Decides nothing about what is in it: tests use it as any folder. Taken away when it is dropped,
//! whatever has become of the daemon.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ctl::Said;
use crate::device::{Device, private_folder};
use crate::skip;

/// Whether safes can be mounted here; says by name what is left out where they can't.
#[must_use]
pub fn is_possible(test: &str) -> bool {
    let can_open = std::fs::File::open("/dev/fuse").is_ok();
    if !can_open {
        skip(test, "there is no /dev/fuse that this user may open");
        return false;
    }
    if !may_mount() {
        skip(test, "nobody may mount anything on this machine");
        return false;
    }
    has(test, "fusermount3")
}

/// Whether a set-user-ID program may mount: in most containers CAP_SYS_ADMIN is out of bounds.
fn may_mount() -> bool {
    const SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bounds = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bounds = bounds.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    bounds.is_some_and(|bounds| bounds >> SYS_ADMIN & 1 == 1)
}

/// Whether a program is there; says by name what is left out where it isn't.
#[must_use]
pub fn has(test: &str, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !there {
        skip(test, &format!("{program} is not installed"));
    }
    there
}

/// A mounted safe.
#[derive(Debug)]
pub struct Mounted {
    folder: PathBuf,
}

impl Mounted {
    /// Mounts a safe on a folder beside the device's data.
    ///
    /// # Panics
    /// If it can't be.
    #[must_use]
    pub fn new(device: &Device, safe: &str) -> Self {
        Self::with(device, safe, &[]).0
    }

    /// The same with more options; and what parsecctl said.
    ///
    /// # Panics
    /// If it can't be mounted.
    #[must_use]
    pub fn with(device: &Device, safe: &str, more: &[&str]) -> (Self, Said) {
        let folder = device.folder().join("mounted");
        // What a killed daemon has left there can't even be looked at.
        if folder.try_exists().is_ok() {
            private_folder(&folder);
        }
        let mut arguments = vec!["safe", "mount", safe, folder.to_str().unwrap()];
        arguments.extend(more);
        let said = device.ctl(&arguments).well();
        (Self { folder }, said)
    }

    /// Takes charge of a folder that somebody else has mounted, or tried to.
    #[must_use]
    pub fn on(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A place in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether the kernel has a mount of ours there.
    ///
    /// # Panics
    /// If the kernel's list can't be read.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.count() > 0
    }

    /// Whether it is the only mount on its folder.
    ///
    /// # Panics
    /// If the kernel's list can't be read.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.count() == 1
    }

    fn count(&self) -> usize {
        let list = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let folder = self.folder.to_str().unwrap();
        let is_here = |line: &&str| line.split(' ').nth(4) == Some(folder) && line.contains(" fuse.parsec ");
        list.lines().filter(is_here).count()
    }

    /// Processes that wait beside it until it has ended.
    ///
    /// # Panics
    /// If the processes can't be listed.
    #[must_use]
    pub fn attendants(&self) -> Vec<u32> {
        let folder = self.folder.to_str().unwrap().as_bytes();
        let is_attendant = |process: &u32| {
            std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| {
                let mut words = line.split(|byte| *byte == 0);
                words.any(|word| word == b"__attend") && words.any(|word| word == folder)
            })
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_attendant).collect()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut command = Command::new("fusermount3");
        command.args(["-uz", "--"]).arg(&self.folder).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = command.status();
    }
}
