//! Others read what we write, and write what we read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use narthex_image::eif::Image;
use tempfile::TempDir;

use super::archives::file;
use super::support::{Draft, Item, program, with};

/// Whether `tool` is there. Absent it is a failure where peers are required, else a test that says so.
fn present(tool: &str, test: &str) -> bool {
    let found = Command::new(tool)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        let required = std::env::var_os("NARTHEX_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{tool} is required: scripts/install-tools peers");
        eprintln!("SKIPPED {test}: {tool} is absent (scripts/install-tools peers)");
    }
    found
}

/// Runs GNU cpio in `folder` with `archive` on its input.
fn cpio(arguments: &[&str], archive: &[u8], folder: &TempDir) -> String {
    let mut child = Command::new("cpio")
        .args(arguments)
        .current_dir(folder.path())
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let archive = archive.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&archive));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn gnu_cpio_unpacks_our_ramdisks() {
    if !present("cpio", "gnu_cpio_unpacks_our_ramdisks") {
        return;
    }
    let long = format!("long/{}", "n".repeat(200));
    let built = Draft::default()
        .build(&with([
            Item::file("etc/text", "content\n")
                .mode(0o640)
                .owner(1000, 70_000),
            Item::hard_link("etc/again", "etc/text"),
            Item::hard_link("third", "etc/text"),
            Item::file("empty", ""),
            Item::hard_link("empty-too", "empty"),
            Item::link("link", "etc/text"),
            Item::file(&long, "x"),
        ]))
        .unwrap();
    let image = Image::parse(&built.image).unwrap();
    let [boot, workload] = [0, 1].map(|index| {
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(image.ramdisks()[index])
            .read_to_end(&mut archive)
            .unwrap();
        archive
    });

    let folder = TempDir::new().unwrap();
    cpio(
        &[
            "--extract",
            "--make-directories",
            "--no-preserve-owner",
            "--quiet",
        ],
        &boot,
        &folder,
    );
    let listed = |folder: &TempDir| {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(
        listed(&folder),
        [
            "dev", "init", "narthex", "proc", "rootfs", "run", "sys", "tmp"
        ]
    );
    assert_eq!(fs::read(folder.path().join("init")).unwrap(), program());

    let folder = TempDir::new().unwrap();
    cpio(
        &[
            "--extract",
            "--make-directories",
            "--no-preserve-owner",
            "--quiet",
        ],
        &workload,
        &folder,
    );
    assert_eq!(listed(&folder), ["narthex", "rootfs"]);
    let at = |path: &str| folder.path().join("rootfs").join(path);
    assert_eq!(
        fs::read_to_string(folder.path().join("narthex/agent.toml")).unwrap(),
        built.agent_toml
    );
    for path in ["etc/text", "etc/again", "third"] {
        assert_eq!(fs::read_to_string(at(path)).unwrap(), "content\n", "{path}");
    }
    for path in ["empty", "empty-too"] {
        assert_eq!(fs::read(at(path)).unwrap(), b"", "{path}");
    }
    assert_eq!(
        fs::read_link(at("link")).unwrap().to_str(),
        Some("etc/text")
    );
    assert_eq!(fs::read_to_string(at(&long)).unwrap(), "x");

    // Owners, modes, links and times as the archive has them; unpacking as root would be the only other way.
    let listing = cpio(
        &["--list", "--verbose", "--numeric-uid-gid", "--quiet"],
        &workload,
        &folder,
    );
    let lines: BTreeMap<_, _> = listing
        .lines()
        .map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (
                fields[8].to_owned(),
                fields
                    .iter()
                    .map(|&field| field.to_owned())
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(
        lines["rootfs/etc/text"][..4],
        ["-rw-r-----", "3", "1000", "70000"]
    );
    assert_eq!(lines["rootfs/etc/text"][5..8], ["Jan", "1", "1970"]);
    assert_eq!(
        lines["narthex/agent.toml"][..4],
        ["-r--r--r--", "1", "0", "0"]
    );
    assert_eq!(lines["rootfs/tmp"][0], "drwxr-xr-x");
    let order: Vec<_> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().nth(8))
        .collect();
    assert!(order.is_sorted(), "{order:?}");
}

/// Python's `tarfile` writes the other dialects: PAX for long names and large numbers, times with fractions.
const PYTHON: &str = r#"
import io, json, sys, tarfile, hashlib, gzip
kind, program = sys.argv[1], sys.stdin.buffer.read()
def root(format):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        def add(name, content=b"", **fields):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1700000000.5
            for field, value in fields.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(content))
        add("app", type=tarfile.DIRTYPE, mode=0o755)
        add("app/server", program, mode=0o755)
        add("n" * 180 + "/" + "m" * 180, b"long", uid=3000000, gid=4000000)
        add("app/" + "l" * 90, type=tarfile.SYMTYPE, linkname="t" * 150)
        add("app/\u00fc", b"text")
    return out.getvalue()
if kind == "oci":
    layer = root(tarfile.PAX_FORMAT)
    packed = gzip.compress(layer)
    digest = lambda data: "sha256:" + hashlib.sha256(data).hexdigest()
    blobs = {}
    def blob(media, data):
        blobs["blobs/" + digest(data).replace(":", "/")] = data
        return {"mediaType": media, "digest": digest(data), "size": len(data)}
    config = blob("application/vnd.oci.image.config.v1+json", json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/app/server"], "User": "5:6"},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode())
    manifest = blob("application/vnd.oci.image.manifest.v1+json", json.dumps({"schemaVersion": 2,
        "config": config, "layers": [blob("application/vnd.oci.image.layer.v1.tar+gzip", packed)]}).encode())
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        for name, data in blobs.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
else:
    sys.stdout.buffer.write(root({"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT}[kind]))
"#;

fn python(kind: &str) -> Vec<u8> {
    let mut child = Command::new("python3")
        .args(["-c", PYTHON, kind])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&program()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn what_python_packs_is_read() {
    if !present("python3", "what_python_packs_is_read") {
        return;
    }
    let draft = Draft::default();
    let bare = Draft::settings("memory_max_bytes = 1\n");
    let images = [
        draft.build_archive(python("pax")).unwrap(),
        draft.build_archive(python("gnu")).unwrap(),
        bare.build_oci(python("oci")).unwrap(),
    ];
    for built in &images {
        let long = format!("/{}/{}", "n".repeat(180), "m".repeat(180));
        let found = file(built, &long).unwrap();
        assert_eq!((found.user, found.group), (3_000_000, 4_000_000));
        assert!(file(built, "/app/ü").is_some());
        assert_eq!(built.manifest.files, images[0].manifest.files);
    }
}
