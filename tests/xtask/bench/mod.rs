//! `cargo xtask bench`: figures, each beside that of a reference measured in the same run.
//!
//! Decides how a figure comes about: in the release profile, in rounds that alternate with the
//! reference's, each round's percentile taken by itself, and of those the median; so that what else
//! the machine does hits both. Refuses to fail a run for a figure: the goal is printed beside it,
//! met or missed, and what the machine was doing meanwhile it can't know.

mod echo;
mod flood;
mod load;
mod machines;
mod mount;
mod p2p;
mod safes;
mod socket;
mod unlock;
mod verification;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use parsec_tests::installed;
use serde::Serialize;

pub(crate) use echo::serve as echo;

use crate::run_tests::ended;

/// What a run takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The figures whose names begin so; all but those of the safes without it. `safes` measures
    /// those, `mount` a mounted safe, both beside other programs.
    name: Option<String>,
    /// Of safes and mount, the rows whose names begin so.
    #[arg(default_value = "")]
    row: String,
    /// Of safes and mount, by what the work is divided: a run of the whole takes half an hour.
    #[arg(long, default_value_t = 1)]
    part: u64,
    /// Of safes and mount, how often a row is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Of safes and mount, with everybody's files on the disk.
    #[arg(long)]
    disk: bool,
    /// Of safes and mount, without the other programs.
    #[arg(long)]
    alone: bool,
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

/// One figure, with its reference.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: &'static str,
    /// The unit of both figures.
    pub(crate) unit: &'static str,
    /// The figure.
    pub(crate) value: f64,
    /// What it is held against.
    pub(crate) reference: &'static str,
    /// The figure of that.
    pub(crate) reference_value: f64,
    /// The first divided by the second.
    pub(crate) ratio: f64,
    /// What it should be, if anything.
    pub(crate) goal: Option<Goal>,
    /// Rounds that the median was taken of.
    pub(crate) rounds: usize,
    /// Whether both ran on one core, the same.
    pub(crate) pinned: bool,
}

/// A figure to reach.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Goal {
    /// Of the `value`, or of the `ratio`.
    of: &'static str,
    /// `most` or `least`.
    at: &'static str,
    /// The figure.
    figure: f64,
}

impl Goal {
    /// No more than so many times the reference.
    pub(crate) const fn ratio_at_most(figure: f64) -> Self {
        Self { of: "ratio", at: "most", figure }
    }

    /// No more than this.
    pub(crate) const fn value_at_most(figure: f64) -> Self {
        Self { of: "value", at: "most", figure }
    }

    /// No less than this.
    pub(crate) const fn value_at_least(figure: f64) -> Self {
        Self { of: "value", at: "least", figure }
    }

    /// Whether a figure, or a ratio, reaches it.
    fn is_met_by(self, figure: f64) -> bool {
        if self.at == "most" { figure <= self.figure } else { figure >= self.figure }
    }

    /// As it stands in a table.
    fn in_words(self) -> String {
        let sign = if self.at == "most" { '≤' } else { '≥' };
        let what = if self.of == "ratio" { "ratio " } else { "" };
        format!("{what}{sign} {}", short(self.figure))
    }
}

impl Figure {
    /// A figure of one round beside that of its reference, with no goal.
    fn beside(
        name: &'static str,
        unit: &'static str,
        value: f64,
        reference: &'static str,
        reference_value: f64,
    ) -> Self {
        let ratio = value / reference_value;
        Self { name, unit, value, reference, reference_value, ratio, goal: None, rounds: 1, pinned: false }
    }

    /// Whether the goal is met; none without one.
    fn met(&self) -> Option<bool> {
        let goal = self.goal?;
        Some(goal.is_met_by(if goal.of == "ratio" { self.ratio } else { self.value }))
    }

    /// As a line of the table.
    fn line(&self) -> String {
        let goal = self
            .goal
            .zip(self.met())
            .map(|(goal, met)| format!("{} {}", goal.in_words(), if met { "met" } else { "MISSED" }));
        format!(
            "{:<18} {:>9} {:<4} {:>9} {:<30} {:>7}  {}",
            self.name,
            short(self.value),
            self.unit,
            short(self.reference_value),
            self.reference,
            short(self.ratio),
            goal.unwrap_or_default()
        )
        .trim_end()
        .to_owned()
    }
}

/// Three digits that say something.
fn short(figure: f64) -> String {
    match figure.abs() {
        large if large >= 100.0 => format!("{figure:.0}"),
        middle if middle >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
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
    measuring.args(["--", "bench", "--here"]).args(options.json.then_some("--json"));
    measuring.args(options.disk.then_some("--disk")).args(options.alone.then_some("--alone"));
    let [part, rounds] = [options.part.to_string(), options.rounds.to_string()];
    measuring.args(["--part", &part, "--rounds", &rounds]).args(&options.name);
    measuring.args((!options.row.is_empty()).then_some(&options.row));
    Ok(measuring.status()?.success())
}

/// Figures that are measured together: their names, and how.
type Source = (&'static [&'static str], fn() -> Vec<Figure>);

