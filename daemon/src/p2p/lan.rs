//! A node by which a device meets others of its safes on the local network (docs/protocol.md,
//! *Direct exchange*).
//!
//! Decides how frames go, and that a stream belongs to the peer whom the connection proves. Refuses
//! frames that are too long or too slow. Who is answered, and with what, is the caller's.

use std::sync::Arc;
use std::time::Duration;

use minicbor::{Decode, Encode};
use parsec_protocol::direct::{Ends, PROTOCOL};
use parsec_protocol::public_keys::PeerKey;
use tokio::sync::watch;

use super::frames;
use super::node::{Incoming, Node, NodeError, Status, Stream};

/// A frame that did not come, or was none.
#[derive(Debug, thiserror::Error)]
pub enum TalkError {
    /// The stream ended, broke, or was too slow.
    #[error("{0}")]
    Broken(String),
    /// What came is not what the protocol has: no device of ours sends it.
    #[error("{0}")]
    Misbehaved(String),
}

impl From<frames::FrameError> for TalkError {
    fn from(error: frames::FrameError) -> Self {
        match error {
            frames::FrameError::Io(_) | frames::FrameError::TooSlow => Self::Broken(error.to_string()),
            frames::FrameError::TooLong | frames::FrameError::Malformed => {
                Self::Misbehaved(error.to_string())
            }
        }
    }
}

/// The node. Dropping its last copy closes everything.
#[derive(Clone)]
pub struct Lan(Arc<Node>);

impl std::fmt::Debug for Lan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lan({:?})", self.0.key())
    }
}

/// Streams that others open.
pub struct Knocks(Incoming);

impl std::fmt::Debug for Knocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Knocks(..)")
    }
}

/// A stream with one peer.
pub struct Talk {
    stream: Stream,
    ends: Ends,
    peer: PeerKey,
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Talk({:?})", self.peer)
    }
}

impl Lan {
    /// Listens and looks, with an identity that is drawn now and belongs to nobody.
    ///
    /// # Errors
    /// [`NodeError::Setup`].
    pub fn open() -> Result<(Self, Knocks), NodeError> {
        let (node, incoming) = Node::gather(PROTOCOL)?;
        Ok((Self(Arc::new(node)), Knocks(incoming)))
    }

    /// What it is doing, and who is connected.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.0.status()
    }

    /// The key by which others know it.
    #[must_use]
    pub fn key(&self) -> PeerKey {
        self.0.key()
    }

    /// Opens a stream to a peer that is connected.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`].
    pub async fn talk(&self, peer: PeerKey) -> Result<Talk, NodeError> {
        let stream = self.0.open_to(&peer).await?;
        Ok(Talk { stream, ends: Ends { asker: self.0.key(), answerer: peer }, peer })
    }

    /// Waits for the next stream that somebody opens; none when the node has ended.
    pub async fn next(&self, knocks: &mut Knocks) -> Option<Talk> {
        let (peer, stream) = knocks.0.next().await?;
        Some(Talk { stream, ends: Ends { asker: peer, answerer: self.0.key() }, peer })
    }

    /// This peer has shown to be a member's device, and may stay.
    pub fn proven(&self, peer: PeerKey) {
        self.0.proven(peer);
    }

    /// This peer's device is a member's no more.
    pub fn unproven(&self, peer: PeerKey) {
        self.0.unproven(peer);
    }

    /// This peer is hung up on.
    pub fn dismiss(&self, peer: PeerKey) {
        self.0.dismiss(peer);
    }
}

impl Talk {
    /// Both ends, as the connection proves them.
    #[must_use]
    pub const fn ends(&self) -> Ends {
        self.ends
    }

    /// The peer at the other end.
    #[must_use]
    pub const fn peer(&self) -> PeerKey {
        self.peer
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// [`TalkError::Broken`].
    pub async fn say<T: Encode<()>>(&mut self, value: &T) -> Result<(), TalkError> {
        Ok(frames::write(&mut self.stream, value).await?)
    }

    /// Reads one frame of at most `max` bytes, whose first byte comes within `first`.
    ///
    /// # Errors
    /// [`TalkError`].
    pub async fn hear<T>(&mut self, max: usize, first: Duration) -> Result<T, TalkError>
    where
        T: for<'b> Decode<'b, ()> + Encode<()>,
    {
        Ok(frames::read_when_it_comes(&mut self.stream, max, Some(first)).await?)
    }
}
