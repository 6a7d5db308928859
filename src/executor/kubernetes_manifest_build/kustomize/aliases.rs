//! Texts that aliases make larger than any cluster takes: kustomize expands them until there is no memory left on the machine.
//!
//! In: files and inline texts that kustomize parses. Out: whether it may. Only texts with anchors and aliases are parsed for it, so nearly all
//! cost a search. What is wrong with a text otherwise is left to kustomize to say. Called by [`super::tree`].

use std::{borrow::Cow, fs, path::Path};

use crate::yaml::{self, Dialect, Kind, Limits, Node, Problem};

use super::{super::manifests::MAX_BYTES, tree::TreeError};

/// Most values of one text, aliases expanded.
const LIMITS: Limits = Limits { bytes: MAX_BYTES, nodes: 1_000_000, depth: 200, documents: usize::MAX };

/// Checks a file; `name` is what messages call it.
pub(super) fn of_file(path: &Path, name: &str) -> Result<(), TreeError> {
    let fail = |source| TreeError::Io { file: name.to_owned(), source };
    let limit = MAX_BYTES as u64;
    if fs::metadata(path).map_err(fail)?.len() > limit {
        return Err(TreeError::Limit { what: name.to_owned(), limit, of: "bytes" });
    }
    let bytes = fs::read(path).map_err(fail)?;
    let text: Cow<'_, str> = String::from_utf8_lossy(&bytes);
    of_text(&text, name)
}

/// Checks the texts that stand in a kustomization.
pub(super) fn of_kustomization(node: &Node, file: &str) -> Result<(), TreeError> {
    match &node.kind {
        Kind::String(text) => of_text(text, file),
        Kind::Sequence(items) => items.iter().try_for_each(|item| of_kustomization(item, file)),
        Kind::Mapping(entries) => entries.iter().try_for_each(|entry| of_kustomization(&entry.value, file)),
        Kind::Null | Kind::Bool(_) | Kind::Number(..) => Ok(()),
    }
}

fn of_text(text: &str, name: &str) -> Result<(), TreeError> {
    if !has_aliases(text) {
        return Ok(());
    }
    match yaml::parse_with(text, Dialect::Go, LIMITS) {
        Err(error) if matches!(error.problem, Problem::Limit { .. }) => {
            Err(TreeError::Limit { what: name.to_owned(), limit: LIMITS.nodes as u64, of: "values, aliases expanded" })
        }
        _ => Ok(()),
    }
}

/// Whether there may be an anchor and an alias: `&` and `*` where a value may begin (YAML 1.2.2 §6.9.2, §7.1).
fn has_aliases(text: &str) -> bool {
    let begins = |at: usize| text[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || "[]{},:?-".contains(c));
    let is_named = |at: usize| text[at + 1..].starts_with(|c: char| !c.is_whitespace() && !"[]{},&*'\"|;()".contains(c));
    ['&', '*'].into_iter().all(|mark| text.match_indices(mark).any(|(at, _)| begins(at) && is_named(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_aliases_make_too_large_is_refused() {
        let laughs =
            (0..9).fold("a0: &a0 [x]\n".to_owned(), |text, i| text + &format!("a{}: &a{0} [{}]\n", i + 1, format!("*a{i},").repeat(9)));
        let error = of_text(&laughs, "a.yaml").expect_err("too large").to_string();
        assert_eq!(error, "a.yaml has more than 1000000 values, aliases expanded");
        for text in ["a: &a {b: c}\nd: *a\n", "a: &a [\nb: *a", "x: {<<: &a {b: c}}\ny: *a\n---\nz: 1\n"] {
            assert!(has_aliases(text) && of_text(text, "a.yaml").is_ok(), "{text}");
        }
        for text in ["cron: '0 * * * *'\nrun: a && b\n", "url: http://h/?a=b&c=d\nglob: /tmp/*\n", "a: &a b\n"] {
            assert!(!has_aliases(text), "{text}");
        }
    }
}
