//! `net.status`, `net.peers`, `net.ping`, `doctor.run` as seen from the loop.
//!
//! Decides what comes from where: servers from this machine's devices, the rest from the state of
//! the network. Changes nothing.

use std::collections::BTreeSet;

use parsec_protocol::control::{
    DoctorResult, NetPeers, NetPing, NetPinged, NetStatus, Problem, Registration,
};
use parsec_protocol::ids::OrganisationId;

use super::Daemon;
use super::command::Reply;
use crate::calls::{doctor, ping};

impl Daemon {
    /// Where this machine's devices have their organisations.
    fn servers(&self) -> BTreeSet<(OrganisationId, String)> {
        self.devices.known().map(|device| (device.organisation.clone(), device.server.clone())).collect()
    }

    /// The network as it is known now; no call is made.
    pub(super) fn net_status(&self) -> NetStatus {
        let net = &self.context.net;
        let pending =
            self.devices.known().filter(|device| device.registration == Registration::Pending).count();
        NetStatus {
            p2p: net.has_p2p(),
            servers: net.reach(self.servers()),
            listening: net.places(),
            relays: net.relays().to_vec(),
            waiting: self
                .devices
                .sessions()
                .map(|session| session.pending.waiting())
                .fold(0, u32::saturating_add),
            pending: u32::try_from(pending).unwrap_or(u32::MAX),
            direct: net.direct_nodes(),
        }
    }

    /// The peers that are connected now.
    pub(super) fn net_peers(&self) -> NetPeers {
        NetPeers { peers: self.context.net.peers() }
    }

    /// Examines everything, in a task; answers when the slowest examination is done.
    pub(super) fn doctor(&self, reply: Reply<DoctorResult>) {
        let (store, client) = (self.context.store.clone(), self.context.client.clone());
        let known = self.devices.known().cloned().collect();
        let unlocked = self.devices.sessions().map(doctor::ask_session).collect();
        self.context.spawn(async move {
            let checks = doctor::examine(store, client, known, unlocked).await;
            let _ = reply.send(Ok(DoctorResult { checks }));
        });
    }

    /// Tries servers, and the device that a link leads to, in a task; answers when the slowest is
    /// done.
    pub(super) fn net_ping(&self, request: NetPing, reply: Reply<NetPinged>) {
        let (net, client) = (self.context.net.clone(), self.context.client.clone());
        let servers = self.servers();
        self.context.spawn(async move {
            let done: Result<_, Problem> = match request.link {
                Some(link) => ping::link(&net, client, &servers, &link, ping::WAIT).await,
                None => Ok(ping::servers(&net, client, &servers, ping::WAIT).await),
            };
            let _ = reply.send(done);
        });
    }
}
