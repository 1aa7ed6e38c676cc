//! Calls about safes.
//!
//! Decides how each becomes one piece of work for the database: what can be read and checked of a
//! body is, before the work waits for its turn. What may be done, `crate::safes` and the protocol's
//! rules say.

mod objects;
mod repairing;
mod route;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::response::Response;
use parsec_protocol::ids::{SafeId, Timestamp, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    AddedBy, ErrorCode, NewRecord, NewSafe, ObjectIds, POSTED_BOXES_MAX, PostedBoxes, RecordAnswer,
    RoomWanted, SAFE_PAGE_MAX, SafeCertificate, SafeLogged, SafeRoom,
};

pub(super) use objects::put as put_objects;
pub(super) use route::{OneSafe, SafeCall};
pub(crate) use waiting::TurnsOver;
use waiting::Waiting;

use super::authenticated::Caller;
use super::{App, body};
use crate::errors::Refusal;
use crate::objects::ObjectStore as _;
use crate::safes::{self, Appended, Asking, Comes, Posted, Terms, is_room, warn_of_room};
use crate::store::safes::SafeKey;
use crate::store::{Tx, log};

/// How closely it is said whether the disk has room: to a GiB, as a power of two.
const GIBIBYTE_BITS: u32 = 30;

impl Caller {
    /// The caller about a safe, as of this transaction.
    fn asking<'a>(&'a self, tx: &dyn Tx, safe: &'a SafeId) -> Result<Asking<'a>, Refusal> {
        let member = self.member(tx)?;
        let of = SafeKey { organisation: &self.organisation, safe };
        Ok(Asking { of, device: member.device, user: member.user })
    }
}

/// Refuses to store more where the disk is all but full. Said once until something fits again: with
/// each refused upload, whoever tries again and again would fill the disk of the log, too.
fn check_room(app: &App, more: usize) -> Result<(), Refusal> {
    let more = u64::try_from(more).unwrap_or(u64::MAX);
    let room = app.objects.store.room()?;
    if is_room(room, more) {
        app.is_short_of_room.store(false, Ordering::Relaxed);
        return Ok(());
    }
    if !app.is_short_of_room.swap(true, Ordering::Relaxed) {
        warn_of_room(room);
    }
    Err(ErrorCode::QuotaReached.into())
}

/// Answers a call whose body was read.
pub(super) async fn answer(
    app: &Arc<App>,
    caller: Caller,
    call: SafeCall,
    content: Bytes,
    now: Timestamp,
) -> Result<Response, Refusal> {
    match call {
        SafeCall::List { after } => list(app, caller, after).await,
        SafeCall::Create => create(app, caller, body::decode(&content)?, now).await,
        SafeCall::One(safe, call) => one(app, caller, (safe, call), content, now).await,
    }
}

async fn list(app: &App, caller: Caller, after: Option<SafeId>) -> Result<Response, Refusal> {
    let store = caller.store(app);
    let read = move |tx: &dyn Tx| {
        let member = caller.member(tx)?;
        Ok(tx.safes_of(&caller.organisation, &member.user, after.as_ref(), SAFE_PAGE_MAX)?)
    };
    Ok(body::record(&store.read(read).await?))
}

async fn create(app: &Arc<App>, caller: Caller, asked: NewSafe, now: Timestamp) -> Result<Response, Refusal> {
    let certificate = safes::read_certificate(&asked.certificate, &caller.key)?;
    let safe = certificate.payload().safe;
    let comes = Comes { ring: Some(asked.ring), parts: asked.parts, boxes: Vec::new() };
    check_room(app, comes.bytes())?;
    let (store, app) = (caller.store(app), Arc::clone(app));
    let made = store.write(move |tx| {
        let log = log::lock(tx, &caller.organisation)?;
        let asking = caller.asking(tx, &safe)?;
        let terms = Terms::at(now, &app.safe_quotas);
        safes::found(tx, &log, &asking, certificate, &comes, &terms)
    });
    Ok(body::record(&SafeLogged { count: made.await? }))
}

