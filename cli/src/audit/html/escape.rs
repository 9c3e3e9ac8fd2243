//! Writing HTML: text is escaped by the one function that puts text in.

use crate::printable::printable;

/// A page being written.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of ours, as it stands. Only literals, and what was made by these functions, may come here.
    pub(super) fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, whoever chose it: between tags or inside a quoted attribute.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in printable(text).chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// `<tag>text</tag>`; `tag` may hold attributes.
    pub(super) fn tagged(&mut self, tag: &str, text: &str) -> &mut Self {
        let name = tag.split(' ').next().unwrap_or(tag);
        self.raw("<").raw(tag).raw(">").text(text);
        self.raw("</").raw(name).raw(">\n")
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut html = Html::default();
        html.tagged(
            "td class=\"x\"",
            "<script>alert('1')</script>&\"\u{1b}\u{202e}",
        );
        assert_eq!(
            html.into_string(),
            "<td class=\"x\">&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;\
             \\u{1b}\\u{202e}</td>\n"
        );
    }
}
