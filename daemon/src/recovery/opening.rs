//! What a kit opens, with nothing but its words and what the server gives.
//!
//! Decides in this order: the root key is the one that the words name, the log is by that root, the
//! kit stands in it with this very key, and the user's key opens. So no server can lead it into an
//! organisation that was made up. Refuses a kit that was revoked, and a manifest below its floor.

use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::{DeviceKind, ManifestMark};
use parsec_protocol::chain::organisation::log::{UserRecord, VerifiedLog};
use parsec_protocol::chain::organisation::members::{NameOf, open_name};
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::directory::{self, check_handed};
use parsec_protocol::ids::{DeviceId, Label, OrganisationId, UserId};
use parsec_protocol::keys::{KitSeed, UserSeed};
use parsec_protocol::manifest::floor::{Floors, NotTaken};
use parsec_protocol::manifest::verify;
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::public_keys::{Context, Signature};
use parsec_protocol::recovery::KitKeys;
use parsec_protocol::relay::{ErrorCode, KeyBox, Least, ManifestView};
use parsec_protocol::sealing::KeyHash;
use parsec_protocol::user_key::UserKey;
use tokio_util::task::TaskTracker;

use crate::os::blocking;
use crate::problems;
use crate::transport::TransportError;
use crate::transport::behind::Seen;
use crate::transport::http::Server;
use crate::transport::relay::{Member, Signer};
use crate::transport::retry::answered;

/// Signs requests as the kit.
struct Signs(KitKeys);

impl Signer for Signs {
    fn device(&self) -> DeviceId {
        self.0.device
    }

    fn sign_request(&self, message: &[u8]) -> Signature {
        self.0.signing_key.sign(Context::Request, message)
    }
}

/// A kit at work.
pub(super) struct Kit {
    signs: Arc<Signs>,
    /// The server, as the kit.
    pub(super) member: Member,
    /// The log, verified from the root key that the words name.
    pub(super) log: VerifiedLog,
    /// Its certificates, as they came.
    pub(super) envelopes: Vec<Vec<u8>>,
    /// Whose kit it is.
    pub(super) user: UserRecord,
    /// The seed of the user's present key.
    pub(super) seed: Arc<UserSeed>,
    /// Open the members' names: the user's own, at least.
    pub(super) directory_keys: Arc<DirectoryKeys>,
    /// What the user is called.
    pub(super) name: Label,
    /// The newest manifest; none where a device wrote it that was revoked since, and nobody vouches
    /// for it.
    pub(super) manifest: Option<ManifestMark>,
    /// How many safes the manifest names.
    pub(super) safes: u64,
}

impl Kit {
    /// Its keys.
    pub(super) fn keys(&self) -> &KitKeys {
        &self.signs.0
    }

    /// A key of the user, as boxes name it.
    pub(super) fn user_key(&self, key: KeyHash) -> UserKey {
        UserKey { organisation: self.log.organisation().clone(), user: self.user.user, key }
    }
}

fn unknown(text: &str) -> Problem {
    Problem::new(ProblemKind::RecoveryKitUnknown, text)
}

/// What the server's refusal of a kit's request means.
fn refused(error: TransportError) -> Problem {
    match error.code() {
        Some(ErrorCode::NotAuthenticated) => {
            unknown("The server knows no recovery kit with these words in this organisation.")
        }
        Some(ErrorCode::Revoked) => unknown("This recovery kit, or its user, has been revoked."),
        Some(_) | None => error.into(),
    }
}

