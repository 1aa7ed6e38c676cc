//! The user's manifest: which version this device takes, and when it writes the next one.
//!
//! Decides by the floors that nobody can take back (docs/protocol.md, *User manifest*), and
//! compares what its author had verified of the log with this device's own. Refuses older versions,
//! others under the same number, and what a device wrote that was revoked since; each is an alarm,
//! the last is written above. One version at a time, whichever task asks.

use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::{Author, DeviceKind, ManifestMark};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::members::sealed_with;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::DeviceId;
use parsec_protocol::keys::UserSeed;
use parsec_protocol::manifest::floor::{Floors, NotTaken};
use parsec_protocol::manifest::{ManifestError, ManifestHeader, Opened, Summary, seal, verify};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::relay::{ErrorCode, Least, ManifestUpload, ManifestView};

use super::names::Names;
use super::user_keys::own;
use super::{Session, SyncError, safe_marks};
use crate::os::{blocking_in, clock, entropy};
use crate::problems;
use crate::store::Store;
use crate::transport::retry::{answered, until_done};
use crate::transport::{TransportError, Trouble};

/// Writes tried in a row: each that is refused means that another own device has just written.
const TRIES: u32 = 3;

/// The newest version that this device knows to have been there.
///
/// # Errors
/// The store's.
pub(crate) async fn known(session: &Session) -> Result<Option<ManifestMark>, Problem> {
    let [taken, told] = marks(session).await?;
    Ok(taken.into_iter().chain(told).max_by_key(|mark| mark.version))
}

/// The version that this device has taken itself, and the one that message 7 told it of.
async fn marks(session: &Session) -> Result<[Option<ManifestMark>; 2], Problem> {
    let taken = session.store(Store::manifest).await?;
    let taken = taken.map(|(version, envelope)| ManifestMark::of(version, &envelope));
    Ok([taken, session.store(Store::manifest_mark).await?])
}

/// Every version that is known to have been there.
async fn floors(session: &Session, log: &VerifiedLog) -> Result<Floors, Problem> {
    let [taken, told] = marks(session).await?;
    let floors = Floors::default().with(taken).with(told);
    let user = session.open.summary.user;
    let named = log.user(&user).into_iter().flat_map(|user| &user.keys);
    Ok(named.fold(floors, |floors, record| floors.with(record.manifest)))
}

/// What is to be done about the manifest.
enum Next {
    Nothing,
    Write,
    /// The server has been given back what it lost: it is read once more.
    Again,
}

/// Reads the newest manifest, takes it if it may be taken, and writes the next one where that is
/// due: there is none yet, it is sealed under a key that is not the present one any more, it is by
/// a device that has been revoked, or it lacks what this device knows of the user's safes, or a
/// directory key.
///
/// # Errors
/// What the server and the store say. What is wrong with a manifest is an alarm and no error.
pub async fn keep(session: &Session, trouble: &Trouble) -> Result<(), Problem> {
    keep_with(session, trouble, false).await
}

/// The same, and writes the next one where it lacks how far the safes have come: a new device of
/// the user has nothing else by which it knows a server that shows it less.
///
/// # Errors
/// As [`keep`].
pub async fn keep_heads(session: &Session, trouble: &Trouble) -> Result<(), Problem> {
    keep_with(session, trouble, true).await
}

async fn keep_with(session: &Session, trouble: &Trouble, heads: bool) -> Result<(), Problem> {
    let _one_at_a_time = session.keeping_manifest.lock().await;
    for _ in 0..TRIES {
        let log = session.log();
        let floors = floors(session, &log).await?;
        let seen = Least(floors.version());
        let there = until_done(trouble, || session.member.manifest(seen)).await?;
        let version = there.version;
        match read(session, &log, &floors, there, heads).await? {
            Next::Nothing => return Ok(()),
            Next::Again => continue,
            Next::Write => {}
        }
        // Without the present key nothing is written; another own device does.
        let Ok(seed) = session.present_seed(&log).await else { return Ok(()) };
        if write(session, trouble, &log, seed, version.saturating_add(1)).await? {
            return Ok(());
        }
    }
    Ok(())
}

