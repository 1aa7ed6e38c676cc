//! `device.restore`: takes a device back that somebody's word had set aside.
//!
//! Decides nothing but whether it is here. The person's word outranks a server's: whoever calls the
//! device void again is heard and not followed.

use parsec_protocol::control::{DeviceRestore, DeviceView, Problem, ProblemKind};

use super::Daemon;
use super::command::Reply;
use crate::enrolment::finality::Heard;

impl Daemon {
    /// Restores, and answers with the device as it is now; of one that is not set aside nothing
    /// changes.
    pub(super) fn restore(&mut self, request: &DeviceRestore, reply: Reply<DeviceView>) {
        if self.devices.is_here(request.device) {
            self.heard_from(request.device, Heard::Person, Some(reply));
        } else {
            let text = "No device on this machine has this id.";
            let _ = reply.send(Err(Problem::new(ProblemKind::DeviceUnknown, text)));
        }
    }
}
