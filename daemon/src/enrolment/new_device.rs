//! What a claim needs of the daemon, and how a newcomer's keys become a device folder.
//!
//! Decides that the loop follows the receipt of a new device from the moment its keys are durable,
//! whatever becomes of the ceremony.

use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{Problem, SecretText, TransportChoice};
use parsec_protocol::enrol::io::{NewDevice, ReceivedShare};
use parsec_protocol::ids::{AttemptId, DeviceId, Token};
use parsec_protocol::public_keys::Hash;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::attempts::Attempts;
use super::claimer;
use super::reports::{Report, Reports};
use crate::network::Net;
use crate::os::blocking;
use crate::os::caller::CallerSession;
use crate::recovery::{self, Progress};
use crate::store::{Devices, DirectReceipt, PendingReceipt};

/// What a claim needs of the daemon.
#[derive(Debug, Clone)]
pub struct ClaimNeeds {
    /// Where keys are kept.
    pub devices: Arc<Devices>,
    /// Where attempts are recorded.
    pub attempts: Attempts,
    /// Where a new device is reported.
    pub reports: Reports,
    /// Ends the claim when the daemon stops.
    pub stop: CancellationToken,
    /// The transport that was asked for.
    pub transport: TransportChoice,
    /// The state of the network.
    pub net: Net,
}

/// Keeps a claimer's keys in a device folder.
pub(super) struct DeviceFolder {
    pub(super) devices: Arc<Devices>,
    pub(super) reports: Reports,
    pub(super) server: String,
    pub(super) attempt: AttemptId,
    pub(super) attempt_secret: Zeroizing<[u8; 32]>,
    pub(super) token: Token,
    /// Without the server: the link's hints, and the greeter's device.
    pub(super) direct: Option<(Vec<String>, DeviceId)>,
}

impl claimer::SaveKeys for DeviceFolder {
    async fn keep(
        &self,
        new: Arc<NewDevice>,
        password: SecretText,
        by: Option<CallerSession>,
    ) -> Result<(), Problem> {
        let pending = PendingReceipt {
            organisation: new.organisation.clone(),
            server: self.server.clone(),
            attempt: self.attempt,
            attempt_secret: self.attempt_secret.clone(),
            token: self.token,
            message: codec::encode(&new.receipt),
            direct: self.direct.clone().map(|(hints, greeter)| DirectReceipt {
                hints,
                greeter,
                certificate: Hash::of(&[new.certificates.first().map_or(&[][..], Vec::as_slice)]),
            }),
        };
        let devices = Arc::clone(&self.devices);
        let server = self.server.clone();
        let open = blocking(move || devices.create(&new, &server, Some(&pending), &password)).await?;
        // The loop follows the receipt from here on, whatever becomes of this ceremony.
        self.reports.send(Report::Enrolled(Box::new(open), by)).await;
        Ok(())
    }

    async fn keep_share(&self, share: Arc<ReceivedShare>, password: SecretText) -> Result<Progress, Problem> {
        recovery::take(Arc::clone(&self.devices), share, self.server.clone(), password).await
    }
}
