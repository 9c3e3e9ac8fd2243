//! One entry has one spelling: everything else is refused.

use super::{samples, *};

fn refused(leaf: &[u8]) -> bool {
    match Entry::from_leaf(leaf) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.id(), "log.entry", "{error}");
            true
        }
    }
}

fn text(entry: &Entry) -> String {
    String::from_utf8(entry.to_leaf().unwrap()).unwrap()
}

/// Objects and lists of a JSON text, as their fields or items: enough to take one out or swap two.
fn value(entry: &Entry) -> serde_json::Value {
    serde_json::from_str(&text(entry)).unwrap()
}

#[test]
fn a_missing_field_is_refused() {
    /// What may be left out, and what then remains a sensible entry of its own.
    const OPTIONAL: [&str; 7] = [
        "requester",
        "boot_bundle",
        "release",
        "operation",
        "root_key",
        "submitter",
        "scope",
    ];
    for entry in samples::all() {
        let whole = value(&entry);
        for name in whole.as_object().unwrap().keys() {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(name);
            let leaf = serde_json::to_vec(&less).unwrap();
            let optional = OPTIONAL.contains(&name.as_str());
            assert!(refused(&leaf) || optional, "{name} of {}", entry.kind());
        }
    }
}

#[test]
fn an_unknown_field_is_refused_everywhere() {
    fn objects(value: &mut serde_json::Value, at: &mut usize, target: usize) -> bool {
        match value {
            serde_json::Value::Object(fields) => {
                if *at == target {
                    fields.insert("zz".to_owned(), 1.into());
                    return true;
                }
                *at += 1;
                fields.values_mut().any(|inner| objects(inner, at, target))
            }
            serde_json::Value::Array(items) => {
                items.iter_mut().any(|inner| objects(inner, at, target))
            }
            _ => false,
        }
    }
    for entry in samples::all() {
        for target in 0.. {
            let mut more = value(&entry);
            if !objects(&mut more, &mut 0, target) {
                break;
            }
            // The counts of a summary are an object whose keys are reasons: `zz` is one.
            let counts = entry.kind() == EntryKind::Summary && target == 1;
            assert!(refused(&serde_json::to_vec(&more).unwrap()) || counts);
        }
    }
}

#[test]
fn a_null_is_not_an_absent_field() {
    for entry in samples::all() {
        let whole = value(&entry);
        for name in whole.as_object().unwrap().keys() {
            let mut nothing = whole.clone();
            nothing[name.as_str()] = serde_json::Value::Null;
            assert!(refused(&serde_json::to_vec(&nothing).unwrap()), "{name}");
        }
    }
}

#[test]
fn fields_of_another_kind_are_refused() {
    for entry in samples::all() {
        for other in samples::all() {
            let (mut mixed, other) = (value(&entry), value(&other));
            for (name, field) in other.as_object().unwrap() {
                if mixed.get(name).is_some() {
                    continue;
                }
                let before = mixed.clone();
                mixed[name.as_str()] = field.clone();
                let leaf = serde_json::to_vec(&mixed).unwrap();
                // A field of its own kind that this sample left out is welcome.
                let own = samples::all()
                    .iter()
                    .any(|like| like.kind() == entry.kind() && value(like).get(name).is_some());
                assert!(refused(&leaf) || own, "{name} in {}", entry.kind());
                mixed = before;
            }
        }
    }
}

#[test]
fn another_order_white_space_and_trailing_bytes_are_refused() {
    for entry in samples::all() {
        let text = text(&entry);
        for (from, to) in [
            ("{", "{ "),
            ("}", " }"),
            (":", ": "),
            (",", ", "),
            ("{", "\n{"),
        ] {
            for (at, _) in text.match_indices(from) {
                let mut changed = text.clone();
                changed.replace_range(at..=at, to);
                assert!(refused(changed.as_bytes()), "{changed}");
            }
        }
        for end in ["\n", " ", "\0", "}", "{}", ","] {
            assert!(refused(format!("{text}{end}").as_bytes()));
        }
        let body = text.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
        let (rest, last) = body.rsplit_once(',').unwrap();
        assert!(refused(format!("{{{last},{rest}}}").as_bytes()));
        assert!(refused(format!("{{{body},{last}}}").as_bytes()), "twice");
        assert!(refused(format!("\u{feff}{text}").as_bytes()));
    }
}

