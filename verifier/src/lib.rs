//! narthex-verifier.
