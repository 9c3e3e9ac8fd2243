//! narthex-channel.
