//! Kits that are split among members: plan and boxes of a new one, what is listed of them, and the
//! share that this device's user holds of somebody else's (docs/protocol.md, *Shares of a kit*).
//!
//! Decides to whom a share is sealed, by the log as it is now. Refuses a member who could not open
//! a share now. A share that is to be given is judged here as whoever gets it will judge it.

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{HeldShareView, KitMember, Problem, ProblemKind, SharedKit};
use parsec_protocol::enrol::io::HeldShare;
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::keys::KitSeed;
use parsec_protocol::relay::{ErrorCode, NewShares, ShareBox, SharesView};
use parsec_protocol::sealing::EncryptionKey;
use parsec_protocol::share_plan::Plan;
use parsec_protocol::shares::{self, Share, SplitFault};

use crate::os::{blocking_in, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::names::Names;
use crate::transport::TransportError;
use crate::transport::retry::answered;

fn unknown(text: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::ShareUnknown, text.into())
}

/// Among whom a kit is to be split.
#[derive(Debug, Clone)]
pub(super) struct Split {
    pub(super) threshold: u8,
    pub(super) members: Vec<UserId>,
}

pub(super) fn not_split(fault: SplitFault) -> Problem {
    let kind = match fault {
        SplitFault::Members => ProblemKind::InvalidRequest,
        SplitFault::NoEntropy => ProblemKind::NoRandomness,
    };
    Problem::new(kind, problems::sentence(&fault.to_string()))
}

/// Whether each of them is a member who could open a share now.
pub(super) fn may_be_asked(session: &Session, log: &VerifiedLog, members: &[UserId]) -> Result<(), Problem> {
    let names = Names::new(session.open.directory(), log);
    for member in members {
        let who = names.user_in_words(member);
        let standing = log.user(member).filter(|user| user.revoked.is_none());
        if standing.is_none() {
            return Err(Problem::new(ProblemKind::InvalidRequest, format!("{who} is no member (any more).")));
        }
        if log.is_suspended(member) {
            let text = format!(
                "A device of {who} was revoked, and their key not changed yet: nothing is sealed to them until one of their devices has done so."
            );
            return Err(Problem::new(ProblemKind::NotAllowed, text));
        }
    }
    Ok(())
}

/// The members' keys, as the log names them now: fetched, and each held against its hash.
pub(super) async fn keys_of(
    session: &Session,
    log: &VerifiedLog,
    members: &[UserId],
) -> Result<Vec<(UserId, EncryptionKey)>, Problem> {
    let mut keys = Vec::with_capacity(members.len());
    for member in members {
        let hash = log.user(member).ok_or_else(|| unknown("A member has gone meanwhile."))?.encryption_key;
        keys.push((*member, answered(|| session.member.encryption_key(&hash)).await?));
    }
    Ok(keys)
}

/// Plan and boxes of a new kit.
pub(super) fn boxes(
    log: &VerifiedLog,
    kit: &KitSeed,
    owner: UserId,
    split: &Split,
    keys: &[(UserId, EncryptionKey)],
) -> Result<NewShares, Problem> {
    let source = &mut entropy::System;
    let organisation = log.organisation();
    let (plan, shares) = shares::split(kit, organisation, owner, split.threshold, &split.members, source)
        .map_err(not_split)?;
    let mut boxes = Vec::with_capacity(shares.len());
    for (member, share) in plan.members.iter().zip(&shares) {
        let (_, key) = keys
            .iter()
            .find(|(user, _)| *user == member.user)
            .ok_or_else(|| Problem::new(ProblemKind::Internal, "A member of a plan has no key."))?;
        let sealed = share.seal_to_member(&plan, member.user, key, source).map_err(problems::no_entropy)?;
        boxes.push(ShareBox { member: member.user, key: key.hash(), sealed: sealed.into() });
    }
    let signing_key = kit.keys(organisation).signing_key;
    let plan = plan.sign_with(|context, message| signing_key.sign(context, message));
    Ok(NewShares { plan: plan.into(), boxes })
}

