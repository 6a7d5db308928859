//! Safe unpacking of archives.
