//! `net.status`, `net.peers`, `net.ping` as seen from the loop.
//!
//! Decides what comes from where: servers from this machine's devices, the rest from [`crate::transport::net::Net`]. Changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::{DoctorResult, NetPeers, NetPing, NetPinged, NetStatus, Registration};
use parsec_protocol::ids::OrganisationId;

use super::Daemon;
use super::command::Reply;
use crate::calls::{doctor, ping};
use crate::store::DeviceSummary;

impl Daemon {
    /// Where this machine's devices have their organisations.
    fn servers(&self) -> BTreeSet<(OrganisationId, String)> {
        self.known.values().map(|device| (device.organisation.clone(), device.server.clone())).collect()
    }

    /// The network as it is known now; nobody is asked.
    pub(in crate::engine) fn net_status(&self) -> NetStatus {
        let pending =
            self.known.values().filter(|device| device.registration == Registration::Pending).count();
        NetStatus {
            p2p: self.net.direct(),
            servers: self.net.reach(self.servers()),
            listening: self.net.places(),
            relays: self.net.relays().to_vec(),
            waiting: self
                .unlocked
                .values()
                .map(|unlocked| unlocked.session.outbox())
                .fold(0, u32::saturating_add),
            pending: u32::try_from(pending).unwrap_or(u32::MAX),
        }
    }

    /// Who is connected now.
    pub(in crate::engine) fn net_peers(&self) -> NetPeers {
        NetPeers { peers: self.net.peers() }
    }

    /// Examines everything, in a task; answers when the slowest examination is done.
    pub(super) fn doctor(&self, reply: Reply<DoctorResult>) {
        let (devices, client) = (Arc::clone(&self.devices), self.client.clone());
        let known: Vec<DeviceSummary> = self.known.values().cloned().collect();
        let unlocked =
            self.unlocked.values().map(|unlocked| doctor::ask_session(&unlocked.session)).collect();
        self.spawn(async move {
            let checks = doctor::examine(devices, client, known, unlocked).await;
            let _ = reply.send(Ok(DoctorResult { checks }));
        });
    }

    /// Tries servers, and the terminal of a link, in a task; answers when the slowest is done.
    pub(in crate::engine) fn net_ping(&self, request: NetPing, reply: Reply<NetPinged>) {
        let (net, client, servers) = (self.net.clone(), self.client.clone(), self.servers());
        self.spawn(async move {
            let done = match request.link {
                Some(link) => ping::link(&net, client, &servers, &link, ping::WAIT).await,
                None => Ok(ping::servers(&net, client, &servers, ping::WAIT).await),
            };
            let _ = reply.send(done);
        });
    }
}
