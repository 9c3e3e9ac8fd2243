//! Tar archives as roots: paths, kinds, limits.

use narthex_image::build::Built;
use narthex_image::manifest::{ManifestContent, ManifestFile};
use narthex_image::tree::Limits;
use tar::EntryType;

use super::support::{Draft, Item, base, gzip, ids, refused, tar, with};

pub(crate) fn file(built: &Built, path: &str) -> Option<ManifestFile> {
    let mut files = built.manifest.files.iter();
    files
        .find(|(found, _)| found.absolute() == path)
        .map(|(_, file)| file.clone())
}

#[test]
fn owners_and_modes_are_kept_and_parents_are_added() {
    let built = Draft::default()
        .build(&with([Item::file("srv/data/x", "content")
            .mode(0o640)
            .owner(1000, 70_000)]))
        .unwrap();
    let x = file(&built, "/srv/data/x").unwrap();
    assert_eq!((x.mode, x.user, x.group), (0o640, 1000, 70_000));
    let parent = file(&built, "/srv/data").unwrap();
    assert_eq!((parent.mode, parent.user), (0o755, 0));
    assert_eq!(parent.content, ManifestContent::Directory);
}

#[test]
fn a_packed_archive_gives_the_same_root() {
    let plain = Draft::default().build(&base()).unwrap();
    let packed = Draft::default().build_archive(gzip(&tar(&base()))).unwrap();
    assert_eq!(plain.manifest.files, packed.manifest.files);
    assert_eq!(plain.measurements, packed.measurements);
    // Several gzip members are one archive.
    let archive = tar(&base());
    let mut members = gzip(&archive[..700]);
    members.extend(gzip(&archive[700..]));
    let members = Draft::default().build_archive(members).unwrap();
    assert_eq!(plain.measurements, members.measurements);
}

#[test]
fn paths_that_lead_out_or_deceive() {
    for path in [
        "../x",
        "a/../x",
        "a/./x",
        "a//x",
        "/etc/x",
        "a\nb",
        "a\x1b[2Jb",
        "lib/\u{202e}os.x",
        "lib/\u{2066}x",
        "lib/\u{2028}x",
        "./../x",
    ] {
        refused(&with([Item::file(path, "")]), "tree.path");
    }
    let long = |rest: usize| format!("{}/", "n".repeat(255)).repeat(15) + &"n".repeat(rest);
    assert_eq!(long(240).len(), 4080);
    Draft::default()
        .build(&with([Item::file(&long(240), "")]))
        .unwrap();
    refused(&with([Item::file(&long(241), "")]), "tree.path");
    refused(&with([Item::file(&"a".repeat(256), "")]), "tree.path");
    Draft::default()
        .build(&with([Item::file(&"a".repeat(255), "")]))
        .unwrap();
    let not_text = with([Item::file("x", "").record("path", b"a\xffb")]);
    refused(&not_text, "tree.path");
}

#[test]
fn a_path_once() {
    refused(&with([Item::file("app/server", "")]), "tree.duplicate");
    refused(&with([Item::directory("app/server")]), "tree.duplicate");
    let twice = [
        Item::directory("x").mode(0o700),
        Item::directory("x").mode(0o750),
    ];
    refused(&with(twice), "tree.duplicate");
    // Writers repeat directories, and name them after what is in them.
    Draft::default()
        .build(&with([Item::directory("app")]))
        .unwrap();
    let late = [Item::file("a/b", ""), Item::directory("a").mode(0o700)];
    let built = Draft::default().build(&with(late)).unwrap();
    assert_eq!(file(&built, "/a").unwrap().mode, 0o700);
}

#[test]
fn nothing_below_a_link_or_a_file() {
    // A kernel that unpacks this would replace the agent.
    refused(
        &with([Item::link("x", "/"), Item::file("x/init", "")]),
        "tree.parent",
    );
    refused(&with([Item::file("app/server/x", "")]), "tree.parent");
}

