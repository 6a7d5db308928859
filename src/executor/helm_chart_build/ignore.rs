//! `.helmignore`: which files of a chart folder are left out, exactly as helm decides it.
//!
//! Rules are tried in order and the first decision wins. A plain rule that matches leaves the path out. A rule that begins with `!` is
//! not what git makes of it: a path that does *not* match it is left out, one that matches goes on to the next rule. The rule
//! `templates/.?*` always stands at the end. Rules apply to a chart read from a folder only, never inside an archive.
//! (helm `pkg/ignore/rules.go`; its test table is ported below.)

use super::glob::{BadPattern, Glob};

/// Name of the file with the rules.
pub(crate) const FILE: &str = ".helmignore";

/// A rule nobody can follow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IgnoreError {
    /// `**` somewhere in a rule.
    #[error(".helmignore line {line}: '{rule}' uses '**', which helm does not support; use one '*' for each folder level")]
    DoubleStar { line: usize, rule: String },
    /// The pattern does not compile.
    #[error(".helmignore line {line}: the pattern '{rule}' cannot be read: {source}")]
    BadPattern { line: usize, rule: String, source: BadPattern },
    /// The chart without itself.
    #[error(".helmignore leaves out Chart.yaml; correct the rule (one that begins with '!' leaves out everything it does not match)")]
    ChartYaml,
    /// Not text.
    #[error(".helmignore is not UTF-8 text; save it as UTF-8")]
    NotText,
}

#[derive(Debug)]
struct Rule {
    /// `None` for a pattern that became unreadable when its slash was taken off; helm lets it match nothing.
    glob: Option<Glob>,
    negated: bool,
    directories_only: bool,
    whole_path: bool,
}

impl Rule {
    fn matches(&self, path: &str) -> bool {
        let base = path.trim_end_matches('/');
        let subject = if self.whole_path { path } else { base.rsplit('/').next().unwrap_or(base) };
        self.glob.as_ref().is_some_and(|glob| glob.matches(subject))
    }
}

/// The rules of one chart.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Rule>);

impl Default for Rules {
    /// The rule that every chart has.
    fn default() -> Self {
        let glob = Glob::new("templates/.?*").ok();
        Self(vec![Rule { glob, negated: false, directories_only: false, whole_path: true }])
    }
}

impl Rules {
    /// Reads a `.helmignore`; the default rule comes after its rules.
    pub(crate) fn parse(content: &[u8]) -> Result<Self, IgnoreError> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let text = std::str::from_utf8(content).map_err(|_| IgnoreError::NotText)?;
        let mut rules = Vec::new();
        for (number, line) in text.split('\n').enumerate() {
            let rule = line.trim();
            if !rule.is_empty() && !rule.starts_with('#') {
                rules.push(parse_rule(rule, number + 1)?);
            }
        }
        rules.append(&mut Self::default().0);
        Ok(Self(rules))
    }

    /// Whether `path`, relative to the chart and with `/` between its parts, is left out. An ignored folder is not entered.
    pub(crate) fn ignores(&self, path: &str, is_dir: bool) -> bool {
        if matches!(path, "" | "." | "./") {
            return false;
        }
        for rule in &self.0 {
            if rule.negated {
                if (rule.directories_only && !is_dir) || !rule.matches(path) {
                    return true;
                }
            } else if (!rule.directories_only || is_dir) && rule.matches(path) {
                return true;
            }
        }
        false
    }
}

fn parse_rule(rule: &str, line: usize) -> Result<Rule, IgnoreError> {
    if rule.contains("**") {
        return Err(IgnoreError::DoubleStar { line, rule: rule.to_owned() });
    }
    Glob::new(rule).map_err(|source| IgnoreError::BadPattern { line, rule: rule.to_owned(), source })?;
    let (negated, pattern) = rule.strip_prefix('!').map_or((false, rule), |rest| (true, rest));
    let (directories_only, pattern) = pattern.strip_suffix('/').map_or((false, pattern), |rest| (true, rest));
    let (whole_path, pattern) = pattern.strip_prefix('/').map_or((pattern.contains('/'), pattern), |rest| (true, rest));
    Ok(Rule { glob: Glob::new(pattern).ok(), negated, directories_only, whole_path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rule: &str, path: &str, is_dir: bool) -> bool {
        Rules::parse(rule.as_bytes()).expect("a readable rule").ignores(path, is_dir)
    }

    /// The table of helm's `pkg/ignore/rules_test.go`, by its cases: rule, path, folder or not, left out or not.
    #[test]
    fn decides_as_helm_does() {
        for (rule, path, is_dir, expected) in [
            ("helm.txt", "helm.txt", false, true),
            ("helm.*", "helm.txt", false, true),
            ("helm.*", "rudder.txt", false, false),
            ("*.txt", "tiller.txt", false, true),
            ("*.txt", "cargo/a.txt", false, true),
            ("cargo/*.txt", "cargo/a.txt", false, true),
            ("cargo/*.*", "cargo/a.txt", false, true),
            ("cargo/*.txt", "mast/a.txt", false, false),
            ("ru[c-e]?er.txt", "rudder.txt", false, true),
            ("templates/.?*", "templates/.dotfile", false, true),
            (".*", ".", false, false),
            (".*", "./", true, false),
            (".*", ".joonix", false, true),
            (".*", "helm.txt", false, false),
            (".*", "", false, false),
            ("cargo/", "cargo", true, true),
            ("cargo/", "cargo/", true, true),
            ("cargo/", "mast/", true, false),
            ("helm.txt/", "helm.txt", false, false),
            ("!helm.txt", "helm.txt", false, false),
            ("!helm.txt", "tiller.txt", false, true),
            ("!*.txt", "cargo", true, true),
            ("!cargo/", "mast/", true, true),
            ("/a.txt", "a.txt", false, true),
            ("/a.txt", "cargo/a.txt", false, false),
            ("/cargo/a.txt", "cargo/a.txt", false, true),
            ("a/b", "a/b", false, true),
            ("a/b", "x/a/b", false, false),
            ("\u{feff}helm.txt", "helm.txt", false, true),
            ("  helm.txt\r", "helm.txt", false, true),
            ("# helm.txt", "helm.txt", false, false),
            ("a # b", "a", false, false),
        ] {
            assert_eq!(ignored(rule, path, is_dir), expected, "{rule:?} on {path:?}");
        }
    }

    #[test]
    fn the_first_decision_wins() {
        let rules = Rules::parse(b"!*.txt\nsecret.txt\n").expect("readable");
        assert!(!rules.ignores("a.txt", false));
        assert!(rules.ignores("secret.txt", false));
        assert!(rules.ignores("a.yaml", false));
    }

    #[test]
    fn dotfiles_of_templates_are_always_left_out() {
        assert!(Rules::default().ignores("templates/.swp", false));
        assert!(!Rules::default().ignores("templates/a.yaml", false));
        assert!(!Rules::default().ignores("templates/sub/.swp", false));
    }

    #[test]
    fn unreadable_rules_name_their_line() {
        let error = Rules::parse(b"ok\na/**/b\n").expect_err("double star");
        assert_eq!(
            error.to_string(),
            ".helmignore line 2: 'a/**/b' uses '**', which helm does not support; use one '*' for each folder level"
        );
        let error = Rules::parse(b"[a").expect_err("open set");
        assert!(error.to_string().starts_with(".helmignore line 1: the pattern '[a' cannot be read"), "{error}");
        assert_eq!(Rules::parse(b"\xff").expect_err("not text"), IgnoreError::NotText);
    }
}
