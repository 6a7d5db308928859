//! Quoted strings of header fields (RFC 9110, section 5.6.4). Pure; called for challenges and links.

/// The text of a quoted string without its escapes, and what follows it. `text` begins behind the opening quote; where there is no other, all of it is
/// the string.
pub(super) fn string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_the_quote_that_is_not_escaped() {
        for (text, value, rest) in [(r#"a" b"#, "a", " b"), (r#"a \"b\" \c",x"#, r#"a "b" c"#, ",x"), ("", "", ""), ("ä\\", "ä", "")] {
            assert_eq!(string(text), (value.to_owned(), rest), "{text}");
        }
    }
}
