//! `recovery.create`, `recovery.share`, `recovery.list`, `recovery.drill`: a user's kits, as an
//! unlocked device sees them.
//!
//! Decides that a kit stands in the log, with its key and box, and was tried, before its words are
//! shown: words that were written down open something. A drill changes nothing but the date that is
//! remembered on this device. Keeps no word.

use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind};
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::chain::organisation::log::{DeviceRecord, VerifiedLog};
use parsec_protocol::chain::organisation::members::{NameOf, seal_name};
use parsec_protocol::control::{
    Problem, ProblemKind, RecoveryCreate, RecoveryCreated, RecoveryDrill, RecoveryDrilled, RecoveryKit,
    RecoveryListResult, RecoveryShare, RecoveryShared, SecretText, SharedKit,
};
use parsec_protocol::ids::{DeviceId, Label, Timestamp};
use parsec_protocol::keys::{KitSeed, UserSeed};
use parsec_protocol::relay::{ErrorCode, NewOwnDevice};
use parsec_protocol::share_plan::Plan;
use parsec_protocol::shares::split;
use parsec_protocol::user_key::UserKey;

use super::opening::Kit;
use super::shares::{self, Split};
use super::{opening, using};
use crate::os::{blocking_in, clock, entropy};
use crate::problems;
use crate::session::names::Names;
use crate::session::rekey::{Why, due_first};
use crate::session::{Session, SyncError, manifest};
use crate::store::{OpenDevice, Store};
use crate::transport::retry::{ANSWER_WAIT, within};
use crate::transport::{TransportError, Trouble};

/// What a kit is called whose maker gave it no name.
const LABEL: &str = "Recovery kit";
/// What a kit is called that was split, and whose maker gave it no name.
const SHARED_LABEL: &str = "Shared recovery kit";
/// A kit that nobody has tried for so long may be lost, or written down wrongly.
const DRILL_EVERY_SECONDS: u64 = 365 * 86_400;
/// Certificates signed for one request: each refusal means that there is something new in the log.
const TRIES: u32 = 3;

/// Makes a kit: in the log first, then tried, then its words.
///
/// # Errors
/// Why not; `key_change_due` where a device of the user was revoked and the key not changed yet.
pub(crate) async fn create(
    session: &Arc<Session>,
    request: RecoveryCreate,
) -> Result<RecoveryCreated, Problem> {
    let label = match request.label {
        Some(label) => label,
        None => LABEL
            .parse()
            .map_err(|_| Problem::new(ProblemKind::Internal, "The usual label of a kit is none."))?,
    };
    let made = make(session, &label, None).await?;
    Ok(RecoveryCreated {
        kit: made.kit,
        words: SecretText::new(made.words.words()),
        organisation: session.open.summary.organisation.clone(),
        server: session.member.server().address(),
        email: session.open.keys.email.clone(),
        root_fingerprint: session.log().root().fingerprint().to_string(),
    })
}

/// Makes a kit, splits it among members, and forgets it.
///
/// # Errors
/// `invalid_request` for members among whom no kit is split; as `recovery.create`.
pub(crate) async fn share(session: &Arc<Session>, request: RecoveryShare) -> Result<RecoveryShared, Problem> {
    let label: Label = match request.label {
        Some(label) => label,
        None => SHARED_LABEL
            .parse()
            .map_err(|_| Problem::new(ProblemKind::Internal, "The usual label of a kit is none."))?,
    };
    let log = session.sync().await?;
    shares::may_be_asked(session, &log, &request.members)?;
    let among = Split { threshold: request.threshold, members: request.members };
    // Before a kit is made that could not be split.
    let (owner, trial) = (session.open.summary.user, among.clone());
    let of = log.organisation().clone();
    let root = *log.root();
    blocking_in(&session.tasks, move || {
        let kit = KitSeed::draw(&of, &root, &mut entropy::System).map_err(problems::no_entropy)?;
        split(&kit, &of, owner, trial.threshold, &trial.members, &mut entropy::System)
            .map(drop)
            .map_err(shares::not_split)
    })
    .await?;
    let made = make(session, &label, Some(among)).await?;
    Ok(RecoveryShared { kit: made.kit })
}

