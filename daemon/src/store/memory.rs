//! Whether there is memory for a password's work.
//!
//! Decides before scrypt asks for it: a request for memory that fails ends the whole program, and
//! one that is granted on paper only has the kernel end it, with every ceremony that is under way.
//! Refuses to count on memory that can't be looked up: what nobody knows is no limit.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::StoreError;

/// Beside scrypt's own block: what the daemon may need meanwhile for everything else.
const RESERVE: u64 = 16 << 20;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Largest file that is read here: a page; the kernel's are smaller.
const TEXT_MAX: usize = 64 * 1024;

/// Whether `bytes` can be had now.
///
/// # Errors
/// [`StoreError::NoMemory`].
pub(super) fn check(bytes: u64) -> Result<(), StoreError> {
    let needed = bytes.saturating_add(RESERVE);
    let free = [address_space(), machine(), group()].into_iter().flatten().min();
    match free {
        Some(free) if free < needed => {
            Err(StoreError::NoMemory { needed_mib: needed.div_ceil(MIB), free_mib: free / MIB })
        }
        Some(_) | None => Ok(()),
    }
}

/// What is left of the address space that this process may have (`ulimit -v`).
fn address_space() -> Option<u64> {
    let most = getrlimit(Resource::As).current?;
    Some(most.saturating_sub(field(&text(Path::new("/proc/self/status"))?, "VmSize:")?))
}

/// What the kernel says that programs can have without swapping, and what swap there is.
fn machine() -> Option<u64> {
    let info = text(Path::new("/proc/meminfo"))?;
    Some(field(&info, "MemAvailable:")?.saturating_add(field(&info, "SwapFree:").unwrap_or(0)))
}

/// A line of `/proc/meminfo` or `/proc/self/status`, in bytes.
fn field(info: &str, name: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(KIB))
}

/// What is left in the service's control group (`MemoryMax` of the unit), of all that it stands in.
/// Files in the page cache are given up first.
fn group() -> Option<u64> {
    let own = text(Path::new("/proc/self/cgroup"))?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A group outside of what can be seen here (a container's) is written with `..`.
    if own.split('/').any(|part| part == "..") {
        return None;
    }
    let mut folder = PathBuf::from("/sys/fs/cgroup").join(own);
    let mut least = None;
    while folder.starts_with("/sys/fs/cgroup") {
        least = [least, left_in(&folder)].into_iter().flatten().min();
        if !folder.pop() {
            break;
        }
    }
    least
}

fn left_in(folder: &Path) -> Option<u64> {
    // "max" is no number, and no limit.
    let most: u64 = text(&folder.join("memory.max"))?.trim().parse().ok()?;
    let used: u64 = text(&folder.join("memory.current"))?.trim().parse().ok()?;
    let cached = text(&folder.join("memory.stat")).and_then(|stat| {
        let line = stat.lines().find_map(|line| line.strip_prefix("inactive_file "))?;
        line.trim().parse::<u64>().ok()
    });
    Some(most.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
}

/// A file of the kernel's.
fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    (text.len() <= TEXT_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_granted_and_what_no_machine_has_is_not() {
        assert!(check(0).is_ok());
        let refused = check(1 << 60);
        assert!(
            matches!(refused, Err(StoreError::NoMemory { needed_mib, free_mib }) if free_mib < needed_mib)
        );
    }

    #[test]
    fn a_group_leaves_what_it_has_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(left_in(folder.path()), None);
        write("memory.max", "max\n");
        write("memory.current", "70000\n");
        assert_eq!(left_in(folder.path()), None);
        write("memory.max", "100000\n");
        assert_eq!(left_in(folder.path()), Some(30_000));
        write("memory.stat", "anon 60000\ninactive_file 10000\n");
        assert_eq!(left_in(folder.path()), Some(40_000));
    }

    #[test]
    fn the_kernels_lines_are_in_kibibytes() {
        let info = "MemTotal:  16 kB\nMemAvailable:       8 kB\nSwapFree:  2 kB\n";
        assert_eq!(
            (field(info, "MemAvailable:"), field(info, "SwapFree:")),
            (Some(8 * 1024), Some(2 * 1024))
        );
        assert_eq!(field(info, "HugePages:"), None);
    }
}
