//! Who is at the other end, and who may be told anything.
//!
//! Decides on the device's own verified logs alone: a device that the organisation certified and
//! nobody revoked, of a user to whom the safe's log gives a role that counts now. Everybody else is
//! told nothing, and not why. A hello counts for the one connection that it was made for.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::chain::organisation::at::{DeviceAt, MembersAt as _, UserAt};
use parsec_protocol::chain::organisation::certificate::DeviceKind;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::Problem;
use parsec_protocol::direct::{
    EPOCHS_KNOWN, Ends, Hello, KNOCK_MAX, KNOCK_STEP, Knock, Meeting, Met, MetSafe, Side, Tag, random_entry,
    read_entry,
};
use parsec_protocol::ids::{DeviceId, SafeId, UserId};
use parsec_protocol::keys::NoEntropy;
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::keys::EpochKey;

use crate::os::{blocking_in, entropy};
use crate::problems::no_entropy;
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe};
use crate::store::Standing;

/// A member's device at the other end of a connection, and the safes that both have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Device that has shown to be there.
    pub(super) device: DeviceId,
    /// Safes for which it has.
    pub(super) safes: BTreeSet<SafeId>,
}

/// A safe, and the epoch of the key under which an entry is sealed.
type Sealed = (SafeId, u64);

/// A knock, and for which safe and epoch each of its entries is; none where it is random bytes.
#[derive(Debug)]
pub(super) struct Knocking {
    pub(super) knock: Knock,
    at: Meeting,
    entries: Vec<Option<Sealed>>,
}

impl Knocking {
    /// For which safes it is, and under which keys.
    pub(super) fn sealed(&self) -> BTreeSet<Sealed> {
        self.entries.iter().flatten().copied().collect()
    }
}

/// The key by which a device signs that may be told of a safe, by what is known here now.
pub(super) fn verify_key(log: &VerifiedLog, safe: &VerifiedSafe, device: &DeviceId) -> Option<VerifyKey> {
    let found = device_at(log, device)?;
    if found.revoked || found.kind != DeviceKind::Device {
        return None;
    }
    let user = user_at(log, &found.user)?;
    safe.role(&found.user)?.at(&user)?;
    Some(found.verify_key)
}

fn device_at(log: &VerifiedLog, device: &DeviceId) -> Option<DeviceAt> {
    match log.device_at(device, log.count()) {
        Ok(found) => found,
        Err(never) => match never {},
    }
}

fn user_at(log: &VerifiedLog, user: &UserId) -> Option<UserAt> {
    match log.user_at(user, log.count()) {
        Ok(found) => found,
        Err(never) => match never {},
    }
}

/// Whether a safe is this device's to speak of.
fn is_ours(session: &Session, memory: &Memory) -> bool {
    let log = session.log();
    memory.standing == Standing::Accepted
        && memory.founded
        && verify_key(&log, &memory.verified, &session.open.summary.device).is_some()
}

/// A device that has shown who it is is asked anew with each question: it may have been revoked, or
/// have lost its role, meanwhile.
pub(super) async fn may_still(session: &Session, safe: &OpenSafe, device: &DeviceId) -> bool {
    let memory = safe.memory().await;
    is_ours(session, &memory) && verify_key(&session.log(), &memory.verified, device).is_some()
}

/// The same of all safes for which a device has shown to be there: whether any of them is left.
pub(super) async fn is_member_still(session: &Session, member: &Member) -> bool {
    for id in &member.safes {
        if let Some(safe) = session.safes.get(*id)
            && may_still(session, &safe, &member.device).await
        {
            return true;
        }
    }
    false
}

fn hello(session: &Session, key: &EpochKey<'_>, side: Side, at: Meeting) -> Hello {
    let open = &session.open;
    Hello::of(key, side, at, open.summary.device, |context, message| {
        open.keys.signing_key.sign(context, message)
    })
}

/// A hello that came, if it is by a device which may be told of the safe, and is for this end of
/// this connection, in this knock.
fn checked(
    session: &Session,
    memory: &Memory,
    key: &EpochKey<'_>,
    (side, at): (Side, Meeting),
    sealed: &[u8],
) -> Option<DeviceId> {
    let hello = Hello::open(key, side, at, sealed)?;
    let by = verify_key(&session.log(), &memory.verified, &hello.device)?;
    // Another installation of one device is no other device.
    let other = hello.device != session.open.summary.device;
    (other && hello.is_by(key, side, at, &by)).then_some(hello.device)
}

