//! Checks whose tests stand in docs/assurance/safes.md: the classes of attack on safes, and what
//! people complain of elsewhere.
//!
//! Decides from a row of that document which tests are run, and which files of tests/sabotage/ take
//! its defences out. Refuses a row that names a test which is not there: the document is the list,
//! and a claim whose test has another name by now would be shown by nothing.

use std::collections::BTreeMap;
use std::path::Path;

/// Where the rows stand, below the workspace.
pub(super) const DOCUMENT: &str = "docs/assurance/safes.md";
/// Cells of a row: its name, what is tried, what holds, tests, sabotages.
const CELLS: usize = 5;
/// For the rest of the path of a test before.
const SAME: &str = "…";

/// A row of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// Its name, such as `T7`.
    pub(super) id: String,
    /// What is tried.
    pub(super) what: String,
    /// Tests, each as a path of a file and, mostly, a function in it.
    pub(super) tests: Vec<Named>,
    /// Names of files of tests/sabotage/.
    pub(super) twins: Vec<String>,
}

/// A test as the document names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// Its file, below the workspace.
    pub(super) file: String,
    /// Its function; all of the file without one.
    pub(super) function: Option<String>,
}

/// All rows of the document that name a check, in order.
pub(super) fn rows(root: &Path) -> std::io::Result<Vec<Claim>> {
    Ok(rows_in(&std::fs::read_to_string(root.join(DOCUMENT))?))
}

fn rows_in(text: &str) -> Vec<Claim> {
    text.lines().filter_map(row).collect()
}

/// The row of a line; nothing where it is none of a check.
fn row(line: &str) -> Option<Claim> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    let [id, what, _, tests, twins]: [&str; CELLS] = cells.try_into().ok()?;
    let (letter, number) = id.split_at_checked(1)?;
    if !letter.starts_with(['T', 'K']) || number.parse::<u8>().is_err() {
        return None;
    }
    let mut file = String::new();
    let mut found = Vec::new();
    for name in in_code(tests) {
        let (path, function) = match name.split_once("::") {
            Some((path, function)) => (path, Some(function.to_owned())),
            None => (name, None),
        };
        if path != SAME {
            file = whole(path)?;
        }
        found.push(Named { file: file.clone(), function });
    }
    let twins = in_code(twins).map(str::to_owned).collect();
    Some(Claim { id: id.to_owned(), what: what.to_owned(), tests: found, twins })
}

/// What stands between grave accents.
fn in_code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// A path of the document, below the workspace.
fn whole(path: &str) -> Option<String> {
    let (letter, rest) = path.split_once('/')?;
    let folder = match letter {
        "T" => "tests/tests",
        "P" => "protocol",
        "S" => "server",
        "D" => "daemon/src",
        "C" => "ctl/src",
        _ => return None,
    };
    Some(format!("{folder}/{rest}"))
}

/// How each of them is run: the names, by the package and target that have them.
pub(super) fn commands(tests: &[Named]) -> BTreeMap<(&'static str, String), Vec<String>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for named in tests {
        if let Some((package, target, name)) = named.place() {
            all.entry((package, target)).or_default().push(name);
        }
    }
    all
}

/// Whether a runner's output names a test of this name, or of the module of this name. Of tests
/// that run one after the other each begins a line.
pub(super) fn has_run(name: &str, output: &str) -> bool {
    let (last, module) = (format!("::{name}"), format!("{name}::"));
    let is_it = |test: &str| {
        name.is_empty()
            || test == name
            || test.ends_with(&last)
            || format!("::{test}").contains(&format!("::{module}"))
    };
    let mut tests = output.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    tests.any(|(test, _)| is_it(test.split(' ').next().unwrap_or_default()))
}

