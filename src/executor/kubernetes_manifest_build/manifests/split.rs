//! Where one document ends and the next begins, without reading either.
//!
//! In YAML a line that begins with `---` or `...` and a blank ends whatever stood before it, block scalars included (YAML 1.2.2 §9.1.2), so
//! looking at the beginnings of lines is exact. JSON values may follow one another with nothing in between, as kubectl takes them.

use serde::de::IgnoredAny;

use crate::yaml::Position;

/// The text of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'t> {
    pub(super) text: &'t str,
    /// Where it begins in the whole text.
    line: u32,
    column: u32,
}

/// Every document of `text`, empty ones included.
pub(super) fn documents(text: &str) -> Vec<Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut chunks, mut begin, mut line, mut column) = (Vec::new(), 0, 1, 1);
    let mut offset = 0;
    for (number, content) in (1_u32..).zip(text.split_inclusive('\n')) {
        let start = offset;
        offset += content.len();
        let Some(rest) = marker(content) else { continue };
        chunks.push(Chunk { text: &text[begin..start], line, column });
        let trimmed = rest.trim_start_matches([' ', '\t']);
        if trimmed.trim_end().is_empty() || trimmed.starts_with('#') {
            (begin, line, column) = (offset, number.saturating_add(1), 1);
        } else {
            // A document that begins beside its marker: `--- {kind: …}`.
            let skipped = content.len() - trimmed.len();
            (begin, line, column) = (start + skipped, number, u32::try_from(skipped).unwrap_or(0) + 1);
        }
    }
    chunks.push(Chunk { text: &text[begin..], line, column });
    chunks
}

/// What stands behind the marker that `line` begins with.
fn marker(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."))?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(rest)
}

/// The JSON values that `chunk` is made of; `None` when it is not made of several.
pub(super) fn json_values<'t>(chunk: &Chunk<'t>) -> Option<Vec<Chunk<'t>>> {
    if !chunk.is_json() {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(chunk.text).into_iter::<IgnoredAny>();
    let (mut parts, mut begin) = (Vec::new(), 0);
    while let Some(value) = stream.next() {
        value.ok()?;
        let end = stream.byte_offset();
        let blank = chunk.text[begin..end].len() - chunk.text[begin..end].trim_start().len();
        let before = &chunk.text[..begin + blank];
        let lines = u32::try_from(before.matches('\n').count()).unwrap_or(0);
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        let column = u32::try_from(column).unwrap_or(0) + if lines == 0 { chunk.column } else { 1 };
        parts.push(Chunk { text: &chunk.text[begin + blank..end], line: chunk.line + lines, column });
        begin = end;
    }
    (parts.len() > 1).then_some(parts)
}

impl Chunk<'_> {
    /// Nothing but blanks, comments and directives.
    pub(super) fn is_blank(&self) -> bool {
        self.text.lines().all(|line| line.starts_with('%') || line.trim().is_empty() || line.trim_start().starts_with('#'))
    }

    pub(super) fn is_json(&self) -> bool {
        self.text.trim_start().starts_with('{')
    }

    /// Whether kubectl would stumble over the text as it stands. It takes any line that begins with `---` for a separator (apimachinery
    /// `yaml.YAMLReader`), text that begins with a brace for JSON, and knows neither lines of tabs alone nor `\/`, which YAML 1.1 did not have.
    pub(super) fn confuses_kubectl(&self) -> bool {
        let is_odd = |line: &str| line.starts_with("---") || (line.contains('\t') && line.trim().is_empty());
        self.is_json() || self.text.contains("\\/") || self.text.lines().any(is_odd)
    }

    pub(super) const fn begin(&self) -> Position {
        Position { line: self.line, column: self.column }
    }

    /// A place in the document as a place in the whole text.
    pub(super) const fn absolute(&self, at: Position) -> Position {
        let column = if at.line == 1 { at.column + self.column - 1 } else { at.column };
        Position { line: at.line + self.line - 1, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(&str, u32, u32)> {
        documents(text).into_iter().map(|chunk| (chunk.text, chunk.line, chunk.column)).collect()
    }

    #[test]
    fn markers_are_lines_of_their_own() {
        assert_eq!(texts("a: 1\n---\nb: 2\n"), [("a: 1\n", 1, 1), ("b: 2\n", 3, 1)]);
        assert_eq!(texts("---\na: 1\n--- # note\r\n...\nb"), [("", 1, 1), ("a: 1\n", 2, 1), ("", 4, 1), ("b", 5, 1)]);
        assert_eq!(texts("--- {a: 1}\n---\t!x\nb: 1"), [("", 1, 1), ("{a: 1}\n", 1, 5), ("!x\nb: 1", 2, 5)]);
        assert_eq!(texts("x: |\n  ---\n ---\n----\n---a\n").len(), 1);
        assert_eq!(texts("\u{feff}---"), [("", 1, 1), ("", 2, 1)]);
    }

    #[test]
    fn json_values_may_follow_one_another() {
        let chunk = documents("--- {\"a\":1} {\"b\":\n2}\n")[1];
        let parts = json_values(&chunk).expect("two");
        assert_eq!(
            parts.iter().map(|part| (part.text, part.line, part.column)).collect::<Vec<_>>(),
            [("{\"a\":1}", 1, 5), ("{\"b\":\n2}", 1, 13)]
        );
        assert_eq!(json_values(&documents("{a: 1}")[0]), None);
        assert_eq!(json_values(&documents("{}")[0]), None);
    }
}
