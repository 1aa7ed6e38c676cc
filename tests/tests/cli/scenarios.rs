//! The scenarios of tests/cli: one behaviour of parsecctl a file. What it is given, what it must
//! say, how it must end.
//!
//! Decides how a file is read and judged. Refuses files with a key it doesn't know, and
//! expectations that couldn't fail: what a stream must hold is said for each stream, and every
//! scenario is also held against answers it must not take.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use parsec_tests::ctl::{self, Said};
use parsec_tests::device::{Device, private_folder};
use parsec_tests::fake_daemon::{FakeDaemon, Reply};
use parsec_tests::fixture::{ALICE_PASSWORD, Fixture, FixtureOptions};
use serde::Deserialize;
use serde_json::Value;

/// Fewest scenarios; fewer means that the folder isn't read any more.
const SCENARIOS_MIN: usize = 40;

/// Which daemon answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Daemon {
    /// Alice's, unlocked, with an invitation for bob@acme.example.
    Alice,
    /// One without any device.
    Newcomer,
    /// None: there is no socket.
    None,
    /// None: a socket that was left behind.
    Dead,
    /// Something else answers: HTTP.
    Http,
    /// It answers, in JSON, and not what was asked.
    Confused,
    /// It says that the disk is full.
    FullDisk,
    /// Alice's, locked for each of them.
    Locked,
}

/// What becomes of stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reader {
    /// All is read.
    #[default]
    Patient,
    /// Nobody reads, from the start.
    Gone,
    /// It can't be written: `/dev/full`.
    Full,
}

/// One file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Scenario {
    daemon: Daemon,
    run: Vec<String>,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    reader: Reader,
    /// Files in the folder it is run in, before.
    #[serde(default)]
    given: BTreeMap<String, String>,
    exit: i32,
    /// Patterns, each for some line; none means that the stream is empty.
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// On neither stream.
    #[serde(default)]
    never: Vec<String>,
    /// In the last JSON object, by pointer.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// Lines of stdout, exactly.
    #[serde(default)]
    lines: Option<usize>,
    /// Files left in the folder, with their modes.
    #[serde(default)]
    left: BTreeMap<String, String>,
}

/// What a run came to.
#[derive(Debug, Clone)]
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
    left: BTreeMap<String, String>,
}

