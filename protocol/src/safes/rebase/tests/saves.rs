//! Saves by renames.