async fn append(
    app: &Arc<App>,
    caller: Caller,
    safe: SafeId,
    asked: SafeCertificate,
) -> Result<Response, Refusal> {
    let comes = Arc::new(Comes { ring: asked.ring, parts: Vec::new(), boxes: asked.boxes });
    let mut waiting = Waiting::new(app);
    loop {
        let over = waiting.begin();
        let certificate = safes::read_certificate(&asked.certificate, &caller.key)?;
        let (store, now, has_waited) = (caller.store(app), app.clock.now(), waiting.is_over());
        let (app, caller, comes) = (Arc::clone(app), caller.clone(), Arc::clone(&comes));
        let appended = store.write(move |tx| {
            let log = log::lock(tx, &caller.organisation)?;
            let asking = caller.asking(tx, &safe)?;
            let terms = Terms { quotas: &app.safe_quotas, now, has_waited };
            safes::append(tx, &log, &asking, certificate, &comes, &terms)
        });
        match appended.await? {
            Appended::Counted(count) => {
                waiting.somebody_got_through();
                return Ok(body::record(&SafeLogged { count }));
            }
            Appended::Late => return Err(ErrorCode::SafeConflict.into()),
            Appended::Held(until) => waiting.wait(over, until, now).await,
        }
    }
}

async fn post(app: &Arc<App>, caller: Caller, safe: SafeId, asked: NewRecord) -> Result<Response, Refusal> {
    check_room(app, asked.record.len())?;
    let mut waiting = Waiting::new(app);
    loop {
        let over = waiting.begin();
        let record = safes::read_record(&asked.record, &caller.key)?;
        let (store, now, has_waited) = (caller.store(app), app.clock.now(), waiting.is_over());
        let (app, caller) = (Arc::clone(app), caller.clone());
        let posted = store.write(move |tx| {
            let log = log::lock(tx, &caller.organisation)?;
            let asking = caller.asking(tx, &safe)?;
            let terms = Terms { quotas: &app.safe_quotas, now, has_waited };
            safes::post(tx, &log, &asking, record, &terms)
        });
        match posted.await? {
            Posted::Answered(answer) => {
                if matches!(answer, RecordAnswer::Accepted { .. }) {
                    waiting.somebody_got_through();
                }
                return Ok(body::record(&answer));
            }
            Posted::Held(until) => waiting.wait(over, until, now).await,
        }
    }
}

async fn put_part(
    app: &Arc<App>,
    caller: Caller,
    (safe, hash): (SafeId, Hash),
    content: Bytes,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let (store, app) = (caller.store(app), Arc::clone(app));
    let put = move |tx: &mut dyn Tx| {
        let asking = caller.asking(tx, &safe)?;
        safes::put_part(tx, &asking, &hash, &content, &Terms::at(now, &app.safe_quotas))
    };
    store.write(put).await?;
    Ok(body::done())
}

async fn put_box(
    app: &Arc<App>,
    caller: Caller,
    (safe, epoch, user): (SafeId, u64, UserId),
    content: Bytes,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let (store, app) = (caller.store(app), Arc::clone(app));
    let put = move |tx: &mut dyn Tx| {
        let asking = caller.asking(tx, &safe)?;
        let terms = Terms::at(now, &app.safe_quotas);
        safes::post_box(tx, &asking, (epoch, &user), &content, &terms)
    };
    store.write(put).await?;
    Ok(body::done())
}

