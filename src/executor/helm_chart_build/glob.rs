//! Shell patterns as Go's `path/filepath.Match` reads them, which is what `.helmignore` rules are written in.
//!
//! `*` and `?` never match `/`; `[a-z]` and `[^x]` are sets (which may match `/`, as in Go); `\` takes the next character literally.
//! The whole name has to match. Checked against a naive oracle below.

/// A pattern that does not follow the syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it ends inside a '[' set or after a '\\'")]
pub(crate) struct BadPattern;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Star,
    Any,
    One(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Token>);

impl Glob {
    /// Compiles `pattern`.
    pub(crate) fn new(pattern: &str) -> Result<Self, BadPattern> {
        let mut rest = pattern.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(next) = rest.next() {
            tokens.push(match next {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => Token::One(rest.next().ok_or(BadPattern)?),
                '[' => set(&mut rest)?,
                other => Token::One(other),
            });
        }
        Ok(Self(tokens))
    }

    /// Whether all of `name` matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut token, mut at) = (0, 0);
        // Where to go on after giving the last star one character more. Earlier stars never need a second chance: no star crosses a
        // '/', so the leftmost match of what stands between two stars is as good as any.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let step = match (self.0.get(token), name.get(at)) {
                (None, None) => return true,
                (Some(Token::Star), _) => {
                    retry = Some((token, at));
                    token += 1;
                    continue;
                }
                (Some(Token::Any), Some(c)) => *c != '/',
                (Some(Token::One(want)), Some(c)) => want == c,
                (Some(Token::Set { negated, ranges }), Some(c)) => ranges.iter().any(|(lo, hi)| lo <= c && c <= hi) != *negated,
                (None, Some(_)) | (Some(_), None) => false,
            };
            if step {
                token += 1;
                at += 1;
                continue;
            }
            match retry {
                Some((star, from)) if name.get(from).is_some_and(|c| *c != '/') => {
                    retry = Some((star, from + 1));
                    token = star + 1;
                    at = from + 1;
                }
                _ => return false,
            }
        }
    }
}

/// The rest of a set, after its `[`.
fn set(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, BadPattern> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
        let low = bound(rest)?;
        let high = if rest.next_if_eq(&'-').is_some() { bound(rest)? } else { low };
        ranges.push((low, high));
    }
    Ok(Token::Set { negated, ranges })
}

/// One end of a range; something has to follow it, if only the `]`.
fn bound(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    let c = match rest.next() {
        None | Some('-' | ']') => return Err(BadPattern),
        Some('\\') => rest.next().ok_or(BadPattern)?,
        Some(other) => other,
    };
    rest.peek().map(|_| c).ok_or(BadPattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tries every way a star can go.
    fn naive(tokens: &[Token], name: &[char]) -> bool {
        match (tokens.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((Token::Star, more)), None) => naive(more, name),
            (Some((Token::Star, more)), Some((c, tail))) => naive(more, name) || (*c != '/' && naive(tokens, tail)),
            (None, Some(_)) | (Some(_), None) => false,
            (Some((token, more)), Some((c, tail))) => {
                let one = match token {
                    Token::Any => *c != '/',
                    Token::One(want) => want == c,
                    Token::Set { negated, ranges } => ranges.iter().any(|(lo, hi)| lo <= c && c <= hi) != *negated,
                    Token::Star => false,
                };
                one && naive(more, tail)
            }
        }
    }

    #[test]
    fn behaves_as_go_documents() {
        // Cases in the manner of Go's path/filepath match_test.go.
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("ab[c]", "abc", true),
            ("ab[^b-d]", "abc", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a???b", "aäb", false),
            ("a[^a]b", "aäb", true),
            ("[a-ζ]*", "α", true),
            ("a?b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::new(pattern).map(|glob| glob.matches(name)), Ok(expected), "{pattern} on {name}");
        }
        for bad in ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "[a", "[a\\"] {
            assert_eq!(Glob::new(bad), Err(BadPattern), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_matcher(pattern in "[ab/*?\\[\\]^\\\\-]{0,10}", name in "[ab/]{0,10}") {
            if let Ok(glob) = Glob::new(&pattern) {
                let name_chars: Vec<char> = name.chars().collect();
                prop_assert_eq!(glob.matches(&name), naive(&glob.0, &name_chars));
            }
        }
    }
}
