//! The history of the store's format.
