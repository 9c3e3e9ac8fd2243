//! The bytes of a backup. What to do with one is decided in `administration`.

use aws_lc_rs::constant_time;
use minicbor::{Decoder, Encoder, data::Type};
use zeroize::Zeroizing;

use super::{
    error::StoreError,
    key_version::{KeyOrigin, KeyReference, KeyRow, KeyShares, KeyState, KeyVersion},
    keyring::{Mac, Wrapped},
    writing::Writing,
};
use crate::{clock::UnixMillis, digest::Digest, root_key::RootKeyId};

const MAGIC: &[u8] = b"narthex-backup v1\n";
const COLUMNS: u64 = 13;

/// An opened backup: every row was authentic.
pub struct BackupContent {
    /// Key versions with their keys; those of retired ones are empty.
    pub keys: Vec<(KeyVersion, Zeroizing<Vec<u8>>)>,
}

/// Why a backup does not open.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackupError {
    /// It is not one, or damaged.
    Malformed,
    /// It was made under another genesis bundle.
    Foreign,
    /// Its root key, or that of a row, is not here.
    RootKey,
    /// It was altered.
    Altered,
    /// Storage failed.
    Storage(StoreError),
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::RootKeyMissing(_) => Self::RootKey,
            StoreError::Altered { .. } => Self::Altered,
            error => Self::Storage(error),
        }
    }
}

impl From<minicbor::decode::Error> for BackupError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Malformed
    }
}

impl Writing<'_> {
    /// A backup of every key version, and how many there are.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when a row is not what was written: it would be missing in silence.
    pub fn backup(&self, now: UnixMillis) -> Result<(Vec<u8>, u64), StoreError> {
        let references = self.references();
        let mut encoder = Encoder::new(Vec::new());
        let mut encode = |count: usize| -> Result<(), Infallible> {
            encoder
                .array(3)?
                .bytes(self.keyring().genesis().as_bytes())?
                .u64(now.0)?
                .array(count as u64)?;
            Ok(())
        };
        encode(references.len()).map_err(|_| StoreError::Cryptography)?;
        for reference in &references {
            let row = self.row(reference)?;
            // Opened and dropped: a backup never carries a row that would not come back.
            row.open(self.keyring())?;
            write_row(&mut encoder, &row).map_err(|_| StoreError::Cryptography)?;
        }
        let content = encoder.into_writer();
        let mac = self.keyring().sign_backup(&content)?;
        let bytes = [MAGIC, &mac.root_key.0, &mac.tag, &content].concat();
        Ok((bytes, references.len() as u64))
    }

    /// Opens a backup and every row of it.
    ///
    /// # Errors
    ///
    /// [`BackupError`]
    pub fn open_backup(&self, bytes: &[u8]) -> Result<BackupContent, BackupError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(BackupError::Malformed)?;
        let (root_key, rest) = rest
            .split_first_chunk::<16>()
            .ok_or(BackupError::Malformed)?;
        let (tag, content) = rest
            .split_first_chunk::<48>()
            .ok_or(BackupError::Malformed)?;
        let mac = Mac {
            root_key: RootKeyId(*root_key),
            tag: tag.to_vec(),
        };
        // The genesis comes first: with another one the tag cannot hold, and that would say less.
        let mut decoder = Decoder::new(content);
        if decoder.array()? != Some(3) {
            return Err(BackupError::Malformed);
        }
        let genesis = decoder.bytes()?;
        if constant_time::verify_slices_are_equal(genesis, self.keyring().genesis().as_bytes())
            .is_err()
        {
            return Err(BackupError::Foreign);
        }
        if !self.keyring().backup_is_ours(content, &mac)? {
            return Err(BackupError::Altered);
        }
        decoder.u64()?;
        let count = decoder.array()?.ok_or(BackupError::Malformed)?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let row = read_row(&mut decoder)?;
            let secret = row.open(self.keyring())?;
            keys.push((row.key, secret));
        }
        if decoder.datatype().is_ok_and(|kind| kind != Type::Break)
            || decoder.position() != content.len()
        {
            return Err(BackupError::Malformed);
        }
        Ok(BackupContent { keys })
    }
}

type Infallible = minicbor::encode::Error<std::convert::Infallible>;

fn write_row(encoder: &mut Encoder<Vec<u8>>, row: &KeyRow) -> Result<(), Infallible> {
    let KeyRow {
        key:
            KeyVersion {
                reference: KeyReference { name, version },
                state,
                origin,
                shares,
                bytes,
                commitment,
                created,
                changed,
                entry,
            },
        wrapped:
            Wrapped {
                root_key,
                nonce,
                ciphertext,
            },
    } = row;
    encoder
        .array(COLUMNS)?
        .str(name)?
        .u32(*version)?
        .str(state.as_str())?
        .str(origin.as_str())?
        .str(shares.as_str())?
        .u32(*bytes)?
        .bytes(commitment.as_bytes())?
        .u64(created.0)?
        .u64(changed.0)?
        .u64(*entry)?
        .bytes(&root_key.0)?
        .bytes(nonce)?
        .bytes(ciphertext)?;
    Ok(())
}

fn read_row(decoder: &mut Decoder<'_>) -> Result<KeyRow, BackupError> {
    if decoder.array()? != Some(COLUMNS) {
        return Err(BackupError::Malformed);
    }
    let malformed = || BackupError::Malformed;
    Ok(KeyRow {
        key: KeyVersion {
            reference: KeyReference {
                name: decoder.str()?.to_owned(),
                version: decoder.u32()?,
            },
            state: KeyState::from_text(decoder.str()?).ok_or_else(malformed)?,
            origin: KeyOrigin::from_text(decoder.str()?).ok_or_else(malformed)?,
            shares: KeyShares::from_text(decoder.str()?).ok_or_else(malformed)?,
            bytes: decoder.u32()?,
            commitment: Digest::from_slice(decoder.bytes()?).ok_or_else(malformed)?,
            created: UnixMillis(decoder.u64()?),
            changed: UnixMillis(decoder.u64()?),
            entry: decoder.u64()?,
        },
        wrapped: Wrapped {
            root_key: RootKeyId::from_slice(decoder.bytes()?).ok_or_else(malformed)?,
            nonce: decoder.bytes()?.try_into().map_err(|_| malformed())?,
            ciphertext: decoder.bytes()?.to_vec(),
        },
    })
}
