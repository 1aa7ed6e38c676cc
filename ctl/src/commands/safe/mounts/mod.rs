//! `safe mount|unmount|mounts`: a safe as a folder of this machine.
//!
//! Decides where the folder is, and that this program mounts it: the daemon has no right to. It
//! speaks to the daemon first and mounts second, and whatever fails behind that, the mount is ended
//! again. Beside each mount waits a process of ours (`attend`) until it has ended: the device is
//! locked, or the daemon is gone. Refuses a folder that is a link, not empty or not the user's.

mod kernel;
mod marked;

use std::fs::DirBuilder;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parsec_protocol::control::{
    DeviceSelector, Empty, MarkedMount, MountListResult, MountMark, MountSelector, MountStart, MountUnmark,
    MountView, ProblemKind, SafeSelector, SafeShowResult, SafeView, method,
};
use parsec_protocol::ids::Label;

use super::as_of::{When, when};
use super::{Context, short};
use crate::args::{Attend, Mount, Mounts};
use crate::client::Connection;
use crate::failure::{Done, Failure};
use crate::schema;
use crate::text::{escaped, moment, moment_to_the_second};

/// Where mounts can be seen.
const SEE_MOUNTS: &str = "`parsecctl safe mounts` shows what is mounted.";
/// Before a wait that broke off is begun again: a daemon that refuses it must not be kept busy.
const WAIT_AGAIN: Duration = Duration::from_secs(2);
/// The folder in the person's home that safes are mounted in.
const SAFES: &str = "Safes";

pub(super) fn run(context: &Context<'_>, command: Mounts) -> Result<(), Failure> {
    match command {
        Mounts::Mount(Mount { marked: true, follow, .. }) => marked::run(context, follow),
        Mounts::Mount(command) => mount(context, command),
        Mounts::Unmount { what, lazy, always } => unmount(context, &what, lazy, always),
        Mounts::List => list(context),
    }
}

fn refused(text: impl Into<String>) -> Failure {
    Failure::new(ProblemKind::InvalidRequest, text)
}

/// A path, as it can be shown.
fn shown(folder: &Path) -> String {
    escaped(folder.display().to_string())
}

/// The folder that a safe is mounted on without a word.
fn usual(safe: &SafeView) -> Result<PathBuf, Failure> {
    let home = std::env::var_os("HOME").filter(|home| Path::new(home).is_absolute());
    let home = home.ok_or_else(|| refused("HOME is not set: say which folder"))?;
    let name = match &safe.name {
        Some(name) => folder_name(name.as_str()),
        None => short(safe.safe),
    };
    Ok(PathBuf::from(home).join(SAFES).join(name))
}

/// A safe's name as that of a folder: it may have a slash, or begin with a dot, which hides it.
fn folder_name(name: &str) -> String {
    let plain = name.replace('/', "-");
    match plain.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => plain,
    }
}

/// Makes a folder where there is none, and refuses one that is not fit to be mounted on.
fn prepared(folder: &Path) -> Result<PathBuf, Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| refused(format!("{} can't be made: {error}", shown(folder))))?;
    let failed = |error: std::io::Error| refused(format!("{}: {error}", shown(folder)));
    let found = std::fs::symlink_metadata(folder).map_err(failed)?;
    if !found.is_dir() {
        return Err(refused(format!("{} is a symbolic link", shown(folder))));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused(format!("{} belongs to somebody else", shown(folder))));
    }
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(refused(format!("{} is not empty", shown(folder))));
    }
    std::fs::canonicalize(folder).map_err(failed)
}

/// Takes away mounts whose daemon has ended without a word: they answer nobody.
fn cleaned() -> Vec<PathBuf> {
    let dead = kernel::ours().unwrap_or_default().into_iter().filter(|found| kernel::is_dead(&found.folder));
    dead.filter(|found| kernel::unmount(&found.folder, true).is_ok()).map(|found| found.folder).collect()
}

/// Takes away a mount on this folder that gives nobody anything any more, because its device was
/// locked and nobody waited beside it. Such a folder can't be looked at, so the path is compared as
/// it is written, but for the folder above it.
fn left_on(folder: &Path) -> Option<PathBuf> {
    let plain = std::path::absolute(folder).ok()?;
    let above = plain.parent().and_then(|above| std::fs::canonicalize(above).ok());
    let real = above.zip(plain.file_name()).map_or_else(|| plain.clone(), |(above, name)| above.join(name));
    let ours = kernel::ours().unwrap_or_default();
    let left = ours.into_iter().rev().find(|found| found.folder == real)?.folder;
    (kernel::is_over(&left) && kernel::unmount(&left, true).is_ok()).then_some(left)
}

