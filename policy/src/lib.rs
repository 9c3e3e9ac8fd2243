//! narthex-policy.
