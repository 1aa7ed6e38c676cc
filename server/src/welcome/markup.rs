//! What is told, as HTML.
//!
//! Decides which elements there are. Every text goes through [`escaped`], which is the one place
//! where a text becomes markup: no name, address or label can end an element or an attribute.

use super::{Block, Way};

/// Text that stands for itself, in an element and in a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Turns of the reading direction, and what ends a line: nothing we say has them.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => {}
            other if other.is_control() && other != '\n' => {}
            other => out.push(other),
        }
    }
    out
}

fn block(block: &Block) -> String {
    match block {
        Block::Text(text) => format!("<p>{}</p>\n", escaped(text)),
        Block::Commands(lines) => {
            // Each in an element of its own: a long one that is broken is seen to be one.
            let lines: String = lines.iter().map(|line| format!("<code>{}</code>", escaped(line))).collect();
            format!("<pre>{lines}</pre>\n")
        }
        Block::Address(address) => {
            let address = escaped(address);
            format!("<p><a href=\"{address}\" rel=\"noreferrer\">{address}</a></p>\n")
        }
    }
}

/// All ways, one below the other.
pub(super) fn ways(ways: &[Way]) -> String {
    let one = |way: &Way| {
        let blocks: String = way.blocks.iter().map(block).collect();
        format!("<h3>{}</h3>\n{blocks}", escaped(&way.title))
    };
    ways.iter().map(one).collect()
}

/// A numbered list.
pub(super) fn numbered(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", escaped(item))).collect();
    format!("<ol>\n{items}</ol>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_text_becomes_markup_that_looks_escaped_already() {
        assert_eq!(escaped("&lt;b&gt;"), "&amp;lt;b&amp;gt;");
    }

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in "\\PC{0,40}|[<>&\"'a\u{202e}\u{2066}\r\n\0]{0,40}") {
            let out = escaped(&text);
            prop_assert!(!out.contains(['<', '>', '"', '\'', '\r', '\0', '\u{202e}', '\u{2066}']), "{}", out);
            let back = out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
            let back = back.replace("&amp;", "&");
            let kept: String = text.chars().filter(|c| !escaped(&c.to_string()).is_empty()).collect();
            prop_assert_eq!(back, kept);
        }
    }
}
