//! `safe mount --marked`: mounts what is marked with `--always`, on every device that is unlocked,
//! and with `--follow` whenever one is. What the user's unit parsec-mounts.service runs.
//!
//! Decides that a folder is mounted once after each unlocking: what a person unmounts then stays
//! away until the next. Says what it did, and once why it could not. Lives through daemons that end
//! and begin. Refuses to ask anybody anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use parsec_protocol::control::{
    DeviceListResult, DeviceSelector, DeviceState, Empty, Event, EventItem, MarkedMount, MountListResult,
    MountView, method,
};
use parsec_protocol::ids::DeviceId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::{Placed, SEE_MOUNTS, When, Wish, is_mounted, kernel, place, short};
use crate::client::{Connection, QUIET};
use crate::commands::Context;
use crate::commands::events::{is_end_of_daemon, wait_for_daemon};
use crate::failure::{Done, Failure, Report};
use crate::schema;
use crate::text::escaped;

/// First pause after a mount that failed; each is twice the one before. A safe that is being opened
/// is there in a moment.
const AGAIN: Duration = Duration::from_secs(2);
/// Tries by itself, some two minutes in all. Then only when something happens to a device: asking
/// for ever would keep a machine awake for a folder that somebody has filled.
const TRIES: u32 = 6;

/// A device that is unlocked.
#[derive(Debug, Default)]
struct Unlocked {
    /// Folders that are mounted, or were since it was unlocked.
    done: BTreeSet<String>,
    /// Why others are not, as it was said last.
    failed: BTreeMap<String, String>,
    /// How often those were tried.
    tries: u32,
}

/// What is known of this machine's devices.
#[derive(Debug, Default)]
struct Kept {
    unlocked: BTreeMap<DeviceId, Unlocked>,
    /// Who wait beside the mounts; looked after, so that none stays as a zombie.
    attendants: Vec<Child>,
}

pub(super) fn run(context: &Context<'_>, follow: bool) -> Result<(), Failure> {
    let mut kept = Kept::default();
    if !follow {
        return match kept.settle(context)? {
            Some(report) => Err(Failure::Report(report)),
            None => Ok(()),
        };
    }
    loop {
        match kept.follow(context) {
            Err(Failure::Report(report)) if is_end_of_daemon(&report) => {
                // Its devices are locked when it begins again. Whoever waits beside a mount of it
                // takes that away.
                kept.unlocked.clear();
                context.output.say("The daemon is not there; waiting for it.");
                drop(wait_for_daemon(context)?);
            }
            end => return end,
        }
    }
}

/// Whether an event may have locked or unlocked a device.
fn is_of_a_device(item: &Value) -> bool {
    match serde_json::from_value(item.clone()) {
        Ok(EventItem::Event { event, .. }) => matches!(
            event,
            Event::DeviceAdded { .. } | Event::DeviceChanged { .. } | Event::DeviceForgotten { .. }
        ),
        Ok(EventItem::Snapshot { .. } | EventItem::Gap { .. }) => true,
        Ok(EventItem::Unknown) | Err(_) => false,
    }
}

/// Waits until the daemon says something, or so long; whether it did.
fn wait(daemon: &mut Connection, longest: Duration) -> Result<bool, Failure> {
    let mut sources = [PollFd::new(daemon.stream(), PollFlags::IN)];
    match poll(&mut sources, Timespec::try_from(longest).ok().as_ref()) {
        Ok(0) | Err(rustix::io::Errno::INTR) => daemon.check_alive().map(|()| false),
        Ok(_) | Err(_) => daemon.receive().map(|()| true),
    }
}

impl Kept {
    /// Does what is due, and waits for more, until the daemon ends.
    fn follow(&mut self, context: &Context<'_>) -> Result<(), Failure> {
        let mut daemon = context.connect()?;
        daemon.follow(None)?;
        loop {
            let mut due = false;
            while let Some(item) = daemon.item()? {
                due |= is_of_a_device(&item);
            }
            if due {
                self.settle(context)?;
            }
            let again = self.again();
            if !wait(&mut daemon, again.unwrap_or(QUIET))? && again.is_some() {
                self.settle(context)?;
            }
        }
    }

    /// After how long what failed is to be tried again.
    fn again(&self) -> Option<Duration> {
        let failing = self.unlocked.values().filter(|device| !device.failed.is_empty());
        let tries = failing.map(|device| device.tries).filter(|tries| *tries < TRIES).min()?;
        Some(AGAIN * 2_u32.saturating_pow(tries.saturating_sub(1)))
    }

