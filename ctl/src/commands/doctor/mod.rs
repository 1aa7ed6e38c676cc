//! `doctor`: looks for what is wrong, from the folder of the socket to the servers' clocks.
//!
//! Decides which checks this program makes itself and which it leaves to the daemon, and with which
//! exit code it ends. Refuses to change anything, to hang with a daemon that hangs, and to stop at
//! the first thing that is wrong.

mod paths;
mod system;

use std::time::Duration;

use parsec_protocol::control::{
    API_VERSION, Check, DoctorResult, Empty, Health, ProblemKind, StatusResult, method,
};

use super::Context;
use crate::client::Connection;
use crate::failure::{Failure, Report};
use crate::schema;
use crate::text::escaped;

/// Longest wait for any answer of the daemon: it asks the servers itself, and gives each of them
/// five seconds.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Exit codes, the worst first: interference, a bug, bad data, the disk, settings, rights, then
/// what passes by itself.
const WORST_FIRST: [u8; 9] = [76, 70, 65, 74, 78, 77, 68, 69, 75];

pub(super) fn run(context: &Context<'_>) -> Result<(), Failure> {
    let mut checks = Vec::new();
    if context.global.socket.is_none() {
        checks.push(paths::runtime_folder(std::env::var_os("XDG_RUNTIME_DIR").as_deref()));
    }
    let socket = context.socket();
    if let Ok(path) = &socket {
        checks.extend(paths::socket(path));
    }
    let reached = socket.and_then(|path| Connection::open(&path)).and_then(|mut daemon| {
        // Hello first, with the usual short wait: a daemon that is stopped shall not take the long
        // one.
        daemon.greet()?;
        daemon.timeout(TIMEOUT)?;
        let status: StatusResult = daemon.call(method::STATUS, &Empty {})?;
        Ok((daemon, status))
    });
    match reached {
        Ok((mut daemon, status)) => {
            checks.extend(about_daemon(&status));
            checks.extend(by_daemon(&mut daemon));
        }
        Err(failure) => {
            checks.push(daemon_failed(failure));
            checks.push(skipped("keys", "only the daemon can look at them".to_owned()));
            checks.push(skipped("server", "only the daemon can ask it".to_owned()));
        }
    }
    if !checks.iter().any(|check| check.name == "disk_space") {
        checks.push(paths::disk_space());
    }
    checks.extend(system::all());

    let result = DoctorResult { checks };
    context.output.result(schema::DOCTOR, &result, || described(&result.checks))?;
    let worst = worst(&result.checks);
    let count = |health| result.checks.iter().filter(|check| check.health == health).count();
    let (failed, warnings) = (count(Health::Failed), count(Health::Warning));
    context.output.say(&match (failed, warnings) {
        (0, 0) => "\nNothing is wrong.".to_owned(),
        (0, _) => format!("\nNothing failed; {warnings} warning(s)."),
        _ => format!("\n{failed} check(s) failed; {warnings} warning(s)."),
    });
    if worst == 0 { Ok(()) } else { Err(Failure::Told(worst)) }
}

/// The daemon answers: is it the one that belongs to this program, and does it have something to
/// say?
fn about_daemon(status: &StatusResult) -> Vec<Check> {
    let mut checks =
        vec![ok("daemon", format!("parsecd {} answers (process {})", status.version, status.pid))];
    checks.push(if status.version == env!("CARGO_PKG_VERSION") {
        ok("version", format!("daemon and parsecctl are both {}", status.version))
    } else {
        warning(
            "version",
            format!(
                "the daemon is {} (interface {}), parsecctl is {} (interface {API_VERSION})",
                status.version,
                status.api_version,
                env!("CARGO_PKG_VERSION")
            ),
            "Update the older one; after an update restart the daemon: `systemctl --user restart parsecd`.",
        )
    });
    checks.extend(status.alarms.iter().map(|alarm| Check {
        name: "alarm".to_owned(),
        subject: Some(alarm.organisation.to_string()),
        health: Health::Failed,
        found: alarm.problem.message.clone(),
        remedy: Some(alarm.problem.hint.clone()),
        exit_code: alarm.problem.exit_code,
    }));
    checks
}

