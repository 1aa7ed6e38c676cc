//! What stands in a process's memory: every page it may write, searched for what should be gone.
//! Takes root, because the programs close their memory to everybody else.
//!
//! Decides what counts as found: the bytes of a secret themselves, in either hexadecimal or in
//! base64, wherever a page can be written: heap, stacks, static data, anonymous mappings.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::logs::{Planted, Scanner};

/// Read at once. Overlapping by the longest secret, so that none is cut in two.
const PIECE_BYTES: usize = 1 << 20;

/// Where a secret stands: what it is, and in which mapping.
pub type Hit = String;

/// The mappings a process may write, as `/proc/PID/maps` tells them: from, to, name.
fn writable(process: u32) -> Vec<(u64, u64, String)> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    maps.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (from, to) = words.next()?.split_once('-')?;
            words.next()?.starts_with("rw").then(|| {
                let name = words.nth(3).unwrap_or("anonymous").to_owned();
                (number(from), number(to), name)
            })
        })
        .collect()
}

/// Everything of `planted` that can be read in the process, and how many bytes were searched.
#[must_use]
pub fn search(process: u32, planted: &[Planted]) -> (Vec<Hit>, u64) {
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let longest = planted.iter().map(|secret| secret.bytes.len()).max().unwrap_or_default();
    let scanner = Scanner::new(planted);
    let mut hits = Vec::new();
    let mut searched = 0;
    let mut piece = vec![0; PIECE_BYTES + longest];
    for (from, to, name) in writable(process) {
        let mut at = from;
        while at < to {
            let wanted = usize::try_from(to - at).unwrap_or(usize::MAX).min(piece.len());
            // A page that was never touched, or is gone by now, is no place for a secret.
            let Ok(read) = memory.read_at(&mut piece[..wanted], at) else { break };
            if read == 0 {
                break;
            }
            scanner.scan(&piece[..read], PIECE_BYTES, |index, secret| {
                hits.push(format!("{} in {name} at {:x}", secret.what, at + index as u64));
            });
            let step = read.min(PIECE_BYTES);
            searched += step as u64;
            at += step as u64;
        }
    }
    (hits, searched)
}

/// What a process has open: every file, one whose name is gone and one that never had any included.
#[must_use]
pub fn open_files(process: u32) -> Vec<(String, Vec<u8>)> {
    let folder = format!("/proc/{process}/fd");
    let links = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // One that was closed meanwhile is no file any more.
    links
        .filter(|link| std::fs::metadata(link).is_ok_and(|file| file.is_file()))
        .filter_map(|link| {
            let name = std::fs::read_link(&link).ok()?.display().to_string();
            Some((format!("open in {process}: {name}"), std::fs::read(&link).ok()?))
        })
        .collect()
}

/// A field of `/proc/PID/status` that is a size, in KiB: `VmRSS` is what a process has in memory,
/// `VmHWM` the most it had, `VmSize` its address space.
#[must_use]
pub fn resident(process: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    size.split_whitespace().next().unwrap().parse().unwrap()
}