/// Refuses a mount that lets its own user in nowhere: where the daemon is another user to the
/// kernel, in a user namespace, each access would fail without a reason.
fn lets_us_in(folder: &Path) -> Result<(), Failure> {
    let why = match std::fs::metadata(folder) {
        Ok(found) if found.uid() == rustix::process::geteuid().as_raw() => return Ok(()),
        Ok(_) => "it belongs to another user".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => error.to_string(),
        // The device may have been locked meanwhile: whoever waits beside it sees to that.
        Err(_) => return Ok(()),
    };
    let text = format!("The kernel does not let you into {}: {why}", shown(folder));
    Err(refused(text).advised("The daemon runs as another user than you, perhaps in a user namespace."))
}

/// What is to be mounted.
struct Wish {
    select: DeviceSelector,
    safe: String,
    read_only: bool,
    when: When,
}

/// What was mounted.
struct Placed {
    view: MountView,
    /// Mounts that somebody had left behind, and that were taken away.
    cleaned: Vec<PathBuf>,
    /// Who waits beside it.
    attendant: Child,
}

impl Placed {
    /// What a person is told.
    fn told(&self) -> String {
        let mut lines = vec![format!("{}.", is_mounted(&self.view))];
        lines.extend(self.cleaned.iter().map(|folder| {
            format!("A mount that a daemon had left behind was taken away: {}.", shown(folder))
        }));
        lines.join("\n")
    }
}

/// That a safe is mounted, and how, without a full stop.
fn is_mounted(view: &MountView) -> String {
    let name = view.name.as_ref().map_or_else(|| short(view.safe), |name| escaped(name.as_str()));
    let folder = escaped(&view.folder);
    match view.time.zip(view.record) {
        Some((time, record)) => {
            let as_of = moment_to_the_second(time);
            format!("{name} as of {as_of} (record {record}) is mounted on {folder}, read only")
        }
        None => format!("{name} is mounted on {folder}"),
    }
}

/// Mounts a safe, and has somebody wait beside it.
fn place(
    context: &Context<'_>,
    daemon: &mut Connection,
    wish: Wish,
    folder: &Path,
) -> Result<Placed, Failure> {
    let cleaned: Vec<PathBuf> = cleaned().into_iter().chain(left_on(folder)).collect();
    let there = std::fs::canonicalize(folder).ok();
    let ours = kernel::ours().unwrap_or_default();
    if ours.iter().any(|found| Some(&found.folder) == there.as_ref()) {
        return Err(refused(format!("A safe is mounted on {} already", shown(folder))).advised(SEE_MOUNTS));
    }
    let folder = prepared(folder)?;
    let text = folder.to_str().ok_or_else(|| refused("The folder's path is no UTF-8 text"))?.to_owned();
    let When { at, record } = wish.when;
    let device = kernel::mount(&folder, wish.read_only || at.is_some() || record.is_some())?;
    let Wish { select, safe, read_only, when: _ } = wish;
    let asked = MountStart { select: select.clone(), safe, folder: text, read_only, at, record };
    let served: Result<MountView, _> = daemon.call_with(method::MOUNT_START, &asked, device.as_fd());
    drop(device);
    let view = served.inspect_err(|_| {
        // Nobody serves it: it must not stay.
        let _ = kernel::unmount(&folder, true);
    })?;
    match lets_us_in(&folder).and_then(|()| attended(context, &select, &view, &folder)) {
        Ok(attendant) => Ok(Placed { view, cleaned, attendant }),
        Err(failure) => {
            let _ = kernel::unmount(&folder, true);
            Err(failure)
        }
    }
}

fn mount(context: &Context<'_>, command: Mount) -> Result<(), Failure> {
    let Mount { safe, folder, read_only, always, as_of, .. } = command;
    let safe = safe.ok_or_else(|| refused("Say which safe"))?;
    let wish = Wish { select: context.global.select(), safe, read_only, when: when(&as_of)? };
    let mut daemon = context.connect()?;
    // Also where the folder is named: a device that is locked is told before anything is mounted.
    let asked = SafeSelector { select: wish.select.clone(), safe: wish.safe.clone() };
    let found: SafeShowResult = context.ask(&mut daemon, method::SAFE_SHOW, &asked)?;
    let folder = match folder {
        Some(folder) => folder,
        None => usual(&found.safe)?,
    };
    let there = if always { mounted_on(context, &mut daemon, &found.safe, &folder)? } else { None };
    let (view, mut text) = match there {
        Some(view) => {
            let text = format!("{}.", is_mounted(&view));
            (view, text)
        }
        None => {
            let placed = place(context, &mut daemon, wish, &folder)?;
            let text = placed.told();
            (placed.view, text)
        }
    };
    if always {
        let (select, safe) = (context.global.select(), view.safe.to_string());
        let mark = MountMark { select, safe, folder: view.folder.clone(), read_only };
        let _: MarkedMount = daemon.call(method::MOUNT_MARK, &mark)?;
        text.push_str("\nSo it is from now on whenever this device is unlocked (parsec-mounts.service).");
    }
    let done = Done::new(format!("{}.", is_mounted(&view)), SEE_MOUNTS);
    context.output.changed(schema::SAFE_MOUNT, &view, || text, done)
}