/// A kit that is in the log and opens everything.
pub(super) struct Made {
    pub(super) kit: RecoveryKit,
    words: Arc<KitSeed>,
}

/// Makes a kit, and with it the shares into which it is split.
///
/// # Errors
/// As [`create`].
pub(super) async fn make(
    session: &Arc<Session>,
    label: &Label,
    split: Option<Split>,
) -> Result<Made, Problem> {
    // The kit finds the names' key and the safes there, and nowhere else.
    let trouble = Trouble::new(None);
    let written = manifest::keep_heads(session, &trouble);
    tokio::time::timeout(ANSWER_WAIT, written).await.map_err(|_| {
        Problem::new(ProblemKind::ServerUnreachable, "The server did not take your manifest in time.")
    })??;
    let (organisation, root) = (session.open.summary.organisation.clone(), session.open.keys.root);
    let words = blocking_in(&session.tasks, move || {
        KitSeed::draw(&organisation, &root, &mut entropy::System).map_err(problems::no_entropy)
    })
    .await?;
    let words = Arc::new(words);
    certified(session, &words, label, split.as_ref()).await?;
    // From here on it is in the log: whatever fails, its person has to know.
    let left = |problem: Problem| {
        let text = format!(
            "The kit was made, and could not be tried: {problem} Its words are not shown; revoke it (`parsecctl recovery list` shows which), and make another one."
        );
        Problem::new(problem.name, text)
    };
    tried(session, &words).await.map_err(left)?;
    let log = session.log();
    let device = words.keys(log.organisation()).device;
    let drilled = session.store(Store::drills).await.map_err(left)?.get(&device).copied();
    let mut kit =
        log.device(&device).map(|record| described(session, &log, record, drilled)).ok_or_else(|| {
            left(TransportError::Misbehaved("it takes a certificate, and does not show it in the log").into())
        })?;
    if split.is_some() {
        kit.shared = Some(shown(session, &log, device).await.map_err(left)?);
    }
    Ok(Made { kit, words })
}

/// How the server shows a new kit's splitting to its user, by the plan that the kit has signed.
async fn shown(session: &Session, log: &VerifiedLog, kit: DeviceId) -> Result<SharedKit, Problem> {
    let missing = TransportError::Misbehaved("it takes the shares of a kit, and does not show its plan");
    let plans = shares::plans(session, log).await?;
    let plan = plans.iter().find(|(plan, _)| plan.kit == kit).ok_or(missing)?;
    Ok(shares::described(&Names::new(session.open.directory(), log), &plan.0))
}

/// Puts the kit into the log, with its key and box.
async fn certified(
    session: &Arc<Session>,
    words: &Arc<KitSeed>,
    label: &Label,
    split: Option<&Split>,
) -> Result<(), Problem> {
    for left in (0..TRIES).rev() {
        let log = session.fresh_directory(session.sync().await?).await?;
        // What a thief has must not be what the kit opens.
        let log = if log.is_suspended(&session.open.summary.user) {
            session.change_user_key(Why::Due).await.map_err(|problem| due_first(&problem))?.log
        } else {
            log
        };
        let seed = session.present_seed(&log).await?;
        let split = match split {
            Some(split) => Some((split.clone(), shares::keys_of(session, &log, &split.members).await?)),
            None => None,
        };
        let (open, words, label) = (Arc::clone(&session.open), Arc::clone(words), label.clone());
        let new = blocking_in(&session.tasks, move || {
            let mut new = signed(&open, &log, &seed, &words, &label)?;
            if let Some((split, keys)) = &split {
                new.shares = Some(shares::boxes(&log, &words, open.summary.user, split, keys)?);
            }
            Ok::<_, Problem>(new)
        })
        .await?;
        match within(ANSWER_WAIT, || session.member.add_device(&new)).await {
            Ok(Ok(_)) => return Ok(()),
            // The key was changed, or the log has grown, meanwhile.
            Ok(Err(error))
                if left > 0
                    && matches!(
                        error.code(),
                        Some(ErrorCode::BoxesRefused | ErrorCode::CertificateRefused)
                    ) => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(last) => {
                let text = format!(
                    "The server did not confirm the kit: {last}. If `parsecctl recovery list` shows one that you have no words of, revoke it."
                );
                return Err(Problem::new(Problem::from(last).name, text));
            }
        }
    }
    Err(TransportError::Misbehaved("it refuses every kit").into())
}

