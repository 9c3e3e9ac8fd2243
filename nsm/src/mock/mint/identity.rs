//! Which enclave a document speaks of.

/// The enclave, its instance and its region. The module id and every subject follow from these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `i-` and 17 hexadecimal digits.
    pub instance_id: String,
    /// 16 hexadecimal digits: AWS puts the start time in milliseconds first, then two more bytes.
    pub enclave_id: String,
    /// AWS region, such as `us-east-1`.
    pub region: String,
}

impl Identity {
    /// An enclave that exists nowhere.
    #[must_use]
    pub fn example() -> Self {
        Self {
            instance_id: "i-0123456789abcdef0".to_owned(),
            enclave_id: "0198c0ffee00d1ce".to_owned(),
            region: "us-east-1".to_owned(),
        }
    }

    /// `<instance id>-enc<enclave id>`.
    #[must_use]
    pub fn module_id(&self) -> String {
        format!("{}-enc{}", self.instance_id, self.enclave_id)
    }

    /// The enclave that a module id names, in the example's region: no module id tells the region.
    /// `None` for what AWS does not make.
    #[must_use]
    pub fn from_module_id(module_id: &str) -> Option<Self> {
        let (instance_id, enclave_id) = module_id.split_once("-enc")?;
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits
                && text
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let fits = is_hex(instance_id.strip_prefix("i-")?, 17) && is_hex(enclave_id, 16);
        fits.then(|| Self {
            instance_id: instance_id.to_owned(),
            enclave_id: enclave_id.to_owned(),
            ..Self::example()
        })
    }

    /// The first eight bytes of a leaf's serial number: the enclave id. Digits that are not
    /// hexadecimal count as zero.
    pub(crate) fn enclave_id_bytes(&self) -> [u8; 8] {
        u64::from_str_radix(&self.enclave_id, 16)
            .unwrap_or_default()
            .to_be_bytes()
    }
}
