//! OCI images and what `docker save` writes.

use std::collections::BTreeMap;

use narthex_image::Sha256Digest;
use narthex_image::build::Built;
use serde_json::json;

use super::archives::file;
use super::support::{Draft, Item, Oci, base, gzip, ids, tar, with};

/// No settings: everything comes from the image.
fn bare() -> Draft {
    Draft::settings("memory_max_bytes = 1048576\n")
}

fn build(oci: Oci) -> Built {
    bare().build_oci(oci.layout()).unwrap()
}

#[track_caller]
fn refused(archive: Vec<u8>, id: &str) {
    assert_eq!(ids(bare().build_oci(archive)), [id]);
}

#[test]
fn the_configuration_of_the_image_is_kept() {
    let oci = Oci::new(&[&with([Item::directory("srv")])]).run(json!({
        "Entrypoint": ["/app/server", "--listen"],
        "Cmd": ["127.0.0.1:80"],
        "Env": ["PATH=/app", "A=b=c", "EMPTY="],
        "WorkingDir": "/srv",
        "User": "1000:1001",
        "Volumes": { "/data": {} },
    }));
    let built = build(oci);
    let settings: toml::Table = built.agent_toml.parse().unwrap();
    let expected: toml::Table = "
        command = \"/app/server\"
        arguments = [\"--listen\", \"127.0.0.1:80\"]
        working_directory = \"/srv\"
        user = 1000
        group = 1001
        memory_max_bytes = 1048576
        environment = { A = \"b=c\", EMPTY = \"\", PATH = \"/app\" }"
        .parse()
        .unwrap();
    assert_eq!(settings["workload"].as_table(), Some(&expected));
    assert_eq!(built.notes.len(), 1, "{:?}", built.notes);
}

#[test]
fn what_the_recipe_says_counts_alone() {
    let oci = Oci::new(&[&with([Item::program("app/other")])]).run(json!({
        "Entrypoint": ["/app/server", "--listen"],
        "Env": ["A=b"],
        "User": "nobody-knows",
    }));
    let draft = Draft::settings(
        "command = \"/app/other\"\nuser = 7\ngroup = 8\nmemory_max_bytes = 1\nenvironment = { B = \"c\" }\n",
    );
    let built = draft.build_oci(oci.layout()).unwrap();
    let settings: toml::Table = built.agent_toml.parse().unwrap();
    let workload = settings["workload"].as_table().unwrap();
    assert_eq!(workload["command"].as_str(), Some("/app/other"));
    assert!(!workload.contains_key("arguments"));
    assert_eq!(workload["user"].as_integer(), Some(7));
    let environment: BTreeMap<_, _> = workload["environment"].as_table().unwrap().iter().collect();
    assert_eq!(environment.len(), 1);
}

#[test]
fn programs_are_searched_as_docker_does() {
    let command = |run: serde_json::Value, items: &[Item]| {
        let built = bare().build_oci(Oci::new(&[items]).run(run).layout())?;
        let settings: toml::Table = built.agent_toml.parse().unwrap();
        Ok::<_, narthex_image::Refusals>(
            settings["workload"]["command"].as_str().unwrap().to_owned(),
        )
    };
    let items = with([Item::program("usr/bin/tool"), Item::link("bin", "usr/bin")]);
    let user = "1000:1000";
    let found = command(json!({ "Cmd": ["tool"], "User": user }), &items);
    assert_eq!(found.unwrap(), "/usr/bin/tool");
    let found = command(
        json!({ "Cmd": ["tool"], "User": user, "Env": ["PATH=/x:/bin"] }),
        &items,
    );
    assert_eq!(found.unwrap(), "/bin/tool");
    let found = command(
        json!({ "Cmd": ["./server"], "User": user, "WorkingDir": "/app" }),
        &items,
    );
    assert_eq!(found.unwrap(), "/app/server");
    let absent = command(
        json!({ "Cmd": ["tool"], "User": user, "Env": ["PATH=/app"] }),
        &items,
    );
    assert_eq!(absent.unwrap_err().first().id(), "image.command");
}

#[test]
fn users_are_found_in_the_image() {
    let accounts = with([
        Item::file(
            "etc/passwd",
            "root:x:0:0::/:/sbin/nologin\nshop:x:1000:2000::/:/x\nodd:x:many:1::/:\n",
        ),
        Item::file("etc/group", "root:x:0:\nclerks:x:3000:shop\n"),
    ]);
    let user = |user: &str| {
        let oci = Oci::new(&[&accounts]).run(json!({ "Cmd": ["/app/server"], "User": user }));
        bare().build_oci(oci.layout()).map(|built| {
            let settings: toml::Table = built.agent_toml.parse().unwrap();
            let number = |field: &str| settings["workload"][field].as_integer().unwrap();
            (number("user"), number("group"))
        })
    };
    assert_eq!(user("shop").unwrap(), (1000, 2000));
    assert_eq!(user("1000").unwrap(), (1000, 2000));
    assert_eq!(user("shop:clerks").unwrap(), (1000, 3000));
    assert_eq!(user("77:88").unwrap(), (77, 88));
    let id = |text: &str| user(text).unwrap_err().first().id();
    for nobody in ["stranger", "shop:strangers", "odd", "-1", "5000000000"] {
        assert_eq!(id(nobody), "oci.user", "{nobody}");
    }
    for root in ["", "0:1000", "root", "root:clerks", "1000:0", "77"] {
        assert_eq!(id(root), "image.root_user", "{root:?}");
    }
}

#[test]
fn layers_lie_over_each_other() {
    let lower = with([
        Item::file("etc/a", "lower"),
        Item::file("etc/b", "lower"),
        Item::file("old/x", ""),
        Item::file("opaque/gone", ""),
        Item::file("becomes/directory", ""),
        Item::link("link", "etc"),
        Item::file("kept/x", "x"),
    ]);
    let upper = [
        Item::file("etc/a", "upper"),
        Item::file("etc/.wh.b", ""),
        Item::file(".wh.old", ""),
        // Stays, although the whiteout comes after it: whiteouts are about the layers below.
        Item::file("opaque/new", ""),
        Item::file("opaque/.wh..wh..opq", ""),
        Item::file("becomes", "a file"),
        Item::directory("link"),
        Item::file("link/x", ""),
        Item::directory("kept").mode(0o750),
        Item::hard_link("also", "etc/a"),
        Item::hard_link("server", "app/server"),
    ];
    let built = build(Oci::new(&[&lower, &upper]));
    let has = |path: &str| file(&built, path).is_some();
    assert!(has("/etc/a") && !has("/etc/b") && !has("/old") && !has("/old/x"));
    assert!(has("/opaque/new") && !has("/opaque/gone"));
    assert!(!has("/becomes/directory") && has("/link/x") && has("/kept/x"));
    assert_eq!(file(&built, "/kept").unwrap().mode, 0o750);
    assert_eq!(file(&built, "/also"), file(&built, "/etc/a"));
    assert_eq!(file(&built, "/server"), file(&built, "/app/server"));
    assert!(
        built
            .manifest
            .files
            .keys()
            .all(|path| !path.name().starts_with(".wh."))
    );
    let everything = build(Oci::new(&[&lower, &with([Item::file(".wh..wh..opq", "")])]));
    assert!(file(&everything, "/etc").is_none());
}

#[test]
fn whiteouts_without_sense() {
    for name in [
        ".wh.",
        ".wh..",
        ".wh...",
        ".wh..wh.plnk",
        // No file can have such a name, and no directory on the way to a file.
        ".wh.x/y",
        "etc/.wh.x/y/z",
        ".wh.x/.wh.y",
    ] {
        refused(
            Oci::new(&[&with([Item::file(name, "")])]).layout(),
            "oci.whiteout",
        );
    }
    // Outside an OCI image the name means nothing special.
    assert!(
        file(
            &Draft::default()
                .build(&with([Item::file(".wh.x", "")]))
                .unwrap(),
            "/.wh.x"
        )
        .is_some()
    );
}

#[test]
fn whiteouts_of_the_layer_itself() {
    let lower = with([Item::file("x", "lower"), Item::file("y/a", "lower")]);
    // Docker would remove what was just unpacked.
    for items in [
        [Item::file("x", "upper"), Item::file(".wh.x", "")],
        [Item::file("y/b", "upper"), Item::file(".wh.y", "")],
    ] {
        refused(Oci::new(&[&lower, &items]).layout(), "oci.whiteout");
    }
    let replaced = [Item::file(".wh.y", ""), Item::file("y/b", "upper")];
    let built = build(Oci::new(&[&lower, &replaced]));
    assert!(file(&built, "/y/b").is_some() && file(&built, "/y/a").is_none());
}

#[test]
fn hard_links_to_what_the_layer_has_replaced() {
    let lower = with([Item::file("a/x", "one"), Item::file("b/x", "two")]);
    // Docker would follow the new link, and find the other file.
    let upper = [Item::link("a", "b"), Item::hard_link("c", "a/x")];
    refused(Oci::new(&[&lower, &upper]).layout(), "tree.hard_link");
    let upper = [Item::hard_link("c", "a/x"), Item::link("a", "b")];
    let built = build(Oci::new(&[&lower, &upper]));
    let is = |path: &str, as_before: &Built, before: &str| {
        file(&built, path).unwrap() == file(as_before, before).unwrap()
    };
    assert!(is("/c", &build(Oci::new(&[&lower])), "/a/x"));
}

#[test]
fn whiteouts_behind_links() {
    let lower = with([
        Item::file("etc/secret", ""),
        Item::link("link", "etc"),
        Item::link("x/link", "/etc"),
    ]);
    for name in [
        "link/.wh.secret",
        "link/.wh..wh..opq",
        "x/link/.wh.secret",
        "x/link/y/.wh.secret",
    ] {
        let upper = [Item::file(name, "")];
        refused(Oci::new(&[&lower, &upper]).layout(), "oci.whiteout");
    }
    // A directory in the link's place has nothing below it yet, and the link itself may go.
    let upper = [
        Item::file("link/.wh.secret", ""),
        Item::directory("link"),
        Item::file("x/.wh.link", ""),
    ];
    let built = build(Oci::new(&[&lower, &upper]));
    assert!(file(&built, "/etc/secret").is_some());
    assert!(file(&built, "/x/link").is_none());
}

#[test]
fn layers_may_not_smuggle() {
    refused(
        Oci::new(&[&with([Item::link("x", "/")]), &[Item::file("x/init", "")]]).layout(),
        "tree.parent",
    );
    refused(
        Oci::new(&[&base(), &[Item::file("../x", "")]]).layout(),
        "tree.path",
    );
    refused(
        Oci::new(&[&base(), &[Item::program("bin/x").mode(0o4755)]]).layout(),
        "image.set_user_id",
    );
}

#[test]
fn every_blob_is_verified() {
    let mut oci = Oci::new(&[&base()]);
    let manifest = oci.manifest();
    oci.index(std::slice::from_ref(&manifest));
    let names: Vec<_> = oci
        .files
        .keys()
        .filter(|name| name.starts_with("blobs/"))
        .cloned()
        .collect();
    assert_eq!(names.len(), 3);
    for name in &names {
        let mut changed = oci.clone();
        changed.files.get_mut(name).unwrap().push(b' ');
        refused(changed.archive(), "oci.digest");
        let mut lacking = oci.clone();
        lacking.files.remove(name);
        refused(lacking.archive(), "oci.missing");
    }
    let mut size = manifest.clone();
    size["size"] = json!(1);
    let mut changed = oci.clone();
    changed.index(&[size]);
    refused(changed.archive(), "oci.digest");
    for digest in ["sha512:00", "sha256:XY", "md5:00"] {
        let mut other = manifest.clone();
        other["digest"] = json!(digest);
        let mut changed = oci.clone();
        changed.index(&[other]);
        refused(changed.archive(), "oci.format");
    }
}

#[test]
fn a_layer_must_unpack_to_what_the_configuration_says() {
    let mut oci = Oci::new(&[&base()]);
    let other = Oci::new(&[&with([Item::file("x", "")])]);
    let configuration = oci.configuration();
    let config = oci.blob("application/vnd.oci.image.config.v1+json", configuration);
    let layer = oci.blob(
        "application/vnd.oci.image.layer.v1.tar+gzip",
        gzip(&other.layers[0]),
    );
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let manifest = oci.blob(
        "application/vnd.oci.image.manifest.v1+json",
        manifest.to_string().into_bytes(),
    );
    oci.index(&[manifest]);
    refused(oci.archive(), "oci.digest");
}

#[test]
fn one_image_for_the_platform() {
    let mut arm = Oci::new(&[&base()]);
    arm.architecture = "arm64".into();
    refused(arm.clone().layout(), "oci.platform");

    let mut both = Oci::new(&[&base()]);
    let mut intel = both.manifest();
    intel["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let mut other = arm.manifest();
    other["platform"] = json!({ "os": "linux", "architecture": "arm64" });
    both.files.extend(arm.files.clone());
    // Docker adds statements about an image under a platform that is none.
    let mut statement = both.blob("application/vnd.oci.image.manifest.v1+json", b"{}".to_vec());
    statement["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    both.index(&[intel.clone(), other, statement]);
    bare().build_oci(both.archive()).unwrap();

    // An index within the index.
    let inner = both.files["index.json"].clone();
    let inner = both.blob("application/vnd.oci.image.index.v1+json", inner);
    both.index(&[inner]);
    bare().build_oci(both.archive()).unwrap();

    let mut several = both.clone();
    several.layers = vec![tar(&with([Item::file("x", "")]))];
    let second = several.manifest();
    several.index(&[intel, second]);
    refused(several.archive(), "oci.platform");
}

#[test]
fn indexes_without_end() {
    let mut oci = Oci::new(&[&base()]);
    let mut descriptor = oci.manifest();
    for _ in 0..4 {
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        descriptor = oci.blob(
            "application/vnd.oci.image.index.v1+json",
            index.to_string().into_bytes(),
        );
    }
    oci.index(&[descriptor]);
    refused(oci.archive(), "oci.format");
}

/// What another reader would take for another image.
#[test]
fn documents_that_readers_take_differently() {
    // Go's readers do not tell names by case, not even where it is not ASCII.
    for name in ["user", "USER", "uſer"] {
        let run = json!({ "Entrypoint": ["/app/server"], "User": "1000:1000", name: "0" });
        refused(Oci::new(&[&base()]).run(run).layout(), "oci.format");
    }
    let run = json!({
        "Entrypoint": ["/app/server"],
        "User": "1000:1000",
        "Labels": { "a": "", "A": "" },
    });
    build(Oci::new(&[&base()]).run(run));

    // Index and manifest at once.
    let mut oci = Oci::new(&[&base()]);
    let manifest = oci.manifest();
    let index = json!({ "manifests": [manifest], "layers": [] });
    oci.files
        .insert("index.json".into(), index.to_string().into_bytes());
    refused(oci.archive(), "oci.format");
    let digest = manifest["digest"].as_str().unwrap().replace(':', "/");
    let mut both: serde_json::Value =
        serde_json::from_slice(&oci.files[&format!("blobs/{digest}")]).unwrap();
    both["manifests"] = json!([]);
    let both = oci.blob(
        "application/vnd.oci.image.manifest.v1+json",
        both.to_string().into_bytes(),
    );
    oci.index(&[both]);
    refused(oci.archive(), "oci.format");

    // `docker load` reads the one, `skopeo copy oci-archive:` the other.
    let saved = |selected: &Oci, saved: &Oci| {
        let mut oci = selected.clone();
        let manifest = oci.manifest();
        oci.index(&[manifest]);
        let name = oci.blob("", saved.configuration())["digest"]
            .as_str()
            .unwrap()
            .replace(':', "/");
        let document = json!([{ "Config": format!("blobs/{name}"), "Layers": [] }]);
        oci.files
            .insert("manifest.json".into(), document.to_string().into_bytes());
        bare().build_oci(oci.archive())
    };
    let one = Oci::new(&[&base()]);
    saved(&one, &one).unwrap();
    let another = one.clone().run(json!({ "User": "1:1" }));
    assert_eq!(ids(saved(&one, &another)), ["oci.format"]);
    let mut arm = another;
    arm.architecture = "arm64".into();
    saved(&one, &arm).unwrap();
}

/// Each index is read once, however often it is named: otherwise these few would be 16 million.
#[test]
fn indexes_that_name_the_same_over_and_over() {
    let mut oci = Oci::new(&[&base()]);
    let mut descriptor = oci.manifest();
    for _ in 0..3 {
        let index = json!({ "schemaVersion": 2, "manifests": vec![descriptor; 256] });
        descriptor = oci.blob(
            "application/vnd.oci.image.index.v1+json",
            index.to_string().into_bytes(),
        );
    }
    oci.index(&[descriptor]);
    bare().build_oci(oci.archive()).unwrap();
}

#[test]
fn layers_of_unknown_kinds() {
    let with_type = |layer_type: &str| {
        let mut oci = Oci::new(&[&base()]);
        oci.layer_type = layer_type.into();
        oci.layout()
    };
    refused(
        with_type("application/vnd.oci.image.layer.v1.tar+zstd"),
        "archive.compression",
    );
    refused(
        with_type("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
        "oci.format",
    );
    refused(with_type("application/vnd.in-toto+json"), "oci.format");
    bare()
        .build_oci(with_type(
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ))
        .unwrap();
}

#[test]
fn what_docker_saved_in_the_past() {
    let mut oci = Oci::new(&[&base(), &[Item::file("x", "")], &[Item::file("x", "")]]);
    let configuration = oci.configuration();
    let name = format!("{}.json", Sha256Digest::of(&configuration));
    oci.files.insert(name.clone(), configuration);
    for (index, layer) in oci.layers.clone().into_iter().enumerate().take(2) {
        oci.files.insert(format!("layer{index}/layer.tar"), layer);
    }
    let layers = ["layer0/layer.tar", "layer1/layer.tar", "layer2/layer.tar"];
    let saved = json!([{ "Config": name, "RepoTags": null, "Layers": layers }]);
    oci.files
        .insert("manifest.json".into(), saved.to_string().into_bytes());
    let archive = |oci: &Oci| {
        let mut items: Vec<_> = oci
            .files
            .iter()
            .map(|(name, content)| Item::file(name, content.clone()))
            .collect();
        // A layer that occurs twice is saved once.
        items.push(Item::link("layer2/layer.tar", "../layer1/layer.tar"));
        tar(&items)
    };
    assert!(file(&bare().build_oci(archive(&oci)).unwrap(), "/x").is_some());
    assert!(file(&bare().build_oci(gzip(&archive(&oci))).unwrap(), "/x").is_some());

    let mut changed = oci.clone();
    changed.files.get_mut(&name).unwrap().push(b' ');
    refused(archive(&changed), "oci.digest");
    let mut changed = oci.clone();
    changed.files.insert("layer1/layer.tar".into(), tar(&[]));
    refused(archive(&changed), "oci.digest");
    let mut changed = oci.clone();
    changed.files.remove("layer0/layer.tar");
    refused(archive(&changed), "oci.missing");
    let mut changed = oci.clone();
    let two = json!([{ "Config": name, "Layers": layers }, { "Config": name, "Layers": layers }]);
    changed
        .files
        .insert("manifest.json".into(), two.to_string().into_bytes());
    refused(archive(&changed), "oci.platform");
    let mut changed = oci.clone();
    changed
        .files
        .insert("config.json".into(), oci.files[&name].clone());
    let renamed = json!([{ "Config": "config.json", "Layers": layers }]);
    changed
        .files
        .insert("manifest.json".into(), renamed.to_string().into_bytes());
    refused(archive(&changed), "oci.format");
    let mut changed = oci;
    let fewer = json!([{ "Config": name, "Layers": ["layer0/layer.tar"] }]);
    changed
        .files
        .insert("manifest.json".into(), fewer.to_string().into_bytes());
    refused(archive(&changed), "oci.format");
}

#[test]
fn archives_that_hold_no_image() {
    refused(tar(&base()), "oci.format");
    refused(tar(&[Item::file("index.json", "{")]), "oci.format");
    refused(
        tar(&[Item::file("index.json", "{\"manifests\":[]}")]),
        "oci.platform",
    );
    refused(
        tar(&[Item::file("a", ""), Item::file("a", "")]),
        "tree.duplicate",
    );
    refused(
        tar(&[
            Item::file("a", "{\"manifests\":[]}"),
            Item::hard_link("index.json", "a"),
        ]),
        "tree.kind",
    );
    refused(vec![b'x'; 1000], "archive.format");
    let bad =
        |run: serde_json::Value| refused(Oci::new(&[&base()]).run(run).layout(), "oci.format");
    bad(json!({ "Env": ["NO-VALUE"] }));
    bad(json!({ "Env": ["A=1", "B=", "A=2"] }));
    bad(json!({ "WorkingDir": "relative" }));
    bad(json!({ "Cmd": "a string" }));
}
