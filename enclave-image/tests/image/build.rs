//! From recipe to image: layout, determinism, memory, validation.

use narthex_image::eif::Image;
use narthex_image::recipe::DEFAULT_COMMAND_LINE;

use super::support::{AARCH64, Draft, Item, KERNEL, base, elf, ids, with};

#[test]
fn the_image_holds_what_the_manifest_says() {
    let built = Draft::default().build(&base()).unwrap();
    let image = Image::parse(&built.image).unwrap();
    assert_eq!(image.kernel(), KERNEL);
    assert_eq!(image.command_line(), DEFAULT_COMMAND_LINE);
    assert_eq!(image.ramdisks().len(), 2);
    assert_eq!(image.default_memory(), built.memory_mib << 20);
    assert_eq!(image.default_cpus(), 2);
    assert_eq!(image.measure(), built.measurements);
    let manifest = &built.manifest;
    assert_eq!(
        *manifest.measurements.pcr0.as_bytes(),
        built.measurements.pcr0
    );
    assert_eq!(
        *manifest.measurements.pcr2.as_bytes(),
        built.measurements.pcr2
    );
    assert_eq!(
        manifest.image_sha256,
        narthex_image::Sha256Digest::of(&built.image)
    );
    assert_eq!(manifest.memory_mib, built.memory_mib);
    assert!(
        manifest.toolchain.contains_key("rustc")
            && manifest.toolchain.contains_key("narthex-image")
    );
    let names: Vec<_> = manifest.inputs.keys().map(String::as_str).collect();
    assert_eq!(names, ["agent", "agent.toml", "kernel", "workload"]);
}

#[test]
fn the_same_inputs_make_the_same_bytes() {
    let items = with([
        Item::file("etc/a", "a"),
        Item::hard_link("etc/b", "etc/a"),
        Item::link("c", "etc/a"),
    ]);
    let first = Draft::default().build(&items).unwrap();
    let second = Draft::default().build(&items).unwrap();
    assert_eq!(first.image, second.image);
    assert_eq!(first.manifest, second.manifest);
    // The order within the archive is the archive's; the image has one of its own.
    let mut other_order = items;
    other_order.rotate_left(2);
    let second = Draft::default().build(&other_order).unwrap();
    assert_eq!(first.measurements, second.measurements);
    assert_ne!(
        first.manifest.inputs["workload"],
        second.manifest.inputs["workload"]
    );
}

#[test]
fn each_part_is_measured_where_it_belongs() {
    let before = Draft::default().build(&base()).unwrap().measurements;
    let workload = Draft::default()
        .build(&with([Item::file("x", "")]))
        .unwrap()
        .measurements;
    assert!(
        workload.pcr0 != before.pcr0
            && workload.pcr1 == before.pcr1
            && workload.pcr2 != before.pcr2
    );
    let mut draft = Draft::default();
    draft.settings.push_str("pids_max = 7\n");
    let settings = draft.build(&base()).unwrap().measurements;
    assert!(
        settings.pcr0 != before.pcr0
            && settings.pcr1 == before.pcr1
            && settings.pcr2 != before.pcr2
    );
    let mut draft = Draft::default();
    draft.agent.push(0);
    let agent = draft.build(&base()).unwrap().measurements;
    assert!(agent.pcr0 != before.pcr0 && agent.pcr1 != before.pcr1 && agent.pcr2 == before.pcr2);
    let mut draft = Draft::default();
    draft.image.push_str("command_line = \"reboot=k\"\n");
    let line = draft.build(&base()).unwrap().measurements;
    assert!(line.pcr0 != before.pcr0 && line.pcr1 != before.pcr1 && line.pcr2 == before.pcr2);
    // What is not measured: processors that the header proposes.
    let mut draft = Draft::default();
    draft.image.push_str("cpus = 4\n");
    let cpus = draft.build(&base()).unwrap();
    assert_eq!(cpus.measurements, before);
    assert_eq!(Image::parse(&cpus.image).unwrap().default_cpus(), 4);
}

