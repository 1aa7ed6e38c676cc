//! `doctor.run`: the daemon examines itself, its devices and the way to their servers.
//!
//! Decides what is wrong and what to do about it. Refuses to change anything, to need a password,
//! to wait for a server longer than a person does, and to keep a device's keys in memory for the
//! examination's sake: locking ends it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::chain::organisation::certificate::DeviceKind;
use parsec_protocol::chain::organisation::log::DeviceRecord;
use parsec_protocol::control::{Check, Health, Lockout, Problem, ProblemKind, Registration};
use parsec_protocol::ids::{OrganisationId, Timestamp};
use parsec_protocol::limits::REQUEST_TIME_SKEW_SECONDS;
use parsec_protocol::relay::{ErrorCode, Least, path};
use reqwest::Method;
use rustix::process::{DumpableBehavior, Resource};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::os::blocking;
use crate::recovery;
use crate::session::Session;
use crate::session::alarms;
use crate::session::lockouts::lockouts;
use crate::store::{DeviceSummary, Devices, SafeSize, Store};
use crate::transport::TransportError;
use crate::transport::http::{Call, Client, Server};

/// Longest wait for a server: who examines a machine sits before it.
const SERVER_WAIT: Duration = Duration::from_secs(5);
/// A clock that is this far off still works, and something is wrong with it. A time server keeps it
/// within a second; the answer itself may take [`SERVER_WAIT`].
const CLOCK_NOTICE_SECONDS: u64 = 60;
/// Less room than this and the next thing to be kept may fail: a store with some thousand
/// certificates and its log.
const SPACE_LOW_BYTES: u64 = 64 * 1024 * 1024;
/// Less than this is no room for the smallest change: SQLite's log grows in pieces of up to 4 MiB.
const SPACE_GONE_BYTES: u64 = 4 * 1024 * 1024;
/// Most that is read of the list of swap areas: a line each, and nobody has hundreds.
const SWAPS_MAX_BYTES: u64 = 16 * 1024;

/// What a session's own task finds.
pub type Findings = oneshot::Receiver<Vec<Check>>;

/// Examines an unlocked device in a task of its own, so that locking it waits for no examination.
pub fn ask_session(session: &Arc<Session>) -> Findings {
    let (tell, findings) = oneshot::channel();
    let inner = Arc::clone(session);
    session.run(async move {
        let _ = tell.send(opened(inner).await);
    });
    findings
}

/// Examines everything, in tasks; returns when the slowest is done.
pub async fn examine(
    devices: Arc<Devices>,
    client: Client,
    known: Vec<DeviceSummary>,
    unlocked: Vec<Findings>,
) -> Vec<Check> {
    let mut checks = vec![core_dumps(), swap()];
    let looked = blocking(move || {
        Ok::<_, Problem>((
            devices.free_bytes().map_err(Problem::from),
            devices.inspect().map_err(Problem::from),
        ))
    });
    match looked.await {
        Ok((free, folders)) => {
            checks.push(free.map_or_else(|problem| failed("disk_space", None, problem), disk_space));
            match folders {
                Ok(folders) => checks.extend(folders.into_iter().map(|folder| {
                    let name = Some(folder.name);
                    match folder.result {
                        Ok(()) => ok("key_file", name, "there, yours alone, and as it was written"),
                        Err(error) => failed("key_file", name, error.into()),
                    }
                })),
                Err(problem) => checks.push(failed("key_file", None, problem)),
            }
        }
        Err(problem) => checks.push(failed("key_file", None, problem)),
    }
    checks.extend(known.iter().map(registration));
    for findings in unlocked {
        // A device that was locked meanwhile is one that can't be looked into.
        checks.extend(findings.await.unwrap_or_default());
    }
    let looked_into = |device: &DeviceSummary| {
        checks.iter().any(|check| check.name == "store" && check.subject == Some(named(device)))
    };
    let locked: Vec<Check> = known
        .iter()
        .filter(|device| !looked_into(device))
        .map(|device| Check {
            health: Health::Skipped,
            ..ok("store", Some(named(device)), "locked: only its password opens the store")
        })
        .collect();
    checks.extend(locked);

    // One organisation of each server is enough to ask it.
    let addresses: BTreeMap<String, OrganisationId> =
        known.into_iter().map(|device| (device.server, device.organisation)).collect();
    let mut servers = JoinSet::new();
    for (address, organisation) in addresses {
        servers.spawn(ask_server(client.clone(), address, organisation));
    }
    let mut found = servers.join_all().await;
    found.sort_by(|a, b| a.first().map(|it| &it.subject).cmp(&b.first().map(|it| &it.subject)));
    checks.extend(found.into_iter().flatten());
    checks
}