/// Opens everything that the kit opens.
///
/// # Errors
/// `recovery_kit_unknown`, `recovery_kit_of_another`, `chain_invalid`, `user_key_missing`,
/// `manifest_untrusted`, `rolled_back`; the server's.
pub(super) async fn open(
    server: &Server,
    organisation: &OrganisationId,
    words: &KitSeed,
) -> Result<Kit, Problem> {
    let signs = Arc::new(Signs(words.keys(organisation)));
    let signer: Arc<dyn Signer> = Arc::clone(&signs) as _;
    let member = Member::new(server.clone(), organisation.clone(), signer, TaskTracker::new());
    let root = answered(|| member.root()).await.map_err(refused)?.root;
    if !words.is_for(organisation, &root) {
        let text = "The server shows another organisation under this name than the one whose kit this is.";
        return Err(Problem::new(ProblemKind::RecoveryKitOfAnother, text));
    }
    let (log, envelopes) = whole_log(&member, VerifiedLog::empty(organisation.clone(), root)).await?;
    let user = standing(&log, &signs.0)?.clone();
    let seed = Arc::new(present_seed(&member, &signs, &log, &user).await?);
    let there = answered(|| member.manifest(Least::NOTHING)).await.map_err(refused)?;
    let (directory_keys, manifest, safes) = manifest(&member, &log, &user, Arc::clone(&seed), there).await?;
    let own = NameOf::User(user.user);
    let name = open_name(&directory_keys, organisation, own, &user.sealed_name).ok_or_else(|| {
        let text = "The key for names that your manifest holds does not open your own.";
        Problem::new(ProblemKind::ManifestUntrusted, text)
    })?;
    Ok(Kit {
        signs,
        member,
        log,
        envelopes,
        user,
        seed,
        directory_keys: Arc::new(directory_keys),
        name,
        manifest,
        safes,
    })
}

/// The whole log, every certificate verified.
async fn whole_log(member: &Member, empty: VerifiedLog) -> Result<(VerifiedLog, Vec<Vec<u8>>), Problem> {
    let (mut log, mut envelopes) = (empty, Vec::new());
    loop {
        let page = answered(|| member.log_page(log.count(), Seen::NOTHING)).await.map_err(refused)?;
        if page.certificates.is_empty() {
            return Ok((log, envelopes));
        }
        let page: Vec<Vec<u8>> = page.certificates.into_iter().map(Vec::from).collect();
        let (longer, page) = blocking(move || {
            let longer = log.extended(page.iter().map(Vec::as_slice)).map_err(|error| {
                Problem::new(ProblemKind::ChainInvalid, problems::sentence(&error.to_string()))
            })?;
            Ok::<_, Problem>((longer, page))
        })
        .await?;
        log = longer;
        envelopes.extend(page);
    }
}

/// Whose kit it is, by what the log says.
fn standing<'a>(log: &'a VerifiedLog, kit: &KitKeys) -> Result<&'a UserRecord, Problem> {
    let record = log
        .device(&kit.device)
        .filter(|record| record.kind == DeviceKind::Recovery)
        .filter(|record| record.verify_key == kit.signing_key.verify_key())
        .ok_or_else(|| unknown("The organisation's log has no recovery kit with these words."))?;
    let user = log.user(&record.user).filter(|user| user.revoked.is_none());
    match (record.revoked, user) {
        (None, Some(user)) => Ok(user),
        (Some(_), _) | (_, None) => Err(unknown("This recovery kit, or its user, has been revoked.")),
    }
}

