//! What somebody is told who waits, and nobody comes: two people may wait for each other in
//! different places.
//!
//! Decides after which time, and what the two have to compare on the phone. Refuses to guess what
//! is wrong: each side says where it waits, and people find the difference.

use std::time::Duration;

use parsec_protocol::ids::{OrganisationId, Token};
use tokio::time::Instant;

/// After this time: within half a minute, and long enough for somebody who was called first and
/// types then.
pub const HINT_AFTER: Duration = Duration::from_secs(20);
/// Digits of an invitation's token that people compare; `invite list` shows as many.
const SHORT_DIGITS: usize = 8;

/// Where one side waits.
#[derive(Debug, Clone, Copy)]
pub enum Way<'a> {
    /// On a server, by its address.
    Server(&'a str),
    /// For the other device itself.
    P2p,
}

/// A hint that is still to come.
#[derive(Debug)]
pub(super) struct Hint {
    pub(super) at: Instant,
    pub(super) text: String,
}

impl Hint {
    pub(super) fn new(text: String) -> Self {
        Self { at: Instant::now() + HINT_AFTER, text }
    }

    /// The same, later: this side is not waiting for anybody yet.
    pub(super) fn later(self) -> Self {
        Self::new(self.text)
    }
}

/// What is compared on the phone.
#[must_use]
pub fn hint(way: Way<'_>, organisation: &OrganisationId, token: &Token) -> String {
    let short: String = token.to_string().chars().take(SHORT_DIGITS).collect();
    let place = match way {
        Way::Server(address) => format!("over the server {address}"),
        Way::P2p => "directly, without a server (--transport p2p)".to_owned(),
    };
    format!(
        "Nobody has come yet. This side waits {place}, for invitation {short} to {organisation}. Compare on the phone: the other screen says the same within half a minute. \
         Another number there is another invitation: take the link that belongs to this one, or greet that one. Another server, or one directly and one over a server: start both anew, with the same link and the same --transport."
    )
}

#[cfg(test)]
mod tests {
    use parsec_protocol::control::{Action, CeremonyId, ProblemKind, Role, Stage};
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::enrolment::CeremonyContext;
    use crate::enrolment::view::ViewPublisher;

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_within_half_a_minute_what_to_compare() {
        let shown = ViewPublisher::new(CeremonyId(1), Role::Claimer, "acme".parse().unwrap(), None);
        let (_requests, queue) = mpsc::channel(1);
        let mut context =
            CeremonyContext::new(shown, queue, CancellationToken::new(), ProblemKind::ShuttingDown);
        context.waits("compare".to_owned());
        let half_a_minute = Duration::from_secs(30);
        // Nobody is waited for while the server is not even reached.
        assert!(tokio::time::timeout(half_a_minute, context.request()).await.is_err());
        assert_eq!(context.shown.now().note, None);
        context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
        assert!(tokio::time::timeout(half_a_minute, context.request()).await.is_err());
        assert_eq!(context.shown.now().note.as_deref(), Some("compare"));
        context.shown.stage(Stage::Handshake, &[Action::Cancel]);
        assert_eq!(context.shown.now().note, None);
        // Whoever came in time is told nothing.
        context.waits("compare".to_owned());
        assert!(tokio::time::timeout(half_a_minute, context.request()).await.is_err());
        assert_eq!(context.shown.now().note, None);
    }

    #[test]
    fn what_two_people_have_to_compare_is_named() {
        let acme = "acme".parse().unwrap();
        let text = hint(Way::Server("https://a.test"), &acme, &Token::from_bytes([0xab; 16]));
        for word in ["https://a.test", "invitation abababab ", "acme", "phone", "--transport"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let direct = hint(Way::P2p, &acme, &Token::from_bytes([1; 16]));
        assert!(direct.contains("directly") && direct.contains("01010101") && !direct.contains("https"));
        assert!(HINT_AFTER < Duration::from_secs(30));
    }
}
