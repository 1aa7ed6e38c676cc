//! `cargo xtask sabotage`: one rule taken out at a time, and the test that must notice.
//!
//! Decides, for each file of `tests/sabotage/`, whether the test it names fails once the rule is
//! gone: a test that stays green without its rule guards nothing. What is shipped has no switch for
//! it: everything happens in a copy below `target/`. A change that doesn't build, or a test that
//! doesn't run, counts as not noticed. Refuses a file whose text does not stand exactly once where
//! it says: it would take out nothing, or more than it names.
//!
//! `--ceremony` takes out the defences of the ceremony instead, one file of
//! `tests/sabotage/ceremony/` each, and looks at all of its checks ([`ceremony`]).

mod ceremony;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use parsec_tests::metrics::figure;
use serde::Deserialize;
use serde::de::DeserializeOwned;

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
    /// The defences of the ceremony: exactly the checks that are named must fail without each.
    #[arg(long)]
    ceremony: bool,
}

/// A text and what stands in its place.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// The file, below the workspace.
    file: PathBuf,
    /// Its text there, exactly once.
    from: String,
    /// The text that stands there instead.
    to: String,
}

/// The workspace once more, where it can be changed.
struct Copy {
    tree: PathBuf,
    /// What is built there, kept from run to run.
    build: PathBuf,
}

/// One rule, and how to do without it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sabotage {
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
    let part = options.name.as_deref();
    ended("sabotage", if options.ceremony { ceremony::judge(root, part) } else { judge(root, part) })
}

fn judge(root: &Path, part: Option<&str>) -> std::io::Result<bool> {
    let chosen: BTreeMap<String, Sabotage> = read_all(&root.join(FOLDER), part)?;
    let copy = Copy::of(root)?;
    let mut noticed = 0;
    for (name, sabotage) in &chosen {
        let outcome = copy.changed(name, &[sabotage.change()], || sabotage.try_in(&copy))?;
        noticed += usize::from(outcome == Outcome::Noticed);
        println!("{outcome:?}: {name}: {}", sabotage.what);
    }
    figure(
        "R1",
        &format!("{noticed} of {} rules, each taken out alone, are missed by their test", chosen.len()),
    );
    Ok(noticed == chosen.len() && noticed > 0)
}

impl Change {
    /// The file's text with the change.
    fn applied(&self, name: &str, whole: &str) -> std::io::Result<String> {
        match whole.matches(&self.from).count() {
            1 => Ok(whole.replacen(&self.from, &self.to, 1)),
            found => Err(std::io::Error::other(format!(
                "{name}: its text stands {found} times in {}",
                self.file.display()
            ))),
        }
    }
}

impl Copy {
    fn of(root: &Path) -> std::io::Result<Self> {
        let base = root.join("target").join("sabotage");
        let copied = Self { tree: base.join("tree"), build: base.join("build") };
        copy(root, &copied.tree)?;
        Ok(copied)
    }

    /// Does something while the changes are made, then takes them back.
    fn changed<T>(
        &self,
        name: &str,
        changes: &[Change],
        work: impl FnOnce() -> std::io::Result<T>,
    ) -> std::io::Result<T> {
        let mut before = BTreeMap::new();
        let mut after = BTreeMap::new();
        for change in changes {
            let path = self.tree.join(&change.file);
            if !before.contains_key(&path) {
                before.insert(path.clone(), fs::read_to_string(&path)?);
            }
            let whole = after.get(&path).or_else(|| before.get(&path)).cloned().unwrap_or_default();
            after.insert(path, change.applied(name, &whole)?);
        }
        for (path, text) in &after {
            fs::write(path, text)?;
        }
        let outcome = work();
        for (path, text) in &before {
            fs::write(path, text)?;
        }
        outcome
    }

    /// `cargo` in the copy.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo(&self.tree);
        command.args(arguments).env("CARGO_TARGET_DIR", &self.build).stdin(Stdio::null());
        command
    }
}

impl Sabotage {
    fn change(&self) -> Change {
        Change { file: self.file.clone(), from: self.from.clone(), to: self.to.clone() }
    }

    fn try_in(&self, copy: &Copy) -> std::io::Result<Outcome> {
        if self.test.iter().any(|argument| argument == STARTS_PROGRAMS)
            && !copy.cargo(&["build", "--quiet", "--workspace", "--bins"]).status()?.success()
        {
            return Ok(Outcome::DoesNotBuild);
        }
        let said = copy.cargo(&["test"]).args(&self.test).output()?;
        let mut counted = Counted::default();
        String::from_utf8_lossy(&said.stdout).lines().for_each(|line| counted.take(line));
        Ok(match (counted.passed, counted.failed) {
            (_, 1..) => Outcome::Noticed,
            (1.., 0) => Outcome::StayedGreen,
            (0, 0) if said.status.success() => Outcome::RanNothing,
            (0, 0) => {
                // What the compiler says of it: somebody has to mend the file.
                eprint!("{}", String::from_utf8_lossy(&said.stderr));
                Outcome::DoesNotBuild
            }
        })
    }
}

/// What a folder's files say, by their names: all, or those whose name contains `part`.
fn read_all<T: DeserializeOwned>(folder: &Path, part: Option<&str>) -> std::io::Result<BTreeMap<String, T>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = part.is_none_or(|part| name.contains(part));
        if wanted && path.extension().is_some_and(|extension| extension == "toml") {
            let said = toml::from_str(&fs::read_to_string(&path)?)
                .map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?;
            all.insert(name, said);
        }
    }
    Ok(all)
}

/// Files that differ are copied, so that what was built for the rest stays good; what is gone here
/// goes there.
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
        let all: BTreeMap<String, Sabotage> = read_all(&root().join(FOLDER), None).unwrap();
        assert!(!all.is_empty());
        for (name, sabotage) in all {
            let whole = fs::read_to_string(root().join(&sabotage.file)).unwrap();
            let changed = sabotage.change().applied(&name, &whole).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(changed, whole, "{name} changes nothing");
            assert!(sabotage.test.len() > 2, "{name} names no test");
        }
    }

    fn change(file: &str, from: &str, to: &str) -> Change {
        Change { file: file.into(), from: from.into(), to: to.into() }
    }

    #[test]
    fn a_text_that_stands_twice_or_not_at_all_is_refused() {
        let rule = change("f", "rule", "none");
        assert_eq!(rule.applied("n", "the rule stands").unwrap(), "the none stands");
        assert!(rule.applied("n", "rule and rule").is_err());
        assert!(rule.applied("n", "nothing").is_err());
    }

    #[test]
    fn changes_are_made_together_and_taken_back_whatever_happens() {
        let folder = tempfile::tempdir().unwrap();
        let copy = Copy { tree: folder.path().to_owned(), build: folder.path().join("build") };
        let file = folder.path().join("f");
        fs::write(&file, "one two").unwrap();
        let read = || fs::read_to_string(&file);
        let both = [change("f", "one", "1"), change("f", "two", "2")];
        assert_eq!(copy.changed("n", &both, read).unwrap(), "1 2");
        assert_eq!(read().unwrap(), "one two");
        let failed = copy.changed("n", &both, || Err::<(), _>(std::io::Error::other("no")));
        assert!(failed.is_err() && read().unwrap() == "one two");
        // One that does not fit makes none of them.
        let bad = [change("f", "one", "1"), change("f", "three", "3")];
        assert!(copy.changed("n", &bad, read).is_err() && read().unwrap() == "one two");
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
