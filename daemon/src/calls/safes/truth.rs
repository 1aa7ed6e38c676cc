//! `safe.verify`, `safe.usage` and `safe.room`: whether a safe is whole, what it takes, and whether
//! more has room.
//!
//! Decides which safes are counted where none is named: those that the user is in and the server
//! has. How it is done, the room `truth` decides.

use std::os::fd::OwnedFd;

use parsec_protocol::control::{
    Problem, SafeRoom, SafeRoomResult, SafeUsage, SafeUsageResult, SafeVerified, SafeVerify,
};

use super::choose;
use super::files::readable;
use crate::safes::loading;
use crate::session::Session;
use crate::store::Standing;
use crate::truth::{self, Asked, Progress, room};

/// Everything of a safe, looked at anew. Ends early when it is dropped.
///
/// # Errors
/// Which safe is meant; `safe_not_accepted`; as `truth::verify`.
pub async fn verify(session: &Session, params: SafeVerify, file: OwnedFd) -> Result<SafeVerified, Problem> {
    let safe = choose(session, &params.safe).await?;
    readable(&*safe.memory().await)?;
    let asked = Asked { repair: params.repair, fetch: params.fetch };
    truth::verify(session, &safe, asked, Progress::new(file)).await
}

/// Whether so much has room at the server.
///
/// # Errors
/// Which safe is meant; `safe_not_accepted`; as `room::room`.
pub async fn room(session: &Session, params: SafeRoom) -> Result<SafeRoomResult, Problem> {
    let safe = choose(session, &params.safe).await?;
    readable(&*safe.memory().await)?;
    Ok(SafeRoomResult { room: room::room(session, &safe, params.bytes).await? })
}

/// What one safe takes at the server, or each.
///
/// # Errors
/// Which safe is meant; `safe_not_accepted`; as `truth::usage`.
pub async fn usage(session: &Session, params: SafeUsage) -> Result<SafeUsageResult, Problem> {
    let mut safes = Vec::new();
    if let Some(named) = &params.safe {
        let safe = choose(session, named).await?;
        readable(&*safe.memory().await)?;
        safes.push(truth::usage(session, &safe).await?);
    } else {
        for safe in loading::open_all(session).await? {
            let counts = {
                let memory = safe.memory().await;
                memory.standing == Standing::Accepted && memory.verified.present().is_some()
            };
            if counts {
                safes.push(truth::usage(session, &safe).await?);
            }
        }
    }
    let name = |name: Option<&parsec_protocol::ids::Label>| name.map(|name| name.as_str().to_owned());
    safes.sort_by_cached_key(|safe| (safe.name.is_none(), name(safe.name.as_ref()), safe.safe));
    Ok(SafeUsageResult { safes })
}