/// The kit's certificate, signed by this device, with its key and box.
fn signed(
    open: &OpenDevice,
    log: &VerifiedLog,
    seed: &UserSeed,
    words: &KitSeed,
    label: &Label,
) -> Result<NewOwnDevice, Problem> {
    let source = &mut entropy::System;
    let dry = problems::no_entropy;
    let organisation = log.organisation();
    let keys = words.keys(organisation);
    let key = keys.device_seed.encryption_key();
    let whose = NameOf::Device(keys.device);
    let sealed_label = seal_name(&*open.directory(), organisation, whose, label, source).map_err(dry)?;
    let body = Body::Device {
        device: keys.device,
        user: open.summary.user,
        sealed_label: sealed_label.into(),
        verify_key: keys.signing_key.verify_key(),
        encryption_key: key.hash(),
        kind: DeviceKind::Recovery,
    };
    let certificate = certify(log, open.summary.device, &open.keys.signing_key, body, clock::now())
        .map_err(problems::not_signed)?;
    let user_key = seed.encryption_key().hash();
    let of = UserKey { organisation: organisation.clone(), user: open.summary.user, key: user_key };
    let sealed = of.seal_to_device(seed, keys.device, &key, source).map_err(dry)?;
    open.store.put_encryption_keys(std::slice::from_ref(&key))?;
    Ok(NewOwnDevice { certificate: certificate.into(), key, user_key, sealed: sealed.into(), shares: None })
}

/// Opens everything that a kit must open, from its words alone, and holds it against what this
/// device knows. Remembers the date.
async fn tried(session: &Session, words: &KitSeed) -> Result<Kit, Problem> {
    let summary = &session.open.summary;
    let kit = opening::open(session.member.server(), &summary.organisation, words).await?;
    if kit.user.user != summary.user {
        let text = format!("This is the recovery kit of {}.", using::in_words(&kit));
        return Err(Problem::new(ProblemKind::RecoveryKitUnknown, text));
    }
    // One log is a beginning of the other: whoever uses the kit has no log of their own to compare.
    let own = session.sync().await?;
    if !own.extends(&kit.log.head()) && !kit.log.extends(&own.head()) {
        let text = "The server shows a kit another log than this device has verified.";
        let problem = Problem::new(ProblemKind::RolledBack, text);
        session.alarm(&problem).await;
        return Err(problem);
    }
    let known = manifest::known(session).await?;
    match kit.manifest {
        Some(shown) if known.is_some_and(|known| known.version > shown.version) => {
            let text = "The server shows a kit an older manifest of yours than this device knows.";
            let problem = Problem::new(ProblemKind::RolledBack, text);
            session.alarm(&problem).await;
            return Err(problem);
        }
        Some(_) => {}
        None => {
            let text = "Your manifest was written by a device that has been revoked since: unlock another one of yours, which writes the next.";
            return Err(Problem::new(ProblemKind::ManifestUntrusted, text));
        }
    }
    let (device, now) = (kit.keys().device, clock::now());
    session.store(move |store| store.put_drill(device, now)).await?;
    Ok(kit)
}

