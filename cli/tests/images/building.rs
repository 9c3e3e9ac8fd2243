//! From a recipe to an image, and again.

use serde_json::Value;

use crate::fixture::{KERNEL, Workshop, program, register};

fn differences(value: &Value) -> Vec<(String, String)> {
    value["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| {
            let text = |name: &str| difference[name].as_str().unwrap().to_owned();
            (text("part"), text("subject"))
        })
        .collect()
}

#[test]
fn the_same_inputs_make_the_same_bytes() {
    let workshop = Workshop::new();
    let built = workshop.json("image build shop.toml --out shop.eif");
    assert_eq!(
        (built["name"].as_str(), built["version"].as_str()),
        (Some("shop"), Some("1.0.0"))
    );
    assert!(built["memory_mib"].as_u64().unwrap() >= 64);
    assert_eq!(built["insecure"], Value::Array(Vec::new()));
    assert_eq!(built["manifest"], "shop.manifest.json");
    workshop.done("image build shop.toml --out other.eif --manifest other.json");
    assert_eq!(workshop.bytes("shop.eif"), workshop.bytes("other.eif"));
    assert_eq!(
        workshop.bytes("shop.manifest.json"),
        workshop.bytes("other.json")
    );
    let (stdout, stderr) = workshop.done("image rebuild shop.manifest.json --recipe shop.toml");
    assert!(stdout.starts_with("THE SAME  shop 1.0.0\n"), "{stdout}");
    assert!(stderr.contains("narthex image approve"), "{stderr}");
}

/// The agent would end the boot; whoever builds should learn it first.
#[test]
fn the_kernel_must_be_told_whom_not_to_trust() {
    let workshop = Workshop::new();
    let line = |words: &str| format!("version = \"1.0.0\"\ncommand_line = \"reboot=k {words}\"");
    let mut before = "version = \"1.0.0\"".to_owned();
    for (words, missing) in [
        ("random.trust_bootloader=off", "entropy.trust_cpu"),
        ("random.trust_cpu=off", "entropy.trust_bootloader"),
        (
            "random.trust_cpu=off random.trust_bootloader=off random.trust_cpu=on",
            "entropy.trust_cpu",
        ),
    ] {
        workshop.edit("shop.toml", &before, &line(words));
        before = line(words);
        let refused = workshop.refused("image build shop.toml --out shop.eif", 2, "recipe.field");
        assert!(refused.to_string().contains(missing), "{refused}");
    }
    let enough = line("random.trust_cpu=off random.trust_bootloader=off");
    workshop.edit("shop.toml", &before, &enough);
    workshop.done("image build shop.toml --out shop.eif");
}

/// The numbers of `build`, `measure`, `inspect` and the manifest are one, and follow from the parts.
#[test]
fn measurements_have_the_names_of_nitro_cli() {
    let workshop = Workshop::new();
    let built = workshop.json("image build shop.toml --out shop.eif");
    let (plain, _) = workshop.done("measure shop.eif");
    let measured: Value = serde_json::from_str(&plain).unwrap();
    assert_eq!(measured, workshop.json("measure shop.eif"));
    let names: Vec<&String> = measured.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "CheckCRC",
            "EifVersion",
            "ImageName",
            "ImageVersion",
            "IsSigned",
            "Measurements",
            "Metadata"
        ]
    );
    assert_eq!(measured["EifVersion"], 4);
    assert_eq!(measured["IsSigned"], false);
    assert_eq!(measured["CheckCRC"], true);
    assert_eq!(measured["ImageName"], "shop");
    assert_eq!(measured["ImageVersion"], "1.0.0");
    let metadata = measured["Metadata"].as_object().unwrap();
    for name in [
        "BuildTime",
        "BuildTool",
        "BuildToolVersion",
        "OperatingSystem",
        "KernelVersion",
        "DockerInfo",
    ] {
        assert!(metadata.contains_key(name), "{name}");
    }
    let registers = &measured["Measurements"];
    assert_eq!(registers["HashAlgorithm"], "Sha384 { ... }");
    assert_eq!(*registers, built["Measurements"]);
    let inspected = workshop.json("image inspect shop.eif");
    assert_eq!(*registers, inspected["Measurements"]);
    let manifest: Value = serde_json::from_str(&workshop.text("shop.manifest.json")).unwrap();
    assert_eq!(
        manifest["predicate"]["measurements"]["pcr0"],
        registers["PCR0"]
    );

    // PCR1 from the definition: kernel, command line, first ramdisk, which begins behind five headers.
    let sections = inspected["sections"].as_array().unwrap();
    assert_eq!(sections[0]["name"], "kernel");
    let line = inspected["command_line"].as_str().unwrap();
    let bytes = workshop.bytes("shop.eif");
    let size = |index: usize| usize::try_from(sections[index]["size"].as_u64().unwrap()).unwrap();
    let start = 548 + 4 * 12 + size(0) + line.len() + size(3);
    let first = &bytes[start..start + size(1)];
    assert_eq!(
        register(&[KERNEL, line.as_bytes(), first].concat()),
        registers["PCR1"].as_str().unwrap()
    );
}

