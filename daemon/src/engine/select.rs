//! Which of this machine's devices a request is about.
//!
//! Decides by the start of an id, the organisation, or because there is only one. Refuses to guess
//! between several.

use std::collections::BTreeMap;

use parsec_protocol::control::{DeviceSelector, Problem, ProblemKind, Registration};
use parsec_protocol::ids::DeviceId;

use crate::calls::members::PREFIX_MIN_DIGITS;
use crate::store::DeviceSummary;

/// What a request wants of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// To unlock it: among several, the only locked one.
    Locked,
    /// To use its keys: among several, the only unlocked one.
    Unlocked,
}

/// The device that is meant.
///
/// # Errors
/// `device_unknown`, `device_ambiguous`, `device_locked`, `device_void`, `device_pending`,
/// `invalid_request`.
pub fn device(
    known: &BTreeMap<DeviceId, DeviceSummary>,
    is_unlocked: impl Fn(DeviceId) -> bool,
    selector: &DeviceSelector,
    wanted: Wanted,
) -> Result<DeviceId, Problem> {
    if let Some(prefix) = &selector.device {
        let hex = prefix.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if prefix.len() < PREFIX_MIN_DIGITS || !hex {
            let text =
                format!("A device is named by {PREFIX_MIN_DIGITS} or more hexadecimal digits of its id.");
            return Err(Problem::new(ProblemKind::InvalidRequest, text));
        }
    }
    let fits = |summary: &&DeviceSummary| {
        selector.device.as_ref().is_none_or(|prefix| summary.device.to_string().starts_with(prefix.as_str()))
            && selector.organisation.as_ref().is_none_or(|organisation| summary.organisation == *organisation)
    };
    let mut found: Vec<_> = known.values().filter(fits).collect();
    // What is set aside is meant where it is named, or where there is nothing else.
    if selector.device.is_none() && found.iter().any(|summary| summary.registration != Registration::Void) {
        found.retain(|summary| summary.registration != Registration::Void);
    }
    let summary = match found.as_slice() {
        [] => return Err(Problem::new(ProblemKind::DeviceUnknown, "No device on this machine fits.")),
        [only] => *only,
        several => {
            let ready =
                |summary: &&&DeviceSummary| is_unlocked(summary.device) == (wanted == Wanted::Unlocked);
            let mut ready = several.iter().filter(ready);
            match (ready.next(), ready.next()) {
                (Some(only), None) => only,
                (None, _) if wanted == Wanted::Unlocked => {
                    return Err(Problem::new(
                        ProblemKind::DeviceLocked,
                        "None of the devices that fit is unlocked.",
                    ));
                }
                (None | Some(_), _) => {
                    return Err(Problem::new(ProblemKind::DeviceAmbiguous, "Several devices fit."));
                }
            }
        }
    };
    if wanted == Wanted::Unlocked {
        match summary.registration {
            Registration::Void => {
                let text = "The device is set aside: the server or the greeter's device says that it was never registered.";
                return Err(Problem::new(ProblemKind::DeviceVoid, text));
            }
            // By the server's word, which is asked for again at each unlocking.
            Registration::Revoked => {
                let text = "The server says that this device, or its user, has been revoked.";
                return Err(Problem::new(ProblemKind::Revoked, text));
            }
            _ if !is_unlocked(summary.device) => {
                return Err(Problem::new(ProblemKind::DeviceLocked, "The device is locked."));
            }
            Registration::Pending => {
                return Err(Problem::new(ProblemKind::DevicePending, "The device is not registered yet."));
            }
            Registration::Registered | Registration::Unknown => {}
        }
    }
    Ok(summary.device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parsec_protocol::ids::UserId;

    fn known(list: &[(u8, &str, Registration)]) -> BTreeMap<DeviceId, DeviceSummary> {
        let entry = |(byte, organisation, registration): &(u8, &str, Registration)| {
            let device = DeviceId::from_bytes([*byte; 16]);
            let summary = DeviceSummary {
                device,
                user: UserId::from_bytes([*byte; 16]),
                organisation: organisation.parse().unwrap(),
                server: "https://a.test".into(),
                registration: *registration,
                restored: false,
            };
            (device, summary)
        };
        list.iter().map(entry).collect()
    }

    fn choose(
        list: &[(u8, &str, Registration)],
        unlocked: &[u8],
        device_prefix: Option<&str>,
        organisation: Option<&str>,
        wanted: Wanted,
    ) -> Result<u8, ProblemKind> {
        let selector = DeviceSelector {
            device: device_prefix.map(str::to_owned),
            organisation: organisation.map(|text| text.parse().unwrap()),
        };
        let is_unlocked = |device: DeviceId| unlocked.contains(&device.as_bytes()[0]);
        device(&known(list), is_unlocked, &selector, wanted)
            .map(|device| device.as_bytes()[0])
            .map_err(|problem| problem.name)
    }

    #[test]
    fn nothing_is_guessed() {
        use ProblemKind as K;
        use Registration::{Pending, Registered, Revoked, Void};
        let two = [(0xaa, "acme", Registered), (0xbb, "other", Registered)];
        let use_it = Wanted::Unlocked;
        assert_eq!(choose(&[], &[], None, None, use_it), Err(K::DeviceUnknown));
        assert_eq!(choose(&two, &[], None, None, use_it), Err(K::DeviceLocked));
        assert_eq!(choose(&two, &[0xaa], None, None, use_it), Ok(0xaa));
        assert_eq!(choose(&two, &[0xaa, 0xbb], None, None, use_it), Err(K::DeviceAmbiguous));
        assert_eq!(choose(&two, &[0xaa, 0xbb], Some("bbbb"), None, use_it), Ok(0xbb));
        assert_eq!(choose(&two, &[0xaa, 0xbb], None, Some("acme"), use_it), Ok(0xaa));
        assert_eq!(choose(&two, &[], Some("bbbb"), Some("acme"), use_it), Err(K::DeviceUnknown));
        assert_eq!(choose(&two, &[], Some("bbb"), None, use_it), Err(K::InvalidRequest));
        assert_eq!(choose(&two, &[], Some("BBBB"), None, use_it), Err(K::InvalidRequest));
        assert_eq!(choose(&two, &[], None, None, Wanted::Locked), Err(K::DeviceAmbiguous));
        assert_eq!(choose(&two, &[0xaa], None, None, Wanted::Locked), Ok(0xbb));
        assert_eq!(choose(&[(1, "a", Void)], &[1], None, None, use_it), Err(K::DeviceVoid));
        let aside = [(0xaa, "acme", Void), (0xbb, "acme", Registered)];
        assert_eq!(choose(&aside, &[0xbb], None, None, use_it), Ok(0xbb));
        assert_eq!(choose(&aside, &[], None, None, Wanted::Locked), Ok(0xbb));
        assert_eq!(choose(&aside, &[], Some("aaaa"), None, Wanted::Locked), Ok(0xaa));
        assert_eq!(choose(&[(1, "a", Revoked)], &[1], None, None, use_it), Err(K::Revoked));
        assert_eq!(choose(&[(1, "a", Revoked)], &[], None, None, use_it), Err(K::Revoked));
        // The server is asked again when it is unlocked.
        assert_eq!(choose(&[(1, "a", Revoked)], &[], None, None, Wanted::Locked), Ok(1));
        assert_eq!(choose(&[(1, "a", Pending)], &[1], None, None, use_it), Err(K::DevicePending));
        assert_eq!(choose(&[(1, "a", Pending)], &[], None, None, use_it), Err(K::DeviceLocked));
    }
}
