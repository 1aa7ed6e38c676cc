//! What a lost machine, or a lost person, would lock somebody out by: told before it happens.
//!
//! Decides it by the organisation's log alone, so that `status` and `doctor` say the same. A device
//! that nobody can use any more keeps nobody from being locked out.

use parsec_protocol::chain::organisation::certificate::{DeviceKind, Profile};
use parsec_protocol::chain::organisation::log::{UserRecord, VerifiedLog};
use parsec_protocol::control::Lockout;
use parsec_protocol::ids::UserId;

/// What would lock this user out, or everybody.
pub(crate) fn lockouts(log: &VerifiedLog, user: &UserId) -> Vec<Lockout> {
    let mut found = Vec::new();
    let standing = |user: &UserId, kind: DeviceKind| {
        log.devices_of(user).filter(|device| device.revoked.is_none() && device.kind == kind).count()
    };
    // Before it is in the log, nothing is lost with it.
    match (standing(user, DeviceKind::Recovery), standing(user, DeviceKind::Device)) {
        (0, 1) => found.push(Lockout::OneDevice),
        (0, 2..) => found.push(Lockout::NoKit),
        (0, 0) | (1.., _) => {}
    }
    let usable = |user: &&UserRecord| {
        let devices = [DeviceKind::Device, DeviceKind::Recovery].map(|kind| standing(&user.user, kind));
        user.revoked.is_none() && devices.iter().sum::<usize>() > 0
    };
    let members = log.users().filter(usable);
    let (all, administrators) = members.fold((0_u64, 0_u64), |(all, administrators), user| {
        (all + 1, administrators + u64::from(user.profile == Profile::Administrator))
    });
    // Where there is none, nobody can make one: a remedy that can't be carried out is no warning.
    if all > 1 && administrators == 1 {
        found.push(Lockout::OneAdministrator);
    }
    found
}
