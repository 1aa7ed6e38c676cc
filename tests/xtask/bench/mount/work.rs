//! The work that each folder is given, in turns: a round of one, then the same of the next.
//!
//! Decides that what is written was random, what is read is looked at, and each round has files of
//! its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use parsec_tests::mounted::Mounted;

use super::folders::{Folder, Office, PARSEC, SAFE};
use super::{Found, MIB, Plan};
use crate::bench::safes::office;
use crate::bench::{percentile, said};

/// Bytes of a small file, and of one reading anywhere.
const SMALL_BYTES: usize = 4_096;
/// Readings anywhere in a large file, each at a place of its own.
const PLACES: u64 = 100;

pub(super) fn measure(
    plan: &Plan,
    wants: &dyn Fn(&str) -> bool,
    folders: &mut [Folder],
    office: &Office,
    found: &mut Found,
) -> Result<(), String> {
    let piece = random(usize::try_from(MIB).map_err(said)?)?;
    let archive = tempfile::Builder::new().prefix("archive").tempdir_in(plan.within).map_err(said)?;
    if wants("untar") {
        pack(archive.path(), plan.archive, &piece)?;
    }
    for round in 0..plan.rounds {
        for folder in &mut *folders {
            if wants("write") || wants("read cold") || wants("read warm") {
                large(plan, folder, office, &piece, round, found)?;
            }
        }
        for folder in &mut *folders {
            if wants("create") || wants("stat") || wants("list") {
                small(plan, folder, &piece, round, found)?;
            }
        }
        for folder in &mut *folders {
            if wants("untar") {
                let into = folder.path.join(format!("untarred{round}"));
                std::fs::create_dir(&into).map_err(said)?;
                let begun = Instant::now();
                run(Command::new("tar").arg("-xf").arg(archive.path().join("t.tar")).arg("-C").arg(&into))?;
                found.note(&folder.who, "untar", begun.elapsed().as_secs_f64());
            }
        }
    }
    Ok(())
}

fn random(bytes: usize) -> Result<Vec<u8>, String> {
    let mut piece = vec![0; bytes];
    getrandom::fill(&mut piece).map_err(said)?;
    Ok(piece)
}

fn rate(bytes: u64, begun: Instant) -> f64 {
    bytes as f64 / begun.elapsed().as_secs_f64() / 1e6
}

fn large(
    plan: &Plan,
    folder: &mut Folder,
    office: &Office,
    piece: &[u8],
    round: usize,
    found: &mut Found,
) -> Result<(), String> {
    let path = folder.path.join(format!("large{round}"));
    let begun = Instant::now();
    let mut file = File::create(&path).map_err(said)?;
    for _ in 0..plan.large / MIB {
        file.write_all(piece).map_err(said)?;
    }
    file.sync_all().map_err(said)?;
    drop(file);
    found.note(&folder.who, "write", rate(plan.large, begun));
    folder.anew(office)?;
    for row in ["read cold", "read warm"] {
        let begun = Instant::now();
        let mut file = File::open(&path).map_err(said)?;
        let mut buffer = vec![0; piece.len()];
        let mut read = 0;
        while read < plan.large {
            file.read_exact(&mut buffer).map_err(said)?;
            read += MIB;
        }
        found.note(&folder.who, row, rate(plan.large, begun));
        if buffer != piece {
            return Err(format!("{}: what was read is not what was written", folder.who));
        }
    }
    std::fs::remove_file(path).map_err(said)
}

fn small(plan: &Plan, folder: &Folder, piece: &[u8], round: usize, found: &mut Found) -> Result<(), String> {
    let into = folder.path.join(format!("small{round}"));
    std::fs::create_dir(&into).map_err(said)?;
    let paths: Vec<_> = (0..plan.small).map(|number| into.join(format!("file-{number:05}"))).collect();
    let each = |begun: Instant| paths.len() as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for (path, bytes) in paths.iter().zip(piece.chunks(SMALL_BYTES).cycle()) {
        let mut file = File::create_new(path).map_err(said)?;
        file.write_all(bytes).map_err(said)?;
    }
    found.note(&folder.who, "create", each(begun));
    for measured in [false, true] {
        let begun = Instant::now();
        for path in &paths {
            let _ = std::fs::metadata(path).map_err(said)?;
        }
        if measured {
            found.note(&folder.who, "stat", each(begun));
        }
    }
    for measured in [false, true] {
        let begun = Instant::now();
        run(Command::new("ls").arg("-l").arg(&into).env("LC_ALL", "C"))?;
        if measured {
            found.note(&folder.who, "list", begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

/// An archive of files between half a KiB and 64 KiB, twenty in a folder.
fn pack(folder: &Path, files: usize, piece: &[u8]) -> Result<(), String> {
    let tree = folder.join("tree");
    for number in 0..files {
        let into = tree.join(format!("d{:03}", number / 20));
        if number % 20 == 0 {
            std::fs::create_dir_all(&into).map_err(said)?;
        }
        // Of each doubling alike many.
        let bytes = (512_usize << (number % 7)) + number * 37 % 512;
        let from = number * 4_099 % (piece.len() / 2);
        let content = piece.get(from..from + bytes).ok_or("a piece is too short")?;
        std::fs::write(into.join(format!("f{number}")), content).map_err(said)?;
    }
    run(Command::new("tar").arg("-cf").arg(folder.join("t.tar")).arg("-C").arg(folder).arg("tree"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().map_err(said)?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

/// On another device, which has nothing of the file: each place takes a piece from the server.
pub(super) fn first_byte(plan: &Plan, ours: &Path, office: &Office, found: &mut Found) -> Result<(), String> {
    let alice = &office.fixture.alice;
    let piece = random(usize::try_from(MIB).map_err(said)?)?;
    let mut file = File::create(ours.join("huge")).map_err(said)?;
    for _ in 0..plan.huge / MIB {
        file.write_all(&piece).map_err(said)?;
    }
    file.sync_all().map_err(said)?;
    drop(file);
    office::synced(alice, SAFE);
    let (second, _) = office::enrolled(&office.fixture, false)?;
    office::have(&second, &office.safe.safe.to_string());
    let there = Mounted::new(&second, SAFE);
    let file = File::open(there.path("huge")).map_err(said)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).map_err(said)?;
    for _ in 0..plan.rounds {
        let mut waits = Vec::new();
        let seed = random(PLACES as usize * 8)?;
        for drawn in seed.chunks_exact(8) {
            let drawn = drawn.iter().fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
            let at = drawn % (plan.huge / SMALL_BYTES as u64) * SMALL_BYTES as u64;
            let mut buffer = [0; SMALL_BYTES];
            let begun = Instant::now();
            file.read_exact_at(&mut buffer, at).map_err(said)?;
            waits.push(begun.elapsed().as_secs_f64() * 1e3);
            let from = usize::try_from(at % MIB).map_err(said)?;
            if piece.get(from..from + SMALL_BYTES) != Some(&buffer[..]) {
                return Err("what was read is not what was written".to_owned());
            }
        }
        found.note(PARSEC, "first byte", percentile(&mut waits, 0.5));
    }
    Ok(())
}
