//! What one configuration file says: the modules it calls, the files it reaches by going up, and what it needs and offers.
//!
//! In: the text of a `.tf` or `.tofu` file, or of its JSON form. Out: [`Config`]. Invariants: text that OpenTofu cannot parse is an error
//! with line and column; places are kept, so that the text of a `source` can be replaced and nothing else.

use std::{borrow::Cow, ops::Range};

use super::{about::About, hcl, json};

/// Which syntax a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    Native,
    Json,
}

/// One file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) calls: Vec<Call>,
    pub(crate) upward: Vec<Upward>,
    pub(crate) about: About,
}

/// A `module` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its name.
    pub(crate) name: String,
    /// Line it is in, from 1.
    pub(crate) line: usize,
    /// Its source.
    pub(crate) source: Source,
}

/// Where a called module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// An address; `inside` is where it stands in the file, between the quotes.
    Address { text: String, inside: Range<usize> },
    /// Something to be evaluated.
    Computed,
    /// None: an override file may leave it out.
    Missing,
}

/// `"${path.module}/../x"` in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upward {
    /// Line, from 1.
    pub(crate) line: usize,
    /// What follows `${path.module}`: `/../x`.
    pub(crate) rest: String,
    /// Whether nothing is evaluated after it.
    pub(crate) whole: bool,
}

/// A file that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {why}")]
pub(crate) struct ConfigError {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) why: String,
}

impl Source {
    /// The address, when it is a folder relative to the module (OpenTofu `internal/addrs/module_source.go`: `./` or `../`).
    pub(crate) fn local(&self) -> Option<&str> {
        match self {
            Self::Address { text, .. } if text.starts_with("./") || text.starts_with("../") => Some(text),
            _ => None,
        }
    }
}

impl Syntax {
    /// The syntax of a file by its name; `None` for what OpenTofu does not take for configuration
    /// (`internal/configs/parser_config_dir.go`: hidden files and leftovers of editors are not).
    pub(crate) fn of(name: &str) -> Option<Self> {
        if name.starts_with('.') || name.ends_with('~') || (name.starts_with('#') && name.ends_with('#')) {
            return None;
        }
        let ends = |suffixes: [&str; 2]| suffixes.iter().any(|suffix| name.ends_with(suffix));
        if ends([".tf", ".tofu"]) {
            Some(Self::Native)
        } else if ends([".tf.json", ".tofu.json"]) {
            Some(Self::Json)
        } else {
            None
        }
    }

    /// Reads a file.
    pub(crate) fn parse(self, bytes: &[u8]) -> Result<Config, ConfigError> {
        let (text, broken) = readable(bytes);
        match self {
            Self::Native => native(&text, &broken),
            Self::Json => broken.first().map_or_else(|| json::parse(&text), |&at| Err(not_text(&text, at))),
        }
    }
}

/// Stands for a byte that is no text.
const BROKEN: &str = "\u{1a}";

/// The text of a file, and the offsets of bytes that are none; every byte keeps its offset.
fn readable(bytes: &[u8]) -> (Cow<'_, str>, Vec<usize>) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (text.into(), Vec::new());
    }
    let (mut text, mut broken) = (String::with_capacity(bytes.len()), Vec::new());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            broken.push(text.len());
            text.push_str(BROKEN);
        }
    }
    (text.into(), broken)
}

fn not_text(text: &str, at: usize) -> ConfigError {
    let (line, column) = place(text, at);
    ConfigError { line, column, why: "the file is not UTF-8; save it as UTF-8".to_owned() }
}

