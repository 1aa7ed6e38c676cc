//! Shares of a recovery kit that were collected on a machine which has no device of their user yet.
//!
//! Decides that what was collected outlasts a restart, under a password as a device's key file: one
//! file for each kit, the old or the new one whatever happens. Refuses, by whoever adds to it, what
//! doesn't go together with what is there; a single share says nothing of the kit, and enough of
//! them are as good as its words.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::control::SecretText;
use parsec_protocol::ids::{DeviceId, Email, OrganisationId, UserId};
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::shares::Share;
use zeroize::Zeroizing;

use super::atomic::{Folder, WRITING};
use super::device::{Devices, turn};
use super::{StoreError, keyfile};

/// The folder of collections, made with the first.
const COLLECTIONS: &str = "collections";
/// The record's version.
const FORMAT: u32 = 1;

/// A share, and the ceremony that it came by.
#[derive(Debug, Encode, Decode)]
pub struct CollectedShare {
    /// User id of the member who gave it.
    #[n(0)]
    pub giver: UserId,
    /// The log's head as that member had verified it.
    #[n(1)]
    pub seen: Head,
    /// The share that was given.
    #[n(2)]
    pub share: Share,
}

/// All that was collected of one kit. Its form on disk is this struct's encoding, sealed.
#[derive(Debug, Encode, Decode)]
pub struct Collection {
    #[n(0)]
    format: u32,
    /// The organisation that the kit is of.
    #[n(1)]
    pub organisation: OrganisationId,
    /// Address of the server on which it was collected.
    #[n(2)]
    pub server: String,
    /// The root key that every ceremony gave.
    #[n(3)]
    pub root: VerifyKey,
    /// User id of whom the kit brings back.
    #[n(4)]
    pub user: UserId,
    /// E-mail of that user, as certified.
    #[n(5)]
    pub email: Email,
    /// Device id of the kit.
    #[n(6)]
    pub kit: DeviceId,
    /// The plan's envelope, verified when it came.
    #[n(7)]
    pub plan: ByteVec,
    /// The shares, one of each giver.
    #[n(8)]
    pub shares: Vec<CollectedShare>,
}

impl Collection {
    /// Begins one, with no share yet.
    #[must_use]
    pub fn new(
        organisation: OrganisationId,
        server: String,
        root: VerifyKey,
        (user, email): (UserId, Email),
        (kit, plan): (DeviceId, Vec<u8>),
    ) -> Self {
        let plan = plan.into();
        Self { format: FORMAT, organisation, server, root, user, email, kit, plan, shares: Vec::new() }
    }

    /// Takes a share in, in the place of an earlier one of the same giver.
    pub fn take(&mut self, new: CollectedShare) {
        self.shares.retain(|there| there.giver != new.giver);
        self.shares.push(new);
    }
}

fn name(organisation: &OrganisationId, kit: DeviceId) -> String {
    format!("{organisation}.{kit}")
}

impl Devices {
    /// The kits of which shares were collected here.
    ///
    /// # Errors
    /// The disk's.
    pub fn collections(&self) -> Result<Vec<(OrganisationId, DeviceId)>, StoreError> {
        let Some(folder) = self.collections_folder(false)? else { return Ok(Vec::new()) };
        let read = |name: String| {
            let (organisation, kit) = name.split_once('.')?;
            Some((organisation.parse().ok()?, kit.parse().ok()?))
        };
        Ok(folder.names()?.into_iter().filter_map(read).collect())
    }

    /// Opens what was collected of a kit.
    ///
    /// # Errors
    /// [`StoreError::WrongPassword`], [`StoreError::KeyFileDamaged`], the disk's.
    pub fn collection(
        &self,
        organisation: &OrganisationId,
        kit: DeviceId,
        password: &SecretText,
    ) -> Result<Option<Collection>, StoreError> {
        let Some(folder) = self.collections_folder(false)? else { return Ok(None) };
        self.read_collection(&folder, &name(organisation, kit), password)
    }

    /// Changes what was collected of a kit, or begins it. What `change` refuses changes nothing;
    /// what is returned is durable.
    ///
    /// # Errors
    /// As [`Self::collection`]; [`StoreError::WeakPassword`]; what `change` says.
    pub fn collect<E: From<StoreError>>(
        &self,
        organisation: &OrganisationId,
        kit: DeviceId,
        password: &SecretText,
        change: impl FnOnce(Option<Collection>) -> Result<Collection, E>,
    ) -> Result<Collection, E> {
        keyfile::check_strength(password)?;
        let name = name(organisation, kit);
        let _turn = turn(&self.changes);
        let folder = self.collections_folder(true)?;
        let folder = folder.ok_or(StoreError::Damaged("its folder of collections is missing"))?;
        let collection = change(self.read_collection(&folder, &name, password)?)?;
        let record = Zeroizing::new(codec::encode(&collection));
        if record.len() > keyfile::KEY_FILE_MAX_BYTES / 2 {
            return Err(StoreError::TooLarge("a collection of shares").into());
        }
        let sealed = {
            let _turn = turn(&self.scrypt);
            keyfile::seal(&record, password, self.work)?
        };
        folder.replace(&name, &sealed)?;
        Ok(collection)
    }

    /// Forgets what was collected of a kit.
    ///
    /// # Errors
    /// The disk's.
    pub fn drop_collection(&self, organisation: &OrganisationId, kit: DeviceId) -> Result<(), StoreError> {
        let _turn = turn(&self.changes);
        let Some(folder) = self.collections_folder(false)? else { return Ok(()) };
        let name = name(organisation, kit);
        if folder.has(&name)? {
            folder.remove_file(&name)?;
            folder.sync()?;
        }
        Ok(())
    }

    fn read_collection(
        &self,
        folder: &Folder,
        name: &str,
        password: &SecretText,
    ) -> Result<Option<Collection>, StoreError> {
        let Some(sealed) = folder.read(name, keyfile::KEY_FILE_MAX_BYTES)? else { return Ok(None) };
        let record = {
            let _turn = turn(&self.scrypt);
            keyfile::unseal(&sealed, password)?
        };
        let read: Collection = codec::decode(&record, keyfile::KEY_FILE_MAX_BYTES)
            .map_err(|_| StoreError::KeyFileDamaged("its record is malformed"))?;
        if read.format == FORMAT && name == self::name(&read.organisation, read.kit) {
            Ok(Some(read))
        } else {
            Err(StoreError::KeyFileDamaged("it is another kit's, or of another version"))
        }
    }

    /// The folder of collections; what a crash left half written there goes.
    fn collections_folder(&self, make: bool) -> Result<Option<Folder>, StoreError> {
        if !self.data.has(COLLECTIONS)? {
            if !make {
                return Ok(None);
            }
            let made = self.data.make_folder(COLLECTIONS)?;
            self.data.sync()?;
            return Ok(Some(made));
        }
        let folder = self.data.folder(COLLECTIONS)?;
        if make {
            for left in folder.names()?.into_iter().filter(|name| name.starts_with(WRITING)) {
                folder.remove_file(&left)?;
            }
        }
        Ok(Some(folder))
    }
}
