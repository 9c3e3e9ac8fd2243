//! narthex-tests.
