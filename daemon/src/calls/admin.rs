//! `device.revoke`, `user.revoke`, `user.profile`, `user.rekey`: what a member says about others, signed and put
//! into the log.
//!
//! Decides that nothing is signed but over the newest log, nor anything that readers would refuse.
//! Asked for what is so already, it answers and signs nothing: a person who got no answer may ask
//! again.

use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::control::{Member, Problem, ProfileName, UserRekeyed};
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::relay::{ErrorCode, NewCertificate};

use super::members;
use crate::os::blocking_in;
use crate::os::clock;
use crate::problems;
use crate::session::Session;
use crate::session::names;
use crate::session::rekey::{Changed, Why};
use crate::transport::TransportError;
use crate::transport::retry::{ANSWER_WAIT, within};

/// Certificates signed for one request. Others may be changing the same log: each refusal means
/// that there is something new in it.
const TRIES: u32 = 3;

/// What is to be said.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// This device is not trusted any more.
    DeviceRevoked(DeviceId),
    /// This member is none any more.
    UserRevoked(UserId),
    /// This member may do something else.
    Profile(UserId, ProfileName),
}

impl Change {
    fn body(self) -> Body {
        match self {
            Self::DeviceRevoked(device) => Body::DeviceRevoked { device },
            Self::UserRevoked(user) => Body::UserRevoked { user },
            Self::Profile(user, profile) => Body::ProfileChange {
                user,
                profile: match profile {
                    ProfileName::Administrator => Profile::Administrator,
                    ProfileName::Standard => Profile::Standard,
                    ProfileName::Outsider => Profile::Outsider,
                },
            },
        }
    }

    /// Whom it is about, and whether it is so already.
    fn standing(self, log: &VerifiedLog) -> Result<(UserId, bool), Problem> {
        let unknown = || problems::not_signed(Fault::SubjectUnknown);
        match self {
            Self::DeviceRevoked(device) => {
                let record = log.device(&device).ok_or_else(unknown)?;
                Ok((record.user, record.revoked.is_some()))
            }
            Self::UserRevoked(user) => {
                let record = log.user(&user).ok_or_else(unknown)?;
                Ok((user, record.revoked.is_some()))
            }
            Self::Profile(user, profile) => {
                let record = log.user(&user).ok_or_else(unknown)?;
                Ok((user, record.revoked.is_none() && names::profile(record.profile) == profile))
            }
        }
    }
}

/// Puts a change into the log and answers with the member as the log then has them.
///
/// # Errors
/// Why not.
pub async fn run(session: &Session, change: Change) -> Result<Member, Problem> {
    let mut refusal = None;
    for left in (0..=TRIES).rev() {
        let log = session.sync().await?;
        let (user, done) = change.standing(&log)?;
        if done {
            return members::member(session, &log, user);
        }
        if left == 0 {
            break;
        }
        let count = log.count();
        // Nothing new is in the log, and yet it was refused.
        if let Some((_, problem)) = refusal.take_if(|(before, _)| *before == count) {
            return Err(problem);
        }
        let (open, now) = (Arc::clone(&session.open), clock::now());
        // Off the loop: it goes through a copy of the whole log.
        let certificate = blocking_in(&session.tasks, move || {
            certify(&log, open.summary.device, &open.keys.signing_key, change.body(), now).map_err(problems::not_signed)
        })
        .await?;
        match publish(session, NewCertificate { certificates: vec![certificate.into()] }).await? {
            Ok(()) => {}
            Err(problem) => refusal = Some((count, problem)),
        }
    }
    let text = "it takes certificates, and does not show them in the log";
    Err(refusal.map_or_else(|| TransportError::Misbehaved(text).into(), |(_, problem)| problem))
}

/// `user.rekey`: the caller's own key, changed because its person says so.
///
/// # Errors
/// Why not; what was signed goes out again by itself.
pub async fn rekey(session: &Session) -> Result<UserRekeyed, Problem> {
    let Changed { log, key, left_out, .. } = session.change_user_key(Why::Asked).await?;
    let member = members::member(session, &log, session.open.summary.user)?;
    Ok(UserRekeyed { member, key: key.to_string(), left_out })
}

/// Hands a certificate in. A refusal of it may pass, once the log is known better.
async fn publish(session: &Session, new: NewCertificate) -> Result<Result<(), Problem>, Problem> {
    match within(ANSWER_WAIT, || session.member.publish(&new)).await {
        Ok(Ok(_)) => Ok(Ok(())),
        Ok(Err(error)) => match error.code() {
            Some(ErrorCode::CertificateRefused | ErrorCode::NotAllowed) => Ok(Err(error.into())),
            Some(_) | None => Err(error.into()),
        },
        Err(last) => {
            let text = format!("The change was not confirmed: {last}. It may have been made; ask again.");
            Err(Problem::new(Problem::from(last).name, text))
        }
    }
}