/// The split kits that concern this user: of whom, and the plan as it stands in this log. One that
/// does not stand (any more) is left out.
pub(super) async fn plans(session: &Session, log: &VerifiedLog) -> Result<Vec<(Plan, bool)>, TransportError> {
    let mut found = Vec::new();
    for named in answered(|| session.member.split_kits()).await?.kits {
        let view = match answered(|| session.member.shares_of(&named.kit)).await {
            Ok(view) => view,
            // It was revoked meanwhile.
            Err(error) if error.code() == Some(ErrorCode::BoxUnknown) => continue,
            Err(error) => return Err(error),
        };
        match Plan::standing(&view.plan, log) {
            Ok(plan) if plan.kit == named.kit && plan.user == named.user => {
                found.push((plan, view.own.is_some()));
            }
            Ok(_) => tracing::warn!(kit = %named.kit, "the server shows the plan of another kit"),
            Err(fault) => tracing::warn!(kit = %named.kit, %fault, "the server shows a plan that is none"),
        }
    }
    Ok(found)
}

/// Among whom a kit is split, as people see it.
pub(super) fn described(names: &Names<'_>, plan: &Plan) -> SharedKit {
    let member = |user: UserId| {
        let record = names.log().user(&user);
        KitMember {
            user,
            name: record.and_then(|record| names.user(record)),
            email: record.map(|record| record.email.clone()),
            revoked: record.is_none_or(|record| record.revoked.is_some()),
        }
    };
    let members: Vec<KitMember> = plan.members.iter().map(|it| member(it.user)).collect();
    SharedKit { threshold: plan.threshold, members }
}

/// Whether enough members are left to bring somebody back.
pub(super) fn is_in_reach(shared: &SharedKit) -> bool {
    let left = shared.members.iter().filter(|member| !member.revoked).count();
    left >= usize::from(shared.threshold)
}

/// Whose kits this user has shares of.
pub(super) fn held_of(names: &Names<'_>, me: UserId, plans: &[(Plan, bool)]) -> Vec<HeldShareView> {
    let held = plans.iter().filter(|(plan, own)| *own && plan.user != me && plan.share_of(&me).is_some());
    let shown = held.map(|(plan, _)| {
        let owner = names.log().user(&plan.user);
        HeldShareView {
            kit: plan.kit,
            user: plan.user,
            name: owner.and_then(|record| names.user(record)),
            email: owner.map(|record| record.email.clone()),
            shared: described(names, plan),
        }
    });
    shown.collect()
}

/// The share of a kit that this device's user holds, opened and held against the plan and the log.
///
/// # Errors
/// `share_unknown` where there is none, or the kit was revoked; `share_false` where what the server
/// keeps is not the share that the plan names; `user_key_missing`.
pub(crate) async fn held(
    session: &Session,
    log: &VerifiedLog,
    user: UserId,
    kit: DeviceId,
) -> Result<HeldShare, Problem> {
    let SharesView { plan: envelope, own } = match answered(|| session.member.shares_of(&kit)).await {
        Ok(view) => view,
        Err(error) if error.code() == Some(ErrorCode::BoxUnknown) => {
            return Err(unknown("The server has no share of this kit for you: it may have been revoked."));
        }
        Err(error) => return Err(error.into()),
    };
    let plan = Plan::standing(&envelope, log).map_err(|fault| {
        unknown(format!("The plan that the server has for this kit does not hold: {fault}."))
    })?;
    let me = session.open.summary.user;
    let own = own.filter(|_| (plan.user, plan.kit) == (user, kit) && plan.share_of(&me).is_some());
    let own = own.ok_or_else(|| unknown("You have no share of this kit."))?;
    let missing = || {
        let text = "Your share is sealed under an earlier key of yours, and nothing leads back to that key.";
        Problem::new(ProblemKind::UserKeyMissing, text)
    };
    let seed = session.earlier_seed(log, own.key).await?.ok_or_else(missing)?;
    blocking_in(&session.tasks, move || {
        let wrong = || {
            let text = "What the server keeps as your share is not the one that you were given.";
            Problem::new(ProblemKind::ShareFalse, text)
        };
        let share = Share::open_of_member(&own.sealed, &plan, me, &seed).map_err(|_| wrong())?;
        if !share.is_named(&plan, &me) {
            return Err(wrong());
        }
        Ok(HeldShare { plan: envelope.into(), share })
    })
    .await
}
