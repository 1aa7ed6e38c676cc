//! Schedules of devices that go offline, act, come back and put their queues forward.
//!
//! `support` is a journal and its devices in memory, `acts` what people do on a small tree.
//! `vectors` compares with trees that another program of the same rules made; `named` are the cases
//! that people meet; `random` looks for content that nobody took away and that is gone.

mod acts;
mod folding;
mod named;
mod pruning;
mod random;
mod saves;
mod support;
mod vectors;
