//! `cargo xtask fuzz`: each target in a process of its own, with changed inputs, for so many
//! seconds.
//!
//! Decides what a crash and a hang are, and keeps the input of each as a file. Refuses to let a
//! target take more than 512 MiB, or to go on with one that has crashed: what comes after it is no
//! news.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use parsec_tests::fuzz::mutator::{Dice, mutated};
use parsec_tests::fuzz::{TARGETS, Target, corpus, target, write_corpus};
use parsec_tests::installed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

/// Address space of a target's process, in bytes.
const MEMORY_MAX: u64 = 512 * 1024 * 1024;
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(100);
/// Where inputs of faults are kept, below the target folder.
const KEPT: &str = "fuzz";

/// What a run takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only this one.
    #[arg(long)]
    target: Option<String>,
    /// The first input's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Seconds without an execution that are a hang.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
    /// Writes the corpora's first files anew, and feeds nothing.
    #[arg(long)]
    write_corpus: bool,
    /// Feeds the target itself; the other call watches. The file says which input is being fed.
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
}

/// What became of a target.
struct Outcome {
    executions: u64,
    seconds: f64,
    /// `crash` or `hang`, and where its input is.
    fault: Option<(&'static str, PathBuf)>,
}

pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    if options.write_corpus {
        return match write_corpus() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error.to_string()),
        };
    }
    let targets: Vec<&Target> = match &options.target {
        None => TARGETS.iter().collect(),
        Some(name) => match target(name) {
            Some(target) => vec![target],
            None => return failed(&format!("there is no target {name}")),
        },
    };
    if let (Some(file), [target]) = (&options.child, targets.as_slice()) {
        let (target, seconds, seed, file) = (*target, options.seconds, options.seed, file.clone());
        // On a thread of its own, with which the programs end that it started.
        let fed = std::thread::spawn(move || feed(target, seconds, seed, &file));
        return fed.join().unwrap_or(ExitCode::FAILURE);
    }
    let mut well = true;
    for target in targets {
        match watch(root, target, options) {
            Ok(outcome) => {
                well &= outcome.fault.is_none();
                tell(target, &outcome, options);
            }
            Err(error) => return failed(&format!("{}: {error}", target.name)),
        }
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("cargo xtask fuzz: {why}");
    ExitCode::FAILURE
}

fn tell(target: &Target, outcome: &Outcome, options: &Options) {
    let Outcome { executions, seconds, fault } = outcome;
    let (kind, file) = match fault {
        Some((kind, file)) => (Some(kind), Some(file)),
        None => (None, None),
    };
    if options.json {
        println!(
            "{}",
            json!({"target": target.name, "executions": executions, "seconds": seconds, "fault": kind, "input": file})
        );
        return;
    }
    let a_second = *executions as f64 / seconds.max(0.001);
    let end = match fault {
        Some((kind, file)) => format!("{kind}: {}", file.display()),
        None => "nothing found".to_owned(),
    };
    println!("{:<16} {executions:>10} executions {a_second:>9.0} a second  {end}", target.name);
}

/// The child: feeds inputs until its time is over. Before each, the file gets its number and its
/// bytes.
fn feed(target: &Target, seconds: u64, seed: u64, file: &Path) -> ExitCode {
    let note = match File::create(file) {
        Ok(note) => note,
        Err(error) => return failed(&error.to_string()),
    };
    let planted = target.name.starts_with("planted");
    let corpus = if planted { vec![b"bad luck".to_vec()] } else { corpus(target.name) };
    let begun = Instant::now();
    let mut dice = Dice::new(seed);
    let mut number = 0_u64;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let input = mutated(&mut dice, &corpus);
        number += 1;
        let mut line = number.to_be_bytes().to_vec();
        line.extend_from_slice(&(input.len() as u64).to_be_bytes());
        line.extend_from_slice(&input);
        if let Err(error) = note.write_all_at(&line, 0) {
            return failed(&error.to_string());
        }
        (target.feed)(&input);
    }
    ExitCode::SUCCESS
}

/// The number and the bytes of the input that a child was given last.
fn noted(file: &Path) -> (u64, Vec<u8>) {
    let bytes = std::fs::read(file).unwrap_or_default();
    let number = |from: usize| {
        let digits = bytes.get(from..from + 8).and_then(|digits| digits.try_into().ok());
        digits.map_or(0, u64::from_be_bytes)
    };
    let length = usize::try_from(number(8)).unwrap_or(0);
    (number(0), bytes.get(16..16 + length).unwrap_or_default().to_vec())
}

fn watch(root: &Path, target: &Target, options: &Options) -> std::io::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("input");
    let mut child = start(target, options, &file)?;
    let end = child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    let begun = Instant::now();
    let (mut last, mut since) = (0, Instant::now());
    let fault = loop {
        if let Some(status) = child.try_wait()? {
            break ended(status);
        }
        // It says nothing; the pipe's end is its own.
        let _ = poll(&mut [PollFd::new(&end, PollFlags::IN)], Timespec::try_from(LOOK).ok().as_ref());
        let (number, _) = noted(&file);
        if number != last {
            (last, since) = (number, Instant::now());
        }
        if since.elapsed() > Duration::from_secs(options.timeout) {
            // With the programs that it started.
            if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = child.wait();
            break Some("hang");
        }
    };
    let (executions, input) = noted(&file);
    let fault = fault.map(|kind| keep(root, target, kind, &input).map(|file| (kind, file))).transpose()?;
    Ok(Outcome { executions, seconds: begun.elapsed().as_secs_f64(), fault })
}

fn ended(status: ExitStatus) -> Option<&'static str> {
    (!status.success()).then_some("crash")
}

fn start(target: &Target, options: &Options, file: &Path) -> std::io::Result<Child> {
    let this = std::env::current_exe()?;
    // Without the program there is no cap, and a run says so by what it finds: the machine's
    // memory.
    let mut command = if installed("prlimit") && !target.programs {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={MEMORY_MAX}")).arg(this);
        command
    } else {
        Command::new(this)
    };
    command
        .args(["fuzz", "--target", target.name, "--child"])
        .arg(file)
        .args(["--seconds", &options.seconds.to_string(), "--seed", &options.seed.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0);
    command.spawn()
}

/// Keeps an input under its digest.
fn keep(root: &Path, target: &Target, kind: &str, input: &[u8]) -> std::io::Result<PathBuf> {
    let folder = root.join("target").join(KEPT).join(target.name);
    std::fs::create_dir_all(&folder)?;
    let digest = parsec_protocol::public_keys::Hash::of(&[input]).to_string();
    let path = folder.join(format!("{kind}-{}", digest.get(..16).unwrap_or_default()));
    File::create(&path)?.write_all(input)?;
    Ok(path)
}