async fn key_box(
    member: &Member,
    user: UserId,
    key: KeyHash,
    device: DeviceId,
) -> Result<Option<KeyBox>, Problem> {
    match answered(|| member.key_box(user, &key, device)).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code() == Some(ErrorCode::BoxUnknown) => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

fn named(log: &VerifiedLog, user: UserId, key: KeyHash) -> UserKey {
    UserKey { organisation: log.organisation().clone(), user, key }
}

/// The seed of the user's present key, out of the box that the kit was given.
async fn present_seed(
    member: &Member,
    signs: &Arc<Signs>,
    log: &VerifiedLog,
    user: &UserRecord,
) -> Result<UserSeed, Problem> {
    let missing = || {
        let text =
            "The box with your present key that this kit was given is missing at the server, or wrong.";
        Problem::new(ProblemKind::UserKeyMissing, text)
    };
    let key = user.encryption_key;
    let sealed = key_box(member, user.user, key, signs.0.device).await?.and_then(|found| found.sealed);
    let (sealed, of, signs) = (sealed.ok_or_else(missing)?, named(log, user.user, key), Arc::clone(signs));
    blocking(move || of.open_at_device(&sealed, signs.0.device, &signs.0.device_seed).map_err(|_| missing()))
        .await
}

/// The seed of a key that the user had, by way of the boxes that lead from each key to the one
/// before.
async fn earlier_seed(
    member: &Member,
    log: &VerifiedLog,
    user: &UserRecord,
    present: Arc<UserSeed>,
    wanted: KeyHash,
) -> Result<Option<Arc<UserSeed>>, Problem> {
    let mut seed = present;
    let mut key = user.encryption_key;
    for pair in user.keys.windows(2).rev() {
        let [before, after] = pair else { break };
        if key == wanted {
            break;
        }
        let found = key_box(member, user.user, after.key, member.device()).await?;
        let Some(past) = found.and_then(|found| found.past) else { return Ok(None) };
        let (of, previous) = (named(log, user.user, after.key), before.key);
        let opened = blocking(move || Ok::<_, Problem>(of.open_past(&past, previous, &seed).ok())).await?;
        let Some(opened) = opened else { return Ok(None) };
        (seed, key) = (Arc::new(opened), before.key);
    }
    Ok((key == wanted).then_some(seed))
}

/// What the newest manifest gives a device that no ceremony handed anything to.
async fn manifest(
    member: &Member,
    log: &VerifiedLog,
    user: &UserRecord,
    seed: Arc<UserSeed>,
    there: ManifestView,
) -> Result<(DirectoryKeys, Option<ManifestMark>, u64), Problem> {
    let untrusted = |text: String| Problem::new(ProblemKind::ManifestUntrusted, text);
    let envelope = there.envelope.filter(|_| there.version > 0);
    let envelope = Vec::from(envelope.ok_or_else(|| {
        Problem::new(
            ProblemKind::RolledBack,
            "The server has no manifest of yours: without it, nobody's name opens.",
        )
    })?);
    let signed = verify(&envelope, log.organisation(), &user.user, |author| {
        let own = log.device(author).filter(|device| device.user == user.user);
        own.filter(|device| device.kind == DeviceKind::Device).map(|device| device.verify_key)
    })
    .map_err(|error| untrusted(format!("The server's manifest is none by your devices: {error}.")))?;
    let (author, key) = (signed.header.author, signed.header.key);
    if signed.header.version != there.version || !user.keys.iter().any(|record| record.key == key) {
        return Err(untrusted("The server's manifest is none of yours.".to_owned()));
    }
    let revoked = log.device(&author).is_none_or(|device| device.revoked.is_some());
    let floors = user.keys.iter().fold(Floors::default(), |floors, record| floors.with(record.manifest));
    let mark = ManifestMark::of(there.version, &envelope);
    let taken = match floors.admit(mark, revoked) {
        Ok(()) => Some(mark),
        // Its names open or don't, whoever wrote it; nothing else of it is taken here.
        Err(NotTaken::Unvouched { .. }) => None,
        Err(error @ (NotTaken::RolledBack { .. } | NotTaken::Forked { .. })) => {
            return Err(Problem::new(ProblemKind::RolledBack, problems::sentence(&error.to_string())));
        }
    };
    let seed = earlier_seed(member, log, user, seed, key).await?.ok_or_else(|| {
        let text = "Your manifest is sealed under an earlier key of yours, and the box that leads there is missing at the server.";
        Problem::new(ProblemKind::UserKeyMissing, text)
    })?;
    let key = seed.manifest_key(log.organisation(), &user.user);
    let opened = signed
        .open(&key)
        .map_err(|error| untrusted(format!("The server's manifest does not open: {error}.")))?;
    // What a device of the user had verified is in the log, or the server shows another, or less.
    if taken.is_some() && log.head_at(opened.anchor.count) != Some(opened.anchor) {
        let text = format!(
            "A device of yours has verified {} certificates of the organisation's log, and the server shows fewer, or others.",
            opened.anchor.count
        );
        return Err(Problem::new(ProblemKind::RolledBack, text));
    }
    let given = opened.directory_keys.ok_or_else(|| {
        untrusted("Your manifest's keys for names are none that a device of yours would write.".to_owned())
    })?;
    // Those that are the log's: whoever wrote it can't have made up one.
    let directory_keys = directory::named(log, &given);
    check_handed(log, &directory_keys)
        .map_err(|_| untrusted("The first key for names in your manifest opens no name.".to_owned()))?;
    Ok((directory_keys, taken, opened.safes.len() as u64))
}
