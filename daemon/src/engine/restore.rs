//! `device.restore`: takes a device back that somebody's word had set aside.
//!
//! Decides nothing but whether it is here. The person's word outranks a server's: whoever calls the
//! device void again is heard and not followed.

use parsec_protocol::control::{DeviceRestore, DeviceView, Problem, ProblemKind};

use super::Daemon;
use crate::enrolment::finality::Heard;

impl Daemon {
    /// Restores, and answers with the device as it is now; of one that is not set aside nothing
    /// changes.
    pub(super) fn restore(&mut self, request: &DeviceRestore) -> Result<DeviceView, Problem> {
        let device = request.device;
        let unknown = || Problem::new(ProblemKind::DeviceUnknown, "No device on this machine has this id.");
        if !self.devices.is_here(device) {
            return Err(unknown());
        }
        self.heard(device, Heard::Person);
        self.devices.view(device).ok_or_else(unknown)
    }
}
