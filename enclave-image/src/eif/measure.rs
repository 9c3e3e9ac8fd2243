use sha2::{Digest, Sha384};

/// What the hypervisor measures of an image, and puts into its attestation documents.
///
/// Each is `SHA384(48 zero bytes || SHA384(content))`, where content is section data without
/// headers. The pieces are joined without their lengths: bytes that move from the end of one
/// section to the beginning of the next leave PCR0 as it is. PCR1 and PCR2 then change, so always
/// expect all three.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measurements {
    /// Kernel, command line and all ramdisks.
    pub pcr0: [u8; 48],
    /// Kernel, command line and the first ramdisk.
    pub pcr1: [u8; 48],
    /// All ramdisks but the first; of nothing, if there is only one.
    pub pcr2: [u8; 48],
    /// The DER of the signing certificate; only of a signed image.
    pub pcr8: Option<[u8; 48]>,
}

impl Measurements {
    pub(crate) fn new(
        kernel: &[u8],
        command_line: &[u8],
        ramdisks: &[&[u8]],
        certificate: Option<&[u8]>,
    ) -> Self {
        let mut image = Sha384::new();
        image.update(kernel);
        image.update(command_line);
        let mut workload = Sha384::new();
        let mut ramdisks = ramdisks.iter();
        if let Some(first) = ramdisks.next() {
            image.update(first);
        }
        // PCR0 goes on where PCR1 ends, so that the kernel and the first ramdisk are hashed once.
        let boot = image.clone();
        for ramdisk in ramdisks {
            image.update(ramdisk);
            workload.update(ramdisk);
        }
        Self {
            pcr0: extend_from_zero(image),
            pcr1: extend_from_zero(boot),
            pcr2: extend_from_zero(workload),
            pcr8: certificate.map(|der| extend_from_zero(Sha384::new_with_prefix(der))),
        }
    }
}

/// A register that was zero, extended once.
fn extend_from_zero(content: Sha384) -> [u8; 48] {
    let mut register = Sha384::new_with_prefix([0; 48]);
    register.update(content.finalize());
    register.finalize().into()
}
