//! What git's messages mean. git has one exit code (128) for all of it, so the text is all there is; it is asked for in English.

use super::Error;
use crate::process;

/// What a failed fetch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server does not hand out this object id by itself.
    RefusedCommit,
    /// The ref does not exist.
    NoSuchRef,
    /// The repository does not exist.
    NoSuchRepository,
    /// Credentials are missing, wrong or too weak.
    Denied,
    /// Network or server trouble.
    Unavailable,
    /// Something else.
    Other,
}

/// Fragments of messages, most telling first, as git, curl and ssh write them (lower case).
const SIGNS: &[(Verdict, &[&str])] = &[
    (
        Verdict::RefusedCommit,
        &[
            "not our ref",
            "unadvertised object",
            "does not allow request for",
            "upload-pack: not our ref",
            "did not send all necessary objects",
        ],
    ),
    (Verdict::NoSuchRef, &["couldn't find remote ref", "could not find remote branch"]),
    (
        Verdict::Denied,
        &[
            "authentication failed",
            "could not read username",
            "could not read password",
            "terminal prompts disabled",
            "requested url returned error: 401",
            "requested url returned error: 403",
            "access denied",
            "permission denied (",
            "host key verification failed",
            "too many authentication failures",
        ],
    ),
    (
        Verdict::NoSuchRepository,
        &[
            "repository not found",
            "' not found",
            "requested url returned error: 404",
            "does not appear to be a git repository",
            "not valid: is this a git repository",
            "project you were looking for could not be found",
            "does not exist",
        ],
    ),
    (
        Verdict::Unavailable,
        &[
            "could not resolve host",
            "failed to connect",
            "couldn't connect",
            "connection refused",
            "connection reset",
            "connection timed out",
            "connection closed",
            "operation timed out",
            "operation too slow",
            "network is unreachable",
            "no route to host",
            "temporary failure in name resolution",
            "unexpected disconnect",
            "the remote end hung up",
            "early eof",
            "invalid index-pack output",
            "rpc failed",
            "empty reply from server",
            "requested url returned error: 429",
            "requested url returned error: 5",
            "proxy",
            "ssl",
            "tls",
            "expected flush",
            "bad line length",
        ],
    ),
];

/// Reads a verdict off git's last lines.
pub(super) fn verdict(lines: &[String]) -> Verdict {
    let text = lines.join("\n").to_ascii_lowercase();
    SIGNS.iter().find(|(_, signs)| signs.iter().any(|sign| text.contains(sign))).map_or(Verdict::Other, |(verdict, _)| *verdict)
}

/// The line that says most, without git's prefix.
fn telling(lines: &[String]) -> String {
    let line = lines.iter().rev().find(|line| line.starts_with("fatal:") || line.starts_with("error:")).or_else(|| lines.last());
    line.map_or_else(|| "git said nothing".to_owned(), |line| line.trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned())
}

/// The error for a failed command about `what` (and the plan's `field` that named it) at `url`.
pub(super) fn error(failed: process::Error, url: &str, what: &str, field: &'static str) -> Error {
    let process::Error::Failed { tail, .. } = &failed else { return Error::Git(failed) };
    let (url, why) = (url.to_owned(), telling(tail));
    match verdict(tail) {
        Verdict::RefusedCommit | Verdict::NoSuchRef => Error::NotFound { what: what.to_owned(), url, field },
        Verdict::NoSuchRepository => Error::NotFound { what: "the repository".to_owned(), url, field: "url" },
        Verdict::Denied => Error::Denied { url, why },
        Verdict::Unavailable => Error::Unavailable { url, why },
        Verdict::Other => Error::Git(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_git_are_understood() {
        for (line, expected) in [
            ("fatal: remote error: upload-pack: not our ref 0123", Verdict::RefusedCommit),
            ("error: Server does not allow request for unadvertised object 0123", Verdict::RefusedCommit),
            ("fatal: couldn't find remote ref refs/heads/x", Verdict::NoSuchRef),
            ("fatal: could not read Username for 'http://h': terminal prompts disabled", Verdict::Denied),
            ("fatal: Authentication failed for 'https://h/r/'", Verdict::Denied),
            ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", Verdict::Denied),
            ("fatal: repository 'http://127.0.0.1:1/none.git/' not found", Verdict::NoSuchRepository),
            ("fatal: unable to access 'https://h/': Could not resolve host: h", Verdict::Unavailable),
            ("fatal: unable to access 'https://h/': The requested URL returned error: 503", Verdict::Unavailable),
            ("fatal: something new", Verdict::Other),
        ] {
            let lines: Vec<String> = line.lines().map(str::to_owned).collect();
            assert_eq!(verdict(&lines), expected, "{line}");
        }
    }
}
