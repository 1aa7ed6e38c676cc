//! The systemd units, as systemd itself judges them: their exposure score, and whether it
//! understands every line.
//!
//! Decides the goals. Needs `systemd-analyze`, which works without a running systemd.

use std::path::Path;
use std::process::{Command, Output};

/// A unit, whose manager runs it, and the highest score it may have.
///
/// The user's unit can't have the rest: a user manager is charged 0.4 for "running as root", which
/// it doesn't, and ignores ProtectProc=, ProcSubset= and IPAddressDeny= (0.5 together), which
/// therefore may not stand there.
pub const GOALS: &[(&str, bool, f64)] =
    &[("parsec-metadata.service", false, 1.2), ("parsecd.service", true, 1.8), (MOUNTS, true, 9.6)];
/// The unit that mounts. What would lower its score takes effect in a user's manager only with
/// privileges taken away, which fusermount3 needs, or in a mount namespace, where nobody would see
/// the folders.
const MOUNTS: &str = "parsec-mounts.service";
/// Units that are only verified.
const SOCKETS: &[&str] = &["parsecd.socket", "parsecd-plugin.socket"];

/// One unit's score.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    /// Name of the unit.
    pub unit: &'static str,
    /// What systemd counts.
    pub score: f64,
    /// What it may be at most.
    pub goal: f64,
}

/// The units as they are, except that the programs they start need not be installed.
///
/// # Panics
/// If the units can't be copied.
#[must_use]
pub fn copied(root: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for unit in GOALS.iter().map(|(unit, ..)| unit).chain(SOCKETS) {
        let text = std::fs::read_to_string(root.join("systemd").join(unit)).unwrap();
        let text =
            text.replace("/usr/bin/parsecd", "/bin/true").replace("/usr/bin/parsec-metadata", "/bin/true");
        let text = text.replace("/usr/bin/parsecctl", "/bin/true");
        std::fs::write(folder.path().join(unit), text).unwrap();
    }
    folder
}

fn analyze(folder: &Path, user: bool, arguments: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new("systemd-analyze");
    // Without a runtime folder the part for users fails at once.
    command.args(arguments).env("LC_ALL", "C.UTF-8").env("XDG_RUNTIME_DIR", folder).current_dir(folder);
    command.args(user.then_some("--user")).output()
}

/// The score of each unit. An error where systemd-analyze is missing.
///
/// # Errors
/// The system's.
///
/// # Panics
/// If systemd-analyze doesn't say a score.
pub fn exposures(folder: &Path) -> std::io::Result<Vec<Exposure>> {
    GOALS
        .iter()
        .map(|&(unit, user, goal)| {
            let path = folder.join(unit);
            let output =
                analyze(folder, user, &["security", "--no-pager", "--offline=true", path.to_str().unwrap()])?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = said.lines().find_map(|line| line.split_once("exposure level for "));
            let score = line.and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            Ok(Exposure { unit, score: score.unwrap_or_else(|| panic!("{unit}: {said}{complaint}")), goal })
        })
        .collect()
}

/// Everything systemd doesn't like about the units.
///
/// # Errors
/// systemd-analyze is missing.
pub fn complaints(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut all = Vec::new();
    for by_user in [false, true] {
        let units = GOALS.iter().filter(|(_, user, _)| *user == by_user).map(|(unit, ..)| *unit);
        let sockets = SOCKETS.iter().copied().filter(|_| by_user);
        let paths: Vec<_> = units.chain(sockets).map(|unit| folder.join(unit)).collect();
        let arguments: Vec<_> =
            ["verify", "--man=no"].into_iter().chain(paths.iter().filter_map(|path| path.to_str())).collect();
        let output = analyze(folder, by_user, &arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // What it says about the machine's other units is not about ours.
        all.extend(said.lines().filter(|line| line.contains("parsec")).map(str::to_owned));
        if !output.status.success() && all.is_empty() {
            all.push(said);
        }
    }
    Ok(all)
}
