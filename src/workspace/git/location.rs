//! Where a source is: the URL taken apart, credentials split off before anybody can print them.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::Error;

/// A repository somewhere else.
#[derive(Debug)]
pub(super) struct Remote {
    /// What git is called with; no credentials in it.
    pub(super) url: String,
    /// How it is spoken to.
    pub(super) scheme: Scheme,
    /// Split off the URL.
    pub(super) credentials: Option<Credentials>,
}

/// A user name and its secret, and the hosts that may see them.
#[derive(Debug)]
pub(super) struct Credentials {
    /// User name; itself secret when it came without a password.
    pub(super) username: SecretString,
    /// Password or token.
    pub(super) password: SecretString,
    /// `scheme://host[:port]`: nobody else gets them.
    pub(super) scope: String,
    /// Texts that must not be seen: decoded and as written in the URL.
    pub(super) secrets: Vec<SecretString>,
}

/// Protocols that a plan may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
    Ssh,
    Git,
    /// Only for job files of this machine.
    File,
}

/// Where a source is.
#[derive(Debug)]
pub(super) enum Location {
    /// Behind a URL.
    Remote(Remote),
    /// A folder of this machine.
    Folder(PathBuf),
}

fn plan(why: impl Into<String>) -> Error {
    Error::Plan { field: "url", why: why.into() }
}

impl Location {
    /// Takes `text` apart. Local folders and `file://` need a `base`.
    pub(super) fn parse(text: &str, base: Option<&Path>) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(plan("is empty; name a repository (https://…, ssh://…) or, in a local job file, a folder"));
        }
        if text.starts_with('-') || text.chars().any(char::is_control) {
            return Err(plan("begins with '-' or has a control character"));
        }
        if text.contains("::") && !text.contains("://") && !text.contains('[') {
            return Err(plan("names a remote helper, which could run any program; use https or ssh"));
        }
        if text.contains("://") {
            let url = Url::parse(text).map_err(|error| plan(format!("is not a URL ({error})")))?;
            return match url.scheme() {
                "https" => Ok(Self::Remote(remote(url, Scheme::Https)?)),
                "http" => Ok(Self::Remote(remote(url, Scheme::Http)?)),
                "ssh" | "git+ssh" | "ssh+git" => Ok(Self::Remote(remote(url, Scheme::Ssh)?)),
                "git" => Ok(Self::Remote(remote(url, Scheme::Git)?)),
                "file" => {
                    let folder = url.to_file_path().map_err(|()| plan("is a file:// URL with a host; write file:///folder"))?;
                    base.map(|_| Self::Folder(folder)).ok_or_else(|| plan("file:// works only in job files of this machine"))
                }
                other => Err(plan(format!("'{other}' is not a protocol to fetch from; use https or ssh"))),
            };
        }
        if let Some(remote) = scp_like(text) {
            return Ok(Self::Remote(remote));
        }
        match base {
            Some(base) => Ok(Self::Folder(base.join(text))),
            None => Err(plan("is not a URL; a folder works only in job files of this machine")),
        }
    }
}

/// `user@host:path`, as git understands it: a colon before the first slash.
fn scp_like(text: &str) -> Option<Remote> {
    let (host, path) = text.split_once(':')?;
    let looks_like_it = !host.contains('/') && !host.is_empty() && !path.is_empty() && !host.starts_with('.');
    let (user, name) = host.split_once('@').unwrap_or(("", host));
    // A password has no place in this form; whatever precedes '@' is a user name that ssh may print.
    let plain = !name.is_empty() && !name.starts_with('-') && !user.starts_with('-') && !path.starts_with('-');
    (looks_like_it && plain).then(|| Remote { url: text.to_owned(), scheme: Scheme::Ssh, credentials: None })
}

