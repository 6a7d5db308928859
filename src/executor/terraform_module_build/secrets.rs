//! Files that must not be published: state, plans and crash logs, which repeat every value; and credentials.
//!
//! By name, as tools write them, and by content where a name says nothing: private keys, and access keys in configuration. The list is
//! short and precise, because a build that is refused for nothing teaches people to switch checks off. What `.terraformignore` leaves out
//! is never asked about.

use std::{fmt, sync::LazyLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::Regex;

use super::path;

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secret {
    State,
    Plan,
    CrashLog,
    Credentials,
    PrivateKey,
    /// In that line.
    AccessKey(usize),
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => f.write_str("state"),
            Self::Plan => f.write_str("a saved plan"),
            Self::CrashLog => f.write_str("a crash log"),
            Self::Credentials => f.write_str("credentials"),
            Self::PrivateKey => f.write_str("a private key"),
            Self::AccessKey(line) => write!(f, "an access key in line {line}"),
        }
    }
}

/// Files that hold credentials whatever is in them, by name.
const CREDENTIALS: &[&str] = &[
    ".env",
    ".envrc.local",
    ".git-credentials",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".terraformrc",
    "terraform.rc",
    ".tofurc",
    "tofu.rc",
    "credentials.tfrc.json",
    "application_default_credentials.json",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
];
/// The same, where the folder is part of the name.
const CREDENTIALS_IN: &[&str] =
    &[".aws/credentials", ".docker/config.json", ".kube/config", ".azure/accessTokens.json", ".azure/msal_token_cache.json"];
/// Suffixes of `.env` that are there to be published.
const EXAMPLES: &[&str] = &["example", "sample", "template", "dist", "tpl", "tftpl", "md"];

/// Bytes of a large file that are looked at.
pub(crate) const HEAD: usize = 64 << 10;

/// What a name gives away.
pub(crate) fn by_name(file: &str) -> Option<Secret> {
    let name = path::name(file);
    let is_text = [".tf", ".tofu", ".tf.json", ".tofu.json", ".md"].iter().any(|suffix| name.ends_with(suffix));
    let is_state = name.ends_with(".tfstate") || name.contains(".tfstate.") || name == ".terraform.tfstate.lock.info";
    if is_state && !is_text {
        return Some(Secret::State);
    }
    if name == "tfplan" || name.ends_with(".tfplan") {
        return Some(Secret::Plan);
    }
    if name.strip_prefix("crash.").is_some_and(|rest| rest == "log" || rest.strip_suffix(".log").is_some()) {
        return Some(Secret::CrashLog);
    }
    let in_folder = |known: &&str| file == *known || file.ends_with(&format!("/{known}"));
    let is_env = name.strip_prefix(".env.").is_some_and(|rest| !rest.rsplit('.').any(|part| EXAMPLES.contains(&part)));
    (CREDENTIALS.contains(&name) || is_env || CREDENTIALS_IN.iter().any(in_folder)).then_some(Secret::Credentials)
}

/// What the content gives away; `content` is all of a small file, or the first [`HEAD`] bytes of a large one.
pub(crate) fn by_content(file: &str, content: &[u8]) -> Option<Secret> {
    if has_private_key(file, content) {
        return Some(Secret::PrivateKey);
    }
    let name = path::name(file);
    let is_configuration = [".tf", ".tofu", ".tf.json", ".tofu.json", ".tfvars", ".tfvars.json", ".tfbackend", ".hcl"];
    if !is_configuration.iter().any(|suffix| name.ends_with(suffix)) {
        return None;
    }
    if ACCESS_KEY_HINT.as_ref().is_some_and(|hint| !hint.is_match(content)) {
        return None;
    }
    let found = ACCESS_KEY.as_ref()?.find_iter(content).find(|found| !found.as_bytes().ends_with(b"EXAMPLE"))?;
    Some(Secret::AccessKey(content[..found.start()].split(|byte| *byte == b'\n').count()))
}

/// Keys of AWS, GitHub, GitLab, Google and HCP Terraform as they are written, and AWS' secret keys by the name they have. AWS' own examples end with
/// `EXAMPLE`.
static ACCESS_KEY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?-u)\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b|\bglpat-[A-Za-z0-9_-]{20,}\b",
        r"|\bAIza[A-Za-z0-9_-]{35}\b",
        r"|\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}",
        r#"|\bsecret_(?:access_)?key"?\s*[=:]\s*"[A-Za-z0-9/+=]{40}""#,
    ))
    .ok()
});

