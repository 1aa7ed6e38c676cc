//! Which version of a user's manifest may be taken (docs/protocol.md, *User manifest*).
//!
//! Decides by the versions that are named where nobody can take them back: in the device's own
//! store, in message 7, in the certificates that change the user's key. Refuses what lies below
//! them, and what a device that is revoked by now wrote without being named there: a fresh device
//! has seen nothing itself, and a stolen one may write until it is revoked.

use crate::chain::organisation::certificate::ManifestMark;
use crate::public_keys::Hash;

/// Every version that this reader knows to have been there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Floors(Vec<ManifestMark>);

/// Why a version is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// A newer version is known: somebody shows an old one. The server's fault, or of whoever
    /// restored it.
    #[error("version {shown} of the manifest is older than version {known}, which was there")]
    RolledBack {
        /// The version that is shown.
        shown: u64,
        /// The highest version that is known.
        known: u64,
    },
    /// Other bytes under a version that is known: two manifests were made of one.
    #[error("version {version} of the manifest is not the one that was there")]
    Forked {
        /// The version that two envelopes claim.
        version: u64,
    },
    /// By a device that has been revoked since, and named nowhere: perhaps by a thief. To be shown
    /// to the person, and written above.
    #[error("version {version} of the manifest is by a device that has been revoked")]
    Unvouched {
        /// The version that is shown.
        version: u64,
    },
}

impl ManifestMark {
    /// Names a version by its envelope's bytes.
    #[must_use]
    pub fn of(version: u64, envelope: &[u8]) -> Self {
        Self { version, hash: Hash::of(&[envelope]) }
    }
}

impl Floors {
    /// With one more version that is known to have been there.
    #[must_use]
    pub fn with(mut self, mark: Option<ManifestMark>) -> Self {
        self.0.extend(mark);
        self
    }

    /// The highest version that is known; 0 if none is.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.iter().map(|mark| mark.version).max().unwrap_or(0)
    }

    /// Whether this version may be taken, by a device that has been revoked since or has not.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn admit(&self, shown: ManifestMark, author_revoked: bool) -> Result<(), NotTaken> {
        let ManifestMark { version, .. } = shown;
        if self.0.iter().any(|mark| mark.version == version && *mark != shown) {
            return Err(NotTaken::Forked { version });
        }
        let known = self.version();
        if version < known {
            return Err(NotTaken::RolledBack { shown: version, known });
        }
        if author_revoked && !self.0.contains(&shown) {
            return Err(NotTaken::Unvouched { version });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(version: u64, bytes: &[u8]) -> ManifestMark {
        ManifestMark::of(version, bytes)
    }

    #[test]
    fn nothing_below_the_highest_version_that_anybody_named() {
        let floors = Floors::default().with(Some(mark(3, b"own"))).with(None).with(Some(mark(5, b"named")));
        assert_eq!(floors.version(), 5);
        let old = NotTaken::RolledBack { shown: 4, known: 5 };
        assert_eq!(floors.admit(mark(4, b"old"), false), Err(old));
        // Known once is not enough: it has been replaced.
        let old = NotTaken::RolledBack { shown: 3, known: 5 };
        assert_eq!(floors.admit(mark(3, b"own"), false), Err(old));
        assert_eq!(floors.admit(mark(5, b"named"), false), Ok(()));
        assert_eq!(floors.admit(mark(6, b"new"), false), Ok(()));
        assert_eq!(Floors::default().admit(mark(1, b"first"), false), Ok(()));
    }

    #[test]
    fn two_manifests_of_one_version_are_noticed() {
        let floors = Floors::default().with(Some(mark(3, b"own"))).with(Some(mark(5, b"named")));
        assert_eq!(floors.admit(mark(5, b"other"), false), Err(NotTaken::Forked { version: 5 }));
        assert_eq!(floors.admit(mark(3, b"other"), false), Err(NotTaken::Forked { version: 3 }));
    }

    #[test]
    fn what_a_revoked_device_wrote_counts_where_somebody_named_it() {
        let floors = Floors::default().with(Some(mark(5, b"named")));
        assert_eq!(floors.admit(mark(5, b"named"), true), Ok(()));
        assert_eq!(floors.admit(mark(6, b"a thief's"), true), Err(NotTaken::Unvouched { version: 6 }));
        assert_eq!(floors.admit(mark(6, b"one's own"), false), Ok(()));
        assert_eq!(Floors::default().admit(mark(1, b"first"), true), Err(NotTaken::Unvouched { version: 1 }));
    }
}