#[test]
fn memory_covers_image_root_agent_workload_and_kernel() {
    let memory = |settings: &str, items: &[Item]| {
        let settings = format!("command = \"/app/server\"\nuser = 1\ngroup = 1\n{settings}");
        Draft::settings(&settings).build(items).unwrap()
    };
    let small = memory("memory_max_bytes = 33554432\n", &base());
    // 64 MiB kernel, 16 MiB agent, 32 MiB workload, and a little.
    assert_eq!(small.memory_mib, 64 + 16 + 32 + 2);
    assert!(small.notes.is_empty());
    let unlimited = memory("", &base());
    assert_eq!(unlimited.memory_mib, 64 + 16 + 64 + 2);
    assert_eq!(unlimited.notes.len(), 1);
    let large = memory(
        "memory_max_bytes = 1\n",
        &with([Item::file("x", vec![0; 100 << 20])]),
    );
    assert_eq!(large.memory_mib, 64 + 100 + 100 + 2);
}

#[test]
fn compression_changes_the_size_and_the_measurements_but_not_the_files() {
    let packed = Draft::default().build(&base()).unwrap();
    let mut draft = Draft::default();
    draft.image.push_str("compression = \"none\"\n");
    let plain = draft.build(&base()).unwrap();
    assert!(plain.image.len() > packed.image.len());
    assert_ne!(plain.measurements.pcr1, packed.measurements.pcr1);
    assert_eq!(plain.manifest.files, packed.manifest.files);
    let plain = Image::parse(&plain.image).unwrap();
    assert!(
        plain
            .ramdisks()
            .iter()
            .all(|ramdisk| ramdisk.starts_with(b"070701"))
    );
    // No name, no time, no operating system.
    let packed = Image::parse(&packed.image).unwrap();
    for ramdisk in packed.ramdisks() {
        assert_eq!(ramdisk[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    }
}

#[test]
fn aarch64_images_need_aarch64_programs() {
    let mut draft = Draft::default();
    draft.image = draft.image.replace("x86_64", "aarch64");
    assert_eq!(ids(draft.build(&base())), ["agent.program"]);
    draft.agent = elf(AARCH64, &[]);
    assert_eq!(ids(draft.build(&base())), ["image.command"]);
    let built = draft
        .build(&[Item::file("app/server", elf(AARCH64, &[])).mode(0o755)])
        .unwrap();
    assert!(
        built
            .manifest
            .to_json()
            .contains("\"architecture\": \"aarch64\"")
    );
}

#[test]
fn a_configuration_that_the_agent_refuses_is_refused() {
    use narthex_image::build::{Inputs, WorkloadInput, assemble};
    use narthex_image::recipe::Recipe;
    use narthex_image::tree::Limits;
    let archive = super::support::tar(&base());
    let digest = narthex_image::Sha256Digest::of(&archive);
    let draft = Draft::default();
    let recipe =
        Recipe::parse(&draft.text(&format!("archive = \"a\"\nsha256 = \"{digest}\""))).unwrap();
    let inputs = || Inputs {
        kernel: KERNEL.to_vec(),
        modules: Vec::new(),
        agent: draft.agent.clone(),
        workload: WorkloadInput::Archive(archive.clone()),
    };
    let seen = std::cell::RefCell::new(String::new());
    let refuse = |text: &str| {
        text.clone_into(&mut seen.borrow_mut());
        Err("gate is missing".to_owned())
    };
    let refusals = assemble(&recipe, inputs(), &refuse, &Limits::DEFAULT).unwrap_err();
    assert_eq!(refusals.first().id(), "recipe.settings");
    assert!(refusals.first().detail().contains("gate is missing"));
    let accept = |text: &str| {
        if *text == *seen.borrow() {
            Ok(())
        } else {
            Err("another".to_owned())
        }
    };
    let built = assemble(&recipe, inputs(), &accept, &Limits::DEFAULT).unwrap();
    assert_eq!(built.agent_toml, *seen.borrow());
}

/// Everything between recipe and measurement in one number: when a library writes other bytes than before,
/// every image changes, and that must not happen unnoticed.
#[test]
fn an_upgrade_that_changes_images_is_noticed() {
    let text: String = (0..20_000)
        .map(|line| format!("line {line} of a file that packs well\n"))
        .collect();
    let built = Draft::default()
        .build(&with([
            Item::file("etc/text", text),
            Item::link("etc/link", "text"),
            Item::hard_link("x", "etc/text"),
        ]))
        .unwrap();
    assert_eq!(
        built.manifest.measurements.pcr0.to_string(),
        "3489636c3d7c881c420290572b76d26e123ecfdb34f0d3536a30d1413be82b16913049ef018397b3012f48ad5bbda562",
        "the ramdisks are packed differently than before: say so in the change log, and record the new number"
    );
}
