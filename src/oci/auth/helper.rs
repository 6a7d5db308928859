//! Credential helpers: `docker-credential-NAME get` (docker/docker-credential-helpers, `README.md`, "Development").
//!
//! The server's name goes to standard input, `{"ServerURL","Username","Secret"}` comes back. The user name `<token>` means that the secret is an
//! identity token. A helper is the machine owner's own program, so it gets the runner's environment, unlike anything that a job brings.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{Error, Secret};
use crate::{
    oci::Cx,
    process::{Command, Environment, Output},
};

/// How long a helper may take: some open a browser, which nobody sits in front of here.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer that is read.
const MAX_ANSWER: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks the helper; `None` when it knows nothing about the server.
pub(super) async fn ask(name: &str, server: &str, environment: &BTreeMap<String, String>, cx: Cx<'_>) -> Result<Option<Secret>, Error> {
    let program = format!("docker-credential-{name}");
    let fail = |reason: String| Error::Helper { program: program.clone(), host: server.to_owned(), reason };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err(fail("is not a name of a helper".to_owned()));
    }
    let home = environment.get("HOME").map_or("/", String::as_str);
    let base = Environment::of_runner(home.as_ref(), "/tmp".as_ref());
    let environment = environment.iter().fold(base, |all, (key, value)| all.with(key, value));
    let command = Command::new(&program, &environment)
        .arg("get")
        .stdin(server)
        .stdout(Output::Capture { limit: MAX_ANSWER })
        // What a helper says when it fails may quote what it knows.
        .stderr(Output::Quiet);
    let done = match tokio::time::timeout(PATIENCE, command.run(cx.cancel, cx.log)).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => {
            cx.cancel.check()?;
            return Err(fail(error.to_string()));
        }
        Err(_) => return Err(fail(format!("did not answer within {} s", PATIENCE.as_secs()))),
    };
    if done.text().contains("credentials not found in native keychain") {
        return Ok(None);
    }
    let exit = done.exit;
    let answer: Answer = serde_json::from_slice(&done.stdout).map_err(|_| fail(format!("gave no credentials ({exit})")))?;
    cx.log.add_secret(&answer.secret);
    let password = answer.secret.into();
    Ok(Some(if answer.username == "<token>" { Secret::Refresh(password) } else { Secret::Basic { username: answer.username, password } }))
}
