//! `cargo xtask sabotage`: one rule taken out at a time, and the test that must notice.
//!
//! Decides, for each file of `tests/sabotage/`, whether the test it names fails once the rule is gone: a test that stays green without its
//! rule guards nothing. Everything happens in a copy below `target/`; a change that doesn't build, or a test that doesn't run, counts as
//! not noticed. Refuses a file whose text does not stand exactly once where it says: it would take out nothing, or more than it names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use parsec_tests::figures::figure;
use serde::Deserialize;

use crate::run_tests::{Counted, cargo, ended};

/// Where the sabotages are, below the workspace.
const FOLDER: &str = "tests/sabotage";
/// What the copy has no need of.
const NOT_COPIED: &[&str] = &["target", ".git"];
/// Packages whose tests start the real programs, which are built first.
const STARTS_PROGRAMS: &str = "parsec-tests";

/// What a run takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only those whose name contains this.
    name: Option<String>,
}

/// One rule, and how to do without it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sabotage {
    #[serde(skip)]
    name: String,
    /// The rule, in a sentence.
    what: String,
    /// Where it stands, below the workspace.
    file: PathBuf,
    /// Its text there.
    from: String,
    /// What stands there instead.
    to: String,
    /// Arguments of `cargo test` that run what must fail.
    test: Vec<String>,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Noticed,
    StayedGreen,
    RanNothing,
    DoesNotBuild,
}

pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    ended("sabotage", judge(root, options.name.as_deref()))
}

fn judge(root: &Path, part: Option<&str>) -> std::io::Result<bool> {
    let chosen: Vec<Sabotage> = read_all(root)?
        .into_iter()
        .filter(|sabotage| part.is_none_or(|part| sabotage.name.contains(part)))
        .collect();
    let base = root.join("target").join("sabotage");
    let tree = base.join("tree");
    copy(root, &tree)?;
    let mut noticed = 0;
    for sabotage in &chosen {
        let path = tree.join(&sabotage.file);
        let whole = fs::read_to_string(&path)?;
        fs::write(&path, sabotage.applied(&whole)?)?;
        let outcome = sabotage.try_in(&tree, &base.join("build"));
        fs::write(&path, whole)?;
        let outcome = outcome?;
        noticed += usize::from(outcome == Outcome::Noticed);
        println!("{outcome:?}: {}: {}", sabotage.name, sabotage.what);
    }
    figure(
        "R1",
        &format!("{noticed} of {} rules, each taken out alone, are missed by their test", chosen.len()),
    );
    Ok(noticed == chosen.len() && noticed > 0)
}

impl Sabotage {
    /// The file's text without the rule.
    fn applied(&self, whole: &str) -> std::io::Result<String> {
        match whole.matches(&self.from).count() {
            1 => Ok(whole.replacen(&self.from, &self.to, 1)),
            found => Err(std::io::Error::other(format!(
                "{}: its text stands {found} times in {}",
                self.name,
                self.file.display()
            ))),
        }
    }

    fn try_in(&self, tree: &Path, build: &Path) -> std::io::Result<Outcome> {
        let in_tree = |arguments: &[String]| {
            let mut command = cargo(tree);
            command.args(arguments).env("CARGO_TARGET_DIR", build).stdin(Stdio::null());
            command
        };
        if self.test.iter().any(|argument| argument == STARTS_PROGRAMS) {
            let bins = ["build", "--quiet", "--workspace", "--bins"].map(str::to_owned);
            if !in_tree(&bins).status()?.success() {
                return Ok(Outcome::DoesNotBuild);
            }
        }
        let mut arguments = vec!["test".to_owned()];
        arguments.extend(self.test.iter().cloned());
        let said = in_tree(&arguments).output()?;
        let mut counted = Counted::default();
        String::from_utf8_lossy(&said.stdout).lines().for_each(|line| counted.take(line));
        Ok(match (counted.passed, counted.failed) {
            (_, 1..) => Outcome::Noticed,
            (1.., 0) => Outcome::StayedGreen,
            (0, 0) if said.status.success() => Outcome::RanNothing,
            (0, 0) => Outcome::DoesNotBuild,
        })
    }
}

/// All sabotages, by name.
fn read_all(root: &Path) -> std::io::Result<Vec<Sabotage>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root.join(FOLDER))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let mut sabotage: Sabotage = toml::from_str(&fs::read_to_string(&path)?)
                .map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?;
            sabotage.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            all.push(sabotage);
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

/// Files that differ are copied, so that what was built for the rest stays good; what is gone here goes there.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let there = from.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true if !there.is_dir() => fs::remove_dir_all(entry.path())?,
            false if !there.is_file() => fs::remove_file(entry.path())?,
            _ => {}
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            if !NOT_COPIED.iter().any(|name| entry.file_name() == *name) {
                copy(&entry.path(), &target)?;
            }
        } else if kind.is_file() && fs::read(entry.path())? != fs::read(&target).unwrap_or_default() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    /// Each would take out exactly what it names, and says which test is to miss it.
    #[test]
    fn every_sabotage_fits_the_code_as_it_is() {
        let all = read_all(root()).unwrap();
        assert!(!all.is_empty());
        for sabotage in all {
            let whole = fs::read_to_string(root().join(&sabotage.file)).unwrap();
            let changed = sabotage.applied(&whole).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(changed, whole, "{} changes nothing", sabotage.name);
            assert!(sabotage.test.len() > 2, "{} names no test", sabotage.name);
        }
    }

    #[test]
    fn a_text_that_stands_twice_or_not_at_all_is_refused() {
        let sabotage = Sabotage {
            name: "n".into(),
            what: "w".into(),
            file: "f".into(),
            from: "rule".into(),
            to: "none".into(),
            test: vec![],
        };
        assert_eq!(sabotage.applied("the rule stands").unwrap(), "the none stands");
        assert!(sabotage.applied("rule and rule").is_err());
        assert!(sabotage.applied("nothing").is_err());
    }

    #[test]
    fn a_copy_follows_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::write(from.join("a/x"), "1").unwrap();
        fs::write(from.join("y"), "2").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("a/x")).unwrap(), b"1");
        fs::remove_dir_all(from.join("a")).unwrap();
        fs::write(from.join("y"), "3").unwrap();
        copy(&from, &to).unwrap();
        assert!(!to.join("a").exists());
        assert_eq!(fs::read(to.join("y")).unwrap(), b"3");
    }
}