/// What the daemon finds when it examines itself.
fn by_daemon(daemon: &mut Connection) -> Vec<Check> {
    match daemon.call::<_, DoctorResult>(method::DOCTOR, &Empty {}) {
        Ok(result) => result.checks,
        Err(Failure::Report(report)) if report.is(ProblemKind::UnknownMethod) => {
            vec![skipped("keys", "the daemon is too old to examine itself".to_owned())]
        }
        Err(failure) => vec![daemon_failed(failure)],
    }
}

/// The daemon can't be asked.
fn daemon_failed(failure: Failure) -> Check {
    let exit_code = failure.exit_code();
    let (found, remedy) = match failure {
        Failure::Report(Report { message, hint, .. }) => (message, hint),
        Failure::Interrupted(why) | Failure::OutputFailed(why) => (why, String::new()),
        Failure::OutputClosed | Failure::Unshown(_) | Failure::Told(_) => (String::new(), String::new()),
    };
    Check {
        name: "daemon".to_owned(),
        subject: None,
        health: Health::Failed,
        found,
        remedy: Some(remedy).filter(|remedy| !remedy.is_empty()),
        exit_code,
    }
}

fn ok(name: &str, found: String) -> Check {
    Check { name: name.to_owned(), subject: None, health: Health::Ok, found, remedy: None, exit_code: 0 }
}

fn skipped(name: &str, found: String) -> Check {
    Check { health: Health::Skipped, ..ok(name, found) }
}

fn warning(name: &str, found: String, remedy: &str) -> Check {
    Check { health: Health::Warning, remedy: Some(remedy.to_owned()), ..ok(name, found) }
}

fn failed(name: &str, found: String, remedy: &str, kind: ProblemKind) -> Check {
    Check { health: Health::Failed, exit_code: kind.exit_code(), ..warning(name, found, remedy) }
}

/// With what to end: 0 if nothing failed.
fn worst(checks: &[Check]) -> u8 {
    let rank = |code: u8| WORST_FIRST.iter().position(|it| *it == code).unwrap_or(WORST_FIRST.len());
    let failed = checks.iter().filter(|check| check.health == Health::Failed);
    // A daemon that sent 0 would turn a failure into a success.
    let codes = failed.map(|check| match check.exit_code {
        0 => ProblemKind::Internal.exit_code(),
        code => code,
    });
    codes.min_by_key(|code| rank(*code)).unwrap_or(0)
}

/// A line for each check, and one more with what to do.
fn described(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for check in checks {
        let health = match check.health {
            Health::Ok => "ok",
            Health::Skipped => "skipped",
            Health::Warning => "warning",
            Health::Failed => "FAILED",
        };
        let subject = check.subject.as_ref().map(|it| format!("{}: ", escaped(it))).unwrap_or_default();
        lines.push(format!(
            "{health:7}  {:width$}  {subject}{}",
            escaped(&check.name),
            escaped(&check.found)
        ));
        if let Some(remedy) = &check.remedy {
            lines.push(format!("{:7}  {:width$}  What to do: {}", "", "", escaped(remedy)));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_code(exit_code: u8) -> Check {
        Check { health: Health::Failed, exit_code, ..ok("x", String::new()) }
    }

    #[test]
    fn it_ends_with_the_worst_of_what_failed() {
        assert_eq!(worst(&[]), 0);
        assert_eq!(worst(&[ok("x", String::new()), warning("x", String::new(), "y")]), 0);
        assert_eq!(worst(&[Check { health: Health::Skipped, ..with_code(76) }]), 0);
        assert_eq!(worst(&[with_code(75), with_code(69)]), 69);
        assert_eq!(worst(&[with_code(69), with_code(76), with_code(78)]), 76);
        assert_eq!(worst(&[with_code(75), with_code(99)]), 75);
        assert_eq!(worst(&[with_code(99)]), 99);
        assert_eq!(worst(&[with_code(0)]), 70, "a failure is never a success");
    }

    #[test]
    fn every_exit_code_of_a_problem_has_a_rank() {
        for kind in ProblemKind::ALL {
            // Wrong usage and names that exist, or don't, are no findings of an examination.
            let known = WORST_FIRST.contains(&kind.exit_code()) || matches!(kind.exit_code(), 64 | 66 | 73);
            assert!(known, "{}", kind.name());
        }
    }

    #[test]
    fn what_is_found_stays_on_its_line() {
        let hostile = Check { subject: Some("a\nb".into()), ..warning("x", "c\u{1b}[2J\nd".into(), "e\nf") };
        let text = described(&[hostile]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
