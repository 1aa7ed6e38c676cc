//! The local API: one JSON object a line over a Unix socket of the user alone.
