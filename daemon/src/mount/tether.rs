//! The one way from the kernel to an unlocked device.
//!
//! Decides that it is cut at once when the device is locked, whoever is on the way: from then on
//! every request is an error, and nothing of the session is held by what serves the kernel. The
//! kernel may go on asking for as long as some other namespace has the mount; it gets no answer.

use std::sync::{Arc, Mutex, PoisonError};

use super::serve::Mount;

/// Whole as long as the device is unlocked and the safe is mounted.
#[derive(Clone)]
pub(super) struct Tether(Arc<Mutex<Option<Arc<Mount>>>>);

impl Tether {
    /// A whole one.
    pub(super) fn new(mount: &Arc<Mount>) -> Self {
        Self(Arc::new(Mutex::new(Some(Arc::clone(mount)))))
    }

    /// What is at its other end; nothing once it is cut.
    pub(super) fn mount(&self) -> Option<Arc<Mount>> {
        // One assignment: a panic elsewhere leaves nothing half done.
        let mount = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        mount.filter(|mount| !mount.session.stop.is_cancelled())
    }

    /// Cuts it.
    pub(super) fn cut(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