#[test]
fn links_stay_below_the_root() {
    refused(&with([Item::link("x", "../y")]), "tree.link_target");
    refused(&with([Item::link("a/x", "../../y")]), "tree.link_target");
    refused(&with([Item::link("a/x", "/../y")]), "tree.link_target");
    refused(&with([Item::link("x", "")]), "tree.link_target");
    refused(&with([Item::link("x", "\u{202e}y")]), "tree.link_target");
    refused(&with([Item::link("x", "a\nb")]), "tree.link_target");
    Draft::default()
        .build(&with([
            Item::link("a/x", "../y"),
            Item::link("z", "/app/server"),
        ]))
        .unwrap();
}

#[test]
fn hard_links_name_files_before_them() {
    refused(
        &with([Item::hard_link("x", "later"), Item::file("later", "")]),
        "tree.hard_link",
    );
    refused(&with([Item::hard_link("x", "app")]), "tree.hard_link");
    refused(&with([Item::hard_link("x", "../y")]), "tree.hard_link");
    let built = Draft::default()
        .build(&with([Item::hard_link("x", "app/server")]))
        .unwrap();
    assert_eq!(file(&built, "/x"), file(&built, "/app/server"));
}

#[test]
fn kinds_that_images_do_not_have() {
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::new(b'Z'),
    ] {
        refused(&with([Item::kind("x", kind)]), "tree.kind");
    }
    // `docker export` leaves devices in /dev, where the agent mounts something else.
    let built = Draft::default()
        .build(&with([
            Item::kind("dev/console", EntryType::Char),
            Item::file("dev/x", ""),
        ]))
        .unwrap();
    assert!(file(&built, "/dev/x").is_none() && file(&built, "/dev").is_some());
    assert_eq!(built.notes.len(), 1);
}

#[test]
fn sparse_files() {
    refused(
        &with([Item::kind("x", EntryType::GNUSparse)]),
        "archive.sparse",
    );
    refused(
        &with([Item::file("x", "1").record("GNU.sparse.major", b"1")]),
        "archive.sparse",
    );
}

/// What each of these would be for one reader or another: another name, another owner, one file more or less.
fn ambiguous() -> Vec<Item> {
    let hidden = [0x41; 512];
    vec![
        // Its content is the next header for readers that know that links have none.
        Item::link("x", "app").content(&hidden),
        Item::directory("x").content(&hidden),
        Item::hard_link("x", "app/server").content(&hidden),
        // A directory for readers that know how they were once written.
        Item::file("x/", ""),
        Item::kind("x/", EntryType::Continuous),
        Item::link("x/", "app"),
        Item::file("x", "")
            .record("path", b"a")
            .record("path", b"b"),
        Item::file(&"x".repeat(120), "").record("path", b"a"),
        Item::link("x", "a")
            .record("linkpath", b"a")
            .record("linkpath", b"b"),
        Item::file("x", "1")
            .record("size", b"1")
            .record("size", b"0"),
        Item::file("x", "1").record("size", b"0x1"),
        Item::file("x", "").record("uid", b"1").record("uid", b"2"),
        Item::file("x", "").record("gid", b"1").record("gid", b""),
        // Whether the name is that of the next file differs.
        Item::kind("g", EntryType::XGlobalHeader).record("path", b"a"),
    ]
}

#[test]
fn members_that_readers_take_differently() {
    for (number, item) in ambiguous().into_iter().enumerate() {
        let found = ids(Draft::default().build(&with([item.clone(), Item::file("y", "")])));
        assert_eq!(found, ["archive.format"], "case {number}");
        // In the archive around an OCI image they would choose another image.
        let outer = tar(&[item, Item::file("index.json", "{\"manifests\":[]}")]);
        let found = ids(Draft::default().build_oci(outer));
        assert_eq!(found, ["archive.format"], "case {number}, outside");
    }
    // Records that say it once, and what it is.
    let long = "x".repeat(120);
    let told = Item::file(&long, "1")
        .record("path", long.as_bytes())
        .record("size", b"1")
        .record("uid", b"7");
    let built = Draft::default().build(&with([told])).unwrap();
    assert_eq!(file(&built, &format!("/{long}")).unwrap().user, 7);
}

