//! What a device makes of a program's acts before they go into the queue: programs save a file by
//! renames, and the file is meant to stay the same one.
//!
//! Decides which acts of one device are one change. Refuses to look at what is shared already.
