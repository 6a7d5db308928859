//! What a plan may call a commit.

use super::Error;

/// A checked `git_source.ref`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// Nothing was said: the default branch.
    Default,
    /// A whole object id, SHA-1 or SHA-256.
    Commit(String),
    /// A full ref name, `HEAD` among them.
    Full(String),
    /// A branch, a tag, or the beginning of an object id.
    Short(String),
}

impl Name {
    /// Reads a ref as `git check-ref-format(1)` does, and without the revision syntax (`~`, `^`, `:`, `@{`), which would mean something
    /// else to a server than here.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Error> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::Default) };
        if let Some(why) = refuse(text) {
            let shown: String = text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect();
            return Err(Error::Plan { field: "ref", why: format!("'{shown}' {why}; use a branch, a tag, a full ref name or a commit id") });
        }
        Ok(match text {
            _ if matches!(text.len(), 40 | 64) && is_hex(text) => Self::Commit(text.to_ascii_lowercase()),
            _ if text.starts_with("refs/") || text == "HEAD" => Self::Full(text.to_owned()),
            _ => Self::Short(text.to_owned()),
        })
    }
}

/// Whether `text` may be the beginning of an object id.
pub(super) fn may_be_commit(text: &str) -> bool {
    (4..40).contains(&text.len()) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn refuse(text: &str) -> Option<&'static str> {
    if text.len() > 250 {
        Some("is too long")
    } else if text.starts_with('-') {
        Some("begins with '-'")
    } else if text.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c)) {
        Some("has a character that no ref name has")
    } else if is_no_ref_name(text) {
        Some("is not a ref name")
    } else {
        None
    }
}

/// The rules of `git check-ref-format(1)` about sequences.
fn is_no_ref_name(text: &str) -> bool {
    text == "@"
        || ["..", "@{", "//", "/."].iter().any(|sequence| text.contains(sequence))
        || text.starts_with(['/', '.'])
        || text.ends_with(['/', '.'])
        || text.split('/').any(|part| part.to_ascii_lowercase().ends_with(".lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(Name::parse(None).expect("fine"), Name::Default);
        assert_eq!(Name::parse(Some("")).expect("fine"), Name::Default);
        assert_eq!(Name::parse(Some(&sha.to_uppercase())).expect("fine"), Name::Commit(sha.to_owned()));
        assert_eq!(Name::parse(Some("refs/pull/7/head")).expect("fine"), Name::Full("refs/pull/7/head".to_owned()));
        assert_eq!(Name::parse(Some("release/1.x")).expect("fine"), Name::Short("release/1.x".to_owned()));
        assert!(may_be_commit("0123abc") && !may_be_commit("012") && !may_be_commit("main"));
    }

    #[test]
    fn hostile_and_ambiguous_names_are_refused() {
        for bad in [
            "-c",
            "--upload-pack=touch x",
            "a b",
            "a..b",
            "HEAD~1",
            "a^{commit}",
            "a:b",
            "x\n",
            "/a",
            "a/",
            "a.lock",
            "a@{1}",
            "*",
            "a/.b",
            "@",
        ] {
            let error = Name::parse(Some(bad)).expect_err(bad);
            assert!(error.to_string().starts_with("git_source.ref: "), "{error}");
        }
    }
}
