//! Kustomizations as they were understood, in the place of those that were found.
//!
//! In: the first document of a kustomization that was looked at. Out: a text that every YAML library of Go reads in one way only, and which holds
//! what was looked at: quoted text, no anchors, merges, tags or further documents, nothing beyond ASCII. kustomize gets to see nothing else,
//! so nothing that its parser takes otherwise gets past the checks. Called for the runner's own copy of a source, never the source itself.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use crate::yaml::{self, Kind, Node};

/// Keys that kustomize looks for with a regular expression before it parses (`api/types/fix.go`), and so without quotes.
const PLAIN: [&str; 2] = ["imageTags", "patches"];

/// A kustomization's text; empty for one that says nothing, which kustomize itself calls so.
pub(super) fn text(node: Option<&Node>) -> String {
    let mut out = String::new();
    for entry in node.and_then(Node::entries).unwrap_or_default() {
        if PLAIN.contains(&entry.key.as_str()) {
            out.push_str(&entry.key);
        } else {
            quoted(&entry.key, &mut out);
        }
        out.push_str(": ");
        value(&entry.value, &mut out);
        out.push('\n');
    }
    out
}

fn value(node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Null => out.push_str("null"),
        Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Kind::Number(..) => out.push_str(yaml::to_string(&node.to_json()).trim_end()),
        Kind::String(text) => quoted(text, out),
        Kind::Sequence(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                value(item, out);
            }
            out.push(']');
        }
        Kind::Mapping(entries) => {
            out.push('{');
            for (index, entry) in entries.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                quoted(&entry.key, out);
                out.push_str(": ");
                value(&entry.value, out);
            }
            out.push('}');
        }
    }
}

/// Text in double quotes, on one line.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match (c, u32::from(c)) {
            ('"' | '\\', _) => out.extend(['\\', c]),
            ('\n', _) => out.push_str("\\n"),
            ('\t', _) => out.push_str("\\t"),
            (' '..='~', _) => out.push(c),
            // Writing into a String cannot fail.
            (_, code @ 0x1_0000..) => drop(write!(out, "\\U{code:08X}")),
            (_, code) => drop(write!(out, "\\u{code:04X}")),
        }
    }
    out.push('"');
}

/// Puts each text in the place of a file. A hard link's other names keep what they had.
pub(super) fn write(copies: &BTreeMap<PathBuf, String>) -> std::io::Result<()> {
    let replace = |(file, text): (&PathBuf, &String)| {
        fs_err::remove_file(file)?;
        fs_err::write(Path::new(file), text)
    };
    copies.iter().try_for_each(replace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Dialect, Limits, parse_one};

    #[test]
    fn the_copy_says_the_same_in_one_way() {
        let original = "a: &a [b, 'c d']\npatches:\n- patch: |-\n    - op: x # \"y\"\n    \tü🎉\n- <<: {c: 1.50}\n  d: [yes, ~, 0777, 1e3, 12345678901234567890]\nimageTags: *a\n\"on\": {}\n";
        let node = parse_one(original, Dialect::GoExact, Limits::default()).expect("parses");
        let copy = text(Some(&node));
        assert_eq!(
            copy,
            "\"a\": [\"b\", \"c d\"]\n\
             patches: [{\"patch\": \"- op: x # \\\"y\\\"\\n\\t\\u00FC\\U0001F389\"}, {\"c\": 1.5, \"d\": [true, null, 511, 1000, 12345678901234567890]}]\n\
             imageTags: [\"b\", \"c d\"]\n\
             \"on\": {}\n"
        );
        for dialect in [Dialect::Core, Dialect::Go, Dialect::GoExact] {
            let back = parse_one(&copy, dialect, Limits::default()).expect("parses");
            assert_eq!(text(Some(&back)), copy);
        }
        assert_eq!(text(Some(&Node::null())) + &text(None), "");
    }
}
