//! narthex-nsm.
