//! Tests of the safe log.
