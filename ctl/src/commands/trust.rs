//! `trust verify|show|repair|acknowledge`: the log, a member's chain up to the root key, and alarms
//! about it.
//!
//! Decides how a chain is drawn, and which alarm is meant. Refuses to call anything verified that
//! the daemon has not, and to make an alarm go away that nobody has named or seen.

use parsec_protocol::control::{
    Alarm, DeviceSelector, Empty, StatusResult, TrustAcknowledge, TrustAcknowledged, TrustLink,
    TrustRepaired, TrustShow, TrustShowResult, TrustVerifyResult, method,
};

use super::admin::confirm;
use super::reauth::selects;
use super::{Context, evidence};
use crate::args::{Sure, Trust};
use crate::failure::{Done, Failure};
use crate::schema;
use crate::text::{escaped, grouped, moment};

pub(super) fn run(context: &Context<'_>, command: &Trust) -> Result<(), Failure> {
    match command {
        Trust::Verify => verify(context),
        Trust::Show { user } => show(context, user.clone()),
        Trust::Acknowledge { alarm, sure } => acknowledge(context, *alarm, sure),
        Trust::Repair => repair(context),
        Trust::Log { from } => evidence::log(context, *from),
        Trust::Export { file } => evidence::export(context, file),
        Trust::Import { file, sure } => evidence::import(context, file, sure),
        Trust::Fork { file, alarm } => evidence::fork(context, file, *alarm),
        Trust::CheckFork { file } => evidence::check_fork(context, file),
    }
}

fn acknowledge(context: &Context<'_>, number: Option<u64>, sure: &Sure) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let status: StatusResult = daemon.call(method::STATUS, &Empty {})?;
    let (alarm, id) = meant(&status.alarms, number, &context.global.select())?;
    let what = format!(
        "{}\nAcknowledge it if you have done so. What was refused stays refused.",
        self::alarm(alarm)
    );
    confirm(context, &what, sure)?;
    let select = DeviceSelector { device: alarm.device.map(|device| device.to_string()), organisation: None };
    let asked = TrustAcknowledge { select, alarm: id };
    let result: TrustAcknowledged = context.ask(&mut daemon, method::TRUST_ACKNOWLEDGE, &asked)?;
    let text = format!("Alarm {id} is acknowledged.");
    let done = Done::new(&text, "`parsecctl status` shows the alarms that are left.");
    context.output.changed(schema::TRUST_ACKNOWLEDGE, &result, || text.clone(), done)
}

/// An alarm and its remedy, for a person.
pub(super) fn alarm(alarm: &Alarm) -> String {
    format!(
        "ALARM{} in {} since {}: {}\n  What to do: {}{}",
        alarm.id.map(|id| format!(" {id}")).unwrap_or_default(),
        alarm.organisation,
        moment(alarm.since),
        escaped(&alarm.problem.message),
        escaped(&alarm.problem.hint),
        if alarm.proof { " A proof for others: `parsecctl trust fork FILE`." } else { "" }
    )
}

/// The alarm of this number, or the only one, among those of the devices that are meant.
pub(super) fn meant<'a>(
    alarms: &'a [Alarm],
    number: Option<u64>,
    select: &DeviceSelector,
) -> Result<(&'a Alarm, u64), Failure> {
    let device = select.device.as_ref().map(|start| start.to_ascii_lowercase());
    let select = DeviceSelector { device, organisation: select.organisation.clone() };
    // One without a number or a device could not be kept: there is nothing to acknowledge.
    let mut found = alarms.iter().filter_map(|alarm| {
        let (id, device) = (alarm.id?, alarm.device?);
        let meant = selects(&select, device, &alarm.organisation) && number.is_none_or(|wanted| wanted == id);
        meant.then_some((alarm, id))
    });
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Failure::usage(
            "There is no such alarm",
            "`parsecctl status` shows what there is; of a locked device it is known once it is unlocked.",
        )),
        (Some(_), Some(_)) => Err(Failure::usage(
            "There is more than one such alarm",
            "Give its number, and --device or --organisation where two have the same.",
        )),
    }
}

fn verify(context: &Context<'_>) -> Result<(), Failure> {
    context.output.say("Fetching the whole log anew and checking every certificate...");
    let result: TrustVerifyResult = context.call(method::TRUST_VERIFY, &context.global.select())?;
    context.output.result(schema::TRUST_VERIFY, &result, || {
        format!(
            "The log is sound: {} certificates, every one checked up to the root key.\n\
             Members:   {} with {} devices\n\
             Root key:  {}\n\
             Log head:  {}",
            result.count,
            result.users,
            result.devices,
            grouped(&result.root_fingerprint),
            grouped(&result.head)
        )
    })
}

