//! What is heard of whether a device is certified: written down first, told afterwards.
//!
//! Decides the order. Whoever was told of a state finds it again after a crash, so a state is on
//! the disk before anybody sees it; and of one device one thing is written at a time, so that what
//! was heard first is not written over what was heard last. Drops nothing for anybody's word.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parsec_protocol::control::{DeviceView, Problem, ProblemKind, Registration};
use parsec_protocol::ids::DeviceId;
use tokio::sync::mpsc;

use super::Daemon;
use super::command::Reply;
use crate::enrolment::finality::{Heard, Standing};
use crate::os::blocking;

/// Writes that may be waiting for the loop: it takes one at a time, and no further requests while
/// any is under way, so a few are enough.
const WRITTEN_MAX: usize = 16;

/// Who is answered with the device once what they said has been taken in.
pub(super) type Told = Option<Reply<DeviceView>>;

/// A state that is on the disk, or could not be put there.
#[derive(Debug)]
pub(super) struct Noted {
    device: DeviceId,
    standing: Standing,
    told: Told,
}

/// The writes under way, and what was heard meanwhile.
#[derive(Debug)]
pub(super) struct Hearing {
    /// Devices of which something is being written, each with what is next.
    waiting: BTreeMap<DeviceId, VecDeque<(Heard, Told)>>,
    tell: mpsc::Sender<Noted>,
    written: mpsc::Receiver<Noted>,
}

impl Hearing {
    pub(super) fn new() -> Self {
        let (tell, written) = mpsc::channel(WRITTEN_MAX);
        Self { waiting: BTreeMap::new(), tell, written }
    }

    /// Whether anything is being written.
    pub(super) fn is_writing(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next one that was written.
    pub(super) async fn written(&mut self) -> Option<Noted> {
        self.written.recv().await
    }

    /// Nobody waits for what is still being written.
    pub(super) fn close(&mut self) {
        self.written.close();
    }
}

impl Daemon {
    /// Takes in what is heard of a device's registration.
    pub(super) fn heard(&mut self, device: DeviceId, heard: Heard) {
        self.heard_from(device, heard, None);
    }

    /// As [`Self::heard`], and answers `told` when it is done.
    pub(super) fn heard_from(&mut self, device: DeviceId, heard: Heard, told: Told) {
        if let Some(waiting) = self.hearing.waiting.get_mut(&device) {
            waiting.push_back((heard, told));
        } else {
            self.write_down(device, heard, told);
        }
    }

    /// Begins to write what follows from it; where nothing does, it is over.
    fn write_down(&mut self, device: DeviceId, heard: Heard, told: Told) {
        let Some(standing) = self.devices.standing_after(device, heard) else {
            return self.answer(device, told);
        };
        let _ = self.hearing.waiting.entry(device).or_default();
        let (store, tell) = (Arc::clone(&self.context.store), self.hearing.tell.clone());
        self.context.spawn(async move {
            let Standing { registration, restored } = standing;
            let kept = blocking(move || store.set_registration(device, registration, restored)).await;
            if let Err(problem) = kept {
                // Known until the next start, when the receipt is still there and the server asked
                // again.
                tracing::error!(%device, %problem, "a device's registration could not be noted");
            }
            // A daemon that stops asks nobody.
            let _ = tell.send(Noted { device, standing, told }).await;
        });
    }

    /// What was heard is on the disk: it holds from now on, and what was heard meanwhile is next.
    pub(super) fn noted(&mut self, Noted { device, standing, told }: Noted) {
        self.takes(device, standing);
        self.answer(device, told);
        let mut waiting = self.hearing.waiting.remove(&device).unwrap_or_default();
        while let Some((heard, told)) = waiting.pop_front() {
            self.write_down(device, heard, told);
            if let Some(behind) = self.hearing.waiting.get_mut(&device) {
                *behind = waiting;
                return;
            }
        }
    }

    /// Of a device whose state is on the disk already.
    pub(super) fn found_set_aside(&mut self, device: DeviceId) {
        if let Some(standing) = self.devices.standing_after(device, Heard::Word(Registration::Void)) {
            self.takes(device, standing);
        }
    }

    fn takes(&mut self, device: DeviceId, standing: Standing) {
        self.devices.stands(device, standing);
        // One that is revoked asks again when it is next unlocked.
        if standing.registration != Registration::Revoked {
            self.after_unlock(device);
        }
    }

    fn answer(&self, device: DeviceId, told: Told) {
        if let Some(told) = told {
            let gone = || Problem::new(ProblemKind::DeviceUnknown, "The device is gone.");
            let _ = told.send(self.devices.view(device).ok_or_else(gone));
        }
    }
}