    /// Looks which devices are unlocked, mounts what is marked there, and sees that nothing of the
    /// others stays; why the last one that failed did.
    fn settle(&mut self, context: &Context<'_>) -> Result<Option<Report>, Failure> {
        self.attendants.retain_mut(|attendant| matches!(attendant.try_wait(), Ok(None)));
        let mut daemon = context.connect()?;
        let all: DeviceListResult = daemon.call(method::DEVICE_LIST, &Empty {})?;
        let unlocked: BTreeSet<DeviceId> = all
            .devices
            .iter()
            .filter(|device| device.state == DeviceState::Unlocked)
            .map(|device| device.device)
            .collect();
        self.unlocked.retain(|device, was| {
            let stays = unlocked.contains(device);
            if !stays {
                was.done.iter().for_each(|folder| taken_away(context, *device, folder));
            }
            stays
        });
        let mut failed = None;
        for device in unlocked {
            failed = self.mount(context, &mut daemon, device)?.or(failed);
        }
        Ok(failed)
    }

    /// Mounts what is marked on a device, and was not yet since it was unlocked.
    fn mount(
        &mut self,
        context: &Context<'_>,
        daemon: &mut Connection,
        device: DeviceId,
    ) -> Result<Option<Report>, Failure> {
        let select = DeviceSelector { device: Some(device.to_string()), organisation: None };
        let known = self.unlocked.entry(device).or_default();
        let list: MountListResult = match daemon.call(method::MOUNT_LIST, &select) {
            Ok(list) => list,
            // It was locked in between, which an event says, too.
            Err(Failure::Report(report)) if !is_end_of_daemon(&report) => return Ok(Some(report)),
            Err(failure) => return Err(failure),
        };
        known.tries = known.tries.saturating_add(1);
        let mut failed = None;
        let is_mounted_now = |folder: &str| list.mounts.iter().any(|view: &MountView| view.folder == folder);
        for mark in list.marked {
            if known.done.contains(&mark.folder) || is_mounted_now(&mark.folder) {
                known.failed.remove(&mark.folder);
                known.done.insert(mark.folder);
                continue;
            }
            let wish = Wish {
                select: select.clone(),
                safe: mark.safe.to_string(),
                read_only: mark.read_only,
                when: When::default(),
            };
            match place(context, daemon, wish, Path::new(&mark.folder)) {
                Ok(placed) => {
                    said(context, &placed)?;
                    self.attendants.push(placed.attendant);
                    known.failed.remove(&mark.folder);
                    known.done.insert(mark.folder);
                }
                Err(Failure::Report(report)) if !is_end_of_daemon(&report) => {
                    if known.failed.get(&mark.folder) != Some(&report.message) {
                        context.output.say(&why_not(&mark, &report));
                    }
                    known.failed.insert(mark.folder, report.message.clone());
                    failed = Some(report);
                }
                Err(failure) => return Err(failure),
            }
        }
        if known.failed.is_empty() {
            known.tries = 0;
        }
        Ok(failed)
    }
}

fn said(context: &Context<'_>, placed: &Placed) -> Result<(), Failure> {
    let done = Done::new(format!("{}.", is_mounted(&placed.view)), SEE_MOUNTS);
    context.output.changed(schema::SAFE_MOUNT, &placed.view, || placed.told(), done)
}

/// Why a safe is not mounted, in a line.
fn why_not(mark: &MarkedMount, report: &Report) -> String {
    let name = mark.name.as_ref().map_or_else(|| short(mark.safe), |name| escaped(name.as_str()));
    format!("{name} is not mounted on {}: {}", escaped(&mark.folder), escaped(&report.message))
}

/// Its device is locked: the folder goes, whether or not somebody waits beside the mount.
fn taken_away(context: &Context<'_>, device: DeviceId, folder: &str) {
    let place = PathBuf::from(folder);
    let is_there = kernel::ours().unwrap_or_default().iter().any(|found| found.folder == place);
    if is_there && kernel::is_over(&place) {
        // Where whoever waits beside it was faster, it is gone all the same.
        let _ = kernel::unmount(&place, true);
    }
    let device = short(device);
    context.output.say(&format!("Device {device} is locked: {} is taken away.", escaped(folder)));
}
