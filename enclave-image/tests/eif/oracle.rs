//! AWS's own builder, reader and signer, asked about the same images: `enclave-image/oracle`, which
//! `scripts/peers` builds.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use narthex_image::eif::{self, Architecture, Image, Measurements, P384FileSigner};
use serde_json::Value;

use crate::support::*;

struct Oracle {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Oracle {
    /// The program; `None`, and a line that says so, where it is not and need not be.
    fn find(test: &str) -> Option<Self> {
        let named = std::env::var_os("NARTHEX_IMAGE_ORACLE").map(PathBuf::from);
        let peer =
            std::env::var_os("NARTHEX_PEERS").map(|folder| Path::new(&folder).join("image-oracle"));
        let program = named.or(peer).filter(|program| program.is_file());
        if program.is_none() {
            let words = "run `scripts/peers FOLDER`, then set NARTHEX_PEERS=FOLDER, or NARTHEX_IMAGE_ORACLE to the program";
            assert!(
                std::env::var_os("NARTHEX_REQUIRE_PEERS").is_none(),
                "{test}: {words}"
            );
            eprintln!("SKIPPED {test}: AWS's tool is not there: {words}");
        }
        let folder = tempfile::tempdir().unwrap();
        program.map(|program| Self { program, folder })
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The program's answer; its complaint if it refuses.
    fn ask<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Value, String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn describe(&self, file: &[u8]) -> Value {
        let path = self.write("described.eif", file);
        self.ask(&[OsStr::new("describe"), path.as_os_str()])
            .unwrap()
    }

    /// A file that AWS's builder makes of the same parts, and the measurements it prints.
    fn build(
        &self,
        architecture: &str,
        line: &str,
        kernel: &[u8],
        ramdisks: &[&[u8]],
    ) -> (Vec<u8>, Value) {
        let image = self.folder.path().join("built.eif");
        let kernel = self.write("kernel", kernel);
        let mut arguments = [
            "build".into(),
            image.clone().into_os_string(),
            architecture.into(),
            line.into(),
            kernel.into_os_string(),
        ]
        .to_vec();
        for (number, ramdisk) in ramdisks.iter().enumerate() {
            arguments.push(
                self.write(&format!("ramdisk-{number}"), ramdisk)
                    .into_os_string(),
            );
        }
        let answer = self.ask(&arguments).unwrap();
        (
            std::fs::read(image).unwrap(),
            answer["measurements"].clone(),
        )
    }

    fn sign(&self, file: &[u8], signing: &Signing) -> (Vec<u8>, Value) {
        let image = self.write("to-sign.eif", file);
        let key = self.write("key.pem", signing.key_pem());
        let certificate = self.write("certificate.pem", signing.certificate_pem());
        let answer = self
            .ask(&[
                OsStr::new("sign"),
                image.as_os_str(),
                key.as_os_str(),
                certificate.as_os_str(),
            ])
            .unwrap();
        (std::fs::read(image).unwrap(), answer)
    }
}

fn same(ours: Measurements, theirs: &Value) {
    let hex = |bytes: [u8; 48]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert_eq!(theirs["PCR0"], hex(ours.pcr0));
    assert_eq!(theirs["PCR1"], hex(ours.pcr1));
    assert_eq!(theirs["PCR2"], hex(ours.pcr2));
    assert_eq!(
        theirs["PCR8"].as_str().map(str::to_owned),
        ours.pcr8.map(hex)
    );
}

#[test]
fn images_that_aws_builds_are_read_and_measured_the_same() {
    let Some(oracle) = Oracle::find("images_that_aws_builds_are_read_and_measured_the_same") else {
        return;
    };
    let mut random = Random(11);
    for (count, architecture) in [
        (1, "x86_64"),
        (2, "x86_64"),
        (2, "aarch64"),
        (5, "aarch64"),
        (28, "x86_64"),
    ] {
        let contents: Vec<Vec<u8>> = (0..count)
            .map(|number| random.bytes(1 + number * 1001))
            .collect();
        let ramdisks: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let kernel = random.bytes(5000);
        let line =
            "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on root=/dev/ram0";
        let (file, theirs) = oracle.build(architecture, line, &kernel, &ramdisks);
        let image = Image::parse(&file).unwrap();
        same(image.measure(), &theirs);
        assert_eq!(image.kernel(), kernel);
        assert_eq!(image.command_line(), line);
        assert_eq!(image.ramdisks(), ramdisks);
        assert_eq!(image.architecture().name(), architecture);
        assert_eq!((image.default_memory(), image.default_cpus()), (1 << 30, 2));
        let metadata: Value = serde_json::from_slice(image.metadata()).unwrap();
        assert_eq!(metadata["ImageName"], "oracle");
    }
}

#[test]
fn images_that_we_write_are_read_and_measured_the_same_by_aws() {
    let Some(oracle) = Oracle::find("images_that_we_write_are_read_and_measured_the_same_by_aws")
    else {
        return;
    };
    let ramdisks: [&[&[u8]]; 3] = [
        &[b"one"],
        &[b"the agent", b"the workload"],
        &[b"x".as_slice(); 28],
    ];
    for ramdisks in ramdisks {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            let mut parts = parts(ramdisks);
            parts.architecture = architecture;
            let file = eif::write(&parts).unwrap();
            let theirs = oracle.describe(&file);
            same(
                Image::parse(&file).unwrap().measure(),
                &theirs["measurements"],
            );
            assert_eq!(theirs["checksum"], true);
            assert_eq!(theirs["version"], 4);
            assert_eq!(
                theirs["flags"],
                u16::from(architecture == Architecture::Aarch64)
            );
            assert_eq!(theirs["sections"], ramdisks.len() + 3);
            assert_eq!(theirs["metadata"]["ImageName"], "example");
            assert!(theirs["certificate"].is_null());
        }
    }
}

#[test]
fn our_signature_verifies_at_aws_and_theirs_here() {
    let Some(oracle) = Oracle::find("our_signature_verifies_at_aws_and_theirs_here") else {
        return;
    };
    let unsigned = eif::write(&parts(&[b"the agent", b"the workload"])).unwrap();
    let signing = Signing::new(1);
    let key = P384FileSigner::from_pem(&signing.key_pem()).unwrap();
    let ours = eif::sign(&unsigned, &signing.certificate_pem(), &|bytes| {
        key.sign(bytes)
    })
    .unwrap();
    let said = oracle.describe(&ours);
    assert_eq!(said["signature"], true);
    assert_eq!(said["checksum"], true);
    assert_eq!(said["sections"], 6);
    same(
        Image::parse(&ours).unwrap().measure(),
        &said["measurements"],
    );

    let (built, _) = oracle.build("x86_64", "panic=1", b"a kernel", &[b"one", b"two"]);
    for file in [unsigned, built] {
        let (theirs, said) = oracle.sign(&file, &signing);
        let image = Image::parse(&theirs).unwrap();
        same(image.measure(), &said["measurements"]);
        assert_eq!(said["signature"], true);
        let certificate = image.verify_signature().unwrap().unwrap();
        assert_eq!(certificate.der(), signing.certificate_der);
    }

    // Their tool finds no signature over another image either.
    let mut raw = Raw::genuine();
    let section_of_ours = Image::parse(&ours).unwrap().signature().unwrap().to_vec();
    raw.sections[2].content = Image::parse(&ours).unwrap().metadata().to_vec();
    raw.sections[4].content = b"another workload".to_vec();
    raw.sections.push(section(SIGNATURE, &section_of_ours));
    assert_eq!(oracle.describe(&raw.file())["signature"], false);
}

/// The one known difference: an image that their tool signs a second time keeps the size of its
/// first signature in the header. QEMU refuses such a file too.
#[test]
fn an_image_signed_twice_by_aws_is_refused() {
    let Some(oracle) = Oracle::find("an_image_signed_twice_by_aws_is_refused") else {
        return;
    };
    let (built, _) = oracle.build("x86_64", "panic=1", b"a kernel", &[b"one", b"two"]);
    let signing = Signing::new(1);
    let (once, _) = oracle.sign(&built, &signing);
    // Their signatures are random and their size varies with them, so it takes a few.
    let (_, refused) = (0..20)
        .map(|_| oracle.sign(&once, &Signing::new(2)).0)
        .map(|twice| {
            (
                twice.len(),
                Image::parse(&twice).map(|_| ()).map_err(|error| error.id()),
            )
        })
        .find(|(length, _)| *length != once.len())
        .expect("a signature of another size");
    assert_eq!(refused, Err("eif.section_size"));
}
