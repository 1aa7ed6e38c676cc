//! A text that must not be shown: passwords, links, bootstrap tokens on their way through the local
//! API.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Wiped when dropped; `Debug` says nothing; no `Display`, no `Clone`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    #[must_use]
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text, for the one that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_nothing() {
        let secret = SecretText::new(Zeroizing::new("hunter2".into()));
        assert_eq!(format!("{secret:?}"), "SecretText(..)");
    }
}
