//! What an image measures to, by our reader, by AWS's, and by the module after it was booted.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::fs;
use std::path::Path;

use narthex_channel::Digest384;
use narthex_nsm::Nsm;
use narthex_nsm::mock::mint::measurement_of;
use narthex_tests::lab::Lab;
use narthex_tests::lab::enclave::Image;
use narthex_tests::lab::process::Said;
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::image::{Content, ImagePlan};
use narthex_tests::machine::tools::Tools;
use narthex_tests::machine::{BootPlan, each};
use narthex_tests::peers::Peers;

/// PCR0, PCR1, PCR2 and PCR8 as the module of a machine with this image states them.
fn stated(deployment: &Deployment, name: &str, plan: &BootPlan) -> [Vec<u8>; 4] {
    let mut handout = deployment.hand_out(name, plan);
    let registers = [0, 1, 2, 8].map(|index| {
        let state = handout.nsm.describe_pcr(index).expect("a register");
        assert!(state.locked, "PCR{index}");
        state.data
    });
    handout.end();
    registers
}

fn with_pcr8(image: &Image, pcr8: [u8; 48]) -> [Vec<u8>; 4] {
    let [pcr0, pcr1, pcr2] = image.pcrs;
    [pcr0, pcr1, pcr2, pcr8].map(Vec::from)
}

#[test]
fn the_module_states_what_the_image_measures_to() {
    let Some(tools) = Tools::find("the_module_states_what_the_image_measures_to") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let lab = &deployment.lab;
    let image = deployment.handout_image("bare");
    let plan = deployment.plan(&image);
    let unsigned = stated(&deployment, "unsigned", &plan);
    assert_eq!(unsigned, with_pcr8(&image.measurements, [0; 48]));

    // Signed: the same, and PCR8 says by whom.
    sign(lab, &image.file, "signed.eif");
    let file = lab.path("signed.eif");
    let (measurements, pcr8) = lab.measure(&file);
    assert_eq!(measurements, image.measurements);
    let certificate = openssl(lab, "x509 -in signing.pem -outform DER -out signing.der");
    assert_eq!(certificate.code, Some(0), "{certificate:#?}");
    let certificate = fs::read(lab.path("signing.der")).expect("a certificate");
    // SHA-384 of the certificate, extended into an empty register.
    let expected = measurement_of(Digest384::of(&certificate).as_bytes());
    assert_eq!(pcr8, Some(expected));
    let plan = BootPlan {
        image: file.clone(),
        ..plan
    };
    let signed = stated(&deployment, "signed", &plan);
    assert_eq!(signed, with_pcr8(&measurements, expected));

    // In debug mode nothing of that is there, whoever signed.
    let plan = BootPlan {
        machine: "debug-mode=on".to_owned(),
        ..plan
    };
    let debug = stated(&deployment, "debug", &plan);
    assert_eq!(debug, [vec![0; 48], vec![0; 48], vec![0; 48], vec![0; 48]]);

    // AWS's reader says the same about both files.
    let Some(peers) = Peers::find() else { return };
    for file in [&image.file, &file] {
        let path = file.display().to_string();
        let Some(said) = peers.image_oracle(lab.folder(), &["describe", &path]) else {
            panic!("scripts/peers builds image-oracle");
        };
        let said = said.done();
        let (image, pcr8) = lab.measure(file);
        for register in image.pcrs.iter().chain(&pcr8) {
            assert!(said.contains(&hex::encode(register)), "{path}: {said}");
        }
    }
}

fn openssl(lab: &Lab, words: &str) -> Said {
    let words: Vec<&str> = words.split(' ').collect();
    Said::by(lab.folder(), Path::new("/usr/bin/openssl"), &words)
}

/// Signs an image with a new key, whose certificate is `signing.pem`.
fn sign(lab: &Lab, image: &Path, out: &str) {
    let made = openssl(
        lab,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -noenc -sha384 -days 30 \
         -subj /CN=lab -keyout signing.key -out signing.pem",
    );
    assert_eq!(made.code, Some(0), "{made:#?}");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(lab.path("signing.key"), mode).expect("the key's mode");
    lab.narthex(&[
        "image",
        "sign",
        &image.display().to_string(),
        "--certificate",
        "signing.pem",
        "--key",
        "signing.key",
        "--out",
        out,
    ])
    .done();
}

#[test]
fn each_part_of_an_image_changes_its_registers_and_no_other() {
    let Some(tools) = Tools::find("each_part_of_an_image_changes_its_registers_and_no_other")
    else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.handout_image("bare");
    type Change = fn(&Deployment, &mut ImagePlan);
    // Each with the registers that it changes.
    let changes: [(&str, Change, [bool; 3]); 4] = [
        (
            "kernel",
            |deployment, plan| plan.kernel = one_byte_more(deployment, &plan.kernel, "kernel"),
            [true, true, false],
        ),
        (
            "line",
            |_, plan| {
                let line = "reboot=k panic=1 console=ttyS0 random.trust_cpu=off \
                            random.trust_bootloader=off lsm=landlock";
                plan.command_line = Some(line.to_owned());
            },
            [true, true, false],
        ),
        (
            "agent",
            |deployment, plan| plan.init = one_byte_more(deployment, &plan.init, "agent"),
            [true, true, false],
        ),
        (
            "workload",
            |_, plan| {
                let note = Content::Text("x".to_owned());
                plan.files.push(("/app/note".to_owned(), note, 0o444));
            },
            [true, false, true],
        ),
    ];
    let unchanged = with_pcr8(&image.measurements, [0; 48]);
    each(changes, |(name, change, expected)| {
        let other = deployment.image_with(name, |plan| {
            plan.init = deployment.tools.specimen().to_owned();
            change(&deployment, plan);
        });
        let registers = stated(&deployment, name, &deployment.plan(&other));
        assert_eq!(registers, with_pcr8(&other.measurements, [0; 48]), "{name}");
        let changed = [0, 1, 2].map(|index| registers[index] != unchanged[index]);
        assert_eq!(changed, expected, "{name}");
    });
}

fn one_byte_more(deployment: &Deployment, file: &Path, name: &str) -> std::path::PathBuf {
    let mut bytes = fs::read(file).expect("a part of an image");
    bytes.push(0);
    let path = deployment.lab.path(&format!("another-{name}"));
    fs::write(&path, bytes).expect("another part");
    path
}