async fn read(
    session: &Session,
    log: &Arc<VerifiedLog>,
    floors: &Floors,
    there: ManifestView,
    heads: bool,
) -> Result<Next, Problem> {
    let summary = &session.open.summary;
    let Some(envelope) = there.envelope.filter(|_| there.version > 0) else {
        if floors.version() > 0 {
            if put_back(session, 0).await? {
                return Ok(Next::Again);
            }
            let text =
                format!("The server has no manifest of yours, and version {} was there.", floors.version());
            session.alarm(&Problem::new(ProblemKind::RolledBack, text)).await;
            return Ok(Next::Nothing);
        }
        let first = log.devices_of(&summary.user).next();
        let mine = first.is_some_and(|device| device.device == summary.device);
        return Ok(if mine { Next::Write } else { Next::Nothing });
    };
    let envelope = Vec::from(envelope);
    let opened = match opened(session, log, &envelope).await? {
        Ok(opened) if opened.header.version == there.version => opened,
        Ok(_) => {
            untrusted(session, "The server shows a manifest of yours under another version than its own.")
                .await;
            return Ok(Next::Nothing);
        }
        // Sealed under a key that this device has no use of yet: told where the box was missing.
        Err(Unread::KeyMissing) => return Ok(Next::Nothing),
        // By a device, or under a key, that stands further on in the log than this device has read.
        Err(Unread::Bad(_)) if session.sync().await.is_ok_and(|now| now.count() > log.count()) => {
            return Ok(Next::Again);
        }
        Err(Unread::Bad(error)) => {
            untrusted(session, format!("The server's manifest is none by your devices: {error}.")).await;
            return Ok(Next::Nothing);
        }
    };
    let mark = ManifestMark::of(there.version, &envelope);
    let author = opened.header.author;
    let revoked = log.device(&author).is_none_or(|device| device.revoked.is_some());
    match floors.admit(mark, revoked) {
        Ok(()) => {}
        Err(NotTaken::RolledBack { shown, .. }) if put_back(session, shown).await? => return Ok(Next::Again),
        Err(error @ (NotTaken::RolledBack { .. } | NotTaken::Forked { .. })) => {
            session
                .alarm(&Problem::new(ProblemKind::RolledBack, problems::sentence(&error.to_string())))
                .await;
            return Ok(Next::Nothing);
        }
        Err(NotTaken::Unvouched { version }) => {
            let who = in_words(session, log, author);
            let text = format!(
                "Version {version} of your manifest was written by {who}, which has been revoked: it is not taken, and the next version replaces it."
            );
            untrusted(session, text).await;
            return Ok(Next::Write);
        }
    }
    compare(session, log, &opened).await?;
    session.store(move |store| store.put_manifest(mark.version, &envelope)).await?;
    let present = own(session, log)?.encryption_key;
    let sealed_anew = opened.header.key != present;
    let mut opened = opened;
    let lacks_keys = take_directory(session, log, opened.directory_keys.take()).await?;
    let says_more = safe_marks::take(session, opened, heads).await?;
    Ok(if sealed_anew || says_more || lacks_keys { Next::Write } else { Next::Nothing })
}

/// Takes the directory keys that another device of the user has. Whether the manifest lacks one
/// that is here.
async fn take_directory(
    session: &Session,
    log: &VerifiedLog,
    keys: Option<DirectoryKeys>,
) -> Result<bool, Problem> {
    let given = keys.as_ref().map(DirectoryKeys::record).unwrap_or_default();
    let numbers: Vec<u32> = given.iter().map(|key| key.number).collect();
    session.take_directory_keys(log, given).await?;
    let carried = session.open.directory().carried(own_name(session, log)?);
    Ok(carried.iter().any(|key| numbers.binary_search(&key.number).is_err()))
}

/// Number of the key with which the user's own name is sealed: who comes back with a recovery kit
/// must be able to open it.
fn own_name(session: &Session, log: &VerifiedLog) -> Result<Option<u32>, Problem> {
    Ok(sealed_with(&own(session, log)?.sealed_name))
}