/// The mount of a safe as it is now on a folder, if it is there already.
fn mounted_on(
    context: &Context<'_>,
    daemon: &mut Connection,
    safe: &SafeView,
    folder: &Path,
) -> Result<Option<MountView>, Failure> {
    let there = std::fs::canonicalize(folder).ok();
    let list: MountListResult = daemon.call(method::MOUNT_LIST, &context.global.select())?;
    let is_it = |view: &MountView| {
        view.safe == safe.safe && view.record.is_none() && there.as_deref() == Some(Path::new(&view.folder))
    };
    Ok(list.mounts.into_iter().find(is_it))
}

/// Starts who waits beside a mount: this program again, apart from this terminal.
fn attended(
    context: &Context<'_>,
    select: &DeviceSelector,
    view: &MountView,
    folder: &Path,
) -> Result<Child, Failure> {
    let id = kernel::ours().unwrap_or_default().into_iter().rev().find(|found| found.folder == folder);
    let id = id.ok_or_else(|| refused("The mount is not in the kernel's list"))?.id;
    let failed = |error: std::io::Error| refused(format!("Nobody can wait beside the mount: {error}"));
    let mut attendant = Command::new(std::env::current_exe().map_err(failed)?);
    attendant.arg("--socket").arg(context.socket()?);
    if let Some(device) = &select.device {
        attendant.args(["--device", device.as_str()]);
    }
    if let Some(organisation) = &select.organisation {
        attendant.args(["--organisation", organisation.as_str()]);
    }
    attendant.args(["__attend", "--mount", &view.mount.to_string(), "--id", &id.to_string(), "--"]);
    attendant.arg(folder).current_dir("/");
    attendant.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    attendant.spawn().map_err(failed)
}

/// Waits until a mount has ended. Where that was because the device is locked, or the daemon gone,
/// it is taken away.
///
/// # Errors
/// fusermount3's.
pub(crate) fn attend(context: &Context<'_>, attend: &Attend) -> Result<(), Failure> {
    // Apart from the terminal: what ends there does not end this. Fails where it is so already.
    let _ = rustix::process::setsid();
    let asked = MountSelector { select: context.global.select(), mount: attend.mount };
    loop {
        let ended: Result<Empty, Failure> = context.call(method::MOUNT_WAIT, &asked);
        let is_over = match &ended {
            // The daemon serves it no more. Where it is in the list all the same, nobody else will.
            Ok(_) => kernel::is_dead(&attend.folder),
            Err(_) => kernel::is_over(&attend.folder),
        };
        let ours = kernel::ours().unwrap_or_default();
        match ours.into_iter().rev().find(|found| found.folder == attend.folder) {
            // The kernel gives numbers anew: whatever still answers is another one.
            Some(found) if found.id == attend.id && is_over => {
                return kernel::unmount(&attend.folder, true);
            }
            // The wait broke off, and it is served all the same: it must not be left alone.
            Some(found) if found.id == attend.id && ended.is_err() => std::thread::sleep(WAIT_AGAIN),
            Some(_) | None => return Ok(()),
        }
    }
}

fn mounts(context: &Context<'_>) -> Result<MountListResult, Failure> {
    context.call(method::MOUNT_LIST, &context.global.select())
}

/// The folder that is meant.
fn meant(context: &Context<'_>, what: &str) -> Result<PathBuf, Failure> {
    if what.contains('/') {
        // One that is dead can't be looked at, and has to be ended all the same.
        let path = Path::new(what);
        let plain = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        return Ok(std::fs::canonicalize(path).unwrap_or(plain));
    }
    // Of a locked device nobody says what was mounted where: one that nobody has taken away.
    let ours = kernel::ours().unwrap_or_default();
    let left = ours.iter().filter(|found| found.folder.file_name().is_some_and(|name| name == what));
    if let [left] = left.filter(|found| kernel::is_over(&found.folder)).collect::<Vec<_>>().as_slice() {
        return Ok(left.folder.clone());
    }
    let all = mounts(context)?.mounts;
    let is_meant = |view: &&MountView| {
        view.name.as_ref().is_some_and(|name| name.as_str() == what)
            || (what.len() >= 4 && view.safe.to_string().starts_with(what))
    };
    match all.iter().filter(is_meant).collect::<Vec<_>>().as_slice() {
        [one] => Ok(PathBuf::from(&one.folder)),
        [] => Err(refused(format!("No such safe is mounted: {}", escaped(what))).advised(SEE_MOUNTS)),
        _ => Err(refused("It is mounted more than once: name the folder").advised(SEE_MOUNTS)),
    }
}