fn scenarios() -> Vec<(String, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli");
    let mut all: Vec<(String, Scenario)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (name, read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect();
    // Alice's daemon is locked last; the rest is in the order of names.
    all.sort_by_key(|(name, scenario)| (scenario.daemon, name.clone()));
    all
}

fn read(text: &str) -> Result<Scenario, toml::de::Error> {
    assert!(text.starts_with("# "), "a scenario opens with a sentence on what it shows: {text}");
    toml::from_str(text)
}

/// Whether a line fits a pattern, in which `*` stands for anything.
fn fits(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What is wrong with an outcome.
fn judge(scenario: &Scenario, outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    if outcome.code != scenario.exit {
        wrong.push(format!("exit code {}, not {}", outcome.code, scenario.exit));
    }
    for (name, text, patterns) in
        [("stdout", &outcome.stdout, &scenario.stdout), ("stderr", &outcome.stderr, &scenario.stderr)]
    {
        if patterns.is_empty() && !text.is_empty() {
            wrong.push(format!("{name} is not empty"));
        }
        let missing = patterns.iter().filter(|pattern| !text.lines().any(|line| fits(line, pattern)));
        wrong.extend(missing.map(|pattern| format!("no line of {name} fits {pattern:?}")));
    }
    let said =
        |what: &&String| outcome.stdout.contains(what.as_str()) || outcome.stderr.contains(what.as_str());
    wrong.extend(scenario.never.iter().filter(said).map(|what| format!("{what:?} was said")));
    if let Some(lines) = scenario.lines.filter(|lines| *lines != outcome.stdout.lines().count()) {
        wrong.push(format!("stdout has not {lines} lines"));
    }
    let last = outcome.stdout.lines().last().unwrap_or_default();
    let object: Value = serde_json::from_str(last).unwrap_or_default();
    for (pointer, wanted) in &scenario.json {
        let found = object.pointer(pointer).cloned().unwrap_or_default();
        if found != *wanted {
            wrong.push(format!("{pointer} is {found}, not {wanted}"));
        }
    }
    if outcome.left != scenario.left {
        wrong.push(format!("left are {:?}, not {:?}", outcome.left, scenario.left));
    }
    wrong
}

/// All that scenarios run against.
struct TestBed {
    fixture: Fixture,
    newcomer: Device,
    none: PathBuf,
    dead: PathBuf,
    fakes: [FakeDaemon; 3],
    token: String,
    device: String,
}

impl TestBed {
    fn new() -> Self {
        let fixture = Fixture::found(FixtureOptions::default());
        let invitation = fixture.alice.invite("bob@acme.example").unwrap();
        let newcomer = fixture.device("new");
        let (none, dead) = (fixture.path("none"), fixture.path("dead"));
        private_folder(&none);
        private_folder(&dead.join("parsecd"));
        drop(std::os::unix::net::UnixListener::bind(dead.join("parsecd/parsecd.sock")).unwrap());
        let full = parsec_protocol::control::ProblemKind::DiskFull;
        let problem = serde_json::to_value(parsec_protocol::control::Problem::new(full, "The disk is full"));
        let problem = problem.unwrap();
        let fakes = [
            FakeDaemon::start_in(&fixture.path("http"), |_, _, _| {
                Reply::raw(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())
            }),
            FakeDaemon::start_in(&fixture.path("confused"), |_, _, _| {
                Reply::result(serde_json::json!({"moon": "full"}))
            }),
            FakeDaemon::start_in(&fixture.path("full"), move |_, _, _| Reply::problem_data(problem.clone())),
        ];
        let device = fixture.alice.devices()[0].device.to_string();
        let token = invitation.token.to_string();
        Self { fixture, newcomer, none, dead, fakes, token, device }
    }

    fn runtime(&self, daemon: Daemon) -> PathBuf {
        match daemon {
            Daemon::Alice => self.fixture.alice.runtime(),
            Daemon::Locked => {
                let _done = self.fixture.alice.ctl(&["device", "lock"]).well();
                self.fixture.alice.runtime()
            }
            Daemon::Newcomer => self.newcomer.runtime(),
            Daemon::None => self.none.clone(),
            Daemon::Dead => self.dead.clone(),
            Daemon::Http => self.fakes[0].runtime().to_owned(),
            Daemon::Confused => self.fakes[1].runtime().to_owned(),
            Daemon::FullDisk => self.fakes[2].runtime().to_owned(),
        }
    }

    /// Puts in what only this run knows.
    fn fill(&self, text: &str) -> String {
        text.replace("{token}", &self.token)
            .replace("{token8}", &self.token[..8])
            .replace("{device}", &self.device)
            .replace("{device8}", &self.device[..8])
            .replace("{password}", ALICE_PASSWORD)
    }

    fn filled(&self, mut scenario: Scenario) -> Scenario {
        let fill = |text: &mut String| *text = self.fill(text);
        scenario.run.iter_mut().chain(&mut scenario.stdout).chain(&mut scenario.stderr).for_each(fill);
        scenario.given.values_mut().chain([&mut scenario.stdin]).for_each(fill);
        scenario
    }

    fn play(&self, scenario: &Scenario) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in &scenario.given {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let arguments: Vec<&str> = scenario.run.iter().map(String::as_str).collect();
        let mut command = ctl::command(&self.runtime(scenario.daemon), &arguments);
        command.current_dir(folder.path()).envs(&scenario.environment);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        command.stdout(match scenario.reader {
            Reader::Patient => Stdio::piped(),
            Reader::Full => File::options().write(true).open("/dev/full").unwrap().into(),
            Reader::Gone => {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                writer.into()
            }
        });
        let mut child = command.spawn().unwrap();
        // It may not read its input.
        let _ = child.stdin.take().unwrap().write_all(scenario.stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let mode =
            |path: &Path| format!("{:04o}", std::fs::metadata(path).unwrap().permissions().mode() & 0o7777);
        let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let left = left.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), mode(&path)));
        let left = left.filter(|(name, _)| !scenario.given.contains_key(name)).collect();
        let Said { code, stdout, stderr } = ctl::said(&output);
        Outcome { code, stdout, stderr, left }
    }
}

