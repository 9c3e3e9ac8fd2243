//! Text from strangers, made safe for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns `text` with control characters and invisible or direction-changing characters written as
/// `\u{…}`. Module ids, certificate names and file names come from outside; without this a document
/// could move the cursor and paint its own verdict. Line feeds are kept only in our own text, which
/// does not pass through here.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|character| match is_plain(character) {
                true => character.to_string(),
                false => character.escape_unicode().to_string(),
            })
            .collect(),
    )
}

/// [`printable`] line by line: for text that has line feeds of its own. What a stranger chose passes
/// through [`printable`] before it gets here, so that it cannot begin a line either.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain_or_line_feed) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    Cow::Owned(lines.join("\n"))
}

/// JSON text in which such characters are written as `\uXXXX`. JSON itself escapes only those below
/// U+0020, and a person looks at it on a terminal, too. They can stand in strings only, so the value
/// stays the same.
pub(crate) fn printable_json(json: &str) -> Cow<'_, str> {
    if json.chars().all(is_plain_or_line_feed) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_plain_or_line_feed(character) {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _infallible = write!(text, "\\u{unit:04x}");
        }
    }
    Cow::Owned(text)
}

fn is_plain_or_line_feed(character: char) -> bool {
    character == '\n' || is_plain(character)
}

fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_moves_the_cursor_or_hides() {
        assert_eq!(printable("i-0ab – ok"), "i-0ab – ok");
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("a\u{202e}b\n"), "a\\u{202e}b\\u{a}");
    }

    #[test]
    fn text_of_several_lines_keeps_them() {
        assert_eq!(
            printable_lines("a\n  \u{9b}2Jb\r\n"),
            "a\n  \\u{9b}2Jb\\u{d}\n"
        );
        assert_eq!(printable_lines("a ✓\n"), "a ✓\n");
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({ "a\u{9b}": "\u{1b}[2J\u{7f}\u{202e}\u{e0001}é" });
        let text = format!("{value:#}");
        let shown = printable_json(&text);
        assert!(shown.chars().all(is_plain_or_line_feed), "{shown:?}");
        assert!(shown.contains("é"));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }
}
