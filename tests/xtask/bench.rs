//! `cargo xtask bench`: figures, each beside that of a reference measured in the same run.
//!
//! Decides how a figure comes about: in the release profile, in rounds that alternate with the reference's, each round's
//! percentile taken by itself, and of those the median; so that what else the machine does hits both. Refuses to judge: the
//! goal is printed beside the figure.

mod direct;
mod echo;
mod socket;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use parsec_tests::installed;
use serde::Serialize;

pub(crate) use echo::serve as echo;

use crate::run_tests::ended;

/// What a run takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The rows whose names begin so; all without it.
    name: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Measures with the programs beside this one; the other call builds them.
    #[arg(long, hide = true)]
    here: bool,
}

/// One row: a figure and its reference.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: &'static str,
    /// Of what.
    pub(crate) unit: &'static str,
    /// The figure.
    pub(crate) value: f64,
    /// What it is held against.
    pub(crate) reference: &'static str,
    /// The figure of that.
    pub(crate) reference_value: f64,
    /// The first divided by the second.
    pub(crate) ratio: f64,
    /// The ratio it should not exceed, if there is one.
    pub(crate) goal: Option<f64>,
    /// Rounds that the median was taken of.
    pub(crate) rounds: usize,
    /// Whether both ran on one core, the same.
    pub(crate) pinned: bool,
}

pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    if options.here {
        return measure(options);
    }
    ended("bench", build_and_measure(root, options))
}

/// Builds all programs, this one too, and lets that one measure.
fn build_and_measure(root: &Path, options: &Options) -> std::io::Result<bool> {
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root).args(arguments).args(["--profile", &options.profile]);
        cargo
    };
    // Progress goes to stderr, so that stdout is the figures alone.
    if !cargo(&["build", "--workspace", "--bins"]).stdout(Stdio::null()).status()?.success() {
        return Ok(false);
    }
    let mut measuring = cargo(&["run", "--quiet", "--package", "parsec-tests", "--bin", "xtask"]);
    measuring.args(["--", "bench", "--here"]).args(options.json.then_some("--json")).args(&options.name);
    Ok(measuring.status()?.success())
}

fn measure(options: &Options) -> ExitCode {
    let wanted = |name: &str| options.name.as_ref().is_none_or(|start| name.starts_with(start.as_str()));
    let mut rows = Vec::new();
    if wanted("socket") {
        rows.extend(socket::rows());
    }
    if wanted("found by mdns") || wanted("ceremony p2p") || wanted("direct") {
        rows.extend(direct::rows().into_iter().filter(|row| wanted(row.name) || wanted("direct")));
    }
    if rows.is_empty() {
        eprintln!("cargo xtask bench: no row has that name");
        return ExitCode::FAILURE;
    }
    for row in rows {
        if options.json {
            println!("{}", serde_json::to_string(&row).unwrap_or_default());
        } else {
            let goal = row.goal.map(|goal| format!(", goal {goal:.1}")).unwrap_or_default();
            println!(
                "{:<18} {:>9.1} {unit}   {} {:.1} {unit}   ratio {:.2}{goal}",
                row.name,
                row.value,
                row.reference,
                row.reference_value,
                row.ratio,
                unit = row.unit
            );
        }
    }
    ExitCode::SUCCESS
}

/// Puts a process on the first core; whether that worked.
fn pin(process: u32) -> bool {
    let taskset = || {
        Command::new("taskset").args(["-acp", "0"]).arg(process.to_string()).stdout(Stdio::null()).status()
    };
    installed("taskset") && taskset().is_ok_and(|status| status.success())
}

/// The value below which this share of them lies.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or_default()
}