/// The user's kits, revoked ones included.
///
/// # Errors
/// What the server sent is not believed; the store's.
pub(crate) async fn list(session: &Session) -> Result<RecoveryListResult, Problem> {
    let log = match session.sync().await {
        Ok(log) => log,
        Err(SyncError::Transport(error)) if error.passes() => session.log(),
        Err(error) => return Err(error.into()),
    };
    let drilled = session.store(Store::drills).await?;
    let when = |device: &DeviceId| drilled.get(device).copied();
    let kits = own(session, &log).map(|record| described(session, &log, record, when(&record.device)));
    let mut kits: Vec<RecoveryKit> = kits.collect();
    let plans = plans(session, &log).await?;
    let names = Names::new(session.open.directory(), &log);
    for kit in &mut kits {
        let plan = plans.iter().find(|(plan, _)| plan.kit == kit.device);
        kit.shared = plan.map(|(plan, _)| shares::described(&names, plan));
    }
    Ok(RecoveryListResult { kits, held: shares::held_of(&names, session.open.summary.user, &plans) })
}

/// The split kits that concern the user; none where the server can't be reached.
async fn plans(session: &Session, log: &VerifiedLog) -> Result<Vec<(Plan, bool)>, Problem> {
    match shares::plans(session, log).await {
        Ok(plans) => Ok(plans),
        Err(error) if error.passes() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The kits of the user of whose shares so many are with revoked members that the rest can't bring
/// the user back; none where the server can't be reached. For `doctor.run`.
///
/// # Errors
/// The server's refusal.
pub(crate) async fn out_of_reach(session: &Session) -> Result<Vec<RecoveryKit>, Problem> {
    let kits = list(session).await?.kits.into_iter().filter(|kit| !kit.revoked);
    Ok(kits.filter(|kit| kit.shared.as_ref().is_some_and(|shared| !shares::is_in_reach(shared))).collect())
}

/// Tries a kit: everything that it must open is opened, from its words alone.
///
/// # Errors
/// What would stand in its way; `recovery_kit_unknown` for somebody else's.
pub(crate) async fn drill(session: &Session, request: RecoveryDrill) -> Result<RecoveryDrilled, Problem> {
    let words = KitSeed::from_words(request.words.expose()).map_err(problems::not_words)?;
    let kit = tried(session, &words).await?;
    let device = kit.keys().device;
    let drilled = session.store(Store::drills).await?.get(&device).copied();
    let record = kit
        .log
        .device(&device)
        .ok_or_else(|| Problem::new(ProblemKind::Internal, "A kit that was opened is not in its log."))?;
    Ok(RecoveryDrilled {
        kit: described(session, &kit.log, record, drilled),
        certificates: kit.log.count(),
        safes: kit.safes,
    })
}

fn own<'a>(session: &'a Session, log: &'a VerifiedLog) -> impl Iterator<Item = &'a DeviceRecord> {
    log.devices_of(&session.open.summary.user).filter(|device| device.kind == DeviceKind::Recovery)
}

fn described(
    session: &Session,
    log: &VerifiedLog,
    record: &DeviceRecord,
    drilled: Option<Timestamp>,
) -> RecoveryKit {
    let names = Names::new(session.open.directory(), log);
    RecoveryKit {
        device: record.device,
        label: names.device(record),
        created: record.certified,
        created_by: names.author_in_words(record.author),
        revoked: record.revoked.is_some(),
        drilled,
        shared: None,
    }
}

/// Whether the user has kits and none of them was made or tried within a year, as far as this
/// device knows; for `doctor.run`.
///
/// # Errors
/// The store's.
pub(crate) async fn is_untried(session: &Session) -> Result<bool, Problem> {
    let log = session.log();
    let drilled = session.store(Store::drills).await?;
    let now = clock::now();
    let mut kits = own(session, &log).filter(|kit| kit.revoked.is_none()).peekable();
    let recently = |kit: &DeviceRecord| {
        let drilled = drilled.get(&kit.device).copied();
        let last = drilled.map_or(kit.certified, |drilled| drilled.max(kit.certified));
        last.plus_seconds(DRILL_EVERY_SECONDS) >= now
    };
    Ok(kits.peek().is_some() && !kits.any(recently))
}
