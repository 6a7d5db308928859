//! The `build-runner` command: everything happens in [`build_runner::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    build_runner::cli::main(std::env::args_os(), std::env::vars_os()).into()
}
