//! The grammars of the texts in a plan: tags, refs, paths, names, URLs. Pure checks; the first rule that is broken is the error.

use url::Url;

/// Longest part of a value that a message repeats.
const SHOWN: usize = 80;

/// A text that breaks the grammar of its kind. Values that may hold credentials are not repeated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SyntaxError {
    /// Neither YAML nor JSON.
    #[error(transparent)]
    Document(#[from] crate::yaml::Problem),
    /// distribution-spec 1.1, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
    #[error("'{0}' is not a tag; use at most 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'")]
    Tag(String),
    /// image-spec 1.1, `descriptor.md`, "Digests".
    #[error("'{0}' is not a digest; write sha256: and 64 lower-case hexadecimal digits")]
    Digest(String),
    /// `git check-ref-format`, and what git would take for an option.
    #[error("'{0}' is not a git ref; write a branch, a tag, refs/… or a commit")]
    GitRef(String),
    /// A place git cannot or may not fetch from.
    #[error("is not a git URL: {0}")]
    GitUrl(&'static str),
    /// An address.
    #[error("is not a usable URL: {0}")]
    Url(&'static str),
    /// A path that does not stay where it belongs.
    #[error("'{value}' {problem}; write a path below the root of the source, such as charts/app")]
    Path {
        /// As written.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A repository in a registry.
    #[error("'{value}' is not a repository: {problem}")]
    Repository {
        /// As written.
        value: String,
        /// What is wrong with it and what to do.
        problem: &'static str,
    },
    /// A name with a grammar of its own.
    #[error("'{value}' is not {what}; {rule}")]
    Name {
        /// As written.
        value: String,
        /// What it should be, with its article.
        what: &'static str,
        /// How such a name is written.
        rule: &'static str,
    },
}

/// `text` safe to print in a message: control characters escaped, and not longer than a line.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(SHOWN)
        .flat_map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }.chars().collect::<Vec<_>>())
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

/// An OCI tag.
pub(crate) fn tag(text: &str) -> Result<(), SyntaxError> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let ok = text.len() <= 128 && text.starts_with(word) && text.chars().all(|c| word(c) || c == '.' || c == '-');
    if ok { Ok(()) } else { Err(SyntaxError::Tag(shown(text))) }
}

/// `sha256:…` or `sha512:…`.
pub(crate) fn digest(text: &str) -> Result<(), SyntaxError> {
    text.parse::<crate::digest::Digest>().map(drop).map_err(|_| SyntaxError::Digest(shown(text)))
}

/// A tag, or a digest when there is a colon.
pub(crate) fn tag_or_digest(text: &str) -> Result<(), SyntaxError> {
    if text.contains(':') { digest(text) } else { tag(text) }
}

/// A branch, tag, full ref or commit.
pub(crate) fn git_ref(text: &str) -> Result<(), SyntaxError> {
    let bad = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let wrong = text.is_empty()
        || text.len() > 1024
        || text.starts_with('-')
        || text.contains("..")
        || text.contains("@{")
        || text == "@"
        || text.contains(bad)
        || text.ends_with('.')
        || text.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.strip_suffix(".lock").is_some());
    if wrong { Err(SyntaxError::GitRef(shown(text))) } else { Ok(()) }
}

/// Where git fetches from, by the form of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GitPlace {
    /// `https://`, `ssh://`, `git://`, `user@host:path`.
    Remote,
    /// A folder, or `file://`.
    Local,
}

/// A git URL or a folder.
pub(crate) fn git_url(text: &str) -> Result<GitPlace, SyntaxError> {
    if text.contains(|c: char| c.is_control()) {
        return Err(SyntaxError::GitUrl("it contains control characters; remove them"));
    }
    if text.starts_with('-') {
        return Err(SyntaxError::GitUrl("it begins with '-', which git takes for an option; write ./ in front of a folder"));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme {
            "file" if rest.starts_with('/') => Ok(GitPlace::Local),
            "file" => Err(SyntaxError::GitUrl("file:// needs an absolute path, as in file:///srv/repo")),
            "https" | "http" | "ssh" | "git" => match Url::parse(text) {
                // The parser would take the first folder for the host.
                Ok(url) if url.has_host() && !rest.starts_with('/') => Ok(GitPlace::Remote),
                Ok(_) => Err(SyntaxError::GitUrl("it has no host; write https://HOST/PATH")),
                Err(_) => Err(SyntaxError::GitUrl("it cannot be parsed; write https://HOST/PATH")),
            },
            _ => Err(SyntaxError::GitUrl("the scheme is not one of https, http, ssh, git, file")),
        };
    }
    if text.contains("::") {
        return Err(SyntaxError::GitUrl("'helper::address' runs a program; use https, ssh or a folder"));
    }
    // scp form: a colon before the first slash, `git@host:org/repo`.
    let head = text.split('/').next().unwrap_or(text);
    if head.contains(':') { Ok(GitPlace::Remote) } else { Ok(GitPlace::Local) }
}

