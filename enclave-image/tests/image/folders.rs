//! Folders: an explicit list, and nothing of the machine they are on.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use narthex_image::Refusals;
use narthex_image::build::{Built, build};
use narthex_image::recipe::Recipe;
use tempfile::TempDir;

use super::archives::file;
use super::support::{Draft, KERNEL, ids, program};

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: TempDir::new().unwrap(),
        };
        place.write("bzImage", KERNEL);
        place.write("agent", &program());
        place.write("root/app/server", &program());
        place.write("root/app/lib/data", b"content");
        place.write("root/notes.txt", b"not for the image");
        place.mode("root/app/server", 0o755);
        place
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn build(&self, files: &str) -> Result<Built, Refusals> {
        self.build_with(&Draft::default(), files)
    }

    fn build_with(&self, draft: &Draft, files: &str) -> Result<Built, Refusals> {
        let text = draft.text(&format!("root = \"root\"\nfiles = [{files}]"));
        build(&Recipe::parse(&text)?, self.folder.path(), &|_| Ok(()))
    }
}

#[test]
fn only_what_is_listed_comes_along() {
    let place = Place::new();
    let built = place.build("\"/app/server\"").unwrap();
    let paths: Vec<_> = built
        .manifest
        .files
        .keys()
        .map(|path| path.absolute())
        .collect();
    assert_eq!(
        paths,
        ["/app", "/app/server", "/dev", "/proc", "/run", "/tmp"]
    );
    let built = place.build("\"/app/**\"").unwrap();
    assert!(file(&built, "/app/lib/data").is_some() && file(&built, "/notes.txt").is_none());
    let draft = Draft::workload("exclude = [\"/app/lib\"]\n");
    let built = place.build_with(&draft, "\"/app/**\"").unwrap();
    assert!(file(&built, "/app/lib/data").is_none());
}

/// Two people, two days, two machines.
#[test]
fn nothing_of_the_machine_is_in_the_image() {
    let first = Place::new();
    let second = Place::new();
    second.mode("root/app/server", 0o700);
    second.mode("root/app/lib/data", 0o600);
    second.mode("root/app", 0o750);
    second.mode("root", 0o711);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["root/app/server", "root/app/lib/data", "agent", "bzImage"] {
        File::open(second.path(name))
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    }
    // Made in another order, which some file systems remember.
    fs::remove_file(second.path("root/app/lib/data")).unwrap();
    second.write("root/app/lib/a", b"");
    second.write("root/app/lib/data", b"content");
    first.write("root/app/lib/a", b"");
    fs::hard_link(
        second.path("root/app/lib/data"),
        second.path("another-name"),
    )
    .unwrap();
    // Owners can be given away by root only.
    let owner = Command::new("chown")
        .args(["-R", "12345:54321"])
        .arg(second.path("root"))
        .output();
    let given_away = owner.is_ok_and(|output| output.status.success());
    eprintln!("owners differ: {given_away}");
    let [first, second] = [first, second].map(|place| place.build("\"/app/**\"").unwrap());
    assert_eq!(first.image, second.image);
    assert_eq!(first.manifest.to_json(), second.manifest.to_json());
    let modes = ["/app/server", "/app/lib/data", "/app"].map(|path| file(&first, path).unwrap());
    assert_eq!(
        modes.map(|file| (file.mode, file.user, file.group)),
        [(0o755, 0, 0), (0o644, 0, 0), (0o755, 0, 0)]
    );
}

#[test]
fn patterns_that_do_not_do_what_they_say() {
    let place = Place::new();
    for files in [
        "\"/app/server\", \"/app/servre\"",
        "\"/app\", \"/app/server\"",
        "\"/lib/**\"",
    ] {
        assert_eq!(ids(place.build(files)), ["recipe.files"], "{files}");
    }
    let draft = Draft::workload("exclude = [\"/app/old\"]\n");
    assert_eq!(
        ids(place.build_with(&draft, "\"/app/**\"")),
        ["recipe.files"]
    );
    fs::create_dir(place.path("root/empty")).unwrap();
    let built = place.build("\"/app/**\", \"/empty\"").unwrap();
    assert!(file(&built, "/empty").is_some());
}

#[test]
fn links_are_kept_and_stay_below_the_root() {
    let place = Place::new();
    symlink("server", place.path("root/app/current")).unwrap();
    let built = place.build("\"/app/**\"").unwrap();
    assert!(file(&built, "/app/current").is_some());
    symlink(place.path("bzImage"), place.path("root/app/absolute")).unwrap();
    place.build("\"/app/**\"").unwrap();
    symlink("../../agent", place.path("root/app/out")).unwrap();
    assert_eq!(ids(place.build("\"/app/**\"")), ["tree.link_target"]);
}

#[test]
fn sockets_and_pipes_only_matter_when_listed() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.path("root/app/socket")).unwrap();
    place.build("\"/app/server\"").unwrap();
    assert_eq!(ids(place.build("\"/app/**\"")), ["tree.kind"]);
}

#[test]
fn inputs_must_be_there_and_be_what_the_recipe_says() {
    let place = Place::new();
    place.write("bzImage", b"another kernel");
    assert_eq!(ids(place.build("\"/app/**\"")), ["recipe.digest"]);
    fs::remove_file(place.path("bzImage")).unwrap();
    assert_eq!(ids(place.build("\"/app/**\"")), ["input.unreadable"]);
    let place = Place::new();
    fs::remove_dir_all(place.path("root")).unwrap();
    assert_eq!(ids(place.build("\"/app/**\"")), ["input.unreadable"]);
    assert!(Path::new("/dev/zero").exists());
    let text = Draft::default()
        .text("root = \"root\"\nfiles = [\"/**\"]")
        .replace("\"bzImage\"", "\"/dev/zero\"");
    let endless = build(&Recipe::parse(&text).unwrap(), place.folder.path(), &|_| {
        Ok(())
    });
    assert_eq!(ids(endless), ["input.unreadable"]);
}

#[test]
fn modules_are_numbered_in_the_order_of_the_recipe() {
    let place = Place::new();
    place.write("vsock.ko", b"one");
    place.write("nsm.ko", b"two");
    let module = |name: &str, content: &[u8]| {
        format!(
            "{{ file = \"{name}\", sha256 = \"{}\" }}",
            narthex_image::Sha256Digest::of(content)
        )
    };
    let draft = Draft {
        kernel: format!(
            "modules = [{}, {}]\n",
            module("vsock.ko", b"one"),
            module("nsm.ko", b"two")
        ),
        ..Draft::default()
    };
    let built = place.build_with(&draft, "\"/app/**\"").unwrap();
    let names: Vec<_> = built.manifest.inputs.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "agent",
            "agent.toml",
            "kernel",
            "modules/00-vsock.ko",
            "modules/01-nsm.ko"
        ]
    );
}