#[test]
fn numbers_have_one_spelling() {
    let text = text(&samples::release(true));
    for (from, to) in [
        ("\"v\":1", "\"v\":1.0"),
        ("\"v\":1", "\"v\":01"),
        ("\"v\":1", "\"v\":1e0"),
        ("\"v\":1", "\"v\":2"),
        ("\"v\":1", "\"v\":\"1\""),
        ("\"time\":", "\"time\":-"),
        ("\"time\":", "\"time\":0"),
        ("\"time\":1767225600000", "\"time\":9007199254740992"),
        ("\"time\":1767225600000", "\"time\":18446744073709551616"),
        ("\"version\":3", "\"version\":4294967296"),
        ("\"version\":3", "\"version\":-3"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        assert!(refused(changed.as_bytes()), "{to}");
    }
    let largest = text.replace("\"time\":1767225600000", "\"time\":9007199254740991");
    assert!(!refused(largest.as_bytes()));
}

#[test]
fn texts_have_one_spelling() {
    let text = text(&samples::release(true));
    for (from, to) in [
        ("\"payments-db\"", "\"payments\\u002ddb\""),
        ("\"payments-db\"", "\"payments-d\\b\""),
        ("\"payments-db\"", "\"payments-dé\""),
        ("\"payments-db\"", "\"payments db\""),
        ("\"payments-db\"", "\"Payments-db\""),
        ("\"payments-db\"", "\"\""),
        ("\"payments-db\"", "7"),
        ("\"payments-db\"", "[\"payments-db\"]"),
        ("\"release\",", "\"Release\","),
        ("\"accepted\"", "\"ACCEPTED\""),
        ("\"accepted\"", "true"),
        ("\"session\":\"05", "\"session\":\"0505"),
        ("\"session\":\"05", "\"session\":\""),
        ("\"commitment\":\"", "\"commitment\":\"0x"),
        ("-enc9", "-enc/9"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        assert!(refused(changed.as_bytes()), "{to}");
    }
    let upper = text.replace("0505", "0A05").replace('A', "a");
    assert!(
        !refused(upper.as_bytes()),
        "lower-case hex is as good as any"
    );
    assert!(refused(upper.replace("0a05", "0A05").as_bytes()));
}

#[test]
fn size_and_lists_are_bounded() {
    let Entry::Administration(entry) = samples::administration(true) else {
        panic!("another kind")
    };
    let with = |count: usize| {
        let mut entry = entry.clone();
        let key = entry.keys.pop().unwrap();
        entry.keys = (0..count)
            .map(|index| KeyChange {
                version: u32::try_from(index).unwrap(),
                ..key.clone()
            })
            .collect();
        Entry::Administration(entry)
    };
    let most = (1..)
        .take_while(|count| with(*count).to_leaf().is_ok())
        .last()
        .unwrap();
    // What the documentation promises.
    assert!(most >= 300, "{most}");
    assert!(with(most).to_leaf().unwrap().len() <= MAX_ENTRY);
    assert_eq!(with(most + 1).to_leaf().unwrap_err().id(), "log.entry");
    let mut too_long = with(most).to_leaf().unwrap();
    too_long.resize(MAX_ENTRY + 1, b' ');
    assert!(refused(&too_long));

    let [Entry::Order(mut order), _] = samples::orders() else {
        panic!("another kind")
    };
    order.scope = Some(OrderScope::Read {
        actions: (0..1025).map(|index| format!("a{index}")).collect(),
    });
    let leaf = Entry::Order(order).to_leaf();
    assert_eq!(leaf.unwrap_err().id(), "log.entry");
}

/// Every byte of every sample, changed to each of a few others: what still reads writes the changed bytes.
#[test]
fn a_changed_byte_is_refused_or_is_another_entry() {
    for entry in samples::all() {
        let leaf = entry.to_leaf().unwrap();
        for at in 0..leaf.len() {
            for byte in [
                b' ', b'"', b'\\', b'0', b'9', b'a', b'A', b'{', b'}', b',', 0, 0xff,
            ] {
                let mut changed = leaf.clone();
                if changed[at] == byte {
                    continue;
                }
                changed[at] = byte;
                if let Ok(other) = Entry::from_leaf(&changed) {
                    assert_ne!(other, entry);
                    assert_eq!(other.to_leaf().unwrap(), changed);
                }
            }
            assert!(refused(&leaf[..at]), "cut off at {at}");
        }
    }
}