fn native(text: &str, broken: &[usize]) -> Result<Config, ConfigError> {
    let file = hcl::parse(text).map_err(|error| {
        let (line, column) = place(text, error.at);
        let syntax = || ConfigError { line, column, why: error.to_string() };
        broken.binary_search(&error.at).map_or_else(|_| syntax(), |_| not_text(text, error.at))
    })?;
    // OpenTofu takes comments as they come, in whatever encoding.
    let is_comment = |at: usize| {
        let next = file.comments.partition_point(|comment| comment.end <= at);
        file.comments.get(next).is_some_and(|comment| comment.contains(&at))
    };
    if let Some(&at) = broken.iter().find(|&&at| !is_comment(at)) {
        return Err(not_text(text, at));
    }
    let lines = Lines::of(text);
    let mut config = Config::default();
    for block in &file.body.blocks {
        config.about.block(block);
        if let ("module", [name]) = (block.kind, block.labels.as_slice()) {
            let source = match block.body.get("source") {
                Some(hcl::Value::Text { text, inside }) => Source::Address { text: text.clone().into_owned(), inside: inside.clone() },
                Some(_) => Source::Computed,
                None => Source::Missing,
            };
            config.calls.push(Call { name: name.clone().into_owned(), line: lines.number(block.at), source });
        }
    }
    let upward = |found: hcl::Upward| Upward { line: lines.number(found.at), rest: found.rest, whole: found.whole };
    config.upward = file.upward.into_iter().map(upward).collect();
    Ok(config)
}

/// Where the lines of a text begin.
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// The line an offset is in, from 1.
    pub(crate) fn number(&self, at: usize) -> usize {
        self.0.partition_point(|&begin| begin <= at) + 1
    }
}

/// Line and column of an offset, both from 1, columns in characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_opentofu_reads_is_configuration() {
        for (name, syntax) in [
            ("main.tf", Some(Syntax::Native)),
            ("main.tofu", Some(Syntax::Native)),
            ("main.tf.json", Some(Syntax::Json)),
            ("main.tofu.json", Some(Syntax::Json)),
            (".hidden.tf", None),
            ("main.tf~", None),
            ("#main.tf#", None),
            ("main.tfvars", None),
            ("x.tftest.hcl", None),
        ] {
            assert_eq!(Syntax::of(name), syntax, "{name}");
        }
    }

    #[test]
    fn calls_are_found_in_both_syntaxes() {
        let native = "module \"a\" {\n  source = \"../a\"\n}\nmodule \"b\" {\n source = var.x\n}\nmodule \"c\" {}\n";
        let json = "{\"module\": {\n \"a\": {\"source\": \"../a\"},\n \"b\": [{\"source\": \"${var.x}\"}], \"c\": {}}}";
        for (syntax, text, lines) in [(Syntax::Native, native, [1, 4, 7]), (Syntax::Json, json, [2, 3, 3])] {
            let calls = syntax.parse(text.as_bytes()).expect("it parses").calls;
            let Source::Address { text: source, inside } = &calls[0].source else { panic!("an address") };
            assert_eq!((source.as_str(), &text[inside.clone()]), ("../a", "../a"));
            assert_eq!((&calls[1].source, &calls[2].source), (&Source::Computed, &Source::Missing));
            assert_eq!(calls.iter().map(|call| call.line).collect::<Vec<_>>(), lines);
        }
    }

    #[test]
    fn comments_may_be_in_any_encoding() {
        let text = b"/* gr\xfc\xdf */ a = 1 # \xe4\n// \xf6\r\nmodule \"m\" {\n  source = /* \xff */ \"../a\"\n}\n";
        let calls = Syntax::Native.parse(text).expect("it parses").calls;
        let Source::Address { inside, .. } = &calls[0].source else { panic!("an address") };
        assert_eq!((&text[inside.clone()], calls[0].line), (&b"../a"[..], 3));
    }

    #[test]
    fn mistakes_have_line_and_column() {
        let fails = |syntax: Syntax, bytes: &[u8]| syntax.parse(bytes).expect_err("a mistake").to_string();
        assert_eq!(fails(Syntax::Native, "# ü\nü = \n".as_bytes()), "2:5: expected an expression, found the end of the line");
        assert_eq!(fails(Syntax::Native, b"a = 1\nb = \"\xff\""), "2:6: the file is not UTF-8; save it as UTF-8");
        assert_eq!(fails(Syntax::Native, b"# \xfc\n\xfc = 1\n"), "2:1: the file is not UTF-8; save it as UTF-8");
        assert_eq!(fails(Syntax::Json, b"{\"a\": \"\xff\"}"), "1:8: the file is not UTF-8; save it as UTF-8");
        assert!(fails(Syntax::Json, b"{\"a\": \n}").starts_with("2:1: "));
        assert!(fails(Syntax::Json, "\u{feff}{}".as_bytes()).starts_with("1:1: "), "OpenTofu takes no mark here");
    }
}