#[test]
fn mount_points_are_directories() {
    for point in ["dev", "proc", "run", "tmp"] {
        refused(&with([Item::link(point, "app")]), "tree.mount_point");
        refused(&with([Item::file(point, "")]), "tree.mount_point");
    }
    let built = Draft::default().build(&base()).unwrap();
    for point in ["/dev", "/proc", "/run", "/tmp"] {
        let point = file(&built, point).unwrap();
        assert_eq!(
            (point.content, point.mode),
            (ManifestContent::Directory, 0o755)
        );
    }
}

#[test]
fn archives_that_are_none() {
    let refused =
        |bytes: Vec<u8>, id: &str| assert_eq!(ids(Draft::default().build_archive(bytes)), [id]);
    refused(vec![b'x'; 2000], "archive.format");
    let whole = tar(&base());
    refused(whole[..whole.len() - 1024 - 100].to_vec(), "archive.format");
    refused(gzip(&whole)[..100].to_vec(), "archive.format");
    let mut broken = gzip(&whole);
    let length = broken.len();
    broken[length - 6] ^= 1; // The checksum.
    refused(broken, "archive.format");
    for magic in [
        &b"\x28\xb5\x2f\xfd"[..],
        b"\xfd7zXZ\0",
        b"BZh",
        b"\x04\x22\x4d\x18",
    ] {
        refused([magic, &[0; 600]].concat(), "archive.compression");
    }
    let global = Item::file("pax_global_header", "30 path=/somewhere/else/now\n\n\n");
    let mut items = vec![global];
    items.extend(base());
    let mut bytes = tar(&items);
    bytes[156] = b'g';
    checksum(&mut bytes);
    refused(bytes, "archive.format");
}

/// Corrects the checksum of the first header.
fn checksum(archive: &mut [u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&archive[..512]);
    header.set_cksum();
    archive[..512].copy_from_slice(header.as_bytes());
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let draft = |limits: Limits| Draft {
        limits,
        ..Draft::default()
    };
    let limits = Limits {
        entries: 8,
        bytes: 100_000,
        input_bytes: 1 << 20,
    };
    draft(limits).build(&base()).unwrap();
    let many = with((0..8).map(|index| Item::file(&format!("x{index}"), "")));
    assert_eq!(ids(draft(limits).build(&many)), ["tree.limit"]);
    let deep = with([Item::directory("a/b/c/d/e/f/g/h")]);
    assert_eq!(ids(draft(limits).build(&deep)), ["tree.limit"]);
    let large = with([Item::file("x", vec![0; 100_001])]);
    assert_eq!(ids(draft(limits).build(&large)), ["tree.limit"]);
    let together = with([
        Item::file("x", vec![0; 60_000]),
        Item::file("y", vec![0; 60_000]),
    ]);
    assert_eq!(ids(draft(limits).build(&together)), ["tree.limit"]);
    // A bomb: little that unpacks to much.
    let bomb = gzip(&vec![0; 300_000]);
    assert_eq!(
        ids(draft(limits).build_archive(bomb)),
        ["archive.too_large"]
    );
}

#[test]
fn what_is_excluded_is_gone_and_must_have_been_there() {
    let items = with([
        Item::program("bin/sh"),
        Item::program("usr/bin/su").mode(0o4755),
        Item::file("usr/share/doc/a/b", ""),
    ]);
    let built = Draft::workload("exclude = [\"/bin\", \"/usr/bin/su\", \"/usr/share/**\"]\n")
        .build(&items)
        .unwrap();
    for gone in ["/bin", "/bin/sh", "/usr/bin/su", "/usr/share/doc"] {
        assert!(file(&built, gone).is_none(), "{gone}");
    }
    assert!(file(&built, "/usr/share").is_some());
    let nothing = Draft::workload("exclude = [\"/bin/bash\"]\n").build(&base());
    assert_eq!(ids(nothing), ["recipe.files"]);
}