fn measure(options: &Options) -> ExitCode {
    if options.name.as_deref() == Some("safes") {
        let Options { row, json, part, rounds, disk, alone, .. } = options;
        let [json, disk, alone] = [*json, *disk, *alone];
        return safes::run(&safes::Asked { rows: row, json, part: *part, rounds: *rounds, disk, alone });
    }
    if options.name.as_deref() == Some("mount") {
        let Options { row, json, part, rounds, disk, alone, .. } = options;
        let [json, disk, alone] = [*json, *disk, *alone];
        return mount::run(&mount::Asked { rows: row, json, part: *part, rounds: *rounds, disk, alone });
    }
    let wanted = |name: &str| options.name.as_ref().is_none_or(|start| name.starts_with(start.as_str()));
    let mut figures = Vec::new();
    if wanted("socket") {
        figures.extend(socket::figures());
    }
    let sources: [Source; 5] = [
        (&["ceremony machines", "ceremony work"], machines::figures),
        (&["verify log", "verify log by 2"], verification::figures),
        (&["unlock"], unlock::figures),
        (&["call in a flood"], flood::figures),
        (
            &[
                "ceremonies 8",
                "server cpu 8",
                "ceremonies 500",
                "server cpu 500",
                "server idle",
                "waiting ceremony",
            ],
            load::figures,
        ),
    ];
    for (names, source) in sources {
        if names.iter().any(|name| wanted(name)) {
            figures.extend(source().into_iter().filter(|figure| wanted(figure.name)));
        }
    }
    if wanted("found by mdns") || wanted("ceremony p2p") || wanted("p2p") {
        figures.extend(p2p::figures().into_iter().filter(|figure| wanted(figure.name) || wanted("p2p")));
    }
    if figures.is_empty() {
        eprintln!("cargo xtask bench: no figure has that name");
        return ExitCode::FAILURE;
    }
    if !options.json {
        println!(
            "{:<18} {:>9} {:<4} {:>9} {:<30} {:>7}  GOAL",
            "NAME", "FIGURE", "", "REFERENCE", "", "RATIO"
        );
    }
    for figure in figures {
        if options.json {
            let mut line = serde_json::to_value(&figure).unwrap_or_default();
            line.as_object_mut().map(|fields| fields.insert("met".to_owned(), figure.met().into()));
            println!("{line}");
        } else {
            println!("{}", figure.line());
        }
    }
    ExitCode::SUCCESS
}

/// A measurement that can't be made says why.
fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Puts a process on these cores (as taskset(1) lists them); whether that worked.
fn pin(process: u32, cores: &str) -> bool {
    let taskset = || {
        Command::new("taskset").args(["-acp", cores]).arg(process.to_string()).stdout(Stdio::null()).status()
    };
    installed("taskset") && taskset().is_ok_and(|status| status.success())
}

/// Keeps this process on the first core for as long as it lives; whatever is measured afterwards,
/// and the programs that are started for it, have all those again that there were.
struct Pinned {
    before: Option<String>,
}

impl Pinned {
    fn here() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let before = cores.map(|cores| cores.trim().to_owned());
        // Without a way back it stays where it is.
        Self { before: before.filter(|_| pin(std::process::id(), "0")) }
    }

    const fn worked(&self) -> bool {
        self.before.is_some()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.before
            && !pin(std::process::id(), before)
        {
            eprintln!(
                "cargo xtask bench: what follows is measured on one core: taskset did not give the others back"
            );
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64, reference_value: f64, goal: Option<Goal>) -> Figure {
        Figure { goal, ..Figure::beside("x", "ms", value, "y", reference_value) }
    }

    #[test]
    fn goals_are_met_or_missed() {
        assert_eq!(figure(2.0, 1.0, None).met(), None);
        assert_eq!(figure(2.0, 1.0, Some(Goal::ratio_at_most(2.0))).met(), Some(true));
        assert_eq!(figure(2.1, 1.0, Some(Goal::ratio_at_most(2.0))).met(), Some(false));
        assert_eq!(figure(4.0, 1.0, Some(Goal::value_at_most(4.0))).met(), Some(true));
        assert_eq!(figure(4.1, 9.0, Some(Goal::value_at_most(4.0))).met(), Some(false));
        assert_eq!(figure(999.0, 1.0, Some(Goal::value_at_least(1_000.0))).met(), Some(false));
        let line = figure(999.0, 1.0, Some(Goal::value_at_least(1_000.0))).line();
        assert!(line.contains("999 ms") && line.ends_with("≥ 1000 MISSED"), "{line}");
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!([0.0, 0.5, 1.0].map(|share| percentile(&mut values, share)), [1.0, 3.0, 5.0]);
        assert_eq!(percentile(&mut [], 0.5), 0.0);
    }
}