/// Gives the server back the version that follows the one it shows, if that is the one kept here:
/// it lost it. Whether there was one to give.
async fn put_back(session: &Session, shown: u64) -> Result<bool, Problem> {
    let Some((version, envelope)) = session.store(Store::manifest).await? else { return Ok(false) };
    if version != shown.saturating_add(1) {
        return Ok(false);
    }
    let upload = ManifestUpload { version, envelope: envelope.into() };
    match answered(|| session.member.put_manifest(&upload)).await {
        Ok(()) => {
            session.directory_may_be_lost();
            Ok(true)
        }
        Err(TransportError::Refused { code: ErrorCode::ManifestConflict, .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Why a manifest was not opened.
enum Unread {
    KeyMissing,
    Bad(ManifestError),
}

/// Opens a manifest by the log, with whichever key of the user it names.
async fn opened(
    session: &Session,
    log: &VerifiedLog,
    envelope: &[u8],
) -> Result<Result<Opened, Unread>, Problem> {
    let summary = &session.open.summary;
    let signed = verify(envelope, &summary.organisation, &summary.user, |author| {
        let device = log.device(author).filter(|device| device.user == summary.user)?;
        // A recovery kit lets a device in, and writes nothing.
        (device.kind == DeviceKind::Device).then_some(device.verify_key)
    });
    let signed = match signed {
        Ok(signed) => signed,
        Err(error) => return Ok(Err(Unread::Bad(error))),
    };
    let key = signed.header.key;
    if !own(session, log)?.keys.iter().any(|record| record.key == key) {
        return Ok(Err(Unread::Bad(ManifestError::UnknownKey)));
    }
    let seed = match session.earlier_seed(log, key).await {
        Ok(Some(seed)) => seed,
        Ok(None) => return Ok(Err(Unread::KeyMissing)),
        Err(problem) if problem.name == ProblemKind::UserKeyMissing => return Ok(Err(Unread::KeyMissing)),
        Err(problem) => return Err(problem),
    };
    let key = seed.manifest_key(&summary.organisation, &summary.user);
    Ok(signed.open(&key).map_err(Unread::Bad))
}

/// Whether the author had verified the same log. Where this device's own is shorter, it is fetched:
/// a larger count is never taken without its certificates.
async fn compare(session: &Session, log: &Arc<VerifiedLog>, opened: &Opened) -> Result<(), Problem> {
    let anchor = opened.anchor;
    // Not how many: a finding that a person has acknowledged is told from a new one by its words.
    let fewer = |log: &VerifiedLog| {
        let who = in_words(session, log, opened.header.author);
        format!("{who} has verified {} certificates, and the server shows fewer.", anchor.count)
    };
    let mut own = Arc::clone(log);
    if own.head_at(anchor.count).is_none() {
        // A server that is known to lack them is not given time for them again.
        let (kind, found) = (ProblemKind::RolledBack.name(), fewer(&own));
        let known = session.store(move |store| store.alarm_is_known(kind, &found, false)).await?;
        match session.sync_to(if known { 0 } else { anchor.count }).await {
            Ok(longer) => own = longer,
            // It has raised its own alarm.
            Err(SyncError::Log(_) | SyncError::Forked(..)) => return Ok(()),
            Err(error @ SyncError::Transport(_)) => return Err(error.into()),
        }
    }
    let text = match own.head_at(anchor.count) {
        Some(head) if head == anchor => return Ok(()),
        Some(_) => format!(
            "{} has verified another log than this device: they part at or before certificate {}.",
            in_words(session, &own, opened.header.author),
            anchor.count
        ),
        None => fewer(&own),
    };
    // A person who has looked acknowledges it: the same finding is not raised again.
    session.alarm(&Problem::new(ProblemKind::RolledBack, text)).await;
    Ok(())
}

fn in_words(session: &Session, log: &VerifiedLog, device: DeviceId) -> String {
    Names::new(session.open.directory(), log).author_in_words(Author::Device(device))
}

async fn untrusted(session: &Session, text: impl Into<String>) {
    session.alarm(&Problem::new(ProblemKind::ManifestUntrusted, text)).await;
}

/// Writes a version under the present key; whether it was the next one. Kept once the server has
/// it: a version that it never took is none that was there.
async fn write(
    session: &Session,
    trouble: &Trouble,
    log: &Arc<VerifiedLog>,
    seed: Arc<UserSeed>,
    version: u64,
) -> Result<bool, Problem> {
    let (open, log) = (Arc::clone(&session.open), Arc::clone(log));
    let (key, own_name) = (own(session, &log)?.encryption_key, own_name(session, &log)?);
    let envelope = blocking_in(&session.tasks, move || {
        let (summary, keys) = (&open.summary, &open.keys);
        let header = ManifestHeader {
            organisation: summary.organisation.clone(),
            user: summary.user,
            version,
            author: summary.device,
            time: clock::now(),
            key,
        };
        let safes = safe_marks::of(&open.store, &summary.organisation)?;
        let content = Summary { directory_keys: &open.directory(), own_name, anchor: log.head(), safes };
        let manifest_key = seed.manifest_key(&summary.organisation, &summary.user);
        seal(&header, content, &manifest_key, &keys.signing_key, &mut entropy::System)
            .map_err(problems::no_entropy)
    })
    .await?;
    let upload = ManifestUpload { version, envelope: envelope.clone().into() };
    match until_done(trouble, || session.member.put_manifest(&upload)).await {
        Ok(()) => {
            session.store(move |store| store.put_manifest(version, &envelope)).await?;
            Ok(true)
        }
        Err(TransportError::Refused { code: ErrorCode::ManifestConflict, .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
