//! `.terraformignore`, as Terraform reads it (hashicorp/go-slug `internal/ignorefiles`), which is not quite as git reads `.gitignore`.
//!
//! One pattern a line, trimmed; `#` begins a comment. `*` and `?` stay within a folder, `**` does not; `[a-z]` is a class. A pattern that
//! begins with `/` is relative to the file's folder, any other matches at every depth. One that ends with `/` matches what is below a
//! folder; without the slash it matches a file of that name, or the bare folder but nothing in it. `!` takes back. **The last rule that
//! matches decides**, so a file can be taken back from a folder that is ignored.
//!
//! Stricter than Terraform in one thing: a rule that cannot be understood is an error and not skipped, because what it was to keep out
//! would be published.

use regex::Regex;

/// Name of the file.
pub(crate) const FILE: &str = ".terraformignore";
/// Longest file and most rules there may be.
pub(crate) const MAX_BYTES: u64 = 256 << 10;
const MAX_RULES: usize = 2_000;

/// Terraform's rules for a folder that has none of its own, and the first ones of any other.
const DEFAULTS: &str = ".git/\n.terraform/\n!.terraform/modules/\n";

/// A file that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IgnoreError {
    #[error("it is not UTF-8; save it as UTF-8")]
    NotText,
    #[error("line {line}: '{rule}' is no pattern: {why}")]
    Pattern { line: usize, rule: String, why: String },
    #[error("it has more than {MAX_RULES} rules")]
    TooMany,
}

/// Rules in their order.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    regex: Regex,
    takes_back: bool,
    /// Whether a later rule may take back what this one ignores.
    is_final: bool,
}

impl Rules {
    /// The rules of a file's text, after the default ones.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, IgnoreError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IgnoreError::NotText)?;
        let mut rules = Self { rules: Vec::new() };
        rules.add(DEFAULTS)?;
        rules.add(text.trim_start_matches('\u{feff}'))?;
        let mut is_final = true;
        for rule in rules.rules.iter_mut().rev() {
            rule.is_final = is_final;
            is_final &= !rule.takes_back;
        }
        Ok(rules)
    }

    fn add(&mut self, text: &str) -> Result<(), IgnoreError> {
        for (index, line) in text.lines().enumerate() {
            let rule = line.trim();
            if rule.is_empty() || rule.starts_with('#') {
                continue;
            }
            if self.rules.len() == MAX_RULES {
                return Err(IgnoreError::TooMany);
            }
            let bad = |why: String| IgnoreError::Pattern { line: index + 1, rule: rule.chars().take(80).collect(), why };
            let (takes_back, pattern) = rule.strip_prefix('!').map_or((false, rule), |pattern| (true, pattern));
            if pattern.is_empty() {
                return Err(bad("nothing stands after '!'".to_owned()));
            }
            let below = if pattern.ends_with('/') { "**" } else { "" };
            let pattern = match pattern.strip_prefix('/') {
                Some(anchored) => format!("{anchored}{below}"),
                None => format!("**/{pattern}{below}"),
            };
            // What a regular expression needs beyond this does not come out of a list of files.
            let regex = regex::RegexBuilder::new(&expression(&pattern)).size_limit(1 << 20).nest_limit(50).build();
            let regex = regex
                .map_err(|error| bad(error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()))?;
            self.rules.push(Rule { regex, takes_back, is_final: false });
        }
        Ok(())
    }

    /// Whether a file is ignored; `path` is relative to the folder the rules stand in.
    pub(crate) fn ignores(&self, path: &str) -> bool {
        self.decisive(path).is_some_and(|rule| !rule.takes_back)
    }

    /// Whether nothing in a folder can be anything but ignored.
    pub(crate) fn ignores_all_of(&self, folder: &str) -> bool {
        self.decisive(&format!("{folder}/")).is_some_and(|rule| !rule.takes_back && rule.is_final)
    }

    fn decisive(&self, path: &str) -> Option<&Rule> {
        self.rules.iter().rev().find(|rule| rule.regex.is_match(path))
    }
}

