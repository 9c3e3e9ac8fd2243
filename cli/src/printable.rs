//! Text from strangers, made safe for a terminal.

use std::borrow::Cow;

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
}
