//! The invitation link (docs/protocol.md, *The link*).

use std::str::FromStr;

use zeroize::Zeroizing;

use crate::ids::{OrganisationId, Token};
use crate::keys::LinkSecret;

/// What the link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// A new person.
    User,
    /// A new terminal.
    Device,
}

/// An invitation link, checked.
#[derive(Debug)]
pub struct Link {
    /// Base address of the metadata server: scheme, host, port; no slash at the end.
    pub server: String,
    /// Where.
    pub organisation: OrganisationId,
    /// What for.
    pub kind: LinkKind,
    /// Admits to the relay.
    pub token: Token,
    /// Keys the channel.
    pub secret: LinkSecret,
    /// Addresses for the road without a server.
    pub hints: Vec<String>,
}

/// Why a text is not a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not of the form.
    #[error("this is not a whole invitation link")]
    Malformed,
    /// From a later version.
    #[error("the link was made by a newer version")]
    TooNew,
    /// `http://` and not this machine.
    #[error("the link leads to a server without encryption")]
    PlainHttp,
}

impl Link {
    /// The `https://` (or loopback `http://`) form.
    #[must_use]
    pub fn to_url(&self) -> Zeroizing<String> {
        todo!()
    }

    /// The `parsec://` form; none for a server on plain http.
    #[must_use]
    pub fn to_alias(&self) -> Option<Zeroizing<String>> {
        todo!()
    }
}

impl FromStr for Link {
    type Err = LinkError;
    fn from_str(text: &str) -> Result<Self, LinkError> {
        todo!("{text}")
    }
}
