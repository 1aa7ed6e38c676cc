//! Whether contents have room at the server, before anything of them is sealed or sent.
//!
//! Decides by the server's word and by what waits here and will take room before them. Refuses only
//! what can't fit, and names the limit, the room that is left of it, and what can be done. A server
//! that is not to be asked refuses nothing: what is saved waits, and says why.

use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind, SafeRoomLeft};
use parsec_protocol::relay::{Limited, SafeRoom};
use parsec_protocol::safes::content_ref::CHUNK_BYTES;
use parsec_protocol::safes::object::OBJECT_TAG_BYTES;

use crate::session::Session;
use crate::session::open_safes::OpenSafe;

/// How long the server is given to say it: whoever puts a file waits for that.
const ASK_WAIT: Duration = Duration::from_secs(5);
/// Remedy where the organisation's limit is what stops it.
const MAKE_ROOM: &str = "Ask the server's administrator for more, or throw away what is not needed (`parsecctl safe usage` says what takes how much; what was thrown away counts for 30 days more). `--saved` keeps it on this device until there is room.";
/// Remedy where it is the disk.
const MORE_DISK: &str = "Tell the server's administrator that its disk is full. `--saved` keeps it on this device until there is room.";

/// Least number of bytes that contents take once they are sealed.
fn sealed(bytes: u64) -> u64 {
    let tags = bytes.div_ceil(CHUNK_BYTES).saturating_mul(OBJECT_TAG_BYTES as u64);
    bytes.saturating_add(tags)
}

/// What room there is for so many bytes of contents; nothing where the server can't be asked now.
///
/// # Errors
/// `quota_reached`: they can't fit; the store's.
pub(crate) async fn room(
    session: &Session,
    safe: &OpenSafe,
    bytes: u64,
) -> Result<Option<SafeRoomLeft>, Problem> {
    let is_known = safe.memory().await.verified.present().is_some();
    if !is_known {
        return Ok(None);
    }
    let (id, wanted) = (safe.id, sealed(bytes));
    let asked = tokio::time::timeout(ASK_WAIT, session.member.safe_room(id, wanted)).await;
    let Ok(Ok(there)) = asked else { return Ok(None) };
    let narrowest = narrowest(&there);
    let waiting = match narrowest {
        Some(_) => session.store(move |store| store.unsent_bytes(id)).await?,
        None => 0,
    };
    let free = narrowest.map(|(_, of)| of.limit.saturating_sub(of.bytes).saturating_sub(waiting));
    if let (Some((whose, Limited { bytes, limit })), Some(free)) = (narrowest, free)
        && wanted > free
    {
        let before =
            if waiting > 0 { format!(", and {waiting} wait here to be sent") } else { String::new() };
        let text = format!(
            "{whose} {limit} bytes at the server and {bytes} are taken now{before}, so that {free} are free; this needs {wanted}."
        );
        let problem = Problem::new(ProblemKind::QuotaReached, text);
        return Err(Problem { hint: MAKE_ROOM.to_owned(), ..problem });
    }
    // Nothing always fits, however full the disk is.
    if wanted > 0 && !there.disk {
        let text = format!("The server's disk has no room for {wanted} bytes.");
        let problem = Problem::new(ProblemKind::QuotaReached, text);
        return Err(Problem { hint: MORE_DISK.to_owned(), ..problem });
    }
    Ok(Some(SafeRoomLeft {
        safe: id,
        bytes: wanted,
        organisation_bytes: there.organisation,
        organisation_limit: there.limit,
        waiting_bytes: waiting,
        free,
    }))
}

/// Of the limits that there are, the one that leaves least, and the beginning of a sentence about
/// it.
fn narrowest(there: &SafeRoom) -> Option<(&'static str, Limited)> {
    let all = there.limit.map(|limit| Limited { bytes: there.organisation, limit });
    let limits = [
        ("The organisation's limit would be passed: its safes may take", all),
        ("The limit of a single safe would be passed: this one may take", there.safe),
        ("Your own limit would be passed: what you bring into all safes may take", there.member),
    ];
    let limits = limits.into_iter().filter_map(|(whose, of)| Some((whose, of?)));
    limits.min_by_key(|(_, of)| of.limit.saturating_sub(of.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_leaves_least_is_named() {
        let none = SafeRoom { organisation: 90, limit: None, disk: true, safe: None, member: None };
        assert!(narrowest(&none).is_none());
        let all = SafeRoom { limit: Some(100), safe: Some(Limited { bytes: 1, limit: 20 }), ..none };
        let of = |there: SafeRoom| narrowest(&there).map(|(whose, of)| (&whose[..8], of.limit));
        assert_eq!(of(all), Some(("The orga", 100)));
        assert_eq!(of(SafeRoom { organisation: 80, ..all }), Some(("The limi", 20)));
        let member = Some(Limited { bytes: 7, limit: 5 });
        assert_eq!(of(SafeRoom { member, ..all }), Some(("Your own", 5)), "passed already");
    }

    #[test]
    fn contents_never_take_less_than_their_bytes_and_a_tag_for_each_piece() {
        assert_eq!(sealed(0), 0);
        assert_eq!(sealed(1), 1 + OBJECT_TAG_BYTES as u64);
        assert_eq!(sealed(CHUNK_BYTES), CHUNK_BYTES + OBJECT_TAG_BYTES as u64);
        assert_eq!(sealed(CHUNK_BYTES + 1), CHUNK_BYTES + 1 + 2 * OBJECT_TAG_BYTES as u64);
        assert_eq!(sealed(u64::MAX), u64::MAX);
    }
}
