//! The `build-runner` command.

fn main() {}
