//! Making attestation documents: correct ones, and ones that are wrong in exactly one way.
//!
//! Everything is data. A [`DocumentRecipe`] starts with what AWS makes today; a test changes one
//! public field and mints. The mock NSM mints its documents with the same code, so what the tests
//! judge is what the mock serves.
//!
//! ```
//! use narthex_nsm::mock::mint::{DevelopmentAuthority, DocumentRecipe, TimeField};
//!
//! let authority = DevelopmentAuthority::insecure_fixed();
//! let now = 1_785_785_775_857;
//! let genuine_layout = DocumentRecipe::new(&authority, now).mint();
//!
//! // The same document with a zone certificate that has run out, and nothing else wrong.
//! let mut recipe = DocumentRecipe::new(&authority, now);
//! recipe.chain.zone.certificate.not_after = TimeField::utc_from_millis(now - 1000);
//! let refused = recipe.mint();
//! # assert_ne!(genuine_layout, refused);
//! ```
//!
//! The DER and CBOR writers here are our own because they must be able to write what a correct
//! encoder refuses to: non-minimal lengths, wrong tags, lying counts.

mod authority;
mod cbor;
mod certificate;
mod chain;
mod der;
mod document;
mod envelope;
mod extension;
mod hierarchy;
mod identity;
mod key;
mod measurement;
mod name;
mod payload;
mod signature;
mod state_directory;
mod time_field;

pub use authority::{
    DevelopmentAuthority, ROOT_COMMON_NAME, ROOT_COUNTRY, ROOT_ORGANIZATION,
    ROOT_ORGANIZATIONAL_UNIT,
};
pub use cbor::{Cbor, ContainerForm, HeadWidth};
pub use certificate::{AlgorithmIdentifier, CertificateRecipe, SubjectPublicKey};
pub use chain::{Chain, ChainRecipe, Link};
pub use der::{Der, oid};
pub use document::{DocumentRecipe, Minted};
pub use envelope::EnvelopeRecipe;
pub use extension::{Criticality, Extension, KeyUsage};
pub use hierarchy::{
    INSTANCE_LIFETIME_SECONDS, LEAF_BACKDATING_SECONDS, LEAF_LIFETIME_SECONDS,
    REGION_LIFETIME_SECONDS, ZONE_LIFETIME_SECONDS,
};
pub use identity::Identity;
pub use key::KeyPair;
pub use measurement::{Measurement, ZERO_MEASUREMENT, extended, measurement_of};
pub use name::{Attribute, Name, StringKind};
pub use payload::{Edit, PayloadRecipe};
pub use signature::SignatureRecipe;
pub use state_directory::AuthorityError;
pub use time_field::TimeField;