/// The folder of a mark that is meant.
fn marked_as(context: &Context<'_>, what: &str) -> Result<String, Failure> {
    let all = mounts(context)?.marked;
    let plain = std::path::absolute(what).unwrap_or_else(|_| what.into());
    let real = std::fs::canonicalize(what).unwrap_or_else(|_| plain.clone());
    let is_meant = |mark: &&MarkedMount| {
        if what.contains('/') {
            let folder = Path::new(&mark.folder);
            return folder == plain || folder == real;
        }
        mark.name.as_ref().is_some_and(|name| name.as_str() == what)
            || (what.len() >= 4 && mark.safe.to_string().starts_with(what))
    };
    match all.iter().filter(is_meant).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one.folder.clone()),
        [] => {
            let text = format!("It is not marked to be mounted always: {}", escaped(what));
            Err(refused(text).advised(SEE_MOUNTS))
        }
        _ => Err(refused("It is marked more than once: name the folder").advised(SEE_MOUNTS)),
    }
}

fn unmount(context: &Context<'_>, what: &str, lazy: bool, always: bool) -> Result<(), Failure> {
    let mark = if always { Some(marked_as(context, what)?) } else { None };
    let folder = match &mark {
        Some(folder) => PathBuf::from(folder),
        None => meant(context, what)?,
    };
    let is_there = kernel::ours().unwrap_or_default().iter().any(|found| found.folder == folder);
    if let Some(folder) = mark {
        let asked = MountUnmark { select: context.global.select(), folder };
        let _: Empty = context.call(method::MOUNT_UNMARK, &asked)?;
    } else if !is_there {
        return Err(refused(format!("No safe is mounted on {}", shown(&folder))).advised(SEE_MOUNTS));
    }
    if is_there {
        // One that gives nobody anything is kept by nobody's open files.
        kernel::unmount(&folder, lazy || kernel::is_over(&folder))?;
    }
    let mut text = format!("Nothing is mounted on {} any more.", shown(&folder));
    if always {
        text.push_str(" Nor is it when this device is unlocked.");
    }
    let result = serde_json::json!({ "folder": folder.display().to_string() });
    context.output.changed(schema::SAFE_UNMOUNT, &result, || text.clone(), Done::new(&text, SEE_MOUNTS))
}

fn list(context: &Context<'_>) -> Result<(), Failure> {
    let result = mounts(context)?;
    context.output.result(schema::SAFE_MOUNTS, &result, || {
        let is_marked = |folder: &str| result.marked.iter().any(|mark| mark.folder == folder);
        let how = |read_only: bool, record: Option<u64>, folder: &str| {
            let record = record.map(|record| format!("as of record {record}"));
            let read_only = (read_only && record.is_none()).then(|| "read only".to_owned());
            let always = is_marked(folder).then(|| "always".to_owned());
            [record, read_only, always].into_iter().flatten().collect::<Vec<_>>().join(", ")
        };
        let named = |name: &Option<Label>| name.as_ref().map(ToString::to_string).unwrap_or_default();
        let mounted = result.mounts.iter().map(|view| {
            vec![
                short(view.safe),
                named(&view.name),
                how(view.read_only, view.record, &view.folder),
                moment(view.since),
                escaped(&view.folder),
            ]
        });
        let is_there = |folder: &str| result.mounts.iter().any(|view| view.folder == folder);
        let not_there = result.marked.iter().filter(|mark| !is_there(&mark.folder)).map(|mark| {
            vec![
                short(mark.safe),
                named(&mark.name),
                how(mark.read_only, None, &mark.folder),
                "not mounted now".to_owned(),
                escaped(&mark.folder),
            ]
        });
        let rows: Vec<_> = mounted.chain(not_there).collect();
        if rows.is_empty() {
            return "No safe is mounted.".to_owned();
        }
        context.output.table(&["SAFE", "NAME", "", "SINCE", "FOLDER"], &rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safe_is_a_folder_that_is_seen_and_in_its_place() {
        assert_eq!(folder_name("Plans of 2027"), "Plans of 2027");
        assert_eq!(folder_name("../../etc"), "_.-..-etc");
        assert_eq!(folder_name(".hidden"), "_hidden");
        assert_eq!(folder_name("a/b"), "a-b");
    }
}
