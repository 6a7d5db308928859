//! OCI registries and layouts. Placeholder.

pub mod pack;

/// Client of registries and layouts.
#[derive(Debug)]
pub struct Client;
