//! A throwaway organisation for one run: one administrator who greets, one newcomer who is invited.
//!
//! Decides nothing about the ceremony. Refuses to hold a real key: all of it is made of a seed that
//! is printed.

use crate::chain::organisation::bootstrap::{Founded, Founder, found};
use crate::chain::organisation::certificate::Profile;
use crate::chain::organisation::log::VerifiedLog;
use crate::enrol::io::{Approval, Prologue, TransportKind};
use crate::ids::{Email, IdError, Invited, Label, OrganisationId, Timestamp, Token};
use crate::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, Entropy, LinkSecret, NoEntropy, UserSeed};
use crate::lab::transcript::Newcomer;

/// When every run begins: a moment in 2027, from which the lab counts by itself.
pub(super) const START: Timestamp = Timestamp(1_800_000_000_000_000);

/// Why a lab can't be set up. Neither happens with the generator of the lab; both are a bug in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLab {
    /// Its generator gave nothing.
    #[error("the generator that was handed in gave nothing")]
    NoEntropy,
    /// A name or address of its people is none.
    #[error("a name in the lab is not one")]
    BadName,
    /// Its organisation's log does not verify.
    #[error("the lab's organisation does not verify")]
    BadLog,
}

impl From<NoEntropy> for NoLab {
    fn from(NoEntropy: NoEntropy) -> Self {
        Self::NoEntropy
    }
}

impl From<IdError> for NoLab {
    fn from(_: IdError) -> Self {
        Self::BadName
    }
}

/// The organisation that somebody wants into.
pub(super) struct Organisation {
    organisation: OrganisationId,
    pub(super) log: VerifiedLog,
    pub(super) envelopes: Vec<Vec<u8>>,
    pub(super) founded: Founded,
    /// Another organisation under the same name, as a server could show it to a newcomer.
    pub(super) impostor: Founded,
    invited: Email,
    token: Token,
    link: [u8; 32],
    claimed_name: Label,
    claimed_label: Label,
    signing_key: DeviceSigningKey,
    directory_key: DirectoryKey,
    user_seed: UserSeed,
}

impl Organisation {
    pub(super) fn new(entropy: &mut dyn Entropy) -> Result<Self, NoLab> {
        let signing_key = DeviceSigningKey::random(entropy)?;
        let directory_key = DirectoryKey::random(entropy)?;
        let user_seed = UserSeed::random(entropy)?;
        let device_seed = DeviceSeed::random(entropy)?;
        let organisation: OrganisationId = "acme".parse()?;
        let (email, name, device_label) = ("alice@acme.test".parse()?, "Alice".parse()?, "laptop".parse()?);
        let founder = Founder {
            organisation: &organisation,
            email: &email,
            name: &name,
            device_label: &device_label,
            user_seed: &user_seed,
            device_seed: &device_seed,
            signing_key: &signing_key,
            directory_key: &directory_key,
        };
        let founded = found(&founder, START, entropy)?;
        let false_signing_key = DeviceSigningKey::random(entropy)?;
        let false_user_seed = UserSeed::random(entropy)?;
        let impostor = Founder { user_seed: &false_user_seed, signing_key: &false_signing_key, ..founder };
        let impostor = found(&impostor, START, entropy)?;
        let envelopes = founded.certificates.clone();
        let log = VerifiedLog::empty(organisation.clone(), founded.root)
            .extended(envelopes.iter().map(Vec::as_slice))
            .map_err(|_| NoLab::BadLog)?;
        let mut token = [0; 16];
        let mut link = [0; 32];
        entropy.fill(&mut token)?;
        entropy.fill(&mut link)?;
        Ok(Self {
            organisation,
            log,
            envelopes,
            founded,
            impostor,
            invited: "bob@acme.test".parse()?,
            token: Token::from_bytes(token),
            link,
            claimed_name: "Bob".parse()?,
            claimed_label: "desk".parse()?,
            signing_key,
            directory_key,
            user_seed,
        })
    }

    /// What both sides should agree on.
    pub(super) fn prologue(&self, newcomer: Newcomer) -> Prologue {
        let invited = match newcomer {
            Newcomer::Person => Invited::User(self.invited.clone()),
            Newcomer::Device => Invited::Device(self.founded.user),
        };
        Prologue {
            organisation: self.organisation.clone(),
            token: self.token,
            invited,
            greeter_user: self.founded.user,
            greeter_device: self.founded.device,
            transport: TransportKind::Relay,
        }
    }

    /// What the newcomer is called: a device has its person's name already.
    pub(super) fn names(&self, newcomer: Newcomer) -> (Option<Label>, Label) {
        let name = (newcomer == Newcomer::Person).then(|| self.claimed_name.clone());
        (name, self.claimed_label.clone())
    }

    /// Everybody who read the link has it, which is why it is not what the ceremony rests on.
    pub(super) fn link(&self) -> LinkSecret {
        LinkSecret::from_bytes(&mut { self.link })
    }

    /// The greeter vouches, as its person says.
    pub(super) fn approval(&self, claimer_confirmed: bool) -> Approval<'_> {
        Approval {
            claimer_confirmed,
            name: None,
            device_label: None,
            profile: Profile::Standard,
            signing_key: &self.signing_key,
            directory_key: &self.directory_key,
            user_seed: &self.user_seed,
            manifest: None,
            log: &self.log,
            attempts: 1,
        }
    }
}