/// As a device's folder is called.
fn named(device: &DeviceSummary) -> String {
    format!("{}.{}", device.organisation, device.device)
}

fn ok(name: &str, subject: Option<String>, found: &str) -> Check {
    Check {
        name: name.to_owned(),
        subject,
        health: Health::Ok,
        found: found.to_owned(),
        remedy: None,
        exit_code: 0,
    }
}

fn warning(name: &str, subject: Option<String>, found: &str, remedy: &str) -> Check {
    Check { health: Health::Warning, remedy: Some(remedy.to_owned()), ..ok(name, subject, found) }
}

fn failed(name: &str, subject: Option<String>, problem: Problem) -> Check {
    Check {
        health: Health::Failed,
        remedy: Some(problem.hint),
        exit_code: problem.exit_code,
        ..ok(name, subject, &problem.message)
    }
}

/// Whether a crash could write keys to a file, or another program read them.
fn core_dumps() -> Check {
    const NAME: &str = "core_dumps";
    let core = rustix::process::getrlimit(Resource::Core).current;
    let closed = matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    if core == Some(0) && closed {
        return ok(NAME, None, "forbidden; other programs can't read the daemon's memory");
    }
    failed(
        NAME,
        None,
        Problem::new(ProblemKind::Internal, "The daemon's memory is open to core files or other programs."),
    )
}

/// Whether keys in memory could be written to a disk.
fn swap() -> Check {
    const NAME: &str = "swap";
    let mut list = String::new();
    let read = std::fs::File::open("/proc/swaps")
        .and_then(|file| file.take(SWAPS_MAX_BYTES).read_to_string(&mut list));
    if read.is_err() {
        return Check { health: Health::Skipped, ..ok(NAME, None, "the list of swap areas can't be read") };
    }
    let lockable = rustix::process::getrlimit(Resource::Memlock).current;
    judge_swap(&list, lockable)
}