/// Outcomes that differ from a good one in one respect that the scenario speaks of: it must take
/// none of them.
fn assert_can_fail(name: &str, scenario: &Scenario, outcome: &Outcome) {
    let other = |change: &dyn Fn(&mut Outcome)| {
        let mut outcome = outcome.clone();
        change(&mut outcome);
        outcome
    };
    let mut bad =
        vec![other(&|it| it.code += 1), other(&|it| drop(it.left.insert("forgotten".into(), "0644".into())))];
    bad.push(if scenario.stdout.is_empty() {
        other(&|it| it.stdout.push_str("x\n"))
    } else {
        other(&|it| it.stdout.clear())
    });
    bad.push(if scenario.stderr.is_empty() {
        other(&|it| it.stderr.push_str("x\n"))
    } else {
        other(&|it| it.stderr.clear())
    });
    bad.extend(scenario.never.iter().map(|what| other(&|it| it.stderr.push_str(what))));
    bad.extend(scenario.lines.map(|_| other(&|it| it.stdout.push_str("\n\n"))));
    for outcome in bad {
        assert!(!judge(scenario, &outcome).is_empty(), "{name} takes {outcome:?}");
    }
}

#[test]
fn every_scenario_is_as_it_is_written() {
    let stage = TestBed::new();
    let all = scenarios();
    assert!(all.len() >= SCENARIOS_MIN, "only {} scenarios", all.len());
    let mut failed = Vec::new();
    for (name, scenario) in &all {
        let scenario = stage.filled(scenario.clone());
        let outcome = stage.play(&scenario);
        let wrong = judge(&scenario, &outcome);
        if wrong.is_empty() {
            assert_can_fail(name, &scenario, &outcome);
        } else {
            failed.push(format!(
                "{name}: {}\n--- stdout\n{}--- stderr\n{}",
                wrong.join("; "),
                outcome.stdout,
                outcome.stderr
            ));
        }
    }
    assert!(failed.is_empty(), "{} of {} failed\n{}", failed.len(), all.len(), failed.join("\n"));
    eprintln!("{} scenarios", all.len());
}

/// A noun that nobody tried is one that nobody will miss when it breaks.
#[test]
fn every_noun_has_a_scenario() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man/parsecctl.1"));
    let page = page.unwrap();
    let nouns: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".SS \"")?.trim_end_matches('"').split(' ').next())
        .collect();
    assert!(nouns.len() >= 12, "{nouns:?}");
    let all = scenarios();
    let tried: BTreeSet<&str> = all.iter().flat_map(|(_, it)| it.run.iter().map(String::as_str)).collect();
    let missing: Vec<_> = nouns.difference(&tried).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_scenario_with_a_misspelt_key_is_refused() {
    let good = "# x\ndaemon = \"none\"\nrun = [\"status\"]\nexit = 69\nstdout = []\nstderr = [\"*\"]\n";
    assert!(read(good).is_ok());
    for bad in [
        good.replace("exit", "exitcode"),
        format!("{good}stdoutt = []\n"),
        good.replace("stderr = [\"*\"]\n", ""),
        good.replace("none", "nobody"),
    ] {
        assert!(read(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_wrong_expectation_fails() {
    let scenario = read(
        "# x\ndaemon = \"none\"\nrun = []\nexit = 1\nstdout = [\"a*c\"]\nstderr = []\nnever = [\"secret\"]\n[json]\n\"/a\" = 1\n",
    )
    .unwrap();
    let outcome = |code, stdout: &str, stderr: &str| Outcome {
        code,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        left: BTreeMap::new(),
    };
    assert_eq!(judge(&scenario, &outcome(1, "abc\n{\"a\":1}\n", "")), Vec::<String>::new());
    for bad in [
        outcome(0, "abc\n{\"a\":1}\n", ""),
        outcome(1, "ab\n{\"a\":1}\n", ""),
        outcome(1, "abc\n{\"a\":2}\n", ""),
        outcome(1, "abc\n{\"a\":1}\n", "x"),
        outcome(1, "abc secret c\n{\"a\":1}\n", ""),
    ] {
        assert_eq!(judge(&scenario, &bad).len(), 1, "{bad:?}");
    }
    for (line, pattern, fit) in [
        ("abc", "abc", true),
        ("abc", "ab", false),
        ("abc", "*", true),
        ("abc", "a*", true),
        ("abc", "*c", true),
        ("abc", "*b*", true),
        ("abc", "a*b", false),
        ("aa", "a*a*a", false),
    ] {
        assert_eq!(fits(line, pattern), fit, "{line} {pattern}");
    }
}
