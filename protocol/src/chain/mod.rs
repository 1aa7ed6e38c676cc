//! Hash-chained logs of signed certificates: what every kind of log has in common
//! (docs/protocol.md, *The log*).
//!
//! Decides how certificates hang together, are verified in batches, are noted as verified, and when
//! two logs part. Refuses to know what a certificate says: a rule set does ([`rules::Rules`]), and
//! each kind of log has one. `organisation` is the rule set of an organisation's log; `log_toy`
//! among the tests is another.

pub mod batch;
pub mod candidate;
pub mod checkpoint;
pub mod envelope;
pub mod export;
pub mod fork;
pub mod head;
pub mod log;
pub mod organisation;
pub mod rules;
pub mod view;