fn judge_swap(list: &str, lockable: Option<u64>) -> Check {
    const NAME: &str = "swap";
    // Compressed memory and mapped devices: the first is no disk, the second most often an
    // encrypted one.
    let harmless = |area: &&str| area.starts_with("/dev/zram") || area.starts_with("/dev/dm-");
    let areas: Vec<&str> = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let open: Vec<&str> = areas.iter().copied().filter(|area| !harmless(area)).collect();
    if open.is_empty() {
        let found = if areas.is_empty() { "there is none" } else { "in memory, or on a mapped device" };
        return ok(NAME, None, found);
    }
    let lockable = lockable.map_or_else(|| "any amount".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
    warning(
        NAME,
        None,
        &format!(
            "{} may receive keys while a device is unlocked (locked in memory: at most {lockable})",
            open.join(", ")
        ),
        "Encrypt the swap area, or use zram; or do without.",
    )
}

fn disk_space(free: u64) -> Check {
    const NAME: &str = "disk_space";
    let found = format!("{} MiB are free where keys are kept", free / (1024 * 1024));
    if free < SPACE_GONE_BYTES {
        return failed(NAME, None, Problem::new(ProblemKind::DiskFull, found));
    }
    if free < SPACE_LOW_BYTES {
        return warning(NAME, None, &found, "Free some space: what can't be kept fails.");
    }
    ok(NAME, None, &found)
}

fn registration(device: &DeviceSummary) -> Check {
    const NAME: &str = "registration";
    let subject = Some(named(device));
    match device.registration {
        Registration::Registered => ok(NAME, subject, "in the organisation's log"),
        Registration::Pending => {
            warning(NAME, subject, "not in the organisation's log yet", ProblemKind::DevicePending.hint())
        }
        Registration::Revoked => warning(
            NAME,
            subject,
            "it or its user was revoked, as far as the server says",
            "Ask an administrator. `parsecctl device forget` removes what is left.",
        ),
        // Never here: it stands for what a newer daemon says.
        Registration::Unknown => warning(NAME, subject, "in no state of this version", "Update Parsec."),
        Registration::Void => warning(
            NAME,
            subject,
            "set aside: the server or the greeter's device says that it was never registered",
            "If the other person ended it, ask for a new invitation; `parsecctl device forget` removes this one, `parsecctl device restore` takes it back.",
        ),
    }
}

/// What only an unlocked device can show.
async fn opened(session: Arc<Session>) -> Vec<Check> {
    let subject = || Some(named(&session.open.summary));
    let store = match session.store(Store::log_count).await {
        Ok(count) => ok("store", subject(), &format!("opens; {count} certificates in its log")),
        Err(problem) => failed("store", subject(), problem),
    };
    let outbox = match (session.pending.failed(), session.pending.waiting()) {
        (Some(problem), _) => failed("outbox", subject(), problem),
        (None, 0) => ok("outbox", subject(), "empty"),
        (None, count) => warning(
            "outbox",
            subject(),
            &format!("{count} enrolment(s) wait for the newcomer's device or the server"),
            "They finish by themselves, while this device is unlocked and online.",
        ),
    };
    let alarms = match alarms::open(&session).await {
        Ok(open) => match open.into_iter().next() {
            Some(alarm) => failed("log", subject(), alarm.problem),
            None => ok("log", subject(), "no alarm about the server's log is open"),
        },
        Err(problem) => failed("log", subject(), problem),
    };
    let pieces = match session.store(Store::pieces_sizes).await {
        Ok((sizes, limit)) => {
            let all = |of: fn(&SafeSize) -> u64| sizes.values().map(of).sum::<u64>() / (1024 * 1024);
            let (waiting, pinned) = (all(|size| size.waiting), all(|size| size.pinned));
            let (loose, limit) = (all(|size| size.kept).saturating_sub(pinned), limit / (1024 * 1024));
            let found = format!(
                "{loose} MiB of at most {limit} MiB kept of what is in safes, beside {pinned} MiB that are pinned; {waiting} MiB wait to be shared"
            );
            ok("pieces", subject(), &found)
        }
        Err(problem) => failed("pieces", subject(), problem),
    };
    let mut checks = vec![store, outbox, alarms, pieces];
    checks.extend(recovery(&session, &subject).await);
    checks
}

/// Whether a lost machine or a lost person would lock this user, or everybody, out.
async fn recovery(session: &Session, subject: &(impl Fn() -> Option<String> + Sync)) -> Vec<Check> {
    const NAME: &str = "recovery";
    let untried = match recovery::is_untried(session).await {
        Ok(untried) => untried,
        Err(problem) => return vec![failed(NAME, subject(), problem)],
    };
    let (log, summary) = (session.log(), &session.open.summary);
    let mut checks: Vec<_> = lockouts(&log, &summary.user)
        .into_iter()
        .filter_map(|lockout| {
            let (found, remedy) = match lockout {
                Lockout::OneDevice => (
                    "this is your only device, and you have no recovery kit: without both, everything is lost to you",
                    "`parsecctl recovery create` makes a page to keep somewhere safe; `parsecctl invite device` adds another device.",
                ),
                Lockout::NoKit => (
                    "you have no recovery kit",
                    "`parsecctl recovery create` makes a page to keep somewhere safe.",
                ),
                Lockout::OneAdministrator => (
                    "the organisation has one administrator, and nobody can be let in without them",
                    "An administrator makes another: `parsecctl user profile MEMBER --profile administrator`.",
                ),
                Lockout::Unknown => return None,
            };
            Some(warning(NAME, subject(), found, remedy))
        })
        .collect();
    if untried {
        checks.push(warning(
            NAME,
            subject(),
            "no recovery kit of yours was made or tried within a year, as far as this device knows",
            "Look for the page, and try it: `parsecctl recovery drill`.",
        ));
    }
    match recovery::out_of_reach(session).await {
        Ok(kits) if kits.is_empty() => {}
        Ok(_) => checks.push(warning(
            NAME,
            subject(),
            "so many members were revoked that the others can't bring you back with a recovery kit that was split among them",
            "Split another one (`parsecctl recovery share`), and revoke that one (`parsecctl recovery list`, `parsecctl recovery revoke KIT`).",
        )),
        Err(problem) => checks.push(failed(NAME, subject(), problem)),
    }
    // Before the device is in the log nothing is known to be well, with a kit or without.
    let is_kit = |device: &DeviceRecord| device.kind == DeviceKind::Recovery && device.revoked.is_none();
    let has_kit = log.device(&summary.device).is_some() && log.devices_of(&summary.user).any(is_kit);
    if checks.is_empty() && has_kit {
        checks.push(ok(NAME, subject(), "a recovery kit was made or tried within a year"));
    }
    checks
}

/// Asks a server for what it must refuse without a signature: the refusal has its time, and anybody
/// may see it.
async fn ask_server(client: Client, address: String, organisation: OrganisationId) -> Vec<Check> {
    let subject = Some(address.clone());
    let server = match Server::new(client, &address) {
        Ok(server) => server,
        Err(error) => return vec![failed("server", subject, error.into())],
    };
    let call = server.call(Call::new(Method::GET, path::log(&organisation, 0, Least::NOTHING)));
    match tokio::time::timeout(SERVER_WAIT, call).await {
        Ok(Err(TransportError::Refused {
            code: ErrorCode::NotAuthenticated,
            server_time,
            local_time,
            ..
        })) => {
            vec![ok("server", subject.clone(), "answers"), clock(subject, server_time, local_time)]
        }
        Ok(Err(error)) => vec![failed("server", subject, error.into())],
        Ok(Ok(_)) => {
            let text = "It gave out an organisation's log to somebody who proved nothing.";
            vec![failed("server", subject, Problem::new(ProblemKind::ServerMisbehaved, text))]
        }
        Err(_) => {
            let text = format!("It did not answer in {} seconds.", SERVER_WAIT.as_secs());
            vec![failed("server", subject, Problem::new(ProblemKind::ServerUnreachable, text))]
        }
    }
}

/// How far this machine's clock is from a server's. Which of them is wrong, neither can tell.
fn clock(subject: Option<String>, server: Timestamp, local: Timestamp) -> Check {
    const NAME: &str = "clock";
    let seconds = server.0.abs_diff(local.0) / Timestamp::SECOND;
    let side = if local.0 > server.0 { "ahead of" } else { "behind" };
    let found = format!("this machine's clock is {seconds} s {side} the server's");
    if seconds > REQUEST_TIME_SKEW_SECONDS {
        return failed(NAME, subject, Problem::new(ProblemKind::ClockWrong, found));
    }
    if seconds > CLOCK_NOTICE_SECONDS {
        let remedy = "Set this machine's clock (`timedatectl set-ntp true`); if it is right, tell the server's administrator.";
        return warning(NAME, subject, &found, remedy);
    }
    ok(NAME, subject, &found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_what_servers_refuse() {
        let at = |seconds: u64| Timestamp(seconds * Timestamp::SECOND);
        let judge = |server, local| clock(None, at(server), at(local)).health;
        assert_eq!(judge(1_000, 1_000), Health::Ok);
        assert_eq!(judge(1_000, 1_000 + CLOCK_NOTICE_SECONDS), Health::Ok);
        assert_eq!(judge(1_000, 1_001 + CLOCK_NOTICE_SECONDS), Health::Warning);
        assert_eq!(judge(1_000 + REQUEST_TIME_SKEW_SECONDS, 1_000), Health::Warning);
        assert_eq!(judge(1_001 + REQUEST_TIME_SKEW_SECONDS, 1_000), Health::Failed);
        assert_eq!(clock(None, at(0), at(10_000)).exit_code, ProblemKind::ClockWrong.exit_code());
        assert!(clock(None, at(9), at(0)).found.contains("behind"));
        assert_eq!(clock(None, at(0), Timestamp(u64::MAX)).health, Health::Failed);
    }

    #[test]
    fn swap_that_is_a_disk_is_a_warning() {
        let head = "Filename Type Size Used Priority\n";
        let judge = |lines: &str| judge_swap(&format!("{head}{lines}"), Some(65_536)).health;
        assert_eq!(judge(""), Health::Ok);
        assert_eq!(judge("/dev/zram0 partition 1 0 100\n"), Health::Ok);
        assert_eq!(judge("/dev/dm-1 partition 1 0 100\n"), Health::Ok);
        assert_eq!(judge("/dev/zram0 partition 1 0 100\n/swap.img file 1 0 -2\n"), Health::Warning);
        assert_eq!(judge_swap("", None).health, Health::Ok);
    }

    #[test]
    fn a_full_disk_fails_and_a_nearly_full_one_warns() {
        assert_eq!(disk_space(0).health, Health::Failed);
        assert_eq!(disk_space(SPACE_GONE_BYTES).health, Health::Warning);
        assert_eq!(disk_space(SPACE_LOW_BYTES).health, Health::Ok);
    }
}
