//! Both drivers against each other, in one process.
