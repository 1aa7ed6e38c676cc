//! Shares that members give to somebody who has no device any more: taking each in, and the way
//! back once there are enough (docs/protocol.md, *Put together*).
//!
//! Decides which shares go together: of one organisation by its root key, of one plan to the byte.
//! Refuses to go on with fewer than the plan needs, and with what somebody gave who has been put
//! out since, by the whole log.

use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind, RecoveryCombine, SecretText};
use parsec_protocol::enrol::io::ReceivedShare;
use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};
use parsec_protocol::keys::ShareSecret;
use parsec_protocol::share_plan::Plan;
use parsec_protocol::shares::{self, CombineFault};

use super::opening::Kit;
use super::using::{self, Machine, Passwords, Wanted};
use crate::os::blocking;
use crate::store::{CollectedShare, Collection, Devices, OpenDevice};

/// How far a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Shares that are here.
    pub collected: u8,
    /// Shares that the plan needs.
    pub needed: u8,
}

/// Takes a share in. Durable when it returns.
///
/// # Errors
/// `share_false` where it does not go together with what was collected; `wrong_password`; the
/// disk's.
pub(crate) async fn take(
    devices: Arc<Devices>,
    received: Arc<ReceivedShare>,
    server: String,
    password: SecretText,
) -> Result<Progress, Problem> {
    blocking(move || {
        let of = &*received;
        let change = |there: Option<Collection>| {
            let new = || {
                let (whose, kit) = ((of.user, of.email.clone()), (of.kit, of.plan.clone()));
                Collection::new(of.organisation.clone(), server, of.root, whose, kit)
            };
            let mut collection = there.unwrap_or_else(new);
            if collection.root != of.root {
                return Err(apart("Its ceremony gave another root key than the shares before: it is of another organisation."));
            }
            if *collection.plan != of.plan || collection.user != of.user {
                return Err(apart("It is of another plan than the shares before."));
            }
            let share = shares::Share { number: of.share.number, secret: copy(&of.share.secret) };
            collection.take(CollectedShare { giver: of.giver, seen: of.seen, share });
            Ok::<_, Problem>(collection)
        };
        let kept = devices.collect(&of.organisation, of.kit, &password, change)?;
        let collected = u8::try_from(kept.shares.len()).unwrap_or(u8::MAX);
        Ok::<_, Problem>(Progress { collected, needed: of.threshold })
    })
    .await
}

fn copy(secret: &ShareSecret) -> ShareSecret {
    ShareSecret::from_bytes(&mut { *secret.expose() })
}

fn apart(text: &str) -> Problem {
    Problem::new(ProblemKind::ShareFalse, text)
}

/// Brings the user back of whom enough shares were collected here.
///
/// # Errors
/// `share_unknown`, `shares_missing`, `share_false`, `wrong_password`; as `recovery.use`.
pub async fn combine(
    machine: Machine,
    passwords: &impl Passwords,
    request: RecoveryCombine,
) -> Result<OpenDevice, Problem> {
    let (organisation, kit) = chosen(&machine.devices, request.organisation.clone()).await?;
    let password = Arc::new(request.password);
    let (devices, of, given) = (Arc::clone(&machine.devices), organisation.clone(), Arc::clone(&password));
    let collection = passwords.open(kit, move || devices.collection(&of, kit, &given)).await?;
    let collection = collection.ok_or_else(none)?;
    let plan = Plan::unverified(&collection.plan)
        .map_err(|_| Problem::new(ProblemKind::StoreDamaged, "The plan that was kept is none."))?;
    let given: Vec<(UserId, &shares::Share)> =
        collection.shares.iter().map(|one| (one.giver, &one.share)).collect();
    let seed = shares::combine(&plan, &given).map_err(|fault| not_combined(fault, &plan, given.len()))?;
    let wanted = Wanted {
        server: collection.server.clone(),
        organisation: organisation.clone(),
        device_label: request.device_label,
        password,
        typed_codes: request.typed_codes,
    };
    let devices = Arc::clone(&machine.devices);
    let open = using::come_back(machine, passwords, wanted, &seed, |kit| stands(kit, &collection)).await?;
    // What is left would be worth a kit's words.
    blocking(move || devices.drop_collection(&organisation, kit)).await?;
    Ok(open)
}

fn none() -> Problem {
    Problem::new(ProblemKind::ShareUnknown, "No shares of a kit were collected on this machine.")
}