/// What this device knocks with: for each of its safes the key that is the newest here. To all
/// others than its members each entry is random bytes, as those between them are.
///
/// # Errors
/// [`NoEntropy`].
pub(super) async fn knock(session: &Session, ends: Ends) -> Result<Knocking, NoEntropy> {
    let at = Meeting::draw(ends, &mut entropy::System)?;
    let mut entries: Vec<(Vec<u8>, Option<Sealed>)> = Vec::new();
    for safe in session.safes.all() {
        let memory = safe.memory().await;
        if !is_ours(session, &memory) || entries.len() >= KNOCK_MAX {
            continue;
        }
        // Somebody who has the newest key was taken out: they would be told who is here before
        // they show anything.
        let log = session.log();
        if memory.verified.is_due(&*log, log.count()) {
            continue;
        }
        let Some(key) = memory.keys.newest() else { continue };
        let entry = hello(session, &key, Side::Asker, at).entry(&key, at, &mut entropy::System)?;
        entries.push((entry, Some((safe.id, key.number()))));
    }
    while entries.is_empty() || !entries.len().is_multiple_of(KNOCK_STEP) {
        entries.push((random_entry(&mut entropy::System)?, None));
    }
    // By their tags, which are as good as random: where one stands tells nothing.
    entries.sort();
    let (knock, entries) = entries.into_iter().map(|(entry, of)| (entry.into(), of)).unzip();
    Ok(Knocking { knock: Knock { nonce: at.nonce, entries: knock }, at, entries })
}

/// The keys that a knock may be sealed under, by their tags in it. Computed where it may take long:
/// a stranger can ask for it.
///
/// # Errors
/// Work that panicked, as a problem.
async fn tags(session: &Session, at: Meeting) -> Result<BTreeMap<Tag, Sealed>, Problem> {
    let mut tags = BTreeMap::new();
    for safe in session.safes.all() {
        let memory = safe.memory().await;
        if !is_ours(session, &memory) {
            continue;
        }
        let id = safe.id;
        let of_safe = move || {
            let Some(newest) = memory.keys.newest().map(|key| key.number()) else { return Ok(Vec::new()) };
            let first = newest.saturating_sub(EPOCHS_KNOWN.saturating_sub(1));
            let keys = (first..=newest).filter_map(|epoch| Some((epoch, memory.keys.at(epoch)?)));
            Ok::<Vec<(Tag, Sealed)>, Problem>(
                keys.map(|(epoch, key)| (key.direct_tag(at), (id, epoch))).collect(),
            )
        };
        tags.extend(blocking_in(&session.tasks, of_safe).await?);
    }
    Ok(tags)
}

/// Answers a knock: with nothing, whatever the reason, to who is no member's device.
///
/// # Errors
/// No randomness, or work that panicked, as a problem.
pub(super) async fn answer(
    session: &Session,
    ends: Ends,
    knock: &Knock,
) -> Result<(Met, Option<Member>), Problem> {
    let at = Meeting { ends, nonce: knock.nonce };
    let mut known = tags(session, at).await?;
    let mut met = Met(Vec::new());
    let mut member: Option<Member> = None;
    for (number, entry) in (0_u32..).zip(&knock.entries) {
        let Some((tag, sealed)) = read_entry(entry) else { continue };
        // Each once: one tag again and again would cost a signature's check each time.
        let Some((id, epoch)) = known.remove(&tag) else { continue };
        let Some(safe) = session.safes.get(id) else { continue };
        let memory = safe.memory().await;
        let Some(key) = memory.keys.at(epoch) else { continue };
        let Some(device) = checked(session, &memory, &key, (Side::Asker, at), sealed) else { continue };
        let member = member.get_or_insert(Member { device, safes: BTreeSet::new() });
        // One connection, one device.
        if member.device != device || !member.safes.insert(id) {
            continue;
        }
        let own = hello(session, &key, Side::Answerer, at);
        let own = own.seal(&key, Side::Answerer, at, &mut entropy::System);
        let own = own.map_err(no_entropy)?;
        met.0.push(MetSafe { entry: number, hello: own.into() });
    }
    Ok((met, member))
}

/// Who answered a knock of this device; nobody where no answer is a member's device's.
pub(super) async fn met(session: &Session, knocking: &Knocking, met: &Met) -> Option<Member> {
    let mut member: Option<Member> = None;
    for MetSafe { entry, hello } in met.0.iter().take(KNOCK_MAX) {
        let entry = usize::try_from(*entry).ok().and_then(|entry| knocking.entries.get(entry));
        let Some((id, epoch)) = entry.copied().flatten() else { continue };
        let Some(safe) = session.safes.get(id) else { continue };
        let memory = safe.memory().await;
        let Some(key) = memory.keys.at(epoch) else { continue };
        let Some(device) = checked(session, &memory, &key, (Side::Answerer, knocking.at), hello) else {
            continue;
        };
        let member = member.get_or_insert(Member { device, safes: BTreeSet::new() });
        if member.device == device {
            member.safes.insert(id);
        }
    }
    member
}
