//! The system around the daemon: its units, the clock, and whether it outlives the session.
//!
//! Decides what systemd's answers mean. Refuses to wait for a bus that hangs, and to call a system
//! without systemd wrong.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parsec_protocol::control::{Check, ProblemKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{failed, ok, skipped, warning};

/// Longest wait for a program: its own limit for a bus that hangs is 25 seconds, too long for four
/// of them.
const PROGRAM_WAIT: Duration = Duration::from_secs(5);
/// Most that is read of what a program says: one word a line.
const PROGRAM_MAX_BYTES: u64 = 4 * 1024;
/// There while systemd runs the system, as sd_booted(3) asks.
const SYSTEMD: &str = "/run/systemd/system";
/// The units that start the daemon.
const UNITS: [&str; 2] = ["parsecd.socket", "parsecd.service"];

/// Variables that name a proxy to other programs; half the world writes them small.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// All of them.
pub(super) fn all() -> Vec<Check> {
    let variables = PROXIES.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
    let mut checks: Vec<_> = judge_proxies(variables).into_iter().collect();
    checks.extend(of_systemd());
    checks
}

/// Proxies in the environment: the daemon does not use them, and who depends on one wonders why no
/// server answers.
fn judge_proxies(variables: impl Iterator<Item = (&'static str, String)>) -> Option<Check> {
    let set: Vec<String> = variables
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} is {}", without_credentials(&value)))
        .collect();
    (!set.is_empty()).then(|| {
        warning(
            "proxy",
            format!("{}; parsecd does not use it, and connects to servers directly", set.join(", ")),
            "If servers can be reached through the proxy alone, ask its administrator to let the server's address through; two devices on one network can do without: `--transport p2p`.",
        )
    })
}

/// A proxy's address; a name and a password in it are nobody's business here.
fn without_credentials(value: &str) -> String {
    let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, rest)| (scheme, rest));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    if scheme.is_empty() { place.to_owned() } else { format!("{scheme}://{place}") }
}

fn of_systemd() -> Vec<Check> {
    if !Path::new(SYSTEMD).is_dir() {
        let found = || "systemd does not run this system".to_owned();
        return vec![skipped("units", found()), skipped("time_sync", found()), skipped("linger", found())];
    }
    let me = rustix::process::getuid().as_raw().to_string();
    let units = |verb| ask("systemctl", &["--user", verb, UNITS[0], UNITS[1]]);
    vec![
        judge_units(units("is-enabled"), units("is-active")),
        judge_time(ask("timedatectl", &["show", "--property=NTPSynchronized", "--value"])),
        judge_linger(ask("loginctl", &["show-user", &me, "--property=Linger", "--value"])),
    ]
}

/// Both answers have a word for each unit.
fn judge_units(enabled: Result<String, String>, active: Result<String, String>) -> Check {
    const NAME: &str = "units";
    let (enabled, active) = match (enabled, active) {
        (Ok(enabled), Ok(active)) => (enabled, active),
        (Err(why), _) | (_, Err(why)) => return skipped(NAME, why),
    };
    let words = |text: &str| {
        let mut words = text.lines().map(|line| line.trim().to_owned());
        Some([words.next()?, words.next()?])
    };
    let (Some(enabled), Some(active)) = (words(&enabled), words(&active)) else {
        return skipped(NAME, "systemctl gave no answer for both units".to_owned());
    };
    let [socket_enabled, service_enabled] = &enabled;
    let [socket_active, service_active] = &active;
    let found = format!(
        "parsecd.socket is {socket_enabled} and {socket_active}, parsecd.service is {service_enabled} and {service_active}"
    );
    if socket_active == "failed" || service_active == "failed" {
        return failed(
            NAME,
            found,
            "Look at `journalctl --user -u parsecd -u parsecd.socket`; then `systemctl --user reset-failed` and start it again.",
            ProblemKind::DaemonUnreachable,
        );
    }
    if socket_enabled == "not-found" && service_enabled == "not-found" {
        return warning(NAME, found, "Install parsecd's units, or start `parsecd` by hand each time.");
    }
    if socket_active == "active" || service_active == "active" {
        return ok(NAME, found);
    }
    warning(
        NAME,
        found,
        "Have the daemon started when it is needed: `systemctl --user enable --now parsecd.socket`.",
    )
}

fn judge_time(answer: Result<String, String>) -> Check {
    const NAME: &str = "time_sync";
    match answer.as_deref().map(str::trim) {
        Ok("yes") => ok(NAME, "this machine's clock is kept right by a time server".to_owned()),
        Ok("no") => warning(
            NAME,
            "no time server keeps this machine's clock right".to_owned(),
            "Servers refuse requests that are five minutes off: `timedatectl set-ntp true`.",
        ),
        Ok(_) => skipped(NAME, "timedatectl gave another answer than yes or no".to_owned()),
        Err(why) => skipped(NAME, why.to_owned()),
    }
}