/// User name and password of a URL; both empty when there are none.
pub(crate) fn userinfo(url: &str) -> Option<(&str, &str)> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let (userinfo, _) = authority.rsplit_once('@')?;
    Some(userinfo.split_once(':').unwrap_or((userinfo, "")))
}

/// The URL without user name and password.
pub(crate) fn without_userinfo(url: &str) -> String {
    let Some((user, password)) = userinfo(url) else { return url.to_owned() };
    let length = user.len() + if password.is_empty() { 0 } else { password.len() + 1 };
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host = rest.get(length..).unwrap_or("").trim_start_matches(':').trim_start_matches('@');
    format!("{scheme}://{host}")
}

/// An address of one of these schemes, without credentials.
pub(crate) fn address(text: &str, schemes: &[&str], wrong_scheme: &'static str) -> Result<(), SyntaxError> {
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(SyntaxError::Url("it contains spaces or control characters; remove them"));
    }
    let url = Url::parse(text).map_err(|_| SyntaxError::Url("it cannot be parsed; write https://HOST/PATH"))?;
    if !schemes.contains(&url.scheme()) {
        return Err(SyntaxError::Url(wrong_scheme));
    }
    if url.host_str().is_none_or(str::is_empty) || text.contains(":///") {
        return Err(SyntaxError::Url("it has no host; write https://HOST/PATH"));
    }
    Ok(())
}

/// A path that stays below the root of the source.
pub(crate) fn relative_path(text: &str) -> Result<(), SyntaxError> {
    let wrong = |problem| Err(SyntaxError::Path { value: shown(text), problem });
    if text.contains('\0') {
        return wrong("contains a NUL character");
    }
    if text.starts_with('/') {
        return wrong("is absolute");
    }
    let mut depth = 0_i32;
    for part in text.split('/') {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        if depth < 0 {
            return wrong("leaves the source");
        }
    }
    Ok(())
}

/// `[HOST[:PORT]/]PATH` as registries write it, without tag, digest or scheme.
pub(crate) fn repository(text: &str) -> Result<(), SyntaxError> {
    let wrong = |problem| Err(SyntaxError::Repository { value: shown(&without_userinfo(text)), problem });
    if text.contains("://") {
        return wrong("remove the scheme and write HOST/PATH");
    }
    if let Some((_, behind)) = text.rsplit_once('@') {
        // What stands in front may be a password.
        let value = format!("…@{}", shown(behind));
        let problem = "it holds a digest or user name; digests go into the tag key, user names into OCIAuth";
        return Err(SyntaxError::Repository { value, problem });
    }
    let (host, path) = match text.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, text),
    };
    if path.contains(':') {
        return wrong("it holds a tag; write that into dst_tag, src_tag or tag");
    }
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return wrong("the path has to be lower case");
    }
    let component = |part: &str| {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(word) && part.ends_with(word) && part.chars().all(|c| word(c) || matches!(c, '.' | '_' | '-'))
    };
    if path.len() > 255 || !path.split('/').all(component) {
        return wrong("use lower-case letters and digits, with single '.', '_' or '-' between them and '/' between parts");
    }
    match host {
        Some(host) if !is_host(host) => wrong("the part before the first '/' is not a host; write HOST or HOST:PORT"),
        _ => Ok(()),
    }
}

/// `HOST` or `HOST:PORT`.
pub(crate) fn is_host(text: &str) -> bool {
    Url::parse(&format!("https://{text}")).is_ok_and(|url| {
        url.has_host() && url.path() == "/" && url.query().is_none() && url.fragment().is_none() && userinfo(url.as_str()).is_none()
    }) && !text.contains(['/', '?', '#', '@'])
}

/// A Kubernetes object or namespace name (RFC 1123 label; `subdomain` lets dots in).
pub(crate) fn kubernetes_name(text: &str, subdomain: bool) -> Result<(), SyntaxError> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let longest = if subdomain { 253 } else { 63 };
    let parts = text.split('.').all(|part| part.starts_with(word) && part.ends_with(word) && part.chars().all(|c| word(c) || c == '-'));
    if text.len() <= longest && parts && (subdomain || !text.contains('.')) {
        return Ok(());
    }
    let rule = "use lower-case letters, digits and '-', beginning and ending with a letter or digit";
    Err(SyntaxError::Name { value: shown(text), what: "a Kubernetes name", rule })
}

/// A name for people and folders: letters, digits, `-`, `_`, `.`.
pub(crate) fn plain_name(text: &str, what: &'static str) -> Result<(), SyntaxError> {
    let ok = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let rule = "use 1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or digit";
    if ok { Ok(()) } else { Err(SyntaxError::Name { value: shown(text), what, rule }) }
}

/// Name of an environment variable or build argument.
pub(crate) fn variable_name(text: &str) -> Result<(), SyntaxError> {
    let ok = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let rule = "use letters, digits and '_', not beginning with a digit";
    if ok { Ok(()) } else { Err(SyntaxError::Name { value: shown(text), what: "a variable name", rule }) }
}