fn repair(context: &Context<'_>) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    context.output.say(
        "Comparing the server's log with this device's, sending what is missing, checking all of it anew...",
    );
    let select = context.global.select();
    let result: TrustRepaired = context.ask(&mut daemon, method::TRUST_REPAIR, &select)?;
    context.output.result(schema::TRUST_REPAIR, &result, || repaired(&result))
}

fn repaired(result: &TrustRepaired) -> String {
    let first = match result.added {
        0 => "The server's log lacks nothing".to_owned(),
        1 => "1 certificate is back in the server's log".to_owned(),
        added => format!("{added} certificates are back in the server's log"),
    };
    let mut lines = vec![format!(
        "{first}: {} certificates, every one checked up to the root key.\nLog head:  {}",
        result.count,
        grouped(&result.head)
    )];
    if result.invitations > 0 {
        lines.push(format!(
            "Invitations made here that the server had lost and has again: {}",
            result.invitations
        ));
    }
    lines.extend(result.alarms.iter().map(|alarm| match alarm.id {
        Some(id) => format!("Alarm {id} is closed: {}", escaped(&alarm.problem.message)),
        None => format!("An alarm is closed: {}", escaped(&alarm.problem.message)),
    }));
    lines.join("\n")
}

fn show(context: &Context<'_>, user: Option<String>) -> Result<(), Failure> {
    let asked = TrustShow { select: context.global.select(), user };
    let result: TrustShowResult = context.call(method::TRUST_SHOW, &asked)?;
    context
        .output
        .result(schema::TRUST_SHOW, &result, || chain(&result.chain, &result.root_fingerprint).join("\n"))
}

/// The chain from the user down to the root, each link naming its signer, which is the next one's
/// subject.
pub(super) fn chain(links: &[TrustLink], root_fingerprint: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for link in links {
        let kind = if link.kind == "user_key" { "new key" } else { &link.kind };
        lines.push(format!("{}: {}", escaped(kind), escaped(&link.subject)));
        lines.push(format!("  key        {}", grouped(&link.key)));
        lines.push(format!("  certified  {}, certificate {} of the log", moment(link.time), link.position));
        lines.push(format!(
            "  signed by  {}\n  its key    {}",
            escaped(&link.signed_by),
            grouped(&link.signer_key)
        ));
        lines.push("    |".to_owned());
    }
    lines.push(format!("root key, where every chain ends\n  SHA-256    {}", grouped(root_fingerprint)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use parsec_protocol::control::{Problem, ProblemKind};
    use parsec_protocol::ids::{DeviceId, Timestamp};

    fn alarm(id: Option<u64>, device: u8, organisation: &str) -> Alarm {
        Alarm {
            id,
            device: Some(DeviceId::from_bytes([device; 16])),
            organisation: organisation.parse().unwrap(),
            problem: Problem::new(ProblemKind::RolledBack, "x"),
            since: Timestamp(0),
            proof: false,
        }
    }

    #[test]
    fn an_alarm_is_named_or_the_only_one() {
        let none = DeviceSelector::default();
        let alarms =
            [alarm(Some(1), 0xaa, "acme"), alarm(Some(1), 0xbb, "bolt"), alarm(Some(2), 0xbb, "bolt")];
        let found = |number, select: &DeviceSelector| {
            meant(&alarms, number, select).map(|(alarm, id)| (alarm.organisation.to_string(), id)).ok()
        };
        assert_eq!(found(Some(2), &none), Some(("bolt".into(), 2)));
        assert_eq!(found(Some(1), &none), None, "two have this number");
        assert_eq!(found(None, &none), None);
        assert_eq!(found(Some(7), &none), None);
        let acme = DeviceSelector { organisation: Some("acme".parse().unwrap()), device: None };
        assert_eq!(found(None, &acme), Some(("acme".into(), 1)));
        let bolt = DeviceSelector { device: Some("BBBB".into()), organisation: None };
        assert_eq!(found(Some(1), &bolt), Some(("bolt".into(), 1)));
        // One that could not be kept has no number, and goes with the daemon.
        assert!(meant(&[alarm(None, 0xaa, "acme")], None, &none).is_err());
    }
}
