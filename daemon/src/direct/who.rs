//! Who is at the other end, and who may be told anything.
//!
//! Decides on the device's own verified logs alone: a device that the organisation certified and
//! nobody revoked, of a user to whom the safe's log gives a role that counts now. Everybody else is
//! told nothing, and not why. A hello counts for the one connection that it was made for.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::chain::organisation::at::{DeviceAt, MembersAt as _, UserAt};
use parsec_protocol::chain::organisation::certificate::DeviceKind;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::direct::{
    EPOCHS_KNOWN, Ends, Hello, KNOCK_MAX, KNOCK_STEP, Knock, Met, MetSafe, Side, Tag, random_entry,
    read_entry,
};
use parsec_protocol::ids::{DeviceId, SafeId, UserId};
use parsec_protocol::keys::NoEntropy;
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::keys::EpochKey;

use crate::os::entropy;
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

fn hello(session: &Session, key: &EpochKey<'_>, side: Side, ends: Ends) -> Hello {
    let open = &session.open;
    Hello::of(key, side, ends, open.summary.device, |context, message| {
        open.keys.signing_key.sign(context, message)
    })
}

/// A hello that came, if it is by a device which may be told of the safe, and is for this end of
/// this connection.
fn checked(
    session: &Session,
    memory: &Memory,
    key: &EpochKey<'_>,
    (side, ends): (Side, Ends),
    sealed: &[u8],
) -> Option<DeviceId> {
    let hello = Hello::open(key, side, ends, sealed)?;
    let by = verify_key(&session.log(), &memory.verified, &hello.device)?;
    // Another installation of one device is no other device.
    let other = hello.device != session.open.summary.device;
    (other && hello.is_by(key, side, ends, &by)).then_some(hello.device)
}

/// What this device knocks with: for each of its safes the key that is the newest here. To all
/// others than its members each entry is random bytes, as those between them are.
///
/// # Errors
/// [`NoEntropy`].
pub(super) async fn knock(session: &Session, ends: Ends) -> Result<Knocking, NoEntropy> {
    let mut entries: Vec<(Vec<u8>, Option<Sealed>)> = Vec::new();
    for safe in session.safes.all() {
        let memory = safe.memory().await;
        if !is_ours(session, &memory) || entries.len() >= KNOCK_MAX {
            continue;
        }
        let Some(key) = memory.keys.newest() else { continue };
        let entry = hello(session, &key, Side::Asker, ends).entry(&key, ends, &mut entropy::System)?;
        entries.push((entry, Some((safe.id, key.number()))));
    }
    while entries.is_empty() || !entries.len().is_multiple_of(KNOCK_STEP) {
        entries.push((random_entry(&mut entropy::System)?, None));
    }
    // By their tags, which are as good as random: where one stands tells nothing.
    entries.sort();
    let (knock, entries) = entries.into_iter().map(|(entry, of)| (entry.into(), of)).unzip();
    Ok(Knocking { knock: Knock(knock), entries })
}

/// The keys that a knock may be sealed under, by their tags at this connection.
async fn tags(session: &Session, ends: Ends) -> BTreeMap<Tag, Sealed> {
    let mut tags = BTreeMap::new();
    for safe in session.safes.all() {
        let memory = safe.memory().await;
        if !is_ours(session, &memory) {
            continue;
        }
        let Some(newest) = memory.keys.newest().map(|key| key.number()) else { continue };
        for epoch in newest.saturating_sub(EPOCHS_KNOWN.saturating_sub(1))..=newest {
            if let Some(key) = memory.keys.at(epoch) {
                tags.insert(key.direct_tag(ends), (safe.id, epoch));
            }
        }
    }
    tags
}

/// Answers a knock: with nothing, whatever the reason, to who is no member's device.
///
/// # Errors
/// [`NoEntropy`].
pub(super) async fn answer(
    session: &Session,
    ends: Ends,
    knock: &Knock,
) -> Result<(Met, Option<Member>), NoEntropy> {
    let known = tags(session, ends).await;
    let mut met = Met(Vec::new());
    let mut member: Option<Member> = None;
    for (number, entry) in (0_u32..).zip(&knock.0) {
        let Some((tag, sealed)) = read_entry(entry) else { continue };
        let Some((id, epoch)) = known.get(&tag).copied() else { continue };
        let Some(safe) = session.safes.get(id) else { continue };
        let memory = safe.memory().await;
        let Some(key) = memory.keys.at(epoch) else { continue };
        let Some(device) = checked(session, &memory, &key, (Side::Asker, ends), sealed) else { continue };
        let member = member.get_or_insert(Member { device, safes: BTreeSet::new() });
        // One connection, one device.
        if member.device != device || !member.safes.insert(id) {
            continue;
        }
        let own = hello(session, &key, Side::Answerer, ends);
        let own = own.seal(&key, Side::Answerer, ends, &mut entropy::System)?;
        met.0.push(MetSafe { entry: number, hello: own.into() });
    }
    Ok((met, member))
}

/// Who answered a knock of this device; nobody where no answer is a member's device's.
pub(super) async fn met(session: &Session, ends: Ends, knocking: &Knocking, met: &Met) -> Option<Member> {
    let mut member: Option<Member> = None;
    for MetSafe { entry, hello } in met.0.iter().take(KNOCK_MAX) {
        let entry = usize::try_from(*entry).ok().and_then(|entry| knocking.entries.get(entry));
        let Some((id, epoch)) = entry.copied().flatten() else { continue };
        let Some(safe) = session.safes.get(id) else { continue };
        let memory = safe.memory().await;
        let Some(key) = memory.keys.at(epoch) else { continue };
        let Some(device) = checked(session, &memory, &key, (Side::Answerer, ends), hello) else { continue };
        let member = member.get_or_insert(Member { device, safes: BTreeSet::new() });
        if member.device == device {
            member.safes.insert(id);
        }
    }
    member
}
