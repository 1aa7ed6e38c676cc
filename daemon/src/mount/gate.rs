//! The one way from the kernel to an unlocked device.
//!
//! Decides that it is shut at once when the device is locked, whoever is on the way: from then on
//! every request is an error, and nothing of the session is held by what serves the kernel. The
//! kernel may go on asking for as long as some other namespace has the mount; it gets no answer.

use std::sync::{Arc, Mutex, PoisonError};

use super::serve::Mount;

/// Open as long as the device is unlocked and the safe is mounted.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<Option<Arc<Mount>>>>);

impl Gate {
    /// An open one.
    pub(super) fn new(mount: &Arc<Mount>) -> Self {
        Self(Arc::new(Mutex::new(Some(Arc::clone(mount)))))
    }

    /// What is behind it; nothing once it is shut.
    pub(super) fn mount(&self) -> Option<Arc<Mount>> {
        // One assignment: a panic elsewhere leaves nothing half done.
        let mount = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        mount.filter(|mount| !mount.session.stop.is_cancelled())
    }

    /// Shuts it.
    pub(super) fn shut(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