/// The regular expression of a pattern. go-slug passes on whatever it does not know, so `[a-z]`, `(a|b)` and `a+` mean what they mean in
/// one; what Go reads as plain text and this crate does not is escaped.
fn expression(pattern: &str) -> String {
    let mut regex = String::from("^");
    let mut rest = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                if rest.peek() == Some(&'/') {
                    rest.next();
                }
                regex.push_str(if rest.peek().is_none() { ".*" } else { "(.*/)?" });
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '.' | '$' | '{' | '}' => regex.extend(['\\', c]),
            '\\' => {
                regex.push('\\');
                regex.extend(rest.next());
            }
            '[' if !in_class => {
                in_class = true;
                regex.push('[');
            }
            ']' if in_class => {
                in_class = false;
                regex.push(']');
            }
            '[' if rest.peek() != Some(&':') => regex.push_str("\\["),
            '&' | '~' if in_class => regex.extend(['\\', c]),
            _ => regex.push(c),
        }
    }
    regex.push('$');
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Rules {
        Rules::parse(text.as_bytes()).expect(text)
    }

    /// The cases of go-slug's own tests (`terraformignore_test.go`, `testdata/archive-dir`).
    #[test]
    fn rules_are_terraforms() {
        let file = "# comments are ignored\n # extra spaces are irrelevant\n# ignore a file\n   baz.txt\n# below is an empty line\n\n\
            # ignore a directory\nterraform.d/\n# negate ignoring a directory at the root\n!/terraform.d/\n# ignore a file at a subpath\n\
            **/foo/bar.tf\n# ignore files with specific endings\nfoo/*.md\n# character groups\nbar/something-[a-z].txt\n# ignore a file\n\
            boop.txt\n# but not one at the current directory\n!/boop.txt\n";
        let rules = rules(file);
        for (path, ignored) in [
            (".terraform/", true),
            (".terraform/plugins", true),
            ("included.txt", false),
            (".terraform/foo/bar", true),
            (".terraform/foo/bar/more/directories/so/many", true),
            (".terraform/foo/ignored-subdirectory/", true),
            (".terraform/modules/x", false),
            ("baz.txt", true),
            ("parent/foo/baz.txt", true),
            ("parent/foo/bar.tf", true),
            ("parent/bar/bar.tf", false),
            ("something/with-baz.txt", false),
            ("something/baz.x", false),
            ("foo/ignored-doc.md", true),
            ("bar/something-a.txt", true),
            ("bar/something-A.txt", false),
            ("some-module/terraform.d/x", true),
            ("terraform.d/", false),
            ("terraform.d/foo", false),
            ("terraform.d", false),
            ("baz/boop.txt", true),
            ("boop.txt", false),
        ] {
            assert_eq!(rules.ignores(path), ignored, "{path}");
        }
    }

    /// `testdata/with-exclusion` of the same tests.
    #[test]
    fn what_may_be_taken_back_is_looked_at_file_by_file() {
        let rules = rules("src/**/*\n# except at one directory\n!src/foo/bar.txt\nlogs/\ntmp/\n");
        assert!(rules.ignores("src/baz/ignored") && !rules.ignores("src/foo/bar.txt"));
        assert!(rules.ignores_all_of("logs") && rules.ignores_all_of("a/tmp"));
        assert!(!rules.ignores_all_of("src/foo") && !rules.ignores_all_of(".git") && !rules.ignores_all_of("other"));
    }

    #[test]
    fn the_corners() {
        for (text, path, ignored) in [
            ("docs", "docs", true),
            ("docs", "docs/a.md", false),
            ("docs/", "docs/a.md", true),
            ("/docs/", "x/docs/a.md", false),
            ("docs/**", "x/docs/a/b.md", true),
            ("a**b", "ab", true),
            ("a**b", "a/x/b", true),
            ("a**b", "axb", false),
            ("*.tf", "a/b.tf", true),
            ("/*.tf", "a/b.tf", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("a{b}", "a{b}", true),
            ("a(b|c)", "x/ac", true),
            ("a\n!a\na", "a", true),
            ("*\n!keep", "keep", false),
            ("   ", "x", false),
            ("\u{feff}x", "x", true),
            ("x\r\n", "x", true),
            ("[[&]", "&", true),
        ] {
            assert_eq!(rules(text).ignores(path), ignored, "{text:?} {path}");
        }
    }

    #[test]
    fn rules_nobody_understands_are_errors() {
        let fails = |bytes: &[u8]| Rules::parse(bytes).expect_err("an error").to_string();
        assert_eq!(fails(b"a\n[z-a]\n"), "line 2: '[z-a]' is no pattern: invalid character class range, the start must be <= the end");
        assert_eq!(fails(b"!\n"), "line 1: '!' is no pattern: nothing stands after '!'");
        assert_eq!(fails(b"\xff"), "it is not UTF-8; save it as UTF-8");
        assert_eq!(fails("a\n".repeat(3000).as_bytes()), "it has more than 2000 rules");
    }
}