#[test]
fn nothing_is_overwritten_by_accident() {
    let workshop = Workshop::built();
    let before = (workshop.bytes("shop.eif"), workshop.names());
    workshop.write("root/app/server", &program(b"server 2"));
    let again = "image build shop.toml --out shop.eif";
    workshop.refused(again, 3, "file.exists");
    workshop.refused(
        "image build shop.toml --out new.eif --manifest shop.manifest.json",
        3,
        "file.exists",
    );
    workshop.refused(
        "image build shop.toml --out new.eif --manifest new.eif",
        2,
        "misuse.arguments",
    );
    workshop.refused(
        "image rebuild shop.manifest.json --recipe shop.toml --out shop.eif",
        3,
        "file.exists",
    );
    // Not even by force over what is read, however it is spelt.
    for words in [
        "image build shop.toml --out shop.toml --force",
        "image build shop.toml --out ./shop.toml --force",
        "image build shop.toml --out new.eif --manifest root/../shop.toml --force",
        "image build shop.toml --out new.eif --manifest ./new.eif --force",
        "image rebuild shop.manifest.json --recipe shop.toml --out ./shop.toml --force",
        "image rebuild shop.manifest.json --recipe shop.toml --out ./shop.manifest.json --force",
    ] {
        workshop.refused(words, 2, "misuse.arguments");
    }
    assert_eq!((workshop.bytes("shop.eif"), workshop.names()), before);
    workshop.approve("alice");
    let (_, said) = workshop.done(&format!("{again} --force"));
    assert!(said.contains("signatures of alice"), "{said}");
    assert_ne!(workshop.bytes("shop.eif"), before.0);
}

#[test]
fn versions_in_names_do_not_share_a_manifest() {
    let workshop = Workshop::new();
    for version in ["1.2.0", "1.2.1"] {
        let built = workshop.json(&format!("image build shop.toml --out shop-{version}"));
        assert_eq!(built["manifest"], format!("shop-{version}.manifest.json"));
    }
}

/// What the agent itself would refuse at boot, and what images must not have.
#[test]
fn what_cannot_become_an_image() {
    let workshop = Workshop::new();
    let build = "image build shop.toml --out shop.eif";
    let good = workshop.text("shop.toml");
    let broken = |from: &str, to: &str, status: i32, id: &str| {
        workshop.edit("shop.toml", from, to);
        let value = workshop.refused(build, status, id);
        workshop.write("shop.toml", good.as_bytes());
        value["error"].clone()
    };
    let error = broken(
        "[settings.gate]\n",
        "[settings.gate]\ntypo = 1\n",
        2,
        "recipe.settings",
    );
    assert!(
        error["message"].as_str().unwrap().contains("typo"),
        "{error}"
    );
    // Only where the agent is process 1 with all rights: an ordinary address of a laptop.
    broken("vsock:any:5005", "tcp:127.0.0.1:5005", 2, "recipe.settings");
    broken("schema = 1", "schema = 2", 2, "recipe.schema");
    broken("bzImage", "missing", 3, "input.unreadable");
    broken("user = 1000", "user = 0", 1, "image.root_user");
    workshop.write("root/app/sh", &program(b"shell"));
    workshop.write("root/app/id_rsa", b"-----BEGIN OPENSSH PRIVATE KEY-----\n");
    workshop.write("root/bin/sh", &program(b"shell"));
    let value = workshop.refused(build, 1, "image.private_key");
    let next = value["error"]["next"].as_str().unwrap();
    assert!(next.contains("[image.shell]"), "all are listed: {next}");
    assert!(!workshop.exists("shop.eif") && !workshop.exists("shop.manifest.json"));
    workshop.refused("image build none.toml --out a.eif", 3, "file.not_found");
}

