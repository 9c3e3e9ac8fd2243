//! narthex-key-service.