impl Named {
    /// Its package, target and name there.
    fn place(&self) -> Option<(&'static str, String, String)> {
        let stem = self.file.strip_suffix(".rs")?;
        let packages = [
            ("protocol", "parsec-protocol"),
            ("server", "parsec-metadata"),
            ("daemon", "parsecd"),
            ("ctl", "parsecctl"),
            ("tests", "parsec-tests"),
        ];
        let (folder, rest) = stem.split_once('/')?;
        let package = packages.iter().find(|(name, _)| *name == folder)?.1;
        let function = self.function.clone();
        // In a library a function's name is enough: where it stands there may be `tests` around it.
        if let Some(inside) = rest.strip_prefix("src/") {
            let target = if package == "parsecctl" { "bins" } else { "lib" };
            return Some((package, target.to_owned(), function.unwrap_or_else(|| modules(inside))));
        }
        let mut parts = rest.strip_prefix("tests/")?.splitn(2, '/');
        let (target, inside) = (parts.next()?, parts.next().unwrap_or("main"));
        let place = modules(inside);
        let name = match (place.as_str(), function) {
            ("", Some(function)) => function,
            (_, Some(function)) => format!("{place}::{function}"),
            (_, None) => place,
        };
        Some((package, target.to_owned(), name))
    }
}

/// The modules of a file: `safes/rings`, `safes/mod` and `main` are `safes::rings`, `safes` and
/// none.
fn modules(file: &str) -> String {
    let path = file.strip_suffix("/mod").unwrap_or(file);
    if path == "main" { String::new() } else { path.replace('/', "::") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    #[test]
    fn a_row_is_read_as_it_is_written() {
        let line = "| T7 | cut | nothing is let out | `T/hostile/safes/pieces.rs::one`, `…::two`; `P/tests/safe_runs/main.rs` | `a`, `b` |";
        let row = row(line).unwrap();
        let places: Vec<_> = row.tests.iter().map(|named| named.place().unwrap()).collect();
        let place = |package, target: &str, name: &str| (package, target.to_owned(), name.to_owned());
        assert_eq!(
            places,
            [
                place("parsec-tests", "hostile", "safes::pieces::one"),
                place("parsec-tests", "hostile", "safes::pieces::two"),
                place("parsec-protocol", "safe_runs", ""),
            ]
        );
        assert_eq!((row.id.as_str(), row.twins.len()), ("T7", 2));
        let library = Named { file: "daemon/src/safes/brake.rs".into(), function: Some("one".into()) };
        assert_eq!(library.place(), Some(place("parsecd", "lib", "one")));
        let library = Named { file: "protocol/src/safes/rebase/tests/mod.rs".into(), function: None };
        assert_eq!(library.place(), Some(place("parsec-protocol", "lib", "safes::rebase::tests")));
        for other in ["| T7 | cut | nothing |", "| point | a | b | c | d |", "no row"] {
            assert_eq!(super::row(other), None, "{other}");
        }
    }

    /// A name is a part of other names.
    #[test]
    fn a_test_has_run_where_the_runner_says_so() {
        let output = "running 2 tests\ntest a::b::one_more ... ok\ntest a::b::two ... figure T1: 2\nok\n\n\
                      test result: ok. 2 passed; 0 failed\n";
        for there in ["two", "b::two", "a::b::two", "a::b", "b", ""] {
            assert!(has_run(there, output), "{there}");
        }
        for missing in ["one", "a::b::one", "wo", "result", "c"] {
            assert!(!has_run(missing, output), "{missing}");
        }
        assert!(!has_run("", "running 0 tests\n"));
    }

    /// A row whose test or sabotage is called otherwise by now shows nothing.
    #[test]
    fn what_the_document_names_is_there() {
        let rows = rows(root()).unwrap();
        assert!(rows.len() > 50, "{} rows", rows.len());
        for row in rows {
            assert!(!row.tests.is_empty() && !row.twins.is_empty(), "{row:?}");
            for named in &row.tests {
                let text = std::fs::read_to_string(root().join(&named.file)).unwrap_or_default();
                let there = match &named.function {
                    Some(function) => text.contains(&format!("fn {function}(")),
                    None => text.contains("#[test]") || text.contains("mod "),
                };
                assert!(there, "{}: {named:?}", row.id);
                assert!(named.place().is_some(), "{}: {named:?}", row.id);
            }
            for twin in &row.twins {
                let file = root().join("tests/sabotage").join(format!("{twin}.toml"));
                assert!(file.is_file(), "{}: {twin}", row.id);
            }
        }
    }
}
