//! Writing files so that a power cut leaves the old or the new one.
