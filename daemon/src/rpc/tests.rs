//! Tests of the socket as a whole.
