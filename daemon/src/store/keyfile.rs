//! The key file.

/// How much work scrypt does to turn a password into a key: 2^n rounds of 1 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkFactor(u8);

impl WorkFactor {
    /// What every key file is written with: 256 MiB and about a second, on any machine, however busy it is.
    pub const PINNED: Self = Self(18);

    /// Next to no work. Takes effect through [`super::Devices::open_with`] only.
    #[doc(hidden)]
    #[must_use]
    pub const fn for_tests() -> Self {
        Self(2)
    }
}
