//! OCI registries and layouts. Placeholder.

/// Client of registries and layouts.
#[derive(Debug)]
pub struct Client;
