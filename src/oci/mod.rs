//! OCI registries and image layouts: references, authentication, upload and download, copying, packing.
//!
//! ```text
//! plan ─► Location ─► Client::open ─► Repository::{Registry, Layout} ─► resolve · manifest · blob · put_… · tags · referrers
//!                                          │                                 push (one package)   copy (a whole graph)
//!              Registry = transport (HTTP, TLS, redirects, back-off) + auth (challenge ► token, credentials of the plan or machine)
//! ```
//!
//! Inputs: a [`Location`], the [`Settings`] of the machine, a [`Cx`] per call. Outputs: bytes with the digest they were promised
//! under, [`crate::job::Artifact`]s, [`Error`]s that know whether to try again and whose fault they are.
//! Invariants: manifests travel byte for byte; nothing is kept in memory but manifests and one piece per blob in flight; no
//! credential reaches another host, a log or a message.
//!
//! Called by executors and by `workspace`.

pub mod auth;
mod blob;
mod client;
mod descriptor;
pub mod error;
mod from_plan;
pub mod layout;
mod location;
pub mod manifest;
pub mod media_type;
pub mod pack;
mod push;
mod quoted;
mod reference;
pub(crate) mod referrers;
mod registry;
mod settings;
pub mod transfer;
mod transport;
mod verify;

pub use auth::Credentials;
pub use blob::{BlobSource, ByteStream, FileSource};
pub use client::{Accepted, Client, Cx, Repository, Stored};
pub use descriptor::Descriptor;
pub use error::{ContentError, Error};
pub(crate) use location::is_loopback;
pub use location::{Location, LocationError};
pub use manifest::{ImageManifest, Index, Manifest};
pub use push::{Blob, Content, Package, push, push_referrer};
pub use reference::{NameError, Reference};
pub use referrers::referrers_of;
pub(crate) use referrers::{fallback_tag, is_digest_tag};
pub use registry::{Login, Registry};
pub use settings::{DockerConfig, HostSettings, Settings, Timeouts};
pub use transfer::{CopyOptions, CopyReport, copy};
pub use verify::verified;