/// The one collection that is meant.
async fn chosen(
    devices: &Arc<Devices>,
    organisation: Option<OrganisationId>,
) -> Result<(OrganisationId, DeviceId), Problem> {
    let devices = Arc::clone(devices);
    let mut all = blocking(move || devices.collections()).await?;
    all.retain(|(of, _)| organisation.as_ref().is_none_or(|organisation| organisation == of));
    match (all.pop(), all.is_empty()) {
        (None, _) => Err(none()),
        (Some(only), true) => Ok(only),
        (Some(_), false) => {
            let text = "Shares of several kits were collected here: name the organisation.";
            Err(Problem::new(ProblemKind::InvalidRequest, text))
        }
    }
}

fn not_combined(fault: CombineFault, plan: &Plan, given: usize) -> Problem {
    match fault {
        CombineFault::TooFew => {
            let text = format!("{given} of {} shares are here.", plan.threshold);
            Problem::new(ProblemKind::SharesMissing, text)
        }
        CombineFault::FalseShare(user) => apart(&format!("The share of member {user} is not theirs.")),
        CombineFault::OtherKit => apart(
            "The shares are right, and give another kit than their plan names: whoever made it split something else.",
        ),
    }
}

/// Whether what was collected stands by the whole log: the root key and every head that a ceremony
/// gave, and no giver was put out.
fn stands(kit: &Kit, collection: &Collection) -> Result<(), Problem> {
    let log = &kit.log;
    let same = *log.root() == collection.root && collection.shares.iter().all(|one| log.extends(&one.seen));
    if !same {
        let text = "The server shows another log than the members had who gave their shares.";
        return Err(Problem::new(ProblemKind::RolledBack, text));
    }
    let gone =
        collection.shares.iter().find_map(|one| log.user(&one.giver).filter(|it| it.revoked.is_some()));
    match gone {
        None => Ok(()),
        Some(user) => {
            let text = format!(
                "{} has been revoked since they gave their share, so it does not count. Ask another member for theirs.",
                user.email
            );
            Err(Problem::new(ProblemKind::SharesMissing, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use parsec_protocol::chain::head::Head;
    use parsec_protocol::public_keys::{Hash, VerifyKey};
    use parsec_protocol::shares::Share;

    use super::*;
    use crate::store::WorkFactor;

    fn share(giver: u8, root: u8, plan: &[u8]) -> Arc<ReceivedShare> {
        Arc::new(ReceivedShare {
            organisation: "acme".parse().unwrap(),
            user: UserId::from_bytes([200; 16]),
            email: "alice@acme.example".parse().unwrap(),
            kit: DeviceId::from_bytes([7; 16]),
            root: VerifyKey::from_bytes([root; 32]),
            seen: Head { count: 3, hash: Hash::of(&[b"seen"]) },
            giver: UserId::from_bytes([giver; 16]),
            plan: plan.to_vec(),
            threshold: 2,
            share: Share { number: giver, secret: ShareSecret::from_bytes(&mut [giver; 32]) },
            device_label: "laptop".parse().unwrap(),
        })
    }

    /// One organisation, one plan, one password; and one share of each giver.
    #[tokio::test]
    async fn what_does_not_go_together_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let devices = Arc::new(Devices::open_with(&data, WorkFactor::for_tests()).unwrap());
        let given = |received, password: &str| {
            let password = SecretText::new(password.to_owned().into());
            take(Arc::clone(&devices), received, "https://x".to_owned(), password)
        };
        let good = "seven grey herons";
        let one = |collected| Ok(Progress { collected, needed: 2 });
        assert_eq!(given(share(1, 1, b"plan"), good).await, one(1));
        let refused = [
            (share(2, 9, b"plan"), good, ProblemKind::ShareFalse),
            (share(2, 1, b"another plan"), good, ProblemKind::ShareFalse),
            (share(2, 1, b"plan"), "another password", ProblemKind::WrongPassword),
            (share(2, 1, b"plan"), "weak", ProblemKind::WeakPassword),
        ];
        for (received, password, kind) in refused {
            assert_eq!(given(received, password).await.unwrap_err().name, kind);
        }
        assert_eq!(given(share(1, 1, b"plan"), good).await, one(1));
        assert_eq!(given(share(2, 1, b"plan"), good).await, one(2));
        let there = devices.collections().unwrap();
        assert_eq!(there.len(), 1);
        devices.drop_collection(&there[0].0, there[0].1).unwrap();
        assert!(devices.collections().unwrap().is_empty());
    }
}