/// Neither answer is wrong: the daemon ends with the last session, or it doesn't.
fn judge_linger(answer: Result<String, String>) -> Check {
    const NAME: &str = "linger";
    match answer.as_deref().map(str::trim) {
        Ok("yes") => ok(NAME, "on: the daemon goes on when you log out".to_owned()),
        Ok("no") => ok(
            NAME,
            "off: the daemon ends when you log out (`loginctl enable-linger` lets it go on)".to_owned(),
        ),
        Ok(_) => skipped(NAME, "loginctl gave another answer than yes or no".to_owned()),
        Err(why) => skipped(NAME, why.to_owned()),
    }
}

/// What a program says on stdout, however it exits: `is-active` answers "inactive" and 3.
fn ask(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{program} can't be asked: {error}"))?;
    let answer = match child.stdout.take() {
        Some(mut stdout) => read(&mut stdout, program),
        None => Err(format!("{program} has no output")),
    };
    // It has said all there is to hear, or too late; either way it must not stay.
    let _gone = child.kill();
    let _reaped = child.wait();
    match answer {
        Ok(text) if text.trim().is_empty() => Err(format!("{program} does not answer here")),
        answer => answer,
    }
}

/// Reads to the end, not for longer and not more than the bounds.
fn read(stdout: &mut std::process::ChildStdout, program: &str) -> Result<String, String> {
    let until = Instant::now() + PROGRAM_WAIT;
    let mut said = Vec::new();
    while (said.len() as u64) < PROGRAM_MAX_BYTES {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        match poll(&mut [PollFd::new(&*stdout, PollFlags::IN)], left.as_ref()) {
            Ok(0) => return Err(format!("{program} did not answer in {} s", PROGRAM_WAIT.as_secs())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("{program}: {error}")),
        }
        let mut chunk = [0; 512];
        match stdout.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("{program}: {error}")),
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[cfg(test)]
mod tests {
    use parsec_protocol::control::Health;

    use super::*;

    #[test]
    fn the_units_are_judged_by_both_words() {
        let judge = |enabled: &str, active: &str| judge_units(Ok(enabled.into()), Ok(active.into())).health;
        assert_eq!(judge("enabled\ndisabled\n", "active\nactive\n"), Health::Ok);
        assert_eq!(judge("disabled\ndisabled\n", "inactive\nactive\n"), Health::Ok);
        assert_eq!(judge("disabled\ndisabled\n", "inactive\ninactive\n"), Health::Warning);
        assert_eq!(judge("not-found\nnot-found\n", "inactive\ninactive\n"), Health::Warning);
        assert_eq!(judge("enabled\nstatic\n", "active\nfailed\n"), Health::Failed);
        assert_eq!(judge("enabled\n", "active\n"), Health::Skipped);
        assert_eq!(judge_units(Err("no bus".into()), Ok("x\ny".into())).health, Health::Skipped);
    }

    #[test]
    fn proxies_are_named_without_their_passwords() {
        let judge = |value: &str| judge_proxies([("HTTPS_PROXY", value.to_owned())].into_iter());
        assert_eq!(judge(""), None);
        for (value, place) in [
            ("http://proxy.test:3128", "HTTPS_PROXY is http://proxy.test:3128;"),
            ("http://bob:hunter2@proxy.test:3128/", "HTTPS_PROXY is http://proxy.test:3128/;"),
            ("bob:hunt@er2@proxy.test", "HTTPS_PROXY is proxy.test;"),
        ] {
            let check = judge(value).unwrap();
            assert!(check.found.starts_with(place) && !check.found.contains("hunt"), "{}", check.found);
            assert_eq!(check.health, Health::Warning);
        }
    }

    #[test]
    fn a_clock_nobody_keeps_is_a_warning() {
        assert_eq!(judge_time(Ok("yes\n".into())).health, Health::Ok);
        assert_eq!(judge_time(Ok("no\n".into())).health, Health::Warning);
        assert_eq!(judge_time(Ok("perhaps".into())).health, Health::Skipped);
        assert_eq!(judge_linger(Ok("no".into())).health, Health::Ok);
        assert_eq!(judge_linger(Err("x".into())).health, Health::Skipped);
    }

    #[test]
    fn a_program_is_heard_and_one_that_is_missing_is_named() {
        assert_eq!(ask("sh", &["-c", "echo yes; exit 3"]), Ok("yes\n".to_owned()));
        assert!(ask("sh", &["-c", "echo no >&2"]).unwrap_err().contains("does not answer"));
        assert!(ask("no-such-program-here", &[]).unwrap_err().contains("can't be asked"));
        assert!(ask("sh", &["-c", "yes"]).unwrap().len() as u64 <= PROGRAM_MAX_BYTES + 512);
    }
}