#[test]
fn what_weakens_an_image_shows() {
    let workshop = Workshop::new();
    workshop.write("root/app/sh", &program(b"shell"));
    workshop.recipe("shop", "1.0.0", "insecure_shell = true");
    let (text, _) = workshop.done("image build shop.toml --out shop.eif");
    assert!(text.contains("\n  INSECURE  shell\n"), "{text}");
    let value = workshop.json("image rebuild shop.manifest.json --recipe shop.toml");
    assert_eq!(value["insecure"][0], "shell");
    let approve = "image approve shop.manifest.json --as alice --key alice";
    let (_, said) = workshop.done(approve);
    assert!(said.contains("INSECURE: shell"), "{said}");
    workshop.approve("bob");
    let (_, said) = workshop.done("release new policy --manifest shop.manifest.json");
    assert!(said.contains("INSECURE: shell"), "{said}");
}

#[test]
fn every_difference_is_explained() {
    let workshop = Workshop::built();
    let rebuild = "image rebuild shop.manifest.json --recipe shop.toml";
    workshop.write("root/app/server", &program(b"server 2, longer"));
    workshop.write("root/app/extra", b"new");
    let value = workshop.refused(rebuild, 1, "manifest.differs");
    let found = differences(&value);
    assert_eq!(value["verdict"], "refused");
    assert_eq!(
        found[..2],
        [
            ("file".to_owned(), "/app/server".to_owned()),
            ("file".to_owned(), "/app/extra".to_owned())
        ]
    );
    let consequences: Vec<&str> = found[2..]
        .iter()
        .map(|(_, subject)| subject.as_str())
        .collect();
    assert_eq!(consequences, ["pcr0", "pcr2", "sha256", "sha384"]);

    // Another kernel: another recipe, another input, and PCR1 in place of PCR2.
    workshop.write("root/app/server", &program(b"server 1"));
    std::fs::remove_file(workshop.path("root/app/extra")).unwrap();
    workshop.write("bzImage", b"another kernel");
    workshop.recipe("shop", "1.0.0", "");
    let found = differences(&workshop.refused(rebuild, 1, "manifest.differs"));
    let subjects: Vec<&str> = found.iter().map(|(_, subject)| subject.as_str()).collect();
    assert_eq!(
        subjects,
        ["recipe", "kernel", "pcr0", "pcr1", "sha256", "sha384"]
    );

    // For people, and the image is kept when they ask for it.
    let output = workshop.narthex(&format!("{rebuild} --out mine.eif"));
    let (status, stdout, stderr) = crate::common::read(&output);
    assert_eq!(status, 1);
    assert!(stdout.starts_with("DIFFERENT  "), "{stdout}");
    let (causes, effects) = stdout.split_once("\nwhat came out\n").unwrap();
    assert!(causes.contains("input kernel: ") && effects.contains("measurement pcr1: "));
    assert!(stderr.contains("[manifest.differs]"), "{stderr}");
    assert!(workshop.exists("mine.eif"));
}

#[test]
fn approval_after_building_again() {
    let workshop = Workshop::built();
    let approve = "image approve shop.manifest.json --as alice --key alice --recipe shop.toml";
    workshop.write("root/app/server", &program(b"server 2"));
    workshop.refused(approve, 1, "manifest.differs");
    assert!(!workshop.exists("shop.manifest.json.alice.sig"));
    workshop.write("root/app/server", &program(b"server 1"));
    let value = workshop.json(approve);
    assert_eq!(value["namespace"], "image@narthex");
    assert!(workshop.exists("shop.manifest.json.alice.sig"));
    // Without a recipe the signer is reminded of what it means.
    let (_, said) = workshop.done("image approve shop.manifest.json --as bob --key bob");
    assert!(said.contains("nothing was built here"), "{said}");
    // What is no manifest is not signed.
    workshop.write("not.json", b"{}");
    workshop.refused(
        "image approve not.json --as alice --key alice",
        1,
        "manifest.format",
    );
    workshop.edit(
        "shop.manifest.json",
        "\"version\": \"1.0.0\"",
        "\"version\":  \"1.0.0\"",
    );
    workshop.refused(
        "image approve shop.manifest.json --as alice --key alice",
        1,
        "manifest.spelling",
    );
}

/// The reader's refusals come through with their own ids.
#[test]
fn files_that_are_no_images() {
    let workshop = Workshop::built();
    let good = workshop.bytes("shop.eif");
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    for (bytes, id) in [
        (&b"no image"[..], "eif.magic"),
        (&good[..good.len() - 1], "eif.truncated"),
        (&changed, "eif.crc"),
    ] {
        workshop.write("x.eif", bytes);
        for command in ["measure x.eif", "image inspect x.eif"] {
            workshop.refused(command, 1, id);
        }
    }
    workshop.refused("measure none.eif", 3, "file.not_found");
}