/// `os/architecture[/variant]`.
pub(crate) fn platform(text: &str) -> Result<(), SyntaxError> {
    let parts: Vec<_> = text.split('/').collect();
    let word = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-');
    if (2..=3).contains(&parts.len()) && parts.iter().all(word) {
        return Ok(());
    }
    Err(SyntaxError::Name {
        value: shown(text),
        what: "a platform",
        rule: "write os/architecture or os/architecture/variant, such as linux/arm64",
    })
}

/// The parts of an image's name: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageName<'a> {
    /// With or without host.
    pub(crate) repository: &'a str,
    /// What stands behind the last colon of the last part.
    pub(crate) tag: Option<&'a str>,
    /// What stands behind the `@`.
    pub(crate) digest: Option<&'a str>,
}

impl<'a> ImageName<'a> {
    /// Takes a name apart; whether the parts are good is for [`ImageName::check_version`] and [`image`] to say.
    pub(crate) fn split(text: &'a str) -> Self {
        let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        match rest[slash..].split_once(':') {
            Some((name, tag)) => Self { repository: &rest[..slash + name.len()], tag: Some(tag), digest },
            None => Self { repository: rest, tag: None, digest },
        }
    }

    /// Tag and digest, where there are any.
    pub(crate) fn check_version(&self) -> Result<(), SyntaxError> {
        self.digest.map_or(Ok(()), digest)?;
        self.tag.map_or(Ok(()), tag)
    }
}

/// An image: repository with an optional tag or digest.
pub(crate) fn image(text: &str) -> Result<(), SyntaxError> {
    let name = ImageName::split(text);
    name.check_version()?;
    repository(name.repository)
}

/// A range of versions, as helm reads them.
pub(crate) fn version_range(text: &str) -> Result<(), SyntaxError> {
    let rule = "write it like 1.2.3, ^1.2.0, ~1.2, \">=1.2 <2.0\" or 1.x";
    let wrong = |_| SyntaxError::Name { value: shown(text), what: "a version range", rule };
    text.parse::<crate::versions::Constraint>().map(drop).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_refs_follow_their_grammar() {
        assert!(["v1.2", "_x", &"a".repeat(128)].iter().all(|text| tag(text).is_ok()));
        assert!(["", ".x", "-x", "a b", "a/b", "a+b", "é", &"a".repeat(129)].iter().all(|text| tag(text).is_err()));
        assert!(["main", "refs/heads/feature/x", "v1.0", "0123abc"].iter().all(|text| git_ref(text).is_ok()));
        assert!(["", "-x", "a..b", "a b", "x.lock", "/a", "a/", "@", "a^", "--upload-pack=x"].iter().all(|text| git_ref(text).is_err()));
    }

    #[test]
    fn git_urls_are_told_apart_from_folders() {
        for text in ["https://u:p@host/o/r", "ssh://git@host:22/r", "git@host:org/r"] {
            assert_eq!(git_url(text), Ok(GitPlace::Remote), "{text}");
        }
        for text in ["../charts", "/srv/repo", "file:///srv/repo", ".", "charts/a:b"] {
            assert_eq!(git_url(text), Ok(GitPlace::Local), "{text}");
        }
        for text in ["ext::sh -c x", "-oProxyCommand=x", "ftp://h/r", "https:///r", "file://x", "a\nb"] {
            assert!(git_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_are_taken_out_of_urls() {
        assert_eq!(userinfo("https://x:token@h/r"), Some(("x", "token")));
        assert_eq!(without_userinfo("https://x:token@h/r?q"), "https://h/r?q");
        assert_eq!(without_userinfo("https://x:@h/r"), "https://h/r");
        assert_eq!(without_userinfo("https://x:p@ss@h/r"), "https://h/r");
        assert_eq!(without_userinfo("https://h/r@x"), "https://h/r@x");
    }

    #[test]
    fn paths_stay_inside() {
        assert!(["", ".", "a/b", "a/../b", "./a", "a//b"].iter().all(|text| relative_path(text).is_ok()));
        assert!(["..", "/a", "a/../../b", "\0"].iter().all(|text| relative_path(text).is_err()));
    }

    #[test]
    fn repositories_and_images() {
        for text in ["nginx", "library/nginx", "localhost:5000/a/b", "1.dkr.ecr.eu-west-1.amazonaws.com/a__b", "[::1]:5000/x"] {
            assert_eq!(repository(text), Ok(()), "{text}");
        }
        for text in ["", "https://h/x", "u:p@h/x", "h.io/x:tag", "h.io/X", "h.io/-x", "h.io/", "h.io:x/y", "a b"] {
            assert!(repository(text).is_err(), "{text}");
        }
        assert!(["nginx:1.27", "h:5000/x:1", "h.io/x"].iter().all(|text| image(text).is_ok()));
        assert!(["nginx:", "x@sha256:00", "h.io/x:a b"].iter().all(|text| image(text).is_err()));
    }
}
