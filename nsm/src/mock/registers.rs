//! The 32 platform configuration registers.

use super::config::{EnclaveMode, MockConfig};
use super::mint::{Measurement, ZERO_MEASUREMENT, extended, measurement_of};
use crate::error::ErrorCode;
use crate::nsm::PCR_COUNT;

/// Registers that the hypervisor locks before the enclave starts.
const LOCKED_FROM_BOOT: u16 = 16;

/// One register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Register {
    pub(super) value: Measurement,
    pub(super) locked: bool,
}

/// All registers, by index.
#[derive(Clone, Debug)]
pub(super) struct Registers {
    all: Vec<Register>,
}

impl Registers {
    /// As the hypervisor sets them when the enclave starts.
    pub(super) fn at_boot(config: &MockConfig) -> Self {
        let measured = |value: &Measurement| match config.mode {
            EnclaveMode::Production => *value,
            EnclaveMode::Debug => ZERO_MEASUREMENT,
        };
        let value = |index: u16| match index {
            0 => measured(&config.pcr0),
            1 => measured(&config.pcr1),
            2 => measured(&config.pcr2),
            3 => config
                .role_arn
                .as_ref()
                .map_or(ZERO_MEASUREMENT, |arn| measurement_of(arn.as_bytes())),
            4 => measurement_of(config.identity.instance_id.as_bytes()),
            8 => config.pcr8.as_ref().map_or(ZERO_MEASUREMENT, measured),
            _ => ZERO_MEASUREMENT,
        };
        let all = (0..PCR_COUNT)
            .map(|index| Register {
                value: value(index),
                locked: index < LOCKED_FROM_BOOT,
            })
            .collect();
        Self { all }
    }

    pub(super) fn describe(&self, index: u16) -> Result<Register, ErrorCode> {
        self.all
            .get(usize::from(index))
            .copied()
            .ok_or(ErrorCode::InvalidIndex)
    }

    pub(super) fn extend(&mut self, index: u16, data: &[u8]) -> Result<Measurement, ErrorCode> {
        let register = self.open_register(index)?;
        register.value = extended(&register.value, data);
        Ok(register.value)
    }

    pub(super) fn lock(&mut self, index: u16) -> Result<(), ErrorCode> {
        self.open_register(index)?.locked = true;
        Ok(())
    }

    /// Locks `0..range`. Locked ones among them are no error: 0 to 15 always are.
    pub(super) fn lock_range(&mut self, range: u16) -> Result<(), ErrorCode> {
        let registers = self
            .all
            .get_mut(..usize::from(range))
            .ok_or(ErrorCode::InvalidIndex)?;
        for register in registers {
            register.locked = true;
        }
        Ok(())
    }

    /// Index and value of every locked register: those that a document shows.
    pub(super) fn locked(&self) -> impl Iterator<Item = (u16, &Measurement)> {
        (0..PCR_COUNT)
            .zip(&self.all)
            .filter(|(_, register)| register.locked)
            .map(|(index, register)| (index, &register.value))
    }

    fn open_register(&mut self, index: u16) -> Result<&mut Register, ErrorCode> {
        let register = self
            .all
            .get_mut(usize::from(index))
            .ok_or(ErrorCode::InvalidIndex)?;
        if register.locked {
            Err(ErrorCode::ReadOnlyIndex)
        } else {
            Ok(register)
        }
    }
}
