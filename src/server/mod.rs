//! The reference control plane: the runner API of [`crate::source::control_plane`], an operator API, and a store behind a trait.

pub mod store;
