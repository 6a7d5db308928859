//! `build-runner keys`: the key that signs provenance.

use super::{Console, Exit, args::KeysCommand, supervisor};
use crate::config::Config;

/// Prints the public half of the key, which is made when there is none.
pub(super) fn keys(console: Console, config: &Config, command: KeysCommand) -> Exit {
    let KeysCommand::Public = command;
    let source = supervisor::key_source(config);
    if config.signing_key.is_none()
        && let Err(problem) = supervisor::open_state(&config.state_dir)
    {
        console.error(problem);
        return Exit::RunnerFailed;
    }
    match source.load() {
        Ok(loaded) => {
            if loaded.exposed {
                console.note(format_args!("{0} can be read by others than its owner; `chmod 600 {0}`", loaded.path.display()));
            }
            console.line(loaded.key.public().to_pem().trim_end());
            Exit::Success
        }
        Err(error) => {
            console.error(error);
            Exit::WrongInput
        }
    }
}
