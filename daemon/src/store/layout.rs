//! Paths and records inside a device folder.