async fn one(
    app: &Arc<App>,
    caller: Caller,
    (safe, call): (SafeId, OneSafe),
    content: Bytes,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let store = caller.store(app);
    match call {
        OneSafe::Append => append(app, caller, safe, body::decode(&content)?).await,
        OneSafe::Post => post(app, caller, safe, body::decode(&content)?).await,
        OneSafe::PutPart(hash) => put_part(app, caller, (safe, hash), content, now).await,
        OneSafe::PutBox(epoch, user) => put_box(app, caller, (safe, epoch, user), content, now).await,
        OneSafe::Log { from, least } => {
            let read = move |tx: &dyn Tx| {
                let asking = caller.asking(tx, &safe)?;
                safes::reader(tx, &asking)?;
                Ok(tx.safe_page(asking.of, from)?)
            };
            body::reaching(least, &store.read(read).await?)
        }
        OneSafe::Journal { from, least } => {
            let read = move |tx: &dyn Tx| {
                let asking = caller.asking(tx, &safe)?;
                safes::reader(tx, &asking)?;
                Ok(tx.journal(asking.of, from)?)
            };
            body::reaching(least, &store.read(read).await?)
        }
        OneSafe::Ring(hash) => {
            let read = move |tx: &dyn Tx| safes::ring(tx, &caller.asking(tx, &safe)?, &hash);
            Ok(body::octets(store.read(read).await?))
        }
        OneSafe::Part(hash) => {
            let read = move |tx: &dyn Tx| safes::part(tx, &caller.asking(tx, &safe)?, &hash);
            Ok(body::octets(store.read(read).await?))
        }
        OneSafe::Boxes(epoch, user) => {
            let read = move |tx: &dyn Tx| {
                let asking = caller.asking(tx, &safe)?;
                safes::reader(tx, &asking)?;
                Ok(tx.posted(asking.of, epoch, &user, POSTED_BOXES_MAX)?)
            };
            let boxes = store.read(read).await?;
            if boxes.is_empty() {
                return Err(ErrorCode::BoxUnknown.into());
            }
            Ok(body::record(&PostedBoxes { boxes }))
        }
        OneSafe::Missing => {
            let missing = objects::missing(app, caller, safe, body::decode(&content)?);
            Ok(body::record(&ObjectIds { objects: missing.await? }))
        }
        OneSafe::Lengths => {
            let asked: ObjectIds = body::decode(&content)?;
            let read = move |tx: &dyn Tx| safes::lengths(tx, &caller.asking(tx, &safe)?, &asked.objects);
            Ok(body::record(&store.read(read).await?))
        }
        OneSafe::Added => {
            let AddedBy { seq } = body::decode(&content)?;
            let added = move |tx: &mut dyn Tx| {
                let asking = caller.asking(tx, &safe)?;
                safes::added(tx, &asking, seq)
            };
            store.write(added).await?;
            Ok(body::done())
        }
        OneSafe::Usage => {
            let app = Arc::clone(app);
            let read = move |tx: &dyn Tx| safes::totals(tx, &caller.asking(tx, &safe)?, &app.safe_quotas);
            Ok(body::record(&store.read(read).await?))
        }
        OneSafe::Room => {
            let RoomWanted { bytes } = body::decode(&content)?;
            let app = Arc::clone(app);
            let disk = is_room(app.objects.store.room()?, whole_gibibytes(bytes));
            let read = move |tx: &dyn Tx| {
                let room = safes::room(tx, &caller.asking(tx, &safe)?, &app.safe_quotas)?;
                Ok::<_, Refusal>(SafeRoom { disk, ..room })
            };
            Ok(body::record(&store.read(read).await?))
        }
        OneSafe::Repair => repairing::repair(app, caller, safe, body::decode(&content)?, now).await,
        OneSafe::Fetch => objects::fetch(app, caller, safe, body::decode(&content)?).await,
        // Its body is read as it comes, by `put_objects`.
        OneSafe::PutObjects => Err(ErrorCode::Internal.into()),
    }
}

/// So many bytes in whole GiB. A member who asks for ever closer numbers would learn how full the
/// server's disk is, and so what other organisations keep there.
const fn whole_gibibytes(bytes: u64) -> u64 {
    (bytes >> GIBIBYTE_BITS) << GIBIBYTE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_the_disk_has_room_is_said_to_a_gibibyte() {
        let whole = 1_u64 << GIBIBYTE_BITS;
        assert_eq!([0, 1, whole - 1].map(whole_gibibytes), [0; 3]);
        assert_eq!([whole, 2 * whole - 1].map(whole_gibibytes), [whole; 2]);
        assert_eq!(whole_gibibytes(u64::MAX), u64::MAX - (whole - 1));
    }
}