/// What every such key has in it: almost no file does, and this is found much faster.
static ACCESS_KEY_HINT: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let words = [
        "AKIA",
        "ASIA",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "AIza",
        ".atlasv1.",
        "secret_key",
        "secret_access_key",
    ];
    AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(words).ok()
});

/// The first line of a private key (RFC 7468, and OpenSSL's and OpenSSH's own).
static KEY_HEADER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?-u)-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----").ok());

fn has_private_key(file: &str, content: &[u8]) -> bool {
    let is_key_file = [".pem", ".key", ".p8", ".ppk"].iter().any(|suffix| file.ends_with(suffix));
    KEY_HEADER.iter().flat_map(|header| header.find_iter(content)).any(|header| {
        // In a key file the header is enough, as where a file begins with it. Elsewhere (documents, templates) a key has to follow.
        is_key_file || content[..header.start()].trim_ascii().is_empty() || key_follows(&content[header.end()..])
    })
}

/// Whether base64 as long as the shortest key's follows, line ends and their JSON form aside.
fn key_follows(after: &[u8]) -> bool {
    let window = String::from_utf8_lossy(&after[..after.len().min(512)]).replace("\\n", "\n").replace("\\r", "\n");
    window
        .lines()
        .map(str::trim)
        .take(8)
        .any(|line| line.len() >= 40 && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_tools_write() {
        for (file, secret) in [
            ("terraform.tfstate", Some(Secret::State)),
            ("a/terraform.tfstate.backup", Some(Secret::State)),
            ("terraform.tfstate.d/prod/terraform.tfstate", Some(Secret::State)),
            (".terraform.tfstate.lock.info", Some(Secret::State)),
            ("errored.tfstate", Some(Secret::State)),
            ("remote.tfstate.tf", None),
            ("tfstate.tf", None),
            ("prod.tfplan", Some(Secret::Plan)),
            ("tfplan.md", None),
            ("crash.log", Some(Secret::CrashLog)),
            ("crash.2024.log", Some(Secret::CrashLog)),
            (".env", Some(Secret::Credentials)),
            ("a/.env.production", Some(Secret::Credentials)),
            (".env.example", None),
            (".envrc", None),
            ("x.env", None),
            ("a/.aws/credentials", Some(Secret::Credentials)),
            (".aws/credentials", Some(Secret::Credentials)),
            ("x.aws/credentials", None),
            ("credentials", None),
            ("credentials.tf", None),
            ("keys/id_rsa", Some(Secret::Credentials)),
            ("keys/id_rsa.pub", None),
            (".terraformrc", Some(Secret::Credentials)),
            ("credentials.tfrc.json", Some(Secret::Credentials)),
        ] {
            assert_eq!(by_name(file), secret, "{file}");
        }
    }

    #[test]
    fn contents_that_give_themselves_away() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{line}\n-----END RSA PRIVATE KEY-----\n");
        let json = format!("{{\"private_key\": \"-----BEGIN PRIVATE KEY-----\\n{line}\\n\"}}");
        let aws = ["AKIA", "Z7QXM2P4WJ5K8TRB"].concat();
        let secret = format!("provider \"aws\" {{\n  secret_key = \"{}\"\n}}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        for (file, content, found) in [
            ("server.pem", "-----BEGIN PRIVATE KEY-----\nx", Some(Secret::PrivateKey)),
            ("server.pem", "-----BEGIN CERTIFICATE-----\nx", None),
            ("whatever", key.as_str(), Some(Secret::PrivateKey)),
            ("sa.json", json.as_str(), Some(Secret::PrivateKey)),
            ("README.md", "paste it:\n-----BEGIN PRIVATE KEY-----\n...\n", None),
            ("main.tf", "regex = \"-----BEGIN PRIVATE KEY-----\"", None),
            ("main.tf", &format!("\n\nkey = \"{aws}\""), Some(Secret::AccessKey(3))),
            ("main.tf", "key = \"AKIAIOSFODNN7EXAMPLE\"", None),
            ("notes.txt", &format!("key = \"{aws}\""), None),
            ("main.tf", &format!("key = \"X{aws}\""), None),
            ("main.tf", &secret, Some(Secret::AccessKey(2))),
            ("main.tf", "secret_key = \"test\"\nsecret_key = var.k", None),
        ] {
            assert_eq!(by_content(file, content.as_bytes()), found, "{file} {content}");
        }
    }
}