fn remote(mut url: Url, scheme: Scheme) -> Result<Remote, Error> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| plan("has no host"))?.to_owned();
    if host.starts_with('-') || url.username().starts_with('-') {
        return Err(plan("has a host or user that begins with '-'"));
    }
    let decode = |text: &str| SecretString::from(percent_decode_str(text).decode_utf8_lossy().into_owned());
    let (user, password) = (url.username().to_owned(), url.password().map(str::to_owned));
    let name_is_public = matches!(scheme, Scheme::Ssh);
    let credentials = match (&*user, password) {
        ("", None) => None,
        (_, None) if name_is_public => None,
        (_, password) => {
            let secret = password.as_deref().unwrap_or(&user).to_owned();
            let scope = match url.port() {
                Some(port) => format!("{}://{host}:{port}", url.scheme()),
                None => format!("{}://{host}", url.scheme()),
            };
            Some(Credentials {
                username: decode(&user),
                password: decode(password.as_deref().unwrap_or("")),
                scope,
                secrets: vec![decode(&secret), SecretString::from(secret)],
            })
        }
    };
    // Neither call fails on a URL that has a host.
    let _ = url.set_password(None);
    if !name_is_public {
        let _ = url.set_username("");
    }
    Ok(Remote { url: url.into(), scheme, credentials })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn remote_of(text: &str) -> Remote {
        match Location::parse(text, None).expect(text) {
            Location::Remote(remote) => remote,
            Location::Folder(folder) => panic!("{} is no folder", folder.display()),
        }
    }

    #[test]
    fn credentials_are_split_off() {
        let remote = remote_of("https://x-access-token:gh%40s_T0ken@example.com:8443/o/r.git");
        assert_eq!(remote.url, "https://example.com:8443/o/r.git");
        let credentials = remote.credentials.expect("some");
        assert_eq!(credentials.scope, "https://example.com:8443");
        assert_eq!(credentials.username.expose_secret(), "x-access-token");
        assert_eq!(credentials.password.expose_secret(), "gh@s_T0ken");
        let secrets: Vec<_> = credentials.secrets.iter().map(secrecy::ExposeSecret::expose_secret).collect();
        assert_eq!(secrets, ["gh@s_T0ken", "gh%40s_T0ken"]);

        let bare = remote_of("https://onlytoken@example.com/r").credentials.expect("some");
        assert_eq!((bare.username.expose_secret(), bare.password.expose_secret()), ("onlytoken", ""));
        assert_eq!(bare.secrets[0].expose_secret(), "onlytoken");
        assert!(!format!("{bare:?}").contains("onlytoken"));
    }

    #[test]
    fn ssh_keeps_its_user_and_loses_a_password() {
        assert_eq!(remote_of("ssh://git@example.com/o/r").url, "ssh://git@example.com/o/r");
        assert_eq!(remote_of("ssh://git:pw12345@example.com/o/r").url, "ssh://git@example.com/o/r");
        assert_eq!(remote_of("git@example.com:o/r.git").url, "git@example.com:o/r.git");
    }

    #[test]
    fn folders_need_a_base() {
        let base = Path::new("/base");
        for (text, folder) in
            [("../charts", "/base/../charts"), (".", "/base/."), ("file:///srv/repo", "/srv/repo"), ("/srv/repo", "/srv/repo")]
        {
            match Location::parse(text, Some(base)).expect(text) {
                Location::Folder(found) => assert_eq!(found, Path::new(folder)),
                Location::Remote(remote) => panic!("{remote:?}"),
            }
            assert!(matches!(Location::parse(text, None), Err(Error::Plan { field: "url", .. })), "{text}");
        }
    }

    #[test]
    fn hostile_urls_are_refused() {
        for bad in [
            "",
            "-u",
            "--upload-pack=x",
            "ext::sh -c id",
            "fd::17",
            "ftp://h/x",
            "https://",
            "ssh://-oProxyCommand=x/y",
            "ssh://-l@h/y",
            "-o:x",
            "x\ny",
        ] {
            assert!(matches!(Location::parse(bad, Some(Path::new("/b"))), Err(Error::Plan { .. })), "{bad}");
        }
        assert!(matches!(Location::parse("a@-o:x", None), Err(Error::Plan { .. })));
    }
}
