//! Recipes: what is written, and what is refused.

use narthex_image::Refusals;
use narthex_image::recipe::{Compression, MAX_RECIPE_BYTES, Recipe, WorkloadSource};

use super::support::Draft;

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn text() -> String {
    Draft::default().text("root = \"root\"\nfiles = [\"/app/**\"]")
}

#[track_caller]
fn refusal(text: &str) -> (&'static str, String) {
    let refusals: Refusals = Recipe::parse(text).unwrap_err();
    assert_eq!(refusals.iter().count(), 1, "{refusals}");
    (refusals.first().id(), refusals.first().subject().to_owned())
}

#[test]
fn defaults() {
    let recipe = Recipe::parse(&text()).unwrap();
    assert_eq!(recipe.image.compression, Compression::Gzip);
    assert_eq!(recipe.image.cpus, 2);
    assert!(recipe.image.command_line.contains("random.trust_cpu=off"));
    assert!(!recipe.workload.insecure_shell && recipe.workload.runtimes.is_empty());
    assert!(matches!(
        recipe.workload.source,
        WorkloadSource::Folder { .. }
    ));
    assert_eq!(
        recipe.sha256,
        narthex_image::Sha256Digest::of(text().as_bytes())
    );
}

#[test]
fn the_documented_example_is_a_recipe() {
    let page = include_str!("../../docs/recipe.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let recipe = Recipe::parse(example).unwrap();
    assert_eq!(recipe.image.name, "payments");
    assert_eq!(recipe.kernel.modules.len(), 0);
}

#[test]
fn no_toml_and_other_schemas() {
    assert_eq!(refusal("schema = ").0, "recipe.syntax");
    assert_eq!(
        refusal(&text().replacen("schema = 1", "schema = 1\nschema = 1", 1)).0,
        "recipe.syntax"
    );
    assert_eq!(
        refusal(&" ".repeat(MAX_RECIPE_BYTES + 1)).0,
        "recipe.syntax"
    );
    for schema in ["schema = 2", "schema = \"1\"", "# none"] {
        let text = text().replacen("schema = 1", schema, 1);
        assert_eq!(refusal(&format!("{text}\n[new-in-2]\n")).0, "recipe.schema");
    }
}

#[test]
fn unknown_missing_and_mistyped_fields() {
    let changes = [
        ("[image]", "[image]\ncompresion = \"none\""),
        ("[kernel]", "[kernel]\ncommand_line = \"x\""),
        ("[agent]", "[agent]\nargs = 1"),
        ("[workload]", "[workload]\ninsecure-shell = true"),
        ("[toolchain]", "[unknown]\nx = 1\n[toolchain]"),
        ("name = \"shop\"", ""),
        ("version = \"1.2.3\"", "version = 1"),
        ("\"x86_64\"", "\"riscv64\""),
        ("[image]", "[image]\ncompression = \"xz\""),
        ("[workload]", "[workload]\nruntimes = [\"cobol\"]"),
        ("rustc = \"1.95.0\"", "rustc = 1.95"),
        (
            "[settings]\nproject = \"shop\"\n[settings.workload]",
            "[other]",
        ),
    ];
    for (from, to) in changes {
        let text = text();
        assert!(text.contains(from), "{from}");
        assert_eq!(
            refusal(&text.replacen(from, to, 1)).0,
            "recipe.field",
            "{to}"
        );
    }
}

#[test]
fn every_value_is_checked() {
    let many_modules = format!(
        "[kernel]\nmodules = [{}]",
        format!("{{ file = \"a.ko\", sha256 = \"{DIGEST}\" }},").repeat(100)
    );
    let many_patterns = format!("files = [{}]", "\"/a\",".repeat(1025));
    let many_tools: String = (0..65)
        .map(|index| format!("tool{index} = \"1\"\n"))
        .collect();
    let long_line = format!("[image]\ncommand_line = \"{}\"", "x".repeat(2048));
    let long_path = format!("root = \"{}\"", "x".repeat(4097));
    let files = "files = [\"/app/**\"]";
    let changes = [
        ("name = \"shop\"", "name = \"Shop\"", "image.name"),
        ("name = \"shop\"", "name = \"\"", "image.name"),
        ("name = \"shop\"", "name = \"a..b\"", "image.name"),
        ("\"1.2.3\"", "\"1/2\"", "image.version"),
        (
            "[image]",
            "[image]\ncommand_line = \"\"",
            "image.command_line",
        ),
        (
            "[image]",
            "[image]\ncommand_line = \"a\\nb\"",
            "image.command_line",
        ),
        ("[image]", &long_line, "image.command_line"),
        (
            "[image]",
            "[image]\ncommand_line = \"panic=1 rdinit=/rootfs/app/server\"",
            "image.command_line",
        ),
        (
            "[image]",
            "[image]\ncommand_line = 'panic=1 \"init=/rootfs/app/server\"'",
            "image.command_line",
        ),
        ("[image]", "[image]\ncpus = 0", "image.cpus"),
        ("[image]", "[image]\ncpus = 1025", "image.cpus"),
        ("file = \"bzImage\"", "file = \"\"", "kernel.file"),
        ("[kernel]", &many_modules, "kernel.modules"),
        ("rustc = \"1.95.0\"", "rustc = \"\"", "toolchain"),
        ("rustc = \"1.95.0\"", "rustc = \"a\\u001b\"", "toolchain"),
        ("rustc = \"1.95.0\"", &many_tools, "toolchain"),
        ("root = \"root\"", "", "workload"),
        (
            "root = \"root\"",
            "root = \"root\"\noci = \"x.tar\"",
            "workload",
        ),
        (
            "root = \"root\"",
            &format!("root = \"root\"\nsha256 = \"{DIGEST}\""),
            "workload.sha256",
        ),
        ("root = \"root\"", "root = \"a\\nb\"", "workload.root"),
        ("root = \"root\"", &long_path, "workload.root"),
        (files, "", "workload.files"),
        (files, "files = []", "workload.files"),
        (files, "files = [\"app/x\"]", "workload.files"),
        (files, "files = [\"/app/../x\"]", "workload.files"),
        (files, "files = [\"/app/**x\"]", "workload.files"),
        (files, &many_patterns, "workload.files"),
        (
            files,
            "files = [\"/a\"]\nexclude = [\"b\"]",
            "workload.exclude",
        ),
        (
            files,
            "files = [\"/a\"]\nruntimes = [\"java\", \"java\"]",
            "workload.runtimes",
        ),
    ];
    for (from, to, field) in changes {
        let text = text();
        assert!(text.contains(from), "{from}");
        let (id, subject) = refusal(&text.replacen(from, to, 1));
        assert_eq!((id, subject.as_str()), ("recipe.field", field), "{to}");
    }
    for name in ["vsock.ko.xz", "vsock", "a b.ko", ".ko"] {
        let module =
            format!("[kernel]\nmodules = [{{ file = \"{name}\", sha256 = \"{DIGEST}\" }}]");
        assert_eq!(
            refusal(&text().replacen("[kernel]", &module, 1)).1,
            "kernel.modules.file"
        );
    }
}

#[test]
fn digests_have_one_spelling() {
    let kernel = format!(
        "sha256 = \"{}\"",
        narthex_image::Sha256Digest::of(super::support::KERNEL)
    );
    for wrong in [
        "",
        "00",
        &DIGEST.to_uppercase(),
        &format!("sha256:{DIGEST}"),
    ] {
        let text = text().replacen(&kernel, &format!("sha256 = \"{wrong}\""), 1);
        assert_eq!(refusal(&text), ("recipe.field", "kernel.sha256".into()));
    }
}

#[test]
fn archives_need_a_digest_and_no_list() {
    let archive = |source: &str| Draft::default().text(source);
    Recipe::parse(&archive(&format!(
        "archive = \"x.tar\"\nsha256 = \"{DIGEST}\""
    )))
    .unwrap();
    Recipe::parse(&archive(&format!("oci = \"x.tar\"\nsha256 = \"{DIGEST}\""))).unwrap();
    assert_eq!(
        refusal(&archive("archive = \"x.tar\"")).1,
        "workload.sha256"
    );
    let listed = format!("oci = \"x.tar\"\nsha256 = \"{DIGEST}\"\nfiles = [\"/a\"]");
    assert_eq!(refusal(&archive(&listed)).1, "workload.files");
}

#[test]
fn all_wrong_fields_are_named_and_each_on_one_line() {
    let text =
        text()
            .replacen("\"shop\"", "\"Shop\"", 1)
            .replacen("[image]", "[image]\ncpus = 0", 1);
    let refusals = Recipe::parse(&text).unwrap_err();
    assert_eq!(refusals.iter().count(), 2);
    let unknown = Recipe::parse(&text.replacen("[image]", "[image]\nfoo = 1", 1)).unwrap_err();
    let message = unknown.to_string();
    assert!(
        message.contains("foo") && message.contains("line") && !message.contains('\n'),
        "{message}"
    );
}
