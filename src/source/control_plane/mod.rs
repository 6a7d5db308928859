//! The runner API: wire types and the client. The only place that knows its paths, keys and enumerations.
