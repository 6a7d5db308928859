//! git's whole configuration for one checkout. The system's and the user's are not read.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use super::{credentials::FD, location::Credentials};

/// Keys for repositories behind ssh.
#[derive(Debug, Clone, Default)]
pub struct Ssh {
    /// Private key file.
    pub key: Option<PathBuf>,
    /// Keys of the servers; the user's own when `None`.
    pub known_hosts: Option<PathBuf>,
    /// Socket of an agent that holds keys.
    pub agent: Option<PathBuf>,
}

/// Where systems keep the authorities they trust, in the order of `openssl-probe`'s list; `SSL_CERT_FILE` comes before all of them.
const SYSTEM_BUNDLES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// One bundle of the system's authorities and those in `own`: git trusts exactly one file. It lies in `folder`.
///
/// # Errors
/// When `own` cannot be read or the bundle not be written.
pub(super) fn bundle(own: &Path, folder: &Path) -> io::Result<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let system = named.into_iter().chain(SYSTEM_BUNDLES.iter().map(PathBuf::from)).find_map(|file| fs_err::read(file).ok());
    let mut all = system.unwrap_or_default();
    all.push(b'\n');
    all.extend(fs_err::read(own)?);
    let file = folder.join("authorities.pem");
    fs_err::write(&file, all)?;
    Ok(file)
}

/// Text of the configuration file. It holds no secret: the helper reads an inherited file.
pub(super) fn text(bundle: Option<&Path>, credentials: Option<&Credentials>, lfs: bool) -> String {
    let mut text = String::from(
        "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tattributesFile = /dev/null\n\texcludesFile = /dev/null\n\
         [init]\n\tdefaultBranch = main\n\ttemplateDir =\n\
         [advice]\n\tdetachedHead = false\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n\
         [fetch]\n\twriteCommitGraph = false\n\trecurseSubmodules = false\n\
         [http]\n\tlowSpeedLimit = 1000\n\tlowSpeedTime = 60\n\
         [safe]\n\tdirectory = *\n\
         [uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n",
    );
    if let Some(file) = bundle {
        let _ = writeln!(text, "[http]\n\tsslCAInfo = {}", quoted(&file.to_string_lossy()));
    }
    if lfs {
        text.push_str(
            "[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n\tsmudge = git-lfs smudge -- %f\n\tprocess = git-lfs filter-process\n\trequired = true\n",
        );
    }
    if let Some(credentials) = credentials {
        // An empty helper forgets the ones before it. The file is opened anew each time, so it can be asked for again and again.
        let helper = format!("!f() {{ test \"$1\" = get && cat /dev/fd/{FD}; }}; f");
        let _ = writeln!(text, "[credential {}]\n\thelper =\n\thelper = {}", quoted(&credentials.scope), quoted(&helper));
    }
    text
}

/// A value in the syntax of `git-config(1)`.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// `GIT_SSH_COMMAND`: never asks, never reads the user's configuration, offers only what was configured.
pub(super) fn ssh_command(ssh: Option<&Ssh>) -> String {
    let none = Ssh::default();
    let ssh = ssh.unwrap_or(&none);
    let mut command = String::from("ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=30");
    if let Some(key) = &ssh.key {
        let _ = write!(command, " -o IdentitiesOnly=yes -i {}", shell_quoted(key));
    } else if ssh.agent.is_none() {
        command.push_str(" -o IdentitiesOnly=yes -o IdentityFile=none");
    }
    match &ssh.agent {
        Some(agent) => {
            let _ = write!(command, " -o IdentityAgent={}", shell_quoted(agent));
        }
        None => command.push_str(" -o IdentityAgent=none"),
    }
    if let Some(file) = &ssh.known_hosts {
        let _ = write!(command, " -o UserKnownHostsFile={}", shell_quoted(file));
    }
    command
}

fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_of_ones_own_stands_beside_the_system_s() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("own.pem");
        std::fs::write(&own, "OWN").expect("written");
        let all = std::fs::read_to_string(bundle(&own, folder.path()).expect("made")).expect("readable");
        let system = SYSTEM_BUNDLES.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        assert!(all.ends_with("OWN") && all.len() > system.len(), "{} bytes", all.len());
        assert!(bundle(&folder.path().join("none"), folder.path()).is_err());
    }

    #[test]
    fn ssh_offers_nothing_unless_told() {
        let bare = ssh_command(None);
        assert!(bare.contains("BatchMode=yes") && bare.contains("IdentityAgent=none") && bare.contains("IdentityFile=none"));
        let keyed = ssh_command(Some(&Ssh { key: Some("/k/it's".into()), ..Ssh::default() }));
        assert!(keyed.contains(r"-i '/k/it'\''s'") && keyed.contains("IdentitiesOnly=yes"), "{keyed}");
        let agent = ssh_command(Some(&Ssh { agent: Some("/run/agent".into()), ..Ssh::default() }));
        assert!(agent.contains("IdentityAgent='/run/agent'") && !agent.contains("IdentitiesOnly"), "{agent}");
    }
}
