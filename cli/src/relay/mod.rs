//! The inside of `narthex relay`: accept, connect, pump, count.

pub(crate) mod counts;
pub(crate) mod pump;
pub(crate) mod serve;
